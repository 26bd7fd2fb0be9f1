package main

import (
	"fmt"
	"slices"
)

// Offsets in cpu.tileArgs.
const (
	argRows, argTaps, argOff, argK, argStep = 0, 8, 16, 24, 32
	argB, argC, argPitch, argInit, argSaved = 40, 48, 56, 64, 72
)

// kind is a way to multiply words: what a tile kernel does with a word of activations in every lane and words of weights.
type kind struct {
	name  string
	float bool // sums are float32
	chain int  // the most words that are added up before they go to c; 0: all
	// multiply adds the products of broadcast register x and weights register w to register acc; tmp is free.
	multiply func(v *vec, acc, x, w, tmp int)
}

var (
	f32 = kind{"F32", true, 64, func(v *vec, acc, x, w, _ int) {
		v.p("VFMADD231PS %s, %s, %s", v.r(w), v.r(x), v.r(acc))
	}}
	// int16 words hold two numbers, whose products do not overflow a sum of two.
	int16s = kind{"Int16", false, 0, func(v *vec, acc, x, w, tmp int) {
		v.p("VPMADDWD %s, %s, %s", v.r(w), v.r(x), v.r(tmp))
		v.p("VPADDD %s, %s, %s", v.r(tmp), v.r(acc), v.r(acc))
	}}
	// int8 words hold four: weights unsigned, activations signed.
	int8s = kind{"Int8", false, 0, func(v *vec, acc, x, w, _ int) {
		v.p("VPDPBUSD %s, %s, %s", v.r(x), v.r(w), v.r(acc))
	}}
	bf16 = kind{"BF16", true, 0, func(v *vec, acc, x, w, _ int) { v.dotBF16(acc, x, w) }}
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
	v.args("a", "DI")
	v.p("MOVQ %d(DI), DX", argB)
	v.p("MOVQ %d(DI), SI", argRows)
	v.clear(0, rows*strips)
	v.p("tap:")
	v.p("MOVQ %d(DI), AX", argOff)
	for i := range rows {
		v.p("MOVQ %d(SI), %s", 8*i, rowRegs[i])
		v.p("ADDQ AX, %s", rowRegs[i])
	}
	v.p("ADDQ $%d, SI", 8*rows)
	v.p("XORL AX, AX")
	v.p("MOVQ %d(DI), CX", argK) // words left
	if k.chain > 0 {
		v.p("chain:")
		v.p("MOVL $%d, BX", k.chain)
		v.p("CMPQ CX, BX")
		v.p("CMOVQLT CX, BX")
		v.p("SUBQ BX, CX")
	} else {
		v.p("MOVQ CX, BX")
	}
	v.words(k, strips, rows)
	if k.chain > 0 {
		v.flush(k, strips, rows)
		v.clear(0, rows*strips)
		v.p("TESTQ CX, CX")
		v.p("JNZ chain")
	}
	v.p("DECQ %d(DI)", argTaps)
	v.p("JNZ tap")
	if k.chain == 0 {
		v.flush(k, strips, rows)
	}
	v.end()
}

// clear zeroes n registers.
func (v *vec) clear(first, n int) {
	for i := range n {
		v.zero(first + i)
	}
}

// words multiplies BX words, two in a round.
func (v *vec) words(k kind, strips, rows int) {
	w := rows * strips // then strips registers of weights
	x, tmp := w+strips, w+strips+1
	word := func() {
		for s := range strips {
			v.p("VMOVUPS %d(DX), %s", 4*v.lanes*s, v.r(w+s))
		}
		for i := range rows {
			v.p("VBROADCASTSS (%s)(AX*1), %s", rowRegs[i], v.r(x))
			for s := range strips {
				k.multiply(v, i*strips+s, x, w+s, tmp)
			}
		}
		v.p("ADDQ %d(DI), AX", argStep)
		v.p("ADDQ $%d, DX", 4*v.lanes*strips)
	}
	v.p("SUBQ $2, BX")
	v.p("JLT odd")
	v.p("words:")
	word()
	word()
	v.p("SUBQ $2, BX")
	v.p("JGE words")
	v.p("odd:")
	v.p("ADDQ $2, BX")
	v.p("JLE next")
	word()
	v.p("next:")
}

// flush adds the sums to c; if init is set, to that, and init is cleared. AX and CX are kept.
func (v *vec) flush(k kind, strips, rows int) {
	add := "VADDPS"
	if !k.float {
		add = "VPADDD"
	}
	v.p("MOVQ AX, %d(DI)", argSaved)
	v.p("MOVQ %d(DI), BX", argC)
	v.p("MOVQ %d(DI), AX", argInit)
	v.p("TESTQ AX, AX")
	v.p("JZ add")
	v.p("MOVQ $0, %d(DI)", argInit)
	v.storeSums(strips, rows, func(reg, offset int) { v.p("%s %d(AX), %s, %s", add, offset, v.r(reg), v.r(reg)) })
	v.p("JMP flushed")
	v.p("add:")
	v.storeSums(strips, rows, func(reg, offset int) { v.p("%s %d(BX), %s, %s", add, offset, v.r(reg), v.r(reg)) })
	v.p("flushed:")
	v.p("MOVQ %d(DI), AX", argSaved)
}

// storeSums stores the sums at BX and what follows, after add has added to each.
func (v *vec) storeSums(strips, rows int, add func(reg, offset int)) {
	for i := range rows {
		for s := range strips {
			add(i*strips+s, 4*v.lanes*s)
			v.p("VMOVUPS %s, %d(BX)", v.r(i*strips+s), 4*v.lanes*s)
		}
		if i+1 < rows {
			v.p("ADDQ %d(DI), BX", argPitch)
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
