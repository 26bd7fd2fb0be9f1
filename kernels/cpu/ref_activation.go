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
