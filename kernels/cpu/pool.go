package cpu

import (
	"context"
	"fmt"
	"reflect"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Pool is a fixed set of workers, each with scratch memory of its own that is kept between calls. All operations of this
// package run on one; they take turns on it, so a Pool may be shared by goroutines. The zero Pool is not usable.
//
// The first worker is the goroutine that calls; the others have goroutines of their own. Where there are as many workers as
// processors that the process may use, each of those is on a thread of its own and pinned to a processor, so that none leaves
// its caches; with fewer, the system knows better which processors are free. The caller's goroutine is not ours to pin.
type Pool struct {
	mu      sync.Mutex // one operation at a time: it has all workers anyway, and scratch has one owner
	workers []*worker
	closed  bool

	job   task
	ctx   context.Context
	tiles int64
	fault atomic.Pointer[any]
	_     [64]byte // what follows is written while workers read the above
	next  atomic.Int64
	left  atomic.Int32 // workers that have not ended, the caller's goroutine included
	done  signal       // raised by the last to end, unless that is the caller's goroutine
	_     [64]byte

	shared   scratch // what one phase of an operation prepares for the next
	scales   scratch
	sums     scratch
	codes    scratch // activations, quantized
	results  scratch // of a product, before they get their format
	unfolded scratch // rows of an im2col matrix
	down     scratch // the first factor of what of weights is of low rank, packed
	low      scratch // activations multiplied by it
	zero     []float32
	scratch  []*scratch   // all there is
	held     atomic.Int64 // bytes of it
	rests    int
	ops      operations
}

// task is an operation cut into tiles that may be computed in any order.
type task interface{ tile(t int, w *worker) }

type taskFunc func(tile, worker int)

func (f taskFunc) tile(t int, w *worker) { f(t, w.id) }

// operations holds the state of each kind of operation, so that a call allocates nothing.
type operations struct {
	product  product
	thin     thin
	ready    ready
	packing  packing
	cast     caster
	unfold   unfold
	winograd winograd
	int8     int8Product
	grouped  grouped
	quant    quantize
	boxes    boxes
	attn     attention
	means    keyMeans
	rows     rowwise
	token    tokenwise
	group    groupNorm
	move     mover
	resize   resizer
}

// patience is how long an idle worker looks for the next operation of a network at most before it sleeps.
const patience = 50 * time.Microsecond

// NewPool returns a pool of that many workers; 0 or less means one per core that the process may use: GOMAXPROCS, which
// follows the affinity mask and the limit of a control group, a fraction of a core rounded up.
func NewPool(threads int) *Pool {
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	own, look := processors(), patience
	if threads > runtime.GOMAXPROCS(0) || own != nil && threads > len(own) {
		look = 0 // it would keep others from working
	}
	p := &Pool{workers: make([]*worker, threads), done: newSignal(look)}
	for i := range p.workers {
		p.workers[i] = &worker{id: i, start: newSignal(look)}
		if i > 0 {
			processor := -1
			if threads == len(own) {
				processor = own[i]
			}
			go p.serve(p.workers[i], processor)
		}
	}
	p.scratch = scratches(reflect.ValueOf(p).Elem())
	for _, w := range p.workers {
		p.scratch = append(p.scratch, scratches(reflect.ValueOf(w).Elem())...)
	}
	for _, s := range p.scratch {
		s.held = &p.held
	}
	return p
}

// Threads is the number of workers.
func (p *Pool) Threads() int { return len(p.workers) }

// Close ends the workers. The pool must not be used afterwards.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.closed = true
		for _, w := range p.workers[1:] {
			w.start.raise()
		}
	}
}

// Run calls f(tile, worker) once for each tile in 0..tiles-1, on all workers at once, and returns when all have returned.
// Tiles are handed out in order through one counter; when ctx is done no further tile is handed out. f must not call
// operations of the same pool. A panic in f is raised again in the caller.
func (p *Pool) Run(ctx context.Context, tiles int, f func(tile, worker int)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.run(ctx, tiles, taskFunc(f))
}

// run is Run for the owner of the lock.
func (p *Pool) run(ctx context.Context, tiles int, t task) {
	p.job, p.ctx, p.tiles = t, ctx, int64(tiles)
	p.next.Store(0)
	helpers := p.workers[1:max(1, min(len(p.workers), tiles))]
	p.left.Store(int32(1 + len(helpers)))
	for _, w := range helpers {
		w.start.raise()
	}
	p.work(p.workers[0])
	ended := int32(1)
	for _, w := range helpers { // one that the system has no processor for is not waited for
		if w.start.withdraw() {
			ended++
		}
	}
	if p.left.Add(-ended) > 0 {
		p.done.wait()
	}
	p.job, p.ctx = nil, nil
	if f := p.fault.Swap(nil); f != nil {
		panic(*f)
	}
}

// serve computes what there is until the pool is closed, on one processor if that is not negative.
func (p *Pool) serve(w *worker, processor int) {
	if processor >= 0 {
		pin(processor)
	}
	for {
		w.start.wait()
		if p.closed {
			return
		}
		p.work(w)
		if p.left.Add(-1) == 0 {
			p.done.raise()
		}
	}
}

// work computes tiles until none is left.
func (p *Pool) work(w *worker) {
	defer func() {
		if r := recover(); r != nil {
			p.next.Store(p.tiles)
			p.fault.CompareAndSwap(nil, &r)
		}
	}()
	done := p.ctx.Done()
	for {
		t := p.next.Add(1) - 1
		if t >= p.tiles {
			return
		}
		select {
		case <-done:
			return
		default:
		}
		p.job.tile(int(t), w)
	}
}

// check panics if a slice is shorter than an operation needs: callers above check shapes and report them with names, so
// this is a mistake in the program, caught before assembly reads or writes past the end.
func check(op, what string, have, need int) {
	if have < need || need < 0 {
		panic(fmt.Sprintf("cpu.%s: %s has %d elements, needs %d", op, what, have, need))
	}
}
