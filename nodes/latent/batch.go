package latent

import (
	"fmt"
	"slices"

	"graphrun/graph"
	"graphrun/runtime/picture"
	"graphrun/types"
)

func init() {
	graph.Register[LatentBatch](graph.Meta{
		Name: "LatentBatch", Category: "latent/batch", Module: "comfy_extras.nodes_latent", NewStyle: true,
		Description: "Joins two batches of latents; the second is resized to the first.",
	})
	graph.Register[LatentFromBatch](graph.Meta{
		Name: "LatentFromBatch", Title: "Latent From Batch", Category: "latent/batch",
		Description: "Takes length latents out of a batch, from batch_index on. They keep the noise of their place.",
	})
	graph.Register[RepeatLatentBatch](graph.Meta{
		Name: "RepeatLatentBatch", Title: "Repeat Latent Batch", Category: "latent/batch",
		Description: "Repeats a batch of latents; every repetition has noise of its own.",
	})
	graph.Register[LatentBatchSeedBehavior](graph.Meta{
		Name: "LatentBatchSeedBehavior", Category: "latent/advanced", Module: "comfy_extras.nodes_latent", NewStyle: true,
		Description: "Says whether the latents of a batch get different noise (random) or all the noise of the first (fixed).",
	})
	graph.Register[SetLatentNoiseMask](graph.Meta{
		Name: "SetLatentNoiseMask", Title: "Set Latent Noise Mask", Category: "latent/inpaint",
		Description: "Lets the sampler change latents only where the mask is 1.",
	})
}

// LatentBatch joins two batches.
type LatentBatch struct{ Samples1, Samples2 types.Latent }

// Run joins samples and batch indices (of a batch without, 0, 1, 2, ...); the mask is the first one's.
func (n LatentBatch) Run(c *graph.Call) (types.Latent, error) {
	second, err := fit(c, "samples2", n.Samples1.Samples, n.Samples2.Samples, picture.Bilinear)
	if err != nil {
		return types.Latent{}, err
	}
	out := n.Samples1
	if out.Samples, err = join(0, n.Samples1.Samples, second); err != nil {
		return types.Latent{}, err
	}
	out.BatchIndex = slices.Concat(indices(n.Samples1, 0), indices(n.Samples2, 0))
	return out, nil
}

// indices is the batch index, or first, first+1, ... where a latent has none.
func indices(l types.Latent, first int) []int {
	if l.BatchIndex != nil {
		return l.BatchIndex
	}
	list := make([]int, l.Samples.Shape[0])
	for i := range list {
		list[i] = first + i
	}
	return list
}

// LatentFromBatch takes a part of a batch.
type LatentFromBatch struct {
	Samples    types.Latent
	BatchIndex int `default:"0" min:"0" max:"63"`
	Length     int `default:"1" min:"1" max:"64"`
}

// Run takes what there is, at least the last one; masks and batch index are cut the same way.
func (n LatentFromBatch) Run(*graph.Call) (types.Latent, error) {
	in := n.Samples
	if err := check("samples", in.Samples); err != nil {
		return types.Latent{}, err
	}
	if in.NoiseMask != nil {
		if err := in.NoiseMask.Check("the noise mask", 3); err != nil {
			return types.Latent{}, err
		}
	}
	size := in.Samples.Shape[0]
	from := min(n.BatchIndex, size-1)
	to := from + min(n.Length, size-from)
	out := types.Latent{Samples: cut(in.Samples, 0, from, to-from), NoiseMask: in.NoiseMask}
	if m := in.NoiseMask; m != nil && m.Shape[0] > 1 {
		masks := m.Tensor
		if masks.Shape[0] < size {
			masks = picture.Repeat(masks, size)
		}
		out.NoiseMask = &types.Mask{Tensor: cut(masks, 0, from, to-from)}
	}
	list := indices(in, 0)
	out.BatchIndex = list[min(from, len(list)):min(to, len(list))]
	return out, nil
}

// RepeatLatentBatch repeats a batch.
type RepeatLatentBatch struct {
	Samples types.Latent
	Amount  int `default:"1" min:"1" max:"64"`
}

// Run repeats the whole batch, several masks too; the batch indices of each repetition follow on those before.
func (n RepeatLatentBatch) Run(*graph.Call) (types.Latent, error) {
	out := n.Samples
	if err := check("samples", out.Samples); err != nil {
		return types.Latent{}, err
	}
	if out.NoiseMask != nil {
		if err := out.NoiseMask.Check("the noise mask", 3); err != nil {
			return types.Latent{}, err
		}
	}
	if n.Amount > picture.MaxValues/len(out.Samples.Data) {
		return types.Latent{}, &graph.Error{
			Kind: graph.KindTooBig, Input: "amount", Need: fmt.Sprintf("at most %d at this size (8 GiB)", picture.MaxValues/len(out.Samples.Data)), Have: fmt.Sprint(n.Amount),
		}
	}
	out.Samples = picture.Repeat(out.Samples, n.Amount*out.Samples.Shape[0])
	if m := out.NoiseMask; m != nil && m.Shape[0] > 1 {
		out.NoiseMask = &types.Mask{Tensor: picture.Repeat(m.Tensor, n.Amount*m.Shape[0])}
	}
	if list := out.BatchIndex; len(list) > 0 {
		step := slices.Max(list) - slices.Min(list) + 1
		out.BatchIndex = make([]int, 0, n.Amount*len(list))
		for k := range n.Amount {
			for _, i := range list {
				out.BatchIndex = append(out.BatchIndex, i+k*step)
			}
		}
	}
	return out, nil
}

type seedBehavior string

// Options lists the two ways.
func (seedBehavior) Options() []string { return []string{"random", "fixed"} }

// LatentBatchSeedBehavior sets or removes the batch index.
type LatentBatchSeedBehavior struct {
	Samples      types.Latent
	SeedBehavior seedBehavior `default:"fixed" multiselect:"false"`
}

// Run removes the batch index (random), or repeats its first entry, else 0, for the whole batch (fixed).
func (n LatentBatchSeedBehavior) Run(*graph.Call) (types.Latent, error) {
	if err := check("samples", n.Samples.Samples); err != nil {
		return types.Latent{}, err
	}
	first := 0
	if len(n.Samples.BatchIndex) > 0 {
		first = n.Samples.BatchIndex[0]
	}
	n.Samples.BatchIndex = nil
	if n.SeedBehavior == "fixed" {
		n.Samples.BatchIndex = slices.Repeat([]int{first}, n.Samples.Samples.Shape[0])
	}
	return n.Samples, nil
}

// SetLatentNoiseMask sets where the sampler may work.
type SetLatentNoiseMask struct {
	Samples types.Latent
	Mask    types.Mask
}

// Run keeps the mask in its own size: the sampler resizes it.
func (n SetLatentNoiseMask) Run(*graph.Call) (types.Latent, error) {
	if err := check("samples", n.Samples.Samples); err != nil {
		return types.Latent{}, err
	}
	if err := n.Mask.Check("the mask", 3); err != nil {
		return types.Latent{}, err
	}
	n.Samples.NoiseMask = &n.Mask
	return n.Samples, nil
}
