//go:build unix

package weights

import "golang.org/x/sys/unix"

// Release gives the memory of the mapped files back to the system; what is read later is read from disk again.
// Weights inside the program stay where they are.
func (s *Store) Release() {
	for _, m := range s.maps.mapped {
		if len(m) > 0 {
			_ = unix.Madvise(m, unix.MADV_DONTNEED) // advice: nothing is wrong when it is not taken
		}
	}
}
