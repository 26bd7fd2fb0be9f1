package cpu

import (
	"context"
	"unsafe"
)

// Weights made of parts, (Base + Up·Down)·H, and those that ask for rounded activations are multiplied so: one pass over the
// rows of activations rotates them, multiplies them by Down and rounds or quantizes them while they are in the cache; then
// each tile of the product with Base adds Up's share to its sums before they are written.

// lowRank is what of the weights is of low rank, to be multiplied by down·x; none if rank is 0.
type lowRank struct {
	rank, pitch int
	up          []float32 // [N, rank]
	x           []float32 // down·x, rows of rank numbers, pitch from row to row
}

// plan is how weights are multiplied in some precision, after one pass over the activations.
type plan struct {
	Factors
	w      Weights // what is multiplied in the end
	prec   Precision
	format Format // that the product reads
	form   Rounding
	sums   []float32 // of the rows of w, for zero points of activations
}

// planOf makes the plan for a product of so many rows of activations; false if it needs no such pass.
func planOf(w Weights, prec Precision, rows int) (plan, bool) {
	p := plan{prec: prec, format: prec.Takes(false)}
	if f, ok := w.(FactoredWeights); ok && rows > thinRows {
		p.Factors = f.Factors()
	}
	if p.w = p.Base; p.Base == nil {
		p.w = w
	}
	switch {
	case prec == Rounded:
		p.prec = Exact
		if r, ok := p.w.(RoundedWeights); ok {
			if rounded, form, sums := r.Rounded(); form != Unrounded {
				p.w, p.form, p.sums = rounded, form, sums
			}
		}
		if p.form == Uint8 {
			p.prec, p.format = Int8, Int8Rows
		}
	case prec >= Int8 && p.Base != nil && !inInt8(p.w):
		p.prec, p.format = Exact, Float32
	}
	return p, p.Base != nil || p.form != Unrounded
}

// inInt8 says that weights have codes for a product in int8.
func inInt8(w Weights) bool {
	if c, ok := w.(Int8Weights); ok {
		if codes, _, _, _ := c.Int8(); codes != nil {
			return true
		}
	}
	return inGroupsOf(w) != nil
}

// multiplyPlanned computes a matrix product as planned, some rows at a time.
func (p *Pool) multiplyPlanned(ctx context.Context, dst []float32, x Rows, images int, pl plan, e Epilogue) {
	n, k := pl.w.Dims()
	low := lowRank{rank: pl.Rank, pitch: (pl.Rank + active.lanes - 1) / active.lanes * active.lanes, up: pl.Up}
	if pl.Rank > 0 {
		check("MatMul", "up", len(pl.Up), n*pl.Rank)
		check("MatMul", "down", len(pl.Down), pl.Rank*k)
		p.packDown(ctx, pl.Down, low.pitch, k)
	}
	if pl.form == Uint8 {
		check("Rounded", "sums", len(pl.sums), n)
	}
	e.pieces(ctx, x.M, n, images, func(first, count int, e Epilogue) {
		r := &p.ops.ready
		*r = ready{x: x.part(first, count), plan: pl, low: low}
		if pl.Rotation.Chunk > 0 || pl.form != Unrounded || x.Format != pl.format {
			r.dst = Rows{Format: pl.format, Data: p.codes.floats(count * pl.format.Words(k)), M: count, K: k}
		}
		if pl.form == Uint8 {
			r.zero = p.scales.floats(count)
			e.shifts, e.rowSums = r.zero, pl.sums
		}
		r.by = max(1, spanBy/k)
		if pl.Rank > 0 {
			r.by = 24 // rows pay for reading Down once more
			r.down, r.low.x = p.down.buf, p.low.floats(count*low.pitch)
			e.low = r.low
		}
		p.run(ctx, (count+r.by-1)/r.by, r)
		rows := r.x
		if r.dst.Data != nil {
			rows = r.dst
		}
		*r = ready{}
		p.multiply(ctx, dst[first*n:], rows, [4]int{1, 1, 1, count}, pl.w, one, pl.prec, e)
	})
}

// packDown packs Down for the tile kernels, all its columns and pitch rows, of which those beyond its own are zero.
func (p *Pool) packDown(ctx context.Context, down []float32, pitch, k int) {
	t := &p.ops.packing
	*t = packing{down: down, dst: p.down.floats(pitch * k), n: pitch, k: k}
	p.run(ctx, (pitch+active.width()-1)/active.width(), t)
	*t = packing{}
}

// width is how many columns a tile has at most.
func (p *path) width() int { return p.strips * p.lanes }

// packing is a task that packs Down, tile by tile.
type packing struct {
	down, dst []float32
	n, k      int
}

func (t *packing) tile(i int, w *worker) {
	n := i * active.width()
	nr := min(active.width(), t.n-n)
	w.packFloats(t.dst[n*t.k:(n+nr)*t.k], t.down, n, nr, t.k)
}

// packFloats packs rows n0..n0+nr-1 of v, k long, into a panel [k][nr]; rows that v does not have are zero.
func (w *worker) packFloats(panel, v []float32, n0, nr, k int) {
	w.place(k, 1, k, nr)
	for n := n0; n < n0+nr; n += 8 {
		src := v[min(len(v), n*k):]
		if len(src) < 8*k {
			block := w.block.floats(8 * k)
			clear(block[copy(block, src):])
			src = block
		}
		active.transpose(unsafe.Pointer(&panel[n-n0]), &w.offset[0], address(src), 4*k, k, 0)
	}
}

// ready is the task that makes rows of activations ready.
type ready struct {
	plan
	x, dst Rows // dst has no data if the product reads x as it is
	low    lowRank
	down   []float32 // as packDown packs it
	zero   []float32 // of codes in uint8, for each row
	by     int
}

func (r *ready) tile(t int, w *worker) {
	i0, i1 := t*r.by, min(r.x.M, (t+1)*r.by)
	rows := r.floats(w, i0, i1)
	if r.low.rank > 0 {
		r.multiplyDown(w, rows, i0, i1)
	}
	if r.dst.Data == nil {
		return
	}
	for i, k := i0, r.x.K; i < i1; i++ {
		row := rows[(i-i0)*k:][:k]
		switch r.form {
		case Float8, Float16: // row is dst's
			r.form.Round(row, r.form.RowScale(row))
		case Uint8:
			scale, zero := Uint8Span(row)
			moved := w.out.floats(k)
			active.linear(moved, row, 1, -zero)
			active.storeCodes(r.dst, i, moved, scale)
			r.zero[i] = zero
		default:
			if r.dst.Format != Float32 { // else row is dst's
				active.store(r.dst, i, row, -1)
			}
		}
	}
}

// floats returns rows i0..i1-1, rotated, in float32: those of x itself, of dst, or in memory of the worker.
func (r *ready) floats(w *worker, i0, i1 int) []float32 {
	k := r.x.K
	var rows []float32
	switch {
	case r.dst.Data != nil && r.dst.Format == Float32:
		rows = r.dst.Data[i0*k : i1*k]
	case r.x.Format == Float32 && r.Rotation.Chunk == 0:
		return r.x.Data[i0*k : i1*k]
	default:
		rows = w.wide.floats((i1 - i0) * k)
	}
	for i := i0; i < i1; i++ {
		r.x.Floats(rows[(i-i0)*k:][:k], i)
	}
	if r.Rotation.Chunk > 0 {
		r.Rotation.Rotate(rows)
	}
	return rows
}

// downBlock is how many columns of Down are multiplied at a time: with 32 rows they fit the L1 cache, about.
const downBlock = 256

// multiplyDown multiplies rows i0..i1-1 by Down.
func (r *ready) multiplyDown(w *worker, rows []float32, i0, i1 int) {
	p, k, pitch := active, r.x.K, r.low.pitch
	if len(w.rows) < maxRows {
		w.rows = make([]unsafe.Pointer, maxRows)
	}
	for k0 := 0; k0 < k; k0 += downBlock {
		for n := 0; n < pitch; n += p.width() {
			nr := min(p.width(), pitch-n)
			strips := nr / p.lanes
			for i := i0; i < i1; i += p.rows[strips] {
				mr := min(p.rows[strips], i1-i)
				for j := range mr {
					w.rows[j] = unsafe.Pointer(&rows[(i-i0+j)*k])
				}
				w.args = tileArgs{
					rows: address(w.rows), taps: 1, off: 4 * k0, k: min(downBlock, k-k0), step: 4, b: unsafe.Pointer(&r.down[n*k+k0*nr]),
					c: unsafe.Pointer(&r.low.x[i*pitch+n]), pitch: 4 * pitch, mr: mr, nr: nr,
				}
				if k0 == 0 {
					w.args.init = address(w.zero[:])
				}
				p.f32[strips][mr](&w.args)
			}
		}
	}
	clear(w.rows)
}

// packUp packs Up's rows for the columns of the panel.
func (p *part) packUp() {
	low := &p.q.epilogue.low
	p.up = p.w.up.floats(low.rank * p.nr)
	p.each(func(n, nr int) { p.w.packFloats(p.up[(n-p.n0)*low.rank:][:low.rank*nr], low.up, n, nr, low.rank) })
}

// addLow adds Up's share to results [mr][nr] of positions from pos on.
func (p *part) addLow(sums []float32, pos, mr int) {
	q, low := p.q, &p.q.epilogue.low
	for i := range mr {
		p.w.rows[i] = unsafe.Pointer(&low.x[(q.from+pos+i)*low.pitch])
	}
	p.each(func(n, nr int) {
		p.w.args = tileArgs{
			rows: address(p.w.rows), taps: 1, k: low.rank, step: 4, b: unsafe.Pointer(&p.up[(n-p.n0)*low.rank]),
			c: unsafe.Pointer(&sums[n-p.n0]), pitch: 4 * p.nr, mr: mr, nr: nr,
		}
		q.path.f32[nr/q.path.lanes][mr](&p.w.args)
	})
}
