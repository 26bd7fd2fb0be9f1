package graph

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// expanding adds nodes for the tests of expansions.
func expanding(m *maker) {
	// Grow x depth: Add(x, 1) and, if there is depth left, itself of that.
	m.node("Grow x depth", nil, func(c *Call, in []any) (Output, error) {
		g := c.Subgraph()
		add := g.Add("Add", "", Input{"a", in[0]}, Input{"b", int64(1)})
		g.Add("Add", "unused", Input{"a", in[0]}, Input{"b", int64(7)})
		last := Link(add, 0)
		if d := in[1].(int64); d > 1 {
			last = Link(g.Add("Grow", "deeper", Input{"x", last}, Input{"depth", d - 1}), 0)
		}
		g.Add("Show", "peek", Input{"value", Link(add, 0)})
		g.Results = []any{last}
		return Output{Expand: g}, nil
	})
	// Mix x: by x a plain result, a constant expansion, or a new node.
	m.node("Mix x", nil, func(c *Call, in []any) (Output, error) {
		x := in[0].(int64)
		if x == 0 {
			return Output{Values: []any{int64(100)}}, nil
		}
		g := c.Subgraph()
		g.Results = []any{int64(200)}
		if x == 2 {
			g.Results[0] = Link(g.Add("Range", "r", Input{"n", int64(2)}), 0)
		}
		return Output{Expand: g}, nil
	})
	m.node("Range n", func(s *Spec) { s.Outputs[0].List = true }, func(_ *Call, in []any) (Output, error) {
		items := []any{}
		for i := range in[0].(int64) {
			items = append(items, i)
		}
		return Output{Values: []any{items}}, nil
	})
	m.node("Bad how", nil, func(c *Call, in []any) (Output, error) {
		g := c.Subgraph()
		g.Results = []any{Link(g.Add("Num", "n", Input{"value", int64(1)}), 0)}
		switch in[0] {
		case "duplicate":
			g.Add("Num", "n")
		case "class":
			g.Add("Nowhere", "")
		case "nil":
			g.Nodes[0].Node = nil
		case "results":
			g.Results = nil
		case "nowhere":
			g.Results[0] = Link("absent", 0)
		case "slot":
			g.Results[0] = Link(g.Nodes[0].ID, 5)
		case "source":
			g.Nodes[0].Inputs[0].Value = Link("absent", 0)
		case "fails":
			g.Nodes[0].Node = &Node{Class: "Panic"}
		case "cycle":
			a, b := g.Add("Add", "a"), g.Add("Add", "b")
			g.Nodes[1].Inputs = []Input{{"a", Link(b, 0)}, {"b", int64(1)}}
			g.Nodes[2].Inputs = []Input{{"a", Link(a, 0)}, {"b", int64(1)}}
			g.Results[0] = Link(b, 0)
		case "self": // needs what needs it
			g.Results[0] = Link(c.NodeID, 0)
		case "endless":
			g.Results[0] = Link(g.Add("Bad", "again", Input{"how", "endless"}), 0)
		}
		return Output{Expand: g}, nil
	})
	m.node("Panic", nil, func(*Call, []any) (Output, error) { panic("on purpose") })
}

func TestExpansion(t *testing.T) {
	m := newMaker(t)
	expanding(m)
	cache := &Cache{}
	r, events, err := m.run(Options{Cache: cache, Room: Room{Serial: true}}, m.prompt("5 Grow x=1 depth=2", "s Show value=5.0"))
	if err != nil || text(r.UI["s"]) != "3" || text(r.UI["5.0.0.peek"]) != "2" || text(r.UI["5.0.0.deeper.0.0.peek"]) != "3" {
		t.Fatalf("%v %v", r.UI, err)
	}
	want := []string{
		"cached []", "executing 5 5", "executing 5.0.0.1 5", "executed 5.0.0.1[]", "executing 5.0.0.peek 5", "executed 5.0.0.peek[2]",
		"executing 5.0.0.deeper 5", "executing 5.0.0.deeper.0.0.1 5", "executed 5.0.0.deeper.0.0.1[]",
		"executing 5.0.0.deeper.0.0.peek 5", "executed 5.0.0.deeper.0.0.peek[3]", "executed 5.0.0.deeper[]", "executed 5[]",
		"executing s s", "executed s[3]", "done",
	}
	if !slices.Equal(events, want) {
		t.Errorf("events\n%s", strings.Join(events, "\n"))
	}
	// The same again: the expanding node is cached, so nothing is made. Deeper: the first children are found.
	if _, _, _ = m.run(Options{Cache: cache}, m.prompt("5 Grow x=1 depth=2", "s Show value=5.0")); len(m.runs) != 0 {
		t.Errorf("ran %v", m.runs)
	}
	r, events, err = m.run(Options{Cache: cache, Room: Room{Serial: true}}, m.prompt("5 Grow x=1 depth=3", "s Show value=5.0"))
	if err != nil || text(r.UI["s"]) != "4" || slices.Contains(m.runs, "5.0.0.1") || slices.Contains(m.runs, "5.0.0.peek") || !slices.Contains(events, "executed 5.0.0.peek cached[2]") {
		t.Errorf("ran %v, events %q, %v", m.runs, events, err)
	}
	// Several calls: plain, constants and links, whose lists are joined in order.
	r, _, err = m.run(Options{}, m.prompt("r Range n=3", "m Mix x=r.0", "s Show value=m.0"))
	if err != nil || fmt.Sprint(r.UI["s"]["text"]) != "[100 200 0 1]" {
		t.Errorf("%v %v", r.UI, err)
	}
}

func TestBadExpansion(t *testing.T) {
	defer func(n int) { maxGrownID = n }(maxGrownID)
	maxGrownID = 4 << 20
	for how, want := range map[string]Kind{
		"duplicate": KindDuplicateNode, "class": KindExpansion, "nil": KindExpansion, "results": KindExpansion, "nowhere": KindExpansion,
		"slot": KindExpansion, "source": KindLinkNowhere, "fails": KindNodePanicked, "cycle": KindCycle, "self": KindCycle, "endless": KindExpansion,
	} {
		for _, serial := range []bool{false, true} {
			m := newMaker(t)
			expanding(m)
			r, events, err := m.run(Options{Room: Room{Serial: serial}}, m.prompt("1 Num value=3", "s1 Show value=1.0", "b Bad how="+how, "s Show value=b.0"))
			e, ok := err.(*Error)
			if !ok || e.Kind != want || e.Node != "b" || e.Class != "Bad" {
				t.Errorf("%s: %v", how, err)
				continue
			}
			if (e.Within == "") != (how != "source" && how != "fails" && how != "cycle" && how != "endless") {
				t.Errorf("%s: within %q", how, e.Within)
			}
			if text(r.UI["s1"]) != "3" || events[len(events)-1] != "failed b" || slices.Contains(m.runs, "s") {
				t.Errorf("%s: %q", how, events)
			}
		}
	}
}

func TestExpansionDisplay(t *testing.T) {
	m := newMaker(t)
	m.node("As other", nil, func(c *Call, in []any) (Output, error) {
		g := c.Subgraph()
		id := g.Add("Who", "w")
		g.Nodes[0].Display = in[0].(string)
		g.Results = []any{Link(id, 0)}
		return Output{Expand: g}, nil
	})
	m.node("Who", nil, func(c *Call, in []any) (Output, error) {
		d := c.DynPrompt
		return Output{Values: []any{fmt.Sprint(c.NodeID, " of ", d.Parent(c.NodeID), " shown as ", d.Display(c.NodeID), ", ", d.Display("s"), d.Parent("s"))}}, nil
	})
	r, _, err := m.run(Options{}, m.prompt("1 As other=s", "s Show value=1.0"))
	if err != nil || text(r.UI["s"]) != "1.0.0.w of 1 shown as s, s" {
		t.Errorf("%v %v", r.UI, err)
	}
	r, _, err = m.run(Options{}, m.prompt("1 As other=nobody", "s Show value=1.0"))
	if err != nil || text(r.UI["s"]) != "1.0.0.w of 1 shown as 1, s" {
		t.Errorf("%v %v", r.UI, err)
	}
}

// Two equal nodes of which one needs the other through its expansion: it must not wait for itself.
func TestEqualNodesInADeadlock(t *testing.T) {
	m := newMaker(t)
	m.node("Cross x", nil, func(c *Call, in []any) (Output, error) {
		if c.NodeID == "b" {
			return Output{Values: []any{int64(5)}}, nil
		}
		g := c.Subgraph()
		g.Results = []any{Link(g.Add("Add", "", Input{"a", Link("b", 0)}, Input{"b", int64(1)}), 0)}
		return Output{Expand: g}, nil
	})
	for _, room := range []Room{{}, {Serial: true}} {
		r, _, err := m.run(Options{Room: room}, m.prompt("ta Add a=a.0 b=100", "sa Show value=ta.0", "a Cross x=1", "b Cross x=1", "tb Add a=b.0 b=200", "sb Show value=tb.0"))
		if err != nil || text(r.UI["sa"]) != "106" || text(r.UI["sb"]) != "205" {
			t.Errorf("%v %v", r.UI, err)
		}
	}
}
