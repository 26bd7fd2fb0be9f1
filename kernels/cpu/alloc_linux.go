package cpu

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

const largePage = 2 << 20

// advise asks for large pages where the memory covers some: first use of it takes a fault for each page, and products of rows
// that lie apart wait for addresses to be translated.
func advise(v []float32) {
	if 4*len(v) < 2*largePage {
		return
	}
	b := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), 4*len(v))
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (largePage - 1))
	_ = unix.Madvise(b[skip:skip+(len(b)-skip)&^(largePage-1)], unix.MADV_HUGEPAGE) // advice: small pages do as well
}
