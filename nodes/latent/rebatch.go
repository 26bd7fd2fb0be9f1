package latent

import (
	"context"
	"slices"

	"graphrun/graph"
	"graphrun/runtime/picture"
	"graphrun/types"
)

func init() {
	graph.Register[RebatchLatents](graph.Meta{
		Name: "RebatchLatents", Title: "Rebatch Latents", Category: "latent/batch", Module: "comfy_extras.nodes_rebatch",
		Description: "Makes of a list of batches another one, whose batches have batch_size latents. Latents of another size begin a new batch.",
	})
}

// RebatchLatents cuts batches anew.
type RebatchLatents struct {
	Latents   graph.List[types.Latent]
	BatchSize int `default:"1" min:"1" max:"4096"`
}

// Run keeps masks, resized to 8 pixels a cell, where one is not all 1, and batch indices: of a batch without, those of
// its place in the list.
func (n RebatchLatents) Run(c *graph.Call) (graph.List[types.Latent], error) {
	var out graph.List[types.Latent]
	var gathered []types.Latent // of one size, fewer than a batch once flushed
	flush := func(all bool) error {
		if len(gathered) == 0 {
			return nil
		}
		whole, err := concat(gathered)
		if err != nil {
			return err
		}
		gathered = nil
		// A full batch waits until more comes: only then is it known not to be the last.
		for size := whole.Samples.Shape[0]; size > n.BatchSize || all && size > 0; size = whole.Samples.Shape[0] {
			k := min(n.BatchSize, size)
			out = append(out, part(whole, 0, k))
			if k == size {
				return nil
			}
			whole = part(whole, k, size)
		}
		gathered = []types.Latent{whole}
		return nil
	}
	seen := 0
	for _, l := range n.Latents {
		next, err := withMask(c, l, seen)
		if err != nil {
			return nil, err
		}
		seen += len(next.BatchIndex)
		if len(gathered) > 0 && !slices.Equal(gathered[0].Samples.Shape[1:], next.Samples.Shape[1:]) {
			if err := flush(true); err != nil {
				return nil, err
			}
		}
		gathered = append(gathered, next)
		if err := flush(false); err != nil {
			return nil, err
		}
	}
	if err := flush(true); err != nil {
		return nil, err
	}
	for i := range out {
		if !slices.ContainsFunc(out[i].NoiseMask.Data, func(v float32) bool { return v != 1 }) {
			out[i].NoiseMask = nil
		}
	}
	return out, nil
}

// withMask gives a latent one mask for each of its batch, 8 pixels a cell, and a batch index from first on.
func withMask(ctx context.Context, l types.Latent, first int) (types.Latent, error) {
	h, w, err := plane("latents", l.Samples)
	if err != nil {
		return l, err
	}
	l.BatchIndex = indices(l, first)
	size := l.Samples.Shape[0]
	if l.NoiseMask == nil {
		mask := types.NewTensor(size, h*8, w*8)
		for i := range mask.Data {
			mask.Data[i] = 1
		}
		l.NoiseMask = &types.Mask{Tensor: mask}
		return l, nil
	}
	if err := l.NoiseMask.Check("the noise mask", 3); err != nil {
		return l, err
	}
	m, err := picture.ResizeMask(ctx, *l.NoiseMask, w*8, h*8)
	if err != nil {
		return l, err
	}
	l.NoiseMask = &types.Mask{Tensor: picture.Repeat(m.Tensor, size)}
	return l, nil
}

// concat joins latents of one shape, each with masks and indices.
func concat(list []types.Latent) (types.Latent, error) {
	if len(list) == 1 {
		return list[0], nil
	}
	var samples, masks []types.Tensor
	var index []int
	for _, l := range list {
		samples, masks, index = append(samples, l.Samples), append(masks, l.NoiseMask.Tensor), append(index, l.BatchIndex...)
	}
	s, err := join(0, samples...)
	if err != nil {
		return types.Latent{}, err
	}
	m, err := join(0, masks...)
	return types.Latent{Samples: s, NoiseMask: &types.Mask{Tensor: m}, BatchIndex: index}, err
}

// part is the latents from..to-1 of a batch, with their masks and indices.
func part(l types.Latent, from, to int) types.Latent {
	return types.Latent{
		Samples: cut(l.Samples, 0, from, to-from), NoiseMask: &types.Mask{Tensor: cut(l.NoiseMask.Tensor, 0, from, to-from)},
		BatchIndex: l.BatchIndex[min(from, len(l.BatchIndex)):min(to, len(l.BatchIndex))],
	}
}
