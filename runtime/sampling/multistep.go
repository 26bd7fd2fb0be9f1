package sampling

import (
	"fmt"
	"math"
)

// The linear multistep samplers, after numerics.md 5.1 and 5.2: they use the directions of earlier steps.

// history holds the newest vectors first.
type history struct {
	v [][]float32
	n int // how many hold values
}

func (r *run) history(size int) *history {
	h := &history{}
	for range max(size, 1) {
		h.v = append(h.v, r.buffer())
	}
	return h
}

// push makes room for a new vector, forgetting the oldest, and returns it.
func (h *history) push() []float32 {
	last := len(h.v) - 1
	newest := h.v[last]
	copy(h.v[1:], h.v[:last])
	h.v[0] = newest
	h.n = min(h.n+1, len(h.v))
	return newest
}

// addSum adds Σ weights[k]·v[k], newest first, to x.
func (h *history) addSum(x []float32, weights []float64) {
	for k, w := range weights {
		c := float32(w)
		for j, d := range h.v[k] {
			x[j] += c * d
		}
	}
}

// multistep runs a sampler that moves x along a weighted sum of directions: weights gives them for step i, newest first.
// The last step to 0 is straight.
func multistep(r *run, order int, weights func(i, n int) []float64) error {
	x, den, past := r.x, r.buffer(), r.history(order)
	for i, b := range r.sigmas[1:] {
		a := r.sigmas[i]
		if err := r.denoise(den, x, a); err != nil {
			return err
		}
		r.report(den)
		if b == 0 {
			copy(x, den)
			continue
		}
		d := past.push()
		for j, v := range x {
			d[j] = (v - den[j]) / a
		}
		past.addSum(x, weights(i, past.n))
	}
	return nil
}

// lms integrates the polynomial through the last directions, in sigma.
func lms(r *run) error {
	return multistep(r, r.tuning.Order, func(i, n int) []float64 {
		nodes := make([]float64, n)
		for k := range nodes {
			nodes[k] = float64(r.sigmas[i-k])
		}
		from, to := float64(r.sigmas[i]), float64(r.sigmas[i+1])
		weights := make([]float64, n)
		for k := range weights {
			weights[k] = gauss(from, to, func(s float64) float64 { return lagrange(nodes, k, s) })
		}
		return weights
	})
}

// lagrange is the k-th basis polynomial on the nodes, at s.
func lagrange(nodes []float64, k int, s float64) float64 {
	p := 1.0
	for m, v := range nodes {
		if m != k {
			p *= (s - v) / (nodes[k] - v)
		}
	}
	return p
}

// gauss integrates f, exactly where it is a polynomial of degree 7 or less (Gauss and Legendre, 4 points).
func gauss(from, to float64, f func(float64) float64) float64 {
	mid, half := (from+to)/2, (to-from)/2
	sum := 0.0
	for _, p := range [...][2]float64{{0.3399810435848563, 0.6521451548625461}, {0.8611363115940526, 0.3478548451374538}} {
		sum += p[1] * (f(mid-half*p[0]) + f(mid+half*p[0]))
	}
	return sum * half
}

// adams are the Adams–Bashforth weights for even steps, newest first.
var adams = [][]float64{{1}, {3. / 2, -1. / 2}, {23. / 12, -16. / 12, 5. / 12}, {55. / 24, -59. / 24, 37. / 24, -9. / 24}}

// ipndm uses the weights of even steps (Liu et al. 2022).
func ipndm(r *run) error {
	if o := r.tuning.MaxOrder; o < 1 || o > 4 {
		return fmt.Errorf("max_order %d: need 1 to 4", o)
	}
	return multistep(r, r.tuning.MaxOrder, func(i, n int) []float64 {
		h := float64(r.sigmas[i+1] - r.sigmas[i])
		weights := make([]float64, n)
		for k, w := range adams[n-1] {
			weights[k] = h * w
		}
		return weights
	})
}

// ipndmV is ipndm with weights for the steps' true lengths.
func ipndmV(r *run) error {
	if o := r.tuning.MaxOrder; o < 1 || o > 4 {
		return fmt.Errorf("max_order %d: need 1 to 4", o)
	}
	return multistep(r, r.tuning.MaxOrder, func(i, n int) []float64 {
		var h [4]float64 // this step and the ones before
		for k := range n {
			h[k] = float64(r.sigmas[i-k+1] - r.sigmas[i-k])
		}
		weights := unevenAdams(h, n)
		for k := range weights {
			weights[k] *= h[0]
		}
		return weights
	})
}

// unevenAdams are the weights of ipndm_v for n directions (numerics.md 5.2).
func unevenAdams(h [4]float64, n int) []float64 {
	c := make([]float64, n)
	c[0] = 1
	if n >= 2 {
		c[0] = (2 + h[0]/h[1]) / 2
		c[1] = -(h[0] / h[1]) / 2
	}
	if n >= 3 {
		t := (1 - h[0]/(3*(h[0]+h[1]))*(h[0]*(h[0]+h[1]))/(h[1]*(h[1]+h[2]))) / 2
		c[0] += t
		c[1] -= (1 + h[1]/h[2]) * t
		c[2] = t * h[1] / h[2]
	}
	if n >= 4 {
		t := ((1-h[0]/(3*(h[0]+h[1])))/2 + (1-h[0]/(2*(h[0]+h[1])))*h[0]/(6*(h[0]+h[1]+h[2]))) *
			(h[0] * (h[0] + h[1]) * (h[0] + h[1] + h[2])) / (h[1] * (h[1] + h[2]) * (h[1] + h[2] + h[3]))
		q := h[1] * (h[1] + h[2]) / (h[2] * (h[2] + h[3]))
		c[0] += t
		c[1] -= (1 + h[1]/h[2] + q) * t
		c[2] += (h[1]/h[2] + q*(1+h[2]/h[3])) * t
		c[3] = -t * q * h[1] / h[2]
	}
	return c
}

// deis integrates the polynomial through the last directions in the time of the variance-preserving process
// (Zhang and Chen 2022), by 10000 points a step.
func deis(r *run) error {
	if r.tuning.DEIS != "tab" {
		return fmt.Errorf("deis_mode %q: need tab (ComfyUI's rhoab fails too)", r.tuning.DEIS)
	}
	if o := r.tuning.MaxOrder; o < 1 || o > 4 {
		return fmt.Errorf("max_order %d: need 1 to 4", o)
	}
	const points = 10000
	return multistep(r, r.tuning.MaxOrder, func(i, n int) []float64 {
		if n == 1 {
			return []float64{float64(r.sigmas[i+1] - r.sigmas[i])}
		}
		nodes := make([]float64, n)
		for k := range nodes {
			nodes[k] = vpTime(float64(r.sigmas[i-k]))
		}
		weights := make([]float64, n)
		from, to := nodes[0], vpTime(float64(r.sigmas[i+1]))
		for p := range points {
			t := from + (to-from)*float64(p)/(points-1)
			speed := vpSpeed(t) * (to - from) / points
			for k := range weights {
				weights[k] += speed * lagrange(nodes, k, t)
			}
		}
		return weights
	})
}

// The variance-preserving process that EDM's sigmas 0.002 to 80 map to, with beta linear in time.
var (
	vpBetaD   = 2 * (math.Log(.002*.002+1)/1e-3 - math.Log(80*80+1)) / (1e-3 - 1)
	vpBetaMin = math.Log(80*80+1) - vpBetaD/2
)

// vpTime is the time at which the process has the noise sigma.
func vpTime(sigma float64) float64 {
	return (math.Sqrt(vpBetaMin*vpBetaMin+2*vpBetaD*math.Log(sigma*sigma+1)) - vpBetaMin) / vpBetaD
}

// vpSpeed is d sigma / d t.
func vpSpeed(t float64) float64 {
	alpha := math.Exp(-0.5*t*t*vpBetaD - t*vpBetaMin)
	return 0.5 * (t*vpBetaD + vpBetaMin) / math.Sqrt(alpha*(1-alpha))
}

// resMultistep is the second-order exponential multistep solver (RES); eta 0 takes no noise.
func resMultistep(r *run) error { return resSolver(r, false) }

// resMultistepCFGPP is resMultistep with CFG++.
func resMultistepCFGPP(r *run) error { return resSolver(r, true) }

func resSolver(r *run, cfgpp bool) error {
	x, den, old, noise := r.x, r.buffer(), r.buffer(), r.buffer()
	eta, gain := r.tuning.Eta, float32(r.tuning.SNoise)
	var oldDown float32
	for i, b := range r.sigmas[1:] {
		a := r.sigmas[i]
		if err := r.denoise(den, x, a); err != nil {
			return err
		}
		r.report(den)
		base := den // what the direction leads to
		if cfgpp {
			base = r.uncond
		}
		down, up := ancestral(a, b, eta)
		if down == 0 || i == 0 {
			for j := range x {
				x[j] = den[j] + (x[j]-base[j])/a*down
			}
		} else {
			h := log(a) - log(down)
			c2 := (log(oldDown) - log(r.sigmas[i-1])) / h
			phi1 := expm1(-h) / -h
			phi2 := (phi1 - 1) / -h
			b1, b2 := h*orZero(phi1-phi2/c2), h*orZero(phi2/c2)
			keep := exp(-h)
			for j := range x {
				x[j] = keep*(x[j]+(den[j]-base[j])) + b1*base[j] + b2*old[j]
			}
		}
		if b > 0 && eta > 0 {
			r.addStepNoise(noise, gain*up)
		}
		copy(old, base)
		oldDown = down
	}
	return nil
}

// orZero replaces NaN.
func orZero(v float32) float32 {
	if isNaN(v) {
		return 0
	}
	return v
}

// gradientEstimation is euler that goes on in the direction in which the direction changes (Permenter and Yuan 2023).
func gradientEstimation(r *run) error { return gradientSolver(r, false) }

// gradientEstimationCFGPP is gradientEstimation with CFG++.
func gradientEstimationCFGPP(r *run) error { return gradientSolver(r, true) }

func gradientSolver(r *run, cfgpp bool) error {
	x, den, old := r.x, r.buffer(), r.buffer()
	for i, b := range r.sigmas[1:] {
		a := r.sigmas[i]
		if err := r.denoise(den, x, a); err != nil {
			return err
		}
		r.report(den)
		if b == 0 {
			copy(x, den)
			continue
		}
		base := den
		if cfgpp {
			base = r.uncond
		}
		more := float32(0)
		if i > 0 {
			more = float32(r.tuning.Gamma-1) * (b - a)
		}
		for j := range x {
			d := (x[j] - base[j]) / a
			if cfgpp {
				x[j] = den[j] + d*b
			} else {
				x[j] += d * (b - a)
			}
			x[j] += more * (d - old[j])
			old[j] = d
		}
	}
	return nil
}
