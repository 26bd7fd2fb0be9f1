package cpu

import "math"

// refConv2D defines Conv2D, and MatMul as the convolution of one row of pixels with a kernel of 1x1: float64 sums, operands
// rounded first if prec is BF16.
func refConv2D(dst, x []float32, b, h, w, c int, k Weights, cv Conv, bias []float32, prec Precision) {
	o, cols := k.Dims()
	weights := make([]float32, o*cols)
	k.Unpack(weights, 0, o, 0, cols)
	for pos := range dst {
		n, row := pos%o, refWindow(x, pos/o, b, h, w, c, cv)
		var sum float64
		for i, v := range row {
			f := weights[n*cols+i]
			if prec == BF16 {
				v, f = roundBF16(v), roundBF16(f)
			}
			sum += float64(v) * float64(f)
		}
		if bias != nil {
			sum += float64(bias[n])
		}
		dst[pos] = float32(sum)
	}
}

// refWindow is row pos of the im2col matrix, in the order (c, ky, kx).
func refWindow(x []float32, pos, b, h, w, c int, cv Conv) (row []float32) {
	oh, ow := cv.Out(h, w)
	bi, oy, ox := pos/(oh*ow), pos/ow%oh, pos%ow
	for ci := range c {
		for ky := range cv.KH {
			for kx := range cv.KW {
				y, x0 := oy*cv.StrideH-cv.Top+ky, ox*cv.StrideW-cv.Left+kx
				v := float32(0)
				if y >= 0 && y < h && x0 >= 0 && x0 < w {
					v = x[((bi*h+y)*w+x0)*c+ci]
				}
				row = append(row, v)
			}
		}
	}
	return row
}

// refInt8 defines Conv2D and MatMul in Int8 (specs/sdnq-format.md 10.2).
func refInt8(dst, x []float32, b, h, w, c int, k Int8Weights, cv Conv, bias []float32) {
	o, cols := k.Dims()
	codes, kByN, scale, zero := k.Int8()
	for pos := range dst {
		n, row := pos%o, refWindow(x, pos/o, b, h, w, c, cv)
		var top float32
		for _, v := range row {
			if a := float32(math.Abs(float64(v))); a > top || a != a {
				top = a
			}
		}
		xs := top / 127
		var acc, sum int32
		for i, v := range row {
			at := n*cols + i
			if kByN {
				at = i*o + n
			}
			q := math.RoundToEven(float64(v / xs))
			if q != q {
				q = 0
			}
			q = min(max(q, -128), 127)
			acc += int32(q) * int32(codes[at])
			sum += int32(q)
		}
		add := float32(0)
		if bias != nil {
			add = bias[n]
		}
		dst[pos] = fma32(float32(acc)*xs, scale[n], add)
		if zero != nil {
			dst[pos] += float32(sum) * xs * zero[n]
		}
	}
}
