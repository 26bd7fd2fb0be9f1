package device

import (
	"context"
	"fmt"
	"time"
)

// Timed is a device that takes the time of every operation, for profiles.
type Timed struct {
	Device
	Ops map[string]*OpTime // by operation and arithmetic
}

// OpTime is what one kind of operation took.
type OpTime struct {
	Calls int
	Time  time.Duration
	FLOPs int64 // of products and attention
}

// NewTimed wraps a device.
func NewTimed(d Device) *Timed { return &Timed{Device: d, Ops: map[string]*OpTime{}} }

func (d *Timed) took(name string, begin time.Time, flops int64) {
	o := d.Ops[name]
	if o == nil {
		o = &OpTime{}
		d.Ops[name] = o
	}
	o.Calls++
	o.Time += time.Since(begin)
	o.FLOPs += flops
}

func productFLOPs(dst Tensor, w Weights) int64 {
	_, k := w.Dims()
	return 2 * int64(dst.Elements()) * int64(k)
}

// MatMul is timed, as are all below.
func (d *Timed) MatMul(ctx context.Context, dst, x Tensor, w Weights, p Precision, e Epilogue) {
	defer d.took(fmt.Sprintf("linear %v", p), time.Now(), productFLOPs(dst, w))
	d.Device.MatMul(ctx, dst, x, w, p, e)
}

// Conv is timed.
func (d *Timed) Conv(ctx context.Context, dst, x Tensor, w Weights, c Conv, p Precision, e Epilogue) {
	defer d.took(fmt.Sprintf("conv %dx%d %v", c.KH, c.KW, p), time.Now(), productFLOPs(dst, w))
	d.Device.Conv(ctx, dst, x, w, c, p, e)
}

// Cast is timed.
func (d *Timed) Cast(ctx context.Context, dst, x Tensor) {
	defer d.took("cast", time.Now(), 0)
	d.Device.Cast(ctx, dst, x)
}

// Attention is timed.
func (d *Timed) Attention(ctx context.Context, dst, q, k, v Tensor, a AttentionSpec) {
	defer d.took(fmt.Sprintf("attention of %d %v", q.Dim(2)/a.Heads, a.Prec), time.Now(), 4*int64(q.Elements())*int64(k.Dim(1)))
	d.Device.Attention(ctx, dst, q, k, v, a)
}

// GroupNorm is timed.
func (d *Timed) GroupNorm(ctx context.Context, dst, x Tensor, groups int, eps float32, w, b []float32, silu bool) {
	defer d.took("group norm", time.Now(), 0)
	d.Device.GroupNorm(ctx, dst, x, groups, eps, w, b, silu)
}

// LayerNorm is timed.
func (d *Timed) LayerNorm(ctx context.Context, dst, x Tensor, eps float32, w, b []float32) {
	defer d.took("layer norm", time.Now(), 0)
	d.Device.LayerNorm(ctx, dst, x, eps, w, b)
}

// RMSNorm is timed.
func (d *Timed) RMSNorm(ctx context.Context, dst, x Tensor, eps float32, w []float32) {
	defer d.took("rms norm", time.Now(), 0)
	d.Device.RMSNorm(ctx, dst, x, eps, w)
}

// Modulate is timed.
func (d *Timed) Modulate(ctx context.Context, dst, x Tensor, eps float32, scale, shift Tensor) {
	defer d.took("modulate", time.Now(), 0)
	d.Device.Modulate(ctx, dst, x, eps, scale, shift)
}

// Rotary is timed.
func (d *Timed) Rotary(ctx context.Context, dst, x, table Tensor) {
	defer d.took("rotary", time.Now(), 0)
	d.Device.Rotary(ctx, dst, x, table)
}

// Activate is timed.
func (d *Timed) Activate(ctx context.Context, dst, x Tensor, f Activation) {
	defer d.took("activation", time.Now(), 0)
	d.Device.Activate(ctx, dst, x, f)
}

// Gated is timed.
func (d *Timed) Gated(ctx context.Context, dst, x Tensor, f Activation, gateFirst bool) {
	defer d.took("gated", time.Now(), 0)
	d.Device.Gated(ctx, dst, x, f, gateFirst)
}

// Affine is timed.
func (d *Timed) Affine(ctx context.Context, dst, x Tensor, a, b float32) {
	defer d.took("affine", time.Now(), 0)
	d.Device.Affine(ctx, dst, x, a, b)
}

// Softmax is timed.
func (d *Timed) Softmax(ctx context.Context, dst, x Tensor) {
	defer d.took("softmax", time.Now(), 0)
	d.Device.Softmax(ctx, dst, x)
}

// Add is timed.
func (d *Timed) Add(ctx context.Context, dst, a, b Tensor) {
	defer d.took("add", time.Now(), 0)
	d.Device.Add(ctx, dst, a, b)
}

// AddRows is timed.
func (d *Timed) AddRows(ctx context.Context, dst, x, rows Tensor) {
	defer d.took("add", time.Now(), 0)
	d.Device.AddRows(ctx, dst, x, rows)
}

// AddGated is timed.
func (d *Timed) AddGated(ctx context.Context, dst, x, y, gate Tensor) {
	defer d.took("add", time.Now(), 0)
	d.Device.AddGated(ctx, dst, x, y, gate)
}

// Resize is timed.
func (d *Timed) Resize(ctx context.Context, dst, x Tensor, f Interpolation) {
	defer d.took("resize", time.Now(), 0)
	d.Device.Resize(ctx, dst, x, f)
}

// Concat is timed.
func (d *Timed) Concat(ctx context.Context, dst, a, b Tensor, axis int) {
	defer d.took("move", time.Now(), 0)
	d.Device.Concat(ctx, dst, a, b, axis)
}

// Slice is timed.
func (d *Timed) Slice(ctx context.Context, dst, x Tensor, axis, from int) {
	defer d.took("move", time.Now(), 0)
	d.Device.Slice(ctx, dst, x, axis, from)
}

// Transpose is timed.
func (d *Timed) Transpose(ctx context.Context, dst, x Tensor, order []int) {
	defer d.took("move", time.Now(), 0)
	d.Device.Transpose(ctx, dst, x, order)
}

// Embed is timed.
func (d *Timed) Embed(ctx context.Context, dst Tensor, ids []int, w Weights) {
	defer d.took("embedding", time.Now(), 0)
	d.Device.Embed(ctx, dst, ids, w)
}

// TimestepEmbedding is timed.
func (d *Timed) TimestepEmbedding(ctx context.Context, dst Tensor, t []float32, cosFirst bool, shift float64) {
	defer d.took("embedding", time.Now(), 0)
	d.Device.TimestepEmbedding(ctx, dst, t, cosFirst, shift)
}

// Upload is timed.
func (d *Timed) Upload(dst Tensor, src []float32, nchw bool) {
	defer d.took("move", time.Now(), 0)
	d.Device.Upload(dst, src, nchw)
}

// Download is timed.
func (d *Timed) Download(dst []float32, src Tensor, nchw bool) {
	defer d.took("move", time.Now(), 0)
	d.Device.Download(dst, src, nchw)
}
