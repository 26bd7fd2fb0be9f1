package sdnq

import (
	"graphrun/kernels/cpu"
)

// Precision is how a device computes the quantized matmul (10.2) of a matrix that allows it: in int8, or in the config's other
// format.
func (m *Matrix) Precision() cpu.Precision {
	if m.matmul.name == "int8" {
		return cpu.Int8
	}
	return cpu.Rounded
}

// roundings are the formats of the quantized matmul other than int8.
var roundings = map[string]cpu.Rounding{"uint8": cpu.Uint8, "float8_e4m3fn": cpu.Float8, "float16": cpu.Float16}

// computed says that there is a quantized matmul in that format.
func (f format) computed() bool { return f.name == "int8" || roundings[f.name] != cpu.Unrounded }

// Rounded returns what a quantized matmul in uint8, fp8 or fp16 multiplies (cpu.RoundedWeights).
func (m *Matrix) Rounded() (w cpu.Weights, form cpu.Rounding, sums []float32) {
	if form = roundings[m.matmul.name]; !m.coded() || form == cpu.Unrounded {
		return nil, cpu.Unrounded, nil
	}
	if form == cpu.Uint8 {
		m.summed.Do(m.sumRows)
		return m, form, m.sums
	}
	if !m.requantizes() && (form == cpu.Float8 || m.matmul.name == m.format.name) {
		return m, form, nil // codes are such numbers
	}
	return (*onGrid)(m), form, nil
}

// sumRows adds up the rows of the weights that a matmul in uint8 multiplies.
func (m *Matrix) sumRows() {
	m.sums = make([]float32, m.n)
	if m.requantizes() {
		b := (*blockwise)(m)
		_, scale, zero := b.Int8Groups()
		inParallel(m.n, 8, func(n0, n1 int) {
			codes := make([]int8, m.k)
			for n := n0; n < n1; n++ {
				b.UnpackInt8(codes, n, n+1, 0, m.k)
				sum := 0
				for _, c := range codes {
					sum += int(c)
				}
				m.sums[n] = scale[n]*float32(sum) + zero[n]*float32(m.k)
			}
		})
		return
	}
	m.eachRow(func(n int, row []float32) {
		sum, _ := cpu.Sums(row)
		m.sums[n] = float32(sum)
	})
}

// onGrid is a matrix of which each row is rounded to a float format with a scale of its own: the stored one, or that of its
// dequantized numbers.
type onGrid Matrix

func (r *onGrid) Dims() (n, k int) { return r.n, r.k }

func (r *onGrid) Unpack(dst []float32, n0, n1, k0, k1 int) {
	m, w := (*Matrix)(r), k1-k0
	form := roundings[m.matmul.name]
	m.scales.Do(func() {
		if !m.requantizes() {
			m.rowScale = m.perRow(m.scale)
			return
		}
		m.rowScale = make([]float32, m.n)
		m.eachRow(func(n int, row []float32) { m.rowScale[n] = form.RowScale(row) })
	})
	m.plain(dst, n0, n1, k0, k1)
	for n := n0; n < n1; n++ {
		form.Round(dst[(n-n0)*w:][:w], m.rowScale[n])
	}
}

// eachRow calls f with each dequantized row, several at once.
func (m *Matrix) eachRow(f func(n int, row []float32)) {
	inParallel(m.n, 8, func(n0, n1 int) {
		rows := rooms.Get().(*[]float32)
		defer rooms.Put(rows)
		*rows = grown(*rows, (n1-n0)*m.k)
		m.plain(*rows, n0, n1, 0, m.k)
		for n := n0; n < n1; n++ {
			f(n, (*rows)[(n-n0)*m.k:][:m.k])
		}
	})
}
