package sampling

// The DPM-Solver++ samplers (Lu et al. 2022) in t = −ln sigma, after numerics.md 5.1.

// dpmpp2m is the second-order multistep solver.
func dpmpp2m(r *run) error {
	x, den, old := r.x, r.buffer(), r.buffer()
	var last float32 // length of the step before in t
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
