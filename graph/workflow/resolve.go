package workflow

import (
	"slices"
	"strings"

	"graphrun/graph"
)

// kind is what a link comes to.
type kind uint8

const (
	nothing kind = iota // no node: a plain input is absent, a widget keeps its own value
	output              // an output of a node
	given               // the value of a promoted widget
	kept                // a promoted widget that has no value: the inner widget's own counts
	open                // it is being followed: a link that comes back here is one of a cycle
)

// origin is where a link leads, followed to its end.
type origin struct {
	kind  kind
	node  string // its id in the prompt
	slot  int
	value any
}

// want is a link of a frame and the type that its target asks for: what resolve answers.
type want struct {
	frame     *frame
	link, typ string
}

// step is a want on the way, with the value that an instance passed on the way has for it.
type step struct {
	want
	value any
	has   bool
}

// resolve follows a slot's link to the node and output that feed it (section 5): through reroutes, in and out of
// subgraphs, and through bypassed nodes by type. Answers that took a walk are kept, so that long chains are walked once.
func (c *converter) resolve(f *frame, s slot) (end origin, err error) {
	c.path = c.path[:0]
	for s.link != "" {
		l := f.canvas.links.get(s.link)
		if l == nil {
			break
		}
		n := f.canvas.source(l)
		if n != nil && n.mode != muted && n.mode != bypassed && n.of == nil && !n.isVirtual() {
			end = origin{kind: output, node: f.prefix + n.id, slot: l.slot}
			break
		}
		at := want{f, s.link, s.typ}
		if known, ok := c.resolved[at]; ok {
			end = known
			break
		}
		c.resolved[at] = origin{kind: open}
		c.path = append(c.path, step{want: at})
		switch {
		case l.from == inputNode && f.parent != nil:
			if l.slot < 0 || l.slot >= len(f.host.inputs) {
				s.link = ""
				break
			}
			here := &c.path[len(c.path)-1]
			here.value, here.has = f.promoted[l.slot]
			outer := f.host.inputs[l.slot]
			if outer.link == "" || f.parent.isPrimitive(outer.link) {
				if outer.widget != "" {
					end.kind = kept
				}
				s.link = ""
				break
			}
			s.link, f = outer.link, f.parent
		case n == nil:
			s.link = ""
		default:
			if s, f, err = c.back(f, n, l, s.typ); err != nil {
				return origin{}, err
			}
		}
	}
	if end.kind == open {
		last := c.path[len(c.path)-1]
		return origin{}, circular(last.frame, last.frame.canvas.links.get(last.link))
	}
	for _, p := range slices.Backward(c.path) {
		if p.has && end.kind == kept {
			end = origin{kind: given, value: p.value}
		}
		c.resolved[p.want] = end
	}
	return end, nil
}

// back makes one step back over a node: to the slot where it goes on, and its frame. A slot without a link is the end.
func (c *converter) back(f *frame, n *node, l *link, typ string) (slot, *frame, error) {
	switch {
	case n.mode == muted:
	case n.typ == "Reroute" && len(n.inputs) > 0:
		return slot{link: n.inputs[0].link, typ: typ}, f, nil
	case n.isVirtual():
	case n.mode == bypassed:
		if err := c.spend(10*len(n.inputs), n); err != nil {
			return slot{}, f, err
		}
		if next := n.passes(l.slot, typ); next != nil {
			return *next, f, nil
		}
	case n.of != nil:
		if in := f.inner[n]; in != nil {
			return slot{link: n.of.feeds(l.slot), typ: typ}, in, nil
		}
	}
	return slot{}, f, nil
}

// isPrimitive reports whether the link comes from a PrimitiveNode, which has pushed its value.
func (f *frame) isPrimitive(link string) bool {
	n := f.canvas.source(f.canvas.links.get(link))
	return n != nil && n.typ == "PrimitiveNode"
}

// feeds is the link inside a subgraph that an output of it gets its value by.
func (c *canvas) feeds(output int) string {
	if output < 0 || output >= len(c.outputs) {
		return ""
	}
	for _, id := range c.outputs[output].links {
		if c.links.get(id) != nil {
			return id
		}
	}
	return c.into[output]
}

func circular(f *frame, l *link) error {
	e := &graph.Error{
		Kind: graph.KindCycle, Node: f.prefix + l.from, Have: "reroutes, subgraphs or bypassed nodes that feed themselves",
		Hint: "remove one of these links",
	}
	if n := f.canvas.source(l); n != nil {
		e.Class, e.Title = n.typ, n.title
	}
	return e
}

// passes is the input that a bypassed node hands on to its output slot, where type want is asked for; nil if none fits.
func (n *node) passes(output int, want string) *slot {
	if len(n.inputs) == 0 {
		return nil
	}
	inRange := output >= 0 && output < len(n.inputs)
	if want == "" || want == "*" {
		if inRange {
			return &n.inputs[output]
		}
		return &n.inputs[0]
	}
	has := "*"
	if output >= 0 && output < len(n.outputs) {
		has = n.outputs[output]
	}
	both := func(s *slot) bool { return compatible(s.typ, has) && compatible(s.typ, want) }
	if inRange && both(&n.inputs[output]) {
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

// compatible reports whether slots of these types connect: equal ignoring case, a wildcard, or a common member.
func compatible(a, b string) bool {
	if a == "" || b == "" || a == "*" || b == "*" || strings.EqualFold(a, b) {
		return true
	}
	if !strings.Contains(a, ",") && !strings.Contains(b, ",") {
		return false
	}
	members := map[string]bool{}
	for x := range strings.SplitSeq(a, ",") {
		members[strings.ToLower(strings.TrimSpace(x))] = true
	}
	for y := range strings.SplitSeq(b, ",") {
		if members[strings.ToLower(strings.TrimSpace(y))] {
			return true
		}
	}
	return false
}
