package sampling

import "math"

// uniPC is the predictor and corrector of Zhao et al. 2023 of order 3 or less, after numerics.md 5.2, with the B(h)
// of its paper: h, or e^h − 1 for bh2. It works in the variance-preserving scale.
func uniPC(bh2 bool) func(r *run) error {
	return func(r *run) error {
		steps := len(r.sigmas) - 1
		if r.sigmas[steps] == 0 {
			r.sigmas[steps] = 0.001 // also for what the pipeline does at the end, as in the reference
		}
		order := min(3, steps-1)
		u := &uniStep{run: r, bh2: bh2, past: r.history(max(order, 1)), vp: r.buffer(), base: r.buffer(), seen: r.buffer()}
		scale(r.x, vpSignal(r.sigmas[0]))
		if err := u.look(u.past.push(), r.sigmas[0]); err != nil {
			return err
		}
		u.at = []float32{r.sigmas[0]}
		r.report(u.past.v[0])
		for i := 1; i <= steps && order > 0; i++ {
			used := min(order, i, steps+1-i)
			if err := u.step(r.sigmas[i], used, i < steps); err != nil {
				return err
			}
		}
		scale(r.x, 1/vpSignal(r.sigmas[steps]))
		return nil
	}
}

// vpSignal is the share of the picture in the variance-preserving scale.
func vpSignal(sigma float32) float32 { return 1 / sqrt(1+sigma*sigma) }

type uniStep struct {
	*run
	bh2  bool
	past *history  // pictures, newest first
	at   []float32 // their sigmas
	vp   []float32 // scratch
	base []float32 // the step without corrections
	seen []float32
}

// look estimates the picture in x, which is in the variance-preserving scale.
func (u *uniStep) look(den []float32, sigma float32) error {
	c := sqrt(1 + sigma*sigma)
	for j, v := range u.x {
		u.vp[j] = v * c
	}
	return u.denoise(den, u.vp, sigma)
}

// step takes x to sigma with the last order pictures, and corrects it by a look from there.
func (u *uniStep) step(sigma float32, order int, correct bool) error {
	a := u.at[0]
	h := float64(-log(sigma)) - float64(-log(a))
	ratios := make([]float64, 0, order) // places of the older pictures, in steps from the newest
	for k := 1; k < order; k++ {
		ratios = append(ratios, (float64(log(a))-float64(log(u.at[k])))/h)
	}
	ratios = append(ratios, 1)
	bh := -h
	if u.bh2 {
		bh = math.Expm1(-h)
	}
	signal := vpSignal(sigma)
	keep, take := sigma*signal/(a*vpSignal(a)), signal*float32(math.Expm1(-h))
	newest := u.past.v[0]
	for j, v := range u.x {
		u.base[j] = keep*v - take*newest[j]
	}
	copy(u.x, u.base)
	gain := -signal * float32(bh)
	if order > 1 {
		u.addDifferences(ratios, u.weights(ratios[:order-1], h, bh), gain)
	}
	if !correct {
		return nil
	}
	if err := u.look(u.seen, sigma); err != nil {
		return err
	}
	weights := u.weights(ratios, h, bh)
	copy(u.x, u.base)
	u.addDifferences(ratios, weights[:order-1], gain)
	last := gain * float32(weights[order-1])
	for j := range u.x {
		u.x[j] += last * (u.seen[j] - newest[j])
	}
	copy(u.past.push(), u.seen)
	u.at = append([]float32{sigma}, u.at[:min(len(u.at), 2)]...)
	u.report(u.past.v[0])
	return nil
}

// addDifferences adds gain·Σ weights[k]·(older picture k − newest)/ratios[k] to x.
func (u *uniStep) addDifferences(ratios, weights []float64, gain float32) {
	newest := u.past.v[0]
	for k, w := range weights {
		c := gain * float32(w/ratios[k])
		for j, v := range u.past.v[k+1] {
			u.x[j] += c * (v - newest[j])
		}
	}
}

// weights solves the order conditions for the ratios; the lowest orders use 1/2 as the paper does.
func (u *uniStep) weights(ratios []float64, h, bh float64) []float64 {
	n := len(ratios)
	if n == 1 {
		return []float64{0.5}
	}
	m := make([][]float64, n)
	phi := math.Expm1(-h)/-h - 1
	factorial := 1.0
	for i := range m {
		row := make([]float64, n+1)
		for k, r := range ratios {
			row[k] = math.Pow(r, float64(i))
		}
		row[n] = phi * factorial / bh
		m[i] = row
		factorial *= float64(i + 2)
		phi = phi/-h - 1/factorial
	}
	return solve(m)
}
