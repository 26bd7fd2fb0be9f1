package graph

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/google/uuid"
)

// Options says how to run a prompt. The zero value runs the registered nodes without services, cache and listener.
type Options struct {
	Nodes        Library                    // nil: the registered nodes
	Env          *Env                       // services of the nodes
	Cache        *Cache                     // results of earlier runs; nil: this run has its own
	Events       func(Event)                // called in order, from one goroutine at a time
	RunID        string                     // empty: a new UUID
	Targets      []string                   // run only these output nodes; nil: all
	Partial      bool                       // run the valid output nodes even if others are not
	ExtraPNGInfo map[string]json.RawMessage // handed to the nodes
	AuthToken    string                     // of comfy.org, for nodes that ask for the hidden input; mostly empty
	APIKey       string
	Room         Room // how many nodes run at once
}

// Room is how many nodes run at once, by what they use. Zero: as many as there are processors for CPU, one Device, four IO.
type Room struct {
	CPU, Device, IO int
	Serial          bool // one node at a time, in the order of the reference; only async nodes overlap
}

// Result is what a run gave.
type Result struct {
	RunID   string
	UI      map[string]UI    // by output node what it shows
	Invalid *ValidationError // what was left out, with Options.Partial
	tasks   map[string]*task
}

// Values returns what an output slot of a node gave in the run, one value unless lists flow through the graph;
// nil if the node did not have to run.
func (r *Result) Values(node string, slot int) []any {
	t := r.tasks[node]
	if t == nil || t.out == nil || slot < 0 || slot >= len(t.out.values) {
		return nil
	}
	return t.out.values[slot]
}

// Run validates the prompt, converting its constants in place, and runs its output nodes and all they need.
//
// The error is a *ValidationError before anything has run, or an *Error: of KindInterrupted if ctx ended, otherwise of
// the node that failed. With the error of a run comes the Result so far.
func Run(ctx context.Context, p *Prompt, o Options) (*Result, error) {
	if o.Nodes == nil {
		o.Nodes = Registered()
	}
	if o.Events == nil {
		o.Events = func(Event) {}
	}
	if o.Cache == nil {
		o.Cache = &Cache{}
	}
	if o.RunID == "" {
		o.RunID = uuid.NewString()
	}
	outputs, problems := Validate(p, o.Nodes, o.Env, o.Targets)
	if problems != nil && (!o.Partial || len(outputs) == 0) {
		return nil, problems
	}
	if err := refuseConstants(p, o.Nodes, outputs); err != nil && !o.Partial {
		return nil, err
	}
	r := &run{ctx: ctx, prompt: p, opt: o, tasks: map[string]*task{}}
	goals := r.plan(outputs)
	defer r.cache.end()
	res := &Result{RunID: o.RunID, UI: map[string]UI{}, Invalid: problems, tasks: r.tasks}
	r.result = res
	o.Events(Start{o.RunID})
	r.announceCached()
	if err := r.compute(goals); err != nil {
		if err.Kind == KindInterrupted {
			o.Events(Interrupted{err.Node})
		} else {
			o.Events(Failed{err})
		}
		return res, err
	}
	o.Events(Done{o.RunID})
	return res, nil
}

// task is a node in a run.
type task struct {
	id   string
	node *Node
	spec *Spec
	in   []source // by input of the spec
	deps []*task  // sources of non-lazy links, in the order of the node's inputs
	rank int      // of the picker: 0 output node, 1 feeds one, 2 feeds one that does, 3 others
	sig  signature
	hit  *entry // what the cache had at the start of the run
	out  *entry // nil until done
}

// source is where an input's value comes from: a link, or a literal if present.
type source struct {
	from    *task
	slot    int
	literal any
	present bool
}

type run struct {
	ctx    context.Context
	prompt *Prompt
	opt    Options
	tasks  map[string]*task
	result *Result
	cache  *cacheView
}

// plan makes the tasks of the goals and of all they need, lazily or not, signs them and drops what the cache holds of
// other prompts. Validation has seen that there is no cycle.
func (r *run) plan(goals []string) []*task {
	v := &validation{prompt: r.prompt, library: r.opt.Nodes}
	order, _ := v.walk(goals)
	sigs := make([]signature, 0, len(order))
	for _, id := range order { // sources first
		t := r.bind(id)
		t.sign(r.opt.Env, r.opt.RunID)
		sigs = append(sigs, t.sig)
		r.tasks[id] = t
	}
	view, known := r.opt.Cache.begin(sigs, r.prompt)
	for i, id := range order {
		r.tasks[id].hit = known[i]
	}
	r.cache = view
	for i := len(order) - 1; i >= 0; i-- { // consumers first
		t := r.tasks[order[i]]
		if t.spec.Output {
			t.rank = 0
		}
		for _, in := range t.in {
			if in.from != nil {
				in.from.rank = min(in.from.rank, t.rank+1)
			}
		}
	}
	out := make([]*task, len(goals))
	for i, id := range goals {
		out[i] = r.tasks[id]
	}
	return out
}

// bind makes the task of a node whose sources have theirs.
func (r *run) bind(id string) *task {
	n := r.prompt.Nodes[id]
	t := &task{id: id, node: n, spec: r.opt.Nodes[n.Class].For(n), rank: 3}
	t.in = make([]source, len(t.spec.Inputs))
	at := make(map[string]int, len(t.spec.Inputs))
	for i := range t.spec.Inputs {
		at[t.spec.Inputs[i].Name] = i
	}
	for _, in := range n.Inputs {
		i, declared := at[in.Name]
		if !declared {
			continue
		}
		if from, slot, ok := asLink(in.Value); ok {
			t.in[i] = source{from: r.tasks[from], slot: slot}
			if !t.spec.Inputs[i].Lazy {
				t.deps = append(t.deps, r.tasks[from])
			}
			continue
		}
		t.in[i] = source{literal: unwrap(in.Value), present: true}
	}
	return t
}

// announceCached looks up what the cache knows, once: another run may change it.
func (r *run) announceCached() {
	ids := []string{}
	for _, id := range r.prompt.IDs {
		if t := r.tasks[id]; t != nil {
			if t.hit != nil {
				ids = append(ids, id)
			}
		}
	}
	r.opt.Events(Cached{ids})
}

// execute runs one node whose dependencies are done, or takes its result from the cache: from an earlier run, or from
// an equal node of this one.
func (r *run) execute(t *task) *Error {
	if t.out = t.hit; t.out != nil {
		if t.spec.Output {
			r.finish(t, true)
		}
		return nil
	}
	if t.out = r.cache.get(t.sig, owner{}); t.out != nil {
		r.finish(t, true)
		return nil
	}
	if err := r.interrupted(t); err != nil {
		return err
	}
	r.opt.Events(Executing{t.id, t.node.Class, t.node.Title})
	out, err := r.callAll(t)
	if err != nil {
		return err
	}
	t.out = out
	r.cache.put(t.sig, out)
	r.finish(t, false)
	return nil
}

func (r *run) finish(t *task, cached bool) {
	if t.out.ui != nil {
		r.result.UI[t.id] = t.out.ui
	}
	r.opt.Events(Executed{t.id, t.out.ui, cached})
}

func (r *run) interrupted(t *task) *Error {
	if r.ctx.Err() == nil {
		return nil
	}
	return &Error{Kind: KindInterrupted, Node: t.id, Class: t.node.Class, Title: t.node.Title, Err: context.Cause(r.ctx)}
}

// callAll calls the node once for each element of its longest input list (executor.md 4) and collects the results by slot.
func (r *run) callAll(t *task) (*entry, *Error) {
	calls, gather := r.inputs(t)
	e := &entry{values: make([][]any, len(t.spec.Outputs))}
	for i := range calls {
		if err := r.interrupted(t); err != nil {
			return nil, err
		}
		in, err := gather(i)
		if err == nil {
			var out Output
			if out, err = r.call(t, in); err == nil {
				err = e.add(t.spec, out)
			}
		}
		if err != nil {
			if r.ctx.Err() != nil && (errors.Is(err, r.ctx.Err()) || errors.Is(err, context.Cause(r.ctx))) {
				return nil, r.interrupted(t)
			}
			var upstream *Error // a lazy branch failed: the error is that node's
			if errors.As(err, &upstream) && r.tasks[upstream.Node] != nil {
				return nil, upstream
			}
			return nil, asError(err, t.id, t.node.Class, t.node.Title)
		}
	}
	return e, nil
}

// add appends the result of one call.
func (e *entry) add(s *Spec, out Output) error {
	if len(out.Values) != len(s.Outputs) {
		return fmt.Errorf("the node gave %d outputs, its spec has %d", len(out.Values), len(s.Outputs))
	}
	for i, v := range out.Values {
		items, isList := v.([]any)
		if !s.Outputs[i].List || !isList {
			items = []any{v}
		}
		e.values[i] = append(e.values[i], items...)
	}
	if out.UI != nil && e.ui == nil {
		e.ui = UI{}
	}
	for k, v := range out.UI {
		e.ui[k] = append(e.ui[k], v...)
	}
	return nil
}

// inputs returns how often the node is called and a function that gathers the inputs of call i.
// Shorter lists repeat their last element; a node that takes lists is called once with whole lists.
func (r *run) inputs(t *task) (calls int, gather func(i int) ([]any, error)) {
	calls = 1
	if !t.spec.TakesLists {
		for i, in := range t.in {
			if in.from != nil && !t.spec.Inputs[i].Lazy {
				calls = max(calls, len(in.from.out.values[in.slot]))
			}
		}
	}
	return calls, func(call int) ([]any, error) {
		args := make([]any, len(t.in))
		for i, in := range t.in {
			in := in
			switch {
			case in.from == nil:
				args[i] = in.literal
			case t.spec.Inputs[i].Lazy:
				args[i] = func() (any, error) {
					if err := r.compute([]*task{in.from}); err != nil {
						return nil, err
					}
					return element(in, call)
				}
			case t.spec.TakesLists:
				args[i] = in.from.out.values[in.slot]
			default:
				v, err := element(in, call)
				if err != nil {
					return nil, named(err, &t.spec.Inputs[i])
				}
				args[i] = v
			}
			if p := &t.spec.Inputs[i]; args[i] == nil && !p.Optional && p.Type != "*" {
				return nil, &Error{Kind: KindBadValue, Input: p.Name, Need: p.Type, Have: "null", Hint: "connect it or give it a value"}
			}
		}
		return args, nil
	}
}

// element is value i of a link, or its last.
func element(in source, i int) (any, error) {
	list := in.from.out.values[in.slot]
	if len(list) == 0 {
		return nil, &Error{Kind: KindMissing, Have: fmt.Sprintf("an empty list from node %s", in.from.id), Hint: "give the list a value"}
	}
	return list[min(i, len(list)-1)], nil
}

// call runs the node once. What it panics with is an error that carries the stack.
func (r *run) call(t *task, in []any) (out Output, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &Error{
				Kind: KindNodePanicked, Detail: string(debug.Stack()), Err: fmt.Errorf("%v", p),
				Hint: "this is a mistake in the node: please report it",
			}
		}
	}()
	c := &Call{
		Context: r.ctx, NodeID: t.id, Class: t.node.Class, Title: t.node.Title, Prompt: r.prompt,
		ExtraPNGInfo: r.opt.ExtraPNGInfo, Env: r.opt.Env, report: func(p Progress) { r.opt.Events(p) },
	}
	return t.spec.Run(c, in)
}
