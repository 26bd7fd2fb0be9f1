package cpu

import (
	"context"
	"unsafe"
)

// Products of few rows read the weights in order and once, and multiply row by row: their limit is the memory's bandwidth,
// so nothing is packed.

// thinRows is the most rows that are few.
const thinRows = 4

// thin is the state of such a product; for int8 codes, x holds the rows as the path stores them.
type thin struct {
	q     *product
	codes *int8Product // nil for float32
	m, k  int
	row   int // bytes of a row of x
	by    int // columns in a tile
}

// thinTile bounds the weights of a tile, as they are multiplied: 128 KiB.
const thinTile = 128 << 10

// multiplyThin computes q's rows, which are those of a plain product.
func (p *Pool) multiplyThin(ctx context.Context, q *product, codes *int8Product, row int) {
	_, k := q.weights.Dims()
	size := 4
	if codes != nil {
		size = 1
	}
	t := &p.ops.thin
	*t = thin{q: q, codes: codes, m: q.positions, k: k, row: row, by: min(64, max(1, thinTile/max(1, size*k)))}
	p.run(ctx, (q.n+t.by-1)/t.by, t)
	*t = thin{}
}

func (t *thin) tile(i int, w *worker) {
	n0, n1 := i*t.by, min(t.q.n, (i+1)*t.by)
	if t.codes != nil {
		t.codeTile(w, n0, n1)
		return
	}
	block := w.block.floats((n1 - n0) * t.k)
	t.q.weights.Unpack(block, n0, n1, 0, t.k)
	for n := n0; n < n1; n++ {
		var bias float32
		if t.q.bias != nil {
			bias = t.q.bias[n]
		}
		weights := block[(n-n0)*t.k:][:t.k]
		for m := range t.m {
			x := unsafe.Slice((*float32)(unsafe.Add(t.q.x, m*t.row)), t.k)
			t.q.dst[m*t.q.n+n] = t.q.path.dot(weights, x) + bias
		}
	}
}

func (t *thin) codeTile(w *worker, n0, n1 int) {
	sums := w.out.ints(t.m * (n1 - n0))
	for n := n0; n < n1; n++ {
		for m := range t.m {
			sums[m*(n1-n0)+n-n0] = t.q.path.dotCodes(t.codes.codes[n*t.k:][:t.k], unsafe.Add(t.q.x, m*t.row))
		}
	}
	for m := range t.m {
		t.codes.finishRow(t.q, sums[m*(n1-n0):], m, n0, n1)
	}
}

func dotGo(w, x []float32) (sum float32) {
	for len(w) > 0 {
		n := min(len(w), chain)
		var s float32
		for i, v := range w[:n] {
			s += v * x[i]
		}
		sum += s
		w, x = w[n:], x[n:]
	}
	return sum
}

func dotCodesGo(w []int8, x unsafe.Pointer) (sum int32) {
	for i, v := range w {
		sum += (int32(v) + 128) * int32(*at[int8](x, i))
	}
	return sum
}
