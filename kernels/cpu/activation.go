package cpu

import (
	"context"
	"math"
)

// spanBy is how many elements of an element-wise operation make a tile.
const spanBy = 16384

// span is an element-wise operation on slices.
type span struct {
	f         func(v *vectors, dst, a, b []float32)
	dst, a, b []float32
}

func (s *span) tile(t int, _ *worker) {
	lo, hi := t*spanBy, min(len(s.dst), (t+1)*spanBy)
	b := s.b
	if b != nil {
		b = b[lo:hi]
	}
	s.f(&active.vectors, s.dst[lo:hi], s.a[lo:hi], b)
}

// each runs f over all of dst.
func (p *Pool) each(ctx context.Context, op string, dst, a, b []float32, f func(v *vectors, dst, a, b []float32)) {
	check(op, "x", len(a), len(dst))
	if b != nil {
		check(op, "b", len(b), len(dst))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &p.ops.span
	*s = span{f, dst, a, b}
	p.run(ctx, (len(dst)+spanBy-1)/spanBy, s)
	*s = span{}
}

// SiLU is x * sigmoid(x), element by element. Here and below dst may be x.
func SiLU(ctx context.Context, p *Pool, dst, x []float32) {
	p.each(ctx, "SiLU", dst, x, nil, func(v *vectors, dst, a, _ []float32) { v.swish(dst, a, 1, 0) })
}

// GELU is x * Φ(x) with the exact Gaussian distribution function.
func GELU(ctx context.Context, p *Pool, dst, x []float32) {
	p.each(ctx, "GELU", dst, x, nil, func(v *vectors, dst, a, _ []float32) { v.gelu(dst, a) })
}

const tanhSlope = 2 * math.Sqrt2 / 1.7724538509055160273 // 2 √(2/π)

// GELUTanh is GELU's approximation x/2 * (1 + tanh(√(2/π) (x + 0.044715 x³))), which is a sigmoid of twice the argument.
func GELUTanh(ctx context.Context, p *Pool, dst, x []float32) {
	p.each(ctx, "GELUTanh", dst, x, nil, func(v *vectors, dst, a, _ []float32) {
		v.swish(dst, a, tanhSlope, 0.044715*tanhSlope)
	})
}

// QuickGELU is x * sigmoid(1.702 x).
func QuickGELU(ctx context.Context, p *Pool, dst, x []float32) {
	p.each(ctx, "QuickGELU", dst, x, nil, func(v *vectors, dst, a, _ []float32) { v.swish(dst, a, 1.702, 0) })
}

// Add is a + b.
func Add(ctx context.Context, p *Pool, dst, a, b []float32) {
	check("Add", "b", len(b), len(dst))
	p.each(ctx, "Add", dst, a, b, func(v *vectors, dst, a, b []float32) { v.add(dst, a, b) })
}

// Scale is x * f.
func Scale(ctx context.Context, p *Pool, dst, x []float32, f float32) {
	check("Scale", "x", len(x), len(dst))
	p.byRow(ctx, rowwise{op: scaleRow, dst: dst, x: x, c: spanBy, factor: f})
}

// rowwise is an operation on each row of c elements; the last may be shorter.
type rowwise struct {
	op      func(r *rowwise, dst, x []float32)
	dst, x  []float32
	c, xc   int // elements of a row of dst and of x (0: the same)
	by      int // rows in a tile
	w, bias []float32
	eps     float32
	factor  float32
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

func scaleRow(r *rowwise, dst, x []float32) { active.linear(dst, x, r.factor, 0) }

// GEGLU is value * GELU(gate) of rows x [M, 2K] that hold the values first, into dst [M, K], which must not be x.
func GEGLU(ctx context.Context, p *Pool, dst Rows, x []float32) {
	dst.check("GEGLU", "dst")
	check("GEGLU", "x", len(x), 2*dst.M*dst.K)
	r := rowwise{x: x[:2*dst.M*dst.K], c: dst.K, xc: 2 * dst.K, op: func(_ *rowwise, dst, x []float32) {
		active.gelu(dst, x[len(dst):])
		active.mul(dst, dst, x)
	}}
	r.into(dst)
	p.byRow(ctx, r)
}

// AddRow adds v [c] to each row of x [rows, c].
func AddRow(ctx context.Context, p *Pool, dst, x, v []float32) {
	check("AddRow", "x", len(x), len(dst))
	p.byRow(ctx, rowwise{dst: dst, x: x, c: len(v), w: v, op: func(r *rowwise, dst, x []float32) {
		active.add(dst, x, r.w)
	}})
}

// Softmax is exp(x) over its sum, row by row of x [rows, c].
func Softmax(ctx context.Context, p *Pool, dst, x []float32, rows, c int) {
	check("Softmax", "dst", len(dst), rows*c)
	check("Softmax", "x", len(x), rows*c)
	p.byRow(ctx, rowwise{dst: dst[:rows*c], x: x[:rows*c], c: c, op: func(_ *rowwise, dst, x []float32) {
		sum := active.exp(dst, x, active.max(x))
		active.linear(dst, dst, 1/sum, 0)
	}})
}

// TimestepEmbedding writes for each t the row [dim] of cos(t*f_i), then sin(t*f_i), f_i = 10000^(-i/(dim/2)); an odd
// last element is 0.
func TimestepEmbedding(dst, t []float32, dim int) {
	check("TimestepEmbedding", "dst", len(dst), len(t)*dim)
	half := dim / 2
	for r, v := range t {
		row := dst[r*dim : (r+1)*dim]
		clear(row)
		for i := range half {
			f := float64(v * float32(math.Exp(-math.Log(10000)*float64(i)/float64(half))))
			row[i], row[half+i] = float32(math.Cos(f)), float32(math.Sin(f))
		}
	}
}
