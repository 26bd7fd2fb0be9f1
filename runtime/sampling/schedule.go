package sampling

import (
	"fmt"
	"math"
	"slices"

	"graphrun/types"
)

// schedulers makes the sigmas of n >= 1 steps, from noise to (usually) 0 (numerics.md 3).
var schedulers = map[types.SchedulerName]func(m *ModelSampling, n int) []float32{
	"simple":           simple,
	"sgm_uniform":      sgmUniform,
	"karras":           karras,
	"exponential":      exponential,
	"ddim_uniform":     ddimUniform,
	"beta":             beta,
	"normal":           normal,
	"linear_quadratic": linearQuadratic,
	"kl_optimal":       klOptimal,
}

// Schedule returns the sigmas of n steps, descending, usually n+1 of them with a last 0. ddim_uniform and beta may
// return another number of steps, kl_optimal NaN for a single one, as ComfyUI's do.
func Schedule(name types.SchedulerName, m *ModelSampling, n int) ([]float32, error) {
	f, ok := schedulers[name]
	switch {
	case !ok:
		return nil, fmt.Errorf("unknown scheduler %q: need one of %v", name, name.Options())
	case n < 1 || n > maxSteps:
		return nil, fmt.Errorf("%d steps: need 1 to %d", n, maxSteps)
	}
	return f(m, n), nil
}

// maxSteps bounds a schedule: KSampler's 10000 steps at its smallest useful denoise.
const maxSteps = 1_000_000

// discardsPenultimate names the samplers whose schedule is made one step longer and loses its second last sigma.
var discardsPenultimate = []types.SamplerName{"dpm_2", "dpm_2_ancestral", "uni_pc", "uni_pc_bh2"}

// Sigmas returns KSampler's schedule: the last steps steps of one that is longer by 1/denoise. At denoise <= 0 it is empty.
func Sigmas(m *ModelSampling, scheduler types.SchedulerName, sampler types.SamplerName, steps int, denoise float64) ([]float32, error) {
	total := steps
	switch {
	case denoise <= 0:
		return nil, nil
	case denoise <= 0.9999:
		total = int(min(float64(steps)/denoise, maxSteps+1))
	}
	penultimate := slices.Contains(discardsPenultimate, sampler)
	if penultimate {
		total++
	}
	s, err := Schedule(scheduler, m, total)
	if err != nil {
		return nil, err
	}
	if n := len(s); penultimate && n >= 2 {
		s = append(s[:n-2], s[n-1])
	}
	if denoise <= 0.9999 && len(s) > steps+1 {
		s = s[len(s)-steps-1:]
	}
	return s, nil
}

func simple(m *ModelSampling, n int) []float32 {
	s := make([]float32, 0, n+1)
	stride := float64(len(m.table)) / float64(n)
	for i := range n {
		s = append(s, m.table[max(len(m.table)-1-int(float64(i)*stride), 0)])
	}
	return append(s, 0)
}

func normal(m *ModelSampling, n int) []float32 {
	start, end := m.Timestep(m.SigmaMax()), m.Timestep(m.SigmaMin())
	ends := math.Abs(float64(m.Sigma(end))) < 1e-5
	if ends {
		n++
	}
	s := linspace(float64(start), float64(end), n)
	for i, t := range s {
		s[i] = m.Sigma(t)
	}
	if ends {
		return s
	}
	return append(s, 0)
}

func sgmUniform(m *ModelSampling, n int) []float32 {
	s := linspace(float64(m.Timestep(m.SigmaMax())), float64(m.Timestep(m.SigmaMin())), n+1)[:n]
	for i, t := range s {
		s[i] = m.Sigma(t)
	}
	return append(s, 0)
}

func karras(m *ModelSampling, n int) []float32 {
	return Karras(n, float64(m.SigmaMin()), float64(m.SigmaMax()), 7)
}

func exponential(m *ModelSampling, n int) []float32 {
	return Exponential(n, float64(m.SigmaMin()), float64(m.SigmaMax()))
}

func ddimUniform(m *ModelSampling, n int) []float32 {
	s := []float32{0}
	if math.Abs(float64(m.table[1])) < 1e-5 {
		n++
		s = nil
	}
	stride := max(len(m.table)/n, 1)
	for i := 1; i < len(m.table); i += stride {
		s = append(s, m.table[i])
	}
	slices.Reverse(s)
	return s
}

// beta places the steps by the quantiles of a Beta(0.6, 0.6) distribution (Lee et al. 2024).
func beta(m *ModelSampling, n int) []float32 { return betaOf(m, n, 0.6, 0.6) }

func betaOf(m *ModelSampling, n int, a, b float64) []float32 {
	var s []float32
	last := -1
	for i := range n {
		p := 1 - float64(i)*(1/float64(n))
		at := int(math.RoundToEven(betaQuantile(p, a, b) * float64(len(m.table)-1)))
		if at != last {
			s = append(s, m.table[at])
		}
		last = at
	}
	return append(s, 0)
}

// linearQuadratic is the schedule of MovieGen: half the steps are small and even, the rest grow.
func linearQuadratic(m *ModelSampling, n int) []float32 {
	const threshold = 0.025
	noise := make([]float64, 0, n+1)
	if n == 1 {
		noise = append(noise, 0, 1)
	} else {
		half := n / 2
		for i := range half {
			noise = append(noise, float64(i)*threshold/float64(half))
		}
		d, q := float64(half)-threshold*float64(n), float64(n-half)
		c2 := d / (float64(half) * q * q)
		c1 := threshold/float64(half) - 2*d/(q*q)
		c0 := c2 * float64(half*half)
		for i := half; i < n; i++ {
			noise = append(noise, c2*float64(i*i)+c1*float64(i)+c0)
		}
		noise = append(noise, 1)
	}
	s := make([]float32, len(noise))
	for i, v := range noise {
		s[i] = float32(1-v) * m.SigmaMax()
	}
	return s
}

// klOptimal is evenly spaced in atan sigma (Sabour et al. 2024). A single step is 0/0.
func klOptimal(m *ModelSampling, n int) []float32 {
	low, high := float32(math.Atan(float64(m.SigmaMin()))), float32(math.Atan(float64(m.SigmaMax())))
	s := make([]float32, n+1)
	for i := range n {
		k := float32(i) / float32(n-1)
		s[i] = float32(math.Tan(float64(float32(k*low) + float32((1-k)*high))))
	}
	return s
}

// betaQuantile inverts the distribution function of Beta(a, b) by bisection. The middle of a symmetric one is exact, because
// it falls on a rounding tie of the table's index.
func betaQuantile(p, a, b float64) float64 {
	switch {
	case p <= 0:
		return 0
	case p >= 1:
		return 1
	case a == b && p > 0.5:
		return 1 - betaQuantile(1-p, a, b)
	case a == b && p == 0.5:
		return 0.5
	}
	low, high := 0.0, 1.0
	for range 60 {
		mid := (low + high) / 2
		if betaCDF(mid, a, b) < p {
			low = mid
		} else {
			high = mid
		}
	}
	return (low + high) / 2
}

// betaCDF is the regularised incomplete beta function I_x(a, b) for 0 < x < 1, by its continued fraction (DLMF 8.17.22), which
// converges fast below the mean, and the symmetry I_x(a, b) = 1 - I_{1-x}(b, a).
func betaCDF(x, a, b float64) float64 {
	if x > (a+1)/(a+b+2) {
		return 1 - betaCDF(1-x, b, a)
	}
	la, _ := math.Lgamma(a)
	lb, _ := math.Lgamma(b)
	lab, _ := math.Lgamma(a + b)
	front := math.Exp(lab-la-lb+a*math.Log(x)+b*math.Log1p(-x)) / a
	// From the innermost term outwards: far more terms than parameters up to 50 need.
	f := 1.0
	for k := 200; k >= 1; k-- {
		m := float64(k / 2)
		var d float64
		if k%2 == 0 {
			d = m * (b - m) * x / ((a + 2*m - 1) * (a + 2*m))
		} else {
			d = -(a + m) * (a + b + m) * x / ((a + 2*m) * (a + 2*m + 1))
		}
		f = 1 + d/f
	}
	return front / f
}
