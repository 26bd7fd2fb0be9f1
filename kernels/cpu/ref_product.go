package cpu

import "math"

// refConv2D defines Conv2D, and MatMul as the convolution of one row of pixels with a kernel of 1x1: float64 sums, operands
// rounded first if prec is BF16.
func refConv2D(dst, x []float32, b, h, w, c int, k Weights, cv Conv, bias []float32, prec Precision) {
	refConv(dst, x, [4]int{b, 1, h, w}, c, k, cv, bias, prec)
}

// refConv defines Convolve.
func refConv(dst, x []float32, sizes [4]int, c int, k Weights, cv Conv, bias []float32, prec Precision) {
	o, cols := k.Dims()
	weights := make([]float32, o*cols)
	k.Unpack(weights, 0, o, 0, cols)
	var row []float32
	for pos := range dst {
		n := pos % o
		if n == 0 {
			row = refWindow(x, pos/o, sizes, c, cv)
		}
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

// refWindow is row pos of the im2col matrix, in the order (c, kt, ky, kx).
func refWindow(x []float32, pos int, sizes [4]int, c int, cv Conv) []float32 {
	row := make([]float32, 0, c*cv.Taps())
	t, h, w := sizes[1], sizes[2], sizes[3]
	oh, ow := cv.Out(h, w)
	ot := cv.Frames(t)
	bi, of, oy, ox := pos/(ot*oh*ow), pos/(oh*ow)%ot, pos/ow%oh, pos%ow
	scale := 1
	if cv.Double {
		scale = 2
	}
	for ci := range c {
		for kt := range max(1, cv.KT) {
			for ky := range cv.KH {
				for kx := range cv.KW {
					f, y, x0 := of*max(1, cv.StrideT)-cv.Front+kt, oy*cv.StrideH-cv.Top+ky, ox*cv.StrideW-cv.Left+kx
					v := float32(0)
					if f >= 0 && f < t && y >= 0 && y < scale*h && x0 >= 0 && x0 < scale*w {
						v = x[(((bi*t+f)*h+y/scale)*w+x0/scale)*c+ci]
					}
					row = append(row, v)
				}
			}
		}
	}
	return row
}

// refInt8 defines Conv2D and MatMul in Int8 (specs/sdnq-format.md 10.2).
func refInt8(dst, x []float32, b, h, w, c int, k Int8Weights, cv Conv, bias []float32) {
	refInt8Conv(dst, x, [4]int{b, 1, h, w}, c, k, cv, bias, Int8)
}

// refInt8Conv defines Convolve in Int8 and Int8Fast.
func refInt8Conv(dst, x []float32, sizes [4]int, c int, k Int8Weights, cv Conv, bias []float32, prec Precision) {
	o, cols := k.Dims()
	codes, kByN, scale, zero := k.Int8()
	for pos := range dst {
		n, row := pos%o, refWindow(x, pos/o, sizes, c, cv)
		var top float32
		over := row
		if prec == Int8Fast {
			size, image := len(x)/sizes[0], pos/(len(dst)/sizes[0])
			over = x[image*size:][:size]
		}
		for _, v := range over {
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
