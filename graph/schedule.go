package graph

import (
	"cmp"
	"runtime"
)

// Room is how many nodes run at once, by what they use. Zero: as many as there are processors for CPU, one for Device,
// four for IO. Output nodes run one at a time, so that what they write is numbered in order. Async nodes need no room, and
// a node that waits for a lazy input gives its own to others.
type Room struct {
	CPU, Device, IO int
	Serial          bool // one node at a time, in the order of the reference; only async nodes overlap
}

// settled is the room with its defaults.
func (o Room) settled() Room {
	o.CPU, o.Device, o.IO = cmp.Or(o.CPU, runtime.GOMAXPROCS(0)), cmp.Or(o.Device, 1), cmp.Or(o.IO, 4)
	return o
}

// busy counts the running tasks that take room and are not suspended.
type busy struct {
	by      [resources]int
	outputs int
}

// The queues of tasks that can run: those that need no room, output nodes, and the others by resource.
const (
	resources   = int(IO) + 1
	freeQueue   = resources
	outputQueue = resources + 1
	queues      = resources + 2
)

// queue is where the task waits for its turn.
func (t *task) queue() int {
	switch {
	case t.out != nil || t.calls != nil || t.spec.Async:
		return freeQueue
	case t.spec.Output:
		return outputQueue
	}
	return int(t.spec.Uses)
}

// room reports whether a task may go on.
func (r *run) room(t *task) bool {
	o, b := &r.opt.Room, &r.busy
	if o.Serial {
		return b.by[CPU]+b.by[Device]+b.by[IO] == 0
	}
	q := t.queue()
	if q == freeQueue {
		return true
	}
	most := [resources]int{CPU: o.CPU, Device: o.Device, IO: o.IO}
	return b.by[t.spec.Uses] < most[t.spec.Uses] && (q != outputQueue || b.outputs == 0)
}

// take gives a running task its room, or with -1 takes it away.
func (b *busy) take(t *task, n int) {
	q := t.queue()
	if q == freeQueue {
		return
	}
	if b.by[t.spec.Uses] += n; q == outputQueue {
		b.outputs += n
	}
}

// rank is the picker's: output nodes and async nodes first, then those that feed an output node, then those that feed
// one of these.
func (t *task) rank() uint8 {
	if t.spec.Async {
		return 0
	}
	return t.near
}

// ready is a heap of tasks that can go on, by rank, then by order of insertion.
type ready []turn

type turn struct {
	rank  uint8
	order int
	task  *task
}

func (a turn) before(b turn) bool { return a.rank < b.rank || a.rank == b.rank && a.order < b.order }

func (q *ready) push(t turn) {
	h := append(*q, t)
	i := len(h) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !t.before(h[up]) {
			break
		}
		h[i], i = h[up], up
	}
	h[i] = t
	*q = h
}

func (q *ready) pop() {
	h := *q
	last := h[len(h)-1]
	h[len(h)-1] = turn{}
	h = h[:len(h)-1]
	*q = h
	if len(h) == 0 {
		return
	}
	i := 0
	for {
		down := 2*i + 1
		if down >= len(h) {
			break
		}
		if down+1 < len(h) && h[down+1].before(h[down]) {
			down++
		}
		if !h[down].before(last) {
			break
		}
		h[i], i = h[down], down
	}
	h[i] = last
}

// enqueue lets the task have its turn.
func (r *run) enqueue(t *task) {
	t.state = queued
	r.queues[t.queue()].push(turn{t.rank(), t.order, t})
	r.offer(t)
}

// pick takes the next task out of the queues that have room; nil if there is none.
func (r *run) pick() *task {
	best := -1
	for i := range r.queues {
		q := &r.queues[i]
		for len(*q) > 0 && ((*q)[0].task.state != queued || (*q)[0].rank != (*q)[0].task.rank()) {
			q.pop() // it was queued again with another rank, or failed
		}
		if len(*q) > 0 && r.room((*q)[0].task) && (best < 0 || (*q)[0].before(r.queues[best][0])) {
			best = i
		}
	}
	if best < 0 {
		return nil
	}
	t := r.queues[best][0].task
	r.queues[best].pop()
	return t
}
