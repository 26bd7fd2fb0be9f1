package latent

import (
	"fmt"
	"slices"

	"graphrun/graph"
	"graphrun/runtime/picture"
	"graphrun/types"
)

func init() {
	graph.Register[LatentComposite](graph.Meta{
		Name: "LatentComposite", Title: "Latent Composite", Category: "latent",
		Description: "Lays one latent over another at x, y. Over feather pixels its inner edges fade into what lies below.",
	})
	graph.Register[LatentCompositeMasked](graph.Meta{
		Name: "LatentCompositeMasked", Category: "latent", Module: "comfy_extras.nodes_mask",
		Description: "Lays one latent over another at x, y, where the mask is 1.",
	})
}

// LatentComposite lays one latent over another.
type LatentComposite struct {
	SamplesTo, SamplesFrom types.Latent
	X                      int `default:"0" min:"0" max:"16384" step:"8"`
	Y                      int `default:"0" min:"0" max:"16384" step:"8"`
	Feather                int `default:"0" min:"0" max:"16384" step:"8"`
}

// Run pastes what is inside. x, y and feather are pixels, eight a cell; a side at the border of the destination does not fade.
func (n LatentComposite) Run(*graph.Call) (types.Latent, error) {
	p, err := paste(n.SamplesTo.Samples, n.SamplesFrom.Samples, "samples_to", "samples_from", n.X/8, n.Y/8)
	if err != nil {
		return types.Latent{}, err
	}
	rows := fade(p.height, n.Feather/8, p.y != 0, p.y+p.height < p.toHeight)
	columns := fade(p.width, n.Feather/8, p.x != 0, p.x+p.width < p.toWidth)
	n.SamplesTo.Samples = p.blend(func(_, y, x int) float32 { return rows[y] * columns[x] })
	return n.SamplesTo, nil
}

// fade is the weight of n cells of an axis: over feather cells from its start, or its end, it rises from 1/feather to 1.
// A feather longer than the axis falls on its last cells a second time, as ComfyUI's negative indices do.
func fade(n, feather int, start, end bool) []float32 {
	weights := make([]float32, n)
	for i := range weights {
		weights[i] = 1
	}
	for t := range feather {
		w := float32(1 / float64(feather) * float64(t+1))
		if start && t < n {
			weights[t] *= w
		}
		at := n - 1 - t
		if at < -1 {
			at += n
		}
		if end && at >= 0 {
			weights[at] *= w
		}
	}
	return weights
}

// LatentCompositeMasked lays one latent over another through a mask.
type LatentCompositeMasked struct {
	Destination, Source types.Latent
	X                   int  `default:"0" min:"0" max:"16384" step:"8"`
	Y                   int  `default:"0" min:"0" max:"16384" step:"8"`
	ResizeSource        bool `default:"false"`
	Mask                *types.Mask
}

// Run pastes what is inside. The mask is resized to the source and repeated to its batch.
func (n LatentCompositeMasked) Run(c *graph.Call) (types.Latent, error) {
	to, from := n.Destination.Samples, n.Source.Samples
	h, w, err := plane("destination", to)
	if err == nil && n.ResizeSource {
		from, err = picture.ResizeLatent(c, from, w, h, picture.Bilinear, picture.CropDisabled)
	}
	if err != nil {
		return types.Latent{}, err
	}
	// Beyond the border there is nothing to lay on: ComfyUI draws the source back to it.
	p, err := paste(to, from, "destination", "source", min(n.X/8, w), min(n.Y/8, h))
	if err != nil {
		return types.Latent{}, err
	}
	weight := func(int, int, int) float32 { return 1 }
	if n.Mask != nil {
		if err := n.Mask.Check("the mask", 3); err != nil {
			return types.Latent{}, err
		}
		sh, sw := from.Shape[len(from.Shape)-2], from.Shape[len(from.Shape)-1]
		masks, err := picture.ResizeMask(c, *n.Mask, sw, sh)
		if err != nil {
			return types.Latent{}, err
		}
		weight = func(b, y, x int) float32 { return masks.Data[(b%masks.Shape[0]*sh+y)*sw+x] }
	}
	n.Destination.Samples = p.blend(weight)
	return n.Destination, nil
}

// pasting is a latent that lies over another at x, y: width by height cells of it are inside.
type pasting struct {
	to, from                               types.Tensor
	x, y, width, height, toWidth, toHeight int
}

func paste(to, from types.Tensor, toName, fromName string, x, y int) (p pasting, err error) {
	h, w, err := plane(toName, to)
	if err != nil {
		return p, err
	}
	fh, fw, err := plane(fromName, from)
	if err != nil {
		return p, err
	}
	if n := len(to.Shape); len(from.Shape) != n || !slices.Equal(from.Shape[1:n-2], to.Shape[1:n-2]) {
		return p, refuse(fromName, fmt.Sprintf("channels and frames as in %v", to.Shape), from.Shape)
	}
	return pasting{to, picture.Repeat(from, to.Shape[0]), x, y, max(0, min(fw, w-x)), max(0, min(fh, h-y)), w, h}, nil
}

// blend returns from·weight + to·(1-weight) where from is inside, else to. weight gets the picture of the batch and the
// cell of from.
func (p pasting) blend(weight func(b, y, x int) float32) types.Tensor {
	out := p.to.Clone()
	if p.width == 0 {
		return out
	}
	fh, fw := p.from.Shape[len(p.from.Shape)-2], p.from.Shape[len(p.from.Shape)-1]
	planes := len(p.from.Data) / (fh * fw)
	for k := range planes {
		b := k * p.to.Shape[0] / planes
		for y := range p.height {
			src := p.from.Data[(k*fh+y)*fw:]
			dst := out.Data[(k*p.toHeight+p.y+y)*p.toWidth+p.x:]
			for x := range p.width {
				m := weight(b, y, x)
				dst[x] = src[x]*m + dst[x]*(1-m)
			}
		}
	}
	return out
}
