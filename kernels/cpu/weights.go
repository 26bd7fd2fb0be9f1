package cpu

import (
	"encoding/binary"
	"math"
	"slices"
	"unsafe"
)

// Precision says how products are computed.
type Precision uint8

const (
	// Exact multiplies and accumulates in float32.
	Exact Precision = iota
	// BF16 rounds both operands to bfloat16 and accumulates in float32, where the processor has an instruction for that.
	// Elsewhere, and for few rows, it is Exact, or Winograd's form of 3x3 convolutions in float32, which is more exact too.
	BF16
	// Rounded quantizes each row of activations as RoundedWeights ask for it (SDNQ's quantized matmul in uint8, fp8 and fp16).
	// Other weights are computed as with Exact.
	Rounded
	// Int8 quantizes each row of activations to int8 and accumulates in int32 (SDNQ's quantized matmul,
	// specs/sdnq-format.md 10.2). Weights that do not implement Int8Weights, or have no codes, are computed as with Exact.
	Int8
	// Int8Fast is Int8, but for convolutions: they quantize activations with one scale a picture, so that each pixel is
	// quantized once, not once for each position of the kernel. Where the processor has no product of int8, 3x3 convolutions
	// are computed in Winograd's form in float32, which is faster there and more exact.
	Int8Fast
)

// String is float32, bfloat16, rounded, int8 or int8-fast.
func (p Precision) String() string {
	return [...]string{"float32", "bfloat16", "rounded", "int8", "int8-fast"}[p]
}

// Weights is a matrix of N rows (outputs) by K columns (inputs) that is read one block at a time, so that it can lie in
// a mapped file in any format. Implementations must be safe for concurrent use.
type Weights interface {
	Dims() (n, k int)
	// Unpack writes rows n0..n1-1 and columns k0..k1-1 into dst, row-major [n1-n0, k1-k0].
	Unpack(dst []float32, n0, n1, k0, k1 int)
}

// Int8Weights are weights that expose their stored codes: w[n,k] = zero[n] + code[n,k]*scale[n].
type Int8Weights interface {
	Weights
	// Int8 returns the codes, [N,K], or [K,N] if kByN; zero is nil if all are 0. No codes if there are none after all.
	Int8() (codes []int8, kByN bool, scale, zero []float32)
}

// CodeWeights are weights that are w[n,k] = zero[n] + code[n,k]*scale[n] for codes as they are stored, so that a product in
// float32 need not unpack them.
type CodeWeights interface {
	Weights
	// Codes returns what Int8Weights.Int8 does; no codes if the weights are not of this kind after all.
	Codes() (codes []int8, kByN bool, scale, zero []float32)
}

// GroupedInt8Weights are weights that may be w[n,k] = zero[n, k/group] + code[n,k]*scale[n, k/group] for int8 codes. A product
// in int8 can sum each group in int32, scale the sums and add them up in float32: exact in the weights, where one scale a row
// would need codes made anew.
type GroupedInt8Weights interface {
	Weights
	// Int8Groups returns the length of a group of inputs, a multiple of 16 that divides K, and scales and zero points [N, K/group],
	// the latter nil if all are 0. The length is 0 if the weights are not of this kind after all.
	Int8Groups() (group int, scale, zero []float32)
	// UnpackInt8 writes the codes of rows n0..n1-1 and columns k0..k1-1 into dst, row-major [n1-n0, k1-k0].
	UnpackInt8(dst []int8, n0, n1, k0, k1 int)
}

// TransposedWeights are weights that may be stored [K, N]: to read a few rows is as slow as to read 64.
type TransposedWeights interface {
	Weights
	Transposed() bool
}

// UnsignedCodeWeights are CodeWeights whose codes may be uint8 in fact.
type UnsignedCodeWeights interface {
	CodeWeights
	Unsigned() bool
}

// Factors say what weights are made of: w = (Base + Up·Down)·H. For few rows of activations it is less work to multiply the
// parts: y = Base·z + Up·(Down·z), z = H·x.
type Factors struct {
	Base     Weights
	Up, Down []float32 // [N, Rank] and [Rank, K]
	Rank     int       // 0 for none
	Rotation Hadamard  // by H
}

// FactoredWeights are weights that may be made of parts.
type FactoredWeights interface {
	Weights
	// Factors returns the parts; there is no Base if the weights are not of this kind after all.
	Factors() Factors
}

// RequantizedWeights may have int8 codes for products in int8 that are not those of the weights themselves, made block by block.
type RequantizedWeights interface {
	Weights
	// Requantized returns weights with such codes, one group to a row; nil if these are not of this kind after all.
	Requantized() GroupedInt8Weights
}

// RoundedWeights are weights that may ask for activations in another format than int8, in products in Rounded.
type RoundedWeights interface {
	Weights
	// Rounded returns what such a product multiplies, and activations' format: Unrounded if these are not of this kind after all.
	// For Uint8 w has Int8 codes or Int8Groups, and sums are those of the numbers of each of its rows.
	Rounded() (w Weights, form Rounding, sums []float32)
}

type dense struct {
	n, k int
	v    []float32
}

// Dense is a matrix [n, k] over a slice.
func Dense(v []float32, n, k int) Weights {
	check("Dense", "data", len(v), n*k)
	return dense{n, k, v}
}

func (d dense) Dims() (n, k int) { return d.n, d.k }

func (d dense) Unpack(dst []float32, n0, n1, k0, k1 int) {
	w := k1 - k0
	for n := n0; n < n1; n++ {
		copy(dst[(n-n0)*w:][:w], d.v[n*d.k+k0:n*d.k+k1])
	}
}

// NewF32 is a matrix [n, k] of little-endian float32, read in place.
func NewF32(data []byte, n, k int) Weights {
	check("NewF32", "data", len(data), 4*n*k)
	return words{n, k, 4, data, func(dst []float32, src []byte) {
		if littleEndian {
			copy(unsafe.Slice((*byte)(address(dst)), 4*len(dst)), src)
			return
		}
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
		}
	}}
}

// littleEndian says that numbers lie in memory as they do in files.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// NewBF16 is a matrix [n, k] of little-endian bfloat16, read in place.
func NewBF16(data []byte, n, k int) Weights {
	check("NewBF16", "data", len(data), 2*n*k)
	return words{n, k, 2, data, func(dst []float32, src []byte) { active.fromBF16(dst, src) }}
}

// NewF16 is a matrix [n, k] of little-endian IEEE binary16, read in place.
func NewF16(data []byte, n, k int) Weights {
	check("NewF16", "data", len(data), 2*n*k)
	return words{n, k, 2, data, func(dst []float32, src []byte) { active.fromF16(dst, src) }}
}

// NewF8 is a matrix [n, k] of one-byte numbers whose values are in a table, such as 8-bit floats, read in place.
func NewF8(data []byte, values *[256]float32, n, k int) Weights {
	check("NewF8", "data", len(data), n*k)
	if i := slices.IndexFunc(float8s, func(f *MiniFloat) bool { return f.Matches(values[:]) }); i >= 0 {
		one := []float32{1}
		return words{n, k, 1, data, func(dst []float32, src []byte) { ScaleFloat8(dst, src, float8s[i], max(1, len(dst)), one, nil) }}
	}
	return words{n, k, 1, data, func(dst []float32, src []byte) {
		for i, c := range src[:len(dst)] {
			dst[i] = values[c]
		}
	}}
}

// words is a matrix of elements of fixed size that decode converts.
type words struct {
	n, k, size int
	data       []byte
	decode     func(dst []float32, src []byte)
}

func (m words) Dims() (n, k int) { return m.n, m.k }

func (m words) Unpack(dst []float32, n0, n1, k0, k1 int) {
	w := k1 - k0
	for n := n0; n < n1; n++ {
		m.decode(dst[(n-n0)*w:][:w], m.data[(n*m.k+k0)*m.size:(n*m.k+k1)*m.size])
	}
}

// half converts from IEEE binary16: shifted into place, an exponent that is 112 too small is mended by one exact
// multiplication, which makes subnormals right too.
func half(h uint16) float32 {
	v := math.Float32frombits(uint32(h&0x7fff)<<13) * 0x1p112
	if h&0x7c00 == 0x7c00 { // Inf, NaN
		v = math.Float32frombits(0x7f800000 | uint32(h&0x3ff)<<13)
	}
	return math.Float32frombits(math.Float32bits(v) | uint32(h&0x8000)<<16)
}

// roundBF16 rounds to the nearest bfloat16, ties to even. A NaN stays one.
func roundBF16(v float32) float32 {
	u := math.Float32bits(v)
	if v != v {
		return math.Float32frombits(u&0xffff0000 | 0x00400000)
	}
	return math.Float32frombits((u + 0x7fff + u>>16&1) & 0xffff0000)
}

// address is where a slice begins, for assembly.
func address[T any](s []T) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(s)) }
