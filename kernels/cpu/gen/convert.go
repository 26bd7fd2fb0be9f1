package main

// The loops that change formats and layouts.

// quantize writes the loop that rounds x/scale to int8 codes, stored in one byte or two.
func (v *vec) quantize(bytes int) {
	name := map[int]string{1: "quantize8", 2: "quantize16"}[bytes]
	v.routine(name+"(dst, x unsafe.Pointer, n int, scale float32) (sum int32)", "rounds x/scale to even, clamps to -128..127, 0 for NaN, and sums up.")
	v.args("dst", "DI", "x", "SI", "n", "CX")
	v.broadcast("scale", 10)
	v.zero(11)
	v.loop(func() {
		v.load("(SI)", 0)
		v.op("VDIVPS", 0, 10, 0)
		v.maskBy(ordered, 0, 0, 0, 1)
		v.op("VMAXPS", 0, v.c(-128), 0)
		v.op("VMINPS", 0, v.c(127), 0)
		v.p("VCVTPS2DQ %s, %s", v.r(0), v.r(0))
		if v.masked { // 0/0 beyond the end is NaN, thus 0
			v.zero(2)
			v.keep(0, 2)
		}
		v.op("VPADDD", 0, 11, 11)
		v.storeCodes(bytes, "VPACKSSWB")
	}, map[string]int{"DI": bytes, "SI": 4})
	v.fold("VPADDD", 11, 0)
	v.p("VMOVD X11, AX")
	v.p("MOVL AX, %s", v.arg("sum"))
	v.end()
}

// quantizeUint8 writes the loop that rounds (x-zero)/scale to uint8 codes.
func (v *vec) quantizeUint8() {
	v.routine("quantizeUint8(dst, x unsafe.Pointer, n int, scale, zero float32)", "rounds (x-zero)/scale to even and clamps to 0..255, 0 for NaN.")
	v.args("dst", "DI", "x", "SI", "n", "CX")
	v.broadcast("scale", 10)
	v.broadcast("zero", 12)
	v.zero(11)
	v.loop(func() {
		v.load("(SI)", 0)
		v.op("VSUBPS", 0, 12, 0)
		v.op("VDIVPS", 0, 10, 0)
		v.op("VMAXPS", 0, 11, 0) // 0 for NaN
		v.op("VMINPS", 0, v.c(255), 0)
		v.p("VCVTPS2DQ %s, %s", v.r(0), v.r(0))
		v.storeCodes(1, "VPACKUSWB")
	}, map[string]int{"DI": 1, "SI": 4})
	v.end()
}

// storeCodes stores register 0, of codes that fit, at DI in one or two bytes a lane; pack packs words into bytes.
func (v *vec) storeCodes(bytes int, pack string) {
	switch {
	case v.wide:
		op, mask := map[int]string{1: "VPMOVDB", 2: "VPMOVDW"}[bytes], ""
		if v.masked {
			mask = "K1, "
		}
		v.p("%s Z0, %s(DI)", op, mask)
		return
	default:
		v.p("VEXTRACTI128 $1, Y0, X1")
		v.p("VPACKSSDW X1, X0, X0")
	}
	if bytes == 1 {
		v.p("%s X0, X0, X0", pack)
	}
	switch {
	case v.masked:
		v.p("rest:")
		v.p("VMOVD X0, AX")
		v.p("%s AX, (DI)", map[int]string{1: "MOVB", 2: "MOVW"}[bytes])
		v.p("VPSRLDQ $%d, X0, X0", bytes)
		v.p("ADDQ $%d, DI", bytes)
		v.p("DECQ CX")
		v.p("JNZ rest")
	case bytes == 1:
		v.p("VMOVQ X0, (DI)")
	default:
		v.p("VMOVDQU X0, (DI)")
	}
}

// transpose writes the move of eight rows of words to columns, with eight registers of eight words.
func (v *vec) transpose() {
	v.routine("transpose(dst, offset, src unsafe.Pointer, stride, k int, mask uint32)", "see path.transpose.")
	v.args("dst", "DI", "offset", "DX", "src", "SI", "stride", "R8", "k", "CX")
	v.p("LEAQ (R8)(R8*2), R9")
	v.p("LEAQ (SI)(R8*4), R10")
	rows := []string{"(SI)", "(SI)(R8*1)", "(SI)(R8*2)", "(SI)(R9*1)", "(R10)", "(R10)(R8*1)", "(R10)(R8*2)", "(R10)(R9*1)"}
	v.p("SUBQ $8, CX")
	v.p("JLT tail")
	v.p("whole:")
	for i, row := range rows {
		v.p("VMOVUPS %s, Y%d", row, i)
	}
	for i := range 4 { // pairs of rows
		v.p("VUNPCKLPS Y%d, Y%d, Y%d", 2*i+1, 2*i, 8+2*i)
		v.p("VUNPCKHPS Y%d, Y%d, Y%d", 2*i+1, 2*i, 9+2*i)
	}
	for i := range 2 { // fours of rows
		for j := range 2 {
			v.p("VSHUFPS $0x44, Y%d, Y%d, Y%d", 8+4*i+2+j, 8+4*i+j, 4*i+2*j)
			v.p("VSHUFPS $0xee, Y%d, Y%d, Y%d", 8+4*i+2+j, 8+4*i+j, 4*i+2*j+1)
		}
	}
	for i := range 4 {
		v.p("VPERM2F128 $0x20, Y%d, Y%d, Y%d", 4+i, i, 8+i)
		v.p("VPERM2F128 $0x31, Y%d, Y%d, Y%d", 4+i, i, 12+i)
	}
	v.p("VBROADCASTSS %s, Y0", v.arg("mask"))
	for i := range 8 {
		v.p("VXORPS Y0, Y%d, Y%d", 8+i, 8+i)
		v.p("MOVLQSX %d(DX), AX", 4*i)
		v.p("VMOVUPS Y%d, (DI)(AX*1)", 8+i)
	}
	for _, reg := range []string{"SI", "R10", "DX"} {
		v.p("ADDQ $32, %s", reg)
	}
	v.p("SUBQ $8, CX")
	v.p("JGE whole")
	v.p("tail:")
	v.p("ADDQ $8, CX")
	v.p("JLE done")
	v.p("MOVL %s, BX", v.arg("mask"))
	v.p("one:")
	v.p("MOVLQSX (DX), AX")
	for i, row := range rows {
		v.p("MOVL %s, R11", row)
		v.p("XORL BX, R11")
		v.p("MOVL R11, %d(DI)(AX*1)", 4*i)
	}
	for _, reg := range []string{"SI", "R10", "DX"} {
		v.p("ADDQ $4, %s", reg)
	}
	v.p("DECQ CX")
	v.p("JNZ one")
	v.p("done:")
	v.end()
}

// codes writes the loops that lay out int8 codes: words of two int16 from rows, words of four bytes from rows, and int16 from int8.
func (v *vec) codes() {
	v.routine("widen(dst, src unsafe.Pointer, n int)", "is int16 from int8.")
	v.args("dst", "DI", "src", "SI", "n", "CX")
	v.p("SUBQ $16, CX")
	v.p("JLT tail")
	v.p("whole:")
	v.p("VPMOVSXBW (SI), Y0")
	v.p("VMOVDQU Y0, (DI)")
	v.p("ADDQ $16, SI")
	v.p("ADDQ $32, DI")
	v.p("SUBQ $16, CX")
	v.p("JGE whole")
	v.p("tail:")
	v.p("ADDQ $16, CX")
	v.p("JLE done")
	v.p("one:")
	v.p("MOVBLSX (SI), AX")
	v.p("MOVW AX, (DI)")
	v.p("INCQ SI")
	v.p("ADDQ $2, DI")
	v.p("DECQ CX")
	v.p("JNZ one")
	v.p("done:")
	v.end()

	v.pack("pairCodes", "makes words of two int16 from rows of int8, see path.interleave.", 2, 8, func() {
		v.p("VPMOVSXBD (R8), Y0")
		v.p("VPMOVSXBD (R9), Y1")
		v.p("VPSLLD $16, Y1, Y1")
		v.p("VPBLENDW $0xaa, Y1, Y0, Y0")
		v.p("VMOVDQU Y0, (DI)")
	}, func() {
		v.p("MOVBLSX (R8), AX")
		v.p("MOVW AX, (DI)")
		v.p("MOVBLSX (R9), AX")
		v.p("MOVW AX, 2(DI)")
	})
	v.pack("interleave", "makes words of four bytes from rows of int8, xor 0x80, see path.interleave.", 4, 16, func() {
		for i, reg := range rowRegs[:4] {
			v.p("VMOVDQU (%s), X%d", reg, i)
		}
		for i, half := range []string{"L", "H"} {
			v.p("VPUNPCK%sBW X1, X0, X%d", half, 4+2*i)
			v.p("VPUNPCK%sBW X3, X2, X%d", half, 5+2*i)
		}
		for i := range 4 {
			v.p("VPUNPCK%sWD X%d, X%d, X0", []string{"L", "H"}[i%2], 5+i/2*2, 4+i/2*2)
			v.p("VPXOR %s, X0, X0", v.word(0x80808080))
			v.p("VMOVDQU X0, %d(DI)", 16*i)
		}
	}, func() {
		for i, reg := range rowRegs[:4] {
			v.p("MOVBLZX (%s), AX", reg)
			v.p("XORL $0x80, AX")
			v.p("MOVB AX, %d(DI)", i)
		}
	})
}

// fetch writes the loop that asks for the lines of some rows.
func (v *vec) fetch() {
	v.routine("fetch(p unsafe.Pointer, rows, lines, pitch int)", "brings so many lines of each row, which are pitch bytes apart, to the L1 cache.")
	v.args("p", "SI", "rows", "CX", "pitch", "BX")
	v.p("row:")
	v.p("MOVQ SI, DI")
	v.p("MOVQ %s, DX", v.arg("lines"))
	v.p("line:")
	v.p("PREFETCHT0 (DI)")
	v.p("ADDQ $64, DI")
	v.p("DECQ DX")
	v.p("JNZ line")
	v.p("ADDQ BX, SI")
	v.p("DECQ CX")
	v.p("JNZ row")
	v.p("RET")
}

// pack writes a loop that makes words of columns from so many rows of codes, n columns at a time and then one at a time: R8
// and following registers point to the rows, DI to the words.
func (v *vec) pack(name, comment string, rows, n int, block, one func()) {
	v.routine(name+"(dst, src unsafe.Pointer, n, words, stride, pitch int)", comment)
	v.args("dst", "DX", "src", "SI", "words", "BX")
	regs := rowRegs[:rows]
	advance := func(n int) {
		for _, reg := range regs {
			v.p("ADDQ $%d, %s", n, reg)
		}
		v.p("ADDQ $%d, DI", 4*n)
	}
	v.p("MOVQ %s, R12", v.arg("stride")) // rows lie so far apart that the processor fetches none before it is asked for
	v.p("SHLQ $5, R12")
	v.p("word:")
	v.p("MOVQ DX, DI")
	for _, reg := range regs {
		v.p("MOVQ SI, %s", reg)
		v.p("PREFETCHT0 (SI)(R12*1)")
		v.p("ADDQ %s, SI", v.arg("stride"))
	}
	v.p("MOVQ %s, CX", v.arg("n"))
	v.p("SUBQ $%d, CX", n)
	v.p("JLT tail")
	v.p("whole:")
	block()
	advance(n)
	v.p("SUBQ $%d, CX", n)
	v.p("JGE whole")
	v.p("tail:")
	v.p("ADDQ $%d, CX", n)
	v.p("JLE next")
	v.p("one:")
	one()
	advance(1)
	v.p("DECQ CX")
	v.p("JNZ one")
	v.p("next:")
	v.p("ADDQ %s, DX", v.arg("pitch"))
	v.p("DECQ BX")
	v.p("JNZ word")
	v.end()
}

// halves writes the loops that make float32 of 16-bit floats.
func (v *vec) halves() {
	pointers := map[string]int{"DI": 4, "SI": 2}
	v.routine("fromBF16(dst, src unsafe.Pointer, n int)", "is float32 from bfloat16.")
	v.args("dst", "DI", "src", "SI", "n", "CX")
	v.blocks(v.lanes, func() {
		v.p("VPMOVZXWD (SI), %s", v.r(0))
		v.p("VPSLLD $16, %s, %s", v.r(0), v.r(0))
		v.p("VMOVUPS %s, (DI)", v.r(0))
	}, pointers, "vector")
	v.blocks(1, func() {
		v.p("MOVWLZX (SI), AX")
		v.p("SHLL $16, AX")
		v.p("MOVL AX, (DI)")
	}, pointers, "one")
	v.end()

	v.routine("fromF16(dst, src unsafe.Pointer, n int)", "is float32 from IEEE binary16.")
	v.args("dst", "DI", "src", "SI", "n", "CX")
	v.blocks(v.lanes, func() {
		v.p("VCVTPH2PS (SI), %s", v.r(0))
		v.p("VMOVUPS %s, (DI)", v.r(0))
	}, pointers, "vector")
	v.blocks(1, func() {
		v.p("MOVWLZX (SI), AX")
		v.p("VMOVD AX, X0")
		v.p("VCVTPH2PS X0, X0")
		v.p("VMOVSS X0, (DI)")
	}, pointers, "one")
	v.end()
}

// bfloat16 writes the conversions for the dot product of bfloat16, AVX-512 alone.
func (v *vec) bfloat16() {
	constants := func() {
		v.p("VMOVUPS %s, Z10", v.word(1))
		v.p("VMOVUPS %s, Z11", v.word(0x7fff))
		v.p("VMOVUPS %s, Z12", v.word(0x00400000))
		v.p("VMOVUPS %s, Z13", v.word(0xffff0000))
	}
	// round leaves the bfloat16 of reg in its upper halves, and dirt below; a NaN stays one.
	round := func(reg int) {
		v.p("VCMPPS $3, Z%d, Z%d, K2", reg, reg)
		v.p("VPSRLD $16, Z%d, Z5", reg)
		v.p("VPANDD Z10, Z5, Z5")
		v.p("VPADDD Z11, Z5, Z5")
		v.p("VPORD Z12, Z%d, Z6", reg)
		v.p("VPADDD Z5, Z%d, Z%d", reg, reg)
		v.p("VMOVDQA32 Z6, K2, Z%d", reg)
	}
	v.routine("pairRows(dst, even, odd unsafe.Pointer, n int)", "makes words of two bfloat16 from two rows of float32.")
	v.args("dst", "DI", "even", "SI", "odd", "DX", "n", "CX")
	constants()
	v.loop(func() {
		v.load("(SI)", 0)
		v.load("(DX)", 1)
		round(0)
		round(1)
		v.p("VPSRLD $16, Z0, Z0")
		v.p("VPANDD Z13, Z1, Z1")
		v.p("VPORD Z1, Z0, Z0")
		v.store(0, "(DI)")
	}, streams)
	v.end()

	v.routine("narrow(dst, x unsafe.Pointer, n int)", "is bfloat16 from float32; an odd one is followed by 0.")
	v.args("dst", "DI", "x", "SI", "n", "CX")
	constants()
	v.loop(func() {
		v.load("(SI)", 0)
		round(0)
		v.p("VPSRLD $16, Z0, Z0")
		mask := ""
		if v.masked {
			mask = "K1, "
			v.p("INCL CX")
			v.p("ANDL $-2, CX")
			v.mask()
		}
		v.p("VPMOVDW Z0, %s(DI)", mask)
	}, map[string]int{"SI": 4, "DI": 2})
	v.end()
}
