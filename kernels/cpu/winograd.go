package cpu

import (
	"context"
	"unsafe"
)

// Winograd's convolution F(4x4, 3x3) makes 4x4 results from 6x6 pixels with 36 products for each pair of channels instead
// of 144: pictures, weights and results are transformed, between which lie 36 matrix products. Its errors on normal numbers
// are 2e-6 of the results' deviation (root mean square) and at most 7e-6 of the largest: a thousandth of what rounding to
// bfloat16 makes, so it stands in for BF16 where the processor has no product of that.

const (
	winogradPoints = 36
	// winogradWindow bounds the transformed pixels that exist at once: 16 MiB.
	winogradWindow = 4 << 20
	// winogradTiles is how many tiles of 4x4 results a worker multiplies at once: their sums share the L2 cache with the
	// panel. Twice as many are not worth reading the panel twice.
	winogradTiles = 24
	// winogradFew is how few tiles do not pay for transforming the weights.
	winogradFew = 16
	// mixBlock is how many floats are transformed at once, so that what is between the two axes stays in the L1 cache.
	mixBlock = 128
)

// winograd is the state of one call.
type winograd struct {
	q       *product
	across  int     // tiles in a row of a picture
	down    int     // rows of tiles of a picture
	tiles   int     // of all pictures
	first   int     // tile of the window
	count   int     // tiles in the window
	pixels  scratch // transformed: [36][count][channels]
	phase   func(g *winograd, t int, w *worker)
	perPart int // tiles of a unit of the first phase
}

// suits says whether the product is a convolution that Winograd's form is made for, and gains by it.
func (q *product) suits() bool {
	c := q.conv
	return c.KH == 3 && c.KW == 3 && c.KT <= 1 && c.StrideT <= 1 && c.Front+c.Back == 0 && c.StrideH == 1 && c.StrideW == 1 && q.channels >= 16 && q.n >= 16 && q.positions >= 16*winogradFew
}

// multiplyWinograd computes q in two phases for each window of tiles: transform pixels; then transform the weights of a
// panel of columns, multiply and transform back.
func (p *Pool) multiplyWinograd(ctx context.Context, q *product) {
	g := &p.ops.winograd
	g.q, g.across, g.down = q, (q.ow+3)/4, (q.oh+3)/4
	g.tiles = q.images * q.t * g.across * g.down
	q.zeros = address(p.zeros(q.channels))
	q.strips = (q.n + q.path.lanes - 1) / q.path.lanes
	q.panels = (q.strips*q.path.lanes + panelColumns - 1) / panelColumns
	if q.panels < 2*len(p.workers) { // narrower ones, so that all workers have some
		q.panels = min((q.strips+q.path.strips-1)/q.path.strips, 2*len(p.workers))
	}
	window := max(winogradTiles, winogradWindow/(winogradPoints*q.channels))
	for g.first = 0; g.first < g.tiles && ctx.Err() == nil; g.first += window {
		g.count = min(window, g.tiles-g.first)
		g.pixels.floats(winogradPoints * g.count * q.channels)
		g.perPart = max(1, spanBy/(winogradPoints*q.channels))
		g.phase = (*winograd).transform
		p.run(ctx, (g.count+g.perPart-1)/g.perPart, g)
		g.phase = (*winograd).multiply
		p.run(ctx, q.panels, g)
	}
	g.q = nil
}

func (g *winograd) tile(t int, w *worker) { g.phase(g, t, w) }

// place is the picture of a tile, and the pixel of its first result.
func (g *winograd) place(tile int) (b, y, x int) {
	return tile / (g.across * g.down), tile / g.across % g.down * 4, tile % g.across * 4
}

// transform transforms the pixels of some tiles.
func (g *winograd) transform(t int, w *worker) {
	q, c := g.q, g.q.channels
	all := g.pixels.floats(winogradPoints * g.count * c)
	between := w.block.floats(winogradPoints * mixBlock)
	shift := 0
	if q.conv.Double {
		shift = 1
	}
	for tile := t * g.perPart; tile < min(g.count, (t+1)*g.perPart); tile++ {
		b, oy, ox := g.place(g.first + tile)
		for c0 := 0; c0 < c; c0 += mixBlock {
			n := min(mixBlock, c-c0)
			for i := range 6 {
				y := oy - q.conv.Top + i
				for j := range 6 {
					x := ox - q.conv.Left + j
					w.six[j] = q.zeros
					if uint(y) < uint(q.h<<shift) && uint(x) < uint(q.w<<shift) {
						w.six[j] = unsafe.Add(q.x, 4*(((b*q.h+y>>shift)*q.w+x>>shift)*c+c0))
					}
				}
				q.path.mixInput(unsafe.Pointer(&between[i*6*mixBlock]), &w.six, n, 4*mixBlock)
			}
			for j := range 6 {
				for i := range 6 {
					w.six[i] = unsafe.Pointer(&between[(i*6+j)*mixBlock])
				}
				q.path.mixInput(unsafe.Pointer(&all[(j*g.count+tile)*c+c0]), &w.six, n, 4*6*g.count*c)
			}
		}
	}
	clear(w.six[:])
}

// multiply computes a panel of columns for all tiles of the window.
func (g *winograd) multiply(t int, w *worker) {
	q := g.q
	groups := (q.strips + q.path.strips - 1) / q.path.strips
	p := part{q: q, w: w, strip0: t * groups / q.panels * q.path.strips, strip1: min(q.strips, (t+1)*groups/q.panels*q.path.strips)}
	p.n0, p.nr = p.strip0*q.path.lanes, (p.strip1-p.strip0)*q.path.lanes
	p.n1 = min(q.n, p.n0+p.nr)
	p.panel = address(w.panel.floats(winogradPoints * q.channels * p.nr))
	p.each(func(n, nr int) { g.weights(&p, n, nr) })
	tiles := winogradTiles
	if g.count <= 2*tiles {
		tiles = g.count
	}
	for first := 0; first < g.count; first += tiles {
		count := min(tiles, g.count-first)
		sums := w.out.floats(winogradPoints * count * p.nr)
		for i := range winogradPoints {
			g.products(&p, sums[i*count*p.nr:], i, first, count)
		}
		for tile := range count {
			g.results(&p, sums, first, count, tile)
		}
	}
	clear(w.six[:])
	clear(w.rows)
}

// weights transforms the weights of columns n..n+nr-1 to [36][channels][nr] of the panel.
func (g *winograd) weights(p *part, n, nr int) {
	q, w := g.q, p.w
	size := q.channels * nr
	plain := w.wide.floats(9 * size) // [9][channels][nr]
	q.pack(w, plain, n, nr, 0, q.channels)
	dst := g.tilePanel(p, n)
	between := w.block.floats(winogradPoints * mixBlock)
	for at := 0; at < size; at += mixBlock {
		count := min(mixBlock, size-at)
		for i := range 3 {
			for j := range 3 {
				w.six[j] = unsafe.Pointer(&plain[(3*i+j)*size+at])
			}
			q.path.mixWeights(unsafe.Pointer(&between[i*6*mixBlock]), &w.six, count, 4*mixBlock)
		}
		for j := range 6 {
			for i := range 3 {
				w.six[i] = unsafe.Pointer(&between[(i*6+j)*mixBlock])
			}
			q.path.mixWeights(unsafe.Add(dst, 4*(j*size+at)), &w.six, count, 4*6*size)
		}
	}
}

func (g *winograd) tilePanel(p *part, n int) unsafe.Pointer {
	return unsafe.Add(p.panel, 4*(n-p.n0)*winogradPoints*g.q.channels)
}

// products multiplies point i of count tiles by the panel: sums [count][nr].
func (g *winograd) products(p *part, sums []float32, i, first, count int) {
	q, w, c := g.q, p.w, g.q.channels
	step := q.path.rows[q.path.strips]
	if len(w.rows) < maxRows {
		w.rows = make([]unsafe.Pointer, maxRows)
	}
	pixels := address(g.pixels.buf)
	for t := 0; t < count; t += step {
		mr := min(step, count-t)
		for r := range mr {
			w.rows[r] = unsafe.Add(pixels, 4*(i*g.count+first+t+r)*c)
		}
		p.each(func(n, nr int) {
			w.args = tileArgs{
				rows: address(w.rows), taps: 1, k: c, step: 4, b: unsafe.Add(g.tilePanel(p, n), 4*i*c*nr),
				c: unsafe.Pointer(&sums[t*p.nr+n-p.n0]), pitch: 4 * p.nr, init: address(w.zero[:]), mr: mr, nr: nr,
			}
			q.path.f32[nr/q.path.lanes][mr](&w.args)
		})
	}
}

// results transforms the sums of a tile back and writes them to dst.
func (g *winograd) results(p *part, sums []float32, first, count, tile int) {
	q, w, nr := g.q, p.w, p.nr
	between := w.block.floats((24 + 4) * nr)
	out := between[24*nr:]
	for i := range 6 {
		for j := range 6 {
			w.six[j] = unsafe.Pointer(&sums[((i*6+j)*count+tile)*nr])
		}
		q.path.mixOutput(unsafe.Pointer(&between[i*4*nr]), &w.six, nr, 4*nr)
	}
	b, oy, ox := g.place(g.first + first + tile)
	bias := noBias[:p.n1-p.n0]
	if q.epilogue.Bias != nil {
		bias = q.epilogue.Bias[p.n0:p.n1]
	}
	for x := range min(4, q.ow-ox) {
		for i := range 6 {
			w.six[i] = unsafe.Pointer(&between[(i*4+x)*nr])
		}
		q.path.mixOutput(address(out), &w.six, nr, 4*nr)
		for y := range min(4, q.oh-oy) {
			pos, row := (b*q.oh+oy+y)*q.ow+ox+x, out[y*nr:y*nr+len(bias)]
			if q.epilogue.more() {
				q.path.add(row, row, bias)
				q.put(row, pos, p.n0)
			} else {
				q.path.add(q.dst[pos*q.n+p.n0:][:len(row)], row, bias)
			}
		}
	}
}

// The transforms along one axis, see gen/winograd.go.

func mixInputGo(dst unsafe.Pointer, src *[6]unsafe.Pointer, n, step int) {
	for k := range n {
		var d [6]float32
		for i, p := range src {
			d[i] = *at[float32](p, 4*k)
		}
		for j, v := range [6]float32{
			4*d[0] - 5*d[2] + d[4], d[3] + d[4] - 4*d[1] - 4*d[2], d[4] - d[3] + 4*d[1] - 4*d[2],
			d[4] - d[2] + 2*d[3] - 2*d[1], d[4] - d[2] - 2*d[3] + 2*d[1], 4*d[1] - 5*d[3] + d[5],
		} {
			*at[float32](dst, j*step+4*k) = v
		}
	}
}

func mixWeightsGo(dst unsafe.Pointer, src *[6]unsafe.Pointer, n, step int) {
	for k := range n {
		a, b, c := *at[float32](src[0], 4*k), *at[float32](src[1], 4*k), *at[float32](src[2], 4*k)
		for j, v := range [6]float32{a / 4, -(a + b + c) / 6, -(a - b + c) / 6, a/24 + b/12 + c/6, a/24 - b/12 + c/6, c} {
			*at[float32](dst, j*step+4*k) = v
		}
	}
}

func mixOutputGo(dst unsafe.Pointer, src *[6]unsafe.Pointer, n, step int) {
	for k := range n {
		var m [6]float32
		for i, p := range src {
			m[i] = *at[float32](p, 4*k)
		}
		for j, v := range [4]float32{
			m[0] + m[1] + m[2] + m[3] + m[4], m[1] - m[2] + 2*(m[3]-m[4]), m[1] + m[2] + 4*(m[3]+m[4]), m[1] - m[2] + 8*(m[3]-m[4]) + m[5],
		} {
			*at[float32](dst, j*step+4*k) = v
		}
	}
}
