package cpu

import (
	"reflect"
	"sync/atomic"
	"unsafe"
)

// worker is the memory of one worker: what it needs to compute one tile of any operation.
type worker struct {
	id        int
	start     signal // raised when there is an operation
	args      tileArgs
	rows      []unsafe.Pointer // of activations, see tileArgs
	panel     scratch          // weights, k-major
	block     scratch          // weights as unpacked
	wide      scratch          // a panel in float32 that is narrowed
	out       scratch          // a result that cannot go to its place directly
	offset    []int32          // where each unpacked column goes in the panel
	bias      scratch
	scales    scratch                       // of a panel's groups
	sums      scratch                       // of a group
	up        scratch                       // of what is of low rank, packed
	six       [6]unsafe.Pointer             // rows to transform
	zero      [maxStrips * maxLanes]float32 // stays zero
	queries   queries
	attention attentionMemory
	rowSums   [thinRows]float32
}

// scratch is memory on a 64-byte boundary that grows as needed and is kept between operations.
type scratch struct {
	buf  []float32
	most int           // floats asked for at once since the last Rest that looked
	held *atomic.Int64 // bytes of all scratch of the pool
}

// floats returns n floats of unknown content.
func (s *scratch) floats(n int) []float32 {
	s.most = max(s.most, n)
	if len(s.buf) < n {
		s.drop()
		s.buf = Alloc(n + n/8)
		s.held.Add(4 * int64(len(s.buf)))
	}
	return s.buf[:n]
}

// drop gives the memory to the garbage collector.
func (s *scratch) drop() {
	s.held.Add(-4 * int64(len(s.buf)))
	s.buf = nil
}

// bytes returns n bytes of unknown content.
func (s *scratch) bytes(n int) []byte {
	f := s.floats((n + 3) / 4)
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(f))), n)
}

// ints returns n 32-bit integers of unknown content.
func (s *scratch) ints(n int) []int32 {
	f := s.floats(n)
	return unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(f))), n)
}

// scratches finds all scratch in a struct, so that none is forgotten.
func scratches(v reflect.Value) (list []*scratch) {
	if v.Type() == reflect.TypeFor[scratch]() {
		return []*scratch{(*scratch)(unsafe.Pointer(v.UnsafeAddr()))}
	}
	if v.Kind() == reflect.Struct {
		for i := range v.NumField() {
			list = append(list, scratches(v.Field(i))...)
		}
	}
	return list
}

// Scratch is the memory in bytes that the pool holds between operations.
func (p *Pool) Scratch() int64 { return p.held.Load() }

const (
	// restsToLook is after how many calls of Rest scratch is looked at: more than the steps of most pictures.
	restsToLook = 64
	// scratchToKeep is how many floats are not worth it: 1 MiB.
	scratchToKeep = 1 << 18
)

// Rest tells that a piece of work, say a forward pass, is done. Now and then scratch of which no more than a quarter was
// needed since the last time is given back.
func (p *Pool) Rest() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rests++; p.rests%restsToLook > 0 {
		return
	}
	for _, s := range p.scratch {
		if len(s.buf) > max(4*s.most, scratchToKeep) {
			s.drop()
		}
		s.most = 0
	}
}

// Trim gives all scratch back.
func (p *Pool) Trim() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.scratch {
		s.drop()
	}
}
