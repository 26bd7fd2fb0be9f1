package image

import (
	"context"
	"fmt"
	"math"

	"graphrun/graph"
	"graphrun/runtime/picture"
	"graphrun/types"
)

// newer is the description of a node that came after ComfyUI 0.3.64.
func newer(name, title, category, module, what string) graph.Meta {
	return graph.Meta{Name: name, Title: title, Category: category, Module: "comfy_extras." + module, Later: true, NewStyle: true, Description: what}
}

func init() {
	graph.Register[ResizeImageMaskNode](newer("ResizeImageMaskNode", "Resize Image/Mask", "image/transform", "nodes_post_processing",
		"Resizes pictures or masks: to a size, by a factor, to the length of a side, to an area, to the size of another, or down to a multiple."))
	m := newer("ResizeImagesByLongerEdge", "Resize Images by Longer Edge (DEPRECATED)", "image/transform", "nodes_dataset",
		"Resizes pictures so that the longer side has the given number of pixels. Use Resize Image/Mask instead.")
	m.Deprecated, m.Experimental = true, true
	graph.Register[ResizeImagesByLongerEdge](m)
}

// resizeType is how a new size is found.
type resizeType struct {
	graph.Choice
	Dimensions struct {
		Width  int  `default:"512" min:"0" max:"16384" step:"1"`
		Height int  `default:"512" min:"0" max:"16384" step:"1"`
		Crop   crop `default:"center"`
	} `key:"scale dimensions"`
	Multiplier struct {
		Multiplier float64 `default:"1.0" min:"0.01" max:"8.0" step:"0.01"`
	} `key:"scale by multiplier"`
	Longer struct {
		LongerSize int `default:"512" min:"0" max:"16384" step:"1"`
	} `key:"scale longer dimension"`
	Shorter struct {
		ShorterSize int `default:"512" min:"0" max:"16384" step:"1"`
	} `key:"scale shorter dimension"`
	Width struct {
		Width int `default:"512" min:"0" max:"16384" step:"1"`
	} `key:"scale width"`
	Height struct {
		Height int `default:"512" min:"0" max:"16384" step:"1"`
	} `key:"scale height"`
	Pixels struct {
		Megapixels float64 `default:"1.0" min:"0.01" max:"16.0" step:"0.01"`
	} `key:"scale total pixels"`
	Match struct {
		Match graph.Any `types:"IMAGE,MASK"`
		Crop  crop      `default:"center"`
	} `key:"match size"`
	Multiple struct {
		Multiple int `default:"8" min:"1" max:"16384" step:"1"`
	} `key:"scale to multiple"`
}

// ResizeImageMaskNode resizes pictures or masks.
type ResizeImageMaskNode struct {
	Input       graph.Any `match:"input_type" types:"IMAGE,MASK"`
	ResizeType  resizeType
	ScaleMethod imageMethod `default:"area"`
}

// resizedKind is of the kind of the input.
type resizedKind struct {
	Resized graph.Any `out:"resized" match:"input_type"`
}

// Run resizes pictures, or masks as pictures of one channel. Sides are rounded, halves to even.
func (n ResizeImageMaskNode) Run(c *graph.Call) (resizedKind, error) {
	img, isMask, err := imageOrMask("input", n.Input.Value)
	if err != nil {
		return resizedKind{}, err
	}
	size, err := n.ResizeType.size(img.Shape[2], img.Shape[1])
	if err != nil {
		return resizedKind{}, err
	}
	same := size.width == img.Shape[2] && size.height == img.Shape[1]
	if same && (n.ResizeType.Key == "scale dimensions" || n.ResizeType.Key == "scale to multiple") {
		return resizedKind{n.Input}, nil
	}
	out, err := resizeAny(c, img, size, picture.Method(n.ScaleMethod))
	if err != nil {
		return resizedKind{}, err
	}
	if isMask {
		return resizedKind{graph.Any{Value: picture.PlaneMask(out)}}, nil
	}
	return resizedKind{graph.Any{Value: out}}, nil
}

// target is a size to stretch to, of which then the centre is kept.
type target struct {
	width, height int
	crop          picture.Crop
	keepW, keepH  int // 0: all
}

// size finds the target for w by h pixels.
func (t resizeType) size(w, h int) (target, error) {
	out := target{width: w, height: h, crop: picture.CropDisabled}
	width, height := float64(w), float64(h)
	times := func(by float64) {
		out.width, out.height = int(math.RoundToEven(width*by)), int(math.RoundToEven(height*by))
	}
	sides := func(toW, toH int) {
		if toW != 0 || toH != 0 {
			out.width, out.height = follow(width, height, toW, toH)
		}
	}
	switch t.Key {
	case "scale dimensions":
		sides(t.Dimensions.Width, t.Dimensions.Height)
		out.crop = picture.Crop(t.Dimensions.Crop)
	case "scale by multiplier":
		times(t.Multiplier.Multiplier)
	case "scale longer dimension":
		out.width, out.height = edge(width, height, true, t.Longer.LongerSize)
	case "scale shorter dimension":
		out.width, out.height = edge(width, height, false, t.Shorter.ShorterSize)
	case "scale width":
		sides(t.Width.Width, 0)
	case "scale height":
		sides(0, t.Height.Height)
	case "scale total pixels":
		times(toArea(width, height, t.Pixels.Megapixels))
	case "match size":
		other, _, err := imageOrMask("resize_type.match", t.Match.Match.Value)
		if err != nil {
			return out, err
		}
		out.width, out.height, out.crop = other.Shape[2], other.Shape[1], picture.Crop(t.Match.Crop)
	case "scale to multiple":
		return multiple(w, h, max(t.Multiple.Multiple, 1)), nil
	default:
		return out, &graph.Error{Kind: graph.KindNotInList, Input: "resize_type", Need: "a way to find the size", Have: t.Key}
	}
	return out, nil
}

// multiple scales to the multiples below, by the larger of both factors, and keeps the centre.
func multiple(w, h, of int) target {
	toW, toH := w/of*of, h/of*of
	if toW == 0 || toH == 0 || toW == w && toH == h {
		return target{width: w, height: h, crop: picture.CropDisabled}
	}
	out := target{width: toW, height: toH, crop: picture.CropDisabled, keepW: toW, keepH: toH}
	if byW, byH := float64(toW)/float64(w), float64(toH)/float64(h); byW >= byH {
		out.height = max(toH, int(math.Ceil(float64(h)*byW)))
	} else {
		out.width = max(toW, int(math.Ceil(float64(w)*byH)))
	}
	return out
}

// imageOrMask is what a slot for both got, a mask as a picture of one channel.
func imageOrMask(input string, v any) (img types.Image, isMask bool, err error) {
	switch x := v.(type) {
	case types.Image:
		img = x
	case types.Mask:
		if err := x.Check("the mask", 3); err != nil {
			return img, true, failed(input, err)
		}
		img, isMask = picture.Plane(x), true
	default:
		return img, false, &graph.Error{Kind: graph.KindTypeMismatch, Input: input, Need: "IMAGE or MASK", Have: fmt.Sprintf("%T", v)}
	}
	return img, isMask, check(input, img)
}

// resizeAny resizes pictures of any number of channels.
func resizeAny(ctx context.Context, img types.Image, to target, m picture.Method) (types.Image, error) {
	single := img.Shape[3] == 1 && m == picture.Lanczos
	if single { // which works on pixels of three or four values, each for itself
		img = gray(img)
	}
	out, err := picture.ResizeImage(ctx, img, to.width, to.height, m, to.crop)
	if err != nil {
		return types.Image{}, err
	}
	if to.keepW > 0 {
		out = picture.Region(out, (to.width-to.keepW)/2, (to.height-to.keepH)/2, to.keepW, to.keepH)
	}
	if single {
		out = picture.Channels(out, 1)
	}
	return out, nil
}

// gray makes three equal channels of the first.
func gray(img types.Image) types.Image {
	return picture.Gray(picture.PlaneMask(picture.Channels(img, 1)))
}

// ResizeImagesByLongerEdge resizes by the longer side.
type ResizeImagesByLongerEdge struct {
	Images     types.Image
	LongerEdge int `default:"1024" min:"1" max:"8192"`
}

type resizedImages struct {
	Images types.Image `out:"images"`
}

// Run resizes as Pillow's Lanczos does; the other side is cut to whole pixels.
func (n ResizeImagesByLongerEdge) Run(c *graph.Call) (resizedImages, error) {
	img := n.Images
	if err := check("images", img); err != nil {
		return resizedImages{}, err
	}
	w, h, edge := float64(img.Shape[2]), float64(img.Shape[1]), float64(n.LongerEdge)
	to := target{width: n.LongerEdge, height: n.LongerEdge, crop: picture.CropDisabled}
	if w > h {
		to.height = int(h * (edge / w))
	} else {
		to.width = int(w * (edge / h))
	}
	out, err := resizeAny(c, img, to, picture.Lanczos)
	return resizedImages{out}, err
}
