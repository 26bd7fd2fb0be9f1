package sampling

// The samplers of Karras et al. 2022 and their ancestral forms, after numerics.md 5.1. In all samplers a is the sigma
// of a step, b the next one, den the estimate of the picture at a, and (x − den)/a the direction of the path.

// advance writes the straight step of length dt from x to dst, which may be x.
func advance(dst, x, den []float32, a, dt float32) {
	for j, v := range x {
		dst[j] = v + (v-den[j])/a*dt
	}
}

// euler takes one straight step at a time.
func euler(r *run) error {
	x, den := r.x, r.buffer()
	for i, b := range r.sigmas[1:] {
		a := r.churn(i)
		if err := r.denoise(den, x, a); err != nil {
			return err
		}
		r.report(den)
		advance(x, x, den, a, b-a)
	}
	return nil
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
			advance(x, x, den, a, b-a)
			continue
		}
		advance(ahead, x, den, a, b-a)
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

// heunpp2 averages the directions at a step's start, at its end and one step further, weighted by their sigmas.
func heunpp2(r *run) error {
	x, den, ahead, den2, beyond, den3 := r.x, r.buffer(), r.buffer(), r.buffer(), r.buffer(), r.buffer()
	last := len(r.sigmas) - 1
	for i, b := range r.sigmas[1:] {
		r.drawGlobal() // drawn at each step, used or not
		a := r.churnWith(i, r.churnShare(i))
		if err := r.denoise(den, x, a); err != nil {
			return err
		}
		r.report(den)
		if b == r.sigmas[last] {
			advance(x, x, den, a, b-a)
			continue
		}
		advance(ahead, x, den, a, b-a)
		if err := r.denoise(den2, ahead, b); err != nil {
			return err
		}
		c := r.sigmas[i+2]
		if c == r.sigmas[last] {
			w2 := b / (2 * r.sigmas[0])
			for j := range x {
				d := (x[j]-den[j])/a*(1-w2) + (ahead[j]-den2[j])/b*w2
				x[j] += d * (b - a)
			}
			continue
		}
		advance(beyond, ahead, den2, b, c-b)
		if err := r.denoise(den3, beyond, c); err != nil {
			return err
		}
		w2, w3 := b/(3*r.sigmas[0]), c/(3*r.sigmas[0])
		for j := range x {
			d := (x[j]-den[j])/a*(1-w2-w3) + (ahead[j]-den2[j])/b*w2 + (beyond[j]-den3[j])/c*w3
			x[j] += d * (b - a)
		}
	}
	return nil
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
		switch {
		case b == 0:
			copy(x, den)
		case r.ms.Flow():
			down, keep, renoise := flowAncestral(a, b, eta)
			ratio := down / a
			for j := range x {
				x[j] = ratio*x[j] + (1-ratio)*den[j]
			}
			if eta > 0 {
				scale(x, keep)
				r.addStepNoise(noise, gain*renoise)
			}
		default:
			down, up := ancestral(a, b, eta)
			advance(x, x, den, a, down-a)
			r.addStepNoise(noise, gain*up)
		}
	}
	return nil
}

// eulerAncestralCFGPP takes the direction from the negative prompt alone and starts each step at the guided picture
// (CFG++, Chung et al. 2024). With eta 0 it is euler_cfg_pp.
func eulerAncestralCFGPP(r *run) error {
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
		from, to := r.signal(a), r.signal(b)
		down, up := ancestral(a/from, b/to, eta)
		for j := range x {
			d := (x[j] - from*r.uncond[j]) / a
			x[j] = to*den[j] + to*down*d
		}
		if gain > 0 {
			r.addStepNoise(noise, to*gain*up)
		}
	}
	return nil
}
