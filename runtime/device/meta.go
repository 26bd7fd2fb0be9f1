package device

import "context"

// Meta is a device that computes nothing: a pass over it counts the FLOPs here and the bytes in its arena, so that peak
// memory and work are known before a weight is read. A multiply-add counts as two.
type Meta struct {
	FLOPs   int64 // of products and attention
	Weights int64 // elements of the weights that products touched
}

// Name is "meta".
func (m *Meta) Name() string        { return "meta" }
func (m *Meta) alloc(int) []float32 { return nil }
func (m *Meta) scratch() int64      { return 0 }
func (m *Meta) rest(bool)           {}

// Exact is true: no arithmetic takes place.
func (m *Meta) Exact() bool { return true }

func (m *Meta) product(dst Tensor, w Weights) {
	n, k := w.Dims()
	m.FLOPs += 2 * int64(dst.Elements()) * int64(k)
	m.Weights += int64(n) * int64(k)
}

// Takes is float32: other formats take less memory.
func (*Meta) Takes(Precision, bool) Format { return Float32 }

// MatMul counts.
func (m *Meta) MatMul(_ context.Context, dst, _ Tensor, w Weights, _ Precision, _ Epilogue) {
	m.product(dst, w)
}

// Conv counts.
func (m *Meta) Conv(_ context.Context, dst, _ Tensor, w Weights, _ Conv, _ Precision, _ Epilogue) {
	m.product(dst, w)
}

// Cast does nothing.
func (*Meta) Cast(context.Context, Tensor, Tensor) {}

// Attention counts its two products.
func (m *Meta) Attention(_ context.Context, _, q, k, _ Tensor, _ AttentionSpec) {
	m.FLOPs += 4 * int64(q.Elements()) * int64(k.Dim(1))
}

// GroupNorm does nothing.
func (*Meta) GroupNorm(context.Context, Tensor, Tensor, int, float32, []float32, []float32, bool) {}

// LayerNorm does nothing.
func (*Meta) LayerNorm(context.Context, Tensor, Tensor, float32, []float32, []float32) {}

// RMSNorm does nothing.
func (*Meta) RMSNorm(context.Context, Tensor, Tensor, float32, []float32) {}

// Modulate does nothing.
func (*Meta) Modulate(context.Context, Tensor, Tensor, float32, Tensor, Tensor) {}

// Rotary does nothing.
func (*Meta) Rotary(context.Context, Tensor, Tensor, Tensor) {}

// Activate does nothing.
func (*Meta) Activate(context.Context, Tensor, Tensor, Activation) {}

// Gated does nothing.
func (*Meta) Gated(context.Context, Tensor, Tensor, Activation, bool) {}

// Affine does nothing.
func (*Meta) Affine(context.Context, Tensor, Tensor, float32, float32) {}

// Softmax does nothing.
func (*Meta) Softmax(context.Context, Tensor, Tensor) {}

// Add does nothing.
func (*Meta) Add(context.Context, Tensor, Tensor, Tensor) {}

// AddRows does nothing.
func (*Meta) AddRows(context.Context, Tensor, Tensor, Tensor) {}

// AddGated does nothing.
func (*Meta) AddGated(context.Context, Tensor, Tensor, Tensor, Tensor) {}

// Resize does nothing.
func (*Meta) Resize(context.Context, Tensor, Tensor, Interpolation) {}

// Concat does nothing.
func (*Meta) Concat(context.Context, Tensor, Tensor, Tensor, int) {}

// Slice does nothing.
func (*Meta) Slice(context.Context, Tensor, Tensor, int, int) {}

// Transpose does nothing.
func (*Meta) Transpose(context.Context, Tensor, Tensor, []int) {}

// Embed does nothing.
func (*Meta) Embed(context.Context, Tensor, []int, Weights) {}

// TimestepEmbedding does nothing.
func (*Meta) TimestepEmbedding(context.Context, Tensor, []float32, bool, float64) {}

// Upload does nothing.
func (*Meta) Upload(Tensor, []float32, bool) {}

// Download leaves dst as it is.
func (*Meta) Download([]float32, Tensor, bool) {}
