package graph

import "encoding/json"

// Prompt is a graph to run: nodes by id, in the order of the file.
type Prompt struct {
	IDs   []string
	Nodes map[string]*Node
}

// Node is one node of a prompt.
type Node struct {
	Class  string
	Title  string // from _meta
	Inputs []Input
	Meta   json.RawMessage // _meta as it was read
}

// Input is a named input value: a link ([]any{id, slot}) or a constant.
//
// Constants are what JSON gives (nil, bool, string, json.Number, []any, map[string]any); validation replaces those of
// declared inputs by int64, uint64, float64, string or bool.
type Input struct {
	Name  string
	Value any
}

// Input returns the value of the named input.
func (n *Node) Input(name string) (any, bool) {
	for i := range n.Inputs {
		if n.Inputs[i].Name == name {
			return n.Inputs[i].Value, true
		}
	}
	return nil, false
}
