package image

import (
	"context"
	"math"

	"graphrun/graph"
	"graphrun/runtime/picture"
	"graphrun/types"
)

func init() {
	graph.Register[ImageScaleBy](graph.Meta{
		Name: "ImageScaleBy", Title: "Upscale Image By", Category: "image/upscaling",
		Description: "Resizes pictures by a factor.",
	})
	graph.Register[ImageScaleToMaxDimension](graph.Meta{
		Name: "ImageScaleToMaxDimension", Category: "image/upscaling", Module: "comfy_extras.nodes_images",
		Description: "Resizes pictures so that the longer side has the given number of pixels. The shape stays.",
	})
	graph.Register[ImageScaleToTotalPixels](graph.Meta{
		Name: "ImageScaleToTotalPixels", Title: "Scale Image to Total Pixels", Category: "image/upscaling", Module: "comfy_extras.nodes_post_processing",
		NewStyle:    true,
		Description: "Resizes pictures to about so many megapixels of 1024 by 1024. The shape stays; both sides are multiples of resolution_steps.",
	})
	graph.Register[ResizeAndPadImage](graph.Meta{
		Name: "ResizeAndPadImage", Category: "image/transform", Module: "comfy_extras.nodes_images",
		Description: "Resizes pictures to fit a size without changing their shape, and fills what is left over on both sides with a colour.",
	})
}

// follow gives a side of 0 the pixels that keep the shape of w by h, at least one. Both may not be 0.
func follow(w, h float64, toW, toH int) (int, int) {
	if toW == 0 {
		toW = max(1, int(math.RoundToEven(w*float64(toH)/h)))
	} else if toH == 0 {
		toH = max(1, int(math.RoundToEven(h*float64(toW)/w)))
	}
	return toW, toH
}

// edge gives the longer or the shorter side the pixels, the other those that keep the shape of w by h; a square stays one.
func edge(w, h float64, longer bool, to int) (toW, toH int) {
	toW, toH = to, to
	if w != h && (w > h) == longer {
		toH = int(math.RoundToEven(h / w * float64(to)))
	} else if w != h {
		toW = int(math.RoundToEven(w / h * float64(to)))
	}
	return toW, toH
}

// toArea is the factor that makes so many megapixels, of 1024 by 1024, of w by h.
func toArea(w, h, megapixels float64) float64 {
	return math.Sqrt(math.Trunc(megapixels*1024*1024) / (w * h))
}

// resized stretches pictures; a side below 1 is an error that names the input that made it so.
func resized(ctx context.Context, img types.Image, w, h float64, m picture.Method, input string) (types.Image, error) {
	if err := check("image", img); err != nil {
		return types.Image{}, err
	}
	if !(w >= 1 && h >= 1 && w <= picture.MaxValues && h <= picture.MaxValues) {
		return types.Image{}, wrong(input, "a size of at least one pixel each way", "%gx%g", w, h)
	}
	out, err := picture.ResizeImage(ctx, img, int(w), int(h), m, picture.CropDisabled)
	if err != nil {
		return types.Image{}, failed(input, err)
	}
	return out, nil
}

// ImageScaleBy resizes by a factor.
type ImageScaleBy struct {
	Image         types.Image
	UpscaleMethod imageMethod
	ScaleBy       float64 `default:"1.0" min:"0.01" max:"8.0" step:"0.01"`
}

// Run rounds both sides, a half to even.
func (n ImageScaleBy) Run(c *graph.Call) (types.Image, error) {
	h, w := size(n.Image)
	return resized(c, n.Image, math.RoundToEven(w*n.ScaleBy), math.RoundToEven(h*n.ScaleBy), picture.Method(n.UpscaleMethod), "scale_by")
}

type maxDimensionMethod string

// Options lists the filters in ComfyUI's order, which has one of them twice.
func (maxDimensionMethod) Options() []string {
	return []string{"area", "lanczos", "bilinear", "nearest-exact", "bilinear", "bicubic"}
}

// ImageScaleToMaxDimension resizes by the longer side.
type ImageScaleToMaxDimension struct {
	Image         types.Image
	UpscaleMethod maxDimensionMethod
	LargestSize   int `default:"512" min:"0" max:"16384" step:"1"`
}

// Run gives the longer side the size, rounds the other, and makes a square of a square.
func (n ImageScaleToMaxDimension) Run(c *graph.Call) (types.Image, error) {
	h, w := size(n.Image)
	toW, toH := edge(w, h, true, n.LargestSize)
	return resized(c, n.Image, float64(toW), float64(toH), picture.Method(n.UpscaleMethod), "largest_size")
}

// ImageScaleToTotalPixels resizes by area.
type ImageScaleToTotalPixels struct {
	Image           types.Image
	UpscaleMethod   imageMethod
	Megapixels      float64 `default:"1.0" min:"0.01" max:"16.0" step:"0.01"`
	ResolutionSteps int     `advanced:"true" default:"1" min:"1" max:"256" later:"true"`
}

// Run rounds both sides to multiples of ResolutionSteps.
func (n ImageScaleToTotalPixels) Run(c *graph.Call) (types.Image, error) {
	h, w := size(n.Image)
	by, step := toArea(w, h, n.Megapixels), float64(max(n.ResolutionSteps, 1))
	to := func(side float64) float64 { return math.RoundToEven(side*by/step) * step }
	return resized(c, n.Image, to(w), to(h), picture.Method(n.UpscaleMethod), "megapixels")
}

type paddingColour string

// Options lists ComfyUI's two colours.
func (paddingColour) Options() []string { return []string{"white", "black"} }

type padMethod string

// Options lists the filters in the order of this node.
func (padMethod) Options() []string {
	return []string{"area", "bicubic", "nearest-exact", "bilinear", "lanczos"}
}

// ResizeAndPadImage fits pictures into a size.
type ResizeAndPadImage struct {
	Image         types.Image
	TargetWidth   int `default:"512" min:"1" max:"16384" step:"1"`
	TargetHeight  int `default:"512" min:"1" max:"16384" step:"1"`
	PaddingColor  paddingColour
	Interpolation padMethod
}

// Run cuts fractions of a pixel off the resized picture and centres it; alpha is padded with the colour too.
func (n ResizeAndPadImage) Run(c *graph.Call) (types.Image, error) {
	h, w := size(n.Image)
	by := min(float64(n.TargetWidth)/w, float64(n.TargetHeight)/h)
	in, err := resized(c, n.Image, math.Trunc(w*by), math.Trunc(h*by), picture.Method(n.Interpolation), "target_width")
	if err != nil {
		return types.Image{}, err
	}
	value := float32(0)
	if n.PaddingColor == "white" {
		value = 1
	}
	out, err := picture.Fill(in.Shape[0], n.TargetHeight, n.TargetWidth, in.Shape[3], value, value, value, value)
	if err != nil {
		return types.Image{}, failed("target_width", err)
	}
	picture.Paste(out, in, (n.TargetWidth-in.Shape[2])/2, (n.TargetHeight-in.Shape[1])/2)
	return out, nil
}
