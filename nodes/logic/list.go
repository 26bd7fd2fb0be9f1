package logic

import (
	"fmt"

	"graphrun/graph"
)

func init() {
	m := newer("CreateList", "Create List", "utilities", "nodes_toolkit",
		"Makes one list of all values of its inputs. The nodes behind it run once for each.")
	graph.Register[CreateList](m)
	m = newer("GetItemFromList", "Get Item From List", "utilities", "nodes_toolkit", "Takes one value out of a list, by its place from 0, or from the end with -1, -2 ...")
	m.Hidden = []string{"DYNPROMPT", "UNIQUE_ID"}
	graph.Register[GetItemFromList](m)
}

// CreateList joins lists.
type CreateList struct {
	Inputs graph.Autogrow[graph.List[graph.Any]] `prefix:"input" min:"1" max:"10"`
}

type listed struct {
	List graph.List[graph.Any] `out:"list"`
}

// Run appends all values of all inputs, in their order.
func (n CreateList) Run(*graph.Call) (out listed, err error) {
	for _, l := range n.Inputs {
		out.List = append(out.List, l.Value...)
	}
	return out, nil
}

// GetItemFromList takes a value out.
type GetItemFromList struct {
	List  graph.List[graph.Any]
	Index int `default:"0"`
}

// Run counts from the end below zero.
func (n GetItemFromList) Run(*graph.Call) (graph.Any, error) {
	i := n.Index
	if i < 0 {
		i += len(n.List)
	}
	if i < 0 || i >= len(n.List) {
		return graph.Any{}, &graph.Error{
			Kind: graph.KindBadValue, Input: "index", Need: fmt.Sprintf("a place in a list of %d values", len(n.List)), Have: fmt.Sprint(n.Index),
			Hint: "places are counted from 0",
		}
	}
	return n.List[i], nil
}
