package cpu

import (
	"fmt"
	"runtime"
	"testing"
)

// uncoded are weights of a kind that may have codes, but without any (sdnq.Matrix of a packed dtype, say).
type uncoded struct{ Weights }

func (uncoded) Int8() ([]int8, bool, []float32, []float32)  { return nil, false, nil, nil }
func (uncoded) Codes() ([]int8, bool, []float32, []float32) { return nil, false, nil, nil }

// Weights that have no codes after all are multiplied in float32.
func TestInt8WithoutCodes(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		p := NewPool(2)
		defer p.Close()
		for _, m := range []int{1, 4, 9} {
			x, w := random(m*13, 1), Dense(random(7*13, 2), 7, 13)
			got, want := make([]float32, m*7), make([]float32, m*7)
			MatMul(ctx, p, got, x, m, uncoded{w}, nil, Int8)
			MatMul(ctx, p, want, x, m, w, nil, Exact)
			near(t, fmt.Sprint(m, " rows"), got, want, 0)
		}
	})
}

// Int8 products of several blocks of inputs, several batches of quantized rows and several chunks at once, whose last
// batch is few rows; from convolutions and strided 1x1 too.
func TestLargeInt8(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		for i, s := range []shape{
			square(1, 1, 1101, 4103, 2, 1, 1), // three blocks, three chunks
			square(1, 1, 66, 70001, 2, 1, 1),  // two batches, the last of two rows
			square(1, 1, 1101, 4103, 2, 1, 1), // again, in the other layout
			square(1, 10, 13, 7777, 2, 3, 1),  // batches of im2col rows
			{2, 1, 69, 70001, 2, Conv{KH: 1, KW: 1, StrideH: 2, StrideW: 2}},
		} {
			p, kByN := NewPool(1+i%3), i%4 >= 2
			k := randomCodes(t, s.o, s.c*s.KH*s.KW, kByN, i%2 == 0, kByN)
			s.test(t, p, "large", k, Int8, true, kByN)
			p.Close()
		}
	})
}

// Products on few rows are right whatever the number of rows, columns and inputs, for codes of both layouts with zeros.
func TestThinEdges(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		p := NewPool(3)
		defer p.Close()
		for _, m := range []int{1, 3, thinRows, thinRows + 1} {
			for _, n := range []int{1, 7, 65, 513} {
				for _, k := range []int{1, 3, 5, 33, 66} {
					s := square(1, 1, m, k, n, 1, 1)
					for at := range 4 {
						c := randomCodes(t, n, k, at&1 > 0, at&2 > 0, k%2 > 0)
						s.test(t, p, "thin", c, Exact, m%2 > 0, n%2 > 0)
						s.test(t, p, "thin", c, Int8, m%2 > 0, n%2 > 0)
					}
					s.test(t, p, "thin", Dense(random(n*k, 5), n, k), Exact, m%2 > 0, n%2 > 0)
				}
			}
		}
		// One position of a convolution that is none of a plain product: strides and paddings.
		for i, s := range []shape{
			{1, 3, 3, 5, 9, Conv{KH: 1, KW: 1, StrideH: 2, StrideW: 2}},
			{1, 1, 1, 5, 9, Conv{KH: 1, KW: 1, StrideH: 1, StrideW: 1, Top: 1}},
			{1, 2, 2, 3, 9, Conv{KH: 2, KW: 2, StrideH: 1, StrideW: 1}},
			{4, 1, 1, 3, 9, Conv{KH: 1, KW: 1, StrideH: 3, StrideW: 2}},
			{1, 1, 1, 1, 1, Conv{KH: 5, KW: 5, StrideH: 2, StrideW: 1, Top: 9, Left: 9, Bottom: 9, Right: 9}},
		} {
			for _, prec := range []Precision{Exact, BF16, Int8} {
				s.test(t, p, "few positions", randomCodes(t, s.o, s.c*s.KH*s.KW, i%2 > 0, true, false), prec, true, true)
			}
		}
	})
}

// Once warm, an operation allocates no more than a few words, whatever its size.
func TestOperationsAllocateNothing(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		p := NewPool(1) // of two, one may be idle until after the warm-up
		defer p.Close()
		m, k, n := 40, 96, 72
		big := random(m*k*9, 1)
		x, dst := big[:m*k], make([]float32, m*k*9)
		w := Dense(random(n*k, 2), n, k)
		coded := func(kByN bool) Weights { return randomCodes(t, n, k, kByN, true, false) }
		conv, convCodes := Dense(random(16*9*k, 3), 16, 9*k), randomCodes(t, 16, 9*k, true, true, false)
		same := Conv{KH: 3, KW: 3, StrideH: 1, StrideW: 1, Top: 1, Left: 1, Bottom: 1, Right: 1}
		nk, kn := coded(false), coded(true)
		table := random(m*2*32, 4)
		for name, f := range map[string]func(){
			"matmul":          func() { MatMul(ctx, p, dst, x, m, w, nil, Exact) },
			"matmul bf16":     func() { MatMul(ctx, p, dst, x, m, w, nil, BF16) },
			"matmul int8":     func() { MatMul(ctx, p, dst, x, m, nk, nil, Int8) },
			"matmul int8 K,N": func() { MatMul(ctx, p, dst, x, m, kn, nil, Int8) },
			"matmul codes":    func() { MatMul(ctx, p, dst, x, m, kn, nil, Exact) },
			"thin":            func() { MatMul(ctx, p, dst, x, 2, w, nil, Exact) },
			"thin codes":      func() { MatMul(ctx, p, dst, x, 2, nk, nil, Exact) },
			"thin codes K,N":  func() { MatMul(ctx, p, dst, x, 2, kn, nil, Exact) },
			"thin int8":       func() { MatMul(ctx, p, dst, x, 2, nk, nil, Int8) },
			"conv":            func() { Conv2D(ctx, p, dst, x, 1, 8, 5, k, conv, same, nil, Exact) },
			"conv int8":       func() { Conv2D(ctx, p, dst, x, 1, 8, 5, k, convCodes, same, nil, Int8) },
			"attention":       func() { Attention(ctx, p, dst, x, x, x, Attn{Batch: 1, Heads: 3, LQ: m, LK: m, D: 32}) },
			"group norm":      func() { GroupNorm(ctx, p, Floats(dst, 1*m, k), x, 1, 8, 1e-5, nil, nil, true) },
			"layer norm":      func() { LayerNorm(ctx, p, Floats(dst, m, k), x, 1e-5, nil, nil) },
			"modulate":        func() { Modulate(ctx, p, Floats(dst, m, k), x, 1e-5, x, x) },
			"add gated":       func() { AddGated(ctx, p, dst, x, x, m, x[:k]) },
			"rotary":          func() { Rotary(ctx, p, dst, x, table, m, 3, 32) },
			"silu":            func() { Activate(ctx, p, dst[:m*k], x, SiLU) },
			"affine":          func() { Affine(ctx, p, dst[:m*k], x, 2, -1) },
			"softmax":         func() { Softmax(ctx, p, dst, x, m, k) },
			"transpose":       func() { Transpose(ctx, p, dst, x, []int{m, 3, 2, k / 6}, []int{2, 0, 3, 1}) },
			"gated":           func() { Gated(ctx, p, Floats(dst, m, k/2), x, GELU, false) },
			"add":             func() { Add(ctx, p, dst[:m*k], x, x) },
			"add row":         func() { AddRow(ctx, p, dst[:m*k], x, x[:k]) },
			"concat":          func() { CopyRows(ctx, p, dst, 2*k, x, k, m, k) },
			"resize":          func() { Resize(ctx, p, dst, x, 1, 8, 5, k, 16, 10, Bicubic) },
			"layout":          func() { NCHWtoNHWC(ctx, p, dst, x, 1, k, 8, 5) },
		} {
			f()
			f()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			const rounds = 20
			for range rounds {
				f()
			}
			runtime.ReadMemStats(&after)
			if bytes := (after.TotalAlloc - before.TotalAlloc) / rounds; bytes > 2048 {
				t.Errorf("%s: %d bytes a call", name, bytes)
			} else {
				t.Logf("%s: %d bytes, %d objects a call", name, bytes, (after.Mallocs-before.Mallocs)/rounds)
			}
		}
	})
}
