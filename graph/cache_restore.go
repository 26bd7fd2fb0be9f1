package graph

// life is how long a result may be used.
type life uint8

const (
	always   life = iota // by any process that finds its signature
	thisProc             // not from the disk: what made it does not give the same again
	thisRun              // its signature equals no other
)

// lasts is how long a task's result may be used: no longer than those that it needed.
func (t *task) lasts() life {
	l := t.life
	for i := range t.in {
		if from := t.in[i].from; from != nil && from.out != nil {
			l = max(l, from.out.life)
		}
	}
	for _, from := range t.linked {
		if from.out != nil && from.out.life == thisProc { // what equals no other may still be part of what does
			l = max(l, thisProc)
		}
	}
	return l
}

// restore takes the task's result from the disk, once, if it is not there yet. It reports whether it is there.
func (r *run) restore(t *task) bool {
	if t.out == nil && !t.sought && t.life == always && r.cache.cache.disk != nil {
		t.sought = true
		t.out = r.cache.load(t.sig, t.owner)
	}
	return t.out != nil
}

// restoreAll does so for the goals and, as far as they are not on the disk, for all that they need.
func (r *run) restoreAll(goals []*task) {
	if r.cache.cache.disk == nil {
		return
	}
	seen := map[*task]bool{}
	for stack := append([]*task(nil), goals...); len(stack) > 0; {
		t := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if seen[t] || r.restore(t) {
			continue
		}
		seen[t] = true
		for i := range t.in {
			if s := &t.in[i]; s.needed() {
				stack = append(stack, s.from)
			}
		}
	}
}

// load reads a result from the disk and keeps it as one of the run.
func (v *cacheView) load(s signature, o owner) *entry {
	e := v.cache.disk.get(s)
	if e == nil {
		return nil
	}
	e.owner = o
	v.keep(s, e)
	return e
}
