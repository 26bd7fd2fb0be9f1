//go:build unix

package cpu

import (
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// guarded returns a copy of v that ends where no memory is, or begins there if front: an access outside ends the test.
func guarded[T any](t testing.TB, v []T, front bool) []T {
	t.Helper()
	size, page := len(v)*int(unsafe.Sizeof(*new(T))), unix.Getpagesize()
	room := (size + page - 1) / page * page
	all, err := unix.Mmap(-1, 0, room+2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Munmap(all); err != nil {
			t.Error(err)
		}
	})
	for _, wall := range [][]byte{all[:page], all[page+room:]} {
		if err := unix.Mprotect(wall, unix.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	start := page
	if !front {
		start += room - size
	}
	out := unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(all[start:]))), len(v))
	copy(out, v)
	return out
}
