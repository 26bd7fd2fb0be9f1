package sampling

import (
	"testing"

	"graphrun/internal/golden"
	"graphrun/types"
)

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
