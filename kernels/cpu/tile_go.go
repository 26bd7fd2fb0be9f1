package cpu

import (
	"unsafe"
)

// The kernels of the generic path, which are also the definition of what the others compute.

func at[T any](p unsafe.Pointer, bytes int) *T { return (*T)(unsafe.Add(p, bytes)) }

// tileF32 is a tile of float32 words, two rows by two columns at a time.
func tileF32(a *tileArgs) {
	for i := 0; i < a.mr; i += 2 {
		for j := 0; j < a.nr; j += 2 {
			second := min(i+1, a.mr-1) // of an odd last row: computed twice, stored twice
			c0, c1 := at[[2]float32](a.c, i*a.pitch+4*j), at[[2]float32](a.c, second*a.pitch+4*j)
			v0, v1 := *c0, *c1
			if a.init != nil {
				v0 = *at[[2]float32](a.init, 4*j)
				v1 = v0
			}
			b := unsafe.Add(a.b, 4*j)
			for t := range a.taps {
				r0 := unsafe.Add(*at[unsafe.Pointer](a.rows, 8*(t*a.mr+i)), a.off)
				r1 := unsafe.Add(*at[unsafe.Pointer](a.rows, 8*(t*a.mr+second)), a.off)
				for k := 0; k < a.k; k += chain {
					var s00, s01, s10, s11 float32
					for range min(chain, a.k-k) {
						v, x0, x1 := (*[2]float32)(b), *(*float32)(r0), *(*float32)(r1)
						s00 += x0 * v[0]
						s01 += x0 * v[1]
						s10 += x1 * v[0]
						s11 += x1 * v[1]
						b, r0, r1 = unsafe.Add(b, 4*a.nr), unsafe.Add(r0, a.step), unsafe.Add(r1, a.step)
					}
					v0[0], v0[1], v1[0], v1[1] = v0[0]+s00, v0[1]+s01, v1[0]+s10, v1[1]+s11
				}
			}
			*c0, *c1 = v0, v1
		}
	}
}

// tileInt8 is a tile of int8 words, exact modulo 2^32.
func tileInt8(a *tileArgs) {
	for i := range a.mr {
		for j := range a.nr {
			c := at[int32](a.c, i*a.pitch+4*j)
			s := *c
			if a.init != nil {
				s = *at[int32](a.init, 4*j)
			}
			b := unsafe.Add(a.b, 4*j)
			for t := range a.taps {
				r := unsafe.Add(*at[unsafe.Pointer](a.rows, 8*(t*a.mr+i)), a.off)
				for k := range a.k {
					x, w := at[[4]int8](r, k*a.step), at[[4]uint8](b, 0)
					s += int32(x[0])*int32(w[0]) + int32(x[1])*int32(w[1]) + int32(x[2])*int32(w[2]) + int32(x[3])*int32(w[3])
					b = unsafe.Add(b, 4*a.nr)
				}
			}
			*c = s
		}
	}
}

func transposeGo(dst unsafe.Pointer, offset *int32, src unsafe.Pointer, stride, k int, mask uint32) {
	offsets := unsafe.Slice(offset, k)
	for j := range 8 {
		row := unsafe.Slice(at[uint32](src, j*stride), k)
		for i, v := range row {
			*at[uint32](dst, int(offsets[i])+4*j) = v ^ mask
		}
	}
}

func interleaveGo(dst, src unsafe.Pointer, n, words, stride, pitch int) {
	for i := range words {
		for r := range 4 {
			for j := range n {
				*at[uint8](dst, i*pitch+4*j+r) = *at[uint8](src, (4*i+r)*stride+j) ^ 0x80
			}
		}
	}
}
