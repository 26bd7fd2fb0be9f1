package weights

import (
	"encoding/binary"
	"fmt"
	"math"
	"sync"
	"unsafe"
)

var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// Float32 returns the elements as float32, [Elements]: a view of the mapped file where that is possible (F32, aligned),
// so it must not be written to; a converted copy otherwise. Integers beyond 2^24 and F64 are rounded to nearest even.
// C64 and the types below a byte have no such reading and give an error.
func (t Tensor) Float32() ([]float32, error) {
	n := t.Elements()
	if len(t.Data) == 0 {
		return []float32{}, nil
	}
	if t.DType == F32 && littleEndian && uintptr(unsafe.Pointer(&t.Data[0]))%4 == 0 {
		return unsafe.Slice((*float32)(unsafe.Pointer(&t.Data[0])), n), nil
	}
	if t.DType == C64 || t.DType.Size() == 0 {
		return nil, &Error{File: "weights", Tensor: t.Name, Need: "a dtype of real numbers of whole bytes", Have: t.DType.String(), Remedy: "read its raw bytes"}
	}
	if len(t.Data) != n*t.DType.Size() {
		return nil, &Error{File: "weights", Tensor: t.Name, Need: fmt.Sprintf("%d bytes", n*t.DType.Size()), Have: fmt.Sprint(len(t.Data))}
	}
	dst := make([]float32, n)
	Convert(dst, t.Data, t.DType)
	return dst, nil
}

// Convert reads len(dst) little-endian elements of type d, which has whole bytes and real numbers; src must hold that many.
func Convert(dst []float32, src []byte, d DType) {
	le := binary.LittleEndian
	switch d {
	case F64:
		for i := range dst {
			dst[i] = float32(math.Float64frombits(le.Uint64(src[8*i:])))
		}
	case F32:
		for i := range dst {
			dst[i] = math.Float32frombits(le.Uint32(src[4*i:]))
		}
	case F16:
		for i := range dst {
			dst[i] = F16ToFloat32(le.Uint16(src[2*i:]))
		}
	case BF16:
		for i := range dst {
			dst[i] = math.Float32frombits(uint32(le.Uint16(src[2*i:])) << 16)
		}
	case F8E4M3, F8E5M2, F8E4M3FNUZ, F8E5M2FNUZ, F8E8M0:
		table := float8Table(d)
		for i, b := range src[:len(dst)] {
			dst[i] = table[b]
		}
	case I64:
		for i := range dst {
			dst[i] = float32(int64(le.Uint64(src[8*i:])))
		}
	case U64:
		for i := range dst {
			dst[i] = float32(le.Uint64(src[8*i:]))
		}
	case I32:
		for i := range dst {
			dst[i] = float32(int32(le.Uint32(src[4*i:])))
		}
	case U32:
		for i := range dst {
			dst[i] = float32(le.Uint32(src[4*i:]))
		}
	case I16:
		for i := range dst {
			dst[i] = float32(int16(le.Uint16(src[2*i:])))
		}
	case U16:
		for i := range dst {
			dst[i] = float32(le.Uint16(src[2*i:]))
		}
	case I8:
		for i, b := range src[:len(dst)] {
			dst[i] = float32(int8(b))
		}
	case U8:
		for i, b := range src[:len(dst)] {
			dst[i] = float32(b)
		}
	case BOOL:
		for i, b := range src[:len(dst)] {
			if b != 0 {
				dst[i] = 1
			}
		}
	}
}

// F16ToFloat32 decodes an IEEE half: exact for every code, NaN stays NaN.
func F16ToFloat32(h uint16) float32 {
	sign, rest := uint32(h&0x8000)<<16, uint32(h&0x7fff)
	switch {
	case rest >= 0x7c00: // infinity and NaN
		return math.Float32frombits(sign | 0x7f800000 | (rest&0x3ff)<<13)
	case rest >= 0x400:
		return math.Float32frombits(sign | (rest<<13 + 112<<23))
	default: // subnormal: rest * 2^-24, exact in float32
		return math.Float32frombits(sign | math.Float32bits(float32(rest)*(1.0/(1<<24))))
	}
}

// Float32ToF16 rounds to the nearest half, ties to even, as torch does; beyond 65504 it is infinite.
func Float32ToF16(f float32) uint16 {
	u := math.Float32bits(f)
	sign, u := uint16(u>>16)&0x8000, u&0x7fffffff
	switch {
	case u > 0x7f800000:
		return sign | 0x7e00
	case u >= 0x477ff000: // rounds to 65536 or more
		return sign | 0x7c00
	case u < 0x38800000: // below 2^-14: adding 0.5 leaves the subnormal's bits, rounded by the adder
		return sign | uint16(math.Float32bits(math.Float32frombits(u)+0.5)-0x3f000000)
	default:
		u += 0xfff + (u>>13)&1
		return sign | uint16((u-112<<23)>>13)
	}
}

// Float32ToBF16 rounds to the nearest bfloat16, ties to even, as torch does.
func Float32ToBF16(f float32) uint16 {
	u := math.Float32bits(f)
	if u&0x7fffffff > 0x7f800000 {
		return 0x7fc0
	}
	return uint16((u + 0x7fff + (u>>16)&1) >> 16)
}

var float8Tables [Invalid + C64 + 1]struct {
	once   sync.Once
	values [256]float32
}

// Values has the value of each of the 256 codes of an eight-bit float; nil for other types.
func (d DType) Values() *[256]float32 {
	if !d.IsFloat() || d.Bits() != 8 {
		return nil
	}
	return float8Table(d)
}

// float8Table has the value of each of d's 256 codes.
func float8Table(d DType) *[256]float32 {
	t := &float8Tables[d]
	t.once.Do(func() {
		for code := range t.values {
			t.values[code] = float8(d, uint8(code))
		}
	})
	return &t.values
}

// float8 decodes one code of an eight-bit float. Sources: the OCP 8-bit floating point specification (E4M3, E5M2),
// the OCP microscaling specification (E8M0), and for the FNUZ pair "8-bit Numerical Formats for Deep Neural Networks".
func float8(d DType, code uint8) float32 {
	nan := float32(math.NaN())
	switch d {
	case F8E8M0:
		if code == 0xff {
			return nan
		}
		return float32(math.Ldexp(1, int(code)-127))
	case F8E4M3:
		if code&0x7f == 0x7f {
			return nan
		}
		return minifloat(code, 3, 7)
	case F8E5M2:
		if code&0x7f > 0x7c {
			return nan
		}
		if code&0x7f == 0x7c {
			return float32(math.Inf(1 - 2*int(code>>7)))
		}
		return minifloat(code, 2, 15)
	}
	if code == 0x80 { // what would be negative zero is the FNUZ formats' only NaN
		return nan
	}
	if d == F8E4M3FNUZ {
		return minifloat(code, 3, 8)
	}
	return minifloat(code, 2, 16)
}

// minifloat decodes sign, exponent and m mantissa bits with subnormals and no special codes.
func minifloat(code uint8, m, bias int) float32 {
	mantissa, exponent := int(code)&(1<<m-1), int(code&0x7f)>>m
	if exponent > 0 {
		mantissa += 1 << m
		exponent--
	}
	v := math.Ldexp(float64(mantissa), exponent+1-bias-m)
	if code >= 0x80 {
		v = math.Copysign(v, -1)
	}
	return float32(v)
}
