// Package expr has the nodes that people program in a line: ExprMath, ExprText and ExprSwitch compute a formula of
// graph/expression over inputs a to z of any type. They reach nothing but these inputs.
package expr

import (
	"context"
	"errors"
	"fmt"
	"math"

	"graphrun/graph"
	"graphrun/graph/expression"
)

const help = " Inputs are a to z, of any type; pictures and latents show width, height, batch and channels. docs/expressions.md has the language."

func init() {
	add(graph.Meta{
		Name: "ExprMath", Title: "Math (Expression)",
		Description: "Computes a number from numbers, such as a * 2 + b. Gives it as it is, cut to a whole one, and as whether it is not zero." + help,
	}, "a + 1", false, []string{"FLOAT", "INT", "BOOLEAN"}, number)
	add(graph.Meta{
		Name: "ExprText", Title: "Text (Expression)",
		Description: "Makes a text from values, such as \"a \" + a + \" of \" + string(b)." + help,
	}, `"a " + a`, false, []string{"STRING"}, text)
	add(graph.Meta{
		Name: "ExprSwitch", Title: "Switch (Expression)",
		Description: "Hands on one of its inputs, such as a > 2 ? b : c. Only what the formula comes to is computed." + help,
	}, "a ? b : c", true, []string{"*"}, func(v any) ([]any, error) {
		x, err := value(v)
		return []any{x}, err
	})
}

// letters are the names of the inputs.
var letters = func() []string {
	list := make([]string, 26)
	for i := range list {
		list[i] = string(rune('a' + i))
	}
	return list
}()

// add registers a node that gives what convert makes of the formula's result. 26 fields would say the same thing 26 times.
func add(m graph.Meta, example string, lazy bool, outputs []string, convert func(any) ([]any, error)) {
	m.Category = "utils/expression"
	s := &graph.Spec{Meta: m, Inputs: []graph.Port{{
		Name: "expression", Type: "STRING", Opts: map[string]any{"default": example, "multiline": true, "tooltip": "The formula."},
	}}}
	for _, name := range letters {
		p := graph.Port{Name: name, Type: "*", Optional: true, Lazy: lazy, Opts: map[string]any{}}
		if lazy {
			p.Opts["lazy"] = true
		}
		s.Inputs = append(s.Inputs, p)
	}
	for _, typ := range outputs {
		s.Outputs = append(s.Outputs, graph.Port{Name: typ, Type: typ})
	}
	s.Validate = func(_ *graph.Env, in []any) error {
		code, ok := in[0].(string)
		if !ok {
			return nil // a link: seen when it runs
		}
		_, err := expression.Compile(code, letters)
		return mistake(err)
	}
	s.Run = func(c *graph.Call, in []any) (graph.Output, error) {
		code, ok := in[0].(string)
		if !ok {
			return graph.Output{}, &graph.Error{Kind: graph.KindBadValue, Input: "expression", Need: "text", Have: fmt.Sprintf("%T", in[0]), Hint: "connect a STRING"}
		}
		v, err := compute(c, code, in[1:])
		if err != nil {
			return graph.Output{}, err
		}
		values, err := convert(v)
		return graph.Output{Values: values}, mistake(err)
	}
	graph.Add(s)
}

// compute runs the formula over the inputs a to z.
func compute(c *graph.Call, code string, in []any) (any, error) {
	p, err := expression.Compile(code, letters)
	if err != nil {
		return nil, mistake(err)
	}
	var above error // of an input's own branch: it speaks for itself
	ctx := c.Context
	if ctx == nil {
		ctx = context.Background()
	}
	v, err := p.Run(ctx, func(name string) (any, error) {
		x := in[name[0]-'a']
		if get, lazy := x.(func() (any, error)); lazy {
			if x, err = get(); err != nil {
				above = err
				return nil, err
			}
		} else if x == nil && !connected(c, name) {
			above = &graph.Error{Kind: graph.KindMissing, Input: name, Need: "a value: the expression uses it", Have: "nothing", Hint: "connect " + name + ", or leave it out of the expression"}
			return nil, above
		}
		seen, err := view(x)
		if err != nil {
			above = &graph.Error{Kind: graph.KindBadValue, Input: name, Err: err, Hint: "make it shorter before this node"}
		}
		return seen, err
	})
	if above != nil {
		return nil, above
	}
	return v, mistake(err)
}

// connected reports an input that is there, whatever its value.
func connected(c *graph.Call, name string) bool {
	if c.Prompt == nil || c.Prompt.Nodes[c.NodeID] == nil {
		return false
	}
	v, ok := c.Prompt.Nodes[c.NodeID].Input(name)
	return ok && v != nil
}

// mistake is an error of the input expression.
func mistake(err error) error {
	if err == nil {
		return nil
	}
	return &graph.Error{Kind: graph.KindNodeFailed, Input: "expression", Err: err}
}

// number is the result of ExprMath: FLOAT, INT, BOOLEAN.
func number(v any) ([]any, error) {
	if yes, ok := v.(bool); ok {
		v = 0
		if yes {
			v = 1
		}
	}
	var f float64
	switch x := v.(type) {
	case int:
		return []any{float64(x), int64(x), x != 0}, nil
	case uint64:
		return []any{float64(x), x, x != 0}, nil
	case float64:
		f = x
	default:
		return nil, &expression.Error{What: "the expression gives no number", Need: "a number or a boolean", Have: shown(v), Hint: "int(...) and float(...) read numbers in texts; ExprText gives text"}
	}
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, &expression.Error{What: "the expression gives no finite number", Need: "a finite number", Have: shown(v), Hint: "does it divide by zero?"}
	}
	whole := math.Trunc(f)
	switch {
	case whole >= -1<<63 && whole < 1<<63:
		return []any{f, int64(whole), f != 0}, nil
	case whole >= 0 && whole < 1<<64:
		return []any{f, uint64(whole), f != 0}, nil
	}
	return nil, &expression.Error{What: "the number does not fit into an INT", Need: "less than 1.8e19", Have: shown(v), Hint: "scale it, or limit it with clamp(x, least, greatest)"}
}

// text is the result of ExprText.
func text(v any) ([]any, error) {
	s, err := expression.Text(v)
	if err != nil {
		return nil, &expression.Error{What: "the expression gives no text", Need: "a text, number or boolean", Have: shown(v), Hint: `join(list, ", ") makes a text of a list`}
	}
	return []any{s}, nil
}

func shown(v any) string {
	switch x := v.(type) {
	case nil:
		return "nothing"
	case *expression.Object:
		return x.Type
	case []any, []int:
		return "a list"
	case map[string]any:
		return "a map"
	}
	return graph.Clip(fmt.Sprint(v))
}

var errTooMuch = errors.New("the value has too many parts for an expression")
