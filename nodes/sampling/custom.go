package sampling

import (
	"graphrun/graph"
	"graphrun/nodes/bridge"
	"graphrun/runtime/sampling"
	"graphrun/types"
)

func init() {
	custom := func(name, category, what string) graph.Meta {
		return graph.Meta{Name: name, Category: category, Module: "comfy_extras.nodes_custom_sampler", Description: what}
	}
	sampler := func(name, what string) graph.Meta {
		m := custom(name, "sampling/custom_sampling", what)
		m.Uses = graph.Device
		return m
	}
	graph.Register[SamplerCustom](sampler("SamplerCustom", "Paints with a sampler and a schedule that other nodes choose."))
	graph.Register[SamplerCustomAdvanced](sampler("SamplerCustomAdvanced", "Paints with noise, guidance, a sampler and a schedule that other nodes choose."))
	graph.Register[KSamplerSelect](custom("KSamplerSelect", "sampling/custom_sampling/samplers", "Chooses a sampler."))
	graph.Register[BasicGuider](custom("BasicGuider", "sampling/custom_sampling/guiders", "Guides by one prompt alone, for models that need no other."))
	graph.Register[CFGGuider](custom("CFGGuider", "sampling/custom_sampling/guiders", "Guides towards one prompt and away from another."))
	graph.Register[DualCFGGuider](custom("DualCFGGuider", "sampling/custom_sampling/guiders", "Guides by two prompts and away from a third."))
	m := custom("PerpNegGuider", "_for_testing", "Guides towards one prompt, and away from what another has beside it: only the part at right angles counts.")
	m.Module, m.Experimental = "comfy_extras.nodes_perpneg", true
	graph.Register[PerpNegGuider](m)
	graph.Register[RandomNoise](custom("RandomNoise", "sampling/custom_sampling/noise", "The noise of a seed."))
	graph.Register[DisableNoise](custom("DisableNoise", "sampling/custom_sampling/noise", "No noise, for latents that have it already."))
	graph.Register[AddNoise](custom("AddNoise", "_for_testing/custom_sampling/noise", "Adds as much noise to a latent as lies between the ends of a schedule."))
}

// Sampler is a chosen sampler, and what changes its own parameters, if anything does.
type Sampler struct {
	Name types.SamplerName
	Tune func(*sampling.Tuning)
}

// TypeName is ComfyUI's name of the link type.
func (Sampler) TypeName() string { return "SAMPLER" }

// Guider is a model and the prompts that guide it.
type Guider struct {
	Model              types.Model
	Positive, Negative types.Conditioning
	CFG                float64 // at 1 the negative prompt does not count
	Third              *sampling.Third
}

// TypeName is ComfyUI's name of the link type.
func (Guider) TypeName() string { return "GUIDER" }

// Noise is the noise of a seed, or none.
type Noise struct {
	Seed uint64
	None bool
}

// TypeName is ComfyUI's name of the link type.
func (Noise) TypeName() string { return "NOISE" }

// KSamplerSelect chooses a sampler.
type KSamplerSelect struct{ SamplerName types.SamplerName }

// Run returns the sampler.
func (n KSamplerSelect) Run(*graph.Call) (Sampler, error) { return Sampler{Name: n.SamplerName}, nil }

// BasicGuider guides by one prompt.
type BasicGuider struct {
	Model        types.Model
	Conditioning types.Conditioning
}

// Run returns a guider without a negative prompt.
func (n BasicGuider) Run(*graph.Call) (Guider, error) {
	return Guider{Model: n.Model, Positive: n.Conditioning, CFG: 1}, nil
}

// CFGGuider guides by two prompts.
type CFGGuider struct {
	Model    types.Model
	Positive types.Conditioning
	Negative types.Conditioning
	CFG      float64 `default:"8" min:"0" max:"100" step:"0.1" round:"0.01"`
}

// Run returns the guider.
func (n CFGGuider) Run(*graph.Call) (Guider, error) {
	return Guider{Model: n.Model, Positive: n.Positive, Negative: n.Negative, CFG: n.CFG}, nil
}

type dualStyle string

// Options lists the ways.
func (dualStyle) Options() []string { return []string{"regular", "nested"} }

// DualCFGGuider guides by three prompts.
type DualCFGGuider struct {
	Model            types.Model
	Cond1            types.Conditioning `in:"cond1"`
	Cond2            types.Conditioning `in:"cond2"`
	Negative         types.Conditioning
	CFGConds         float64 `in:"cfg_conds" default:"8" min:"0" max:"100" step:"0.1" round:"0.01"`
	CFGCond2Negative float64 `in:"cfg_cond2_negative" default:"8" min:"0" max:"100" step:"0.1" round:"0.01"`
	Style            dualStyle
}

// Run returns the guider: the second prompt stands between the first and the negative one.
func (n DualCFGGuider) Run(*graph.Call) (Guider, error) {
	third := &sampling.Third{Prompt: n.Cond2, Way: sampling.ThirdWay(n.Style), Scale: n.CFGCond2Negative}
	return Guider{Model: n.Model, Positive: n.Cond1, Negative: n.Negative, CFG: n.CFGConds, Third: third}, nil
}

// PerpNegGuider guides by two prompts around an empty one.
type PerpNegGuider struct {
	Model             types.Model
	Positive          types.Conditioning
	Negative          types.Conditioning
	EmptyConditioning types.Conditioning
	CFG               float64 `default:"8" min:"0" max:"100" step:"0.1" round:"0.01"`
	NegScale          float64 `default:"1" min:"0" max:"100" step:"0.01"`
}

// Run returns the guider.
func (n PerpNegGuider) Run(*graph.Call) (Guider, error) {
	third := &sampling.Third{Prompt: n.EmptyConditioning, Way: sampling.PerpNeg, Scale: n.NegScale}
	return Guider{Model: n.Model, Positive: n.Positive, Negative: n.Negative, CFG: n.CFG, Third: third}, nil
}

// RandomNoise is the noise of a seed.
type RandomNoise struct {
	NoiseSeed uint64 `default:"0" min:"0" max:"0xffffffffffffffff" control:"after_generate"`
}

// Run returns the noise.
func (n RandomNoise) Run(*graph.Call) (Noise, error) { return Noise{Seed: n.NoiseSeed}, nil }

// DisableNoise is no noise.
type DisableNoise struct{}

// Run returns none; samplers that make noise of their own take seed 0.
func (DisableNoise) Run(*graph.Call) (Noise, error) { return Noise{None: true}, nil }

// AddNoise adds noise.
type AddNoise struct {
	Model       types.Model
	Noise       Noise
	Sigmas      types.Sigmas
	LatentImage types.Latent
}

// Run returns the noisy latent in the VAE's scale; what is not finite becomes 0.
func (n AddNoise) Run(*graph.Call) (types.Latent, error) {
	if _, err := modelSampling(n.Model); err != nil {
		return types.Latent{}, err
	}
	return sampling.AddNoise(n.Model, n.LatentImage, n.Sigmas, n.Noise.Seed, n.Noise.None)
}

// sampled is the result, and the last estimate of the picture without noise.
type sampled struct {
	Output         types.Latent `out:"output"`
	DenoisedOutput types.Latent `out:"denoised_output"`
}

// SamplerCustom samples with a schedule.
type SamplerCustom struct {
	Model       types.Model
	AddNoise    bool    `default:"true"`
	NoiseSeed   uint64  `default:"0" min:"0" max:"0xffffffffffffffff" control:"after_generate"`
	CFG         float64 `default:"8" min:"0" max:"100" step:"0.1" round:"0.01"`
	Positive    types.Conditioning
	Negative    types.Conditioning
	Sampler     Sampler
	Sigmas      types.Sigmas
	LatentImage types.Latent
}

// Run samples from the first sigma to the last; of fewer than two the latent is returned.
func (n SamplerCustom) Run(c *graph.Call) (sampled, error) {
	noise := Noise{Seed: n.NoiseSeed, None: !n.AddNoise}
	return sampleCustom(c, Guider{Model: n.Model, Positive: n.Positive, Negative: n.Negative, CFG: n.CFG}, noise, n.Sampler, n.Sigmas, n.LatentImage)
}

// SamplerCustomAdvanced samples with noise, guidance and a schedule.
type SamplerCustomAdvanced struct {
	Noise       Noise
	Guider      Guider
	Sampler     Sampler
	Sigmas      types.Sigmas
	LatentImage types.Latent
}

// Run samples from the first sigma to the last; of fewer than two the latent is returned.
func (n SamplerCustomAdvanced) Run(c *graph.Call) (sampled, error) {
	return sampleCustom(c, n.Guider, n.Noise, n.Sampler, n.Sigmas, n.LatentImage)
}

func sampleCustom(c *graph.Call, g Guider, noise Noise, s Sampler, sigmas types.Sigmas, latent types.Latent) (out sampled, err error) {
	if sigmas == nil {
		sigmas = types.Sigmas{} // a schedule of nothing, not none
	}
	o := sampling.Options{
		Seed: noise.Seed, CFG: g.CFG, Sampler: s.Name, Positive: g.Positive, Negative: g.Negative, Latent: latent, Sigmas: sigmas, Third: g.Third, Tune: s.Tune,
		Advanced: &sampling.Advanced{AddNoise: !noise.None},
	}
	if err := room(c, latent); err != nil {
		return sampled{}, err
	}
	out.Output, out.DenoisedOutput, err = sampling.SampleBoth(bridge.Sampling(c, g.Model), g.Model, o)
	return out, err
}
