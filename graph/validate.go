package graph

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"graphrun/graph/python"
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
	outputs, problems, _ = validate(p, l, e, targets)
	return outputs, problems
}

// validate also tells the constants that stand where only a link can. ComfyUI's validation lets them pass and the node
// trips over them; who runs a prompt as a whole learns it before anything has run.
func validate(p *Prompt, l Library, e *Env, targets []string) (outputs []string, problems, constants *ValidationError) {
	v := &validation{prompt: p, library: l, env: e, bad: map[string]*NodeProblems{}}
	if v.classes(); len(v.found.Whole) > 0 {
		return nil, &v.found, nil
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
		return nil, &v.found, nil
	}
	order, cyclic := v.walk(goals)
	tainted := map[string]bool{} // what is bad or needs what is
	for _, id := range order {
		v.node(id)
		if v.bad[id] != nil || len(v.bad) > 0 && slices.ContainsFunc(v.sources(id), func(from string) bool { return tainted[from] }) {
			tainted[id] = true
		}
	}
	var behind []string // the outputs that need what is bad
	for _, id := range goals {
		switch {
		case tainted[id]:
			behind = append(behind, id)
		case !cyclic[id]:
			outputs = append(outputs, id)
		}
	}
	v.blame(behind, order)
	for _, id := range order {
		if b := v.bad[id]; b != nil {
			v.found.Nodes = append(v.found.Nodes, *b)
		}
	}
	if len(v.constants.Nodes) > 0 {
		constants = &v.constants
	}
	if len(v.found.Whole) == 0 && len(v.found.Nodes) == 0 {
		return outputs, nil, constants
	}
	return outputs, &v.found, constants
}

type validation struct {
	prompt  *Prompt
	library Library
	env     *Env
	bad     map[string]*NodeProblems
	found   ValidationError
	made    map[string]*Spec  // of nodes with dynamic inputs
	via     map[string]string // by node, the one whose link led the walk to it

	constants ValidationError // for sockets
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

// mostUnknown is how many nodes of unknown classes are told, each with the names that are like its own.
const mostUnknown = 100

// classes checks that every node has a known class.
func (v *validation) classes() {
	for _, id := range v.prompt.IDs {
		n := v.prompt.Nodes[id]
		if _, ok := v.library[n.Class]; ok {
			continue
		}
		if len(v.found.Whole) == mostUnknown {
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

// sources lists the nodes that the node needs, in the order of its inputs. What a link of a wrong type leads to is not
// needed: it is not looked at before that is mended.
func (v *validation) sources(id string) (ids []string) {
	n, s := v.prompt.Nodes[id], v.spec(id)
	for _, in := range n.Inputs {
		from, slot, ok := asLink(in.Value)
		if !ok || v.prompt.Nodes[from] == nil {
			continue
		}
		if p := s.Input(in.Name); p != nil && v.leads(from, slot) && (s.ValidateTypes != nil || fits(v.typeOf(from, slot), p.Type)) {
			ids = append(ids, from)
		}
	}
	return ids
}

// leads reports whether the node has such an output.
func (v *validation) leads(from string, slot int) bool {
	return slot >= 0 && slot < len(v.library[v.prompt.Nodes[from].Class].Outputs)
}

func (v *validation) typeOf(from string, slot int) string {
	return v.library[v.prompt.Nodes[from].Class].Outputs[slot].Type
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
	state := map[string]uint8{}
	cyclic = map[string]bool{} // first every node on or behind a cycle
	v.via = map[string]string{}
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
				state[next], v.via[next] = open, top.id
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

// mostBlame bounds the steps of blame: outputs times nodes may be many.
const mostBlame = 2_000_000

// blame adds the outputs to the problems of all nodes they need; order has sources before consumers. When that takes too
// long, the rest of the nodes are told with one output each.
func (v *validation) blame(goals, order []string) {
	steps := 0
	for _, output := range goals {
		seen, stack := map[string]bool{output: true}, []string{output}
		for len(stack) > 0 && steps < mostBlame {
			id := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			if b := v.bad[id]; b != nil {
				b.Outputs = append(b.Outputs, output)
			}
			for _, from := range v.sources(id) {
				if steps++; !seen[from] {
					seen[from] = true
					stack = append(stack, from)
				}
			}
		}
	}
	if steps < mostBlame {
		return
	}
	behind := map[string]string{}
	for _, output := range goals {
		behind[output] = output
	}
	for _, id := range slices.Backward(order) {
		if b := v.bad[id]; b != nil && len(b.Outputs) == 0 {
			b.Outputs = []string{behind[id]}
		}
		for _, from := range v.sources(id) {
			if behind[from] == "" {
				behind[from] = behind[id]
			}
		}
	}
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
	var unclean []*Port
	for i := range s.Inputs {
		p := &s.Inputs[i]
		value, err := v.input(id, s, p)
		if in[i] = value; err != nil {
			err.Input, err.port = p.Name, v.bound(p)
			if err.Kind == KindLinkNowhere {
				err.inner = v.consumer(id)
			}
			v.report(id, err)
			unclean = append(unclean, p)
		}
	}
	v.own(id, n, s, in, unclean)
}

// consumer is the input that led to the node; nil for an output node.
func (v *validation) consumer(id string) *Error {
	by, ok := v.via[id]
	if !ok {
		return nil
	}
	s := v.spec(by)
	for _, in := range v.prompt.Nodes[by].Inputs {
		if from, _, ok := asLink(in.Value); ok && from == id && s.Input(in.Name) != nil {
			return &Error{Input: in.Name, port: v.bound(s.Input(in.Name)), value: in.Value}
		}
	}
	return nil
}

// bound is the port with the choices that it has here.
func (v *validation) bound(p *Port) *Port {
	if p == nil || p.choices == nil {
		return p
	}
	q, list := *p, p.Choices(v.env)
	q.choices = func(*Env) []string { return list }
	return &q
}

// own lets the node judge its inputs. What it refuses is told of the input that its error names; otherwise node_errors
// tell it, as ComfyUI does, of every input it was given: those that are marked as checked by it, or all.
func (v *validation) own(id string, n *Node, s *Spec, in []any, unclean []*Port) {
	if s.Validate == nil && s.ValidateTypes == nil {
		return
	}
	judges := slices.ContainsFunc(s.Inputs, func(p Port) bool { return p.Checked })
	var given []string
	for i := range s.Inputs {
		if p := &s.Inputs[i]; p.Checked || !judges {
			if slices.Contains(unclean, p) {
				return
			}
			if _, sent := n.Input(p.Name); sent {
				given = append(given, p.Name)
			}
		}
	}
	err := check(s, v.env, in, v.linkedTypes(n, s))
	if err == nil {
		return
	}
	e := asError(err, id, n.Class, n.Title)
	if e.Kind == KindNodeFailed {
		e.Kind = KindCustom
	}
	if s.ValidateTypes != nil {
		given = append(given, "input_types")
	}
	if e.Input == "" && len(given) == 1 {
		e.Input = given[0]
	}
	if e.port = v.bound(s.Input(e.Input)); e.Input == "" {
		e.given = given
	}
	v.report(id, e)
}

// linkedTypes are the types of the outputs that the node's declared inputs are linked to.
func (v *validation) linkedTypes(n *Node, s *Spec) map[string]string {
	if s.ValidateTypes == nil {
		return nil
	}
	types := map[string]string{}
	for _, in := range n.Inputs {
		if from, slot, ok := asLink(in.Value); ok && s.Input(in.Name) != nil && v.prompt.Nodes[from] != nil && v.leads(from, slot) {
			types[in.Name] = v.typeOf(from, slot)
		}
	}
	return types
}

// check calls the node's own checks; a panic in one is an error.
func check(s *Spec, e *Env, in []any, types map[string]string) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("its check crashed: %v", r)
		}
	}()
	if s.Validate != nil {
		err = s.Validate(e, in)
	}
	if err == nil && s.ValidateTypes != nil {
		err = s.ValidateTypes(e, in, types)
	}
	return err
}

// input checks one declared input. It returns the converted constant; nil for links and absent inputs.
func (v *validation) input(id string, s *Spec, p *Port) (any, *Error) {
	n := v.prompt.Nodes[id]
	value, ok := n.Input(p.Name)
	if !ok {
		if p.Optional {
			return nil, nil
		}
		return nil, &Error{Kind: KindMissing, Need: p.Type, Hint: "connect it or give it a value"}
	}
	if link, isArray := value.([]any); isArray {
		err := v.link(link, p, s.ValidateTypes != nil)
		if err == nil && p.Type == typeDynCombo {
			err = &Error{
				Kind: KindBadValue, Need: "one of " + listed(p.keys()), Have: describe(link), value: link,
				Hint: "choose one here: which inputs the node has depends on it",
			}
		}
		return nil, err
	}
	value = unwrap(value)
	if p.socket && (value != nil || !p.Optional) {
		v.constants.Nodes = append(v.constants.Nodes, NodeProblems{ID: id, Class: n.Class, Outputs: []string{}, Errors: []*Error{{
			Kind: KindBadValue, Node: id, Class: n.Class, Title: n.Title, Input: p.Name, port: p, value: value,
			Need: "a link to an output of type " + p.Type, Have: describe(value), Hint: "connect it",
		}}})
	}
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

// link checks that a link leads to an output of a fitting type, or of any.
func (v *validation) link(link []any, p *Port, any bool) *Error {
	e := &Error{value: link, Need: p.Type, Have: describe(link)}
	id, slot, ok := asLink(link)
	switch {
	case len(link) != 2:
		e.Kind, e.Need, e.Hint = KindBadLink, `["node id", slot]`, "write the id as a string and the slot as an integer"
	case ok && v.prompt.Nodes[id] == nil:
		e.Kind, e.Have, e.Hint = KindLinkNowhere, fmt.Sprintf("a link to node %s, which is not in the prompt", id), "add that node or connect another"
	case !ok:
		e.Kind, e.Need, e.Hint = KindLinkNowhere, `["node id", slot]`, "write the id as a string and the slot as an integer"
	case !v.leads(id, slot):
		from := v.prompt.Nodes[id].Class
		e.Kind, e.Hint = KindLinkNowhere, "outputs are counted from 0"
		e.Have = fmt.Sprintf("a link to output %d of node %s (%s), which has %d", slot, id, from, len(v.library[from].Outputs))
	case any || fits(v.typeOf(id, slot), p.Type):
		return nil
	default:
		e.Kind, e.received = KindTypeMismatch, v.typeOf(id, slot)
		e.Have = fmt.Sprintf("%s from output %d of node %s (%s)", e.received, slot, id, v.prompt.Nodes[id].Class)
		e.Hint = "connect an output of the needed type"
	}
	if e.Kind == KindLinkNowhere {
		e.raised = v.linkException(link)
	}
	return e
}

// linkException is what ComfyUI's own code trips over when it follows the link.
func (v *validation) linkException(link []any) python.Error {
	id, isID := link[0].(string)
	switch {
	case isJSON(link[0]):
		return python.Error{Class: "TypeError", Text: fmt.Sprintf("unhashable type: '%s'", python.Type(link[0]))}
	case !isID || v.prompt.Nodes[id] == nil:
		return python.Error{Class: "KeyError", Text: python.Repr(link[0])}
	case python.Type(link[1]) != "int":
		return python.Error{Class: "TypeError", Text: fmt.Sprintf("tuple indices must be integers or slices, not %s", python.Type(link[1]))}
	}
	return python.Error{Class: "IndexError", Text: "tuple index out of range"}
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
