package main

import (
	"fmt"
	"slices"
)

// Offsets in cpu.tileArgs.
const (
	argRows, argTaps, argOff, argK, argStep = 0, 8, 16, 24, 32
	argB, argC, argPitch, argInit           = 40, 48, 56, 64
)

// kind is a way to multiply words: what a tile kernel does with a word of activations in every lane and words of weights.
type kind struct {
	name  string
	float bool // sums are float32
	// multiply adds the products of broadcast register x and weights register w to register acc; tmp is free.
	multiply func(v *vec, acc, x, w, tmp int)
}

var (
	f32 = kind{"F32", true, func(v *vec, acc, x, w, _ int) {
		v.p("VFMADD231PS %s, %s, %s", v.r(w), v.r(x), v.r(acc))
	}}
	// int16 words hold two numbers, whose products do not overflow a sum of two.
	int16s = kind{"Int16", false, func(v *vec, acc, x, w, tmp int) {
		v.p("VPMADDWD %s, %s, %s", v.r(w), v.r(x), v.r(tmp))
		v.p("VPADDD %s, %s, %s", v.r(tmp), v.r(acc), v.r(acc))
	}}
	// int8 words hold four: weights unsigned, activations signed.
	int8s = kind{"Int8", false, func(v *vec, acc, x, w, _ int) {
		v.p("VPDPBUSD %s, %s, %s", v.r(x), v.r(w), v.r(acc))
	}}
	bf16 = kind{"BF16", true, func(v *vec, acc, x, w, _ int) { v.dotBF16(acc, x, w) }}
)

// dotBF16 is VDPBF16PS acc, x, w on full registers, which Go's assembler does not know: EVEX.512.F3.0F38.W0 52 /r (Intel's
// Software Developer's Manual, volume 2).
func (v *vec) dotBF16(acc, x, w int) {
	not := func(x, bit int) int { return 1 - x>>bit&1 }
	p0 := not(acc, 3)<<7 | not(w, 4)<<6 | not(w, 3)<<5 | not(acc, 4)<<4 | 2
	p1 := ^x&15<<3 | 1<<2 | 2
	p2 := 2<<5 | not(x, 4)<<3
	v.p("BYTE $0x62; BYTE $0x%02x; BYTE $0x%02x; BYTE $0x%02x; BYTE $0x52; BYTE $0x%02x // VDPBF16PS Z%d, Z%d, Z%d",
		p0, p1, p2, 0xc0|acc&7<<3|w&7, w, x, acc)
}

// rowRegs hold the addresses of up to eight rows of activations.
var rowRegs = []string{"R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15"}

// tile writes a kernel for a number of strips and rows. Registers: the sums, row by row, then the weights of a word, then
// activations and a temporary.
func (v *vec) tile(k kind, strips, rows int) {
	name := fmt.Sprintf("tile%s%s_%dx%d", k.name, v.name, strips, rows)
	v.function(name+"(a *tileArgs)", fmt.Sprintf("is a tile of %d rows and %d columns.", rows, strips*v.lanes))
	size := 4 * v.lanes
	acc := func(row, strip int) int { return row*strips + strip }
	w := rows * strips // then strips registers of weights
	x, tmp := w+strips, w+strips+1
	v.args("a", "DI")
	v.p("MOVQ %d(DI), DX", argB)
	v.p("MOVQ %d(DI), SI", argRows)
	v.p("MOVQ %d(DI), CX", argTaps)
	v.begin(rows, strips, acc)
	v.p("tap:")
	v.p("MOVQ %d(DI), AX", argOff)
	for i := range rows {
		v.p("MOVQ %d(SI), %s", 8*i, rowRegs[i])
		v.p("ADDQ AX, %s", rowRegs[i])
	}
	v.p("ADDQ $%d, SI", 8*rows)
	v.p("XORL AX, AX")
	v.p("MOVQ %d(DI), BX", argK)
	word := func(last bool) {
		for s := range strips {
			v.p("VMOVUPS %d(DX), %s", s*size, v.r(w+s))
		}
		for i := range rows {
			v.p("VBROADCASTSS (%s)(AX*1), %s", rowRegs[i], v.r(x))
			for s := range strips {
				k.multiply(v, acc(i, s), x, w+s, tmp)
			}
		}
		v.p("ADDQ %d(DI), AX", argStep)
		v.p("ADDQ $%d, DX", strips*size)
	}
	v.p("SUBQ $2, BX")
	v.p("JLT odd")
	v.p("words:")
	word(false)
	word(false)
	v.p("SUBQ $2, BX")
	v.p("JGE words")
	v.p("odd:")
	v.p("ADDQ $2, BX")
	v.p("JLE next")
	word(true)
	v.p("next:")
	v.p("DECQ CX")
	v.p("JNZ tap")
	v.p("MOVQ %d(DI), AX", argC)
	for i := range rows {
		for s := range strips {
			v.p("VMOVUPS %s, %d(AX)", v.r(acc(i, s)), s*size)
		}
		if i+1 < rows {
			v.p("ADDQ %d(DI), AX", argPitch)
		}
	}
	v.end()
}

// begin loads the sums: from init, if there is one, or from c.
func (v *vec) begin(rows, strips int, acc func(row, strip int) int) {
	size := 4 * v.lanes
	v.p("MOVQ %d(DI), AX", argInit)
	v.p("TESTQ AX, AX")
	v.p("JZ add")
	for s := range strips {
		v.p("VMOVUPS %d(AX), %s", s*size, v.r(acc(0, s)))
	}
	for i := 1; i < rows; i++ {
		for s := range strips {
			v.p("VMOVAPS %s, %s", v.r(acc(0, s)), v.r(acc(i, s)))
		}
	}
	v.p("JMP tap")
	v.p("add:")
	v.p("MOVQ %d(DI), AX", argC)
	for i := range rows {
		for s := range strips {
			v.p("VMOVUPS %d(AX), %s", s*size, v.r(acc(i, s)))
		}
		if i+1 < rows {
			v.p("ADDQ %d(DI), AX", argPitch)
		}
	}
}

// tiles writes all kernels of a kind, for 1..most[strips] rows, and their table.
func (v *vec) tiles(k kind, most []int) (table string) {
	table = fmt.Sprintf("var tiles%s%s = tiles{\n", k.name, v.name)
	for strips := 1; strips < len(most); strips++ {
		table += fmt.Sprintf("\t%d: {nil", strips)
		for rows := 1; rows <= most[strips]; rows++ {
			v.tile(k, strips, rows)
			table += fmt.Sprintf(", tile%s%s_%dx%d", k.name, v.name, strips, rows)
		}
		table += "},\n"
	}
	return table + "}\n"
}

// peak writes a loop of n rounds of independent products, which measures what the processor can do at most.
func (v *vec) peak(k kind) {
	v.function(fmt.Sprintf("peak%s%s(n int)", k.name, v.name), fmt.Sprintf("makes n rounds of %d independent products.", peakChains))
	v.args("n", "CX")
	for i := range peakChains + 2 {
		v.p("%s %s, %s, %s", v.bits("VPXOR"), v.r(i), v.r(i), v.r(i))
	}
	v.p("PCALIGN $32")
	v.p("round:")
	for i := range peakChains {
		v.multiplyPeak(k, i)
	}
	v.p("DECQ CX")
	v.p("JNZ round")
	v.end()
}

// peakChains is also a constant of package cpu.
const peakChains = 12

func (v *vec) multiplyPeak(k kind, acc int) {
	k.multiply(v, acc, peakChains, peakChains+1, peakChains+2)
}

// most is the largest number of rows for each number of strips, given the registers.
func most(registers, extra, limit, strips int) []int {
	list := []int{0}
	for s := 1; s <= strips; s++ {
		list = append(list, min(limit, (registers-extra-s)/s))
	}
	return slices.Clip(list)
}
