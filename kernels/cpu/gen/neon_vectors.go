package main

import (
	"fmt"
	"math"
	"slices"
)

// The loops of cpu.vectors and cpu.path for arm64. What is not said here is said at those for amd64.

// poly is a polynomial in register x, highest power first, in one of the two registers t, which is returned.
func (v *neon) poly(coefficients []float64, x int, t [2]int) int {
	sum := v.c(coefficients[0])
	for i, c := range coefficients[1:] {
		v.a("MOV", t[i%2], v.c(c))
		v.a("FMLA", t[i%2], sum, x)
		sum = t[i%2]
	}
	return sum
}

// exp replaces x by exp(x), as vec.exp does; n, y, t and u are used.
func (v *neon) exp(x, n, y, t, u int) {
	v.a("FMIN", n, x, v.c(expHigh))
	v.a("FMUL", y, n, v.c(math.Log2E))
	v.a("FRINTN", y, y)
	v.a("FMLS", n, y, v.c(0.693359375))
	v.a("FMLS", n, y, v.c(-2.12194440e-4))
	p := v.poly(expPoly, n, [2]int{t, u})
	v.a("FCVTNS", y, y)
	v.a("SHL23", y, y)
	v.a("ADD", y, p, y)
	v.a("FCMGT", n, v.c(expLow), x)
	v.a("BIC", x, y, n)
}

// elementwise writes the loops that compute one result for each element: the body makes register 0 of registers 0, 1, ...,
// which hold as many arrays.
func (v *neon) elementwise() {
	each := func(arrays []string, rest int, body func()) {
		v.args(slices.Concat([]string{"dst"}, arrays, []string{"n"})...)
		v.loop(rest, func() {
			for i := range arrays {
				v.load(i, 1+i, 0)
			}
			body()
			v.store(0, 0)
		}, []int{4, 4, 4, 4}[:1+len(arrays)]...)
	}
	for _, op := range [][3]string{{"add", "is a + b.", "FADD"}, {"mul", "is a * b.", "FMUL"}} {
		v.routine(op[0]+"(dst, a, b unsafe.Pointer, n int)", op[1], func() {
			each([]string{"a", "b"}, 1, func() { v.a(op[2], 0, 0, 1) })
		})
	}
	v.routine("mulAdd(dst, x, a, b unsafe.Pointer, n int)", "is x*a + b.", func() {
		each([]string{"b", "x", "a"}, 1, func() { v.a("FMLA", 0, 1, 2) })
	})
	v.routine("rotate(dst, x, c, s unsafe.Pointer, n int)", "is x*c + x', with x' the elements of x swapped in pairs, times s; n is even.", func() {
		each([]string{"s", "x", "c"}, 2, func() {
			v.a("REV64", 3, 1)
			v.a("FMUL", 0, 3, 0)
			v.a("FMLA", 0, 1, 2)
		})
	})
	v.routine("finish(dst, acc, scale, bias unsafe.Pointer, n int, less int32, rowScale float32)", "is (acc-less)*rowScale*scale + bias, acc int32.", func() {
		v.broadcast("less", 10)
		v.broadcast("rowScale", 11)
		each([]string{"bias", "acc", "scale"}, 1, func() {
			v.a("SUB", 1, 1, 10)
			v.a("SCVTF", 1, 1)
			v.a("FMUL", 1, 1, 11)
			v.a("FMLA", 0, 1, 2)
		})
	})
	unary := func(name, comment string, body func()) {
		v.routine(name+"(dst, x unsafe.Pointer, n int, a, b float32)", comment, func() {
			v.broadcast("a", 8)
			v.broadcast("b", 9)
			each([]string{"x"}, 1, body)
		})
	}
	unary("linear", "is x*a + b.", func() {
		v.a("MOV", 1, 9)
		v.a("FMLA", 1, 0, 8)
		v.a("MOV", 0, 1)
	})
	unary("addScaled", "adds x*a to dst; b is not used.", func() {
		v.load(1, 0, 0)
		v.a("FMLA", 1, 0, 8)
		v.a("MOV", 0, 1)
	})
	sigmoid := func() { // of register 1, times register 0
		v.a("FNEG", 1, 1)
		v.exp(1, 2, 3, 4, 5)
		v.a("FADD", 1, 1, v.c(1))
		v.a("FDIV", 0, 0, 1)
	}
	unary("swish", "is x * sigmoid(a*x); b is not used.", func() {
		v.a("FMUL", 1, 0, 8)
		sigmoid()
	})
	unary("cubic", "is x * sigmoid(a*x + b*x*x*x).", func() {
		v.a("FMUL", 1, 0, 0)
		v.a("MOV", 2, 8)
		v.a("FMLA", 2, 1, 9)
		v.a("FMUL", 1, 0, 2)
		sigmoid()
	})
	unary("gelu", "is x * Φ(x); a and b are not used.", func() {
		v.a("FABS", 1, 0)
		v.a("FMUL", 1, 1, v.c(math.Sqrt2/2)) // z
		v.a("MOV", 5, v.c(1))
		v.a("FMLA", 5, 1, v.c(0.5))
		v.a("FDIV", 5, v.c(1), 5) // t
		v.a("FMUL", 5, 5, v.poly(erfcPoly, 5, [2]int{6, 7}))
		v.a("FMUL", 5, 5, v.c(0.5))
		v.a("FMUL", 1, 1, 1)
		v.a("FNEG", 1, 1)
		v.exp(1, 2, 3, 4, 6)
		v.a("FMUL", 5, 5, 1)      // Φ(-|x|)
		v.a("FSUB", 6, v.c(1), 5) // Φ(|x|)
		v.a("FCMLT0", 1, 0)
		v.a("BSL", 1, 5, 6)
		v.a("FMUL", 0, 0, 1)
	})
}

// reductions writes the loops with one result, and sums of squares.
func (v *neon) reductions() {
	v.routine("max(x unsafe.Pointer, n int) (m float32)", "is the largest element, -Inf if there is none.", func() {
		v.args("x", "n")
		v.a("MOV", 10, v.word(0xff800000))
		v.loop(1, func() {
			v.load(0, 0, 0)
			if v.lanes == 1 {
				v.a("DUP", 0, 0)
			}
			v.a("FMAXNM", 10, 10, 0)
		}, 4)
		v.a("FMAXNMV", 10, 10)
		v.p("FMOVS F10, %s", v.arg("m"))
	})
	v.routine("span(x unsafe.Pointer, n int) (low, high float32)", "is the least and the largest element, Inf and -Inf if there is none.", func() {
		v.args("x", "n")
		v.a("MOV", 10, v.word(0x7f800000))
		v.a("MOV", 11, v.word(0xff800000))
		v.loop(1, func() {
			v.load(0, 0, 0)
			if v.lanes == 1 {
				v.a("DUP", 0, 0)
			}
			v.a("FMINNM", 10, 10, 0)
			v.a("FMAXNM", 11, 11, 0)
		}, 4)
		v.a("FMINNMV", 10, 10)
		v.a("FMAXNMV", 11, 11)
		v.p("FMOVS F10, %s", v.arg("low"))
		v.p("FMOVS F11, %s", v.arg("high"))
	})
	v.routine("absMax(x unsafe.Pointer, n int) (m float32)", "is the largest absolute value, NaN if an element is.", func() {
		v.args("x", "n")
		v.zero(10, 1)
		v.loop(1, func() {
			v.load(0, 0, 0)
			v.a("FABS", 0, 0)
			v.a("UMAX", 10, 10, 0)
		}, 4)
		v.a("UMAXV", 10, 10)
		v.p("FMOVS F10, %s", v.arg("m"))
	})
	v.routine("exp(dst, x unsafe.Pointer, n int, m float32) (sum float32)", "is exp(x-m), and its sum.", func() {
		v.args("dst", "x", "n")
		v.broadcast("m", 11)
		v.zero(10, 1)
		v.loop(1, func() {
			v.load(0, 1, 0)
			v.a("FSUB", 0, 0, 11)
			v.exp(0, 1, 2, 3, 4)
			v.store(0, 0)
			if v.lanes == 1 {
				v.a("MOV.S", 0, 0)
			}
			v.a("FADD", 10, 10, 0)
		}, 4, 4)
		v.total(10, 1, true)
		v.p("FMOVS F10, %s", v.arg("sum"))
	})
	v.routine("sums(x unsafe.Pointer, n int) (s, q float64)", "are the sums of x and of x*x, in float64.", func() {
		v.args("x", "n")
		v.zero(10, 4)
		v.loop(1, func() {
			v.load(0, 0, 0)
			v.a("FCVTL", 1, 0)
			v.a("FCVTL2", 2, 0)
			for i := range 2 {
				v.a("FADD.2D", 10+i, 10+i, 1+i)
				v.a("FMLA.2D", 12+i, 1+i, 1+i)
			}
		}, 4)
		for i, name := range []string{"s", "q"} {
			v.a("FADD.2D", 10+2*i, 10+2*i, 11+2*i)
			v.a("FADDP(2D)", 10+2*i, 10+2*i)
			v.p("FMOVD F%d, %s", 10+2*i, v.arg(name))
		}
	})
	v.routine("moment(s, q, x unsafe.Pointer, n int)", "adds x to s and x*x to q, which are float64.", func() {
		v.args("s", "q", "x", "n")
		v.loop(1, func() {
			v.load(0, 2, 0)
			v.a("FCVTL", 1, 0)
			v.a("FCVTL2", 2, 0)
			for i := range (v.lanes + 1) / 2 {
				size := map[int]string{4: "Q", 1: "D"}[v.lanes]
				v.p("FMOV%s %d(R0), F3", size, 16*i)
				v.p("FMOV%s %d(R1), F4", size, 16*i)
				v.a("FADD.2D", 3, 3, 1+i)
				v.a("FMLA.2D", 4, 1+i, 1+i)
				v.p("FMOV%s F3, %d(R0)", size, 16*i)
				v.p("FMOV%s F4, %d(R1)", size, 16*i)
			}
		}, 8, 8, 4)
	})
}

// conversions writes the loops from and to codes and 16-bit floats.
func (v *neon) conversions() {
	for bytes := 1; bytes <= 2; bytes++ {
		v.routine(fmt.Sprintf("quantize%d(dst, x unsafe.Pointer, n int, scale float32) (sum int32)", 8*bytes), "rounds x/scale to even, clamps to -128..127, 0 for NaN, and sums up.", func() {
			v.args("dst", "x", "n")
			v.broadcast("scale", 10)
			v.zero(11, 1)
			v.loop(1, func() {
				v.load(0, 1, 0)
				v.a("FDIV", 0, 0, 10) // beyond the end 0 or NaN, which adds nothing
				v.a("FMAX", 0, 0, v.c(-128))
				v.a("FMIN", 0, 0, v.c(127))
				v.a("FCVTNS", 0, 0)
				v.a("ADD", 11, 11, 0)
				v.a("XTN.4S", 0, 0)
				if bytes == 1 {
					v.a("XTN.8H", 0, 0)
				}
				if v.lanes == 4 {
					v.p("FMOV%s F0, (R0)", [...]string{1: "S", 2: "D"}[bytes])
				} else {
					v.p("FMOVS F0, R11")
					v.p("MOV%s R11, (R0)", [...]string{1: "B", 2: "H"}[bytes])
				}
			}, bytes, 4)
			v.total(11, 1, false)
			v.p("FMOVS F11, %s", v.arg("sum"))
		})
	}
	v.routine("quantizeUint8(dst, x unsafe.Pointer, n int, scale, zero float32)", "rounds (x-zero)/scale to even and clamps to 0..255, 0 for NaN.", func() {
		v.args("dst", "x", "n")
		v.broadcast("scale", 10)
		v.broadcast("zero", 12)
		v.zero(11, 1)
		v.loop(1, func() {
			v.load(0, 1, 0)
			v.a("FSUB", 0, 0, 12)
			v.a("FDIV", 0, 0, 10)
			v.a("FMAX", 0, 0, 11)
			v.a("FMIN", 0, 0, v.c(255))
			v.a("FCVTNS", 0, 0)
			v.a("XTN.4S", 0, 0)
			v.a("XTN.8H", 0, 0)
			if v.lanes == 4 {
				v.p("FMOVS F0, (R0)")
			} else {
				v.p("FMOVS F0, R11")
				v.p("MOVB R11, (R0)")
			}
		}, 1, 4)
	})
	for _, form := range [][3]string{{"fromBF16", "is float32 from bfloat16.", "SHLL.4H"}, {"fromF16", "is float32 from IEEE binary16.", "FCVTL.4H"}} {
		v.routine(form[0]+"(dst, src unsafe.Pointer, n int)", form[1], func() {
			v.args("dst", "src", "n")
			v.loop(1, func() {
				if v.lanes == 4 {
					v.p("FMOVD (R1), F0")
				} else {
					v.p("MOVHU (R1), R11")
					v.p("FMOVS R11, F0")
				}
				v.a(form[2], 0, 0)
				v.store(0, 0)
			}, 4, 2)
		})
	}
}

// dots writes the sums of products of rows.
func (v *neon) dots() {
	v.routine("dot(w, x unsafe.Pointer, n int) (sum float32)", "is the sum of w*x.", func() {
		v.args("w", "x", "n")
		v.zero(10, 8)
		part := func(i int) {
			v.load(0, 0, 16*i)
			v.load(1, 1, 16*i)
			v.a("FMLA", 10+i, 0, 1)
		}
		v.blocks(32, "many", func() {
			v.p("PRFM %d(R0), PLDL1KEEP", ahead)
			for i := range 8 {
				part(i)
			}
		}, 4, 4)
		v.loop(1, func() { part(0) }, 4, 4)
		v.total(10, 8, true)
		v.p("FMOVS F10, %s", v.arg("sum"))
	})
	for _, form := range [][3]string{{"dotMixed", "int8", "S"}, {"dotUint8", "uint8", "U"}} {
		v.routine(form[0]+"(w, x unsafe.Pointer, n int) (sum float32)", "is the sum of w*x, w "+form[1]+".", func() {
			v.args("w", "x", "n")
			v.zero(10, 4)
			part := func(i int) {
				v.codes(form[2], 0, 0, 4*i)
				v.a("SCVTF", 0, 0)
				v.load(1, 1, 16*i)
				v.a("FMLA", 10+i, 0, 1)
			}
			v.blocks(16, "many", func() {
				v.p("PRFM %d(R0), PLDL1KEEP", ahead)
				for i := range 4 {
					part(i)
				}
			}, 1, 4)
			v.loop(1, func() { part(0) }, 1, 4)
			v.total(10, 4, true)
			v.p("FMOVS F10, %s", v.arg("sum"))
		})
	}
	v.routine("dotGroups(w, x unsafe.Pointer, n, group int, scale unsafe.Pointer) (sum float32)", "is the sum of w*scale*x, w int8, with a scale for each group of a multiple of 16.", func() {
		v.args("w", "x", "-", "group", "scale")
		v.p("MOVD %s, R5", v.arg("n"))
		v.zero(10, 4)
		v.p("group:")
		v.p("FMOVS.P 4(R4), F14")
		v.a("DUP", 14, 14)
		v.p("MOVD R3, R10")
		v.blocks(16, "sixteen", func() {
			for i := range 4 {
				v.codes("S", 0, 0, 4*i)
				v.a("SCVTF", 0, 0)
				v.a("FMUL", 0, 0, 14)
				v.load(1, 1, 16*i)
				v.a("FMLA", 10+i, 0, 1)
			}
		}, 1, 4)
		v.p("SUBS R3, R5")
		v.p("BGT group")
		v.total(10, 4, true)
		v.p("FMOVS F10, %s", v.arg("sum"))
	})
	v.dotCodes("dotCodes8", "is the sum of w*x.", 1, 16, func(acc, i int) {
		v.p("FMOVQ %d(R0), F0", 16*i)
		v.p("FMOVQ %d(R1), F1", 16*i)
		v.a("SDOT", acc, 0, 1)
	})
	v.dotCodes("dotCodes16", "is the sum of w*x, x int16.", 2, 8, func(acc, i int) {
		v.p("FMOVD %d(R0), F0", 8*i)
		v.p("FMOVQ %d(R1), F1", 16*i)
		v.a("SXTL.8B", 0, 0)
		v.a("SMLAL", acc, 0, 1)
		v.a("SMLAL2", acc, 0, 1)
	})
	for _, form := range [][3]string{{"addRows", "int8", "S"}, {"addUint8", "uint8", "U"}, {"addFloats", "float32", ""}} {
		v.routine(form[0]+"(acc, rows, x unsafe.Pointer, n, stride int)", "adds to acc the sum of x[i] times row i of four rows of "+form[1]+", stride bytes apart.", func() {
			v.args("acc", "rows", "x", "n")
			v.p("MOVD %s, R11", v.arg("stride"))
			v.p("FMOVQ (R2), F10")
			for i := 2; i <= 4; i++ {
				v.p("ADD R11, R%d, R%d", i-1, i)
			}
			for i := range 4 {
				v.p("VDUP V10.S[%d], V%d.S4", i, 11+i)
			}
			size := 1
			if form[2] == "" {
				size = 4
			}
			v.loop(1, func() {
				v.load(0, 0, 0)
				for i := range 4 {
					if size == 4 {
						v.load(1, 1+i, 0)
					} else {
						v.codes(form[2], 1, 1+i, 0)
						v.a("SCVTF", 1, 1)
					}
					v.a("FMLA", 0, 1, 11+i)
				}
				v.store(0, 0)
			}, 4, size, size, size, size)
		})
	}
}

// dotCodes writes the sum of products of int8 weights and codes of the given size, n at a time.
func (v *neon) dotCodes(name, comment string, size, n int, part func(acc, i int)) {
	v.routine(name+"(w, x unsafe.Pointer, n int) (sum int32)", comment, func() {
		v.args("w", "x", "n")
		v.zero(10, 4)
		v.blocks(4*n, "many", func() {
			v.p("PRFM %d(R0), PLDL1KEEP", ahead)
			for i := range 4 {
				part(10+i, i)
			}
		}, 1, size)
		v.blocks(n, "vector", func() { part(10, 0) }, 1, size)
		v.total(10, 4, false)
		v.p("FMOVS F10, R12")
		v.blocks(1, "one", func() {
			v.p("MOVB (R0), R13")
			v.p("MOV%s (R1), R14", [...]string{1: "B", 2: "H"}[size])
			v.p("MADDW R13, R12, R14, R12")
		}, 1, size)
		v.p("MOVW R12, %s", v.arg("sum"))
	})
}

// moves writes the loops that move data.
func (v *neon) moves() {
	v.routine("transpose(dst, offset, src unsafe.Pointer, stride, k int, mask uint32)", "see path.transpose.", func() {
		v.args("dst", "offset", "-", "stride", "-", "-", "-", "-", "-", "-", "k", "-", "src") // R12 is the first of the rows
		for i := range 7 {
			v.p("ADD R3, R%d, R%d", neonRows[i], neonRows[i+1])
		}
		v.p("MOVWU %s, R4", v.arg("mask"))
		v.broadcast("mask", 24)
		v.blocks(4, "four", func() {
			for i, row := range neonRows {
				v.p("FMOVQ.P 16(R%d), F%d", row, i)
			}
			for i := range 4 { // pairs of rows
				v.a("TRN1", 8+2*i, 2*i, 2*i+1)
				v.a("TRN2", 9+2*i, 2*i, 2*i+1)
			}
			for j := range 4 { // columns
				v.p("MOVW %d(R1), R11", 4*j)
				for i := range 2 {
					v.a(fmt.Sprintf("TRN%d.2D", 1+j/2), i, 8+4*i+j%2, 10+4*i+j%2)
					v.a("EOR", i, i, 24)
				}
				v.p("ADD R0, R11")
				v.p("FSTPQ (F0, F1), (R11)")
			}
		}, 0, 4)
		v.blocks(1, "one", func() {
			v.p("MOVW (R1), R5")
			v.p("ADD R0, R5")
			for i, row := range neonRows {
				v.p("MOVWU.P 4(R%d), R11", row)
				v.p("EORW R4, R11")
				v.p("MOVW R11, %d(R5)", 4*i)
			}
		}, 0, 4)
	})
	v.routine("widen(dst, src unsafe.Pointer, n int)", "is int16 from int8.", func() {
		v.args("dst", "src", "n")
		v.blocks(8, "vector", func() {
			v.p("FMOVD (R1), F0")
			v.a("SXTL.8B", 0, 0)
			v.p("FMOVQ F0, (R0)")
		}, 2, 1)
		v.blocks(1, "one", func() {
			v.p("MOVB (R1), R11")
			v.p("MOVH R11, (R0)")
		}, 2, 1)
	})
	v.pack("pairCodes", "makes words of two int16 from rows of int8, see path.interleave.", 2, 8, func(i int) {
		v.p("FMOVD (R%d), F%d", 1+i, i)
		v.a("SXTL.8B", i, i)
	}, "VST2 [V0.H8, V1.H8], (R0)", "H")
	v.pack("interleave", "makes words of four bytes from rows of int8, see path.interleave.", 4, 16, func(i int) {
		v.p("FMOVQ (R%d), F%d", 1+i, i)
	}, "VST4 [V0.B16, V1.B16, V2.B16, V3.B16], (R0)", "B")
	v.routine("eights(dst, src unsafe.Pointer, rows, groups, stride, pitch int)", "see path.eights.", func() {
		v.args("dst", "src", "rows", "groups", "stride", "pitch")
		v.p("row:")
		v.p("MOVD R0, R6")
		v.p("MOVD R1, R7")
		v.p("MOVD R3, R8")
		v.p("group:")
		v.p("FLDPQ.P 32(R7), (F0, F1)")
		v.p("FSTPQ (F0, F1), (R6)")
		v.p("ADD R5, R6")
		v.down(8, "group")
		v.p("ADD $32, R0")
		v.p("ADD R4, R1")
		v.down(2, "row")
	})
	v.routine("fetch(p unsafe.Pointer, rows, lines, pitch int)", "brings so many lines of each row, which are pitch bytes apart, to the L1 cache.", func() {
		v.args("p", "rows", "lines", "pitch")
		v.p("row:")
		v.p("MOVD R0, R4")
		v.p("MOVD R2, R5")
		v.p("line:")
		v.p("PRFM (R4), PSTL1KEEP")
		v.p("ADD $64, R4")
		v.down(5, "line")
		v.p("ADD R3, R0")
		v.down(1, "row")
	})
}

// pack writes a loop that makes words of columns from so many rows of codes, which R1 and following registers point to: n
// columns at a time, of which load reads those of row i, and then one at a time, each code of the size given.
func (v *neon) pack(name, comment string, rows, n int, load func(i int), store, size string) {
	v.routine(name+"(dst, src unsafe.Pointer, n, words, stride, pitch int)", comment, func() {
		v.args("-", "-", "-", "-", "-", "dst", "src", "words", "stride", "pitch")
		sizes := []int{4, 1, 1, 1, 1}[:1+rows]
		v.p("word:")
		v.p("MOVD R5, R0")
		for i := range rows {
			v.p("MOVD R6, R%d", 1+i)
			v.p("ADD R8, R6")
		}
		v.p("MOVD %s, R10", v.arg("n"))
		v.blocks(n, "vector", func() {
			for i := range rows {
				load(i)
			}
			v.p("%s", store)
		}, sizes...)
		v.blocks(1, "one", func() {
			for i := range rows {
				v.p("MOVB (R%d), R11", 1+i)
				v.p("MOV%s R11, %d(R0)", size, 4/rows*i)
			}
		}, sizes...)
		v.p("ADD R9, R5")
		v.down(7, "word")
	})
}

// mix writes a transform of Winograd's convolution along one axis.
func (v *neon) mix(name string, matrix [][]float64) {
	in := len(matrix[0])
	comment := fmt.Sprintf("makes %d rows of n floats, step bytes apart, from %d rows, whose addresses are at src.", len(matrix), in)
	v.routine(name+"(dst, src unsafe.Pointer, n, step int)", comment, func() {
		v.args("dst", "n")
		v.p("MOVD %s, R7", v.arg("step"))
		v.p("MOVD %s, R11", v.arg("src"))
		for i := range in {
			v.p("MOVD %d(R11), R%d", 8*i, 1+i)
		}
		v.loop(1, func() {
			for i := range in {
				v.load(i, 1+i, 0)
			}
			v.p("MOVD R0, R8")
			for j, row := range matrix {
				v.combine(row, 6+j%2)
				v.store(6+j%2, 8)
				v.p("ADD R7, R8")
			}
		}, []int{4, 4, 4, 4, 4, 4, 4}[:1+in]...)
	})
}

// combine leaves the sum of registers 0, 1, ... times factors in a register.
func (v *neon) combine(factors []float64, dst int) {
	first := true
	for _, unit := range []bool{true, false} {
		for i, f := range factors {
			switch {
			case f == 0 || (f == 1) != unit:
				continue
			case first && unit:
				v.a("MOV", dst, i)
			case first:
				v.a("FMUL", dst, i, v.c(f))
			case unit:
				v.a("FADD", dst, dst, i)
			default:
				v.a("FMLA", dst, i, v.c(f))
			}
			first = false
		}
	}
}
