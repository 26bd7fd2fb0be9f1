// Package cpu is arithmetic on plain slices for host processors: products, convolutions, attention, norms, activations.
// Activations are float32, pictures lie [batch, height, width, channels]. Weights are read block by block through an
// interface, so they may lie in a mapped file in any format.
//
// Each operation stands on three legs. Its definition is a plain loop in ref_*.go. Its schedule, that is how it is cut into
// tiles for the workers of a Pool, is portable Go. Its inner loops are functions of a path: generic in Go, avx2, avx512 and
// vnni, or on arm64 neon and dotprod, in assembly that kernels/cpu/gen writes. The path is chosen once, at start-up, from what the processor has;
// GRAPHRUN_CPU forces a lower one. Tests hold every path to the definitions.
//
// To add an operation: write its definition in ref_*.go, its exported function with a schedule, a test against the
// definition over edge shapes (as stream_test.go does), and a field of vectors for its inner loop only if profiling asks for it.
//
// Go's scheduler cannot interrupt assembly, so no call of it takes longer than about a millisecond: the longest run over a row
// of activations (a millisecond is some 500,000 values of GELU), over spanBy values, or over a block of weights (maxBlock words
// of panelColumns columns: microseconds). A cancelled operation ends after the tiles that are being computed.
//
// Results do not depend on the number of workers. Slices that are too short are a mistake of the caller and panic before
// anything is read or written; callers that take shapes from outside check them first.
package cpu

//go:generate go run ./gen
