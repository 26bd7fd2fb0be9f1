package sampling

import (
	"fmt"
	"math"
)

// Stochastic samplers with independent noise at each step, after numerics.md 5.1.

// ddpm is the sampler of Ho et al. 2020, in the variance-preserving scale.
func ddpm(r *run) error {
	x, den, noise := r.x, r.buffer(), r.buffer()
	for i, b := range r.sigmas[1:] {
		a := r.sigmas[i]
		if err := r.denoise(den, x, a); err != nil {
			return err
		}
		r.report(den)
		bar, next := 1/(a*a+1), 1/(b*b+1)
		alpha := bar / next
		shrink, grow := sqrt(1+a*a), sqrt(1/alpha)
		take := (1 - alpha) / sqrt(1-bar)
		for j, v := range x {
			x[j] = grow * (v/shrink - take*((v-den[j])/a))
		}
		if b > 0 {
			r.addStepNoise(noise, sqrt((1-alpha)*(1-next)/(1-bar)))
			scale(x, sqrt(1+b*b))
		}
	}
	return nil
}

// lcmSampler goes to the picture at each step and noises it anew (latent consistency models).
func lcmSampler(r *run) error {
	x, den, noise := r.x, r.buffer(), r.buffer()
	for i, b := range r.sigmas[1:] {
		if err := r.denoise(den, x, r.sigmas[i]); err != nil {
			return err
		}
		r.report(den)
		if b == 0 {
			copy(x, den)
			continue
		}
		r.stepNoise(noise)
		r.tuning.clip(noise)
		scale(noise, float32(r.tuning.SNoise+(r.tuning.SNoiseEnd-r.tuning.SNoise)*float64(i)/float64(max(r.total-1, 1))))
		r.ms.Noise(x, noise, den, b, false)
	}
	return nil
}

// clip keeps noise within NoiseClipStd of its deviations.
func (t *Tuning) clip(noise []float32) {
	if t.NoiseClipStd <= 0 {
		return
	}
	var sum, squares float64
	for _, v := range noise {
		sum += float64(v)
	}
	mean := sum / float64(len(noise))
	for _, v := range noise {
		squares += (float64(v) - mean) * (float64(v) - mean)
	}
	limit := float32(t.NoiseClipStd * math.Sqrt(squares/float64(max(len(noise)-1, 1))))
	for i, v := range noise {
		noise[i] = min(max(v, -limit), limit)
	}
}

// erScaler is the noise scaling function of er_sde's kinds.
func erScaler(t *Tuning) (func(v float64) float64, error) {
	eta := t.Eta
	switch t.Solver {
	case "ER-SDE":
		return func(v float64) float64 { return v * (math.Exp(math.Pow(v, 0.3)) + 10) }, nil
	case "ODE":
		eta, t.SNoise = 0, 0
	case "Reverse-time SDE":
		if eta == 0 {
			t.SNoise = 0
		}
	default:
		return nil, fmt.Errorf("solver_type %q: need ER-SDE, Reverse-time SDE or ODE", t.Solver)
	}
	return func(v float64) float64 { return math.Pow(v, eta+1) }, nil
}

// erSDE is the extended reverse-time SDE solver (Cui et al. 2023), of up to three stages, in e = noise / signal.
func erSDE(r *run) error {
	ns, err := erScaler(&r.tuning)
	if err != nil {
		return err
	}
	x, den, old, slope, oldSlope, noise := r.x, r.buffer(), r.buffer(), r.buffer(), r.buffer(), r.buffer()
	r.offsetFirst()
	e := make([]float64, len(r.sigmas))
	for i, s := range r.sigmas {
		e[i] = float64(exp(-r.lambda(s)))
	}
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
		from, to := e[i], e[i+1]
		signal := r.signal(b)
		ratio := ns(to) / ns(from)
		keep, take := signal/r.signal(a)*float32(ratio), signal*float32(1-ratio)
		for j, v := range x {
			x[j] = keep*v + take*den[j]
		}
		stage := min(r.tuning.MaxStage, i+1)
		dt := to - from
		sum, moment := erIntegrals(ns, from, to)
		if stage >= 2 {
			c, d := signal*float32(dt+sum*ns(to)), float32(from-e[i-1])
			for j := range x {
				slope[j] = (den[j] - old[j]) / d
				x[j] += c * slope[j]
			}
		}
		if stage >= 3 {
			c, d := signal*float32(dt*dt/2+moment*ns(to)), float32((from-e[i-2])/2)
			for j := range x {
				x[j] += c * (slope[j] - oldSlope[j]) / d
			}
		}
		if r.tuning.SNoise > 0 {
			spread := orZero(float32(math.Sqrt(to*to - from*from*ratio*ratio)))
			r.addStepNoise(noise, signal*float32(r.tuning.SNoise)*spread)
		}
		den, old = old, den
		slope, oldSlope = oldSlope, slope
	}
	return nil
}

// erIntegrals sums 1/ns(v) and (v − from)/ns(v) over 200 points from to towards from.
func erIntegrals(ns func(float64) float64, from, to float64) (sum, moment float64) {
	const points = 200
	step := -(to - from) / points
	for k := range points {
		v := to + float64(k)*step
		sum += step / ns(v)
		moment += step * (v - from) / ns(v)
	}
	return sum, moment
}

// linkedNoise is the noise of a SEEDS solver within one step: at each later point what is left of the noise before, and
// fresh noise for the rest.
type linkedNoise struct {
	r     *run
	gain  bool // noise is wanted at all
	noise []float32
	fresh []float32
}

func (r *run) linkedNoise() *linkedNoise {
	return &linkedNoise{r: r, gain: r.tuning.Eta > 0 && r.tuning.SNoise > 0, noise: r.buffer(), fresh: r.buffer()}
}

// add carries the noise over a part of the step, of length h·eta, and adds it times c to x.
func (l *linkedNoise) add(x []float32, length, c float32) {
	if !l.gain {
		return
	}
	l.r.stepNoise(l.fresh)
	keep, renew := exp(-length), sqrt(-expm1(-2*length))
	c *= float32(l.r.tuning.SNoise)
	for j := range x {
		l.noise[j] = keep*l.noise[j] + renew*l.fresh[j]
		x[j] += l.noise[j] * c
	}
}

// seeds2 is the second-order stochastic exponential solver (SEEDS-2, Gonzalez et al. 2023).
func seeds2(r *run) error {
	x, den, mid, den2, noise := r.x, r.buffer(), r.buffer(), r.buffer(), r.linkedNoise()
	eta, r1 := float32(r.tuning.Eta), float32(r.tuning.R)
	w := 1 / (2 * r1)
	r.offsetFirst()
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
		from := r.lambda(a)
		h := r.lambda(b) - from
		he := h * (eta + 1)
		s1 := r.sigmaAt(from + r1*h)
		clear(noise.noise)
		keep, take := s1/a*exp(-r1*h*eta), -r.signal(s1)*expm1(-r1*he)
		for j, v := range x {
			mid[j] = keep*v + take*den[j]
		}
		noise.add(mid, r1*h*eta, s1)
		if err := r.denoise(den2, mid, s1); err != nil {
			return err
		}
		keep, take = b/a*exp(-h*eta), -r.signal(b)*expm1(-he)
		for j, v := range x {
			x[j] = keep*v + take*((1-w)*den[j]+w*den2[j])
		}
		noise.add(x, (1-r1)*h*eta, b)
	}
	return nil
}

// seeds3 is the third-order stochastic exponential solver (SEEDS-3).
func seeds3(r *run) error {
	x, den, mid, den2, noise := r.x, r.buffer(), r.buffer(), r.buffer(), r.linkedNoise()
	eta, r1, r2 := float32(r.tuning.Eta), float32(r.tuning.R1), float32(r.tuning.R2)
	phi := func(h float32) float32 { return (expm1(h) - h) / h }
	r.offsetFirst()
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
		from := r.lambda(a)
		h := r.lambda(b) - from
		he := h * (eta + 1)
		s1, s2 := r.sigmaAt(from+r1*h), r.sigmaAt(from+r2*h)
		clear(noise.noise)

		keep, take := s1/a*exp(-r1*h*eta), -r.signal(s1)*expm1(-r1*he)
		for j, v := range x {
			mid[j] = keep*v + take*den[j]
		}
		noise.add(mid, r1*h*eta, s1)
		if err := r.denoise(den2, mid, s1); err != nil {
			return err
		}

		w2 := r2 / r1 * phi(-r2*he)
		w1 := expm1(-r2*he) - w2
		keep, take = s2/a*exp(-r2*h*eta), -r.signal(s2)
		for j, v := range x {
			mid[j] = keep*v + take*(w1*den[j]+w2*den2[j])
		}
		noise.add(mid, (r2-r1)*h*eta, s2)
		if err := r.denoise(den2, mid, s2); err != nil {
			return err
		}

		w2 = phi(-he) / r2
		w1 = expm1(-he) - w2
		keep, take = b/a*exp(-h*eta), -r.signal(b)
		for j, v := range x {
			x[j] = keep*v + take*(w1*den[j]+w2*den2[j])
		}
		noise.add(x, (1-r2)*h*eta, b)
	}
	return nil
}
