package cpu

import "math"

// Hadamard rotates rows, chunk by chunk, by the normalized Hadamard matrix that SDNQ rotates weights by (specs/sdnq-format.md 8),
// which is symmetric and its own inverse: the power of [[1,1,1,-1],[1,1,-1,1],[1,-1,1,1],[-1,1,1,1]] for chunks of a power of
// four, of [[1,1],[1,-1]] for others.
type Hadamard struct {
	Chunk int  // values that are rotated together, a power of two of at least 4; 0 for no rotation
	Twos  bool // the power of [[1,1],[1,-1]] for all chunks
}

// Rotate rotates x, whose length is a multiple of the chunk's, in place.
func (r Hadamard) Rotate(x []float32) {
	h := r.Chunk
	four, norm := !r.Twos && powerOfFour(h), float32(1/math.Sqrt(float64(h)))
	for ; len(x) >= h; x = x[h:] {
		switch chunk := x[:h]; {
		case active.mix4 != nil && four && h >= 64:
			active.mixFours(address(chunk), h/32)
			for step := 16; step < h; step *= 4 {
				active.mix4(address(chunk), h/(4*step), step, factor(norm, 4*step == h))
			}
		case active.mix2 != nil && !four && h >= 16:
			active.mixEights(address(chunk), h/8)
			for step := 8; step < h; step *= 2 {
				active.mix2(address(chunk), h/(2*step), step, factor(norm, 2*step == h))
			}
		default:
			hadamardGo(chunk, four, norm)
		}
	}
}

// factor is what the results of a step are multiplied by.
func factor(norm float32, last bool) float32 {
	if last {
		return norm
	}
	return 1
}

func hadamardGo(x []float32, four bool, norm float32) {
	if four {
		for step := 1; step < len(x); step *= 4 {
			mix4Go(x, step)
		}
	} else {
		for step := 1; step < len(x); step *= 2 {
			mix2Go(x, step)
		}
	}
	for i := range x {
		x[i] *= norm
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

// mix4Go applies the matrix of four rows to each four values that lie step apart.
func mix4Go(x []float32, step int) {
	for i := 0; i < len(x); i += 4 * step {
		for j := i; j < i+step; j++ {
			a, b, c, d := x[j], x[j+step], x[j+2*step], x[j+3*step]
			x[j], x[j+step], x[j+2*step], x[j+3*step] = a+b+c-d, a+b-c+d, a-b+c+d, b+c+d-a
		}
	}
}

// mix2Go applies the matrix of two rows to each two values that lie step apart.
func mix2Go(x []float32, step int) {
	for i := 0; i < len(x); i += 2 * step {
		for j := i; j < i+step; j++ {
			a, b := x[j], x[j+step]
			x[j], x[j+step] = a+b, a-b
		}
	}
}
