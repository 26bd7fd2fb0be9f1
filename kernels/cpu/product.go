package cpu

import (
	"context"
	"unsafe"
)

// How products are computed. MatMul and Conv2D are one algorithm: dst[pos, n] = bias[n] + sum over taps t and channels c of
// x[pixel(pos,t), c] * w[n, c, t], where a matrix product has one tap and pixel(pos,0) = pos. Columns of dst are cut into
// panels, positions into chunks; a worker takes a panel and a chunk, unpacks that part of the weights, a block of channels
// at a time, transposes it into a buffer that stays in its L2 cache, and takes a few positions at a time, whose activations
// stay in its L1 cache while tile kernels run over the strips of the panel. The kernel reads the activations where they
// lie, through a table of pointers to pixels; a tap outside the picture points to zeros. So there is no im2col and no padded
// copy, and a tile may span picture rows.

const (
	// panelColumns is how many columns a panel has at most.
	panelColumns = 64
	// maxBlock is how many words a row of a panel block may have, all taps together: with 64 columns they are 256 KiB.
	maxBlock = 1024
	// chunkRows is how many positions pay for unpacking the weights once more.
	chunkRows = 512
)

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

	positions int
	strips    int // of all columns
	panels    int
	block     int // words
	chunk     int

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
	codes, coded := k.(Int8Weights)
	if coded && prec == Int8 { // a kind of weights that may have codes; these have none after all
		have, _, _, _ := codes.Int8()
		coded = have != nil
	}
	switch {
	case prec == Int8 && coded && c > 0:
		p.multiplyInt8(ctx, q, x, codes)
		return
	case q.positions <= thinRows && q.plain() && c > 0:
		p.multiplyThin(ctx, q, nil, 0)
		return
	case prec == BF16 && !q.path.hasBF16() && q.suits():
		p.multiplyWinograd(ctx, q)
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

// split chooses panels, blocks and chunks for a number of workers.
func (q *product) split(workers int) {
	q.strips = (q.n + q.path.lanes - 1) / q.path.lanes
	q.chunk = q.positions
	for width := panelColumns / q.path.lanes; ; width -= q.path.strips {
		q.panels = (q.strips + width - 1) / width
		missing := (4*workers + q.panels - 1) / q.panels // so many chunks keep all workers busy
		chunks := max(1, min(missing, q.positions/chunkRows))
		q.chunk = (q.positions + chunks - 1) / chunks
		if chunks >= missing || width <= q.path.strips {
			break // else narrower panels help
		}
	}
	q.block = q.words
	if limit := max(4, maxBlock/max(1, q.taps)&^3); q.words > limit {
		blocks := (q.words + limit - 1) / limit
		q.block = min(limit, ((q.words+blocks-1)/blocks+3)&^3)
		if q.taps == 1 { // leaves chunks of 256 columns whole, which rotated weights are unpacked in
			q.block = maxBlock
		}
		if q.int8 != nil {
			q.chunk = min(q.chunk, chunkRows) // their sums are kept
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
	// Panels are whole tiles wide, but for the last.
	tiles := (q.strips + q.path.strips - 1) / q.path.strips
	strip0, strip1 := panel*tiles/q.panels*q.path.strips, min(q.strips, (panel+1)*tiles/q.panels*q.path.strips)
	last := min(q.positions, first+q.chunk)
	for w0 := 0; w0 < max(1, q.words); w0 += max(1, q.block) {
		w1 := min(q.words, w0+q.block)
		p := part{q: q, w: w, strip0: strip0, strip1: strip1, w0: w0, w1: w1, n0: strip0 * q.path.lanes, first: first}
		p.nr = (strip1 - strip0) * q.path.lanes
		p.n1 = min(q.n, p.n0+p.nr)
		p.pack()
		p.rows(last)
	}
}

// part is a panel of columns n0..n1-1 with a block of words w0..w1-1 of its weights, for positions from first on.
type part struct {
	q              *product
	w              *worker
	strip0, strip1 int
	w0, w1         int
	n0, n1, nr     int // nr is n1-n0 in whole strips
	first          int
	panel          unsafe.Pointer
}

// pack packs the weights, tile by tile.
func (p *part) pack() {
	q, words := p.q, p.q.taps*(p.w1-p.w0)
	if words == 0 { // no inputs
		return
	}
	p.panel = address(p.w.panel.floats(words * p.nr))
	p.each(func(n, nr int) {
		panel := unsafe.Slice((*float32)(p.tilePanel(n)), words*nr)
		if q.int8 != nil {
			q.int8.pack(q, p.w, panel, n, nr, p.w0, p.w1)
		} else {
			q.pack(p.w, panel, n, nr, p.w0, p.w1)
		}
	})
}

// tilePanel is where the packed weights of the columns from n on are.
func (p *part) tilePanel(n int) unsafe.Pointer {
	return unsafe.Add(p.panel, 4*(n-p.n0)*max(1, p.q.taps)*(p.w1-p.w0))
}

// each calls f for the first column and the number of columns, in whole strips, of every tile of the panel.
func (p *part) each(f func(n, nr int)) {
	for s := p.strip0; s < p.strip1; s += p.q.path.strips {
		f(s*p.q.path.lanes, min(p.q.path.strips, p.strip1-s)*p.q.path.lanes)
	}
}

// rows runs the tile kernels over positions first..last-1.
func (p *part) rows(last int) {
	q, w := p.q, p.w
	bias := w.bias.floats(p.nr)
	clear(bias)
	if q.bias != nil && q.int8 == nil {
		copy(bias, q.bias[p.n0:p.n1])
	}
	step := q.path.rows[q.path.strips]
	if need := max(1, q.taps) * maxRows; len(w.rows) < need {
		w.rows = make([]unsafe.Pointer, need)
	}
	var sums []int32
	if q.int8 != nil {
		if q.block < q.words { // the sums of all positions wait for the last block
			sums = w.out.ints((last - p.first) * p.nr)
		} else {
			sums = w.out.ints(step * p.nr)
		}
	}
	for pos := p.first; pos < last; pos += step {
		mr := min(step, last-pos)
		q.point(w.rows, pos, mr)
		switch {
		case q.int8 != nil:
			acc := sums
			if q.block < q.words {
				acc = sums[(pos-p.first)*p.nr:]
			}
			if p.w1 == q.words { // its results will be written soon
				q.path.fetch(unsafe.Pointer(&q.dst[pos*q.n+p.n0]), mr, (p.n1-p.n0+15)/16, 4*q.n)
			}
			p.sums(acc, mr)
			if p.w1 == q.words {
				q.int8.finish(q, acc, pos, mr, p.n0, p.nr)
			}
		case q.taps == 0: // no inputs at all
			for i := range mr {
				copy(q.dst[(pos+i)*q.n+p.n0:(pos+i)*q.n+p.n1], bias)
			}
		default:
			p.each(func(n, nr int) {
				init := bias[n-p.n0:]
				if n+nr <= q.n {
					p.kernel(unsafe.Pointer(&q.dst[pos*q.n+n]), q.n, init, n, nr, mr)
				} else {
					p.narrow(init, n, nr, pos, mr)
				}
			})
		}
	}
	clear(w.rows)
}

// kernel runs the kernel of columns n..n+nr-1 on mr positions into c, whose rows are pitch words apart.
func (p *part) kernel(c unsafe.Pointer, pitch int, init []float32, n, nr, mr int) {
	q, a := p.q, &p.w.args
	*a = tileArgs{
		rows: address(p.w.rows), taps: q.taps, off: 4 * p.w0, k: p.w1 - p.w0, step: 4, b: p.tilePanel(n), c: c, pitch: 4 * pitch,
		init: address(init), mr: mr, nr: nr,
	}
	if p.w0 > 0 {
		a.init = nil
	}
	q.kernels[nr/q.path.lanes][mr](a)
}

// sums adds the products of int8 words to acc [mr][nr].
func (p *part) sums(acc []int32, mr int) {
	p.each(func(n, nr int) { p.kernel(unsafe.Pointer(&acc[n-p.n0]), p.nr, p.w.zero[:], n, nr, mr) })
}

// narrow runs a kernel that is wider than what is left of dst's rows, through a copy.
func (p *part) narrow(init []float32, n, nr, pos, mr int) {
	q, cols := p.q, p.q.n-n
	out := p.w.out.floats(mr * nr)
	clear(out)
	for i := range mr {
		copy(out[i*nr:], q.dst[(pos+i)*q.n+n:][:cols])
	}
	p.kernel(address(out), nr, init, n, nr, mr)
	for i := range mr {
		copy(q.dst[(pos+i)*q.n+n:][:cols], out[i*nr:])
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
