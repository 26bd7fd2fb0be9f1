package sampling

// The noises that samplers add on the way, and the measures of noise they compute in.

// churn adds noise before step i where the tuning says so, and returns the sigma that x then has. Its noise comes from
// torch's default generator, which goes on where the initial noise ended.
func (r *run) churn(i int) float32 {
	gamma := r.churnShare(i)
	if gamma > 0 {
		r.drawGlobal()
	}
	return r.churnWith(i, gamma)
}

// churnShare is by how much step i's sigma is raised.
func (r *run) churnShare(i int) float64 {
	a, t := float64(r.sigmas[i]), r.tuning
	if t.STMin <= a && a <= t.STMax {
		return min(t.SChurn/float64(len(r.sigmas)-1), sqrt2-1)
	}
	return 0
}

const sqrt2 = 1.41421356237309504880168872420969807856967187537694

func (r *run) drawGlobal() {
	r.churned = resize(r.churned, len(r.x))
	r.global.Normal(r.churned)
}

// churnWith adds the noise drawn last and returns the raised sigma.
func (r *run) churnWith(i int, gamma float64) float32 {
	a := r.sigmas[i]
	up := a * float32(gamma+1)
	if gamma > 0 {
		gain := float32(r.tuning.SNoise) * sqrt(up*up-a*a)
		for j, n := range r.churned {
			r.x[j] += n * gain
		}
	}
	return up
}

// stepNoise fills dst with the noise that ancestral samplers add: a generator of its own with the same seed, so that the
// first noise equals the initial one (numerics.md 1.7).
func (r *run) stepNoise(dst []float32) {
	if r.private == nil {
		r.private = NewGenerator(r.seed)
	}
	r.private.Normal(dst)
}

// addStepNoise draws the next noise of an ancestral sampler into noise and adds it, times gain, to x.
func (r *run) addStepNoise(noise []float32, gain float32) {
	r.stepNoise(noise)
	for j, n := range noise {
		r.x[j] += n * gain
	}
}

// brownian is the noise of the SDE samplers over the whole schedule.
func (r *run) brownian() *brownian {
	low, high := r.sigmas[0], r.sigmas[0]
	for _, s := range r.sigmas {
		if s > 0 {
			low, high = min(low, s), max(high, s)
		}
	}
	return newBrownian(r.seed, float64(low), float64(high), len(r.x))
}

// offsetFirst moves the first sigma of a flow off 1, where there is no signal and lambda is infinite.
func (r *run) offsetFirst() {
	if r.ms.Flow() && r.sigmas[0] >= 1 {
		r.sigmas[0] = float32(r.ms.PercentToSigma(1e-4))
	}
}

// lambda is half the logarithm of the signal-to-noise ratio at sigma.
func (r *run) lambda(sigma float32) float32 {
	if r.ms.Flow() {
		return -log(sigma / (1 - sigma))
	}
	return -log(sigma)
}

// sigmaAt is the inverse of lambda.
func (r *run) sigmaAt(lambda float32) float32 {
	if r.ms.Flow() {
		return 1 / (1 + exp(lambda))
	}
	return exp(-lambda)
}

// signal is the share of the picture in x at sigma: 1, or 1 − sigma for flows.
func (r *run) signal(sigma float32) float32 { return sigma * exp(r.lambda(sigma)) }

// ancestral splits a step from a to b into one down to down and noise of size up.
func ancestral(a, b float32, eta float64) (down, up float32) {
	if eta == 0 {
		return b, 0
	}
	up = b
	if v := float32(eta) * sqrt(b*b*(a*a-b*b)/(a*a)); v < up { // NaN, at an infinite a, leaves b
		up = v
	}
	return sqrt(b*b - up*up), up
}

// flowAncestral is ancestral on a straight flow: the step to down, then a rescaling by keep and noise of size renoise.
func flowAncestral(a, b float32, eta float64) (down, keep, renoise float32) {
	down = b * (1 + (b/a-1)*float32(eta))
	end, mid := 1-b, 1-down
	return down, end / mid, sqrt(b*b - down*down*(end*end)/(mid*mid))
}
