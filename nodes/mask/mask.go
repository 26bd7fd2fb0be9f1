// Package mask has the nodes that make, change and combine masks and what goes with alpha.
package mask

import (
	"fmt"
	"math"

	"graphrun/graph"
	"graphrun/runtime/picture"
	"graphrun/types"
)

func init() {
	register := func(name, title, description string) graph.Meta {
		return graph.Meta{Name: name, Title: title, Category: "mask", Module: "comfy_extras.nodes_mask", Description: description}
	}
	graph.Register[SolidMask](register("SolidMask", "", "Makes a mask of one value."))
	graph.Register[InvertMask](register("InvertMask", "", "Turns a mask around: every value becomes 1 minus itself."))
	graph.Register[CropMask](register("CropMask", "", "Cuts a rectangle out of masks. What lies outside of them is left out."))
	graph.Register[FeatherMask](register("FeatherMask", "", "Fades masks out towards their sides, over so many pixels."))
	graph.Register[GrowMask](register("GrowMask", "", "Widens what a mask covers by expand pixels, or narrows it if expand is below 0."))
	graph.Register[ThresholdMask](register("ThresholdMask", "", "Makes 1 of what is above value, 0 of the rest."))
	graph.Register[MaskToImage](register("MaskToImage", "Convert Mask to Image", "Shows masks as gray pictures."))
	graph.Register[ImageToMask](register("ImageToMask", "Convert Image to Mask", "Takes one channel of pictures as masks."))
	graph.Register[ImageColorToMask](register("ImageColorToMask", "", "Makes a mask of the pixels that have exactly one colour, on 8 bits a channel."))
}

// check refuses an empty batch and what is no mask, naming the input.
func check(input string, m types.Mask) error {
	if err := m.Check("the mask", 3); err != nil {
		return failed(input, err)
	}
	return nil
}

func checkImage(input string, img types.Image) error {
	if err := img.Check("the picture", 4); err != nil {
		return failed(input, err)
	}
	return nil
}

// failed says which input err is about.
func failed(input string, err error) error {
	return &graph.Error{Kind: graph.KindNodeFailed, Input: input, Err: err}
}

// mapped is a mask of f of every value.
func mapped(m types.Mask, f func(v float32) float32) (types.Mask, error) {
	if err := check("mask", m); err != nil {
		return types.Mask{}, err
	}
	out := types.Mask{Tensor: types.NewTensor(m.Shape...)}
	for i, v := range m.Data {
		out.Data[i] = f(v)
	}
	return out, nil
}

// SolidMask makes a mask of one value.
type SolidMask struct {
	Value  float64 `default:"1.0" min:"0.0" max:"1.0" step:"0.01"`
	Width  int     `default:"512" min:"1" max:"16384" step:"1"`
	Height int     `default:"512" min:"1" max:"16384" step:"1"`
}

// Run makes one mask.
func (n SolidMask) Run(*graph.Call) (types.Mask, error) {
	out, err := picture.Fill(1, n.Height, n.Width, 1, float32(n.Value))
	if err != nil {
		return types.Mask{}, failed("width", err)
	}
	return picture.PlaneMask(out), nil
}

// InvertMask turns masks around.
type InvertMask struct {
	Mask types.Mask
}

// Run returns 1 - mask.
func (n InvertMask) Run(*graph.Call) (types.Mask, error) {
	return mapped(n.Mask, func(v float32) float32 { return 1 - v })
}

// ThresholdMask separates above from below.
type ThresholdMask struct {
	Mask  types.Mask
	Value float64 `default:"0.5" min:"0.0" max:"1.0" step:"0.01"`
}

// Run gives 1 for what is above Value, not for what equals it.
func (n ThresholdMask) Run(*graph.Call) (types.Mask, error) {
	return mapped(n.Mask, func(v float32) float32 {
		if v > float32(n.Value) {
			return 1
		}
		return 0
	})
}

// CropMask cuts a rectangle out.
type CropMask struct {
	Mask   types.Mask
	X      int `default:"0" min:"0" max:"16384" step:"1"`
	Y      int `default:"0" min:"0" max:"16384" step:"1"`
	Width  int `default:"512" min:"1" max:"16384" step:"1"`
	Height int `default:"512" min:"1" max:"16384" step:"1"`
}

// Run keeps at least the last pixel.
func (n CropMask) Run(*graph.Call) (types.Mask, error) {
	if err := check("mask", n.Mask); err != nil {
		return types.Mask{}, err
	}
	h, w := n.Mask.Shape[1], n.Mask.Shape[2]
	x, y := min(n.X, w-1), min(n.Y, h-1)
	return picture.PlaneMask(picture.Region(picture.Plane(n.Mask), x, y, min(n.Width, w-x), min(n.Height, h-y))), nil
}

// FeatherMask fades masks out.
type FeatherMask struct {
	Mask   types.Mask
	Left   int `default:"0" min:"0" max:"16384" step:"1"`
	Top    int `default:"0" min:"0" max:"16384" step:"1"`
	Right  int `default:"0" min:"0" max:"16384" step:"1"`
	Bottom int `default:"0" min:"0" max:"16384" step:"1"`
}

// Run multiplies by (i+1)/n from each side. On the right and below ComfyUI's first line is the one after the last, which is
// the first of the other side (numerics.md 9).
func (n FeatherMask) Run(*graph.Call) (types.Mask, error) {
	if err := check("mask", n.Mask); err != nil {
		return types.Mask{}, err
	}
	h, w := n.Mask.Shape[1], n.Mask.Shape[2]
	across, down := rates(w, n.Left, n.Right), rates(h, n.Top, n.Bottom)
	out := types.Mask{Tensor: n.Mask.Clone()}
	for r := range n.Mask.Shape[0] * h {
		row := out.Data[r*w:][:w]
		for x := range row {
			row[x] *= across[x] * down[r%h]
		}
	}
	return out, nil
}

// rates are the factors of an axis of n lines.
func rates(n, before, after int) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = 1
	}
	before, after = min(before, n), min(after, n)
	for i := range before {
		out[i] *= float32(i+1) / float32(before)
	}
	for i := range after {
		out[(n-i)%n] *= float32(i+1) / float32(after)
	}
	return out
}

// GrowMask widens or narrows masks.
type GrowMask struct {
	Mask           types.Mask
	Expand         int  `default:"0" min:"-16384" max:"16384" step:"1"`
	TaperedCorners bool `default:"true"`
}

// Run takes the largest value around each pixel, the smallest for Expand below 0.
func (n GrowMask) Run(c *graph.Call) (types.Mask, error) {
	if err := check("mask", n.Mask); err != nil {
		return types.Mask{}, err
	}
	return picture.Grow(c, n.Mask, n.Expand, n.TaperedCorners)
}

// MaskToImage shows masks.
type MaskToImage struct {
	Mask types.Mask
}

// Run gives three equal channels.
func (n MaskToImage) Run(*graph.Call) (types.Image, error) {
	if err := check("mask", n.Mask); err != nil {
		return types.Image{}, err
	}
	return picture.Gray(n.Mask), nil
}

type channel string

// Options lists the channels in their order.
func (channel) Options() []string { return []string{"red", "green", "blue", "alpha"} }

// ImageToMask takes a channel.
type ImageToMask struct {
	Image   types.Image
	Channel channel
}

// Run fails for a channel that the pictures do not have.
func (n ImageToMask) Run(*graph.Call) (types.Mask, error) {
	if err := checkImage("image", n.Image); err != nil {
		return types.Mask{}, err
	}
	index := map[channel]int{"red": 0, "green": 1, "blue": 2, "alpha": 3}[n.Channel]
	c := n.Image.Shape[3]
	if index >= c {
		return types.Mask{}, &graph.Error{
			Kind: graph.KindNodeFailed, Input: "channel", Need: fmt.Sprintf("a picture with a channel %s", n.Channel), Have: fmt.Sprintf("%d channels", c),
			Hint: "choose another channel, or give the picture alpha with JoinImageWithAlpha",
		}
	}
	out := types.Mask{Tensor: types.NewTensor(n.Image.Shape[:3]...)}
	for p := range out.Data {
		out.Data[p] = n.Image.Data[p*c+index]
	}
	return out, nil
}

// ImageColorToMask finds a colour.
type ImageColorToMask struct {
	Image types.Image
	Color int `default:"0" min:"0" max:"16777215" step:"1" display:"color"`
}

// Run rounds to 8 bits, a half to even.
func (n ImageColorToMask) Run(*graph.Call) (types.Mask, error) {
	if err := checkImage("image", n.Image); err != nil {
		return types.Mask{}, err
	}
	img := picture.Channels(n.Image, 3)
	out := types.Mask{Tensor: types.NewTensor(img.Shape[:3]...)}
	for p := range out.Data {
		found := 0
		for _, v := range img.Data[3*p:][:3] {
			found = found<<8 | int(math.RoundToEven(float64(min(max(v, 0), 1)*255)))
		}
		if found == n.Color {
			out.Data[p] = 1
		}
	}
	return out, nil
}
