package device

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
)

// Arena hands out activation memory and takes it back, so that a sampling loop allocates nothing after its first step.
// Blocks are kept for reuse; a request takes the smallest free block that holds it without wasting more than half.
type Arena struct {
	mu     sync.Mutex
	dev    Device
	free   []*block // by size
	budget int64    // bytes, 0 for no limit

	held, used, peak int64 // bytes: allocated from the device, in use, most ever in use
	allocs           int64 // blocks ever taken from the device
}

type block struct {
	arena *Arena
	data  []float32
	n     int
	busy  bool
	lease atomic.Int64 // counts up when the block is put back, so that tensors left over from before are known
}

// NewArena returns an empty arena over dev; budget is in bytes, 0 for no limit: then a tensor that is larger than the
// machine's memory ends the process.
func NewArena(dev Device, budget int64) *Arena { return &Arena{dev: dev, budget: budget} }

// get returns a block of at least n values, or nil and what stood in the way.
func (a *Arena) get(n int) (*block, error) {
	if n <= 0 || n > math.MaxInt/8 {
		return nil, &ShapeError{Op: "allocate", Need: "a shape of at least one value that fits in memory", Have: "a size that does not"}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	i, _ := slices.BinarySearchFunc(a.free, n, func(b *block, n int) int { return b.n - n })
	var b *block
	if i < len(a.free) && a.free[i].n <= 2*n {
		b = a.free[i]
		a.free = slices.Delete(a.free, i, i+1)
	} else {
		need := int64(n) * 4
		if a.budget > 0 && a.held+need > a.budget {
			a.drop() // free blocks of other sizes may be what is in the way
			if a.held+need > a.budget {
				return nil, &BudgetError{Need: need, Have: a.held, Budget: a.budget}
			}
		}
		b = &block{arena: a, data: a.dev.alloc(n), n: n}
		a.held += need
		a.allocs++
	}
	b.busy = true
	a.used += int64(b.n) * 4
	a.peak = max(a.peak, a.used)
	return b, nil
}

// Room is a *BudgetError if n values on the host, a result say, would not fit beside what the arena has in use.
func (a *Arena) Room(n float64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.budget > 0 && float64(a.used)+4*n > float64(a.budget) {
		return &BudgetError{Need: int64(min(4*n, math.MaxInt64/2)), Have: a.used, Budget: a.budget}
	}
	return nil
}

// put takes a block back. Giving the same block back twice is harmless.
func (a *Arena) put(b *block) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if b == nil || !b.busy {
		return
	}
	b.busy = false
	b.lease.Add(1)
	a.used -= int64(b.n) * 4
	i, _ := slices.BinarySearchFunc(a.free, b.n, func(x *block, n int) int { return x.n - n })
	a.free = slices.Insert(a.free, i, b)
}

// Trim gives all memory that is not in use back to the garbage collector.
func (a *Arena) Trim() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.drop()
}

func (a *Arena) drop() {
	for _, b := range a.free {
		a.held -= int64(b.n) * 4
	}
	clear(a.free)
	a.free = a.free[:0]
}

// Stats is what an arena holds, in bytes.
type Stats struct {
	Held, Used, Peak int64
	Allocations      int64 // blocks ever taken from the device
}

// Stats returns the present figures.
func (a *Arena) Stats() Stats {
	a.mu.Lock()
	defer a.mu.Unlock()
	return Stats{Held: a.held, Used: a.used, Peak: a.peak, Allocations: a.allocs}
}
