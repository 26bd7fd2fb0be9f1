package cpu

import cpuid "golang.org/x/sys/cpu"

// machinePaths lists the paths in assembly that this machine has, slowest first: Advanced SIMD, which every arm64 has, and
// with it the dot product of signed bytes (FEAT_DotProd: Apple from M1 on, Graviton from 2 on, Raspberry Pi 5).
func machinePaths() []*path {
	r := &routinesNEON
	neon := &path{
		name: "neon", lanes: 8, strips: 2, f32: tilesF32NEON, i8: tilesInt16NEON, double: true,
		attend: attendF32NEON, attendInt8: attendInt16NEON,
		peak: peaks{f32: peakF32NEON, i8: peakInt16NEON, f32Ops: 2 * 4 * peakChains, i8Ops: 2 * 2 * 4 * peakChains},
	}
	neon.move(r)
	neon.vectors = r.vectors()
	list := []*path{neon.finished()}
	if !cpuid.ARM64.HasASIMDDP {
		return list
	}
	dot := *neon
	dot.name, dot.i8, dot.double, dot.attendInt8 = "dotprod", tilesInt8NEON, false, attendInt8NEON
	dot.peak.i8, dot.peak.i8Ops = peakInt8NEON, 2*4*4*peakChains
	dot.quantize = onSlice(r.quantize8)
	dot.dotCodes = dotCodes(r.dotCodes8)
	dot.interleave = r.interleave
	return append(list, &dot)
}
