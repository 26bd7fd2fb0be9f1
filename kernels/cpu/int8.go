package cpu

import (
	"context"
	"unsafe"
)

// Int8 products follow specs/sdnq-format.md 10.2: each row of activations (for a convolution, each row of its im2col
// matrix) is quantized with xs = max|x|/127, products are summed exactly in int32, and y = (acc*xs)*scale + bias, plus
// sum(xq)*xs*zero where there are zero points. The kernels multiply signed activations by unsigned weights, code+128;
// 128 times the sum of the row takes that back out. Paths without such an instruction (path.double) multiply int16 codes,
// two in a word. Every path gives the same bits.

// windowWords bounds how many words of quantized im2col rows exist at once, for convolutions: 8 MiB.
const windowWords = 2 << 20

// noBias stands for a bias of zeros.
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
	taps := q.taps
	size, per := 1, 4 // bytes of a code, codes of a word
	if q.path.double {
		size, per = 2, 2
	}
	words := (k + per - 1) / per
	batch := min(q.positions, max(maxRows, windowWords/words))
	rows := p.shared.ints(batch * words)
	i8.sums, i8.xs = p.sums.ints(batch), p.scales.floats(batch)
	z := &p.ops.quant
	*z = quantize{q: *q, i8: i8, x: x, dst: address(rows), size: size, row: 4 * words, by: max(1, 32768/max(1, k))}
	q.kernels, q.int8 = &q.path.i8, i8
	q.x, q.taps, q.words, q.per, q.conv = address(rows), 1, words, per, Conv{KH: 1, KW: 1, StrideH: 1, StrideW: 1}
	total, dst := q.positions, q.dst
	for first := 0; first < total && ctx.Err() == nil; first += batch {
		z.first, z.count = first, min(batch, total-first)
		p.run(ctx, (z.count+z.by-1)/z.by, z)
		q.positions, q.dst = z.count, dst[first*n:]
		q.b, q.h, q.w = 1, 1, z.count
		if z.count <= thinRows && !kByN && taps == 1 {
			p.multiplyThin(ctx, q, i8, z.row)
			continue
		}
		q.split(len(p.workers))
		p.run(ctx, q.units(), q)
	}
	*i8, *z = int8Product{}, quantize{}
}

// quantize makes rows of codes of positions first..first+count-1 of a picture: the values under the kernel, tap by tap.
type quantize struct {
	q            product // of the picture
	i8           *int8Product
	x            []float32
	dst          unsafe.Pointer
	size, row    int // bytes of a code and of a row
	first, count int
	by           int
}

func (z *quantize) tile(t int, w *worker) {
	q := &z.q
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
		dst, sum := unsafe.Add(z.dst, i*z.row), int32(0)
		for s, px := range w.rows[:q.taps] {
			part := unsafe.Add(dst, s*q.channels*z.size)
			if px == q.zeros {
				clear(unsafe.Slice((*byte)(part), q.channels*z.size))
				continue
			}
			sum += q.path.quantize(part, unsafe.Slice((*float32)(px), q.channels), scale)
		}
		used := q.taps * q.channels * z.size
		clear(unsafe.Slice((*byte)(unsafe.Add(dst, used)), z.row-used))
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

// pack puts the codes of columns n0..n0+nr-1 and words w0..w1-1 into a panel [w1-w0][nr]: words of four codes+128 or of two
// int16, inputs in the order (tap, channel). What lies beyond the matrix does not count: activations are zero there, or
// results are not used.
func (i8 *int8Product) pack(q *product, w *worker, panel []float32, n0, nr, w0, w1 int) {
	n1 := min(q.n, n0+nr)
	if !i8.kByN {
		i8.packRows(q, w, panel, n0, n1, nr, w0, w1)
		return
	}
	if n1-n0 < nr {
		clear(panel)
	}
	for k := w0 * q.per; k < min(w1*q.per, i8.k); {
		tap, c := k/i8.c, k%i8.c
		words := min(w1*q.per-k, i8.c-c) / q.per // in one tap
		dst := unsafe.Pointer(&panel[(k/q.per-w0)*nr])
		if words > 0 {
			q.path.interleave(dst, unsafe.Pointer(&i8.codes[(c*i8.taps+tap)*q.n+n0]), n1-n0, words, i8.taps*q.n, 4*nr)
			k += words * q.per
			continue
		}
		i8.packWord(q, dst, k, n0, n1)
		k += q.per
	}
}

// packWord packs one word of each column that begins with input k, in whatever taps its inputs are.
func (i8 *int8Product) packWord(q *product, dst unsafe.Pointer, k, n0, n1 int) {
	for r := range q.per {
		for n := n0; n < n1; n++ {
			var code int8
			if at := k + r; at < i8.k {
				code = i8.codes[(at%i8.c*i8.taps+at/i8.c)*q.n+n]
			}
			if q.path.double {
				*at[int16](dst, 4*(n-n0)+2*r) = int16(code)
			} else {
				*at[uint8](dst, 4*(n-n0)+r) = uint8(code) ^ 0x80
			}
		}
	}
}

// packRows reads codes stored [N, K], eight rows at a time, and transposes their words.
func (i8 *int8Product) packRows(q *product, w *worker, panel []float32, n0, n1, nr, w0, w1 int) {
	mask := uint32(0x80808080)
	if q.path.double {
		mask = 0
	}
	words := w1 - w0
	w.place(words, 1, words, nr)
	inPlace := !q.path.double && i8.taps == 1 && i8.k%4 == 0
	for n := n0; n < n0+nr; n += 8 {
		dst := unsafe.Pointer(&panel[n-n0])
		if n+8 <= n1 && inPlace {
			q.path.transpose(dst, &w.offset[0], unsafe.Pointer(&i8.codes[n*i8.k+4*w0]), i8.k, words, mask)
			continue
		}
		block := w.block.ints(8 * words)
		clear(block)
		for i := range min(8, n1-n) {
			i8.arrange(q, w, address(block[i*words:]), i8.codes[(n+i)*i8.k:(n+i+1)*i8.k], w0*q.per, min(i8.k, w1*q.per))
		}
		q.path.transpose(dst, &w.offset[0], address(block), 4*words, words, mask)
	}
}

// arrange copies inputs k0..k1-1, in the order (tap, channel), of a row of codes in the order (channel, tap) to dst, as the
// path stores codes.
func (i8 *int8Product) arrange(q *product, w *worker, dst unsafe.Pointer, row []int8, k0, k1 int) {
	if i8.taps == 1 {
		row = row[k0:k1]
	} else {
		sorted := unsafe.Slice((*int8)(address(w.wide.bytes(k1-k0))), k1-k0)
		for k := k0; k < k1; k++ {
			sorted[k-k0] = row[k%i8.c*i8.taps+k/i8.c]
		}
		row = sorted
	}
	if q.path.double {
		q.path.widen(unsafe.Slice((*int16)(dst), len(row)), row)
	} else {
		copy(unsafe.Slice((*int8)(dst), len(row)), row)
	}
}

// finish writes a tile of sums to dst.
func (i8 *int8Product) finish(q *product, acc []int32, pos, mr, n0, nr int) {
	for i := range mr {
		i8.finishRow(q, acc[i*nr:], pos+i, n0, min(q.n, n0+nr))
	}
}

// finishRow writes the sums of row pos and columns n0..n1-1 to dst.
func (i8 *int8Product) finishRow(q *product, acc []int32, pos, n0, n1 int) {
	dst := q.dst[pos*q.n+n0 : pos*q.n+n1]
	xs, sum := i8.xs[pos], i8.sums[pos]
	less := 128 * sum // of the codes' offset
	if q.path.double {
		less = 0
	}
	for len(dst) > 0 {
		n := min(len(dst), len(noBias))
		bias := noBias[:n]
		if q.bias != nil {
			bias = q.bias[n0 : n0+n]
		}
		q.path.finish(dst[:n], acc[:n], less, xs, i8.scale[n0:n0+n], bias)
		if i8.zero != nil {
			f := float32(sum) * xs
			for j, z := range i8.zero[n0 : n0+n] {
				dst[j] += f * z
			}
		}
		dst, acc, n0 = dst[n:], acc[n:], n0+n
	}
}
