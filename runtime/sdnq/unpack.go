package sdnq

import (
	"math"
	"sync"
	"unsafe"

	"graphrun/kernels/cpu"
	"graphrun/runtime/weights"
)

// Codes of up to eight bits are dequantized through bytes: packed ones are unpacked to one byte a code, and bytes are
// scaled by the kernel of their kind, a run of groups at a time. Both steps stay in the L1 cache.

// packing returns the layout of eight codes of up to eight bits for the kernels.
func packing(bits int) *cpu.Packing { return packings[bits]() }

var packings = func() (list [9]func() *cpu.Packing) {
	for bits := 1; bits < len(list); bits++ {
		list[bits] = sync.OnceValue(func() *cpu.Packing {
			b := &blocks[bits]
			if bits == 8 {
				b = &block{codes: 1, words: 1, size: 1, moves: []move{{width: 8}}}
			}
			size := b.words * b.size
			var fields []cpu.BitField
			for i := range 8 / b.codes {
				for _, m := range b.moves {
					fields = append(fields, cpu.BitField{Code: i*b.codes + m.code, Bit: m.bit, Width: m.width, Byte: i*size + m.word, At: m.at})
				}
			}
			return cpu.NewPacking(8/b.codes*size, fields)
		})
	}
	return list
}()

// miniFloat is the format for the kernel that computes the values of codes; nil for integers, and where values are not
// those of the table (exponents that are not as in IEEE 754, a NaN for -0).
func (f format) miniFloat(table []float32) *cpu.MiniFloat {
	exp, least, special := f.exp, float32(0), 0
	switch {
	case f.integer || f.bits > 8:
		return nil
	case f.packed:
		least = float32(f.minNormal())
	case f.store == weights.F8E4M3:
		exp, least, special = 4, 0x1p-6, 0x7f
	case f.store == weights.F8E5M2:
		exp, least, special = 5, 0x1p-14, 0x7c
	default:
		return nil
	}
	m := cpu.NewMiniFloat(f.bits, exp, !f.unsigned, least, special)
	if !m.Matches(table) {
		return nil
	}
	return m
}

// offset is what codes in the file exceed their values by.
func (f format) offset() uint8 {
	if f.integer && f.bitPacked() {
		return uint8(-f.min)
	}
	return 0
}

// scratch is room for codes and scales on their way.
type scratch struct {
	codes       [8 * 1024]byte
	scale, zero [1024]float32
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// unscaled is the scale of a group that is scaled later.
var unscaled = [1]float32{1}

// unpackBytes makes bytes of codes of up to seven bits from number first on, less offset.
func unpackBytes(dst, src []byte, bits, first int, offset uint8) {
	p := packing(bits)
	src = src[p.Size(first&^7):]
	part := func(skip, n int) { // of the next eight codes
		var eight, last [8]byte
		if len(src) < p.Size(8) { // blocks of fewer codes may end before
			copy(last[:], src)
			src = last[:]
		}
		p.Unpack(eight[:], src, offset)
		copy(dst[:n], eight[skip:])
		dst, src = dst[n:], src[p.Size(8):]
	}
	if skip := first % 8; skip > 0 && len(dst) > 0 {
		part(skip, min(len(dst), 8-skip))
	}
	if n := len(dst) &^ 7; n > 0 {
		p.Unpack(dst[:n], src, offset)
		dst, src = dst[n:], src[p.Size(n):]
	}
	if len(dst) > 0 {
		part(0, len(dst))
	}
}

// rowCodes are n codes from number first on, a byte each, those of signed integers int8; packed ones in room.
func (m *Matrix) rowCodes(room []byte, first, n int) []byte {
	if !m.format.bitPacked() {
		return m.codes[first : first+n]
	}
	unpackBytes(room[:n], m.codes, m.format.bits, first, m.format.offset())
	return room[:n]
}

// rows is plain for codes of up to eight bits that lie [n, k].
func (m *Matrix) rows(dst []float32, n0, n1, k0, k1 int) {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	step := len(s.codes)
	if m.span == 1 {
		step = len(s.scale)
	}
	for n := n0; n < n1; n++ {
		at := n / m.rowDiv * m.rowStride
		for k := k0; k < k1; k += step {
			count := min(step, k1-k)
			m.dequantize(dst[:count], m.rowCodes(s.codes[:], n*m.k+k, count), at, k, s)
			dst = dst[count:]
		}
	}
}

// columns is plain for codes of a byte that lie [k, n]: they have one scale a row.
func (m *Matrix) columns(dst []float32, n0, n1, k0, k1 int) {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	w := k1 - k0
	m.pieces(n0, n1, k0, k1, func(n, rows, k, count int) {
		m.transposed(s.codes[:], columnsStep, n, rows, k, count)
		for i := range rows {
			m.dequantize(dst[(n-n0+i)*w+k-k0:][:count], s.codes[i*columnsStep:][:count], (n+i)*m.rowStride, k, s)
		}
	})
}

// columnsStep is how many columns are transposed at once: the lines that hold them, 64 rows wide, stay in the L1 cache.
const columnsStep = 256

// pieces calls f for pieces of eight rows or fewer and so many columns.
func (m *Matrix) pieces(n0, n1, k0, k1 int, f func(n, rows, k, count int)) {
	for k := k0; k < k1; k += columnsStep {
		for n := n0; n < n1; n += 8 {
			f(n, min(8, n1-n), k, min(columnsStep, k1-k))
		}
	}
}

// transposed puts codes that lie [k, n] to rows of bytes, pitch bytes apart.
func (m *Matrix) transposed(dst []byte, pitch, n, rows, k, count int) {
	src := m.codes[k*m.n+n:]
	if rows == 8 {
		cpu.TransposeBytes(dst, pitch, src, m.n, count)
		return
	}
	for j := range count {
		for i, c := range src[j*m.n:][:rows] {
			dst[i*pitch+j] = c
		}
	}
}

// dequantize makes weights of codes of a row from column k on, whose scales start at number at.
func (m *Matrix) dequantize(dst []float32, codes []byte, at, k int, s *scratch) {
	switch {
	case m.codebook:
		for len(dst) > 0 {
			n, entries := m.run(at, k, len(dst))
			var table [256]float32
			for i := range 1 << m.format.bits {
				table[i] = entries[i*m.step]
			}
			lookUp(dst[:n], codes, &table)
			dst, codes, k = dst[n:], codes[n:], k+n
		}
	case m.col == nil:
		m.scaled(dst, codes, len(dst), at)
	case m.span > 1:
		if rest := (m.span - k%m.span) % m.span; rest > 0 { // of the first group
			rest = min(rest, len(dst))
			m.scaled(dst[:rest], codes, rest, at+int(m.col[k]))
			if dst, codes, k = dst[rest:], codes[rest:], k+rest; len(dst) == 0 {
				return
			}
		}
		m.scaled(dst, codes, m.span, at+int(m.col[k]))
	default:
		m.values(dst, codes, len(dst), unscaled[:], nil)
		m.spread(s.scale[:len(dst)], m.scale[at:], k)
		if m.zero == nil {
			cpu.ScaleEach(dst, s.scale[:], nil)
			return
		}
		m.spread(s.zero[:len(dst)], m.zero[at:], k)
		cpu.ScaleEach(dst, s.scale[:], s.zero[:])
	}
}

// spread gives each column from k on its own scale.
func (m *Matrix) spread(dst, scale []float32, k int) {
	for i := 0; i < len(dst); {
		// The columns of a block repeat the scales of its first period.
		end := min(len(dst), i+m.block-(k+i)%m.block)
		first := min(end, i+m.period)
		for j := i; j < first; j++ {
			dst[j] = scale[m.col[k+j]]
		}
		for have := first; have < end; {
			have += copy(dst[have:end], dst[i:have])
		}
		i = end
	}
}

// scaled makes weights of codes whose groups' scales start at number at.
func (m *Matrix) scaled(dst []float32, codes []byte, group, at int) {
	if m.zero == nil {
		m.values(dst, codes, group, m.scale[at:], nil)
	} else {
		m.values(dst, codes, group, m.scale[at:], m.zero[at:])
	}
}

// values makes numbers of codes, scaled by groups.
func (m *Matrix) values(dst []float32, codes []byte, group int, scale, zero []float32) {
	codes = codes[:len(dst)]
	switch {
	case m.mini != nil:
		cpu.ScaleFloat8(dst, codes, m.mini, group, scale, zero)
	case m.format.integer && m.format.unsigned:
		cpu.ScaleUint8(dst, codes, group, scale, zero)
	case m.format.integer:
		cpu.ScaleInt8(dst, signed(codes), group, scale, zero)
	default:
		for len(dst) > 0 {
			n := min(len(dst), group)
			m.lookedUp(dst[:n], codes, scale[0], zero)
			if dst, codes, scale = dst[n:], codes[n:], scale[1:]; zero != nil {
				zero = zero[1:]
			}
		}
	}
}

// lookedUp makes numbers of codes by the table, scaled by scale and, if there is one, the first zero point.
func (m *Matrix) lookedUp(dst []float32, codes []byte, scale float32, zero []float32) {
	z := negativeZero
	if zero != nil {
		z = zero[0]
	}
	values := m.table
	if len(dst) < 2*len(values) {
		for i, c := range codes[:len(dst)] {
			dst[i] = float32(values[c]*scale) + z
		}
		return
	}
	var table [256]float32
	for i, v := range values {
		table[i] = float32(v*scale) + z
	}
	lookUp(dst, codes, &table)
}

// negativeZero changes nothing where it is added.
var negativeZero = float32(math.Copysign(0, -1))

// lookUp makes numbers of codes.
func lookUp(dst []float32, codes []byte, table *[256]float32) {
	codes = codes[:len(dst)]
	for len(dst) >= 4 && len(codes) >= 4 {
		dst[0], dst[1], dst[2], dst[3] = table[codes[0]], table[codes[1]], table[codes[2]], table[codes[3]]
		dst, codes = dst[4:], codes[4:]
	}
	for i, c := range codes {
		dst[i] = table[c]
	}
}

// run is the first of n columns from k on, of a row whose scales start at number at, that share a scale, and the scales from
// theirs on.
func (m *Matrix) run(at, k, n int) (count int, scale []float32) {
	if m.col == nil {
		return n, m.scale[at:]
	}
	return min(n, m.span-k%m.span), m.scale[at+int(m.col[k]):]
}

// signed sees bytes as int8.
func signed(b []byte) []int8 {
	return unsafe.Slice((*int8)(unsafe.Pointer(unsafe.SliceData(b))), len(b))
}

// unsigned sees int8 as bytes.
func unsigned(c []int8) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(c))), len(c))
}
