package main

// Sums of products of two rows: products of few rows of activations are bound by reading the weights, which these read in
// order and once.

// ahead is how many bytes of weights are fetched ahead; 512 won against 2048 in specs/kernels.md.
const ahead = 512

// dots writes the sums of products of float32 and of codes.
func (v *vec) dots() {
	v.routine("dot(w, x unsafe.Pointer, n int) (sum float32)", "is the sum of w*x.")
	v.args("w", "SI", "x", "DX", "n", "CX")
	v.clear(10, 4)
	v.p("SUBQ $%d, CX", 4*v.lanes)
	v.p("JLT few")
	v.p("four:")
	for i := range 4 {
		v.p("VMOVUPS %d(SI), %s", 4*v.lanes*i, v.r(i))
		v.p("VFMADD231PS %d(DX), %s, %s", 4*v.lanes*i, v.r(i), v.r(10+i))
	}
	v.p("PREFETCHT0 %d(SI)", ahead)
	v.p("ADDQ $%d, SI", 16*v.lanes)
	v.p("ADDQ $%d, DX", 16*v.lanes)
	v.p("SUBQ $%d, CX", 4*v.lanes)
	v.p("JGE four")
	v.p("few:")
	v.p("ADDQ $%d, CX", 4*v.lanes)
	v.loop(func() {
		v.load("(SI)", 0)
		v.load("(DX)", 1)
		v.p("VFMADD231PS %s, %s, %s", v.r(1), v.r(0), v.r(10))
	}, streams)
	v.total("VADDPS")
	v.p("VMOVSS X10, %s", v.arg("sum"))
	v.end()

	v.dotMixed("dotMixed", "int8", "S")
	v.dotMixed("dotUint8", "uint8", "Z")
	v.dotGroups()
	v.addRows("addRows", "int8", "S", 1)
	v.addRows("addUint8", "uint8", "Z", 1)
	v.addRows("addFloats", "float32", "", 4)
	v.dotCodes("dotCodes16", 2)
	if v.wide {
		v.dotCodes("dotCodes8", 1)
	}
}

// dotCodes writes the sum of products of int8 weights and of codes of the given size, for 1 of weights + 128.
func (v *vec) dotCodes(name string, size int) {
	v.routine(name+"(w, x unsafe.Pointer, n int) (sum int32)", map[int]string{1: "is the sum of (w+128)*x.", 2: "is the sum of w*x, x int16."}[size])
	v.args("w", "SI", "x", "DX", "n", "CX")
	v.clear(10, 4)
	n := 2 * v.lanes // codes of a register
	if size == 1 {
		n = 4 * v.lanes
		v.p("VMOVUPS %s, %s", v.word(0x80808080), v.r(9))
	}
	v.p("SUBQ $%d, CX", 4*n)
	v.p("JLT few")
	part := func(i int) {
		if size == 1 {
			v.p("VPXORD %d(SI), %s, %s", n*i, v.r(9), v.r(i))
			v.p("VPDPBUSD %d(DX), %s, %s", n*i, v.r(i), v.r(10+i))
			return
		}
		v.p("VPMOVSXBW %d(SI), %s", n*i, v.r(i))
		v.p("VPMADDWD %d(DX), %s, %s", 2*n*i, v.r(i), v.r(i))
		v.op("VPADDD", i, 10+i, 10+i)
	}
	v.p("four:")
	for i := range 4 {
		part(i)
	}
	v.p("PREFETCHT0 %d(SI)", ahead)
	v.p("ADDQ $%d, SI", 4*n)
	v.p("ADDQ $%d, DX", 4*n*size)
	v.p("SUBQ $%d, CX", 4*n)
	v.p("JGE four")
	v.p("few:")
	v.p("ADDQ $%d, CX", 3*n)
	v.p("JLT tail")
	v.p("one:")
	part(0)
	v.p("ADDQ $%d, SI", n)
	v.p("ADDQ $%d, DX", n*size)
	v.p("SUBQ $%d, CX", n)
	v.p("JGE one")
	v.p("tail:")
	v.total("VPADDD")
	v.p("VMOVD X10, R8")
	v.p("ADDQ $%d, CX", n)
	v.p("JZ done")
	v.p("code:")
	v.p("MOVBLSX (SI), AX")
	if size == 1 {
		v.p("ADDL $128, AX")
		v.p("MOVBLSX (DX), BX")
	} else {
		v.p("MOVWLSX (DX), BX")
	}
	v.p("IMULL BX, AX")
	v.p("ADDL AX, R8")
	v.p("INCQ SI")
	v.p("ADDQ $%d, DX", size)
	v.p("DECQ CX")
	v.p("JNZ code")
	v.p("done:")
	v.p("MOVL R8, %s", v.arg("sum"))
	v.end()
}

// total adds up registers 10 to 13 and their lanes.
func (v *vec) total(op string) {
	v.op(op, 10, 11, 10)
	v.op(op, 12, 13, 12)
	v.op(op, 10, 12, 10)
	v.fold(op, 10, 0)
}

// dotMixed writes the sum of products of codes, which are extended with their sign (S) or zeros (Z), and float32.
func (v *vec) dotMixed(name, kind, extend string) {
	v.routine(name+"(w, x unsafe.Pointer, n int) (sum float32)", "is the sum of w*x, w "+kind+".")
	v.args("w", "SI", "x", "DX", "n", "CX")
	v.clear(10, 4)
	part := func(i int) {
		v.p("VPMOV%sXBD %d(SI), %s", extend, v.lanes*i, v.r(i))
		v.p("VCVTDQ2PS %s, %s", v.r(i), v.r(i))
		v.p("VFMADD231PS %d(DX), %s, %s", 4*v.lanes*i, v.r(i), v.r(10+i))
	}
	v.blocks(4*v.lanes, func() {
		for i := range 4 {
			part(i)
		}
		v.p("PREFETCHT0 %d(SI)", ahead)
	}, map[string]int{"SI": 1, "DX": 4}, "four")
	v.blocks(v.lanes, func() { part(0) }, map[string]int{"SI": 1, "DX": 4}, "vector")
	v.total("VADDPS") // the other lanes of register 10 are zero from here on
	v.blocks(1, func() {
		v.p("MOVBL%sX (SI), AX", extend)
		v.p("VCVTSI2SSL AX, X0, X0")
		v.p("VFMADD231SS (DX), X0, X10")
	}, map[string]int{"SI": 1, "DX": 4}, "one")
	v.p("VMOVSS X10, %s", v.arg("sum"))
	v.end()
}

// dotGroups writes the sum of products of int8 codes in groups of a scale each and float32.
func (v *vec) dotGroups() {
	v.routine("dotGroups(w, x unsafe.Pointer, n, group int, scale unsafe.Pointer) (sum float32)", "is the sum of w*scale*x, w int8, with a scale for each group of a multiple of 16.")
	v.args("w", "SI", "x", "DX", "n", "R9", "group", "R8", "scale", "DI")
	v.clear(10, 4)
	part := func(i int) {
		v.p("VPMOVSXBD %d(SI), %s", v.lanes*i, v.r(i))
		v.p("VCVTDQ2PS %s, %s", v.r(i), v.r(i))
		v.op("VMULPS", i, 14, i)
		v.p("VFMADD231PS %d(DX), %s, %s", 4*v.lanes*i, v.r(i), v.r(10+i))
	}
	parts := func(n int) func() {
		return func() {
			for i := range n {
				part(i)
			}
		}
	}
	pointers := map[string]int{"SI": 1, "DX": 4}
	v.p("group:")
	v.p("VBROADCASTSS (DI), %s", v.r(14))
	v.p("ADDQ $4, DI")
	v.p("MOVQ R8, CX")
	v.blocks(4*v.lanes, parts(4), pointers, "four")
	v.blocks(16, parts(16/v.lanes), pointers, "sixteen")
	v.p("SUBQ R8, R9")
	v.p("JG group")
	v.total("VADDPS")
	v.p("VMOVSS X10, %s", v.arg("sum"))
	v.end()
}

// addRows writes the loop that adds four scaled rows of codes, or of float32, to a row of float32.
func (v *vec) addRows(name, kind, extend string, size int) {
	v.routine(name+"(acc, rows, x unsafe.Pointer, n, stride int)", "adds to acc the sum of x[i] times row i of four rows of "+kind+", stride bytes apart.")
	v.args("acc", "DI", "rows", "R8", "x", "AX", "n", "CX", "stride", "BX")
	for i := range 4 {
		v.p("VBROADCASTSS %d(AX), %s", 4*i, v.r(10+i))
		if i > 0 {
			v.p("LEAQ (%s)(BX*1), %s", rowRegs[i-1], rowRegs[i])
		}
	}
	pointers := map[string]int{"DI": 4, "R8": size, "R9": size, "R10": size, "R11": size}
	vector := func(at int) { // elements at..at+lanes-1
		v.p("VMOVUPS %d(DI), %s", 4*at, v.r(0))
		for i := range 4 {
			if size == 4 {
				v.p("VFMADD231PS %d(%s), %s, %s", 4*at, rowRegs[i], v.r(10+i), v.r(0))
				continue
			}
			v.p("VPMOV%sXBD %d(%s), %s", extend, at, rowRegs[i], v.r(1+i))
			v.p("VCVTDQ2PS %s, %s", v.r(1+i), v.r(1+i))
			v.p("VFMADD231PS %s, %s, %s", v.r(10+i), v.r(1+i), v.r(0))
		}
		v.p("VMOVUPS %s, %d(DI)", v.r(0), 4*at)
	}
	if size == 1 {
		v.blocks(64, func() { // a line of each row: the next four rows' are fetched, which are pages away
			for i := range 4 {
				v.p("PREFETCHT0 (%s)(BX*4)", rowRegs[i])
			}
			for at := 0; at < 64; at += v.lanes {
				vector(at)
			}
		}, pointers, "line")
	}
	v.blocks(v.lanes, func() {
		vector(0)
	}, pointers, "vector")
	v.blocks(1, func() {
		v.p("VMOVSS (DI), X0")
		for i := range 4 {
			if size == 4 {
				v.p("VFMADD231SS (%s), X%d, X0", rowRegs[i], 10+i)
				continue
			}
			v.p("MOVBL%sX (%s), AX", extend, rowRegs[i])
			v.p("VCVTSI2SSL AX, X1, X1")
			v.p("VFMADD231SS X%d, X1, X0", 10+i)
		}
		v.p("VMOVSS X0, (DI)")
	}, pointers, "one")
	v.end()
}

// blocks runs body for every n of CX elements that are left, and leaves the rest in CX.
func (v *vec) blocks(n int, body func(), pointers map[string]int, label string) {
	v.p("SUBQ $%d, CX", n)
	v.p("JLT %sEnd", label)
	v.p("%s:", label)
	body()
	for _, reg := range []string{"DI", "SI", "DX", "R8", "R9", "R10", "R11"} {
		if pointers[reg] > 0 {
			v.p("ADDQ $%d, %s", n*pointers[reg], reg)
		}
	}
	v.p("SUBQ $%d, CX", n)
	v.p("JGE %s", label)
	v.p("%sEnd:", label)
	v.p("ADDQ $%d, CX", n)
}
