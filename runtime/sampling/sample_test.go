package sampling

import (
	"context"
	"errors"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"graphrun/types"
)

// ready returns options that sample an empty latent of 2 x 4 x 8 x 8 with the sd15 test network.
func ready(t *testing.T) (*testNetwork, Options) {
	t.Helper()
	return newTestNetwork(t, "sd15", nil), Options{
		Seed: 7, Steps: 4, CFG: 3, Denoise: 1, Sampler: "euler", Scheduler: "normal",
		Positive: prompt(0.4), Negative: prompt(-0.3), Latent: types.Latent{Samples: types.NewTensor(2, 4, 8, 8)},
	}
}

func run1(net types.Denoiser, o Options) (types.Latent, error) {
	return Sample(context.Background(), types.Model{Denoiser: net}, o)
}

// TestEverySampler runs every sampler on every schedule of a few steps: a finite latent comes out, or an error that says why not.
func TestEverySampler(t *testing.T) {
	for _, model := range []string{"sd15", "flux"} {
		for _, name := range types.SamplerName("").Options() {
			for _, scheduler := range types.SchedulerName("").Options() {
				for steps := 1; steps <= 5; steps++ {
					_, o := ready(t)
					net := newTestNetwork(t, model, nil)
					o.Sampler, o.Scheduler, o.Steps = types.SamplerName(name), types.SchedulerName(scheduler), steps
					o.Latent.Samples = types.NewTensor(1, net.format.Channels, 2, 3)
					got, err := run1(net, o)
					if err != nil && !(scheduler == "kl_optimal" && strings.Contains(err.Error(), "take more steps")) {
						t.Errorf("%s %s %s %d steps: %v", model, name, scheduler, steps, err)
					}
					if err == nil && notFinite(got.Samples.Data) >= 0 {
						t.Errorf("%s %s %s %d steps: %v", model, name, scheduler, steps, got.Samples.Data)
					}
				}
			}
		}
	}
}

func TestProgress(t *testing.T) {
	for _, name := range types.SamplerName("").Options() {
		net, o := ready(t)
		o.Sampler, o.Steps = types.SamplerName(name), 6
		var steps, totals []int
		ctx := types.WithProgress(context.Background(), func(p types.Progress) {
			if p.Phase != "sample" || !slices.Equal(p.Latent.Shape, o.Latent.Samples.Shape) || len(p.Latent.Data) != 2*4*8*8 {
				t.Errorf("%s: report %+v", name, p)
			}
			steps, totals = append(steps, p.Step), append(totals, p.Total)
		})
		if _, err := Sample(ctx, types.Model{Denoiser: net}, o); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for i, s := range steps {
			if s != i+1 || totals[i] < s {
				t.Errorf("%s: step %d of %d at report %d", name, s, totals[i], i+1)
			}
		}
		if n := len(steps); n == 0 || n != totals[n-1] {
			t.Errorf("%s: %d reports of %v steps", name, n, totals)
		}
	}
}

func TestCancel(t *testing.T) {
	net, o := ready(t)
	ctx, cancel := context.WithCancel(context.Background())
	ctx = types.WithProgress(ctx, func(p types.Progress) {
		if p.Step == 2 {
			cancel()
		}
	})
	if _, err := Sample(ctx, types.Model{Denoiser: net}, o); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if len(net.calls) != 2 {
		t.Errorf("%d calls of the network, want 2", len(net.calls))
	}
}

// failing returns NaN from its third call on.
type failing struct {
	*testNetwork
	wrongShape bool
}

func (f failing) Predict(ctx context.Context, x types.Tensor, ts []float32, cond []types.Cond) (types.Tensor, error) {
	out, err := f.testNetwork.Predict(ctx, x, ts, cond)
	if f.wrongShape {
		return types.NewTensor(1, 2, 3, 4), nil
	}
	if len(f.calls) >= 3 {
		out.Data[5] = float32(math.NaN())
	}
	return out, err
}

func TestNotFinite(t *testing.T) {
	net, o := ready(t)
	var bad *NotFiniteError
	if _, err := run1(failing{testNetwork: net}, o); !errors.As(err, &bad) || bad.Step != 3 || bad.Total != 4 {
		t.Errorf("NaN from the network: %v", err)
	} else if !strings.Contains(err.Error(), "step 3 of 4") {
		t.Errorf("error does not name the step: %v", err)
	}
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		_, o := ready(t)
		o.Latent.Samples.Data[9] = float32(v)
		if _, err := run1(net, o); !errors.As(err, &bad) || bad.Step != 0 || bad.Index != 9 {
			t.Errorf("%v in the latent: %v", v, err)
		}
	}
}

func TestBadInput(t *testing.T) {
	for want, change := range map[string]func(o *Options){
		"4 axes":                  func(o *Options) { o.Latent.Samples = types.NewTensor(4, 8, 8) },
		"needs":                   func(o *Options) { o.Latent.Samples.Data = o.Latent.Samples.Data[1:] },
		"model needs 4":           func(o *Options) { o.Latent.Samples = types.NewTensor(1, 3, 2, 2); o.Latent.Samples.Data[0] = 1 },
		"unknown sampler":         func(o *Options) { o.Sampler = "euler2" },
		"unknown scheduler":       func(o *Options) { o.Scheduler = "usual" },
		"0 steps":                 func(o *Options) { o.Steps = 0 },
		"need 1 to":               func(o *Options) { o.Steps = math.MaxInt },
		"batch index has 1":       func(o *Options) { o.Latent.BatchIndex = []int{3} },
		"batch index -1":          func(o *Options) { o.Latent.BatchIndex = []int{0, -1} },
		"batch index 99999999999": func(o *Options) { o.Latent.BatchIndex = []int{0, 99999999999} },
		"noise mask":              func(o *Options) { o.Latent.NoiseMask = &types.Mask{Tensor: types.NewTensor(8, 8)} },
		"positive: prompt 1: mask": func(o *Options) {
			o.Positive[0].Mask = &types.Mask{Tensor: types.NewTensor(8, 8)}
		},
		"negative: prompt 1: area": func(o *Options) {
			o.Negative[0].Area = &types.Area{Height: 4, Width: 4, X: 8}
		},
	} {
		net, o := ready(t)
		change(&o)
		if _, err := run1(net, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error about %q, got %v", want, err)
		}
	}
	net, o := ready(t)
	if _, err := run1(failing{net, true}, o); err == nil || !strings.Contains(err.Error(), "[1 2 3 4]") {
		t.Errorf("wrong shape from the network: %v", err)
	}
	if _, err := Sample(context.Background(), types.Model{}, o); err == nil {
		t.Error("no model: no error")
	}
	for _, s := range []types.Sampling{
		{},
		{Prediction: "noise"},
		{Prediction: types.PredictEpsilon},
		{Prediction: types.PredictEpsilon, BetaSchedule: "loud", BetaStart: .1, BetaEnd: .2},
		{Prediction: types.PredictEpsilon, BetaStart: .1, BetaEnd: .2, Steps: 1},
		{Prediction: types.PredictVelocity, Class: types.SigmaEDM, SigmaMin: 2, SigmaMax: 1},
		{Prediction: types.PredictVelocity, Class: "steep"},
	} {
		if _, err := NewModelSampling(s); err == nil {
			t.Errorf("%+v: no error", s)
		}
	}
}

// TestSamplesApart holds the inputs untouched, and the same inputs to the same latent.
func TestSamplesApart(t *testing.T) {
	net, o := ready(t)
	for i := range o.Latent.Samples.Data {
		o.Latent.Samples.Data[i] = float32(i%5) - 2
	}
	o.Latent.NoiseMask = &types.Mask{Tensor: types.NewTensor(1, 3, 3)}
	o.Latent.NoiseMask.Data[4] = 1
	before := o.Latent.Samples.Clone()
	a, err := run1(net, o)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := run1(net, o)
	exact(t, "second run", b.Samples.Data, a.Samples.Data)
	exact(t, "input", o.Latent.Samples.Data, before.Data)
	if a.NoiseMask != o.Latent.NoiseMask {
		t.Error("the noise mask is lost")
	}
	d := 0.0
	for i, v := range a.Samples.Data {
		if i%64 == 0 { // the corner, where the mask is 0
			d = max(d, math.Abs(float64(v-before.Data[i])))
		}
	}
	if d > 1e-5 {
		t.Errorf("outside the mask the latent changed by %g", d)
	}
}

// TestDefaultPrompt gives a default prompt what another leaves: with the area cut in two the result equals two areas.
func TestDefaultPrompt(t *testing.T) {
	net, o := ready(t)
	half := types.Mask{Tensor: types.NewTensor(1, 8, 8)}
	other := types.Mask{Tensor: types.NewTensor(1, 8, 8)}
	for i := range half.Data {
		half.Data[i] = float32(i % 8 / 4)
		other.Data[i] = 1 - half.Data[i]
	}
	first, second := prompt(0.9)[0], prompt(0.1)[0]
	first.Mask, first.MaskStrength = &half, 1
	second.Mask, second.MaskStrength = &other, 1
	o.Positive = types.Conditioning{first, second}
	want, err := run1(net, o)
	if err != nil {
		t.Fatal(err)
	}
	second = prompt(0.1)[0]
	second.Default = true
	o.Positive = types.Conditioning{second, first}
	got, err := run1(net, o)
	if err != nil {
		t.Fatal(err)
	}
	for i, w := range want.Samples.Data {
		if d := math.Abs(float64(got.Samples.Data[i] - w)); d > 1e-4 {
			t.Fatalf("element %d is %g, want %g", i, got.Samples.Data[i], w)
		}
	}
}

// still is a network that answers from one buffer, so that what is allocated is the sampler's.
type still struct {
	*testNetwork
	out types.Tensor
}

func (s *still) Predict(_ context.Context, x types.Tensor, _ []float32, _ []types.Cond) (types.Tensor, error) {
	if len(s.out.Data) != len(x.Data) {
		s.out = types.NewTensor(x.Shape...)
	}
	for i, v := range x.Data {
		s.out.Data[i] = 0.8 * v
	}
	return s.out, nil
}

// TestNoAllocation holds every sampler to allocate nothing of a latent's size once it runs.
func TestNoAllocation(t *testing.T) {
	const size = 4 * 64 * 64 * 4 // bytes of the latent
	for _, name := range types.SamplerName("").Options() {
		net, o := ready(t)
		o.Sampler, o.Steps, o.Latent.Samples = types.SamplerName(name), 12, types.NewTensor(1, 4, 64, 64)
		o.Negative[0].Tokens = types.NewTensor(1, 8, 8) // repeated to fit
		var warm, last runtime.MemStats
		n := 0
		ctx := types.WithProgress(context.Background(), func(p types.Progress) {
			if p.Step == 4 {
				runtime.ReadMemStats(&warm)
			} else if p.Step > 4 {
				n++
				runtime.ReadMemStats(&last)
			}
		})
		if _, err := Sample(ctx, types.Model{Denoiser: &still{testNetwork: net}}, o); err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			continue // dpm_fast's few intervals
		}
		if per := (last.TotalAlloc - warm.TotalAlloc) / uint64(n); per > size/2 { // a Brownian tree makes many small slices, 20 kB a step
			t.Errorf("%s: %d bytes a step, a latent has %d", name, per, size)
		}
	}
}

func BenchmarkSampler(b *testing.B) {
	for _, name := range []types.SamplerName{"euler", "dpmpp_2m", "dpmpp_2m_sde", "uni_pc"} {
		b.Run(string(name), func(b *testing.B) {
			net := &still{testNetwork: newTestNetwork(b, "sd15", nil)}
			o := Options{
				Steps: b.N + 5, CFG: 7, Denoise: 1, Sampler: name, Scheduler: "karras", Positive: prompt(1), Negative: prompt(0),
				Latent: types.Latent{Samples: types.NewTensor(1, 4, 64, 64)},
			}
			b.ReportAllocs()
			if _, err := run1(net, o); err != nil {
				b.Fatal(err)
			}
		})
	}
}

func BenchmarkNormal(b *testing.B) {
	g, x := NewGenerator(1), make([]float32, 16384)
	b.SetBytes(int64(4 * len(x)))
	for b.Loop() {
		g.Normal(x)
	}
}

// The noise of lcm's steps is scaled and cut: both can take it away.
func TestTuneLCM(t *testing.T) {
	paint := func(tune func(*Tuning)) []float32 {
		net, o := ready(t)
		o.Sampler, o.Tune = "lcm", tune
		out, err := Sample(t.Context(), types.Model{Denoiser: net}, o)
		if err != nil {
			t.Fatal(err)
		}
		return out.Samples.Data
	}
	distance := func(a, b []float32) (most float64) {
		for i := range a {
			most = max(most, math.Abs(float64(a[i]-b[i])))
		}
		return most
	}
	plain, same := paint(nil), paint(func(t *Tuning) { t.SNoise, t.SNoiseEnd, t.NoiseClipStd = 1, 1, 100 })
	scaled, cut := paint(func(t *Tuning) { t.SNoise, t.SNoiseEnd = 0, 0 }), paint(func(t *Tuning) { t.NoiseClipStd = 1e-9 })
	fading := paint(func(t *Tuning) { t.SNoiseEnd = 0 })
	if distance(plain, same) != 0 || distance(scaled, cut) > 1e-6 || distance(plain, scaled) < 1e-3 || distance(plain, fading) == 0 || distance(scaled, fading) == 0 {
		t.Errorf("distances %g, %g, %g, %g, %g", distance(plain, same), distance(scaled, cut), distance(plain, scaled), distance(plain, fading), distance(scaled, fading))
	}
}
