//go:build unix

package hub

import (
	"errors"
	"syscall"
)

// lives reports whether there is a process of the id.
func lives(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}
