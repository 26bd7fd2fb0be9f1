package image

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"graphrun/graph"
	"graphrun/runtime/glsl"
	"graphrun/runtime/picture"
	"graphrun/types"
)

func init() {
	m := newer("GLSLShader", "GLSL Shader", "image/shader", "nodes_glsl",
		"Runs a fragment shader of GLSL ES 3.00 over pictures, on the processor. Uniforms: u_resolution, u_image0 to 4, u_float0 to 19, "+
			"u_int0 to 19, u_bool0 to 9, u_curve0 to 3, u_pass; the varying v_texCoord; outputs fragColor0 to 3.")
	m.Experimental, m.Intermediate = true, true
	graph.Register[GLSLShader](m)
}

// shaderSize is the size of what a shader makes.
type shaderSize struct {
	graph.Choice
	FromInput struct{}
	Custom    struct {
		Width  int `default:"512" min:"1" max:"16384"`
		Height int `default:"512" min:"1" max:"16384"`
	}
}

// GLSLShader runs a shader.
type GLSLShader struct {
	FragmentShader string `default:"#version 300 es\nprecision highp float;\nuniform sampler2D u_image0;\nin vec2 v_texCoord;\nlayout(location = 0) out vec4 fragColor0;\nvoid main() {\n    fragColor0 = texture(u_image0, v_texCoord);\n}\n" multiline:"true"`
	SizeMode       shaderSize
	Images         graph.Autogrow[types.Image] `prefix:"image" item:"image" min:"1" max:"5"`
	Floats         graph.Autogrow[float64]     `prefix:"u_float" item:"float" min:"0" max:"20" default:"0.0" forceinput:"true"`
	Ints           graph.Autogrow[int]         `prefix:"u_int" item:"int" min:"0" max:"20" default:"0" forceinput:"true"`
	Bools          graph.Autogrow[bool]        `prefix:"u_bool" item:"bool" min:"0" max:"10" default:"false" forceinput:"true"`
	Curves         graph.Autogrow[curve]       `prefix:"u_curve" item:"curve" min:"0" max:"4" default:"{\"points\":[[0.0,0.0],[1.0,1.0]],\"interpolation\":\"monotone_cubic\"}" socketless:"true" forceinput:"true"`
}

// shaded are what fragColor0 to 3 made.
type shaded struct {
	Image0 types.Image `out:"IMAGE0"`
	Image1 types.Image `out:"IMAGE1"`
	Image2 types.Image `out:"IMAGE2"`
	Image3 types.Image `out:"IMAGE3"`
	UI     graph.UI
}

// Run makes one picture for each of the longest batch; shorter ones go on with their last picture. Results have four
// channels and are not cut to 0..1; an output that the shader does not have is black.
func (n GLSLShader) Run(c *graph.Call) (out shaded, err error) {
	program, err := glsl.Compile(n.FragmentShader)
	if err != nil {
		return out, &graph.Error{Kind: graph.KindCustom, Input: "fragment_shader", Err: err, Need: "a fragment shader of GLSL ES 3.00"}
	}
	uniforms, batch, err := n.uniforms()
	if err != nil {
		return out, err
	}
	width, height := n.SizeMode.Custom.Width, n.SizeMode.Custom.Height
	if n.SizeMode.Key != "custom" {
		first := n.Images[0].Value
		width, height = first.Shape[2], first.Shape[1]
	}
	if float64(batch)*float64(width)*float64(height)*4 > picture.MaxValues {
		return out, &graph.Error{Kind: graph.KindTooBig, Input: "size_mode", Need: "pictures of at most 8 GiB", Have: fmt.Sprintf("%d of %d by %d", batch, width, height)}
	}
	uniforms["u_resolution"] = []float64{float64(width), float64(height)}
	results := [4]*types.Image{&out.Image0, &out.Image1, &out.Image2, &out.Image3}
	for _, img := range results {
		img.Tensor = types.NewTensor(batch, height, width, 4)
	}
	for i := range batch {
		for _, img := range n.Images {
			uniforms["u_"+img.Name] = texture(img.Value, min(i, img.Value.Shape[0]-1))
		}
		for pass := range program.Passes {
			uniforms["u_pass"] = pass
			colours, err := program.Run(c, width, height, uniforms)
			if err != nil {
				var shader *glsl.Error
				if errors.As(err, &shader) {
					err = failed("fragment_shader", err)
				}
				return out, err
			}
			for k, values := range colours[:min(len(colours), 4)] {
				copy(results[k].Item(i).Data, values)
			}
			if len(colours) > 0 {
				uniforms["u_image0"] = &glsl.Texture{Width: width, Height: height, Data: colours[0]}
			}
		}
		c.Progress("shade", i+1, batch)
	}
	out.UI, err = n.show(c, out.Image0)
	return out, err
}

// show previews the first result where it can be shown: a shader may make values that no picture has.
func (n GLSLShader) show(c *graph.Call, img types.Image) (graph.UI, error) {
	if picture.CheckFinite(c, img) != nil {
		return nil, c.Err()
	}
	return preview(c, img, "ComfyUI")
}

// uniforms are the values that are the same for all pictures, and how many pictures there are.
func (n GLSLShader) uniforms() (map[string]any, int, error) {
	out, batch := map[string]any{}, 0
	if len(n.Images) == 0 {
		return nil, 0, &graph.Error{Kind: graph.KindMissing, Input: "images.image0", Hint: "connect the first slot at least"}
	}
	for _, img := range n.Images {
		if err := check("images."+img.Name, img.Value); err != nil {
			return nil, 0, err
		}
		batch = max(batch, img.Value.Shape[0])
	}
	for _, f := range n.Floats {
		out[f.Name] = f.Value
	}
	for _, i := range n.Ints {
		out[i.Name] = i.Value
	}
	for _, b := range n.Bools {
		out[b.Name] = b.Value
	}
	for _, v := range n.Curves {
		t := &glsl.Texture{Width: 256, Height: 1, Data: make([]float32, 4*256)}
		for i := range 256 {
			y := float32(v.Value.at(float64(i) / 255))
			copy(t.Data[4*i:], []float32{y, 0, 0, 1})
		}
		out[v.Name] = t
	}
	return out, batch, nil
}

// texture is one picture of a batch with four channels: gray counts for all colours, alpha is 1 where there is none.
func texture(img types.Image, i int) *glsl.Texture {
	channels := img.Shape[3]
	t := &glsl.Texture{Width: img.Shape[2], Height: img.Shape[1], Data: make([]float32, 4*img.Shape[1]*img.Shape[2])}
	values := img.Item(i).Data
	for p := range len(t.Data) / 4 {
		v, to := values[p*channels:][:channels], t.Data[4*p:][:4]
		to[3] = 1
		if channels < 3 {
			to[0], to[1], to[2] = v[0], v[0], v[0]
			continue
		}
		copy(to, v[:min(channels, 4)])
	}
	return t
}

// at is the curve's value at x: constant outside of its points, between them straight or monotone cubic (Fritsch and
// Carlson 1980).
func (v curve) at(x float64) float64 {
	p := v.Points
	if len(p) == 0 {
		return x
	}
	if x <= p[0][0] {
		return p[0][1]
	}
	k := 0
	for k < len(p)-1 && x >= p[k+1][0] {
		k++
	}
	if k == len(p)-1 {
		return p[k][1]
	}
	h := p[k+1][0] - p[k][0]
	t := (x - p[k][0]) / h
	if strings.HasPrefix(v.Interpolation, "linear") {
		return p[k][1]*(1-t) + p[k+1][1]*t
	}
	slopes := v.slopes()
	return (1+2*t)*(1-t)*(1-t)*p[k][1] + t*(1-t)*(1-t)*h*slopes[k] + t*t*(3-2*t)*p[k+1][1] + t*t*(t-1)*h*slopes[k+1]
}

// slopes at the points keep the curve from overshooting.
func (v curve) slopes() []float64 {
	p, n := v.Points, len(v.Points)
	secants := make([]float64, n-1)
	for i := range secants {
		if dx := p[i+1][0] - p[i][0]; dx > 0 {
			secants[i] = (p[i+1][1] - p[i][1]) / dx
		}
	}
	out := make([]float64, n)
	out[0], out[n-1] = secants[0], secants[n-2]
	for i := 1; i < n-1; i++ {
		if secants[i-1]*secants[i] > 0 {
			out[i] = (secants[i-1] + secants[i]) / 2
		}
	}
	for i, s := range secants {
		if s == 0 {
			out[i], out[i+1] = 0, 0
			continue
		}
		a, b := out[i]/s, out[i+1]/s
		if sum := a*a + b*b; sum > 9 {
			tau := 3 / math.Sqrt(sum)
			out[i], out[i+1] = tau*a*s, tau*b*s
		}
	}
	return out
}
