package graph

import (
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// work runs a task: its calls for the elements of its lists (executor.md 4). It may run beside the run's goroutine and
// reads only what that does not write meanwhile.
func (r *run) work(t *task) outcome {
	begin := time.Now()
	w := &callee{run: r, task: t}
	n, err := w.calls()
	if err != nil {
		return outcome{err: err}
	}
	if t.spec.CheckLazy != nil {
		if asks, err := w.checkLazy(n); err != nil || asks != nil {
			return outcome{asks: asks, err: err}
		}
	}
	results := w.few[:0]
	for len(results) < n {
		if results, err = w.callAll(results, n); err != nil {
			return outcome{err: err}
		}
		if n, err = w.calls(); err != nil { // a lazy input has a longer list
			return outcome{err: err}
		}
	}
	e := newEntry(len(t.spec.Outputs))
	for i := range results {
		if results[i].Expand != nil {
			return outcome{calls: results}
		}
		e.add(t.spec, &results[i])
	}
	e.took = time.Since(begin)
	return outcome{entry: e}
}

// newEntry returns an entry of so many outputs. Those of most nodes, one value each, lie in one piece of memory with it.
func newEntry(outputs int) *entry {
	var m struct {
		entry
		slots [1][]any
		value [1]any
	}
	if outputs > len(m.slots) {
		return &entry{values: make([][]any, outputs)}
	}
	e := &m
	e.slots[0] = e.value[:0]
	e.values = e.slots[:outputs]
	return &e.entry
}

// callee is what the calls of a task share.
type callee struct {
	run  *run
	task *task
	none bool // every list is empty: one call without arguments
	few  [1]Output
	one  Call // the first

	mu   sync.Mutex
	told []string // messages of blockers
}

// calls is how often the node is called: as often as its longest list has elements.
func (w *callee) calls() (int, error) {
	t := w.task
	if t.spec.TakesLists {
		return 1, nil
	}
	n, given := 0, false
	var empty *source
	for i := range t.in {
		s := &t.in[i]
		length := 1
		switch {
		case s.from == nil && !s.present || s.lazy && !s.wanted:
			continue
		case s.from != nil && !s.raw:
			if list, ok := s.list(); ok {
				length = len(list)
			}
		}
		if given = true; length == 0 && empty == nil {
			empty = s
		}
		n = max(n, length)
	}
	if w.none = n == 0 && given; n == 0 {
		return 1, nil
	}
	if empty != nil {
		return 0, emptyList(empty)
	}
	return n, nil
}

func emptyList(s *source) *Error {
	return &Error{Kind: KindMissing, Input: s.label(), Have: fmt.Sprintf("an empty list from node %s", s.from.id), Hint: "give the list a value"}
}

// checkLazy asks the node which of its lazy inputs it needs: the union over all calls. A blocked call needs none.
func (w *callee) checkLazy(n int) (asks []int, err error) {
	t := w.task
	for i := range n {
		if err := w.run.ctx.Err(); err != nil {
			return nil, err
		}
		c := w.call(i)
		in, blockers, err := w.gather(c)
		if err != nil {
			return nil, err
		}
		if blockers != nil {
			continue
		}
		names, err := w.ask(c, in)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			k := slices.IndexFunc(t.in, func(s source) bool { return s.label() == name && (s.from != nil || s.present) })
			switch {
			case k < 0:
				return nil, &Error{Kind: KindMissing, Input: name, Have: "a node that asks for it", Hint: "connect the lazy input"}
			case t.in[k].lazy && !t.in[k].wanted && !slices.Contains(asks, k):
				asks = append(asks, k)
			}
		}
	}
	return asks, nil
}

func (w *callee) ask(c *Call, in []any) (names []string, err error) {
	defer catch(&err)
	return w.task.spec.CheckLazy(c, in)
}

// callAll makes the calls from the first that has no result up to another: in turn, or those of an async node at once.
func (w *callee) callAll(results []Output, to int) ([]Output, error) {
	from := len(results)
	results = append(results, make([]Output, to-from)...)
	more := results[from:]
	if !w.task.spec.Async || len(more) == 1 {
		for i := range more {
			if err := w.run.ctx.Err(); err != nil {
				return nil, err
			}
			if err := w.makeCall(from+i, &more[i]); err != nil {
				return nil, err
			}
		}
		return results, nil
	}
	errs := make([]error, len(more))
	var wait sync.WaitGroup
	var left atomic.Int32
	left.Store(int32(len(more)))
	w.run.messages <- message{calls: len(more) - 1} // this goroutine only waits
	for i := range more {
		wait.Go(func() {
			errs[i] = w.makeCall(from+i, &more[i])
			if left.Add(-1) > 0 {
				w.run.messages <- message{calls: -1}
			}
		})
	}
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return results, nil
}

// makeCall makes one call.
func (w *callee) makeCall(i int, res *Output) error {
	c := w.call(i)
	in, blockers, err := w.gather(c)
	if err != nil {
		return err
	}
	if blockers != nil {
		w.tell(blockers)
		*res = w.blocked(Blocker{})
		return nil
	}
	if *res, err = w.invoke(c, in); err == nil {
		if n := len(w.task.spec.Outputs); res.Expand == nil && len(res.Values) != n {
			return fmt.Errorf("the node gave %d outputs, its spec has %d", len(res.Values), n)
		}
		return nil
	}
	var input *blockedInput
	var b Blocker
	switch {
	case errors.As(err, &input):
		w.tell([]Blocker{input.Blocker})
	case !errors.As(err, &b):
		return err
	}
	*res = w.blocked(b)
	return nil
}

// blockedInput is the error of a call whose lazy input is a blocker.
type blockedInput struct{ Blocker }

// blocked is the blocker in every output.
func (w *callee) blocked(b Blocker) Output {
	values := make([]any, len(w.task.spec.Outputs))
	for i := range values {
		values[i] = b
	}
	return Output{Values: values}
}

// tell tells of the messages of blockers that the node got, each once.
func (w *callee) tell(blockers []Blocker) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, b := range blockers {
		if b.Message == "" || slices.Contains(w.told, b.Message) {
			continue
		}
		w.told = append(w.told, b.Message)
		t := w.task
		w.run.emitOf(t, Blocked{NodeID: t.id, Display: t.displayID(), Class: t.Class, Message: b.Message})
	}
}

func (w *callee) call(i int) *Call {
	r, t, c := w.run, w.task, &w.one
	if i > 0 || c.callee != nil {
		c = new(Call)
	}
	*c = Call{
		Context: r.ctx, NodeID: t.id, Class: t.Class, Title: t.Title, Prompt: r.prompt, DynPrompt: r.dyn,
		ExtraPNGInfo: r.opt.ExtraPNGInfo, AuthToken: r.opt.AuthToken, APIKey: r.opt.APIKey, Env: r.opt.Env,
		callee: w, index: i,
	}
	return c
}

// gather collects the inputs of a call: by port, and into Call.Undeclared. Shorter lists repeat their last element; a
// node that takes lists gets them whole. blockers are those among the inputs.
func (w *callee) gather(c *Call) (args []any, blockers []Blocker, err error) {
	t := w.task
	var asking *sync.Mutex
	args = make([]any, len(t.spec.Inputs))
	for i := range t.in {
		s := &t.in[i]
		var v any
		switch {
		case s.lazy && t.spec.CheckLazy == nil:
			if asking == nil {
				asking = new(sync.Mutex)
			}
			v = w.get(s, c.index, asking)
		case w.none && s.from != nil && (s.port == nil || !s.port.Optional):
			return nil, nil, emptyList(s)
		case w.none, s.lazy && !s.wanted: // the node did not ask for it
		case s.from == nil || s.raw:
			if v = s.literal; t.spec.TakesLists && v != nil {
				v = []any{v}
			}
		default:
			v = s.element(c.index, t.spec.TakesLists)
			blockers = appendBlockers(blockers, v, t.spec.TakesLists)
		}
		if s.port == nil {
			c.Undeclared = append(c.Undeclared, Input{s.name, v})
			continue
		}
		if args[i] = v; v == nil && !s.lazy && !s.port.Optional && s.port.Type != "*" {
			return nil, nil, &Error{Kind: KindBadValue, Input: s.port.Name, Need: s.port.Type, Have: "null", Hint: "connect it or give it a value"}
		}
	}
	return args, blockers, nil
}

// element is what call i gets of a link: value i or the last one, nil if there is no such output, or the whole list.
func (s *source) element(i int, whole bool) any {
	list, ok := s.list()
	switch {
	case whole && !ok:
		return []any{nil}
	case whole:
		return list
	case !ok || len(list) == 0:
		return nil
	}
	return list[min(i, len(list)-1)]
}

func appendBlockers(all []Blocker, v any, whole bool) []Blocker {
	if list, ok := v.([]any); ok && whole {
		for _, v := range list {
			all = appendBlockers(all, v, false)
		}
		return all
	}
	if b, ok := v.(Blocker); ok {
		return append(all, b)
	}
	return all
}

// get is what a lazy input gives a call that may ask for it: a function that computes it. Of one call's questions there
// is one at a time, even if it asks from goroutines of its own.
func (w *callee) get(s *source, i int, asking *sync.Mutex) func() (any, error) {
	return func() (any, error) {
		asking.Lock()
		defer asking.Unlock()
		d := &demand{task: w.task, input: s, reply: make(chan error, 1)}
		select {
		case w.run.messages <- message{task: w.task, demand: d}:
		case <-w.run.ended:
			return nil, errLate
		}
		if err := <-d.reply; err != nil {
			return nil, err
		}
		list, ok := s.list()
		if ok && len(list) == 0 {
			return nil, emptyList(s)
		}
		v := s.element(i, false)
		if b, ok := v.(Blocker); ok {
			return nil, &blockedInput{b}
		}
		return v, nil
	}
}

// errLate is for a goroutine that a node left behind.
var errLate = errors.New("the node asks for a lazy input after its Run returned")

// invoke calls the node.
func (w *callee) invoke(c *Call, in []any) (out Output, err error) {
	defer catch(&err)
	return w.task.spec.Run(c, in)
}

// catch turns a panic into an error that carries the stack.
func catch(err *error) {
	if p := recover(); p != nil {
		*err = &Error{Kind: KindNodePanicked, Detail: string(debug.Stack()), Err: fmt.Errorf("%v", p), Hint: hintNode}
	}
}

// add appends the result of one call that is no expansion.
func (e *entry) add(s *Spec, c *Output) {
	for i, v := range c.Values {
		e.values[i] = appendOutput(e.values[i], &s.Outputs[i], v)
	}
	e.show(c.UI)
}

// appendOutput appends a value of an output: the elements of a list where the output is one.
func appendOutput(list []any, p *Port, v any) []any {
	if items, ok := v.([]any); ok && p.List {
		return append(list, items...)
	}
	return append(list, v)
}

// show joins the UI of another call to that of those before.
func (e *entry) show(u UI) {
	if u != nil && e.ui == nil {
		e.ui = UI{}
	}
	for k, v := range u {
		e.ui[k] = append(e.ui[k], v...)
	}
}
