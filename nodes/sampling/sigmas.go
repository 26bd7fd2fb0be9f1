package sampling

import (
	"graphrun/graph"
	"graphrun/runtime/sampling"
	"graphrun/types"
)

func init() {
	schedule := func(name, what string) graph.Meta {
		return graph.Meta{Name: name, Category: "sampling/custom_sampling/schedulers", Module: "comfy_extras.nodes_custom_sampler", Description: what}
	}
	change := func(name, what string) graph.Meta {
		return graph.Meta{Name: name, Category: "sampling/custom_sampling/sigmas", Module: "comfy_extras.nodes_custom_sampler", Description: what}
	}
	graph.Register[BasicScheduler](schedule("BasicScheduler", "The schedule of a model by name; denoise below 1 takes the end of a longer one."))
	graph.Register[KarrasScheduler](schedule("KarrasScheduler", "Sigmas that are evenly spaced in a root of sigma (Karras et al. 2022)."))
	graph.Register[ExponentialScheduler](schedule("ExponentialScheduler", "Sigmas that are evenly spaced in their logarithm."))
	graph.Register[PolyexponentialScheduler](schedule("PolyexponentialScheduler", "Sigmas that are spaced in their logarithm by a power."))
	graph.Register[LaplaceScheduler](schedule("LaplaceScheduler", "Sigmas whose logarithms follow a Laplace distribution."))
	graph.Register[VPScheduler](schedule("VPScheduler", "The variance-preserving schedule of continuous time."))
	graph.Register[SDTurboScheduler](schedule("SDTurboScheduler", "The few steps that turbo models are made for."))
	graph.Register[BetaSamplingScheduler](schedule("BetaSamplingScheduler", "Steps of a model's schedule by the quantiles of a beta distribution."))
	graph.Register[SplitSigmas](change("SplitSigmas", "Cuts a schedule in two behind a number of steps."))
	graph.Register[SplitSigmasDenoise](change("SplitSigmasDenoise", "Cuts a schedule in two before the last share of its steps."))
	graph.Register[FlipSigmas](change("FlipSigmas", "Turns a schedule around, to go from picture to noise."))
	graph.Register[SetFirstSigma](change("SetFirstSigma", "Sets the sigma that a schedule begins with."))
	graph.Register[ExtendIntermediateSigmas](change("ExtendIntermediateSigmas", "Divides the steps of a schedule that begin between two sigmas."))
	m := schedule("AlignYourStepsScheduler", "The schedules tuned for SD 1.5, SDXL and SVD (Sabour et al. 2024).")
	m.Module = "comfy_extras.nodes_align_your_steps"
	m.NewStyle = true
	graph.Register[AlignYourStepsScheduler](m)
	m = schedule("OptimalStepsScheduler", "The schedules tuned for Flux, Wan and Chroma (Pei et al. 2025).")
	m.Module, m.NewStyle = "comfy_extras.nodes_optimalsteps", true
	graph.Register[OptimalStepsScheduler](m)
	m = schedule("LTXVScheduler", "The schedule of LTX-Video, shifted by the size of the latent.")
	m.Module, m.NewStyle = "comfy_extras.nodes_lt", true
	graph.Register[LTXVScheduler](m)
	newer := func(name, title, category, module, what string) graph.Meta {
		return graph.Meta{Name: name, Title: title, Category: "model/sampling/" + category, Module: "comfy_extras." + module, Later: true, NewStyle: true, Description: what}
	}
	m = newer("ManualSigmas", "", "sigmas", "nodes_custom_sampler", "A schedule of the numbers in a text.")
	m.Experimental = true
	graph.Register[ManualSigmas](m)
	graph.Register[Flux2Scheduler](newer("Flux2Scheduler", "", "schedulers", "nodes_flux", "The schedule of Flux 2 for pictures of width by height pixels."))
	graph.Register[Ideogram4Scheduler](newer("Ideogram4Scheduler", "Ideogram 4 Scheduler", "schedulers", "nodes_ideogram4", "The schedule of Ideogram 4 for pictures of width by height pixels."))
}

// modelSampling is how the model was trained.
func modelSampling(m types.Model) (*sampling.ModelSampling, error) {
	if m.Denoiser == nil {
		return nil, &graph.Error{Kind: graph.KindCustom, Input: "model", Need: "a diffusion model", Have: "none", Hint: "load a checkpoint that has one"}
	}
	return sampling.NewModelSampling(m.Sampling())
}

// BasicScheduler is a model's schedule.
type BasicScheduler struct {
	Model     types.Model
	Scheduler types.SchedulerName
	Steps     int     `default:"20" min:"1" max:"10000"`
	Denoise   float64 `default:"1" min:"0" max:"1" step:"0.01"`
}

// Run returns steps+1 sigmas, with some schedulers fewer; with denoise 0 none.
func (n BasicScheduler) Run(*graph.Call) (types.Sigmas, error) {
	m, err := modelSampling(n.Model)
	if err != nil {
		return nil, err
	}
	return sampling.Basic(m, n.Scheduler, n.Steps, n.Denoise)
}

// KarrasScheduler needs no model.
type KarrasScheduler struct {
	Steps    int     `default:"20" min:"1" max:"10000"`
	SigmaMax float64 `default:"14.614642" min:"0" max:"5000" step:"0.01" round:"false"`
	SigmaMin float64 `default:"0.0291675" min:"0" max:"5000" step:"0.01" round:"false"`
	Rho      float64 `default:"7" min:"0" max:"100" step:"0.01" round:"false"`
}

// Run returns steps+1 sigmas.
func (n KarrasScheduler) Run(*graph.Call) (types.Sigmas, error) {
	return sampling.Karras(n.Steps, n.SigmaMin, n.SigmaMax, n.Rho), nil
}

// ExponentialScheduler needs no model.
type ExponentialScheduler struct {
	Steps    int     `default:"20" min:"1" max:"10000"`
	SigmaMax float64 `default:"14.614642" min:"0" max:"5000" step:"0.01" round:"false"`
	SigmaMin float64 `default:"0.0291675" min:"0" max:"5000" step:"0.01" round:"false"`
}

// Run returns steps+1 sigmas.
func (n ExponentialScheduler) Run(*graph.Call) (types.Sigmas, error) {
	return sampling.Exponential(n.Steps, n.SigmaMin, n.SigmaMax), nil
}

// PolyexponentialScheduler needs no model.
type PolyexponentialScheduler struct {
	Steps    int     `default:"20" min:"1" max:"10000"`
	SigmaMax float64 `default:"14.614642" min:"0" max:"5000" step:"0.01" round:"false"`
	SigmaMin float64 `default:"0.0291675" min:"0" max:"5000" step:"0.01" round:"false"`
	Rho      float64 `default:"1" min:"0" max:"100" step:"0.01" round:"false"`
}

// Run returns steps+1 sigmas.
func (n PolyexponentialScheduler) Run(*graph.Call) (types.Sigmas, error) {
	return sampling.Polyexponential(n.Steps, n.SigmaMin, n.SigmaMax, n.Rho), nil
}

// LaplaceScheduler needs no model.
type LaplaceScheduler struct {
	Steps    int     `default:"20" min:"1" max:"10000"`
	SigmaMax float64 `default:"14.614642" min:"0" max:"5000" step:"0.01" round:"false"`
	SigmaMin float64 `default:"0.0291675" min:"0" max:"5000" step:"0.01" round:"false"`
	Mu       float64 `default:"0" min:"-10" max:"10" step:"0.1" round:"false"`
	Beta     float64 `default:"0.5" min:"0" max:"10" step:"0.1" round:"false"`
}

// Run returns steps sigmas: no 0 stands at their end.
func (n LaplaceScheduler) Run(*graph.Call) (types.Sigmas, error) {
	return sampling.Laplace(n.Steps, n.SigmaMin, n.SigmaMax, n.Mu, n.Beta), nil
}

// VPScheduler needs no model.
type VPScheduler struct {
	Steps   int     `default:"20" min:"1" max:"10000"`
	BetaD   float64 `default:"19.9" min:"0" max:"5000" step:"0.01" round:"false"`
	BetaMin float64 `default:"0.1" min:"0" max:"5000" step:"0.01" round:"false"`
	EpsS    float64 `default:"0.001" min:"0" max:"1" step:"0.0001" round:"false"`
}

// Run returns steps+1 sigmas.
func (n VPScheduler) Run(*graph.Call) (types.Sigmas, error) {
	return sampling.VP(n.Steps, n.BetaD, n.BetaMin, n.EpsS), nil
}

// SDTurboScheduler is for turbo models.
type SDTurboScheduler struct {
	Model   types.Model
	Steps   int     `default:"1" min:"1" max:"10"`
	Denoise float64 `default:"1" min:"0" max:"1" step:"0.01"`
}

// Run returns steps+1 sigmas, fewer where denoise leaves fewer.
func (n SDTurboScheduler) Run(*graph.Call) (types.Sigmas, error) {
	m, err := modelSampling(n.Model)
	if err != nil {
		return nil, err
	}
	return sampling.SDTurbo(m, n.Steps, n.Denoise), nil
}

// BetaSamplingScheduler takes steps of a model's schedule.
type BetaSamplingScheduler struct {
	Model types.Model
	Steps int     `default:"20" min:"1" max:"10000"`
	Alpha float64 `default:"0.6" min:"0" max:"50" step:"0.01" round:"false"`
	Beta  float64 `default:"0.6" min:"0" max:"50" step:"0.01" round:"false"`
}

// Run returns up to steps+1 sigmas.
func (n BetaSamplingScheduler) Run(*graph.Call) (types.Sigmas, error) {
	m, err := modelSampling(n.Model)
	if err != nil {
		return nil, err
	}
	return sampling.BetaSigmas(m, n.Steps, n.Alpha, n.Beta)
}

// parts of a schedule.
type parts struct {
	High types.Sigmas `out:"high_sigmas"`
	Low  types.Sigmas `out:"low_sigmas"`
}

// SplitSigmas cuts a schedule.
type SplitSigmas struct {
	Sigmas types.Sigmas
	Step   int `default:"0" min:"0" max:"10000"`
}

// Run gives both parts the sigma between.
func (n SplitSigmas) Run(*graph.Call) (out parts, err error) {
	out.High, out.Low = sampling.Split(n.Sigmas, n.Step)
	return out, nil
}

// SplitSigmasDenoise cuts a schedule.
type SplitSigmasDenoise struct {
	Sigmas  types.Sigmas
	Denoise float64 `default:"1" min:"0" max:"1" step:"0.01"`
}

// Run gives the second part that share of the steps.
func (n SplitSigmasDenoise) Run(*graph.Call) (out parts, err error) {
	out.High, out.Low = sampling.SplitDenoise(n.Sigmas, n.Denoise)
	return out, nil
}

// FlipSigmas turns a schedule around.
type FlipSigmas struct{ Sigmas types.Sigmas }

// Run returns the sigmas in reverse.
func (n FlipSigmas) Run(*graph.Call) (types.Sigmas, error) { return sampling.Flip(n.Sigmas), nil }

// SetFirstSigma changes a schedule.
type SetFirstSigma struct {
	Sigmas types.Sigmas
	Sigma  float64 `default:"136" min:"0" max:"20000" step:"0.001" round:"false"`
}

// Run returns a copy with another first sigma.
func (n SetFirstSigma) Run(*graph.Call) (types.Sigmas, error) {
	out := append(types.Sigmas{}, n.Sigmas...)
	if len(out) == 0 {
		return nil, &graph.Error{Kind: graph.KindCustom, Input: "sigmas", Need: "a sigma to set", Have: "an empty schedule"}
	}
	out[0] = float32(n.Sigma)
	return out, nil
}

// ExtendIntermediateSigmas divides steps.
type ExtendIntermediateSigmas struct {
	Sigmas       types.Sigmas
	Steps        int     `default:"2" min:"1" max:"100"`
	StartAtSigma float64 `default:"-1" min:"-1" max:"20000" step:"0.01" round:"false"`
	EndAtSigma   float64 `default:"12" min:"0" max:"20000" step:"0.01" round:"false"`
	Spacing      sampling.ExtendSpacing
}

// Run divides each step that begins between start and end into steps; -1 is no limit.
func (n ExtendIntermediateSigmas) Run(*graph.Call) (types.Sigmas, error) {
	return sampling.Extend(n.Sigmas, n.Steps, n.StartAtSigma, n.EndAtSigma, n.Spacing), nil
}

type alignedModel string

// Options lists the models.
func (alignedModel) Options() []string { return []string{"SD1", "SDXL", "SVD"} }

// AlignYourStepsScheduler is a tuned schedule.
type AlignYourStepsScheduler struct {
	ModelType alignedModel `multiselect:"false"`
	Steps     int          `default:"10" min:"1" max:"10000"`
	Denoise   float64      `default:"1" min:"0" max:"1" step:"0.01"`
}

// Run returns steps+1 sigmas, the share of denoise of them.
func (n AlignYourStepsScheduler) Run(*graph.Call) (types.Sigmas, error) {
	return sampling.AlignYourSteps(string(n.ModelType), n.Steps, n.Denoise)
}

type optimalModel string

// Options lists the models.
func (optimalModel) Options() []string { return []string{"FLUX", "Wan", "Chroma"} }

// OptimalStepsScheduler is a tuned schedule.
type OptimalStepsScheduler struct {
	ModelType optimalModel `multiselect:"false"`
	Steps     int          `default:"20" min:"3" max:"1000"`
	Denoise   float64      `default:"1" min:"0" max:"1" step:"0.01"`
}

// Run returns steps+1 sigmas, the share of denoise of them.
func (n OptimalStepsScheduler) Run(*graph.Call) (types.Sigmas, error) {
	return sampling.OptimalSteps(string(n.ModelType), n.Steps, n.Denoise)
}

// LTXVScheduler is LTX-Video's schedule.
type LTXVScheduler struct {
	Steps     int     `default:"20" min:"1" max:"10000"`
	MaxShift  float64 `default:"2.05" min:"0" max:"100" step:"0.01"`
	BaseShift float64 `default:"0.95" min:"0" max:"100" step:"0.01"`
	Stretch   bool    `default:"true"`
	Terminal  float64 `default:"0.1" min:"0" max:"0.99" step:"0.01"`
	Latent    *types.Latent
}

// Run counts the latent's cells as tokens; without one there are 4096.
func (n LTXVScheduler) Run(*graph.Call) (types.Sigmas, error) {
	tokens := 4096
	if n.Latent != nil {
		shape := n.Latent.Samples.Shape
		tokens = types.Elements(shape[min(2, len(shape)):])
	}
	return sampling.LTXV(n.Steps, tokens, n.MaxShift, n.BaseShift, n.Stretch, n.Terminal), nil
}

// ManualSigmas is a schedule by hand.
type ManualSigmas struct {
	Sigmas string `default:"1, 0.5" multiline:"false"`
}

// Run takes every number; an exponent is a number of its own.
func (n ManualSigmas) Run(*graph.Call) (types.Sigmas, error) { return sampling.Manual(n.Sigmas), nil }

// Flux2Scheduler is Flux 2's schedule.
type Flux2Scheduler struct {
	Steps  int `default:"20" min:"1" max:"4096"`
	Width  int `default:"1024" min:"16" max:"16384" step:"1"`
	Height int `default:"1024" min:"16" max:"16384" step:"1"`
}

// Run returns steps+1 sigmas.
func (n Flux2Scheduler) Run(*graph.Call) (types.Sigmas, error) {
	return sampling.Flux2(n.Steps, n.Width, n.Height), nil
}

// Ideogram4Scheduler is Ideogram 4's schedule.
type Ideogram4Scheduler struct {
	Steps  int     `default:"20" min:"1" max:"200"`
	Width  int     `default:"1024" min:"256" max:"8192" step:"16"`
	Height int     `default:"1024" min:"256" max:"8192" step:"16"`
	Mu     float64 `default:"0.0" min:"-10" max:"10" step:"0.05"`
	Std    float64 `default:"1.75" min:"0.1" max:"5" step:"0.05"`
}

// Run returns steps+1 sigmas.
func (n Ideogram4Scheduler) Run(*graph.Call) (types.Sigmas, error) {
	return sampling.Ideogram4(n.Steps, n.Width, n.Height, n.Mu, n.Std), nil
}
