package sdnq

import (
	"math"
	"slices"
)

// codebook finds the levels that stand for the numbers of a group (11.1).
type codebook struct {
	sorted        []float32
	sums          []float64 // of the first numbers
	table, middle []float32
}

// levels returns 2^bits levels in ascending order, which begin evenly spread and are so many times moved to the mean of the
// numbers nearest to them. The result is valid until the next call.
func (b *codebook) levels(x []float32, bits, steps int) []float32 {
	b.sorted = append(b.sorted[:0], x...)
	slices.Sort(b.sorted)
	b.sums = append(b.sums[:0], 0)
	total := 0.0
	for _, v := range b.sorted {
		total += float64(v)
		b.sums = append(b.sums, total)
	}
	n := 1 << bits
	low, high := b.sorted[0], b.sorted[len(x)-1]
	b.table = slices.Grow(b.table[:0], n)[:n]
	for i := range b.table {
		b.table[i] = low + float32(float32(i)*((high-low)/float32(n-1))) // not in one rounding, which only some processors have
	}
	for range steps {
		from, moved := 0, false
		for i, middle := range append(b.middles(b.table), float32(math.Inf(1))) {
			to, _ := slices.BinarySearch(b.sorted[from:], math.Nextafter32(middle, float32(math.Inf(1))))
			if to += from; to > from {
				mean := float32((b.sums[to] - b.sums[from]) / float64(to-from))
				b.table[i], moved, from = mean, moved || mean != b.table[i], to
			}
		}
		if !moved {
			break
		}
	}
	return b.table
}

// middles are the numbers between neighbouring levels; the result is valid until the next call.
func (b *codebook) middles(levels []float32) []float32 {
	b.middle = b.middle[:0]
	for i, v := range levels[1:] {
		b.middle = append(b.middle, (levels[i]+v)/2)
	}
	return b.middle
}

// assign gives each number the count of middles below it.
func assign[C code](codes []C, x, middles []float32) {
	for i, v := range x {
		low, high := 0, len(middles)
		for low < high {
			if mid := (low + high) / 2; middles[mid] < v {
				low = mid + 1
			} else {
				high = mid
			}
		}
		codes[i] = C(low)
	}
}
