package cpu

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
)

// Pool is a fixed set of workers, each with scratch memory of its own that is kept between calls. All operations of this
// package run on one; they take turns on it, so a Pool may be shared by goroutines. The zero Pool is not usable.
type Pool struct {
	mu      sync.Mutex // one operation at a time: it has all workers anyway, and scratch has one owner
	workers []*worker
	wake    []chan struct{} // one for each worker but the first, which is the caller's goroutine
	done    sync.WaitGroup

	job   task
	ctx   context.Context
	tiles int64
	next  atomic.Int64
	fault atomic.Pointer[any]

	shared  scratch // what one phase of an operation prepares for the next
	scales  scratch
	sums    scratch
	codes   scratch    // activations, quantized
	results scratch    // of a product, before they get their format
	parts   [3]scratch // of weights: what they are multiplied by, and one's results
	zero    []float32
	ops     operations
}

// task is an operation cut into tiles that may be computed in any order.
type task interface{ tile(t int, w *worker) }

type taskFunc func(tile, worker int)

func (f taskFunc) tile(t int, w *worker) { f(t, w.id) }

// operations holds the state of each kind of operation, so that a call allocates nothing.
type operations struct {
	product  product
	thin     thin
	rotation rotation
	cast     caster
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

// NewPool returns a pool of that many workers; 0 or less means one per core that the process may use.
func NewPool(threads int) *Pool {
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	p := &Pool{workers: make([]*worker, threads), wake: make([]chan struct{}, threads)}
	for i := range p.workers {
		p.workers[i] = &worker{id: i}
		if i > 0 {
			p.wake[i] = make(chan struct{}, 1)
			go p.serve(p.workers[i], p.wake[i])
		}
	}
	return p
}

// Threads is the number of workers.
func (p *Pool) Threads() int { return len(p.workers) }

// Close ends the workers. The pool must not be used afterwards.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.wake[1:] {
		close(c)
	}
	p.wake = p.wake[:1]
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
	n := min(len(p.wake), tiles)
	if n > 1 {
		p.done.Add(n - 1)
		for i := 1; i < n; i++ {
			p.wake[i] <- struct{}{}
		}
	}
	p.work(p.workers[0])
	p.done.Wait()
	p.job, p.ctx = nil, nil
	if f := p.fault.Swap(nil); f != nil {
		panic(*f)
	}
}

func (p *Pool) serve(w *worker, wake chan struct{}) {
	for range wake {
		p.work(w)
		p.done.Done()
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
