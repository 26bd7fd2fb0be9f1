package devicetest

import (
	"math"
	"slices"

	"graphrun/runtime/device"
)

// The definitions, in float64.

func silu(x float64) float64 { return x / (1 + math.Exp(-x)) }

func gelu(x float64) float64 { return x * 0.5 * math.Erfc(-x/math.Sqrt2) }

func geluTanh(x float64) float64 {
	return 0.5 * x * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
}

func quickGELU(x float64) float64 { return x / (1 + math.Exp(-1.702*x)) }

func each(v []float32, f func(x float64) float64) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = f(float64(x))
	}
	return out
}

// product multiplies rows of K values by a matrix, in the arithmetic that was asked for.
func product(rows []float32, m Matrix, bias []float32, int8 bool) (out []float64) {
	for r := range len(rows) / m.K {
		row := rows[r*m.K : (r+1)*m.K]
		for n := range m.N {
			var y float64
			if int8 {
				y = quantized(row, m, n)
			} else {
				for k, x := range row {
					y += float64(x) * m.V[n*m.K+k]
				}
			}
			if bias != nil {
				y += float64(bias[n])
			}
			out = append(out, y)
		}
	}
	return out
}

// quantized is SDNQ's product of a row and row n of codes: the row is quantized to a scale of max|x|/127, rounded to even.
func quantized(row []float32, m Matrix, n int) float64 {
	var top float64
	for _, x := range row {
		top = math.Max(top, math.Abs(float64(x))) // NaN if one is
	}
	scale := float32(top) / 127
	group := m.Group
	if group == 0 {
		group = m.K
	}
	var y float64
	for k, x := range row {
		q := math.RoundToEven(float64(x / scale))
		if q != q {
			q = 0
		}
		q = math.Min(math.Max(q, -128), 127)
		at := n*(m.K/group) + k/group
		y += q * float64(scale) * float64(m.Codes[n*m.K+k]) * float64(m.Scale[at])
		if m.Zero != nil {
			y += q * float64(scale) * float64(m.Zero[at])
		}
	}
	return y
}

// windows are what a kernel sees at each position of a picture [batch, height, width, channels], or of one with time after
// the batch, in the order (channel, kt, ky, kx), zeros outside. shape is that of the positions.
func windows(x Array, c device.Conv) (shape []int, rows []float32) {
	axes := len(x.Shape)
	batch, h, w, channels, frames, scale := x.Shape[0], x.Shape[axes-3], x.Shape[axes-2], x.Shape[axes-1], 1, 1
	if axes == 5 {
		frames = x.Shape[1]
	}
	if c.Double {
		scale = 2
	}
	var ot, oh, ow int
	for b := range batch {
		ot = 0
		for t := -c.Front; t+max(1, c.KT) <= frames+c.Back; t += max(1, c.StrideT) {
			ot, oh = ot+1, 0
			for y := -c.Top; y+c.KH <= scale*h+c.Bottom; y += c.StrideH {
				oh, ow = oh+1, 0
				for z := -c.Left; z+c.KW <= scale*w+c.Right; z += c.StrideW {
					ow++
					for ch := range channels {
						for at := range max(1, c.KT) * c.KH * c.KW {
							v, it, iy, ix := float32(0), t+at/(c.KH*c.KW), y+at/c.KW%c.KH, z+at%c.KW
							if it >= 0 && it < frames && iy >= 0 && iy < scale*h && ix >= 0 && ix < scale*w {
								v = x.V[(((b*frames+it)*h+iy/scale)*w+ix/scale)*channels+ch]
							}
							rows = append(rows, v)
						}
					}
				}
			}
		}
	}
	if axes == 5 {
		return []int{batch, ot, oh, ow}, rows
	}
	return []int{batch, oh, ow}, rows
}

// attention is softmax(q·kᵀ·scale + mask)·v of q [batch, tokens, heads*width], k and v [batch, keys, kv*width].
func attention(q, k, v Array, mask *Array, spec device.AttentionSpec) []float64 {
	c, queries, keys := q.Shape[2], q.Shape[1], k.Shape[1]
	d, kc, scale := c/spec.Heads, k.Shape[2], float64(spec.Scale)
	if scale == 0 {
		scale = 1 / math.Sqrt(float64(d))
	}
	out := make([]float64, len(q.V))
	for b := range q.Shape[0] {
		for i := range queries {
			for h := range spec.Heads {
				at, kv := (b*queries+i)*c+h*d, b*keys*kc+h/(c/kc)*d
				seen := keys
				if spec.Causal {
					seen = min(keys, i+1)
				}
				p, top, sum := make([]float64, seen), math.Inf(-1), 0.0
				for j := range p {
					for e := range d {
						p[j] += float64(q.V[at+e]) * float64(k.V[kv+j*kc+e])
					}
					p[j] *= scale
					if mask != nil {
						p[j] += float64(mask.V[i*keys+j])
					}
					top = math.Max(top, p[j])
				}
				for j := range p {
					p[j] = math.Exp(p[j] - top)
					sum += p[j]
				}
				for j := range p {
					for e := range d {
						out[at+e] += p[j] / sum * float64(v.V[kv+j*kc+e])
					}
				}
			}
		}
	}
	return out
}

// normalized has mean 0 and variance 1.
func normalized(x []float64, eps float64) []float64 {
	var mean, variance float64
	for _, v := range x {
		mean += v / float64(len(x))
	}
	for _, v := range x {
		variance += (v - mean) * (v - mean) / float64(len(x))
	}
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = (v - mean) / math.Sqrt(variance+eps)
	}
	return out
}

// groupNorm is of x [batch, ..., channels]: statistics over all positions of a group of channels.
func groupNorm(x Array, groups int, eps float64, w, b []float32, act bool) []float64 {
	batch, c := x.Shape[0], x.Shape[len(x.Shape)-1]
	positions, per := len(x.V)/batch/c, c/groups
	out := make([]float64, len(x.V))
	for g := range batch * groups {
		at := func(i int) int { return (g/groups*positions+i/per)*c + g%groups*per + i%per }
		values := make([]float64, positions*per)
		for i := range values {
			values[i] = float64(x.V[at(i)])
		}
		for i, v := range normalized(values, eps) {
			ch := at(i) % c
			v = v*float64(w[ch]) + float64(b[ch])
			if act {
				v = silu(v)
			}
			out[at(i)] = v
		}
	}
	return out
}

// rows calls f with each run of c values.
func rows(v []float32, c int, f func(r int, row []float64) []float64) (out []float64) {
	for r := range len(v) / c {
		out = append(out, f(r, wide(v[r*c:(r+1)*c]))...)
	}
	return out
}

func layerNorm(x Array, eps float64, w, b []float32) []float64 {
	return rows(x.V, x.Shape[len(x.Shape)-1], func(_ int, row []float64) []float64 {
		row = normalized(row, eps)
		for i := range row {
			if w != nil {
				row[i] *= float64(w[i])
			}
			if b != nil {
				row[i] += float64(b[i])
			}
		}
		return row
	})
}

func rmsNorm(v []float32, eps float64, w []float32) []float64 {
	return rows(v, len(w), func(_ int, row []float64) []float64 {
		var square float64
		for _, x := range row {
			square += x * x / float64(len(row))
		}
		for i := range row {
			row[i] *= float64(w[i]) / math.Sqrt(square+eps)
		}
		return row
	})
}

// rotary turns neighbours (a, b) into (a cos - b sin, b cos + a sin), the table being [tokens, 2*width]: cosines twice over,
// then sines, the first negative.
func rotary(x, table Array) []float64 {
	d := table.Shape[1] / 2
	return rows(x.V, x.Shape[len(x.Shape)-1], func(token int, row []float64) []float64 {
		angle := table.V[token*2*d : (token+1)*2*d]
		out := make([]float64, len(row))
		for i := 0; i < len(row); i += 2 {
			j := i % d
			out[i] = row[i]*float64(angle[j]) + row[i+1]*float64(angle[d+j])
			out[i+1] = row[i+1]*float64(angle[j+1]) + row[i]*float64(angle[d+j+1])
		}
		return out
	})
}

// gather reads for each place of a result what lies in x at the place that from turns it into.
func gather(x Array, shape []int, from func(at []int)) []float64 {
	out := make([]float64, size(shape))
	for i := range out {
		at, rest := make([]int, len(shape)), i
		for axis := len(shape) - 1; axis >= 0; axis-- {
			at[axis] = rest % shape[axis]
			rest /= shape[axis]
		}
		from(at)
		place := 0
		for axis, n := range x.Shape {
			place = place*n + at[axis]
		}
		out[i] = float64(x.V[place])
	}
	return out
}

// join is a, then b, along an axis.
func join(a, b Array, axis int) ([]int, []float64) {
	n := a.Shape[axis]
	shape := around(a.Shape, axis, n+b.Shape[axis])
	out := gather(a, shape, func(at []int) { at[axis] = min(at[axis], n-1) })
	for i, v := range gather(b, shape, func(at []int) { at[axis] = max(at[axis]-n, 0) }) {
		if i/size(shape[axis+1:])%shape[axis] >= n {
			out[i] = v
		}
	}
	return shape, out
}

// resize weighs old places by a filter of their distances from a new one's centre, axis by axis. Places outside count as the
// outermost, but not for Lanczos, whose weights add up to 1 nevertheless.
func resize(x Array, oh, ow int, f device.Interpolation) (out []float64) {
	b, h, w, c := x.Shape[0], x.Shape[1], x.Shape[2], x.Shape[3]
	rows, cols := make([]map[int]float64, oh), make([]map[int]float64, ow)
	for y := range rows {
		rows[y] = weights(f, h, oh, y)
	}
	for z := range cols {
		cols[z] = weights(f, w, ow, z)
	}
	for i := range b * oh * ow * c {
		sum := 0.0
		for y, wy := range rows[i/c/ow%oh] {
			for z, wz := range cols[i/c%ow] {
				sum += wy * wz * float64(x.V[((i/c/ow/oh*h+y)*w+z)*c+i%c])
			}
		}
		out = append(out, sum)
	}
	return out
}

// weights are those of old places, of which there are n, for place i of m.
func weights(f device.Interpolation, n, m, i int) map[int]float64 {
	scale := float32(n) / float32(m) // as torch has it
	centre := float64(float32((float32(i)+0.5)*scale) - 0.5)
	list, sum := map[int]float64{}, 0.0
	add := func(lo, hi int, filter func(d float64) float64) {
		for k := lo; k < hi; k++ {
			if v := filter(math.Abs(float64(k) - centre)); v != 0 {
				list[min(max(k, 0), n-1)] += v
				sum += v
			}
		}
	}
	switch stretch := max(1, float64(n)/float64(m)); {
	case n == m:
		list[i], sum = 1, 1
	case f == device.Nearest:
		list[min(int(float32(i)*scale), n-1)], sum = 1, 1
	case f == device.NearestExact:
		list[min(int((float32(i)+0.5)*scale), n-1)], sum = 1, 1
	case f == device.Bilinear:
		add(-1, n+1, func(d float64) float64 { return max(0, 1-d) })
	case f == device.Bicubic:
		add(-2, n+2, cubic)
	case f == device.Area:
		add(i*n/m, ((i+1)*n+m-1)/m, func(float64) float64 { return 1 })
	default:
		centre = (float64(i)+0.5)*float64(n)/float64(m) - 0.5
		add(0, n, func(d float64) float64 { return lanczos(d / stretch) })
	}
	for k := range list {
		list[k] /= sum
	}
	return list
}

// cubic is Keys' kernel with a = -3/4.
func cubic(d float64) float64 {
	switch {
	case d < 1:
		return 1.25*d*d*d - 2.25*d*d + 1
	case d < 2:
		return -0.75 * (d*d*d - 5*d*d + 8*d - 4)
	}
	return 0
}

func lanczos(d float64) float64 {
	if d == 0 {
		return 1
	}
	if d >= 3 {
		return 0
	}
	return 3 * math.Sin(math.Pi*d) * math.Sin(math.Pi*d/3) / (math.Pi * math.Pi * d * d)
}

func softmax(_ int, row []float64) []float64 {
	top, sum := slices.Max(row), 0.0
	for i, v := range row {
		row[i] = math.Exp(v - top)
		sum += row[i]
	}
	for i := range row {
		row[i] /= sum
	}
	return row
}

// timesteps are sines and cosines of angles that get smaller, those of each t in a row.
func timesteps(t []float32, dim int, cosFirst bool, shift float64) []float64 {
	return rows(t, 1, func(_ int, step []float64) []float64 {
		row, half := make([]float64, dim), dim/2
		for i := range half {
			angle := step[0] * math.Pow(10000, -float64(i)/(float64(half)-shift))
			row[i], row[half+i] = math.Sin(angle), math.Cos(angle)
			if cosFirst {
				row[i], row[half+i] = row[half+i], row[i]
			}
		}
		return row
	})
}
