package testing

import (
	"fmt"
	"slices"

	"graphrun/graph"
)

func addLists(l graph.Library) {
	smart(add[TestAccumulateNode](l, "TestAccumulateNode", "Accumulate", lists))
	smart(add[TestAccumulationHeadNode](l, "TestAccumulationHeadNode", "Accumulation Head", lists))
	add[TestAccumulationTailNode](l, "TestAccumulationTailNode", "Accumulation Tail", lists)
	l["TestAccumulationHeadNode"].Outputs[0].Type, l["TestAccumulationTailNode"].Outputs[0].Type = "ACCUMULATION", "ACCUMULATION"
	smart(add[TestAccumulationToListNode](l, "TestAccumulationToListNode", "Accumulation to List", lists))
	smart(add[TestListToAccumulationNode](l, "TestListToAccumulationNode", "List to Accumulation", lists))
	smart(add[TestAccumulationGetLengthNode](l, "TestAccumulationGetLengthNode", "Accumulation Get Length", lists))
	smart(add[TestAccumulationGetItemNode](l, "TestAccumulationGetItemNode", "Accumulation Get Item", lists))
	smart(add[TestAccumulationSetItemNode](l, "TestAccumulationSetItemNode", "Accumulation Set Item", lists))
	smart(add[TestMakeListNode](l, "TestMakeListNode", "Make List", lists)).Variadic = true
}

// accumulation is a list that travels as one value.
type accumulation struct{ Items []any }

// TypeName is ComfyUI's name of the link type.
func (accumulation) TypeName() string { return "ACCUMULATION" }

// at returns the index of an item, counted from the end if negative.
func (a accumulation) at(i int) (int, error) {
	k := i
	if k < 0 {
		k += len(a.Items)
	}
	if k < 0 || k >= len(a.Items) {
		return 0, fmt.Errorf("list index %d out of range: the accumulation has %d items", i, len(a.Items))
	}
	return k, nil
}

// TestAccumulateNode appends a value.
type TestAccumulateNode struct {
	ToAdd        graph.Any
	Accumulation *accumulation
}

// Run returns a new list.
func (n TestAccumulateNode) Run(*graph.Call) (accumulation, error) {
	var items []any
	if n.Accumulation != nil {
		items = slices.Clone(n.Accumulation.Items)
	}
	return accumulation{append(items, n.ToAdd.Value)}, nil
}

type split struct {
	Accumulation graph.Any `out:"ACCUMULATION"`
	Item         graph.Any `out:"*"`
}

// TestAccumulationHeadNode splits off the first item.
type TestAccumulationHeadNode struct{ Accumulation accumulation }

// Run returns the rest and the first; of an empty list, itself and null.
func (n TestAccumulationHeadNode) Run(*graph.Call) (split, error) {
	items := n.Accumulation.Items
	if len(items) == 0 {
		return split{Accumulation: graph.Any{Value: n.Accumulation}}, nil
	}
	return split{graph.Any{Value: accumulation{items[1:]}}, graph.Any{Value: items[0]}}, nil
}

// TestAccumulationTailNode splits off the last item.
type TestAccumulationTailNode struct{ Accumulation accumulation }

// Run returns the rest and the last; of an empty list, null and itself.
func (n TestAccumulationTailNode) Run(*graph.Call) (split, error) {
	items := n.Accumulation.Items
	if len(items) == 0 {
		return split{Item: graph.Any{Value: n.Accumulation}}, nil
	}
	last := len(items) - 1
	return split{graph.Any{Value: accumulation{items[:last:last]}}, graph.Any{Value: items[last]}}, nil
}

// TestAccumulationToListNode gives the items one by one.
type TestAccumulationToListNode struct{ Accumulation accumulation }

// Run returns the items.
func (n TestAccumulationToListNode) Run(*graph.Call) (graph.List[graph.Any], error) {
	out := make(graph.List[graph.Any], len(n.Accumulation.Items))
	for i, v := range n.Accumulation.Items {
		out[i].Value = v
	}
	return out, nil
}

// TestListToAccumulationNode takes a list at once.
type TestListToAccumulationNode struct{ List graph.List[graph.Any] }

// Run returns it as one value.
func (n TestListToAccumulationNode) Run(*graph.Call) (accumulation, error) {
	a := accumulation{make([]any, len(n.List))}
	for i, v := range n.List {
		a.Items[i] = v.Value
	}
	return a, nil
}

// TestAccumulationGetLengthNode counts the items.
type TestAccumulationGetLengthNode struct{ Accumulation accumulation }

// Run returns their number.
func (n TestAccumulationGetLengthNode) Run(*graph.Call) (int, error) {
	return len(n.Accumulation.Items), nil
}

// TestAccumulationGetItemNode takes one item.
type TestAccumulationGetItemNode struct {
	Accumulation accumulation
	Index        int `default:"0" step:"1"`
}

// Run returns it.
func (n TestAccumulationGetItemNode) Run(*graph.Call) (graph.Any, error) {
	i, err := n.Accumulation.at(n.Index)
	if err != nil {
		return graph.Any{}, err
	}
	return graph.Any{Value: n.Accumulation.Items[i]}, nil
}

// TestAccumulationSetItemNode replaces one item.
type TestAccumulationSetItemNode struct {
	Accumulation accumulation
	Index        int `default:"0" step:"1"`
	Value        graph.Any
}

// Run returns a new list.
func (n TestAccumulationSetItemNode) Run(*graph.Call) (accumulation, error) {
	i, err := n.Accumulation.at(n.Index)
	if err != nil {
		return accumulation{}, err
	}
	items := slices.Clone(n.Accumulation.Items)
	items[i] = n.Value.Value
	return accumulation{items}, nil
}

// TestMakeListNode gives its inputs one by one, an undeclared value0 first.
type TestMakeListNode struct {
	Value1                                                         graph.Any
	Value2, Value3, Value4, Value5, Value6, Value7, Value8, Value9 *graph.Any
}

// Run returns those that are there, in order.
func (n TestMakeListNode) Run(c *graph.Call) (graph.List[graph.Any], error) {
	var out graph.List[graph.Any]
	for _, in := range c.Undeclared {
		if in.Name == "value0" {
			out = append(out, graph.Any{Value: in.Value})
		}
	}
	out = append(out, n.Value1)
	for _, v := range []*graph.Any{n.Value2, n.Value3, n.Value4, n.Value5, n.Value6, n.Value7, n.Value8, n.Value9} {
		if v != nil {
			out = append(out, *v)
		}
	}
	return out, nil
}
