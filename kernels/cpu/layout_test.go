package cpu

import (
	"fmt"
	"slices"
	"testing"
)

// onPools runs f on 1, 2, 3 and 7 threads, guarded, and holds all results to what is wanted: the same bits if tol is 0, and
// those of one thread in any case.
func onPools(t *testing.T, name string, want []float32, tol float64, front bool, f func(p *Pool, dst []float32)) {
	t.Helper()
	var first []float32
	for _, threads := range []int{1, 2, 3, 7} {
		p, got := NewPool(threads), guarded(t, make([]float32, len(want)), front)
		f(p, got)
		p.Close()
		if first == nil {
			first = slices.Clone(got)
			if tol > 0 {
				near(t, name, got, want, tol)
			} else if !slices.Equal(got, want) {
				t.Errorf("%s: have %v, want %v", name, got[:min(9, len(got))], want[:min(9, len(want))])
			}
		}
		if !slices.Equal(got, first) {
			t.Errorf("%s: %d threads give another result than one", name, threads)
		}
	}
}

// Rows are copied from and to memory with and without space between them, longer and shorter than a tile.
func TestCopyRows(t *testing.T) {
	for i, s := range [][4]int{{1, 1, 0, 0}, {7, 3, 2, 0}, {5, 1, 0, 4}, {2, spanBy, 3, 1}, {3, 2*spanBy + 5, 0, 2}, {40000, 1, 1, 1}, {6000, 7, 0, 0}, {0, 3, 0, 0}} {
		rows, n := s[0], s[1]
		to, from := n+s[2], n+s[3]
		src := guarded(t, random(max(0, (rows-1)*from+n), 1), i%2 > 0)
		want := make([]float32, max(0, (rows-1)*to+n))
		refCopyRows(want, to, src, from, rows, n)
		onPools(t, fmt.Sprint("copy ", s), want, 0, i%2 > 0, func(p *Pool, dst []float32) { CopyRows(ctx, p, dst, to, src, from, rows, n) })
	}
}

// All orders of axes of all kinds of sizes are right on every path.
func TestTransposeAxes(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		for i, s := range []struct{ shape, order []int }{
			{[]int{7}, []int{0}},
			{[]int{3, 5}, []int{1, 0}},
			{[]int{8, 64}, []int{1, 0}},
			{[]int{19, 130}, []int{1, 0}},
			{[]int{517, 3}, []int{1, 0}},
			{[]int{3, 20011}, []int{1, 0}},
			{[]int{2, 3, 4}, []int{0, 2, 1}},
			{[]int{2, 77, 3, 40}, []int{0, 2, 1, 3}},
			{[]int{2, 5, 31, 33}, []int{3, 1, 2, 0}},
			{[]int{1, 300, 1, 65}, []int{3, 2, 1, 0}},
			{[]int{3, 2, 5, 4, 11}, []int{4, 0, 2, 1, 3}},
			{[]int{3, 2, 5, 4, 11}, []int{1, 3, 0, 2, 4}},
			{[]int{2, 3, 2, 2, 17}, []int{4, 3, 2, 1, 0}},
			{[]int{4, 9, 6, 2, 1}, []int{2, 3, 4, 0, 1}},
			{[]int{0, 4}, []int{1, 0}},
		} {
			n := 1
			for _, d := range s.shape {
				n *= d
			}
			x, want := guarded(t, random(n, 1), i%2 > 0), make([]float32, n)
			refTranspose(want, x, s.shape, s.order)
			onPools(t, fmt.Sprint(s), want, 0, i%2 > 0, func(p *Pool, dst []float32) { Transpose(ctx, p, dst, x, s.shape, s.order) })
		}
	})
}
