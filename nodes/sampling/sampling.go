// Package sampling has the nodes that denoise latents.
package sampling

import (
	"graphrun/graph"
	"graphrun/nodes/bridge"
	"graphrun/runtime/loader"
	"graphrun/runtime/sampling"
	"graphrun/types"
)

func init() {
	graph.Register[KSampler](graph.Meta{
		Name: "KSampler", Category: "sampling", Uses: graph.Device,
		Description: "Paints: removes noise from the latent step by step, towards the positive prompt and away from the negative one. " +
			"denoise below 1 keeps part of the latent. Equal seeds give equal pictures.",
	})
	graph.Register[KSamplerAdvanced](graph.Meta{
		Name: "KSamplerAdvanced", Title: "KSampler (Advanced)", Category: "sampling", Uses: graph.Device,
		Description: "Paints a part of the steps, from start_at_step to end_at_step, with or without fresh noise, so that several samplers can share one picture.",
	})
}

// KSampler denoises a latent with the given sampler and schedule.
type KSampler struct {
	Model       types.Model
	Seed        uint64  `default:"0" min:"0" max:"0xffffffffffffffff" control:"after_generate"`
	Steps       int     `default:"20" min:"1" max:"10000"`
	CFG         float64 `default:"8" min:"0" max:"100" step:"0.1" round:"0.01"`
	SamplerName types.SamplerName
	Scheduler   types.SchedulerName
	Positive    types.Conditioning
	Negative    types.Conditioning
	LatentImage types.Latent
	Denoise     float64 `default:"1" min:"0" max:"1" step:"0.01"`
}

// Run samples all the steps that denoise leaves.
func (n KSampler) Run(c *graph.Call) (types.Latent, error) {
	return sample(c, n.Model, sampling.Options{
		Seed: n.Seed, Steps: n.Steps, CFG: n.CFG, Sampler: n.SamplerName, Scheduler: n.Scheduler,
		Positive: n.Positive, Negative: n.Negative, Latent: n.LatentImage, Denoise: n.Denoise,
	})
}

type enable string

// Options lists the first choice of add_noise first.
func (enable) Options() []string { return []string{"enable", "disable"} }

type disable string

// Options lists the first choice of return_with_leftover_noise first.
func (disable) Options() []string { return []string{"disable", "enable"} }

// KSamplerAdvanced denoises a latent over a part of the schedule.
type KSamplerAdvanced struct {
	Model                   types.Model
	AddNoise                enable
	NoiseSeed               uint64  `default:"0" min:"0" max:"0xffffffffffffffff" control:"after_generate"`
	Steps                   int     `default:"20" min:"1" max:"10000"`
	CFG                     float64 `default:"8" min:"0" max:"100" step:"0.1" round:"0.01"`
	SamplerName             types.SamplerName
	Scheduler               types.SchedulerName
	Positive                types.Conditioning
	Negative                types.Conditioning
	LatentImage             types.Latent
	StartAtStep             int `default:"0" min:"0" max:"10000"`
	EndAtStep               int `default:"10000" min:"0" max:"10000"`
	ReturnWithLeftoverNoise disable
}

// Run samples from StartAtStep to EndAtStep of Steps.
func (n KSamplerAdvanced) Run(c *graph.Call) (types.Latent, error) {
	return sample(c, n.Model, sampling.Options{
		Seed: n.NoiseSeed, Steps: n.Steps, CFG: n.CFG, Sampler: n.SamplerName, Scheduler: n.Scheduler,
		Positive: n.Positive, Negative: n.Negative, Latent: n.LatentImage, Denoise: 1,
		Advanced: &sampling.Advanced{
			AddNoise: n.AddNoise == "enable", StartAtStep: n.StartAtStep, EndAtStep: n.EndAtStep, ReturnLeftover: n.ReturnWithLeftoverNoise == "enable",
		},
	})
}

// buffers of the latent's size that a sampler holds: noise, sample, its prediction for both prompts, and history.
const buffers = 6

// sample refuses latents that do not fit in memory, and samples.
func sample(c *graph.Call, m types.Model, o sampling.Options) (types.Latent, error) {
	if err := room(c, o.Latent); err != nil {
		return types.Latent{}, err
	}
	return sampling.Sample(bridge.Sampling(c, m), m, o)
}

// room refuses latents that do not fit in memory.
func room(c *graph.Call, l types.Latent) error {
	e, err := graph.Service[*loader.Engine](c.Env)
	if err != nil {
		return nil // without an engine there is no budget
	}
	if err := e.Room(buffers * float64(len(l.Samples.Data))); err != nil {
		return &graph.Error{Kind: graph.KindNodeFailed, Input: "latent_image", Err: err}
	}
	return nil
}
