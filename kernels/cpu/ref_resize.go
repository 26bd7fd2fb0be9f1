package cpu

import "math"

// refResize defines Resize of x [h, w, c] to dst [oh, ow, c].
func refResize(dst, x []float32, h, w, c, oh, ow int, f Interpolation) {
	rows, cols := make([]map[int]float64, oh), make([]map[int]float64, ow)
	for y := range rows {
		rows[y] = refTaps(f, h, oh, y)
	}
	for z := range cols {
		cols[z] = refTaps(f, w, ow, z)
	}
	for i := range dst {
		sum := 0.0
		for y, wy := range rows[i/c/ow] {
			for z, wz := range cols[i/c%ow] {
				sum += wy * wz * float64(x[(y*w+z)*c+i%c])
			}
		}
		dst[i] = float32(sum)
	}
}

// refTaps are the weights of old places for place i of m, that of n: the filter's value at each place's distance from the
// centre of i. Those outside count as the outermost, but not for Lanczos.
func refTaps(f Interpolation, n, m, i int) map[int]float64 {
	scale := float32(n) / float32(m)
	centre := float64(float32((float32(i)+0.5)*scale) - 0.5)
	taps := map[int]float64{}
	add := func(lo, hi int, filter func(d float64) float64) {
		for k := lo; k < hi; k++ {
			if v := filter(float64(k) - centre); v != 0 {
				taps[min(max(k, 0), n-1)] += v
			}
		}
	}
	switch {
	case n == m:
		taps[i] = 1
	case f == Nearest:
		taps[min(int(float32(i)*scale), n-1)] = 1
	case f == NearestExact:
		taps[min(int((float32(i)+0.5)*scale), n-1)] = 1
	case f == Bilinear:
		add(-2, n+2, func(d float64) float64 { return max(0, 1-math.Abs(d)) })
	case f == Bicubic:
		add(-3, n+3, refCubic)
	case f == Area:
		lo, hi := i*n/m, ((i+1)*n+m-1)/m
		add(lo, hi, func(float64) float64 { return 1 / float64(hi-lo) })
	default:
		stretch, sum := max(1, float64(n)/float64(m)), 0.0
		centre = (float64(i)+0.5)*float64(n)/float64(m) - 0.5
		add(0, n, func(d float64) float64 { return refLanczos(d / stretch) })
		for _, v := range taps {
			sum += v
		}
		for k := range taps {
			taps[k] /= sum
		}
	}
	return taps
}

// refCubic is Keys' kernel with a = -3/4.
func refCubic(d float64) float64 {
	d = math.Abs(d)
	switch {
	case d < 1:
		return 1.25*d*d*d - 2.25*d*d + 1
	case d < 2:
		return -0.75 * (d*d*d - 5*d*d + 8*d - 4)
	}
	return 0
}

func refLanczos(d float64) float64 {
	if d < -3 || d >= 3 {
		return 0
	}
	if d == 0 {
		return 1
	}
	return 3 * math.Sin(math.Pi*d) * math.Sin(math.Pi*d/3) / (math.Pi * math.Pi * d * d)
}
