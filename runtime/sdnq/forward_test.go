package sdnq

import (
	"math"

	"graphrun/runtime/weights"
)

// This file has the plain references of a layer's forward pass that golden tests hold Matrix to: the ordinary
// operations (sdnq-format.md 10.1) and the quantized matmul (10.2, 10.3), in the order and with the formulas given there.

// goldenLayer is a layer's torch constructor arguments; sizes are a number or a list.
type goldenLayer struct {
	Class       string
	Stride      any
	Padding     any
	Dilation    any
	KernelSize  any `json:"kernel_size"`
	Groups      int
	PaddingMode string `json:"padding_mode"`
}

// sizes reads a torch size argument for each of n axes.
func sizes(v any, n, absent int) []int {
	out := make([]int, n)
	for i := range out {
		switch v := v.(type) {
		case float64:
			out[i] = int(v)
		case []any:
			out[i] = int(v[i].(float64))
		default:
			out[i] = absent
		}
	}
	return out
}

// unfold gathers the inputs of each output position of a convolution: rows [positions, c*kernel], c-major, and the
// output's spatial shape. x is [b, c, in...].
func (l goldenLayer) unfold(x []float32, shape, kernel []int) (rows []float32, out []int) {
	d := len(kernel)
	stride, pad, dilation := sizes(l.Stride, d, 1), sizes(l.Padding, d, 0), sizes(l.Dilation, d, 1)
	b, c, in := shape[0], shape[1], shape[2:]
	for i := range d {
		out = append(out, (in[i]+2*pad[i]-dilation[i]*(kernel[i]-1)-1)/stride[i]+1)
	}
	for bi := range b {
		for p := range product(out) {
			at := position(p, out)
			for ci := range c {
				for q := range product(kernel) {
					k := position(q, kernel)
					offset, inside := 0, true
					for i := range d {
						y := at[i]*stride[i] - pad[i] + k[i]*dilation[i]
						if y < 0 || y >= in[i] {
							inside = l.PaddingMode == "reflect"
							y = max(-y, min(y, 2*(in[i]-1)-y))
						}
						offset = offset*in[i] + y
						if !inside {
							break
						}
					}
					v := float32(0)
					if inside {
						v = x[(bi*c+ci)*product(in)+offset]
					}
					rows = append(rows, v)
				}
			}
		}
	}
	return rows, out
}

// position splits a flat number into coordinates.
func position(p int, shape []int) []int {
	at := make([]int, len(shape))
	for i := len(shape) - 1; i >= 0; i-- {
		at[i] = p % shape[i]
		p /= shape[i]
	}
	return at
}

// forward runs the layer: x of the given shape; dense is the weight's shape; mm multiplies group g of the columns of
// all rows by the weights' rows from..to and adds the bias.
func (l goldenLayer) forward(x []float32, shape, dense []int, mm func(rows []float32, g, from, to int) []float32) []float32 {
	if len(dense) == 2 {
		return mm(x, 0, 0, dense[0])
	}
	groups := max(l.Groups, 1)
	rows, out := l.unfold(x, shape, dense[2:])
	k, o := dense[1]*product(dense[2:]), dense[0]/groups
	n := len(rows) / (k * groups)
	y := make([]float32, n*dense[0])
	positions := product(out)
	for g := range groups {
		for i, v := range mm(rows, g, g*o, (g+1)*o) { // [b*positions, o] to [b, o, positions]
			r, oi := i/o, i%o+g*o
			y[(r/positions*dense[0]+oi)*positions+r%positions] = v
		}
	}
	return y
}

// transposed runs a ConvTranspose of weight w [I, O, k...] on x [b, I, in...].
func (l goldenLayer) transposed(x []float32, shape, dense []int, w, bias []float32) []float32 {
	kernel, d := dense[2:], len(dense)-2
	stride, pad := sizes(l.Stride, d, 1), sizes(l.Padding, d, 0)
	in, kk := shape[2:], product(kernel)
	out := make([]int, d)
	for i := range out {
		out[i] = (in[i]-1)*stride[i] - 2*pad[i] + kernel[i]
	}
	y := make([]float32, shape[0]*dense[1]*product(out))
	for i := range y {
		y[i] = bias[i/product(out)%dense[1]]
	}
	for i, v := range x {
		at, ci, b := position(i%product(in), in), i/product(in)%dense[0], i/product(in)/dense[0]
		for q := range kk {
			k, offset, inside := position(q, kernel), 0, true
			for j := range d {
				p := at[j]*stride[j] - pad[j] + k[j]
				inside = inside && p >= 0 && p < out[j]
				offset = offset*out[j] + p
			}
			for o := range dense[1] {
				if inside {
					y[(b*dense[1]+o)*product(out)+offset] += v * w[(ci*dense[1]+o)*kk+q]
				}
			}
		}
	}
	return y
}

// matmul multiplies columns g*k to (g+1)*k of rows, each of width values, by weights [n, k] and adds bias [n].
func matmul(rows []float32, width int, w, bias []float32, g, k int) []float32 {
	n := len(w) / k
	y := make([]float32, 0, len(rows)/width*n)
	for r := 0; r < len(rows); r += width {
		for o := range n {
			s := float64(bias[o])
			for i, x := range rows[r+g*k : r+(g+1)*k] {
				s += float64(x) * float64(w[o*k+i])
			}
			y = append(y, float32(s))
		}
	}
	return y
}

// quantizedMatMul is 10.2 for the matrix's rows from..to and the group g of the columns of rows, which are quantized
// over their whole width; mm is the format of the activations.
func (m *Matrix) quantizedMatMul(rows []float32, width int, bias []float32, g, from, to int, mm format) []float32 {
	k, n := m.k, to-from
	q, ws, wz := m.matmulCodes(from, to, mm)
	x := append([]float32(nil), rows...)
	if m.hadamard.Chunk > 0 {
		m.hadamard.Rotate(x)
	}
	y := make([]float32, 0, len(x)/width*n)
	for r := 0; r < len(x); r += width {
		row := x[r+g*k : r+(g+1)*k]
		extra := append([]float32(nil), bias...)
		for s := range m.rank {
			v := float32(0)
			for i, d := range m.down[s*k : (s+1)*k] {
				v += row[i] * d
			}
			for o := range n {
				extra[o] += v * m.up[(from+o)*m.rank+s]
			}
		}
		xq, xs, xz := quantizeRow(x[r:r+width], mm)
		xq = xq[g*k : (g+1)*k]
		sumX := 0.0
		for _, v := range xq {
			sumX += float64(v)
		}
		for o := range n {
			acc, sumQ := 0.0, 0.0
			for i, v := range q[o*k : (o+1)*k] {
				acc += float64(xq[i]) * float64(v)
				sumQ += float64(v)
			}
			v := float64(float32(acc)*xs)*float64(ws[o]) + float64(extra[o])
			v += float64(xz) * float64(ws[o]) * sumQ
			if wz != nil {
				v += float64(wz[o]) * (sumX*float64(xs) + float64(k)*float64(xz))
			}
			y = append(y, float32(v))
		}
	}
	return y
}

// matmulCodes is step 1 of 10.2: w = wz + q*ws, q of rows from..to; wz nil if there is none.
func (m *Matrix) matmulCodes(from, to int, mm format) (q, ws, wz []float32) {
	if codes, kByN, scale, zero := m.Int8(); codes != nil && mm.name == "int8" {
		for n := from; n < to; n++ {
			for k := range m.k {
				at := n*m.k + k
				if kByN {
					at = k*m.n + n
				}
				q = append(q, float32(codes[at]))
			}
		}
		if zero != nil {
			wz = zero[from:to]
		}
		return q, scale[from:to], wz
	}
	row := make([]float32, m.k)
	for n := from; n < to; n++ {
		m.plain(row, n, n+1, 0, m.k)
		if m.requant {
			c, s, z := quantizeRow(row, mm)
			q, ws = append(q, c...), append(ws, s)
			if mm.unsigned {
				wz = append(wz, z)
			}
			continue
		}
		s, z, offset := m.scale[n*m.rowStride], float32(0), float32(0)
		if m.zero != nil {
			z = m.zero[n*m.rowStride]
			if m.format.bits == 8 {
				offset = 128
			}
			wz = append(wz, z+offset*s)
		}
		ws = append(ws, s)
		for _, v := range row { // undo the scaling: codes are exact
			c := (v - z) / s
			if m.format.integer {
				c = float32(math.RoundToEven(float64(c))) - offset
			}
			if mm.store == weights.F16 {
				c = roundTo(c, mm)
			}
			q = append(q, c)
		}
	}
	return q, ws, wz
}

// quantizeRow is step 3 of 10.2: v = z + q*s.
func quantizeRow(v []float32, mm format) (q []float32, s, z float32) {
	q = make([]float32, len(v))
	low, high := float32(math.Inf(1)), float32(math.Inf(-1))
	for _, x := range v {
		low, high = min(low, x), max(high, x)
	}
	if mm.unsigned {
		s = (high - low) / 255
		z = low + 128*s
	} else {
		s = max(high, -low) / float32(mm.max)
	}
	for i, x := range v {
		c := (x - z) / s
		switch {
		case c != c:
		case mm.integer:
			q[i] = float32(min(max(math.RoundToEven(float64(c)), -128), 127))
		default:
			q[i] = roundTo(min(max(c, float32(mm.min)), float32(mm.max)), mm)
		}
	}
	return q, s, z
}

// roundTo rounds to the nearest number of a float matmul's format; integers stay.
func roundTo(v float32, mm format) float32 {
	switch mm.store {
	case weights.F16:
		return weights.F16ToFloat32(weights.Float32ToF16(v))
	case weights.F8E4M3:
		best, at := float32(0), -1
		for c, x := range mm.table(subnormals) {
			d, e := math.Abs(float64(x-v)), math.Abs(float64(best-v))
			if at < 0 && x == x || d < e || d == e && c%2 == 0 {
				best, at = x, c
			}
		}
		return best
	}
	return v
}
