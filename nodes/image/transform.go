package image

import (
	"math"
	"strings"

	"graphrun/graph"
	"graphrun/runtime/picture"
	"graphrun/types"
)

func init() {
	graph.Register[ImageCrop](graph.Meta{
		Name: "ImageCrop", Title: "Image Crop", Category: "image/transform", Module: "comfy_extras.nodes_images",
		Description: "Cuts a rectangle out of pictures. What lies outside of them is left out.",
	})
	graph.Register[ImageFlip](graph.Meta{
		Name: "ImageFlip", Category: "image/transform", Module: "comfy_extras.nodes_images", Description: "Mirrors pictures.",
	})
	graph.Register[ImageRotate](graph.Meta{
		Name: "ImageRotate", Category: "image/transform", Module: "comfy_extras.nodes_images", Description: "Turns pictures clockwise.",
	})
	graph.Register[ImageStitch](graph.Meta{
		Name: "ImageStitch", Title: "Image Stitch", Category: "image/transform", Module: "comfy_extras.nodes_images",
		Description: "Lays the second picture beside the first, on the side of direction, with a strip of a colour between them if spacing_width is not 0. " +
			"It is resized to fit, or, without match_image_size, the smaller one is centred on that colour.",
	})
	graph.Register[ImagePadForOutpaint](graph.Meta{
		Name: "ImagePadForOutpaint", Title: "Pad Image for Outpainting", Category: "image",
		Description: "Adds gray on the four sides of pictures, and gives a mask of what is new that fades into the picture over feathering pixels.",
	})
}

// ImageCrop cuts a rectangle out.
type ImageCrop struct {
	Image  types.Image
	Width  int `default:"512" min:"1" max:"16384" step:"1"`
	Height int `default:"512" min:"1" max:"16384" step:"1"`
	X      int `default:"0" min:"0" max:"16384" step:"1"`
	Y      int `default:"0" min:"0" max:"16384" step:"1"`
}

// Run keeps at least the last pixel.
func (n ImageCrop) Run(*graph.Call) (types.Image, error) {
	if err := check("image", n.Image); err != nil {
		return types.Image{}, err
	}
	h, w := n.Image.Shape[1], n.Image.Shape[2]
	x, y := min(n.X, w-1), min(n.Y, h-1)
	return picture.Region(n.Image, x, y, min(n.Width, w-x), min(n.Height, h-y)), nil
}

type flipMethod string

// Options lists ComfyUI's two ways.
func (flipMethod) Options() []string { return []string{"x-axis: vertically", "y-axis: horizontally"} }

// ImageFlip mirrors pictures.
type ImageFlip struct {
	Image      types.Image
	FlipMethod flipMethod
}

// Run swaps top and bottom, or left and right.
func (n ImageFlip) Run(*graph.Call) (types.Image, error) {
	if err := check("image", n.Image); err != nil {
		return types.Image{}, err
	}
	h, w := n.Image.Shape[1], n.Image.Shape[2]
	if strings.HasPrefix(string(n.FlipMethod), "x") {
		return moved(n.Image, h, w, func(x, y int) (int, int) { return x, h - 1 - y }), nil
	}
	return moved(n.Image, h, w, func(x, y int) (int, int) { return w - 1 - x, y }), nil
}

// moved makes pictures of h by w whose pixel x, y is the one that from names.
func moved(img types.Image, h, w int, from func(x, y int) (int, int)) types.Image {
	c := img.Shape[3]
	out := types.Image{Tensor: types.NewTensor(img.Shape[0], h, w, c)}
	for i := range img.Shape[0] {
		src, dst := img.Item(i).Data, out.Item(i).Data
		for y := range h {
			for x := range w {
				fx, fy := from(x, y)
				copy(dst[(y*w+x)*c:][:c], src[(fy*img.Shape[2]+fx)*c:])
			}
		}
	}
	return out
}

type rotation string

// Options lists the quarter turns.
func (rotation) Options() []string {
	return []string{"none", "90 degrees", "180 degrees", "270 degrees"}
}

// ImageRotate turns pictures.
type ImageRotate struct {
	Image    types.Image
	Rotation rotation
}

// Run turns clockwise.
func (n ImageRotate) Run(*graph.Call) (types.Image, error) {
	if err := check("image", n.Image); err != nil {
		return types.Image{}, err
	}
	h, w := n.Image.Shape[1], n.Image.Shape[2]
	switch n.Rotation {
	case "90 degrees":
		return moved(n.Image, w, h, func(x, y int) (int, int) { return y, h - 1 - x }), nil
	case "180 degrees":
		return moved(n.Image, h, w, func(x, y int) (int, int) { return w - 1 - x, h - 1 - y }), nil
	case "270 degrees":
		return moved(n.Image, w, h, func(x, y int) (int, int) { return w - 1 - y, x }), nil
	}
	return n.Image, nil
}

type direction string

// Options lists the sides; the first is the default.
func (direction) Options() []string { return []string{"right", "down", "left", "up"} }

type spacingColour string

// Options lists the colours; the first is the default.
func (spacingColour) Options() []string { return []string{"white", "black", "red", "green", "blue"} }

var spacingColours = map[spacingColour][]float32{"white": {1, 1, 1}, "black": {0, 0, 0}, "red": {1, 0, 0}, "green": {0, 1, 0}, "blue": {0, 0, 1}}

// ImageStitch lays pictures side by side.
type ImageStitch struct {
	Image1         types.Image   `in:"image1"`
	Direction      direction     `default:"right"`
	MatchImageSize bool          `default:"true"`
	SpacingWidth   int           `default:"0" min:"0" max:"1024" step:"2"`
	SpacingColor   spacingColour `default:"white"`
	Image2         *types.Image  `in:"image2"`
}

// Run repeats the last picture of the shorter batch. The strip's width is made even.
func (n ImageStitch) Run(c *graph.Call) (types.Image, error) {
	if err := check("image1", n.Image1); err != nil || n.Image2 == nil {
		return n.Image1, err
	}
	if err := check("image2", *n.Image2); err != nil {
		return types.Image{}, err
	}
	a, b := n.Image1, *n.Image2
	batch := max(a.Shape[0], b.Shape[0])
	a, b = picture.MatchChannels(lastRepeated(a, batch), lastRepeated(b, batch))
	beside := n.Direction == "right" || n.Direction == "left"
	if n.MatchImageSize {
		h, w := size(b)
		toW, toH := math.Trunc(float64(a.Shape[1])*(w/h)), float64(a.Shape[1])
		if !beside {
			toW, toH = float64(a.Shape[2]), math.Trunc(float64(a.Shape[2])/(w/h))
		}
		var err error
		if b, err = resized(c, b, toW, toH, picture.Lanczos, "image2"); err != nil {
			return types.Image{}, err
		}
	}
	if n.Direction == "left" || n.Direction == "up" {
		a, b = b, a
	}
	gap := n.SpacingWidth + n.SpacingWidth%2
	h, w := max(a.Shape[1], b.Shape[1]), a.Shape[2]+gap+b.Shape[2]
	if !beside {
		h, w = a.Shape[1]+gap+b.Shape[1], max(a.Shape[2], b.Shape[2])
	}
	return stitched(a, b, h, w, gap, beside, spacingColours[n.SpacingColor])
}

// stitched lays a and b, centred, on a ground of the colour; the gap between them shows it.
func stitched(a, b types.Image, h, w, gap int, beside bool, colour []float32) (types.Image, error) {
	out, err := picture.Fill(a.Shape[0], h, w, a.Shape[3], colour...)
	if err != nil {
		return types.Image{}, failed("image2", err)
	}
	if beside {
		picture.Paste(out, a, 0, (h-a.Shape[1])/2)
		picture.Paste(out, b, a.Shape[2]+gap, (h-b.Shape[1])/2)
	} else {
		picture.Paste(out, a, (w-a.Shape[2])/2, 0)
		picture.Paste(out, b, (w-b.Shape[2])/2, a.Shape[1]+gap)
	}
	return out, nil
}

// lastRepeated extends a batch to n pictures with its last.
func lastRepeated(img types.Image, n int) types.Image {
	have := img.Shape[0]
	if have == n {
		return img
	}
	out := types.Image{Tensor: types.NewTensor(append([]int{n}, img.Shape[1:]...)...)}
	copy(out.Data, img.Data)
	for i := have; i < n; i++ {
		copy(out.Item(i).Data, img.Item(have-1).Data)
	}
	return out
}

// ImagePadForOutpaint adds space around pictures.
type ImagePadForOutpaint struct {
	Image      types.Image
	Left       int `default:"0" min:"0" max:"16384" step:"8"`
	Top        int `default:"0" min:"0" max:"16384" step:"8"`
	Right      int `default:"0" min:"0" max:"16384" step:"8"`
	Bottom     int `default:"0" min:"0" max:"16384" step:"8"`
	Feathering int `default:"40" min:"0" max:"16384" step:"1"`
}

// padded is a picture and the mask of what is new in it.
type padded struct {
	Image types.Image
	Mask  types.Mask
}

// Run gives one mask for the whole batch. It does not fade where twice the feathering does not fit into the picture.
func (n ImagePadForOutpaint) Run(*graph.Call) (padded, error) {
	if err := check("image", n.Image); err != nil {
		return padded{}, err
	}
	b, h, w, c := n.Image.Shape[0], n.Image.Shape[1], n.Image.Shape[2], n.Image.Shape[3]
	outH, outW := h+n.Top+n.Bottom, w+n.Left+n.Right
	out, err := picture.Fill(b, outH, outW, c, 0.5, 0.5, 0.5, 0.5)
	if err != nil {
		return padded{}, failed("left", err)
	}
	picture.Paste(out, n.Image, n.Left, n.Top)
	mask := types.Mask{Tensor: types.NewTensor(1, outH, outW)}
	for i := range mask.Data {
		mask.Data[i] = 1
	}
	fade := n.Feathering > 0 && 2*n.Feathering < h && 2*n.Feathering < w
	for y := range h {
		row := mask.Data[(n.Top+y)*outW+n.Left:][:w]
		clear(row)
		for x := range row {
			if d := n.toNew(x, y, w, h); fade && d < n.Feathering {
				v := float64(n.Feathering-d) / float64(n.Feathering)
				row[x] = float32(v * v)
			}
		}
	}
	return padded{out, mask}, nil
}

// toNew is how far pixel x, y is from the nearest side that was added to.
func (n ImagePadForOutpaint) toNew(x, y, w, h int) int {
	d := max(w, h)
	for _, side := range [4][2]int{{n.Left, x}, {n.Right, w - x}, {n.Top, y}, {n.Bottom, h - y}} {
		if side[0] != 0 {
			d = min(d, side[1])
		}
	}
	return d
}
