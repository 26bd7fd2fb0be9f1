package cpu

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

// form is a convolution to test with all that Convolve and Multiply can do besides.
type form struct {
	sizes    [4]int
	c, o     int
	conv     Conv
	in, out  Format // out is float32 but for matrix products
	epilogue int    // bits: bias, bias of images, function, gate, residual, residual in place
}

func (f form) positions() int {
	oh, ow := f.conv.Out(f.sizes[2], f.sizes[3])
	return f.sizes[0] * f.conv.Frames(f.sizes[1]) * oh * ow
}

func (f form) parts(t testing.TB, front bool) (e Epilogue) {
	m := f.positions()
	part := func(bit, n int) []float32 {
		if f.epilogue>>bit&1 == 0 {
			return nil
		}
		return guarded(t, random(n, int64(30+bit)), front)
	}
	e = Epilogue{Bias: part(0, f.o), Each: part(1, f.sizes[0]*f.o), Gate: part(3, f.o), Residual: part(4, m*f.o)}
	if f.epilogue>>2&1 > 0 {
		e.Act = Activation(1 + f.epilogue%4)
	}
	return e
}

// finish is the definition of an epilogue; sizes are what errors are in proportion to.
func (e *Epilogue) finish(dst, sizes []float32, n, each int) {
	for i := range dst {
		v, s, col := float64(dst[i]), float64(sizes[i]), i%n
		if e.Each != nil {
			v, s = v+float64(e.Each[i/n/each*n+col]), s+math.Abs(float64(e.Each[i/n/each*n+col]))
		}
		switch e.Act {
		case SiLU:
			v /= 1 + math.Exp(-v)
		case GELU:
			v *= 0.5 * math.Erfc(-v/math.Sqrt2)
		case GELUTanh:
			v *= 0.5 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(v+0.044715*v*v*v)))
		case QuickGELU:
			v /= 1 + math.Exp(-1.702*v)
		}
		if e.Gate != nil {
			v, s = v*float64(e.Gate[col]), s*math.Abs(float64(e.Gate[col]))
		}
		if e.Residual != nil {
			v, s = v+float64(e.Residual[i]), s+math.Abs(float64(e.Residual[i]))
		}
		dst[i], sizes[i] = float32(v), float32(s)
	}
}

func (f form) test(t *testing.T, p *Pool, k Weights, prec Precision, front bool) {
	t.Helper()
	n, cols := k.Dims()
	pixels, m := f.sizes[0]*f.sizes[1]*f.sizes[2]*f.sizes[3], f.positions()
	values := random(pixels*f.c, 11)
	x := Rows{Format: f.in, Data: guarded(t, make([]float32, pixels*f.in.Words(f.c)), front), M: pixels, K: f.c}
	Cast(ctx, p, x, Floats(values, pixels, f.c), f.sizes[0])
	for i := range pixels { // what the product really sees
		x.Floats(values[i*f.c:(i+1)*f.c], i)
	}
	e := f.parts(t, front)
	dst := Rows{Format: f.out, Data: guarded(t, make([]float32, m*f.out.Words(n)), front), M: m, K: n}
	before := e
	if f.epilogue>>5&1 > 0 && e.Residual != nil && f.out == Float32 {
		before.Residual = slices.Clone(e.Residual)
		copy(dst.Data, e.Residual)
		e.Residual = dst.Data
	}
	if f.conv == one {
		Multiply(ctx, p, dst, x, k, prec, e)
	} else {
		Convolve(ctx, p, dst.Data, x, f.sizes, k, f.conv, prec, e)
	}

	want, sizes, tol := make([]float32, m*n), make([]float32, m*n), 2e-6
	_, coded := k.(Int8Weights)
	fast := prec == Int8Fast && coded && f.conv.Taps() > 1
	winograd := fast && active.double || prec == BF16
	winograd = winograd && !active.hasBF16() && f.suits()
	taken := f.in >= Int8Rows && f.conv == one // codes are multiplied as they are
	if coded && prec >= Int8 && !winograd && !taken {
		as := Int8
		if fast {
			as = Int8Fast
		}
		refInt8Conv(want, values, f.sizes, f.c, k.(Int8Weights), f.conv, before.Bias, as)
	} else {
		as := Exact
		if few := m <= thinRows && f.conv == one; prec == BF16 && active.hasBF16() && !few {
			as, tol = BF16, 1e-5
		}
		refConv(want, values, f.sizes, f.c, k, f.conv, before.Bias, as)
	}
	w := make([]float32, n*cols)
	k.Unpack(w, 0, n, 0, cols)
	absolute := func(v []float32) []float32 {
		v = slices.Clone(v)
		for i := range v {
			v[i] = abs32(v[i])
		}
		return v
	}
	refConv(sizes, absolute(values), f.sizes, f.c, Dense(absolute(w), n, cols), f.conv, absolute(before.Bias), Exact)
	before.finish(want, sizes, n, m/f.sizes[0])
	largest := slices.Max(sizes)
	got := make([]float32, m*n)
	for i := range m {
		dst.Floats(got[i*n:(i+1)*n], i)
	}
	for i, v := range want {
		allowed := tol * float64(sizes[i])
		switch {
		case winograd:
			allowed = 10 * tol * float64(largest)
		case f.out == BFloat16:
			allowed += math.Abs(float64(v)) / 256
		case f.out == Int8Rows:
			row := want[i/n*n : (i/n+1)*n]
			allowed += 0.51 * float64(max(slices.Max(row), -slices.Min(row))) / 127
		}
		if !(math.Abs(float64(got[i]-v)) <= allowed+1e-30) {
			t.Fatalf("%+v, %v, %T: [%d] is %g, want %g (allowed %.2g)", f, prec, k, i, got[i], v, allowed)
		}
	}
}

func (f form) suits() bool {
	q := product{conv: f.conv, channels: f.c, n: f.o, positions: f.positions()}
	return q.suits()
}

func forms() (list []form) {
	same := Conv{KH: 3, KW: 3, StrideH: 1, StrideW: 1, Top: 1, Left: 1, Bottom: 1, Right: 1}
	double, causal, strided, box := same, same, same, same
	double.Double = true
	causal.KT, causal.Front = 3, 2
	strided.KT, strided.StrideT, strided.Front, strided.Back, strided.StrideH = 2, 2, 1, 1, 2
	box.KT, box.Front, box.KH, box.KW, box.Top, box.Left, box.Bottom, box.Right = 3, 1, 1, 1, 0, 0, 0, 0
	for i, m := range []int{1, 3, 5, 13, 131} {
		for _, in := range []Format{Float32, BFloat16, Int8Rows, Int8Images} {
			for _, out := range []Format{Float32, BFloat16, Int8Rows} {
				list = append(list, form{[4]int{1, 1, 1, m}, 7 + 13*i, 37, one, in, out, 7 * i})
			}
		}
	}
	for i := range 64 {
		in := Format(i % 4)
		list = append(list, form{[4]int{2, 1, 1, 9}, 20, 70, one, in, Format(i % 3), i}, form{[4]int{2, 1, 5, 6}, 17, 19, same, in, Float32, i})
	}
	list = append(list, form{[4]int{2, 1, 1, 1500}, 12, 9, one, Float32, Int8Rows, 31}, form{[4]int{1, 1, 1, 40}, 4103, 9, one, Float32, Float32, 61})
	for i, c := range []Conv{same, double, causal, strided, box} {
		for j, in := range []Format{Float32, BFloat16, Int8Images} {
			list = append(list, form{[4]int{1 + i%2, 4, 5, 6}, 5 + 4*i, 35, c, in, Float32, 5*i + j}, form{[4]int{1, 2, 9, 17}, 16, 17, c, in, Float32, 63 * (i % 2)},
				form{[4]int{1, 3, 4, 3}, 350, 3, c, in, Float32, i + j})
		}
	}
	return list
}

// Products with every format of activations and results and every epilogue, over time and over doubled pictures, agree with
// their definitions on each path and stay within their slices.
func TestForms(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		p := NewPool(2)
		defer p.Close()
		for i, f := range forms() {
			cols, front := f.c*f.conv.Taps(), i%2 == 0
			f.test(t, p, Dense(guarded(t, random(f.o*cols, 13), front), f.o, cols), Precision(i/2%2), front)
			k := randomCodes(t, f.o, cols, i%3 == 0, false, front)
			f.test(t, p, k, Int8, front)
			f.test(t, p, k, Int8Fast, front)
			k.zero = guarded(t, make([]float32, f.o), front) // as if there were some
			f.test(t, p, k, Int8Fast, front)
		}
	})
}

// Rows come back from each format as near as its rounding allows, and casting them again changes nothing.
func TestCast(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		p := NewPool(3)
		defer p.Close()
		for _, s := range [][3]int{{1, 1, 1}, {6, 7, 2}, {64, 33, 4}, {9, 130, 3}, {1000, 64, 1}} {
			m, k, images := s[0], s[1], s[2]
			x := random(m*k, 3)
			for _, f := range []Format{Float32, BFloat16, Int8Rows, Int8Images} {
				r := Rows{Format: f, Data: guarded(t, make([]float32, m*f.Words(k)), m%2 == 0), M: m, K: k}
				Cast(ctx, p, r, Floats(x, m, k), images)
				got, again := make([]float32, m*k), Rows{Format: f, Data: make([]float32, m*f.Words(k)), M: m, K: k}
				Cast(ctx, p, Floats(got, m, k), r, 1)
				size := map[Format]int{Int8Rows: k, Int8Images: m / images * k}[f] // of values with one scale
				step := make([]float64, m*k)
				for i := 0; i < m*k && size > 0; i += size {
					s := float64(max(slices.Max(x[i:i+size]), -slices.Min(x[i:i+size]))) / 127
					for j := range size {
						step[i+j] = s
					}
				}
				for i, v := range x {
					allowed := 0.501 * step[i]
					if f == BFloat16 {
						allowed = math.Abs(float64(v)) / 256
					}
					if !(math.Abs(float64(got[i]-v)) <= allowed) {
						t.Fatalf("%v %v: [%d] is %g, want %g", s, f, i, got[i], v)
					}
				}
				Cast(ctx, p, again, Floats(got, m, k), images)
				back := make([]float32, m*k)
				Cast(ctx, p, Floats(back, m, k), again, 1)
				near(t, fmt.Sprint(s, f), back, got, 1e-6)
			}
		}
	})
}

// FuzzForms compares products of any small form with their definition.
func FuzzForms(f *testing.F) {
	f.Add(uint8(1), uint8(3), uint8(5), uint8(7), uint8(20), uint8(33), uint8(0xd), uint8(61), uint8(2), uint8(3))
	f.Add(uint8(0), uint8(0), uint8(12), uint8(13), uint8(17), uint8(70), uint8(0x92), uint8(26), uint8(3), uint8(7))
	f.Fuzz(func(t *testing.T, b, frames, h, w, c, o, kernel, epilogue, in, flags uint8) {
		conv := Conv{
			KH: int(kernel&3) + 1, KW: int(kernel>>2&3) + 1, StrideH: 1 + int(flags&1), StrideW: 1 + int(flags>>1&1), KT: int(kernel >> 4 & 3),
			StrideT: int(kernel >> 6), Top: int(flags >> 2 & 1), Left: int(flags >> 3 & 1), Front: int(flags >> 4 & 3), Double: flags>>6&1 > 0,
		}
		s := form{[4]int{int(b%3) + 1, int(frames%3) + 1, int(h%9) + 4, int(w%9) + 4}, int(c%70) + 1, int(o%40) + 1, conv, Format(in % 4), Float32, int(epilogue % 64)}
		if conv.Frames(s.sizes[1]) <= 0 || s.sizes[1]+conv.Front < conv.KT {
			return
		}
		p := NewPool(1 + int(b)%3)
		defer p.Close()
		k := randomCodes(t, s.o, s.c*conv.Taps(), b&8 > 0, false, o&1 > 0)
		s.test(t, p, k, Precision(in>>2%4), c&1 > 0)
	})
}
