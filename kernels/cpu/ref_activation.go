package cpu

import "math"

// The definitions of the activations, for one element.

func refSiLU(x float64) float64 { return x / (1 + math.Exp(-x)) }

func refGELU(x float64) float64 { return x / 2 * math.Erfc(-x/math.Sqrt2) }

func refGELUTanh(x float64) float64 {
	return x / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
}

func refQuickGELU(x float64) float64 { return x / (1 + math.Exp(-1.702*x)) }

// refEach applies f to each element.
func refEach(dst, x []float32, f func(float64) float64) {
	for i, v := range x {
		dst[i] = float32(f(float64(v)))
	}
}

// refGated defines Gated of rows of 2c elements.
func refGated(dst, x []float32, c int, f func(float64) float64, gateFirst bool) {
	for i := range dst {
		value, gate := x[i/c*2*c+i%c], x[i/c*2*c+c+i%c]
		if gateFirst {
			value, gate = gate, value
		}
		dst[i] = float32(float64(value) * f(float64(gate)))
	}
}

// refTimesteps defines TimestepEmbedding.
func refTimesteps(dst, t []float32, dim int, cosFirst bool, shift float64) {
	for i := range dst {
		half, at := dim/2, i%dim
		if at >= 2*half {
			continue
		}
		angle := float64(t[i/dim]) * math.Pow(10000, -float64(at%half)/(float64(half)-shift))
		if cosFirst == (at < half) {
			dst[i] = float32(math.Cos(angle))
		} else {
			dst[i] = float32(math.Sin(angle))
		}
	}
}
