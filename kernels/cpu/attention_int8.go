package cpu

import (
	"context"
	"unsafe"
)

// Scores in int8 (SageAttention: Zhang et al. 2024, arXiv 2410.02367): keys less the mean of all keys of their head, which
// changes all scores of a query by the same amount, thus nothing after a softmax, and takes out the channels that are large
// for all keys; then a scale for each query and each key, max|x|/127, products of codes, exact in int32, and scores from them.
// The error of a score is at most half a code of each factor; docs/design.md states what that made of results.

// codes is how many codes a word has.
func (p *path) codes() int {
	if p.double {
		return 2
	}
	return 4
}

// meanKeys computes the mean of the keys of each head.
func (p *Pool) meanKeys(ctx context.Context, t *attention) {
	t.minusMeans = p.shared.floats(t.Batch * t.KVHeads * t.D)
	m := &p.ops.means
	*m = keyMeans{t}
	p.run(ctx, t.Batch*t.KVHeads, m)
	*m = keyMeans{}
}

type keyMeans struct{ *attention }

func (t *keyMeans) tile(i int, w *worker) {
	b, head := i/t.KVHeads, i%t.KVHeads
	stride := t.KVHeads * t.D
	sums := unsafe.Slice((*float64)(address(w.attention.rows.floats(4*t.D))), 2*t.D)
	clear(sums)
	for j := range t.LK {
		at := (b*t.LK+j)*stride + head*t.D
		t.path.moment(sums[:t.D], sums[t.D:], t.k[at:at+t.D])
	}
	for d, s := range sums[:t.D] {
		t.minusMeans[i*t.D+d] = -float32(s / float64(t.LK))
	}
}

// quantize writes the codes of x, zeros up to whole words, to dst and returns their scale and sum.
func (q *queries) quantize(dst []int32, x []float32) (scale float32, sum int32) {
	dst[len(dst)-1] = 0
	scale = q.path.absMax(x) / 127
	return scale, q.path.quantize(address(dst), x, scale)
}

// loadInt8 quantizes the queries of panel g.
func (q *queries) loadInt8(g int, dst []float32, src unsafe.Pointer) {
	mask := uint32(q.path.offset) * 0x01010101
	nr, count := q.width(g), q.in(g)
	column := q.column.floats(q.used * q.nr)[g*q.nr:][:nr]
	rows := q.rows.ints(8 * q.words)
	steps := q.panelSteps.of(q.words, 4*nr)
	for i := range nr {
		row := rows[i%8*q.words:][:q.words]
		if column[i] = 0; i < count {
			scale, _ := q.quantize(row, unsafe.Slice((*float32)(unsafe.Add(src, 4*i*q.qStride)), q.D))
			column[i] = scale * q.Scale
		} else {
			clear(row)
		}
		if i%8 == 7 {
			q.path.transpose(unsafe.Pointer(&dst[i-7]), steps, address(rows), 4*q.words, q.words, mask)
		}
	}
}

// packInt8 quantizes group g of keys, of which it has some.
func (q *queries) packInt8(g, have int, src unsafe.Pointer) {
	less, row := q.less.ints(q.keys)[8*g:], q.row.floats(q.keys)[8*g:]
	rows, x := q.rows.ints(8*q.words), q.transpose.floats(q.D)
	minusMean := q.minusMeans[(q.batch*q.KVHeads+q.kvHead())*q.D:][:q.D]
	clear(rows[have*q.words:])
	for i := range have {
		key := unsafe.Slice((*float32)(unsafe.Add(src, 4*i*q.kStride)), q.D)
		q.path.add(x, key, minusMean)
		row[i], less[i] = q.quantize(rows[i*q.words:][:q.words], x)
		less[i] *= int32(q.path.offset) // of the queries
	}
	q.path.transpose(unsafe.Pointer(&q.packedKeys.buf[8*g*q.words]), q.groupSteps.of(q.words, 32), address(rows), 4*q.words, q.words, 0)
}
