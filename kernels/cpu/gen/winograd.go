package main

import "fmt"

// The matrices of Winograd's F(4x4, 3x3) with the points 0, 1, -1, 2, -2 (Lavin and Gray 2015, arXiv 1509.09308).
var (
	winogradInput = [][]float64{
		{4, 0, -5, 0, 1, 0}, {0, -4, -4, 1, 1, 0}, {0, 4, -4, -1, 1, 0}, {0, -2, -1, 2, 1, 0}, {0, 2, -1, -2, 1, 0}, {0, 4, 0, -5, 0, 1},
	}
	winogradWeights = [][]float64{
		{1. / 4, 0, 0}, {-1. / 6, -1. / 6, -1. / 6}, {-1. / 6, 1. / 6, -1. / 6}, {1. / 24, 1. / 12, 1. / 6}, {1. / 24, -1. / 12, 1. / 6}, {0, 0, 1},
	}
	winogradOutput = [][]float64{
		{1, 1, 1, 1, 1, 0}, {0, 1, -1, 2, -2, 0}, {0, 1, 1, 4, 4, 0}, {0, 1, -1, 8, -8, 1},
	}
)

// mixes writes the three transforms of Winograd's convolution along one axis.
func (v *vec) mixes() {
	v.mix("mixInput", winogradInput)
	v.mix("mixWeights", winogradWeights)
	v.mix("mixOutput", winogradOutput)
}

// mix writes the loop that makes rows which are sums of other rows with constant factors.
func (v *vec) mix(name string, matrix [][]float64) {
	in := len(matrix[0])
	v.routine(name+"(dst, src unsafe.Pointer, n, step int)",
		fmt.Sprintf("makes %d rows of n floats, step bytes apart, from %d rows, whose addresses are at src.", len(matrix), in))
	v.args("dst", "DI", "src", "SI", "n", "CX", "step", "BX")
	for i := range in {
		v.p("MOVQ %d(SI), %s", 8*i, rowRegs[i])
	}
	v.p("XORL SI, SI") // the place in the source rows
	body := func() {
		for i := range in {
			v.load(fmt.Sprintf("(%s)(SI*1)", rowRegs[i]), i)
		}
		v.p("MOVQ DI, DX")
		for j, row := range matrix {
			v.combine(row, 6+j%2)
			v.store(6+j%2, "(DX)")
			v.p("ADDQ BX, DX")
		}
	}
	v.loop(body, map[string]int{"DI": 4, "SI": 4})
	v.end()
}

// combine leaves the sum of registers 0, 1, ... times factors in a register.
func (v *vec) combine(factors []float64, dst int) {
	first := true
	for _, unit := range []bool{true, false} { // factors of 1 first: they cost nothing
		for i, f := range factors {
			switch {
			case f == 0 || (f == 1) != unit:
			case first && unit:
				v.copyReg(i, dst)
				first = false
			case first:
				v.op("VMULPS", i, v.c(f), dst)
				first = false
			case unit:
				v.op("VADDPS", dst, i, dst)
			default:
				v.p("VFMADD231PS %s, %s, %s", v.c(f), v.r(i), v.r(dst))
			}
		}
	}
}
