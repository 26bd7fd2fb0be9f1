package sdnq

import (
	"sync"
	"unsafe"

	"graphrun/kernels/cpu"
)

// MinMatMulRows is the least number of activation rows for which SDNQ uses its quantized matmul (10.2); with fewer the
// weights are dequantized.
const MinMatMulRows = 32

// Matrix is one quantized weight, seen as outputs by inputs: a Linear's [O, I], a convolution's [O, C*kh*kw] with the
// kernel position last, an embedding's [tokens, width]; a transposed convolution's [I, O*kh*kw]. It reads the mapped
// codes and holds only scales of its own. It is safe for use by several goroutines.
type Matrix struct {
	layout
	format   format
	table    []float32 // values of the codes, for packed formats and those of one byte
	codes    []byte    // as stored
	scale    []float32 // or codebooks
	zero     []float32 // nil if symmetric
	codebook bool
	rank     int // of the low-rank part, 0 for none
	up, down []float32
	hadamard int // length of rotated chunks, 0 for none

	matmul          format // of the quantized matmul
	wanted, allowed bool   // the quantized matmul
	requant         bool   // it needs codes of its own
	once            sync.Once
	int8            int8Codes
}

// int8Codes are codes for a matmul in int8: w[n,k] = zero[n] + codes[n,k]*scale[n].
type int8Codes struct {
	codes       []int8
	kByN        bool
	scale, zero []float32
}

// Dims is the matrix's outputs and inputs.
func (m *Matrix) Dims() (n, k int) { return m.n, m.k }

// QuantizedMatMul says whether the checkpoint's config wants activations quantized too (the flag Q of 3.3), and Int8
// has the codes for that. It holds for MinMatMulRows rows of activations and more.
func (m *Matrix) QuantizedMatMul() bool { return m.wanted && m.allowed }

// AllowsQuantizedMatMul says whether a loader may turn the quantized matmul on (10.4): a Linear of fitting size that
// the config does not exempt, or what QuantizedMatMul says anyway.
func (m *Matrix) AllowsQuantizedMatMul() bool { return m.allowed }

// Unpack dequantizes rows n0 to n1 and columns k0 to k1 into dst, row-major [n1-n0, k1-k0].
func (m *Matrix) Unpack(dst []float32, n0, n1, k0, k1 int) {
	if m.hadamard == 0 {
		m.block(dst, n0, n1, k0, k1)
		return
	}
	h := m.hadamard
	from, to := k0/h*h, (k1+h-1)/h*h
	if from == k0 && to == k1 {
		m.block(dst, n0, n1, k0, k1)
		rotate(dst[:(n1-n0)*(k1-k0)], h)
		return
	}
	row := make([]float32, to-from) // only for blocks that cut a chunk
	for n := n0; n < n1; n++ {
		m.block(row, n, n+1, from, to)
		rotate(row, h)
		copy(dst[(n-n0)*(k1-k0):(n-n0+1)*(k1-k0)], row[k0-from:])
	}
}

// block is Unpack without the rotation.
func (m *Matrix) block(dst []float32, n0, n1, k0, k1 int) {
	w := k1 - k0
	m.plain(dst, n0, n1, k0, k1)
	for n := n0; n < n1 && m.rank > 0; n++ {
		row := dst[(n-n0)*w:][:w]
		for r, u := range m.up[n*m.rank : (n+1)*m.rank] {
			for i, d := range m.down[r*m.k+k0 : r*m.k+k1] {
				row[i] += u * d
			}
		}
	}
}

// plain is Unpack without rotation and low-rank part.
func (m *Matrix) plain(dst []float32, n0, n1, k0, k1 int) {
	if m.kByN {
		m.columns(dst, n0, n1, k0, k1)
		return
	}
	w := k1 - k0
	for n := n0; n < n1; n++ {
		row, at := dst[(n-n0)*w:][:w], n/m.rowDiv*m.rowStride
		if m.bytes() {
			m.rowBytes(row, m.codes[n*m.k+k0:n*m.k+k1], at, k0)
			continue
		}
		m.format.decode(row, m.codes, n*m.k+k0, m.table)
		m.apply(row, at, k0)
	}
}

// rowBytes dequantizes part of a row of one-byte codes, from column k0 on, whose scales start at number at.
func (m *Matrix) rowBytes(row []float32, codes []byte, at, k0 int) {
	switch {
	case m.col == nil:
		m.run(row, codes, at)
	case m.span > 1:
		for i := 0; i < len(row); {
			end := min(len(row), i+m.span-(k0+i)%m.span)
			m.run(row[i:end], codes[i:end], at+int(m.col[k0+i]))
			i = end
		}
	case m.zero == nil:
		values, scale, col := (*[256]float32)(m.table), m.scale[at:], m.col[k0:][:len(row)]
		for i, c := range codes[:len(row)] {
			row[i] = values[c] * scale[col[i]]
		}
	default:
		values, scale, zero, col := (*[256]float32)(m.table), m.scale[at:], m.zero[at:], m.col[k0:][:len(row)]
		for i, c := range codes[:len(row)] {
			row[i] = zero[col[i]] + values[c]*scale[col[i]]
		}
	}
}

// run dequantizes one-byte codes that share scale number s: integers by the kernel, others through the table of values.
func (m *Matrix) run(dst []float32, codes []byte, s int) {
	values, scale := (*[256]float32)(m.table), m.scale[s]
	codes = codes[:len(dst)]
	if m.format.integer && m.format.bits == 8 {
		var zero float32
		if m.zero != nil {
			zero = m.zero[s]
		}
		if m.format.unsigned {
			cpu.ScaleUint8(dst, codes, scale, zero)
		} else {
			cpu.ScaleInt8(dst, unsafe.Slice((*int8)(unsafe.Pointer(unsafe.SliceData(codes))), len(codes)), scale, zero)
		}
		return
	}
	if m.zero == nil {
		for i, c := range codes {
			dst[i] = values[c] * scale
		}
		return
	}
	zero := m.zero[s]
	for i, c := range codes {
		dst[i] = zero + values[c]*scale
	}
}

// apply turns decoded values into weights, in place: part of a row from column k0 on, whose scales start at number at.
func (m *Matrix) apply(row []float32, at, k0 int) {
	for i, v := range row {
		s := at
		if m.col != nil {
			s += int(m.col[k0+i])
		}
		switch {
		case m.codebook:
			row[i] = m.scale[s+int(v)*m.step]
		case m.zero != nil:
			row[i] = m.zero[s] + v*m.scale[s]
		default:
			row[i] = v * m.scale[s]
		}
	}
}

// bytes says that every code is a byte whose value is in table, to be scaled.
func (m *Matrix) bytes() bool {
	return m.format.store.Size() == 1 && !m.format.bitPacked() && !m.codebook
}

// columns is plain for codes that lie [k, n]: they have one scale a row.
func (m *Matrix) columns(dst []float32, n0, n1, k0, k1 int) {
	w, k := k1-k0, k0
	if m.bytes() {
		for ; k+8 <= k1; k += 8 {
			m.columns8(dst[k-k0:], n0, n1, k, w)
		}
	}
	var buf [256]float32
	for ; k < k1; k++ {
		for n := n0; n < n1; n += len(buf) {
			values := buf[:min(len(buf), n1-n)]
			m.format.decode(values, m.codes, k*m.n+n, m.table)
			for i, v := range values {
				at := (n + i) * m.rowStride
				v *= m.scale[at]
				if m.zero != nil {
					v += m.zero[at]
				}
				dst[(n+i-n0)*w+k-k0] = v
			}
		}
	}
}

// columns8 dequantizes eight columns of one-byte codes that lie [k, n] into rows of dst that are w apart.
func (m *Matrix) columns8(dst []float32, n0, n1, k, w int) {
	var src [8][]byte
	for j := range src {
		src[j] = m.codes[(k+j)*m.n+n0:][:n1-n0]
	}
	values := (*[256]float32)(m.table)
	for i := range src[0] {
		at, zero, out := (n0+i)*m.rowStride, float32(0), dst[i*w:][:8]
		if m.zero != nil {
			zero = m.zero[at]
		}
		scale := m.scale[at]
		for j := range out {
			out[j] = zero + values[src[j][i]]*scale
		}
	}
}

// Dequantize returns the whole weight, [n, k].
func (m *Matrix) Dequantize() []float32 {
	dst := make([]float32, m.n*m.k)
	m.Unpack(dst, 0, m.n, 0, m.k)
	return dst
}

// Int8 returns the codes for a matmul with int8 activations (10.2, step 1): w[n,k] = zero[n] + codes[n,k]*scale[n], codes
// [n, k], or [k, n] if kByN; zero is nil if all are zero. Stored int8 codes are not copied; others are made at the first
// call and kept. Codes are nil where AllowsQuantizedMatMul and QuantizedMatMul say no.
func (m *Matrix) Int8() (codes []int8, kByN bool, scale, zero []float32) {
	if !m.allowed {
		return nil, false, nil, nil
	}
	m.once.Do(func() { m.int8 = m.makeInt8() })
	return m.int8.codes, m.int8.kByN, m.int8.scale, m.int8.zero
}

// Codes returns the codes for a product in float32 that need not unpack them (cpu.CodeWeights): stored int8 with one scale
// a row, and nothing else to it; for other weights no codes.
func (m *Matrix) Codes() (codes []int8, kByN bool, scale, zero []float32) {
	if m.requant || m.col != nil || m.rank > 0 || m.hadamard > 0 || m.codebook || m.format.bits != 8 || !m.format.integer || m.format.unsigned || !m.bytes() || !m.allowed {
		return nil, false, nil, nil
	}
	return m.Int8()
}

func (m *Matrix) makeInt8() int8Codes {
	if m.requant || m.col != nil {
		return m.requantize()
	}
	c := int8Codes{kByN: m.kByN, scale: m.perRow(m.scale)}
	switch {
	case m.format.bits == 8 && !m.format.unsigned:
		c.codes = unsafe.Slice((*int8)(unsafe.Pointer(unsafe.SliceData(m.codes))), m.n*m.k)
	case m.format.bits == 8: // code-128 is the code with its top bit flipped
		c.codes = make([]int8, m.n*m.k)
		for i, v := range m.codes {
			c.codes[i] = int8(v ^ 0x80)
		}
		c.zero = m.perRow(m.zero)
		for i := range c.zero {
			c.zero[i] += 128 * c.scale[i]
		}
	default:
		c.codes = make([]int8, m.n*m.k)
		var buf [1024]float32
		for at := 0; at < len(c.codes); at += len(buf) {
			values := buf[:min(len(buf), len(c.codes)-at)]
			m.format.decode(values, m.codes, at, m.table)
			for i, v := range values {
				c.codes[at+i] = int8(v)
			}
		}
		if m.zero != nil {
			c.zero = m.perRow(m.zero)
		}
	}
	return c
}

// perRow copies one value for each row.
func (m *Matrix) perRow(v []float32) []float32 {
	out := make([]float32, m.n)
	for n := range out {
		out[n] = v[n/m.rowDiv*m.rowStride]
	}
	return out
}

// requantize makes int8 codes with one scale a row from the dequantized weight.
func (m *Matrix) requantize() int8Codes {
	c := int8Codes{codes: make([]int8, m.n*m.k), scale: make([]float32, m.n)}
	row := make([]float32, m.k)
	for n := range m.n {
		m.plain(row, n, n+1, 0, m.k)
		c.scale[n] = maxAbs(row) / 127
		for i, v := range row {
			c.codes[n*m.k+i] = int8(code(v/c.scale[n], -128, 127))
		}
	}
	return c
}
