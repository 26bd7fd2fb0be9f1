package sampling

import (
	"graphrun/graph"
	"graphrun/types"
)

func init() {
	patch := func(name, what string) graph.Meta {
		return graph.Meta{Name: name, Category: "advanced/model", Module: "comfy_extras.nodes_model_advanced", Description: what}
	}
	graph.Register[ModelSamplingSD3](patch("ModelSamplingSD3", "Shifts the schedule of a flow model: more steps at high noise, the larger shift is."))
	m := patch("ModelSamplingAuraFlow", "Shifts the schedule of a flow model whose timesteps go from 0 to 1.")
	m.Category = "model/patch"
	graph.Register[ModelSamplingAuraFlow](m)
	graph.Register[ModelSamplingFlux](patch("ModelSamplingFlux", "Shifts the schedule of Flux by the size of the picture: from base_shift at 256 pixels squared to max_shift at 1024."))
	graph.Register[ModelSamplingDiscrete](patch("ModelSamplingDiscrete", "Says what a model of discrete timesteps predicts."))
	graph.Register[ModelSamplingContinuousEDM](patch("ModelSamplingContinuousEDM", "Gives a model the continuous schedule of Karras et al. 2022."))
	graph.Register[ModelSamplingContinuousV](patch("ModelSamplingContinuousV", "Gives a model a continuous schedule whose timestep is an angle."))
}

// resampled is a model with another schedule or prediction.
type resampled struct {
	types.Denoiser
	sampling types.Sampling
}

// Sampling is the new one.
func (r resampled) Sampling() types.Sampling { return r.sampling }

// Unwrap is the model before.
func (r resampled) Unwrap() types.Denoiser { return r.Denoiser }

// Session is the same model with buffers of its own, if it has sessions.
func (r resampled) Session() types.Denoiser {
	if s, ok := r.Denoiser.(types.Sessioner); ok {
		r.Denoiser = s.Session()
	}
	return r
}

// with gives a model another sampling.
func with(m types.Model, s types.Sampling) (types.Model, error) {
	if _, err := modelSampling(m); err != nil {
		return types.Model{}, err
	}
	inner := m.Denoiser
	if r, ok := inner.(resampled); ok { // the last one counts
		inner = r.Denoiser
	}
	out := types.Model{Denoiser: resampled{inner, s}}
	_, err := modelSampling(out)
	return out, err
}

// unsupported refuses a choice that graphrun does not have yet.
func unsupported(input, have string) error {
	return &graph.Error{Kind: graph.KindUnsupported, Input: input, Have: have, Hint: "choose another"}
}

// ModelSamplingSD3 shifts a flow.
type ModelSamplingSD3 struct {
	Model types.Model
	Shift float64 `default:"3" min:"0" max:"100" step:"0.01"`
}

// Run returns the model with timesteps of 0 to 1000.
func (n ModelSamplingSD3) Run(*graph.Call) (types.Model, error) {
	return with(n.Model, types.Sampling{Prediction: types.PredictFlow, Class: types.SigmaFlow, Shift: n.Shift, Multiplier: 1000})
}

type flowSampling string

// Options lists the kinds of flow.
func (flowSampling) Options() []string { return []string{"flow", "img_to_img_velocity"} }

// ModelSamplingAuraFlow shifts a flow.
type ModelSamplingAuraFlow struct {
	Model    types.Model
	Shift    float64      `default:"1.73" min:"0" max:"100" step:"0.01"`
	Sampling flowSampling `default:"flow" advanced:"true" optional:"true"`
}

// Run returns the model with timesteps of 0 to 1.
func (n ModelSamplingAuraFlow) Run(*graph.Call) (types.Model, error) {
	if n.Sampling != "flow" && n.Sampling != "" {
		return types.Model{}, unsupported("sampling", string(n.Sampling))
	}
	return with(n.Model, types.Sampling{Prediction: types.PredictFlow, Class: types.SigmaFlow, Shift: n.Shift, Multiplier: 1})
}

// ModelSamplingFlux shifts a flow by size.
type ModelSamplingFlux struct {
	Model     types.Model
	MaxShift  float64 `default:"1.15" min:"0" max:"100" step:"0.01"`
	BaseShift float64 `default:"0.5" min:"0" max:"100" step:"0.01"`
	Width     int     `default:"1024" min:"16" max:"16384" step:"8"`
	Height    int     `default:"1024" min:"16" max:"16384" step:"8"`
}

// Run returns the model with a shift on the line through 256 tokens (base) and 4096 (max), of 16 pixels squared each.
func (n ModelSamplingFlux) Run(*graph.Call) (types.Model, error) {
	slope := (n.MaxShift - n.BaseShift) / (4096 - 256)
	shift := float64(n.Width)*float64(n.Height)/256*slope + n.BaseShift - slope*256
	return with(n.Model, types.Sampling{Prediction: types.PredictFlow, Class: types.SigmaFlux, Shift: shift, FluxShift: true})
}

type discreteSampling string

// Options lists what a model can predict.
func (discreteSampling) Options() []string {
	return []string{"eps", "v_prediction", "lcm", "x0", "img_to_img"}
}

var predictions = map[string]types.Prediction{
	"eps": types.PredictEpsilon, "v_prediction": types.PredictVelocity, "lcm": types.PredictLCM, "x0": types.PredictSample,
	"img_to_img": types.PredictImage, "edm": types.PredictEDM, "cosmos_rflow": types.PredictCosmos,
}

// ModelSamplingDiscrete changes the prediction.
type ModelSamplingDiscrete struct {
	Model    types.Model
	Sampling discreteSampling
	Zsnr     bool `default:"false"`
}

// Run keeps the model's own betas, where it has some.
func (n ModelSamplingDiscrete) Run(*graph.Call) (types.Model, error) {
	s := types.Sampling{Prediction: predictions[string(n.Sampling)], Class: types.SigmaDiscrete, BetaStart: 0.00085, BetaEnd: 0.012, ZeroSNR: n.Zsnr}
	if n.Model.Denoiser != nil {
		if own := n.Model.Sampling(); own.BetaEnd > 0 {
			s.BetaSchedule, s.BetaStart, s.BetaEnd, s.Steps = own.BetaSchedule, own.BetaStart, own.BetaEnd, own.Steps
		}
	}
	return with(n.Model, s)
}

type edmSampling string

// Options lists what a model can predict.
func (edmSampling) Options() []string {
	return []string{"v_prediction", "edm", "edm_playground_v2.5", "eps", "cosmos_rflow"}
}

// ModelSamplingContinuousEDM gives a continuous schedule.
type ModelSamplingContinuousEDM struct {
	Model    types.Model
	Sampling edmSampling
	SigmaMax float64 `default:"120" min:"0" max:"1000" step:"0.001" round:"false"`
	SigmaMin float64 `default:"0.002" min:"0" max:"1000" step:"0.001" round:"false"`
}

// Run takes 0.5 for the spread of the data with edm, else 1.
func (n ModelSamplingContinuousEDM) Run(*graph.Call) (types.Model, error) {
	s := types.Sampling{Prediction: predictions[string(n.Sampling)], Class: types.SigmaEDM, SigmaMin: n.SigmaMin, SigmaMax: n.SigmaMax, SigmaData: 1}
	switch n.Sampling {
	case "edm":
		s.SigmaData = 0.5
	case "cosmos_rflow":
		s.Class = types.SigmaCosmos
	case "edm_playground_v2.5": // has a latent format of its own, with means and deviations
		return types.Model{}, unsupported("sampling", string(n.Sampling))
	}
	return with(n.Model, s)
}

type vSampling string

// Options lists the only prediction.
func (vSampling) Options() []string { return []string{"v_prediction"} }

// ModelSamplingContinuousV gives a continuous schedule.
type ModelSamplingContinuousV struct {
	Model    types.Model
	Sampling vSampling
	SigmaMax float64 `default:"500" min:"0" max:"1000" step:"0.001" round:"false"`
	SigmaMin float64 `default:"0.03" min:"0" max:"1000" step:"0.001" round:"false"`
}

// Run returns the model with timesteps of 2/π·atan σ.
func (n ModelSamplingContinuousV) Run(*graph.Call) (types.Model, error) {
	return with(n.Model, types.Sampling{Prediction: types.PredictVelocity, Class: types.SigmaContinuousV, SigmaMin: n.SigmaMin, SigmaMax: n.SigmaMax})
}
