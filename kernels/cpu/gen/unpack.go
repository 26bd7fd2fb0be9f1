package main

// The loops that make codes of up to eight bits into bytes, and bytes into scaled float32.

// unpackBits writes the loop that gathers the bits of codes, four registers at a time and then one.
func (v *vec) unpackBits() {
	v.routine("unpackBits(dst, src unsafe.Pointer, n, step int, spread, terms unsafe.Pointer, count int, minus uint32)",
		"makes n times 32 codes, see cpu.Packing; 16 codes take step bytes.")
	v.args("dst", "DI", "src", "SI", "n", "CX", "step", "BX", "spread", "AX", "terms", "R8", "count", "R9")
	v.p("VMOVDQU (AX), Y15")
	v.broadcast("minus", 14)
	v.p("SHLQ $4, R9")
	v.p("ADDQ R8, R9")
	for _, n := range []int{4, 1} {
		v.blocks(n, func() {
			for i := range n {
				v.p("VMOVDQU (SI), X%d", i)
				v.p("VINSERTI128 $1, (SI)(BX*1), Y%d, Y%d", i, i)
				v.p("LEAQ (SI)(BX*2), SI")
				v.p("VPSHUFB Y15, Y%d, Y%d", i, i)
				v.p("VPXOR Y%d, Y%d, Y%d", 4+i, 4+i, 4+i)
			}
			v.p("MOVQ R8, AX")
			v.p("term%d:", n)
			v.p("VMOVQ (AX), X13")
			v.p("VPBROADCASTQ 8(AX), Y12")
			for i := range n {
				v.p("VPSLLQ X13, Y%d, Y%d", i, 8+i)
				v.p("VPAND Y12, Y%d, Y%d", 8+i, 8+i)
				v.p("VPOR Y%d, Y%d, Y%d", 8+i, 4+i, 4+i)
			}
			v.p("ADDQ $16, AX")
			v.p("CMPQ AX, R9")
			v.p("JNE term%d", n)
			for i := range n {
				v.p("VPSUBB Y14, Y%d, Y%d", 4+i, 4+i)
				v.p("VMOVDQU Y%d, %d(DI)", 4+i, 32*i)
			}
		}, map[string]int{"DI": 32}, map[int]string{4: "four", 1: "one"}[n])
	}
	v.end()
}

// scale writes the loops that make float32 of one-byte integers.
func (v *vec) scale() {
	for _, form := range [][3]string{{"scaleInt8", "VPMOVSXBD", "MOVBLSX"}, {"scaleUint8", "VPMOVZXBD", "MOVBLZX"}} {
		v.groups(form[0], "", func() {}, func(reg func(int) string, i, at int) {
			v.p("%s %d(SI), %s", form[1], at, reg(i))
			v.p("VCVTDQ2PS %s, %s", reg(i), reg(i))
		}, func() {
			v.p("%s (SI), AX", form[2])
			v.p("VCVTSI2SSL AX, X0, X0")
		}, 4)
	}
}

// scaleFloat8 writes the loop that makes float32 of one-byte floats.
func (v *vec) scaleFloat8() {
	convert := func(reg func(int) string, i int) {
		a, b, c, d := reg(i), reg(i+1), reg(i+2), reg(i+3)
		v.p("VPSLLVD %s, %s, %s", reg(8), a, a)
		v.p("VPAND %s, %s, %s", reg(10), a, b) // the sign
		v.p("VPXOR %s, %s, %s", b, a, a)
		v.p("VPSRLVD %s, %s, %s", reg(9), a, a)           // exponent and mantissa
		v.p("VPCMPGTD %s, %s, %s", reg(12), a, c)         // not finite
		v.p("VPCMPGTD %s, %s, %s", a, reg(15), d)         // subnormal
		v.p("VPAND %s, %s, %s", v.word(0x7f800000), c, c) // all ones in the exponent
		v.p("VPADDD %s, %s, %s", reg(11), a, a)           // the exponent of float32
		v.p("VPOR %s, %s, %s", c, a, a)
		v.p("VPAND %s, %s, %s", reg(15), d, c) // 1 to the exponent of a subnormal
		v.p("VPADDD %s, %s, %s", c, a, a)
		v.p("VPAND %s, %s, %s", reg(13), d, d) // the hidden bit that it has not
		v.p("VSUBPS %s, %s, %s", d, a, a)
		v.p("VPOR %s, %s, %s", b, a, a)
		v.p("VADDPS %s, %s, %s", reg(5), a, a) // -0 may be 0
	}
	v.groups("scaleFloat8", ", format unsafe.Pointer", func() {
		v.p("MOVQ %s, AX", v.arg("format"))
		v.p("VPBROADCASTD (AX), %s", v.r(8))
		v.p("VPBROADCASTD 8(AX), %s", v.r(9))
		for i := range 4 {
			v.p("VBROADCASTSS %d(AX), %s", 16+4*i, v.r(10+i))
		}
		v.p("VBROADCASTSS 32(AX), %s", v.r(5))
		v.p("VMOVUPS %s, %s", v.word(1<<23), v.r(15)) // one more in an exponent
	}, func(reg func(int) string, i, at int) {
		v.p("VPMOVZXBD %d(SI), %s", at, reg(i))
		convert(reg, i)
	}, func() {
		v.p("MOVBLZX (SI), AX")
		v.p("VMOVD AX, X0")
		convert(func(i int) string { return "X" + v.r(i)[1:] }, 0)
	}, 1)
}

// groups writes a loop that makes float32 of codes and scales them, group by group: whole vectors, so many at a time, and then
// single codes. convert makes the numbers of a vector of codes at an offset in register i; 4 to 6 and 14 are not its own. one
// makes that of one code in X0.
func (v *vec) groups(name, more string, prepare func(), convert func(reg func(int) string, i, at int), one func(), unroll int) {
	v.routine(name+"(dst, codes unsafe.Pointer, n, group int, scale, zero unsafe.Pointer, step int"+more+")",
		"is code*scale + zero, rounded twice, for groups of a scale and a zero, the latter step bytes apart.")
	v.args("dst", "DI", "codes", "SI", "scale", "DX", "zero", "R8", "n", "R9", "group", "BX")
	prepare()
	pointers := map[string]int{"DI": 4, "SI": 1}
	v.p("group:")
	v.p("MOVQ BX, CX")
	v.p("CMPQ CX, R9")
	v.p("CMOVQGT R9, CX")
	v.p("SUBQ CX, R9")
	v.p("VBROADCASTSS (DX), %s", v.r(14))
	v.p("VBROADCASTSS (R8), %s", v.r(6))
	v.p("ADDQ $4, DX")
	v.p("ADDQ %s, R8", v.arg("step"))
	vectors := func(n int) func() {
		return func() {
			for i := range n {
				convert(v.r, i, v.lanes*i)
				v.op("VMULPS", i, 14, i)
				v.op("VADDPS", i, 6, i)
				v.p("VMOVUPS %s, %d(DI)", v.r(i), 4*v.lanes*i)
			}
		}
	}
	if unroll > 1 {
		v.blocks(unroll*v.lanes, vectors(unroll), pointers, "vectors")
	}
	v.blocks(v.lanes, vectors(1), pointers, "vector")
	v.blocks(1, func() {
		one()
		v.p("VMULSS X14, X0, X0")
		v.p("VADDSS X6, X0, X0")
		v.p("VMOVSS X0, (DI)")
	}, pointers, "one")
	v.p("TESTQ R9, R9")
	v.p("JG group")
	v.end()
}

// transposeBytes writes the transposition of rows of eight bytes, sixteen rows at a time.
func (v *vec) transposeBytes() {
	v.routine("transposeBytes(dst, src unsafe.Pointer, pitch, stride, n int)", "turns n times 16 rows of 8 bytes into columns, see cpu.TransposeBytes.")
	v.args("dst", "DI", "src", "SI", "pitch", "R10", "stride", "R8", "n", "CX")
	v.p("LEAQ (R8)(R8*2), R9")
	v.p("LEAQ (R10)(R10*2), R11")
	v.p("LEAQ (DI)(R10*4), DX")
	v.p("block:")
	for i := range 8 { // words of two rows
		at := []string{"(SI)", "(SI)(R8*1)", "(SI)(R8*2)", "(SI)(R9*1)"}[i%2*2:]
		v.p("VMOVQ %s, X%d", at[0], i)
		v.p("VMOVQ %s, X15", at[1])
		v.p("VPUNPCKLBW X15, X%d, X%d", i, i)
		if i%2 == 1 {
			v.p("LEAQ (SI)(R8*4), SI")
		}
	}
	// join merges registers i and i+1 for every even i of from: lower halves to the first of a list, upper ones to the second.
	join := func(size string, from [8]int, to [8]int) {
		for i := 0; i < 8; i += 2 {
			v.p("VPUNPCKL%s X%d, X%d, X%d", size, from[i+1], from[i], to[i])
			v.p("VPUNPCKH%s X%d, X%d, X%d", size, from[i+1], from[i], to[i+1])
		}
	}
	join("WD", [8]int{0, 1, 2, 3, 4, 5, 6, 7}, [8]int{8, 9, 10, 11, 12, 13, 14, 15}) // columns 0 to 3, 4 to 7 of four rows
	join("DQ", [8]int{8, 10, 9, 11, 12, 14, 13, 15}, [8]int{0, 1, 2, 3, 4, 5, 6, 7}) // two columns of eight rows
	join("QDQ", [8]int{0, 4, 1, 5, 2, 6, 3, 7}, [8]int{8, 9, 10, 11, 12, 13, 14, 15})
	for i, row := range []string{"(DI)", "(DI)(R10*1)", "(DI)(R10*2)", "(DI)(R11*1)", "(DX)", "(DX)(R10*1)", "(DX)(R10*2)", "(DX)(R11*1)"} {
		v.p("VMOVDQU X%d, %s", 8+i, row)
	}
	v.p("ADDQ $16, DI")
	v.p("ADDQ $16, DX")
	v.p("DECQ CX")
	v.p("JNZ block")
	v.end()
}
