package sdnq

import "math"

// code rounds to the nearest integer, ties to even, within low and high; 0/0 of an all-zero group is 0.
func code(v, low, high float32) float32 {
	if v != v {
		return 0
	}
	return min(max(float32(math.RoundToEven(float64(v))), low), high)
}

func maxAbs(v []float32) float32 {
	m := float32(0)
	for _, x := range v {
		m = max(m, float32(math.Abs(float64(x))))
	}
	return m
}
