package graph

// insert asks for a task: it and, depth first along links that are not lazy, all it needs that is not there, in the
// order of executor.md 3.
func (r *run) insert(goal *task) {
	r.count(goal)
	stack := append(r.stack[:0], goal)
	inserted := r.inserted[:0]
	for len(stack) > 0 {
		t := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if t.state != idle {
			continue
		}
		t.state, t.order = waiting, r.order
		r.order++
		r.pending++
		r.expect(t)
		inserted = append(inserted, t)
		if t.near = 3; t.spec.Output {
			t.near = 0
		}
		if r.restore(t) {
			continue // only to be shown again
		}
		for i := range t.in {
			if s := &t.in[i]; s.needed() && !r.restore(s.from) {
				stack = append(stack, s.from)
			}
		}
	}
	for _, t := range inserted {
		if t.out == nil {
			r.await(t)
		}
		if t.waits == 0 && t.state == waiting {
			r.enqueue(t)
		}
	}
	r.stack, r.inserted = stack, inserted
}

// await makes the task wait for its sources that are not there. One that has failed fails it.
func (r *run) await(t *task) {
	for i := range t.in {
		if s := &t.in[i]; s.needed() {
			r.wait(t, s.from)
		}
	}
}

// wait makes a waiting task wait for another that was inserted, if that is not there.
func (r *run) wait(t, source *task) {
	switch {
	case t.state != waiting || source.out != nil:
	case source.state == failed:
		r.fail(t, source.blame)
	default:
		t.waits++
		if source.waiters == nil {
			source.waiters = source.few[:0]
		}
		source.waiters = append(source.waiters, t)
		r.nearer(source, t.near+1)
	}
}

// nearer tells a pending task that one closer to an output node needs it.
func (r *run) nearer(t *task, near uint8) {
	if near >= t.near || t.state == idle {
		return
	}
	if t.near = near; t.state == queued {
		r.enqueue(t)
	} else if t.untold != nil && t.untold.offered {
		r.offer(t)
	}
	for i := range t.in {
		if s := &t.in[i]; s.needed() && s.from.out == nil {
			r.nearer(s.from, near+1)
		}
	}
}

// ended is told that a source has a result or failed.
func (t *task) ended(r *run, source *task) {
	if t.state != waiting {
		return // failed by another source
	}
	t.waits--
	if t.twin == source {
		t.twin = nil // if it failed, this one runs itself
	} else if source.state == failed {
		r.fail(t, source.blame)
		return
	}
	if t.waits == 0 {
		r.enqueue(t)
	}
}

// fail ends a task because of an error, its own or that of a node it needs.
func (r *run) fail(t *task, blame *Error) {
	if t.state == failed {
		return
	}
	t.blame = blame
	r.leave(t, failed)
}

// leave takes a task out of the pending ones; settle tells those that wait for it.
func (r *run) leave(t *task, end state) {
	t.state, t.calls = end, nil
	r.pending--
	r.over = append(r.over, t)
	for _, from := range t.linked {
		from.users--
		r.release(from)
	}
	r.gone(t)
	t.linked = nil
	r.uncount(t)
}

// settle tells the waiters of all tasks that ended. A list, not recursion: a failure may end a million tasks.
func (r *run) settle() {
	for len(r.over) > 0 {
		t := r.over[len(r.over)-1]
		r.over = r.over[:len(r.over)-1]
		waiters := t.waiters
		t.waiters = nil
		for _, w := range waiters {
			w.ended(r, t)
		}
	}
	r.takeTurns()
}

// count makes the task and all that it may need, lazily or not, users of their sources, so that no result is forgotten
// before the last one that may need it ends.
func (r *run) count(t *task) {
	stack := append(r.reached[:0], t)
	for len(stack) > 0 {
		t := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if t.counted || t.out != nil {
			continue
		}
		t.counted = true
		t.lead().claims++
		for i := range t.in {
			if from := t.in[i].from; from != nil {
				from.users++
				stack = append(stack, from)
			}
		}
	}
	r.reached = stack
}

// uncount takes it back: the task ended. So will those that were only there for it and were never asked for.
func (r *run) uncount(t *task) {
	stack := append(r.reached[:0], t)
	for len(stack) > 0 {
		t := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if !t.counted {
			continue
		}
		t.counted = false
		for i := range t.in {
			from := t.in[i].from
			if from == nil {
				continue
			}
			if from.users--; from.users == 0 && from.state == idle && !from.goal {
				stack = append(stack, from)
			}
			r.release(from)
		}
		lead := t.lead()
		if lead.claims--; lead.flight != nil {
			r.release(lead.flight)
		}
	}
	r.reached = stack
}

// release forgets the result of a task that nothing needs any more, if the cache says so.
func (r *run) release(t *task) {
	if t.out == nil || t.users > 0 || t.goal || t.lead().claims > 0 || r.pinned && t.parent == "" {
		return
	}
	if r.cache.unused(t.sig) {
		t.out, t.state, t.sought = nil, idle, false
	}
}

// lead is the first task of those that are equal to this one.
func (t *task) lead() *task {
	if t.same != nil {
		return t.same
	}
	return t
}
