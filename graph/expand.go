package graph

import (
	"fmt"
	"iter"
	"slices"
	"strings"
)

// An expansion that expands without end is stopped here.
var (
	maxGrown   = 1_000_000 // nodes
	maxGrownID = 256 << 20 // bytes of all their ids, which grow with the depth
)

// growth is what the expansions of a run added.
type growth struct {
	tasks map[string]*task
	bytes int // of the ids
}

// displayID is the node of the prompt that stands for the task.
func (t *task) displayID() string {
	if t.display != "" {
		return t.display
	}
	return t.id
}

// expand adds the new nodes of a task's calls to the live graph and makes the task wait for those that its results
// come from.
func (r *run) expand(t *task, calls []Output) {
	var added []*task
	for i := range calls {
		g := calls[i].Expand
		if g == nil {
			continue
		}
		grown, err := r.grow(t, g)
		if err == nil && len(g.Results) != len(t.spec.Outputs) {
			err = &Error{
				Kind: KindExpansion, Need: fmt.Sprintf("%d results, one for each output", len(t.spec.Outputs)),
				Have: fmt.Sprint(len(g.Results)), Hint: hintNode,
			}
		}
		if err != nil {
			r.failed(t, err)
			return
		}
		added = append(added, grown...)
	}
	for _, n := range added {
		r.bind(n, nil, nil)
	}
	for _, n := range added {
		r.sign(n)
		if n.out = r.cache.get(n.sig, n.owner); n.out == nil {
			r.pair(n)
		}
	}
	t.state, t.calls = waiting, calls
	for _, n := range added {
		if n.spec.Output {
			n.goal = true
			t.life = max(t.life, thisProc) // what it shows or saves is not on the disk
			r.insert(n)
		}
	}
	r.link(t)
}

const hintNode = "this is a mistake in the node: please report it"

// grow adds the nodes of one expansion.
func (r *run) grow(t *task, g *Subgraph) ([]*task, *Error) {
	added := make([]*task, 0, len(g.Nodes))
	r.graph.Lock()
	defer r.graph.Unlock()
	for _, n := range g.Nodes {
		r.grown.bytes += len(n.ID)
		switch {
		case r.find(n.ID) != nil:
			return nil, &Error{Kind: KindDuplicateNode, Have: n.ID, Hint: "take ids from Call.Subgraph, which has no other call"}
		case len(r.grown.tasks) >= maxGrown || r.grown.bytes > maxGrownID:
			return nil, &Error{
				Kind: KindExpansion, Need: fmt.Sprintf("at most %d new nodes in a run", maxGrown),
				Have: fmt.Sprintf("%d, %d deep", len(r.grown.tasks), strings.Count(n.ID, ".")), Hint: "look for a loop that does not end",
			}
		case n.Node == nil || r.opt.Nodes[n.Class] == nil:
			e := &Error{Kind: KindExpansion, Need: "a known node class", Hint: hintNode}
			if n.Node != nil {
				e.Have = n.Class
			}
			return nil, e
		}
		c := &task{id: n.ID, spec: r.opt.Nodes[n.Class].For(n.Node), owner: t.owner}
		c.liveNode = liveNode{Node: n.Node, parent: t.id, display: t.displayID()}
		if t.owner == (owner{}) {
			c.owner = owner{t.id, t.Class}
		}
		if d := r.find(n.Display); d != nil {
			c.display = d.displayID()
		}
		if r.grown.tasks == nil {
			r.grown.tasks = map[string]*task{}
		}
		r.grown.tasks[n.ID] = c
		added = append(added, c)
	}
	return added, nil
}

// link makes an expanded task wait for what its results come from.
func (r *run) link(t *task) {
	for i := range t.calls {
		g := t.calls[i].Expand
		if g == nil {
			continue
		}
		for slot, v := range g.Results {
			id, _, ok := AsLink(v)
			if !ok {
				continue
			}
			from := r.find(id)
			if from == nil {
				r.failed(t, &Error{
					Kind: KindExpansion, Need: "results that are constants or links to nodes of the graph",
					Have: fmt.Sprintf("a link to node %s for output %d", id, slot), Hint: hintNode,
				})
				return
			}
			from.users++
			t.linked = append(t.linked, from)
		}
	}
	for _, from := range t.linked {
		if from.out == nil {
			r.insert(from)
		}
		r.wait(t, from)
	}
	if t.waits == 0 && t.state == waiting {
		r.enqueue(t)
	}
}

// complete gives an expanded task its outputs, all of whose sources are there.
func (r *run) complete(t *task) {
	e := newEntry(len(t.spec.Outputs))
	for i := range t.calls {
		c := &t.calls[i]
		if c.Expand == nil {
			e.add(t.spec, c)
			continue
		}
		for slot, v := range c.Expand.Results {
			id, from, ok := AsLink(v)
			if !ok {
				e.values[slot] = appendOutput(e.values[slot], &t.spec.Outputs[slot], v)
				continue
			}
			list, ok := (&source{from: r.find(id), slot: from}).list()
			if !ok {
				r.failed(t, &Error{
					Kind: KindExpansion, Need: "results that are constants or links to outputs",
					Have: fmt.Sprintf("a link to output %d of node %s, which has none such", from, id), Hint: hintNode,
				})
				return
			}
			e.values[slot] = append(e.values[slot], list...)
		}
		e.show(c.UI)
	}
	r.keep(t, e)
}

// unstick is called when tasks are pending but none can go on: two equal ones wait for each other through an expansion,
// or expansions and lazy inputs made a cycle. One task goes on, or fails.
func (r *run) unstick() {
	var first, twin *task
	for t := range r.all() {
		switch {
		case t.state != waiting && t.state != running:
		case t.twin != nil && (twin == nil || t.order < twin.order):
			twin = t
		case first == nil || t.order < first.order:
			first = t
		}
	}
	if twin != nil {
		i := slices.IndexFunc(twin.twin.waiters, func(w waiter) bool { return w == waiter(twin) })
		twin.twin.waiters = slices.Delete(twin.twin.waiters, i, i+1)
		twin.twin, twin.alone = nil, true
		if twin.waits--; twin.waits == 0 {
			r.enqueue(twin)
		}
		return
	}
	ring := r.ring(first)
	blamed := ring[0]
	if i := slices.IndexFunc(ring, func(t *task) bool { return t.parent != "" }); i >= 0 {
		blamed = ring[i]
	}
	var names []string
	for _, t := range append(ring, ring[0]) {
		names = append(names, t.id)
	}
	e := r.errorOf(blamed, cycleError(names))
	r.failures = append(r.failures, e)
	if blamed.state == waiting {
		r.fail(blamed, e)
		return
	}
	r.suspended = slices.DeleteFunc(r.suspended, func(d *demand) bool {
		if d.task != blamed {
			return false
		}
		d.waits, d.err, blamed.blame = false, e, e
		r.resumes = append(r.resumes, d)
		return true
	})
}

// all yields the tasks of the prompt and of expansions.
func (r *run) all() iter.Seq[*task] {
	return func(yield func(*task) bool) {
		for i := range r.block {
			if !yield(&r.block[i]) {
				return
			}
		}
		for _, t := range r.grown.tasks {
			if !yield(t) {
				return
			}
		}
	}
}

// ring follows what tasks wait for until it meets one again.
func (r *run) ring(t *task) []*task {
	at := map[*task]int{}
	var path []*task
	for t != nil {
		if i, again := at[t]; again {
			return path[i:]
		}
		at[t] = len(path)
		path = append(path, t)
		t = r.waitsFor(t)
	}
	return path[len(path)-1:]
}

// waitsFor is one of the tasks that a task waits for.
func (r *run) waitsFor(t *task) *task {
	for _, d := range r.suspended {
		if d.task == t {
			return d.input.from
		}
	}
	for i := range t.in {
		if s := &t.in[i]; s.needed() && s.from.out == nil {
			return s.from
		}
	}
	for _, from := range t.linked {
		if from.out == nil {
			return from
		}
	}
	return nil
}
