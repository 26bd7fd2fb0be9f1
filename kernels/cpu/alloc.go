package cpu

import "unsafe"

const slack = 64 // floats behind the end that prefetching may touch

// Alloc returns n zeros on a 64-byte boundary, on large pages where they pay and the system has them.
func Alloc(n int) []float32 {
	b := make([]float32, n+slack+16)
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b)))&63) / 4
	b = b[skip:][:n:n]
	advise(b)
	return b
}
