package sampling

import (
	"errors"
	"slices"
	"testing"

	"graphrun/graph"
	"graphrun/types"
)

// The nodes pass their inputs on in the right order, and leave the schedule that they got as it was.
func TestSigmaNodes(t *testing.T) {
	calls := 0
	model := types.Model{Denoiser: network{&calls}}
	basic, err := BasicScheduler{model, "karras", 10, 1}.Run(nil)
	if err != nil {
		t.Fatal(err)
	}
	karras, err := KarrasScheduler{10, 14.614642, 0.0291675, 7}.Run(nil)
	if err != nil || len(karras) != 11 || len(basic) != 11 || karras[0] < 14 || karras[9] > 0.03 {
		t.Fatalf("%v, %v, %v", karras, basic, err)
	}
	for i, v := range karras[:10] {
		if d := v/basic[i] - 1; d > 1e-4 || d < -1e-4 {
			t.Errorf("sigma %d: %v by the model, %v by its ends", i, basic[i], v)
		}
	}
	before := slices.Clone(karras)
	first, err := SetFirstSigma{karras, 99}.Run(nil)
	if err != nil || first[0] != 99 {
		t.Errorf("%v %v", first, err)
	}
	flipped, err := FlipSigmas{karras}.Run(nil)
	if err != nil || flipped[0] != 0.0001 || flipped[10] != karras[0] {
		t.Errorf("%v %v", flipped, err)
	}
	split, err := SplitSigmas{karras, 4}.Run(nil)
	if err != nil || len(split.High) != 5 || len(split.Low) != 7 || split.High[4] != split.Low[0] {
		t.Errorf("%v %v", split, err)
	}
	if !slices.Equal(karras, before) {
		t.Error("the schedule that came in has changed")
	}
	ltxv, err := LTXVScheduler{Steps: 3, MaxShift: 2.05, BaseShift: 0.95, Stretch: true, Terminal: 0.1, Latent: &types.Latent{Samples: types.NewTensor(1, 128, 2, 3, 4)}}.Run(nil)
	if err != nil || len(ltxv) != 4 || ltxv[0] != 1 || ltxv[3] != 0 || ltxv[2] < 0.0999 || ltxv[2] > 0.1001 {
		t.Errorf("%v %v", ltxv, err)
	}
	var e *graph.Error
	if _, err := (BasicScheduler{Scheduler: "karras", Steps: 3, Denoise: 1}).Run(nil); !errors.As(err, &e) || e.Input != "model" {
		t.Errorf("no model: %v", err)
	}
	if _, err := (SetFirstSigma{}).Run(nil); !errors.As(err, &e) || e.Input != "sigmas" {
		t.Errorf("no sigmas: %v", err)
	}
}

// The custom sampler with KSampler's schedule, in one part or in two, gives what KSampler gives.
func TestCustomSampler(t *testing.T) {
	calls := 0
	call := &graph.Call{Context: t.Context()}
	model := types.Model{Denoiser: network{&calls}}
	prompt := types.Conditioning{{Tokens: types.NewTensor(1, 77, 8)}}
	empty := types.Latent{Samples: types.NewTensor(2, 4, 8, 8)}
	want, err := KSampler{
		Model: model, Seed: 1 << 63, Steps: 6, CFG: 3, SamplerName: "euler", Scheduler: "karras", Positive: prompt, Negative: prompt, LatentImage: empty, Denoise: 1,
	}.Run(call)
	if err != nil {
		t.Fatal(err)
	}
	sigmas, err := BasicScheduler{model, "karras", 6, 1}.Run(call)
	if err != nil {
		t.Fatal(err)
	}
	guider, _ := CFGGuider{model, prompt, prompt, 3}.Run(call)
	sampler, _ := KSamplerSelect{"euler"}.Run(call)
	noise, _ := RandomNoise{1 << 63}.Run(call)
	none, _ := DisableNoise{}.Run(call)
	whole, err := SamplerCustomAdvanced{noise, guider, sampler, sigmas, empty}.Run(call)
	if err != nil || !slices.Equal(whole.Output.Samples.Data, want.Samples.Data) {
		t.Errorf("whole: %v", err)
	}
	plain, err := SamplerCustom{model, true, 1 << 63, 3, prompt, prompt, sampler, sigmas, empty}.Run(call)
	if err != nil || !slices.Equal(plain.Output.Samples.Data, want.Samples.Data) {
		t.Errorf("SamplerCustom: %v", err)
	}
	parts, _ := SplitSigmas{sigmas, 2}.Run(call)
	first, err := SamplerCustomAdvanced{noise, guider, sampler, parts.High, empty}.Run(call)
	if err != nil {
		t.Fatal(err)
	}
	second, err := SamplerCustomAdvanced{none, guider, sampler, parts.Low, first.Output}.Run(call)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range second.Output.Samples.Data {
		if d := v - want.Samples.Data[i]; d > 1e-4 || d < -1e-4 {
			t.Fatalf("two parts: value %d off by %v", i, d)
		}
	}
	if slices.Equal(first.Output.Samples.Data, first.DenoisedOutput.Samples.Data) {
		t.Error("the estimate half way is no other than the noisy latent")
	}
	nothing, err := SamplerCustomAdvanced{noise, guider, sampler, nil, first.Output}.Run(call)
	if err != nil || !slices.Equal(nothing.Output.Samples.Data, first.Output.Samples.Data) {
		t.Errorf("no steps: %v", err)
	}
	if _, err := (AddNoise{Noise: noise, Sigmas: sigmas, LatentImage: empty}).Run(call); err == nil {
		t.Error("AddNoise without a model passes")
	}
	if _, err := (SamplerCustomAdvanced{Sampler: sampler, Sigmas: sigmas, LatentImage: empty}).Run(call); err == nil {
		t.Error("no guider passes")
	}
}
