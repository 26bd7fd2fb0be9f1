package cpu

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
	"testing"
)

// Rotations are bit by bit those of the reference, which multiplies by the matrix that powers of the small one make.
func TestHadamard(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		for h := 4; h <= 2048; h *= 2 {
			for i := range 6 {
				chunks, twos := []int{0, 1, 3}[i/2], i%2 == 1
				x := random(h*chunks, int64(h))
				want := slices.Clone(x)
				for i := range chunks {
					hadamardGo(want[i*h:(i+1)*h], powerOfFour(h) && !twos, float32(1/math.Sqrt(float64(h))))
				}
				got := guarded(t, x, chunks == 1)
				if (Hadamard{h, twos}).Rotate(got); !slices.EqualFunc(got, want, sameBits) {
					t.Errorf("%d chunks of %d differ from the reference (by twos: %v)", chunks, h, twos)
				}
			}
		}
	})
	for i := range 10 {
		h := 4 << (i / 2)
		four := powerOfFour(h) && i%2 == 0
		x, want := random(h, 9), make([]float32, h)
		for i := range want {
			for j, v := range x {
				want[i] += v * float32(hadamardSign(i, j, four)) / float32(math.Sqrt(float64(h)))
			}
		}
		hadamardGo(x, four, float32(1/math.Sqrt(float64(h))))
		near(t, fmt.Sprint("rotation of ", h), x, want, 1e-6)
	}
}

// hadamardSign is an element of the matrix: the product of those of the small ones that its indices' digits name.
func hadamardSign(i, j int, four bool) int {
	if !four {
		return 1 - 2*(bits.OnesCount(uint(i&j))%2)
	}
	sign := 1
	for ; i > 0 || j > 0; i, j = i/4, j/4 {
		if i%4+j%4 == 3 {
			sign = -sign
		}
	}
	return sign
}
