package sampling

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"

	"graphrun/types"
)

// The schedules below are those of nodes that make sigmas by themselves (numerics.md 3, newer-nodes.md 4): n steps, n+1
// sigmas, the last one 0 unless it says otherwise.

// Karras is evenly spaced in sigma^(1/rho) (Karras et al. 2022).
func Karras(n int, low, high, rho float64) types.Sigmas {
	a, b := math.Pow(high, 1/rho), math.Pow(low, 1/rho)
	s := linspace(0, 1, n)
	for i, r := range s {
		s[i] = pow(float32(a)+float32(r*float32(b-a)), float32(rho))
	}
	return append(s, 0)
}

// Exponential is evenly spaced in log sigma.
func Exponential(n int, low, high float64) types.Sigmas {
	s := linspace(math.Log(high), math.Log(low), n)
	for i, l := range s {
		s[i] = exp(l)
	}
	return append(s, 0)
}

// Polyexponential is spaced in log sigma by a power.
func Polyexponential(n int, low, high, rho float64) types.Sigmas {
	s := linspace(1, 0, n)
	for i, r := range s {
		s[i] = exp(float32(pow(r, float32(rho))*float32(math.Log(high)-math.Log(low))) + float32(math.Log(low)))
	}
	return append(s, 0)
}

// VP is the variance-preserving schedule of Song et al. 2021 from time 1 to eps.
func VP(n int, betaD, betaMin, eps float64) types.Sigmas {
	s := linspace(1, eps, n)
	for i, t := range s {
		s[i] = sqrt(expm1(float32(float32(float32(betaD)*float32(t*t))/2) + float32(float32(betaMin)*t)))
	}
	return append(s, 0)
}

// Laplace spaces by a Laplace distribution of log sigma (Hang et al. 2024). It has n sigmas and no 0 at its end.
func Laplace(n int, low, high, mu, beta float64) types.Sigmas {
	s := linspace(0, 1, n)
	for i, x := range s {
		side := float32(0.5) - x
		sign := float32(0)
		if side > 0 {
			sign = 1
		} else if side < 0 {
			sign, side = -1, -side
		}
		l := float32(mu) - float32(float32(float32(beta)*sign)*log(1-2*side+1e-5))
		s[i] = min(max(exp(l), float32(low)), float32(high))
	}
	return s
}

// SDTurbo takes every hundredth timestep from 999 on; denoise leaves out those at the start, in tenths.
func SDTurbo(m *ModelSampling, steps int, denoise float64) types.Sigmas {
	s := types.Sigmas{}
	for i := 10 - int(10*denoise); i < 10 && len(s) < steps; i++ {
		s = append(s, m.Sigma(float32(999-100*i)))
	}
	return append(s, 0)
}

// BetaSigmas places the steps by the quantiles of a Beta(a, b) distribution; there may be fewer than n. a and b are above 0.
func BetaSigmas(m *ModelSampling, n int, a, b float64) (types.Sigmas, error) {
	if !(a > 0 && b > 0) {
		return nil, fmt.Errorf("a beta distribution with alpha %v and beta %v: both must be above 0", a, b)
	}
	return betaOf(m, n, a, b), nil
}

// Basic is a scheduler's schedule; with denoise below 1 the last steps steps of a longer one, at 0 nothing.
func Basic(m *ModelSampling, scheduler types.SchedulerName, steps int, denoise float64) (types.Sigmas, error) {
	total := steps
	if denoise < 1 {
		if denoise <= 0 {
			return types.Sigmas{}, nil
		}
		total = int(min(float64(steps)/denoise, maxSteps+1))
	}
	s, err := Schedule(scheduler, m, total)
	if err != nil {
		return nil, err
	}
	return s[max(0, len(s)-steps-1):], nil
}

// LTXV is LTX-Video's: shifted by the number of tokens, and if stretch, stretched so that the last step before 0 is terminal.
func LTXV(n, tokens int, maxShift, baseShift float64, stretch bool, terminal float64) types.Sigmas {
	slope := (maxShift - baseShift) / (4096 - 1024)
	by := math.Exp(float64(tokens)*slope + baseShift - slope*1024)
	s := linspace(1, 0, n+1)
	for i, t := range s {
		if t != 0 {
			s[i] = float32(1/(float32(by)+float32(1/t-1))) * float32(by)
		}
	}
	// Of a single step nothing can be stretched: it starts at 1.
	if last := 1 - s[max(n-1, 0)]; stretch && last != 0 {
		scale := last / float32(1-terminal)
		for i, v := range s {
			if v != 0 {
				s[i] = 1 - (1-v)/scale
			}
		}
	}
	return s
}

// Flux2 is Flux 2's: shifted by the number of tokens of a picture of width by height pixels, and of steps.
func Flux2(n, width, height int) types.Sigmas {
	const slope, offset = 0.00016927, 0.45666666
	tokens := math.RoundToEven(float64(width) * float64(height) / 256)
	mu := slope*tokens + offset
	if tokens <= 4300 {
		at200, at10 := mu, 8.73809524e-05*tokens+1.89833333
		line := (at200 - at10) / 190
		mu = line*float64(n) + at200 - 200*line
	}
	s := linspace(1, 0, n+1)
	for i, t := range s {
		if t != 0 {
			s[i] = float32(math.Exp(mu) / (math.Exp(mu) + (1/float64(t) - 1)))
		}
	}
	return s
}

// Ideogram4 is Ideogram 4's: times of a logistic-normal distribution, whose mean rises with the size in pixels.
func Ideogram4(n, width, height int, mu, std float64) types.Sigmas {
	mean := mu + math.Log(float64(width)*float64(height)/262144)/2
	s := make(types.Sigmas, n+1)
	for i := range n {
		u := float64(n-i) / float64(n)
		t := 1 - 1/(1+math.Exp(-(mean+std*math.Sqrt2*math.Erfinv(2*u-1))))
		t = min(max(t, 1/(1+math.Exp(9))), 1/(1+math.Exp(-7.5)))
		s[i] = float32(1 - t)
	}
	return s
}

var number = regexp.MustCompile(`[-+]?\d*\.?\d+`)

// Manual reads the numbers in a text: sign, digits, point and digits; what stands between does not matter.
func Manual(text string) types.Sigmas {
	s := types.Sigmas{}
	for _, match := range number.FindAllString(text, -1) {
		if v, err := strconv.ParseFloat(match, 64); err == nil {
			s = append(s, float32(v))
		}
	}
	return s
}

// Levels of tuned schedules: Align Your Steps (Sabour et al. 2024) and Optimal Steps (Pei et al. 2025).
var (
	alignYourSteps = map[string][]float64{
		"SD1":  {14.6146412293, 6.4745760956, 3.8636745985, 2.6946151520, 1.8841921177, 1.3943805092, 0.9642583904, 0.6523686016, 0.3977456272, 0.1515232662, 0.0291671582},
		"SDXL": {14.6146412293, 6.3184485287, 3.7681790315, 2.1811480769, 1.3405244945, 0.8620721141, 0.5550693289, 0.3798540708, 0.2332364134, 0.1114188177, 0.0291671582},
		"SVD":  {700, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.002},
	}
	optimalSteps = map[string][]float64{
		"FLUX": {0.9968, 0.9886, 0.9819, 0.975, 0.966, 0.9471, 0.9158, 0.8287, 0.5512, 0.2808, 0.001},
		"Wan":  {1, 0.997, 0.995, 0.993, 0.991, 0.989, 0.987, 0.985, 0.98, 0.975, 0.973, 0.968, 0.96, 0.946, 0.927, 0.902, 0.864, 0.776, 0.539, 0.208, 0.001},
		"Chroma": {
			0.992, 0.99, 0.988, 0.985, 0.982, 0.978, 0.973, 0.968, 0.961, 0.953, 0.943, 0.931, 0.917, 0.9, 0.881, 0.858, 0.832, 0.802, 0.769, 0.731, 0.69,
			0.646, 0.599, 0.55, 0.501, 0.451, 0.402, 0.355, 0.311, 0.27, 0.232, 0.199, 0.169, 0.143, 0.12, 0.101, 0.084, 0.07, 0.058, 0.048, 0.001,
		},
	}
)

// AlignYourSteps is the schedule tuned for a kind of model: SD1, SDXL or SVD.
func AlignYourSteps(model string, n int, denoise float64) (types.Sigmas, error) {
	return tuned(alignYourSteps, model, n, denoise)
}

// OptimalSteps is the schedule tuned for a kind of model: FLUX, Wan or Chroma.
func OptimalSteps(model string, n int, denoise float64) (types.Sigmas, error) {
	return tuned(optimalSteps, model, n, denoise)
}

// tuned goes through levels, between them evenly in their logarithm. denoise keeps that share of the steps.
func tuned(levels map[string][]float64, model string, n int, denoise float64) (types.Sigmas, error) {
	table, known := levels[model]
	if !known {
		return nil, fmt.Errorf("no tuned schedule for %q", model)
	}
	keep := n
	if denoise < 1 {
		if denoise <= 0 {
			return types.Sigmas{}, nil
		}
		keep = int(math.RoundToEven(float64(n) * denoise))
	}
	s := make(types.Sigmas, n+1)
	for i := range s {
		at := float64(i) * float64(len(table)-1) / float64(n)
		k := min(int(at), len(table)-2)
		s[i] = float32(math.Exp(math.Log(table[k]) + (math.Log(table[k+1])-math.Log(table[k]))*(at-float64(k))))
		if n+1 == len(table) {
			s[i] = float32(table[i])
		}
	}
	s[n] = 0
	return s[n-keep:], nil
}

// ExtendSpacing says how Extend goes from one sigma to the next.
type ExtendSpacing string

// Options lists ComfyUI's three ways.
func (ExtendSpacing) Options() []string { return []string{"linear", "cosine", "sine"} }

// Extend divides every step that begins between start and end into n; start below 0 is no limit.
func Extend(s types.Sigmas, n int, start, end float64, spacing ExtendSpacing) types.Sigmas {
	if start < 0 {
		start = math.Inf(1)
	}
	ways := linspace(0, 1, n+1)[1:n]
	for i, x := range ways {
		switch spacing {
		case "cosine":
			ways[i] = float32(math.Sin(float64(float32(x*math.Pi) / 2)))
		case "sine":
			ways[i] = 1 - float32(math.Cos(float64(float32(x*math.Pi)/2)))
		}
	}
	var out types.Sigmas
	for i, v := range s {
		out = append(out, v)
		if i+1 < len(s) && end <= float64(v) && float64(v) <= start {
			for _, w := range ways {
				out = append(out, float32(w*(s[i+1]-v))+v)
			}
		}
	}
	return out
}

// Split cuts a schedule behind a number of steps: both parts have the sigma between.
func Split(s types.Sigmas, step int) (high, low types.Sigmas) {
	return slices.Clone(s[:min(step+1, len(s))]), slices.Clone(s[min(step, len(s)):])
}

// SplitDenoise cuts a schedule before the last share of its steps. A share of none leaves the first part empty.
func SplitDenoise(s types.Sigmas, denoise float64) (high, low types.Sigmas) {
	n := int(math.RoundToEven(float64(max(len(s)-1, 0)) * denoise))
	if n == 0 {
		return types.Sigmas{}, slices.Clone(s[max(0, len(s)-1):])
	}
	return slices.Clone(s[:len(s)-n]), slices.Clone(s[max(0, len(s)-n-1):])
}

// Flip turns a schedule around; a 0 that comes first becomes 0.0001, from which a sampler can start.
func Flip(s types.Sigmas) types.Sigmas {
	out := slices.Clone(s)
	slices.Reverse(out)
	if len(out) > 0 && out[0] == 0 {
		out[0] = 0.0001
	}
	return out
}
