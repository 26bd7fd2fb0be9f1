package cpu

import (
	"math"
	"slices"
	"testing"
)

var inf, nan = float32(math.Inf(1)), float32(math.NaN())

// The loops of each path agree with those in Go for every length of a tail, within the slices that they get.
func TestVectors(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		for _, n := range append([]int{127, 128, 129, 255, 256, 257, 300, 511, 577}, upTo(70)...) { // loops of four vectors take up to 256 codes
			for _, front := range []bool{false, true} {
				testLoops(t, n, front)
				testReductions(t, n, front)
				testCodes(t, n, front)
			}
		}
	})
}

func upTo(n int) (list []int) {
	for i := range n {
		list = append(list, i)
	}
	return list
}

func testLoops(t *testing.T, n int, front bool) {
	x, a, b := random(n, 1), random(n, 2), random(n, 3)
	for i := range x {
		x[i] *= 3
	}
	fast := func(name string, tol float64, f func(v *vectors, dst, x, a, b []float32)) {
		t.Helper()
		got, want := guarded(t, make([]float32, n), front), make([]float32, n)
		f(&active.vectors, got, guarded(t, x, front), guarded(t, a, front), guarded(t, b, front))
		f(&goVectors, want, x, a, b)
		for i, w := range want {
			if !(math.Abs(float64(got[i]-w)) <= tol*(1+math.Abs(float64(w)))) {
				t.Errorf("%s of %g in %d: %g, want %g", name, x[i], n, got[i], w)
			}
		}
	}
	fast("add", 0, func(v *vectors, dst, x, a, _ []float32) { v.add(dst, x, a) })
	fast("mul", 0, func(v *vectors, dst, x, a, _ []float32) { v.mul(dst, x, a) })
	fast("mulAdd", 1e-6, func(v *vectors, dst, x, a, b []float32) { v.mulAdd(dst, x, a, b) })
	fast("rotate", 1e-6, func(v *vectors, dst, x, a, b []float32) {
		even := len(dst) &^ 1
		v.rotate(dst[:even], x, a, b)
	})
	fast("linear", 1e-6, func(v *vectors, dst, x, _, _ []float32) { v.linear(dst, x, 1.5, -0.25) })
	fast("addScaled", 1e-6, func(v *vectors, dst, x, a, _ []float32) {
		copy(dst, a)
		v.addScaled(dst, x, 1.5)
	})
	fast("swish", 3e-7, func(v *vectors, dst, x, _, _ []float32) { v.swish(dst, x, 1.702, 0) })
	fast("cubic swish", 3e-7, func(v *vectors, dst, x, _, _ []float32) { v.swish(dst, x, 1.6, 0.07) })
	fast("gelu", 3e-7, func(v *vectors, dst, x, _, _ []float32) { v.gelu(dst, x) })
	fast("exp", 3e-7, func(v *vectors, dst, x, _, _ []float32) { v.exp(dst, x, 9) })
	acc := make([]int32, n)
	for i := range acc {
		acc[i] = int32(1000 * x[i])
	}
	fast("finish", 0, func(v *vectors, dst, _, a, b []float32) { v.finish(dst, acc, 128, 0.3, a, b) })
}

func negated(x []float32) []float32 {
	out := make([]float32, len(x))
	for i, v := range x {
		out[i] = -v
	}
	return out
}

func testReductions(t *testing.T, n int, front bool) {
	x := guarded(t, random(n, 4), front)
	if got, want := active.max(x), maxGo(x); got != want {
		t.Errorf("max of %d: %g, want %g", n, got, want)
	}
	if got, want := active.absMax(x), absMaxGo(x); got != want {
		t.Errorf("absMax of %d: %g, want %g", n, got, want)
	}
	if low, high := active.span(x); low != -maxGo(negated(x)) || high != maxGo(x) {
		t.Errorf("span of %d: %g, %g, want %g, %g", n, low, high, -maxGo(negated(x)), maxGo(x))
	}
	s, q := active.sums(x)
	if ws, wq := sumsGo(x); math.Abs(s-ws) > 1e-12*float64(n) || math.Abs(q-wq) > 1e-12*float64(n) {
		t.Errorf("sums of %d: %g, %g, want %g, %g", n, s, q, ws, wq)
	}
	e, we := make([]float32, n), make([]float32, n)
	if got, want := active.exp(e, x, 1), expGo(we, x, 1); math.Abs(float64(got-want)) > 1e-6*float64(want) {
		t.Errorf("sum of exp of %d: %g, want %g", n, got, want)
	}
	w := guarded(t, random(n, 6), front)
	if got, want := active.dot(w, x), dotGo(w, x); math.Abs(float64(got-want)) > 1e-5 {
		t.Errorf("dot of %d: %g, want %g", n, got, want)
	}
	ones := make([]float64, n)
	for i := range ones {
		ones[i] = 1
	}
	gs, gq, ws, wq := guarded(t, ones, front), guarded(t, ones, front), slices.Clone(ones), slices.Clone(ones)
	active.moment(gs, gq, x)
	momentGo(ws, wq, x)
	for i := range ones {
		if gs[i] != ws[i] || math.Abs(gq[i]-wq[i]) > 1e-15 {
			t.Errorf("moment %d of %d: %g, %g, want %g, %g", i, n, gs[i], gq[i], ws[i], wq[i])
		}
	}
}

func testCodes(t *testing.T, n int, front bool) {
	x := random(n, 5)
	for i := range x {
		x[i] *= 60
	}
	want := make([]int8, n)
	wantSum := quantizeGo(address(want), x, 0.5)
	x = guarded(t, x, front)
	if active.double {
		got := guarded(t, make([]int16, n), front)
		if sum := active.quantize(address(got), x, 0.5); sum != wantSum {
			t.Errorf("sum of %d codes: %d, want %d", n, sum, wantSum)
		}
		wide := guarded(t, make([]int16, n), front)
		active.widen(wide, guarded(t, want, front))
		if !slices.Equal(got, wide) || !slices.EqualFunc(got, want, func(a int16, b int8) bool { return a == int16(b) }) {
			t.Errorf("codes of %v: %v, want %v", x, got, want)
		}
	} else {
		got := guarded(t, make([]int8, n), front)
		if sum := active.quantize(address(got), x, 0.5); sum != wantSum || !slices.Equal(got, want) {
			t.Errorf("codes of %v: %v, sum %d, want %v, %d", x, got, sum, want, wantSum)
		}
	}
	weights := make([]int8, n)
	var sum, offset int32
	for i := range weights {
		weights[i] = int8(17*i - 100)
		sum += int32(weights[i]) * int32(want[i])
		offset += int32(active.offset) * int32(want[i])
	}
	stored := address(guarded(t, want, front))
	if active.double {
		wide := make([]int16, n)
		active.widen(wide, want)
		stored = address(guarded(t, wide, front))
	}
	if got := active.dotCodes(guarded(t, weights, front), stored); got != sum+offset {
		t.Errorf("dot of %d codes: %d, want %d", n, got, sum+offset)
	}
	if got, want := active.dotMixed(guarded(t, weights, front), x), dotGo(weights, x); math.Abs(float64(got-want)) > 1e-6*float64(n)*60*128 {
		t.Errorf("dot of %d codes and float32: %g, want %g", n, got, want)
	}
	testHalves(t, n, front)
	for _, group := range []int{16, 48, 64} {
		n := n / group * group
		codes, few := guarded(t, weights[:n], front), guarded(t, x[:n], front)
		scale := guarded(t, random(n/group, 8), front)
		if n == 0 {
			continue
		}
		if got, want := active.dotGroups(codes, few, group, scale), dotGroupsGo(codes, few, group, scale); math.Abs(float64(got-want)) > 1e-6*float64(n)*60*128 {
			t.Errorf("dot of %d codes in groups of %d: %g, want %g", n, group, got, want)
		}
	}
	rows4, factors := make([]int8, max(0, 3*(n+3)+n)), &[4]float32{1, -0.5, 0.25, 3}
	for i := range rows4 {
		rows4[i] = int8(31 * i)
	}
	if got, want := active.dotUint8(guarded(t, weights, front), x), dotUint8Go(weights, x); math.Abs(float64(got-want)) > 1e-6*float64(n)*60*256 {
		t.Errorf("dot of %d uint8 codes and float32: %g, want %g", n, got, want)
	}
	acc, plainAcc := guarded(t, random(n, 7), front), random(n, 7)
	active.addRows(acc, address(guarded(t, rows4, front)), factors, n+3)
	active.addUint8(acc, address(guarded(t, rows4, front)), factors, n+3)
	addRowsGo[int8](plainAcc, address(rows4), factors, n+3)
	addRowsGo[uint8](plainAcc, address(rows4), factors, n+3)
	for i, w := range plainAcc {
		if math.Abs(float64(acc[i]-w)) > 1e-4 {
			t.Errorf("column %d of %d of scaled rows: %g, want %g", i, n, acc[i], w)
		}
	}
	per, words := 4, 3
	if active.double {
		per = 2
	}
	stride := n + 5
	rows := guarded(t, make([]int8, max(0, (per*words-1)*stride+n)), front)
	for i := range rows {
		rows[i] = int8(23 * i)
	}
	packed, plain := guarded(t, make([]uint32, n*words), front), make([]uint32, n*words)
	active.interleave(address(packed), address(rows), n, words, stride, 4*n)
	for i := range plain {
		for r := range per {
			if code := rows[(i/max(1, n)*per+r)*stride+i%n]; active.double {
				plain[i] |= uint32(uint16(code)) << (16 * r)
			} else {
				plain[i] |= uint32(uint8(code)+active.offset) << (8 * r)
			}
		}
	}
	if !slices.Equal(packed, plain) {
		t.Errorf("%d interleaved codes: %#x, want %#x", n, packed, plain)
	}
}

// testHalves converts numbers of every exponent.
func testHalves(t *testing.T, n int, front bool) {
	raw := make([]byte, 2*n)
	for i := range raw {
		raw[i] = byte(i*71 + i*i*13)
		if i%2 == 1 && raw[i]&0x7c == 0x7c {
			raw[i] ^= 0x40 // neither Inf nor NaN, which have tests of their own
		}
	}
	raw = guarded(t, raw, front)
	got, want := guarded(t, make([]float32, n), front), make([]float32, n)
	active.fromBF16(got, raw)
	if fromBF16Go(want, raw); !slices.EqualFunc(got, want, sameBits) {
		t.Errorf("%d bfloat16: %v, want %v", n, got, want)
	}
	active.fromF16(got, raw)
	if fromF16Go(want, raw); !slices.EqualFunc(got, want, sameBits) {
		t.Errorf("%d float16: %v, want %v", n, got, want)
	}
}

func sameBits(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }

// What is not finite comes through, and what is masked counts nothing.
func TestVectorsBeyondNumbers(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		for _, n := range []int{3, 16, 19} { // in a tail, in a whole vector, in both
			for i := range n {
				x := make([]float32, n)
				x[i] = nan
				y := make([]float32, n)
				for name, f := range map[string]func(){
					"swish": func() { active.swish(y, x, 1, 0) }, "cubic": func() { active.swish(y, x, 1.6, 0.07) }, "gelu": func() { active.gelu(y, x) },
					"exp": func() { active.exp(y, x, 0) }, "linear": func() { active.linear(y, x, 1, 2) },
				} {
					f()
					for j, v := range y {
						if (v != v) != (j == i) {
							t.Errorf("%s: NaN at %d of %d: %v", name, i, n, y)
						}
					}
				}
				if even := n &^ 1; i < even { // both of the pair
					active.rotate(y[:even], x, y, y)
					for j, v := range y[:even] {
						if (v != v) != (j/2 == i/2) {
							t.Errorf("rotate: NaN at %d of %d: %v", i, n, y)
						}
					}
				}
				if m := active.absMax(x); m == m {
					t.Errorf("absMax with a NaN at %d of %d: %g", i, n, m)
				}
				x[i] = inf
				if active.swish(y, x, 1, 0); y[i] != inf {
					t.Errorf("swish(Inf) = %g", y[i])
				}
				if active.gelu(y, x); y[i] != inf {
					t.Errorf("gelu(Inf) = %g", y[i])
				}
				x[i] = -inf
				if sum := active.exp(y, x, 0); y[i] != 0 || sum != float32(n-1) {
					t.Errorf("exp(-Inf) = %g, sum %g", y[i], sum)
				}
				x[i] = -100
				if active.exp(y, x, 0); y[i] > 1e-43 {
					t.Errorf("exp(-100) = %g", y[i])
				}
				if active.gelu(y, x); y[i] != 0 && math.Abs(float64(y[i])) > 1e-30 {
					t.Errorf("gelu(-100) = %g", y[i])
				}
			}
		}
	})
}

// The running softmax takes blocks of any number of rows.
func TestSoftmaxColumns(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		n := active.lanes
		for _, rows := range []int{0, 1, 3, 128} {
			s := random(rows*2*n, 6)
			for i := range n { // the first column is masked
				if rows > 0 {
					s[i*2*n%(rows*2*n)] = -inf
				}
			}
			start := random(n, 7)
			start[0] = -inf
			state := func() (m, sum, fade []float32) { return slices.Clone(start), make([]float32, n), make([]float32, n) }
			gm, gs, gf := state()
			wm, ws, wf := state()
			got, want := guarded(t, s, false), slices.Clone(s)
			active.softmax(got, rows, 2*n, gm, gs, gf)
			softmaxGo(want, rows, 2*n, wm, ws, wf)
			for name, p := range map[string][2][]float32{"scores": {got, want}, "m": {gm, wm}, "sum": {gs, ws}, "fade": {gf, wf}} {
				for i := range p[0] {
					if g, w := p[0][i], p[1][i]; g != w && !(math.Abs(float64(g-w)) <= 1e-6*(1+math.Abs(float64(w)))) {
						t.Errorf("%s[%d] after %d rows: %g, want %g", name, i, rows, g, w)
					}
				}
			}
		}
	})
}

func TestTranspose(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		for k := range 35 {
			stride := k + 3
			src := guarded(t, random(7*stride+k, 8), false)
			offset := make([]int32, k)
			for i := range offset {
				offset[i] = int32(40 * (k - 1 - i))
			}
			got, want := guarded(t, make([]float32, max(0, 10*k-2)), false), make([]float32, max(0, 10*k-2))
			if k > 0 {
				active.transpose(address(got), &offset[0], address(src), 4*stride, k, 0x80000000)
				transposeGo(address(want), &offset[0], address(src), 4*stride, k, 0x80000000)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%d columns: %v, want %v", k, got, want)
			}
		}
	})
}
