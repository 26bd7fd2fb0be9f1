package graph

import (
	"context"
	"encoding/json"
	"slices"
	"sync"

	"github.com/google/uuid"
)

// Options says how to run a prompt. The zero value runs the registered nodes without services, cache and listener.
type Options struct {
	Nodes        Library                    // nil: the registered nodes
	Env          *Env                       // services of the nodes
	Cache        *Cache                     // results of earlier runs; nil: this run has its own
	Events       func(Event)                // called in order, from one goroutine at a time
	RunID        string                     // empty: a new UUID
	Targets      []string                   // run only these output nodes, in this order of insertion; nil: all, in the prompt's
	Partial      bool                       // run the valid output nodes even if others are not
	ExtraPNGInfo map[string]json.RawMessage // handed to the nodes
	AuthToken    string                     // of comfy.org, for nodes that ask for the hidden input; mostly empty
	APIKey       string
	Room         Room // how many nodes run at once
}

// Result is what a run gave.
type Result struct {
	RunID    string
	UI       map[string]UI     // by node what it shows; of those too that did not have to run, if the cache had it
	By       map[string]string // by node whose result another one of equal inputs computed, in this run or before: that one
	Invalid  *ValidationError  // what was left out, with Options.Partial
	Failures []*Error          // of all nodes that failed; the first is Run's error
	run      *run
}

// Values returns what an output slot of a node gave in the run, one value unless lists flow through the graph;
// nil if the node did not have to run, or if the cache keeps nothing and no node needs the values any more.
func (r *Result) Values(node string, slot int) []any {
	t := r.run.find(node)
	if t == nil || t.out == nil || slot < 0 || slot >= len(t.out.values) {
		return nil
	}
	return t.out.values[slot]
}

// Run validates the prompt, converting its constants in place, and runs its output nodes and all they need.
//
// The error is a *ValidationError before anything has run, or an *Error: of KindInterrupted if ctx ended, otherwise of
// the first node in the prompt's order that failed. A failed node fails those that need it, the others still run. With
// the error of a run comes the Result so far.
func Run(ctx context.Context, p *Prompt, o Options) (*Result, error) {
	if o.Nodes == nil {
		o.Nodes = Registered()
	}
	if o.Cache == nil {
		o.Cache = &Cache{}
	}
	if o.RunID == "" {
		o.RunID = uuid.NewString()
	}
	o.Room = o.Room.settled()
	v := &validation{prompt: p, library: o.Nodes, env: o.Env}
	outputs, problems := v.prove(o.Targets)
	if problems != nil && (!o.Partial || len(outputs) == 0) {
		return nil, problems
	}
	if problems == nil {
		if err := v.refuseConstants(); err != nil && !o.Partial {
			return nil, err
		}
	}
	slices.SortStableFunc(outputs, func(a, b string) int { return slices.Index(o.Targets, a) - slices.Index(o.Targets, b) })
	r := newRun(ctx, v, o)
	r.result.Invalid = problems
	r.emit(Start{o.RunID})
	goals := r.plan(outputs)
	defer r.cache.end()
	if err := r.compute(goals); err != nil {
		if err.Kind == KindInterrupted {
			r.tellRest()
			r.emit(Interrupted{NodeID: err.Node, Executed: r.executed})
		} else {
			r.emit(Failed{Err: err, Executed: r.executed})
		}
		return r.result, err
	}
	r.emit(Done{o.RunID})
	return r.result, nil
}

// run is one run. All but what its nodes do is done by one goroutine, the one that called Run; what they share with it
// is said at the fields.
type run struct {
	ctx      context.Context
	prompt   *Prompt
	opt      Options
	result   *Result
	cache    *cacheView
	executed []string // ids of the nodes that ran, not those taken from the cache

	proof  *validation
	block  []task       // of the nodes of the prompt, in its order
	graph  sync.RWMutex // guards grown: writing, and reading by nodes
	dyn    *DynPrompt
	first  map[signature]*task // of those that the cache did not know
	grown  growth
	pinned bool   // nodes may link to any node of the prompt later
	buffer []byte // of sign
	salt   string // what no other run has
	nevers int    // signatures made that equal no other

	events sync.Mutex // guards the listener, task.open, task.untold and turns
	turns  turns

	queues          [queues]ready
	busy            busy
	suspended       []*demand // calls that wait for a lazy input
	resumes         []*demand // and those whose input is there
	stopped         *task     // the first that gave up because the context ended
	order           int       // of the next task to be inserted
	pending         int       // tasks inserted that have not ended
	active          int       // calls under way that are not suspended
	running         []*task   // in the order in which they began
	over            []*task   // ended, their waiters not yet told
	failures        []*Error
	stack, inserted []*task // of insert
	reached         []*task // of count and uncount
	messages        chan message
	ended           chan struct{} // closed when nobody reads messages any more
}

func newRun(ctx context.Context, v *validation, o Options) *run {
	r := &run{
		ctx: ctx, prompt: v.prompt, proof: v, opt: o, first: map[signature]*task{},
		messages: make(chan message), ended: make(chan struct{}),
	}
	r.result = &Result{RunID: o.RunID, UI: map[string]UI{}, By: map[string]string{}, run: r}
	r.dyn = &DynPrompt{func(id string) *liveNode {
		r.graph.RLock()
		defer r.graph.RUnlock()
		if t := r.find(id); t != nil {
			return &t.liveNode
		}
		return nil
	}}
	return r
}

// emit tells the listener.
func (r *run) emit(e Event) {
	if r.opt.Events == nil {
		return
	}
	r.events.Lock()
	defer r.events.Unlock()
	r.opt.Events(e)
}

// emitOf tells the listener what happens to a task, in its turn.
func (r *run) emitOf(t *task, e Event) {
	if r.opt.Events == nil {
		return
	}
	r.events.Lock()
	defer r.events.Unlock()
	r.tell(t, e)
}

// firstFailure is the error of a run in which nodes failed: that of the first in the prompt's order.
func (r *run) firstFailure() *Error {
	if len(r.failures) == 0 {
		return nil
	}
	at := make(map[string]int, len(r.prompt.IDs))
	for i, id := range r.prompt.IDs {
		at[id] = i
	}
	slices.SortStableFunc(r.failures, func(a, b *Error) int { return at[a.Node] - at[b.Node] })
	r.result.Failures = r.failures
	return r.failures[0]
}
