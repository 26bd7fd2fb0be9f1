package cpu

import (
	"context"
	"math"
)

// spanBy is how many elements of an element-wise operation make a tile.
const spanBy = 16384

// Activation is an element-wise function.
type Activation uint8

// The activations of the model families.
const (
	Identity  Activation = iota // x
	SiLU                        // x * sigmoid(x)
	GELU                        // x * Φ(x) with the exact Gaussian distribution function
	GELUTanh                    // x/2 * (1 + tanh(√(2/π) (x + 0.044715 x³))), which is a sigmoid of twice the argument
	QuickGELU                   // x * sigmoid(1.702 x)
)

// of applies f to a slice; dst may be x.
func (f Activation) of(dst, x []float32) {
	switch f {
	case Identity:
		copy(dst, x)
	case SiLU:
		active.swish(dst, x, 1, 0)
	case GELU:
		active.gelu(dst, x)
	case GELUTanh:
		const slope = 2 * math.Sqrt2 / 1.7724538509055160273 // 2 √(2/π)
		active.swish(dst, x, slope, 0.044715*slope)
	case QuickGELU:
		active.swish(dst, x, 1.702, 0)
	}
}

// Activate is f of each element. Here and below dst may be x unless said otherwise.
func Activate(ctx context.Context, p *Pool, dst, x []float32, f Activation) {
	check("Activate", "x", len(x), len(dst))
	p.byRow(ctx, rowwise{op: activateRow, dst: dst, x: x, c: spanBy, f: f})
}

func activateRow(r *rowwise, dst, x []float32) { r.f.of(dst, x) }

// Gated is value * f(gate) of rows x [M, 2K], which hold K values, then K gates, or the gates first, into dst [M, K], which
// must not be x: GEGLU with GELU, SwiGLU with SiLU.
func Gated(ctx context.Context, p *Pool, dst Rows, x []float32, f Activation, gateFirst bool) {
	dst.check("Gated", "dst")
	check("Gated", "x", len(x), 2*dst.M*dst.K)
	op := valueFirstRow
	if gateFirst {
		op = gateFirstRow
	}
	r := rowwise{op: op, x: x[:2*dst.M*dst.K], c: dst.K, xc: 2 * dst.K, f: f}
	r.into(dst)
	p.byRow(ctx, r)
}

func valueFirstRow(r *rowwise, dst, x []float32) {
	r.f.of(dst, x[len(dst):])
	active.mul(dst, dst, x)
}

func gateFirstRow(r *rowwise, dst, x []float32) {
	r.f.of(dst, x)
	active.mul(dst, dst, x[len(dst):])
}

// Add is a + b.
func Add(ctx context.Context, p *Pool, dst, a, b []float32) {
	n := len(dst)
	check("Add", "a", len(a), n)
	check("Add", "b", len(b), n)
	p.byToken(ctx, tokenwise{op: addRow, dst: dst, x: a[:n], y: b[:n], rows: (n + spanBy - 1) / spanBy, c: spanBy, yc: spanBy})
}

func addRow(_ *tokenwise, dst, x, y []float32) { active.add(dst, x, y) }

// Affine is x*a + b.
func Affine(ctx context.Context, p *Pool, dst, x []float32, a, b float32) {
	check("Affine", "x", len(x), len(dst))
	p.byRow(ctx, rowwise{op: affineRow, dst: dst, x: x, c: spanBy, a: a, b: b})
}

func affineRow(r *rowwise, dst, x []float32) { active.linear(dst, x, r.a, r.b) }

// rowwise is an operation on each row of c elements; the last may be shorter.
type rowwise struct {
	op      func(r *rowwise, dst, x []float32)
	dst, x  []float32
	c, xc   int // elements of a row of dst and of x (0: the same)
	by      int // rows in a tile
	w, bias []float32
	eps     float32
	a, b    float32
	f       Activation
	out     Rows // instead of dst, where that is in another format
}

// into makes dst the result.
func (r *rowwise) into(dst Rows) {
	if dst.Format == Float32 {
		r.dst = dst.Data[:dst.M*dst.K]
	} else {
		r.out = dst
	}
}

// elements is the number of values of the result.
func (r *rowwise) elements() int { return max(len(r.dst), r.out.M*r.out.K) }

func (r *rowwise) tile(t int, w *worker) {
	rows := (r.elements() + r.c - 1) / r.c
	if r.dst == nil {
		row := w.wide.floats(r.c)
		for i := t * r.by; i < min(rows, (t+1)*r.by); i++ {
			r.op(r, row, r.x[i*r.xc:(i+1)*r.xc])
			active.store(r.out, i, row, -1)
		}
		return
	}
	for i := t * r.by; i < min(rows, (t+1)*r.by); i++ {
		d0, d1 := i*r.c, min(len(r.dst), (i+1)*r.c)
		r.op(r, r.dst[d0:d1], r.x[i*r.xc:min(len(r.x), (i+1)*r.xc)])
	}
}

func (p *Pool) byRow(ctx context.Context, r rowwise) {
	if r.elements() == 0 {
		return
	}
	if r.xc == 0 {
		r.xc = r.c
	}
	r.by = max(1, spanBy/r.c)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ops.rows = r
	p.run(ctx, ((r.elements()+r.c-1)/r.c+r.by-1)/r.by, &p.ops.rows)
	p.ops.rows = rowwise{}
}

// AddRow adds v [c] to each row of x [rows, c].
func AddRow(ctx context.Context, p *Pool, dst, x, v []float32) {
	check("AddRow", "x", len(x), len(dst))
	p.byRow(ctx, rowwise{dst: dst, x: x, c: len(v), w: v, op: func(r *rowwise, dst, x []float32) {
		active.add(dst, x, r.w)
	}})
}

// Softmax is exp(x) over its sum, row by row of x [rows, c]. A row of nothing but -Inf becomes NaN.
func Softmax(ctx context.Context, p *Pool, dst, x []float32, rows, c int) {
	check("Softmax", "dst", len(dst), rows*c)
	check("Softmax", "x", len(x), rows*c)
	p.byRow(ctx, rowwise{op: softmaxRow, dst: dst[:rows*c], x: x[:rows*c], c: c})
}

func softmaxRow(_ *rowwise, dst, x []float32) {
	sum := active.exp(dst, x, active.max(x))
	active.linear(dst, dst, 1/sum, 0)
}

// TimestepEmbedding writes for each t a row of dst [len(t), dim] of sin(t*f_i), then cos(t*f_i), the other way round if
// cosFirst, with f_i = 10000^(-i/(dim/2-shift)); an odd last element is 0. Networks are trained with angles that are rounded
// to float32 from the logarithm on.
func TimestepEmbedding(dst, t []float32, dim int, cosFirst bool, shift float64) {
	check("TimestepEmbedding", "dst", len(dst), len(t)*dim)
	half := dim / 2
	for r, step := range t {
		row := dst[r*dim : (r+1)*dim]
		clear(row)
		sines, cosines := row[:half], row[half:]
		if cosFirst {
			sines, cosines = cosines, sines
		}
		for i := range half {
			f := float32(math.Exp(float64(float32(-math.Log(10000)) * float32(i) / float32(float64(half)-shift))))
			sin, cos := math.Sincos(float64(step * f))
			sines[i], cosines[i] = float32(sin), float32(cos)
		}
	}
}
