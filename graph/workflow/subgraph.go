package workflow

import (
	"fmt"
	"strconv"
	"strings"

	"graphrun/graph"
)

// maxNested is how deep subgraphs may nest, as in the editor.
const maxNested = 1000

// normalise gives every node an id of its own (section 7), as the editor does on load: the ids of the root come first,
// then those of the definitions in their order; what is taken gets the next free number. A second node of the root
// with an id comes last.
func (d *document) normalise() {
	count := 0
	for _, c := range d.canvases() {
		count += len(c.nodes)
	}
	used := newIndex[bool](count)
	last := d.lastNode
	raise := func(id string) {
		if n, ok := arrayIndex(id); ok {
			last = max(last, int(n))
		}
	}
	fresh := func() string {
		for {
			last++
			if id := strconv.Itoa(last); used.add(id, true) {
				return id
			}
		}
	}
	var again []*node
	for _, n := range d.nodes {
		raise(n.id)
		if !used.add(n.id, true) {
			again = append(again, n)
		}
	}
	moved := map[string]map[string]string{} // by definition
	for _, def := range d.definitions {
		here, to := map[string]bool{}, map[string]string{}
		for _, n := range def.nodes {
			old := n.id
			raise(old)
			if !used.add(old, true) {
				n.id = fresh()
				if !here[old] {
					to[old] = n.id
				}
			}
			here[old] = true
		}
		def.follow(to)
		moved[def.id] = to
	}
	for _, n := range again {
		n.id = fresh()
	}
	d.lastNode = last
	for _, c := range d.canvases() {
		for _, n := range c.nodes {
			if len(n.properties.proxies) == 0 {
				continue
			}
			if to := moved[n.typ]; len(to) > 0 {
				n.follow(to)
			}
		}
	}
}

// follow makes the links lead to nodes that have other ids now.
func (c *canvas) follow(to map[string]string) {
	if len(to) == 0 {
		return
	}
	for _, l := range c.wires {
		if now, ok := to[l.from]; ok {
			l.from = now
		}
	}
}

// follow renames the inner nodes of promoted widgets. Of a path a:b only the first part is of this definition.
func (n *node) follow(to map[string]string) {
	for i := range n.properties.proxies {
		first, rest, nested := strings.Cut(n.properties.proxies[i][0], ":")
		if now, ok := to[first]; ok {
			n.properties.proxies[i][0] = now
			if nested {
				n.properties.proxies[i][0] += ":" + rest
			}
		}
	}
}

// settle finds what every node is, makes its slots and widgets, and refuses definitions that contain themselves. Inner
// definitions come before those that use them, because a slot that is promoted twice is known from the inside.
func (c *converter) settle() error {
	defs := make(map[string]*canvas, len(c.doc.definitions))
	for _, def := range c.doc.definitions {
		if defs[def.id] == nil {
			defs[def.id] = def
		}
	}
	type visit struct {
		canvas *canvas
		next   int
	}
	depth := map[*canvas]int{}
	open := map[*canvas]bool{&c.doc.canvas: true}
	stack := []visit{{canvas: &c.doc.canvas}}
	for len(stack) > 0 {
		top := &stack[len(stack)-1]
		if top.next == len(top.canvas.nodes) {
			if err := c.build(top.canvas); err != nil {
				return err
			}
			open[top.canvas] = false
			if stack = stack[:len(stack)-1]; len(stack) > 0 {
				parent := stack[len(stack)-1].canvas
				depth[parent] = max(depth[parent], depth[top.canvas]+1)
			}
			continue
		}
		n := top.canvas.nodes[top.next]
		top.next++
		def := defs[n.typ]
		if def == nil {
			continue
		}
		n.of = def
		if isOpen, seen := open[def]; isOpen {
			return &graph.Error{
				Kind: graph.KindCycle, Node: n.id, Title: n.title, Have: fmt.Sprintf("the subgraph %q in itself", graph.Clip(def.name)),
				Hint: "take this instance out of the subgraph",
			}
		} else if seen {
			depth[top.canvas] = max(depth[top.canvas], depth[def]+1)
			continue
		}
		open[def] = true
		stack = append(stack, visit{canvas: def})
	}
	if have := depth[&c.doc.canvas]; have > maxNested {
		return &graph.Error{
			Kind: graph.KindBadFile, Need: fmt.Sprintf("subgraphs nested up to %d deep", maxNested), Have: fmt.Sprintf("%d", have),
			Hint: "unpack some of them in the editor",
		}
	}
	return nil
}

// build makes the slots and widgets of a canvas whose instances' definitions are built.
func (c *converter) build(cv *canvas) error {
	cv.byID = newIndex[*node](len(cv.nodes))
	for _, n := range cv.nodes {
		cv.byID.add(n.id, n)
	}
	for _, n := range cv.nodes {
		if n.of != nil {
			if err := c.spend(50*(len(n.of.inputs)+len(n.of.outputs)), n); err != nil {
				return err
			}
			n.buildInstance(&c.builder.claims)
			continue
		}
		if n.typ = renamed(n.typ); !n.isVirtual() {
			n.class = c.schemas.class(n.typ)
		}
		n.build(&c.builder)
	}
	cv.promotes = make([]bool, len(cv.inputs))
	for _, n := range cv.nodes {
		for i := range n.inputs {
			s := &n.inputs[i]
			if s.link == "" || n.of == nil && s.widget == "" || n.of != nil && (i >= len(n.of.promotes) || !n.of.promotes[i]) {
				continue
			}
			if l := cv.links.get(s.link); l != nil && l.from == inputNode && l.slot >= 0 && l.slot < len(cv.promotes) {
				cv.promotes[l.slot] = true
			}
		}
	}
	cv.findPushes()
	return nil
}

// buildInstance makes the slots of a subgraph instance: its definition's, matched by name.
func (n *node) buildInstance(claims *claims) {
	claims.open(n.saved)
	n.inputs = make([]slot, len(n.of.inputs))
	for i, e := range n.of.inputs {
		n.inputs[i] = slot{name: e.name, typ: e.typ, link: claims.take(e.name).link}
		if n.of.promotes[i] {
			n.inputs[i].widget = e.name
		}
	}
	n.outputs = make([]string, len(n.of.outputs))
	for i, e := range n.of.outputs {
		n.outputs[i] = e.typ
	}
}

// widgetKey names a widget of a node of a canvas.
type widgetKey struct{ node, widget string }

// frame is one expansion of a canvas: the root, or what an instance stands for.
type frame struct {
	canvas   *canvas
	parent   *frame
	host     *node
	prefix   string            // of its nodes' ids: "10:9:"
	promoted map[int]any       // values that the host gives to inputs that have a widget
	values   map[widgetKey]any // values that take the place of those of inner widgets
	deeper   map[string][]deep // and of those further inside, by the instance here
	inner    map[*node]*frame
}

// deep is a value for a widget inside an instance.
type deep struct {
	node, widget string
	value        any
}

// expand makes the frames of the instances in f, and theirs. Muted and bypassed ones have none at the root; further in
// the editor expands them all the same.
func (c *converter) expand(f *frame) error {
	c.uses[f.canvas]++
	for _, n := range f.canvas.nodes {
		if err := c.spend(100+len(f.prefix), n); err != nil {
			return err
		}
		if n.of == nil || f.parent == nil && (n.mode == muted || n.mode == bypassed) {
			continue
		}
		in := &frame{canvas: n.of, parent: f, host: n, prefix: f.prefix + n.id + ":"}
		if f.inner == nil {
			f.inner = map[*node]*frame{}
		}
		f.inner[n] = in
		if err := c.spend(len(n.of.inputs)+len(n.properties.proxies), n); err != nil {
			return err
		}
		in.promote()
		if err := c.expand(in); err != nil {
			return err
		}
	}
	return nil
}

// promote puts the host's widget values on the widgets inside that they belong to: the promoted ones in the order of
// the inputs, or those of the list proxyWidgets. Values that come from further out win.
func (in *frame) promote() {
	n, f := in.host, in.parent
	targets := n.promotedWidgets()
	saved := list(n.values)
	byName, _ := n.values.(map[string]any)
	for i, t := range targets {
		var v any
		ok := false
		if byName != nil {
			if v, ok = byName[t[1]]; !ok {
				v, ok = byName[strconv.Itoa(i)]
			}
		} else if i < len(saved) {
			v, ok = saved[i], true
		}
		if outer, given := f.values[widgetKey{n.id, t[1]}]; given {
			v, ok = outer, true
		}
		if ok && v != nil { // null is nobody's value: the inner one stays
			in.set(t[0], t[1], v)
		}
	}
	for i, e := range n.of.inputs {
		if v, ok := f.values[widgetKey{n.id, e.name}]; ok && n.of.promotes[i] {
			in.set("-1", e.name, v)
		}
	}
	for name, v := range n.pushed {
		in.set("-1", name, v)
	}
	for _, d := range f.deeper[n.id] {
		in.set(d.node, d.widget, d.value)
	}
}

// promotedWidgets are the inner widgets whose values an instance holds, in the order of its widgets_values: inner node
// and widget, or -1 and the input that leads to them.
func (n *node) promotedWidgets() [][2]string {
	if len(n.properties.proxies) > 0 {
		return n.properties.proxies
	}
	var targets [][2]string
	for i, e := range n.of.inputs {
		if n.of.promotes[i] {
			targets = append(targets, [2]string{"-1", e.name})
		}
	}
	return targets
}

// set gives a value to a widget of an inner node, which may be further inside (a:b), or to the input of the name (-1).
func (f *frame) set(id, name string, v any) {
	if id == "-1" {
		for i, e := range f.canvas.inputs {
			if e.name == name {
				if f.promoted == nil {
					f.promoted = map[int]any{}
				}
				f.promoted[i] = v
				return
			}
		}
		return
	}
	if host, rest, nested := strings.Cut(id, ":"); nested && f.canvas.byID.get(id) == nil {
		if f.deeper == nil {
			f.deeper = map[string][]deep{}
		}
		f.deeper[host] = append(f.deeper[host], deep{rest, name, v})
		return
	}
	if f.values == nil {
		f.values = map[widgetKey]any{}
	}
	f.values[widgetKey{id, name}] = v
	for _, p := range f.canvas.pushes[id] { // a PrimitiveNode hands it on
		f.values[widgetKey{p.target.id, p.widget}] = p.edited(v)
	}
}
