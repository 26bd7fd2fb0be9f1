package cpu

import (
	"os"
	"slices"
	"unsafe"

	cpuid "golang.org/x/sys/cpu"
)

const (
	maxLanes  = 16
	maxStrips = 4 // a panel of weights is up to so many registers wide
	maxRows   = 8 // a tile has up to so many rows
	chain     = 64
)

// tileArgs is what a tile kernel gets: c[i,j] (+)= sum over taps t and words k of row[t,i][k] * b[t,k,j], for mr rows and
// nr columns. A word is 32 bits: one float32, two bfloat16 or four int8. Assembly knows the layout.
type tileArgs struct {
	rows  unsafe.Pointer // [taps][mr] pointers to rows of activations
	taps  int            // the kernel counts it down
	off   int            // bytes to add to each of them
	k     int            // words of each row
	step  int            // bytes from word to word
	b     unsafe.Pointer // panel [taps*k][nr] of words
	c     unsafe.Pointer // tile, float32; int32 for int8 words
	pitch int            // bytes from row to row of c
	init  unsafe.Pointer // nr words that every row begins with; nil: with what c holds. The kernel clears it
	_     int            // for the kernel's use
	mr    int
	nr    int
}

type tileFunc func(*tileArgs)

// tiles holds the kernels for a number of strips and of rows.
type tiles [maxStrips + 1][maxRows + 1]tileFunc

// path is one way of computing: the kernels of a set of CPU features. The shape of tiles never changes a result: each
// element is one sum of chains, in the order of k, each chain a sum of up to chain float32 words of a tap. Chains keep the
// rounding errors of long sums small: with those of 64, errors of whole pictures are two thirds of those of one chain.
type path struct {
	name   string
	lanes  int                // columns in a strip, a multiple of 8
	strips int                // most strips in a panel
	rows   [maxStrips + 1]int // most rows in a tile, by strips
	f32    tiles
	bf16   tiles // none: BF16 is computed as float32
	// i8 multiplies words of four codes, activations int8 by weights code+offset, which is 128 for uint8 and 0 for int8; of two
	// int16 codes if double.
	i8     tiles
	double bool
	offset uint8
	// The products of attention; attendBF16 is none where bf16 is, attendInt8 multiplies words as i8 does.
	attend, attendBF16, attendInt8 attends

	// transpose moves src [8][k], rows stride bytes apart, to dst: column i, xor mask, to the 8 words at dst+offset[i].
	transpose func(dst unsafe.Pointer, offset *int32, src unsafe.Pointer, stride, k int, mask uint32)
	// pairs packs float32 rows 2i and 2i+1 of a panel [2k][n] into row i of words of two bfloat16.
	pairs func(dst, panel unsafe.Pointer, k, n int)
	// interleave packs rows of n int8, stride bytes apart, into words of four codes, each + offset, or of two int16, if
	// double: the first rows into the first of the rows of words, which are pitch bytes apart, and so on.
	interleave func(dst, src unsafe.Pointer, n, words, stride, pitch int)
	// fetch brings so many lines of each row, which are pitch bytes apart, to the L1 cache: a row of results far from the
	// one before would be waited for when it is written. At least one row and line.
	fetch func(p unsafe.Pointer, rows, lines, pitch int)
	// eights copies groups of eight words of each row of src, stride bytes apart, to dst: group g of row i to its bytes
	// g*pitch + 32*i. At least one row and group.
	eights func(dst, src unsafe.Pointer, rows, groups, stride, pitch int)
	// widen turns int8 into int16, if double.
	widen func(dst []int16, src []int8)
	// unpackBits makes n times 32 codes, 16 of which take step bytes, see Packing; none: table lookups do.
	unpackBits func(dst, src unsafe.Pointer, n, step int, spread, terms unsafe.Pointer, count int, minus uint32)
	// The steps of Hadamard, none: those in Go. mixFours does steps 1 and 4 on n times 32 numbers, mixEights steps 1, 2 and 4 on
	// n times 8; mix4 and mix2 do one step, at least 16 and 8, on n blocks of so many times 4 or 2 numbers, and multiply them.
	mixFours, mixEights func(x unsafe.Pointer, n int)
	mix4, mix2          func(x unsafe.Pointer, n, step int, factor float32)
	// transposeBytes turns n times 16 rows of 8 bytes into columns, see TransposeBytes; none: words do.
	transposeBytes func(dst, src unsafe.Pointer, pitch, stride, n int)
	// scaleFloat8 is ScaleFloat8 of at least one code.
	scaleFloat8 func(dst []float32, codes []uint8, f *MiniFloat, group int, scale, zero []float32)
	vectors
	peak peaks
}

// peaks are loops of n rounds of so many operations (a product and a sum are two) that wait for nothing and load nothing.
type peaks struct {
	f32, bf16, i8          func(n int)
	f32Ops, bf16Ops, i8Ops int
}

var goPath = &path{
	name: "generic", lanes: 8, strips: 2, rows: [5]int{0, 4, 4},
	f32: allTiles(tileF32), i8: allTiles(tileInt8), offset: 128, attend: attendsGo(attendF32Go), attendInt8: attendsGo(attendInt8Go),
	transpose: transposeGo, interleave: interleaveGo, fetch: func(unsafe.Pointer, int, int, int) {}, eights: eightsGo, scaleFloat8: scaleFloat8Go,
	vectors: goVectors,
	peak:    peaks{f32: peakGo, f32Ops: 16, i8: peakInt8Go, i8Ops: 16},
}

func allTiles(f tileFunc) (t tiles) {
	for i := range t {
		for j := range t[i] {
			t[i][j] = f
		}
	}
	return t
}

// paths are those that this machine can run, slowest first; active is the one in use.
var (
	paths  = append([]*path{goPath}, machinePaths()...)
	active = choose(os.Getenv("GRAPHRUN_CPU"))
)

// choose returns the path of that name, or the best if the machine has no such path.
func choose(name string) *path {
	if i := slices.IndexFunc(paths, func(p *path) bool { return p.name == name }); i >= 0 {
		return paths[i]
	}
	return paths[len(paths)-1]
}

// Features names the path in use: generic, avx2, avx512 or vnni; on arm64 generic, neon or dotprod. GRAPHRUN_CPU in the
// environment forces a lower one than the machine's best.
func Features() string { return active.name }

// Unused names instruction sets for products that the processor has and no path uses yet: AMX.
func Unused() []string {
	var list []string
	for _, f := range []struct {
		has  bool
		name string
	}{{cpuid.X86.HasAMXTile && cpuid.X86.HasAMXInt8, "AMX int8"}, {cpuid.X86.HasAMXTile && cpuid.X86.HasAMXBF16, "AMX bfloat16"}} {
		if f.has {
			list = append(list, f.name)
		}
	}
	return list
}

// Native says whether the path in use has instructions for products of that precision; BF16 without them is computed as
// Exact.
func Native(prec Precision) bool { return prec != BF16 || active.hasBF16() }

func (p *path) hasBF16() bool { return p.bf16[1][1] != nil }

// finished fills in the sizes of the tiles.
func (p *path) finished() *path {
	for s := 1; s <= p.strips; s++ {
		for r := 1; r <= maxRows && p.f32[s][r] != nil && p.i8[s][r] != nil; r++ {
			p.rows[s] = r
		}
	}
	return p
}
