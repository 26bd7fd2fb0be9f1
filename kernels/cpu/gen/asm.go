package main

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
)

// file is an assembly file in the making.
type file struct {
	bytes.Buffer
	stubs   []string       // Go declarations of the functions
	consts  []string       // constants in use, see constant
	offsets map[string]int // of the arguments of the function in the making
}

// function begins a function, whose declaration is without "func", and notes where its arguments lie.
func (f *file) function(declaration, comment string) {
	name, params, _ := strings.Cut(declaration, "(")
	params, result, _ := strings.Cut(strings.TrimSuffix(params, ")"), ") (")
	f.offsets = map[string]int{}
	size := f.place(params, 0)
	if result != "" {
		size = f.place(result, (size+7)&^7)
	}
	f.stubs = append(f.stubs, fmt.Sprintf("// %s %s\n//\n//go:noescape\nfunc %s", name, comment, declaration))
	fmt.Fprintf(f, "\n// func %s\nTEXT ·%s(SB), NOSPLIT, $0-%d\n", declaration, name, size)
}

// place lays parameters out from an offset on, and returns where they end.
func (f *file) place(params string, at int) int {
	var names []string
	for param := range strings.SplitSeq(params, ", ") {
		name, kind, typed := strings.Cut(param, " ")
		if name == "" {
			continue
		}
		if names = append(names, name); !typed {
			continue
		}
		size := 8
		if strings.HasSuffix(kind, "32") {
			size = 4
		}
		for _, n := range names {
			at = (at + size - 1) &^ (size - 1)
			f.offsets[n] = at
			at += size
		}
		names = nil
	}
	return at
}

// arg is an argument or a result in memory.
func (f *file) arg(name string) string { return fmt.Sprintf("%s+%d(FP)", name, f.offsets[name]) }

// args moves pairs of an argument and a register.
func (f *file) args(pairs ...string) {
	for i := 0; i < len(pairs); i += 2 {
		f.p("MOVQ %s, %s", f.arg(pairs[i]), pairs[i+1])
	}
}

// p prints an instruction, or a label if it ends in a colon.
func (f *file) p(format string, a ...any) {
	line := fmt.Sprintf(format, a...)
	if !strings.HasSuffix(line, ":") {
		line = "\t" + line
	}
	f.WriteString(line + "\n")
}

// constant is the name of 64 bytes of a repeated 32-bit word.
func (f *file) constant(bits uint32) string {
	name := fmt.Sprintf("c%08x", bits)
	if !slices.Contains(f.consts, name) {
		f.consts = append(f.consts, name)
	}
	return name + "<>(SB)"
}

// source is the whole file: the constants follow the code.
func (f *file) source() []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s\n#include \"textflag.h\"\n%s", header, f.Bytes())
	if bytes.Contains(f.Bytes(), []byte("masks<>")) {
		out.WriteString(masks)
	}
	slices.Sort(f.consts)
	for _, name := range f.consts {
		out.WriteString("\n")
		for i := range 8 {
			fmt.Fprintf(&out, "DATA %s<>+%d(SB)/8, $0x%s%s\n", name, 8*i, name[1:], name[1:])
		}
		fmt.Fprintf(&out, "GLOBL %s<>(SB), RODATA|NOPTR, $64\n", name)
	}
	return out.Bytes()
}

// masks: the 32 bytes that begin 4*n bytes before the middle mask n lanes.
const masks = `
DATA masks<>+0(SB)/8, $-1
DATA masks<>+8(SB)/8, $-1
DATA masks<>+16(SB)/8, $-1
DATA masks<>+24(SB)/8, $-1
DATA masks<>+32(SB)/8, $0
DATA masks<>+40(SB)/8, $0
DATA masks<>+48(SB)/8, $0
DATA masks<>+56(SB)/8, $0
GLOBL masks<>(SB), RODATA|NOPTR, $64
`

// vec is a vector instruction set: AVX2 with FMA, or AVX-512 F, BW and VL.
type vec struct {
	*file
	name   string
	lanes  int
	wide   bool // 512 bits
	table  []string
	masked bool // within a tail: loads and stores touch only the lanes of the mask (K1, or Y15)
}

// routine begins a function of the table of this instruction set.
func (v *vec) routine(declaration, comment string) {
	name, _, _ := strings.Cut(declaration, "(")
	v.table = append(v.table, name)
	v.function(strings.Replace(declaration, "(", v.name+"(", 1), comment)
}

// routines is the table of an instruction set as Go code.
func routines(set string, table []string) string {
	out := fmt.Sprintf("var routines%s = routines{\n", set)
	for _, name := range table {
		out += fmt.Sprintf("\t%s: %s%s,\n", name, name, set)
	}
	return out + "}\n"
}

// r is a register, full width; h is its lower half.
func (v *vec) r(i int) string {
	if v.wide {
		return fmt.Sprintf("Z%d", i)
	}
	return fmt.Sprintf("Y%d", i)
}

func (v *vec) h(i int) string {
	if v.wide {
		return fmt.Sprintf("Y%d", i)
	}
	return fmt.Sprintf("X%d", i)
}

// bits is the name of an instruction on all bits, such as VPAND, which AVX-512 spells with the size of a lane.
func (v *vec) bits(op string) string {
	if v.wide {
		return op + "D"
	}
	return op
}

// c is a constant in every lane, in memory.
func (v *vec) c(x float64) string      { return v.constant(math.Float32bits(float32(x))) }
func (v *vec) word(bits uint32) string { return v.constant(bits) }

// load reads a vector; in a tail, lanes beyond the end are zero.
func (v *vec) load(addr string, dst int) {
	switch {
	case v.masked && v.wide:
		v.p("VMOVUPS.Z %s, K1, Z%d", addr, dst)
	case v.masked:
		v.p("VMASKMOVPS %s, Y15, Y%d", addr, dst)
	default:
		v.p("VMOVUPS %s, %s", addr, v.r(dst))
	}
}

// store writes a vector; in a tail, only lanes within.
func (v *vec) store(src int, addr string) {
	switch {
	case v.masked && v.wide:
		v.p("VMOVUPS Z%d, K1, %s", src, addr)
	case v.masked:
		v.p("VMASKMOVPS Y%d, Y15, %s", src, addr)
	default:
		v.p("VMOVUPS %s, %s", v.r(src), addr)
	}
}

// keep replaces the lanes beyond the end by those of another register, in a tail.
func (v *vec) keep(dst, other int) {
	switch {
	case v.masked && v.wide:
		v.p("VBLENDMPS Z%d, Z%d, K1, Z%d", dst, other, dst)
	case v.masked:
		v.p("VBLENDVPS Y15, Y%d, Y%d, Y%d", dst, other, dst)
	}
}

// loop runs body over CX elements, whole vectors first and the rest masked. The body finds its place at the pointers,
// each of which advances by the bytes given for an element. AX is used.
func (v *vec) loop(body func(), pointers map[string]int) {
	advance := func() {
		for _, reg := range []string{"DI", "SI", "DX", "BX", "R8", "R9"} {
			if size := pointers[reg]; size > 0 {
				v.p("ADDQ $%d, %s", size*v.lanes, reg)
			}
		}
	}
	v.p("SUBQ $%d, CX", v.lanes)
	v.p("JLT tail")
	v.p("whole:")
	body()
	advance()
	v.p("SUBQ $%d, CX", v.lanes)
	v.p("JGE whole")
	v.p("tail:")
	v.p("ADDQ $%d, CX", v.lanes)
	v.p("JLE done")
	v.mask()
	v.masked = true
	body()
	v.masked = false
	v.p("done:")
}

// mask sets the mask for CX lanes.
func (v *vec) mask() {
	if v.wide {
		v.p("MOVL $1, AX")
		v.p("SHLL CX, AX")
		v.p("DECL AX")
		v.p("KMOVW AX, K1")
		return
	}
	v.p("LEAQ masks<>+32(SB), AX")
	v.p("SHLQ $2, CX")
	v.p("SUBQ CX, AX")
	v.p("SHRQ $2, CX")
	v.p("VMOVDQU (AX), Y15")
}

// fold reduces the lanes of register a to the first, with an instruction that takes (x, y, dst); b is used.
func (v *vec) fold(op string, a, b int) {
	if v.wide {
		v.p("VEXTRACTF64X4 $1, Z%d, Y%d", a, b)
		v.p("%s Y%d, Y%d, Y%d", op, b, a, a)
	}
	v.p("VEXTRACTF128 $1, Y%d, X%d", a, b)
	v.p("%s X%d, X%d, X%d", op, b, a, a)
	v.p("VPERMILPS $0x4e, X%d, X%d", a, b)
	v.p("%s X%d, X%d, X%d", op, b, a, a)
	v.p("VPERMILPS $0xb1, X%d, X%d", a, b)
	v.p("%s X%d, X%d, X%d", op, b, a, a)
}

// end returns; AVX's upper halves must be clear before code that uses SSE.
func (v *vec) end() {
	v.p("VZEROUPPER")
	v.p("RET")
}
