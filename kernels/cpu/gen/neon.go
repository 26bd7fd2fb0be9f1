package main

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
)

// neon is Advanced SIMD of arm64, with four lanes. A routine has its pointers in R0 and following registers, its count in
// R10; R11 and up are free. Vector registers 0 to 9 hold what a loop works on, arguments and sums lie from 10 on, constants
// from 31 down.
type neon struct {
	*file
	table []string
	lanes int      // of loads and stores: four, or fewer in a tail; the lanes beyond are zero
	held  []uint32 // constants of the routine in the making
}

// simd are the instructions, most of which Go's assembler does not know: their form in Arm's syntax and their bits where all
// registers are 0 (Arm Architecture Reference Manual, DDI 0487, C7.2).
var simd = map[string]struct {
	form string
	bits uint32
}{
	"ADD":       {"ADD V%d.4S, V%d.4S, V%d.4S", 0x4ea08400},
	"SUB":       {"SUB V%d.4S, V%d.4S, V%d.4S", 0x6ea08400},
	"CMGT":      {"CMGT V%d.4S, V%d.4S, V%d.4S", 0x4ea03400},
	"USHL":      {"USHL V%d.4S, V%d.4S, V%d.4S", 0x6ea04400}, // to the right if less than 0
	"USHL.2D":   {"USHL V%d.2D, V%d.2D, V%d.2D", 0x6ee04400},
	"SUB.16B":   {"SUB V%d.16B, V%d.16B, V%d.16B", 0x6e208400},
	"AND":       {"AND V%d.16B, V%d.16B, V%d.16B", 0x4e201c00},
	"ORR":       {"ORR V%d.16B, V%d.16B, V%d.16B", 0x4ea01c00},
	"TBL":       {"TBL V%d.16B, {V%d.16B}, V%d.16B", 0x4e000000}, // 0 beyond the end
	"ZIP1.16B":  {"ZIP1 V%d.16B, V%d.16B, V%d.16B", 0x4e003800},
	"ZIP1.8H":   {"ZIP1 V%d.8H, V%d.8H, V%d.8H", 0x4e403800},
	"ZIP2.8H":   {"ZIP2 V%d.8H, V%d.8H, V%d.8H", 0x4e407800},
	"ZIP1.4S":   {"ZIP1 V%d.4S, V%d.4S, V%d.4S", 0x4e803800},
	"ZIP2.4S":   {"ZIP2 V%d.4S, V%d.4S, V%d.4S", 0x4e807800},
	"ZIP1.2D":   {"ZIP1 V%d.2D, V%d.2D, V%d.2D", 0x4ec03800},
	"ZIP2.2D":   {"ZIP2 V%d.2D, V%d.2D, V%d.2D", 0x4ec07800},
	"UMAX":      {"UMAX V%d.4S, V%d.4S, V%d.4S", 0x6ea06400},
	"BIC":       {"BIC V%d.16B, V%d.16B, V%d.16B", 0x4e601c00},
	"EOR":       {"EOR V%d.16B, V%d.16B, V%d.16B", 0x6e201c00},
	"BSL":       {"BSL V%d.16B, V%d.16B, V%d.16B", 0x6e601c00},
	"FADD":      {"FADD V%d.4S, V%d.4S, V%d.4S", 0x4e20d400},
	"FSUB":      {"FSUB V%d.4S, V%d.4S, V%d.4S", 0x4ea0d400},
	"FMUL":      {"FMUL V%d.4S, V%d.4S, V%d.4S", 0x6e20dc00},
	"FDIV":      {"FDIV V%d.4S, V%d.4S, V%d.4S", 0x6e20fc00},
	"FMAX":      {"FMAX V%d.4S, V%d.4S, V%d.4S", 0x4e20f400},
	"FMIN":      {"FMIN V%d.4S, V%d.4S, V%d.4S", 0x4ea0f400},
	"FMAXNM":    {"FMAXNM V%d.4S, V%d.4S, V%d.4S", 0x4e20c400}, // a NaN loses
	"FMINNM":    {"FMINNM V%d.4S, V%d.4S, V%d.4S", 0x4ea0c400},
	"FMLA":      {"FMLA V%d.4S, V%d.4S, V%d.4S", 0x4e20cc00},
	"FMLS":      {"FMLS V%d.4S, V%d.4S, V%d.4S", 0x4ea0cc00},
	"FCMGT":     {"FCMGT V%d.4S, V%d.4S, V%d.4S", 0x6ea0e400},
	"FCMEQ":     {"FCMEQ V%d.4S, V%d.4S, V%d.4S", 0x4e20e400},
	"FADDP":     {"FADDP V%d.4S, V%d.4S, V%d.4S", 0x6e20d400},
	"FADD.2D":   {"FADD V%d.2D, V%d.2D, V%d.2D", 0x4e60d400},
	"FMLA.2D":   {"FMLA V%d.2D, V%d.2D, V%d.2D", 0x4e60cc00},
	"TRN1":      {"TRN1 V%d.4S, V%d.4S, V%d.4S", 0x4e802800},
	"TRN2":      {"TRN2 V%d.4S, V%d.4S, V%d.4S", 0x4e806800},
	"TRN1.2D":   {"TRN1 V%d.2D, V%d.2D, V%d.2D", 0x4ec02800},
	"TRN2.2D":   {"TRN2 V%d.2D, V%d.2D, V%d.2D", 0x4ec06800},
	"SMLAL":     {"SMLAL V%d.4S, V%d.4H, V%d.4H", 0x0e608000},
	"SMLAL2":    {"SMLAL2 V%d.4S, V%d.8H, V%d.8H", 0x4e608000},
	"SDOT":      {"SDOT V%d.4S, V%d.16B, V%d.16B", 0x4e809400},
	"FMLA[]":    {"FMLA V%d.4S, V%d.4S, V%d.S[%d]", 0x4f801000},
	"SDOT[]":    {"SDOT V%d.4S, V%d.16B, V%d.4B[%d]", 0x4f80e000},
	"SMLAL[]":   {"SMLAL V%d.4S, V%d.4H, V%d.H[%d]", 0x0f402000}, // the last of V0 to V15
	"SMLAL2[]":  {"SMLAL2 V%d.4S, V%d.8H, V%d.H[%d]", 0x4f402000},
	"MOV":       {"MOV V%d.16B, V%d.16B", 0x4ea01c00},
	"MOV.S":     {"FMOV S%d, S%d", 0x1e204000}, // zeroes the other lanes
	"DUP":       {"DUP V%d.4S, V%d.S[0]", 0x4e040400},
	"REV64":     {"REV64 V%d.4S, V%d.4S", 0x4ea00800},
	"FABS":      {"FABS V%d.4S, V%d.4S", 0x4ea0f800},
	"FNEG":      {"FNEG V%d.4S, V%d.4S", 0x6ea0f800},
	"NEG":       {"NEG V%d.4S, V%d.4S", 0x6ea0b800},
	"FCMLT0":    {"FCMLT V%d.4S, V%d.4S, #0.0", 0x4ea0e800},
	"FRINTN":    {"FRINTN V%d.4S, V%d.4S", 0x4e218800},
	"FCVTNS":    {"FCVTNS V%d.4S, V%d.4S", 0x4e21a800}, // of a NaN 0
	"SCVTF":     {"SCVTF V%d.4S, V%d.4S", 0x4e21d800},
	"FCVTL":     {"FCVTL V%d.2D, V%d.2S", 0x0e617800},
	"FCVTL2":    {"FCVTL2 V%d.2D, V%d.4S", 0x4e617800},
	"FCVTL.4H":  {"FCVTL V%d.4S, V%d.4H", 0x0e217800},
	"SHL23":     {"SHL V%d.4S, V%d.4S, #23", 0x4f375400},
	"SHLL.4H":   {"SHLL V%d.4S, V%d.4H, #16", 0x2e613800},
	"SXTL2.8B":  {"SXTL2 V%d.8H, V%d.16B", 0x4f08a400},
	"SXTL2.4H":  {"SXTL2 V%d.4S, V%d.8H", 0x4f10a400},
	"UXTL2.8B":  {"UXTL2 V%d.8H, V%d.16B", 0x6f08a400},
	"UXTL2.4H":  {"UXTL2 V%d.4S, V%d.8H", 0x6f10a400},
	"SXTL.8B":   {"SXTL V%d.8H, V%d.8B", 0x0f08a400},
	"SXTL.4H":   {"SXTL V%d.4S, V%d.4H", 0x0f10a400},
	"UXTL.8B":   {"UXTL V%d.8H, V%d.8B", 0x2f08a400},
	"UXTL.4H":   {"UXTL V%d.4S, V%d.4H", 0x2f10a400},
	"XTN.4S":    {"XTN V%d.4H, V%d.4S", 0x0e612800},
	"XTN.8H":    {"XTN V%d.8B, V%d.8H", 0x0e212800},
	"ADDV":      {"ADDV S%d, V%d.4S", 0x4eb1b800},
	"UMAXV":     {"UMAXV S%d, V%d.4S", 0x6eb0a800},
	"FMAXNMV":   {"FMAXNMV S%d, V%d.4S", 0x6e30c800},
	"FMINNMV":   {"FMINNMV S%d, V%d.4S", 0x6eb0c800},
	"FADDP(2D)": {"FADDP D%d, V%d.2D", 0x7e70d800},
}

// a writes an instruction of simd; the destination is first, as Arm has it, the number of a lane last.
func (v *neon) a(name string, regs ...int) {
	op, ok := simd[name]
	if !ok {
		panic("no instruction " + name)
	}
	list := make([]any, len(regs))
	for i, r := range regs {
		list[i] = r
		switch lane := uint32(r); {
		case i < 3:
			op.bits |= lane << [...]int{0, 5, 16}[i]
		case name == "FMLA[]" || name == "SDOT[]": // bits 11 and 21
			op.bits |= lane>>1<<11 | lane&1<<21
		default: // 11, 21 and 20
			op.bits |= lane>>2<<11 | lane>>1&1<<21 | lane&1<<20
		}
	}
	if name == "MOV" { // ORR with itself
		op.bits |= uint32(regs[1]) << 16
	}
	v.p("WORD $0x%08x // %s", op.bits, fmt.Sprintf(op.form, list...))
}

// routine writes a function of the table; the constants that its body asks for are loaded first.
func (v *neon) routine(declaration, comment string, body func()) {
	name, rest, _ := strings.Cut(declaration, "(")
	v.table = append(v.table, name)
	v.function(name+"NEON("+rest, comment)
	start := v.Len()
	v.held = nil
	body()
	code := bytes.Clone(v.Bytes()[start:])
	v.Truncate(start)
	for i, bits := range v.held {
		v.p("MOVW $0x%08x, R11", bits)
		v.p("VDUP R11, V%d.S4", 31-i)
	}
	v.Write(code)
	v.p("RET")
}

// word is the register of a constant in all lanes, c that of a float32.
func (v *neon) word(bits uint32) int {
	if !slices.Contains(v.held, bits) {
		if v.held = append(v.held, bits); len(v.held) > 22 {
			panic("more constants than registers from 10 on")
		}
	}
	return 31 - slices.Index(v.held, bits)
}

func (v *neon) c(x float64) int { return v.word(math.Float32bits(float32(x))) }

// args loads arguments into R0 and following registers; n goes to R10, and "-" leaves one out.
func (v *neon) args(names ...string) {
	for i, name := range names {
		if name == "n" {
			i = 10
		}
		if name != "-" {
			v.p("MOVD %s, R%d", v.arg(name), i)
		}
	}
}

// broadcast fills a register with a 32-bit argument.
func (v *neon) broadcast(name string, reg int) {
	v.p("FMOVS %s, F%d", v.arg(name), reg)
	v.a("DUP", reg, reg)
}

// zero clears n registers.
func (v *neon) zero(first, n int) {
	for i := range n {
		v.p("VEOR V%d.B16, V%[1]d.B16, V%[1]d.B16", first+i)
	}
}

// load reads lanes at R(base)+offset; store writes them.
func (v *neon) load(dst, base, offset int) { v.p("FMOV%s %d(R%d), F%d", v.size(), offset, base, dst) }
func (v *neon) store(src, base int)        { v.p("FMOV%s F%d, (R%d)", v.size(), src, base) }

func (v *neon) size() string { return map[int]string{4: "Q", 2: "D", 1: "S"}[v.lanes] }

// codes reads lanes of bytes as int32, or of uint8 with sign U.
func (v *neon) codes(sign string, dst, base, offset int) {
	if v.lanes == 1 {
		v.p("MOVB%s %d(R%d), R11", strings.Trim(sign, "S"), offset, base)
		v.p("FMOVS R11, F%d", dst)
		return
	}
	v.p("FMOVS %d(R%d), F%d", offset, base, dst)
	v.a(sign+"XTL.8B", dst, dst)
	v.a(sign+"XTL.4H", dst, dst)
}

// loop runs body over R10 elements, four at a time and then so many as rest says. R0 and following registers advance by the
// bytes given for an element.
func (v *neon) loop(rest int, body func(), sizes ...int) {
	v.blocks(4, "whole", body, sizes...)
	v.blocks(rest, "rest", body, sizes...)
}

// blocks runs body for every n of R10 elements that are left, and leaves the rest in R10.
func (v *neon) blocks(n int, label string, body func(), sizes ...int) {
	v.lanes = min(4, n)
	v.p("SUBS $%d, R10", n)
	v.p("BLT %sEnd", label)
	v.p("%s:", label)
	body()
	for reg, size := range sizes {
		if size > 0 {
			v.p("ADD $%d, R%d", n*size, reg)
		}
	}
	v.p("SUBS $%d, R10", n)
	v.p("BGE %s", label)
	v.p("%sEnd:", label)
	v.p("ADD $%d, R10", n)
}

// down counts a register down and goes on at a label until it is 0.
func (v *neon) down(reg int, label string) {
	v.p("SUBS $1, R%d", reg)
	v.p("BNE %s", label)
}

// total adds up n registers, a power of two, and their lanes, to the first lane of the first.
func (v *neon) total(first, n int, float bool) {
	for add := map[bool]string{true: "FADD", false: "ADD"}[float]; n > 1; n /= 2 {
		for i := range n / 2 {
			v.a(add, first+i, first+i, first+i+n/2)
		}
	}
	if !float {
		v.a("ADDV", first, first)
		return
	}
	v.a("FADDP", first, first, first)
	v.a("FADDP", first, first, first)
}

// A kind of words, see kind: multiply adds the products of the word in a lane of register x and the words of a strip, in w
// and w+1, to acc and acc+1. x is one of V0 to V15.
type neonKind struct {
	name     string
	float    bool
	multiply func(v *neon, acc, w, x, lane int)
}

var neonKinds = []neonKind{
	{"F32", true, func(v *neon, acc, w, x, lane int) {
		v.a("FMLA[]", acc, w, x, lane)
		v.a("FMLA[]", acc+1, w+1, x, lane)
	}},
	{"Int16", false, func(v *neon, acc, w, x, lane int) { // w has the first of all words, w+1 the second
		for i := range 2 {
			v.a("SMLAL[]", acc, w+i, x, 2*lane+i)
			v.a("SMLAL2[]", acc+1, w+i, x, 2*lane+i)
		}
	}},
	{"Int8", false, func(v *neon, acc, w, x, lane int) {
		v.a("SDOT[]", acc, w, x, lane)
		v.a("SDOT[]", acc+1, w+1, x, lane)
	}},
}

// strips reads the words of strips at R(base) to registers from 0 on, and advances.
func (v *neon) strips(k neonKind, strips, base int) {
	for s := range strips {
		if k.name == "Int16" {
			v.p("VLD2.P 32(R%d), [V%d.H8, V%d.H8]", base, 2*s, 2*s+1)
		} else {
			v.p("FLDPQ.P 32(R%d), (F%d, F%d)", base, 2*s, 2*s+1)
		}
	}
}

// words runs body so many times as a register says, two times in a round.
func (v *neon) words(reg int, body func()) {
	v.p("SUBS $2, R%d", reg)
	v.p("BLT odd")
	v.p("words:")
	body()
	body()
	v.p("SUBS $2, R%d", reg)
	v.p("BGE words")
	v.p("odd:")
	v.p("ADD $2, R%d", reg)
	v.p("CBZ R%d, next", reg)
	body()
	v.p("next:")
}

// neonRows hold the addresses of up to eight rows.
var neonRows = []int{12, 13, 14, 15, 19, 20, 21, 22}

// neonSums is the first of 24 registers of sums: eight rows of one strip or six of two, and two registers a strip.
const neonSums = 8

// tiles writes all tile kernels of a kind, and their table.
func (v *neon) tiles(k neonKind) (table string) {
	table = fmt.Sprintf("var tiles%sNEON = tiles{\n", k.name)
	for strips := 1; strips <= 2; strips++ {
		table += fmt.Sprintf("\t%d: {nil", strips)
		for rows := 1; rows <= min(8, 12/strips); rows++ {
			v.tile(k, strips, rows)
			table += fmt.Sprintf(", tile%sNEON_%dx%d", k.name, strips, rows)
		}
		table += "},\n"
	}
	return table + "}\n"
}

// tile writes a kernel. R1 is at the table of rows, R2 at the weights, R3 is the place in the rows, R4 and R5 count the words of
// the tap and of the chain.
func (v *neon) tile(k neonKind, strips, rows int) {
	v.function(fmt.Sprintf("tile%sNEON_%dx%d(a *tileArgs)", k.name, strips, rows), fmt.Sprintf("is a tile of %d rows and %d columns.", rows, 8*strips))
	v.args("a")
	for _, field := range [][2]int{{argRows, 1}, {argB, 2}, {argStep, 6}, {argOff, 7}, {argK, 8}, {argTaps, 9}, {argC, 23}, {argPitch, 24}, {argInit, 25}} {
		v.p("MOVD %d(R0), R%d", field[0], field[1])
	}
	sums := 2 * strips * rows
	v.zero(neonSums, sums)
	v.p("tap:")
	for i := range rows {
		v.p("MOVD.P 8(R1), R%d", neonRows[i])
	}
	v.p("MOVD R7, R3")
	v.p("MOVD R8, R4")
	if k.float {
		v.p("chain:")
		v.p("MOVD $%d, R5", f32.chain)
		v.p("CMP R5, R4")
		v.p("CSEL LT, R4, R5, R5")
		v.p("SUB R5, R4")
	} else {
		v.p("MOVD R4, R5")
	}
	v.words(5, func() {
		v.strips(k, strips, 2)
		for i := range rows {
			x := 4 + i%4
			v.p("FMOVS (R%d)(R3), F%d", neonRows[i], x)
			for s := range strips {
				k.multiply(v, neonSums+2*(i*strips+s), 2*s, x, 0)
			}
		}
		v.p("ADD R6, R3")
	})
	if k.float {
		v.flush(k, strips, rows)
		v.zero(neonSums, sums)
		v.p("CBNZ R4, chain")
	}
	v.down(9, "tap")
	if !k.float {
		v.flush(k, strips, rows)
	}
	v.p("RET")
}

// flush adds the sums to c, or, the first time, to init, if there is one.
func (v *neon) flush(k neonKind, strips, rows int) {
	add := map[bool]string{true: "FADD", false: "ADD"}[k.float]
	store := func(from int) {
		for i := range rows {
			for s := range strips {
				acc := neonSums + 2*(i*strips+s)
				v.p("FLDPQ %d(R%d), (F0, F1)", 32*s, from)
				v.a(add, acc, acc, 0)
				v.a(add, acc+1, acc+1, 1)
				v.p("FSTPQ (F%d, F%d), %d(R11)", acc, acc+1, 32*s)
			}
			if i+1 < rows {
				v.p("ADD R24, R11")
			}
		}
	}
	v.p("MOVD R23, R11")
	v.p("CBZ R25, add")
	store(25)
	v.p("MOVD ZR, R25")
	v.p("B flushed")
	v.p("add:")
	store(11)
	v.p("flushed:")
}

// neonChains is a constant of package cpu.
const neonChains = 24

// peak writes a loop of n rounds of independent products.
func (v *neon) peak(k neonKind) {
	v.function("peak"+k.name+"NEON(n int)", fmt.Sprintf("makes n rounds of %d independent products.", neonChains))
	v.args("n")
	v.zero(0, 32)
	v.p("round:")
	for i := 0; i < neonChains; i += 2 {
		k.multiply(v, neonSums+i, 0, 4, 0)
	}
	v.down(10, "round")
	v.p("RET")
}
