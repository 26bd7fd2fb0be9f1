// Package sampling turns noise into latents: torch's random generator bit for bit, the noise schedules a network may
// have been trained on, ComfyUI's schedulers and samplers, guidance over areas, masks and ranges of prompts, and
// KSampler's whole pipeline over them. It knows networks only as types.Denoiser. Its specification is numerics.md.
//
// To add a sampler: write func(r *run) error in the file of its group, starting from r.x at r.sigmas[0], and name it in
// the table of samplers.go.
package sampling

import (
	"context"
	"fmt"
	"math"

	"graphrun/types"
)

// Options are KSampler's inputs.
type Options struct {
	Seed      uint64
	Steps     int
	CFG       float64 // guidance scale; at 1 the negative prompt is not evaluated
	Sampler   types.SamplerName
	Scheduler types.SchedulerName
	Positive  types.Conditioning
	Negative  types.Conditioning
	Latent    types.Latent
	Denoise   float64      // share of the schedule to run, 0 (nothing) to 1; not used with Advanced
	Advanced  *Advanced    // KSamplerAdvanced's inputs instead of Denoise, or nil
	Sigmas    types.Sigmas // the schedule itself, instead of Steps, Scheduler and Denoise; or nil
	Third     *Third       // a third prompt that guides; or nil

	Tune func(*Tuning) // changes the sampler's own parameters; or nil
}

// Advanced are the inputs that only KSamplerAdvanced has.
type Advanced struct {
	AddNoise       bool
	StartAtStep    int
	EndAtStep      int  // exclusive; beyond the last step means the last
	ReturnLeftover bool // keep the noise that is left at EndAtStep
}

// Sample denoises o.Latent and returns it with new Samples; its mask and batch index pass through. It reports a
// "sample" phase, one report a step, and stops with ctx's error within one call of the network.
func Sample(ctx context.Context, m types.Model, o Options) (types.Latent, error) {
	out, _, err := SampleBoth(ctx, m, o)
	return out, err
}

// SampleBoth is Sample that also returns the last estimate of the picture without noise; where there was none, the result.
func SampleBoth(ctx context.Context, m types.Model, o Options) (out, estimate types.Latent, err error) {
	fail := func(err error) (types.Latent, types.Latent, error) { return types.Latent{}, types.Latent{}, err }
	if m.Denoiser == nil {
		return fail(fmt.Errorf("sample: no model: connect a MODEL"))
	}
	latent, err := prepareLatent(o.Latent, m.Latent())
	if err != nil {
		return fail(fmt.Errorf("sample: %w", err))
	}
	out = o.Latent
	out.Samples = latent
	ms, err := NewModelSampling(m.Sampling())
	if err != nil {
		return fail(fmt.Errorf("sample: %w", err))
	}
	sampler, ok := samplers[o.Sampler]
	if !ok {
		return fail(fmt.Errorf("sample: unknown sampler %q: need one of %v", o.Sampler, o.Sampler.Options()))
	}
	if o.Tune != nil {
		o.Tune(&sampler.tuning)
	}
	sigmas, err := o.sigmas(ms)
	if err != nil {
		return fail(fmt.Errorf("sample: %w", err))
	}
	if len(sigmas) < 2 {
		return out, out, nil
	}
	r, err := newRun(ctx, m, ms, o, sampler, sigmas, latent)
	if err == nil {
		err = r.sample()
	}
	if err != nil {
		return fail(fmt.Errorf("sample with %s, %s: %w", o.Sampler, o.Scheduler, err))
	}
	fromModel(r.x, m.Latent())
	out.Samples = types.Tensor{Shape: latent.Shape, Data: r.x}
	if estimate = out; r.last != nil {
		fromModel(r.last, m.Latent())
		estimate.Samples = types.Tensor{Shape: latent.Shape, Data: r.last}
	}
	return out, estimate, nil
}

// AddNoise adds as much noise to a latent as lies between the ends of a schedule; of a single sigma, that. Disabled noise is none.
func AddNoise(m types.Model, l types.Latent, sigmas types.Sigmas, seed uint64, disabled bool) (types.Latent, error) {
	if len(sigmas) == 0 {
		return l, nil
	}
	latent, err := prepareLatent(l, m.Latent())
	if err != nil {
		return types.Latent{}, fmt.Errorf("add noise: %w", err)
	}
	ms, err := NewModelSampling(m.Sampling())
	if err != nil {
		return types.Latent{}, fmt.Errorf("add noise: %w", err)
	}
	start, noise := toModel(latent, m.Latent()), make([]float32, len(latent.Data))
	if !disabled {
		if err := prepareNoise(NewGenerator(seed), noise, latent.Shape, l.BatchIndex); err != nil {
			return types.Latent{}, fmt.Errorf("add noise: %w", err)
		}
	}
	sigma := sigmas[0]
	if n := len(sigmas); n > 1 {
		sigma = max(sigma-sigmas[n-1], sigmas[n-1]-sigma)
	}
	out := make([]float32, len(noise))
	ms.Noise(out, noise, start, sigma, false)
	fromModel(out, m.Latent())
	for i := range out {
		if notFinite(out[i:i+1]) == 0 {
			out[i] = 0
		}
	}
	l.Samples = types.Tensor{Shape: latent.Shape, Data: out}
	return l, nil
}

// sigmas is the part of the schedule to run: fewer than two sigmas mean that there is nothing to do.
func (o Options) sigmas(ms *ModelSampling) ([]float32, error) {
	if o.Sigmas != nil {
		if notFinite(o.Sigmas) >= 0 {
			return nil, fmt.Errorf("the schedule has NaN or infinity in it: %v", o.Sigmas)
		}
		return o.Sigmas, nil
	}
	denoise := o.Denoise
	if o.Advanced != nil {
		denoise = 1
	}
	s, err := Sigmas(ms, o.Scheduler, o.Sampler, o.Steps, denoise)
	if err != nil {
		return nil, err
	}
	for _, v := range s {
		if isNaN(v) {
			return nil, fmt.Errorf("scheduler %s has no schedule of %d steps: take more steps or another scheduler", o.Scheduler, o.Steps)
		}
	}
	a := o.Advanced
	if a == nil {
		return s, nil
	}
	if end := max(a.EndAtStep, 0); end < len(s)-1 {
		s = s[:end+1]
		if !a.ReturnLeftover {
			s[end] = 0
		}
	}
	if start := max(a.StartAtStep, 0); start < len(s)-1 {
		return s[start:], nil
	}
	return nil, nil
}

// run is one sampling: what samplers work on.
type run struct {
	ctx    context.Context
	ms     *ModelSampling
	sigmas []float32 // descending, at least two
	x      []float32 // the noisy latent at sigmas[0]; the sampler leaves the result here
	shape  []int     // of x
	seed   uint64
	tuning Tuning

	sampler sampler
	// denoise writes the guided estimate of the picture in x at sigma to dst. Where the sampler asked for it, uncond
	// is then the estimate under the negative prompt alone; both are valid until the next call.
	denoise func(dst, x []float32, sigma float32) error
	uncond  []float32

	global  *Generator // torch's default generator, where the initial noise left it
	private *Generator // of stepNoise
	churned []float32  // the last noise of global
	step    int        // steps finished
	total   int        // steps in all
	last    []float32  // the estimate that was reported last
}

func newRun(ctx context.Context, m types.Model, ms *ModelSampling, o Options, s sampler, sigmas []float32, latent types.Tensor) (*run, error) {
	r := &run{
		ctx: ctx, ms: ms, sigmas: append([]float32(nil), sigmas...), shape: latent.Shape, seed: o.Seed, tuning: s.tuning, sampler: s,
		total: len(sigmas) - 1,
	}
	start := toModel(latent, m.Latent())
	r.global = NewGenerator(o.Seed)
	noise := make([]float32, len(start))
	if o.Advanced == nil || o.Advanced.AddNoise {
		if err := prepareNoise(r.global, noise, latent.Shape, o.Latent.BatchIndex); err != nil {
			return nil, err
		}
	}
	r.x = make([]float32, len(noise))
	ms.Noise(r.x, noise, start, r.sigmas[0], ms.IsFull(r.sigmas[0]))
	g, err := newGuide(m, ms, o, latent.Shape, s.uncond)
	if err != nil {
		return nil, err
	}
	r.uncond = g.uncond
	r.denoise = func(dst, x []float32, sigma float32) error { return r.finite(dst, g.denoise(r.ctx, dst, x, sigma)) }
	if o.Latent.NoiseMask != nil {
		if s.freshInpaintNoise {
			noise = make([]float32, len(noise))
			r.global = NewGenerator(o.Seed + 1)
			r.global.Normal(noise)
		}
		return r, r.inpaint(*o.Latent.NoiseMask, noise, start)
	}
	return r, nil
}

// sample runs the sampler over the whole schedule.
func (r *run) sample() error {
	if err := r.sampler.run(r); err != nil {
		return err
	}
	r.ms.Finish(r.x, r.sigmas[len(r.sigmas)-1])
	return r.finite(r.x, nil)
}

// report tells of a finished estimate of the picture.
func (r *run) report(denoised []float32) {
	r.step++
	r.last = append(r.last[:0], denoised...)
	types.Report(r.ctx, types.Progress{
		Phase: "sample", Step: r.step, Total: r.total,
		Latent: &types.Tensor{Shape: r.shape, Data: denoised},
	})
}

// buffer is a zeroed tensor of x's size.
func (r *run) buffer() []float32 { return make([]float32, len(r.x)) }

// NotFiniteError says that a latent holds NaN or an infinity.
type NotFiniteError struct {
	Step, Total int // the step whose model call made it; Step 0: it came with the input
	Index       int // the first such element
}

// Error names the place and the remedy.
func (e *NotFiniteError) Error() string {
	if e.Step == 0 {
		return fmt.Sprintf("the input latent has NaN or infinity at element %d: fix the node that made it (often a VAE or blend out of range)", e.Index)
	}
	return fmt.Sprintf("step %d of %d: the model returned NaN or infinity at element %d: lower cfg, or load the model with a wider dtype", e.Step, e.Total, e.Index)
}

// Explain takes the error apart.
func (e *NotFiniteError) Explain() (what, need, have, hint string) {
	have = fmt.Sprintf("NaN or infinity at element %d", e.Index)
	if e.Step == 0 {
		return "the input latent", "finite numbers", have, "fix the node that made it (often a VAE or blend out of range)"
	}
	return fmt.Sprintf("step %d of %d: what the model returned", e.Step, e.Total), "finite numbers", have, "lower cfg or the weights of the prompt, or load the model with a wider dtype"
}

// finite passes err on, or reports a value in v that is not finite.
func (r *run) finite(v []float32, err error) error {
	if err != nil {
		return err
	}
	if i := notFinite(v); i >= 0 {
		return &NotFiniteError{Step: min(r.step+1, r.total), Total: r.total, Index: i}
	}
	return nil
}

// notFinite is the index of the first NaN or infinity, or -1.
func notFinite(v []float32) int {
	for i, x := range v {
		if math.Float32bits(x)&0x7f800000 == 0x7f800000 {
			return i
		}
	}
	return -1
}
