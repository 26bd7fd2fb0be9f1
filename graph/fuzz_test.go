package graph

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
)

// toyLibrary makes nodes of the toys. ran is told of every task that was called.
func toyLibrary(ran func(*task)) Library {
	l := Library{}
	for name, c := range toyClasses {
		s := &Spec{Meta: Meta{Name: name, Output: c.output, Async: c.async, Uses: c.uses}, TakesLists: c.takes}
		for _, in := range c.inputs {
			bare, lazy := strings.CutSuffix(in, "?")
			s.Inputs = append(s.Inputs, Port{Name: bare, Type: "*", Optional: true, Lazy: lazy})
		}
		if !c.output {
			s.Outputs = []Port{{Name: "out", Type: "*", List: c.list}}
		}
		if c.check != nil {
			s.CheckLazy = func(_ *Call, in []any) ([]string, error) { return c.check(in), nil }
		}
		s.Run = func(call *Call, in []any) (Output, error) {
			ran(call.callee.task)
			call.Progress("toy", 1, 1)
			return c.output1(call, in)
		}
		l[name] = s
	}
	return l
}

func (c toy) output1(call *Call, in []any) (Output, error) {
	if c.expands != nil {
		if g := c.expands(in); g != nil {
			sub := call.Subgraph()
			resolve := func(v any) any {
				if name, ok := v.(ref); ok {
					return Link(sub.prefix+string(name), 0)
				}
				return v
			}
			for _, n := range g.nodes {
				inputs := slices.Clone(n.inputs)
				for i := range inputs {
					inputs[i].Value = resolve(inputs[i].Value)
				}
				sub.Add(n.class, n.name, inputs...)
			}
			sub.Results = []any{resolve(g.result)}
			return Output{Expand: sub}, nil
		}
	}
	v, err := c.run(in, func(i int) (any, error) {
		switch x := in[i].(type) {
		case func() (any, error):
			return x()
		case nil:
			return nil, fmt.Errorf("nothing connected")
		default:
			return x, nil
		}
	})
	if err != nil {
		return Output{}, err
	}
	if ui, ok := v.(UI); ok {
		return Output{UI: ui}, nil
	}
	return Output{Values: []any{v}}, nil
}

// randomPrompt makes a graph of toys out of numbers from next.
func randomPrompt(next func(n int) int) *Prompt {
	classes := slices.Sorted(maps.Keys(toyClasses))
	p := &Prompt{}
	size := 3 + next(20)
	for i := range size {
		class := classes[next(len(classes))]
		if i == size-1 {
			class = "Show"
		}
		n := &Node{Class: class}
		for _, name := range toyClasses[class].inputs {
			name = strings.TrimSuffix(name, "?")
			var producers []string
			for _, id := range p.IDs {
				if !toyClasses[p.Nodes[id].Class].output {
					producers = append(producers, id)
				}
			}
			switch k := next(8); {
			case k == 0:
				n.Set(name, int64(next(8)))
			case k == 1 && next(3) == 0: // absent
			case len(producers) == 0:
				n.Set(name, int64(next(4)))
			case class == "Show": // what was made last, so that much is needed
				n.Set(name, Link(producers[len(producers)-1-next(min(4, len(producers)))], 0))
			default:
				n.Set(name, Link(producers[next(len(producers))], 0))
			}
		}
		p.Add(fmt.Sprint("n", i), n)
	}
	return p
}

// caches are all modes.
func caches(t testing.TB) map[string]*Cache {
	all := map[string]*Cache{}
	for _, c := range []CacheConfig{{Policy: CacheClassic}, {Policy: CacheLRU, Entries: 4}, {Policy: CacheNone}, {Policy: CacheBudget, Bytes: 300}} {
		cache, err := NewCache(c)
		if err != nil {
			t.Fatal(err)
		}
		all[string(c.Policy)] = cache
	}
	if strings.HasPrefix(t.Name(), "Fuzz") {
		return all // a folder for each input would be most of the work
	}
	all["disk"] = newCache(t, CacheConfig{Disk: openDisk(t, DiskConfig{Dir: t.TempDir()})})
	return all
}

// checkAgainstOracle runs the prompt in every mode, twice, and compares.
func checkAgainstOracle(t *testing.T, p *Prompt) {
	want := runOracle(p)
	var mu sync.Mutex
	byClass := map[signature]map[*task]bool{}
	nodes := toyLibrary(func(t *task) {
		mu.Lock()
		defer mu.Unlock()
		if byClass[t.sig] == nil {
			byClass[t.sig] = map[*task]bool{}
		}
		byClass[t.sig][t] = true
	})
	for mode, cache := range caches(t) {
		var serial [2][]string // what a run of one node at a time tells
		var loose [2]bool
		for _, room := range []Room{{Serial: true}, {}, {CPU: 3, Device: 2, IO: 1}} {
			cache.Clear()
			for round := range 2 {
				clear(byClass)
				var log eventLog
				res, err := Run(t.Context(), p, Options{Nodes: nodes, Cache: cache, Room: room, Events: log.add})
				if res == nil {
					t.Fatal(err)
				}
				where := fmt.Sprintf("cache %s, %+v, round %d", mode, room, round)
				log.check(t, where, p, nodes, err)
				if room.Serial {
					serial[round], loose[round] = log.order(), log.loose(nodes)
				} else if have := log.order(); !loose[round] && !log.loose(nodes) && mode != "disk" && mode != "budget" && !slices.Equal(have, serial[round]) { // these keep what they like
					t.Errorf("%s: tells\n%v, want\n%v", where, have, serial[round])
				}
				if len(want.failed) == 0 != (err == nil) {
					t.Errorf("%s: error %v, want failures of %v", where, err, want.failed)
				}
				for _, e := range res.Failures {
					if !want.failed[e.Node] {
						t.Errorf("%s: failed %v, want %v", where, e, want.failed)
					}
				}
				for id := range want.failed {
					if !slices.ContainsFunc(res.Failures, func(e *Error) bool { return e.Node == id }) {
						t.Errorf("%s: %s did not fail", where, id)
					}
				}
				if got := shown(res.UI); !reflect.DeepEqual(got, want.shown(p, round, got)) {
					t.Errorf("%s: shows %v, want %v", where, got, want.ui)
				}
				if round == 0 && mode != "disk" && !reflect.DeepEqual(log.messages, want.messages) {
					t.Errorf("%s: blockers %v, want %v", where, log.messages, want.messages)
				}
				for _, tasks := range byClass {
					healthy := 0
					for t := range tasks {
						// Mode none forgets what no node needs before a later expansion comes with an equal one.
						if t.state != failed && (mode != string(CacheNone) || t.parent == "") {
							healthy++
						}
					}
					if healthy > 1 && mode != "budget" { // there, what was dropped may be asked for by an expansion
						t.Errorf("%s: %d equal nodes ran", where, healthy)
					}
				}
			}
		}
	}
	if t.Failed() {
		text, _ := p.MarshalJSON()
		t.Fatalf("prompt %s", text)
	}
}

func shown(ui map[string]UI) map[string][]any {
	all := map[string][]any{}
	for id, u := range ui {
		all[id] = u["text"]
	}
	return all
}

// shown is what is to be shown. Nodes of expansions are not made again where the expanding node was cached: in a second
// round, or since an equal one was expanded, which shows the same.
func (o *oracle) shown(p *Prompt, round int, got map[string][]any) map[string][]any {
	all := map[string][]any{}
	for id, v := range o.ui {
		_, there := got[id]
		twin := round > 0
		for _, w := range got {
			twin = twin || reflect.DeepEqual(v, w)
		}
		if there || p.Nodes[id] != nil || !twin {
			all[id] = v
		}
	}
	return all
}

// eventLog checks that the events of a run are legal.
type eventLog struct {
	busy     bool
	events   []Event
	messages map[string]bool
}

func (l *eventLog) add(e Event) {
	if l.busy {
		panic("two events at once")
	}
	l.busy = true
	l.events = append(l.events, e)
	l.busy = false
}

// loose reports whether the order is not all settled: an async node ends when it likes, of equal ones any may run for
// the others, and sources of lazy inputs come in the order in which they were asked for.
func (l *eventLog) loose(nodes Library) bool {
	return slices.ContainsFunc(l.events, func(e Event) bool {
		switch e := e.(type) {
		case Executing:
			s := nodes[e.Class]
			return s.Async || slices.ContainsFunc(s.Inputs, func(p Port) bool { return p.Lazy })
		case Executed:
			return e.Cached
		}
		return false
	})
}

// order is which nodes it heard of, and how they ended.
func (l *eventLog) order() (all []string) {
	for _, e := range l.events {
		switch e := e.(type) {
		case Executing:
			all = append(all, e.NodeID)
		case Executed:
			all = append(all, fmt.Sprint(e.NodeID, " ended ", e.Cached))
		}
	}
	return all
}

func (l *eventLog) check(t *testing.T, where string, p *Prompt, nodes Library, err error) {
	t.Helper()
	l.messages = map[string]bool{}
	open, done, ended := map[string]bool{}, map[string]bool{}, 0
	var known []string
	for i, e := range l.events {
		switch e := e.(type) {
		case Start:
			if i != 0 {
				t.Errorf("%s: start is event %d", where, i)
			}
		case Cached:
			if i != 1 {
				t.Errorf("%s: cached is event %d", where, i)
			}
			known = e.Nodes
		case Executing:
			if done[e.NodeID] || p.Nodes[e.Display] == nil || !strings.HasPrefix(e.NodeID, e.Display) {
				t.Errorf("%s: %+v", where, e)
			}
			open[e.NodeID] = true
			if strings.HasPrefix(where, "cache disk") { // what comes from there is not told
				break
			}
			for _, in := range p.Nodes[e.Display].Inputs {
				id, _, ok := AsLink(in.Value)
				if port := nodes[p.Nodes[e.Display].Class].Input(in.Name); ok && port != nil && !port.Lazy && !done[id] && !slices.Contains(known, id) {
					t.Errorf("%s: %s begins before %s has ended", where, e.NodeID, id)
				}
			}
		case Progress:
			if !open[e.NodeID] {
				t.Errorf("%s: %+v of a node that does not run", where, e)
			}
		case Executed:
			if !open[e.NodeID] && !e.Cached || done[e.NodeID] {
				t.Errorf("%s: %+v", where, e)
			}
			done[e.NodeID], open[e.NodeID] = true, false
		case Blocked:
			l.messages[e.Message] = true
		case Failed:
			ended++
			if e.Err != err || i != len(l.events)-1 {
				t.Errorf("%s: event %d of %d: %v", where, i, len(l.events), e.Err)
			}
		case Done:
			ended++
			if err != nil || i != len(l.events)-1 {
				t.Errorf("%s: done with %v", where, err)
			}
		}
	}
	if ended != 1 {
		t.Errorf("%s: %d ends", where, ended)
	}
}

func TestRunAgainstOracle(t *testing.T) {
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 1))
		if checkAgainstOracle(t, randomPrompt(r.IntN)); t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func FuzzRunToys(f *testing.F) {
	f.Add([]byte("a graph of toys"))
	f.Fuzz(func(t *testing.T, data []byte) {
		at := 0
		checkAgainstOracle(t, randomPrompt(func(n int) int {
			if at++; at > len(data) {
				return at % n
			}
			return int(data[at-1]) % n
		}))
	})
}
