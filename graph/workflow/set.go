package workflow

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"graphrun/graph"
)

// assignment is a parsed NODE.INPUT=VALUE, or one that a variation makes of a known input.
type assignment struct {
	target, value string

	at     place  // the input, if it is known
	known  any    // its value
	behind string // or what goes behind the text that it has
}

// Set gives an input another value when the prompt is made: NODE.INPUT=VALUE, where NODE is an id, a title or a class
// that only one node has. VALUE is taken as text where the input is text or a choice, else as JSON; =FORMULA is
// computed from the prompt's values (docs/expressions.md). Only the form is checked here: the rest by Prompt.
func (f *File) Set(text string) error {
	target, value, ok := splitSet(text)
	if !ok {
		return &graph.Error{Kind: graph.KindBadSet, Need: "NODE.INPUT=VALUE", Have: text, Hint: `for example KSampler.seed=42 or 3.seed='=value+1'`}
	}
	f.sets = append(f.sets, assignment{target: target, value: value})
	return nil
}

// splitSet cuts NODE.INPUT=VALUE at the sign; ok says that the target can be one.
func splitSet(text string) (target, value string, ok bool) {
	target, value, ok = strings.Cut(text, "=")
	return target, value, ok && strings.LastIndexByte(target, '.') >= 1 && !strings.HasSuffix(target, ".")
}

// find is the input that the assignment means, and its port, if the class is known.
func (a assignment) find(p *graph.Prompt, nodes graph.Library) (at place, port *graph.Port, err error) {
	var id, input string
	// Titles and inputs may hold dots: the last dot that leaves a node on its left.
	for at := strings.LastIndexByte(a.target, '.'); at > 0; at = strings.LastIndexByte(a.target[:at], '.') {
		if found, e := findNode(p, a.target[:at]); e == nil {
			id, input, err = found, a.target[at+1:], nil
			break
		} else if err == nil {
			err = e
		}
	}
	if err != nil {
		return place{}, nil, err
	}
	at = place{p, id, input}
	n := p.Nodes[id]
	if spec := nodes[n.Class]; spec != nil {
		if port = spec.Input(input); port == nil {
			if _, has := n.Input(input); has {
				return at, nil, nil
			}
			var names []string
			for _, in := range spec.Inputs {
				names = append(names, in.Name)
			}
			return at, nil, &graph.Error{
				Kind: graph.KindBadSet, Node: id, Class: n.Class, Title: n.Title,
				Need: "one of the inputs " + strings.Join(names, ", "), Have: input, Hint: didYouMean(input, names),
			}
		}
	}
	return at, port, nil
}

// apply sets the input in the prompt and says which it was.
func (a assignment) apply(p *graph.Prompt, nodes graph.Library) (id, input string, err error) {
	if a.at.prompt != nil {
		value := a.known
		if a.behind != "" {
			old, _ := p.Nodes[a.at.id].Input(a.at.input)
			text, _ := old.(string)
			value = text + a.behind
		}
		p.Nodes[a.at.id].Set(a.at.input, value)
		return a.at.id, a.at.input, nil
	}
	at, port, err := a.find(p, nodes)
	if err != nil {
		return "", "", err
	}
	value, err := a.evaluate(at, port)
	if err != nil {
		return "", "", at.wrong(a.value, err)
	}
	p.Nodes[at.id].Set(at.input, value)
	return at.id, at.input, nil
}

// findNode finds a node by id, by title, or by class.
func findNode(p *graph.Prompt, name string) (string, error) {
	if p.Nodes[name] != nil {
		return name, nil
	}
	for _, by := range []func(*graph.Node) string{
		func(n *graph.Node) string { return n.Title },
		func(n *graph.Node) string { return n.Class },
	} {
		var ids []string
		for _, id := range p.IDs {
			if by(p.Nodes[id]) == name {
				ids = append(ids, id)
			}
		}
		switch {
		case len(ids) == 1:
			return ids[0], nil
		case len(ids) > 1:
			return "", &graph.Error{
				Kind: graph.KindBadSet, Have: fmt.Sprintf("%d nodes called %s", len(ids), name),
				Need: "one node: " + choices(p, ids), Hint: "name the node by its id, or by a title that no other has",
			}
		}
	}
	var names []string
	for _, id := range p.IDs {
		names = append(names, id, p.Nodes[id].Title, p.Nodes[id].Class)
	}
	return "", &graph.Error{
		Kind: graph.KindBadSet, Have: name, Need: "the id, title or class of one node: " + choices(p, p.IDs), Hint: didYouMean(name, names),
	}
}

// choices lists nodes by id, class and title.
func choices(p *graph.Prompt, ids []string) string {
	var list []string
	for _, id := range ids[:min(len(ids), 30)] {
		n := p.Nodes[id]
		text := fmt.Sprintf("%s (%s)", id, n.Class)
		if n.Title != "" && n.Title != n.Class {
			text += fmt.Sprintf(" %q", n.Title)
		}
		list = append(list, text)
	}
	if len(ids) > len(list) {
		list = append(list, fmt.Sprintf("... (%d in all)", len(ids)))
	}
	return strings.Join(list, ", ")
}

func didYouMean(name string, names []string) string {
	near := slices.Compact(graph.Nearest(name, names, 3))
	if len(near) == 0 {
		return ""
	}
	return "did you mean " + strings.Join(near, ", ") + "?"
}

// evaluate returns the value to set.
func (a assignment) evaluate(at place, port *graph.Port) (any, error) {
	if code, isExpr := strings.CutPrefix(a.value, "="); isExpr {
		v, err := at.compute(code)
		if err != nil {
			return nil, err
		}
		return typed(v, port)
	}
	return a.literal(port), nil
}

// literal is a value as it is written: text where the input is text or a choice, else JSON, or else text.
func (a assignment) literal(port *graph.Port) any {
	if isText(port) {
		return a.value
	}
	d := json.NewDecoder(bytes.NewReader([]byte(a.value)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil || d.More() {
		return a.value
	}
	return v
}

// isText reports whether an input's values are taken as they are written.
func isText(port *graph.Port) bool {
	return port != nil && (port.Type == "STRING" || port.IsCombo())
}

// number is a value as expressions see it: an int where it is whole and fits.
func number(v any) any {
	n, ok := v.(json.Number)
	if !ok {
		return v
	}
	if i, err := n.Int64(); err == nil {
		return int(i)
	}
	var u uint64
	if json.Unmarshal([]byte(n), &u) == nil {
		return u
	}
	if f, err := n.Float64(); err == nil {
		return f
	}
	return string(n)
}

// keep writes a value that Set gave into the workflow, where the input is a widget, and returns what takes it back.
func (c *converter) keep(id, input string, value any) (undo func()) {
	f, n := c.find(id)
	if n == nil {
		return func() {}
	}
	w := n.widget(input)
	if _, outer := f.values[widgetKey{n.id, input}]; w == nil || outer || c.uses[f.canvas] > 1 {
		return func() {} // no widget, or its value is an instance's, or that of several
	}
	w.value, w.absent = value, false
	switch saved := c.file.saved(n).(type) {
	case []any:
		if at := w.at; at >= 0 {
			old := saved[at]
			saved[at] = value
			return func() { saved[at] = old }
		}
	case map[string]any:
		if old, ok := saved[input]; ok {
			saved[input] = value
			return func() { saved[input] = old }
		}
	}
	return func() {}
}
