package latent

import (
	"context"
	"slices"
	"testing"

	"graphrun/graph"
	"graphrun/internal/golden"
	"graphrun/types"
)

// params are those of all latent_op cases.
type params struct {
	Node, Crop, Rotation, Dim string
	Method                    string `json:"upscale_method"`
	Width, Height, X, Y       int
	Feather, Index, Amount    int
	Length                    int
	BatchSize                 int     `json:"batch_size"`
	ScaleBy                   float64 `json:"scale_by"`
	ResizeSource              bool    `json:"resize_source"`
	BlendFactor               float64 `json:"blend_factor"`
	Ratio, Multiplier         float64
	FlipMethod                string `json:"flip_method"`
	SeedBehavior              string `json:"seed_behavior"`
	SharpenRadius             int    `json:"sharpen_radius"`
	Sigma, Alpha              float64
	BatchIndex                any   `json:"batch_index"` // an input, or what the latent has
	OutBatchIndex             []int `json:"out_batch_index"`
}

func (p params) index() (list []int) {
	given, _ := p.BatchIndex.([]any)
	for _, v := range given {
		list = append(list, int(v.(float64)))
	}
	return list
}

func TestGoldenLatentOps(t *testing.T) {
	call := &graph.Call{Context: context.Background()}
	for _, c := range golden.Numerics(t, "latent_op") {
		var p params
		c.Into(t, &p)
		t.Run(c.Name, func(t *testing.T) {
			golden.Later(t, "numerics", p.Node, c.Name)
			mask := func(role string) *types.Mask {
				x, ok := c.Lookup(t, role)
				if !ok {
					return nil
				}
				n := len(x.Shape) // [n, h, w] or [n, 1, h, w]
				return &types.Mask{Tensor: types.Tensor{Shape: []int{x.Shape[0], x.Shape[n-2], x.Shape[n-1]}, Data: x.F32()}}
			}
			in := func(role string) types.Latent {
				x := c.Tensor(t, role)
				return types.Latent{Samples: types.Tensor{Shape: x.Shape, Data: x.F32()}, BatchIndex: p.index(), NoiseMask: mask("noise_mask")}
			}
			out, err := runNode(t, call, p, in, mask)
			if err != nil {
				t.Fatal(err)
			}
			check := func(role string, got types.Tensor, axes []int) {
				want := c.Tensor(t, role)
				if !slices.Equal(axes, want.Shape) {
					t.Fatalf("%s: shape %v, want %v", role, axes, want.Shape)
				}
				golden.Close(t, c.Name+" "+role, got.Data, want.F32(), c.Tolerance.ATol, c.Tolerance.RTol)
			}
			check("out", out.Samples, out.Samples.Shape)
			if _, ok := c.Lookup(t, "out_noise_mask"); ok {
				axes := out.NoiseMask.Shape
				if len(c.Tensor(t, "out_noise_mask").Shape) == 4 {
					axes = slices.Insert(slices.Clone(axes), 1, 1)
				}
				check("out_noise_mask", out.NoiseMask.Tensor, axes)
			}
			if p.OutBatchIndex != nil && !slices.Equal(out.BatchIndex, p.OutBatchIndex) {
				t.Errorf("batch index %v, want %v", out.BatchIndex, p.OutBatchIndex)
			}
		})
	}
}

func runNode(t *testing.T, call *graph.Call, p params, in func(string) types.Latent, mask func(string) *types.Mask) (types.Latent, error) {
	apply := func(op Operation, err error) (types.Latent, error) {
		if err != nil {
			return types.Latent{}, err
		}
		return LatentApplyOperation{in("samples"), op}.Run(call)
	}
	switch p.Node {
	case "LatentUpscale":
		return LatentUpscale{in("samples"), latentMethod(p.Method), p.Width, p.Height, crop(p.Crop)}.Run(call)
	case "LatentUpscaleBy":
		return LatentUpscaleBy{in("samples"), latentMethod(p.Method), p.ScaleBy}.Run(call)
	case "EmptyLatentImage":
		return EmptyLatentImage{p.Width, p.Height, p.BatchSize}.Run(call)
	case "EmptySD3LatentImage":
		return EmptySD3LatentImage{p.Width, p.Height, p.BatchSize}.Run(call)
	case "EmptyHunyuanImageLatent":
		return EmptyHunyuanImageLatent{p.Width, p.Height, p.BatchSize}.Run(call)
	case "LatentComposite":
		return LatentComposite{in("samples_to"), in("samples_from"), p.X, p.Y, p.Feather}.Run(call)
	case "LatentCompositeMasked":
		return LatentCompositeMasked{in("destination"), in("source"), p.X, p.Y, p.ResizeSource, mask("mask")}.Run(call)
	case "LatentBlend":
		return LatentBlend{in("samples1"), in("samples2"), p.BlendFactor}.Run(call)
	case "LatentInterpolate":
		return LatentInterpolate{in("samples1"), in("samples2"), p.Ratio}.Run(call)
	case "LatentAdd":
		return LatentAdd{in("samples1"), in("samples2")}.Run(call)
	case "LatentSubtract":
		return LatentSubtract{in("samples1"), in("samples2")}.Run(call)
	case "LatentMultiply":
		return LatentMultiply{in("samples"), p.Multiplier}.Run(call)
	case "LatentCrop":
		return LatentCrop{in("samples"), p.Width, p.Height, p.X, p.Y}.Run(call)
	case "LatentRotate":
		return LatentRotate{in("samples"), rotation(p.Rotation)}.Run(call)
	case "LatentFlip":
		return LatentFlip{in("samples"), flipMethod(p.FlipMethod)}.Run(call)
	case "LatentConcat":
		return LatentConcat{in("samples1"), in("samples2"), concatDim(p.Dim)}.Run(call)
	case "LatentCut":
		return LatentCut{in("samples"), cutDim(p.Dim), p.Index, p.Amount}.Run(call)
	case "LatentBatch":
		return LatentBatch{in("samples1"), in("samples2")}.Run(call)
	case "LatentFromBatch":
		from, _ := p.BatchIndex.(float64)
		return LatentFromBatch{in("samples"), int(from), p.Length}.Run(call)
	case "RepeatLatentBatch":
		return RepeatLatentBatch{in("samples"), p.Amount}.Run(call)
	case "LatentBatchSeedBehavior":
		return LatentBatchSeedBehavior{in("samples"), seedBehavior(p.SeedBehavior)}.Run(call)
	case "SetLatentNoiseMask":
		return SetLatentNoiseMask{in("samples"), *mask("mask")}.Run(call)
	case "LatentOperationTonemapReinhard":
		return apply(LatentOperationTonemapReinhard{p.Multiplier}.Run(call))
	case "LatentOperationSharpen":
		return apply(LatentOperationSharpen{p.SharpenRadius, p.Sigma, p.Alpha}.Run(call))
	}
	t.Fatalf("node %s is neither tested nor in golden.Later", p.Node)
	return types.Latent{}, nil
}
