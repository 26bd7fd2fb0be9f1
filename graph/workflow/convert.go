package workflow

import (
	"fmt"
	"math"
	"strings"

	"graphrun/graph"
)

// converter turns one UI workflow into a prompt.
type converter struct {
	opt   Options
	tree  map[string]any
	nodes map[string]*node
	order []*node // of the file
	links map[string]link

	resolved map[want]*link
}

// newConverter reads the tree and builds every node's slots and widgets.
func newConverter(tree map[string]any, o Options) (*converter, error) {
	c := &converter{opt: o, tree: tree, nodes: map[string]*node{}, links: map[string]link{}, resolved: map[want]*link{}}
	if err := c.readNodes(tree); err != nil {
		return nil, err
	}
	c.readLinks(tree)
	if err := c.refuseNested(); err != nil {
		return nil, err
	}
	for _, n := range c.order {
		if !n.isVirtual() {
			n.spec = o.Nodes[n.typ]
		}
		n.buildSlots()
		if n.spec != nil {
			n.buildWidgets(o.Env)
		}
	}
	c.pushPrimitives()
	return c, nil
}

// refuseNested is the place where subgraph instances and group nodes will be expanded into nodes of their own, and the
// values of dynamic choices into inputs. Muted and bypassed instances need no inner node, so they convert.
func (c *converter) refuseNested() error {
	definitions := map[string]string{}
	for _, v := range list(object(c.tree["definitions"])["subgraphs"]) {
		definitions[ident(object(v)["id"])] = text(object(v)["name"])
	}
	for _, n := range c.order {
		if n.mode == muted || n.mode == bypassed {
			continue
		}
		what := ""
		if name, ok := definitions[n.typ]; ok {
			what = fmt.Sprintf("an instance of the subgraph %q", name)
		} else if strings.HasPrefix(n.typ, "workflow>") || strings.HasPrefix(n.typ, "workflow/") {
			what = "a group node"
		}
		if spec := c.opt.Nodes[n.typ]; what == "" && spec != nil {
			for _, p := range spec.Inputs {
				if strings.HasPrefix(p.Type, "COMFY_DYNAMICCOMBO") {
					what = "a node whose input " + p.Name + " changes the others"
				}
			}
		}
		if what != "" {
			return &graph.Error{
				Kind: graph.KindUnsupported, Node: n.id, Title: n.title, Have: what,
				Hint: `unpack it in the editor if it is a subgraph or group, or export the prompt with "Export (API)" and run that`,
			}
		}
	}
	return nil
}

// prompt emits every node that runs.
func (c *converter) prompt() (*graph.Prompt, error) {
	p := &graph.Prompt{Nodes: map[string]*graph.Node{}}
	for _, n := range c.order {
		if n.mode == muted || n.mode == bypassed || n.isVirtual() {
			continue
		}
		out := &graph.Node{Class: n.typ, Title: n.title}
		if out.Title == "" && n.spec != nil {
			out.Title = n.spec.DisplayName()
		}
		for i := range n.widgets {
			if w := &n.widgets[i]; w.port != nil && !w.absent {
				out.Inputs = append(out.Inputs, graph.Input{Name: w.name, Value: w.serialised(c.opt.Pick)})
			}
		}
		if n.spec == nil { // the editor does not know its widgets either
			for _, v := range list(n.tree["widgets_values"]) {
				out.Set("UNKNOWN", v)
			}
		}
		for _, s := range n.inputs {
			origin, err := c.resolve(s)
			if err != nil {
				return nil, err
			}
			if origin != nil {
				out.Set(s.name, graph.Link(origin.from, origin.slot))
			}
		}
		p.Add(n.id, out)
	}
	c.dropDangling(p)
	sortIDs(p.IDs)
	return p, nil
}

// dropDangling removes links to nodes that were not emitted.
func (c *converter) dropDangling(p *graph.Prompt) {
	for _, n := range p.Nodes {
		kept := n.Inputs[:0]
		for _, in := range n.Inputs {
			if l := list(in.Value); len(l) != 2 || p.Nodes[ident(l[0])] != nil {
				kept = append(kept, in)
			}
		}
		n.Inputs = kept
	}
}

// want is a link and the type that its target asks for: what resolve answers.
type want struct{ link, typ string }

// resolve follows a slot's link to the node and output that feed it (section 5): through reroutes, and through bypassed
// nodes by type. It is nil where nothing does. Answers are kept, so that long chains are walked once.
func (c *converter) resolve(s slot) (origin *link, err error) {
	var path []want
	on := map[want]bool{}
	for next := &s; next != nil && next.link != ""; {
		at := want{next.link, next.typ}
		if known, ok := c.resolved[at]; ok {
			origin = known
			break
		}
		l, linked := c.links[at.link]
		n := c.nodes[l.from]
		if !linked || n == nil {
			break
		}
		if on[at] {
			return nil, &graph.Error{
				Kind: graph.KindCycle, Node: n.id, Class: n.typ, Title: n.title,
				Have: "reroutes or bypassed nodes that feed themselves", Hint: "remove one of these links",
			}
		}
		on[at], path = true, append(path, at)
		switch {
		case n.typ == "Reroute" && n.mode != muted && len(n.inputs) > 0:
			next = &slot{link: n.inputs[0].link, typ: at.typ}
		case n.mode == muted || n.isVirtual():
			next = nil
		case n.mode == bypassed:
			next = n.passes(l.slot, at.typ)
		default:
			origin, next = &l, nil
		}
	}
	for _, at := range path {
		c.resolved[at] = origin
	}
	return origin, nil
}

// passes is the input that a bypassed node hands on to its output slot, where type want is asked for; nil if none fits.
func (n *node) passes(output int, want string) *slot {
	if len(n.inputs) == 0 {
		return nil
	}
	if want == "" || want == "*" {
		if output < len(n.inputs) {
			return &n.inputs[output]
		}
		return &n.inputs[0]
	}
	given := "*"
	if output < len(n.outputs) {
		given = n.outputs[output]
	}
	both := func(s *slot) bool { return compatible(s.typ, given) && compatible(s.typ, want) }
	if output < len(n.inputs) && both(&n.inputs[output]) {
		return &n.inputs[output]
	}
	for i := range n.inputs {
		if n.inputs[i].typ == want {
			return &n.inputs[i]
		}
	}
	for i := range n.inputs {
		if both(&n.inputs[i]) {
			return &n.inputs[i]
		}
	}
	return nil
}

// pushPrimitives writes the values of PrimitiveNodes into the widgets that they are linked to directly (section 6).
func (c *converter) pushPrimitives() {
	for _, target := range c.order {
		for _, s := range target.inputs {
			origin := c.nodes[c.links[s.link].from]
			if s.link == "" || s.widget == "" || origin == nil || origin.typ != "PrimitiveNode" {
				continue
			}
			values := list(origin.tree["widgets_values"])
			if len(values) == 0 {
				continue
			}
			value := values[0]
			if s, ok := value.(string); ok && origin.property("Run widget replace on values") == true {
				value = c.expandTokens(s)
			}
			for i := range target.widgets {
				if w := &target.widgets[i]; w.name == s.widget && w.port != nil {
					w.value, w.absent = edited(w.port, value), false
				}
			}
		}
	}
}

// edited is a number as the editor leaves it after an edit: on the grid of its step or rounding, and in its range.
func edited(p *graph.Port, v any) any {
	if p.Type != "INT" && p.Type != "FLOAT" {
		return v
	}
	n, ok := number(v).(int)
	x := float64(n)
	if !ok {
		if x, ok = number(v).(float64); !ok {
			return v // uint64, or no number at all
		}
	}
	lo, hi := option(p, "min", math.Inf(-1)), option(p, "max", math.Inf(1))
	if p.Type == "INT" {
		step := option(p, "step", 1)
		if step <= 0 || step == 1 && x == math.Trunc(x) {
			return v
		}
		shift := 0.0
		if !math.IsInf(lo, 0) {
			shift = math.Mod(lo, step)
		}
		return int64(math.Round((x-shift)/step)*step + shift)
	}
	step := option(p, "step", 0.5)
	precision := max(0, -math.Floor(math.Log10(step)))
	round := option(p, "round", 0)
	if round <= 0 && precision > 0 {
		round = math.Pow(10, -precision)
	}
	if round > 0 {
		x = math.Round(x/round) * round
		scale := math.Pow(10, precision)
		x = math.Round(x*scale) / scale
	}
	return min(max(x, lo), hi)
}

// option is a numeric option of an input, or the fallback.
func option(p *graph.Port, name string, fallback float64) float64 {
	switch x := p.Opts[name].(type) {
	case int64:
		return float64(x)
	case uint64:
		return float64(x)
	case float64:
		return x
	}
	return fallback
}
