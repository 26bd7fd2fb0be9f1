package latent

import (
	"context"
	"fmt"
	"math"
	"slices"

	"graphrun/graph"
	"graphrun/runtime/picture"
	"graphrun/types"
)

func init() {
	register := func(name, what string) graph.Meta {
		return graph.Meta{Name: name, Category: "latent/advanced", Module: "comfy_extras.nodes_latent", NewStyle: true, Description: what}
	}
	graph.Register[LatentAdd](register("LatentAdd", "Adds two latents. The second is resized to the first and repeated to its batch."))
	graph.Register[LatentSubtract](register("LatentSubtract", "Takes the second latent from the first. It is resized to the first and repeated to its batch."))
	graph.Register[LatentMultiply](register("LatentMultiply", "Multiplies a latent by a number."))
	graph.Register[LatentInterpolate](register("LatentInterpolate",
		"Mixes two latents, directions and lengths of each cell apart: ratio is the share of the first."))
	graph.Register[LatentBlend](graph.Meta{
		Name: "LatentBlend", Title: "Latent Blend", Category: "_for_testing",
		Description: "Mixes two latents: blend_factor is the share of the first. The second is resized to it.",
	})
}

// LatentAdd adds latents.
type LatentAdd struct{ Samples1, Samples2 types.Latent }

// Run returns the sum, with the mask and the batch index of the first.
func (n LatentAdd) Run(c *graph.Call) (types.Latent, error) {
	return combine(c, n.Samples1, n.Samples2, func(a, b float32) float32 { return a + b })
}

// LatentSubtract takes one latent from another.
type LatentSubtract struct{ Samples1, Samples2 types.Latent }

// Run returns the difference, with the mask and the batch index of the first.
func (n LatentSubtract) Run(c *graph.Call) (types.Latent, error) {
	return combine(c, n.Samples1, n.Samples2, func(a, b float32) float32 { return a - b })
}

func combine(ctx context.Context, a, b types.Latent, f func(a, b float32) float32) (types.Latent, error) {
	second, err := like(ctx, "samples2", a.Samples, b.Samples)
	if err != nil {
		return types.Latent{}, err
	}
	a.Samples = a.Samples.Clone()
	for i, v := range second.Data {
		a.Samples.Data[i] = f(a.Samples.Data[i], v)
	}
	return a, nil
}

// LatentMultiply multiplies by a number.
type LatentMultiply struct {
	Samples    types.Latent
	Multiplier float64 `default:"1" min:"-10" max:"10" step:"0.01"`
}

// Run returns the product.
func (n LatentMultiply) Run(*graph.Call) (types.Latent, error) {
	if err := check("samples", n.Samples.Samples); err != nil {
		return types.Latent{}, err
	}
	n.Samples.Samples = n.Samples.Samples.Clone()
	for i := range n.Samples.Samples.Data {
		n.Samples.Samples.Data[i] *= float32(n.Multiplier)
	}
	return n.Samples, nil
}

// LatentInterpolate mixes latents by direction and length.
type LatentInterpolate struct {
	Samples1, Samples2 types.Latent
	Ratio              float64 `default:"1" min:"0" max:"1" step:"0.01"`
}

// Run mixes the unit vectors over the channels of each cell, makes them unit vectors again, and gives them the mixed
// length; a cell of zeros has no direction (numerics.md 8). Every picture of a batch has lengths of its own.
func (n LatentInterpolate) Run(c *graph.Call) (types.Latent, error) {
	second, err := like(c, "samples2", n.Samples1.Samples, n.Samples2.Samples)
	if err != nil {
		return types.Latent{}, err
	}
	out := n.Samples1.Samples.Clone()
	n.Samples1.Samples = out
	channels := out.Shape[1]
	cells := types.Elements(out.Shape[2:])
	ratio := float32(n.Ratio)
	u, v := make([]float32, channels), make([]float32, channels)
	for b := range out.Shape[0] {
		for cell := range cells {
			at := func(k int) int { return (b*channels+k)*cells + cell }
			for k := range channels {
				u[k], v[k] = out.Data[at(k)], second.Data[at(k)]
			}
			length := direction(u)*ratio + direction(v)*(1-ratio)
			for k := range u {
				u[k] = u[k]*ratio + v[k]*(1-ratio)
			}
			direction(u)
			for k := range u {
				out.Data[at(k)] = u[k] * length
			}
		}
	}
	return n.Samples1, nil
}

// direction makes v a unit vector, or leaves it zero, and returns its length.
func direction(v []float32) float32 {
	var sum float64
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	length := float32(math.Sqrt(sum))
	if length != 0 {
		for k := range v {
			v[k] /= length
		}
	}
	return length
}

// LatentBlend mixes latents.
type LatentBlend struct {
	Samples1, Samples2 types.Latent
	BlendFactor        float64 `default:"0.5" min:"0" max:"1" step:"0.01"`
}

// Run returns samples1·f + samples2·(1-f); a second latent of another size is resized bicubically and cropped.
func (n LatentBlend) Run(c *graph.Call) (types.Latent, error) {
	a, b := n.Samples1.Samples, n.Samples2.Samples
	if !slices.Equal(a.Shape, b.Shape) {
		var err error
		if b, err = fit(c, "samples2", a, b, picture.Bicubic); err != nil {
			return types.Latent{}, err
		}
		switch {
		case a.Shape[0] == 1:
			a = picture.Repeat(a, b.Shape[0])
		case b.Shape[0] == 1:
			b = picture.Repeat(b, a.Shape[0])
		case a.Shape[0] != b.Shape[0]:
			return types.Latent{}, refuse("samples2", fmt.Sprintf("a batch of 1 or %d", a.Shape[0]), b.Shape[0])
		}
	}
	out, f := a.Clone(), float32(n.BlendFactor)
	for i, v := range b.Data {
		out.Data[i] = out.Data[i]*f + v*float32(1-n.BlendFactor)
	}
	n.Samples1.Samples = out
	return n.Samples1, nil
}

// like gives t the shape of the first latent: its size (bilinear, the longer sides cut) and its batch, repeated or cut.
func like(ctx context.Context, input string, first, t types.Tensor) (types.Tensor, error) {
	t, err := fit(ctx, input, first, t, picture.Bilinear)
	if err != nil {
		return types.Tensor{}, err
	}
	return picture.Repeat(t, first.Shape[0]), nil
}

// fit resizes t to the height and width of the first latent. Other axes than these and the batch must be equal.
func fit(ctx context.Context, input string, first, t types.Tensor, m picture.Method) (types.Tensor, error) {
	n := len(first.Shape)
	if err := check("", first); err != nil {
		return types.Tensor{}, err
	}
	if n < 2 || t.Check(input, n) != nil {
		return types.Tensor{}, refuse(input, fmt.Sprintf("a latent of %d axes as the first one, at least 2", n), t.Shape)
	}
	if slices.Equal(t.Shape[1:], first.Shape[1:]) {
		return t, nil
	}
	if n < 4 || !slices.Equal(t.Shape[1:n-2], first.Shape[1:n-2]) {
		return types.Tensor{}, refuse(input, fmt.Sprintf("channels and frames as in %v", first.Shape), t.Shape)
	}
	return picture.ResizeLatent(ctx, t, first.Shape[n-1], first.Shape[n-2], m, picture.CropCenter)
}
