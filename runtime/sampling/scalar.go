package sampling

import "math"

// The reference keeps sigmas in float32 tensors: every operation on them rounds to float32. These are its functions.

func exp(x float32) float32   { return float32(math.Exp(float64(x))) }
func expm1(x float32) float32 { return float32(math.Expm1(float64(x))) }
func log(x float32) float32   { return float32(math.Log(float64(x))) }
func sqrt(x float32) float32  { return float32(math.Sqrt(float64(x))) }
func pow(x, y float32) float32 {
	return float32(math.Pow(float64(x), float64(y)))
}
func isNaN(x float32) bool { return x != x }

// linspace is torch.linspace in float32: the first half counts up from a, the second down from b, each with one rounding.
func linspace(a, b float64, n int) []float32 {
	out := make([]float32, n)
	if n == 1 {
		out[0] = float32(a)
		return out
	}
	from, to := float32(a), float32(b)
	step := (to - from) / float32(n-1)
	for i := range out {
		if i < n/2 {
			out[i] = fma(step, float32(i), from)
		} else {
			out[i] = fma(-step, float32(n-1-i), to)
		}
	}
	return out
}

// linspace64 is linspace in float64.
func linspace64(a, b float64, n int) []float64 {
	out := make([]float64, n)
	step := (b - a) / float64(n-1)
	for i := range out {
		if i < n/2 {
			out[i] = a + float64(step*float64(i))
		} else {
			out[i] = b - float64(step*float64(n-1-i))
		}
	}
	return out
}
