package sampling

import "math"

// saSolver is the stochastic Adams predictor and corrector (Xue et al. 2023), after numerics.md 5.2. It predicts with
// the pictures seen so far, looks from there, and corrects the step by what it saw.
func saSolver(r *run) error {
	t := r.tuning
	start, end := float32(r.ms.PercentToSigma(t.SDEStart)), float32(r.ms.PercentToSigma(t.SDEEnd))
	r.offsetFirst()
	s := &saStep{run: r, lambdas: make([]float64, len(r.sigmas)), past: r.history(max(t.PredictorOrder, t.CorrectorOrder))}
	for i, sigma := range r.sigmas {
		s.lambdas[i] = float64(r.lambda(sigma))
	}
	pred, noise := append([]float32(nil), r.x...), r.buffer()
	n := len(r.sigmas) - 1
	var tau float64
	for i, b := range r.sigmas[1:] {
		den := s.past.push()
		if err := r.denoise(den, pred, r.sigmas[i]); err != nil {
			return err
		}
		r.report(den)
		predict, correct := min(t.PredictorOrder, s.past.n), min(t.CorrectorOrder, s.past.n)
		if i == 0 || b == 0 && !t.PECE {
			correct = 0
		}
		if r.sigmas[n] == 0 { // lower orders towards the end
			predict, correct = min(predict, n-1-i), min(correct, n-i)
		}
		if correct == 0 {
			copy(r.x, pred)
		} else {
			s.move(r.x, i-1, i, i, correct, tau)
			if tau > 0 && t.SNoise > 0 {
				for j, v := range noise {
					r.x[j] += v
				}
			}
			if t.PECE {
				if err := r.denoise(den, r.x, r.sigmas[i]); err != nil {
					return err
				}
			}
		}
		if b == 0 {
			copy(r.x, den)
			continue
		}
		tau = 0
		if start >= b && b >= end {
			tau = t.Eta
		}
		copy(pred, r.x)
		s.move(pred, i, i+1, i, predict, tau)
		if tau > 0 && t.SNoise > 0 {
			h := s.lambdas[i+1] - s.lambdas[i]
			r.stepNoise(noise)
			scale(noise, b*float32(math.Sqrt(-math.Expm1(-2*tau*tau*h))*t.SNoise))
			for j, v := range noise {
				pred[j] += v
			}
		}
	}
	return nil
}

type saStep struct {
	*run
	lambdas []float64
	past    *history // pictures, newest first
}

// move takes x from sigma number from to sigma number to, by the order pictures seen up to sigma number newest.
func (s *saStep) move(x []float32, from, to, newest, order int, tau float64) {
	h := s.lambdas[to] - s.lambdas[from]
	scale(x, s.sigmas[to]/s.sigmas[from]*float32(math.Exp(-tau*tau*h)))
	signal := float64(s.sigmas[to]) * math.Exp(s.lambdas[to])
	var weights []float64
	if s.tuning.SimpleOrder2 && order == 2 {
		weights = s.simpleWeights(from, to, newest, tau)
	} else {
		nodes := make([]float64, order)
		for k := range nodes {
			nodes[k] = s.lambdas[newest-k]
		}
		weights = expWeights(nodes, s.lambdas[from], s.lambdas[to], 1+tau*tau)
	}
	for k := range weights {
		weights[k] *= signal
	}
	s.past.addSum(x, weights)
}

// simpleWeights are closed forms for two pictures, newest first.
func (s *saStep) simpleWeights(from, to, newest int, tau float64) []float64 {
	c := 1 + tau*tau
	h := s.lambdas[to] - s.lambdas[from]
	all := -math.Expm1(-h * c)
	if newest == to { // the corrector knows the step's end
		return []float64{0.5 * c * h, all - 0.5*c*h}
	}
	older := 0.5 * c * h * h / (s.lambdas[newest-1] - s.lambdas[from])
	return []float64{all - older, older}
}

// expWeights integrates c·e^(c·(x−to)) times the Lagrange basis on the nodes from from to to: it solves the transposed
// Vandermonde system for the integrals of powers, which come by parts.
func expWeights(nodes []float64, from, to, c float64) []float64 {
	n := len(nodes)
	// Powers are taken about to: the nodes lie near it, so that the system is well conditioned.
	m := make([][]float64, n)
	integral := 0.0
	decay := math.Exp(-c * (to - from))
	for p := range m {
		row := make([]float64, n+1)
		for k, v := range nodes {
			row[k] = math.Pow(v-to, float64(p))
		}
		end := 0.0
		if p == 0 {
			end = 1
		}
		integral = end - math.Pow(from-to, float64(p))*decay - float64(p)/c*integral
		row[n] = integral
		m[p] = row
	}
	return solve(m)
}

// solve solves the linear system of n rows with n+1 columns, the last being the right side; it overwrites m.
func solve(m [][]float64) []float64 {
	n := len(m)
	for c := range n {
		pivot := c
		for r := c + 1; r < n; r++ {
			if math.Abs(m[r][c]) > math.Abs(m[pivot][c]) {
				pivot = r
			}
		}
		m[c], m[pivot] = m[pivot], m[c]
		for r := c + 1; r < n; r++ {
			f := m[r][c] / m[c][c]
			for k := c; k <= n; k++ {
				m[r][k] -= f * m[c][k]
			}
		}
	}
	x := make([]float64, n)
	for r := n - 1; r >= 0; r-- {
		x[r] = m[r][n]
		for k := r + 1; k < n; k++ {
			x[r] -= m[r][k] * x[k]
		}
		x[r] /= m[r][r]
	}
	return x
}
