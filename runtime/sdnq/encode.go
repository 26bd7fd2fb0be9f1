package sdnq

import (
	"math"

	"graphrun/kernels/cpu"
	"graphrun/runtime/weights"
)

// code is what a code is made as: a byte up to eight bits, else a word. Signed integers are in two's complement.
type code interface{ uint8 | uint16 }

// encodeInts makes the integer codes of numbers which share a scale (11.1): (x-zero)/scale, within the format's range, rounded;
// 0/0 is 0. zero is 0 for signed formats. exact says that rounding scale and zero takes no code out of the range.
func encodeInts[C code](f *format, dst []C, x []float32, scale, zero float32, exact bool) {
	exact = exact || f.bits == 8
	switch dst := any(dst).(type) {
	case []uint16:
		roundInts(dst, x, scale, zero, int32(f.min), int32(f.max))
	case []uint8:
		if f.unsigned {
			cpu.QuantizeUint8(dst, x, scale, zero)
		} else {
			cpu.QuantizeBy(signed(dst), x, scale)
		}
		switch {
		case exact:
		case f.unsigned:
			limit(dst, 0, uint8(f.max))
		default:
			limit(signed(dst), int8(f.min), int8(f.max))
		}
	}
}

// limit takes codes into a range.
func limit[C uint8 | int8](codes []C, low, high C) {
	for i, c := range codes {
		codes[i] = min(max(c, low), high)
	}
}

// roundInts makes codes of integers between low and high, which have at most 17 bits.
func roundInts(dst []uint16, x []float32, scale, zero float32, low, high int32) {
	// To add 1.5*2^23 rounds a number of up to 22 bits to an integer, ties to even, which then lies in the low bits; larger
	// ones keep their order.
	const magic = 3 << 22
	first := int32(math.Float32bits(magic))
	low, high = low+first, high+first
	for i, v := range x[:len(dst)] {
		v = (v - zero) / scale
		if v != v {
			v = 0
		}
		dst[i] = uint16(min(max(int32(math.Float32bits(v+magic)), low), high) - first)
	}
}

// coder makes the codes of a float format: sign, exponent and mantissa.
type coder struct {
	low, high float32 // the range
	drop      uint    // bits of float32's mantissa that the format does not have
	base      uint32  // what the bits of a normal number exceed its code by, once dropped
	least     float32 // normal number
	places    float32 // of a number below, in units of the last place
	sign      uint16  // the sign's bit, 0 if there is none
	even      bool    // ties are rounded to even; else as SDNQ rounds its packed floats
	minus     bool    // there is a code for -0
}

func newCoder(f *format) *coder {
	bits := func(mantissa, bias int) *coder {
		least := float32(math.Ldexp(1, 1-bias))
		return &coder{
			low: float32(f.min), high: float32(f.max), drop: uint(23 - mantissa), base: uint32(127-bias) << mantissa,
			least: least, places: float32(math.Ldexp(1, mantissa)) / least, sign: 1 << (f.bits - 1), even: true, minus: true,
		}
	}
	switch f.store {
	case weights.F16:
		return bits(10, 15)
	case weights.BF16:
		c := bits(7, 127)
		c.least = 0 // subnormals are as in float32
		return c
	case weights.F8E4M3:
		return bits(3, 7)
	case weights.F8E5M2:
		return bits(2, 15)
	}
	var c *coder
	switch f.store {
	case weights.F8E4M3FNUZ:
		c = bits(3, 8)
		c.minus = false
	case weights.F8E5M2FNUZ:
		c = bits(2, 16)
		c.minus = false
	default:
		c = bits(f.man, 1<<(f.exp-1)-1)
		c.even = false
		if f.unsigned {
			c.sign = 0
		}
	}
	return c
}

// encodeFloats makes the float codes of numbers which share a scale (11.1): (x-zero)/scale, within the format's range, rounded.
// Where the scale is 0, so are the codes: all numbers are zero.
func encodeFloats[C code](c *coder, dst []C, x []float32, scale, zero float32) {
	if scale == 0 {
		clear(dst)
		return
	}
	const magic = 3 << 22 // rounds to even, see roundInts
	half, even, up, least := uint32(1)<<(c.drop-1)-1, uint32(1), uint32(0), math.Float32bits(c.least)
	if !c.even { // up from more than 8/16 of the last place on (4.4)
		half, even, up = 0, 0, 15
	}
	for i, v := range x[:len(dst)] {
		v = min(max((v-zero)/scale, c.low), c.high)
		u := math.Float32bits(v)
		sign := -uint16(u>>31) & c.sign
		u &^= 1 << 31
		below := math.Float32frombits(u)
		u += (half + u>>c.drop&even) + (u>>(c.drop-4)&up+7)>>4<<c.drop
		if !c.even {
			below = math.Float32frombits(u)
		}
		code := uint16(u>>c.drop - c.base)
		if units := uint16(math.Float32bits(below*c.places + magic)); math.Float32bits(below) < least {
			code = units // which may carry into the exponent
		}
		if code == 0 && !c.minus {
			sign = 0
		}
		dst[i] = C(sign | code)
	}
}
