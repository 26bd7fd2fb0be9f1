package sdnq

import "math"

// hadamardSize is the length of the rotated chunks (section 8) for c input channels, 0 if the layer is not rotated.
func hadamardSize(c, group int) int {
	h := 1
	for h < min(c, group) {
		h *= 2
	}
	for h >= 4 && c%h != 0 {
		h /= 2
	}
	if h < 4 {
		return 0
	}
	return h
}

// rotate multiplies every chunk of h values by the Hadamard matrix of section 8, which is symmetric and its own
// inverse. len(x) is a multiple of h, a power of two of at least 4.
func rotate(x []float32, h int) {
	norm := float32(1 / math.Sqrt(float64(h)))
	for ; len(x) >= h; x = x[h:] {
		chunk := x[:h]
		if powerOfFour(h) {
			for step := 1; step < h; step *= 4 {
				butterfly4(chunk, step)
			}
		} else {
			for step := 1; step < h; step *= 2 {
				butterfly2(chunk, step)
			}
		}
		for i := range chunk {
			chunk[i] *= norm
		}
	}
}

func powerOfFour(h int) bool {
	for ; h > 1; h /= 4 {
		if h%4 != 0 {
			return false
		}
	}
	return true
}

// butterfly4 applies [[1,1,1,-1],[1,1,-1,1],[1,-1,1,1],[-1,1,1,1]] to each four values that lie step apart.
func butterfly4(x []float32, step int) {
	for i := 0; i < len(x); i += 4 * step {
		for j := i; j < i+step; j++ {
			a, b, c, d := x[j], x[j+step], x[j+2*step], x[j+3*step]
			x[j], x[j+step], x[j+2*step], x[j+3*step] = a+b+c-d, a+b-c+d, a-b+c+d, b+c+d-a
		}
	}
}

// butterfly2 applies [[1,1],[1,-1]] to each two values that lie step apart.
func butterfly2(x []float32, step int) {
	for i := 0; i < len(x); i += 2 * step {
		for j := i; j < i+step; j++ {
			a, b := x[j], x[j+step]
			x[j], x[j+step] = a+b, a-b
		}
	}
}
