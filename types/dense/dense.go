// Package dense gives the pictures, masks and latents of package types as *tensor.Dense of gorgonia.org/tensor, and back,
// without copying: both sides see each other's writes. It is a package of its own because linking gorgonia's tensors costs
// every program that does (DEPENDENCIES.md has the figures), and the graphrun command does not need them.
package dense

import (
	"fmt"

	"gorgonia.org/tensor"

	"graphrun/types"
)

// Of returns a view of t, float32, row-major, with t's shape. A tensor without axes becomes a scalar, which is a copy.
func Of(t types.Tensor) *tensor.Dense {
	if len(t.Shape) == 0 {
		return tensor.New(tensor.FromScalar(t.Data[0]))
	}
	return tensor.New(tensor.WithShape(t.Shape...), tensor.WithBacking(t.Data))
}

// Tensor returns a view of d, which must be float32, row-major and contiguous: clone a slice or transposed view first.
func Tensor(d *tensor.Dense) (types.Tensor, error) {
	data, ok := d.Data().([]float32)
	if d.Dtype() != tensor.Float32 {
		return types.Tensor{}, fmt.Errorf("dense tensor: need float32, have %v: convert it first", d.Dtype())
	}
	shape := append([]int(nil), d.Shape()...)
	if !ok { // gorgonia gives a scalar's value, not its memory
		return types.Tensor{Shape: shape, Data: []float32{d.ScalarValue().(float32)}}, nil
	}
	order := d.DataOrder()
	if order.IsColMajor() || order.IsNotContiguous() || d.RequiresIterator() || len(data) != types.Elements(shape) {
		return types.Tensor{}, fmt.Errorf("dense tensor: need contiguous rows, have %v with strides %v: take d.Materialize() first", shape, d.Strides())
	}
	return types.Tensor{Shape: shape, Data: data}, nil
}

// Image views d, [batch, height, width, 3 or 4], values 0..1, as pictures.
func Image(d *tensor.Dense) (types.Image, error) {
	t, err := Tensor(d)
	if err != nil {
		return types.Image{}, err
	}
	if err := t.Check("picture", 4); err != nil {
		return types.Image{}, err
	}
	if c := t.Shape[3]; c != 3 && c != 4 {
		return types.Image{}, fmt.Errorf("picture: need [batch, height, width, 3 or 4], have %v", t.Shape)
	}
	return types.Image{Tensor: t}, nil
}

// Mask views d, [batch, height, width], values 0..1, as masks.
func Mask(d *tensor.Dense) (types.Mask, error) {
	t, err := Tensor(d)
	if err != nil {
		return types.Mask{}, err
	}
	return types.Mask{Tensor: t}, t.Check("mask", 3)
}

// Latent views d, [batch, channels, height, width] in the VAE's scale, as latents.
func Latent(d *tensor.Dense) (types.Latent, error) {
	t, err := Tensor(d)
	if err != nil {
		return types.Latent{}, err
	}
	return types.Latent{Samples: t}, t.Check("latent", 4)
}
