package cpu

import (
	"unsafe"

	cpuid "golang.org/x/sys/cpu"
)

// machinePaths lists the paths in assembly that this machine has, slowest first.
func machinePaths() (list []*path) {
	x := cpuid.X86
	if !x.HasAVX2 || !x.HasFMA {
		return nil
	}
	avx2 := &path{
		name: "avx2", lanes: 8, strips: 2, f32: tilesF32AVX2, i8: tilesInt16AVX2, double: true,
		attend: attendF32AVX2, attendInt8: attendInt16AVX2,
		peak: peaks{f32: peakF32AVX2, i8: peakInt16AVX2, f32Ops: 2 * 8 * peakChains, i8Ops: 2 * 2 * 8 * peakChains},
	}
	avx2.move(&routinesAVX2)
	avx2.vectors = routinesAVX2.vectors()
	if list = append(list, avx2.finished()); !x.HasAVX512F || !x.HasAVX512BW || !x.HasAVX512VL || !x.HasAVX512DQ {
		return list
	}
	avx512 := &path{
		name: "avx512", lanes: 16, strips: 4, f32: tilesF32AVX512, i8: tilesInt16AVX512, double: true,
		attend: attendF32AVX512, attendInt8: attendInt16AVX512,
		peak: peaks{f32: peakF32AVX512, i8: peakInt16AVX512, f32Ops: 2 * 16 * peakChains, i8Ops: 2 * 2 * 16 * peakChains},
	}
	avx512.move(&routinesAVX2)
	avx512.vectors = routinesAVX512.vectors()
	if list = append(list, avx512.finished()); !x.HasAVX512VNNI {
		return list
	}
	vnni := *avx512
	vnni.name, vnni.i8, vnni.double, vnni.offset = "vnni", tilesInt8AVX512, false, 128
	vnni.attendInt8 = attendInt8AVX512
	vnni.peak.i8, vnni.peak.i8Ops = peakInt8AVX512, 2*4*16*peakChains
	vnni.quantize = onSlice(routinesAVX512.quantize8)
	vnni.dotCodes = dotCodes(routinesAVX512.dotCodes8)
	vnni.interleave = routinesAVX2.interleave
	if x.HasAVX512BF16 {
		vnni.bf16, vnni.attendBF16 = tilesBF16AVX512, attendBF16AVX512
		vnni.peak.bf16, vnni.peak.bf16Ops = peakBF16AVX512, 2*2*16*peakChains
		vnni.narrow = func(dst, x []float32) { routinesAVX512.narrow(address(dst), address(x), len(x)) }
		vnni.pairs = func(dst, panel unsafe.Pointer, k, n int) {
			for i := range k {
				routinesAVX512.pairRows(unsafe.Add(dst, 4*i*n), unsafe.Add(panel, 8*i*n), unsafe.Add(panel, 4*(2*i+1)*n), n)
			}
		}
	}
	return append(list, vnni.finished())
}
