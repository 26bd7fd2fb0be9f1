package sampling

import (
	"fmt"
	"math"

	"graphrun/types"
)

// ModelSampling is the noise schedule that a network was trained on, and the meaning of its output (numerics.md 2).
// Sigmas are those of the k-diffusion parametrisation.
type ModelSampling struct {
	types.Sampling
	table []float32 // the training sigmas, ascending
	axis  axis
}

// axis converts between sigmas and the network's timesteps.
type axis interface {
	timestep(sigma float32) float32
	sigma(timestep float32) float32
	// percent is the sigma after a share 0 < p < 1 of the sampling.
	percent(p float64) float64
	// first is the sigma of p = 0.
	first() float64
}

// NewModelSampling computes the tables of a schedule. A class or prediction that it does not know is an error.
func NewModelSampling(s types.Sampling) (*ModelSampling, error) {
	switch s.Prediction {
	case types.PredictEpsilon, types.PredictVelocity, types.PredictSample, types.PredictFlow, types.PredictEDM, types.PredictCosmos,
		types.PredictLCM, types.PredictImage:
	default:
		return nil, fmt.Errorf("model predicts %q: need epsilon, v_prediction, sample, flow, edm, cosmos_rf, lcm or img_to_img", s.Prediction)
	}
	s = withDefaults(s)
	m := &ModelSampling{Sampling: s}
	var err error
	switch s.Class {
	case types.SigmaDiscrete:
		m.table, m.axis, err = newDiscrete(s)
		if err == nil && s.Prediction == types.PredictLCM {
			m.table, m.axis, err = newDistilled(m.table)
		}
	case types.SigmaEDM, types.SigmaContinuousV, types.SigmaCosmos:
		m.table, m.axis, err = newContinuous(s)
	case types.SigmaFlow:
		m.table, m.axis = newFlow(s)
	case types.SigmaFlux:
		m.table, m.axis = newFlux(s)
	case types.SigmaCascade:
		m.table, m.axis = newCascade(s)
	default:
		err = fmt.Errorf("noise schedule class %q: need discrete, edm, continuous_v, flow, flux, cascade or cosmos", s.Class)
	}
	return m, err
}

func withDefaults(s types.Sampling) types.Sampling {
	if s.Class == "" {
		switch {
		case s.Prediction != types.PredictFlow:
			s.Class = types.SigmaDiscrete
		case s.FluxShift:
			s.Class = types.SigmaFlux
		default:
			s.Class = types.SigmaFlow
		}
	}
	if s.BetaSchedule == "" {
		s.BetaSchedule = "linear"
	}
	for _, d := range []struct {
		v *float64
		d float64
	}{{&s.Shift, 1}, {&s.Multiplier, 1000}, {&s.SigmaData, 1}} {
		if *d.v == 0 {
			*d.v = d.d
		}
	}
	if s.Steps == 0 {
		s.Steps = 1000
	}
	return s
}

// Flow reports whether the model runs straight from noise (sigma 1) to the picture (sigma 0).
func (m *ModelSampling) Flow() bool { return m.Prediction == types.PredictFlow }

// SigmaMin is the smallest sigma of training.
func (m *ModelSampling) SigmaMin() float32 { return m.table[0] }

// SigmaMax is the largest sigma of training.
func (m *ModelSampling) SigmaMax() float32 { return m.table[len(m.table)-1] }

// Timestep is what the network is told at sigma.
func (m *ModelSampling) Timestep(sigma float32) float32 { return m.axis.timestep(sigma) }

// Sigma is the noise level at a timestep.
func (m *ModelSampling) Sigma(timestep float32) float32 { return m.axis.sigma(timestep) }

// PercentToSigma is the sigma after a share of the sampling, 0 (start) to 1 (end).
func (m *ModelSampling) PercentToSigma(p float64) float64 {
	switch {
	case p <= 0:
		return m.axis.first()
	case p >= 1:
		return 0
	}
	return m.axis.percent(p)
}

// Input writes what the network sees of x at sigma.
func (m *ModelSampling) Input(dst, x []float32, sigma float32) {
	switch m.Prediction {
	case types.PredictFlow, types.PredictImage:
		copy(dst, x)
	case types.PredictCosmos:
		s := sigma / (sigma + 1)
		for i, v := range x {
			dst[i] = v * (1 - s)
		}
	default:
		d := sqrt(sigma*sigma + m.data2())
		for i, v := range x {
			dst[i] = v / d
		}
	}
}

func (m *ModelSampling) data2() float32 { return float32(m.SigmaData * m.SigmaData) }

// Denoised writes the picture that the network's output out means at x and sigma. It divides where the reference does,
// so that samplers with a step control follow it.
func (m *ModelSampling) Denoised(dst, x, out []float32, sigma float32) {
	d2, gain := m.data2(), sigma*float32(m.SigmaData)
	total := sigma*sigma + d2
	root := sqrt(total)
	switch m.Prediction {
	case types.PredictVelocity:
		for i, o := range out {
			dst[i] = x[i]*d2/total - o*gain/root
		}
	case types.PredictEDM:
		for i, o := range out {
			dst[i] = x[i]*d2/total + o*gain/root
		}
	case types.PredictSample, types.PredictImage:
		copy(dst, out)
	case types.PredictLCM: // consistency models at timestep·10, with 0.5 as the spread of the data (Luo et al. 2023)
		t := m.Timestep(sigma) * 10
		keep := 0.25 / (t*t + 0.25)
		gain := t / sqrt(t*t+0.25)
		for i, o := range out {
			dst[i] = gain*(x[i]-o*sigma) + keep*x[i]
		}
	case types.PredictCosmos:
		s := sigma / (sigma + 1)
		for i, o := range out {
			dst[i] = x[i]*(1-s) - o*s
		}
	default:
		for i, o := range out {
			dst[i] = x[i] - o*sigma
		}
	}
}

// Noise writes latent with noise of level sigma. full says that sampling starts from pure noise (see IsFull).
func (m *ModelSampling) Noise(dst, noise, latent []float32, sigma float32, full bool) {
	keep, gain := float32(1), sigma
	switch {
	case m.Prediction == types.PredictFlow:
		keep = 1 - sigma
	case m.Prediction == types.PredictCosmos:
	case full:
		gain = sqrt(1 + sigma*sigma)
	}
	for i, n := range noise {
		dst[i] = gain*n + keep*latent[i]
	}
}

// IsFull reports whether sampling from sigma starts at the schedule's end, where only noise is left.
func (m *ModelSampling) IsFull(sigma float32) bool {
	top, s := float64(m.SigmaMax()), float64(sigma)
	return s > top || math.Abs(s-top) <= 1e-5*max(math.Abs(s), math.Abs(top))
}

// Finish undoes in place what Noise did to the picture's scale, for a sampling that ended at sigma.
func (m *ModelSampling) Finish(x []float32, sigma float32) {
	if m.Prediction == types.PredictFlow && sigma != 0 {
		d := 1 - sigma
		for i := range x {
			x[i] /= d
		}
	}
}
