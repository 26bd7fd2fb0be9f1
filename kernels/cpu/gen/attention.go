package main

import (
	"fmt"
	"math"
)

// attendStrips is also a constant of package cpu: how wide a panel of queries is at most, in registers.
const attendStrips = 3

// attend writes the product of attention for a number of strips: of rows, which lie in groups of eight, word by word, with a
// panel. A tile is eight rows, or half of them where there are few registers.
func (v *vec) attend(k kind, strips int) {
	rows := v.lanes / 2
	width := 4 * v.lanes * strips
	v.function(fmt.Sprintf("attend%s%s_%d(c, a, b, fade unsafe.Pointer, groups, k int)", k.name, v.name, strips), "see cpu.attendFunc.")
	v.args("c", "DI", "a", "R8", "b", "R12", "fade", "R9", "groups", "R10", "k", "R11")
	w := rows * strips // then strips registers of the panel, unless there is no room for the last
	held := strips
	if !v.wide && w+strips+2 > 16 && !k.float {
		held--
	}
	x, tmp := w+held, w+held+1
	word := func(i int) {
		for s := range held {
			v.p("VMOVUPS %d(DX), %s", i*width+4*v.lanes*s, v.r(w+s))
		}
		for r := range rows {
			v.p("VBROADCASTSS %d(SI), %s", 32*i+4*r, v.r(x))
			for s := range held {
				k.multiply(v, r*strips+s, x, w+s, tmp)
			}
			if held < strips { // of int16
				v.p("VPMADDWD %d(DX), %s, %s", i*width+4*v.lanes*held, v.r(x), v.r(tmp))
				v.p("VPADDD %s, %s, %s", v.r(tmp), v.r(r*strips+held), v.r(r*strips+held))
			}
		}
	}
	words := func(label string, n int) {
		v.p("SUBQ $%d, CX", n)
		v.p("JLT %sDone", label)
		v.p("PCALIGN $32")
		v.p("%s:", label)
		for i := range n {
			word(i)
		}
		v.p("ADDQ $%d, SI", 32*n)
		v.p("ADDQ $%d, DX", n*width)
		v.p("SUBQ $%d, CX", n)
		v.p("JGE %s", label)
		v.p("%sDone:", label)
		v.p("ADDQ $%d, CX", n)
	}
	v.p("XORL R13, R13") // the half
	v.p("tile:")
	v.p("LEAQ (R8)(R13*1), SI")
	v.p("MOVQ R12, DX")
	v.p("MOVQ R11, CX")
	v.clear(0, rows*strips)
	words("four", 4)
	words("one", 1)
	if k.float {
		v.p("TESTQ R9, R9")
		v.p("JZ store")
		for s := range strips {
			v.p("VMOVUPS %d(R9), %s", 4*v.lanes*s, v.r(w+s))
		}
		for i := range rows * strips {
			v.p("VFMADD231PS %d(DI), %s, %s", 4*v.lanes*i, v.r(w+i%strips), v.r(i))
		}
		v.p("store:")
	}
	for i := range rows * strips {
		v.p("VMOVUPS %s, %d(DI)", v.r(i), 4*v.lanes*i)
	}
	v.p("ADDQ $%d, DI", rows*width)
	if rows < 8 {
		v.p("XORQ $16, R13")
		v.p("JNZ tile")
		v.p("SUBQ $16, SI")
	}
	v.p("MOVQ SI, R8")
	v.p("DECQ R10")
	v.p("JNZ tile")
	v.end()
}

// attends writes the products of a kind, and their table.
func (v *vec) attends(k kind) string {
	table := fmt.Sprintf("var attend%s%s = attends{", k.name, v.name)
	for strips := 1; strips <= attendStrips; strips++ {
		v.attend(k, strips)
		table += fmt.Sprintf("%d: attend%s%s_%d, ", strips, k.name, v.name, strips)
	}
	return table + "}\n"
}

// power2 is 2^r for -1/2 <= r <= 1/2 as a polynomial, lowest power first: our own fit of the least relative error, 9e-8, that is
// exact at 0.
var power2 = []float64{1, 0.693146977598784, 0.24022242084743925, 0.055507337435226956, 0.009671512681036488, 0.0013264727241516193}

const (
	powerBias = 3*(1<<22) + 127    // added to a number, it leaves its whole part, plus the bias of exponents, in the lowest bits
	notEqual  = 4                  // a predicate of VCMPPS
	infinite  = uint32(0xff800000) // -Inf
)

// Registers of softmax: of row i of a round, 3i..3i+2, and constants.
const (
	softRows   = 4
	softTop    = 12
	softSum    = 13
	softLowest = 14 // -127
	softBias   = 15 // powerBias
)

// soften replaces x, at most 0, in the first register of so many rows, by exp(x), with a relative error of 2e-7 and as much
// of x; 0 below -87.6. A NaN stays one. Rows are written side by side: one chain of operations would wait for itself.
func (v *vec) soften(rows int) {
	each := func(f func(x, n, t int)) {
		for i := range rows {
			f(3*i, 3*i+1, 3*i+2)
		}
	}
	each(func(x, _, _ int) { v.op("VMULPS", x, v.c(math.Log2E), x) })
	each(func(x, _, _ int) { v.op("VMAXPS", softLowest, x, x) }) // the second operand wins if one is a NaN
	each(func(x, n, _ int) { v.op("VADDPS", x, softBias, n) })
	each(func(_, n, t int) { v.op("VSUBPS", n, softBias, t) })
	each(func(x, _, t int) { v.op("VSUBPS", x, t, x) })
	each(func(_, _, t int) { v.p("VMOVUPS %s, %s", v.c(power2[len(power2)-1]), v.r(t)) })
	for i := len(power2) - 2; i >= 0; i-- {
		each(func(x, _, t int) { v.fma(t, x, v.c(power2[i])) })
	}
	each(func(_, n, _ int) { v.p("VPSLLD $23, %s, %s", v.r(n), v.r(n)) }) // a float32, 2 to the whole part
	each(func(x, n, t int) { v.op("VMULPS", t, n, x) })
}

// reduce combines the first registers of so many rows, then them and a register.
func (v *vec) reduce(op string, rows, into int) {
	for step := 1; step < rows; step *= 2 {
		for i := 0; i+step < rows; i += 2 * step {
			v.op(op, 3*i, 3*(i+step), 3*i)
		}
	}
	v.op(op, 0, into, into)
}

// softRounds runs body on the rows of scores from R9 on, some at a time.
func (v *vec) softRounds(label string, body func(rows int)) {
	v.p("MOVQ SI, R9")
	v.p("MOVQ CX, AX")
	for _, rows := range []int{softRows, 1} {
		name := fmt.Sprintf("%s%d", label, rows)
		v.p("SUBQ $%d, AX", rows)
		v.p("JLT %sDone", name)
		v.p("PCALIGN $32")
		v.p("%s:", name)
		body(rows)
		v.p("LEAQ (R9)(BX*%d), R9", rows)
		v.p("SUBQ $%d, AX", rows)
		v.p("JGE %s", name)
		v.p("%sDone:", name)
		v.p("ADDQ $%d, AX", rows)
	}
}

// softmax writes the step of a running softmax along columns, one register wide.
func (v *vec) softmax() {
	v.routine("softmax(s unsafe.Pointer, rows, pitch int, m, sum, fade unsafe.Pointer)", "takes rows of scores into a running softmax, see cpu.vectors; pitch in bytes.")
	v.args("s", "SI", "rows", "CX", "pitch", "BX", "m", "DI", "sum", "DX", "fade", "R8")
	v.p("LEAQ (BX)(BX*2), R10")
	row := []string{"(R9)", "(R9)(BX*1)", "(R9)(BX*2)", "(R9)(R10*1)"}
	v.p("VMOVUPS %s, %s", v.c(-127), v.r(softLowest))
	v.p("VMOVUPS %s, %s", v.c(powerBias), v.r(softBias))
	v.p("VMOVUPS (DI), %s", v.r(softTop))
	v.softRounds("top", func(rows int) {
		for i := range rows { // a NaN loses
			v.p("VMOVUPS %s, %s", row[i], v.r(3*i))
			v.op("VMAXPS", 3*i, softTop, 3*i)
		}
		v.reduce("VMAXPS", rows, softTop)
	})
	v.p("VMOVUPS (DI), %s", v.r(0))
	v.p("VMOVUPS %s, (DI)", v.r(softTop))
	v.maskBy(notEqual, softTop, v.word(infinite), softTop, 1) // 0 where all are masked so far
	v.op("VSUBPS", 0, softTop, 0)
	v.soften(1)
	v.p("VMOVUPS %s, (R8)", v.r(0))
	v.p("VMULPS (DX), %s, %s", v.r(0), v.r(softSum))
	v.softRounds("row", func(rows int) {
		for i := range rows {
			v.p("VMOVUPS %s, %s", row[i], v.r(3*i))
			v.op("VSUBPS", 3*i, softTop, 3*i)
		}
		v.soften(rows)
		for i := range rows {
			v.p("VMOVUPS %s, %s", v.r(3*i), row[i])
		}
		v.reduce("VADDPS", rows, softSum)
	})
	v.p("VMOVUPS %s, (DX)", v.r(softSum))
	v.end()
}

// descale writes the loop that turns int32 sums into scores, one register wide.
func (v *vec) descale() {
	v.routine("descale(s unsafe.Pointer, rows, pitch int, less, row, column unsafe.Pointer)", "makes scores of rows of sums, see cpu.vectors; pitch in bytes.")
	v.args("s", "SI", "rows", "CX", "pitch", "BX", "less", "DI", "row", "DX", "column", "R8")
	v.p("VMOVUPS (R8), %s", v.r(10))
	v.p("TESTQ CX, CX")
	v.p("JZ done")
	v.p("row:")
	v.p("VMOVUPS (SI), %s", v.r(0))
	v.p("VPBROADCASTD (DI), %s", v.r(1))
	v.p("VBROADCASTSS (DX), %s", v.r(2))
	v.op("VPSUBD", 0, 1, 0)
	v.p("VCVTDQ2PS %s, %s", v.r(0), v.r(0))
	v.op("VMULPS", 0, 2, 0)
	v.op("VMULPS", 0, 10, 0)
	v.p("VMOVUPS %s, (SI)", v.r(0))
	v.p("ADDQ BX, SI")
	v.p("ADDQ $4, DI")
	v.p("ADDQ $4, DX")
	v.p("DECQ CX")
	v.p("JNZ row")
	v.p("done:")
	v.end()
}

// mulRows writes the loop that multiplies rows by factors of the columns, one register wide.
func (v *vec) mulRows() {
	v.routine("mulRows(s unsafe.Pointer, rows, pitch int, column unsafe.Pointer)", "is s*column on rows, see cpu.vectors; pitch in bytes.")
	v.args("s", "SI", "rows", "CX", "pitch", "BX", "column", "R8")
	v.p("VMOVUPS (R8), %s", v.r(10))
	v.p("TESTQ CX, CX")
	v.p("JZ done")
	v.p("row:")
	v.p("VMULPS (SI), %s, %s", v.r(10), v.r(0))
	v.p("VMOVUPS %s, (SI)", v.r(0))
	v.p("ADDQ BX, SI")
	v.p("DECQ CX")
	v.p("JNZ row")
	v.p("done:")
	v.end()
}

// eights writes the move of rows to groups of eight columns.
func (v *vec) eights() {
	v.routine("eights(dst, src unsafe.Pointer, rows, groups, stride, pitch int)", "see path.eights.")
	v.args("dst", "DX", "src", "SI", "rows", "CX", "stride", "R8", "pitch", "R9")
	v.p("row:")
	v.p("MOVQ SI, R10")
	v.p("MOVQ DX, DI")
	v.p("MOVQ %s, BX", v.arg("groups"))
	v.p("group:")
	v.p("VMOVUPS (R10), Y0")
	v.p("VMOVUPS Y0, (DI)")
	v.p("ADDQ $32, R10")
	v.p("ADDQ R9, DI")
	v.p("DECQ BX")
	v.p("JNZ group")
	v.p("ADDQ R8, SI")
	v.p("ADDQ $32, DX")
	v.p("DECQ CX")
	v.p("JNZ row")
	v.end()
}
