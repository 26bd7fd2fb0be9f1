package graph

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// toy is a node of the random graphs: what a single call does, said once for the executor and for the oracle.
type toy struct {
	inputs  []string // a name with "?" behind it is lazy
	list    bool     // the output is a list
	takes   bool     // takes lists
	output  bool
	async   bool
	uses    Resource
	check   func(in []any) []string // CheckLazy
	run     func(in []any, get func(i int) (any, error)) (any, error)
	expands func(in []any) *toyGraph // if it gives one, that counts and not run
}

// toyGraph is an expansion: its nodes by name, links as ref, and the result.
type toyGraph struct {
	nodes  []toyNode
	result any
}

type toyNode struct {
	name, class string
	inputs      []Input
}

type ref string

// num reads any value as a small number.
func num(v any) int64 {
	switch x := v.(type) {
	case int64:
		return x % 1000
	case string:
		return int64(len(x))
	case []any:
		return int64(len(x)) + 7
	}
	return 3
}

var toyClasses = map[string]toy{
	"Sum": {inputs: []string{"a", "b"}, run: func(in []any, _ func(int) (any, error)) (any, error) {
		return num(in[0]) + 2*num(in[1]), nil
	}},
	"Count": {inputs: []string{"a"}, list: true, uses: IO, run: func(in []any, _ func(int) (any, error)) (any, error) {
		items := []any{}
		for i := range num(in[0]) % 4 {
			items = append(items, i)
		}
		return items, nil
	}},
	"Collect": {inputs: []string{"a", "b"}, takes: true, uses: Device, run: func(in []any, _ func(int) (any, error)) (any, error) {
		return fmt.Sprint(in...), nil
	}},
	"Block": {inputs: []string{"a"}, run: func(in []any, _ func(int) (any, error)) (any, error) {
		switch n := num(in[0]); n % 4 {
		case 0:
			return nil, Blocker{}
		case 1:
			return Blocker{fmt.Sprint("blocked at ", n)}, nil
		}
		return in[0], nil
	}},
	"Fail": {inputs: []string{"a"}, uses: IO, run: func(in []any, _ func(int) (any, error)) (any, error) {
		switch num(in[0]) % 5 {
		case 0:
			return nil, errors.New("on purpose")
		case 1:
			panic("on purpose")
		}
		return in[0], nil
	}},
	"Pick": {inputs: []string{"which", "a?", "b?"}, check: func(in []any) []string {
		return [][]string{{"a"}, {"b", "which"}, {"a", "b"}, nil}[num(in[0])%4]
	}, run: func(in []any, _ func(int) (any, error)) (any, error) {
		return fmt.Sprint(in...), nil
	}},
	"Get": {inputs: []string{"which", "a?", "b?"}, run: func(in []any, get func(int) (any, error)) (any, error) {
		sum := num(in[0])
		for i := range int64(2) {
			if num(in[0])>>i&1 == 1 {
				v, err := get(1 + int(i))
				if err != nil {
					return nil, err
				}
				sum += num(v)
			}
		}
		return sum, nil
	}},
	"Wait": {inputs: []string{"a"}, async: true, run: func(in []any, _ func(int) (any, error)) (any, error) {
		return num(in[0]) + 1, nil
	}},
	"Show": {inputs: []string{"a"}, output: true, run: func(in []any, _ func(int) (any, error)) (any, error) {
		return UI{"text": {fmt.Sprint(in[0])}}, nil
	}},
	"Expand": {inputs: []string{"a", "depth"}, expands: func(in []any) *toyGraph {
		n := num(in[0])
		if d := num(in[1]) % 3; n%2 == 0 && d > 0 {
			return &toyGraph{[]toyNode{
				{"x", "Sum", []Input{{"a", in[0]}, {"b", int64(1)}}},
				{"y", []string{"Count", "Fail", "Block", "Wait"}[n/2%4], []Input{{"a", ref("x")}}},
				{"again", "Expand", []Input{{"a", ref("y")}, {"depth", d - 1}}},
				{"unused", "Fail", []Input{{"a", int64(0)}}},
				{"shown", "Show", []Input{{"a", ref("x")}}},
			}, ref("again")}
		} else if n%2 == 0 {
			return &toyGraph{nil, n + 100}
		}
		return nil
	}, run: func(in []any, _ func(int) (any, error)) (any, error) { return num(in[0]) * 3, nil }},
}

// oracle runs a prompt of toys slowly and obviously: by recursion, without cache, order or concurrency.
type oracle struct {
	nodes    map[string]*oracleNode
	done     map[string]*oracleResult
	failed   map[string]bool // by node of the prompt
	ui       map[string][]any
	messages map[string]bool // of blockers that a node got
}

type oracleNode struct {
	class   string
	inputs  map[string]any
	display string
}

// oracleResult is nil if the node, or one it needs, failed.
type oracleResult struct{ values []any }

func runOracle(p *Prompt) *oracle {
	o := &oracle{map[string]*oracleNode{}, map[string]*oracleResult{}, map[string]bool{}, map[string][]any{}, map[string]bool{}}
	for _, id := range p.IDs {
		o.add(id, p.Nodes[id].Class, id, p.Nodes[id].Inputs)
	}
	for _, id := range p.IDs {
		if toyClasses[p.Nodes[id].Class].output {
			o.eval(id)
		}
	}
	return o
}

func (o *oracle) add(id, class, display string, inputs []Input) {
	n := &oracleNode{class, map[string]any{}, display}
	for _, in := range inputs {
		n.inputs[in.Name] = in.Value
	}
	o.nodes[id] = n
}

func (o *oracle) eval(id string) *oracleResult {
	if r, ok := o.done[id]; ok {
		return r
	}
	o.done[id] = nil
	o.done[id] = o.compute(id, o.nodes[id], toyClasses[o.nodes[id].class])
	return o.done[id]
}

var (
	errUpstream = errors.New("a node it needs failed")
	errGrew     = errors.New("lists may be longer now")
)

func (o *oracle) compute(id string, n *oracleNode, c toy) *oracleResult {
	lists := make([][]any, len(c.inputs)) // nil: absent, or lazy and not asked for
	healthy := true
	link := func(i int) string { id, _, _ := AsLink(n.inputs[strings.TrimSuffix(c.inputs[i], "?")]); return id }
	take := func(i int) bool {
		r := o.eval(link(i))
		if r == nil {
			return false
		}
		lists[i] = append([]any{}, r.values...)
		return true
	}
	for i, name := range c.inputs {
		v, present := n.inputs[strings.TrimSuffix(name, "?")]
		if link(i) == "" && present {
			lists[i] = []any{v}
		} else if present && !strings.HasSuffix(name, "?") {
			healthy = take(i) && healthy
		}
	}
	if !healthy {
		return nil
	}
	fail := func() *oracleResult { o.failed[n.display] = true; return nil }
	length := func() (most int, sound bool) {
		shortest, most := 1<<30, -1
		for _, l := range lists {
			if l != nil {
				shortest, most = min(shortest, len(l)), max(most, len(l))
			}
		}
		if most <= 0 { // no input, or none but empty lists
			return 1, true
		}
		return most, shortest > 0
	}
	at := func(call int) (in []any) {
		for i, l := range lists {
			switch {
			case c.check == nil && link(i) != "" && strings.HasSuffix(c.inputs[i], "?"):
				in = append(in, nil) // run gets it
			case c.takes && l != nil:
				in = append(in, l)
			case len(l) == 0:
				in = append(in, nil)
			default:
				in = append(in, l[min(call, len(l)-1)])
			}
		}
		return in
	}
	blockedBy := func(in []any) (all []Blocker) {
		for _, v := range in {
			l, _ := v.([]any)
			if b, ok := v.(Blocker); ok {
				all = append(all, b)
			}
			for _, v := range l {
				if b, ok := v.(Blocker); ok && c.takes {
					all = append(all, b)
				}
			}
		}
		return all
	}
	calls := func() (int, bool) {
		if c.takes {
			return 1, true
		}
		return length()
	}
	for c.check != nil {
		count, sound := calls()
		if !sound {
			return fail()
		}
		asked := map[int]bool{}
		for call := range count {
			in := at(call)
			if len(blockedBy(in)) > 0 {
				continue
			}
			for _, name := range c.check(in) {
				i := slices.Index(c.inputs, name+"?")
				if i >= 0 && lists[i] == nil {
					if link(i) == "" {
						return fail()
					}
					asked[i] = true
				}
			}
		}
		if len(asked) == 0 {
			break
		}
		for i := range asked {
			healthy = take(i) && healthy
		}
		if !healthy {
			return nil
		}
	}
	type result struct {
		value any
		graph *toyGraph
	}
	var results []result
	for call := 0; ; call++ {
		count, sound := calls()
		if !sound {
			return fail()
		}
		if call >= count {
			break
		}
		// Calls of one round see the lists as they are at its begin, as far as they do not ask themselves.
		in := at(call)
		if blockers := blockedBy(in); len(blockers) > 0 {
			o.tell(blockers)
			results = append(results, result{value: Blocker{}})
			continue
		}
		if c.expands != nil {
			if g := c.expands(in); g != nil {
				results = append(results, result{graph: g})
				continue
			}
		}
		var got Blocker
		v, err := guarded(c, in, func(i int) (any, error) {
			if link(i) == "" {
				if lists[i] == nil {
					return nil, errors.New("nothing connected")
				}
				return lists[i][0], nil
			}
			if lists[i] == nil && !take(i) {
				return nil, errUpstream
			}
			if len(lists[i]) == 0 {
				return nil, errors.New("an empty list")
			}
			v := lists[i][min(call, len(lists[i])-1)]
			if b, ok := v.(Blocker); ok {
				got = b
				return nil, errGrew
			}
			return v, nil
		})
		var b Blocker
		switch {
		case errors.Is(err, errGrew):
			o.tell([]Blocker{got})
			v = Blocker{}
		case errors.As(err, &b):
			v = b
		case errors.Is(err, errUpstream):
			return nil
		case err != nil:
			return fail()
		}
		results = append(results, result{value: v})
	}
	out := &oracleResult{}
	for call, r := range results {
		if g := r.graph; g != nil {
			prefix := fmt.Sprintf("%s.%d.0.", id, call)
			resolve := func(v any) any {
				if name, ok := v.(ref); ok {
					return Link(prefix+string(name), 0)
				}
				return v
			}
			for _, sub := range g.nodes {
				var inputs []Input
				for _, in := range sub.inputs {
					inputs = append(inputs, Input{in.Name, resolve(in.Value)})
				}
				o.add(prefix+sub.name, sub.class, n.display, inputs)
			}
			for _, sub := range g.nodes {
				if toyClasses[sub.class].output {
					o.eval(prefix + sub.name)
				}
			}
			from, _, linked := AsLink(resolve(g.result))
			if !linked {
				out.values = append(out.values, g.result)
			} else if r := o.eval(from); r == nil {
				healthy = false
			} else {
				out.values = append(out.values, r.values...)
			}
			continue
		}
		if u, ok := r.value.(UI); ok {
			o.ui[id] = append(o.ui[id], u["text"]...)
		} else if l, ok := r.value.([]any); ok && c.list {
			out.values = append(out.values, l...)
		} else {
			out.values = append(out.values, r.value)
		}
	}
	if !healthy {
		return nil
	}
	return out
}

func (o *oracle) tell(blockers []Blocker) {
	for _, b := range blockers {
		if b.Message != "" {
			o.messages[b.Message] = true
		}
	}
}

func guarded(c toy, in []any, get func(int) (any, error)) (v any, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	return c.run(in, get)
}
