package latent

import (
	"fmt"
	"slices"
	"strings"

	"graphrun/graph"
	"graphrun/runtime/picture"
	"graphrun/types"
)

func init() {
	graph.Register[LatentCrop](graph.Meta{
		Name: "LatentCrop", Title: "Crop Latent", Category: "latent/transform",
		Description: "Cuts width by height pixels out of latents, at x, y.",
	})
	graph.Register[LatentFlip](graph.Meta{
		Name: "LatentFlip", Title: "Flip Latent", Category: "latent/transform",
		Description: "Mirrors latents.",
	})
	graph.Register[LatentRotate](graph.Meta{
		Name: "LatentRotate", Title: "Rotate Latent", Category: "latent/transform",
		Description: "Turns latents clockwise.",
	})
	graph.Register[LatentConcat](graph.Meta{
		Name: "LatentConcat", Category: "latent/advanced", Module: "comfy_extras.nodes_latent", NewStyle: true,
		Description: "Puts two latents side by side (x), one below the other (y) or after each other (t, frames); with a minus the second comes first.",
	})
	graph.Register[LatentCut](graph.Meta{
		Name: "LatentCut", Category: "latent/advanced", Module: "comfy_extras.nodes_latent", NewStyle: true,
		Description: "Cuts amount cells, or frames, out of latents along x, y or t, from index on; a negative index counts from the end.",
	})
}

// LatentCrop cuts a rectangle out.
type LatentCrop struct {
	Samples types.Latent
	Width   int `default:"512" min:"64" max:"16384" step:"8"`
	Height  int `default:"512" min:"64" max:"16384" step:"8"`
	X       int `default:"0" min:"0" max:"16384" step:"8"`
	Y       int `default:"0" min:"0" max:"16384" step:"8"`
}

// Run cuts what is inside; x and y are drawn back so that at least 8 cells are.
func (n LatentCrop) Run(*graph.Call) (types.Latent, error) {
	h, w, err := plane("samples", n.Samples.Samples)
	if err != nil {
		return types.Latent{}, err
	}
	x, y := max(0, min(n.X/8, w-8)), max(0, min(n.Y/8, h-8))
	t := cut(n.Samples.Samples, len(n.Samples.Samples.Shape)-2, y, min(n.Height/8, h-y))
	n.Samples.Samples = cut(t, len(t.Shape)-1, x, min(n.Width/8, w-x))
	return n.Samples, nil
}

// cut takes n entries of an axis from the first one on.
func cut(t types.Tensor, axis, first, n int) types.Tensor {
	have, inner := t.Shape[axis], types.Elements(t.Shape[axis+1:])
	out := types.Tensor{Shape: slices.Clone(t.Shape), Data: make([]float32, 0, len(t.Data)/have*n)}
	out.Shape[axis] = n
	for o := range len(t.Data) / (have * inner) {
		out.Data = append(out.Data, t.Data[(o*have+first)*inner:][:n*inner]...)
	}
	return out
}

type flipMethod string

// Options lists ComfyUI's two ways.
func (flipMethod) Options() []string { return []string{"x-axis: vertically", "y-axis: horizontally"} }

// LatentFlip mirrors latents.
type LatentFlip struct {
	Samples    types.Latent
	FlipMethod flipMethod
}

// Run turns rows upside down, or columns left to right.
func (n LatentFlip) Run(*graph.Call) (types.Latent, error) {
	if _, _, err := plane("samples", n.Samples.Samples); err != nil {
		return types.Latent{}, err
	}
	flipX := strings.HasPrefix(string(n.FlipMethod), "y")
	n.Samples.Samples = arrange(n.Samples.Samples, false, flipX, !flipX)
	return n.Samples, nil
}

type rotation string

// Options lists the angles.
func (rotation) Options() []string {
	return []string{"none", "90 degrees", "180 degrees", "270 degrees"}
}

// LatentRotate turns latents.
type LatentRotate struct {
	Samples  types.Latent
	Rotation rotation
}

// Run turns clockwise.
func (n LatentRotate) Run(*graph.Call) (types.Latent, error) {
	if _, _, err := plane("samples", n.Samples.Samples); err != nil {
		return types.Latent{}, err
	}
	t := n.Samples.Samples
	switch n.Rotation {
	case "90 degrees":
		t = arrange(t, true, true, false)
	case "180 degrees":
		t = arrange(t, false, true, true)
	case "270 degrees":
		t = arrange(t, true, false, true)
	}
	n.Samples.Samples = t
	return n.Samples, nil
}

// arrange swaps the last two axes if asked to, then turns x, y or both around.
func arrange(t types.Tensor, swap, flipX, flipY bool) types.Tensor {
	axes := len(t.Shape)
	h, w := t.Shape[axes-2], t.Shape[axes-1]
	out := types.Tensor{Shape: slices.Clone(t.Shape), Data: make([]float32, len(t.Data))}
	oh, ow := h, w
	if swap {
		oh, ow = w, h
		out.Shape[axes-2], out.Shape[axes-1] = oh, ow
	}
	for at := 0; at < len(t.Data); at += h * w {
		for y := range oh {
			for x := range ow {
				sx, sy := x, y
				if flipX {
					sx = ow - 1 - x
				}
				if flipY {
					sy = oh - 1 - y
				}
				if swap {
					sx, sy = sy, sx
				}
				out.Data[at+y*ow+x] = t.Data[at+sy*w+sx]
			}
		}
	}
	return out
}

type concatDim string

// Options lists the axes, and after a minus with the second latent first.
func (concatDim) Options() []string { return []string{"x", "-x", "y", "-y", "t", "-t"} }

// LatentConcat puts latents beside each other.
type LatentConcat struct {
	Samples1, Samples2 types.Latent
	Dim                concatDim `multiselect:"false"`
}

// Run joins along the last axis (x), the one before (y) or the third from the end (t: frames, or channels of pictures).
// The second latent is repeated to the batch of the first.
func (n LatentConcat) Run(*graph.Call) (types.Latent, error) {
	a, b := n.Samples1.Samples, n.Samples2.Samples
	dim, second := strings.CutPrefix(string(n.Dim), "-")
	axis, err := axisOf("samples1", dim, a)
	if err != nil {
		return types.Latent{}, err
	}
	if len(b.Shape) != len(a.Shape) || b.Check("samples2", len(a.Shape)) != nil {
		return types.Latent{}, refuse("samples2", fmt.Sprintf("a latent of %d axes as the first one", len(a.Shape)), b.Shape)
	}
	b = picture.Repeat(b, a.Shape[0])
	if second {
		a, b = b, a
	}
	n.Samples1.Samples, err = join(axis, a, b)
	return n.Samples1, err
}

// axisOf is the axis named x, y or t, counted from the end.
func axisOf(input, dim string, t types.Tensor) (int, error) {
	axis := len(t.Shape) - 1 - strings.Index("xyt", dim)
	if axis < 1 || t.Check(input, len(t.Shape)) != nil {
		return 0, refuse(input, "a latent that has an axis "+dim, t.Shape)
	}
	return axis, nil
}

// join puts tensors after each other along an axis; their other axes must be equal.
func join(axis int, list ...types.Tensor) (types.Tensor, error) {
	out := types.Tensor{Shape: slices.Clone(list[0].Shape)}
	outer, total := types.Elements(out.Shape[:axis]), 0
	out.Shape[axis] = 0
	for _, t := range list {
		shape := slices.Clone(t.Shape)
		if axis < len(shape) {
			shape[axis] = list[0].Shape[axis]
		}
		if !slices.Equal(shape, list[0].Shape) {
			return types.Tensor{}, fmt.Errorf("cannot join latents of shapes %v and %v along axis %d: the other axes must be equal", list[0].Shape, t.Shape, axis)
		}
		out.Shape[axis] += t.Shape[axis]
		total += len(t.Data)
	}
	out.Data = make([]float32, 0, total)
	for o := range outer {
		for _, t := range list {
			size := len(t.Data) / outer
			out.Data = append(out.Data, t.Data[o*size:][:size]...)
		}
	}
	return out, nil
}

type cutDim string

// Options lists the axes.
func (cutDim) Options() []string { return []string{"x", "y", "t"} }

// LatentCut takes a part along one axis.
type LatentCut struct {
	Samples types.Latent
	Dim     cutDim `multiselect:"false"`
	Index   int    `default:"0" min:"-16384" max:"16384" step:"1"`
	Amount  int    `default:"1" min:"1" max:"16384" step:"1"`
}

// Run cuts what is inside; an index beyond the ends counts as the end.
func (n LatentCut) Run(*graph.Call) (types.Latent, error) {
	t := n.Samples.Samples
	axis, err := axisOf("samples", string(n.Dim), t)
	if err != nil {
		return types.Latent{}, err
	}
	size := t.Shape[axis]
	first := min(n.Index, size-1)
	if first < 0 {
		first = max(0, first+size)
	}
	n.Samples.Samples = cut(t, axis, first, min(n.Amount, size-first))
	return n.Samples, nil
}
