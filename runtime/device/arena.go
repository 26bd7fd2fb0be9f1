package device

import (
	"math"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
)

// Arena hands out activation memory and takes it back, so that a sampling loop allocates nothing after its first step. It
// takes large chunks from the device and hands out parts of them: a tensor gets the smallest gap that holds it, and what is
// given back joins the gaps beside it, so that little more is held than a pass has in use at its fullest.
type Arena struct {
	mu     sync.Mutex
	turn   chan struct{} // holds a value while a pass is open: one at a time, so that memory is that of one
	dev    Device
	chunks []*chunk
	spare  []*block // given back, to be used again
	budget int64    // bytes, 0 for no limit
	unit   int      // values of a chunk, unless a tensor is larger
	grain  int      // what sizes are rounded up to, in values

	held, used, peak int64 // bytes: allocated from the device, in use, most ever in use
	allocs           int64 // chunks ever taken from the device
}

// chunk is memory of the device.
type chunk struct {
	data []float32 // nil on a device without data
	n    int
	gaps []gap // in order, none beside another
}

type gap struct{ at, n int }

// block is the memory of a tensor.
type block struct {
	arena *Arena
	chunk *chunk
	at    int       // in the chunk
	size  int       // of what was taken of the chunk
	data  []float32 // n values
	n     int
	busy  bool
	lease atomic.Int64 // counts up when the block is put back, so that tensors left over from before are known
}

const (
	chunkValues = 8 << 20 // 32 MiB
	pageValues  = 1 << 10 // no two tensors share a page of memory
	collectFrom = 4 << 20 // values that are worth a collection: 16 MiB
)

// NewArena returns an empty arena over dev; budget is in bytes, what the device's operations hold between calls included, 0 for
// no limit: then a tensor that is larger than the machine's memory ends the process.
func NewArena(dev Device, budget int64) *Arena {
	return &Arena{turn: make(chan struct{}, 1), dev: dev, budget: budget, unit: chunkValues, grain: pageValues}
}

// get returns a block of n values, or nil and what stood in the way.
func (a *Arena) get(n int) (*block, error) {
	if n <= 0 || n > math.MaxInt/8 {
		return nil, &ShapeError{Op: "allocate", Need: "a shape of at least one value that fits in memory", Have: "a size that does not"}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	size := (n + a.grain - 1) / a.grain * a.grain
	c, i := a.find(size)
	if c == nil {
		var err error
		if c, err = a.grow(n, size); err != nil {
			return nil, err
		}
		size = min(size, c.n)
	}
	g := &c.gaps[i]
	b := a.block()
	b.chunk, b.at, b.size, b.n, b.busy = c, g.at, size, n, true
	if c.data != nil {
		b.data = c.data[b.at : b.at+n : b.at+n]
	}
	if g.at, g.n = g.at+size, g.n-size; g.n == 0 {
		c.gaps = slices.Delete(c.gaps, i, i+1)
	}
	a.used += 4 * int64(n)
	a.peak = max(a.peak, a.used)
	return b, nil
}

// find returns the smallest gap that holds so many values, nil if none does.
func (a *Arena) find(size int) (best *chunk, at int) {
	for _, c := range a.chunks {
		for i, g := range c.gaps {
			if g.n >= size && (best == nil || g.n < best.gaps[at].n) {
				best, at = c, i
			}
		}
	}
	return best, at
}

// grow takes a chunk from the device that holds size values, or the n that are needed if the budget holds no more. Chunks
// grow with what is held, up to the unit; those that nothing is in are given back, since they were too small.
func (a *Arena) grow(n, size int) (*chunk, error) {
	a.drop()
	take := max(size, min(a.unit, max(a.unit/256, int(a.held/4))))
	if a.over(take) {
		take = size
	}
	if a.over(take) {
		take = n
	}
	if a.over(take) { // what earlier operations needed may be in the way
		a.dev.rest(true)
		if a.over(take) {
			return nil, &BudgetError{Need: 4 * int64(n), Have: a.used, Budget: a.budget}
		}
	}
	c := &chunk{data: a.dev.alloc(take), n: take, gaps: []gap{{0, take}}}
	a.chunks = append(a.chunks, c)
	a.held += 4 * int64(take)
	a.allocs++
	return c, nil
}

// block is one to describe memory with.
func (a *Arena) block() *block {
	if last := len(a.spare) - 1; last >= 0 {
		b := a.spare[last]
		a.spare = a.spare[:last]
		return b
	}
	return &block{arena: a}
}

// over says that so many values more would exceed the budget.
func (a *Arena) over(n int) bool {
	return a.budget > 0 && float64(a.held+a.dev.scratch())+4*float64(n) > float64(a.budget)
}

// Room is a *BudgetError if n values on the host, a result say, would not fit beside what the arena has in use.
func (a *Arena) Room(n float64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.budget > 0 && float64(a.used+a.dev.scratch())+4*n > float64(a.budget) {
		return &BudgetError{Need: int64(min(4*n, math.MaxInt64/2)), Have: a.used + a.dev.scratch(), Budget: a.budget}
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
	a.used -= 4 * int64(b.n)
	b.chunk.put(gap{b.at, b.size})
	b.chunk, b.data = nil, nil
	a.spare = append(a.spare, b)
}

// put adds a gap, joined with those beside it.
func (c *chunk) put(g gap) {
	i, _ := slices.BinarySearchFunc(c.gaps, g.at, func(x gap, at int) int { return x.at - at })
	if i < len(c.gaps) && g.at+g.n == c.gaps[i].at {
		g.n += c.gaps[i].n
		c.gaps = slices.Delete(c.gaps, i, i+1)
	}
	if i > 0 && c.gaps[i-1].at+c.gaps[i-1].n == g.at {
		c.gaps[i-1].n += g.n
	} else {
		c.gaps = slices.Insert(c.gaps, i, g)
	}
}

// Trim gives all memory that is not in use back to the garbage collector, the device's scratch too.
func (a *Arena) Trim() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.drop()
	a.dev.rest(true)
}

// drop lets go of the chunks that nothing is in.
func (a *Arena) drop() {
	freed := 0
	a.chunks = slices.DeleteFunc(a.chunks, func(c *chunk) bool {
		empty := len(c.gaps) == 1 && c.gaps[0].n == c.n
		if empty {
			a.held -= 4 * int64(c.n)
			freed += len(c.data)
		}
		return empty
	})
	if freed >= collectFrom {
		debug.FreeOSMemory() // else the next collection may come when twice as much is held
	}
}

// Stats is what an arena holds, in bytes.
type Stats struct {
	Held, Used, Peak int64
	Allocations      int64 // chunks ever taken from the device
}

// Stats returns the present figures.
func (a *Arena) Stats() Stats {
	a.mu.Lock()
	defer a.mu.Unlock()
	return Stats{Held: a.held, Used: a.used, Peak: a.peak, Allocations: a.allocs}
}

// Scratch is what the device's operations hold between calls, in bytes: it counts against the budget too.
func (a *Arena) Scratch() int64 { return a.dev.scratch() }
