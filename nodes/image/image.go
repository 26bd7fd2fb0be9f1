// Package image has the nodes that load, save and change pictures.
package image

import (
	"graphrun/graph"
	"graphrun/runtime/picture"
	"graphrun/types"
)

func init() {
	graph.Register[ImageScale](graph.Meta{
		Name: "ImageScale", Title: "Upscale Image", Category: "image/upscaling",
		Description: "Resizes pictures to width by height pixels. With one of them 0 the picture keeps its shape, with both nothing happens.",
	})
	graph.Register[ImageInvert](graph.Meta{
		Name: "ImageInvert", Title: "Invert Image", Category: "image",
		Description: "Makes the negative: every value becomes 1 minus itself.",
	})
}

type imageMethod string

// Options lists the filters in ComfyUI's order.
func (imageMethod) Options() []string {
	return []string{"nearest-exact", "bilinear", "area", "bicubic", "lanczos"}
}

type crop string

// Options lists ComfyUI's two ways.
func (crop) Options() []string { return []string{"disabled", "center"} }

// ImageScale resizes pictures.
type ImageScale struct {
	Image         types.Image
	UpscaleMethod imageMethod
	Width         int `default:"512" min:"0" max:"16384" step:"1"`
	Height        int `default:"512" min:"0" max:"16384" step:"1"`
	Crop          crop
}

// Run resizes; values that bicubic throws beyond 0..1 stay (numerics.md 9).
func (n ImageScale) Run(c *graph.Call) (types.Image, error) {
	if err := check("image", n.Image); err != nil || n.Width == 0 && n.Height == 0 {
		return n.Image, err
	}
	h, w := size(n.Image)
	width, height := follow(w, h, n.Width, n.Height)
	return picture.ResizeImage(c, n.Image, width, height, picture.Method(n.UpscaleMethod), picture.Crop(n.Crop))
}

// ImageInvert makes negatives.
type ImageInvert struct {
	Image types.Image
}

// Run returns 1 - image, alpha too.
func (n ImageInvert) Run(*graph.Call) (types.Image, error) {
	if err := check("image", n.Image); err != nil {
		return types.Image{}, err
	}
	out := n.Image.Clone()
	for i, v := range out.Data {
		out.Data[i] = 1 - v
	}
	return types.Image{Tensor: out}, nil
}
