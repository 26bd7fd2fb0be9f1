package main

// Sums of products of two rows: products of few rows of activations are bound by reading the weights, which these read in
// order and once.

// ahead is how many bytes of weights are fetched ahead; 512 won against 2048 in specs/kernels.md.
const ahead = 512

// dots writes the sums of products of float32 and of codes.
func (v *vec) dots() {
	v.routine("dot(w, x unsafe.Pointer, n int) (sum float32)", "is the sum of w*x.")
	v.args("w", "SI", "x", "DX", "n", "CX")
	v.clearFrom(10, 4)
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

	v.dotCodes("dotCodes16", 2)
	if v.wide {
		v.dotCodes("dotCodes8", 1)
	}
}

// dotCodes writes the sum of products of int8 weights and of codes of the given size, for 1 of weights + 128.
func (v *vec) dotCodes(name string, size int) {
	v.routine(name+"(w, x unsafe.Pointer, n int) (sum int32)", map[int]string{1: "is the sum of (w+128)*x.", 2: "is the sum of w*x, x int16."}[size])
	v.args("w", "SI", "x", "DX", "n", "CX")
	v.clearFrom(10, 4)
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

func (v *vec) clearFrom(first, n int) {
	for i := range n {
		v.zero(first + i)
	}
}

// total adds up registers 10 to 13 and their lanes.
func (v *vec) total(op string) {
	v.op(op, 10, 11, 10)
	v.op(op, 12, 13, 12)
	v.op(op, 10, 12, 10)
	v.fold(op, 10, 0)
}
