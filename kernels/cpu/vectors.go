package cpu

import (
	"encoding/binary"
	"math"
	"unsafe"
)

// vectors are the loops over slices that a path has fast versions of. Slices of one call have the length of the first
// unless said otherwise; dst may be one of the others.
type vectors struct {
	add    func(dst, a, b []float32)                 // a + b
	mul    func(dst, a, b []float32)                 // a * b
	mulAdd func(dst, x, a, b []float32)              // x*a + b
	rotate func(dst, x, c, s []float32)              // x*c + (x, swapped in pairs)*s; of even length
	linear func(dst, x []float32, a, b float32)      // x*a + b
	swish  func(dst, x []float32, a, b float32)      // x * sigmoid(a*x + b*x³)
	gelu   func(dst, x []float32)                    // x * Φ(x)
	narrow func(dst, x []float32)                    // words of two bfloat16, len(dst) = ceil(len(x)/2)
	sums   func(x []float32) (s, q float64)          // of x and x², in float64
	moment func(s, q []float64, x []float32)         // s += x, q += x², element by element
	max    func(x []float32) float32                 // -Inf if empty; a NaN may be ignored
	exp    func(dst, x []float32, m float32) float32 // exp(x-m) and its sum
	absMax func(x []float32) float32                 // NaN if one is NaN
	// quantize rounds x/scale to even and clamps to -128..127 (NaN becomes 0), stores int8, or int16 if path.double, and
	// returns the sum.
	quantize func(dst unsafe.Pointer, x []float32, scale float32) int32
	// quantizeUint8 rounds (x-zero)/scale to even and clamps to 0..255 (NaN becomes 0).
	quantizeUint8 func(dst []uint8, x []float32, scale, zero float32)
	span          func(x []float32) (low, high float32) // of the elements; Inf and -Inf if empty; a NaN may be ignored
	// finish turns int32 sums into dst = (acc-less)*rowScale*scale + bias, the last two in one rounding.
	finish     func(dst []float32, acc []int32, less int32, rowScale float32, scale, bias []float32)
	quantize8  func(dst unsafe.Pointer, x []float32, scale float32) int32          // quantize that always stores int8
	scaleInt8  func(dst []float32, codes []int8, group int, scale, zero []float32) // see ScaleInt8; at least one code
	scaleUint8 func(dst []float32, codes []uint8, group int, scale, zero []float32)
	fromBF16   func(dst []float32, src []byte) // little-endian bfloat16
	fromF16    func(dst []float32, src []byte) // little-endian IEEE binary16
	// dot is the sum of w*x, dotCodes that of codes w, + path.offset, and as many codes x as quantize stores them.
	dot      func(w, x []float32) float32
	dotCodes func(w []int8, x unsafe.Pointer) int32
	dotMixed func(w []int8, x []float32) float32
	// addScaled adds x*a to dst.
	addScaled func(dst, x []float32, a float32)
	dotUint8  func(w []int8, x []float32) float32 // of codes that are uint8 in fact
	// dotGroups is the sum of w*scale*x, each group, of a multiple of 16 codes, with its own scale.
	dotGroups func(w []int8, x []float32, group int, scale []float32) float32
	// addRows adds to acc the sum of x[i] times row i of four rows of codes, stride bytes apart.
	addRows   func(acc []float32, codes unsafe.Pointer, x *[4]float32, stride int)
	addUint8  func(acc []float32, codes unsafe.Pointer, x *[4]float32, stride int) // addRows of uint8
	addFloats func(acc, rows []float32, x *[4]float32, stride int)                 // addRows of float32, stride floats apart
	// The transforms of Winograd's convolution along one axis: 6, 6 and 4 rows of n floats, step bytes apart, from 6, 3 and 6.
	mixInput, mixWeights, mixOutput func(dst unsafe.Pointer, src *[6]unsafe.Pointer, n, step int)
	// softmax takes rows of lanes scores, pitch floats apart, into a running softmax along each column: with m the largest
	// score so far and sum the sum of exp(score-m), it replaces scores by exp(score-m) for the new m, updates m and sum and
	// leaves in fade what earlier results must be multiplied by.
	softmax func(s []float32, rows, pitch int, m, sum, fade []float32)
	// descale turns rows of lanes int32 sums into (sum-less)*row*column in float32, less and row by row, column by column.
	descale func(s []float32, rows, pitch int, less []int32, row, column []float32)
	mulRows func(s []float32, rows, pitch int, column []float32) // rows of lanes times column
}

var goVectors = vectors{
	add: func(dst, a, b []float32) {
		for i := range dst {
			dst[i] = a[i] + b[i]
		}
	},
	mul: func(dst, a, b []float32) {
		for i := range dst {
			dst[i] = a[i] * b[i]
		}
	},
	mulAdd: func(dst, x, a, b []float32) {
		for i := range dst {
			dst[i] = x[i]*a[i] + b[i]
		}
	},
	rotate: func(dst, x, c, s []float32) {
		for i := 0; i < len(dst); i += 2 {
			a, b := x[i], x[i+1]
			dst[i], dst[i+1] = a*c[i]+b*s[i], b*c[i+1]+a*s[i+1]
		}
	},
	linear: func(dst, x []float32, a, b float32) {
		for i := range dst {
			dst[i] = x[i]*a + b
		}
	},
	swish: func(dst, x []float32, a, b float32) {
		for i, v := range x[:len(dst)] {
			z := float64(v * a)
			if b != 0 { // else 0*v*v may be 0*Inf
				z = float64(v * (a + b*v*v))
			}
			dst[i] = float32(float64(v) / (1 + math.Exp(-z)))
		}
	},
	gelu: func(dst, x []float32) {
		for i, v := range x[:len(dst)] {
			dst[i] = float32(float64(v) * 0.5 * math.Erfc(-float64(v)/math.Sqrt2))
		}
	},
	addScaled: addScaledGo, narrow: narrowGo, sums: sumsGo, moment: momentGo, max: maxGo, exp: expGo,
	absMax: absMaxGo, quantize: quantizeGo, quantizeUint8: quantizeUint8Go, span: spanGo, finish: finishGo, softmax: softmaxGo, descale: descaleGo, mulRows: mulRowsGo,
	scaleInt8: scaleGo[int8], scaleUint8: scaleGo[uint8], fromBF16: fromBF16Go, fromF16: fromF16Go, dot: dotGo[float32], dotCodes: dotCodesGo, mixInput: mixInputGo, mixWeights: mixWeightsGo, mixOutput: mixOutputGo, dotMixed: dotGo[int8], dotUint8: dotUint8Go, dotGroups: dotGroupsGo, addRows: addRowsGo[int8], addUint8: addRowsGo[uint8], quantize8: quantizeGo, addFloats: addFloatsGo,
}

func addScaledGo(dst, x []float32, a float32) {
	for i := range dst {
		dst[i] += x[i] * a
	}
}

func narrowGo(dst, x []float32) {
	for i := range dst {
		var hi uint32
		if 2*i+1 < len(x) {
			hi = math.Float32bits(roundBF16(x[2*i+1]))
		}
		dst[i] = math.Float32frombits(hi | math.Float32bits(roundBF16(x[2*i]))>>16)
	}
}

func sumsGo(x []float32) (s, q float64) {
	for _, v := range x {
		s += float64(v)
		q += float64(v) * float64(v)
	}
	return s, q
}

func momentGo(s, q []float64, x []float32) {
	for i := range s {
		v := float64(x[i])
		s[i] += v
		q[i] += v * v
	}
}

func maxGo(x []float32) float32 {
	m := float32(math.Inf(-1))
	for _, v := range x {
		if v > m {
			m = v
		}
	}
	return m
}

func expGo(dst, x []float32, m float32) (sum float32) {
	for i, v := range x[:len(dst)] {
		e := float32(math.Exp(float64(v - m)))
		dst[i] = e
		sum += e
	}
	return sum
}

func absMaxGo(x []float32) float32 {
	var m uint32 // the bits of absolute values are in the order of the values, NaN last
	for _, v := range x {
		m = max(m, math.Float32bits(v)&0x7fffffff)
	}
	return math.Float32frombits(m)
}

func quantizeGo(dst unsafe.Pointer, x []float32, scale float32) (sum int32) {
	for i, v := range x {
		r := math.RoundToEven(float64(v / scale))
		if r != r {
			r = 0
		}
		c := int8(min(max(r, -128), 127))
		*at[int8](dst, i) = c
		sum += int32(c)
	}
	return sum
}

func quantizeUint8Go(dst []uint8, x []float32, scale, zero float32) {
	for i, v := range x {
		r := math.RoundToEven(float64((v - zero) / scale))
		if r != r {
			r = 0
		}
		dst[i] = uint8(min(max(r, 0), 255))
	}
}

func spanGo(x []float32) (low, high float32) {
	low, high = float32(math.Inf(1)), float32(math.Inf(-1))
	for _, v := range x {
		if v < low {
			low = v
		}
		if v > high {
			high = v
		}
	}
	return low, high
}

func finishGo(dst []float32, acc []int32, less int32, rowScale float32, scale, bias []float32) {
	for i := range dst {
		dst[i] = fma32(float32(acc[i]-less)*rowScale, scale[i], bias[i])
	}
}

// fma32 is a*b+c rounded once. The product is exact in float64; the sum is rounded to odd there, which the second
// rounding to float32 does not notice.
func fma32(a, b, c float32) float32 {
	p, d := float64(a)*float64(b), float64(c)
	s := p + d
	t := s - p
	rest := (p - (s - t)) + (d - t)
	if rest != 0 && rest == rest && math.Float64bits(s)&1 == 0 {
		s = math.Nextafter(s, math.Copysign(math.Inf(1), rest))
	}
	return float32(s)
}

func fromBF16Go(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(src[2*i:])) << 16)
	}
}

func fromF16Go(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = half(binary.LittleEndian.Uint16(src[2*i:]))
	}
}
