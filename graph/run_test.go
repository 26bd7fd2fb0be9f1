package graph

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// toys is a library of small nodes; log gets a line for every call.
func toys(log *[]string) Library {
	l := Library{}
	add := func(s *Spec) { l[s.Name] = s }
	add(Compile[number0](Meta{Name: "Number"}))
	add(Compile[sumNode](Meta{Name: "Sum"}))
	add(Compile[showNode](Meta{Name: "Show", Output: true}))
	add(Compile[rangeNode](Meta{Name: "Range"}))
	add(Compile[joinNode](Meta{Name: "Join"}))
	add(Compile[switchNode](Meta{Name: "Switch"}))
	add(Compile[failNode](Meta{Name: "Fail"}))
	add(Compile[printNode](Meta{Name: "Print"}))
	add(Compile[waitNode](Meta{Name: "Wait"}))
	var mu sync.Mutex
	for _, s := range l {
		run := s.Run
		s.Run = func(c *Call, in []any) (Output, error) {
			mu.Lock()
			*log = append(*log, c.NodeID)
			mu.Unlock()
			return run(c, in)
		}
	}
	return l
}

type number0 struct {
	Value int `min:"-10" max:"100"`
}

func (n number0) Run(*Call) (int, error) { return n.Value, nil }

type sumNode struct{ A, B int }

func (n sumNode) Run(*Call) (int, error) { return n.A + n.B, nil }

type showNode struct {
	Value Any
	Label string `default:"x" optional:"true"`
}

func (n showNode) Run(c *Call) (UI, error) {
	c.Progress("show", 1, 1)
	return UI{"text": {n.Label + fmt.Sprint(n.Value.Value)}}, nil
}

type rangeNode struct{ N int }

func (n rangeNode) Run(*Call) (List[int], error) {
	var l List[int]
	for i := range n.N {
		l = append(l, i)
	}
	return l, nil
}

type joinNode struct {
	Items List[int]
	Sep   string
}

func (n joinNode) Run(*Call) (string, error) {
	var s []string
	for _, i := range n.Items {
		s = append(s, fmt.Sprint(i))
	}
	return strings.Join(s, n.Sep), nil
}

type switchNode struct {
	Second bool
	A, B   Lazy[int]
}

func (n switchNode) Run(*Call) (int, error) {
	if n.Second {
		return n.B.Get()
	}
	return n.A.Get()
}

type failNode struct {
	How string
	In  *int
}

func (n failNode) Run(*Call) (int, error) {
	if n.How == "panic" {
		panic("on purpose")
	}
	return 0, errors.New("on purpose")
}

var printed = 0

type printNode struct{ Value int }

func (n printNode) Fingerprint() (string, error) {
	if n.Value < 0 {
		return "", errors.New("no fingerprint")
	}
	return fmt.Sprint(printed), nil
}
func (n printNode) Run(*Call) (int, error) { return n.Value, nil }

type waitNode struct{ Value int }

func (n waitNode) Run(c *Call) (int, error) { <-c.Done(); return 0, c.Err() }

func mustParse(t testing.TB, text string) *Prompt {
	t.Helper()
	p, err := ParsePrompt([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const diamond = `{
	"1": {"class_type": "Number", "inputs": {"value": 3}},
	"2": {"class_type": "Sum", "inputs": {"a": ["1", 0], "b": 4}},
	"3": {"class_type": "Sum", "inputs": {"a": ["1", 0], "b": 5}},
	"4": {"class_type": "Sum", "inputs": {"a": ["2", 0], "b": ["3", 0]}},
	"5": {"class_type": "Show", "inputs": {"value": ["4", 0]}},
	"6": {"class_type": "Sum", "inputs": {"a": ["4", 0], "b": 1}}
}`

func TestRunOrderAndCache(t *testing.T) {
	var log []string
	l, cache := toys(&log), &Cache{}
	var events []string
	at := regexp.MustCompile(` At:[^}]*`)
	run := func(text string) *Result {
		log, events = nil, nil
		r, err := Run(t.Context(), mustParse(t, text), Options{
			Nodes: l, Cache: cache, RunID: "r", Room: Room{Serial: true},
			Events: func(e Event) { events = append(events, at.ReplaceAllString(fmt.Sprintf("%T%+v", e, e), "")) },
		})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := run(diamond)
	if got := strings.Join(log, " "); got != "1 3 2 4 5" { // the last link of 4 first; 6 feeds no output
		t.Errorf("order %s", got)
	}
	if r.UI["5"]["text"][0] != "x15" || r.Values("4", 0)[0] != 15 || r.Values("6", 0) != nil {
		t.Errorf("UI %v, values %v %v", r.UI, r.Values("4", 0), r.Values("6", 0))
	}
	want := []string{"graph.Start{RunID:r}", "graph.Cached{Nodes:[]}", "graph.Executing{NodeID:1 Display:1 Parent: Class:Number Title:}", "graph.Executed{NodeID:1 Display:1 UI:map[] Cached:false}"}
	if !slices.Equal(events[:4], want) || events[len(events)-1] != "graph.Done{RunID:r}" {
		t.Errorf("events %q", events)
	}
	if r = run(diamond); len(log) != 0 || r.UI["5"]["text"][0] != "x15" { // cached, and still shown
		t.Errorf("second run called %v, shows %v", log, r.UI)
	}
	run(strings.Replace(diamond, `"b": 5`, `"b": 6`, 1))
	if got := strings.Join(log, " "); got != "3 4 5" {
		t.Errorf("after a change ran %s", got)
	}
	renamed := strings.NewReplacer(`"1"`, `"x"`, `"2"`, `"y"`, `"b": 5`, `"b": 6`).Replace(diamond)
	if run(renamed); len(log) != 0 {
		t.Errorf("other ids ran %v", log)
	}
	twins := `{"1": {"class_type": "Number", "inputs": {"value": 9}}, "2": {"class_type": "Number", "inputs": {"value": 9}},
		"3": {"class_type": "Sum", "inputs": {"a": ["1", 0], "b": ["2", 0]}}, "4": {"class_type": "Show", "inputs": {"value": ["3", 0]}}}`
	if run(twins); strings.Join(log, " ") != "2 3 4" || cache.Len() != 3 { // classic: the rest is dropped
		t.Errorf("twins ran %v, cache holds %d", log, cache.Len())
	}
}

func TestRunFingerprint(t *testing.T) {
	var log []string
	l, cache := toys(&log), &Cache{}
	text := `{"1": {"class_type": "Print", "inputs": {"value": %d}}, "2": {"class_type": "Show", "inputs": {"value": ["1", 0]}}}`
	run := func(v, print int) int {
		log, printed = nil, print
		if _, err := Run(t.Context(), mustParse(t, fmt.Sprintf(text, v)), Options{Nodes: l, Cache: cache}); err != nil {
			t.Fatal(err)
		}
		return len(log)
	}
	for i, c := range []struct{ v, print, want int }{{1, 1, 2}, {1, 1, 0}, {1, 2, 2}, {-1, 2, 2}, {-1, 2, 2}} {
		if got := run(c.v, c.print); got != c.want {
			t.Errorf("run %d: %d nodes ran, want %d", i, got, c.want)
		}
	}
}

func TestRunLists(t *testing.T) {
	var log []string
	p := mustParse(t, `{
		"1": {"class_type": "Range", "inputs": {"n": 3}},
		"2": {"class_type": "Range", "inputs": {"n": 2}},
		"3": {"class_type": "Sum", "inputs": {"a": ["1", 0], "b": ["2", 0]}},
		"4": {"class_type": "Join", "inputs": {"items": ["3", 0], "sep": "-"}},
		"5": {"class_type": "Show", "inputs": {"value": ["4", 0], "label": 7}},
		"6": {"class_type": "Show", "inputs": {"value": ["3", 0]}}}`)
	r, err := Run(t.Context(), p, Options{Nodes: toys(&log)})
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(r.UI["5"]["text"], r.UI["6"]["text"]) != "[70-2-3] [x0 x2 x3]" { // 0+0, 1+1, 2+1: the last repeats
		t.Errorf("shows %v", r.UI)
	}
	p = mustParse(t, `{"1": {"class_type": "Range", "inputs": {"n": 0}}, "5": {"class_type": "Show", "inputs": {"value": ["1", 0]}}}`)
	_, err = Run(t.Context(), p, Options{Nodes: toys(&log)})
	if e, ok := err.(*Error); !ok || e.Node != "5" || e.Input != "value" {
		t.Errorf("empty list: %v", err)
	}
}

func TestRunLazy(t *testing.T) {
	var log []string
	text := `{"1": {"class_type": "Number", "inputs": {"value": 1}}, "2": {"class_type": "Number", "inputs": {"value": 2}},
		"3": {"class_type": "Switch", "inputs": {"second": %v, "a": ["1", 0], "b": ["2", 0]}},
		"4": {"class_type": "Show", "inputs": {"value": ["3", 0]}}}`
	for second, want := range map[bool]string{false: "3 1 4", true: "3 2 4"} {
		log = nil
		if _, err := Run(t.Context(), mustParse(t, fmt.Sprintf(text, second)), Options{Nodes: toys(&log)}); err != nil || strings.Join(log, " ") != want {
			t.Errorf("second %v: ran %v, %v", second, log, err)
		}
	}
	failing := strings.Replace(fmt.Sprintf(text, false), `"class_type": "Number", "inputs": {"value": 1}`, `"class_type": "Fail", "inputs": {"how": ""}`, 1)
	_, err := Run(t.Context(), mustParse(t, failing), Options{Nodes: toys(&log)})
	if e, ok := err.(*Error); !ok || e.Node != "1" || e.Kind != KindNodeFailed {
		t.Errorf("failing lazy branch: %v", err)
	}
}

func TestRunFailures(t *testing.T) {
	var log []string
	for how, want := range map[string]string{
		"error": `node 1 (Fail) "My node": on purpose`,
		"panic": `node 1 (Fail) "My node": the node crashed: on purpose`,
	} {
		p := mustParse(t, fmt.Sprintf(`{"1": {"class_type": "Fail", "inputs": {"how": %q}, "_meta": {"title": "My node"}},
			"2": {"class_type": "Show", "inputs": {"value": ["1", 0]}}}`, how))
		var last Event
		_, err := Run(t.Context(), p, Options{Nodes: toys(&log), Events: func(e Event) { last = e }})
		e, ok := err.(*Error)
		if !ok || !strings.HasPrefix(err.Error(), want) {
			t.Fatalf("%s: %v", how, err)
		}
		if how == "panic" && !strings.Contains(e.Detail, "failNode") {
			t.Errorf("no stack in %q", e.Detail)
		}
		if f, ok := last.(Failed); !ok || f.Err != e {
			t.Errorf("last event %T", last)
		}
	}
	p := mustParse(t, `{"1": {"class_type": "Join", "inputs": {"items": null, "sep": ""}}, "2": {"class_type": "Show", "inputs": {"value": ["1", 0]}}}`)
	if _, err := Run(t.Context(), p, Options{Nodes: toys(&log)}); err == nil || !strings.Contains(err.Error(), "node 1 (Join), input items") {
		t.Errorf("null for a list: %v", err)
	}
	// A literal where only a link makes sense passes validation, as in ComfyUI, and fails in the node that gets it.
	p = mustParse(t, `{"1": {"class_type": "Join", "inputs": {"items": 5, "sep": ""}}, "2": {"class_type": "Show", "inputs": {"value": ["1", 0]}}}`)
	if _, err := Run(t.Context(), p, Options{Nodes: toys(&log)}); err != nil {
		t.Errorf("one value for a list: %v", err)
	}
}

func TestRunInterrupt(t *testing.T) {
	var log []string
	ctx, cancel := context.WithCancelCause(t.Context())
	p := mustParse(t, `{"1": {"class_type": "Wait", "inputs": {"value": 1}}, "2": {"class_type": "Show", "inputs": {"value": ["1", 0]}}}`)
	var last Event
	_, err := Run(ctx, p, Options{Nodes: toys(&log), Events: func(e Event) {
		if _, ok := e.(Executing); ok {
			cancel(errors.New("ctrl-C"))
		}
		last = e
	}})
	e, ok := err.(*Error)
	if !ok || e.Kind != KindInterrupted || e.Node != "1" || !reflect.DeepEqual(last, Interrupted{NodeID: "1"}) {
		t.Errorf("error %v, last event %#v", err, last)
	}
	if slices.Contains(log, "2") {
		t.Error("a node ran after the interrupt")
	}
}

func TestRunManyNodes(t *testing.T) {
	// A chain of 20,000 nodes: no deep recursion, no quadratic step.
	p := chain(20000)
	var log []string
	r, err := Run(t.Context(), p, Options{Nodes: toys(&log)})
	if err != nil || r.UI["out"]["text"][0] != "x20000" {
		t.Fatal(err, r)
	}
}
