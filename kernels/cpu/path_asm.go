//go:build amd64 || arm64

package cpu

import "unsafe"

// routines are the loops in assembly that gen writes for an instruction set; what each does is said at vectors and path.
// Some only one set has: AVX-512 uses those of AVX2 that move data.
type routines struct {
	add, mul                        func(dst, a, b unsafe.Pointer, n int)
	mulAdd, rotate                  func(dst, x, a, b unsafe.Pointer, n int)
	linear, swish, cubic            func(dst, x unsafe.Pointer, n int, a, b float32)
	addScaled                       func(dst, x unsafe.Pointer, n int, a, b float32)
	gelu                            func(dst, x unsafe.Pointer, n int, a, b float32)
	finish                          func(dst, acc, scale, bias unsafe.Pointer, n int, less int32, rowScale float32)
	max, absMax                     func(x unsafe.Pointer, n int) float32
	exp                             func(dst, x unsafe.Pointer, n int, m float32) float32
	sums                            func(x unsafe.Pointer, n int) (s, q float64)
	dot                             func(w, x unsafe.Pointer, n int) float32
	dotMixed, dotUint8              func(w, x unsafe.Pointer, n int) float32
	dotGroups                       func(w, x unsafe.Pointer, n, group int, scale unsafe.Pointer) float32
	addRows, addUint8, addFloats    func(acc, rows, x unsafe.Pointer, n, stride int)
	dotCodes8, dotCodes16           func(w, x unsafe.Pointer, n int) int32
	moment                          func(s, q, x unsafe.Pointer, n int)
	softmax, descale                func(s unsafe.Pointer, rows, pitch int, m, sum, fade unsafe.Pointer)
	mulRows                         func(s unsafe.Pointer, rows, pitch int, column unsafe.Pointer)
	quantize8, quantize16           func(dst, x unsafe.Pointer, n int, scale float32) int32
	quantizeUint8                   func(dst, x unsafe.Pointer, n int, scale, zero float32)
	span                            func(x unsafe.Pointer, n int) (low, high float32)
	scaleInt8, scaleUint8           func(dst, codes unsafe.Pointer, n, group int, scale, zero unsafe.Pointer, step int)
	scaleFloat8                     func(dst, codes unsafe.Pointer, n, group int, scale, zero unsafe.Pointer, step int, format unsafe.Pointer)
	mixFours, mixEights             func(x unsafe.Pointer, n int)
	mix4, mix2                      func(x unsafe.Pointer, n, step int, factor float32)
	transposeBytes                  func(dst, src unsafe.Pointer, pitch, stride, n int)
	unpackBits                      func(dst, src unsafe.Pointer, n, step int, spread, terms unsafe.Pointer, count int, minus uint32)
	mixInput, mixWeights, mixOutput func(dst, src unsafe.Pointer, n, step int)
	fromBF16, fromF16               func(dst, src unsafe.Pointer, n int)
	fetch                           func(p unsafe.Pointer, rows, lines, pitch int)
	transpose                       func(dst, offset, src unsafe.Pointer, stride, k int, mask uint32)
	widen, narrow                   func(dst, src unsafe.Pointer, n int)
	interleave, pairCodes, eights   func(dst, src unsafe.Pointer, n, words, stride, pitch int)
	pairRows                        func(dst, even, odd unsafe.Pointer, n int)
}

// move sets the functions of a path that move data.
func (p *path) move(r *routines) {
	p.transpose = func(dst unsafe.Pointer, offset *int32, src unsafe.Pointer, stride, k int, mask uint32) {
		r.transpose(dst, unsafe.Pointer(offset), src, stride, k, mask)
	}
	p.interleave = r.pairCodes
	p.fetch, p.eights = r.fetch, r.eights
	p.mixFours, p.mixEights, p.mix4, p.mix2 = r.mixFours, r.mixEights, r.mix4, r.mix2
	p.unpackBits, p.transposeBytes = r.unpackBits, r.transposeBytes
	p.scaleFloat8 = func(dst []float32, codes []uint8, f *MiniFloat, group int, scale, zero []float32) {
		z, step := zeros(zero)
		r.scaleFloat8(address(dst), address(codes), len(dst), group, address(scale), z, step, unsafe.Pointer(f))
	}
	p.widen = func(dst []int16, src []int8) { r.widen(address(dst), address(src), len(src)) }
}

func onSlice(f func(dst, x unsafe.Pointer, n int, scale float32) int32) func(unsafe.Pointer, []float32, float32) int32 {
	return func(dst unsafe.Pointer, x []float32, scale float32) int32 { return f(dst, address(x), len(x), scale) }
}

// scaleInts is a loop over groups of integers that have a scale each.
func scaleInts[T int8 | uint8](f func(dst, codes unsafe.Pointer, n, group int, scale, zero unsafe.Pointer, step int)) func([]float32, []T, int, []float32, []float32) {
	return func(dst []float32, codes []T, group int, scale, zero []float32) {
		z, step := zeros(zero)
		f(address(dst), address(codes), len(dst), group, address(scale), z, step)
	}
}

// zeros is where zero points begin, and how far they are apart.
func zeros(zero []float32) (at unsafe.Pointer, step int) {
	if zero == nil {
		return unsafe.Pointer(&noZero), 0
	}
	return address(zero), 4
}

func onSix(f func(dst, src unsafe.Pointer, n, step int)) func(unsafe.Pointer, *[6]unsafe.Pointer, int, int) {
	return func(dst unsafe.Pointer, src *[6]unsafe.Pointer, n, step int) { f(dst, unsafe.Pointer(src), n, step) }
}

func dotCodes(f func(w, x unsafe.Pointer, n int) int32) func([]int8, unsafe.Pointer) int32 {
	return func(w []int8, x unsafe.Pointer) int32 { return f(address(w), x, len(w)) }
}

func (r *routines) vectors() vectors {
	return vectors{
		add:    func(dst, a, b []float32) { r.add(address(dst), address(a), address(b), len(dst)) },
		mul:    func(dst, a, b []float32) { r.mul(address(dst), address(a), address(b), len(dst)) },
		mulAdd: func(dst, x, a, b []float32) { r.mulAdd(address(dst), address(x), address(a), address(b), len(dst)) },
		rotate: func(dst, x, c, s []float32) { r.rotate(address(dst), address(x), address(c), address(s), len(dst)) },
		linear: func(dst, x []float32, a, b float32) { r.linear(address(dst), address(x), len(dst), a, b) },
		swish: func(dst, x []float32, a, b float32) {
			if b == 0 { // x may be too large for a square
				r.swish(address(dst), address(x), len(dst), a, b)
			} else {
				r.cubic(address(dst), address(x), len(dst), a, b)
			}
		},
		gelu:     func(dst, x []float32) { r.gelu(address(dst), address(x), len(dst), 0, 0) },
		narrow:   narrowGo,
		sums:     func(x []float32) (s, q float64) { return r.sums(address(x), len(x)) },
		moment:   func(s, q []float64, x []float32) { r.moment(address(s), address(q), address(x), len(s)) },
		max:      func(x []float32) float32 { return r.max(address(x), len(x)) },
		exp:      func(dst, x []float32, m float32) float32 { return r.exp(address(dst), address(x), len(dst), m) },
		absMax:   func(x []float32) float32 { return r.absMax(address(x), len(x)) },
		quantize: onSlice(r.quantize16),
		finish: func(dst []float32, acc []int32, less int32, rowScale float32, scale, bias []float32) {
			r.finish(address(dst), address(acc), address(scale), address(bias), len(dst), less, rowScale)
		},
		dot:        func(w, x []float32) float32 { return r.dot(address(w), address(x), len(w)) },
		dotCodes:   dotCodes(r.dotCodes16),
		fromBF16:   func(dst []float32, src []byte) { r.fromBF16(address(dst), address(src), len(dst)) },
		fromF16:    func(dst []float32, src []byte) { r.fromF16(address(dst), address(src), len(dst)) },
		mixInput:   onSix(r.mixInput),
		mixWeights: onSix(r.mixWeights),
		mixOutput:  onSix(r.mixOutput),
		scaleInt8:  scaleInts[int8](r.scaleInt8),
		scaleUint8: scaleInts[uint8](r.scaleUint8),
		quantize8:  onSlice(r.quantize8),
		quantizeUint8: func(dst []uint8, x []float32, scale, zero float32) {
			r.quantizeUint8(address(dst), address(x), len(x), scale, zero)
		},
		span: func(x []float32) (low, high float32) { return r.span(address(x), len(x)) },
		addFloats: func(acc, rows []float32, x *[4]float32, stride int) {
			r.addFloats(address(acc), address(rows), unsafe.Pointer(x), len(acc), 4*stride)
		},
		dotGroups: func(w []int8, x []float32, group int, scale []float32) float32 {
			return r.dotGroups(address(w), address(x), len(w), group, address(scale))
		},
		dotMixed:  func(w []int8, x []float32) float32 { return r.dotMixed(address(w), address(x), len(w)) },
		dotUint8:  func(w []int8, x []float32) float32 { return r.dotUint8(address(w), address(x), len(w)) },
		addScaled: func(dst, x []float32, a float32) { r.addScaled(address(dst), address(x), len(dst), a, 0) },
		addRows: func(acc []float32, codes unsafe.Pointer, x *[4]float32, stride int) {
			r.addRows(address(acc), codes, unsafe.Pointer(x), len(acc), stride)
		},
		addUint8: func(acc []float32, codes unsafe.Pointer, x *[4]float32, stride int) {
			r.addUint8(address(acc), codes, unsafe.Pointer(x), len(acc), stride)
		},
		softmax: func(s []float32, rows, pitch int, m, sum, fade []float32) {
			r.softmax(address(s), rows, 4*pitch, address(m), address(sum), address(fade))
		},
		mulRows: func(s []float32, rows, pitch int, column []float32) {
			r.mulRows(address(s), rows, 4*pitch, address(column))
		},
		descale: func(s []float32, rows, pitch int, less []int32, row, column []float32) {
			r.descale(address(s), rows, 4*pitch, address(less), address(row), address(column))
		},
	}
}
