package cpu

import (
	"encoding/binary"
	"math"
	"unsafe"
)

// Codes of up to eight bits become float32 in two steps that stay in the L1 cache: their bits are gathered into one byte a
// code (Packing), and bytes are converted and scaled (ScaleInt8 and its like).

// BitField is a run of bits of one of eight codes: bits [Bit, Bit+Width) of code Code lie in bits [At, At+Width) of byte Byte.
type BitField struct{ Code, Bit, Width, Byte, At int }

// Packing is how eight codes lie in a few bytes.
type Packing struct {
	bytes int
	part  [][256]uint64 // what a value of each byte adds to the eight codes
	// For vectors of 16 bytes that hold twice as many bytes as eight codes take:
	spread [32]byte     // where a register's bytes come from: each goes where the first code that it has bits of lies
	terms  []packedTerm // the eight codes are the sum of (spread bytes << shift) & mask
}

// packedTerm is a part of the sum; assembly knows the layout.
type packedTerm struct{ shift, mask uint64 }

// NewPacking is the packing of eight codes in so many bytes, at most 8, whose bits never lie above those of the codes' bytes.
func NewPacking(size int, fields []BitField) *Packing {
	p := &Packing{bytes: size, part: make([][256]uint64, size)}
	first := make([]int, size)
	for i := range first {
		first[i] = 8
	}
	for _, f := range fields {
		first[f.Byte] = min(first[f.Byte], f.Code)
		for v := range 256 {
			p.part[f.Byte][v] |= uint64(v) >> f.At & (1<<f.Width - 1) << (8*f.Code + f.Bit)
		}
	}
	for i := range p.spread {
		p.spread[i] = 0x80 // none: a zero
	}
	for i, at := range first {
		for eight := 0; eight < 2 && at < 8; eight++ {
			p.spread[8*eight+at] = byte(eight*size + i)
		}
	}
	copy(p.spread[16:], p.spread[:16])
	for _, f := range fields {
		to := 8*f.Code + f.Bit
		shift := uint64(to - 8*first[f.Byte] - f.At)
		mask := uint64(1<<f.Width-1) << to
		i := 0
		for i < len(p.terms) && p.terms[i].shift != shift {
			i++
		}
		if i == len(p.terms) {
			p.terms = append(p.terms, packedTerm{shift: shift})
		}
		p.terms[i].mask |= mask
	}
	return p
}

// Size is the number of bytes that n codes, a multiple of 8, take.
func (p *Packing) Size(n int) int { return n / 8 * p.bytes }

// Unpack makes len(dst) codes, a multiple of 8, less minus. It may read, but does not use, what
// follows the codes in src.
func (p *Packing) Unpack(dst, src []byte, minus uint8) {
	check("Unpack", "src", len(src), p.Size(len(dst)))
	if active.unpackBits != nil {
		// A vector reads 16 bytes for 16 codes, which may be too many at the end.
		whole := len(dst) / 32
		for whole > 0 && (2*whole-1)*2*p.bytes+16 > len(src) {
			whole--
		}
		if whole > 0 {
			active.unpackBits(address(dst), address(src), whole, 2*p.bytes, unsafe.Pointer(&p.spread), address(p.terms), len(p.terms), uint32(minus)*0x01010101)
			dst, src = dst[32*whole:], src[4*p.bytes*whole:]
		}
	}
	p.unpackGo(dst, src, minus)
}

func (p *Packing) unpackGo(dst, src []byte, minus uint8) {
	const tops = 0x8080808080808080
	less := uint64(minus) * 0x0101010101010101
	for ; len(dst) >= 8; dst, src = dst[8:], src[p.bytes:] {
		var v uint64
		for i, b := range src[:len(p.part)] {
			v |= p.part[i][b]
		}
		binary.LittleEndian.PutUint64(dst, ((v|tops)-(less&^tops))^((v^^less)&tops)) // no byte borrows from its neighbour
	}
}

// MiniFloat is a float format of up to eight bits: a sign if it has one, an exponent, a mantissa, from the top down, as in
// IEEE 754 with subnormals. Assembly knows the layout.
type MiniFloat struct {
	left, right uint64 // shifts that bring exponent and mantissa to their place
	sign        uint32 // mask, after the first shift
	bias        uint32 // to add to the exponent
	special     int32  // larger magnitudes are not finite
	least       uint32 // the smallest normal number
	noSign      uint32 // the zero that, added, leaves -0 as it is, or makes it 0
}

// NewMiniFloat is the format of so many bits, exp of them the exponent's, whose smallest normal number is least. Codes of
// magnitude special and more are Inf and NaN as in IEEE 754 if the exponent is all ones; if special is 0, there are neither these
// nor a -0, which reads as 0.
func NewMiniFloat(width, exp int, signed bool, least float32, special int) *MiniFloat {
	f := &MiniFloat{left: uint64(32 - width), right: uint64(9 - exp), special: math.MaxInt32, least: math.Float32bits(least)}
	f.bias = f.least - 1<<23
	if signed {
		f.right, f.sign = uint64(8-exp), 1<<31
	}
	if special > 0 {
		f.noSign = 1 << 31
		f.special = int32(uint32(special)<<f.left>>f.right) - 1
	}
	return f
}

// Value is the number of a code.
func (f *MiniFloat) Value(code uint8) float32 {
	v := uint32(code) << f.left
	sign, magnitude := v&f.sign, v&^f.sign>>f.right
	u := magnitude + f.bias
	if int32(magnitude) > f.special {
		u |= 0x7f800000
	}
	var hidden uint32
	if magnitude < 1<<23 { // subnormal: its hidden bit is 0
		u += 1 << 23
		hidden = f.least
	}
	x := math.Float32frombits(u) - math.Float32frombits(hidden)
	return math.Float32frombits(math.Float32bits(x)|sign) + math.Float32frombits(f.noSign)
}

// Matches says that codes have these values, but for what a NaN looks like.
func (f *MiniFloat) Matches(values []float32) bool {
	for code, v := range values {
		if w := f.Value(uint8(code)); math.Float32bits(v) != math.Float32bits(w) && (v == v || w == w) {
			return false
		}
	}
	return true
}

// float8s are the formats that dense weights of a byte come in.
var float8s = []*MiniFloat{NewMiniFloat(8, 4, true, 0x1p-6, 0x7f), NewMiniFloat(8, 5, true, 0x1p-14, 0x7c)}

// noZero is added where there are no zero points: to add -0 changes nothing, not even a zero's sign.
var noZero = [1]float32{float32(math.Copysign(0, -1))}

// ScaleInt8 dequantizes codes that share a scale in groups: dst = code*scale + zero, rounded twice, as torch does it. There
// are as many scales as groups, the last of which may be shorter; zero is nil or as long.
func ScaleInt8(dst []float32, codes []int8, group int, scale, zero []float32) {
	checkScales("ScaleInt8", len(dst), len(codes), group, scale, zero)
	if len(dst) > 0 {
		active.scaleInt8(dst, codes, group, scale, zero)
	}
}

// ScaleUint8 is ScaleInt8 of unsigned codes.
func ScaleUint8(dst []float32, codes []uint8, group int, scale, zero []float32) {
	checkScales("ScaleUint8", len(dst), len(codes), group, scale, zero)
	if len(dst) > 0 {
		active.scaleUint8(dst, codes, group, scale, zero)
	}
}

// ScaleFloat8 is ScaleInt8 of codes of a float format.
func ScaleFloat8(dst []float32, codes []uint8, f *MiniFloat, group int, scale, zero []float32) {
	checkScales("ScaleFloat8", len(dst), len(codes), group, scale, zero)
	if len(dst) > 0 {
		active.scaleFloat8(dst, codes, f, group, scale, zero)
	}
}

func checkScales(op string, n, codes, group int, scale, zero []float32) {
	check(op, "codes", codes, n)
	groups := (n + group - 1) / group
	check(op, "scale", len(scale), groups)
	if zero != nil {
		check(op, "zero", len(zero), groups)
	}
}

// eachGroup calls f for every group.
func eachGroup(n, group int, scale, zero []float32, f func(from, to int, scale, zero float32)) {
	for i := 0; i*group < n; i++ {
		z := noZero[0]
		if zero != nil {
			z = zero[i]
		}
		f(i*group, min(n, (i+1)*group), scale[i], z)
	}
}

func scaleGo[T int8 | uint8](dst []float32, codes []T, group int, scale, zero []float32) {
	eachGroup(len(dst), group, scale, zero, func(from, to int, s, z float32) {
		dst := dst[from:to]
		for i, c := range codes[from:to] {
			dst[i] = float32(float32(c)*s) + z
		}
	})
}

func scaleFloat8Go(dst []float32, codes []uint8, f *MiniFloat, group int, scale, zero []float32) {
	var values [256]float32
	for c := range min(len(values), 1<<(32-f.left)) {
		values[c] = f.Value(uint8(c))
	}
	eachGroup(len(dst), group, scale, zero, func(from, to int, s, z float32) {
		dst := dst[from:to]
		for i, c := range codes[from:to] {
			dst[i] = float32(values[c]*s) + z
		}
	})
}

// TransposeBytes turns rows of src, stride bytes apart, into columns: dst [8][k], of which rows are pitch bytes apart, from k
// rows of 8 bytes.
func TransposeBytes(dst []byte, pitch int, src []byte, stride, k int) {
	if k == 0 {
		return
	}
	check("TransposeBytes", "dst", len(dst), 7*pitch+k)
	check("TransposeBytes", "src", len(src), (k-1)*stride+8)
	at := 0
	if active.transposeBytes != nil && k >= 16 {
		active.transposeBytes(address(dst), address(src), pitch, stride, k/16)
		at = k &^ 15
	}
	var rows [8]uint64
	for ; at < k; at += 8 {
		n := min(8, k-at)
		for i := range n {
			rows[i] = binary.LittleEndian.Uint64(src[(at+i)*stride:])
		}
		transpose8(&rows)
		for i, v := range rows {
			if to := dst[i*pitch+at:]; n == 8 {
				binary.LittleEndian.PutUint64(to, v)
			} else {
				for j := range n {
					to[j] = byte(v >> (8 * j))
				}
			}
		}
	}
}

// transpose8 transposes 8x8 bytes: it exchanges the off-diagonal halves, then those of the quarters, and so on.
func transpose8(r *[8]uint64) {
	for i := range 4 {
		a, b := r[i], r[i+4]
		r[i], r[i+4] = a&0x00000000ffffffff|b<<32, b&0xffffffff00000000|a>>32
	}
	for _, i := range [...]int{0, 1, 4, 5} {
		a, b := r[i], r[i+2]
		r[i], r[i+2] = a&0x0000ffff0000ffff|b&0x0000ffff0000ffff<<16, b&0xffff0000ffff0000|a>>16&0x0000ffff0000ffff
	}
	for i := 0; i < 8; i += 2 {
		a, b := r[i], r[i+1]
		r[i], r[i+1] = a&0x00ff00ff00ff00ff|b&0x00ff00ff00ff00ff<<8, b&0xff00ff00ff00ff00|a>>8&0x00ff00ff00ff00ff
	}
}

// QuantizeRow makes int8 codes of a row (specs/sdnq-format.md 10.2, step 1): scale = max|x|/127, codes x/scale rounded to
// even, 0 for NaN.
func QuantizeRow(codes []int8, x []float32) (scale float32) {
	scale = RowScale(x)
	QuantizeBy(codes, x, scale)
	return scale
}

// RowScale is the scale that QuantizeRow finds.
func RowScale(x []float32) float32 { return active.absMax(x) / 127 }

// QuantizeBy makes int8 codes of part of a row whose scale is known.
func QuantizeBy(codes []int8, x []float32, scale float32) {
	check("QuantizeBy", "codes", len(codes), len(x))
	active.quantize8(address(codes), x, scale)
}

// QuantizeUint8 makes uint8 codes of numbers: (x-zero)/scale rounded to even, within 0..255, 0 for NaN.
func QuantizeUint8(codes []uint8, x []float32, scale, zero float32) {
	check("QuantizeUint8", "codes", len(codes), len(x))
	active.quantizeUint8(codes, x, scale, zero)
}

// Span is the least and the largest element; a NaN may be ignored.
func Span(x []float32) (low, high float32) { return active.span(x) }

// AbsMax is the largest absolute value, NaN if an element is.
func AbsMax(x []float32) float32 { return active.absMax(x) }

// Sums are those of x and x², in float64.
func Sums(x []float32) (sum, squares float64) { return active.sums(x) }

// AddScaled adds x*a to dst, rounded once.
func AddScaled(dst, x []float32, a float32) {
	check("AddScaled", "x", len(x), len(dst))
	active.addScaled(dst, x[:len(dst)], a)
}

// ScaleEach is dst*scale + zero, element by element, rounded twice; zero may be nil.
func ScaleEach(dst, scale, zero []float32) {
	check("ScaleEach", "scale", len(scale), len(dst))
	active.mul(dst, dst, scale[:len(dst)])
	if zero != nil {
		check("ScaleEach", "zero", len(zero), len(dst))
		active.add(dst, dst, zero[:len(dst)])
	}
}
