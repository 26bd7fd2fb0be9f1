package sampling

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"graphrun/types"
)

// trained is how each model of the goldens was trained (numerics.md 2.2).
var trained = map[string]types.Sampling{
	"sd15":            {Prediction: types.PredictEpsilon, BetaStart: .00085, BetaEnd: .012},
	"sdxl":            {Prediction: types.PredictEpsilon, BetaStart: .00085, BetaEnd: .012},
	"sd20_v":          {Prediction: types.PredictVelocity, BetaStart: .00085, BetaEnd: .012},
	"vpred_zsnr":      {Prediction: types.PredictVelocity, BetaStart: .00085, BetaEnd: .012, ZeroSNR: true},
	"pixart":          {Prediction: types.PredictEpsilon, BetaSchedule: "sqrt_linear", BetaStart: .0001, BetaEnd: .02},
	"sd3":             {Prediction: types.PredictFlow, Shift: 3},
	"wan":             {Prediction: types.PredictFlow, Shift: 8},
	"aura":            {Prediction: types.PredictFlow, Shift: 1.73, Multiplier: 1},
	"flux":            {Prediction: types.PredictFlow, Shift: 1.15, FluxShift: true},
	"flux_schnell":    {Prediction: types.PredictFlow, Shift: 1, Multiplier: 1},
	"qwen":            {Prediction: types.PredictFlow, Shift: 1.15, FluxShift: true},
	"hidream":         {Prediction: types.PredictFlow, Shift: 1},
	"lumina2":         {Prediction: types.PredictFlow, Shift: 6, Multiplier: 1},
	"playground_edm":  {Prediction: types.PredictEDM, Class: types.SigmaEDM, SigmaMin: .002, SigmaMax: 80, SigmaData: .5},
	"svd_edmv":        {Prediction: types.PredictVelocity, Class: types.SigmaEDM, SigmaMin: .002, SigmaMax: 700},
	"cascade_c":       {Prediction: types.PredictEpsilon, Class: types.SigmaCascade, Shift: 2},
	"stable_audio_cv": {Prediction: types.PredictVelocity, Class: types.SigmaContinuousV, SigmaMin: .03, SigmaMax: 500},
	"cosmos_rflow":    {Prediction: types.PredictCosmos, Class: types.SigmaCosmos, SigmaMin: .002, SigmaMax: 80, SigmaData: .5},
}

var samplings = map[string]*ModelSampling{}

// modelSampling is the schedule of a golden model, made once.
func modelSampling(t testing.TB, model string) *ModelSampling {
	t.Helper()
	if m := samplings[model]; m != nil {
		return m
	}
	s, ok := trained[model]
	if !ok {
		t.Fatalf("no training parameters for model %q", model)
	}
	m, err := NewModelSampling(s)
	if err != nil {
		t.Fatal(err)
	}
	samplings[model] = m
	return m
}

// testNetwork is the analytic network of numerics.md 5.3.
type testNetwork struct {
	sampling types.Sampling
	format   types.LatentFormat
	gain     float32 // of the input
	time     float32 // scale of the timestep
	layers   float32 // what the layers add to gain
	calls    []call
}

type call struct {
	shape []int
	means []float32 // mean of the tokens, per batch element
}

func newTestNetwork(t testing.TB, model string, layers []int) *testNetwork {
	t.Helper()
	modelSampling(t, model)
	n := &testNetwork{sampling: trained[model], gain: 0.75, time: 1. / 1000}
	switch n.sampling.Prediction {
	case types.PredictVelocity:
		n.gain = 0.55
	case types.PredictFlow:
		n.gain = 0.7
	}
	switch model {
	case "sd15":
		n.format = types.LatentFormat{Channels: 4, Scale: 0.18215}
	case "sdxl", "vpred_zsnr":
		n.format = types.LatentFormat{Channels: 4, Scale: 0.13025}
	case "sd3":
		n.format = types.LatentFormat{Channels: 16, Scale: 1.5305, Shift: 0.0609}
	case "flux":
		n.format = types.LatentFormat{Channels: 16, Scale: 0.3611, Shift: 0.1159}
		n.time = 1
	default:
		t.Fatalf("no latent format for model %q", model)
	}
	for _, l := range layers {
		n.layers += 0.01 * float32(l-6)
	}
	return n
}

func (n *testNetwork) Sampling() types.Sampling   { return n.sampling }
func (n *testNetwork) Latent() types.LatentFormat { return n.format }

func (n *testNetwork) Predict(_ context.Context, x types.Tensor, timestep []float32, cond []types.Cond) (types.Tensor, error) {
	if len(timestep) != x.Shape[0] || len(cond) != x.Shape[0] {
		return types.Tensor{}, fmt.Errorf("batch %d with %d timesteps and %d prompts", x.Shape[0], len(timestep), len(cond))
	}
	out := types.NewTensor(x.Shape...)
	w := x.Shape[3]
	c := call{shape: x.Shape}
	for b := range x.Shape[0] {
		in, dst := x.Item(b).Data, out.Item(b).Data
		mean := float32(0)
		for _, v := range cond[b].Tokens.Data {
			mean += v
		}
		mean /= float32(len(cond[b].Tokens.Data))
		c.means = append(c.means, mean)
		for i, v := range in {
			left := i - 1
			if i%w == 0 {
				left = i + w - 1
			}
			u := v + 0.5*in[left]
			dst[i] = n.gain*v + 0.2*(u/(1+max(u, -u))) + 0.1*(timestep[b]*n.time) + 0.3*mean + n.layers*v
		}
	}
	n.calls = append(n.calls, c)
	return out, nil
}

func prompt(mean float32) types.Conditioning {
	t := types.NewTensor(1, 4, 8)
	for i := range t.Data {
		t.Data[i] = mean
	}
	return types.Conditioning{{Tokens: t}}
}

// samplerParams are the parameters of a golden case of kind sampler.
type samplerParams struct {
	Model     string
	Sampler   types.SamplerName
	Shape     []int
	Scheduler types.SchedulerName
	CFG       float64
	Seed      string
	Options   json.RawMessage
	PosMean   float32 `json:"pos_mean"`
	NegMean   float32 `json:"neg_mean"`
	NCalls    int     `json:"n_calls"`
}

// runSampler samples with the analytic network and returns the latent in the VAE's scale. watch sees the input and the
// sigma of every call of the guided model. A nil latent is an empty one.
func runSampler(t testing.TB, p samplerParams, sigmas, latent []float32, watch func(x []float32, sigma float32)) ([]float32, error) {
	t.Helper()
	net := newTestNetwork(t, p.Model, nil)
	start := types.NewTensor(p.Shape...)
	copy(start.Data, latent)
	s, ok := samplers[p.Sampler]
	if !ok {
		t.Fatalf("no sampler %q", p.Sampler)
	}
	if p.Options != nil {
		if err := json.Unmarshal(p.Options, &s.tuning); err != nil {
			t.Fatal(err)
		}
	}
	o := Options{Seed: parseSeed(t, p.Seed), CFG: p.CFG, Positive: prompt(p.PosMean), Negative: prompt(p.NegMean)}
	r, err := newRun(context.Background(), types.Model{Denoiser: net}, modelSampling(t, p.Model), o, s, sigmas, start)
	if err != nil {
		return nil, err
	}
	if inner := r.denoise; watch != nil {
		r.denoise = func(dst, x []float32, sigma float32) error {
			watch(x, sigma)
			return inner(dst, x, sigma)
		}
	}
	err = r.sample()
	fromModel(r.x, net.format)
	return r.x, err
}
