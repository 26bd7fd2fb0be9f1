package main

import (
	"fmt"
	"math"
)

// attend writes the product of attention for a number of strips, see vec.attend: a tile is half of eight rows, whose words
// are the lanes of a register.
func (v *neon) attend(k neonKind, strips int) {
	const rows, x = 4, 6
	width := 32 * strips
	v.function(fmt.Sprintf("attend%sNEON_%d(c, a, b, fade unsafe.Pointer, groups, k int)", k.name, strips), "see cpu.attendFunc.")
	v.args("c", "a", "b", "fade", "groups", "k")
	each := func(f func(acc, s, at int)) {
		for i := range rows * strips {
			f(neonSums+2*i, i%strips, 32*i)
		}
	}
	v.p("MOVD ZR, R6") // the half
	v.p("tile:")
	v.p("ADD R6, R1, R7")
	v.p("MOVD R2, R8")
	v.p("MOVD R5, R9")
	v.zero(neonSums, 2*strips*rows)
	v.words(9, func() {
		v.p("FMOVQ.P 32(R7), F%d", x)
		v.strips(k, strips, 8)
		each(func(acc, s, at int) { k.multiply(v, acc, 2*s, x, at/width) })
	})
	if k.float {
		v.p("CBZ R3, store")
		for s := range strips {
			v.p("FLDPQ %d(R3), (F%d, F%d)", 32*s, 2*s, 2*s+1)
		}
		each(func(acc, s, at int) {
			v.p("FLDPQ %d(R0), (F6, F7)", at)
			v.a("FMLA", acc, 6, 2*s)
			v.a("FMLA", acc+1, 7, 2*s+1)
		})
		v.p("store:")
	}
	each(func(acc, _, at int) { v.p("FSTPQ (F%d, F%d), %d(R0)", acc, acc+1, at) })
	v.p("ADD $%d, R0", rows*width)
	v.p("EOR $16, R6")
	v.p("CBNZ R6, tile")
	v.p("SUB $16, R7, R1")
	v.down(4, "tile")
	v.p("RET")
}

// attends writes the products of a kind, and their table.
func (v *neon) attends(k neonKind) string {
	table := fmt.Sprintf("var attend%sNEON = attends{", k.name)
	for strips := 1; strips <= attendStrips; strips++ {
		v.attend(k, strips)
		table += fmt.Sprintf("%d: attend%sNEON_%d, ", strips, k.name, strips)
	}
	return table + "}\n"
}

// soften does what vec.soften does. Row i has registers 4i to 4i+3.
func (v *neon) soften(rows int) {
	each := func(op string, regs ...int) { // registers of row 0, and constants
		for i := range rows {
			list := make([]int, len(regs))
			for j, r := range regs {
				if list[j] = r; r < 4 {
					list[j] += 4 * i
				}
			}
			v.a(op, list...)
		}
	}
	each("FMUL", 0, 0, v.c(math.Log2E))
	each("FMAX", 0, 0, v.c(-127)) // of a NaN one
	each("FADD", 1, 0, v.c(powerBias))
	each("FSUB", 2, 1, v.c(powerBias))
	each("FSUB", 0, 0, 2)
	sum := v.c(power2[len(power2)-1])
	for i := len(power2) - 2; i >= 0; i-- {
		t := 2 + i%2
		each("MOV", t, v.c(power2[i]))
		each("FMLA", t, sum, 0)
		sum = t
	}
	each("SHL23", 1, 1)
	each("FMUL", 0, sum, 1)
}

// eachRow runs body on R5 rows of scores from R0 on, R6 bytes apart, four at a time: with their addresses in registers of these numbers.
func (v *neon) eachRow(label string, body func(at []int)) {
	v.p("MOVD R0, R8")
	v.p("MOVD R5, R9")
	for _, at := range [][]int{{8, 11, 12, 13}, {8}} {
		name := fmt.Sprintf("%s%d", label, len(at))
		v.p("SUBS $%d, R9", len(at))
		v.p("BLT %sEnd", name)
		v.p("%s:", name)
		for i, r := range at[1:] {
			v.p("ADD R6, R%d, R%d", at[i], r)
		}
		body(at)
		v.p("ADD R6, R%d, R8", at[len(at)-1])
		v.p("SUBS $%d, R9", len(at))
		v.p("BGE %s", name)
		v.p("%sEnd:", name)
		v.p("ADD $%d, R9", len(at))
	}
}

// softmax writes the step of a running softmax along eight columns.
func (v *neon) softmax() {
	const top, sum = 16, 17
	v.routine("softmax(s unsafe.Pointer, rows, pitch int, m, sum, fade unsafe.Pointer)", "takes rows of scores into a running softmax, see cpu.vectors; pitch in bytes.", func() {
		v.args("s", "m", "sum", "fade", "-", "rows", "pitch")
		reduce := func(op string, into, rows int) {
			for ; rows > 1; rows /= 2 {
				for i := range rows / 2 {
					v.a(op, 4*i, 4*i, 4*(i+rows/2))
				}
			}
			v.a(op, into, into, 0)
		}
		v.p("MOVD $8, R10")
		v.blocks(4, "columns", func() {
			v.load(top, 1, 0)
			v.eachRow("top", func(at []int) { // a NaN loses
				for i, r := range at {
					v.load(4*i, r, 0)
				}
				reduce("FMAXNM", top, len(at))
			})
			v.load(0, 1, 0)
			v.store(top, 1)
			v.a("FCMEQ", 1, top, v.word(infinite)) // all are masked so far: 0
			v.a("BIC", top, top, 1)
			v.a("FSUB", 0, 0, top)
			v.soften(1)
			v.store(0, 3)
			v.load(sum, 2, 0)
			v.a("FMUL", sum, sum, 0)
			v.eachRow("row", func(at []int) {
				for i, r := range at {
					v.load(4*i, r, 0)
					v.a("FSUB", 4*i, 4*i, top)
				}
				v.soften(len(at))
				for i, r := range at {
					v.store(4*i, r)
				}
				reduce("FADD", sum, len(at))
			})
			v.store(sum, 2)
		}, 4, 4, 4, 4)
	})
}

// scores writes the loops over rows of eight columns: those that make scores of sums, and results of scores.
func (v *neon) scores() {
	rows := func(body func()) {
		v.p("FLDPQ (R4), (F10, F11)")
		v.p("CBZ R5, done")
		v.p("row:")
		v.p("FLDPQ (R0), (F0, F1)")
		body()
		v.p("FSTPQ (F0, F1), (R0)")
		v.p("ADD R6, R0")
		v.down(5, "row")
		v.p("done:")
	}
	v.routine("descale(s unsafe.Pointer, rows, pitch int, less, row, column unsafe.Pointer)", "makes scores of rows of sums, see cpu.vectors; pitch in bytes.", func() {
		v.args("s", "less", "row", "-", "column", "rows", "pitch")
		rows(func() {
			for i := range 2 {
				v.p("FMOVS.P 4(R%d), F%d", 1+i, 2+i)
				v.a("DUP", 2+i, 2+i)
			}
			for i := range 2 {
				v.a("SUB", i, i, 2)
				v.a("SCVTF", i, i)
				v.a("FMUL", i, i, 3)
				v.a("FMUL", i, i, 10+i)
			}
		})
	})
	v.routine("mulRows(s unsafe.Pointer, rows, pitch int, column unsafe.Pointer)", "is s*column on rows, see cpu.vectors; pitch in bytes.", func() {
		v.args("s", "-", "-", "-", "column", "rows", "pitch")
		rows(func() {
			for i := range 2 {
				v.a("FMUL", i, i, 10+i)
			}
		})
	})
}
