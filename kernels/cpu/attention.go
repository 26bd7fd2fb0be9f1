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
	// Prec is the arithmetic of the products; the softmax is float32 always. BF16 rounds scaled queries, keys, what the
	// softmax makes of scores, and values to bfloat16, where Native says so; elsewhere it is Exact. Int8 computes scores from
	// codes, as attention_int8.go says, and the second product as BF16 does.
	Prec Precision
}

const (
	// keyBlock is how many keys are scored at once, at most: a multiple of 8, but none of 128, so that groups of values do
	// not lie 4 KiB apart.
	keyBlock = 120
	// keyFloats bounds the keys and the values of a block.
	keyFloats = 80 << 10
	// queryFloats bounds the queries that share a pass over the keys, by what their panels take: with the keys and values
	// of a block that is about the L2 cache.
	queryFloats = 192 << 10
	// attendStrips is how wide a panel of queries is at most, in registers; also a constant of gen.
	attendStrips = 3
)

// attendFunc multiplies groups of eight rows, each group [k][8] words, by a panel [k][strips*lanes] into c
// [8*groups][strips*lanes]. If there is a fade, a row of factors for the columns, c is multiplied by it and added to; sums of
// integers have none. At least one group and word.
type attendFunc func(c, a, b, fade unsafe.Pointer, groups, k int)

// attends are products by the number of strips.
type attends [attendStrips + 1]attendFunc

// Attention computes softmax(q·kᵀ*Scale + Mask)·v for each head; no keys give zeros. A worker takes a block of queries of
// one head and passes over the keys once, with a running softmax, so that no more than keyBlock scores of a panel of
// queries exist. Scores are computed transposed, keys by queries: then the queries are panels, the softmax runs along
// registers, and its result is the panel of the second product. Keys and values are packed, block by block, into groups of
// eight rows, which the products read in order: keys by eight, and channels of values by eight.
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
	if a.LK == 0 {
		clear(dst[:a.Batch*a.LQ*a.Heads*a.D])
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	t := &p.ops.attn
	*t = attention{Attn: a, path: active, dst: dst, q: q, k: k, v: v}
	t.choose()
	if a.Prec == Int8 {
		p.meanKeys(ctx, t)
	}
	t.nr = attendStrips * t.path.lanes
	t.keys = min(keyBlock, max(32, keyFloats/(2*t.D)&^7), (t.LK+7)&^7)
	panels := (a.LQ + t.nr - 1) / t.nr
	most := max(1, queryFloats/(2*a.D*t.nr))
	t.blocks = max((panels+most-1)/most, min(panels, (4*len(p.workers)+a.Batch*a.Heads-1)/(a.Batch*a.Heads)))
	t.panels = (panels + t.blocks - 1) / t.blocks
	p.run(ctx, a.Batch*a.Heads*t.blocks, t)
	*t = attention{}
}

// attention is the state of one call.
type attention struct {
	Attn
	path            *path
	dst, q, k, v    []float32
	minusMeans      []float32 // [Batch, KVHeads, D] of keys, for Int8
	scores, results *attends
	words           int  // of a query
	narrow          bool // the second product is of bfloat16
	blocks          int  // of queries, for each head
	panels, nr      int  // panels of a block, and queries of a panel
	keys            int  // of a block, a multiple of 8
}

// choose takes the products of the precision.
func (t *attention) choose() {
	t.scores, t.results, t.words = &t.path.attend, &t.path.attend, t.D
	if t.Prec != Exact && t.path.hasBF16() {
		t.scores, t.results, t.words, t.narrow = &t.path.attendBF16, &t.path.attendBF16, (t.D+1)/2, true
	}
	if t.Prec == Int8 {
		t.scores, t.words = &t.path.attendInt8, (t.D+t.path.codes()-1)/t.path.codes()
	}
}

// queries is the state of one block of queries of a worker.
type queries struct {
	*attention
	w                *worker
	*attentionMemory // of the worker
	batch, head      int
	first, count     int // queries
	used             int // panels that have queries
	keyRows, values  unsafe.Pointer
	qStride, kStride int // floats from token to token
}

// attentionMemory is what a worker needs for attention.
type attentionMemory struct {
	asked, out                       scratch // panels [words, nr] of scaled queries, and [D in groups of eight, nr] of results
	packedKeys, packedValues         scratch // groups of a block of keys, as packKeys says, and of values
	block                            scratch // a panel of scores
	masks                            scratch
	top, sum, fade                   scratch // of each query
	column                           scratch // for Int8: factors of scores of each query,
	row                              scratch // and of each key,
	less                             scratch // and what to subtract
	rows, transpose                  scratch
	groupSteps, panelSteps, outSteps steps
	ones                             [attendStrips * maxLanes]float32
}

// steps are multiples of a number of bytes, which stay for the next call.
type steps struct {
	by int
	at []int32
}

// of is the address of n multiples.
func (s *steps) of(n, by int) *int32 {
	if s.by != by {
		s.by, s.at = by, s.at[:0]
	}
	for len(s.at) < n {
		s.at = append(s.at, int32(by*len(s.at)))
	}
	return &s.at[0]
}

func (t *attention) tile(i int, w *worker) {
	block, head, b := i%t.blocks, i/t.blocks%t.Heads, i/t.blocks/t.Heads
	first := block * t.panels * t.nr
	if first >= t.LQ {
		return
	}
	m := &w.attention
	q := &w.queries
	*q = queries{
		attention: t, w: w, attentionMemory: m, batch: b, head: head, first: first, count: min(t.panels*t.nr, t.LQ-first),
		qStride: t.Heads * t.D, kStride: t.KVHeads * t.D,
	}
	q.used = (q.count + t.nr - 1) / t.nr
	kv := b*t.LK*q.kStride + q.kvHead()*t.D
	q.keyRows, q.values = unsafe.Pointer(&t.k[kv]), unsafe.Pointer(&t.v[kv])
	q.begin()
	for g := range q.used {
		q.load(g)
	}
	for j := 0; j < t.LK && !(t.Causal && j >= first+q.count); j += t.keys {
		n := min(t.keys, t.LK-j) // whatever the query block is, lest that change results
		q.packKeys(j, n)
		q.packValues(j, n)
		for g := range q.used {
			if !t.Causal || j < first+g*t.nr+q.in(g) {
				q.attend(g, j, n)
			}
		}
	}
	for g := range q.used {
		q.store(g)
	}
	*q = queries{}
}

func (q *queries) kvHead() int { return q.head * q.KVHeads / q.Heads }

// begin sets the running softmax to that of no keys.
func (q *queries) begin() {
	size := q.used * q.nr
	top := q.top.floats(size)
	for i := range top {
		top[i] = float32(math.Inf(-1))
	}
	clear(q.sum.floats(size))
	q.fade.floats(size)
	q.out.floats((q.D + 7) &^ 7 * size)
	q.asked.floats(q.words * size)
	for i := range q.ones {
		q.ones[i] = 1
	}
}

// in is the number of queries of panel g.
func (q *queries) in(g int) int { return min(q.nr, q.count-g*q.nr) }

// width is the number of columns of panel g, whole strips: nr but for the last.
func (q *queries) width(g int) int { return (q.in(g) + q.path.lanes - 1) / q.path.lanes * q.path.lanes }

// panel is panel g of panels [n, nr].
func (q *queries) panel(all *scratch, g, n int) []float32 {
	return all.buf[g*n*q.nr:][:n*q.width(g)]
}

// attend scores keys j..j+n-1 for panel g and adds their values.
func (q *queries) attend(g, j, n int) {
	groups, nr := (n+7)/8, q.width(g)
	strips := nr / q.path.lanes
	s, panel := q.block.floats((8*groups+1)*nr), q.panel(&q.asked, g, q.words)
	fade := unsafe.Pointer(nil)
	for from, to := range q.chains() {
		q.scores[strips](address(s), unsafe.Pointer(&q.packedKeys.buf[from*8*groups]), unsafe.Pointer(&panel[from*nr]), fade, groups, to-from)
		fade = unsafe.Pointer(&q.ones)
	}
	state := g * q.nr
	if q.Prec == Int8 {
		less, row, column := q.less.ints(n), q.row.floats(n), q.column.buf[state:]
		for c := 0; c < nr; c += q.path.lanes {
			q.path.descale(s[c:], n, nr, less, row, column[c:c+q.path.lanes])
		}
	}
	q.addMask(s, g, j, n)
	top, sum, fades := q.top.buf[state:], q.sum.buf[state:], q.fade.buf[state:][:nr]
	for c := 0; c < nr; c += q.path.lanes {
		q.path.softmax(s[c:], n, nr, top[c:c+q.path.lanes], sum[c:c+q.path.lanes], fades[c:])
	}
	k := n
	if q.narrow {
		k = (n + 1) / 2
		clear(s[n*nr : 2*k*nr])
		q.path.pairs(address(s), address(s), 1, k*nr)
	}
	if fade = address(fades); j == 0 {
		fade = nil
	}
	wide := (q.D + 7) / 8
	q.results[strips](address(q.panel(&q.out, g, 8*wide)), address(q.packedValues.buf), address(s), fade, wide, k)
}

// chains are the parts of the words of a query that are added up one by one, see chain; integers need no parts.
func (q *queries) chains() func(yield func(from, to int) bool) {
	step := chain
	if q.Prec == Int8 {
		step = q.words
	}
	return func(yield func(from, to int) bool) {
		for from := 0; from < q.words && yield(from, min(q.words, from+step)); from += step {
		}
	}
}

// addMask adds the mask to the scores of panel g and keys j..j+n-1, and takes out keys after their query.
func (q *queries) addMask(s []float32, g, j, n int) {
	nr, count, first := q.width(g), q.in(g), q.first+g*q.nr
	if q.Mask != nil {
		m := q.masks.floats(n * nr)
		q.columns(m, count, n, nr, unsafe.Pointer(&q.Mask[first*q.LK+j]), q.LK)
		q.path.add(s[:n*nr], s[:n*nr], m)
	}
	if q.Causal && first < j+n-1 {
		for i := range count {
			for r := max(0, first+i+1-j); r < n; r++ {
				s[r*nr+i] = float32(math.Inf(-1))
			}
		}
	}
}

// columns transposes count rows of n words, stride words apart, to columns of dst [n, nr]; further columns are zero.
func (q *queries) columns(dst []float32, count, n, nr int, src unsafe.Pointer, stride int) {
	steps := q.panelSteps.of(n, 4*nr)
	for i := 0; i < nr; i += 8 {
		from, step := unsafe.Add(src, 4*i*stride), stride
		if have := count - i; have < 8 {
			from, step = q.eight(from, max(0, have), n, stride), n
		}
		q.path.transpose(unsafe.Pointer(&dst[i]), steps, from, 4*step, n, 0)
	}
}

// eight copies some rows of n words and adds zeros up to eight rows.
func (q *queries) eight(src unsafe.Pointer, have, n, stride int) unsafe.Pointer {
	rows := q.rows.floats(8 * n)
	for i := range have {
		copy(rows[i*n:(i+1)*n], unsafe.Slice((*float32)(unsafe.Add(src, 4*i*stride)), n))
	}
	clear(rows[have*n:])
	return address(rows)
}

// load transposes and scales the queries of panel g.
func (q *queries) load(g int) {
	src := unsafe.Pointer(&q.attention.q[(q.batch*q.LQ+q.first+g*q.nr)*q.qStride+q.head*q.D])
	dst, nr := q.panel(&q.asked, g, q.words), q.width(g)
	switch {
	case q.Prec == Int8:
		q.loadInt8(g, dst, src)
	case q.narrow:
		wide := q.transpose.floats(2 * q.words * nr)
		q.columns(wide, q.in(g), q.D, nr, src, q.qStride)
		q.path.linear(wide[:q.D*nr], wide[:q.D*nr], q.Scale, 0)
		clear(wide[q.D*nr:])
		for from, to := range q.chains() { // a word has a channel of the first half of a chain and one of the second
			q.path.pairs(unsafe.Pointer(&dst[from*nr]), unsafe.Pointer(&wide[2*from*nr]), 1, (to-from)*nr)
		}
	default:
		q.columns(dst, q.in(g), q.D, nr, src, q.qStride)
		q.path.linear(dst, dst, q.Scale, 0)
	}
}

// packKeys packs keys j..j+n-1 into groups of eight, [chains][groups][words of the chain][8].
func (q *queries) packKeys(j, n int) {
	groups := (n + 7) / 8
	q.packedKeys.floats(8 * groups * q.words)
	for g := range groups {
		src, stride, have := unsafe.Add(q.keyRows, 4*(j+8*g)*q.kStride), q.kStride, min(8, n-8*g)
		if q.Prec == Int8 {
			q.packInt8(g, have, src)
			continue
		}
		if have < 8 {
			src, stride = q.eight(src, have, q.D, stride), q.D
		}
		for from, to := range q.chains() {
			size := to - from
			dst := unsafe.Pointer(&q.packedKeys.buf[8*(from*groups+g*size)])
			if !q.narrow {
				q.path.transpose(dst, q.groupSteps.of(size, 32), unsafe.Add(src, 4*from), 4*stride, size, 0)
				continue
			}
			wide, count := q.transpose.floats(16*size), min(2*size, q.D-2*from)
			q.path.transpose(address(wide), q.groupSteps.of(count, 32), unsafe.Add(src, 8*from), 4*stride, count, 0)
			clear(wide[8*count:])
			q.path.pairs(dst, address(wide), 1, 8*size)
		}
	}
}

// packValues packs the values of keys j..j+n-1 into groups of eight channels, [groups][words][8]. A word of two has a key of
// the first half of the keys and one of the second.
func (q *queries) packValues(j, n int) {
	k := n
	if q.narrow {
		k = (n + 1) &^ 1
	}
	groups, whole := (q.D+7)/8, q.D/8
	v := q.packedValues.floats(groups * k * 8)
	src := unsafe.Add(q.values, 4*j*q.kStride)
	if whole > 0 {
		q.path.eights(address(v), src, n, whole, 4*q.kStride, 32*k)
	}
	if rest := q.D % 8; rest > 0 {
		for i := range n {
			last := v[8*(whole*k+i):][:8]
			clear(last[copy(last, unsafe.Slice((*float32)(unsafe.Add(src, 4*(i*q.kStride+8*whole))), rest)):])
		}
	}
	if !q.narrow {
		return
	}
	for g := range groups {
		if n < k {
			clear(v[8*(g*k+n) : 8*(g+1)*k])
		}
		q.path.pairs(unsafe.Pointer(&v[4*g*k]), unsafe.Pointer(&v[8*g*k]), 1, 4*k)
	}
}

// store divides the results of panel g by the sums and writes them to dst.
func (q *queries) store(g int) {
	nr, count := q.width(g), q.in(g)
	o, f := q.panel(&q.out, g, (q.D+7)&^7), q.fade.buf[g*q.nr:][:nr]
	for i, s := range q.sum.buf[g*q.nr:][:nr] {
		f[i] = 1 / s
	}
	for c := 0; c < nr; c += q.path.lanes {
		q.path.mulRows(o[c:], q.D, nr, f[c:c+q.path.lanes])
	}
	dst := q.dst[(q.batch*q.LQ+q.first+g*q.nr)*q.qStride+q.head*q.D:]
	steps, d := q.outSteps.of(count, 4*q.qStride), 0
	for ; d+8 <= q.D; d += 8 {
		q.path.transpose(unsafe.Pointer(&dst[d]), steps, unsafe.Pointer(&o[d*nr]), 4*nr, count, 0)
	}
	for ; d < q.D; d++ {
		for i := range count {
			dst[i*q.qStride+d] = o[d*nr+i]
		}
	}
}
