package cpu

import "unsafe"

// worker is the memory of one worker: what it needs to compute one tile of any operation.
type worker struct {
	id        int
	args      tileArgs
	rows      []unsafe.Pointer // of activations, see tileArgs
	panel     scratch          // weights, k-major
	block     scratch          // weights as unpacked
	wide      scratch          // a panel in float32 that is narrowed
	out       scratch          // a result that cannot go to its place directly
	offset    []int32          // where each unpacked column goes in the panel
	bias      scratch
	scales    scratch                       // of a panel's groups
	sums      scratch                       // of a group
	six       [6]unsafe.Pointer             // rows to transform
	zero      [maxStrips * maxLanes]float32 // stays zero
	queries   queries
	attention attentionMemory
	rowSums   [thinRows]float32
}

// scratch is memory on a 64-byte boundary that grows and is never given back.
type scratch struct{ buf []float32 }

const slack = 64 // floats behind the end that prefetching may touch

// floats returns n floats of unknown content.
func (s *scratch) floats(n int) []float32 {
	if len(s.buf) < n {
		b := make([]float32, n+n/4+slack+16)
		skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b)))&63) / 4
		s.buf = b[skip : len(b)-slack]
	}
	return s.buf[:n]
}

// bytes returns n bytes of unknown content.
func (s *scratch) bytes(n int) []byte {
	f := s.floats((n + 3) / 4)
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(f))), n)
}

// ints returns n 32-bit integers of unknown content.
func (s *scratch) ints(n int) []int32 {
	f := s.floats(n)
	return unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(f))), n)
}
