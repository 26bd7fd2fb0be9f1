package cpu

import (
	"math"
	"slices"
	"testing"
)

// The operations on streams of tokens agree with their definitions on every path, bit by bit the same on 1, 2, 3 and 7
// threads, in place too, and touch nothing outside their slices.
func TestStreams(t *testing.T) {
	pools := []*Pool{NewPool(1), NewPool(2), NewPool(3), NewPool(7)}
	defer func() {
		for _, p := range pools {
			p.Close()
		}
	}()
	onEachPath(t, func(t *testing.T) {
		for _, s := range [][3]int{{1, 1, 2}, {3, 1, 6}, {5, 3, 16}, {2, 2, 34}, {131, 5, 38}, {7, 24, 128}, {0, 1, 2}, {40, 1, 1006}} {
			for _, front := range []bool{false, true} {
				testStreams(t, pools, s[0], s[1], s[2], front)
			}
		}
	})
}

func testStreams(t *testing.T, pools []*Pool, tokens, heads, d int, front bool) {
	c := heads * d
	g := func(n int, seed int64) []float32 { return guarded(t, random(n, seed), front) }
	x, y, a, b := g(tokens*c, 1), g(tokens*c, 2), g(c, 3), g(c, 4)
	cos, sin, table := make([]float32, tokens*d/2), make([]float32, tokens*d/2), g(tokens*2*d, 5)
	for i := range cos {
		sn, cs := math.Sincos(float64(i))
		cos[i], sin[i] = float32(cs), float32(sn)
		row, at := table[i/(d/2)*2*d:], i%(d/2)*2
		row[at], row[at+1], row[d+at], row[d+at+1] = cos[i], cos[i], -sin[i], sin[i]
	}
	each := func(name string, ref func(dst []float32), f func(p *Pool, dst, x []float32)) {
		t.Helper()
		want := make([]float32, tokens*c)
		ref(want)
		var first []float32
		for i, p := range pools {
			got := guarded(t, make([]float32, tokens*c), front)
			f(p, got, x)
			if i == 0 {
				first = slices.Clone(got)
				near(t, name, first, want, 1e-5)
			}
			if !slices.Equal(got, first) {
				t.Errorf("%s of %d tokens of %d: %d threads give another result than one", name, tokens, c, p.Threads())
			}
			copy(got, x)
			if f(p, got, got); !slices.Equal(got, first) {
				t.Errorf("%s of %d tokens of %d: another result in place", name, tokens, c)
			}
		}
	}
	each("modulate", func(dst []float32) { refModulate(dst, x, tokens, c, 1e-6, a, b) },
		func(p *Pool, dst, x []float32) { Modulate(ctx, p, Floats(dst, tokens, c), x, 1e-6, a, b) })
	each("add gated", func(dst []float32) { refAddGated(dst, x, y, a) },
		func(p *Pool, dst, x []float32) { AddGated(ctx, p, dst, x, y, tokens, a) })
	each("rotary", func(dst []float32) { refRotary(dst, x, cos, sin, tokens, heads, d) },
		func(p *Pool, dst, x []float32) { Rotary(ctx, p, dst, x, table, tokens, heads, d) })
	each("rms norm of heads", func(dst []float32) { refRMSNorm(dst, x, tokens*heads, d, 1e-6, a[:d]) },
		func(p *Pool, dst, x []float32) { RMSNorm(ctx, p, dst, x, tokens*heads, d, 1e-6, a[:d]) })
}

// A NaN spoils its own row and no other.
func TestStreamsBeyondNumbers(t *testing.T) {
	p := NewPool(2)
	defer p.Close()
	onEachPath(t, func(t *testing.T) {
		x, w := random(3*20, 1), random(20, 2)
		table := random(3*2*10, 3)
		x[23] = nan
		for name, f := range map[string]struct {
			spoilt func(i int) bool
			run    func(dst []float32)
		}{
			"modulate":  {func(i int) bool { return i/20 == 1 }, func(dst []float32) { Modulate(ctx, p, Floats(dst, 3, 20), x, 1e-6, w, w) }},
			"rms norm":  {func(i int) bool { return i/10 == 2 }, func(dst []float32) { RMSNorm(ctx, p, dst, x, 6, 10, 1e-6, nil) }},
			"add gated": {func(i int) bool { return i == 23 }, func(dst []float32) { AddGated(ctx, p, dst, dst, x, 3, w) }},
			"rotary":    {func(i int) bool { return i/2 == 11 }, func(dst []float32) { Rotary(ctx, p, dst, x, table, 3, 2, 10) }},
		} {
			dst := make([]float32, len(x))
			f.run(dst)
			for i, v := range dst {
				if (v != v) != f.spoilt(i) {
					t.Errorf("%s: NaN at 23 makes value %d %g", name, i, v)
				}
			}
		}
	})
}
