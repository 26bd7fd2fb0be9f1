package main

import "math"

// The loops of cpu.vectors. Registers 0..9 hold what a loop works on, values that stay the same live from 10 to 14; Y15 and
// K1 are the mask of a tail.

// streams are the pointers of a loop over float32.
var streams = map[string]int{"DI": 4, "SI": 4, "DX": 4, "R8": 4}

// broadcast fills a register with a 32-bit argument.
func (v *vec) broadcast(name string, reg int) { v.p("VBROADCASTSS %s, %s", v.arg(name), v.r(reg)) }

func (v *vec) copyReg(from, to int) { v.p("VMOVAPS %s, %s", v.r(from), v.r(to)) }

func (v *vec) zero(reg int) {
	v.p("%s %s, %s, %s", v.bits("VPXOR"), v.r(reg), v.r(reg), v.r(reg))
}

// op is dst = a op b; b may be a constant in memory.
func (v *vec) op(name string, a int, b any, dst int) {
	if i, ok := b.(int); ok {
		b = v.r(i)
	}
	v.p("%s %s, %s, %s", name, b, v.r(a), v.r(dst))
}

// fma is acc = acc*x + c.
func (v *vec) fma(acc, x int, c any) { v.op("VFMADD213PS", x, c, acc) }

// maskBy zeroes the lanes of reg where comparing a with b is false; t is used. Predicates are those of VCMPPS.
func (v *vec) maskBy(predicate, a int, b any, reg, t int) {
	if i, ok := b.(int); ok {
		b = v.r(i)
	}
	if v.wide {
		v.p("VCMPPS $%d, %s, %s, K2", predicate, b, v.r(a))
		v.p("VMOVAPS.Z %s, K2, %s", v.r(reg), v.r(reg))
		return
	}
	v.p("VCMPPS $%d, %s, %s, %s", predicate, b, v.r(a), v.r(t))
	v.p("VANDPS %s, %s, %s", v.r(t), v.r(reg), v.r(reg))
}

// Predicates of VCMPPS.
const (
	notLess = 5
	ordered = 7
)

// The exponential function after Cephes (S. L. Moshier, expf): x = n·ln2 + r, a polynomial in r, n to the exponent.
var (
	expHigh = 88.72283
	expLow  = -87.33
	expPoly = []float64{1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1, 1, 1}
)

// exp replaces x by exp(x), to about one unit in the last place; 0 below -87.33, the largest float32 from 88.72 on. A NaN stays one.
// n, y and t are used; high holds expHigh.
func (v *vec) exp(x, n, y, t, high int) {
	v.op("VMINPS", high, x, n) // the second operand wins if one is a NaN
	v.op("VMULPS", n, v.c(math.Log2E), y)
	if v.wide {
		v.p("VRNDSCALEPS $8, %s, %s", v.r(y), v.r(y))
	} else {
		v.p("VROUNDPS $8, %s, %s", v.r(y), v.r(y))
	}
	v.op("VFNMADD231PS", y, v.c(0.693359375), n)
	v.op("VFNMADD231PS", y, v.c(-2.12194440e-4), n) // n is r
	v.p("VMOVUPS %s, %s", v.c(expPoly[0]), v.r(t))
	for _, c := range expPoly[1:] {
		v.fma(t, n, v.c(c))
	}
	v.p("VCVTPS2DQ %s, %s", v.r(y), v.r(y))
	v.p("VPSLLD $23, %s, %s", v.r(y), v.r(y))
	v.op("VPADDD", y, t, y)
	v.maskBy(notLess, x, v.c(expLow), y, n)
	v.copyReg(y, x)
}

func (v *vec) expHigh(reg int) { v.p("VMOVUPS %s, %s", v.c(expHigh), v.r(reg)) }

// elementwise writes the loops that compute one result for each element.
func (v *vec) elementwise() {
	binary := func(name, comment, op string) {
		v.routine(name+"(dst, a, b unsafe.Pointer, n int)", comment)
		v.args("dst", "DI", "a", "SI", "b", "DX", "n", "CX")
		v.loop(func() {
			v.load("(SI)", 0)
			v.load("(DX)", 1)
			v.op(op, 0, 1, 0)
			v.store(0, "(DI)")
		}, streams)
		v.end()
	}
	binary("add", "is a + b.", "VADDPS")
	binary("mul", "is a * b.", "VMULPS")
	v.routine("mulAdd(dst, x, a, b unsafe.Pointer, n int)", "is x*a + b.")
	v.args("dst", "DI", "x", "SI", "a", "DX", "b", "R8", "n", "CX")
	v.loop(func() {
		v.load("(SI)", 0)
		v.load("(DX)", 1)
		v.load("(R8)", 2)
		v.fma(0, 1, 2)
		v.store(0, "(DI)")
	}, streams)
	v.end()
	v.routine("rotate(dst, x, c, s unsafe.Pointer, n int)", "is x*c + x', with x' the elements of x swapped in pairs, times s; n is even.")
	v.args("dst", "DI", "x", "SI", "c", "DX", "s", "R8", "n", "CX")
	v.loop(func() {
		v.load("(SI)", 0)
		v.load("(DX)", 1)
		v.load("(R8)", 2)
		v.p("VPERMILPS $0xb1, %s, %s", v.r(0), v.r(3))
		v.op("VMULPS", 3, 2, 3)
		v.fma(0, 1, 3)
		v.store(0, "(DI)")
	}, streams)
	v.end()
	unary := func(name, comment string, prepare, body func()) {
		v.routine(name+"(dst, x unsafe.Pointer, n int, a, b float32)", comment)
		v.args("dst", "DI", "x", "SI", "n", "CX")
		prepare()
		v.loop(func() {
			v.load("(SI)", 0)
			body()
			v.store(0, "(DI)")
		}, streams)
		v.end()
	}
	factors := func() {
		v.broadcast("a", 10)
		v.broadcast("b", 11)
	}
	unary("linear", "is x*a + b.", factors, func() { v.fma(0, 10, 11) })
	unary("addScaled", "adds x*a to dst; b is not used.", factors, func() {
		v.load("(DI)", 1)
		v.fma(0, 10, 1)
	})
	sigmoid := func() { // register 1 holds the argument
		v.op(v.bits("VPXOR"), 1, v.word(1<<31), 1)
		v.exp(1, 2, 3, 4, 12)
		v.op("VADDPS", 1, v.c(1), 1)
		v.op("VDIVPS", 0, 1, 0)
	}
	unary("swish", "is x * sigmoid(a*x); b is not used.", func() { factors(); v.expHigh(12) }, func() {
		v.op("VMULPS", 0, 10, 1)
		sigmoid()
	})
	unary("cubic", "is x * sigmoid(a*x + b*x*x*x).", func() { factors(); v.expHigh(12) }, func() {
		v.op("VMULPS", 0, 0, 1)
		v.fma(1, 11, 10)
		v.op("VMULPS", 0, 1, 1)
		sigmoid()
	})
	unary("gelu", "is x * Φ(x); a and b are not used.", func() { v.expHigh(12) }, v.gelu)
	v.finish()
}

// erfcPoly is erfc(z)·exp(z²)/t as a polynomial in t = 1/(1+z/2), highest power first: our own Chebyshev fit to 50 digits
// over 0..10, relative error 6e-8.
var erfcPoly = []float64{
	-0.05831824243068695, 0.2811919152736664, -0.4808026850223541, 0.271470844745636, -0.022591425105929375,
	0.20119665563106537, 0.24342681467533112, 0.28233784437179565, 0.28208819031715393,
}

// gelu replaces register 0 by x·Φ(x), Φ(-z√2) = erfc(z)/2.
func (v *vec) gelu() {
	v.op(v.bits("VPAND"), 0, v.word(0x7fffffff), 1)
	v.op("VMULPS", 1, v.c(math.Sqrt2/2), 1) // z
	v.copyReg(1, 5)
	v.fma5(5, 0.5, 1)
	v.p("VMOVUPS %s, %s", v.c(1), v.r(6))
	v.op("VDIVPS", 6, 5, 5) // t
	v.p("VMOVUPS %s, %s", v.c(erfcPoly[0]), v.r(7))
	for _, c := range erfcPoly[1:] {
		v.fma(7, 5, v.c(c))
	}
	v.op("VMULPS", 7, 5, 7)
	v.op("VMULPS", 7, v.c(0.5), 7)
	v.op("VMULPS", 1, 1, 1)
	v.op(v.bits("VPXOR"), 1, v.word(1<<31), 1)
	v.exp(1, 2, 3, 4, 12)
	v.op("VMULPS", 7, 1, 7) // Φ(-|x|)
	v.op("VSUBPS", 6, 7, 6) // Φ(|x|)
	if v.wide {
		v.p("VPMOVD2M Z0, K2")
		v.p("VBLENDMPS Z7, Z6, K2, Z6")
	} else {
		v.p("VBLENDVPS Y0, Y7, Y6, Y6")
	}
	v.op("VMULPS", 0, 6, 0)
}

// fma5 is reg = reg*a + b for constants.
func (v *vec) fma5(reg int, a, b float64) {
	v.op("VMULPS", reg, v.c(a), reg)
	v.op("VADDPS", reg, v.c(b), reg)
}

// finish writes the loop that turns int32 sums into a row of results.
func (v *vec) finish() {
	v.routine("finish(dst, acc, scale, bias unsafe.Pointer, n int, less int32, rowScale float32)", "is (acc-less)*rowScale*scale + bias, acc int32.")
	v.args("dst", "DI", "acc", "SI", "scale", "DX", "bias", "R8", "n", "CX")
	v.broadcast("less", 10)
	v.broadcast("rowScale", 11)
	v.loop(func() {
		v.load("(SI)", 0)
		v.load("(DX)", 1)
		v.load("(R8)", 2)
		v.op("VPSUBD", 0, 10, 0)
		v.p("VCVTDQ2PS %s, %s", v.r(0), v.r(0))
		v.op("VMULPS", 0, 11, 0)
		v.fma(0, 1, 2)
		v.store(0, "(DI)")
	}, streams)
	v.end()
}

// reductions writes the loops with one result.
func (v *vec) reductions() {
	v.routine("max(x unsafe.Pointer, n int) (m float32)", "is the largest element, -Inf if there is none.")
	v.args("x", "SI", "n", "CX")
	v.p("VMOVUPS %s, %s", v.word(0xff800000), v.r(10))
	v.copyReg(10, 8)
	v.loop(func() {
		v.load("(SI)", 0)
		v.keep(0, 8)
		v.op("VMAXPS", 0, 10, 10) // a NaN loses
	}, streams)
	v.fold("VMAXPS", 10, 0)
	v.p("VMOVSS X10, %s", v.arg("m"))
	v.end()

	v.routine("span(x unsafe.Pointer, n int) (low, high float32)", "is the least and the largest element, Inf and -Inf if there is none.")
	v.args("x", "SI", "n", "CX")
	for i, limit := range []uint32{0x7f800000, 0xff800000} {
		v.p("VMOVUPS %s, %s", v.word(limit), v.r(10+i))
		v.copyReg(10+i, 8+i)
	}
	v.loop(func() {
		for i, op := range []string{"VMINPS", "VMAXPS"} { // a NaN loses
			v.load("(SI)", 0)
			v.keep(0, 8+i)
			v.op(op, 0, 10+i, 10+i)
		}
	}, streams)
	v.fold("VMINPS", 10, 0)
	v.fold("VMAXPS", 11, 0)
	v.p("VMOVSS X10, %s", v.arg("low"))
	v.p("VMOVSS X11, %s", v.arg("high"))
	v.end()

	v.routine("absMax(x unsafe.Pointer, n int) (m float32)", "is the largest absolute value, NaN if an element is.")
	v.args("x", "SI", "n", "CX")
	v.zero(10)
	v.p("VMOVUPS %s, %s", v.word(0x7fffffff), v.r(11))
	v.loop(func() {
		v.load("(SI)", 0)
		v.op(v.bits("VPAND"), 0, 11, 0)
		v.op("VPMAXUD", 0, 10, 10)
	}, streams)
	v.fold("VPMAXUD", 10, 0)
	v.p("VMOVSS X10, %s", v.arg("m"))
	v.end()

	v.routine("exp(dst, x unsafe.Pointer, n int, m float32) (sum float32)", "is exp(x-m), and its sum.")
	v.args("dst", "DI", "x", "SI", "n", "CX")
	v.broadcast("m", 11)
	v.expHigh(12)
	v.zero(10)
	v.zero(8)
	v.loop(func() {
		v.load("(SI)", 0)
		v.op("VSUBPS", 0, 11, 0)
		v.exp(0, 1, 2, 3, 12)
		v.store(0, "(DI)")
		v.keep(0, 8)
		v.op("VADDPS", 0, 10, 10)
	}, streams)
	v.fold("VADDPS", 10, 0)
	v.p("VMOVSS X10, %s", v.arg("sum"))
	v.end()

	v.routine("sums(x unsafe.Pointer, n int) (s, q float64)", "are the sums of x and of x*x, in float64.")
	v.args("x", "SI", "n", "CX")
	for i := 10; i < 14; i++ {
		v.zero(i)
	}
	v.loop(func() {
		v.load("(SI)", 0)
		v.upperHalf(0, 1)
		v.p("VCVTPS2PD %s, %s", v.h(0), v.r(0))
		v.p("VCVTPS2PD %s, %s", v.h(1), v.r(1))
		for i := range 2 {
			v.op("VADDPD", i, 10+i, 10+i)
			v.op("VFMADD231PD", i, i, 12+i)
		}
	}, streams)
	for i, name := range []string{"s", "q"} {
		v.op("VADDPD", 10+2*i, 11+2*i, 10+2*i)
		v.foldDouble(10+2*i, 0)
		v.p("VMOVSD X%d, %s", 10+2*i, v.arg(name))
	}
	v.end()
}

// upperHalf is the upper half of a register, in the lower half of another.
func (v *vec) upperHalf(a, dst int) {
	if v.wide {
		v.p("VEXTRACTF64X4 $1, Z%d, Y%d", a, dst)
	} else {
		v.p("VEXTRACTF128 $1, Y%d, X%d", a, dst)
	}
}

// foldDouble adds up the float64 lanes of a; b is used.
func (v *vec) foldDouble(a, b int) {
	if v.wide {
		v.upperHalf(a, b)
		v.p("VADDPD Y%d, Y%d, Y%d", b, a, a)
	}
	v.p("VEXTRACTF128 $1, Y%d, X%d", a, b)
	v.p("VADDPD X%d, X%d, X%d", b, a, a)
	v.p("VPERMILPD $1, X%d, X%d", a, b)
	v.p("VADDPD X%d, X%d, X%d", b, a, a)
}

// moment writes the loop that adds a row and its squares to sums in float64.
func (v *vec) moment() {
	v.routine("moment(s, q, x unsafe.Pointer, n int)", "adds x to s and x*x to q, which are float64.")
	v.args("s", "DI", "q", "DX", "x", "SI", "n", "CX")
	n := v.lanes / 2
	v.p("SUBQ $%d, CX", n)
	v.p("JLT tail")
	v.p("whole:")
	v.p("VCVTPS2PD (SI), %s", v.r(0))
	v.p("VADDPD (DI), %s, %s", v.r(0), v.r(1))
	v.p("VMOVUPD (DX), %s", v.r(2))
	v.p("VFMADD231PD %s, %s, %s", v.r(0), v.r(0), v.r(2))
	v.p("VMOVUPD %s, (DI)", v.r(1))
	v.p("VMOVUPD %s, (DX)", v.r(2))
	v.p("ADDQ $%d, SI", 4*n)
	v.p("ADDQ $%d, DI", 8*n)
	v.p("ADDQ $%d, DX", 8*n)
	v.p("SUBQ $%d, CX", n)
	v.p("JGE whole")
	v.p("tail:")
	v.p("ADDQ $%d, CX", n)
	v.p("JLE done")
	v.p("one:")
	v.p("VXORPD X0, X0, X0")
	v.p("VCVTSS2SD (SI), X0, X0")
	v.p("VADDSD (DI), X0, X1")
	v.p("VMOVSD (DX), X2")
	v.p("VFMADD231SD X0, X0, X2")
	v.p("VMOVSD X1, (DI)")
	v.p("VMOVSD X2, (DX)")
	v.p("ADDQ $4, SI")
	v.p("ADDQ $8, DI")
	v.p("ADDQ $8, DX")
	v.p("DECQ CX")
	v.p("JNZ one")
	v.p("done:")
	v.end()
}
