//go:build unix

package weights

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Release gives the memory of the mapped files back to the system; what is read later is read from disk again.
// Weights inside the program stay where they are.
func (s *Store) Release() {
	for _, m := range s.maps.mapped {
		release(m)
	}
}

// ReleaseData is Release of a tensor's Data, once they exist in another form: of the whole pages of a mapped file in it. Of
// memory that is no file's it takes nothing.
func (s *Store) ReleaseData(data []byte) {
	if len(data) == 0 {
		return
	}
	at := uintptr(unsafe.Pointer(&data[0]))
	for _, m := range s.maps.mapped {
		if len(m) == 0 {
			continue
		}
		first := uintptr(unsafe.Pointer(&m[0]))
		if at < first || at+uintptr(len(data)) > first+uintptr(len(m)) {
			continue
		}
		page := os.Getpagesize() // maps begin on a page
		from, to := (int(at-first)+page-1)/page*page, (int(at-first)+len(data))/page*page
		if from < to {
			release(m[from:to])
		}
		return
	}
}

func release(m []byte) {
	if len(m) > 0 {
		_ = unix.Madvise(m, unix.MADV_DONTNEED) // advice: nothing is wrong when it is not taken
	}
}
