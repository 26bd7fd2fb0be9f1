package sampling

import "math"

// The samplers of Karras et al. 2022 and their ancestral forms, after numerics.md 5.1. Throughout, a is the sigma of a
// step, b the next one, d the direction (x − D)/a of the picture's estimate D.

// euler takes one straight step at a time.
func euler(r *run) error {
	x, den := r.x, r.buffer()
	for i, b := range r.sigmas[1:] {
		a := r.churn(i)
		if err := r.denoise(den, x, a); err != nil {
			return err
		}
		r.report(den)
		for j := range x {
			x[j] += (x[j] - den[j]) / a * (b - a)
		}
	}
	return nil
}

// churn adds noise before step i where the tuning says so, and returns the sigma that x then has.
func (r *run) churn(i int) float32 {
	a, t := r.sigmas[i], r.tuning
	gamma := 0.0
	if t.STMin <= float64(a) && float64(a) <= t.STMax {
		gamma = min(t.SChurn/float64(len(r.sigmas)-1), math.Sqrt2-1)
	}
	up := a * float32(gamma+1)
	if gamma > 0 {
		r.addGlobalNoise(float32(t.SNoise) * sqrt(up*up-a*a))
	}
	return up
}

// addGlobalNoise adds noise of torch's default generator, which goes on where the initial noise ended.
func (r *run) addGlobalNoise(gain float32) {
	r.churned = resize(r.churned, len(r.x))
	r.global.Normal(r.churned)
	for j, n := range r.churned {
		r.x[j] += n * gain
	}
}

// heun corrects each straight step by the direction at its end.
func heun(r *run) error {
	x, den, ahead, den2 := r.x, r.buffer(), r.buffer(), r.buffer()
	for i, b := range r.sigmas[1:] {
		a := r.churn(i)
		if err := r.denoise(den, x, a); err != nil {
			return err
		}
		r.report(den)
		if b == 0 {
			for j := range x {
				x[j] += (x[j] - den[j]) / a * (b - a)
			}
			continue
		}
		for j := range x {
			ahead[j] = x[j] + (x[j]-den[j])/a*(b-a)
		}
		if err := r.denoise(den2, ahead, b); err != nil {
			return err
		}
		for j := range x {
			d := ((x[j]-den[j])/a + (ahead[j]-den2[j])/b) / 2
			x[j] += d * (b - a)
		}
	}
	return nil
}

// ancestral splits a step from a to b into one down to down and noise of size up.
func ancestral(a, b float32, eta float64) (down, up float32) {
	if eta == 0 {
		return b, 0
	}
	up = min(b, float32(eta)*sqrt(b*b*(a*a-b*b)/(a*a)))
	return sqrt(b*b - up*up), up
}

// flowAncestral is ancestral on a straight flow: the step to down, then a rescaling to keep and noise of size renoise.
func flowAncestral(a, b float32, eta float64) (down, keep, renoise float32) {
	down = b * (1 + (b/a-1)*float32(eta))
	end, mid := 1-b, 1-down
	return down, end / mid, sqrt(b*b - down*down*end*end/(mid*mid))
}

// eulerAncestral steps below the next sigma and comes back up with fresh noise.
func eulerAncestral(r *run) error {
	x, den, noise := r.x, r.buffer(), r.buffer()
	eta, gain := r.tuning.Eta, float32(r.tuning.SNoise)
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
		down, up := ancestral(a, b, eta)
		if !r.ms.Flow() {
			for j := range x {
				x[j] += (x[j] - den[j]) / a * (down - a)
			}
			r.addStepNoise(noise, gain*up)
			continue
		}
		down, keep, renoise := flowAncestral(a, b, eta)
		ratio := down / a
		for j := range x {
			x[j] = ratio*x[j] + (1-ratio)*den[j]
		}
		if eta > 0 {
			scale(x, keep)
			r.addStepNoise(noise, gain*renoise)
		}
	}
	return nil
}

// addStepNoise draws the next noise of an ancestral sampler and adds it times gain.
func (r *run) addStepNoise(noise []float32, gain float32) {
	r.stepNoise(noise)
	for j, n := range noise {
		r.x[j] += n * gain
	}
}
