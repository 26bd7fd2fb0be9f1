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
	v := &validation{prompt: p, library: l, env: e}
	return v.prove(targets)
}

// prove is Validate.
func (v *validation) prove(targets []string) (outputs []string, problems *ValidationError) {
	if v.survey(); len(v.found.Whole) > 0 {
		return nil, &v.found
	}
	var goals []*place
	for i := range v.places {
		if n := &v.places[i]; n.spec.Output && (targets == nil || slices.Contains(targets, n.id)) {
			goals = append(goals, n)
		}
	}
	if len(goals) == 0 {
		v.found.Whole = append(v.found.Whole, &Error{
			Kind: KindNoOutputs, Need: "a node that saves or shows something, such as SaveImage",
			Hint: "add one, or enable one that is muted",
		})
		return nil, &v.found
	}
	v.walk(goals)
	for _, n := range v.order {
		v.check(n)
		n.tainted = n.bad != nil || slices.ContainsFunc(n.from, func(from *place) bool { return from.tainted })
	}
	var behind []*place // the outputs that need what is bad
	for _, n := range goals {
		switch {
		case n.tainted:
			behind = append(behind, n)
		case !n.cyclic:
			outputs = append(outputs, n.id)
		}
	}
	v.blame(behind)
	return outputs, v.problems()
}

// problems is what was found; nil if that is nothing.
func (v *validation) problems() *ValidationError {
	for _, n := range v.order {
		if n.bad != nil {
			v.found.Nodes = append(v.found.Nodes, *n.bad)
		}
	}
	if len(v.found.Whole) == 0 && len(v.found.Nodes) == 0 {
		return nil
	}
	return &v.found
}

// refuseConstants finds the constants that stand where only a link can. ComfyUI's validation lets them pass and the node
// trips over them; who runs a prompt as a whole learns it before anything has run. v has proved the prompt.
func (v *validation) refuseConstants() *ValidationError {
	for _, n := range v.order {
		for i := range n.spec.Inputs {
			port := &n.spec.Inputs[i]
			if !port.socket {
				continue
			}
			value, sent := n.node.Input(port.Name)
			if _, isLink := value.([]any); !sent || isLink || value == nil && port.Optional {
				continue
			}
			n.report(&Error{
				Kind: KindBadValue, Input: port.Name, port: port, Need: "a link to an output of type " + port.Type,
				Have: describe(unwrap(value)), Hint: "connect it", value: value,
			})
		}
	}
	return v.problems()
}

// check checks one node and converts its constants.
func (v *validation) check(n *place) {
	s := n.spec
	judged := s.Validate != nil || s.ValidateTypes != nil
	var in []any // for the node's own check: constants only
	if judged {
		in = make([]any, len(s.Inputs))
	}
	var unclean []*Port
	for i := range s.Inputs {
		p := &s.Inputs[i]
		value, err := v.input(n, p)
		if judged {
			in[i] = value
		}
		if err != nil {
			err.Input, err.port = p.Name, v.bound(p)
			if err.raised.Class != "" {
				err.inner = v.consumer(n)
			}
			n.report(err)
			unclean = append(unclean, p)
		}
	}
	if judged {
		v.own(n, in, unclean)
	}
}

// consumer is the input that led to the node; nil for an output node.
func (v *validation) consumer(n *place) *Error {
	by := n.via
	if by == nil {
		return nil
	}
	for _, in := range by.node.Inputs {
		if from, _, ok := AsLink(in.Value); ok && from == n.id && by.spec.Input(in.Name) != nil {
			return &Error{Input: in.Name, port: v.bound(by.spec.Input(in.Name)), value: in.Value}
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
func (v *validation) own(n *place, in []any, unclean []*Port) {
	s := n.spec
	judges := slices.ContainsFunc(s.Inputs, func(p Port) bool { return p.Checked })
	var given []string
	for i := range s.Inputs {
		if p := &s.Inputs[i]; p.Checked || !judges {
			if slices.Contains(unclean, p) {
				return
			}
			if _, sent := n.node.Input(p.Name); sent {
				given = append(given, p.Name)
			}
		}
	}
	err := judge(s, v.env, in, v.linkedTypes(n))
	if err == nil {
		return
	}
	e := asError(err, n.id, n.node.Class, n.node.Title)
	if e.Kind == KindNodeFailed {
		e.Kind = KindCustom
	}
	if s.Validate == nil { // it names no input of its own
		given = nil
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
	n.report(e)
}

// linkedTypes are the types of the outputs that the node's declared inputs are linked to.
func (v *validation) linkedTypes(n *place) map[string]string {
	if n.spec.ValidateTypes == nil {
		return nil
	}
	types := map[string]string{}
	for _, in := range n.node.Inputs {
		if id, slot, ok := AsLink(in.Value); ok && n.spec.Input(in.Name) != nil {
			if from := v.at(id); from != nil && from.leads(slot) {
				types[in.Name] = from.spec.Outputs[slot].Type
			}
		}
	}
	return types
}

// judge calls the node's own checks; a panic in one is an error.
func judge(s *Spec, e *Env, in []any, types map[string]string) (err error) {
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
func (v *validation) input(n *place, p *Port) (any, *Error) {
	inputs := n.node.Inputs
	i := slices.IndexFunc(inputs, func(in Input) bool { return in.Name == p.Name })
	if i < 0 {
		if p.Optional {
			return nil, nil
		}
		return nil, &Error{Kind: KindMissing, Need: p.Type, Hint: "connect it or give it a value"}
	}
	value := inputs[i].Value
	if link, isArray := value.([]any); isArray {
		err := v.link(link, n.to[i], p, n.spec.ValidateTypes != nil)
		if err == nil && p.Type == typeDynCombo {
			err = &Error{
				Kind: KindBadValue, Need: "one of " + listed(p.keys()), Have: describe(link), value: link,
				Hint: "choose one here: which inputs the node has depends on it",
			}
		}
		return nil, err
	}
	value = unwrap(value)
	converted, err := convert(p, value)
	if err == nil && !p.Checked {
		if v.prompt.Loose && p.newStyle && p.IsCombo() {
			return converted, nil
		}
		if err = inRange(p, converted, v.env); err != nil && !p.IsCombo() {
			value = converted // what ComfyUI says it received
		}
	}
	if err != nil {
		if err.value = value; err.Kind == KindBadValue && p.Checked && p.IsCombo() { // the reference's own check takes it for a name
			err.raised = python.Error{Class: "AttributeError", Text: fmt.Sprintf("'%s' object has no attribute 'endswith'", python.Type(value))}
		}
		return nil, err
	}
	if _, isList := converted.([]any); !isList { // written back, a list would read as a link
		inputs[i].Value = converted
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

// AsLink reads an input value as a link: an array of the source's id and its output slot.
func AsLink(v any) (id string, slot int, ok bool) {
	a, _ := v.([]any)
	if len(a) != 2 {
		return "", 0, false
	}
	id, isID := a[0].(string)
	number, isNumber := a[1].(json.Number)
	slot, err := strconv.Atoi(string(number))
	return id, slot, isID && isNumber && err == nil
}

// link checks that a link leads to an output of a fitting type, or of any; from is its node, if there is one.
func (v *validation) link(link []any, from *place, p *Port, any bool) *Error {
	id, slot, ok := AsLink(link)
	if ok && from != nil && from.leads(slot) && (any || fits(from.spec.Outputs[slot].Type, p.Type)) {
		return nil
	}
	e := &Error{value: link, Need: p.Type, Have: describe(link)}
	switch {
	case len(link) != 2:
		e.Kind, e.Need, e.Hint = KindBadLink, `["node id", slot]`, "write the id as a string and the slot as an integer"
	case ok && from == nil:
		e.Kind, e.Have, e.Hint = KindLinkNowhere, fmt.Sprintf("a link to node %s, which is not in the prompt", id), "add that node or connect another"
	case !ok:
		e.Kind, e.Need, e.Hint = KindLinkNowhere, `["node id", slot]`, "write the id as a string and the slot as an integer"
	case !from.leads(slot):
		e.Kind, e.Hint = KindLinkNowhere, "outputs are counted from 0"
		e.Have = fmt.Sprintf("a link to output %d of node %s (%s), which has %d", slot, id, from.node.Class, len(from.spec.Outputs))
	default:
		e.Kind, e.received = KindTypeMismatch, from.spec.Outputs[slot].Type
		e.Have = fmt.Sprintf("%s from output %d of node %s (%s)", e.received, slot, id, from.node.Class)
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
