// Package testing has the nodes that ComfyUI's own execution tests use, described in specs/testing-nodes.md. They are in a
// library of their own, which `--test-nodes` adds to the others.
package testing

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"graphrun/graph"
	"graphrun/runtime/picture"
	"graphrun/types"
)

const (
	stubs   = "Testing/Stub Nodes"
	special = "Testing/Nodes"
	flow    = "Testing/Flow"
	lists   = "Testing/Lists"
	logic   = "Testing/Logic"
	timed   = "_for_testing"
	async   = "_for_testing/async"
)

// Library returns the pack.
func Library() graph.Library {
	l := graph.Library{}
	addStubs(l)
	addSpecial(l)
	addExpansions(l)
	addFlow(l)
	addLists(l)
	addLogic(l)
	addAsync(l)
	return l
}

// add puts the node N into the library.
func add[N graph.Runner[Out], Out any](l graph.Library, name, title, category string) *graph.Spec {
	s := graph.Compile[N](graph.Meta{
		Name: name, Title: title, Category: category, Module: "custom_nodes.testing-pack",
		Description: "Of ComfyUI's execution tests.",
	})
	l[name] = s
	return s
}

// concurrent marks a node that mostly waits.
func concurrent(s *graph.Spec) *graph.Spec {
	s.Async = true
	return s
}

// smart lets the node compare the types of its links by itself: what comes must be among what it takes.
func smart(s *graph.Spec) *graph.Spec {
	s.ValidateTypes = func(_ *graph.Env, _ []any, received map[string]string) error {
		for _, name := range slices.Sorted(maps.Keys(received)) {
			if p := s.Input(name); p != nil && !among(received[name], p.Type) {
				return fmt.Errorf("%s %s: %s (expected %s)", invalidType, name, received[name], p.Type)
			}
		}
		return nil
	}
	return s
}

// among reports whether all types of one union are in another, or either is a wildcard.
func among(some, all string) bool {
	if some == "*" || all == "*" {
		return true
	}
	list := strings.Split(all, ",")
	for t := range strings.SplitSeq(some, ",") {
		if !slices.Contains(list, t) {
			return false
		}
	}
	return true
}

// filled returns pictures [n, h, w, 3] or, without channels, masks [n, h, w] of one value.
func filled(value float64, shape ...int) (types.Tensor, error) {
	room := picture.MaxValues
	for _, s := range shape {
		room /= max(s, 1)
	}
	if room == 0 {
		return types.Tensor{}, &graph.Error{
			Kind: graph.KindTooBig, Need: fmt.Sprintf("at most %d values", picture.MaxValues), Have: fmt.Sprint(shape),
			Hint: "choose a smaller batch or picture",
		}
	}
	t := types.NewTensor(shape...)
	for i := range t.Data {
		t.Data[i] = float32(value)
	}
	return t, nil
}

// ones are pictures [1, 512, 512, 3] of one value, the result of many of the nodes.
func ones(value float64) (types.Image, error) {
	t, err := filled(value, 1, 512, 512, 3)
	return types.Image{Tensor: t}, err
}

// mapped returns the pictures with f applied to each value.
func mapped(i types.Image, f func(float32) float32) types.Image {
	t := types.NewTensor(i.Shape...)
	for k, v := range i.Data {
		t.Data[k] = f(v)
	}
	return types.Image{Tensor: t}
}
