package cpu

import (
	"context"
	"math"
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

// keyBlock is how many keys are scored at once.
const keyBlock = 128

// Attention computes softmax(q·kᵀ*Scale + Mask)·v for each head. A worker takes a block of queries of one head and
// passes over the keys once, with a running softmax, so that no more than keyBlock scores a query exist. Scores are
// computed transposed, keys by queries: then the queries are a panel, keys and values are read where they lie, the softmax
// runs along registers, and its result is the panel of the second product.
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
	t.blocks = (strips + t.path.strips - 1) / t.path.strips
	t.nr = (strips + t.blocks - 1) / t.blocks * t.path.lanes
	p.run(ctx, a.Batch*a.Heads*t.blocks, t)
	*t = attention{}
}

// attention is the state of one call.
type attention struct {
	Attn
	path         *path
	dst, q, k, v []float32
	blocks, nr   int // query blocks of a head, and queries in one
}

// queries is the state of one block of queries.
type queries struct {
	*attention
	w               *worker
	q, s, o         []float32 // queries [D, nr] scaled, scores [keyBlock, nr], results [D, nr]
	top, sum, fade  []float32 // [nr]
	head            int
	first, count    int // queries
	keys, values    unsafe.Pointer
	qStride, stride int // floats from token to token
}

func (t *attention) tile(i int, w *worker) {
	block, head, b := i%t.blocks, i/t.blocks%t.Heads, i/t.blocks/t.Heads
	first := block * t.nr
	if first >= t.LQ {
		return
	}
	w.queries = queries{
		attention: t, w: w, q: w.panel.floats(t.D * t.nr), s: w.block.floats(keyBlock * t.nr), o: w.out.floats(t.D * t.nr),
		head: head, first: first, count: min(t.nr, t.LQ-first), qStride: t.Heads * t.D, stride: t.KVHeads * t.D,
	}
	q := &w.queries
	state := w.bias.floats(3 * t.nr)
	q.top, q.sum, q.fade = state[:t.nr], state[t.nr:2*t.nr], state[2*t.nr:]
	if len(w.rows) < max(t.D, keyBlock) {
		w.rows = make([]unsafe.Pointer, max(t.D, keyBlock))
	}
	if t.LK > 0 {
		kv := b*t.LK*q.stride + head*t.KVHeads/t.Heads*t.D
		q.keys, q.values = unsafe.Pointer(&t.k[kv]), unsafe.Pointer(&t.v[kv])
	}
	at := (b*t.LQ+first)*q.qStride + head*t.D
	q.load(at)
	limit := t.LK
	if t.Causal {
		limit = min(limit, first+q.count)
	}
	for j := 0; j < limit; j += keyBlock {
		q.block(j, min(keyBlock, limit-j))
	}
	q.store(at)
	clear(w.rows)
	w.queries = queries{}
}

// load transposes and scales the queries that begin at q[at].
func (q *queries) load(at int) {
	src := q.attention.q[at:]
	q.w.place(q.D, 1, q.D, q.nr)
	i := 0
	for ; i+8 <= q.count; i += 8 {
		q.path.transpose(unsafe.Pointer(&q.q[i]), &q.w.offset[0], unsafe.Pointer(&src[i*q.qStride]), 4*q.qStride, q.D, 0)
	}
	for ; i < q.nr; i++ {
		for d := range q.D {
			q.q[d*q.nr+i] = 0
			if i < q.count {
				q.q[d*q.nr+i] = src[i*q.qStride+d]
			}
		}
	}
	q.path.linear(q.q, q.q, q.Scale, 0)
	clear(q.o)
	clear(q.sum)
	for i := range q.top {
		q.top[i] = float32(math.Inf(-1))
	}
}

// block scores keys j..j+n-1 and adds their values.
func (q *queries) block(j, n int) {
	strips := q.nr / q.path.lanes
	rows := q.path.rows[strips]
	a, zero := &q.w.args, q.w.zero[:]
	for i := range n {
		q.w.rows[i] = unsafe.Add(q.keys, 4*(j+i)*q.stride)
	}
	for i := 0; i < n; i += rows {
		mr := min(rows, n-i)
		*a = tileArgs{
			rows: unsafe.Pointer(&q.w.rows[i]), taps: 1, k: q.D, step: 4, b: address(q.q), c: unsafe.Pointer(&q.s[i*q.nr]),
			pitch: 4 * q.nr, init: address(zero), mr: mr, nr: q.nr,
		}
		q.path.f32[strips][mr](a)
	}
	q.mask(j, n)
	for c := 0; c < q.nr; c += q.path.lanes {
		e := c + q.path.lanes
		q.path.softmax(q.s[c:], n, q.nr, q.top[c:e], q.sum[c:e], q.fade[c:e])
	}
	if j > 0 {
		for d := range q.D {
			row := q.o[d*q.nr : (d+1)*q.nr]
			q.path.mul(row, row, q.fade)
		}
	}
	for d := range q.D {
		q.w.rows[d] = unsafe.Add(q.values, 4*(j*q.stride+d))
	}
	for d := 0; d < q.D; d += rows {
		mr := min(rows, q.D-d)
		*a = tileArgs{
			rows: unsafe.Pointer(&q.w.rows[d]), taps: 1, k: n, step: 4 * q.stride, b: address(q.s), c: unsafe.Pointer(&q.o[d*q.nr]),
			pitch: 4 * q.nr, mr: mr, nr: q.nr,
		}
		q.path.f32[strips][mr](a)
	}
}

// mask adds the mask to the scores of keys j..j+n-1, and takes out keys after their query.
func (q *queries) mask(j, n int) {
	for i := range q.count {
		at := q.first + i
		if q.Mask != nil {
			for r, m := range q.Mask[at*q.LK+j:][:n] {
				q.s[r*q.nr+i] += m
			}
		}
		if q.Causal {
			for r := max(0, at+1-j); r < n; r++ {
				q.s[r*q.nr+i] = float32(math.Inf(-1))
			}
		}
	}
}

// store divides by the sums and writes the results to dst[at:].
func (q *queries) store(at int) {
	for i, s := range q.sum {
		q.fade[i] = 1 / s
	}
	for d := range q.D {
		row := q.o[d*q.nr : (d+1)*q.nr]
		q.path.mul(row, row, q.fade)
	}
	dst := q.dst[at:]
	q.w.place(q.count, 1, q.count, q.qStride)
	d := 0
	for ; d+8 <= q.D; d += 8 {
		q.path.transpose(unsafe.Pointer(&dst[d]), &q.w.offset[0], unsafe.Pointer(&q.o[d*q.nr]), 4*q.nr, q.count, 0)
	}
	for ; d < q.D; d++ {
		for i := range q.count {
			dst[i*q.qStride+d] = q.o[d*q.nr+i]
		}
	}
}
