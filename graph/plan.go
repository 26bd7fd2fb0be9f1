package graph

import (
	"fmt"
	"slices"
)

// state is where a task is in its life.
type state uint8

const (
	idle      state = iota // nobody has asked for it, or its result was forgotten
	waiting                // for other tasks
	queued                 // can run, or be completed
	running                // its calls are under way
	succeeded              // out is there
	failed                 // it, or one that it needs
)

// task is a node in a run. Only the run's goroutine writes it; its calls read in, out of the sources and the first group.
type task struct {
	liveNode
	id    string
	spec  *Spec
	in    []source // by port of the spec, then the undeclared links of a variadic node
	bad   *Error   // why it cannot run: a link of an expansion that leads nowhere
	owner owner    // zero but in expansions

	sig    signature
	signed uint8
	life   life   // of the result
	sought bool   // on the disk
	out    *entry // from the cache, before it was asked for, or computed

	state   state
	goal    bool  // an output node that was asked for
	counted bool  // among the users of its sources: it may yet run
	near    uint8 // links to an output node that needs it: 0 is one, 3 is three or more
	order   int   // of insertion
	waits   int   // for so many sources
	users   int   // tasks that need or may need out
	waiters []waiter
	few     [1]waiter // room for most
	calls   []Output  // of an expanded task, whose results have to come
	linked  []*task   // which they come from
	same    *task     // the first task of an equal signature, if that is another
	claims  int       // of the first: equal tasks that have not ended
	flight  *task     // of the first: the one that runs, or ran, for all
	twin    *task     // the flight that this one waits for
	alone   bool      // it does not wait for equal ones any more: that was a deadlock
	open    bool      // its calls may report; guarded by run.events
	blame   *Error    // of a failed task
	untold  *untold   // nil: all has been told; guarded by run.events, only the run's goroutine sets it
}

// source is where an input's value comes from: a link, or a literal if present.
type source struct {
	from    *task
	slot    int
	port    *Port  // nil: undeclared
	name    string // of an undeclared one
	literal any
	present bool
	raw     bool // the link itself is the value
	lazy    bool
	wanted  bool // a lazy link that the node asked for; given to calls that begin later
}

// waiter is told of the end of a task that it waits for.
type waiter interface{ ended(r *run, source *task) }

// plan makes the tasks of the prompt's nodes, signs them and looks them up in the cache; those that no output needs, too:
// their results are kept. It returns the tasks of the outputs.
func (r *run) plan(outputs []string) []*task {
	r.block = make([]task, len(r.proof.places))
	links := 0
	for i := range r.block {
		t, n := &r.block[i], &r.proof.places[i]
		t.id, t.Node, t.spec = n.id, n.node, n.spec
		if !n.open { // no output needs it, so its dynamic inputs are not known yet
			t.spec = t.spec.For(n.node)
		}
		r.pinned = r.pinned || t.spec.relinks()
		links += len(t.spec.Inputs)
	}
	sources := make([]source, links)
	for i := range r.block {
		sources = r.bind(&r.block[i], sources, r.proof.places[i].to)
	}
	sigs := make([]signature, len(r.block))
	for i := range r.block {
		r.sign(&r.block[i])
		sigs[i] = r.block[i].sig
	}
	var known []*entry
	r.cache, known = r.opt.Cache.begin(sigs, r.prompt)
	ids := make([]string, 0, len(known))
	for i, e := range known {
		if t := &r.block[i]; e == nil {
			r.pair(t)
		} else {
			t.out = e
		}
	}
	goals := make([]*task, len(outputs))
	for i, id := range outputs {
		goals[i] = r.find(id)
		goals[i].goal = true
	}
	r.restoreAll(goals)
	for i := range r.block {
		if t := &r.block[i]; t.out != nil {
			ids = append(ids, t.id)
			r.show(t)
		}
	}
	r.emit(Cached{ids})
	return goals
}

// find is the task of a node of the prompt or of an expansion, or nil.
func (r *run) find(id string) *task {
	if i := r.proof.position(id); i >= 0 {
		return &r.block[i]
	}
	return r.grown.tasks[id]
}

// pair finds the first task that is equal to this one.
func (r *run) pair(t *task) {
	if first := r.first[t.sig]; first != nil {
		t.same = first
	} else {
		r.first[t.sig] = t
	}
}

// relinks reports whether the node may link to any node of the graph in an expansion.
func (s *Spec) relinks() bool {
	for i := range s.Inputs {
		if s.Inputs[i].Opts["rawLink"] == true {
			return true
		}
	}
	return slices.Contains(s.Hidden, "DYNPROMPT")
}

// bind finds the sources of a task, whose tasks are made. It takes room for them from spare and returns what is left.
// known are the nodes that its inputs link to, if validation was there.
func (r *run) bind(t *task, spare []source, known []*place) []source {
	ports := t.spec.Inputs
	if len(spare) < len(ports) {
		spare = make([]source, len(ports))
	}
	t.in, spare = spare[:len(ports):len(ports)], spare[len(ports):]
	for i := range ports {
		t.in[i].port = &ports[i]
	}
	next := 0 // most inputs stand in the order of the ports
	for k := range t.Inputs {
		in := &t.Inputs[k]
		at := -1
		for j := range ports {
			if i := (next + j) % len(ports); ports[i].Name == in.Name {
				at, next = i, i+1
				break
			}
		}
		id, slot, isLink := AsLink(in.Value)
		var from *task
		if isLink && known != nil && known[k] != nil {
			from = &r.block[known[k].at]
		} else if isLink {
			from = r.find(id)
		}
		if at < 0 {
			if isLink && t.spec.Variadic {
				s := source{name: in.Name}
				t.connect(&s, id, from, slot)
				t.in = append(t.in, s)
			}
			continue
		}
		s, p := &t.in[at], &ports[at]
		if !isLink {
			s.literal, s.present = literal(p, unwrap(in.Value)), true
			continue
		}
		if t.connect(s, id, from, slot); p.Opts["rawLink"] == true {
			s.raw, s.literal = true, in.Value
		}
		s.lazy = p.Lazy
	}
	return spare
}

func (t *task) connect(s *source, id string, from *task, slot int) {
	if s.from, s.slot = from, slot; s.from == nil {
		t.bad = &Error{
			Kind: KindLinkNowhere, Input: s.label(), Need: "a node of the graph", Have: fmt.Sprintf("a link to node %s", id),
			Hint: "the node that made this one must add that one, too",
		}
	}
}

// label is the input's name.
func (s *source) label() string {
	if s.port != nil {
		return s.port.Name
	}
	return s.name
}

// needed reports whether the task cannot begin without the source's node.
func (s *source) needed() bool { return s.from != nil && (!s.lazy || s.wanted) }

// list is what the source gives: nil if its node has no result, or not so many outputs.
func (s *source) list() (values []any, ok bool) {
	if s.from == nil || s.from.out == nil || s.slot < 0 || s.slot >= len(s.from.out.values) {
		return nil, false
	}
	return s.from.out.values[s.slot], true
}

// literal converts a constant that no validation has seen: of an expansion, or of a node that no output needs.
func literal(p *Port, v any) any {
	switch v.(type) {
	case string:
		if p.Type == "STRING" {
			return v
		}
	case int64:
		if p.Type == "INT" {
			return v
		}
	case float64:
		if p.Type == "FLOAT" {
			return v
		}
	case bool, nil:
	default:
		if !isJSONValue(v) {
			return v
		}
	}
	if v == nil {
		return v
	}
	if c, err := convert(p, v); err == nil {
		return c
	}
	return v
}
