package sampling

import (
	"context"
	"math"
	"slices"
	"testing"

	"graphrun/graph"
	"graphrun/types"
)

// network predicts a share of what it sees as noise.
type network struct{ calls *int }

func (n network) Predict(_ context.Context, x types.Tensor, _ []float32, _ []types.Cond) (types.Tensor, error) {
	*n.calls++
	out := x.Clone()
	for i := range out.Data {
		out.Data[i] *= 0.75
	}
	return out, nil
}

func (network) Sampling() types.Sampling {
	return types.Sampling{Prediction: types.PredictEpsilon, BetaSchedule: "linear", BetaStart: 0.00085, BetaEnd: 0.012, Steps: 1000}
}

func (network) Latent() types.LatentFormat { return types.LatentFormat{Channels: 4, Scale: 0.18215} }

// The advanced sampler in two parts must give what the plain one gives at once.
func TestTwoParts(t *testing.T) {
	calls := 0
	call := &graph.Call{Context: context.Background()}
	model := types.Model{Denoiser: network{&calls}}
	prompt := types.Conditioning{{Tokens: types.NewTensor(1, 77, 8)}}
	empty := types.Latent{Samples: types.NewTensor(2, 4, 8, 8)}
	whole, err := KSampler{
		Model: model, Seed: 1 << 63, Steps: 6, CFG: 1, SamplerName: "euler", Scheduler: "karras",
		Positive: prompt, Negative: prompt, LatentImage: empty, Denoise: 1,
	}.Run(call)
	if err != nil {
		t.Fatal(err)
	}
	if calls != 6 {
		t.Errorf("%d calls of the network for 6 steps", calls)
	}
	part := KSamplerAdvanced{
		Model: model, AddNoise: "enable", NoiseSeed: 1 << 63, Steps: 6, CFG: 1, SamplerName: "euler", Scheduler: "karras",
		Positive: prompt, Negative: prompt, LatentImage: empty, StartAtStep: 0, EndAtStep: 2, ReturnWithLeftoverNoise: "enable",
	}
	half, err := part.Run(call)
	if err != nil {
		t.Fatal(err)
	}
	part.AddNoise, part.ReturnWithLeftoverNoise, part.StartAtStep, part.EndAtStep, part.LatentImage = "disable", "disable", 2, 10000, half
	full, err := part.Run(call)
	if err != nil {
		t.Fatal(err)
	}
	largest := 0.0
	for i, v := range full.Samples.Data {
		largest = max(largest, math.Abs(float64(v-whole.Samples.Data[i])))
	}
	t.Logf("largest difference %.3g", largest)
	if largest > 1e-4 || slices.Equal(half.Samples.Data, whole.Samples.Data) {
		t.Errorf("two parts differ from the whole by %g", largest)
	}
	if !slices.Equal(empty.Samples.Data, make([]float32, 512)) {
		t.Error("the latent that came in has changed")
	}
}

func TestNoModel(t *testing.T) {
	if _, err := (KSampler{LatentImage: types.Latent{Samples: types.NewTensor(1, 4, 8, 8)}, Steps: 1}).Run(&graph.Call{Context: context.Background()}); err == nil {
		t.Error("no error without a model")
	}
}
