package image

import (
	"bytes"
	"fmt"
	"image/jpeg"

	"graphrun/graph"
	"graphrun/runtime/picture"
	"graphrun/runtime/sampling"
	"graphrun/types"
)

func init() {
	post := "comfy_extras.nodes_post_processing"
	graph.Register[ImageBlend](graph.Meta{
		Name: "ImageBlend", Category: "image/postprocessing", Module: post, NewStyle: true,
		Description: "Mixes the second picture into the first. It is resized to the first one's size, what is too long cut off evenly.",
	})
	graph.Register[ImageBlur](graph.Meta{
		Name: "ImageBlur", Category: "image/postprocessing", Module: post, NewStyle: true,
		Description: "Softens pictures with a Gaussian that reaches blur_radius pixels; sigma is in parts of that radius.",
	})
	graph.Register[ImageSharpen](graph.Meta{
		Name: "ImageSharpen", Category: "image/postprocessing", Module: post, NewStyle: true,
		Description: "Strengthens what a blur would take away.",
	})
	graph.Register[ImageQuantize](graph.Meta{
		Name: "ImageQuantize", Category: "image/postprocessing", Module: post, NewStyle: true,
		Description: "Reduces each picture to so many colours, with or without dither.",
	})
	graph.Register[Morphology](graph.Meta{
		Name: "Morphology", Title: "ImageMorphology", Category: "image/postprocessing", Module: "comfy_extras.nodes_morphology", NewStyle: true,
		Description: "Takes the smallest or largest value around each pixel, or combinations: open, close, gradient, and what open and close take away.",
	})
	graph.Register[Canny](graph.Meta{
		Name: "Canny", Category: "image/preprocessors", Module: "comfy_extras.nodes_canny", NewStyle: true,
		Description: "Finds edges: white lines on black. Strong ones start above high_threshold and go on above low_threshold.",
	})
	graph.Register[ImageRGBToYUV](graph.Meta{
		Name: "ImageRGBToYUV", Category: "image/batch", Module: "comfy_extras.nodes_morphology", NewStyle: true,
		Description: "Splits pictures into brightness and two colour differences around 0.5, each as a gray picture.",
	})
	graph.Register[ImageYUVToRGB](graph.Meta{
		Name: "ImageYUVToRGB", Category: "image/batch", Module: "comfy_extras.nodes_morphology", NewStyle: true,
		Description: "Puts brightness and colour differences together again.",
	})
	graph.Register[ImageAddNoise](graph.Meta{
		Name: "ImageAddNoise", Category: "image", Module: "comfy_extras.nodes_images", Description: "Adds normal noise of a seed to pictures.",
	})
	graph.Register[LTXVPreprocess](graph.Meta{
		Name: "LTXVPreprocess", Category: "image", Module: "comfy_extras.nodes_lt", NewStyle: true,
		Description: "Adds the artefacts of lossy compression, which LTX-Video expects in its first pictures; 0 adds none. " +
			"ComfyUI goes through H.264 for it, here it is JPEG of a like strength.",
	})
}

type blendMode string

// Options lists the modes in ComfyUI's order.
func (blendMode) Options() []string {
	return []string{"normal", "multiply", "screen", "overlay", "soft_light", "difference"}
}

// ImageBlend mixes two pictures.
type ImageBlend struct {
	Image1      types.Image `in:"image1"`
	Image2      types.Image `in:"image2"`
	BlendFactor float64     `default:"0.5" min:"0.0" max:"1.0" step:"0.01"`
	BlendMode   blendMode
}

// Run keeps the first one's channels: the second loses its alpha, or gets an opaque one.
func (n ImageBlend) Run(c *graph.Call) (types.Image, error) {
	if err := check("image1", n.Image1); err != nil {
		return types.Image{}, err
	}
	if err := check("image2", n.Image2); err != nil {
		return types.Image{}, err
	}
	a, b, err := alike(c, n.Image1, picture.Channels(n.Image2, n.Image1.Shape[3]), picture.Bicubic)
	if err != nil {
		return types.Image{}, err
	}
	out, err := picture.Blend(c, a, b, n.BlendFactor, string(n.BlendMode))
	if err != nil {
		return types.Image{}, failed("image2", err)
	}
	return out, nil
}

// ImageBlur softens pictures.
type ImageBlur struct {
	Image      types.Image
	BlurRadius int     `default:"1" min:"1" max:"31" step:"1"`
	Sigma      float64 `default:"1.0" min:"0.1" max:"10.0" step:"0.1"`
}

// Run blurs every channel.
func (n ImageBlur) Run(c *graph.Call) (types.Image, error) {
	if err := check("image", n.Image); err != nil || n.BlurRadius == 0 {
		return n.Image, err
	}
	return picture.Blur(c, n.Image, n.BlurRadius, n.Sigma)
}

// ImageSharpen sharpens pictures.
type ImageSharpen struct {
	Image         types.Image
	SharpenRadius int     `default:"1" min:"1" max:"31" step:"1"`
	Sigma         float64 `default:"1.0" min:"0.1" max:"10.0" step:"0.01"`
	Alpha         float64 `default:"1.0" min:"0.0" max:"5.0" step:"0.01"`
}

// Run clamps the result to 0..1.
func (n ImageSharpen) Run(c *graph.Call) (types.Image, error) {
	if err := check("image", n.Image); err != nil || n.SharpenRadius == 0 {
		return n.Image, err
	}
	return picture.Sharpen(c, n.Image, n.SharpenRadius, n.Sigma, n.Alpha)
}

type dither string

// Options lists the ways in ComfyUI's order.
func (dither) Options() []string {
	return []string{"none", "floyd-steinberg", "bayer-2", "bayer-4", "bayer-8", "bayer-16"}
}

// ImageQuantize reduces colours.
type ImageQuantize struct {
	Image  types.Image
	Colors int `default:"256" min:"1" max:"256" step:"1"`
	Dither dither
}

// Run gives each picture a palette of its own.
func (n ImageQuantize) Run(c *graph.Call) (types.Image, error) {
	if err := check("image", n.Image); err != nil {
		return types.Image{}, err
	}
	return picture.Quantize(c, n.Image, n.Colors, string(n.Dither))
}

type morphology string

// Options lists the operations in ComfyUI's order.
func (morphology) Options() []string {
	return []string{"erode", "dilate", "open", "close", "gradient", "bottom_hat", "top_hat"}
}

// Morphology compares each pixel with its surroundings.
type Morphology struct {
	Image      types.Image
	Operation  morphology
	KernelSize int `default:"3" min:"3" max:"999" step:"1"`
}

// Run works on every channel.
func (n Morphology) Run(c *graph.Call) (types.Image, error) {
	if err := check("image", n.Image); err != nil {
		return types.Image{}, err
	}
	return picture.Morphology(c, n.Image, string(n.Operation), max(n.KernelSize, 1))
}

// Canny finds edges.
type Canny struct {
	Image         types.Image
	LowThreshold  float64 `default:"0.4" min:"0.01" max:"0.99" step:"0.01"`
	HighThreshold float64 `default:"0.8" min:"0.01" max:"0.99" step:"0.01"`
}

// Run gives three equal channels of 0 and 1.
func (n Canny) Run(c *graph.Call) (types.Image, error) {
	if err := check("image", n.Image); err != nil {
		return types.Image{}, err
	}
	edges, err := picture.Canny(c, n.Image, n.LowThreshold, n.HighThreshold)
	if err != nil {
		return types.Image{}, failed("low_threshold", err)
	}
	return picture.Gray(edges), nil
}

// ImageRGBToYUV splits pictures.
type ImageRGBToYUV struct {
	Image types.Image
}

type yuv struct {
	Y types.Image `out:"Y"`
	U types.Image `out:"U"`
	V types.Image `out:"V"`
}

// Run leaves alpha out.
func (n ImageRGBToYUV) Run(*graph.Call) (yuv, error) {
	if err := check("image", n.Image); err != nil {
		return yuv{}, err
	}
	y, u, v := picture.YUV(n.Image)
	return yuv{y, u, v}, nil
}

// ImageYUVToRGB joins what ImageRGBToYUV split.
type ImageYUVToRGB struct {
	Y types.Image `in:"Y"`
	U types.Image `in:"U"`
	V types.Image `in:"V"`
}

// Run takes the mean of each picture's channels.
func (n ImageYUVToRGB) Run(*graph.Call) (types.Image, error) {
	for _, in := range []struct {
		name string
		img  types.Image
	}{{"Y", n.Y}, {"U", n.U}, {"V", n.V}} {
		if err := check(in.name, in.img); err != nil {
			return types.Image{}, err
		}
		for i := range 3 {
			if in.img.Shape[i] != n.Y.Shape[i] {
				return types.Image{}, wrong(in.name, fmt.Sprintf("the batch and size of Y, %v", n.Y.Shape[:3]), "%v", in.img.Shape[:3])
			}
		}
	}
	return picture.FromYUV(n.Y, n.U, n.V), nil
}

// ImageAddNoise adds noise.
type ImageAddNoise struct {
	Image    types.Image
	Seed     uint64  `default:"0" min:"0" max:"18446744073709551615" control:"after_generate"`
	Strength float64 `default:"0.5" min:"0.0" max:"1.0" step:"0.01"`
}

// Run draws one normal value for each value of the batch, alpha too, and clamps to 0..1.
func (n ImageAddNoise) Run(*graph.Call) (types.Image, error) {
	if err := check("image", n.Image); err != nil {
		return types.Image{}, err
	}
	out := types.Image{Tensor: types.NewTensor(n.Image.Shape...)}
	sampling.NewGenerator(n.Seed).Normal(out.Data)
	for i, v := range out.Data {
		out.Data[i] = min(max(n.Image.Data[i]+float32(n.Strength)*v, 0), 1)
	}
	return out, nil
}

// LTXVPreprocess compresses pictures and opens them again.
type LTXVPreprocess struct {
	Image          types.Image
	ImgCompression int `default:"35" min:"0" max:"100"`
}

type preprocessed struct {
	Image types.Image `out:"output_image"`
}

// Run takes JPEG's quality from the strength: 35, H.264's constant rate factor of a small video, is quality 30. Sides become
// even, as a video's are; alpha is left out.
func (n LTXVPreprocess) Run(c *graph.Call) (preprocessed, error) {
	if err := check("image", n.Image); err != nil || n.ImgCompression == 0 {
		return preprocessed{n.Image}, err
	}
	b, h, w := n.Image.Shape[0], n.Image.Shape[1]&^1, n.Image.Shape[2]&^1
	if h == 0 || w == 0 {
		return preprocessed{}, wrong("image", "at least 2 by 2 pixels", "%v", n.Image.Shape)
	}
	in := picture.Region(picture.Channels(n.Image, 3), 0, 0, w, h)
	out := types.Image{Tensor: types.NewTensor(b, h, w, 3)}
	for i := range b {
		if err := c.Err(); err != nil {
			return preprocessed{}, err
		}
		var file bytes.Buffer
		if err := jpeg.Encode(&file, picture.Opaque(picture.Bytes(in.Item(i).Data), w, h), &jpeg.Options{Quality: max(1, 100-2*n.ImgCompression)}); err != nil {
			return preprocessed{}, failed("image", err)
		}
		back, _, err := picture.Decode(file.Bytes())
		if err != nil {
			return preprocessed{}, failed("image", err)
		}
		copy(out.Item(i).Data, back.Data)
	}
	return preprocessed{out}, nil
}
