package sampling

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"graphrun/internal/golden"
	"graphrun/types"
)

// TestGoldenSampler holds every sampler to the reference, step by step: the schedule is the case's own.
func TestGoldenSampler(t *testing.T) {
	worst := map[types.SamplerName]float64{}
	for _, c := range golden.Numerics(t, "sampler") {
		var p samplerParams
		c.Into(t, &p)
		var latent, wantX []float32
		if l, ok := c.Lookup(t, "latent"); ok {
			latent = l.F32()
		}
		if x, ok := c.Lookup(t, "call_x"); ok {
			wantX = x.F32()
		}
		var calls []float32
		got, err := runSampler(t, p, c.Tensor(t, "sigmas").F32(), latent, func(x []float32, sigma float32) {
			calls = append(calls, sigma)
			if len(x) > len(wantX) || t.Failed() {
				return
			}
			if _, err := golden.Compare(x, wantX[:len(x)], 10*c.Tolerance.ATol, 10*c.Tolerance.RTol); err != nil {
				t.Errorf("%s: input of model call %d at sigma %g: %v", c.Name, len(calls), sigma, err)
			}
			wantX = wantX[len(x):]
		})
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
		d, err := golden.Compare(got, want, c.Tolerance.ATol, c.Tolerance.RTol)
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
		}
		worst[p.Sampler] = max(worst[p.Sampler], d/c.Tolerance.ATol)
	}
	for _, name := range types.SamplerName("").Options() {
		t.Logf("%-30s largest difference %.3g of the tolerance", name, worst[types.SamplerName(name)])
	}
}

// TestGoldenSamplerError holds the samplers to fail where the reference does.
func TestGoldenSamplerError(t *testing.T) {
	for _, c := range golden.Numerics(t, "sampler_error") {
		var p samplerParams
		c.Into(t, &p)
		if _, err := runSampler(t, p, []float32{3, 2, 1, 0}, nil, nil); err == nil {
			t.Errorf("%s: no error", c.Name)
		} else {
			t.Logf("%s: %v", c.Name, err)
		}
	}
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
