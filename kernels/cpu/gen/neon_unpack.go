package main

// The loops that make codes into bytes, bytes into scaled float32, and weights into rotated ones, for arm64.

// unpackBits writes the loop that gathers the bits of codes, see vec.unpackBits.
func (v *neon) unpackBits() {
	v.routine("unpackBits(dst, src unsafe.Pointer, n, step int, spread, terms unsafe.Pointer, count int, minus uint32)",
		"makes n times 32 codes, see cpu.Packing; 16 codes take step bytes.", func() {
			v.args("dst", "src", "n", "step", "spread", "terms", "count")
			v.p("FMOVQ (R4), F31")
			v.broadcast("minus", 30)
			for _, n := range []int{4, 1} {
				label := map[int]string{4: "four", 1: "one"}[n]
				each := func(f func(i int)) {
					for i := range 2 * n {
						f(i)
					}
				}
				v.blocks(n, label, func() {
					each(func(i int) {
						v.p("FMOVQ (R1), F%d", i)
						v.p("ADD R3, R1")
						v.a("TBL", i, i, 31)
					})
					v.zero(8, 2*n)
					v.p("MOVD R5, R7")
					v.p("MOVD R6, R8")
					v.p("%sTerm:", label)
					v.p("VLD1R.P 8(R7), [V28.D2]")
					v.p("VLD1R.P 8(R7), [V29.D2]")
					each(func(i int) { v.a("USHL.2D", 16+i, i, 28) })
					each(func(i int) { v.a("AND", 16+i, 16+i, 29) })
					each(func(i int) { v.a("ORR", 8+i, 8+i, 16+i) })
					v.down(8, label+"Term")
					each(func(i int) { v.a("SUB.16B", 8+i, 8+i, 30) })
					for i := range n {
						v.p("FSTPQ.P (F%d, F%d), 32(R0)", 8+2*i, 9+2*i)
					}
				})
			}
		})
}

// scale writes the loops that make float32 of one-byte numbers.
func (v *neon) scale() {
	toFloat := func(regs []int) {
		for _, r := range regs {
			v.a("SCVTF", r, r)
		}
	}
	v.groups("scaleInt8", "", "S", func() {}, toFloat)
	v.groups("scaleUint8", "", "U", func() {}, toFloat)

	const left, right, sign, bias, special, least, noSign = 12, 13, 14, 15, 16, 17, 18
	v.groups("scaleFloat8", ", format unsafe.Pointer", "U", func() {
		v.p("MOVD %s, R7", v.arg("format"))
		for i, at := range []int{0, 8, 16, 20, 24, 28, 32} {
			v.p("FMOVS %d(R7), F%d", at, left+i)
			v.a("DUP", left+i, left+i)
		}
		v.a("NEG", right, right)
	}, func(regs []int) { // see vec.scaleFloat8
		const b, c, d = 5, 6, 7
		one := v.word(1 << 23) // more in an exponent
		for _, a := range regs {
			v.a("USHL", a, a, left)
			v.a("AND", b, a, sign)
			v.a("EOR", a, a, b)
			v.a("USHL", a, a, right)
			v.a("CMGT", c, a, special)
			v.a("CMGT", d, one, a) // subnormal
			v.a("AND", c, c, v.word(0x7f800000))
			v.a("ADD", a, a, bias)
			v.a("ORR", a, a, c)
			v.a("AND", c, d, one)
			v.a("ADD", a, a, c)
			v.a("AND", d, d, least)
			v.a("FSUB", a, a, d)
			v.a("ORR", a, a, b)
			v.a("FADD", a, a, noSign)
		}
	})
}

// groups writes a loop that makes float32 of codes and scales them, group by group. convert makes the numbers of registers of
// codes, extended to 32 bits as the sign says; 5 to 7 are its own.
func (v *neon) groups(name, more, sign string, prepare func(), convert func(regs []int)) {
	v.routine(name+"(dst, codes unsafe.Pointer, n, group int, scale, zero unsafe.Pointer, step int"+more+")",
		"is code*scale + zero, rounded twice, for groups of a scale and a zero, the latter step bytes apart.", func() {
			v.args("dst", "codes", "scale", "zero", "group", "step")
			v.p("MOVD %s, R6", v.arg("n"))
			prepare()
			scaled := func(regs ...int) {
				convert(regs)
				for _, r := range regs {
					v.a("FMUL", r, r, 10)
				}
				for _, r := range regs {
					v.a("FADD", r, r, 11)
				}
			}
			v.p("group:")
			v.p("CMP R6, R4")
			v.p("CSEL LT, R4, R6, R10")
			v.p("SUB R10, R6")
			for i, reg := range []int{10, 11} {
				v.p("FMOVS (R%d), F%d", 2+i, reg)
				v.a("DUP", reg, reg)
			}
			v.p("ADD $4, R2")
			v.p("ADD R5, R3")
			v.blocks(16, "many", func() {
				v.p("FMOVQ (R1), F0")
				v.a(sign+"XTL.8B", 4, 0)
				v.a(sign+"XTL2.8B", 5, 0)
				for i := range 2 {
					v.a(sign+"XTL.4H", 2*i, 4+i)
					v.a(sign+"XTL2.4H", 2*i+1, 4+i)
				}
				scaled(0, 1, 2, 3)
				v.p("FSTPQ (F0, F1), (R0)")
				v.p("FSTPQ (F2, F3), 32(R0)")
			}, 4, 1)
			v.loop(1, func() {
				v.codes(sign, 0, 1, 0)
				scaled(0)
				v.store(0, 0)
			}, 4, 1)
			v.p("CBNZ R6, group")
		})
}

// hadamard writes the steps of the rotation by a Hadamard matrix, see cpu.Hadamard; sums are in the order of the reference.
func (v *neon) hadamard() {
	fours := func(from, to int) { // a+b+c-d, a+b-c+d, a-b+c+d and b+c+d-a
		a, b, c, d := from, from+1, from+2, from+3
		v.a("FADD", to, a, b)
		v.a("FSUB", to+2, a, b)
		v.a("FADD", to+3, b, c)
		v.a("FSUB", to+1, to, c)
		v.a("FADD", to, to, c)
		v.a("FADD", to+2, to+2, c)
		v.a("FADD", to+3, to+3, d)
		v.a("FSUB", to, to, d)
		v.a("FADD", to+1, to+1, d)
		v.a("FADD", to+2, to+2, d)
		v.a("FSUB", to+3, to+3, a)
	}
	v.routine("mixFours(x unsafe.Pointer, n int)", "does steps 1 and 4 on n times 32 numbers.", func() {
		v.args("x", "n")
		v.p("LSL $1, R10")
		v.p("block:")
		v.p("VLD4 (R0), [V0.S4, V1.S4, V2.S4, V3.S4]")
		fours(0, 4)
		for i := range 2 {
			v.a("TRN1", 2*i, 4+2*i, 5+2*i)
			v.a("TRN2", 2*i+1, 4+2*i, 5+2*i)
		}
		for i := range 2 {
			v.a("TRN1.2D", 4+i, i, 2+i)
			v.a("TRN2.2D", 6+i, i, 2+i)
		}
		fours(4, 0)
		v.p("FSTPQ.P (F0, F1), 32(R0)")
		v.p("FSTPQ.P (F2, F3), 32(R0)")
		v.down(10, "block")
	})
	v.routine("mixEights(x unsafe.Pointer, n int)", "does steps 1, 2 and 4 on n times 8 numbers.", func() {
		v.args("x", "n")
		v.p("block:")
		v.p("FLDPQ (R0), (F0, F1)")
		for _, size := range []string{"", ".2D"} {
			v.a("TRN1"+size, 2, 0, 1)
			v.a("TRN2"+size, 3, 0, 1)
			v.a("FADD", 4, 2, 3)
			v.a("FSUB", 5, 2, 3)
			v.a("TRN1"+size, 0, 4, 5)
			v.a("TRN2"+size, 1, 4, 5)
		}
		v.a("FADD", 2, 0, 1)
		v.a("FSUB", 3, 0, 1)
		v.p("FSTPQ.P (F2, F3), 32(R0)")
		v.down(10, "block")
	})
	step := func(name string, rows int, mix func()) {
		v.routine(name+"(x unsafe.Pointer, n, step int, factor float32)", "does one step on n blocks of as many rows of step numbers, and multiplies them.", func() {
			v.args("x", "n", "step")
			v.broadcast("factor", 10)
			v.p("LSL $2, R2")
			at := []int{0, 3, 4, 5}[:rows]
			v.p("block:")
			for i, r := range at[1:] {
				v.p("ADD R2, R%d, R%d", at[i], r)
			}
			v.p("MOVD R2, R6")
			v.p("vector:")
			for i, r := range at {
				v.p("FMOVQ (R%d), F%d", r, i)
			}
			mix()
			for i, r := range at {
				v.a("FMUL", 4+i, 4+i, 10)
				v.p("FMOVQ.P F%d, 16(R%d)", 4+i, r)
			}
			v.p("SUBS $16, R6")
			v.p("BNE vector")
			v.p("MOVD R%d, R0", at[rows-1])
			v.down(10, "block")
		})
	}
	step("mix4", 4, func() { fours(0, 4) })
	step("mix2", 2, func() {
		v.a("FADD", 4, 0, 1)
		v.a("FSUB", 5, 0, 1)
	})
}

// transposeBytes writes the transposition of rows of eight bytes, see vec.transposeBytes.
func (v *neon) transposeBytes() {
	v.routine("transposeBytes(dst, src unsafe.Pointer, pitch, stride, n int)", "turns n times 16 rows of 8 bytes into columns, see cpu.TransposeBytes.", func() {
		v.args("dst", "src", "pitch", "stride", "n")
		v.p("block:")
		for i := range 8 { // words of two rows
			for _, r := range []int{i, 16} {
				v.p("FMOVD (R1), F%d", r)
				v.p("ADD R3, R1")
			}
			v.a("ZIP1.16B", i, i, 16)
		}
		join := func(size string, from, to [8]int) {
			for i := 0; i < 8; i += 2 {
				v.a("ZIP1."+size, to[i], from[i], from[i+1])
				v.a("ZIP2."+size, to[i+1], from[i], from[i+1])
			}
		}
		join("8H", [8]int{0, 1, 2, 3, 4, 5, 6, 7}, [8]int{8, 9, 10, 11, 12, 13, 14, 15})
		join("4S", [8]int{8, 10, 9, 11, 12, 14, 13, 15}, [8]int{0, 1, 2, 3, 4, 5, 6, 7})
		join("2D", [8]int{0, 4, 1, 5, 2, 6, 3, 7}, [8]int{8, 9, 10, 11, 12, 13, 14, 15})
		v.p("MOVD R0, R4")
		for i := range 8 {
			v.p("FMOVQ F%d, (R4)", 8+i)
			v.p("ADD R2, R4")
		}
		v.p("ADD $16, R0")
		v.down(10, "block")
	})
}
