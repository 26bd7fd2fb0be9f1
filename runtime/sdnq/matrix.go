package sdnq

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"

	"graphrun/kernels/cpu"
	"graphrun/runtime/weights"
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
	table    []float32      // values of the codes, for packed formats and those of one byte
	mini     *cpu.MiniFloat // computes them; nil if it cannot
	codes    []byte         // as stored
	scale    []float32      // or codebooks
	zero     []float32      // nil if symmetric
	store    *weights.Store
	codebook bool
	rank     int // of the low-rank part, 0 for none
	up, down []float32
	hadamard cpu.Hadamard
	base     *Matrix // the weight without the last four; nil if it has none of them

	matmul          format // of the quantized matmul
	wanted, allowed bool   // the quantized matmul
	requant         bool   // it needs codes of its own
	once            sync.Once
	copies          *Copies // nil: as many as there are
	scales          sync.Once
	rowScale        []float32 // of codes that are made block by block
	rowZero         []float32 // of those in uint8
	summed          sync.Once
	sums            []float32 // of the rows
	int8            int8Codes
	direct          sync.Once
	codes8          int8Codes
	grouped         sync.Once
	groups          int8Groups
}

// int8Codes are codes for a matmul in int8: w[n,k] = zero[n] + codes[n,k]*scale[n].
type int8Codes struct {
	codes       []int8
	kByN        bool
	scale, zero []float32
}

// int8Groups are scales and zero points of codes in groups, [n, k/group].
type int8Groups struct {
	group       int
	scale, zero []float32
}

// Dims is the matrix's outputs and inputs.
func (m *Matrix) Dims() (n, k int) { return m.n, m.k }

// Factors returns the codes alone, the part of low rank, and the rotation, if there is one of the latter (cpu.FactoredWeights).
func (m *Matrix) Factors() cpu.Factors {
	if m.base == nil {
		return cpu.Factors{}
	}
	return cpu.Factors{Base: m.base, Up: m.up, Down: m.down, Rank: m.rank, Rotation: m.hadamard}
}

// QuantizedMatMul says whether the checkpoint's config wants activations quantized too (the flag Q of 3.3), and Precision does
// that. It holds for MinMatMulRows rows of activations and more.
func (m *Matrix) QuantizedMatMul() bool { return m.wanted && m.allowed }

// AllowsQuantizedMatMul says whether a loader may turn the quantized matmul on (10.4): a Linear of fitting size that
// the config does not exempt, or what QuantizedMatMul says anyway.
func (m *Matrix) AllowsQuantizedMatMul() bool { return m.allowed }

// coded says that the matrix itself, not its base, is what a quantized matmul multiplies.
func (m *Matrix) coded() bool { return m.allowed && m.base == nil }

// Unpack dequantizes rows n0 to n1 and columns k0 to k1 into dst, row-major [n1-n0, k1-k0].
func (m *Matrix) Unpack(dst []float32, n0, n1, k0, k1 int) {
	if m.hadamard.Chunk == 0 {
		m.unrotated(dst, n0, n1, k0, k1)
		return
	}
	h := m.hadamard.Chunk
	from, to := k0/h*h, (k1+h-1)/h*h
	if from == k0 && to == k1 {
		m.unrotated(dst, n0, n1, k0, k1)
		m.hadamard.Rotate(dst[:(n1-n0)*(k1-k0)])
		return
	}
	row := make([]float32, to-from) // only for blocks that cut a chunk
	for n := n0; n < n1; n++ {
		m.unrotated(row, n, n+1, from, to)
		m.hadamard.Rotate(row)
		copy(dst[(n-n0)*(k1-k0):(n-n0+1)*(k1-k0)], row[k0-from:])
	}
}

// unrotated is Unpack without the rotation.
func (m *Matrix) unrotated(dst []float32, n0, n1, k0, k1 int) {
	w := k1 - k0
	m.plain(dst, n0, n1, k0, k1)
	if m.rank > 0 {
		cpu.AddProduct(dst[:(n1-n0)*w], m.up[n0*m.rank:n1*m.rank], m.down[k0:], n1-n0, w, m.rank, m.k)
	}
}

// plain is Unpack without rotation and low-rank part.
func (m *Matrix) plain(dst []float32, n0, n1, k0, k1 int) {
	switch {
	case m.format.bits > 8 || m.kByN && m.format.bitPacked():
		m.wide(dst, n0, n1, k0, k1)
	case m.kByN:
		m.columns(dst, n0, n1, k0, k1)
	default:
		m.rows(dst, n0, n1, k0, k1)
	}
}

// wide is plain for codes that do not become bytes.
func (m *Matrix) wide(dst []float32, n0, n1, k0, k1 int) {
	w := k1 - k0
	if !m.kByN {
		for n := n0; n < n1; n++ {
			row := dst[(n-n0)*w:][:w]
			m.format.decode(row, m.codes, n*m.k+k0, m.table)
			m.apply(row, n/m.rowDiv*m.rowStride, k0)
		}
		return
	}
	var buf [256]float32 // codes that lie [k, n] have one scale a row
	for k := k0; k < k1; k++ {
		for n := n0; n < n1; n += len(buf) {
			values := buf[:min(len(buf), n1-n)]
			m.format.decode(values, m.codes, k*m.n+n, m.table)
			for i := range values {
				m.apply(values[i:i+1], (n+i)*m.rowStride, 0)
				dst[(n+i-n0)*w+k-k0] = values[i]
			}
		}
	}
}

// apply turns decoded values into weights, in place: part of a row from column k on, whose scales start at number at.
func (m *Matrix) apply(row []float32, at, k int) {
	for len(row) > 0 {
		n, scale := m.run(at, k, len(row))
		if m.codebook {
			for i, v := range row[:n] {
				row[i] = scale[int(v)*m.step]
			}
		} else {
			for i := range row[:n] {
				row[i] *= scale[0]
			}
		}
		if m.zero != nil {
			zero := m.zero[len(m.zero)-len(scale)]
			for i := range row[:n] {
				row[i] += zero
			}
		}
		row, k = row[n:], k+n
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
// call and kept. Codes are nil where AllowsQuantizedMatMul and QuantizedMatMul say no, where the matmul is one of floats, and for
// a matrix of Factors, whose base has them. Those of a matmul in uint8 are less 128, as activations' are.
func (m *Matrix) Int8() (codes []int8, kByN bool, scale, zero []float32) {
	if !m.coded() || !m.matmul.integer {
		return nil, false, nil, nil
	}
	m.once.Do(func() {
		if !m.room() {
			return
		}
		m.int8 = m.makeInt8()
		if m.copied() { // few rows are all that the stored ones are read for now
			m.store.ReleaseData(m.codes)
		}
	})
	return m.int8.codes, m.int8.kByN, m.int8.scale, m.int8.zero
}

// Codes returns the codes for a product in float32 that need not unpack them (cpu.CodeWeights): stored bytes of integers with
// one scale a row, and nothing else to them; for other weights no codes. They are uint8 if Unsigned says so.
func (m *Matrix) Codes() (codes []int8, kByN bool, scale, zero []float32) {
	if m.col != nil || m.rank > 0 || m.hadamard.Chunk > 0 || m.codebook || m.format.bits != 8 || !m.format.integer {
		return nil, false, nil, nil
	}
	m.direct.Do(func() {
		m.codes8 = int8Codes{codes: signed(m.codes[:m.n*m.k]), kByN: m.kByN, scale: m.perRow(m.scale)}
		if m.zero != nil {
			m.codes8.zero = m.perRow(m.zero)
		}
	})
	return m.codes8.codes, m.codes8.kByN, m.codes8.scale, m.codes8.zero
}

// Unsigned says that Codes' codes are uint8.
func (m *Matrix) Unsigned() bool { return m.format.unsigned }

// Int8Groups returns the scales of the codes as they are stored, see cpu.GroupedInt8Weights: those of integers of up to eight
// bits with one scale a row or a group of a multiple of 16 columns, and nothing else to them.
func (m *Matrix) Int8Groups() (group int, scale, zero []float32) {
	m.grouped.Do(func() { m.groups = m.makeGroups() })
	return m.groups.group, m.groups.scale, m.groups.zero
}

func (m *Matrix) makeGroups() (g int8Groups) {
	row := m.col == nil
	switch {
	case !m.format.integer || m.format.bits > 8 || m.codebook || m.rank > 0 || m.hadamard.Chunk > 0 || m.kByN && m.format.bitPacked():
		return g
	case m.span%16 != 0 || !row && (m.rowDiv != 1 || m.rowStride*m.span != m.k):
		return g
	}
	g = int8Groups{m.span, m.scale, m.zero}
	if row {
		g.scale = m.perRow(m.scale)
		if m.zero != nil {
			g.zero = m.perRow(m.zero)
		}
	}
	g.zero = m.int8Zero(g.zero, g.scale)
	return g
}

// UnpackInt8 writes the codes of Int8Groups.
func (m *Matrix) UnpackInt8(dst []int8, n0, n1, k0, k1 int) {
	to, w, offset := unsigned(dst), k1-k0, m.int8Offset()
	if m.kByN {
		m.pieces(n0, n1, k0, k1, func(n, rows, k, count int) { m.transposed(to[(n-n0)*w+k-k0:], w, n, rows, k, count) })
		if offset != 0 {
			unpackBytes(to[:(n1-n0)*w], to, 8, 0, offset)
		}
		return
	}
	for n := n0; n < n1; n++ {
		unpackBytes(to[:w], m.codes, m.format.bits, n*m.k+k0, offset)
		to = to[w:]
	}
}

// Transposed says that codes lie [k, n].
func (m *Matrix) Transposed() bool { return m.kByN }

// copied says that the int8 codes are others than the stored ones.
func (m *Matrix) copied() bool {
	return unsafe.Pointer(unsafe.SliceData(m.int8.codes)) != unsafe.Pointer(unsafe.SliceData(m.codes))
}

func (m *Matrix) makeInt8() int8Codes {
	if m.requantizes() {
		return m.requantize()
	}
	c := int8Codes{kByN: m.kByN, scale: m.perRow(m.scale)}
	if m.zero != nil {
		c.zero = m.perRow(m.zero)
	}
	count, offset := m.n*m.k, m.int8Offset()
	if m.format.bits == 8 && offset == 0 {
		c.codes = signed(m.codes[:count])
		return c
	}
	c.codes, c.zero = make([]int8, count), m.int8Zero(c.zero, c.scale)
	inParallel(count, 1<<16, func(from, to int) {
		unpackBytes(unsigned(c.codes[from:to]), m.codes, m.format.bits, from, offset)
	})
	return c
}

// int8Offset is what stored codes exceed those in int8 by.
func (m *Matrix) int8Offset() uint8 {
	if m.format.bits == 8 && m.format.unsigned {
		return 128
	}
	return m.format.offset()
}

// int8Zero are the zero points of codes in int8: those of the stored codes, moved where the codes are.
func (m *Matrix) int8Zero(zero, scale []float32) []float32 {
	if m.format.bits != 8 || !m.format.unsigned {
		return zero
	}
	moved := slices.Clone(zero)
	for i := range moved {
		moved[i] += 128 * scale[i]
	}
	return moved
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
	b := (*blockwise)(m)
	c := int8Codes{codes: make([]int8, m.n*m.k)}
	_, c.scale, c.zero = b.Int8Groups()
	inParallel(m.n, 8, func(n0, n1 int) { b.UnpackInt8(c.codes[n0*m.k:n1*m.k], n0, n1, 0, m.k) })
	return c
}

// inParallel calls f for parts of n things, step at a time.
func inParallel(n, step int, f func(from, to int)) {
	var next atomic.Int64
	var wait sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), (n+step-1)/step) {
		wait.Go(func() {
			for {
				to := int(next.Add(int64(step)))
				if to-step >= n {
					return
				}
				f(to-step, min(n, to))
			}
		})
	}
	wait.Wait()
}
