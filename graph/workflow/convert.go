package workflow

import (
	"slices"
	"strconv"
	"strings"

	"graphrun/graph"
)

// maxWork bounds what a file may cost, in steps of some nanoseconds and bytes: subgraphs that hold each other multiply.
// A million nodes take half of it.
const maxWork = 2e8

// converter turns one UI workflow into a prompt.
type converter struct {
	file    *File
	opt     Options
	schemas *schemas
	doc     *document
	root    *frame
	uses    map[*canvas]int
	builder builder
	work    int

	resolved map[want]origin
	path     []step            // resolve's
	hints    map[string]string // for nodes of unknown classes, by class

	savers              []*graph.Node    // whose file names may have tokens
	searchNames, titles map[string]*node // for tokens
}

// newConverter reads the workflow and builds every node's slots and widgets.
func newConverter(f *File, o Options) (*converter, error) {
	doc := f.document()
	if doc.problem != nil {
		return nil, doc.problem
	}
	c := &converter{file: f, opt: o, schemas: newSchemas(o.Nodes, o.Env), doc: doc, uses: map[*canvas]int{}, resolved: map[want]origin{}, hints: map[string]string{}}
	doc.normalise()
	if err := c.ungroup(); err != nil {
		return nil, err
	}
	if err := c.settle(); err != nil {
		return nil, err
	}
	for _, cv := range doc.canvases() {
		c.pushPrimitives(cv)
	}
	c.root = &frame{canvas: &doc.canvas}
	return c, c.expand(c.root)
}

// spend counts the cost of a node, and is an error when the file costs too much.
func (c *converter) spend(cost int, n *node) error {
	if c.work += cost; c.work <= maxWork {
		return nil
	}
	return &graph.Error{
		Kind: graph.KindBadFile, Node: n.id, Class: n.typ, Title: n.title, Need: "a workflow of at most some million nodes",
		Have: "more, with its subgraphs expanded", Hint: "do its subgraphs hold each other many times over?",
	}
}

// warnUnknown reports a node whose class is not known; the rest of the file is converted all the same.
func (c *converter) warnUnknown(id string, n *node) {
	if c.opt.Warn == nil {
		return
	}
	hint, ok := c.hints[n.typ]
	if !ok && len(c.hints) < graph.MostNear {
		if near := c.opt.Nodes.Nearest(n.typ); len(near) > 0 {
			hint = "did you mean " + strings.Join(near, ", ") + "?"
		}
		c.hints[n.typ] = hint
	}
	if pack := n.properties.pack.String(); pack != "" {
		hint = strings.TrimPrefix(hint+"; ", "; ") + "the file says that it comes from the pack " + pack
	}
	c.opt.Warn(&graph.Error{Kind: graph.KindInvalidPrompt, Node: id, Class: n.typ, Title: n.title, Need: "a class that the schemas know", Hint: hint})
}

// prompt emits every node that runs.
func (c *converter) prompt() (*graph.Prompt, error) {
	p := &graph.Prompt{Nodes: make(map[string]*graph.Node, len(c.doc.nodes))}
	if err := c.emit(c.root, p); err != nil {
		return nil, err
	}
	sortIDs(p.IDs)
	return p, nil
}

// emit adds the nodes of a frame and of those inside it.
func (c *converter) emit(f *frame, p *graph.Prompt) error {
	for _, n := range f.canvas.nodes {
		if in := f.inner[n]; in != nil {
			if err := c.emit(in, p); err != nil {
				return err
			}
			continue
		}
		if n.of != nil || n.mode == muted || n.mode == bypassed || n.isVirtual() {
			continue
		}
		out, err := c.emitNode(f, n)
		if err != nil {
			return err
		}
		if id := f.prefix + n.id; !p.Add(id, out) {
			return &graph.Error{Kind: graph.KindDuplicateID, Node: id, Class: n.typ, Hint: "give one of them another id"}
		}
	}
	return nil
}

// emitNode makes the node's entry: its widgets, and over them the links (section 4).
func (c *converter) emitNode(f *frame, n *node) (*graph.Node, error) {
	n = c.shaped(f, n)
	out := &carve(&c.builder.entries, 1)[:1][0]
	out.Class, out.Title, out.Inputs = n.typ, n.title, carve(&c.builder.inputs, max(len(n.inputs), len(n.widgets)))
	if n.class == nil {
		c.warnUnknown(f.prefix+n.id, n)
	} else if out.Title == "" {
		out.Title = n.class.title
	}
	if n.class == nil && isSaver(n.typ) || n.class != nil && n.class.saver {
		c.savers = append(c.savers, out)
	}
	inputs := setter{out: out}
	if values := list(n.values); n.class == nil && len(values) > 0 {
		inputs.set("UNKNOWN", wrapped(values[len(values)-1])) // as the editor: nobody knows the names, and the last wins
	}
	for i := range n.widgets {
		w := &n.widgets[i]
		if w.in == nil || w.in.typ == "IMAGECOMPARE" {
			continue
		}
		v, absent := f.own(n, w)
		if !absent {
			inputs.set(w.name, w.serialised(v, false, c.opt.Pick))
		}
	}
	options, isCustom := n.customOptions()
	for i, v := range options {
		inputs.set("option"+strconv.Itoa(i+1), wrapped(v))
	}
	for i := range n.inputs {
		s := &n.inputs[i]
		if s.link == "" {
			continue
		}
		from, err := c.resolve(f, *s)
		if err != nil {
			return nil, err
		}
		w := n.widget(s.widget)
		switch {
		case from.kind == output:
			inputs.set(s.name, c.builder.link(from))
		case from.kind == given && w != nil:
			inputs.set(s.name, w.serialised(from.value, true, c.opt.Pick))
		case from.kind == given && (s.widget == "" || n.class == nil): // a widget that the class has no more gets nothing
			inputs.set(s.name, wrapped(from.value))
		case from.kind == kept && w != nil:
			if v, absent := f.own(n, w); !absent {
				inputs.set(s.name, w.serialised(v, true, c.opt.Pick))
			}
		}
	}
	if isCustom {
		inputs.set("index", f.customIndex(n, out, options))
	}
	return out, nil
}

// shaped is the node as it is in this frame: an instance that gives it another choice gives it other inputs.
func (c *converter) shaped(f *frame, n *node) *node {
	isOther := func(w widget) bool {
		v, ok := f.values[widgetKey{n.id, w.name}]
		return ok && w.in != nil && w.in.keys != nil && text(v) != text(w.value)
	}
	if f.values == nil || !slices.ContainsFunc(n.widgets, isOther) {
		return n
	}
	values := map[string]any{}
	for i := range n.widgets {
		if w := &n.widgets[i]; !w.absent {
			values[w.name], _ = f.own(n, w)
		}
	}
	other := *n
	other.values = values
	other.build(&c.builder)
	return &other
}

// setter is Node.Set for nodes of any size.
type setter struct {
	out    *graph.Node
	places map[string]int
}

func (s *setter) set(name string, v any) {
	const few = 32
	if len(s.out.Inputs) < few {
		s.out.Set(name, v)
		return
	}
	if s.places == nil {
		s.places = map[string]int{}
		for i, in := range s.out.Inputs {
			s.places[in.Name] = i
		}
	}
	if i, ok := s.places[name]; ok {
		s.out.Inputs[i].Value = v
		return
	}
	s.places[name] = len(s.out.Inputs)
	s.out.Inputs = append(s.out.Inputs, graph.Input{Name: name, Value: v})
}

// wrapped keeps an array from being taken for a link.
func wrapped(v any) any {
	if l, ok := v.([]any); ok {
		return map[string]any{"__value__": l}
	}
	return v
}

// widget is the widget of the name, nil if there is none.
func (n *node) widget(name string) *widget {
	if name == "" {
		return nil
	}
	for i := range n.widgets {
		if n.widgets[i].name == name && n.widgets[i].in != nil {
			return &n.widgets[i]
		}
	}
	return nil
}

// own is the widget's value in this frame.
func (f *frame) own(n *node, w *widget) (v any, absent bool) {
	if f.values != nil {
		if v, ok := f.values[widgetKey{n.id, w.name}]; ok {
			return v, false
		}
	}
	return w.value, w.absent
}

// find is the node of the prompt with the id, in its frame.
func (c *converter) find(id string) (*frame, *node) {
	f := c.root
	for rest := id; f != nil; {
		if n := f.canvas.byID.get(rest); n != nil && n.of == nil {
			return f, n
		}
		var next *frame
		for at := 0; next == nil; {
			i := strings.IndexByte(rest[at:], ':')
			if i < 0 {
				break
			}
			if n := f.canvas.byID.get(rest[:at+i]); n != nil && f.inner[n] != nil {
				next = f.inner[n]
				rest = rest[at+i+1:]
				break
			}
			at += i + 1
		}
		f = next
	}
	return nil, nil
}

// saved is the widgets_values of a node in the file's tree; nil if it has none.
func (f *File) saved(n *node) any {
	canvas := f.tree()
	if n.place.definition >= 0 {
		canvas = object(at(list(object(canvas["definitions"])["subgraphs"]), n.place.definition))
	} else if n.place.definition < -1 {
		return nil // in a group node
	}
	return object(at(list(canvas["nodes"]), n.place.node))["widgets_values"]
}

func at(l []any, i int) any {
	if i < len(l) {
		return l[i]
	}
	return nil
}
