package graph

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// maker builds libraries of nodes that are a function each.
type maker struct {
	Library
	t    *testing.T
	mu   sync.Mutex
	runs []string // ids of the nodes that were called
}

func newMaker(t *testing.T) *maker {
	m := &maker{Library: Library{}, t: t}
	m.node("Num value", nil, func(_ *Call, in []any) (Output, error) { return Output{Values: in}, nil })
	m.node("Add a b", nil, func(_ *Call, in []any) (Output, error) {
		return Output{Values: []any{in[0].(int64) + in[1].(int64)}}, nil
	})
	m.node("Show value", func(s *Spec) { s.Output, s.Outputs = true, nil }, func(_ *Call, in []any) (Output, error) {
		return Output{UI: UI{"text": {fmt.Sprint(in[0])}}}, nil
	})
	return m
}

// node adds a class: its name and inputs (a name may end in ? for lazy, ! for raw), one output.
func (m *maker) node(decl string, tune func(*Spec), run func(*Call, []any) (Output, error)) {
	words := strings.Fields(decl)
	s := &Spec{Meta: Meta{Name: words[0]}, Outputs: []Port{{Name: "out", Type: "*"}}}
	for _, w := range words[1:] {
		p := Port{Name: strings.TrimRight(w, "?!"), Type: "*", Optional: true, Lazy: strings.HasSuffix(w, "?"), Opts: map[string]any{}}
		p.Opts["rawLink"] = strings.HasSuffix(w, "!")
		s.Inputs = append(s.Inputs, p)
	}
	if tune != nil {
		tune(s)
	}
	s.Run = func(c *Call, in []any) (Output, error) {
		m.mu.Lock()
		m.runs = append(m.runs, c.NodeID)
		m.mu.Unlock()
		return run(c, in)
	}
	m.Library[s.Name] = s
}

// prompt reads lines like "id Class input=1 input=other.0"; id:title for titles.
func (m *maker) prompt(lines ...string) *Prompt {
	m.t.Helper()
	p := &Prompt{}
	for _, line := range lines {
		words := strings.Fields(line)
		n := &Node{Class: words[1]}
		for _, w := range words[2:] {
			name, value, _ := strings.Cut(w, "=")
			var number int64
			var slot int
			if id, after, isLink := strings.Cut(value, "."); isLink {
				fmt.Sscan(after, &slot)
				n.Set(name, Link(id, slot))
			} else if _, err := fmt.Sscan(value, &number); err == nil {
				n.Set(name, number)
			} else {
				n.Set(name, value)
			}
		}
		p.Add(words[0], n)
	}
	return p
}

// run runs a prompt and returns the events, short.
func (m *maker) run(o Options, p *Prompt) (*Result, []string, error) {
	m.t.Helper()
	return m.runWith(m.t.Context(), o, p)
}

func (m *maker) runWith(ctx context.Context, o Options, p *Prompt) (*Result, []string, error) {
	m.t.Helper()
	m.runs = nil
	o.Nodes = m.Library
	var events []string
	listen := o.Events
	o.Events = func(e Event) {
		if listen != nil {
			listen(e)
		}
		switch e := e.(type) {
		case Executing:
			events = append(events, "executing "+e.NodeID+" "+e.Display)
		case Executed:
			events = append(events, fmt.Sprint("executed ", e.NodeID, map[bool]string{true: " cached"}[e.Cached], e.UI["text"]))
		case Blocked:
			events = append(events, "blocked "+e.NodeID+" "+e.Message)
		case Failed:
			events = append(events, "failed "+e.Err.Node)
		case Interrupted:
			events = append(events, "interrupted "+e.NodeID)
		case Done:
			events = append(events, "done")
		case Cached:
			events = append(events, fmt.Sprint("cached ", e.Nodes))
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	r, err := Run(ctx, p, o)
	if ctx.Err() == context.DeadlineExceeded {
		m.t.Fatal("the run hangs")
	}
	return r, events, err
}

func text(u UI) string { return strings.Trim(fmt.Sprint(u["text"]), "[]\n") }

func TestBlockers(t *testing.T) {
	m := newMaker(t)
	m.node("Odd value", func(s *Spec) { s.Outputs = append(s.Outputs, Port{Name: "same", Type: "*"}) }, func(_ *Call, in []any) (Output, error) {
		if in[0].(int64)%2 == 0 {
			return Output{Values: []any{Blocker{"even"}, in[0]}}, nil // one output of two
		}
		return Output{Values: []any{in[0], in[0]}}, nil
	})
	m.node("Refuse value", nil, func(*Call, []any) (Output, error) { return Output{}, Blocker{} })
	m.node("Range n", func(s *Spec) { s.Outputs[0].List = true }, func(_ *Call, in []any) (Output, error) {
		return Output{Values: []any{[]any{int64(0), int64(1), int64(2)}}}, nil
	})
	m.node("Double value", func(s *Spec) { s.Outputs[0].List = true }, func(_ *Call, in []any) (Output, error) {
		return Output{Values: []any{[]any{in[0], in[0]}}}, nil
	})
	m.node("All value", func(s *Spec) { s.TakesLists = true }, func(_ *Call, in []any) (Output, error) {
		return Output{Values: []any{fmt.Sprint(in[0])}}, nil
	})
	p := m.prompt("r Range n=3", "o Odd value=r.0", "d Double value=o.0", "s Show value=d.0", "n Num value=d.0", "s2 Show value=n.0",
		"a All value=o.0", "s3 Show value=a.0", "same Show value=o.1", "x Refuse value=1", "s4 Show value=x.0")
	r, events, err := m.run(Options{Room: Room{Serial: true}}, p)
	if err != nil {
		t.Fatal(err)
	}
	// 0 and 2 are blocked; a blocked call of a list output is one element.
	if got := r.Values("d", 0); !reflect.DeepEqual(got, []any{Blocker{}, int64(1), int64(1), Blocker{}}) {
		t.Errorf("list output %v", got)
	}
	if text(r.UI["s"]) != "1 1" || text(r.UI["s2"]) != "1 1" || r.UI["s3"] != nil || r.UI["s4"] != nil || text(r.UI["same"]) != "0 1 2" {
		t.Errorf("shows %v", r.UI)
	}
	told := slices.DeleteFunc(slices.Clone(events), func(e string) bool { return !strings.HasPrefix(e, "blocked") })
	slices.Sort(told)
	if !slices.Equal(told, []string{"blocked a even", "blocked d even"}) { // by the consumers alone, once each
		t.Errorf("messages %q", told)
	}
	if !slices.Contains(events, "executed s4[]") || events[len(events)-1] != "done" {
		t.Errorf("events %q", events)
	}
	if slices.Contains(m.runs, "a") || slices.Contains(m.runs, "s3") {
		t.Errorf("ran %v", m.runs)
	}
}

func TestUndeclaredInputs(t *testing.T) {
	m := newMaker(t)
	sum := func(c *Call, in []any) (Output, error) {
		all := fmt.Sprint(in[0])
		for _, u := range c.Undeclared {
			all += fmt.Sprint(" ", u.Name, "=", u.Value)
		}
		return Output{Values: []any{all}}, nil
	}
	m.node("Many a", func(s *Spec) { s.Variadic = true }, sum)
	m.node("One a", nil, sum)
	p := m.prompt("1 Num value=1", "2 Num value=2", "v Many b=2.0 a=1.0 c=1.0 d=5", "s Show value=v.0", "o One a=1.0 b=2.0", "s2 Show value=o.0")
	r, _, err := m.run(Options{}, p)
	if err != nil || text(r.UI["s"]) != "1 b=2 c=1" || text(r.UI["s2"]) != "1" { // links are passed, constants are not
		t.Errorf("%v, %v", r.UI, err)
	}
	other := m.prompt("1 Num value=1", "2 Num value=3", "v Many b=2.0 a=1.0 c=1.0 d=5", "s Show value=v.0")
	cache := &Cache{}
	m.run(Options{Cache: cache}, p)
	if r, _, _ = m.run(Options{Cache: cache}, other); text(r.UI["s"]) != "1 b=3 c=1" {
		t.Errorf("undeclared links are no part of the signature: %v", r.UI)
	}
}

func TestRawLinksAndHidden(t *testing.T) {
	m := newMaker(t)
	m.node("Raw a!", func(s *Spec) { s.Hidden = []string{"DYNPROMPT", "UNIQUE_ID"} }, func(c *Call, in []any) (Output, error) {
		id, slot, ok := AsLink(in[0])
		return Output{Values: []any{fmt.Sprintln(id, slot, ok, c.NodeID, c.DynPrompt.Node(id).Class, c.DynPrompt.Node("?") == nil, c.AuthToken, c.APIKey, len(c.ExtraPNGInfo))}}, nil
	})
	r, _, err := m.run(Options{AuthToken: "tok", APIKey: "key"}, m.prompt("1 Num value=1", "r Raw a=1.0", "s Show value=r.0"))
	if err != nil || text(r.UI["s"]) != "1 0 true r Num true tok key 0" {
		t.Errorf("%v %v", text(r.UI["s"]), err)
	}
	if !slices.Equal(m.runs, []string{"1", "r", "s"}) { // a raw link is still a dependency
		t.Errorf("ran %v", m.runs)
	}
}

// together adds a class of nodes that wait until n of them run at once.
func (m *maker) together(name string, n int, tune func(*Spec)) (most *atomic.Int32) {
	var at, top atomic.Int32
	met := make(chan struct{})
	var once sync.Once
	m.node(name+" value", tune, func(c *Call, in []any) (Output, error) {
		now := at.Add(1)
		for old := top.Load(); now > old && !top.CompareAndSwap(old, now); old = top.Load() {
		}
		if int(now) == n {
			once.Do(func() { close(met) })
		}
		select {
		case <-met:
		case <-c.Done():
		case <-time.After(10 * time.Second):
			return Output{}, errors.New("alone")
		}
		time.Sleep(time.Millisecond)
		at.Add(-1)
		return Output{Values: in}, nil
	})
	return &top
}

func TestParallel(t *testing.T) {
	m := newMaker(t)
	device := m.together("Device", 1, func(s *Spec) { s.Uses = Device })
	m.together("Async", 6, func(s *Spec) { s.Async = true })
	io := m.together("IO", 3, func(s *Spec) { s.Uses = IO })
	cpu := m.together("CPU", 2, nil)
	m.node("Join a b c d e f", nil, func(_ *Call, in []any) (Output, error) { return Output{Values: []any{fmt.Sprint(in...)}}, nil })
	for class, most := range map[string]*atomic.Int32{"Device": device, "Async": nil, "IO": io, "CPU": cpu} {
		lines := []string{"j Join a=0.0 b=1.0 c=2.0 d=3.0 e=4.0 f=5.0", "s Show value=j.0"}
		for i := range 6 {
			lines = append(lines, fmt.Sprintf("%d %s value=%d", i, class, i))
		}
		r, events, err := m.run(Options{Room: Room{CPU: 2, IO: 3}}, m.prompt(lines...))
		if err != nil || text(r.UI["s"]) != "0 1 2 3 4 5" {
			t.Errorf("%s: %v %v", class, r.UI, err)
		}
		var begun []string
		for _, e := range events {
			if id, ok := strings.CutPrefix(e, "executing "); ok {
				begun = append(begun, id[:1])
			}
		}
		if got := strings.Join(begun, ""); got != "543210js" { // the picker's order, whatever ends first
			t.Errorf("%s: began %s", class, got)
		}
		if want := map[string]int32{"Device": 1, "IO": 3, "CPU": 2}[class]; most != nil && most.Load() != want {
			t.Errorf("%s: %d at once, want %d", class, most.Load(), want)
		}
	}
	// Nodes of different kinds overlap, and the calls of an async node for a list.
	m.node("Range n", func(s *Spec) { s.Outputs[0].List = true }, func(_ *Call, in []any) (Output, error) {
		return Output{Values: []any{[]any{int64(1), int64(2), int64(3)}}}, nil
	})
	m.together("Each", 3, func(s *Spec) { s.Async = true })
	if r, _, err := m.run(Options{Room: Room{Serial: true}}, m.prompt("r Range n=3", "e Each value=r.0", "s Show value=e.0")); err != nil || fmt.Sprint(r.UI["s"]["text"]) != "[1 2 3]" {
		t.Error(r.UI, err)
	}
	// Output nodes take turns, in order, so that files are numbered alike in every run.
	outputs := m.together("Out", 1, func(s *Spec) { s.Output, s.Outputs = true, nil; s.Uses = IO })
	m.Library["Out"].Run = func(run func(*Call, []any) (Output, error)) func(*Call, []any) (Output, error) {
		return func(c *Call, in []any) (Output, error) { _, err := run(c, in); return Output{}, err }
	}(m.Library["Out"].Run)
	if _, _, err := m.run(Options{}, m.prompt("1 Out value=1", "2 Out value=2", "3 Out value=3")); err != nil || outputs.Load() != 1 || !slices.Equal(m.runs, []string{"1", "2", "3"}) {
		t.Error(err, m.runs, outputs.Load())
	}
	m.together("Mixed", 3, nil)
	m.Library["MixedIO"], m.Library["MixedDevice"] = with(m.Library["Mixed"], IO), with(m.Library["Mixed"], Device)
	if _, _, err := m.run(Options{}, m.prompt("1 Mixed value=1", "2 MixedIO value=1", "3 MixedDevice value=1", "j Join a=1.0 b=2.0 c=3.0", "s Show value=j.0")); err != nil {
		t.Error(err)
	}
}

func with(s *Spec, r Resource) *Spec {
	c := *s
	c.Name, c.Uses = s.Name+fmt.Sprint(r), r
	return &c
}

func TestAsyncErrors(t *testing.T) {
	m := newMaker(t)
	m.node("Range n", func(s *Spec) { s.Outputs[0].List = true }, func(_ *Call, in []any) (Output, error) {
		return Output{Values: []any{[]any{int64(0), int64(1), int64(2)}}}, nil
	})
	m.node("Odd value", func(s *Spec) { s.Async = true }, func(c *Call, in []any) (Output, error) {
		switch in[0].(int64) {
		case 1:
			time.Sleep(5 * time.Millisecond)
			panic("call 1")
		case 2:
			return Output{}, errors.New("call 2")
		}
		return Output{Values: in}, nil
	})
	_, _, err := m.run(Options{}, m.prompt("r Range n=3", "o Odd value=r.0", "s Show value=o.0"))
	if err == nil || !strings.Contains(err.Error(), "call 1") { // the first in order, not in time
		t.Error(err)
	}
}

func TestLazyInputs(t *testing.T) {
	m := newMaker(t)
	m.together("Slow", 2, func(s *Spec) { s.Uses = IO })
	m.node("Both a? b? c?", func(s *Spec) {
		s.CheckLazy = func(_ *Call, in []any) ([]string, error) { return []string{"a", "b"}, nil }
	}, func(_ *Call, in []any) (Output, error) { return Output{Values: []any{fmt.Sprint(in...)}}, nil })
	r, events, err := m.run(Options{}, m.prompt("1 Slow value=1", "2 Slow value=2", "3 Num value=3", "b Both a=1.0 b=2.0 c=3.0", "s Show value=b.0"))
	if err != nil || text(r.UI["s"]) != "1 2 <nil>" || slices.Contains(m.runs, "3") { // both at once, or Slow fails
		t.Errorf("%v %v, ran %v", r.UI, err, m.runs)
	}
	if n := len(slices.DeleteFunc(events, func(e string) bool { return e != "executing b b" })); n != 2 {
		t.Errorf("%d times executing", n)
	}
	if _, _, err = m.run(Options{}, m.prompt("1 Num value=1", "b Both a=1.0", "s Show value=b.0")); err == nil || err.(*Error).Input != "b" {
		t.Errorf("an input that is not there: %v", err)
	}
	m.Library["Both"].CheckLazy = func(*Call, []any) ([]string, error) { panic("on purpose") }
	if _, _, err = m.run(Options{}, m.prompt("b Both a=1", "s Show value=b.0")); err == nil || err.(*Error).Kind != KindNodePanicked {
		t.Errorf("panic in CheckLazy: %v", err)
	}
	// Get: the node gives its room to the branch it waits for, in all that can be short.
	ask := func(_ *Call, in []any) (Output, error) {
		v, err := in[0].(func() (any, error))()
		return Output{Values: []any{v}}, err
	}
	m.node("Ask a?", func(s *Spec) { s.Uses = Device }, ask)
	p := m.prompt("1 Num value=1", "a Ask a=1.0", "b Ask a=a.0", "c Ask a=b.0", "d Ask a=b.0", "s Show value=c.0", "s2 Show value=d.0")
	for _, room := range []Room{{}, {Serial: true}, {CPU: 1}} {
		if r, _, err := m.run(Options{Room: room}, p); err != nil || text(r.UI["s"]) != "1" || text(r.UI["s2"]) != "1" {
			t.Errorf("%+v: %v %v", room, r.UI, err)
		}
	}
	// The calls of an async node ask at once; a longer list behind a lazy input makes more calls; null is a value.
	m.node("Range n", func(s *Spec) { s.Outputs[0].List = true }, func(_ *Call, in []any) (Output, error) {
		return Output{Values: []any{[]any{int64(5), nil, int64(7)}[:in[0].(int64)]}}, nil
	})
	m.node("AskAll i a?", func(s *Spec) { s.Async = true }, func(_ *Call, in []any) (Output, error) {
		v, err := in[1].(func() (any, error))()
		return Output{Values: []any{fmt.Sprint(in[0], v)}}, err
	})
	r, _, err = m.run(Options{}, m.prompt("r Range n=2", "l Range n=3", "a AskAll i=r.0 a=l.0", "s Show value=a.0"))
	if err != nil || text(r.UI["s"]) != "5 5 <nil> <nil> <nil> 7" {
		t.Errorf("%v %v", r.UI, err)
	}
	// A call that asks from goroutines of its own.
	m.node("AskBoth a? b?", nil, func(_ *Call, in []any) (Output, error) {
		var got [2]any
		var all sync.WaitGroup
		for i := range got {
			all.Go(func() { got[i], _ = in[i].(func() (any, error))() })
		}
		all.Wait()
		return Output{Values: []any{fmt.Sprint(got[:]...)}}, nil
	})
	r, _, err = m.run(Options{}, m.prompt("1 Num value=1", "2 Num value=2", "a AskBoth a=1.0 b=2.0", "s Show value=a.0"))
	if err != nil || text(r.UI["s"]) != "1 2" {
		t.Errorf("%v %v", r.UI, err)
	}
	// A lazy cycle that only an expansion can make.
	m.node("Twist", nil, func(c *Call, _ []any) (Output, error) {
		g := c.Subgraph()
		a, b := g.Add("Ask", "a"), g.Add("Ask", "b")
		g.Nodes[0].Inputs, g.Nodes[1].Inputs = []Input{{"a", Link(b, 0)}}, []Input{{"a", Link(a, 0)}}
		g.Results = []any{Link(a, 0)}
		return Output{Expand: g}, nil
	})
	_, _, err = m.run(Options{}, m.prompt("t Twist", "s Show value=t.0"))
	if e, ok := err.(*Error); !ok || e.Kind != KindCycle || e.Node != "t" {
		t.Errorf("lazy cycle: %v", err)
	}
}

func TestFailedBranches(t *testing.T) {
	m := newMaker(t)
	m.node("Fail a", nil, func(*Call, []any) (Output, error) { return Output{}, errors.New("on purpose") })
	p := m.prompt("1 Num value=1", "f2 Fail a=1.0", "x Add a=f2.0 b=1", "sx Show value=x.0", "n Num value=4", "sn Show value=n.0", "f1 Fail a=2", "s1 Show value=f1.0")
	cache := &Cache{}
	var end Failed
	r, events, err := m.run(Options{Cache: cache, Events: func(e Event) {
		if f, ok := e.(Failed); ok {
			end = f
		}
	}}, p)
	if len(r.Failures) != 2 || err != error(r.Failures[0]) || r.Failures[0].Node != "f2" || r.Failures[1].Node != "f1" {
		t.Errorf("failures %v", r.Failures)
	}
	if text(r.UI["sn"]) != "4" || len(r.UI) != 1 || events[len(events)-1] != "failed f2" {
		t.Errorf("%v %q", r.UI, events)
	}
	slices.Sort(end.Executed)
	if !slices.Equal(end.Executed, []string{"1", "n", "sn"}) {
		t.Errorf("executed %v", end.Executed)
	}
	d := end.Comfy(p)
	if d["node_id"] != "f2" || d["node_type"] != "Fail" || d["exception_message"] != "on purpose\n" ||
		!reflect.DeepEqual(d["current_inputs"], map[string][]any{"a": {int64(1)}}) {
		t.Errorf("for clients: %v", d)
	}
	if m.run(Options{Cache: cache}, p); len(m.runs) != 2 { // what was finished stays cached
		t.Errorf("ran %v", m.runs)
	}
}

type noMemory struct{}

func (noMemory) Error() string     { return "no memory" }
func (noMemory) OutOfMemory() bool { return true }

func TestOutOfMemory(t *testing.T) {
	m := newMaker(t)
	m.node("Big", nil, func(*Call, []any) (Output, error) { return Output{}, fmt.Errorf("step 3: %w", noMemory{}) })
	p := m.prompt("b Big", "s Show value=b.0")
	_, _, err := m.run(Options{Events: func(e Event) {
		if f, ok := e.(Failed); ok && !strings.Contains(f.Comfy(p)["exception_message"].(string), "\nThis error means you ran out of memory on your GPU.") {
			t.Errorf("%v", f.Comfy(p))
		}
	}}, p)
	if e, ok := err.(*Error); !ok || e.Kind != KindOutOfMemory || !errors.Is(err, noMemory{}) {
		t.Error(err)
	}
}

func TestFingerprintOfEveryNode(t *testing.T) {
	m := newMaker(t)
	asked := map[any]int{}
	m.node("Watch value path", func(s *Spec) {
		s.Fingerprint = func(_ *Env, in []any) (string, error) {
			asked[fmt.Sprint(in...)]++
			if in[1] == "panic" {
				panic("on purpose")
			}
			return "", map[bool]error{true: errors.New("always")}[in[1] == "always"]
		}
	}, func(_ *Call, in []any) (Output, error) { return Output{Values: in[:1]}, nil })
	p := m.prompt("1 Num value=1", "w Watch value=1.0 path=x", "s Show value=w.0", "u Watch value=1.0 path=unneeded", "a Watch value=2 path=always",
		"sa Show value=a.0", "c Watch value=3 path=panic", "sc Show value=c.0")
	cache := &Cache{}
	m.run(Options{Cache: cache}, p)
	if asked["<nil>x"] != 1 || len(asked) != 4 { // links are null; nodes that no output needs are asked, too
		t.Errorf("asked %v", asked)
	}
	if _, _, err := m.run(Options{Cache: cache}, p); err != nil || len(m.runs) != 4 {
		t.Errorf("ran %v, %v", m.runs, err)
	}
}

func TestEqualNodes(t *testing.T) {
	m := newMaker(t)
	m.node("Slow value", func(s *Spec) { s.Async = true }, func(_ *Call, in []any) (Output, error) {
		time.Sleep(2 * time.Millisecond)
		return Output{Values: in}, nil
	})
	cache := &Cache{}
	p := m.prompt("1 Slow value=7", "2 Slow value=7", "s1 Show value=1.0", "s2 Show value=2.0")
	r, events, err := m.run(Options{Cache: cache}, p)
	if err != nil || len(m.runs) != 2 || text(r.UI["s1"]) != "7" || text(r.UI["s2"]) != "7" || !slices.Contains(events, "executed s2 cached[7]") {
		t.Errorf("ran %v, events %q, %v", m.runs, events, err)
	}
	r, events, _ = m.run(Options{Cache: cache}, p)
	if want := []string{"cached [1 2 s1 s2]", "executed s1 cached[7]", "executed s2 cached[7]", "done"}; !slices.Equal(events, want) || text(r.UI["s2"]) != "7" {
		t.Errorf("again: %q", events)
	}
}

func TestInterrupt(t *testing.T) {
	m := newMaker(t)
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("the user said so")
	m.node("Loop value", nil, func(c *Call, _ []any) (Output, error) {
		for i := 0; ; i++ {
			c.Progress("loop", i, 10)
			if err := c.Err(); err != nil {
				return Output{}, err
			}
			time.Sleep(time.Millisecond)
		}
	})
	var end Interrupted
	_, events, err := m.runWith(ctx, Options{Events: func(e Event) {
		switch e := e.(type) {
		case Progress:
			if e.Step == 5 {
				cancel(why)
			}
		case Interrupted:
			end = e
		}
	}}, m.prompt("1 Num value=1", "l Loop value=1.0", "s Show value=l.0", "n Num value=3", "s2 Show value=n.0"))
	e, ok := err.(*Error)
	if !ok || e.Kind != KindInterrupted || e.Node != "l" || !errors.Is(err, why) || end.NodeID != "l" || !slices.Contains(end.Executed, "1") {
		t.Errorf("%v %+v", err, end)
	}
	if events[len(events)-1] != "interrupted l" {
		t.Errorf("%q", events)
	}
	// A run whose calls wait for a lazy input.
	m.node("Ask a?", nil, func(_ *Call, in []any) (Output, error) {
		v, err := in[0].(func() (any, error))()
		return Output{Values: []any{v}}, err
	})
	ctx, cancel = context.WithCancelCause(context.Background())
	_, _, err = m.runWith(ctx, Options{Events: func(e Event) {
		if p, ok := e.(Progress); ok && p.Step == 1 {
			cancel(why)
		}
	}}, m.prompt("l Loop value=1", "a Ask a=l.0", "s Show value=a.0"))
	if e, ok := err.(*Error); !ok || e.Kind != KindInterrupted {
		t.Error(err)
	}
}

func TestProgress(t *testing.T) {
	m := newMaker(t)
	m.node("Steps n", nil, func(c *Call, in []any) (Output, error) {
		for i := range 3 {
			c.Progress("step", i+2, 3) // the last is beyond the end
		}
		go func() { // left behind
			time.Sleep(5 * time.Millisecond)
			c.Progress("late", 1, 2)
		}()
		return Output{Values: in}, nil
	})
	m.node("Fail a", nil, func(*Call, []any) (Output, error) {
		time.Sleep(20 * time.Millisecond)
		return Output{}, errors.New("x")
	})
	var steps []Progress
	_, events, _ := m.run(Options{Events: func(e Event) {
		if p, ok := e.(Progress); ok {
			p.At = time.Time{}
			steps = append(steps, p)
		}
	}, Room: Room{Serial: true}}, m.prompt("1 Steps n=1", "f Fail a=1.0", "s Show value=f.0"))
	if want := []Progress{{"1", "1", "step", 2, 3, time.Time{}}, {"1", "1", "step", 3, 3, time.Time{}}, {"1", "1", "step", 3, 3, time.Time{}}}; !slices.Equal(steps, want) {
		t.Errorf("%+v", steps)
	}
	if !strings.HasPrefix(events[len(events)-1], "failed") || !slices.Contains(events, "executing f f") {
		t.Errorf("%q", events)
	}
}
