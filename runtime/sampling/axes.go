package sampling

import (
	"fmt"
	"math"

	"graphrun/types"
)

// noiseOnly is the sigma of 0 per cent of a schedule without a true end.
const noiseOnly = 999999999.9

// discrete is the schedule of DDPM: one sigma a training step, log-linear in between.
type discrete struct{ logs []float32 }

func newDiscrete(s types.Sampling) ([]float32, axis, error) {
	if s.Steps < 2 {
		return nil, nil, fmt.Errorf("noise schedule of %d steps: need 2 or more", s.Steps)
	}
	bars, err := alphaBars(s)
	if err != nil {
		return nil, nil, err
	}
	if s.ZeroSNR {
		zeroSNR(bars)
	}
	table, logs := make([]float32, len(bars)), make([]float32, len(bars))
	for i, a := range bars {
		sigma := math.Sqrt((1 - a) / a)
		table[i], logs[i] = float32(sigma), float32(math.Log(sigma))
	}
	return table, discrete{logs}, nil
}

// alphaBars is the share of signal (in power) after each training step.
func alphaBars(s types.Sampling) ([]float64, error) {
	if s.BetaSchedule != "cosine" && !(0 < s.BetaStart && s.BetaStart <= s.BetaEnd && s.BetaEnd < 1) {
		return nil, fmt.Errorf("noise schedule with betas %g to %g: need 0 < start <= end < 1", s.BetaStart, s.BetaEnd)
	}
	betas := make([]float64, s.Steps)
	switch s.BetaSchedule {
	case "linear":
		for i, v := range linspace64(math.Sqrt(s.BetaStart), math.Sqrt(s.BetaEnd), s.Steps) {
			betas[i] = v * v
		}
	case "sqrt_linear":
		copy(betas, linspace64(s.BetaStart, s.BetaEnd, s.Steps))
	case "cosine": // Nichol and Dhariwal 2021, offset 0.008
		at := func(i int) float64 {
			c := math.Cos((float64(i)/float64(s.Steps) + 8e-3) / (1 + 8e-3) * math.Pi / 2)
			return c * c
		}
		for i := range betas {
			betas[i] = min(max(1-at(i+1)/at(i), 0), 0.999)
		}
	default:
		return nil, fmt.Errorf("beta schedule %q: need linear, sqrt_linear or cosine", s.BetaSchedule)
	}
	bar := 1.0
	for i, b := range betas {
		bar *= 1 - b
		betas[i] = bar
	}
	return betas, nil
}

// zeroSNR rescales to zero terminal signal (Lin et al. 2023), short of 0 by the reference's constant.
func zeroSNR(bars []float64) {
	n := len(bars)
	first, last := math.Sqrt(bars[0]), math.Sqrt(bars[n-1])
	for i, b := range bars {
		r := (math.Sqrt(b) - last) * first / (first - last)
		bars[i] = r * r
	}
	bars[n-1] = 4.8973451890853435e-08
}

func (d discrete) timestep(sigma float32) float32 {
	l := log(sigma)
	best, at := float32(math.Inf(1)), 0
	for i, v := range d.logs {
		if dist := max(l-v, v-l); dist < best {
			best, at = dist, i
		}
	}
	return float32(at)
}

func (d discrete) sigma(t float32) float32 {
	t = min(max(t, 0), float32(len(d.logs)-1))
	low := int(t)
	high := min(low+1, len(d.logs)-1)
	w := t - float32(low)
	if w == 0 {
		high = low
	}
	return exp(float32((1-w)*d.logs[low]) + float32(w*d.logs[high]))
}

func (d discrete) percent(p float64) float64 { return float64(d.sigma(float32((1 - p) * 999))) }
func (d discrete) first() float64            { return noiseOnly }

// distilled keeps every so manieth step of a discrete schedule, the last one among them.
type distilled struct {
	discrete
	skip float32
}

// distilledSteps are those that latent consistency models know.
const distilledSteps = 50

func newDistilled(table []float32) ([]float32, axis, error) {
	skip := len(table) / distilledSteps
	if skip == 0 {
		return nil, nil, fmt.Errorf("noise schedule of %d steps: need %d or more to distil", len(table), distilledSteps)
	}
	kept, logs := make([]float32, distilledSteps), make([]float32, distilledSteps)
	for i := range kept {
		kept[i] = table[len(table)-1-(distilledSteps-1-i)*skip]
		logs[i] = log(kept[i])
	}
	return kept, distilled{discrete{logs}, float32(skip)}, nil
}

func (d distilled) timestep(sigma float32) float32 {
	return d.discrete.timestep(sigma)*d.skip + d.skip - 1
}

func (d distilled) sigma(t float32) float32 { return d.discrete.sigma((t - (d.skip - 1)) / d.skip) }

func (d distilled) percent(p float64) float64 { return float64(d.sigma(float32((1 - p) * 999))) }

// continuous has 1000 table entries evenly spaced in ln sigma; its class decides what a timestep is.
type continuous struct {
	class    types.SigmaClass
	min, max float32
}

func newContinuous(s types.Sampling) ([]float32, axis, error) {
	if !(0 < s.SigmaMin && s.SigmaMin < s.SigmaMax) {
		return nil, nil, fmt.Errorf("noise schedule %s from sigma %g to %g: need 0 < min < max", s.Class, s.SigmaMin, s.SigmaMax)
	}
	table := linspace(math.Log(s.SigmaMin), math.Log(s.SigmaMax), 1000)
	for i, v := range table {
		table[i] = exp(v)
	}
	return table, continuous{s.Class, table[0], table[999]}, nil
}

func (c continuous) timestep(sigma float32) float32 {
	switch c.class {
	case types.SigmaContinuousV:
		return float32(math.Atan(float64(sigma))) / math.Pi * 2
	case types.SigmaCosmos:
		return sigma / (sigma + 1)
	}
	return 0.25 * log(sigma)
}

func (c continuous) sigma(t float32) float32 {
	switch c.class {
	case types.SigmaContinuousV:
		return float32(math.Tan(float64(t * math.Pi * 0.5)))
	case types.SigmaCosmos:
		if t >= 1 {
			return c.max
		}
		return t / (1 - t)
	}
	return exp(t / 0.25)
}

func (c continuous) percent(p float64) float64 {
	low, high := math.Log(float64(c.min)), math.Log(float64(c.max))
	return math.Exp((high-low)*(1-p) + low)
}
func (c continuous) first() float64 { return noiseOnly }

// flow is the straight path of rectified flow with SD3's shift a: s(t) = a·t / (1 + (a−1)·t).
type flow struct{ shift, multiplier float64 }

func newFlow(s types.Sampling) ([]float32, axis) {
	f := flow{s.Shift, s.Multiplier}
	table := make([]float32, 1000)
	for i := range table {
		table[i] = f.sigma(float32(i+1) / 1000 * float32(f.multiplier))
	}
	return table, f
}

func (f flow) timestep(sigma float32) float32 { return sigma * float32(f.multiplier) }

func (f flow) sigma(t float32) float32 {
	t /= float32(f.multiplier)
	if f.shift == 1 {
		return t
	}
	return float32(f.shift) * t / (1 + float32(float32(f.shift-1)*t))
}

func (f flow) percent(p float64) float64 {
	t := 1 - p
	if f.shift == 1 {
		return t
	}
	return f.shift * t / (1 + (f.shift-1)*t)
}
func (f flow) first() float64 { return 1 }

// flux is the straight path with Flux's exponential shift: s(t) = e^mu / (e^mu + 1/t − 1).
type flux struct{ gain float64 }

func newFlux(s types.Sampling) ([]float32, axis) {
	f := flux{math.Exp(s.Shift)}
	table := make([]float32, 10000)
	for i := range table {
		table[i] = f.sigma(float32(i+1) / 10000)
	}
	return table, f
}

func (f flux) timestep(sigma float32) float32 { return sigma }

// sigma divides as torch divides a number by a tensor: reciprocal first, then the product.
func (f flux) sigma(t float32) float32 {
	g := float32(f.gain)
	return float32(1/(g+float32(1/t-1))) * g
}
func (f flux) percent(p float64) float64 { return f.gain / (f.gain + (1/(1-p) - 1)) }
func (f flux) first() float64            { return 1 }

// cascade is the cosine schedule of Würstchen, its signal-to-noise ratio shifted for the picture's size.
type cascade struct{ shift float64 }

const cosineOffset = 8e-3

// cosineStart is cos² at t = 0, to which the schedule is normalised.
var cosineStart = cosineSquared(0)

func cosineSquared(t float32) float32 {
	c := float32(math.Cos(float64((t + cosineOffset) / (1 + cosineOffset) * math.Pi * 0.5)))
	return c * c
}

func newCascade(s types.Sampling) ([]float32, axis) {
	c := cascade{s.Shift}
	table := make([]float32, 10000)
	for i := range table {
		table[i] = c.sigma(float32(i+1) / 10000)
	}
	return table, c
}

func (c cascade) sigma(t float32) float32 {
	bar := cosineSquared(t) / cosineStart
	if c.shift != 1 {
		snr := log(bar/(1-bar)) + float32(2*math.Log(1/c.shift))
		bar = 1 / (1 + exp(-snr))
	}
	bar = min(max(bar, 0.0001), 0.9999)
	return sqrt((1 - bar) / bar)
}

func (c cascade) timestep(sigma float32) float32 {
	bar := min(max(1/(sigma*sigma+1), 0), 1)
	angle := float32(math.Acos(float64(sqrt(bar * cosineStart))))
	return angle/(math.Pi*0.5)*(1+cosineOffset) - cosineOffset
}
func (c cascade) percent(p float64) float64 { return float64(c.sigma(float32(1 - p))) }
func (c cascade) first() float64            { return noiseOnly }
