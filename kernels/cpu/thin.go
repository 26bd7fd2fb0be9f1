package cpu

import (
	"context"
	"unsafe"
)

// Products of few rows read the weights in order and once, and multiply row by row: their limit is the memory's bandwidth,
// so nothing is packed, and stored codes are not unpacked.

const (
	// thinRows is the most rows that are few.
	thinRows = 4
	// thinTile bounds the weights of a tile, as they are multiplied: 128 KiB.
	thinTile = 128 << 10
)

// thin is the state of such a product.
type thin struct {
	q     *product
	int8  *int8Product // rows are quantized
	codes int8Product  // else, if not empty: stored codes for a product in float32
	m, k  int
	dst   []float32 // [m, N]
	by    int       // columns in a tile
}

// multiplyThin computes q's rows, which are those of a plain product: of quantized activations, if there is an int8 product.
func (p *Pool) multiplyThin(ctx context.Context, q *product, i8 *int8Product) {
	_, k := q.weights.Dims()
	t := &p.ops.thin
	*t = thin{q: q, int8: i8, m: q.positions, k: k, dst: q.dst[q.from*q.n:]}
	if q.epilogue.more() {
		t.dst = p.results.floats(t.m * q.n)
	}
	size := 4
	if c, ok := q.weights.(CodeWeights); ok && i8 == nil {
		t.codes.codes, t.codes.kByN, t.codes.scale, t.codes.zero = c.Codes()
	}
	if i8 != nil || t.codes.codes != nil {
		size = 1
	}
	t.by = min(64, max(1, thinTile/max(1, size*k)))
	if t.codes.codes != nil && t.codes.kByN { // rows of codes are read in long pieces, for the memory's sake
		t.by = min(4096, max(512, (q.n/(4*len(p.workers))+63)&^63))
	}
	p.run(ctx, (q.n+t.by-1)/t.by, t)
	for m := 0; m < t.m && q.epilogue.more(); m++ {
		q.put(t.dst[m*q.n:(m+1)*q.n], m, 0)
	}
	*t = thin{}
}

func (t *thin) tile(i int, w *worker) {
	n0, n1 := i*t.by, min(t.q.n, (i+1)*t.by)
	if t.codes.zero != nil {
		for m := range t.m {
			sum, _ := t.q.path.sums(t.x(m))
			w.rowSums[m] = float32(sum)
		}
	}
	switch {
	case t.int8 != nil:
		t.int8Tile(w, n0, n1)
	case t.codes.codes == nil:
		t.floatTile(w, n0, n1)
	case t.codes.kByN:
		t.columnTile(w, n0, n1)
	default:
		for n := n0; n < n1; n++ {
			for m := range t.m {
				t.put(w, m, n, t.q.path.dotMixed(t.codes.codes[n*t.k:][:t.k], t.x(m)))
			}
		}
	}
}

// x is row m of activations in float32.
func (t *thin) x(m int) []float32 { return unsafe.Slice((*float32)(unsafe.Add(t.q.x, m*t.q.row)), t.k) }

// put makes a result of a sum of products with codes.
func (t *thin) put(w *worker, m, n int, sum float32) {
	sum *= t.codes.scale[n]
	if t.codes.zero != nil {
		sum += w.rowSums[m] * t.codes.zero[n]
	}
	if t.q.epilogue.Bias != nil {
		sum += t.q.epilogue.Bias[n]
	}
	t.dst[m*t.q.n+n] = sum
}

// floatTile multiplies weights that are unpacked to float32.
func (t *thin) floatTile(w *worker, n0, n1 int) {
	block := w.block.floats((n1 - n0) * t.k)
	t.q.weights.Unpack(block, n0, n1, 0, t.k)
	for n := n0; n < n1; n++ {
		var bias float32
		if t.q.epilogue.Bias != nil {
			bias = t.q.epilogue.Bias[n]
		}
		for m := range t.m {
			t.dst[m*t.q.n+n] = t.q.path.dot(block[(n-n0)*t.k:][:t.k], t.x(m)) + bias
		}
	}
}

// columnTile multiplies codes stored [K, N].
func (t *thin) columnTile(w *worker, n0, n1 int) {
	cols := n1 - n0
	acc := w.out.floats(t.m * cols)
	clear(acc)
	k := 0
	for ; k+4 <= t.k; k += 4 {
		for m := range t.m {
			t.q.path.addRows(acc[m*cols:(m+1)*cols], unsafe.Pointer(&t.codes.codes[k*t.q.n+n0]), (*[4]float32)(t.x(m)[k:]), t.q.n)
		}
	}
	for m := range t.m {
		x := t.x(m)
		for j, s := range acc[m*cols : (m+1)*cols] {
			for k := k; k < t.k; k++ {
				s += x[k] * float32(t.codes.codes[k*t.q.n+n0+j])
			}
			t.put(w, m, n0+j, s)
		}
	}
}

// int8Tile multiplies codes stored [N, K] by quantized activations.
func (t *thin) int8Tile(w *worker, n0, n1 int) {
	sums := w.out.ints(t.m * (n1 - n0))
	for n := n0; n < n1; n++ {
		for m := range t.m {
			sums[m*(n1-n0)+n-n0] = t.q.path.dotCodes(t.int8.codes[n*t.k:][:t.k], unsafe.Add(t.q.x, m*t.q.row))
		}
	}
	for m := range t.m {
		t.int8.finishRow(t.q, t.dst[m*t.q.n+n0:m*t.q.n+n1], sums[m*(n1-n0):], m, n0)
	}
}

func dotGo[W float32 | int8](w []W, x []float32) (sum float32) {
	for len(w) > 0 {
		n := min(len(w), chain)
		var s float32
		for i, v := range w[:n] {
			s += float32(v) * x[i]
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

func addRowsGo(acc []float32, codes unsafe.Pointer, x *[4]float32, stride int) {
	for j := range acc {
		for i, v := range x {
			acc[j] += v * float32(*at[int8](codes, i*stride+j))
		}
	}
}
