package workflow

import (
	"context"
	"errors"
	"fmt"
	"math"

	"graphrun/graph"
	"graphrun/graph/expression"
)

// place is an input of a node.
type place struct {
	prompt    *graph.Prompt
	id, input string
}

// wrong is an error about the text that the input was to get.
func (at place) wrong(text string, err error) error {
	n := at.prompt.Nodes[at.id]
	e := &graph.Error{Kind: graph.KindBadValue, Node: at.id, Class: n.Class, Title: n.Title, Input: at.input, Err: err, Have: text}
	var x *expression.Error
	if errors.As(err, &x) {
		e.Need, e.Hint = x.Need, x.Hint
	}
	return e
}

// compute is the result of a formula for the input. It sees the input's own value as `value`, the node's other constants
// by their names, and those of all nodes by node("id, title or class").
func (at place) compute(code string) (any, error) {
	here := constants(at.prompt.Nodes[at.id])
	var names []string
	for _, in := range at.prompt.Nodes[at.id].Inputs { // in their order, for people
		if _, ok := here[in.Name]; ok && in.Name != "value" {
			names = append(names, in.Name)
		}
	}
	if old, ok := here[at.input]; ok {
		here["value"], names = old, append(names, "value")
	}
	p, err := expression.Compile(code, names, expression.Function{Name: "node", Call: at.node})
	if err != nil {
		return nil, err
	}
	return p.Run(context.Background(), func(name string) (any, error) { return here[name], nil })
}

// node is what a formula sees of another node.
func (at place) node(name any) (any, error) {
	text, err := expression.Text(name)
	if err != nil {
		return nil, fmt.Errorf("node(NAME): %w", err)
	}
	id, err := findNode(at.prompt, text)
	if err != nil {
		return nil, err
	}
	return &expression.Object{Type: fmt.Sprintf("node %s", id), Fields: constants(at.prompt.Nodes[id])}, nil
}

// constants are the inputs of a node that are no links, as formulas see them.
func constants(n *graph.Node) map[string]any {
	m := map[string]any{}
	for _, in := range n.Inputs {
		switch v := number(in.Value).(type) {
		case bool, string, int, uint64, float64:
			m[in.Name] = v
		case int64:
			m[in.Name] = int(v)
		}
	}
	return m
}

// typed is a formula's result as the input's type has it: a number for an INT must be whole.
func typed(v any, port *graph.Port) (any, error) {
	kind := ""
	if port != nil {
		kind = port.Type
	}
	switch x := v.(type) {
	case float64:
		switch {
		case kind == "INT" && x == math.Trunc(x) && math.Abs(x) < 1<<53:
			return int64(x), nil
		case kind == "INT" && !math.IsInf(x, 0) && !math.IsNaN(x):
			return nil, &expression.Error{What: fmt.Sprintf("the expression gives %v", x), Need: "a whole number", Hint: "round(...), floor(...) or int(...) make one"}
		}
	case int:
		if kind == "FLOAT" {
			return float64(x), nil
		}
	case uint64:
		if kind == "FLOAT" {
			return float64(x), nil
		}
	}
	if kind == "STRING" && v != nil {
		return expression.Text(v)
	}
	return expression.Scalar(v)
}
