package graph

import "container/heap"

// pending is a task that waits to run.
type pending struct {
	task    *task
	order   int // of insertion
	waits   int // for so many dependencies
	waiters []*pending
}

// ready is a heap of tasks that can run, by rank of the picker, then by order of insertion.
type ready []*pending

func (q ready) Len() int { return len(q) }
func (q ready) Less(i, j int) bool {
	if q[i].task.rank != q[j].task.rank {
		return q[i].task.rank < q[j].task.rank
	}
	return q[i].order < q[j].order
}
func (q ready) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *ready) Push(x any)   { *q = append(*q, x.(*pending)) }
func (q *ready) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

// compute brings the goals and all they need to their results, in the order of executor.md section 3. A node that asks
// for a lazy input comes back here for that branch alone.
func (r *run) compute(goals []*task) *Error {
	queue := r.collect(goals)
	heap.Init(&queue)
	for len(queue) > 0 {
		p := heap.Pop(&queue).(*pending)
		if p.task.out == nil { // otherwise a lazy branch was here first
			if err := r.execute(p.task); err != nil {
				return err
			}
		}
		for _, w := range p.waiters {
			if w.waits--; w.waits == 0 {
				heap.Push(&queue, w)
			}
		}
	}
	return nil
}

// collect inserts the goals and, depth first along links that are not lazy, what they need and the cache does not hold.
// It returns those that can start.
func (r *run) collect(goals []*task) (start ready) {
	all := map[*task]*pending{}
	var inserted []*pending
	for _, goal := range goals {
		stack := []*task{goal}
		for len(stack) > 0 {
			t := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			if t.out != nil || all[t] != nil {
				continue
			}
			p := &pending{task: t, order: len(inserted)}
			all[t], inserted = p, append(inserted, p)
			if t.hit == nil {
				stack = append(stack, t.deps...)
			}
		}
	}
	for _, p := range inserted {
		if p.task.hit == nil {
			for _, d := range p.task.deps {
				if w := all[d]; w != nil {
					w.waiters = append(w.waiters, p)
					p.waits++
				}
			}
		}
		if p.waits == 0 {
			start = append(start, p)
		}
	}
	return start
}
