package cpu

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand"
	"slices"
	"testing"
)

// codes are int8 weights, as SDNQ stores them.
type codes struct {
	Weights
	q           []int8
	kByN        bool
	scale, zero []float32
}

func (c codes) Int8() (q []int8, kByN bool, scale, zero []float32) {
	return c.q, c.kByN, c.scale, c.zero
}

func (c codes) Codes() (q []int8, kByN bool, scale, zero []float32) { return c.Int8() }

// randomCodes are weights [n, k] with codes over the whole range.
func randomCodes(t testing.TB, n, k int, kByN, zeros, front bool) codes {
	r := rand.New(rand.NewSource(9))
	c := codes{q: make([]int8, n*k), kByN: kByN, scale: make([]float32, n)}
	dense := make([]float32, n*k)
	if zeros {
		c.zero = guarded(t, random(n, 10), front)
	}
	for i := range c.scale {
		c.scale[i] = 0.01 * float32(1+i%7)
	}
	for i := range n {
		for j := range k {
			at := i*k + j
			if kByN {
				at = j*n + i
			}
			c.q[at] = int8(r.Intn(256) - 128)
			dense[i*k+j] = float32(c.q[at]) * c.scale[i]
			if zeros {
				dense[i*k+j] += c.zero[i]
			}
		}
	}
	c.Weights = Dense(dense, n, k)
	c.q, c.scale = guarded(t, c.q, front), guarded(t, c.scale, front)
	return c
}

// shape is a product to test: a convolution of x [b, h, w, c] to o channels.
type shape struct {
	b, h, w, c, o int
	Conv
}

func square(b, h, w, c, o, k, stride int) shape {
	cv := Conv{KH: k, KW: k, StrideH: stride, StrideW: stride, Top: k / 2, Left: k / 2, Bottom: k / 2, Right: k / 2}
	if stride > 1 { // as the VAE pads
		cv.Top, cv.Left = 0, 0
	}
	return shape{b, h, w, c, o, cv}
}

// shapes have tails of every kind: of rows, of columns, of channels that fill no word, of pictures smaller than the kernel.
func shapes() (list []shape) {
	for _, m := range []int{1, 2, 5, 6, 7, 8, 9, 63, 131} {
		list = append(list, square(1, 1, m, 13, 37, 1, 1))
	}
	for _, n := range []int{1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 127, 131} {
		list = append(list, square(1, 1, 7, 12, n, 1, 1))
	}
	for _, k := range []int{1, 2, 3, 4, 5, 7, 8, 9, 63, 64, 65, 127, 1025} {
		list = append(list, square(1, 1, 5, k, 18, 1, 1))
	}
	return append(list, square(1, 1, 1, 1, 1, 3, 1), square(2, 5, 7, 3, 5, 3, 1), square(1, 9, 6, 17, 33, 3, 2), square(2, 4, 4, 8, 70, 1, 1),
		square(1, 2, 1, 4, 9, 5, 1), square(1, 6, 5, 700, 9, 3, 1), square(2, 7, 9, 130, 33, 3, 1), square(1, 4, 4, 16, 16, 3, 1),
		square(1, 23, 18, 17, 70, 3, 1), square(3, 9, 11, 16, 16, 3, 1), shape{1, 7, 9, 5, 11, Conv{KH: 2, KW: 4, StrideH: 3, StrideW: 1, Left: 3, Bottom: 1}},
		square(1, 3, 3, 0, 4, 1, 1))
}

// each runs a product with guarded operands and compares it with its definition.
func (s shape) test(t *testing.T, p *Pool, name string, k Weights, prec Precision, biased, front bool) {
	t.Helper()
	oh, ow := s.Out(s.h, s.w)
	x := guarded(t, random(s.b*s.h*s.w*s.c, 11), front)
	var bias []float32
	if biased {
		bias = guarded(t, random(s.o, 12), front)
	}
	got, want := guarded(t, make([]float32, s.b*oh*ow*s.o), front), make([]float32, s.b*oh*ow*s.o)
	Conv2D(ctx, p, got, x, s.b, s.h, s.w, s.c, k, s.Conv, bias, prec)
	tol, sizes := 1e-6, s.sizes(x, k, bias)
	if q, ok := k.(Int8Weights); ok && prec == Int8 && s.c > 0 {
		refInt8(want, x, s.b, s.h, s.w, s.c, q, s.Conv, bias)
	} else {
		as := Exact
		few := s.b*oh*ow <= thinRows && s.KH*s.KW == 1 && s.StrideH*s.StrideW == 1
		switch {
		case prec == BF16 && active.hasBF16() && !few:
			as, tol = BF16, 1e-5
		case prec == BF16: // Winograd's errors depend on what lies around
			largest := slices.Max(append(sizes, 0))
			for i := range sizes {
				sizes[i] = max(sizes[i], 10*largest)
			}
		}
		refConv2D(want, x, s.b, s.h, s.w, s.c, k, s.Conv, bias, as)
	}
	for i, w := range want {
		if !(math.Abs(float64(got[i]-w)) <= tol*float64(sizes[i])) {
			t.Fatalf("%s, %v of %+v: [%d] is %g, want %g (allowed %.2g)", name, prec, s, i, got[i], w, tol*float64(sizes[i]))
		}
	}
}

// sizes is for each result the sum of the absolute values of its terms, which is what rounding errors are in proportion to:
// terms may cancel.
func (s shape) sizes(x []float32, k Weights, bias []float32) []float32 {
	n, cols := k.Dims()
	w := make([]float32, n*cols)
	k.Unpack(w, 0, n, 0, cols)
	for i, v := range w {
		w[i] = abs32(v)
		if c, ok := k.(codes); ok && c.zero != nil { // and so may the two terms of a weight
			w[i] += 2 * abs32(c.zero[i/cols])
		}
	}
	absolute := func(v []float32) []float32 {
		v = slices.Clone(v)
		for i := range v {
			v[i] = abs32(v[i])
		}
		return v
	}
	oh, ow := s.Out(s.h, s.w)
	sizes := make([]float32, s.b*oh*ow*s.o)
	refConv2D(sizes, absolute(x), s.b, s.h, s.w, s.c, Dense(w, n, cols), s.Conv, absolute(bias), Exact)
	return sizes
}

func abs32(v float32) float32 { return float32(math.Abs(float64(v))) }

// Products of all shapes, weights and precisions agree with their definitions on each path and stay within their slices.
func TestProducts(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		p := NewPool(2)
		defer p.Close()
		for i, s := range shapes() {
			cols, front := s.c*s.KH*s.KW, i%2 == 0
			w := random(s.o*cols, 13)
			for name, k := range encodings(t, w, s.o, cols, front) {
				for _, prec := range []Precision{Exact, BF16} {
					s.test(t, p, name, k, prec, i%3 > 0, front)
				}
			}
			for _, kByN := range []bool{false, true} {
				for _, zeros := range []bool{false, true} {
					k := randomCodes(t, s.o, cols, kByN, zeros, front)
					name := fmt.Sprint("codes, [K, N] ", kByN, ", zeros ", zeros)
					s.test(t, p, name, k, Int8, i%3 > 0, front)
					s.test(t, p, name, k, Exact, i%3 > 0, front)
				}
			}
		}
	})
}

// encodings are weights in each of the formats that are read in place.
func encodings(t testing.TB, w []float32, n, k int, front bool) map[string]Weights {
	f32, bf16, f16, f8 := make([]byte, 4*len(w)), make([]byte, 2*len(w)), make([]byte, 2*len(w)), make([]byte, len(w))
	values := new([256]float32)
	e4m3, values8 := make([]byte, len(w)), new([256]float32)
	for i := range values8 {
		values8[i] = float8s[0].Value(uint8(i))
	}
	for i, v := range w {
		binary.LittleEndian.PutUint32(f32[4*i:], math.Float32bits(v))
		binary.LittleEndian.PutUint16(bf16[2*i:], uint16(math.Float32bits(roundBF16(v))>>16))
		f8[i], values[i%256] = uint8(i), w[i%256%len(w)]
		e4m3[i] = byte(37*i) &^ 0x40                                      // no NaN
		binary.LittleEndian.PutUint16(f16[2*i:], uint16(0x3c00|i&0x83ff)) // ±1..2
	}
	return map[string]Weights{
		"dense": Dense(guarded(t, w, front), n, k), "float32": NewF32(guarded(t, f32, front), n, k),
		"bfloat16": NewBF16(guarded(t, bf16, front), n, k), "float16": NewF16(guarded(t, f16, front), n, k),
		"float8":      NewF8(guarded(t, f8, front), values, n, k),
		"float8 e4m3": NewF8(guarded(t, e4m3, front), values8, n, k),
	}
}

// The number of threads changes no bit.
func TestThreadsChangeNothing(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		s := square(2, 23, 17, 35, 150, 3, 1)
		x, bias := random(s.b*s.h*s.w*s.c, 14), random(s.o, 15)
		k := randomCodes(t, s.o, s.c*9, false, true, false)
		q := random(2*67*4*40, 16)
		var first [5][]float32
		for _, threads := range []int{1, 2, 3, 7} {
			p := NewPool(threads)
			var got [5][]float32
			for i, prec := range []Precision{Exact, BF16, Int8} {
				got[i] = make([]float32, s.b*s.h*s.w*s.o)
				Conv2D(ctx, p, got[i], x, s.b, s.h, s.w, s.c, k, s.Conv, bias, prec)
			}
			got[3], got[4] = make([]float32, len(q)), make([]float32, len(x))
			Attention(ctx, p, got[3], q, q, q, Attn{Batch: 2, Heads: 4, LQ: 67, LK: 67, D: 40})
			GroupNorm(ctx, p, Floats(got[4], s.b*s.h*s.w, s.c), x, s.b, 5, 1e-5, nil, nil, true)
			p.Close()
			if threads == 1 {
				first = got
			}
			for i := range got {
				if !slices.Equal(got[i], first[i]) {
					t.Errorf("result %d of %d threads is not that of one", i, threads)
				}
			}
		}
	})
}

// What is not finite comes through a product.
func TestProductsBeyondNumbers(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		p := NewPool(1)
		defer p.Close()
		w, x, dst := Dense(make([]float32, 40*9), 40, 9), make([]float32, 3*9), make([]float32, 3*40)
		x[9+4] = nan
		MatMul(ctx, p, dst, x, 3, w, nil, Exact)
		for i, v := range dst {
			if (v != v) != (i/40 == 1) {
				t.Fatalf("row %d column %d is %g", i/40, i%40, v)
			}
		}
	})
}

// FuzzProduct compares products of any small shape with their definition, on the best path, guarded.
func FuzzProduct(f *testing.F) {
	f.Add(uint8(1), uint8(5), uint8(7), uint8(3), uint8(9), uint8(3), uint8(3), uint8(1), uint8(0x55), uint8(0))
	f.Add(uint8(2), uint8(1), uint8(6), uint8(64), uint8(65), uint8(1), uint8(1), uint8(1), uint8(0), uint8(2))
	f.Fuzz(func(t *testing.T, b, h, w, c, o, kh, kw, stride, pad, prec uint8) {
		s := shape{int(b%3) + 1, int(h%12) + 1, int(w%12) + 1, int(c%70) + 1, int(o%80) + 1, Conv{
			KH: int(kh%4) + 1, KW: int(kw%4) + 1, StrideH: int(stride%3) + 1, StrideW: int(stride/3%3) + 1,
			Top: int(pad & 3), Left: int(pad >> 2 & 3), Bottom: int(pad >> 4 & 3), Right: int(pad >> 6),
		}}
		if s.h+s.Top+s.Bottom < s.KH || s.w+s.Left+s.Right < s.KW {
			return
		}
		p := NewPool(1 + int(prec>>4)%3)
		defer p.Close()
		k := randomCodes(t, s.o, s.c*s.KH*s.KW, prec&4 > 0, prec&8 > 0, pad&1 > 0)
		s.test(t, p, "fuzz", k, Precision(prec%3), prec&64 > 0, pad&2 > 0)
	})
}
