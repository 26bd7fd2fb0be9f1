package sdnq

import (
	"math"

	"graphrun/kernels/cpu"
	"graphrun/runtime/weights"
)

// code is what a code is made as: a byte up to eight bits, else a word. Signed integers are in two's complement.
type code interface{ uint8 | uint16 }

// encode makes the codes of numbers which share a scale (11.1): (x-zero)/scale, within the format's range, rounded; 0/0 is 0.
// zero is 0 for signed formats. f.coder must be set for floats.
func encode[C code](f *format, coder func(float32) uint16, dst []C, x []float32, scale, zero float32) {
	x = x[:len(dst)]
	if !f.integer {
		for i, v := range x {
			dst[i] = C(coder((v - zero) / scale))
		}
		return
	}
	bytes, ok := any(dst).([]uint8)
	switch {
	case !ok:
		roundInts(dst, x, scale, zero, int32(f.min), int32(f.max))
	case f.unsigned:
		cpu.QuantizeUint8(bytes, x, scale, zero)
		if f.bits < 8 {
			limit(bytes, 0, uint8(f.max))
		}
	default:
		cpu.QuantizeBy(signed(bytes), x, scale)
		if f.bits < 8 {
			limit(signed(bytes), int8(f.min), int8(f.max))
		}
	}
}

// limit takes codes into a range, out of which a rounded scale may have brought them.
func limit[C uint8 | int8](codes []C, low, high C) {
	for i, c := range codes {
		codes[i] = min(max(c, low), high)
	}
}

// roundInts makes codes of integers between low and high, which have at most 17 bits.
func roundInts[C code](dst []C, x []float32, scale, zero float32, low, high int32) {
	// To add 1.5*2^23 rounds a number of up to 22 bits to an integer, ties to even, which then lies in the low bits; larger
	// ones keep their order.
	const magic = 3 << 22
	first := int32(math.Float32bits(magic))
	for i, v := range x {
		v = (v - zero) / scale
		if v != v {
			v = 0
		}
		dst[i] = C(min(max(int32(math.Float32bits(v+magic)), first+low), first+high) - first)
	}
}

// coder returns the function that makes a float format's code of a number; NaN is 0, and others are clamped to the range.
func (f *format) coder() func(float32) uint16 {
	low, high := float32(f.min), float32(f.max)
	clamped := func(code func(float32) uint16) func(float32) uint16 {
		return func(v float32) uint16 {
			switch {
			case v > high:
				v = high
			case v < low:
				v = low
			case v != v:
				v = 0
			}
			return code(v)
		}
	}
	switch {
	case f.packed:
		return clamped(f.packedCoder())
	case f.store == weights.F16:
		return clamped(weights.Float32ToF16)
	case f.store == weights.BF16:
		return clamped(weights.Float32ToBF16)
	}
	n := map[weights.DType]struct{ mantissa, bias int }{
		weights.F8E4M3: {3, 7}, weights.F8E5M2: {2, 15}, weights.F8E4M3FNUZ: {3, 8}, weights.F8E5M2FNUZ: {2, 16},
	}[f.store]
	return clamped(float8Coder(n.mantissa, n.bias, f.store == weights.F8E4M3FNUZ || f.store == weights.F8E5M2FNUZ))
}

// packedCoder encodes packed floats as SDNQ does (4.4): a number is rounded up from more than 8/16 of the last place on, the
// sixteenths cut off, and those below the least normal number to even.
func (f *format) packedCoder() func(float32) uint16 {
	drop, least := 23-f.man, float32(f.minNormal())
	places := float32(math.Ldexp(1, f.man)) / least // of subnormal numbers
	base := uint32(128-1<<(f.exp-1)) << f.man
	sign := uint16(0)
	if !f.unsigned {
		sign = 1 << (f.bits - 1)
	}
	return func(v float32) uint16 {
		u := math.Float32bits(v)
		var code uint16
		if int32(u) < 0 {
			code, u = sign, u&^(1<<31)
		}
		if u>>(drop-4)&15 > 8 {
			u += 1 << drop
		}
		if a := math.Float32frombits(u); a < least {
			return code | uint16(math.RoundToEven(float64(a*places))) // may carry into the exponent
		}
		return code | uint16(u>>drop-base)
	}
}

// float8Coder encodes floats of eight bits, rounding to even; zeroIsNaN says that code 0x80 is not -0.
func float8Coder(mantissa, bias int, zeroIsNaN bool) func(float32) uint16 {
	least := float32(math.Ldexp(1, 1-bias))
	places := float32(math.Ldexp(1, mantissa)) / least
	drop, base := 23-mantissa, uint32(127-bias)<<mantissa
	return func(v float32) uint16 {
		u := math.Float32bits(v)
		sign := uint16(u >> 24 & 0x80)
		u &^= 1 << 31
		var code uint16
		if a := math.Float32frombits(u); a < least {
			code = uint16(math.RoundToEven(float64(a * places)))
		} else {
			code = uint16((u+1<<(drop-1)-1+u>>drop&1)>>drop - base)
		}
		if code == 0 && zeroIsNaN {
			return 0
		}
		return sign | code
	}
}
