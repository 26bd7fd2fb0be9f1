package sdnq

import (
	"os"

	"golang.org/x/sys/windows"
)

// lockFile says that no other process holds the file; this one then does until it closes it or ends.
func lockFile(f *os.File) bool {
	return windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, new(windows.Overlapped)) == nil
}
