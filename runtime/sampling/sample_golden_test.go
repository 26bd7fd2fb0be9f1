package sampling

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"graphrun/internal/golden"
	"graphrun/types"
)

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

// TestGoldenSampler holds every sampler to the reference, step by step: the schedule is the case's own.
func TestGoldenSampler(t *testing.T) {
	worst := map[types.SamplerName]float64{}
	for _, c := range golden.Numerics(t, "sampler") {
		var p samplerParams
		c.Into(t, &p)
		if _, ok := samplers[p.Sampler]; !ok {
			continue
		}
		sigmas := c.Tensor(t, "sigmas").F32()
		got, calls, err := runSampler(t, c, p, sigmas)
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		want := c.Tensor(t, "final").F32()
		if len(calls) != p.NCalls {
			t.Errorf("%s: %d model calls, want %d", c.Name, len(calls), p.NCalls)
		}
		if s, ok := c.Lookup(t, "call_sigma"); ok {
			if _, err := golden.Compare(calls, s.F32(), 1e-6, 1e-4); err != nil {
				t.Errorf("%s: sigmas of the model calls: %v", c.Name, err)
			}
		}
		_, err = golden.Compare(got, want, c.Tolerance.ATol, c.Tolerance.RTol)
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
		}
		d, _ := golden.Compare(got, want, c.Tolerance.ATol, c.Tolerance.RTol)
		worst[p.Sampler] = max(worst[p.Sampler], d/c.Tolerance.ATol)
	}
	for _, name := range types.SamplerName("").Options() {
		t.Logf("%-30s largest difference %.3g of the tolerance", name, worst[types.SamplerName(name)])
	}
}

// runSampler samples with the analytic network, and returns the latent in the VAE's scale and the sigmas of the model calls.
func runSampler(t *testing.T, c golden.Case, p samplerParams, sigmas []float32) (final, calls []float32, err error) {
	t.Helper()
	net := newTestNetwork(t, p.Model, nil)
	latent := types.NewTensor(p.Shape...)
	if l, ok := c.Lookup(t, "latent"); ok {
		copy(latent.Data, l.F32())
	}
	s := samplers[p.Sampler]
	if err := json.Unmarshal(p.Options, &s.tuning); err != nil {
		t.Fatal(err)
	}
	o := Options{Seed: parseSeed(t, p.Seed), CFG: p.CFG, Positive: prompt(p.PosMean), Negative: prompt(p.NegMean)}
	r, err := newRun(context.Background(), types.Model{Denoiser: net}, modelSampling(t, p.Model), o, s, sigmas, latent)
	if err != nil {
		return nil, nil, err
	}
	inner := r.denoise
	var wantX []float32
	if x, ok := c.Lookup(t, "call_x"); ok {
		wantX = x.F32()
	}
	r.denoise = func(dst, x []float32, sigma float32) error {
		if n := len(calls) * len(x); n+len(x) <= len(wantX) && !t.Failed() {
			if _, err := golden.Compare(x, wantX[n:n+len(x)], 10*c.Tolerance.ATol, 10*c.Tolerance.RTol); err != nil {
				t.Errorf("%s: input of model call %d at sigma %g: %v", c.Name, len(calls)+1, sigma, err)
			}
		}
		calls = append(calls, sigma)
		return inner(dst, x, sigma)
	}
	err = r.sample()
	fromModel(r.x, net.format)
	return r.x, calls, err
}

// ksamplerCond is a prompt of a golden case of kind ksampler.
type ksamplerCond struct {
	Strength     *float64
	Area         []any
	MaskStrength *float64 `json:"mask_strength"`
	Bounds       bool     `json:"set_area_to_bounds"`
	Start        *float64 `json:"start_percent"`
	End          *float64 `json:"end_percent"`
}

func (k ksamplerCond) cond(t *testing.T, c golden.Case, role string) types.Cond {
	t.Helper()
	x := c.Tensor(t, role)
	cond := types.Cond{Tokens: types.Tensor{Shape: x.Shape, Data: x.F32()}, Start: k.Start, End: k.End, MaskBounds: k.Bounds}
	if k.Strength != nil {
		cond.Strength, cond.HasStrength = *k.Strength, true
	}
	if k.MaskStrength != nil {
		cond.MaskStrength = *k.MaskStrength
		m := c.Tensor(t, role+"_mask")
		cond.Mask = &types.Mask{Tensor: types.Tensor{Shape: m.Shape, Data: m.F32()}}
	}
	if a := k.Area; len(a) > 0 {
		percent := len(a) == 5
		if percent {
			a = a[1:]
		}
		cond.Area = &types.Area{Height: a[0].(float64), Width: a[1].(float64), Y: a[2].(float64), X: a[3].(float64), Percent: percent}
	}
	return cond
}

func TestGoldenKSampler(t *testing.T) {
	worst := 0.0
	for _, c := range golden.Numerics(t, "ksampler") {
		var p struct {
			Model              string
			Seed               string
			Steps              int
			CFG, Denoise       float64
			Sampler            types.SamplerName
			Scheduler          types.SchedulerName
			Positive, Negative []ksamplerCond
			BatchIndex         []int `json:"batch_index"`
			Layers             []int
			Advanced           *struct {
				AddNoise   string `json:"add_noise"`
				Start, End int
				Leftover   string
			}
			Calls []struct {
				Shape []int
				Order []int `json:"cond_or_uncond"`
			} `json:"apply_calls_first"`
			NCalls int `json:"n_apply_calls"`
		}
		c.Into(t, &p)
		if _, ok := samplers[p.Sampler]; !ok {
			continue
		}
		o := Options{Seed: parseSeed(t, p.Seed), Steps: p.Steps, CFG: p.CFG, Denoise: p.Denoise, Sampler: p.Sampler, Scheduler: p.Scheduler}
		for i, k := range p.Positive {
			o.Positive = append(o.Positive, k.cond(t, c, fmt.Sprintf("pos%d", i)))
		}
		for i, k := range p.Negative {
			o.Negative = append(o.Negative, k.cond(t, c, fmt.Sprintf("neg%d", i)))
		}
		l := c.Tensor(t, "latent")
		o.Latent = types.Latent{Samples: types.Tensor{Shape: l.Shape, Data: l.F32()}, BatchIndex: p.BatchIndex}
		if m, ok := c.Lookup(t, "noise_mask"); ok {
			h, w := m.Shape[len(m.Shape)-2], m.Shape[len(m.Shape)-1]
			v := m.F32()
			o.Latent.NoiseMask = &types.Mask{Tensor: types.Tensor{Shape: []int{len(v) / (h * w), h, w}, Data: v}}
		}
		if a := p.Advanced; a != nil {
			o.Advanced = &Advanced{AddNoise: a.AddNoise == "enable", StartAtStep: a.Start, EndAtStep: a.End, ReturnLeftover: a.Leftover == "enable"}
		}
		net := newTestNetwork(t, p.Model, p.Layers)
		got, err := Sample(context.Background(), types.Model{Denoiser: net}, o)
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		if len(net.calls) != p.NCalls {
			t.Errorf("%s: %d model calls, want %d", c.Name, len(net.calls), p.NCalls)
		}
		for i, want := range p.Calls {
			if i >= len(net.calls) {
				break
			}
			if got := net.calls[i]; !slices.Equal(got.shape, want.Shape) {
				t.Errorf("%s: model call %d has shape %v, want %v", c.Name, i+1, got.shape, want.Shape)
			} else if order := listOrder(got, o, len(want.Order)); !slices.Equal(order, want.Order) {
				t.Errorf("%s: model call %d evaluates lists %v, want %v", c.Name, i+1, order, want.Order)
			}
		}
		want := c.Tensor(t, "final")
		if !slices.Equal(got.Samples.Shape, want.Shape) {
			t.Errorf("%s: shape %v, want %v", c.Name, got.Samples.Shape, want.Shape)
			continue
		}
		d, err := golden.Compare(got.Samples.Data, want.F32(), c.Tolerance.ATol, c.Tolerance.RTol)
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
		}
		worst = max(worst, d/c.Tolerance.ATol)
	}
	t.Logf("largest difference %.3g of the tolerance", worst)
}

// listOrder tells the lists (0 positive, 1 negative) of a call's jobs by the means of their tokens.
func listOrder(c call, o Options, jobs int) []int {
	var order []int
	for j := range jobs {
		list := 0
		for _, n := range o.Negative {
			if d := n.Tokens.Data[0] - c.means[j*len(c.means)/jobs]; -1e-3 < d && d < 1e-3 {
				list = 1
			}
		}
		order = append(order, list)
	}
	return order
}

func TestGoldenAreaWeights(t *testing.T) {
	for _, c := range golden.Numerics(t, "area_mult") {
		var p struct {
			Shape    []int `json:"x_shape"`
			Area     [4]int
			Strength float64
		}
		c.Into(t, &p)
		e := &entry{cond: types.Cond{Strength: p.Strength, HasStrength: true}, area: &rect{p.Area[0], p.Area[1], p.Area[2], p.Area[3]}}
		e.weigh(p.Shape[2], p.Shape[3])
		want := c.Tensor(t, "mult").F32()
		var got []float32
		for len(got) < len(want) { // the reference repeats one plane over batch and channels
			got = append(got, e.weight...)
		}
		golden.Close(t, c.Name, got, want, c.Tolerance.ATol, c.Tolerance.RTol)
	}
}

func TestGoldenReshapeMask(t *testing.T) {
	for _, c := range golden.Numerics(t, "reshape_mask") {
		var p struct{ Shape []int }
		c.Into(t, &p)
		m := c.Tensor(t, "mask")
		h, w := p.Shape[2], p.Shape[3]
		planes := resizePlanes(types.Tensor{Shape: m.Shape, Data: m.F32()}, h, w)
		var got []float32
		for b := range p.Shape[0] {
			for range p.Shape[1] {
				at := b * h * w % len(planes)
				got = append(got, planes[at:at+h*w]...)
			}
		}
		golden.Close(t, c.Name, got, c.Tensor(t, "out").F32(), c.Tolerance.ATol, c.Tolerance.RTol)
	}
}

func TestGoldenPrepareNoise(t *testing.T) {
	for _, c := range golden.Numerics(t, "prepare_noise") {
		var p struct {
			Seed  string
			Shape []int
			Index []int `json:"noise_inds"`
		}
		c.Into(t, &p)
		shape := slices.Clone(p.Shape)
		got := make([]float32, product(shape))
		if err := prepareNoise(NewGenerator(parseSeed(t, p.Seed)), got, shape, p.Index); err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		exact(t, c.Name, got, c.Tensor(t, "out").F32())
	}
}
