// Package types holds what flows along the links of a graph: pictures, masks, latents and conditioning as plain
// values on the host, and the small interfaces (Denoiser, TextEncoder, Autoencoder) that the runtime implements and
// nodes call. A node never sees a device tensor. The package imports nothing of the project.
package types

import "fmt"

// Tensor is a dense float32 array on the host, row-major, contiguous: len(Data) is the product of Shape.
type Tensor struct {
	Shape []int
	Data  []float32
}

// NewTensor returns a zeroed tensor of the shape.
func NewTensor(shape ...int) Tensor {
	return Tensor{Shape: shape, Data: make([]float32, Elements(shape))}
}

// Elements is the product of the shape's sizes: 1 for an empty shape.
func Elements(shape []int) int {
	n := 1
	for _, s := range shape {
		n *= s
	}
	return n
}

// Clone returns a tensor of its own memory.
func (t Tensor) Clone() Tensor {
	return Tensor{Shape: append([]int(nil), t.Shape...), Data: append([]float32(nil), t.Data...)}
}

// Item returns element i of the first axis, sharing memory.
func (t Tensor) Item(i int) Tensor {
	n := len(t.Data) / t.Shape[0]
	return Tensor{Shape: t.Shape[1:], Data: t.Data[i*n : (i+1)*n]}
}

// Slice returns n elements of the first axis from the first one on, sharing memory.
func (t Tensor) Slice(first, n int) Tensor {
	size := len(t.Data) / t.Shape[0]
	return Tensor{Shape: append([]int{n}, t.Shape[1:]...), Data: t.Data[first*size : (first+n)*size]}
}

// Check reports a tensor whose rank is not the wanted one or whose data does not fit its shape.
func (t Tensor) Check(what string, rank int) error {
	if len(t.Shape) != rank {
		return fmt.Errorf("%s: need %d axes, have shape %v", what, rank, t.Shape)
	}
	if n := Elements(t.Shape); n != len(t.Data) || n == 0 {
		return fmt.Errorf("%s: shape %v needs %d values, have %d", what, t.Shape, n, len(t.Data))
	}
	return nil
}

// Image is a batch of pictures, [batch, height, width, channels], channels 3 (RGB) or 4 (RGBA), values in 0..1.
type Image struct{ Tensor }

// TypeName is ComfyUI's name of the link type.
func (Image) TypeName() string { return "IMAGE" }

// Mask is a batch of masks, [batch, height, width], values in 0..1.
type Mask struct{ Tensor }

// TypeName is ComfyUI's name of the link type.
func (Mask) TypeName() string { return "MASK" }

// Latent is what a VAE encodes to: Samples [batch, channels, height, width] in the VAE's own scale
// (a model's scale and shift are applied inside the sampler).
type Latent struct {
	Samples Tensor
	// NoiseMask, if not nil, is 1 where the sampler may change the latent: [n, height, width] in any size.
	NoiseMask *Mask
	// BatchIndex, if not nil, says which noise of the seed's sequence each batch element takes.
	BatchIndex []int
}

// TypeName is ComfyUI's name of the link type.
func (Latent) TypeName() string { return "LATENT" }

// Sigmas is a schedule: the noise levels between steps, usually falling, the last one 0.
type Sigmas []float32

// TypeName is ComfyUI's name of the link type.
func (Sigmas) TypeName() string { return "SIGMAS" }

// Conditioning is a list of prompts to follow together.
type Conditioning []Cond

// TypeName is ComfyUI's name of the link type.
func (Conditioning) TypeName() string { return "CONDITIONING" }

// Cond is one encoded prompt and where and when it counts.
type Cond struct {
	Tokens Tensor  // [1, tokens, width]
	Pooled *Tensor // [1, width], nil where the text encoder has none

	Strength     float64 // 0 means 1 unless HasStrength
	HasStrength  bool
	Area         *Area
	Mask         *Mask // [n, height, width], in any size
	MaskStrength float64
	MaskBounds   bool     // the mask's bounding box becomes the area
	Start, End   *float64 // share of the sampling, 0 (start) to 1 (end)
	Default      bool     // fills what the others leave
}

// Area is a rectangle of the latent: in cells, or in shares of the picture when Percent is set.
type Area struct {
	Height, Width, Y, X float64
	Percent             bool
}

// Model is a denoising network with its sampling parameters.
type Model struct{ Denoiser }

// TypeName is ComfyUI's name of the link type.
func (Model) TypeName() string { return "MODEL" }

// CLIP is a text encoder. LastLayer is 0 for the family's own choice, or -1, -2, ... counted from the last layer.
type CLIP struct {
	TextEncoder
	LastLayer int
}

// TypeName is ComfyUI's name of the link type.
func (CLIP) TypeName() string { return "CLIP" }

// VAE turns pictures into latents and back.
type VAE struct{ Autoencoder }

// TypeName is ComfyUI's name of the link type.
func (VAE) TypeName() string { return "VAE" }
