package cpu

import (
	"context"
	"math"
	"unsafe"
)

// Rounding is how a product in Rounded quantizes activations, a row at a time (for a convolution, of its im2col matrix;
// specs/sdnq-format.md 10.2, step 3).
type Rounding uint8

const (
	// Unrounded is of weights that no such product is of.
	Unrounded Rounding = iota
	// Float8 rounds to float8_e4m3fn times max|x|/448.
	Float8
	// Float16 rounds to IEEE binary16 times max|x|/65504.
	Float16
	// Uint8 makes codes of eight bits of [min, max]. They are multiplied as int8 ones are, with half the range taken off them.
	Uint8
)

// floatRounding is a float format: its largest number, mantissa bits, and smallest normal number.
type floatRounding struct {
	most float32
	bits int
	tiny float32
}

var floatRoundings = [...]floatRounding{Float8: {448, 3, 0x1p-6}, Float16: {65504, 10, 0x1p-14}}

// RowScale is the scale that a row is rounded with.
func (r Rounding) RowScale(x []float32) float32 { return active.absMax(x) / floatRoundings[r].most }

// Round rounds a row, in place, to numbers of the format times scale; NaN becomes 0.
func (r Rounding) Round(x []float32, scale float32) {
	f := &floatRoundings[r]
	drop := 23 - f.bits
	half, mask := uint32(1)<<(drop-1)-1, uint32(1)<<drop-1
	magic := 1.5 * f.tiny * float32(int(1)<<drop) // its last bit is the smallest subnormal number
	most, tiny := math.Float32bits(f.most), math.Float32bits(f.tiny)
	for i, v := range x {
		v /= scale
		u := math.Float32bits(v)
		sign := u & (1 << 31)
		switch u &^= sign; {
		case u > 0x7f800000: // NaN
			v = 0
		case u < tiny:
			v = (v + magic) - magic
		default:
			u = min(u, most)
			v = math.Float32frombits((u+half+u>>drop&1)&^mask | sign)
		}
		x[i] = v * scale
	}
}

// Uint8Span is scale and zero point of a row's codes: x = zero + code*scale, codes -128 to 127.
func Uint8Span(x []float32) (scale, zero float32) {
	low, high := active.span(x)
	scale = (high - low) / 255
	return scale, low + float32(128*scale)
}

// unfold is a task that gathers what is under the kernel at positions: rows of the im2col matrix, in the order of the weights.
type unfold struct {
	q            product // of the picture
	dst          []float32
	first, count int
}

func (u *unfold) tile(t int, w *worker) {
	q := &u.q
	if len(w.rows) < q.taps {
		w.rows = make([]unsafe.Pointer, max(q.taps, maxRows))
	}
	for i := t * maxRows; i < min(u.count, (t+1)*maxRows); i++ {
		q.point(w.rows, u.first+i, 1)
		row := u.dst[i*q.taps*q.channels:]
		for tap, px := range w.rows[:q.taps] {
			for c, v := range unsafe.Slice((*float32)(px), q.channels) {
				row[c*q.taps+tap] = v
			}
		}
	}
	clear(w.rows)
}

// multiplyUnfolded computes a convolution as matrix products with the im2col matrix, some rows at a time.
func (p *Pool) multiplyUnfolded(ctx context.Context, q *product, x Rows, prec Precision) {
	p.toFloats(ctx, q, x)
	q.zeros = address(p.zeros(q.channels))
	u, k := &p.ops.unfold, q.taps*q.channels
	*u = unfold{q: *q}
	q.epilogue.pieces(ctx, q.positions, q.n, q.images, func(first, count int, e Epilogue) {
		u.dst, u.first, u.count = p.unfolded.floats(count*k), first, count
		p.run(ctx, (count+maxRows-1)/maxRows, u)
		p.multiply(ctx, u.q.dst[first*u.q.n:], Floats(u.dst, count, k), [4]int{1, 1, 1, count}, u.q.weights, one, prec, e)
	})
	*u = unfold{}
}

// asMatrix says that a quantized convolution is computed as SDNQ does it, by its im2col matrix, because there is no other way.
func asMatrix(w Weights, prec Precision) bool {
	if prec < Rounded {
		return false
	}
	if f, ok := w.(FactoredWeights); ok && f.Factors().Base != nil {
		return true
	}
	if r, ok := w.(RoundedWeights); ok && prec == Rounded {
		_, form, _ := r.Rounded()
		return form != Unrounded
	}
	return false
}
