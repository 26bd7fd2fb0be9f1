//go:build !linux

package main

// machineMemory is unknown here.
func machineMemory() (total, free int64) { return 0, 0 }
