package graph

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ValidationError is everything that is wrong with a prompt.
type ValidationError struct {
	Whole []*Error       // of the prompt as a whole: unknown classes, no output node, a cycle
	Nodes []NodeProblems // by node, upstream first
}

// NodeProblems is what is wrong with one node.
type NodeProblems struct {
	ID, Class string
	Errors    []*Error
	Outputs   []string // the output nodes that need this one
}

// Error lists all problems, one a line.
func (v *ValidationError) Error() string {
	var lines []string
	for _, e := range v.Unwrap() {
		lines = append(lines, e.Error())
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the single errors, each an *Error.
func (v *ValidationError) Unwrap() (errs []error) {
	for _, e := range v.Whole {
		errs = append(errs, e)
	}
	for _, n := range v.Nodes {
		for _, e := range n.Errors {
			errs = append(errs, e)
		}
	}
	return errs
}

// Validate checks the prompt before anything runs (executor.md section 2): the classes of all nodes, and every node
// upstream of an output node (of those in targets, if targets is not nil). Constants of declared inputs are converted
// to the declared type and written back into the prompt.
//
// It returns the output nodes whose whole tree is valid, in the order of the prompt, and the problems of the others,
// nil if there are none.
func Validate(p *Prompt, l Library, e *Env, targets []string) (outputs []string, problems *ValidationError) {
	v := &validation{prompt: p, library: l, env: e, bad: map[string]*NodeProblems{}}
	if v.classes(); len(v.found.Whole) > 0 {
		return nil, &v.found
	}
	var goals []string
	for _, id := range p.IDs {
		if l[p.Nodes[id].Class].Output && (targets == nil || slices.Contains(targets, id)) {
			goals = append(goals, id)
		}
	}
	if len(goals) == 0 {
		v.found.Whole = append(v.found.Whole, &Error{
			Kind: KindNoOutputs, Need: "a node that saves or shows something, such as SaveImage",
			Hint: "add one, or enable one that is muted",
		})
		return nil, &v.found
	}
	order, cyclic := v.walk(goals)
	for _, id := range order {
		v.node(id)
	}
	for _, id := range goals {
		if !cyclic[id] && !v.blame(id) {
			outputs = append(outputs, id)
		}
	}
	for _, id := range order {
		if b := v.bad[id]; b != nil {
			v.found.Nodes = append(v.found.Nodes, *b)
		}
	}
	if len(v.found.Whole) == 0 && len(v.found.Nodes) == 0 {
		return outputs, nil
	}
	return outputs, &v.found
}

type validation struct {
	prompt  *Prompt
	library Library
	env     *Env
	bad     map[string]*NodeProblems
	found   ValidationError
	made    map[string]*Spec // of nodes with dynamic inputs
}

// spec is the node's spec with its dynamic inputs made flat.
func (v *validation) spec(id string) *Spec {
	n := v.prompt.Nodes[id]
	declared := v.library[n.Class]
	s := v.made[id]
	if s == nil {
		if s = declared.For(n); s != declared {
			if v.made == nil {
				v.made = map[string]*Spec{}
			}
			v.made[id] = s
		}
	}
	return s
}

// classes checks that every node has a known class.
func (v *validation) classes() {
	for _, id := range v.prompt.IDs {
		n := v.prompt.Nodes[id]
		if _, ok := v.library[n.Class]; ok {
			continue
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

// sources lists the nodes that the declared inputs of a node link to, in the order of its inputs.
func (v *validation) sources(id string) (ids []string) {
	n, s := v.prompt.Nodes[id], v.spec(id)
	for _, in := range n.Inputs {
		if from, _, ok := asLink(in.Value); ok && v.prompt.Nodes[from] != nil && s.Input(in.Name) != nil {
			ids = append(ids, from)
		}
	}
	return ids
}

// maxCycles is how many cycles are told: a dense graph has more of them than anyone wants to read.
const maxCycles = 10

// walk returns the nodes that the goals need, sources before consumers, and the goals behind a cycle.
// The stack is a slice: a chain of a million nodes must not end the process.
func (v *validation) walk(goals []string) (order []string, cyclic map[string]bool) {
	type frame struct {
		id   string
		from []string
	}
	const open, done = 1, 2
	state := map[string]int{}
	cyclic = map[string]bool{} // first every node on or behind a cycle
	for _, goal := range goals {
		if state[goal] != 0 {
			continue
		}
		state[goal] = open
		stack := []frame{{goal, v.sources(goal)}}
		for len(stack) > 0 {
			top := &stack[len(stack)-1]
			if len(top.from) == 0 {
				state[top.id] = done
				order = append(order, top.id)
				if stack = stack[:len(stack)-1]; len(stack) > 0 && cyclic[top.id] {
					cyclic[stack[len(stack)-1].id] = true
				}
				continue
			}
			next := top.from[0]
			top.from = top.from[1:]
			switch state[next] {
			case open:
				cyclic[top.id] = true
				if len(v.found.Whole) >= maxCycles {
					break
				}
				var ring []string
				for i := slices.IndexFunc(stack, func(f frame) bool { return f.id == next }); i < len(stack); i++ {
					ring = append(ring, stack[i].id)
				}
				v.cycle(append(ring, next))
			case done:
				cyclic[top.id] = cyclic[top.id] || cyclic[next]
			default:
				state[next] = open
				stack = append(stack, frame{next, v.sources(next)})
			}
		}
	}
	return order, cyclic
}

// cycle reports a ring of nodes.
func (v *validation) cycle(ring []string) {
	n := v.prompt.Nodes[ring[0]]
	if len(ring) > 12 {
		ring = append(append(slices.Clone(ring[:6]), "..."), ring[len(ring)-5:]...)
	}
	v.found.Whole = append(v.found.Whole, &Error{
		Kind: KindCycle, Node: ring[0], Class: n.Class, Title: n.Title,
		Have: "needs " + strings.Join(ring, " needs "), Hint: "remove one of these links",
	})
}

// blame adds the output to the problems of all nodes it needs and reports whether there are any.
func (v *validation) blame(output string) bool {
	if len(v.bad) == 0 {
		return false
	}
	seen, stack, any := map[string]bool{output: true}, []string{output}, false
	for len(stack) > 0 {
		id := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if b := v.bad[id]; b != nil {
			b.Outputs, any = append(b.Outputs, output), true
		}
		for _, from := range v.sources(id) {
			if !seen[from] {
				seen[from] = true
				stack = append(stack, from)
			}
		}
	}
	return any
}

func (v *validation) report(id string, e *Error) {
	n := v.prompt.Nodes[id]
	e.Node, e.Class, e.Title = id, n.Class, n.Title
	if v.bad[id] == nil {
		v.bad[id] = &NodeProblems{ID: id, Class: n.Class}
	}
	v.bad[id].Errors = append(v.bad[id].Errors, e)
}

// node checks one node and converts its constants.
func (v *validation) node(id string) {
	n, s := v.prompt.Nodes[id], v.spec(id)
	in := make([]any, len(s.Inputs)) // for the node's own check: constants only
	clean := true
	for i := range s.Inputs {
		p := &s.Inputs[i]
		value, err := v.input(n, p)
		if in[i] = value; err != nil {
			err.Input, err.port = p.Name, p
			v.report(id, err)
			clean = false
		}
	}
	if s.Validate == nil || !clean {
		return
	}
	if err := check(s, v.env, in); err != nil {
		e := asError(err, id, n.Class, n.Title)
		if e.Kind == KindNodeFailed {
			e.Kind = KindCustom
		}
		for i := range s.Inputs { // without a name from the node, it speaks of the input it checks itself
			if e.Input == "" && s.Inputs[i].Checked {
				e.Input = s.Inputs[i].Name
			}
		}
		e.port = s.Input(e.Input)
		v.report(id, e)
	}
}

// check calls the node's own check; a panic in it is an error.
func check(s *Spec, e *Env, in []any) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("its check crashed: %v", r)
		}
	}()
	return s.Validate(e, in)
}

// input checks one declared input. It returns the converted constant; nil for links and absent inputs.
func (v *validation) input(n *Node, p *Port) (any, *Error) {
	value, ok := n.Input(p.Name)
	if !ok {
		if p.Optional {
			return nil, nil
		}
		return nil, &Error{Kind: KindMissing, Need: p.Type, Hint: "connect it or give it a value"}
	}
	if link, isArray := value.([]any); isArray {
		err := v.link(link, p)
		if err == nil && p.Options != nil && p.Type == typeDynCombo {
			err = &Error{Kind: KindBadValue, Need: "one of " + listed(p.keys()), Have: describe(link), Hint: "choose one here: which inputs the node has depends on it", value: link}
		}
		return nil, err
	}
	value = unwrap(value)
	converted, err := convert(p, value)
	if err == nil && !p.Checked {
		if err = inRange(p, converted, v.env); err != nil && !p.IsCombo() {
			value = converted // what ComfyUI says it received
		}
	}
	if err != nil {
		err.value = value
		return nil, err
	}
	if _, isList := converted.([]any); !isList { // written back, a list would read as a link
		n.Set(p.Name, converted)
	}
	return converted, nil
}

// unwrap takes a value out of {"__value__": v}, the form in which lists are passed as values.
func unwrap(v any) any {
	if o, ok := v.(map[string]any); ok {
		if inner, ok := o["__value__"]; ok {
			return inner
		}
	}
	return v
}

// asLink reads a link: an array of a node id and an output slot.
func asLink(v any) (id string, slot int, ok bool) {
	a, _ := v.([]any)
	if len(a) != 2 {
		return "", 0, false
	}
	id, isID := a[0].(string)
	number, isNumber := a[1].(json.Number)
	slot, err := strconv.Atoi(string(number))
	return id, slot, isID && isNumber && err == nil
}

// link checks that a link leads to an output of a fitting type.
func (v *validation) link(link []any, p *Port) *Error {
	e := &Error{value: link, Need: p.Type, Have: describe(link)}
	id, slot, ok := asLink(link)
	if !ok {
		e.Kind, e.Need, e.Hint = KindBadLink, `["node id", slot]`, "write the id as a string and the slot as an integer"
		if len(link) == 2 {
			e.Kind = KindLinkNowhere
		}
		return e
	}
	from := v.prompt.Nodes[id]
	if from == nil {
		e.Kind, e.Have, e.Hint = KindLinkNowhere, fmt.Sprintf("a link to node %s, which is not in the prompt", id), "add that node or connect another"
		return e
	}
	outputs := v.library[from.Class].Outputs
	if slot < 0 || slot >= len(outputs) {
		e.Kind = KindLinkNowhere
		e.Have = fmt.Sprintf("a link to output %d of node %s (%s), which has %d", slot, id, from.Class, len(outputs))
		e.Hint = "outputs are counted from 0"
		return e
	}
	if got := outputs[slot].Type; !fits(got, p.Type) {
		e.Kind, e.received = KindTypeMismatch, got
		e.Have = fmt.Sprintf("%s from output %d of node %s (%s)", got, slot, id, from.Class)
		e.Hint = "connect an output of the needed type"
		return e
	}
	return nil
}

// fits reports whether an output of type out may feed an input of type in: equal, a wildcard, or unions with a common member.
func fits(out, in string) bool {
	if out == in || out == "*" || in == "*" {
		return true
	}
	if !strings.Contains(out, ",") && !strings.Contains(in, ",") {
		return false
	}
	for o := range strings.SplitSeq(out, ",") {
		for i := range strings.SplitSeq(in, ",") {
			if strings.TrimSpace(o) == strings.TrimSpace(i) {
				return true
			}
		}
	}
	return false
}
