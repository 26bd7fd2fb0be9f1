package image

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"graphrun/graph"
	"graphrun/types"
)

const glow = `#version 300 es
#pragma passes 2
precision highp float;
uniform sampler2D u_image0, u_image1, u_curve0;
uniform vec2 u_resolution;
uniform float u_float0;
uniform int u_int0, u_pass;
uniform bool u_bool0;
in vec2 v_texCoord;
layout(location = 0) out vec4 fragColor0;
layout(location = 1) out vec4 fragColor1;
void main() {
    vec4 sum = vec4(0.0);
    for (int i = -u_int0; i <= u_int0; i++) {
        vec2 step = u_pass == 0 ? vec2(1.0, 0.0) : vec2(0.0, 1.0);
        sum += texture(u_image0, v_texCoord + step * float(i) / u_resolution);
    }
    fragColor0 = sum / float(2 * u_int0 + 1);
    fragColor1 = vec4(texture(u_curve0, vec2(texture(u_image1, v_texCoord).r, 0.5)).r, u_float0, u_bool0, u_pass);
}
`

// A box blur of two passes against the obvious sums, and every kind of uniform, through a prompt's names.
func TestGLSLShader(t *testing.T) {
	env, _ := folders(t)
	call := &graph.Call{Context: t.Context(), Env: env}
	img, second := ramp(2, 12, 9, 3), ramp(1, 12, 9, 1)
	n := GLSLShader{
		FragmentShader: glow,
		Images:         graph.Autogrow[types.Image]{{Name: "image0", Value: img}, {Name: "image1", Value: second}},
		Floats:         graph.Autogrow[float64]{{Name: "u_float0", Value: 0.25}},
		Ints:           graph.Autogrow[int]{{Name: "u_int0", Value: 2}},
		Bools:          graph.Autogrow[bool]{{Name: "u_bool0", Value: true}},
		Curves:         graph.Autogrow[curve]{{Name: "u_curve0", Value: curve{Points: [][2]float64{{0, 1}, {1, 0}}, Interpolation: "linear"}}},
	}
	n.SizeMode.Key = "from_input"
	out, err := n.Run(call)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(out.Image0.Shape, []int{2, 12, 9, 4}) || len(out.UI["images"]) != 2 {
		t.Fatalf("%v %v", out.Image0.Shape, out.UI)
	}
	for i := range 2 {
		for y := range 12 {
			for x := range 9 {
				var sum float64
				for dy := -2; dy <= 2; dy++ {
					for dx := -2; dx <= 2; dx++ {
						sum += float64(img.Item(i).Data[(min(max(y+dy, 0), 11)*9+min(max(x+dx, 0), 8))*3+1]) / 25
					}
				}
				if got := float64(out.Image0.Item(i).Data[(y*9+x)*4+1]); math.Abs(got-sum) > 1e-5 {
					t.Fatalf("picture %d at %d, %d: %v, want %v", i, x, y, got, sum)
				}
			}
		}
	}
	near(t, "uniforms", out.Image1.Data[:4], []float32{1 - second.Data[0], 0.25, 1, 1}, 2e-3)
	near(t, "no third output", out.Image2.Data, make([]float32, 2*12*9*4), 0)

	n.SizeMode.Key, n.SizeMode.Custom.Width, n.SizeMode.Custom.Height = "custom", 4, 3
	if out, err = n.Run(call); err != nil || !slices.Equal(out.Image3.Shape, []int{2, 3, 4, 4}) {
		t.Errorf("custom size: %v %v", out.Image3.Shape, err)
	}
	var e *graph.Error
	n.FragmentShader = "void main() { nothing; }"
	if _, err := n.Run(call); !errors.As(err, &e) || e.Input != "fragment_shader" || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("bad shader: %v", err)
	}
}

func TestGLSLShaderInPrompt(t *testing.T) {
	env, _ := folders(t)
	shader, _ := json.Marshal("out vec4 fragColor0; in vec2 v_texCoord; uniform sampler2D u_image0; uniform float u_float3; void main() { fragColor0 = texture(u_image0, v_texCoord) * u_float3; }")
	res, err := run(t, env, `{"1":{"class_type":"LoadImage","inputs":{"image":"a.png"}},"2":{"class_type":"GLSLShader","inputs":{"fragment_shader":`+string(shader)+`,"size_mode":"from_input","images.image0":["1",0],"floats.u_float3":0.5}},
"3":{"class_type":"PreviewImage","inputs":{"images":["2",0]}}}`, nil)
	if err != nil {
		t.Fatal(err)
	}
	in, out := res.Values("1", 0)[0].(types.Image), res.Values("2", 0)[0].(types.Image)
	if d := out.Data[19*4] - in.Data[19*3]/2; d > 1e-6 || d < -1e-6 || len(res.UI["2"]["images"]) != 1 {
		t.Errorf("off by %v; shown %v", d, res.UI["2"])
	}
}

func TestCurve(t *testing.T) {
	v := curve{Points: [][2]float64{{0.2, 0}, {0.4, 0.1}, {0.6, 0.9}, {0.8, 0.9}}, Interpolation: "monotone_cubic"}
	last := -1.
	for x := 0.; x <= 1; x += 1. / 512 {
		y := v.at(x)
		if y < last-1e-12 || y > 0.9+1e-12 {
			t.Fatalf("at %v: %v after %v", x, y, last)
		}
		last = y
	}
	for _, p := range v.Points {
		if y := v.at(p[0]); math.Abs(y-p[1]) > 1e-12 {
			t.Errorf("at %v: %v, want %v", p[0], y, p[1])
		}
	}
	if y := (curve{Points: [][2]float64{{0, 0}, {1, 1}}}).at(0.3); math.Abs(y-0.3) > 1e-12 {
		t.Errorf("the straight line: %v", y)
	}
	if y := (curve{Points: [][2]float64{{0.5, 0.7}}}).at(0.3); y != 0.7 {
		t.Errorf("one point: %v", y)
	}
	if y := (curve{Points: [][2]float64{{0.5, 0.1}, {0.5, 0.7}}}).at(0.6); y != 0.7 {
		t.Errorf("a step: %v", y)
	}
}

func BenchmarkGLSLShader(b *testing.B) {
	env := graph.NewEnv()
	call := &graph.Call{Context: b.Context(), Env: env}
	n := GLSLShader{FragmentShader: glow, Images: graph.Autogrow[types.Image]{{Name: "image0", Value: ramp(1, 512, 512, 3)}}, Ints: graph.Autogrow[int]{{Name: "u_int0", Value: 8}}}
	n.SizeMode.Key = "from_input"
	for b.Loop() {
		if _, err := n.Run(call); err != nil && !strings.Contains(err.Error(), "hub.Folders") {
			b.Fatal(err)
		}
	}
}
