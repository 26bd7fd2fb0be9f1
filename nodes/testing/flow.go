package testing

import (
	"fmt"
	"slices"

	"graphrun/graph"
)

func addFlow(l graph.Library) {
	smart(add[TestWhileLoopOpen](l, "TestWhileLoopOpen", "While Loop Open", flow))
	smart(add[TestWhileLoopClose](l, "TestWhileLoopClose", "While Loop Close", flow)).Hidden = []string{"DYNPROMPT", "UNIQUE_ID"}
	smart(add[TestExecutionBlocker](l, "TestExecutionBlocker", "Execution Blocker", flow))
	smart(add[TestForLoopOpen](l, "TestForLoopOpen", "For Loop Open", flow))
	smart(add[TestForLoopClose](l, "TestForLoopClose", "For Loop Close", flow))
}

// control is what ties the ends of a loop together; it carries nothing.
type control string

const stub control = "stub"

// TypeName is ComfyUI's name of the link type.
func (control) TypeName() string { return "FLOW_CONTROL" }

// TestWhileLoopOpen begins a loop.
type TestWhileLoopOpen struct {
	Condition     bool      `default:"true"`
	InitialValue0 graph.Any `optional:"true"`
	InitialValue1 graph.Any `optional:"true"`
	InitialValue2 graph.Any `optional:"true"`
	InitialValue3 graph.Any `optional:"true"`
	InitialValue4 graph.Any `optional:"true"`
}

type opened struct {
	Flow   control   `out:"FLOW_CONTROL"`
	Value0 graph.Any `out:"value0"`
	Value1 graph.Any `out:"value1"`
	Value2 graph.Any `out:"value2"`
	Value3 graph.Any `out:"value3"`
	Value4 graph.Any `out:"value4"`
}

// Run returns the values.
func (n TestWhileLoopOpen) Run(*graph.Call) (opened, error) {
	return opened{stub, n.InitialValue0, n.InitialValue1, n.InitialValue2, n.InitialValue3, n.InitialValue4}, nil
}

// TestWhileLoopClose ends a loop or, while the condition holds, puts another round into the graph.
type TestWhileLoopClose struct {
	FlowControl   graph.Any `types:"FLOW_CONTROL" rawlink:"true"`
	Condition     bool      `forceinput:"true"`
	InitialValue0 graph.Any `optional:"true"`
	InitialValue1 graph.Any `optional:"true"`
	InitialValue2 graph.Any `optional:"true"`
	InitialValue3 graph.Any `optional:"true"`
	InitialValue4 graph.Any `optional:"true"`
}

type closed struct {
	Value0 graph.Any `out:"value0"`
	Value1 graph.Any `out:"value1"`
	Value2 graph.Any `out:"value2"`
	Value3 graph.Any `out:"value3"`
	Value4 graph.Any `out:"value4"`
	Graph  *graph.Subgraph
}

// Run returns the values, or those of the next round's end.
func (n TestWhileLoopClose) Run(c *graph.Call) (closed, error) {
	values := []graph.Any{n.InitialValue0, n.InitialValue1, n.InitialValue2, n.InitialValue3, n.InitialValue4}
	if !n.Condition {
		return closed{values[0], values[1], values[2], values[3], values[4], nil}, nil
	}
	begin, _, ok := graph.AsLink(n.FlowControl.Value)
	if !ok || c.DynPrompt.Node(begin) == nil {
		return closed{}, &graph.Error{Kind: graph.KindBadLink, Input: "flow_control", Need: "a link to the node that opens the loop"}
	}
	g := c.Subgraph()
	clones := map[string]string{}
	body := loopBody(c.DynPrompt, begin, c.NodeID)
	for _, id := range body {
		name := id
		if id == c.NodeID {
			name = "Recurse"
		}
		clones[id] = g.Add(c.DynPrompt.Node(id).Class, name)
		g.Nodes[len(g.Nodes)-1].Display = id
	}
	for i, id := range body {
		inputs := slices.Clone(c.DynPrompt.Node(id).Inputs)
		for k := range inputs {
			if from, slot, ok := graph.AsLink(inputs[k].Value); ok && clones[from] != "" {
				inputs[k].Value = graph.Link(clones[from], slot)
			}
		}
		g.Nodes[i].Inputs = inputs
		if id == begin {
			g.Nodes[i].Inputs = begun(inputs, values)
		}
	}
	for slot := range values {
		g.Results = append(g.Results, graph.Link(clones[c.NodeID], slot))
	}
	return closed{Graph: g}, nil
}

// begun are the inputs of the node that opens the next round.
func begun(inputs []graph.Input, values []graph.Any) []graph.Input {
	for i, v := range values {
		name := fmt.Sprintf("initial_value%d", i)
		inputs = slices.DeleteFunc(inputs, func(in graph.Input) bool { return in.Name == name })
		if v.Value != nil {
			inputs = append(inputs, graph.Input{Name: name, Value: constant(v.Value)})
		}
	}
	return inputs
}

// constant is a value as an input of a prompt, where a bare list could read as a link.
func constant(v any) any {
	switch v.(type) {
	case []any, map[string]any:
		return map[string]any{"__value__": v}
	}
	return v
}

// loopBody lists the nodes from begin to end: what end needs, directly or not, and needs begin.
func loopBody(d *graph.DynPrompt, begin, end string) []string {
	users := map[string][]string{}
	seen, stack := map[string]bool{end: true}, []string{end}
	for len(stack) > 0 {
		id := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		for _, in := range d.Node(id).Inputs {
			from, _, ok := graph.AsLink(in.Value)
			if !ok || d.Node(from) == nil {
				continue
			}
			users[from] = append(users[from], id)
			if !seen[from] {
				seen[from] = true
				stack = append(stack, from)
			}
		}
	}
	body, inside := []string{begin, end}, map[string]bool{begin: true, end: true}
	for stack = []string{begin}; len(stack) > 0; {
		id := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		for _, user := range users[id] {
			if !inside[user] {
				inside[user] = true
				body, stack = append(body, user), append(stack, user)
			}
		}
	}
	return body
}

// TestExecutionBlocker blocks what is behind it.
type TestExecutionBlocker struct {
	Input   graph.Any
	Block   bool
	Verbose bool `default:"false"`
}

type output struct {
	Output graph.Any `out:"output"`
}

// Run returns the input or a blocker.
func (n TestExecutionBlocker) Run(*graph.Call) (output, error) {
	switch {
	case n.Block && n.Verbose:
		return output{}, graph.Blocker{Message: "Blocked Execution"}
	case n.Block:
		return output{}, graph.Blocker{}
	}
	return output{n.Input}, nil
}

// TestForLoopOpen begins a loop with a given number of rounds.
type TestForLoopOpen struct {
	Remaining     int       `default:"1" min:"0" max:"100000" step:"1"`
	InitialValue1 graph.Any `optional:"true"`
	InitialValue2 graph.Any `optional:"true"`
	InitialValue3 graph.Any `optional:"true"`
	InitialValue4 graph.Any `optional:"true"`
	InitialValue0 graph.Any `optional:"true"`
}

type openedFor struct {
	Flow      control   `out:"flow_control"`
	Remaining int       `out:"remaining"`
	Value1    graph.Any `out:"value1"`
	Value2    graph.Any `out:"value2"`
	Value3    graph.Any `out:"value3"`
	Value4    graph.Any `out:"value4"`
	Graph     *graph.Subgraph
}

// Run returns the rounds that remain and the values, as constants of an expansion.
func (n TestForLoopOpen) Run(c *graph.Call) (openedFor, error) {
	var remaining any = n.Remaining
	if n.InitialValue0.Value != nil {
		remaining = n.InitialValue0.Value
	}
	values := []any{remaining, n.InitialValue1.Value, n.InitialValue2.Value, n.InitialValue3.Value, n.InitialValue4.Value}
	inputs := []graph.Input{{Name: "condition", Value: truth(remaining)}}
	for i, v := range values {
		if v != nil {
			inputs = append(inputs, graph.Input{Name: fmt.Sprintf("initial_value%d", i), Value: constant(v)})
		}
	}
	g := c.Subgraph()
	g.Add("TestWhileLoopOpen", "", inputs...)
	g.Results = append([]any{stub}, values...)
	return openedFor{Graph: g}, nil
}

// TestForLoopClose ends a loop with a given number of rounds.
type TestForLoopClose struct {
	FlowControl   graph.Any `types:"FLOW_CONTROL" rawlink:"true"`
	InitialValue1 graph.Any `optional:"true" rawlink:"true"`
	InitialValue2 graph.Any `optional:"true" rawlink:"true"`
	InitialValue3 graph.Any `optional:"true" rawlink:"true"`
	InitialValue4 graph.Any `optional:"true" rawlink:"true"`
}

type closedFor struct {
	Value1 graph.Any `out:"value1"`
	Value2 graph.Any `out:"value2"`
	Value3 graph.Any `out:"value3"`
	Value4 graph.Any `out:"value4"`
	Graph  *graph.Subgraph
}

// Run counts down and ends as a while loop does.
func (n TestForLoopClose) Run(c *graph.Call) (closedFor, error) {
	begin, _, ok := graph.AsLink(n.FlowControl.Value)
	if !ok {
		return closedFor{}, &graph.Error{Kind: graph.KindBadLink, Input: "flow_control", Need: "a link to the node that opens the loop"}
	}
	g := c.Subgraph()
	rest := g.Add("TestIntMathOperation", "", graph.Input{Name: "operation", Value: "subtract"},
		graph.Input{Name: "a", Value: graph.Link(begin, 1)}, graph.Input{Name: "b", Value: int64(1)})
	more := g.Add("TestToBoolNode", "", graph.Input{Name: "value", Value: graph.Link(rest, 0)})
	inputs := []graph.Input{
		{Name: "flow_control", Value: n.FlowControl.Value},
		{Name: "condition", Value: graph.Link(more, 0)},
		{Name: "initial_value0", Value: graph.Link(rest, 0)},
	}
	for i, v := range []graph.Any{n.InitialValue1, n.InitialValue2, n.InitialValue3, n.InitialValue4} {
		if v.Value != nil {
			inputs = append(inputs, graph.Input{Name: fmt.Sprintf("initial_value%d", i+1), Value: v.Value})
		}
	}
	end := g.Add("TestWhileLoopClose", "", inputs...)
	for slot := 1; slot <= 4; slot++ {
		g.Results = append(g.Results, graph.Link(end, slot))
	}
	return closedFor{Graph: g}, nil
}
