package mask

import (
	"fmt"
	"math"

	"graphrun/graph"
	"graphrun/runtime/picture"
	"graphrun/types"
)

func init() {
	graph.Register[MaskComposite](graph.Meta{
		Name: "MaskComposite", Category: "mask", Module: "comfy_extras.nodes_mask",
		Description: "Combines source with destination, its left upper corner at x, y. and, or and xor work on the values rounded to 0 and 1.",
	})
	meta := func(name, title, description string) graph.Meta {
		return graph.Meta{
			Name: name, Title: title, Category: "mask/compositing", Module: "comfy_extras.nodes_compositing", NewStyle: true, Description: description,
		}
	}
	graph.Register[JoinImageWithAlpha](meta("JoinImageWithAlpha", "Join Image with Alpha", "Makes pictures transparent where the mask is 1."))
	graph.Register[SplitImageWithAlpha](meta("SplitImageWithAlpha", "Split Image with Alpha", "Takes the alpha of pictures off: the mask is 1 where they are transparent."))
	graph.Register[PorterDuffImageComposite](meta("PorterDuffImageComposite", "Porter-Duff Image Composite",
		"Composes source with destination by one of Porter and Duff's rules or a blend mode. The masks are 1 where nothing is to be seen. "+
			"All is brought to the destination's size."))
}

type maskOperation string

// Options lists the operations in ComfyUI's order.
func (maskOperation) Options() []string {
	return []string{"multiply", "add", "subtract", "and", "or", "xor"}
}

// MaskComposite combines masks.
type MaskComposite struct {
	Destination types.Mask
	Source      types.Mask
	X           int `default:"0" min:"0" max:"16384" step:"1"`
	Y           int `default:"0" min:"0" max:"16384" step:"1"`
	Operation   maskOperation
}

// Run clamps the result to 0..1. A source of one mask goes with every destination.
func (n MaskComposite) Run(*graph.Call) (types.Mask, error) {
	if err := check("destination", n.Destination); err != nil {
		return types.Mask{}, err
	}
	if err := check("source", n.Source); err != nil {
		return types.Mask{}, err
	}
	b, h, w := n.Destination.Shape[0], n.Destination.Shape[1], n.Destination.Shape[2]
	sb, sh, sw := n.Source.Shape[0], n.Source.Shape[1], n.Source.Shape[2]
	if sb != 1 && sb != b {
		return types.Mask{}, &graph.Error{
			Kind: graph.KindNodeFailed, Input: "source", Need: fmt.Sprintf("one mask, or %d as the destination", b), Have: fmt.Sprint(sb),
			Hint: "combine them one by one",
		}
	}
	out := types.Mask{Tensor: n.Destination.Clone()}
	for i := range b {
		dst, src := out.Item(i).Data, n.Source.Item(i%sb).Data
		for y := n.Y; y < min(n.Y+sh, h); y++ {
			for x := n.X; x < min(n.X+sw, w); x++ {
				dst[y*w+x] = n.Operation.of(dst[y*w+x], src[(y-n.Y)*sw+x-n.X])
			}
		}
	}
	for i, v := range out.Data {
		out.Data[i] = min(max(v, 0), 1)
	}
	return out, nil
}

func (o maskOperation) of(d, s float32) float32 {
	switch o {
	case "multiply":
		return d * s
	case "add":
		return d + s
	case "subtract":
		return d - s
	}
	a, b := set(d), set(s)
	if o == "and" && a && b || o == "or" && (a || b) || o == "xor" && a != b {
		return 1
	}
	return 0
}

// set tells whether v rounds, a half to even, to something other than 0.
func set(v float32) bool { return math.RoundToEven(float64(v)) != 0 }

// JoinImageWithAlpha gives pictures alpha.
type JoinImageWithAlpha struct {
	Image types.Image
	Alpha types.Mask
}

// Run stretches the mask to the picture. Of batches of two lengths the shorter counts.
func (n JoinImageWithAlpha) Run(c *graph.Call) (types.Image, error) {
	if err := checkImage("image", n.Image); err != nil {
		return types.Image{}, err
	}
	if err := check("alpha", n.Alpha); err != nil {
		return types.Image{}, err
	}
	mask, err := picture.ResizeMask(c, n.Alpha, n.Image.Shape[2], n.Image.Shape[1])
	if err != nil {
		return types.Image{}, failed("alpha", err)
	}
	batch := min(n.Image.Shape[0], mask.Shape[0])
	out := picture.Channels(picture.Channels(types.Image{Tensor: picture.Repeat(n.Image.Tensor, batch)}, 3), 4)
	for p := range len(out.Data) / 4 {
		out.Data[4*p+3] = 1 - mask.Data[p]
	}
	return out, nil
}

// SplitImageWithAlpha takes alpha off.
type SplitImageWithAlpha struct {
	Image types.Image
}

type split struct {
	Image types.Image
	Mask  types.Mask
}

// Run gives a mask of zeros for pictures without alpha.
func (n SplitImageWithAlpha) Run(*graph.Call) (split, error) {
	if err := checkImage("image", n.Image); err != nil {
		return split{}, err
	}
	c := n.Image.Shape[3]
	mask := types.Mask{Tensor: types.NewTensor(n.Image.Shape[:3]...)}
	for p := range mask.Data {
		if c > 3 {
			mask.Data[p] = 1 - n.Image.Data[p*c+3]
		}
	}
	return split{picture.RGB(n.Image), mask}, nil
}

type porterDuffMode string

// Options lists the modes in ComfyUI's order.
func (porterDuffMode) Options() []string {
	return []string{
		"ADD", "CLEAR", "DARKEN", "DST", "DST_ATOP", "DST_IN", "DST_OUT", "DST_OVER", "LIGHTEN", "MULTIPLY", "OVERLAY", "SCREEN",
		"SRC", "SRC_ATOP", "SRC_IN", "SRC_OUT", "SRC_OVER", "XOR",
	}
}

// PorterDuffImageComposite composes pictures with their masks.
type PorterDuffImageComposite struct {
	Source           types.Image
	SourceAlpha      types.Mask
	Destination      types.Image
	DestinationAlpha types.Mask
	Mode             porterDuffMode `default:"DST"`
}

// Run resizes what has not the destination's size bicubically, cutting off what is too long. The shortest batch counts.
func (n PorterDuffImageComposite) Run(c *graph.Call) (split, error) {
	for name, img := range map[string]types.Image{"source": n.Source, "destination": n.Destination} {
		if err := checkImage(name, img); err != nil {
			return split{}, err
		}
	}
	for name, m := range map[string]types.Mask{"source_alpha": n.SourceAlpha, "destination_alpha": n.DestinationAlpha} {
		if err := check(name, m); err != nil {
			return split{}, err
		}
	}
	if s, d := n.Source.Shape[3], n.Destination.Shape[3]; s != d {
		return split{}, &graph.Error{
			Kind: graph.KindNodeFailed, Input: "source", Need: fmt.Sprintf("%d channels as the destination", d), Have: fmt.Sprint(s),
			Hint: "take the alpha off with SplitImageWithAlpha",
		}
	}
	batch := min(n.Source.Shape[0], n.SourceAlpha.Shape[0], n.Destination.Shape[0], n.DestinationAlpha.Shape[0])
	h, w := n.Destination.Shape[1], n.Destination.Shape[2]
	src := types.Image{Tensor: picture.Repeat(n.Source.Tensor, batch)}
	var err error
	if src.Shape[1] != h || src.Shape[2] != w {
		if src, err = picture.ResizeImage(c, src, w, h, picture.Bicubic, picture.CropCenter); err != nil {
			return split{}, failed("source", err)
		}
	}
	srcMask, err := picture.CoverMask(c, types.Mask{Tensor: picture.Repeat(n.SourceAlpha.Tensor, batch)}, w, h)
	if err != nil {
		return split{}, failed("source_alpha", err)
	}
	dstMask, err := picture.CoverMask(c, types.Mask{Tensor: picture.Repeat(n.DestinationAlpha.Tensor, batch)}, w, h)
	if err != nil {
		return split{}, failed("destination_alpha", err)
	}
	out, mask, err := picture.PorterDuff(c, src, srcMask, types.Image{Tensor: picture.Repeat(n.Destination.Tensor, batch)}, dstMask, string(n.Mode))
	return split{out, mask}, err
}
