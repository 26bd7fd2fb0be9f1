package graph

import (
	"slices"
	"strings"
)

// validation is what Validate knows of a prompt. A run goes on with it.
type validation struct {
	prompt  *Prompt
	library Library
	env     *Env
	places  []place  // by position in the prompt
	order   []*place // of what the outputs need: sources before consumers
	found   ValidationError
	spare   []*place // room for the lists of what nodes need
}

// place is a node in a validation.
type place struct {
	id   string
	node *Node
	spec *Spec    // as declared; once the walk was there, with its dynamic inputs made flat
	from []*place // what it needs, once the walk was there
	to   []*place // by input, what it links to; nil where that is nothing
	at   int      // in the prompt
	via  *place   // the one whose link led the walk to it
	bad  *NodeProblems

	open, done bool // of the walk
	cyclic     bool // on or behind a cycle
	tainted    bool // bad, or it needs what is
	stamp      int  // of blame
}

func (n *place) report(e *Error) {
	e.Node, e.Class, e.Title = n.id, n.node.Class, n.node.Title
	if n.bad == nil {
		n.bad = &NodeProblems{ID: n.id, Class: n.node.Class}
	}
	n.bad.Errors = append(n.bad.Errors, e)
}

// at is the place of the node of an id, nil if there is none.
func (v *validation) at(id string) *place {
	if i := v.position(id); i >= 0 {
		return &v.places[i]
	}
	return nil
}

// position is where the node of an id stands in the prompt, -1 if it does not. Nodes know it, which saves a second map.
func (v *validation) position(id string) int {
	n := v.prompt.Nodes[id]
	switch {
	case n == nil:
		return -1
	case n.position < len(v.places) && v.places[n.position].id == id:
		return n.position
	}
	return slices.Index(v.prompt.IDs, id) // one node under several ids
}

// survey makes the places and checks that every node has a known class.
func (v *validation) survey() {
	v.places = make([]place, len(v.prompt.IDs))
	for i, id := range v.prompt.IDs {
		n := v.prompt.Nodes[id]
		if n.position != i {
			n.position = i
		}
		s := v.library[n.Class]
		p := &v.places[i]
		if p.id, p.node, p.spec, p.at = id, n, s, i; s != nil {
			continue
		}
		if len(v.found.Whole) == MostNear {
			v.found.Whole = append(v.found.Whole, &Error{Kind: KindInvalidPrompt, Node: id, Class: n.Class, Hint: "this and perhaps more nodes are of unknown classes"})
			return
		}
		e := &Error{Kind: KindInvalidPrompt, Node: id, Class: n.Class, Title: n.Title}
		if n.Class == "" {
			e.Need, e.Hint = "class_type", "name the node's class in class_type"
		} else {
			e.Need, e.Have = "a known node class", n.Class
			if near := v.library.Nearest(n.Class); len(near) > 0 {
				e.Hint = "did you mean " + strings.Join(near, ", ") + "?"
			} else {
				e.Hint = "no known class has a similar name"
			}
		}
		v.found.Whole = append(v.found.Whole, e)
	}
}

// reach finds what the node needs, in the order of its inputs. What a link of a wrong type leads to is not needed: it is
// not looked at before that is mended.
func (v *validation) reach(n *place) {
	n.open, n.spec = true, n.spec.For(n.node)
	most := len(n.node.Inputs)
	if len(v.spare) < 2*most {
		v.spare = make([]*place, max(2*most, 512))
	}
	n.from, n.to, v.spare = v.spare[:0:most], v.spare[most:2*most:2*most], v.spare[2*most:]
	for i := range n.node.Inputs {
		in := &n.node.Inputs[i]
		id, slot, ok := AsLink(in.Value)
		if !ok {
			continue
		}
		from, p := v.at(id), n.spec.Input(in.Name)
		n.to[i] = from
		if from != nil && p != nil && from.leads(slot) && (n.spec.ValidateTypes != nil || fits(from.spec.Outputs[slot].Type, p.Type)) {
			n.from = append(n.from, from)
		}
	}
}

// leads reports whether the node has such an output.
func (n *place) leads(slot int) bool { return slot >= 0 && slot < len(n.spec.Outputs) }

// maxCycles is how many cycles are told: a dense graph has more of them than anyone wants to read.
const maxCycles = 10

// walk finds the nodes that the goals need, and those on or behind a cycle.
// The stack is a slice: a chain of a million nodes must not end the process.
func (v *validation) walk(goals []*place) {
	type frame struct {
		*place
		next int // in from
	}
	v.order = make([]*place, 0, len(v.places))
	var stack []frame
	for _, goal := range goals {
		if goal.open {
			continue
		}
		v.reach(goal)
		stack = append(stack, frame{place: goal})
		for len(stack) > 0 {
			top := &stack[len(stack)-1]
			if top.next == len(top.from) {
				n := top.place
				n.done = true
				v.order = append(v.order, n)
				if stack = stack[:len(stack)-1]; len(stack) > 0 && n.cyclic {
					stack[len(stack)-1].cyclic = true
				}
				continue
			}
			next := top.from[top.next]
			top.next++
			switch {
			case next.done:
				top.cyclic = top.cyclic || next.cyclic
			case next.open:
				top.cyclic = true
				if len(v.found.Whole) >= maxCycles {
					break
				}
				var ring []string
				for i := slices.IndexFunc(stack, func(f frame) bool { return f.place == next }); i < len(stack); i++ {
					ring = append(ring, stack[i].id)
				}
				v.cycle(next, append(ring, next.id))
			default:
				next.via = top.place
				v.reach(next)
				stack = append(stack, frame{place: next})
			}
		}
	}
}

// cycle reports a ring of nodes.
func (v *validation) cycle(n *place, ring []string) {
	e := cycleError(ring)
	e.Node, e.Class, e.Title = n.id, n.node.Class, n.node.Title
	v.found.Whole = append(v.found.Whole, e)
}

// cycleError is about nodes of which each needs the next, the last being the first again.
func cycleError(ring []string) *Error {
	if len(ring) > 12 {
		ring = slices.Concat(ring[:6], []string{"..."}, ring[len(ring)-5:])
	}
	return &Error{Kind: KindCycle, Have: "needs " + strings.Join(ring, " needs "), Hint: "remove one of these links"}
}

// mostBlame bounds the steps of blame: outputs times nodes may be many.
const mostBlame = 500_000

// blame adds the outputs to the problems of all nodes they need. When that takes too long, the rest of the nodes are
// told with one output each.
func (v *validation) blame(goals []*place) {
	steps := 0
	for i, output := range goals {
		output.stamp = i + 1
		stack := []*place{output}
		for len(stack) > 0 && steps < mostBlame {
			n := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			if n.bad != nil {
				n.bad.Outputs = append(n.bad.Outputs, output.id)
			}
			for _, from := range n.from {
				if steps++; from.stamp != i+1 {
					from.stamp = i + 1
					stack = append(stack, from)
				}
			}
		}
	}
	if steps < mostBlame {
		return
	}
	behind := map[*place]string{}
	for _, output := range goals {
		behind[output] = output.id
	}
	for _, n := range slices.Backward(v.order) {
		if n.bad != nil && len(n.bad.Outputs) == 0 {
			n.bad.Outputs = []string{behind[n]}
		}
		for _, from := range n.from {
			if behind[from] == "" {
				behind[from] = behind[n]
			}
		}
	}
}
