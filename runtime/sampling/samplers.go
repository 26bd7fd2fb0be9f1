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

	SNoiseEnd    float64 `json:"s_noise_end"`    // lcm: the scale of the last step's noise, which SNoise goes to
	NoiseClipStd float64 `json:"noise_clip_std"` // lcm: how many of its deviations noise may go; 0 is all

	R        float64 `json:"r"` // place of the midpoint, as a share of the step
	R1       float64 `json:"r_1"`
	R2       float64 `json:"r_2"`
	Gamma    float64 `json:"ge_gamma"`
	Solver   string  `json:"solver_type"` // "midpoint" or "heun"; er_sde: "ER-SDE", "Reverse-time SDE" or "ODE"
	MaxStage int     `json:"max_stage"`
	MaxOrder int     `json:"max_order"`
	DEIS     string  `json:"deis_mode"` // "tab"

	Order        int     `json:"order"` // lms and dpm_adaptive
	RTol         float64 `json:"rtol"`
	ATol         float64 `json:"atol"`
	HInit        float64 `json:"h_init"`
	PCoeff       float64 `json:"pcoeff"`
	ICoeff       float64 `json:"icoeff"`
	DCoeff       float64 `json:"dcoeff"`
	AcceptSafety float64 `json:"accept_safety"`

	PredictorOrder int     `json:"predictor_order"`
	CorrectorOrder int     `json:"corrector_order"`
	SDEStart       float64 `json:"sde_start_percent"` // sa_solver is stochastic within these shares of the sampling
	SDEEnd         float64 `json:"sde_end_percent"`
	PECE           bool    `json:"use_pece"`
	SimpleOrder2   bool    `json:"simple_order_2"`
}

// usual are the values that ComfyUI's samplers have where they say nothing else.
var usual = Tuning{
	Eta: 1, SNoise: 1, SNoiseEnd: 1, STMax: math.Inf(1), R: 0.5, R1: 1. / 3, R2: 2. / 3, Gamma: 2, Solver: "midpoint", MaxStage: 3, MaxOrder: 4, DEIS: "tab",
	Order: 4, RTol: 0.05, ATol: 0.0078, HInit: 0.05, ICoeff: 1, AcceptSafety: 0.81,
	PredictorOrder: 3, CorrectorOrder: 4, SDEStart: 0.2, SDEEnd: 0.8,
}

// but changes the usual values.
func but(change func(t *Tuning)) Tuning {
	t := usual
	change(&t)
	return t
}

var (
	certain = but(func(t *Tuning) { t.Eta = 0 })
	withHun = but(func(t *Tuning) { t.Solver = "heun" })
)

// samplers has every name of types.SamplerName. The _gpu ones of ComfyUI differ only in where they make noise.
var samplers = map[types.SamplerName]sampler{
	"euler":                          {run: euler, tuning: usual},
	"ddim":                           {run: euler, tuning: usual, freshInpaintNoise: true},
	"euler_cfg_pp":                   {run: eulerAncestralCFGPP, tuning: but(func(t *Tuning) { t.Eta, t.SNoise = 0, 0 }), uncond: true},
	"euler_ancestral":                {run: eulerAncestral, tuning: usual},
	"euler_ancestral_cfg_pp":         {run: eulerAncestralCFGPP, tuning: usual, uncond: true},
	"heun":                           {run: heun, tuning: usual},
	"heunpp2":                        {run: heunpp2, tuning: usual},
	"dpm_2":                          {run: dpm2, tuning: usual},
	"dpm_2_ancestral":                {run: dpm2Ancestral, tuning: usual},
	"dpm_fast":                       {run: dpmFast, tuning: certain},
	"dpm_adaptive":                   {run: dpmAdaptive, tuning: but(func(t *Tuning) { t.Eta, t.Order = 0, 3 })},
	"dpmpp_2s_ancestral":             {run: dpmpp2sAncestral, tuning: usual},
	"dpmpp_2s_ancestral_cfg_pp":      {run: dpmpp2sAncestralCFGPP, tuning: usual, uncond: true},
	"dpmpp_sde":                      {run: dpmppSDE, tuning: usual},
	"dpmpp_sde_gpu":                  {run: dpmppSDE, tuning: usual},
	"dpmpp_2m":                       {run: dpmpp2m, tuning: usual},
	"dpmpp_2m_cfg_pp":                {run: dpmpp2mCFGPP, tuning: usual, uncond: true},
	"dpmpp_2m_sde":                   {run: dpmpp2mSDE, tuning: usual},
	"dpmpp_2m_sde_gpu":               {run: dpmpp2mSDE, tuning: usual},
	"dpmpp_2m_sde_heun":              {run: dpmpp2mSDE, tuning: withHun},
	"dpmpp_2m_sde_heun_gpu":          {run: dpmpp2mSDE, tuning: withHun},
	"dpmpp_3m_sde":                   {run: dpmpp3mSDE, tuning: usual},
	"dpmpp_3m_sde_gpu":               {run: dpmpp3mSDE, tuning: usual},
	"ddpm":                           {run: ddpm, tuning: usual},
	"lcm":                            {run: lcmSampler, tuning: usual},
	"lms":                            {run: lms, tuning: usual},
	"ipndm":                          {run: ipndm, tuning: usual},
	"ipndm_v":                        {run: ipndmV, tuning: usual},
	"deis":                           {run: deis, tuning: but(func(t *Tuning) { t.MaxOrder = 3 })},
	"res_multistep":                  {run: resMultistep, tuning: certain},
	"res_multistep_cfg_pp":           {run: resMultistepCFGPP, tuning: certain, uncond: true},
	"res_multistep_ancestral":        {run: resMultistep, tuning: usual},
	"res_multistep_ancestral_cfg_pp": {run: resMultistepCFGPP, tuning: usual, uncond: true},
	"gradient_estimation":            {run: gradientEstimation, tuning: usual},
	"gradient_estimation_cfg_pp":     {run: gradientEstimationCFGPP, tuning: usual, uncond: true},
	"er_sde":                         {run: erSDE, tuning: but(func(t *Tuning) { t.Solver = "ER-SDE" })},
	"seeds_2":                        {run: seeds2, tuning: usual},
	"seeds_3":                        {run: seeds3, tuning: usual},
	"sa_solver":                      {run: saSolver, tuning: usual},
	"sa_solver_pece":                 {run: saSolver, tuning: but(func(t *Tuning) { t.PECE = true })},
	"uni_pc":                         {run: uniPC(false), tuning: usual},
	"uni_pc_bh2":                     {run: uniPC(true), tuning: usual},
}
