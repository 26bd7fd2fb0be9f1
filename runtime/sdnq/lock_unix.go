//go:build unix

package sdnq

import (
	"os"

	"golang.org/x/sys/unix"
)

// lockFile says that no other process holds the file; this one then does until it closes it or ends.
func lockFile(f *os.File) bool { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil }
