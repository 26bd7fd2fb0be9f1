package graph

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// referenceOrder is executor.md 3 word by word, with linear scans: the ids in the order in which they execute.
// Nodes of class Pick ask for the lazy inputs in wants; they are named each time they are tried.
func referenceOrder(p *Prompt, wants map[string][]string) (order []string) {
	var pending []string
	isPending, done := map[string]bool{}, map[string]bool{}
	needs := map[string][]string{} // links that count, of pending nodes
	var add func(id string)
	links := func(id string, lazily []string) (from []string) {
		for _, in := range p.Nodes[id].Inputs {
			if src, _, ok := AsLink(in.Value); ok {
				lazy := p.Nodes[id].Class == "Pick" && in.Name != "which"
				if !lazy || slices.Contains(lazily, in.Name) {
					from = append(from, src)
				}
			}
		}
		return from
	}
	add = func(id string) {
		stack := []string{id}
		for len(stack) > 0 {
			id := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			if isPending[id] || done[id] {
				continue
			}
			pending, isPending[id] = append(pending, id), true
			needs[id] = links(id, nil)
			stack = append(stack, needs[id]...)
		}
	}
	output := func(id string) bool { return p.Nodes[id].Class == "Show" }
	feeds := func(id string, target func(string) bool) bool {
		return slices.ContainsFunc(pending, func(c string) bool { return slices.Contains(needs[c], id) && target(c) })
	}
	for _, id := range p.IDs {
		if output(id) {
			add(id)
		}
	}
	asked := map[string]bool{}
	for len(pending) > 0 {
		var ready []string
		for _, id := range pending {
			if !slices.ContainsFunc(needs[id], func(s string) bool { return !done[s] }) {
				ready = append(ready, id)
			}
		}
		feedsOutput := func(id string) bool { return feeds(id, output) }
		at := -1
		for _, rule := range []func(string) bool{output, feedsOutput, func(id string) bool { return feeds(id, feedsOutput) }} {
			if at < 0 {
				at = slices.IndexFunc(ready, rule)
			}
		}
		id := ready[max(at, 0)]
		order = append(order, id)
		if p.Nodes[id].Class == "Pick" && !asked[id] {
			asked[id] = true
			before := needs[id]
			needs[id] = links(id, wants[id])
			for _, s := range needs[id] {
				if !slices.Contains(before, s) || !done[s] {
					add(s)
				}
			}
			if len(wants[id]) > 0 && len(needs[id]) > len(before) {
				continue
			}
		}
		done[id], isPending[id] = true, false
		pending = slices.DeleteFunc(pending, func(o string) bool { return o == id })
	}
	return order
}

// The order of a serial run is that of the reference, node by node, also where lazy inputs are asked for.
func TestReferenceOrder(t *testing.T) {
	m := newMaker(t)
	wants := map[string][]string{}
	m.node("Pick which a? b?", func(s *Spec) {
		s.NotIdempotent = true // so that no two nodes are equal
		s.CheckLazy = func(c *Call, _ []any) ([]string, error) { return wants[c.NodeID], nil }
	}, func(*Call, []any) (Output, error) { return Output{Values: []any{nil}}, nil })
	m.node("Any a b c", func(s *Spec) { s.NotIdempotent = true }, func(*Call, []any) (Output, error) { return Output{Values: []any{nil}}, nil })
	m.Library["Show"].NotIdempotent = true
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 7))
		p := &Prompt{}
		clear(wants)
		var sources []string
		for i := range 4 + r.IntN(25) {
			id := strings.Repeat("n", 1+i)
			n := &Node{Class: []string{"Any", "Any", "Pick", "Show"}[r.IntN(4)]}
			names := map[string][]string{"Any": {"a", "b", "c"}, "Pick": {"which", "a", "b"}, "Show": {"value"}}[n.Class]
			for _, name := range names {
				if len(sources) > 0 && r.IntN(4) > 0 {
					n.Set(name, Link(sources[max(0, len(sources)-1-r.IntN(6))], 0))
					if n.Class == "Pick" && name != "which" && r.IntN(2) == 0 {
						wants[id] = append(wants[id], name)
					}
				}
			}
			if p.Add(id, n); n.Class != "Show" {
				sources = append(sources, id)
			}
		}
		p.Add("out", &Node{Class: "Show", Inputs: []Input{{"value", int64(1)}}})
		_, events, err := m.run(Options{Room: Room{Serial: true}}, p)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range events {
			if words := strings.Fields(e); words[0] == "executing" {
				got = append(got, words[1])
			}
		}
		if want := referenceOrder(p, wants); !slices.Equal(got, want) {
			text, _ := p.MarshalJSON()
			t.Fatalf("seed %d: %s\nasks %v\ngot  %v\nwant %v", seed, text, wants, got, want)
		}
	}
}
