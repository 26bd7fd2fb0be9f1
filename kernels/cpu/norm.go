package cpu

import (
	"context"
	"math"
)

// LayerNorm normalizes each row of x [M, K] to mean 0 and variance 1, then multiplies by w and adds bias ([K] or nil).
// Statistics are in float64. For all operations on rows dst is not Int8Images.
func LayerNorm(ctx context.Context, p *Pool, dst Rows, x []float32, eps float32, w, bias []float32) {
	p.norm(ctx, "LayerNorm", layerNormRow, dst, x, eps, w, bias)
}

// RMSNorm divides each row of x [rows, c] by its root mean square, then multiplies by w ([c] or nil).
func RMSNorm(ctx context.Context, p *Pool, dst, x []float32, rows, c int, eps float32, w []float32) {
	p.norm(ctx, "RMSNorm", rmsNormRow, Floats(dst, rows, c), x, eps, w, nil)
}

func (p *Pool) norm(ctx context.Context, op string, f func(*rowwise, []float32, []float32), dst Rows, x []float32, eps float32, w, bias []float32) {
	n, c := dst.M*dst.K, dst.K
	dst.check(op, "dst")
	check(op, "x", len(x), n)
	if w != nil {
		check(op, "weight", len(w), c)
	}
	if bias != nil {
		check(op, "bias", len(bias), c)
	}
	r := rowwise{op: f, x: x[:n], c: c, eps: eps, w: w, bias: bias}
	r.into(dst)
	p.byRow(ctx, r)
}

func layerNormRow(r *rowwise, dst, x []float32) {
	normalize(dst, x, r.eps)
	r.affine(dst)
}

// normalize gives a row mean 0 and variance 1.
func normalize(dst, x []float32, eps float32) {
	s, q := active.sums(x)
	mean := s / float64(len(x))
	scale := 1 / math.Sqrt(max(0, q/float64(len(x))-mean*mean)+float64(eps))
	active.linear(dst, x, float32(scale), float32(-mean*scale))
}

func rmsNormRow(r *rowwise, dst, x []float32) {
	_, q := active.sums(x)
	active.linear(dst, x, float32(1/math.Sqrt(q/float64(len(x))+float64(r.eps))), 0)
	r.affine(dst)
}

// affine multiplies by the weight and adds the bias.
func (r *rowwise) affine(dst []float32) {
	switch {
	case r.w != nil && r.bias != nil:
		active.mulAdd(dst, dst, r.w, r.bias)
	case r.w != nil:
		active.mul(dst, dst, r.w)
	case r.bias != nil:
		active.add(dst, dst, r.bias)
	}
}

// groupNorm is the state of a GroupNorm. It runs in phases over parts of normRows rows: sums of each part, then factors of
// each channel, then the rows.
type groupNorm struct {
	dst            Rows
	x              []float32
	b, hw, c       int
	groups         int
	eps            float32
	w, bias        []float32
	silu           bool
	phase          func(g *groupNorm, t int, w *worker)
	tops           []float32 // for codes: the largest absolute value of each part, then of each batch element
	parts          int       // of a batch element
	sum, square    []float64 // [b*parts, c]
	factor, offset []float32 // [b, c]
}

// normRows is a fixed number, so that sums do not depend on the number of workers.
const normRows = 64

// GroupNorm normalizes x [b, M/b, K] over the positions and the channels of each group, multiplies by w [K], adds bias [K]
// and, if silu, takes SiLU. w and bias may be nil. Statistics are in float64. An Int8Images dst has the scale of what a
// convolution would find in float32 results, which are computed twice for that, but never written.
func GroupNorm(ctx context.Context, p *Pool, dst Rows, x []float32, b, groups int, eps float32, w, bias []float32, silu bool) {
	hw, c := dst.M/max(1, b), dst.K
	dst.check("GroupNorm", "dst")
	check("GroupNorm", "x", len(x), b*hw*c)
	if w != nil {
		check("GroupNorm", "weight", len(w), c)
	}
	if bias != nil {
		check("GroupNorm", "bias", len(bias), c)
	}
	if b*hw*c == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	g := &p.ops.group
	parts := (hw + normRows - 1) / normRows
	sum, factor := g.sum, g.factor // kept between calls
	if need := 2 * b * parts * c; cap(sum) < need {
		sum = make([]float64, need)
	}
	if need := 2 * b * c; cap(factor) < need {
		factor = make([]float32, need)
	}
	sum, factor = sum[:cap(sum)], factor[:cap(factor)]
	*g = groupNorm{
		dst: dst, x: x, b: b, hw: hw, c: c, groups: groups, eps: eps, w: w, bias: bias, silu: silu, parts: parts,
		sum: sum, square: sum[b*parts*c:], factor: factor, offset: factor[b*c:],
	}
	g.phase = (*groupNorm).sums
	p.run(ctx, b*parts, g)
	g.factors()
	if dst.Format == Int8Images {
		all := p.scales.floats(b + b*parts)
		g.tops, g.phase = all[b:], (*groupNorm).top
		p.run(ctx, b*parts, g)
		g.tops = largest(all, b, parts)
	}
	g.phase = (*groupNorm).apply
	p.run(ctx, b*parts, g)
	*g = groupNorm{sum: sum, factor: factor}
}

func (g *groupNorm) tile(t int, w *worker) { g.phase(g, t, w) }

// rows are those of a part of batch element b.
func (g *groupNorm) rows(t int) (b, r0, r1 int) {
	b, part := t/g.parts, t%g.parts
	return b, b*g.hw + part*normRows, b*g.hw + min(g.hw, (part+1)*normRows)
}

// row computes the result of row r.
func (g *groupNorm) row(dst []float32, b, r int) {
	active.mulAdd(dst, g.x[r*g.c:(r+1)*g.c], g.factor[b*g.c:], g.offset[b*g.c:])
	if g.silu {
		active.swish(dst, dst, 1, 0)
	}
}

func (g *groupNorm) apply(t int, w *worker) {
	b, r0, r1 := g.rows(t)
	if g.dst.Format == Float32 {
		for r := r0; r < r1; r++ {
			g.row(g.dst.Data[r*g.c:(r+1)*g.c], b, r)
		}
		return
	}
	row, top := w.wide.floats(g.c), float32(-1)
	if g.tops != nil {
		top = g.tops[b]
	}
	for r := r0; r < r1; r++ {
		g.row(row, b, r)
		active.store(g.dst, r, row, top)
	}
}

func (g *groupNorm) top(t int, w *worker) {
	b, r0, r1 := g.rows(t)
	row := w.wide.floats(g.c)
	g.tops[t] = 0
	for r := r0; r < r1; r++ {
		g.row(row, b, r)
		g.tops[t] = larger(g.tops[t], active.absMax(row))
	}
}

func (g *groupNorm) sums(t int, _ *worker) {
	_, r0, r1 := g.rows(t)
	s, q := g.sum[t*g.c:][:g.c], g.square[t*g.c:][:g.c]
	clear(s)
	clear(q)
	for r := r0; r < r1; r++ {
		active.moment(s, q, g.x[r*g.c:(r+1)*g.c])
	}
}

// factors turns the sums into y = x*factor + offset.
func (g *groupNorm) factors() {
	size := g.c / g.groups
	n := float64(g.hw * size)
	for b := range g.b {
		for c0 := 0; c0 < g.c; c0 += size {
			var s, q float64
			for part := b * g.parts; part < (b+1)*g.parts; part++ {
				for c := c0; c < c0+size; c++ {
					s += g.sum[part*g.c+c]
					q += g.square[part*g.c+c]
				}
			}
			mean := s / n
			scale := 1 / math.Sqrt(max(0, q/n-mean*mean)+float64(g.eps))
			for c := c0; c < c0+size; c++ {
				f, o := scale, 0.0
				if g.w != nil {
					f *= float64(g.w[c])
				}
				if g.bias != nil {
					o = float64(g.bias[c])
				}
				g.factor[b*g.c+c], g.offset[b*g.c+c] = float32(f), float32(o-mean*f)
			}
		}
	}
}
