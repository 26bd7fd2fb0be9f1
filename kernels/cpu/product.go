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

// Conv is the shape of a convolution's kernel: its size, strides and zero padding. A kernel over time as well has KT frames;
// 0 is 1, as is a StrideT of 0.
type Conv struct {
	KH, KW, StrideH, StrideW int
	Top, Left, Bottom, Right int

	KT, StrideT, Front, Back int  // a causal one has Front = KT-1 and no Back
	Double                   bool // pictures are first doubled in height and width, each pixel repeated
}

// Out is the height and width that a picture of h x w gets.
func (c Conv) Out(h, w int) (oh, ow int) {
	if c.Double {
		h, w = 2*h, 2*w
	}
	return (h+c.Top+c.Bottom-c.KH)/c.StrideH + 1, (w+c.Left+c.Right-c.KW)/c.StrideW + 1
}

// Frames is the number of frames that t frames get.
func (c Conv) Frames(t int) int { return (t+c.Front+c.Back-max(1, c.KT))/max(1, c.StrideT) + 1 }

// Taps is the number of pixels under the kernel.
func (c Conv) Taps() int { return max(1, c.KT) * c.KH * c.KW }

// one is the kernel of a matrix product.
var one = Conv{KH: 1, KW: 1, StrideH: 1, StrideW: 1}

// product is the state of one call.
type product struct {
	path     *path
	kernels  *tiles
	weights  Weights
	epilogue Epilogue
	each     int // positions of an image, for the epilogue
	dst      []float32
	n        int // columns of dst

	x          unsafe.Pointer // pixels, row bytes apart
	row        int
	zeros      unsafe.Pointer
	images     int // first axis of x
	t, h, w    int
	ot, oh, ow int
	conv       Conv
	taps       int
	channels   int
	words      int // 32-bit words of a pixel
	per        int // channels in a word

	positions int
	from      int // the first of them, where a call is computed in several products: the epilogue counts from there
	strips    int // of all columns
	panels    int
	block     int // words
	chunk     int

	int8 *int8Product // nil for float products
}

// MatMul computes dst[m, N] = x[m, K] · wᵀ + bias, w being [N, K] and bias [N] or nil.
func MatMul(ctx context.Context, p *Pool, dst, x []float32, m int, w Weights, bias []float32, prec Precision) {
	n, k := w.Dims()
	Multiply(ctx, p, Floats(dst, m, n), Floats(x, m, k), w, prec, Epilogue{Bias: bias})
}

// Conv2D convolves x [b, h, w, c] with k into dst [b, oh, ow, O]. k is [O, C*KH*KW], columns in the order (c, ky, kx) as in
// checkpoints, bias is [O] or nil.
func Conv2D(ctx context.Context, p *Pool, dst, x []float32, b, h, w, c int, k Weights, cv Conv, bias []float32, prec Precision) {
	Convolve(ctx, p, dst, Floats(x, b*h*w, c), [4]int{b, 1, h, w}, k, cv, prec, Epilogue{Bias: bias})
}

// Multiply computes rows dst[M, N] from x[M, K] · wᵀ, w being [N, K]. Rows of codes and of bfloat16 are multiplied as they
// are where prec asks for that and w allows it, else as the float32 that they stand for. A dst that is not float32 is made
// from the results some rows at a time.
func Multiply(ctx context.Context, p *Pool, dst, x Rows, w Weights, prec Precision, e Epilogue) {
	n, k := w.Dims()
	x.check("MatMul", "x")
	dst.check("MatMul", "dst")
	check("MatMul", "columns of x", x.K, k)
	check("MatMul", "columns of weights", k, x.K)
	check("MatMul", "columns of dst", dst.K, n)
	check("MatMul", "rows of dst", dst.M, x.M)
	images := 1
	if e.Each != nil {
		images = max(1, len(e.Each)/max(1, n))
	}
	e.check(images, x.M, n)
	if x.M*n == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if dst.Format == Float32 {
		p.multiply(ctx, dst.Data, x, [4]int{images, 1, 1, x.M / images}, w, one, prec, e)
		return
	}
	p.multiplyTo(ctx, dst, x, images, w, prec, e)
}

// multiplyTo is Multiply into another format than float32.
func (p *Pool) multiplyTo(ctx context.Context, dst, x Rows, images int, w Weights, prec Precision, e Epilogue) {
	n := dst.K
	e.pieces(ctx, x.M, n, images, func(first, count int, e Epilogue) {
		sums := p.results.floats(count * n)
		p.multiply(ctx, sums, x.part(first, count), [4]int{1, 1, 1, count}, w, one, prec, e)
		p.cast(ctx, dst.part(first, count), Floats(sums, count, n), 1)
	})
}

// Convolve convolves x [b, t, h, w, c], sizes being b, t, h and w, with k into dst [b, ot, oh, ow, O]. k is [O, C*KT*KH*KW],
// columns in the order (c, kt, ky, kx) as in checkpoints.
func Convolve(ctx context.Context, p *Pool, dst []float32, x Rows, sizes [4]int, k Weights, cv Conv, prec Precision, e Epilogue) {
	o, cols := k.Dims()
	oh, ow := cv.Out(sizes[2], sizes[3])
	positions := sizes[0] * cv.Frames(sizes[1]) * oh * ow
	x.check("Conv", "x")
	check("Conv", "pixels of x", x.M, sizes[0]*sizes[1]*sizes[2]*sizes[3])
	check("Conv", "a row of weights", cols, x.K*cv.Taps())
	check("Conv", "dst", len(dst), positions*o)
	e.check(sizes[0], positions, o)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.multiply(ctx, dst, x, sizes, k, cv, prec, e)
}

// multiply chooses among the ways to compute a product.
func (p *Pool) multiply(ctx context.Context, dst []float32, x Rows, sizes [4]int, k Weights, cv Conv, prec Precision, e Epilogue) {
	n, _ := k.Dims()
	oh, ow := cv.Out(sizes[2], sizes[3])
	ot := cv.Frames(sizes[1])
	if n == 0 || sizes[0] <= 0 || ot <= 0 || oh <= 0 || ow <= 0 {
		return
	}
	if cv == one && x.K > 0 {
		if pl, ok := planOf(k, prec, sizes[0]*sizes[3]); ok {
			p.multiplyPlanned(ctx, dst, x, sizes[0], pl, e)
			return
		}
	}
	q := &p.ops.product
	*q = product{
		path: active, kernels: &active.f32, weights: k, epilogue: e, dst: dst, n: n, images: sizes[0], t: sizes[1], h: sizes[2], w: sizes[3],
		ot: ot, oh: oh, ow: ow, conv: cv, taps: cv.Taps(), channels: x.K, words: x.K, per: 1, positions: sizes[0] * ot * oh * ow,
	}
	defer q.release()
	q.each = q.positions / q.images
	if x.K == 0 {
		q.taps = 0
	}
	switch {
	case prec == Int8Fast && q.taps == 1:
		prec = Int8
	case prec == Int8Fast && q.path.double && q.suits(): // Winograd's form is faster there
		prec = BF16
	}
	if cv != one && asMatrix(k, prec) {
		p.multiplyUnfolded(ctx, q, x, min(prec, Int8))
		return
	}
	if prec == Rounded {
		prec = Exact
	}
	if prec >= Int8 {
		if codes, ok := k.(Int8Weights); ok && x.K > 0 {
			if have, _, _, _ := codes.Int8(); have != nil { // else a kind of weights that may have codes, but has none
				p.multiplyInt8(ctx, q, x, codes, prec)
				return
			}
		}
		if codes := inGroupsOf(k); codes != nil && x.K > 0 && q.plain() {
			p.multiplyGrouped(ctx, q, x, codes)
			return
		}
		prec = Exact
	}
	thin := q.positions <= thinRows && q.plain() && x.K > 0
	if prec == BF16 && q.path.hasBF16() && !thin {
		p.toBF16(ctx, q, x)
	} else {
		p.toFloats(ctx, q, x)
	}
	switch {
	case thin:
		p.multiplyThin(ctx, q, nil)
		return
	case prec == BF16 && !q.path.hasBF16() && q.suits():
		p.multiplyWinograd(ctx, q)
		return
	}
	q.zeros = address(p.zeros(q.words))
	q.split(len(p.workers))
	p.run(ctx, q.units(), q)
}

// toFloats gives the product activations in float32.
func (p *Pool) toFloats(ctx context.Context, q *product, x Rows) {
	if x.Format != Float32 {
		x = p.recast(ctx, &p.shared, x, Float32, 1)
	}
	q.x, q.row = address(x.Data), 4*q.words
}

// toBF16 gives the product activations in bfloat16.
func (p *Pool) toBF16(ctx context.Context, q *product, x Rows) {
	if x.Format != BFloat16 {
		x = p.recast(ctx, &p.shared, x, BFloat16, 1)
	}
	q.kernels, q.per, q.words = &q.path.bf16, 2, (q.channels+1)/2
	q.x, q.row = address(x.Data), 4*q.words
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
	if q.int8 != nil && q.int8.grouped != nil {
		q.block = q.int8.grouped.block(q)
		q.chunk = min(q.chunk, chunkRows)
		return
	}
	q.block = q.words
	if limit := max(4, maxBlock/max(1, q.taps)&^3); q.words > limit {
		blocks := (q.words + limit - 1) / limit
		q.block = min(limit, ((q.words+blocks-1)/blocks+3)&^3)
		if q.taps == 1 { // leaves chunks of 256 columns whole, which rotated weights are unpacked in
			q.block = maxBlock
		}
		if q.later() {
			q.chunk = min(q.chunk, chunkRows)
		}
	}
}

// later says that sums are kept until results can be made of them.
func (q *product) later() bool { return q.int8 != nil || q.epilogue.more() }

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
	scales, zeros  []float32 // [groups of the block][nr], for codes in groups
	up             []float32 // of what is of low rank, packed tile by tile
}

// pack packs the weights, tile by tile.
func (p *part) pack() {
	q, words := p.q, p.q.taps*(p.w1-p.w0)
	if words == 0 { // no inputs
		return
	}
	p.panel = address(p.w.panel.floats(words * p.nr))
	if q.int8 != nil && q.int8.grouped != nil {
		p.packScales()
	}
	if q.epilogue.low.rank > 0 && p.w1 == q.words {
		p.packUp()
	}
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
	if q.epilogue.Bias != nil && q.int8 == nil {
		copy(bias, q.epilogue.Bias[p.n0:p.n1])
	}
	step := q.path.rows[q.path.strips]
	if need := max(1, q.taps) * maxRows; len(w.rows) < need {
		w.rows = make([]unsafe.Pointer, need)
	}
	var sums []float32 // of codes, or of floats that are not results yet
	later := q.later()
	switch {
	case later && q.block < q.words: // the sums of all positions wait for the last block
		sums = w.out.floats((last - p.first) * p.nr)
	case later:
		sums = w.out.floats(step * p.nr)
	}
	for pos := p.first; pos < last; pos += step {
		mr := min(step, last-pos)
		q.point(w.rows, pos, mr)
		if later {
			acc := sums
			if q.block < q.words {
				acc = sums[(pos-p.first)*p.nr:]
			}
			if p.w1 == q.words { // its results will be written soon
				q.path.fetch(unsafe.Pointer(&q.dst[(q.from+pos)*q.n+p.n0]), mr, (p.n1-p.n0+15)/16, 4*q.n)
			}
			if q.int8 != nil && q.int8.grouped != nil {
				p.groups(acc, pos, mr)
			} else {
				p.each(func(n, nr int) { p.kernel(unsafe.Pointer(&acc[n-p.n0]), p.nr, bias[n-p.n0:], n, nr, mr) })
			}
			if p.w1 == q.words {
				p.finish(acc, pos, mr)
			}
			continue
		}
		p.each(func(n, nr int) {
			init := bias[n-p.n0:]
			if n+nr <= q.n {
				p.kernel(unsafe.Pointer(&q.dst[pos*q.n+n]), q.n, init, n, nr, mr)
			} else {
				p.narrow(init, n, nr, pos, mr)
			}
		})
	}
	clear(w.rows)
}

// kernel runs the kernel of columns n..n+nr-1 on mr positions into c, whose rows are pitch words apart. It begins with init,
// or goes on from the block before.
func (p *part) kernel(c unsafe.Pointer, pitch int, init []float32, n, nr, mr int) {
	if p.w0 > 0 {
		init = nil
	}
	p.piece(c, pitch, init, n, nr, mr, p.w0, p.w1)
}

// piece is kernel for words from..to-1 of the block; without an init it adds to c.
func (p *part) piece(c unsafe.Pointer, pitch int, init []float32, n, nr, mr, from, to int) {
	q, a := p.q, &p.w.args
	if q.taps == 0 { // no inputs at all
		for i := range mr {
			copy(unsafe.Slice((*float32)(unsafe.Add(c, 4*i*pitch)), nr), init)
		}
		return
	}
	*a = tileArgs{
		rows: address(p.w.rows), taps: q.taps, off: 4 * from, k: to - from, step: 4, b: unsafe.Add(p.tilePanel(n), 4*(from-p.w0)*nr), c: c,
		pitch: 4 * pitch, init: address(init), mr: mr, nr: nr,
	}
	q.kernels[nr/q.path.lanes][mr](a)
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
	c := q.conv
	return q.taps == 1 && c.StrideH == 1 && c.StrideW == 1 && c.StrideT <= 1 && !c.Double && q.positions == q.images*q.t*q.h*q.w
}

// point fills the table of pixels for positions pos..pos+mr-1.
func (q *product) point(rows []unsafe.Pointer, pos, mr int) {
	if q.plain() {
		for i := range mr {
			rows[i] = unsafe.Add(q.x, (pos+i)*q.row)
		}
		return
	}
	c, shift := &q.conv, 0
	if c.Double {
		shift = 1
	}
	h, w := q.h<<shift, q.w<<shift
	ox, oy, frame := pos%q.ow, pos/q.ow%q.oh, pos/(q.ow*q.oh)
	for i := range mr {
		y0, x0, t0 := oy*c.StrideH-c.Top, ox*c.StrideW-c.Left, frame%q.ot*max(1, c.StrideT)-c.Front
		at := i
		for t := t0; t < t0+max(1, c.KT); t++ {
			for y := y0; y < y0+c.KH; y++ {
				row := ((frame/q.ot*q.t+t)*q.h + y>>shift) * q.w
				for x := x0; x < x0+c.KW; x++ {
					if uint(t) < uint(q.t) && uint(y) < uint(h) && uint(x) < uint(w) {
						rows[at] = unsafe.Add(q.x, (row+x>>shift)*q.row)
					} else {
						rows[at] = q.zeros
					}
					at += mr
				}
			}
		}
		if ox++; ox == q.ow {
			ox = 0
			if oy++; oy == q.oh {
				oy, frame = 0, frame+1
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
