package graph

import (
	"cmp"
	"slices"
)

// A run that does several nodes at once tells its listener of them as the reference would have done them: one after
// another, in the order in which the picker of a serial run takes them. So a listener that knows of one running node is
// right. What happens out of turn is held back. Async nodes overlap for the listener too, as they do in ComfyUI.
//
// The order is that of a second, slower walk of the run: a task can be told of when all that it needs has been told of
// to its end, and of those that can be, the picker's choice is next.

// untold is what a pending task has still to tell.
type untold struct {
	parts   []part  // out of turn
	late    []*task // can only be told of after this one
	made    []*task // by its expansion, which has not been told of
	grown   bool    // it has
	then    []*task // what it needs to go on
	resumes bool    // a call of it does, before others begin
	offered bool    // it is among run.turns
	live    bool    // async, and its turn has come
	over    bool    // it has ended
}

// part is what happened between a task's begin and its end, or until it waited for another.
type part struct {
	events []Event
	ended  bool
	grows  bool    // it ended in an expansion
	waits  bool    // or in a call that waits for a lazy input
	then   []*task // what the next needs
}

// turns is where the second walk is.
type turns struct {
	queue ready
	next  []*task // those that resume
	head  *task   // told of as it happens
	part  part    // of it, without its events
}

// expect notes that there will be something to tell of a task.
func (r *run) expect(t *task) {
	if r.opt.Events == nil || r.opt.Room.Serial {
		return
	}
	r.events.Lock()
	defer r.events.Unlock()
	if t.untold == nil {
		t.untold = &untold{}
	}
	t.untold.over = false // its result was forgotten before all of it was told
}

// offer says that a task can go on.
func (r *run) offer(t *task) {
	if t.untold == nil {
		return
	}
	r.events.Lock()
	defer r.events.Unlock()
	r.place(t)
}

// place lets a task have its turn to be told of, now or after one that it needs.
func (r *run) place(t *task) {
	u := t.untold
	if u.live || r.turns.head == t && !r.turns.part.ended || r.isLate(t) {
		return
	}
	if t.queue() == freeQueue && t.spec.Async {
		u.live = true
		for _, p := range u.parts {
			r.flush(p)
		}
		if u.parts = nil; u.over {
			r.told(t)
		}
		return
	}
	if u.resumes {
		r.turns.next = append(r.turns.next, t)
		return
	}
	u.offered = true
	r.turns.queue.push(turn{t.rank(), t.order, t})
}

// isLate makes the task wait for one that it needs, if that has something to tell.
func (r *run) isLate(t *task) bool {
	if t.parent != "" {
		if u := r.find(t.parent).untold; u != nil && !u.grown {
			u.made = append(u.made, t)
			return true
		}
	}
	late := func(from *task) bool {
		if from == nil || from.untold == nil || from == t {
			return false
		}
		from.untold.late = append(from.untold.late, t)
		return true
	}
	for i := range t.in {
		if s := &t.in[i]; !s.lazy && late(s.from) {
			return true
		}
	}
	return slices.ContainsFunc(t.untold.then, late)
}

// tell passes an event of a task on, or keeps it for the task's turn. r.events is held.
func (r *run) tell(t *task, e Event) {
	switch u := t.untold; {
	case u == nil || u.live || r.turns.head == t && !r.turns.part.ended:
		r.opt.Events(e)
	case len(u.parts) == 0 || u.parts[len(u.parts)-1].ended:
		u.parts = append(u.parts, part{events: []Event{e}})
	default:
		u.parts[len(u.parts)-1].add(e)
	}
}

// add keeps an event. Of the progress of a phase its begin and its end will count, of pictures and of texts the last.
func (p *part) add(e Event) {
	alike := 0
	p.events = slices.DeleteFunc(p.events, func(old Event) bool {
		if !isAlike(old, e) {
			return false
		}
		_, progress := e.(Progress)
		alike++
		return alike > 1 || !progress
	})
	p.events = append(p.events, e)
}

func isAlike(old, e Event) bool {
	switch e := e.(type) {
	case Progress:
		o, is := old.(Progress)
		return is && o.Phase == e.Phase
	case Preview:
		o, is := old.(Preview)
		return is && (o.MIME == "text/plain") == (e.MIME == "text/plain")
	}
	return false
}

func (r *run) flush(p part) {
	for _, e := range p.events {
		r.opt.Events(e)
	}
}

// pause says that a task waits for others.
func (r *run) pause(t *task) {
	if t.untold == nil {
		return
	}
	r.events.Lock()
	defer r.events.Unlock()
	if parts := t.untold.parts; (r.turns.head != t || r.turns.part.ended) && (len(parts) == 0 || parts[len(parts)-1].ended) {
		t.untold.parts = append(parts, part{}) // it told nothing since it waited before
	}
	r.endPart(t)
}

func (r *run) endPart(t *task) {
	p := &r.turns.part
	if r.turns.head != t || p.ended {
		n := len(t.untold.parts)
		if n == 0 || t.untold.parts[n-1].ended {
			return
		}
		p = &t.untold.parts[n-1]
	}
	p.ended, p.grows, p.waits, p.then = true, t.calls != nil, t.state == running, slices.Clone(t.linked)
	for i := range t.in {
		if s := &t.in[i]; s.lazy && s.wanted {
			p.then = append(p.then, s.from)
		}
	}
}

// gone says that a task has ended.
func (r *run) gone(t *task) {
	u := t.untold
	if u == nil {
		return
	}
	r.events.Lock()
	defer r.events.Unlock()
	r.endPart(t)
	if u.over = true; u.live || r.turns.head != t && len(u.parts) == 0 {
		r.told(t)
	}
}

// told lets those have their turn who come after a task.
func (r *run) told(t *task) {
	late := append(t.untold.late, t.untold.made...)
	t.untold = nil
	r.placeAll(late)
}

func (r *run) placeAll(tasks []*task) {
	for _, t := range tasks {
		if t.untold != nil {
			r.place(t)
		}
	}
}

// takeTurns tells what can be told now.
func (r *run) takeTurns() {
	if r.opt.Events == nil || r.opt.Room.Serial {
		return
	}
	r.events.Lock()
	defer r.events.Unlock()
	for r.headDone() {
		t := r.nextTold()
		if r.turns.head = t; t == nil {
			return
		}
		r.turns.part = part{}
		if u := t.untold; len(u.parts) > 0 {
			r.turns.part, u.parts = u.parts[0], u.parts[1:]
			r.flush(r.turns.part)
			r.turns.part.events = nil
		}
	}
}

// headDone reports whether it is another's turn.
func (r *run) headDone() bool {
	h := r.turns.head
	switch {
	case h == nil || h.untold == nil:
		return true
	case r.turns.part.ended && h.untold.over && len(h.untold.parts) == 0:
		r.told(h)
		return true
	case r.turns.part.ended: // it waits, or has gone on since
		h.untold.then, h.untold.resumes = r.turns.part.then, r.turns.part.waits
		if r.turns.part.grows {
			h.untold.grown = true
			r.placeAll(h.untold.made)
		}
		r.place(h)
		return true
	}
	return h.twin != nil // an equal one runs for it, and is told of first
}

// nextTold takes the picker's choice out of the queue, nil if there is none.
func (r *run) nextTold() *task {
	for len(r.turns.next) > 0 {
		t := r.turns.next[0]
		r.turns.next = r.turns.next[1:]
		if t.untold != nil && t.untold.resumes && !r.isLate(t) {
			t.untold.resumes = false
			return t
		}
	}
	q := &r.turns.queue
	for len(*q) > 0 {
		next := (*q)[0]
		q.pop()
		u := next.task.untold
		if u == nil || !u.offered || next.rank != next.task.rank() {
			continue // it was offered again with another rank, or failed
		}
		if u.offered = false; !r.isLate(next.task) { // what it needs may run once more
			return next.task
		}
	}
	return nil
}

// tellRest tells of the nodes that ended out of turn in a run that was interrupted.
func (r *run) tellRest() {
	var rest []*task
	for t := range r.all() {
		if t.untold != nil && t.untold.over && t.state == succeeded {
			rest = append(rest, t)
		}
	}
	slices.SortFunc(rest, func(a, b *task) int { return cmp.Compare(a.order, b.order) })
	for _, t := range rest {
		for _, p := range t.untold.parts {
			r.flush(p)
		}
	}
}
