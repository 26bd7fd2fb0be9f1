package cpu

import (
	"context"
	"unsafe"
)

// How products are computed. MatMul and Conv2D are one algorithm: dst[pos, n] = bias[n] + sum over taps t and channels c of
// x[pixel(pos,t), c] * w[n, c, t], where a matrix product has one tap and pixel(pos,0) = pos. Columns of dst are cut into
// panels of up to four registers, positions into chunks; a worker takes a panel and a chunk, unpacks that part of the
// weights, a block of channels at a time, transposes it into a buffer that stays in its L2 cache, and runs a tile kernel
// over the positions. The kernel reads the activations where they lie, through a table of pointers to pixels; a tap
// outside the picture points to zeros. So there is no im2col and no padded copy, and a tile may span picture rows.

// maxBlock is how many words a row of a panel block may have, all taps together: 1536 x 64 columns are 384 KiB.
const maxBlock = 1536

// Conv is the shape of a convolution's kernel: its size, strides and zero padding.
type Conv struct {
	KH, KW, StrideH, StrideW int
	Top, Left, Bottom, Right int
}

// Out is the height and width that a picture of h x w gets.
func (c Conv) Out(h, w int) (oh, ow int) {
	return (h+c.Top+c.Bottom-c.KH)/c.StrideH + 1, (w+c.Left+c.Right-c.KW)/c.StrideW + 1
}

// product is the state of one call.
type product struct {
	path    *path
	kernels *tiles
	weights Weights
	bias    []float32
	dst     []float32
	n       int // columns of dst

	x        unsafe.Pointer // pixels of words words
	zeros    unsafe.Pointer
	b, h, w  int
	oh, ow   int
	conv     Conv
	taps     int
	channels int
	words    int // 32-bit words of a pixel
	per      int // channels in a word

	positions     int
	strips        int
	panels, block int
	chunk         int

	int8 *int8Product // nil for float products
}

// MatMul computes dst[m, N] = x[m, K] · wᵀ + bias, w being [N, K] and bias [N] or nil.
func MatMul(ctx context.Context, p *Pool, dst, x []float32, m int, w Weights, bias []float32, prec Precision) {
	n, k := w.Dims()
	check("MatMul", "dst", len(dst), m*n)
	check("MatMul", "x", len(x), m*k)
	p.multiply(ctx, dst, x, 1, 1, m, k, w, Conv{KH: 1, KW: 1, StrideH: 1, StrideW: 1}, bias, prec)
}

// Conv2D convolves x [b, h, w, c] with k into dst [b, oh, ow, O]. k is [O, C*KH*KW], columns in the order (c, ky, kx) as in
// checkpoints, bias is [O] or nil.
func Conv2D(ctx context.Context, p *Pool, dst, x []float32, b, h, w, c int, k Weights, cv Conv, bias []float32, prec Precision) {
	o, cols := k.Dims()
	oh, ow := cv.Out(h, w)
	check("Conv2D", "a row of weights", cols, c*cv.KH*cv.KW)
	check("Conv2D", "dst", len(dst), b*oh*ow*o)
	check("Conv2D", "x", len(x), b*h*w*c)
	p.multiply(ctx, dst, x, b, h, w, c, k, cv, bias, prec)
}

func (p *Pool) multiply(ctx context.Context, dst, x []float32, b, h, w, c int, k Weights, cv Conv, bias []float32, prec Precision) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, _ := k.Dims()
	oh, ow := cv.Out(h, w)
	if n == 0 || b*oh*ow <= 0 {
		return
	}
	if bias != nil {
		check("MatMul or Conv2D", "bias", len(bias), n)
	}
	q := &p.ops.product
	*q = product{
		path: active, kernels: &active.f32, weights: k, bias: bias, dst: dst, n: n, x: address(x), b: b, h: h, w: w, oh: oh, ow: ow,
		conv: cv, taps: cv.KH * cv.KW, channels: c, words: c, per: 1, positions: b * oh * ow,
	}
	defer q.release()
	if c == 0 {
		q.taps = 0
	}
	codes, _ := k.(Int8Weights)
	switch {
	case prec == Int8 && codes != nil && c > 0:
		p.multiplyInt8(ctx, q, x, codes)
		return
	case q.positions <= thinRows && q.plain() && c > 0:
		p.multiplyThin(ctx, q, nil, 4*c)
		return
	case prec == BF16:
		p.toBF16(ctx, q, x)
	}
	q.zeros = address(p.zeros(q.words))
	q.split(len(p.workers))
	p.run(ctx, q.units(), q)
}

// release drops the pointers to the caller's memory.
func (q *product) release() { *q = product{} }

// split chooses panels and chunks for a number of workers.
func (q *product) split(workers int) {
	q.strips = (q.n + q.path.lanes - 1) / q.path.lanes
	q.panels = (q.strips + q.path.strips - 1) / q.path.strips
	if q.panels < 8*workers { // few panels: the same number for each worker
		q.panels = min(q.strips, (q.panels+workers-1)/workers*workers)
	}
	chunks := 1
	if q.panels < 4*workers { // each chunk unpacks the weights anew, which 256 positions pay for
		chunks = max(1, min(q.positions/256, (4*workers+q.panels-1)/q.panels))
	}
	q.chunk = (q.positions + chunks - 1) / chunks
	q.block = q.words
	if limit := max(4, maxBlock/max(1, q.taps)&^3); q.int8 == nil && q.words > limit {
		blocks := (q.words + limit - 1) / limit
		q.block = min(limit, ((q.words+blocks-1)/blocks+3)&^3)
		if q.taps == 1 { // leaves chunks of 256 columns whole, which rotated weights are unpacked in
			q.block = 1024
		}
	}
}

// units is the number of tiles of the task.
func (q *product) units() int {
	return q.panels * ((q.positions + q.chunk - 1) / q.chunk)
}

// tile computes one panel of columns for one chunk of positions.
func (q *product) tile(t int, w *worker) {
	panel, first := t%q.panels, t/q.panels*q.chunk
	strip0, strip1 := panel*q.strips/q.panels, (panel+1)*q.strips/q.panels
	n0, nr := strip0*q.path.lanes, (strip1-strip0)*q.path.lanes
	last := min(q.positions, first+q.chunk)
	for w0 := 0; w0 < max(1, q.words); w0 += max(1, q.block) {
		w1 := min(q.words, w0+q.block)
		b := q.pack(w, n0, nr, w0, w1)
		q.rows(w, b, first, last, n0, nr, w0, w1)
	}
}

// rows runs the kernels of a packed panel over positions first..last-1.
func (q *product) rows(w *worker, b unsafe.Pointer, first, last, n0, nr, w0, w1 int) {
	strips := nr / q.path.lanes
	a := &w.args
	init := w.bias.floats(nr)
	clear(init)
	if q.bias != nil && q.int8 == nil {
		copy(init, q.bias[n0:min(q.n, n0+nr)])
	}
	if need := max(1, q.taps) * maxRows; len(w.rows) < need {
		w.rows = make([]unsafe.Pointer, need)
	}
	whole := n0+nr <= q.n && q.int8 == nil
	for pos := first; pos < last; {
		mr := min(q.path.rows[strips], last-pos)
		q.point(w.rows, pos, mr)
		*a = tileArgs{
			rows: address(w.rows), taps: q.taps, off: 4 * w0, k: w1 - w0, step: 4, b: b, pitch: 4 * q.n,
			init: address(init), mr: mr, nr: nr,
		}
		if w0 > 0 {
			a.init = nil
		}
		kernel := q.kernels[strips][mr]
		switch {
		case q.taps == 0: // no inputs at all
			for i := range mr {
				copy(q.dst[(pos+i)*q.n+n0:(pos+i)*q.n+min(q.n, n0+nr)], init)
			}
		case whole:
			a.c = unsafe.Pointer(&q.dst[pos*q.n+n0])
			kernel(a)
		case q.int8 != nil:
			acc := w.out.ints(mr * nr)
			a.c, a.pitch = address(acc), 4*nr
			kernel(a)
			q.int8.finish(q, acc, pos, mr, n0, nr)
		default:
			q.part(w, kernel, pos, mr, n0, nr)
		}
		pos += mr
	}
	clear(w.rows)
}

// part runs a kernel whose panel is wider than what is left of dst's row, through a copy.
func (q *product) part(w *worker, kernel tileFunc, pos, mr, n0, nr int) {
	out, cols := w.out.floats(mr*nr), q.n-n0
	clear(out)
	for i := range mr {
		copy(out[i*nr:], q.dst[(pos+i)*q.n+n0:][:cols])
	}
	w.args.c, w.args.pitch = address(out), 4*nr
	kernel(&w.args)
	for i := range mr {
		copy(q.dst[(pos+i)*q.n+n0:][:cols], out[i*nr:])
	}
}

// plain reports that position i is pixel i.
func (q *product) plain() bool {
	return q.taps == 1 && q.conv.StrideH == 1 && q.conv.StrideW == 1 && q.positions == q.b*q.h*q.w
}

// point fills the table of pixels for positions pos..pos+mr-1.
func (q *product) point(rows []unsafe.Pointer, pos, mr int) {
	size := 4 * q.words
	if q.plain() {
		for i := range mr {
			rows[i] = unsafe.Add(q.x, (pos+i)*size)
		}
		return
	}
	b, oy, ox := pos/(q.oh*q.ow), pos/q.ow%q.oh, pos%q.ow
	for i := range mr {
		y0, x0 := oy*q.conv.StrideH-q.conv.Top, ox*q.conv.StrideW-q.conv.Left
		at := i
		for y := y0; y < y0+q.conv.KH; y++ {
			row := ((b*q.h+y)*q.w + x0) * size
			for x := x0; x < x0+q.conv.KW; x++ {
				if uint(y) < uint(q.h) && uint(x) < uint(q.w) {
					rows[at] = unsafe.Add(q.x, row)
				} else {
					rows[at] = q.zeros
				}
				at += mr
				row += size
			}
		}
		if ox++; ox == q.ow {
			ox = 0
			if oy++; oy == q.oh {
				oy, b = 0, b+1
			}
		}
	}
}

// zeros returns n zeros that stay zero.
func (p *Pool) zeros(n int) []float32 {
	if len(p.zero) < n {
		p.zero = make([]float32, n+n/4+slack)
	}
	return p.zero
}
