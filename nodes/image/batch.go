package image

import (
	"fmt"

	"graphrun/graph"
	"graphrun/runtime/picture"
	"graphrun/types"
)

func init() {
	graph.Register[EmptyImage](graph.Meta{Name: "EmptyImage", Category: "image", Description: "Makes pictures of one colour."})
	graph.Register[GetImageSize](graph.Meta{
		Name: "GetImageSize", Title: "Get Image Size", Category: "image", Module: "comfy_extras.nodes_images", Hidden: []string{"UNIQUE_ID"},
		Description: "Tells the width and height of pictures, and how many there are.",
	})
	graph.Register[ImageBatch](graph.Meta{
		Name: "ImageBatch", Title: "Batch Images", Category: "image",
		Description: "Puts the pictures of both inputs into one batch. The second ones take the size of the first: resized, what is too long cut off evenly.",
	})
	graph.Register[ImageFromBatch](graph.Meta{
		Name: "ImageFromBatch", Category: "image/batch", Module: "comfy_extras.nodes_images",
		Description: "Takes length pictures out of a batch, from batch_index (counted from 0) on.",
	})
	graph.Register[RepeatImageBatch](graph.Meta{
		Name: "RepeatImageBatch", Category: "image/batch", Module: "comfy_extras.nodes_images", Description: "Repeats a batch so many times.",
	})
	graph.Register[RebatchImages](graph.Meta{
		Name: "RebatchImages", Title: "Rebatch Images", Category: "image/batch", Module: "comfy_extras.nodes_rebatch", NewStyle: true,
		Description: "Takes all pictures of a list and gives a list of batches of so many pictures each, the last with what is left.",
	})
}

// EmptyImage makes pictures of one colour.
type EmptyImage struct {
	Width     int `default:"512" min:"1" max:"16384" step:"1"`
	Height    int `default:"512" min:"1" max:"16384" step:"1"`
	BatchSize int `default:"1" min:"1" max:"4096"`
	Color     int `default:"0" min:"0" max:"16777215" step:"1" display:"color"`
}

// Run fills with Color, 0xRRGGBB.
func (n EmptyImage) Run(*graph.Call) (types.Image, error) {
	out, err := picture.Fill(n.BatchSize, n.Height, n.Width, 3, float32(n.Color>>16&255)/255, float32(n.Color>>8&255)/255, float32(n.Color&255)/255)
	if err != nil {
		return types.Image{}, failed("batch_size", err)
	}
	return out, nil
}

// GetImageSize measures pictures.
type GetImageSize struct {
	Image types.Image
}

type imageSize struct {
	Width     int `out:"width"`
	Height    int `out:"height"`
	BatchSize int `out:"batch_size"`
}

// Run reads the shape, and shows it below the node.
func (n GetImageSize) Run(c *graph.Call) (imageSize, error) {
	if err := check("image", n.Image); err != nil {
		return imageSize{}, err
	}
	s := imageSize{n.Image.Shape[2], n.Image.Shape[1], n.Image.Shape[0]}
	c.Preview("text/plain", fmt.Appendf(nil, "width: %d, height: %d\n batch size: %d", s.Width, s.Height, s.BatchSize))
	return s, nil
}

// ImageBatch joins two batches.
type ImageBatch struct {
	Image1 types.Image `in:"image1"`
	Image2 types.Image `in:"image2"`
}

// Run resizes the second bilinearly where it must. Pictures without alpha get an opaque one beside those that have one.
func (n ImageBatch) Run(c *graph.Call) (types.Image, error) {
	a, b, err := alike(c, n.Image1, n.Image2, picture.Bilinear)
	if err != nil {
		return types.Image{}, err
	}
	out, err := picture.Concat(a.Tensor, b.Tensor)
	return types.Image{Tensor: out}, err
}

// alike brings b to the size of a, cutting off what is too long, and both to one number of channels.
func alike(c *graph.Call, a, b types.Image, m picture.Method) (types.Image, types.Image, error) {
	if err := check("image1", a); err != nil {
		return a, b, err
	}
	if err := check("image2", b); err != nil {
		return a, b, err
	}
	a, b = picture.MatchChannels(a, b)
	if a.Shape[1] == b.Shape[1] && a.Shape[2] == b.Shape[2] {
		return a, b, nil
	}
	b, err := picture.ResizeImage(c, b, a.Shape[2], a.Shape[1], m, picture.CropCenter)
	return a, b, err
}

// ImageFromBatch takes a part of a batch.
type ImageFromBatch struct {
	Image      types.Image
	BatchIndex int `default:"0" min:"0" max:"4095"`
	Length     int `default:"1" min:"1" max:"4096"`
}

// Run shares memory with the batch. Beyond its end it takes what is there, at least the last one.
func (n ImageFromBatch) Run(*graph.Call) (types.Image, error) {
	if err := check("image", n.Image); err != nil {
		return types.Image{}, err
	}
	batch := n.Image.Shape[0]
	first := min(n.BatchIndex, batch-1)
	length := min(n.Length, batch-first)
	return types.Image{Tensor: n.Image.Slice(first, length)}, nil
}

// RepeatImageBatch repeats a batch.
type RepeatImageBatch struct {
	Image  types.Image
	Amount int `default:"1" min:"1" max:"4096"`
}

// Run puts the copies behind each other.
func (n RepeatImageBatch) Run(*graph.Call) (types.Image, error) {
	if err := check("image", n.Image); err != nil {
		return types.Image{}, err
	}
	if total := float64(len(n.Image.Data)) * float64(n.Amount); total > picture.MaxValues {
		return types.Image{}, wrong("amount", fmt.Sprintf("at most %d values in all", picture.MaxValues), "%.0f", total)
	}
	return types.Image{Tensor: picture.Repeat(n.Image.Tensor, n.Image.Shape[0]*n.Amount)}, nil
}

// RebatchImages makes other batches of a list of batches.
type RebatchImages struct {
	Images    graph.List[types.Image]
	BatchSize int `default:"1" min:"1" max:"4096"`
}

// Run joins pictures of one size; batches may cross those of the input.
func (n RebatchImages) Run(*graph.Call) (graph.List[types.Image], error) {
	var one []types.Tensor
	for _, img := range n.Images {
		if err := check("images", img); err != nil {
			return nil, err
		}
		for i := range img.Shape[0] {
			one = append(one, img.Slice(i, 1))
		}
	}
	var out graph.List[types.Image]
	for i := 0; i < len(one); i += max(n.BatchSize, 1) {
		t, err := picture.Concat(one[i:min(i+max(n.BatchSize, 1), len(one))]...)
		if err != nil {
			return nil, failed("images", err)
		}
		out = append(out, types.Image{Tensor: t})
	}
	return out, nil
}
