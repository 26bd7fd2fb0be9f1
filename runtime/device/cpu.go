package device

import (
	"context"

	"graphrun/kernels/cpu"
)

// CPU computes on the host's cores through kernels/cpu.
type CPU struct {
	pool  *cpu.Pool
	exact bool

	quantizeAttention bool
}

// NewCPU returns the device of a worker pool. exact makes every product float32 (--precision exact).
func NewCPU(pool *cpu.Pool, exact bool) *CPU { return &CPU{pool: pool, exact: exact} }

// Name is "cpu".
func (d *CPU) Name() string { return "cpu" }

// Exact reports whether every product is float32.
func (d *CPU) Exact() bool { return d.exact }

func (d *CPU) alloc(n int) []float32 { return cpu.Alloc(n) }

func (d *CPU) scratch() int64 { return d.pool.Scratch() }

func (d *CPU) rest(all bool) {
	if all {
		d.pool.Trim()
	} else {
		d.pool.Rest()
	}
}

// Takes is kernels/cpu's answer, or float32 for an exact device.
func (d *CPU) Takes(p Precision, conv bool) Format {
	if d.exact {
		return Float32
	}
	return p.Takes(conv)
}

// stored are the rows of a tensor.
func stored(t Tensor) cpu.Rows {
	return cpu.Rows{Format: t.Format, Data: t.data, M: t.rows(), K: t.Dim(-1)}
}

func (e *Epilogue) kernel() cpu.Epilogue {
	return cpu.Epilogue{Bias: e.Bias, Each: e.Each.data, Act: e.Act, Gate: e.Gate.data, Residual: e.Residual.data}
}

// MatMul is kernels/cpu.Multiply over the rows of x.
func (d *CPU) MatMul(ctx context.Context, dst, x Tensor, w Weights, p Precision, e Epilogue) {
	cpu.Multiply(ctx, d.pool, stored(dst), stored(x), w, p, e.kernel())
}

// Conv is kernels/cpu.Convolve over [batch, height, width, channels], or with time after the batch.
func (d *CPU) Conv(ctx context.Context, dst, x Tensor, w Weights, c Conv, p Precision, e Epilogue) {
	sizes := [4]int{x.Dim(0), 1, x.Dim(-3), x.Dim(-2)}
	if len(x.Shape) == 5 {
		sizes[1] = x.Dim(1)
	}
	cpu.Convolve(ctx, d.pool, dst.data, stored(x), sizes, w, c, p, e.kernel())
}

// Cast is kernels/cpu.Cast, an entry of the first axis being an image.
func (d *CPU) Cast(ctx context.Context, dst, x Tensor) {
	cpu.Cast(ctx, d.pool, stored(dst), stored(x), x.Dim(0))
}

// QuantizeAttention makes attention that may be BF16 Int8 (--attention-int8). Call it before the device computes.
func (d *CPU) QuantizeAttention(on bool) { d.quantizeAttention = on }

// Attention is kernels/cpu.Attention.
func (d *CPU) Attention(ctx context.Context, dst, q, k, v Tensor, a AttentionSpec) {
	c := cpu.Attn{
		Batch: q.Dim(0), Heads: a.Heads, KVHeads: a.kv(), LQ: q.Dim(1), LK: k.Dim(1), D: q.Dim(2) / a.Heads, Causal: a.Causal, Scale: a.Scale,
		Prec: a.Prec,
	}
	if a.Mask != nil {
		c.Mask = a.Mask.data
	}
	if d.quantizeAttention && c.Prec == cpu.BF16 {
		c.Prec = cpu.Int8
	}
	cpu.Attention(ctx, d.pool, dst.data, q.data, k.data, v.data, c)
}

// GroupNorm is kernels/cpu.GroupNorm.
func (d *CPU) GroupNorm(ctx context.Context, dst, x Tensor, groups int, eps float32, w, b []float32, silu bool) {
	cpu.GroupNorm(ctx, d.pool, stored(dst), x.data, x.Dim(0), groups, eps, w, b, silu)
}

// LayerNorm is kernels/cpu.LayerNorm.
func (d *CPU) LayerNorm(ctx context.Context, dst, x Tensor, eps float32, w, b []float32) {
	cpu.LayerNorm(ctx, d.pool, stored(dst), x.data, eps, w, b)
}

// RMSNorm is kernels/cpu.RMSNorm of rows of len(w).
func (d *CPU) RMSNorm(ctx context.Context, dst, x Tensor, eps float32, w []float32) {
	cpu.RMSNorm(ctx, d.pool, dst.data, x.data, x.Elements()/len(w), len(w), eps, w)
}

// Modulate is kernels/cpu.Modulate.
func (d *CPU) Modulate(ctx context.Context, dst, x Tensor, eps float32, scale, shift Tensor) {
	cpu.Modulate(ctx, d.pool, stored(dst), x.data, eps, scale.data, shift.data)
}

// Rotary is kernels/cpu.Rotary.
func (d *CPU) Rotary(ctx context.Context, dst, x, table Tensor) {
	width := table.Dim(1) / 2
	cpu.Rotary(ctx, d.pool, dst.data, x.data, table.data, x.rows(), x.Dim(-1)/width, width)
}

// Activate is kernels/cpu.Activate.
func (d *CPU) Activate(ctx context.Context, dst, x Tensor, f Activation) {
	cpu.Activate(ctx, d.pool, dst.data, x.data, f)
}

// Gated is kernels/cpu.Gated.
func (d *CPU) Gated(ctx context.Context, dst, x Tensor, f Activation, gateFirst bool) {
	cpu.Gated(ctx, d.pool, stored(dst), x.data, f, gateFirst)
}

// Affine is kernels/cpu.Affine.
func (d *CPU) Affine(ctx context.Context, dst, x Tensor, a, b float32) {
	cpu.Affine(ctx, d.pool, dst.data, x.data, a, b)
}

// Softmax is kernels/cpu.Softmax.
func (d *CPU) Softmax(ctx context.Context, dst, x Tensor) {
	cpu.Softmax(ctx, d.pool, dst.data, x.data, x.rows(), x.Dim(-1))
}

// Add is kernels/cpu.Add.
func (d *CPU) Add(ctx context.Context, dst, a, b Tensor) {
	cpu.Add(ctx, d.pool, dst.data, a.data, b.data)
}

// AddRows is kernels/cpu.AddRows, batch element by batch element.
func (d *CPU) AddRows(ctx context.Context, dst, x, rows Tensor) {
	n, c := x.Elements()/x.Dim(0), x.Dim(-1)
	for b := range x.Dim(0) {
		cpu.AddRow(ctx, d.pool, dst.data[b*n:(b+1)*n], x.data[b*n:(b+1)*n], rows.data[b*c:(b+1)*c])
	}
}

// AddGated is kernels/cpu.AddGated.
func (d *CPU) AddGated(ctx context.Context, dst, x, y, gate Tensor) {
	cpu.AddGated(ctx, d.pool, dst.data, x.data, y.data, x.rows(), gate.data)
}

// Resize is kernels/cpu.Resize.
func (d *CPU) Resize(ctx context.Context, dst, x Tensor, f Interpolation) {
	cpu.Resize(ctx, d.pool, dst.data, x.data, x.Dim(0), x.Dim(1), x.Dim(2), x.Dim(3), dst.Dim(1), dst.Dim(2), f)
}

// Concat copies a, then b.
func (d *CPU) Concat(ctx context.Context, dst, a, b Tensor, axis int) {
	n, m := a.inner(axis), b.inner(axis)
	cpu.CopyRows(ctx, d.pool, dst.data, n+m, a.data, n, a.Elements()/n, n)
	cpu.CopyRows(ctx, d.pool, dst.data[n:], n+m, b.data, m, b.Elements()/m, m)
}

// Slice copies.
func (d *CPU) Slice(ctx context.Context, dst, x Tensor, axis, from int) {
	n, m := x.inner(axis), dst.inner(axis)
	cpu.CopyRows(ctx, d.pool, dst.data, m, x.data[from*(m/dst.Dim(axis)):], n, dst.Elements()/m, m)
}

// Transpose is kernels/cpu.Transpose.
func (d *CPU) Transpose(ctx context.Context, dst, x Tensor, order []int) {
	cpu.Transpose(ctx, d.pool, dst.data, x.data, x.Shape, order)
}

// Embed unpacks one row of w an id.
func (d *CPU) Embed(_ context.Context, dst Tensor, ids []int, w Weights) {
	_, k := w.Dims()
	for i, id := range ids {
		w.Unpack(dst.data[i*k:(i+1)*k], id, id+1, 0, k)
	}
}

// TimestepEmbedding is kernels/cpu.TimestepEmbedding.
func (d *CPU) TimestepEmbedding(_ context.Context, dst Tensor, t []float32, cosFirst bool, shift float64) {
	cpu.TimestepEmbedding(dst.data, t, dst.Dim(1), cosFirst, shift)
}

// Upload copies.
func (d *CPU) Upload(dst Tensor, src []float32, nchw bool) {
	if nchw && len(dst.Shape) == 4 {
		cpu.NCHWtoNHWC(context.Background(), d.pool, dst.data, src, dst.Dim(0), dst.Dim(3), dst.Dim(1), dst.Dim(2))
		return
	}
	copy(dst.data, src)
}

// Download copies.
func (d *CPU) Download(dst []float32, src Tensor, nchw bool) {
	if nchw && len(src.Shape) == 4 {
		cpu.NHWCtoNCHW(context.Background(), d.pool, dst, src.data, src.Dim(0), src.Dim(3), src.Dim(1), src.Dim(2))
		return
	}
	copy(dst, src.data)
}
