package main

// hadamard writes the steps of the rotation by a Hadamard matrix, see cpu.Hadamard; sums are in the order of the reference.
func (v *vec) hadamard() {
	// fours replaces a, b, c, d in Y0..Y3 by a+b+c-d, a+b-c+d, a-b+c+d and b+c+d-a in Y4..Y7.
	fours := func() {
		v.op("VADDPS", 0, 1, 4)
		v.op("VSUBPS", 0, 1, 6)
		v.op("VADDPS", 1, 2, 7)
		v.op("VSUBPS", 4, 2, 5)
		v.op("VADDPS", 4, 2, 4)
		v.op("VADDPS", 6, 2, 6)
		v.op("VADDPS", 7, 3, 7)
		v.op("VSUBPS", 4, 3, 4)
		v.op("VADDPS", 5, 3, 5)
		v.op("VADDPS", 6, 3, 6)
		v.op("VSUBPS", 7, 0, 7)
	}
	// turn transposes four numbers of four registers in each half.
	turn := func(from, to int) {
		for i := range 2 {
			v.p("VUNPCKLPS Y%d, Y%d, Y%d", from+2*i+1, from+2*i, 8+2*i)
			v.p("VUNPCKHPS Y%d, Y%d, Y%d", from+2*i+1, from+2*i, 9+2*i)
		}
		for i := range 2 {
			v.p("VSHUFPS $0x44, Y%d, Y%d, Y%d", 10+i, 8+i, to+2*i)
			v.p("VSHUFPS $0xee, Y%d, Y%d, Y%d", 10+i, 8+i, to+2*i+1)
		}
	}
	// halves puts the lower halves of a and b to low, the upper ones to high.
	halves := func(a, b, low, high int) {
		v.p("VPERM2F128 $0x20, Y%d, Y%d, Y%d", b, a, low)
		v.p("VPERM2F128 $0x31, Y%d, Y%d, Y%d", b, a, high)
	}
	v.routine("mixFours(x unsafe.Pointer, n int)", "does steps 1 and 4 on n times 32 numbers.")
	v.args("x", "SI", "n", "CX")
	v.p("block:")
	for i := range 4 {
		v.p("VMOVUPS %d(SI), Y%d", 32*i, 4+i)
	}
	turn(4, 0)
	fours()
	turn(4, 4)
	halves(4, 6, 0, 1)
	halves(5, 7, 2, 3)
	fours()
	halves(4, 5, 0, 2)
	halves(6, 7, 1, 3)
	for i := range 4 {
		v.p("VMOVUPS Y%d, %d(SI)", i, 32*i)
	}
	v.p("ADDQ $128, SI")
	v.p("DECQ CX")
	v.p("JNZ block")
	v.end()

	v.routine("mixEights(x unsafe.Pointer, n int)", "does steps 1, 2 and 4 on n times 8 numbers.")
	v.args("x", "SI", "n", "CX")
	v.p("block:")
	v.p("VMOVUPS (SI), Y0")
	for _, step := range []struct {
		swap  string
		blend int
	}{{"VPERMILPS $0xb1, Y0, Y1", 0xaa}, {"VPERMILPS $0x4e, Y0, Y1", 0xcc}, {"VPERM2F128 $0x01, Y0, Y0, Y1", 0xf0}} {
		v.p("%s", step.swap)
		v.op("VADDPS", 0, 1, 2)
		v.op("VSUBPS", 1, 0, 3)
		v.p("VBLENDPS $%#x, Y3, Y2, Y0", step.blend)
	}
	v.p("VMOVUPS Y0, (SI)")
	v.p("ADDQ $32, SI")
	v.p("DECQ CX")
	v.p("JNZ block")
	v.end()

	step := func(name string, rows int, mix func()) {
		v.routine(name+"(x unsafe.Pointer, n, step int, factor float32)", "does one step on n blocks of as many rows of step numbers, and multiplies them.")
		v.args("x", "SI", "n", "CX", "step", "BX")
		v.broadcast("factor", 15)
		v.p("SHLQ $2, BX")
		v.p("LEAQ (BX)(BX*2), R8")
		v.p("block:")
		v.p("MOVQ BX, DX")
		v.p("vector:")
		at := []string{"(SI)", "(SI)(BX*1)", "(SI)(BX*2)", "(SI)(R8*1)"}[:rows]
		for i, row := range at {
			v.p("VMOVUPS %s, Y%d", row, i)
		}
		mix()
		for i, row := range at {
			v.op("VMULPS", 4+i, 15, 4+i)
			v.p("VMOVUPS Y%d, %s", 4+i, row)
		}
		v.p("ADDQ $32, SI")
		v.p("SUBQ $32, DX")
		v.p("JNZ vector")
		for range rows - 1 {
			v.p("ADDQ BX, SI")
		}
		v.p("DECQ CX")
		v.p("JNZ block")
		v.end()
	}
	step("mix4", 4, fours)
	step("mix2", 2, func() {
		v.op("VADDPS", 0, 1, 4)
		v.op("VSUBPS", 0, 1, 5)
	})
}
