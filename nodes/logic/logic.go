// Package logic has the nodes for conditions, numbers, lists and texts that ComfyUI's later releases added
// (newer-nodes.md section 2).
package logic

import (
	"slices"

	"graphrun/graph"
	"graphrun/graph/python"
)

// newer is what the nodes of the package have in common.
func newer(name, title, category, module, what string) graph.Meta {
	return graph.Meta{Name: name, Title: title, Category: category, Module: "comfy_extras." + module, Later: true, NewStyle: true, Description: what}
}

func init() {
	m := newer("ComfySwitchNode", "If/Else Switch", "utilities/logic", "nodes_logic",
		"Gives on_true or on_false, as the switch says. What leads to the other one does not run.")
	m.Experimental = true
	graph.Register[ComfySwitchNode](m)
	graph.Register[ComfyAndNode](newer("ComfyAndNode", "And", "utilities/logic", "nodes_logic", "True if all values are: not zero, not empty, not null."))
	graph.Register[ComfyOrNode](newer("ComfyOrNode", "Or", "utilities/logic", "nodes_logic", "True if one of the values is: not zero, not empty, not null."))
	graph.Register[ComfyNotNode](newer("ComfyNotNode", "Not", "utilities/logic", "nodes_logic", "True if the value is zero, empty or null."))
	m = newer("CustomCombo", "Custom Combo", "utilities", "nodes_logic", "A choice among texts that are written in the node.")
	m.Experimental = true
	graph.Register[CustomCombo](m)
}

// ComfySwitchNode chooses between two branches.
type ComfySwitchNode struct {
	Switch  bool
	OnFalse graph.Lazy[graph.Any] `optional:"true" match:"switch"`
	OnTrue  graph.Lazy[graph.Any] `optional:"true" match:"switch"`
}

type switched struct {
	Output graph.Any `out:"output" match:"switch"`
}

// side is the chosen input and its name.
func (n ComfySwitchNode) side() (graph.Lazy[graph.Any], string) {
	if n.Switch {
		return n.OnTrue, "on_true"
	}
	return n.OnFalse, "on_false"
}

// CheckLazy names the chosen side, if something is connected there.
func (n ComfySwitchNode) CheckLazy(c *graph.Call) ([]string, error) {
	_, name := n.side()
	if node := c.DynPrompt.Node(c.NodeID); node != nil {
		if _, connected := node.Input(name); !connected {
			return nil, nil
		}
	}
	return []string{name}, nil
}

// Run gives the chosen side, null if nothing is connected there.
func (n ComfySwitchNode) Run(*graph.Call) (out switched, err error) {
	if side, _ := n.side(); side.Given() {
		out.Output, err = side.Get()
	}
	return out, err
}

// ComfyAndNode is true if all values are.
type ComfyAndNode struct {
	Values graph.Autogrow[graph.Any] `prefix:"value" min:"1" max:"10"`
}

// Run looks at all values, as Python's truth goes.
func (n ComfyAndNode) Run(*graph.Call) (bool, error) {
	all, err := truths(n.Values)
	return !slices.Contains(all, false), err
}

// ComfyOrNode is true if one value is.
type ComfyOrNode struct {
	Values graph.Autogrow[graph.Any] `prefix:"value" min:"1" max:"10"`
}

// Run looks at all values, as Python's truth goes.
func (n ComfyOrNode) Run(*graph.Call) (bool, error) {
	all, err := truths(n.Values)
	return slices.Contains(all, true), err
}

// ComfyNotNode turns a truth over.
type ComfyNotNode struct {
	Value graph.Any
}

// Run is true for null, false, zero and what is empty.
func (n ComfyNotNode) Run(*graph.Call) (bool, error) {
	b, err := truth("value", n.Value.Value)
	return !b, err
}

func truths(values graph.Autogrow[graph.Any]) ([]bool, error) {
	out := make([]bool, len(values))
	for i, v := range values {
		b, err := truth("values."+v.Name, v.Value.Value)
		if err != nil {
			return nil, err
		}
		out[i] = b
	}
	return out, nil
}

// sized is a tensor: a truth only with one element.
type sized interface {
	Check(what string, rank int) error
}

func truth(input string, v any) (bool, error) {
	if _, isTensor := v.(sized); isTensor {
		return false, &graph.Error{
			Kind: graph.KindBadValue, Input: input, Need: "a number, a text, a boolean or a list", Have: "a tensor",
			Hint: "a tensor of many values is neither true nor false: take a number from it",
		}
	}
	return python.Truth(v), nil
}

// customChoice is any text: the choices are in the workflow.
type customChoice string

// Options lists nothing.
func (customChoice) Options() []string { return []string{} }

// CustomCombo is a choice among the user's own texts.
type CustomCombo struct {
	Choice customChoice `checked:"true"`
	Index  int          `unlisted:"true"` // the editor sends the position of the choice
}

type chosen struct {
	Text  string
	Index int `out:"INDEX"`
}

// Run gives the choice and its position, 0 if the client sent none.
func (n CustomCombo) Run(*graph.Call) (chosen, error) { return chosen{string(n.Choice), n.Index}, nil }

// Validate takes every text: without it the tag checked would have no meaning.
func (CustomCombo) Validate() error { return nil }
