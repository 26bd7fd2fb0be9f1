package cpu

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// processors lists those that this process may use, nil if the system does not tell.
func processors() (list []int) {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil {
		return nil
	}
	for i := range 8 * int(unsafe.Sizeof(set)) {
		if set.IsSet(i) {
			list = append(list, i)
		}
	}
	return list
}

// pin keeps the calling goroutine on a thread of its own, and that on one processor; both end with the goroutine. No other
// thread inherits the processor: Go starts none from a thread that is locked.
func pin(processor int) {
	runtime.LockOSThread()
	var set unix.CPUSet
	set.Set(processor)
	_ = unix.SchedSetaffinity(0, &set) // where it is forbidden, the system chooses
}
