package cpu

import (
	"context"
	"unsafe"
)

// Int8 products follow specs/sdnq-format.md 10.2: each row of activations (for a convolution, each row of its im2col
// matrix) is quantized with xs = max|x|/127, products are summed exactly in int32, and y = (acc*xs)*scale + bias, plus
// sum(xq)*xs*zero where there are zero points. The kernels multiply signed activations by unsigned weights, code+128;
// 128 times the sum of the row takes that back out. Every path gives the same bits.

// windowWords bounds how many words of quantized im2col rows exist at once, for convolutions: 8 MiB.
const windowWords = 2 << 20

// noBias stands for a bias of zeros in a tile.
var noBias [maxStrips * maxLanes]float32

type int8Product struct {
	codes       []int8
	kByN        bool
	scale, zero []float32
	k, taps, c  int

	xs   []float32 // scale of each row
	sums []int32   // sum of each quantized row
}

// multiplyInt8 computes a product in int8, so many positions at a time as fit the buffer of quantized rows.
func (p *Pool) multiplyInt8(ctx context.Context, q *product, x []float32, w Int8Weights) {
	n, k := w.Dims()
	i8 := &p.ops.int8
	codes, kByN, scale, zero := w.Int8()
	check("Int8", "codes", len(codes), n*k)
	check("Int8", "scale", len(scale), n)
	*i8 = int8Product{codes: codes, kByN: kByN, scale: scale, zero: zero, k: k, taps: q.taps, c: q.channels}
	if zero != nil {
		check("Int8", "zero", len(zero), n)
	}
	q.zeros = address(p.zeros(q.channels))
	picture := *q
	words := (k + 3) / 4
	batch := min(q.positions, max(maxRows, windowWords/words))
	rows := p.shared.ints(batch * words)
	i8.sums, i8.xs = p.sums.ints(batch), p.scales.floats(batch)
	z := &p.ops.quant
	*z = quantize{q: &picture, i8: i8, x: x, dst: unsafe.Slice((*int8)(address(rows)), 4*batch*words), row: 4 * words, by: max(1, 32768/max(1, k))}
	q.kernels, q.int8 = &q.path.i8, i8
	q.x, q.taps, q.words, q.per, q.conv = address(rows), 1, words, 4, Conv{KH: 1, KW: 1, StrideH: 1, StrideW: 1}
	total, dst := q.positions, q.dst
	for first := 0; first < total && ctx.Err() == nil; first += batch {
		z.first, z.count = first, min(batch, total-first)
		p.run(ctx, (z.count+z.by-1)/z.by, z)
		q.positions, q.dst = z.count, dst[first*n:]
		q.b, q.h, q.w = 1, 1, z.count
		q.split(len(p.workers))
		p.run(ctx, q.units(), q)
	}
	*i8, *z = int8Product{}, quantize{}
}

// quantize makes rows of int8 of positions first..first+count-1 of a picture: the values under the kernel, tap by tap.
type quantize struct {
	q            *product // of the picture
	i8           *int8Product
	x            []float32
	dst          []int8
	row          int // bytes
	first, count int
	by           int
}

func (z *quantize) tile(t int, w *worker) {
	q := z.q
	if need := q.taps; len(w.rows) < need {
		w.rows = make([]unsafe.Pointer, max(need, maxRows))
	}
	for i := t * z.by; i < min(z.count, (t+1)*z.by); i++ {
		q.point(w.rows, z.first+i, 1)
		var top float32
		for _, px := range w.rows[:q.taps] {
			if px != q.zeros {
				top = larger(top, q.path.absMax(unsafe.Slice((*float32)(px), q.channels)))
			}
		}
		scale := top / 127
		dst, sum := z.dst[i*z.row:(i+1)*z.row], int32(0)
		for s, px := range w.rows[:q.taps] {
			part := dst[s*q.channels:][:q.channels]
			if px == q.zeros {
				clear(part)
				continue
			}
			sum += q.path.quantize(part, unsafe.Slice((*float32)(px), q.channels), scale)
		}
		clear(dst[q.taps*q.channels:])
		z.i8.xs[i], z.i8.sums[i] = scale, sum
	}
	clear(w.rows)
}

// larger is the larger of two absolute values, NaN if one is.
func larger(a, b float32) float32 {
	if a >= b || a != a {
		return a
	}
	return b
}

// pack puts codes+128 of columns n0..n0+nr-1 into the worker's panel, words of four inputs in the order (tap, channel).
func (i8 *int8Product) pack(q *product, w *worker, n0, nr int) unsafe.Pointer {
	words := (i8.k + 3) / 4
	panel := w.panel.ints(words * nr)
	n1 := min(q.n, n0+nr)
	switch {
	case i8.kByN:
		i8.packColumns(q, w, panel, n0, n1, nr)
	case i8.taps == 1 && i8.k%4 == 0:
		i8.packRows(q, w, panel, n0, n1, nr)
	default:
		clear(panel)
		bytes := unsafe.Slice((*uint8)(address(panel)), 4*len(panel))
		for n := n0; n < n1; n++ {
			row, at := i8.codes[n*i8.k:(n+1)*i8.k], 0
			for t := range i8.taps {
				for j := t; j < i8.k; j += i8.taps {
					bytes[(at>>2*nr+n-n0)<<2+at&3] = uint8(row[j]) ^ 0x80
					at++
				}
			}
		}
	}
	return address(panel)
}

// packColumns reads codes stored [K, N], four rows at a time.
func (i8 *int8Product) packColumns(q *product, w *worker, panel []int32, n0, n1, nr int) {
	none := unsafe.Slice((*int8)(address(w.out.floats(nr))), nr)
	for i := range none {
		none[i] = -128 // becomes 0
	}
	if n1-n0 < nr {
		clear(panel)
	}
	for word := range len(panel) / nr {
		for j := range 4 {
			w.quad[j] = address(none)
			if at := 4*word + j; at < i8.k {
				k := at%i8.c*i8.taps + at/i8.c
				w.quad[j] = unsafe.Pointer(&i8.codes[k*q.n+n0])
			}
		}
		q.path.interleave(unsafe.Pointer(&panel[word*nr]), &w.quad, n1-n0)
	}
	clear(w.quad[:])
}

// packRows reads codes stored [N, K] as words of four.
func (i8 *int8Product) packRows(q *product, w *worker, panel []int32, n0, n1, nr int) {
	words := i8.k / 4
	w.place(words, 1, words, nr)
	for n := n0; n < n0+nr; n += 8 {
		src := unsafe.Pointer(unsafe.SliceData(i8.codes[min(n, q.n-1)*i8.k:]))
		if n+8 > n1 { // the last rows, and none
			block := w.block.bytes(8 * i8.k)
			clear(block)
			for i := n; i < n1; i++ {
				copy(block[(i-n)*i8.k:], unsafe.Slice((*byte)(unsafe.Pointer(&i8.codes[i*i8.k])), i8.k))
			}
			src = address(block)
		}
		q.path.transpose(unsafe.Pointer(&panel[n-n0]), &w.offset[0], src, i8.k, words, 0x80808080)
	}
}

// finish writes a tile of sums to dst.
func (i8 *int8Product) finish(q *product, acc []int32, pos, mr, n0, nr int) {
	n1 := min(q.n, n0+nr)
	for i := range mr {
		dst := q.dst[(pos+i)*q.n+n0 : (pos+i)*q.n+n1]
		xs, sum := i8.xs[pos+i], i8.sums[pos+i]
		bias := noBias[:len(dst)]
		if q.bias != nil {
			bias = q.bias[n0:n1]
		}
		q.path.finish(dst, acc[i*nr:][:len(dst)], 128*sum, xs, i8.scale[n0:n1], bias)
		if i8.zero != nil {
			f := float32(sum) * xs
			for j, z := range i8.zero[n0:n1] {
				dst[j] += f * z
			}
		}
	}
}
