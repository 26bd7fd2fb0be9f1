package main

import "runtime/debug"

// tuneMemory keeps the process small. Weights are mapped and activations come from an arena, so little garbage is made
// and collecting it early costs next to nothing; the usual doubling of the heap before each collection would cost memory.
func tuneMemory() {
	debug.SetGCPercent(50)
}
