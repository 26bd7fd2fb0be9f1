package workflow

import (
	"slices"
	"strconv"
	"strings"
)

// group is what a group node of an old file (extra.groupNodes) has besides its nodes.
type group struct {
	links    [][4]int // from, its slot, to, its slot: nodes by their places
	external map[[2]int]bool
	hidden   map[hiddenPart]bool
}

// hiddenPart is an "input" by its name or an "output" by its place that the group node does not show.
type hiddenPart struct {
	node       int
	side, what string
}

// groupName is the name of the group node that a type stands for.
func groupName(typ string) (string, bool) {
	for _, prefix := range []string{"workflow>", "workflow/"} {
		if name, ok := strings.CutPrefix(typ, prefix); ok {
			return name, true
		}
	}
	return "", false
}

// readGroups reads extra.groupNodes.
func (d *document) readGroups(w *walker, problem *error) {
	d.groups = map[string]*canvas{}
	w.object(func(name string) {
		c := &canvas{name: name, group: &group{external: map[[2]int]bool{}, hidden: map[hiddenPart]bool{}}}
		if w.object(func(key string) { c.readGroup(w, key, problem) }) {
			d.groups[name] = c
		}
	})
}

// readGroup reads a member of a group node; its nodes are called by their places.
func (c *canvas) readGroup(w *walker, key string, problem *error) {
	g := c.group
	switch key {
	case "nodes":
		c.read(w, key, new(error)) // ids mean nothing here
		for i, n := range c.nodes {
			n.id, n.place.definition = strconv.Itoa(i), -2
			if err := n.check(i, c.name); err != nil && *problem == nil {
				*problem = err
			}
		}
	case "links":
		for _, v := range list(w.value()) {
			l := [4]int{-1, 0, -1, 0}
			for i, part := range list(v) {
				if i < len(l) && part != nil {
					l[i] = integer(part)
				}
			}
			g.links = append(g.links, l)
		}
	case "external":
		for _, v := range list(w.value()) {
			if at := list(v); len(at) >= 2 {
				g.external[[2]int{integer(at[0]), integer(at[1])}] = true
			}
		}
	case "config":
		for place, sides := range object(w.value()) {
			for side, parts := range object(sides) {
				for what, settings := range object(parts) {
					if object(settings)["visible"] == false {
						g.hidden[hiddenPart{integer(place), side, what}] = true
					}
				}
			}
		}
	default:
		w.skip()
	}
}

// ungroup makes the group nodes of old files instances of subgraphs, each with a definition of its own, as the editor
// does on load: the inner nodes get the next free ids, then the instance.
func (c *converter) ungroup() error {
	if len(c.doc.groups) == 0 {
		return nil
	}
	for _, cv := range c.doc.canvases() { // of the file: the loop adds definitions
		moved := map[string]string{}
		for _, n := range cv.nodes {
			name, ok := groupName(n.typ)
			group := c.doc.groups[name]
			if !ok || group == nil || c.schemas.class(n.typ) != nil {
				continue
			}
			if err := c.spend(1000*(1+len(group.nodes)+len(group.group.links)), n); err != nil {
				return err
			}
			u := &ungrouper{c: c, group: group.group, host: n, def: &canvas{name: name}}
			for _, inner := range group.nodes {
				u.add(inner)
			}
			old := n.id
			n.id = c.doc.fresh()
			u.def.id = "group node " + n.id
			u.connect()
			u.expose()
			u.values()
			n.typ, n.values, n.properties.proxies = u.def.id, nil, nil
			c.doc.definitions = append(c.doc.definitions, u.def)
			moved[old] = n.id
		}
		cv.follow(moved)
	}
	return nil
}

// fresh is an id that no node has.
func (d *document) fresh() string {
	d.lastNode++
	return strconv.Itoa(d.lastNode)
}

// ungrouper makes the definition for one group node.
type ungrouper struct {
	c      *converter
	group  *group
	host   *node
	def    *canvas
	inside map[[2]int]bool // inputs that inner links lead to: node and slot
	feeds  map[[2]int]bool // outputs that they come from
}

// add takes a copy of an inner node, with all slots that its class has.
func (u *ungrouper) add(inner *node) {
	n := *inner
	n.id = u.c.doc.fresh()
	n.saved = slices.Clone(inner.saved)
	if class := u.c.schemas.class(n.typ); class != nil {
		for _, widgets := range []bool{false, true} {
			for i := range class.inputs {
				in := &class.inputs[i]
				known := slices.ContainsFunc(n.saved, func(s slot) bool { return s.name == in.name })
				if in.isWidget() == widgets && !known {
					n.saved = append(n.saved, slot{name: in.name, typ: in.typ})
				}
			}
		}
	}
	for i := range n.saved {
		n.saved[i].link = ""
	}
	u.def.nodes = append(u.def.nodes, &n)
}

// connect makes the links between the inner nodes.
func (u *ungrouper) connect() {
	u.inside, u.feeds = map[[2]int]bool{}, map[[2]int]bool{}
	for i, l := range u.group.links {
		from, to := l[0], l[2]
		if from < 0 || from >= len(u.def.nodes) || to < 0 || to >= len(u.def.nodes) {
			continue
		}
		if target := u.def.nodes[to]; l[3] >= 0 && l[3] < len(target.saved) {
			id := "inside " + strconv.Itoa(i)
			u.def.links.set(id, &link{from: u.def.nodes[from].id, slot: l[1], to: target.id, toSlot: l[3]})
			target.saved[l[3]].link = id
			u.inside[[2]int{to, l[3]}], u.feeds[[2]int{from, l[1]}] = true, true
		}
	}
}

// expose makes the ends of the subgraph: what no inner link uses, first the plain inputs and then the widgets that
// have a link from outside.
func (u *ungrouper) expose() {
	linked := map[string]bool{}
	for _, s := range u.host.saved {
		linked[s.name] = s.link != ""
	}
	seen := map[string]bool{}
	for _, widgets := range []bool{false, true} {
		for i, n := range u.def.nodes {
			class := u.c.schemas.class(n.typ)
			for k := range n.saved {
				s := &n.saved[k]
				isWidget := s.widget != "" || class != nil && slices.ContainsFunc(class.inputs, func(in input) bool { return in.name == s.name && in.isWidget() })
				if isWidget != widgets || u.inside[[2]int{i, k}] || u.group.hidden[hiddenPart{i, "input", s.name}] {
					continue
				}
				name := n.exposed(s.name, seen)
				if widgets && !linked[name] {
					continue
				}
				seen[name] = true
				s.link = "input " + strconv.Itoa(len(u.def.inputs))
				u.def.links.set(s.link, &link{from: inputNode, slot: len(u.def.inputs), to: n.id, toSlot: k})
				u.def.inputs = append(u.def.inputs, end{name: name, typ: s.typ})
			}
		}
	}
	u.matchByPlace()
	clear(seen)
	for i, n := range u.def.nodes {
		types := n.savedOutputs
		if class := u.c.schemas.class(n.typ); class != nil {
			types = class.outputs
		}
		for k, typ := range types {
			if at := [2]int{i, k}; u.feeds[at] && !u.group.external[at] || u.group.hidden[hiddenPart{i, "output", strconv.Itoa(k)}] {
				continue
			}
			place := len(u.def.outputs)
			id := "output " + strconv.Itoa(place)
			u.def.links.set(id, &link{from: n.id, slot: k, to: outputNode, toSlot: place})
			u.def.outputs = append(u.def.outputs, end{name: typ, typ: typ, links: []string{id}})
		}
	}
}

// exposed is the name by which the group node shows an inner one's input.
func (n *node) exposed(name string, seen map[string]bool) string {
	if !seen[name] {
		return name
	}
	if n.title != "" {
		return n.title + " " + name
	}
	return n.typ + " " + name
}

// matchByPlace gives slots of the host that have other names those of the inputs in their places.
func (u *ungrouper) matchByPlace() {
	known := map[string]bool{}
	for _, e := range u.def.inputs {
		known[e.name] = true
	}
	have := map[string]bool{}
	for _, s := range u.host.saved {
		have[s.name] = true
	}
	for i := range u.host.saved {
		if s := &u.host.saved[i]; i < len(u.def.inputs) && !known[s.name] && !have[u.def.inputs[i].name] {
			s.name = u.def.inputs[i].name
		}
	}
}

// values hands the group node's values to the inner nodes, in their order.
func (u *ungrouper) values() {
	outer := list(u.host.values)
	for i, n := range u.def.nodes {
		own := list(n.values)
		var shown []bool // by entry
		class := u.c.schemas.class(n.typ)
		if class == nil {
			shown = slices.Repeat([]bool{true}, len(own))
		} else {
			for k := range class.inputs {
				if in := &class.inputs[k]; in.isWidget() {
					visible := !u.group.hidden[hiddenPart{i, "input", in.name}]
					shown = append(shown, slices.Repeat([]bool{visible}, 1+in.controls)...)
				}
			}
		}
		values := slices.Clone(own)
		for at, visible := range shown {
			if !visible || len(outer) == 0 {
				continue
			}
			for len(values) <= at {
				values = append(values, nil)
			}
			values[at], outer = outer[0], outer[1:]
		}
		n.values = values
	}
}
