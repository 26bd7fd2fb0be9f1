package graph

import (
	"fmt"
	"strconv"
)

// Blocker is an output value that forbids its use (executor.md 5): nodes that get one are not called and give one on,
// output nodes show nothing, and the run goes on. A node puts it into single outputs, or returns it as Run's error to
// block them all. Message, if not empty, is told to the user once, by the first node that gets the blocker.
type Blocker struct{ Message string }

// Error is the message.
func (b Blocker) Error() string {
	if b.Message == "" {
		return "blocked"
	}
	return b.Message
}

// Subgraph is what a node may give instead of its outputs: new nodes, and where its outputs come from. Call.Subgraph
// begins one. A node returns it in a field of type *Subgraph of its outputs' struct; if it is not nil, the other
// fields do not count.
type Subgraph struct {
	Nodes []SubNode
	// Results has a value for each output of the node: a Link to any node of the live graph, or a constant.
	Results []any

	prefix string
}

// SubNode is a new node. Of the new nodes only output nodes and what they or the results need will run.
type SubNode struct {
	ID string // new in the live graph
	*Node
	Display string // the node whose place it takes in the editor; "" for the expanding node
}

// Add makes a node of the class with a new id, which it returns: the prefix "<node>.<call>.<graph>." and the name, or
// if that is empty a count. Inputs are constants of any Go type or links.
func (g *Subgraph) Add(class, name string, inputs ...Input) (id string) {
	if name == "" {
		name = strconv.Itoa(len(g.Nodes) + 1)
	}
	id = g.prefix + name
	g.Nodes = append(g.Nodes, SubNode{ID: id, Node: &Node{Class: class, Inputs: inputs}})
	return id
}

// Subgraph begins an expansion whose ids no other call of a node has.
func (c *Call) Subgraph() *Subgraph {
	c.graphs++
	return &Subgraph{prefix: fmt.Sprintf("%s.%d.%d.", c.NodeID, c.index, c.graphs-1)}
}

// DynPrompt is the graph of a run with all expansions so far. It is safe for concurrent use; its nodes are read only.
type DynPrompt struct {
	find func(id string) *liveNode
}

// liveNode is a node of a run.
type liveNode struct {
	*Node
	parent, display string // of an expansion: the expanding node, the original node it counts for
}

// Node returns the node of the id, or nil.
func (d *DynPrompt) Node(id string) *Node {
	if n := d.find(id); n != nil {
		return n.Node
	}
	return nil
}

// Display is the node of the original prompt that stands for the node; the id itself if that is one.
func (d *DynPrompt) Display(id string) string {
	if n := d.find(id); n != nil && n.display != "" {
		return n.display
	}
	return id
}

// Parent is the node whose expansion made the node; "" if it is of the original prompt.
func (d *DynPrompt) Parent(id string) string {
	if n := d.find(id); n != nil {
		return n.parent
	}
	return ""
}
