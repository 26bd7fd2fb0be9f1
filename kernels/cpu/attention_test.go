package cpu

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

// FuzzAttention compares attention of any small shape with its definition.
func FuzzAttention(f *testing.F) {
	f.Add(uint8(1), uint8(2), uint8(0), uint8(9), uint8(77), uint8(40), uint8(1))
	f.Add(uint8(0), uint8(3), uint8(1), uint8(130), uint8(200), uint8(64), uint8(2+8))
	f.Add(uint8(0), uint8(1), uint8(2), uint8(33), uint8(129), uint8(7), uint8(3+16))
	f.Fuzz(func(t *testing.T, b, heads, share, lq, lk, d, flags uint8) {
		a := Attn{
			Batch: int(b%2) + 1, KVHeads: int(heads%3) + 1, LQ: int(lq) + 1, LK: int(lk) + 1, D: int(d%130) + 1, Causal: flags&1 > 0,
			Prec: Precision(flags >> 3 % 3),
		}
		a.Heads = a.KVHeads * (int(share%3) + 1)
		testAttention(t, a, flags&2 > 0, flags&4 > 0)
	})
}

func testAttention(t *testing.T, a Attn, masked, front bool) {
	t.Helper()
	p := NewPool(2)
	defer p.Close()
	a.Scale = float32(1 / math.Sqrt(float64(a.D)))
	q := guarded(t, random(a.Batch*a.LQ*a.Heads*a.D, 20), front)
	k := guarded(t, random(a.Batch*a.LK*a.KVHeads*a.D, 21), front)
	v := guarded(t, random(a.Batch*a.LK*a.KVHeads*a.D, 22), front)
	if masked {
		a.Mask = guarded(t, random(a.LQ*a.LK, 23), front)
		for i := range a.Mask { // the first key stays, so that no row is without any
			if i%a.LK > 0 && i%3 == 0 {
				a.Mask[i] = -inf
			}
		}
	}
	got, want, sizes := guarded(t, make([]float32, len(q)), front), make([]float32, len(q)), make([]float32, len(q))
	Attention(ctx, p, got, q, k, v, a)
	refAttention(want, sizes, q, k, v, a, active.hasBF16())
	tol := 5e-6
	if a.Prec != Exact && active.hasBF16() { // the rounding of what the softmax gives, which has eight bits
		tol += 1.0 / 256
	}
	worst := 0.0
	for i, w := range want {
		e := math.Abs(float64(got[i] - w))
		if worst = max(worst, e); !(e <= tol*float64(sizes[i])+5e-6) {
			t.Fatalf("attention %+v, mask %v: [%d] is %g, want %g", shapeOf(a), masked, i, got[i], w)
		}
	}
	t.Logf("attention %s: largest difference %.3g", shapeOf(a), worst)
}

func shapeOf(a Attn) string { a.Mask = nil; return fmt.Sprintf("%+v", a) }

func TestAttention(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		for i, d := range []int{1, 3, 7, 8, 40, 64, 80, 96, 128, 160, 256, 512} {
			for j, l := range [][2]int{{1, 1}, {1, 131}, {7, 77}, {97, 1}, {64, 64}, {65, 257}} {
				if l[0]*l[1]*d > 1<<22 {
					l = [2]int{33, 131}
				}
				for _, prec := range precisions {
					if prec == BF16 && !active.hasBF16() {
						continue
					}
					testAttention(t, Attn{Batch: 1 + i%2, Heads: 2, KVHeads: 1 + i%2, LQ: l[0], LK: l[1], D: d, Prec: prec}, (i+j)%2 == 0, i%2 == 0)
					if l[0]*l[1]*d < 1<<20 {
						testAttention(t, Attn{Batch: 1, Heads: 3, KVHeads: 1, LQ: l[0], LK: l[1], D: d, Causal: true, Prec: prec}, (i+j)%3 == 0, i%2 == 0)
					}
				}
			}
		}
	})
}

var precisions = []Precision{Exact, BF16, Int8}

// No keys give zeros; queries that see none, NaN, as 0/0.
func TestAttentionOfNothing(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		p := NewPool(1)
		defer p.Close()
		for _, prec := range precisions {
			q, dst := random(3*8, 1), random(3*8, 2)
			Attention(ctx, p, dst, q, nil, nil, Attn{Batch: 1, Heads: 1, LQ: 3, D: 8, Prec: prec})
			if !slices.Equal(dst, make([]float32, len(dst))) {
				t.Errorf("%v without keys: %v", prec, dst)
			}
			mask := make([]float32, 9)
			mask[3], mask[4], mask[5] = -inf, -inf, -inf
			Attention(ctx, p, dst, q, q, q, Attn{Batch: 1, Heads: 1, LQ: 3, LK: 3, D: 8, Mask: mask, Prec: prec})
			for i, v := range dst {
				if (v != v) != (i/8 == 1) {
					t.Errorf("%v: query %d of three, of which the second sees nothing: %g", prec, i/8, v)
				}
			}
		}
	})
}

// The number of threads changes no bit of attention, whatever the block of queries that is one worker's.
func TestThreadsChangeNoAttention(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		for _, causal := range []bool{false, true} {
			for _, prec := range precisions {
				a := Attn{Batch: 2, Heads: 4, KVHeads: 2, LQ: 331, LK: 257, D: 40, Causal: causal, Prec: prec}
				if causal {
					a.Batch, a.Heads, a.KVHeads = 1, 1, 1
				}
				q, k, v := random(a.Batch*a.LQ*a.Heads*a.D, 1), random(a.Batch*a.LK*a.KVHeads*a.D, 2), random(a.Batch*a.LK*a.KVHeads*a.D, 3)
				var first []float32
				for _, threads := range []int{1, 2, 3, 7} {
					p, got := NewPool(threads), make([]float32, len(q))
					Attention(ctx, p, got, q, k, v, a)
					p.Close()
					if first == nil {
						first = got
					}
					if !slices.Equal(got, first) {
						t.Errorf("%s: %d threads give another result than one", shapeOf(a), threads)
					}
				}
			}
		}
	})
}

// Attention in int8 keeps the error that docs/design.md states, which smoothing makes the same for keys with a large mean.
// The measure is the root mean square of errors against that of results.
func TestAttentionInt8Error(t *testing.T) {
	p := NewPool(2)
	defer p.Close()
	for _, data := range []struct {
		name      string
		key       func(x float32, channel int) float32
		most      float64
		scoreSize float32 // standard deviation of scores
	}{
		{"normal", func(x float32, _ int) float32 { return x }, 0.012, 1},
		{"normal, sharp", func(x float32, _ int) float32 { return x }, 0.025, 4},
		{"four channels with a mean of 20", func(x float32, c int) float32 { return x + 20*float32(max(0, c%16-14)) }, 0.012, 1},
		{"four channels ten times larger", func(x float32, c int) float32 { return x * (1 + 9*float32(max(0, c%16-14))) }, 0.06, 1},
	} {
		a := Attn{Batch: 1, Heads: 2, KVHeads: 2, LQ: 128, LK: 1024, D: 64, Scale: data.scoreSize / 8}
		q, k, v := random(a.LQ*2*a.D, 30), random(a.LK*2*a.D, 31), random(a.LK*2*a.D, 32)
		for i := range k {
			k[i] = data.key(k[i], i%a.D)
		}
		var rms [Int8 + 1]float64
		want, got := make([]float32, len(q)), make([]float32, len(q))
		refAttention(want, make([]float32, len(q)), q, k, v, a, false)
		size := norm(want, nil)
		for _, prec := range precisions {
			a.Prec = prec
			Attention(ctx, p, got, q, k, v, a)
			rms[prec] = norm(got, want) / size
		}
		t.Logf("%s: float32 %.2g, bfloat16 (native: %v) %.2g, int8 %.2g", data.name, rms[Exact], Native(BF16), rms[BF16], rms[Int8])
		if rms[Int8] > data.most {
			t.Errorf("%s: error %g, need at most %g", data.name, rms[Int8], data.most)
		}
	}
}

// norm is the Euclidean norm of a-b.
func norm(a, b []float32) float64 {
	var sum float64
	for i, x := range a {
		d := float64(x)
		if b != nil {
			d -= float64(b[i])
		}
		sum += d * d
	}
	return math.Sqrt(sum)
}

func TestDescale(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		n := active.lanes
		for _, rows := range []int{0, 1, 5} {
			s := guarded(t, random(max(0, rows*2*n-n), 1), false) // any bits are integers
			less, row, column := guarded(t, []int32{7, -128, 0, 1 << 20, -5}[:rows], false), guarded(t, random(rows, 2), false), guarded(t, random(n, 3), false)
			want := slices.Clone(s)
			active.descale(s, rows, 2*n, less, row, column)
			descaleGo(want, rows, 2*n, less, row, column)
			active.mulRows(s, rows, 2*n, column)
			mulRowsGo(want, rows, 2*n, column)
			if !slices.Equal(s, want) {
				t.Errorf("%d rows: %v, want %v", rows, s, want)
			}
		}
	})
}

func TestEights(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		for _, s := range [][2]int{{1, 1}, {5, 3}} {
			rows, groups := s[0], s[1]
			src := guarded(t, random((rows-1)*29+8*groups, 1), false)
			got, want := guarded(t, make([]float32, 8*groups*rows), false), make([]float32, 8*groups*rows)
			active.eights(address(got), address(src), rows, groups, 4*29, 32*rows)
			eightsGo(address(want), address(src), rows, groups, 4*29, 32*rows)
			if !slices.Equal(got, want) {
				t.Errorf("%d rows, %d groups: %v, want %v", rows, groups, got, want)
			}
		}
	})
}
