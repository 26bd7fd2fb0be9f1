//go:build !linux

package cpu

// processors is unknown where threads cannot be pinned.
func processors() []int { return nil }

func pin(int) {}
