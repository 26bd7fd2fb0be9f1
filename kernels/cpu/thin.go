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
	q      *product
	int8   *int8Product                        // rows are quantized
	codes  int8Product                         // else, if not empty: stored codes for a product in float32
	dot    func(w []int8, x []float32) float32 // of them
	add4   func(acc []float32, codes unsafe.Pointer, x *[4]float32, stride int)
	code   func(c int8) float32
	groups codeGroups
	low    lowRank
	m, k   int
	dst    []float32 // [m, N]
	by     int       // columns in a tile
}

// codeGroups are codes in groups, for a product in float32; none if group is 0.
type codeGroups struct {
	weights     GroupedInt8Weights
	group       int
	scale, zero []float32
	sums        []float32 // of the activations of each group, for zero points
}

// multiplyThin computes q's rows, which are those of a plain product: of quantized activations, if there is an
// int8 product.
func (p *Pool) multiplyThin(ctx context.Context, q *product, i8 *int8Product) {
	_, k := q.weights.Dims()
	t := &p.ops.thin
	*t = thin{q: q, int8: i8, m: q.positions, k: k, dst: q.dst[q.from*q.n:]}
	if q.epilogue.more() {
		t.dst = p.results.floats(t.m * q.n)
	}
	if l := q.epilogue.low; l.rank > 0 {
		l.x = l.x[q.from*l.pitch:]
		t.low = l
	}
	if f, ok := q.weights.(FactoredWeights); ok && i8 == nil {
		t.factor(p, f.Factors())
	}
	size := 4
	if c, ok := q.weights.(CodeWeights); ok && i8 == nil {
		t.codes.codes, t.codes.kByN, t.codes.scale, t.codes.zero = c.Codes()
		t.dot, t.add4, t.code = q.path.dotMixed, q.path.addRows, func(c int8) float32 { return float32(c) }
		if u, ok := c.(UnsignedCodeWeights); ok && u.Unsigned() {
			t.dot, t.add4, t.code = q.path.dotUint8, q.path.addUint8, func(c int8) float32 { return float32(uint8(c)) }
		}
	}
	if i8 != nil || t.codes.codes != nil {
		size = 1
	}
	if c, ok := q.weights.(GroupedInt8Weights); ok && i8 == nil && t.codes.codes == nil {
		g := &t.groups
		if g.group, g.scale, g.zero = c.Int8Groups(); g.group > 0 {
			g.weights, size = c, 1
			t.sumGroups(p.scales.floats(t.m * k / g.group))
		}
	}
	t.by = min(64, max(1, thinTile/max(1, size*k)))
	switch stored, ok := q.weights.(TransposedWeights); {
	case t.codes.codes != nil && t.codes.kByN: // rows of codes are read in long pieces, for the memory's sake
		t.by = min(4096, max(512, (q.n/(4*len(p.workers))+63)&^63))
	case ok && stored.Transposed() && i8 == nil:
		t.by = 64
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
	case t.groups.group > 0:
		t.groupTile(w, n0, n1)
	case t.codes.codes == nil:
		t.floatTile(w, n0, n1)
	case t.codes.kByN:
		t.columnTile(w, n0, n1)
	default:
		for n := n0; n < n1; n++ {
			for m := range t.m {
				t.put(w, m, n, t.dot(t.codes.codes[n*t.k:][:t.k], t.x(m)))
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
	t.dst[m*t.q.n+n] = sum + t.beside(m, n)
}

// factor replaces the weights by their base, and the activations by rotated ones.
func (t *thin) factor(p *Pool, f Factors) {
	if f.Base == nil {
		return
	}
	t.q.weights = f.Base
	if f.Rotation.Chunk > 0 {
		z := p.shared.floats(t.m * t.k)
		copy(z, unsafe.Slice((*float32)(t.q.x), t.m*t.k))
		f.Rotation.Rotate(z)
		t.q.x = address(z)
	}
	t.low = lowRank{rank: f.Rank, pitch: f.Rank, up: f.Up, x: p.sums.floats(t.m * f.Rank)}
	for i := range t.low.x {
		t.low.x[i] = t.q.path.dot(f.Down[i%f.Rank*t.k:][:t.k], t.x(i/f.Rank))
	}
}

// floatTile multiplies weights that are unpacked to float32, so many columns at a time as fit.
func (t *thin) floatTile(w *worker, n0, n1 int) {
	t.pieces(n0, n1, 4, func(k0, k1 int) {
		block := w.block.floats((n1 - n0) * (k1 - k0))
		t.q.weights.Unpack(block, n0, n1, k0, k1)
		for n := n0; n < n1; n++ {
			for m := range t.m {
				t.add(m, n, k0, t.q.path.dot(block[(n-n0)*(k1-k0):][:k1-k0], t.x(m)[k0:]))
			}
		}
	})
}

// groupTile multiplies codes in groups, so many columns at a time as fit.
func (t *thin) groupTile(w *worker, n0, n1 int) {
	g := &t.groups
	count := t.k / g.group
	t.pieces(n0, n1, 1, func(k0, k1 int) {
		size := k1 - k0
		codes := unsafe.Slice((*int8)(address(w.block.bytes((n1-n0)*size))), (n1-n0)*size)
		g.weights.UnpackInt8(codes, n0, n1, k0, k1)
		for n := n0; n < n1; n++ {
			row, first, last := codes[(n-n0)*size:][:size], k0/g.group, (k1+g.group-1)/g.group
			scale := g.scale[n*count+first:]
			for m := range t.m {
				var sum float32
				if count == 1 {
					sum = t.q.path.dotMixed(row, t.x(m)[k0:k1]) * scale[0]
				} else {
					sum = t.q.path.dotGroups(row, t.x(m)[k0:k1], g.group, scale)
				}
				if g.zero != nil && (count > 1 || k0 == 0) {
					sum += t.q.path.dot(g.zero[n*count+first:n*count+last], g.sums[m*count+first:])
				}
				t.add(m, n, k0, sum)
			}
		}
	})
}

// pieces calls f for pieces of the columns whose weights, of so many bytes as they are multiplied, fit a tile: whole groups,
// if there are groups.
func (t *thin) pieces(n0, n1, size int, f func(k0, k1 int)) {
	step := max(256, thinTile/(size*(n1-n0))&^255)
	if g := t.groups.group; g > 0 && g < t.k {
		step = (step + g - 1) / g * g
	}
	for k := 0; k < t.k; k += step {
		f(k, min(t.k, k+step))
	}
}

// add adds to a result the sum of products of a piece of columns from k on.
func (t *thin) add(m, n, k int, sum float32) {
	dst := &t.dst[m*t.q.n+n]
	if k > 0 {
		*dst += sum
	} else {
		*dst = sum + t.beside(m, n)
	}
}

// beside is what a result has beside the sum of products: bias and the part of low rank.
func (t *thin) beside(m, n int) (sum float32) {
	if t.q.epilogue.Bias != nil {
		sum = t.q.epilogue.Bias[n]
	}
	return sum + t.low.share(m, n)
}

// share is what is of low rank of result [m, n].
func (l *lowRank) share(m, n int) float32 {
	if l.rank == 0 {
		return 0
	}
	return active.dot(l.up[n*l.rank:][:l.rank], l.x[m*l.pitch:])
}

// sumGroups sums the activations of each group, if there are zero points, in the order [row, group].
func (t *thin) sumGroups(sums []float32) {
	g := &t.groups
	if g.sums = sums; g.zero == nil {
		return
	}
	count := t.k / g.group
	for i := range sums {
		sum, _ := t.q.path.sums(t.x(i / count)[i%count*g.group:][:g.group])
		sums[i] = float32(sum)
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
			t.add4(acc[m*cols:(m+1)*cols], unsafe.Pointer(&t.codes.codes[k*t.q.n+n0]), (*[4]float32)(t.x(m)[k:]), t.q.n)
		}
	}
	for m := range t.m {
		x := t.x(m)
		for j, s := range acc[m*cols : (m+1)*cols] {
			for k := k; k < t.k; k++ {
				s += x[k] * t.code(t.codes.codes[k*t.q.n+n0+j])
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
		dst := t.dst[m*t.q.n+n0 : m*t.q.n+n1]
		t.int8.finishRow(t.q, dst, sums[m*(n1-n0):], m, n0)
		for i := range dst {
			dst[i] += t.low.share(m, n0+i)
		}
	}
}

func dotGo[W float32 | int8 | uint8](w []W, x []float32) (sum float32) {
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

func dotUint8Go(w []int8, x []float32) float32 {
	return dotGo(unsafe.Slice((*uint8)(address(w)), len(w)), x)
}

func dotCodesGo(w []int8, x unsafe.Pointer) (sum int32) {
	for i, v := range w {
		sum += (int32(v) + 128) * int32(*at[int8](x, i))
	}
	return sum
}

func addRowsGo[T int8 | uint8](acc []float32, codes unsafe.Pointer, x *[4]float32, stride int) {
	for j := range acc {
		for i, v := range x {
			acc[j] += v * float32(*at[T](codes, i*stride+j))
		}
	}
}

func dotGroupsGo(w []int8, x []float32, group int, scale []float32) (sum float32) {
	for i := 0; i*group < len(w); i++ {
		sum += dotGo(w[i*group:min(len(w), (i+1)*group)], x[i*group:]) * scale[i]
	}
	return sum
}
