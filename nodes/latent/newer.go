package latent

import (
	"fmt"
	"slices"

	"graphrun/graph"
	"graphrun/runtime/picture"
	"graphrun/types"
)

func init() {
	register := func(name, title, category, module, what string) graph.Meta {
		return graph.Meta{Name: name, Title: title, Category: "model/latent/" + category, Module: "comfy_extras." + module, Later: true, NewStyle: true, Description: what}
	}
	graph.Register[EmptyFlux2LatentImage](register("EmptyFlux2LatentImage", "Empty Flux 2 Latent", "flux", "nodes_flux",
		"An empty latent of 128 channels and a 16th of the size for Flux 2: batch_size pictures of width by height pixels."))
	graph.Register[EmptyQwenImageLayeredLatentImage](register("EmptyQwenImageLayeredLatentImage", "Empty Qwen Image Layered Latent", "qwen", "nodes_qwen",
		"An empty latent for Qwen-Image-Layered: one frame for the whole picture and one for each layer."))
	graph.Register[EmptyHiDreamO1LatentImage](register("EmptyHiDreamO1LatentImage", "Empty HiDream-O1 Latent Image", "hidream", "nodes_hidream_o1",
		"An empty latent for HiDream-O1, which works on pixels: batch_size pictures of width by height pixels."))
	graph.Register[LatentCutToBatch](register("LatentCutToBatch", "", "advanced", "nodes_latent",
		"Cuts latents along x, y or t into slices and makes a batch of them; what is left over is dropped."))
	graph.Register[ReplaceVideoLatentFrames](register("ReplaceVideoLatentFrames", "Replace Video Latent Frames", "batch", "nodes_latent",
		"Replaces the frames of a video latent from index on, counted from the end if negative, by those of another."))
	graph.Register[BatchLatentsNode](register("BatchLatentsNode", "Batch Latents", "batch", "nodes_post_processing",
		"Joins batches of latents; all are resized to the first."))
}

// EmptyFlux2LatentImage makes latents of zeros, 128 channels, a 16th of the picture's size.
type EmptyFlux2LatentImage struct {
	Width     int `default:"1024" min:"16" max:"16384" step:"16"`
	Height    int `default:"1024" min:"16" max:"16384" step:"16"`
	BatchSize int `default:"1" min:"1" max:"4096"`
}

// Run returns zeros [batch_size, 128, height/16, width/16].
func (n EmptyFlux2LatentImage) Run(*graph.Call) (types.Latent, error) {
	return empty(n.BatchSize, 128, n.Height/16, n.Width/16)
}

// EmptyQwenImageLayeredLatentImage makes latents of zeros with a frame for each layer.
type EmptyQwenImageLayeredLatentImage struct {
	Width     int `default:"640" min:"16" max:"16384" step:"16"`
	Height    int `default:"640" min:"16" max:"16384" step:"16"`
	Layers    int `default:"3" min:"0" max:"16384" step:"1"`
	BatchSize int `default:"1" min:"1" max:"4096"`
}

// Run returns zeros [batch_size, 16, layers+1, height/8, width/8].
func (n EmptyQwenImageLayeredLatentImage) Run(*graph.Call) (types.Latent, error) {
	return empty(n.BatchSize, 16, n.Layers+1, n.Height/8, n.Width/8)
}

// EmptyHiDreamO1LatentImage makes latents of zeros of the picture's size.
type EmptyHiDreamO1LatentImage struct {
	Width     int `default:"2048" min:"64" max:"4096" step:"32"`
	Height    int `default:"2048" min:"64" max:"4096" step:"32"`
	BatchSize int `default:"1" min:"1" max:"64"`
}

// Run returns zeros [batch_size, 3, height, width].
func (n EmptyHiDreamO1LatentImage) Run(*graph.Call) (types.Latent, error) {
	return empty(n.BatchSize, 3, n.Height, n.Width)
}

type sliceDim string

// Options lists the axes.
func (sliceDim) Options() []string { return []string{"t", "x", "y"} }

// LatentCutToBatch makes a batch of slices.
type LatentCutToBatch struct {
	Samples   types.Latent
	Dim       sliceDim
	SliceSize int `default:"1" min:"1" max:"16384" step:"1"`
}

// Run puts slice k of picture b at place b·slices + k. A latent without the axis (t of pictures) passes; a slice is no
// longer than the axis. The batch index is dropped: it would say nothing of slices.
func (n LatentCutToBatch) Run(*graph.Call) (types.Latent, error) {
	t := n.Samples.Samples
	axis, err := axisOf("samples", string(n.Dim), t)
	if err != nil {
		return types.Latent{}, err
	}
	if axis < 2 {
		return n.Samples, nil
	}
	size := min(n.SliceSize, t.Shape[axis])
	var list []types.Tensor
	for b := range t.Shape[0] {
		one := t.Slice(b, 1)
		for k := 0; k+size <= t.Shape[axis]; k += size {
			list = append(list, cut(one, axis, k, size))
		}
	}
	n.Samples.Samples, err = join(0, list...)
	n.Samples.BatchIndex = nil
	return n.Samples, err
}

// ReplaceVideoLatentFrames replaces frames.
type ReplaceVideoLatentFrames struct {
	Destination types.Latent
	Index       int `default:"0" min:"-16384" max:"16384" step:"1"`
	Source      *types.Latent
}

// Run returns the destination unchanged where the source does not fit in.
func (n ReplaceVideoLatentFrames) Run(*graph.Call) (types.Latent, error) {
	if err := check("destination", n.Destination.Samples); err != nil {
		return types.Latent{}, err
	}
	if n.Source == nil {
		return n.Destination, nil
	}
	to, from := n.Destination.Samples, n.Source.Samples
	for input, t := range map[string]types.Tensor{"destination": to, "source": from} {
		if t.Check(input, 5) != nil {
			return types.Latent{}, refuse(input, "a video latent [batch, channels, frames, height, width]", t.Shape)
		}
	}
	frames, first := from.Shape[2], n.Index
	if first < 0 {
		first += to.Shape[2]
	}
	if first < 0 || first+frames > to.Shape[2] {
		return n.Destination, nil
	}
	if shape := slices.Concat(to.Shape[:2], []int{frames}, to.Shape[3:]); !slices.Equal(from.Shape, shape) {
		return types.Latent{}, refuse("source", fmt.Sprintf("batch, channels and size as in %v", to.Shape), from.Shape)
	}
	out := to.Clone()
	plane := to.Shape[3] * to.Shape[4]
	for k := range to.Shape[0] * to.Shape[1] {
		copy(out.Data[(k*to.Shape[2]+first)*plane:], from.Data[k*frames*plane:][:frames*plane])
	}
	n.Destination.Samples = out
	return n.Destination, nil
}

// BatchLatentsNode joins batches.
type BatchLatentsNode struct {
	Latents graph.Autogrow[types.Latent] `prefix:"latent" item:"latent" min:"1" max:"50"`
}

// Run joins samples and batch indices (of a batch without, 0, 1, 2, ...); the mask is the first one's.
func (n BatchLatentsNode) Run(c *graph.Call) (types.Latent, error) {
	if len(n.Latents) == 0 {
		return types.Latent{}, &graph.Error{Kind: graph.KindMissing, Input: "latents.latent0", Hint: "connect the first slot at least"}
	}
	out := n.Latents[0].Value
	out.BatchIndex = nil
	var list []types.Tensor
	for _, l := range n.Latents {
		t, err := fit(c, "latents."+l.Name, out.Samples, l.Value.Samples, picture.Bilinear)
		if err != nil {
			return types.Latent{}, err
		}
		list = append(list, t)
		out.BatchIndex = append(out.BatchIndex, indices(l.Value, 0)...)
	}
	var err error
	out.Samples, err = join(0, list...)
	return out, err
}
