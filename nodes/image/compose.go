package image

import (
	"graphrun/graph"
	"graphrun/runtime/picture"
	"graphrun/types"
)

func init() {
	graph.Register[ImageCompositeMasked](graph.Meta{
		Name: "ImageCompositeMasked", Category: "image", Module: "comfy_extras.nodes_mask",
		Description: "Lays source over destination with its left upper corner at x, y, through a mask if there is one (1 shows the source).",
	})
}

// ImageCompositeMasked lays one picture over another.
type ImageCompositeMasked struct {
	Destination  types.Image
	Source       types.Image
	X            int  `default:"0" min:"0" max:"16384" step:"1"`
	Y            int  `default:"0" min:"0" max:"16384" step:"1"`
	ResizeSource bool `default:"false"`
	Mask         *types.Mask
}

// Run keeps the destination's channels: the source loses its alpha, or gets an opaque one.
func (n ImageCompositeMasked) Run(c *graph.Call) (types.Image, error) {
	if err := check("destination", n.Destination); err != nil {
		return types.Image{}, err
	}
	if err := check("source", n.Source); err != nil {
		return types.Image{}, err
	}
	var mask types.Mask
	if n.Mask != nil {
		mask = *n.Mask
		if err := mask.Check("the mask", 3); err != nil {
			return types.Image{}, failed("mask", err)
		}
	}
	if n.ResizeSource {
		var err error
		if n.Source, err = picture.ResizeImage(c, n.Source, n.Destination.Shape[2], n.Destination.Shape[1], picture.Bilinear, picture.CropDisabled); err != nil {
			return types.Image{}, err
		}
	}
	return picture.Compose(c, n.Destination, n.Source, mask, n.X, n.Y)
}
