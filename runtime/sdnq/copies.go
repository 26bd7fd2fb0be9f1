package sdnq

import (
	"runtime"
	"sync"
	"sync/atomic"

	"graphrun/kernels/cpu"
)

// Copies bounds what matrices may keep of int8 codes that they made of others, for the quantized matmul. A matrix that finds
// no room makes its codes block by block in each product: the same codes, but for convolutions, which are dequantized then.
type Copies struct{ left atomic.Int64 }

// NewCopies allows copies of so many bytes in all.
func NewCopies(bytes int64) *Copies {
	c := &Copies{}
	c.left.Store(bytes)
	return c
}

// take reserves n bytes, or says no.
func (c *Copies) take(n int64) bool {
	if c.left.Add(-n) < 0 {
		c.left.Add(n)
		return false
	}
	return true
}

// LimitCopies makes the matrix ask for room before it keeps int8 codes of its own. Call it before its first use.
func (m *Matrix) LimitCopies(c *Copies) {
	if m.copies = c; m.base != nil {
		m.base.copies = c
	}
}

// room says whether int8 codes may be kept: stored ones are, and others if there is room until the matrix is garbage.
func (m *Matrix) room() bool {
	if m.copies == nil || !m.requantizes() && m.format.bits == 8 && !m.format.unsigned {
		return true
	}
	n := int64(m.n) * int64(m.k)
	if !m.copies.take(n) {
		return false
	}
	runtime.AddCleanup(m, func(c *Copies) { c.left.Add(n) }, m.copies)
	return true
}

// requantizes says that int8 codes are not the stored ones, moved, but made from the dequantized weight.
func (m *Matrix) requantizes() bool { return m.requant || m.col != nil }

// Requantized returns weights whose codes are made block by block (cpu.RequantizedWeights), nil if Int8 has the codes or
// Int8Groups has those that it would have.
func (m *Matrix) Requantized() cpu.GroupedInt8Weights {
	if codes, _, _, _ := m.Int8(); codes != nil || !m.coded() || !m.requantizes() || m.k%16 != 0 {
		return nil
	}
	return (*blockwise)(m)
}

// blockwise is a matrix whose int8 codes have one scale a row and are made when they are read.
type blockwise Matrix

func (b *blockwise) Dims() (n, k int) { return b.n, b.k }

func (b *blockwise) Unpack(dst []float32, n0, n1, k0, k1 int) {
	(*Matrix)(b).Unpack(dst, n0, n1, k0, k1)
}

// Int8Groups returns the scales that requantize finds.
func (b *blockwise) Int8Groups() (group int, scale, zero []float32) {
	m := (*Matrix)(b)
	b.scales.Do(func() {
		m.rowScale = make([]float32, m.n)
		if m.matmul.name == "uint8" {
			m.rowZero = make([]float32, m.n)
			m.eachRow(func(n int, row []float32) { m.rowScale[n], m.rowZero[n] = cpu.Uint8Span(row) })
			return
		}
		m.eachRow(func(n int, row []float32) { m.rowScale[n] = cpu.RowScale(row) })
	})
	return b.k, b.rowScale, b.rowZero
}

// UnpackInt8 makes codes.
func (b *blockwise) UnpackInt8(dst []int8, n0, n1, k0, k1 int) {
	m, w := (*Matrix)(b), k1-k0
	rows := rooms.Get().(*[]float32)
	defer rooms.Put(rows)
	*rows = grown(*rows, (n1-n0)*w)
	m.plain(*rows, n0, n1, k0, k1)
	for n := n0; n < n1; n++ {
		row := (*rows)[(n-n0)*w:][:w]
		if m.rowZero != nil {
			for i := range row {
				row[i] -= m.rowZero[n]
			}
		}
		cpu.QuantizeBy(dst[(n-n0)*w:][:w], row, m.rowScale[n])
	}
}

// rooms are rows of dequantized weights.
var rooms = sync.Pool{New: func() any { return new([]float32) }}

func grown(v []float32, n int) []float32 {
	if cap(v) < n {
		return make([]float32, n)
	}
	return v[:n]
}
