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
	graph.Register[EmptyLatentImage](graph.Meta{
		Name: "EmptyLatentImage", Title: "Empty Latent Image", Category: "latent",
		Description: "An empty latent to start from: batch_size pictures of width by height pixels.",
	})
	graph.Register[VAEDecode](graph.Meta{
		Name: "VAEDecode", Title: "VAE Decode", Category: "latent",
		Description: "Turns latents into pictures.",
	})
	graph.Register[VAEEncode](graph.Meta{
		Name: "VAEEncode", Title: "VAE Encode", Category: "latent",
		Description: "Turns pictures into latents, for instance to repaint them. Sides are cut to a multiple of 8 pixels.",
	})
	graph.Register[LatentUpscale](graph.Meta{
		Name: "LatentUpscale", Title: "Upscale Latent", Category: "latent",
		Description: "Resizes latents; width and height are in pixels. With one of them 0 the picture keeps its shape, with both nothing happens.",
	})
}

// EmptyLatentImage makes latents of zeros, four channels, an eighth of the picture's size.
type EmptyLatentImage struct {
	Width     int `default:"512" min:"16" max:"16384" step:"8"`
	Height    int `default:"512" min:"16" max:"16384" step:"8"`
	BatchSize int `default:"1" min:"1" max:"4096"`
}

// Run returns zeros [batch_size, 4, height/8, width/8].
func (n EmptyLatentImage) Run(*graph.Call) (types.Latent, error) {
	h, w := n.Height/8, n.Width/8
	if n.BatchSize > picture.MaxValues/(4*h*w) {
		return types.Latent{}, &graph.Error{
			Kind: graph.KindTooBig, Input: "batch_size",
			Need: fmt.Sprintf("at most %d at this size (8 GiB)", picture.MaxValues/(4*h*w)), Have: fmt.Sprint(n.BatchSize), Hint: "choose a smaller batch or picture",
		}
	}
	return types.Latent{Samples: types.NewTensor(n.BatchSize, 4, h, w)}, nil
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
	shape := n.Samples.Samples.Shape
	if len(shape) < 4 {
		return types.Latent{}, &graph.Error{Kind: graph.KindCustom, Input: "samples", Need: "a latent of at least 4 axes", Have: fmt.Sprint(shape)}
	}
	w, h := shape[len(shape)-1], shape[len(shape)-2]
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
