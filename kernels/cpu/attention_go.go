package cpu

import (
	"math"
	"unsafe"
)

// The inner loops of attention on the generic path, which also define what the others compute.

// attendsGo gives a product its widths.
func attendsGo(f func(c, a, b, fade unsafe.Pointer, groups, k, nr int)) (t attends) {
	for strips := 1; strips <= attendStrips; strips++ {
		t[strips] = func(c, a, b, fade unsafe.Pointer, groups, k int) { f(c, a, b, fade, groups, k, 8*strips) }
	}
	return t
}

// attendF32Go multiplies float32 words, two rows by two columns at a time.
func attendF32Go(c, a, b, fade unsafe.Pointer, groups, k, nr int) {
	for i := 0; i < 8*groups; i += 2 {
		for j := 0; j < nr; j += 2 {
			x, w := unsafe.Add(a, 4*(i/8*8*k+i%8)), unsafe.Add(b, 4*j)
			var s00, s01, s10, s11 float32
			for range k {
				u, v := (*[2]float32)(x), (*[2]float32)(w)
				s00 += u[0] * v[0]
				s01 += u[0] * v[1]
				s10 += u[1] * v[0]
				s11 += u[1] * v[1]
				x, w = unsafe.Add(x, 32), unsafe.Add(w, 4*nr)
			}
			c0, c1 := at[[2]float32](c, 4*(i*nr+j)), at[[2]float32](c, 4*((i+1)*nr+j))
			if fade != nil {
				f := at[[2]float32](fade, 4*j)
				s00, s01, s10, s11 = s00+c0[0]*f[0], s01+c0[1]*f[1], s10+c1[0]*f[0], s11+c1[1]*f[1]
			}
			*c0, *c1 = [2]float32{s00, s01}, [2]float32{s10, s11}
		}
	}
}

// attendInt8Go multiplies words of four codes: of rows signed, of the panel plus 128.
func attendInt8Go(c, a, b, _ unsafe.Pointer, groups, k, nr int) {
	for i := range 8 * groups {
		for j := range nr {
			var s int32
			for w := range k {
				x, y := at[[4]int8](a, 4*((i/8*k+w)*8+i%8)), at[[4]uint8](b, 4*(w*nr+j))
				s += int32(x[0])*int32(y[0]) + int32(x[1])*int32(y[1]) + int32(x[2])*int32(y[2]) + int32(x[3])*int32(y[3])
			}
			*at[int32](c, 4*(i*nr+j)) = s
		}
	}
}

func softmaxGo(s []float32, rows, pitch int, m, sum, fade []float32) {
	for j := range m {
		top := m[j]
		for r := range rows {
			if v := s[r*pitch+j]; v > top {
				top = v
			}
		}
		base := float64(top)
		if math.IsInf(base, -1) { // nothing but masked scores yet
			base = 0
		}
		f := float32(math.Exp(float64(m[j]) - base))
		total := sum[j] * f
		for r := range rows {
			e := float32(math.Exp(float64(s[r*pitch+j]) - base))
			s[r*pitch+j] = e
			total += e
		}
		m[j], sum[j], fade[j] = top, total, f
	}
}

func descaleGo(s []float32, rows, pitch int, less []int32, row, column []float32) {
	for r := range rows {
		for j, f := range column {
			x := &s[r*pitch+j]
			*x = float32(float32(int32(math.Float32bits(*x))-less[r])*row[r]) * f
		}
	}
}

func mulRowsGo(s []float32, rows, pitch int, column []float32) {
	for r := range rows {
		for j, f := range column {
			s[r*pitch+j] *= f
		}
	}
}

func eightsGo(dst, src unsafe.Pointer, rows, groups, stride, pitch int) {
	for i := range rows {
		for g := range groups {
			*at[[8]float32](dst, g*pitch+32*i) = *at[[8]float32](src, i*stride+32*g)
		}
	}
}
