package cpu

import (
	"context"
	"math"
	"slices"
	"unsafe"
)

// Attn is the shape of an attention: q and dst are [Batch, LQ, Heads*D], k and v [Batch, LK, KVHeads*D].
type Attn struct {
	Batch, Heads, LQ, LK, D int
	KVHeads                 int       // divides Heads, neighbouring heads share one; 0: Heads
	Causal                  bool      // query i sees keys 0..i
	Scale                   float32   // of scores; 0: 1/√D
	Mask                    []float32 // nil, or [LQ, LK], added to the scores of every head
}

const (
	// keyBlock is how many keys are scored at once.
	keyBlock = 128
	// queryFloats bounds the queries that share a pass over the keys, by what their panels take: with the keys and values
	// of a block that is about the L2 cache.
	queryFloats = 96 << 10
)

// Attention computes softmax(q·kᵀ*Scale + Mask)·v for each head. A worker takes a block of queries of one head and
// passes over the keys once, with a running softmax, so that no more than keyBlock scores a query exist. Scores are
// computed transposed, keys by queries: then the queries are panels, keys and values are read where they lie, the softmax
// runs along registers, and its result is the panel of the second product. Panels are as wide as the widest tile.
func Attention(ctx context.Context, p *Pool, dst, q, k, v []float32, a Attn) {
	if a.KVHeads == 0 {
		a.KVHeads = a.Heads
	}
	if a.Scale == 0 {
		a.Scale = float32(1 / math.Sqrt(float64(a.D)))
	}
	check("Attention", "dst", len(dst), a.Batch*a.LQ*a.Heads*a.D)
	check("Attention", "q", len(q), a.Batch*a.LQ*a.Heads*a.D)
	check("Attention", "k", len(k), a.Batch*a.LK*a.KVHeads*a.D)
	check("Attention", "v", len(v), a.Batch*a.LK*a.KVHeads*a.D)
	if a.Mask != nil {
		check("Attention", "mask", len(a.Mask), a.LQ*a.LK)
	}
	if a.Batch*a.LQ*a.Heads*a.D == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	t := &p.ops.attn
	*t = attention{Attn: a, path: active, dst: dst, q: q, k: k, v: v}
	strips := (a.LQ + t.path.lanes - 1) / t.path.lanes
	t.nr = min(strips, t.path.strips) * t.path.lanes
	panels := (a.LQ + t.nr - 1) / t.nr
	most := max(1, queryFloats/((2*a.D+keyBlock)*t.nr))
	t.blocks = max((panels+most-1)/most, min(panels, (4*len(p.workers)+a.Batch*a.Heads-1)/(a.Batch*a.Heads)))
	t.panels = (panels + t.blocks - 1) / t.blocks
	p.run(ctx, a.Batch*a.Heads*t.blocks, t)
	*t = attention{}
}

// attention is the state of one call.
type attention struct {
	Attn
	path         *path
	dst, q, k, v []float32
	blocks       int // of queries, for each head
	panels, nr   int // panels of a block, and queries of a panel
}

// queries is the state of one block of queries: panels [D, nr] of scaled queries and of results, and [keyBlock, nr] of scores.
type queries struct {
	*attention
	w               *worker
	q, s, o         []float32
	top, sum, fade  []float32 // of each query
	head            int
	first, count    int // queries
	used            int // panels that have queries
	keys, values    unsafe.Pointer
	qStride, stride int // floats from token to token
}

func (t *attention) tile(i int, w *worker) {
	block, head, b := i%t.blocks, i/t.blocks%t.Heads, i/t.blocks/t.Heads
	size := t.panels * t.nr
	first := block * size
	if first >= t.LQ {
		return
	}
	w.queries = queries{
		attention: t, w: w, q: w.panel.floats(t.D * size), s: w.block.floats(keyBlock * size), o: w.out.floats(t.D * size),
		head: head, first: first, count: min(size, t.LQ-first), qStride: t.Heads * t.D, stride: t.KVHeads * t.D,
	}
	q := &w.queries
	q.used = (q.count + t.nr - 1) / t.nr
	state := w.bias.floats(3 * size)
	q.top, q.sum, q.fade = state[:size], state[size:2*size], state[2*size:]
	if len(w.rows) < max(t.D, keyBlock) {
		w.rows = make([]unsafe.Pointer, max(t.D, keyBlock))
	}
	if t.LK > 0 {
		kv := b*t.LK*q.stride + head*t.KVHeads/t.Heads*t.D
		q.keys, q.values = unsafe.Pointer(&t.k[kv]), unsafe.Pointer(&t.v[kv])
	}
	clear(q.o)
	clear(q.sum)
	for i := range q.top {
		q.top[i] = float32(math.Inf(-1))
	}
	at := (b*t.LQ+first)*q.qStride + head*t.D
	for g := range q.used {
		q.load(g, at+g*t.nr*q.qStride)
	}
	limit := t.LK
	if t.Causal {
		limit = min(limit, first+q.count)
	}
	for j := 0; j < limit; j += keyBlock {
		q.block(j, min(keyBlock, limit-j))
	}
	for g := range q.used {
		q.store(g, at+g*t.nr*q.qStride)
	}
	clear(w.rows)
	w.queries = queries{}
}

// in is the number of queries of panel g.
func (q *queries) in(g int) int { return min(q.nr, q.count-g*q.nr) }

// panel is panel g of panels [n, nr].
func (q *queries) panel(all []float32, g, n int) []float32 { return all[g*n*q.nr : (g+1)*n*q.nr] }

// load transposes and scales the queries of panel g, which begin at q[at].
func (q *queries) load(g, at int) {
	src, dst, count := q.attention.q[at:], q.panel(q.q, g, q.D), q.in(g)
	q.w.place(q.D, 1, q.D, q.nr)
	i := 0
	for ; i+8 <= count; i += 8 {
		q.path.transpose(unsafe.Pointer(&dst[i]), &q.w.offset[0], unsafe.Pointer(&src[i*q.qStride]), 4*q.qStride, q.D, 0)
	}
	for ; i < q.nr; i++ {
		for d := range q.D {
			dst[d*q.nr+i] = 0
			if i < count {
				dst[d*q.nr+i] = src[i*q.qStride+d]
			}
		}
	}
	q.path.linear(dst, dst, q.Scale, 0)
}

// block scores keys j..j+n-1 and adds their values.
func (q *queries) block(j, n int) {
	keys, values, stride := unsafe.Add(q.keys, 4*j*q.stride), unsafe.Add(q.values, 4*j*q.stride), q.stride
	if q.used > 1 { // that pays for copies that lie together
		both := q.w.wide.floats(2 * keyBlock * q.D)
		keys, values, stride = q.gather(both, keys, n), q.gather(both[keyBlock*q.D:], values, n), q.D
	}
	for i := range n {
		q.w.rows[i] = unsafe.Add(keys, 4*i*stride)
	}
	for g := range q.used {
		s := q.panel(q.s, g, keyBlock)
		q.multiply(s, q.panel(q.q, g, q.D), n, q.D, 4, q.w.zero[:])
		q.mask(s, g, j, n)
		for c := 0; c < q.nr; c += q.path.lanes {
			from, to := g*q.nr+c, g*q.nr+c+q.path.lanes
			q.path.softmax(s[c:], n, q.nr, q.top[from:to], q.sum[from:to], q.fade[from:to])
		}
	}
	for d := range q.D {
		q.w.rows[d] = unsafe.Add(values, 4*d)
	}
	for g := range q.used {
		o := q.panel(q.o, g, q.D)
		if fade := q.fade[g*q.nr:][:q.nr]; j > 0 && slices.ContainsFunc(fade, func(f float32) bool { return f != 1 }) {
			q.scale(o, fade)
		}
		q.multiply(o, q.panel(q.s, g, keyBlock), q.D, n, 4*stride, nil)
	}
}

// gather copies the head's part of n tokens to dst [n, D].
func (q *queries) gather(dst []float32, src unsafe.Pointer, n int) unsafe.Pointer {
	for i := range n {
		copy(dst[i*q.D:(i+1)*q.D], unsafe.Slice((*float32)(unsafe.Add(src, 4*i*q.stride)), q.D))
	}
	return address(dst)
}

// multiply adds to c [n, nr] the product of n rows of k floats, step bytes apart, and a panel b [k, nr]. If there is an
// init, c is that before.
func (q *queries) multiply(c, b []float32, n, k, step int, init []float32) {
	strips := q.nr / q.path.lanes
	rows := q.path.rows[strips]
	a := &q.w.args
	for i := 0; i < n; i += rows {
		mr := min(rows, n-i)
		*a = tileArgs{
			rows: unsafe.Pointer(&q.w.rows[i]), taps: 1, k: k, step: step, b: address(b), c: unsafe.Pointer(&c[i*q.nr]),
			pitch: 4 * q.nr, init: address(init), mr: mr, nr: q.nr,
		}
		q.path.f32[strips][mr](a)
	}
}

// scale multiplies each row of a panel by f.
func (q *queries) scale(o, f []float32) {
	for d := range q.D {
		row := o[d*q.nr : (d+1)*q.nr]
		q.path.mul(row, row, f)
	}
}

// mask adds the mask to the scores of panel g and keys j..j+n-1, and takes out keys after their query.
func (q *queries) mask(s []float32, g, j, n int) {
	if q.Mask == nil && !q.Causal {
		return
	}
	for i := range q.in(g) {
		at := q.first + g*q.nr + i
		if q.Mask != nil {
			for r, m := range q.Mask[at*q.LK+j:][:n] {
				s[r*q.nr+i] += m
			}
		}
		if q.Causal {
			for r := max(0, at+1-j); r < n; r++ {
				s[r*q.nr+i] = float32(math.Inf(-1))
			}
		}
	}
}

// store divides the results of panel g by the sums and writes them to dst[at:].
func (q *queries) store(g, at int) {
	o, f, count := q.panel(q.o, g, q.D), q.fade[g*q.nr:][:q.nr], q.in(g)
	for i, s := range q.sum[g*q.nr:][:q.nr] {
		f[i] = 1 / s
	}
	q.scale(o, f)
	dst := q.dst[at:]
	q.w.place(count, 1, count, q.qStride)
	d := 0
	for ; d+8 <= q.D; d += 8 {
		q.path.transpose(unsafe.Pointer(&dst[d]), &q.w.offset[0], unsafe.Pointer(&o[d*q.nr]), 4*q.nr, count, 0)
	}
	for ; d < q.D; d++ {
		for i := range count {
			dst[i*q.qStride+d] = o[d*q.nr+i]
		}
	}
}
