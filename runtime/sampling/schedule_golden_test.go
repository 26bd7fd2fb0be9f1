package sampling

import (
	"testing"

	"graphrun/internal/golden"
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

func TestGoldenSigmaTable(t *testing.T) {
	equal := 0
	for _, c := range golden.Numerics(t, "sigma_table") {
		var p struct {
			Model, SHA256 string
			Length        int
		}
		c.Into(t, &p)
		m := modelSampling(t, p.Model)
		if len(m.table) != p.Length {
			t.Errorf("%s: %d sigmas, want %d", c.Name, len(m.table), p.Length)
			continue
		}
		var got []float32
		for _, i := range c.Tensor(t, "index").I64() {
			got = append(got, m.table[i])
		}
		golden.Close(t, c.Name, got, c.Tensor(t, "sigma").F32(), c.Tolerance.ATol, c.Tolerance.RTol)
		if digest(m.table) == p.SHA256 {
			equal++
		} else {
			t.Logf("%s: table not equal to the bit", c.Name)
		}
	}
	t.Logf("%d tables equal to the bit", equal)
}

func TestGoldenSigmaConvert(t *testing.T) {
	for _, c := range golden.Numerics(t, "sigma_convert") {
		var p struct {
			Model    string
			Percents []float64
		}
		c.Into(t, &p)
		m := modelSampling(t, p.Model)
		each := func(role string, in []float32, f func(float32) float32) {
			got := make([]float32, len(in))
			for i, v := range in {
				got[i] = f(v)
			}
			golden.Close(t, c.Name+" "+role, got, c.Tensor(t, role).F32(), c.Tolerance.ATol, c.Tolerance.RTol)
		}
		each("sigma_of_t", c.Tensor(t, "t_in").F32(), m.Sigma)
		each("t_of_sigma", c.Tensor(t, "sigma_in").F32(), m.Timestep)
		var got []float32
		for _, v := range p.Percents {
			got = append(got, float32(m.PercentToSigma(v)))
		}
		golden.Close(t, c.Name+" percent_to_sigma", got, c.Tensor(t, "percent_to_sigma").F32(), c.Tolerance.ATol, c.Tolerance.RTol)
	}
}

func TestGoldenModelSamplingOps(t *testing.T) {
	worst := 0.0
	for _, c := range golden.Numerics(t, "model_sampling_ops") {
		var p struct {
			Model string
			Sigma []float32
		}
		c.Into(t, &p)
		m := modelSampling(t, p.Model)
		noise, latent, out := c.Tensor(t, "noise").F32(), c.Tensor(t, "latent").F32(), c.Tensor(t, "model_output").F32()
		n := len(noise) / len(p.Sigma)
		check := func(role string, f func(dst, noise, latent, out []float32, sigma float32)) {
			got := make([]float32, len(noise))
			for i, s := range p.Sigma {
				a, b := i*n, (i+1)*n
				f(got[a:b], noise[a:b], latent[a:b], out[a:b], s)
			}
			worst = max(worst, golden.Close(t, c.Name+" "+role, got, c.Tensor(t, role).F32(), c.Tolerance.ATol, c.Tolerance.RTol))
		}
		first := p.Sigma[0] // the sampler knows one sigma for the whole batch
		check("input", func(dst, noise, _, _ []float32, s float32) { m.Input(dst, noise, s) })
		check("denoised", func(dst, noise, _, out []float32, s float32) { m.Denoised(dst, noise, out, s) })
		check("noise_scaling", func(dst, noise, latent, _ []float32, _ float32) { m.Noise(dst, noise, latent, first, false) })
		check("noise_scaling_max", func(dst, noise, latent, _ []float32, _ float32) { m.Noise(dst, noise, latent, first, true) })
		check("inverse", func(dst, _, latent, _ []float32, _ float32) { copy(dst, latent); m.Finish(dst, first) })
	}
	t.Logf("largest difference %.3g", worst)
}

func TestGoldenSchedule(t *testing.T) {
	worst := 0.0
	for _, c := range golden.Numerics(t, "schedule") {
		var p struct {
			Model     string
			Scheduler types.SchedulerName
			Sampler   types.SamplerName
			Steps     int
			Denoise   float64
		}
		c.Into(t, &p)
		got, err := Sigmas(modelSampling(t, p.Model), p.Scheduler, p.Sampler, p.Steps, p.Denoise)
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		d, err := golden.Compare(got, c.Tensor(t, "sigmas").F32(), c.Tolerance.ATol, c.Tolerance.RTol)
		if err != nil {
			t.Errorf("%s: %v\n got %v\nwant %v", c.Name, err, got, c.Tensor(t, "sigmas").F32())
		}
		worst = max(worst, d)
	}
	t.Logf("largest difference %.3g", worst)
}
