// Package latent has the nodes that make and change latents.
package latent

import (
	"fmt"
	"math"

	"graphrun/graph"
	"graphrun/nodes/bridge"
	"graphrun/runtime/picture"
	"graphrun/types"
)

func init() {
	graph.Register[VAEDecode](graph.Meta{
		Name: "VAEDecode", Title: "VAE Decode", Category: "latent", Uses: graph.Device,
		Description: "Turns latents into pictures.",
	})
	graph.Register[VAEEncode](graph.Meta{
		Name: "VAEEncode", Title: "VAE Encode", Category: "latent", Uses: graph.Device,
		Description: "Turns pictures into latents, for instance to repaint them. Sides are cut to a multiple of 8 pixels.",
	})
	graph.Register[LatentUpscale](graph.Meta{
		Name: "LatentUpscale", Title: "Upscale Latent", Category: "latent",
		Description: "Resizes latents; width and height are in pixels. With one of them 0 the picture keeps its shape, with both nothing happens.",
	})
	graph.Register[LatentUpscaleBy](graph.Meta{
		Name: "LatentUpscaleBy", Title: "Upscale Latent By", Category: "latent",
		Description: "Resizes latents by a factor.",
	})
}

// VAEDecode turns latents into pictures.
type VAEDecode struct {
	Samples types.Latent
	VAE     types.VAE
}

// Run decodes the whole batch.
func (n VAEDecode) Run(c *graph.Call) (types.Image, error) {
	if err := need(n.VAE); err != nil {
		return types.Image{}, err
	}
	return n.VAE.Decode(bridge.Progress(c), n.Samples.Samples)
}

// VAEEncode turns pictures into latents.
type VAEEncode struct {
	Pixels types.Image
	VAE    types.VAE
}

// Run encodes the colours; alpha is left out.
func (n VAEEncode) Run(c *graph.Call) (types.Latent, error) {
	if err := need(n.VAE); err != nil {
		return types.Latent{}, err
	}
	t, err := n.VAE.Encode(bridge.Progress(c), picture.RGB(n.Pixels))
	return types.Latent{Samples: t}, err
}

func need(v types.VAE) error {
	if v.Autoencoder != nil {
		return nil
	}
	return &graph.Error{
		Kind: graph.KindCustom, Input: "vae", Need: "an autoencoder", Have: "a checkpoint without one",
		Hint: "load a checkpoint that carries its VAE, or a diffusers folder",
	}
}

type latentMethod string

// Options lists the filters in ComfyUI's order.
func (latentMethod) Options() []string {
	return []string{"nearest-exact", "bilinear", "area", "bicubic", "bislerp"}
}

type crop string

// Options lists ComfyUI's two ways.
func (crop) Options() []string { return []string{"disabled", "center"} }

// LatentUpscale resizes latents.
type LatentUpscale struct {
	Samples       types.Latent
	UpscaleMethod latentMethod
	Width         int `default:"512" min:"0" max:"16384" step:"8"`
	Height        int `default:"512" min:"0" max:"16384" step:"8"`
	Crop          crop
}

// Run resizes to an eighth of width by height, which count as at least 64 (numerics.md 8).
func (n LatentUpscale) Run(c *graph.Call) (types.Latent, error) {
	if n.Width == 0 && n.Height == 0 {
		return n.Samples, nil
	}
	h, w, err := plane("samples", n.Samples.Samples)
	if err != nil {
		return types.Latent{}, err
	}
	if n.Width == 0 {
		n.Width = int(math.RoundToEven(float64(w) * float64(max(n.Height, 64)) / float64(h)))
	} else if n.Height == 0 {
		n.Height = int(math.RoundToEven(float64(h) * float64(max(n.Width, 64)) / float64(w)))
	}
	t, err := picture.ResizeLatent(c, n.Samples.Samples, max(n.Width, 64)/8, max(n.Height, 64)/8, picture.Method(n.UpscaleMethod), picture.Crop(n.Crop))
	if err != nil {
		return types.Latent{}, err
	}
	n.Samples.Samples = t
	return n.Samples, nil
}

// LatentUpscaleBy resizes latents by a factor.
type LatentUpscaleBy struct {
	Samples       types.Latent
	UpscaleMethod latentMethod
	ScaleBy       float64 `default:"1.5" min:"0.01" max:"8" step:"0.01"`
}

// Run rounds the sides to whole cells, halves to even.
func (n LatentUpscaleBy) Run(c *graph.Call) (types.Latent, error) {
	h, w, err := plane("samples", n.Samples.Samples)
	if err != nil {
		return types.Latent{}, err
	}
	width, height := int(math.RoundToEven(float64(w)*n.ScaleBy)), int(math.RoundToEven(float64(h)*n.ScaleBy))
	n.Samples.Samples, err = picture.ResizeLatent(c, n.Samples.Samples, width, height, picture.Method(n.UpscaleMethod), picture.CropDisabled)
	return n.Samples, err
}

// plane is the height and width of a latent in cells, which are its last two axes: videos have frames before them.
func plane(input string, t types.Tensor) (h, w int, err error) {
	n := len(t.Shape)
	if n < 4 || t.Check(input, n) != nil {
		return 0, 0, refuse(input, "a latent [batch, channels, height, width], or with frames before the height", t.Shape)
	}
	return t.Shape[n-2], t.Shape[n-1], nil
}

// check refuses a latent whose data do not fit its shape.
func check(input string, t types.Tensor) error {
	if t.Check(input, len(t.Shape)) != nil {
		return refuse(input, "a latent whose values fit its shape", fmt.Sprintf("%d values for %v", len(t.Data), t.Shape))
	}
	return nil
}

// refuse is the error for an input that the node cannot work on.
func refuse(input, need string, have any) error {
	return &graph.Error{Kind: graph.KindCustom, Input: input, Need: need, Have: fmt.Sprint(have)}
}
