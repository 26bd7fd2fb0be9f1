package graph

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
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
		v.found.Whole = append(v.found.Whole, &Error{Kind: KindNoOutputs, Need: "a node that saves or shows something, such as SaveImage",
			Hint: "add one, or enable one that is muted"})
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
	n := v.prompt.Nodes[id]
	s := v.library[n.Class]
	for _, in := range n.Inputs {
		if from, _, ok := asLink(in.Value); ok && v.prompt.Nodes[from] != nil && s.Input(in.Name) != nil {
			ids = append(ids, from)
		}
	}
	return ids
}

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
				var ring []string
				for i := slices.IndexFunc(stack, func(f frame) bool { return f.id == next }); i < len(stack); i++ {
					ring = append(ring, stack[i].id)
				}
				cyclic[top.id] = true
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

func (v *validation) cycle(ring []string) {
	n := v.prompt.Nodes[ring[0]]
	if len(ring) > 12 {
		ring = append(append(slices.Clone(ring[:6]), "..."), ring[len(ring)-5:]...)
	}
	v.found.Whole = append(v.found.Whole, &Error{Kind: KindCycle, Node: ring[0], Class: n.Class, Title: n.Title,
		Have: "needs " + strings.Join(ring, " needs "), Hint: "remove one of these links"})
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
	n := v.prompt.Nodes[id]
	s := v.library[n.Class]
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
		return nil, v.link(link, p)
	}
	value = unwrap(value)
	converted, err := convert(p, value)
	if err == nil && !p.Checked {
		err = inRange(p, converted, v.env)
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

// convert reads a constant as the input's type: int64, uint64 or *big.Int for INT, float64, string, bool; other types as they are.
func convert(p *Port, v any) (any, *Error) {
	bad := func(need string) *Error {
		return &Error{Kind: KindBadValue, Need: need, Have: describe(v)}
	}
	switch {
	case p.IsCombo():
		if _, many := v.([]any); many && p.Opts["multiselect"] == true {
			return v, nil
		}
		if s, ok := v.(string); ok {
			return s, nil
		}
		if p.Checked {
			return nil, bad("text")
		}
		return describe(v), nil
	case p.Type == "INT":
		if n, ok := toInt(v); ok {
			return n, nil
		}
		return nil, bad("a whole number")
	case p.Type == "FLOAT":
		if f, ok := toFloat(v); ok {
			return f, nil
		}
		return nil, bad("a number")
	case p.Type == "STRING":
		return toText(v), nil
	case p.Type == "BOOLEAN":
		return truth(v), nil
	}
	return v, nil
}

// toInt reads numbers (fractions are cut off), digits in text and booleans.
func toInt(v any) (any, bool) {
	switch x := v.(type) {
	case bool:
		if x {
			return int64(1), true
		}
		return int64(0), true
	case int:
		return int64(x), true
	case int64, uint64:
		return x, true
	case string:
		x = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(x), "+"))
		if x == "" || strings.Trim(x[1:], "0123456789") != "" || strings.Trim(x[:1], "-0123456789") != "" {
			return nil, false
		}
		v, err := number(json.Number(x))
		return v, err == nil
	case json.Number:
		n, err := number(x)
		if err != nil {
			return nil, false
		}
		if f, isFloat := n.(float64); isFloat {
			return toInt(f)
		}
		return n, true
	case float64:
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return nil, false
		}
		n, _ := big.NewFloat(math.Trunc(x)).Int(nil)
		if n.IsInt64() {
			return n.Int64(), true
		}
		if n.IsUint64() {
			return n.Uint64(), true
		}
		return n, true
	}
	return nil, false
}

func toFloat(v any) (f float64, ok bool) {
	var err error
	switch x := v.(type) {
	case bool:
		if x {
			f = 1
		}
	case int:
		f = float64(x)
	case int64:
		f = float64(x)
	case uint64:
		f = float64(x)
	case float64:
		f = x
	case string:
		f, err = strconv.ParseFloat(strings.TrimSpace(x), 64)
	case json.Number:
		f, err = strconv.ParseFloat(string(x), 64)
	default:
		return 0, false
	}
	return f, err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
}

// toText writes a value as ComfyUI's host does: True, None, 12; lists and objects as JSON.
func toText(v any) string {
	switch x := v.(type) {
	case string:
		return x
	case nil:
		return "None"
	case bool:
		if x {
			return "True"
		}
		return "False"
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}

// truth is the truthiness of a value: everything but null, false, zero and what is empty ("false" is true).
func truth(v any) bool {
	switch x := v.(type) {
	case nil:
		return false
	case bool:
		return x
	case string:
		return x != ""
	case []any:
		return len(x) > 0
	case map[string]any:
		return len(x) > 0
	}
	f, ok := toFloat(v)
	return !ok || f != 0
}

// inRange checks min, max and the list of a converted constant.
func inRange(p *Port, v any, e *Env) *Error {
	switch {
	case p.IsCombo():
		chosen, many := v.([]any)
		if !many {
			chosen = []any{v}
		}
		choices := p.Choices(e)
		for _, c := range chosen {
			text, ok := c.(string)
			if ok && slices.Contains(choices, text) {
				continue
			}
			hint := "choose one of the list"
			if near := nearest(text, choices, 3); len(near) > 0 {
				hint = "did you mean " + strings.Join(near, ", ") + "?"
			} else if len(choices) == 0 {
				hint = "the list is empty: nothing of this kind is installed"
			}
			return &Error{Kind: KindNotInList, Need: "one of " + listed(choices), Have: describe(c), Hint: hint, choices: choices}
		}
	case p.Type == "INT" || p.Type == "FLOAT":
		if lo, ok := p.Opts["min"]; ok && compare(v, lo) < 0 {
			return &Error{Kind: KindTooSmall, Need: "at least " + plain(lo), Have: plain(v)}
		}
		if hi, ok := p.Opts["max"]; ok && compare(v, hi) > 0 {
			return &Error{Kind: KindTooBig, Need: "at most " + plain(hi), Have: plain(v)}
		}
		if n, ok := v.(*big.Int); ok {
			return &Error{Kind: KindBadValue, Need: "a whole number of 64 bits", Have: plain(n)}
		}
	}
	return nil
}

// compare is the sign of a - b; both are numbers.
func compare(a, b any) int {
	x, xok := a.(int64)
	y, yok := b.(int64)
	if xok && yok {
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	}
	return toBig(a).Cmp(toBig(b))
}

func toBig(v any) *big.Float {
	f := new(big.Float).SetPrec(128)
	switch x := v.(type) {
	case int64:
		f.SetInt64(x)
	case uint64:
		f.SetUint64(x)
	case float64:
		f.SetFloat64(x)
	case *big.Int:
		f.SetInt(x)
	}
	return f
}

func plain(v any) string { return strings.Trim(fmt.Sprint(v), `"`) }

func listed(choices []string) string {
	if len(choices) > 20 {
		return fmt.Sprintf("%s ... (%d in all)", strings.Join(choices[:20], ", "), len(choices))
	}
	return strings.Join(choices, ", ")
}
