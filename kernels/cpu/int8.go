package cpu

import (
	"context"
	"unsafe"
)

// Int8 products follow specs/sdnq-format.md 10.2: each row of activations (for a convolution, each row of its im2col
// matrix) is quantized with xs = max|x|/127, products are summed exactly in int32, and y = (acc*xs)*scale + bias, plus
// sum(xq)*xs*zero where there are zero points. Where the kernels multiply signed activations by unsigned weights,
// code+128 (path.offset), 128 times the sum of the row takes that back out. Paths without products of bytes (path.double)
// multiply int16 codes, two in a word. Every path gives the same bits.

// windowWords bounds how many words of quantized im2col rows exist at once, for convolutions: 8 MiB.
const windowWords = 2 << 20

// noBias stands for a bias of zeros.
var noBias [maxStrips * maxLanes]float32

type int8Product struct {
	codes       []int8
	kByN        bool
	scale, zero []float32
	taps, c     int // of the weights: their inputs are in the order (channel, tap)

	factors []factors // of each position, nil where they follow its row of codes
	grouped *grouped  // nil for codes with one scale a row
}

// multiplyInt8 computes a product of codes.
func (p *Pool) multiplyInt8(ctx context.Context, q *product, x Rows, w Int8Weights, prec Precision) {
	n, k := w.Dims()
	codes, kByN, scale, zero := w.Int8()
	check("Int8", "codes", len(codes), n*k)
	check("Int8", "scale", len(scale), n)
	if zero != nil {
		check("Int8", "zero", len(zero), n)
	}
	i8 := &p.ops.int8
	*i8 = int8Product{codes: codes, kByN: kByN, scale: scale, zero: zero, taps: q.taps, c: q.channels}
	q.kernels, q.int8, q.per = &q.path.i8, i8, 4/q.path.codeSize()
	switch {
	case q.taps > 1 && prec == Int8Fast:
		p.multiplyImages(ctx, q, x)
	case x.Format >= Int8Rows && q.plain():
		q.words, q.x, q.row = q.path.codeWords(q.channels), address(x.Data), 4*x.Format.Words(x.K)
		p.multiplyCodes(ctx, q)
	default:
		p.multiplyWindows(ctx, q, x)
	}
	*i8 = int8Product{}
}

// multiplyCodes multiplies rows of codes.
func (p *Pool) multiplyCodes(ctx context.Context, q *product) {
	if q.positions <= thinRows && !q.int8.kByN && q.int8.taps == 1 {
		p.multiplyThin(ctx, q, q.int8)
		return
	}
	q.split(len(p.workers))
	p.run(ctx, q.units(), q)
}

// multiplyWindows quantizes what is under the kernel at each position, a row of the im2col matrix, and multiplies that, so
// many positions at a time as the window holds.
func (p *Pool) multiplyWindows(ctx context.Context, q *product, x Rows) {
	p.toFloats(ctx, q, x)
	q.zeros = address(p.zeros(q.channels))
	all := *q
	z, k := &p.ops.quant, q.taps*q.channels
	words := Int8Rows.Words(k)
	batch := min(q.positions, max(maxRows, windowWords/words))
	*z = quantize{q: all, dst: Rows{Format: Int8Rows, Data: p.codes.floats(batch * words), M: batch, K: k}, by: max(1, 32768/max(1, k))}
	q.x, q.row, q.taps, q.words = address(z.dst.Data), 4*words, 1, q.path.codeWords(k)
	q.conv, q.images, q.t, q.h = one, 1, 1, 1
	if all.taps > 1 { // each pixel is under the kernel several times
		z.tops = p.scales.floats(x.M)
		z.find, z.count = true, x.M
		p.run(ctx, (x.M+z.by-1)/z.by, z)
		z.find = false
	}
	for z.first = 0; z.first < all.positions && ctx.Err() == nil; z.first += batch {
		z.count = min(batch, all.positions-z.first)
		p.run(ctx, (z.count+z.by-1)/z.by, z)
		q.from, q.positions, q.w = z.first, z.count, z.count
		p.multiplyCodes(ctx, q)
	}
	*z = quantize{}
}

// multiplyImages is a convolution of codes with one scale a picture, which are quantized once.
func (p *Pool) multiplyImages(ctx context.Context, q *product, x Rows) {
	if x.Format != Int8Images {
		x = p.recast(ctx, &p.codes, x, Int8Images, q.images)
	}
	q.words, q.x, q.row = q.path.codeWords(q.channels), address(x.Data), 4*x.Format.Words(x.K)
	q.zeros = address(p.zeros(q.words))
	b := &p.ops.boxes
	*b = boxes{q: q, dst: p.factors(q.positions), by: 1024}
	p.run(ctx, (q.positions+b.by-1)/b.by, b)
	q.int8.factors = b.dst
	*b = boxes{}
	q.split(len(p.workers))
	p.run(ctx, q.units(), q)
}

// factors returns n of them, of unknown content.
func (p *Pool) factors(n int) []factors {
	v := p.sums.floats(2 * n)
	return unsafe.Slice((*factors)(unsafe.Pointer(unsafe.SliceData(v))), n)
}

// boxes adds up the sums of the pixels under the kernel, for each position.
type boxes struct {
	q   *product
	dst []factors
	by  int
}

func (b *boxes) tile(t int, w *worker) {
	q := b.q
	if len(w.rows) < q.taps {
		w.rows = make([]unsafe.Pointer, max(q.taps, maxRows))
	}
	pixels := q.t * q.h * q.w
	for i := t * b.by; i < min(q.positions, (t+1)*b.by); i++ {
		q.point(w.rows, i, 1)
		image := i / (q.positions / q.images)
		f := factors{scale: at[factors](q.x, image*pixels*q.row+4*q.words).scale}
		for _, px := range w.rows[:q.taps] {
			if px != q.zeros {
				f.sum += at[factors](px, 4*q.words).sum
			}
		}
		b.dst[i] = f
	}
	clear(w.rows)
}

// quantize makes rows of codes of positions first..first+count-1 of a picture: the values under the kernel, tap by tap.
type quantize struct {
	q            product // of the picture
	dst          Rows
	first, count int
	by           int
	tops         []float32 // largest absolute value of each pixel, nil if each is looked at once
	find         bool      // them
}

func (z *quantize) tile(t int, w *worker) {
	if z.find {
		for i := t * z.by; i < min(z.count, (t+1)*z.by); i++ {
			z.tops[i] = z.q.path.absMax(unsafe.Slice((*float32)(unsafe.Add(z.q.x, i*z.q.row)), z.q.channels))
		}
		return
	}
	q, size := &z.q, z.q.path.codeSize()
	if need := q.taps; len(w.rows) < need {
		w.rows = make([]unsafe.Pointer, max(need, maxRows))
	}
	for i := t * z.by; i < min(z.count, (t+1)*z.by); i++ {
		q.point(w.rows, z.first+i, 1)
		var top float32
		for _, px := range w.rows[:q.taps] {
			switch {
			case px == q.zeros:
			case z.tops != nil:
				top = larger(top, z.tops[(uintptr(px)-uintptr(q.x))/uintptr(q.row)])
			default:
				top = larger(top, q.path.absMax(unsafe.Slice((*float32)(px), q.channels)))
			}
		}
		dst, f := z.dst.row(i), factors{scale: top / 127}
		for s, px := range w.rows[:q.taps] {
			part := unsafe.Add(dst, s*q.channels*size)
			if px == q.zeros {
				clear(unsafe.Slice((*byte)(part), q.channels*size))
				continue
			}
			f.sum += q.path.quantize(part, unsafe.Slice((*float32)(px), q.channels), f.scale)
		}
		used, end := q.taps*q.channels*size, 4*q.path.codeWords(z.dst.K)
		clear(unsafe.Slice((*byte)(unsafe.Add(dst, used)), end-used))
		*at[factors](dst, end) = f
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

// pack puts the codes of columns n0..n0+nr-1 and words w0..w1-1 of each tap of the product into a panel [taps][w1-w0][nr]:
// words of four codes + offset or of two int16, inputs in the order (tap, channel). What lies beyond the matrix does not count:
// activations are zero there, or results are not used.
func (i8 *int8Product) pack(q *product, w *worker, panel []float32, n0, nr, w0, w1 int) {
	n1, words := min(q.n, n0+nr), w1-w0
	if i8.kByN && n1-n0 < nr {
		clear(panel)
	}
	if i8.grouped != nil {
		i8.packGroups(q, w, panel, n0, n1, nr, w0*q.per, min(i8.c, w1*q.per))
		return
	}
	inputs := i8.taps * i8.c / q.taps // of a tap: all, where the product is of windows
	for t := range q.taps {
		k0, k1 := t*inputs+w0*q.per, t*inputs+min(inputs, w1*q.per)
		dst := panel[t*words*nr:][:words*nr]
		if i8.kByN {
			i8.packColumns(q, dst, n0, n1, nr, k0, k1)
		} else {
			i8.packRows(q, w, dst, n0, n1, nr, k0, k1)
		}
	}
}

// packColumns packs inputs k0..k1-1 of codes stored [K, N].
func (i8 *int8Product) packColumns(q *product, panel []float32, n0, n1, nr, k0, k1 int) {
	for k := k0; k < k1; {
		tap, c := k/i8.c, k%i8.c
		words := min(k1-k, i8.c-c) / q.per // in one tap
		dst := unsafe.Pointer(&panel[(k-k0)/q.per*nr])
		if words > 0 {
			q.path.interleave(dst, unsafe.Pointer(&i8.codes[(c*i8.taps+tap)*q.n+n0]), n1-n0, words, i8.taps*q.n, 4*nr)
			k += words * q.per
			continue
		}
		i8.packWord(q, dst, k, k1, n0, n1)
		k += q.per
	}
}

// packWord packs one word of each column that begins with input k, in whatever taps its inputs are.
func (i8 *int8Product) packWord(q *product, dst unsafe.Pointer, k, k1, n0, n1 int) {
	for r := range q.per {
		for n := n0; n < n1; n++ {
			var code int8
			if at := k + r; at < k1 {
				code = i8.codes[(at%i8.c*i8.taps+at/i8.c)*q.n+n]
			}
			if q.path.double {
				*at[int16](dst, 4*(n-n0)+2*r) = int16(code)
			} else {
				*at[uint8](dst, 4*(n-n0)+r) = uint8(code) + q.path.offset
			}
		}
	}
}

// packRows packs inputs k0..k1-1 of codes stored [N, K], eight rows at a time, and transposes their words.
func (i8 *int8Product) packRows(q *product, w *worker, panel []float32, n0, n1, nr, k0, k1 int) {
	mask := uint32(q.path.offset) * 0x01010101
	words, k := len(panel)/nr, i8.taps*i8.c
	w.place(words, 1, words, nr)
	inPlace := !q.path.double && i8.taps == 1 && k%4 == 0
	for n := n0; n < n0+nr; n += 8 {
		dst := unsafe.Pointer(&panel[n-n0])
		if n+8 <= n1 && inPlace {
			q.path.transpose(dst, &w.offset[0], unsafe.Pointer(&i8.codes[n*k+k0]), k, words, mask)
			continue
		}
		block := w.block.ints(8 * words)
		clear(block)
		for i := range min(8, n1-n) {
			i8.arrange(q, w, address(block[i*words:]), i8.codes[(n+i)*k:(n+i+1)*k], k0, k1)
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

// factorsOf are the scale and the sum of the codes of a position.
func factorsOf(q *product, pos int) *factors {
	if q.int8.factors != nil {
		return &q.int8.factors[pos]
	}
	return at[factors](q.x, pos*q.row+4*q.words)
}

// finishRow makes results dst of the sums acc of position pos and columns from n0 on. dst may be the memory of acc.
func (i8 *int8Product) finishRow(q *product, dst []float32, acc []int32, pos, n0 int) {
	f := factorsOf(q, pos)
	less := int32(q.path.offset) * f.sum
	for len(dst) > 0 {
		n := min(len(dst), len(noBias))
		bias := noBias[:n]
		if q.epilogue.Bias != nil {
			bias = q.epilogue.Bias[n0 : n0+n]
		}
		q.path.finish(dst[:n], acc[:n], less, f.scale, i8.scale[n0:n0+n], bias)
		if i8.zero != nil {
			s := float32(f.sum) * f.scale
			for j, z := range i8.zero[n0 : n0+n] {
				dst[j] += float32(s * z) // rounded twice: compilers for arm64 would fuse
			}
		}
		if q.epilogue.shifts != nil {
			q.path.addScaled(dst[:n], q.epilogue.rowSums[n0:n0+n], q.epilogue.shifts[pos])
		}
		dst, acc, n0 = dst[n:], acc[n:], n0+n
	}
}
