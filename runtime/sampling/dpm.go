package sampling

import (
	"fmt"
	"math"
)

// The samplers of DPM-Solver (Lu et al. 2022), in t = −ln sigma, after numerics.md 5.1 and 5.2.

// halfway is the geometric mean of two sigmas, as torch's lerp of their logarithms rounds it.
func halfway(a, b float32) float32 { return exp(log(b) - 0.5*(log(b)-log(a))) }

// dpm2 takes each step with the direction at its middle.
func dpm2(r *run) error {
	x, den, mid := r.x, r.buffer(), r.buffer()
	for i, b := range r.sigmas[1:] {
		a := r.churn(i)
		if err := r.denoise(den, x, a); err != nil {
			return err
		}
		r.report(den)
		if err := r.midpointStep(den, mid, a, b); err != nil {
			return err
		}
	}
	return nil
}

// midpointStep takes x from a to b by the direction halfway, or straight where b is 0. It overwrites mid.
func (r *run) midpointStep(den, mid []float32, a, b float32) error {
	x := r.x
	if b == 0 {
		advance(x, x, den, a, b-a)
		return nil
	}
	m := halfway(a, b)
	advance(mid, x, den, a, m-a)
	if err := r.denoise(den, mid, m); err != nil {
		return err
	}
	for j := range x {
		x[j] += (mid[j] - den[j]) / m * (b - a)
	}
	return nil
}

func dpm2Ancestral(r *run) error {
	x, den, mid := r.x, r.buffer(), r.buffer()
	eta, gain := r.tuning.Eta, float32(r.tuning.SNoise)
	for i, b := range r.sigmas[1:] {
		a := r.sigmas[i]
		if err := r.denoise(den, x, a); err != nil {
			return err
		}
		r.report(den)
		down, up := ancestral(a, b, eta)
		keep := float32(1)
		if r.ms.Flow() {
			down, keep, up = flowAncestral(a, b, eta)
		}
		if err := r.midpointStep(den, mid, a, down); err != nil {
			return err
		}
		if down != 0 {
			scale(x, keep)
			r.addStepNoise(mid, gain*up)
		}
	}
	return nil
}

// dpmSolver takes single steps from t to next with up to three evaluations. eps holds the noise predicted at the start,
// at r1 and at r2 of the step; at holds the points between.
type dpmSolver struct {
	*run
	eps [3][]float32
	at  []float32
	den []float32
}

func (r *run) dpmSolver() *dpmSolver {
	return &dpmSolver{run: r, eps: [3][]float32{r.buffer(), r.buffer(), r.buffer()}, at: r.buffer(), den: r.buffer()}
}

// predict writes the noise in x at t to eps[k], and the picture to den.
func (s *dpmSolver) predict(k int, x []float32, t float32) error {
	sigma := exp(-t)
	if err := s.denoise(s.den, x, sigma); err != nil {
		return err
	}
	for j, v := range x {
		s.eps[k][j] = (v - s.den[j]) / sigma
	}
	return nil
}

// first needs eps[0].
func (s *dpmSolver) first(dst, x []float32, t, next float32) {
	s.firstBy(dst, x, next, next-t)
}

// firstBy is first for a step of length h.
func (s *dpmSolver) firstBy(dst, x []float32, next, h float32) {
	c := exp(-next) * expm1(h)
	for j, v := range x {
		dst[j] = v - c*s.eps[0][j]
	}
}

// ahead makes eps[1], at share r1 of the step.
func (s *dpmSolver) ahead(x []float32, t, next, r1 float32) error {
	part := r1 * (next - t)
	s.firstBy(s.at, x, t+part, part)
	return s.predict(1, s.at, t+part)
}

// second needs eps[0] and eps[1].
func (s *dpmSolver) second(dst, x []float32, t, next, r1 float32) {
	grow := expm1(next - t)
	c, w := exp(-next)*grow, exp(-next)/(2*r1)*grow
	for j, v := range x {
		dst[j] = v - c*s.eps[0][j] - w*(s.eps[1][j]-s.eps[0][j])
	}
}

// third needs eps[0] and eps[1] at 1/3, and makes eps[2].
func (s *dpmSolver) third(dst, x []float32, t, next float32) error {
	const r1, r2 = float32(1. / 3), float32(2. / 3)
	h := next - t
	part := r2 * h
	at := t + part
	c := exp(-at) * expm1(part)
	w := exp(-at) * (r2 / r1) * (expm1(part)/part - 1)
	for j, v := range x {
		s.at[j] = v - c*s.eps[0][j] - w*(s.eps[1][j]-s.eps[0][j])
	}
	if err := s.predict(2, s.at, at); err != nil {
		return err
	}
	c = exp(-(t + h)) * expm1(h)
	w = exp(-(t + h)) / r2 * (expm1(h)/h - 1)
	for j, v := range x {
		dst[j] = v - c*s.eps[0][j] - w*(s.eps[2][j]-s.eps[0][j])
	}
	return nil
}

// span is the range in t from the first to the last positive sigma.
func (r *run) span() (start, end float32) {
	last := r.sigmas[len(r.sigmas)-1]
	if last == 0 {
		last = r.sigmas[len(r.sigmas)-2]
	}
	return -log(r.sigmas[0]), -log(last)
}

// dpmFast spends as many evaluations as there are steps, in single steps of order 3 and a shorter end.
func dpmFast(r *run) error {
	s := r.dpmSolver()
	start, end := r.span()
	n := len(r.sigmas) - 1
	ts := linspace(float64(start), float64(end), n/3+2)
	r.total = n/3 + 1
	for i := range r.total {
		order := 3
		switch left := r.total - i; {
		case n%3 == 0 && left <= 2:
			order = left
		case n%3 != 0 && left == 1:
			order = n % 3
		}
		if err := s.predict(0, r.x, ts[i]); err != nil {
			return err
		}
		r.report(s.den)
		if err := s.step(r.x, ts[i], ts[i+1], order); err != nil {
			return err
		}
	}
	return nil
}

// step takes x from t to next in place; it needs eps[0].
func (s *dpmSolver) step(x []float32, t, next float32, order int) error {
	switch order {
	case 1:
		s.first(x, x, t, next)
		return nil
	case 2:
		if err := s.ahead(x, t, next, 0.5); err != nil {
			return err
		}
		s.second(x, x, t, next, 0.5)
		return nil
	}
	if err := s.ahead(x, t, next, 1./3); err != nil {
		return err
	}
	return s.third(x, x, t, next)
}

// dpmAdaptive chooses its steps by the difference of two orders. The schedule gives only the ends.
func dpmAdaptive(r *run) error {
	s, tune := r.dpmSolver(), r.tuning
	low, high, previous, noise := r.buffer(), r.buffer(), append([]float32(nil), r.x...), r.buffer()
	order := float64(tune.Order)
	if tune.Eta != 0 {
		order = 1.5
	}
	pid := newStepSize(tune, order)
	t, end := r.span()
	for t < end-1e-5 {
		next := min(end, t+float32(pid.h))
		if next <= t {
			return fmt.Errorf("dpm_adaptive's step shrank to nothing at sigma %g: take another sampler", exp(-t))
		}
		aim, up := next, float32(0)
		if tune.Eta != 0 {
			down, _ := ancestral(exp(-t), exp(-next), tune.Eta)
			aim = min(end, -log(down))
			up = sqrt(pow(exp(-next), 2) - pow(exp(-aim), 2))
		}
		if err := s.predict(0, r.x, t); err != nil {
			return err
		}
		r.total = max(r.total, r.step+1)
		r.report(s.den)
		if err := s.pair(low, high, t, aim, tune.Order); err != nil {
			return err
		}
		if !pid.accept(difference(low, high, previous, tune)) {
			continue
		}
		copy(previous, low)
		copy(r.x, high)
		t = next
		if tune.Eta != 0 {
			r.addStepNoise(noise, up*float32(tune.SNoise))
		}
	}
	return nil
}

// pair writes the steps of two neighbouring orders; it needs eps[0].
func (s *dpmSolver) pair(low, high []float32, t, next float32, order int) error {
	r1 := float32(0.5)
	if order != 2 {
		r1 = 1. / 3
	}
	if err := s.ahead(s.x, t, next, r1); err != nil {
		return err
	}
	if order == 2 {
		s.first(low, s.x, t, next)
		s.second(high, s.x, t, next, r1)
		return nil
	}
	s.second(low, s.x, t, next, r1)
	return s.third(high, s.x, t, next)
}

// difference is the root mean square of low − high in units of the tolerance.
func difference(low, high, previous []float32, tune Tuning) float64 {
	sum := 0.0
	for j, l := range low {
		size := max(l, -l, previous[j], -previous[j])
		d := float64((l - high[j]) / max(float32(tune.ATol), float32(tune.RTol)*size))
		sum += d * d
	}
	return math.Sqrt(sum / float64(len(low)))
}

// stepSize is a PID controller of the step's length.
type stepSize struct {
	h          float64
	b1, b2, b3 float64
	safety     float64
	errors     [3]float64 // inverse errors, newest first
	begun      bool
}

func newStepSize(t Tuning, order float64) *stepSize {
	return &stepSize{
		h: math.Abs(t.HInit), safety: t.AcceptSafety,
		b1: (t.PCoeff + t.ICoeff + t.DCoeff) / order, b2: -(t.PCoeff + 2*t.DCoeff) / order, b3: t.DCoeff / order,
	}
}

// accept reports whether a step with that error stands, and sets the length of the next.
func (p *stepSize) accept(err float64) bool {
	inverse := 1 / (err + 1e-8)
	if !p.begun {
		p.errors, p.begun = [3]float64{inverse, inverse, inverse}, true
	}
	p.errors[0] = inverse
	factor := math.Pow(p.errors[0], p.b1) * math.Pow(p.errors[1], p.b2) * math.Pow(p.errors[2], p.b3)
	factor = 1 + math.Atan(factor-1)
	ok := factor >= p.safety
	if ok {
		p.errors[2], p.errors[1] = p.errors[1], p.errors[0]
	}
	p.h *= factor
	return ok
}
