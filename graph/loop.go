package graph

import (
	"context"
	"errors"
	"slices"
	"time"
)

// message is what a call has to say to the run's goroutine: the task's end, a demand, or that it became several calls
// or less.
type message struct {
	task   *task
	done   outcome
	demand *demand
	calls  int
}

// outcome is what running a task came to: one of these.
type outcome struct {
	entry *entry
	calls []Output // of which some are expansions
	asks  []int    // the lazy inputs that CheckLazy named
	err   error
}

// demand is a call that waits for a lazy input. It has given its room to others.
type demand struct {
	task  *task
	input *source
	reply chan error
	err   *Error
	waits bool // for the source to end
}

// compute brings the goals and all they need to their results.
func (r *run) compute(goals []*task) *Error {
	defer close(r.ended)
	for _, g := range goals {
		r.insert(g)
	}
	r.settle()
loop:
	for r.pending > 0 {
		if r.ctx.Err() == nil {
			r.startAll()
		}
		if r.active == 0 {
			if r.ctx.Err() != nil {
				break loop
			}
			if r.pending > 0 {
				r.unstick()
				r.settle()
			}
			continue
		}
		select {
		case m := <-r.messages:
			r.handle(m)
			r.settle()
		case <-r.ctx.Done():
			break loop
		}
	}
	if r.pending > 0 || r.stopped != nil {
		return r.interrupt()
	}
	return r.firstFailure()
}

// startAll lets go on what can go on.
func (r *run) startAll() {
	for r.ctx.Err() == nil {
		if i := slices.IndexFunc(r.resumes, func(d *demand) bool { return r.room(d.task) }); i >= 0 {
			d := r.resumes[i]
			r.resumes = slices.Delete(r.resumes, i, i+1)
			r.busy.take(d.task, 1)
			r.active++
			d.answer()
			continue
		}
		t := r.pick()
		if t == nil {
			return
		}
		r.start(t)
		r.settle()
	}
}

// start gives a task its turn.
func (r *run) start(t *task) {
	switch {
	case t.calls != nil:
		r.complete(t)
		return
	case t.out != nil:
		r.finish(t, true)
		return
	case t.bad != nil:
		r.failed(t, t.bad)
		return
	}
	lead := t.lead()
	if f := lead.flight; f != nil && f != t && !t.alone && !r.within(t, f) {
		switch {
		case f.out != nil:
			t.out = f.out
			r.finish(t, true)
			return
		case f.state != failed && f.state != idle:
			t.twin, t.state = f, waiting
			r.wait(t, f)
			return
		}
	}
	lead.flight = t
	alone := r.active == 0 && r.idleQueues() && !t.spec.Async && (!t.asks() || t.spec.CheckLazy != nil)
	r.begin(t)
	if alone { // nothing else can happen until it is done
		r.handle(message{task: t, done: r.work(t)})
		return
	}
	go func() { r.messages <- message{task: t, done: r.work(t)} }()
}

func (r *run) idleQueues() bool {
	for i := range r.queues {
		if len(r.queues[i]) > 0 {
			return false
		}
	}
	return len(r.resumes) == 0
}

// asks reports whether a call may ask for lazy inputs.
func (t *task) asks() bool {
	return slices.ContainsFunc(t.in, func(s source) bool { return s.lazy && !s.wanted })
}

// within reports whether a task came out of the expansion of another.
func (r *run) within(t, of *task) bool {
	for t != nil && t.parent != "" {
		if t = r.find(t.parent); t == of {
			return true
		}
	}
	return false
}

// begin opens a task's calls.
func (r *run) begin(t *task) {
	t.state = running
	r.busy.take(t, 1)
	r.active++
	r.running = append(r.running, t)
	if r.opt.Events == nil {
		return
	}
	r.events.Lock()
	defer r.events.Unlock()
	t.open = true
	r.tell(t, Executing{NodeID: t.id, Display: t.displayID(), Parent: t.parent, Class: t.Class, Title: t.Title, At: time.Now()})
}

// handle takes what a call has to say.
func (r *run) handle(m message) {
	t := m.task
	switch {
	case m.demand != nil:
		r.demanded(m.demand)
		return
	case t == nil:
		r.active += m.calls
		return
	}
	r.busy.take(t, -1)
	r.active--
	i := slices.Index(r.running, t)
	r.running = slices.Delete(r.running, i, i+1)
	if r.opt.Events != nil {
		r.events.Lock()
		t.open = false
		r.events.Unlock()
	}
	switch o := &m.done; {
	case o.err != nil:
		r.failed(t, o.err)
	case o.asks != nil:
		t.state = waiting
		for _, i := range o.asks {
			s := &t.in[i]
			if s.wanted = true; s.from.out == nil {
				r.insert(s.from)
			}
		}
		if r.await(t); t.state == waiting && t.waits == 0 {
			r.enqueue(t)
		}
	case o.calls != nil:
		r.expand(t, o.calls)
	default:
		r.keep(t, o.entry)
	}
	if t.state != succeeded && t.state != failed {
		r.pause(t)
	}
}

// keep takes the result of a task that ran.
func (r *run) keep(t *task, e *entry) {
	e.owner, e.by, e.life = t.owner, t.id, t.lasts()
	t.out = e
	r.cache.put(t.sig, e)
	r.executed = append(r.executed, t.id)
	r.finish(t, false)
}

// show puts what a task's result shows into the run's.
func (r *run) show(t *task) {
	if t.out.ui == nil {
		return
	}
	r.result.UI[t.id] = t.out.ui
	if by := t.out.by; by != "" && by != t.id {
		r.result.By[t.id] = by
	}
}

func (r *run) finish(t *task, cached bool) {
	r.show(t)
	if r.opt.Events != nil {
		r.emitOf(t, Executed{NodeID: t.id, Display: t.displayID(), UI: t.out.ui, Cached: cached, At: time.Now()})
	}
	r.leave(t, succeeded)
	r.release(t)
}

// failed ends a task with its own error, unless that is the interrupt or comes from a lazy input that failed.
func (r *run) failed(t *task, err error) {
	if r.ctx.Err() != nil && (errors.Is(err, r.ctx.Err()) || errors.Is(err, context.Cause(r.ctx))) {
		if r.stopped == nil {
			r.stopped = t
		}
		r.fail(t, nil)
		return
	}
	if t.blame != nil && errors.Is(err, t.blame) {
		r.fail(t, t.blame)
		return
	}
	e := r.errorOf(t, err)
	r.failures = append(r.failures, e)
	r.fail(t, e)
}

// errorOf is an error of the node that stands for the task in the prompt.
func (r *run) errorOf(t *task, err error) *Error {
	shown := r.find(t.displayID())
	e := asError(err, shown.id, shown.Class, shown.Title)
	e.inputs = t.inputs()
	if shown != t {
		e.Within = t.id + " (" + t.Class + ")"
	}
	return e
}

// demanded suspends a call until a lazy input is there.
func (r *run) demanded(d *demand) {
	t, from := d.task, d.input.from
	if t.state != running {
		d.reply <- errLate
		return
	}
	d.input.wanted, d.waits = true, true
	r.busy.take(t, -1)
	r.active--
	r.suspended = append(r.suspended, d)
	r.pause(t)
	if from.state == idle && from.out == nil {
		r.insert(from)
	}
	if from.out != nil || from.state == failed {
		d.ended(r, from)
		return
	}
	from.waiters = append(from.waiters, d)
	r.nearer(from, t.near+1)
}

// ended is told that the lazy input's node has a result or failed.
func (d *demand) ended(r *run, source *task) {
	if !d.waits {
		return
	}
	d.waits = false
	i := slices.Index(r.suspended, d)
	r.suspended = slices.Delete(r.suspended, i, i+1)
	if source.state == failed {
		d.err, d.task.blame = source.blame, source.blame
	}
	r.resumes = append(r.resumes, d)
	r.offer(d.task)
}

func (d *demand) answer() {
	if d.err != nil {
		d.reply <- d.err
	}
	close(d.reply)
}

// interrupt ends the run: it waits for the calls under way, whose context has ended.
func (r *run) interrupt() *Error {
	t := r.stopped
	if t == nil && len(r.running) > 0 {
		t = r.running[0]
	}
	if t == nil {
		t = r.pick()
	}
	e := &Error{Kind: KindInterrupted, Err: context.Cause(r.ctx)}
	if t != nil {
		t = r.find(t.displayID())
		e.Node, e.Class, e.Title = t.id, t.Class, t.Title
	}
	for {
		for _, d := range append(r.suspended, r.resumes...) {
			r.busy.take(d.task, 1)
			r.active++
			d.reply <- r.ctx.Err()
			close(d.reply)
		}
		for _, d := range r.suspended {
			d.waits = false
		}
		r.suspended, r.resumes = nil, nil
		if r.active == 0 {
			return e
		}
		r.handle(<-r.messages)
		r.settle()
	}
}
