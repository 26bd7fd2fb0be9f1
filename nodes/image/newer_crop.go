package image

import (
	"context"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"

	"graphrun/graph"
	"graphrun/nodes/bridge"
	"graphrun/runtime/picture"
	"graphrun/types"
)

func init() {
	m := newer("ImageCropV2", "Crop Image", "image/transform", "nodes_images", "Cuts a rectangle out of pictures.")
	m.Intermediate, m.Uses = true, graph.IO
	graph.Register[ImageCropV2](m)
	graph.Register[ImageCropToMask](newer("ImageCropToMask", "Crop Image to Mask", "image/transform", "nodes_images",
		"Cuts out what a mask shows, on a plain background, and fits it into a size."))
	m = newer("Painter", "Painter", "image", "nodes_painter", "Lays what was painted in the editor over a picture or a plain colour.")
	m.Intermediate, m.Uses = true, graph.IO
	graph.Register[Painter](m)
}

// ImageCropV2 cuts a rectangle.
type ImageCropV2 struct {
	Image      types.Image
	CropRegion box `default:"{\"x\":0,\"y\":0,\"width\":512,\"height\":512}" socketless:"true" component:"ImageCrop"`
}

// shownImage is a picture and its preview.
type shownImage struct {
	Image types.Image
	UI    graph.UI
}

// Run cuts what is inside, at least one pixel.
func (n ImageCropV2) Run(c *graph.Call) (shownImage, error) {
	img := n.Image
	if err := check("image", img); err != nil {
		return shownImage{}, err
	}
	r := n.CropRegion
	x, y := min(max(int(r.X), 0), img.Shape[2]-1), min(max(int(r.Y), 0), img.Shape[1]-1)
	out := picture.Region(img, x, y, min(max(int(r.Width), 1), img.Shape[2]-x), min(max(int(r.Height), 1), img.Shape[1]-y))
	ui, err := preview(c, out, "ComfyUI")
	return shownImage{out, ui}, err
}

// colour is #RRGGBB.
type colour string

// TypeName is ComfyUI's name of the widget.
func (colour) TypeName() string { return "COLOR" }

// rgb is the colour in 0..1.
func (s colour) rgb(input string) (out [3]float32, err error) {
	digits := strings.TrimPrefix(strings.TrimSpace(string(s)), "#")
	n, err := strconv.ParseUint(digits, 16, 32)
	if err != nil || len(digits) != 6 {
		return out, &graph.Error{Kind: graph.KindBadValue, Input: input, Need: "a colour as #RRGGBB", Have: string(s)}
	}
	return [3]float32{float32(n>>16) / 255, float32(n>>8&255) / 255, float32(n&255) / 255}, nil
}

// ImageCropToMask cuts along masks.
type ImageCropToMask struct {
	Images     types.Image
	Masks      types.Mask
	Width      int     `default:"1024" min:"64" max:"4096" step:"8"`
	Height     int     `default:"1024" min:"64" max:"4096" step:"8"`
	PadFactor  float64 `default:"1.0" min:"1.0" max:"2.0" step:"0.01"`
	GrowMask   int     `default:"0" min:"-32" max:"32" step:"1"`
	Background colour  `default:"#000000" socketless:"true"`
}

// Run takes the mask of each picture (in turn, where there are fewer), turns one around that is white outside and black
// inside, and cuts a rectangle of the wanted shape around what it shows; beyond the picture there is background.
func (n ImageCropToMask) Run(c *graph.Call) (resizedImages, error) {
	img := n.Images
	if err := check("images", img); err != nil {
		return resizedImages{}, err
	}
	masks, _, err := imageOrMask("masks", n.Masks)
	if err != nil {
		return resizedImages{}, err
	}
	if img.Shape[3] < 3 {
		img = gray(img)
	}
	back, err := n.Background.rgb("background")
	if err != nil {
		return resizedImages{}, err
	}
	out := types.NewTensor(img.Shape[0], n.Height, n.Width, 3)
	for i := range img.Shape[0] {
		one := picture.RGB(types.Image{Tensor: img.Slice(i, 1)})
		mask := types.Image{Tensor: masks.Slice(i%masks.Shape[0], 1)}
		cut, err := n.cut(c, one, mask, back)
		if err != nil {
			return resizedImages{}, err
		}
		copy(out.Item(i).Data, cut.Data)
	}
	return resizedImages{types.Image{Tensor: out}}, nil
}

func (n ImageCropToMask) cut(ctx context.Context, img, mask types.Image, back [3]float32) (types.Image, error) {
	h, w := img.Shape[1], img.Shape[2]
	var err error
	if mask.Shape[1] != h || mask.Shape[2] != w {
		if mask, err = picture.ResizeImage(ctx, mask, w, h, picture.Bilinear, picture.CropDisabled); err != nil {
			return img, err
		}
	} else {
		mask.Tensor = mask.Clone()
	}
	if border, centre := edgeMeans(mask.Data, w, h); border > 0.5 && centre < 0.5 {
		negate(mask.Data)
	}
	grow(mask.Data, w, h, n.GrowMask)
	for i, v := range mask.Data {
		if v < 0.05 {
			mask.Data[i] = 0
		}
	}
	if long, most := max(w, h), max(n.Width, n.Height); long > most {
		by := float64(most) / float64(long)
		to := target{width: max(1, int(math.RoundToEven(float64(w)*by))), height: max(1, int(math.RoundToEven(float64(h)*by))), crop: picture.CropDisabled}
		if img, err = resizeAny(ctx, img, to, picture.Lanczos); err != nil {
			return img, err
		}
		if mask, err = resizeAny(ctx, mask, to, picture.Lanczos); err != nil {
			return img, err
		}
		w, h = to.width, to.height
	}
	at, seen := visible(mask.Data, w)
	if !seen {
		negate(mask.Data)
		if at, seen = visible(mask.Data, w); !seen {
			at = tile{0, 0, w, h}
		}
	}
	at = n.frame(at)
	framed := types.NewTensor(1, at.h, at.w, 3)
	for y := range at.h {
		for x := range at.w {
			dst := framed.Data[(y*at.w+x)*3:]
			copy(dst, back[:])
			if sx, sy := at.x+x, at.y+y; sx >= 0 && sx < w && sy >= 0 && sy < h {
				m := mask.Data[sy*w+sx]
				for k, v := range img.Data[(sy*w+sx)*3:][:3] {
					dst[k] = v*m + back[k]*(1-m)
				}
			}
		}
	}
	return picture.ResizeImage(ctx, types.Image{Tensor: framed}, n.Width, n.Height, picture.Lanczos, picture.CropDisabled)
}

// frame extends a rectangle to the shape of the result, with room around; its sides are even, its centre stays.
func (n ImageCropToMask) frame(t tile) tile {
	w, h, aspect := float64(t.w), float64(t.h), float64(n.Width)/float64(n.Height)
	if w/h < aspect {
		w = h * aspect
	} else {
		h = w / aspect
	}
	even := func(v float64) int { return max(2, int(math.Ceil(v*n.PadFactor/2))*2) }
	out := tile{w: even(w), h: even(h)}
	out.x, out.y = t.x+t.w/2-out.w/2, t.y+t.h/2-out.h/2
	return out
}

// edgeMeans are the means of the outermost pixels and of the middle quarter.
func edgeMeans(mask []float32, w, h int) (border, centre float64) {
	borders, centres := 0, 0
	for i, v := range mask {
		x, y := i%w, i/w
		if x == 0 || y == 0 || x == w-1 || y == h-1 {
			border, borders = border+float64(v), borders+1
		}
		if x >= w/4 && x < w-w/4 && y >= h/4 && y < h-h/4 {
			centre, centres = centre+float64(v), centres+1
		}
	}
	return border / float64(max(borders, 1)), centre / float64(max(centres, 1))
}

func negate(mask []float32) {
	for i, v := range mask {
		mask[i] = 1 - v
	}
}

// grow makes a mask larger by a square of so many pixels around each, or smaller.
func grow(mask []float32, w, h, by int) {
	if by < 0 {
		negate(mask)
		grow(mask, w, h, -by)
		negate(mask)
		return
	}
	line := make([]float32, max(w, h))
	pass := func(start, n, step int) {
		for i := range n {
			line[i] = mask[start+i*step]
		}
		for i := range n {
			for k := max(0, i-by); k <= min(n-1, i+by); k++ {
				mask[start+i*step] = max(mask[start+i*step], line[k])
			}
		}
	}
	for y := range h {
		pass(y*w, w, 1)
	}
	for x := range w {
		pass(x, h, w)
	}
}

// visible is the rectangle around what is more than 204 of 255.
func visible(mask []float32, w int) (tile, bool) {
	left, top, right, bottom := math.MaxInt, math.MaxInt, -1, -1
	for i, v := range mask {
		if v*255 > 204 {
			left, right = min(left, i%w), max(right, i%w)
			top, bottom = min(top, i/w), max(bottom, i/w)
		}
	}
	return tile{left, top, right - left + 1, bottom - top + 1}, right >= 0
}

// Painter lays a painting over a picture.
type Painter struct {
	Mask    string `widgettype:"PAINTER" image_upload:"true" default:"" socketless:"true" multiline:"false"`
	Width   int    `hidden:"true" default:"512" socketless:"true" min:"64" max:"4096" step:"64"`
	Height  int    `hidden:"true" default:"512" socketless:"true" min:"64" max:"4096" step:"64"`
	BgColor colour `default:"#000000" socketless:"true"`
	Image   *types.Image
}

type painted struct {
	Image types.Image
	Mask  types.Mask
	UI    graph.UI
}

// Validate wants the painting to be there.
func (n Painter) Validate(e *graph.Env) error {
	_, err := n.path(e)
	return err
}

// Fingerprint changes with the painting's file.
func (n Painter) Fingerprint(e *graph.Env) (string, error) {
	path, err := n.path(e)
	if err != nil || path == "" {
		return "", err
	}
	return bridge.FileSum(path)
}

// path is where the painting lies, "" if nothing was painted.
func (n Painter) path(e *graph.Env) (string, error) {
	if n.Mask == "" {
		return "", nil
	}
	return bridge.InputFile(e, "mask", "image", n.Mask)
}

// Run resizes the painting to the first picture, or to width by height of bg_color, and blends it by its alpha, which is
// the mask.
func (n Painter) Run(c *graph.Call) (painted, error) {
	back, err := n.BgColor.rgb("bg_color")
	if err != nil {
		return painted{}, err
	}
	base := types.Image{Tensor: types.NewTensor(1, n.Height, n.Width, 3)}
	for i := range base.Data {
		base.Data[i] = back[i%3]
	}
	if n.Image != nil {
		img := *n.Image
		if err := check("image", img); err != nil {
			return painted{}, err
		}
		base.Tensor = picture.RGB(types.Image{Tensor: img.Slice(0, 1)}).Clone()
	}
	h, w := base.Shape[1], base.Shape[2]
	mask := types.NewTensor(1, h, w)
	if err := n.paint(c, base, mask.Data); err != nil {
		return painted{}, err
	}
	ui, err := preview(c, base, "ComfyUI")
	return painted{base, types.Mask{Tensor: mask}, ui}, err
}

func (n Painter) paint(c *graph.Call, base types.Image, mask []float32) error {
	path, err := n.path(c.Env)
	if err != nil || path == "" {
		return err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	img, hole, err := picture.Decode(data)
	if err != nil {
		return failed("mask", fmt.Errorf("%s: %w", path, err))
	}
	layer := types.Image{Tensor: types.NewTensor(1, img.Shape[1], img.Shape[2], 4)}
	sees := hole.Shape[1] == img.Shape[1] && hole.Shape[2] == img.Shape[2] // else the file has no alpha
	for p := range img.Shape[1] * img.Shape[2] {
		copy(layer.Data[4*p:], img.Data[3*p:][:3])
		layer.Data[4*p+3] = 1
		if sees {
			layer.Data[4*p+3] -= hole.Data[p]
		}
	}
	if layer, err = picture.ResizeImage(c, layer, base.Shape[2], base.Shape[1], picture.Lanczos, picture.CropDisabled); err != nil {
		return err
	}
	channels := base.Shape[3]
	for p := range mask {
		a := layer.Data[4*p+3]
		mask[p] = a
		for k := range min(channels, 3) {
			at := &base.Data[p*channels+k]
			*at = *at*(1-a) + layer.Data[4*p+k]*a
		}
	}
	return nil
}
