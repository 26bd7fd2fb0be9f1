package sampling

import "fmt"

// The samplers of DPM-Solver++ (Lu et al. 2022), after numerics.md 5.1. They step in lambda, half the logarithm of the
// signal-to-noise ratio.

// dpmpp2m is the second-order multistep solver.
func dpmpp2m(r *run) error {
	x, den, old := r.x, r.buffer(), r.buffer()
	var last float32 // the step before
	for i, b := range r.sigmas[1:] {
		a := r.sigmas[i]
		if err := r.denoise(den, x, a); err != nil {
			return err
		}
		r.report(den)
		h := log(a) - log(b)
		w := float32(0)
		if i > 0 && b != 0 {
			w = h / (2 * last)
		}
		keep, take := b/a, -expm1(-h)
		for j := range x {
			x[j] = keep*x[j] + take*((1+w)*den[j]-w*old[j])
		}
		den, old, last = old, den, h
	}
	return nil
}

// dpmpp2mCFGPP is dpmpp2m with CFG++: the way back to the noise goes by the negative prompt's picture.
func dpmpp2mCFGPP(r *run) error {
	x, den, old := r.x, r.buffer(), r.buffer()
	var last float32
	for i, b := range r.sigmas[1:] {
		a := r.sigmas[i]
		if err := r.denoise(den, x, a); err != nil {
			return err
		}
		r.report(den)
		h := log(a) - log(b)
		w := float32(0)
		if i > 0 && b != 0 {
			w = -expm1(-h) * h / (2 * last)
		}
		keep := exp(-h)
		for j := range x {
			x[j] = den[j] - keep*r.uncond[j] + w*(den[j]-old[j]) + keep*x[j]
		}
		copy(old, r.uncond)
		last = h
	}
	return nil
}

// dpmpp2sAncestral is the second-order single-step solver, with fresh noise.
func dpmpp2sAncestral(r *run) error {
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
		if down == 0 {
			advance(x, x, den, a, down-a)
			continue
		}
		// Both forms go to a point in between and then the whole way with the picture seen from there:
		// x' = ratio·x + (1 − ratio)·picture with ratio = sigma'/a.
		between := halfway(a, down)
		if r.ms.Flow() {
			between = 0.9999
			if a != 1 {
				between = r.sigmaAt(r.lambda(a) + 0.5*(r.lambda(down)-r.lambda(a)))
			}
		}
		mix(mid, x, den, between/a)
		if err := r.denoise(den, mid, between); err != nil {
			return err
		}
		mix(x, x, den, down/a)
		if b > 0 && eta > 0 {
			scale(x, keep)
			r.addStepNoise(mid, gain*up)
		}
	}
	return nil
}

// mix writes ratio·x + (1 − ratio)·den.
func mix(dst, x, den []float32, ratio float32) {
	for j, v := range x {
		dst[j] = ratio*v + (1-ratio)*den[j]
	}
}

// dpmpp2sAncestralCFGPP is dpmpp2sAncestral with CFG++. Its second formula pairs the first evaluation's guided picture
// with the second one's negative, as the reference does.
func dpmpp2sAncestralCFGPP(r *run) error {
	x, den, mid, den2 := r.x, r.buffer(), r.buffer(), r.buffer()
	eta, gain := r.tuning.Eta, float32(r.tuning.SNoise)
	for i, b := range r.sigmas[1:] {
		a := r.sigmas[i]
		if err := r.denoise(den, x, a); err != nil {
			return err
		}
		r.report(den)
		down, up := ancestral(a, b, eta)
		if down == 0 {
			copy(x, den)
			continue
		}
		between := halfway(a, down)
		ratio := between / a
		for j := range x {
			mid[j] = ratio*(x[j]+(den[j]-r.uncond[j])) + (1-ratio)*den[j]
		}
		if err := r.denoise(den2, mid, between); err != nil {
			return err
		}
		ratio = down / a
		for j := range x {
			x[j] = ratio*(x[j]+(den[j]-r.uncond[j])) + (1-ratio)*den2[j]
		}
		if b > 0 {
			r.addStepNoise(mid, gain*up)
		}
	}
	return nil
}

// dpmppSDE is the stochastic solver with one point in between.
func dpmppSDE(r *run) error {
	x, den, mid, den2, noise := r.x, r.buffer(), r.buffer(), r.buffer(), r.buffer()
	tree := r.brownian()
	r.offsetFirst()
	eta, gain, at := r.tuning.Eta, float32(r.tuning.SNoise), float32(r.tuning.R)
	w := 1 / (2 * at)
	// sub writes the step of x from a to sigma by the picture den.
	sub := func(dst, den []float32, a, sigma float32) {
		from, to := r.lambda(a), r.lambda(sigma)
		down, up := ancestral(exp(-from), exp(-to), eta)
		h := -log(down) - from
		signal := r.signal(sigma)
		keep, take := signal/r.signal(a)*exp(-h), -signal*expm1(-h)
		for j, v := range x {
			dst[j] = keep*v + take*den[j]
		}
		if eta > 0 && gain > 0 {
			tree.Noise(noise, a, sigma)
			for j, n := range noise {
				dst[j] += signal * n * gain * up
			}
		}
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
		from := r.lambda(a)
		between := r.sigmaAt(from + at*(r.lambda(b)-from))
		sub(mid, den, a, between)
		if err := r.denoise(den2, mid, between); err != nil {
			return err
		}
		for j := range den {
			den[j] = (1-w)*den[j] + w*den2[j]
		}
		sub(x, den, a, b)
	}
	return nil
}

// dpmpp2mSDE is the stochastic multistep solver of second order.
func dpmpp2mSDE(r *run) error {
	heun := r.tuning.Solver == "heun"
	if !heun && r.tuning.Solver != "midpoint" {
		return fmt.Errorf("solver_type %q: need midpoint or heun", r.tuning.Solver)
	}
	return dpmppMultistepSDE(r, func(s *sdeStep) {
		if s.steps < 1 {
			return
		}
		c := 0.5 * s.signal * -expm1(-s.he)
		if heun {
			c = s.signal * (-expm1(-s.he)/-s.he + 1)
		}
		c *= s.h / s.h1
		for j := range s.x {
			s.x[j] += c * (s.den[j] - s.den1[j])
		}
	})
}

// dpmpp3mSDE is the stochastic multistep solver of third order.
func dpmpp3mSDE(r *run) error {
	return dpmppMultistepSDE(r, func(s *sdeStep) {
		phi2 := expm1(-s.he)/s.he + 1
		r0 := s.h1 / s.h
		switch {
		case s.steps == 1:
			c := s.signal * phi2 / r0
			for j := range s.x {
				s.x[j] += c * (s.den[j] - s.den1[j])
			}
		case s.steps > 1:
			phi3 := phi2/s.he - 0.5
			r1 := s.h2 / s.h
			for j := range s.x {
				d0, d1 := (s.den[j]-s.den1[j])/r0, (s.den1[j]-s.den2[j])/r1
				first := d0 + (d0-d1)*r0/(r0+r1)
				second := (d0 - d1) / (r0 + r1)
				s.x[j] += s.signal*phi2*first - s.signal*phi3*second
			}
		}
	})
}

// sdeStep is what a multistep SDE solver knows when it corrects a step: this picture and the two before, the lengths of
// this step and the two before, and the number of steps before.
type sdeStep struct {
	x, den, den1, den2 []float32
	h, h1, h2          float32
	he                 float32 // h·(1 + eta)
	signal             float32 // at the step's end
	steps              int
}

// dpmppMultistepSDE takes the first-order steps and adds the noise; correct does the rest.
func dpmppMultistepSDE(r *run, correct func(s *sdeStep)) error {
	s := &sdeStep{x: r.x, den: r.buffer(), den1: r.buffer(), den2: r.buffer()}
	noise, tree := r.buffer(), r.brownian()
	r.offsetFirst()
	eta, gain := float32(r.tuning.Eta), float32(r.tuning.SNoise)
	for i, b := range r.sigmas[1:] {
		a := r.sigmas[i]
		if err := r.denoise(s.den, s.x, a); err != nil {
			return err
		}
		r.report(s.den)
		if b == 0 {
			copy(s.x, s.den)
			continue
		}
		s.h = r.lambda(b) - r.lambda(a)
		s.he, s.signal = s.h*(eta+1), r.signal(b)
		keep, take := b/a*exp(-s.h*eta), -s.signal*expm1(-s.he)
		for j, v := range s.x {
			s.x[j] = keep*v + take*s.den[j]
		}
		correct(s)
		if eta > 0 && gain > 0 {
			tree.Noise(noise, a, b)
			c := b * sqrt(-expm1(-2*s.h*eta)) * gain
			for j, n := range noise {
				s.x[j] += n * c
			}
		}
		s.den, s.den1, s.den2 = s.den2, s.den, s.den1
		s.h1, s.h2 = s.h, s.h1
		s.steps++
	}
	return nil
}
