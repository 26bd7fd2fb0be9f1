// Package device is where models compute: a Device is a memory budget plus a short closed list of operations over
// float32 activations, an Arena hands out activation memory without the garbage collector, and a Pass strings
// operations together with shape checks, cancellation and one sticky error, so that a model's forward pass is
// straight-line code. CPU computes; Meta computes nothing and counts bytes and FLOPs.
//
// To add an operation: add it to Device, implement it in cpu.go (calling kernels/cpu) and meta.go (its FLOPs), and
// give Pass the method that checks shapes and allocates the result. devicetest holds both devices to it.
package device

import (
	"context"

	"graphrun/kernels/cpu"
)

// Weights is a matrix [outputs, inputs] that kernels read one block at a time, dense or quantized.
type Weights = cpu.Weights

// Precision is the arithmetic of one product.
type Precision = cpu.Precision

// Conv is the geometry of a convolution.
type Conv = cpu.Conv

// Format is how a tensor's values are stored.
type Format = cpu.Format

// The formats: values as computed, and what products take, made ready once for several of them.
const (
	Float32    = cpu.Float32
	BFloat16   = cpu.BFloat16
	Int8Rows   = cpu.Int8Rows   // codes with a scale a row
	Int8Images = cpu.Int8Images // codes with a scale for each entry of the first axis
)

// Interpolation says how a picture is resized.
type Interpolation = cpu.Interpolation

// The interpolations: torch's, and Pillow's Lanczos without rounding.
const (
	Nearest      = cpu.Nearest
	NearestExact = cpu.NearestExact
	Bilinear     = cpu.Bilinear
	Bicubic      = cpu.Bicubic
	Area         = cpu.Area
	Lanczos      = cpu.Lanczos
)

// Activation is an element-wise function.
type Activation = cpu.Activation

// The activations of the model families.
const (
	Identity  = cpu.Identity
	SiLU      = cpu.SiLU
	GELU      = cpu.GELU // erf
	GELUTanh  = cpu.GELUTanh
	QuickGELU = cpu.QuickGELU
)

// Epilogue is what becomes of the results of a product while they are in the cache: act(product + Bias + Each)*Gate +
// Residual. What is not set is left out.
type Epilogue struct {
	Bias     []float32 // [outputs]
	Each     Tensor    // [batch, outputs]: one more for each entry of the first axis
	Act      Activation
	Gate     Tensor // [outputs]
	Residual Tensor // of the result's shape; may be the result of LinearTo and ConvTo
	Format   Format // of the result, for linear layers
}

// AttentionSpec says how [batch, tokens, heads*width] tensors attend.
type AttentionSpec struct {
	Heads   int
	KVHeads int     // of key and value, divides Heads: neighbouring heads share one; 0 means Heads
	Causal  bool    // query i sees keys 0..i: later values count 0 times, so that one that is not finite may still spoil it
	Scale   float32 // 0 means 1/sqrt(width of a head)
	Mask    *Tensor // nil, or [queries, keys], added to the scores of every batch and head; -Inf takes a key out
	// Prec is the arithmetic of the two products; the softmax is float32. BF16 is float32 where the processor does not multiply
	// bfloat16, and gives way to Int8 on a CPU with QuantizeAttention. Int8 quantizes queries and keys: see docs/design.md for
	// its error.
	Prec Precision
}

// kv is the number of heads of key and value.
func (a AttentionSpec) kv() int {
	if a.KVHeads == 0 {
		return a.Heads
	}
	return a.KVHeads
}

// Device computes. All tensors of a call are of this device, shapes are checked by Pass before; an operation that ctx
// cancels leaves its result undefined.
type Device interface {
	Name() string
	// alloc returns memory for n values, nil on a device without data.
	alloc(n int) []float32
	// scratch is the memory in bytes that operations hold between calls. rest tells that a pass has ended: what was not
	// needed for long is given back, or all.
	scratch() int64
	rest(all bool)

	// Takes is the format of activations that products in that precision read without making them ready first.
	Takes(p Precision, conv bool) Format

	MatMul(ctx context.Context, dst, x Tensor, w Weights, p Precision, e Epilogue)
	Conv(ctx context.Context, dst, x Tensor, w Weights, c Conv, p Precision, e Epilogue)
	Cast(ctx context.Context, dst, x Tensor)
	Attention(ctx context.Context, dst, q, k, v Tensor, a AttentionSpec)
	GroupNorm(ctx context.Context, dst, x Tensor, groups int, eps float32, w, b []float32, silu bool)
	LayerNorm(ctx context.Context, dst, x Tensor, eps float32, w, b []float32)
	RMSNorm(ctx context.Context, dst, x Tensor, eps float32, w []float32)
	Modulate(ctx context.Context, dst, x Tensor, eps float32, scale, shift Tensor)
	Rotary(ctx context.Context, dst, x, table Tensor)
	Activate(ctx context.Context, dst, x Tensor, f Activation)
	Gated(ctx context.Context, dst, x Tensor, f Activation, gateFirst bool)
	Affine(ctx context.Context, dst, x Tensor, a, b float32)
	Softmax(ctx context.Context, dst, x Tensor)
	Add(ctx context.Context, dst, a, b Tensor)
	AddRows(ctx context.Context, dst, x, rows Tensor)
	AddGated(ctx context.Context, dst, x, y, gate Tensor)
	// Resize, Concat, Slice and Transpose move data; axes are counted from the first.
	Resize(ctx context.Context, dst, x Tensor, f Interpolation)
	Concat(ctx context.Context, dst, a, b Tensor, axis int)
	Slice(ctx context.Context, dst, x Tensor, axis, from int)
	Transpose(ctx context.Context, dst, x Tensor, order []int)
	Embed(ctx context.Context, dst Tensor, ids []int, w Weights)
	TimestepEmbedding(ctx context.Context, dst Tensor, t []float32, cosFirst bool, shift float64)
	// Upload and Download move values between host and device; NCHW pictures become NHWC and back.
	Upload(dst Tensor, src []float32, nchw bool)
	Download(dst []float32, src Tensor, nchw bool)
	// Exact reports that every product is computed in float32, whatever the weights ask for.
	Exact() bool
}
