package sampling

import (
	"math"

	"graphrun/types"
)

// sampler is one way down the schedule.
type sampler struct {
	run               func(r *run) error
	tuning            Tuning
	uncond            bool // needs run.uncond, also at cfg 1
	freshInpaintNoise bool // inpaints over noise of seed+1 instead of the initial noise
}

// Tuning holds the samplers' own parameters under ComfyUI's names. A sampler reads the ones that it knows.
type Tuning struct {
	Eta    float64 `json:"eta"`     // share of noise renewed at each step
	SNoise float64 `json:"s_noise"` // scale of that noise
	SChurn float64 `json:"s_churn"` // Karras' churn, within sigmas STMin to STMax
	STMin  float64 `json:"s_tmin"`
	STMax  float64 `json:"s_tmax"`
}

// usual are the values that ComfyUI's samplers have where they say nothing else.
var usual = Tuning{Eta: 1, SNoise: 1, STMax: math.Inf(1)}

// samplers has every name of types.SamplerName.
var samplers = map[types.SamplerName]sampler{
	"euler":           {run: euler, tuning: usual},
	"ddim":            {run: euler, tuning: usual, freshInpaintNoise: true},
	"euler_ancestral": {run: eulerAncestral, tuning: usual},
	"heun":            {run: heun, tuning: usual},
	"dpmpp_2m":        {run: dpmpp2m, tuning: usual},
}
