package workflow

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"graphrun/graph"
)

// Modes of a node in the UI format; all others run.
const (
	muted    = 2
	bypassed = 4
)

// The ids by which a subgraph's links call its own two ends.
const (
	inputNode  = "-10"
	outputNode = "-20"
)

// document is what a conversion needs of a workflow in the UI format.
type document struct {
	canvas
	definitions []*canvas
	groups      map[string]*canvas // extra.groupNodes: the group nodes of old files
	lastNode    int

	isUI     bool // nodes is a list
	hasNodes bool
	problem  error // of the first node that is none
}

// canvases are the workflow and then its definitions.
func (d *document) canvases() []*canvas { return append([]*canvas{&d.canvas}, d.definitions...) }

// canvas is a graph as the editor draws it: the workflow, or the definition of a subgraph.
type canvas struct {
	id, name        string
	nodes           []*node // in the order of the file
	wires           []*wire
	links           index[*link] // the last of an id
	inputs, outputs []end        // of a definition

	into     map[int]string    // the links that end at an output of the subgraph, by its place
	byID     index[*node]      // the first of an id
	promotes []bool            // which inputs lead to a widget
	pushes   map[string][]push // of PrimitiveNodes
	group    *group            // nil, or what a group node of an old file has besides
}

// end is an input or output of a subgraph, seen from inside.
type end struct {
	name, typ string
	links     []string
}

// link leads from an output to an input.
type link struct {
	from   string
	slot   int
	to     string
	toSlot int
}

// wire is a link with its id.
type wire struct {
	id string
	link
}

// node is a node of a UI workflow: as it was saved, and what a schema makes of it (slots, widgets).
type node struct {
	id, typ, title string
	mode           int
	isNone         bool // no object
	saved          []slot
	savedOutputs   []string
	values         any // widgets_values: []any, map[string]any, nil
	properties     properties
	place          spot

	class   *class // nil for virtual and unknown nodes and instances
	of      *canvas
	inputs  []slot // plain ones, then those of widgets, then what the schema does not know
	outputs []string
	widgets []widget
	pushed  map[string]any // by PrimitiveNodes on an instance's widgets
}

// spot is where a node is in the file: nodes[node] of the root (-1) or of a definition.
type spot struct{ definition, node int }

// properties are those of a node's properties that matter to a conversion.
type properties struct {
	searchName string // "Node name for S&R"
	replace    bool   // "Run widget replace on values"
	pack       Pack
	proxies    [][2]string // proxyWidgets of an instance: inner node and widget
}

// slot is an input that can be linked.
type slot struct {
	name, typ string
	link      string // its link's id, "" if none
	widget    string // the widget that it stands for, "" if none
}

// renamed is the name that a class of an old file has now.
func renamed(class string) string {
	switch class {
	case "T2IAdapterLoader":
		return "ControlNetLoader"
	case "ConditioningAverage ":
		return "ConditioningAverage"
	case "SDV_img2vid_Conditioning":
		return "SVD_img2vid_Conditioning"
	}
	return class
}

// isVirtual reports whether the editor keeps the node to itself.
func (n *node) isVirtual() bool {
	switch n.typ {
	case "Reroute", "PrimitiveNode", "Note", "MarkdownNote":
		return true
	}
	return false
}

// readDocument reads a workflow. Nodes that are none are its problem; everything else of a wrong kind reads as absent.
func readDocument(w *walker) *document {
	d := &document{}
	w.object(func(key string) {
		switch key {
		case "last_node_id":
			d.lastNode = w.int()
		case "definitions":
			w.object(func(key string) {
				if key != "subgraphs" {
					w.skip()
					return
				}
				d.definitions = nil
				w.array(func(i int) {
					c := &canvas{}
					if w.object(func(key string) { c.read(w, key, &d.problem) }) {
						c.place(i)
						d.definitions = append(d.definitions, c)
					}
				})
			})
		case "extra":
			w.object(func(key string) {
				if key != "groupNodes" {
					w.skip()
					return
				}
				d.readGroups(w, &d.problem)
			})
		case "nodes":
			d.isUI = w.next() == '['
			d.read(w, key, &d.problem)
			d.hasNodes = d.hasNodes || len(d.nodes) > 0
		default:
			d.read(w, key, &d.problem)
		}
	})
	d.place(-1)
	return d
}

// source is the node that a link, if there is one, comes from; nil if there is none.
func (c *canvas) source(l *link) *node {
	if l == nil {
		return nil
	}
	return c.byID.get(l.from)
}

// place notes where the nodes are in the file: in its definition of the number, or at the root (-1).
func (c *canvas) place(definition int) {
	for i, n := range c.nodes {
		n.place = spot{definition, i}
	}
}

// read reads a member of the workflow, or of the definition of a subgraph.
func (c *canvas) read(w *walker, key string, problem *error) {
	switch key {
	case "id":
		c.id = w.ident()
	case "name":
		c.name = w.words()
	case "nodes":
		c.nodes = w.nodes()
		for i, n := range c.nodes {
			if err := n.check(i, c.name); err != nil && *problem == nil {
				*problem = err
			}
		}
	case "links":
		w.wires = w.wires[:0]
		w.array(func(int) {
			l := &carve(&w.wireRoom, 1)[:1][0]
			if l.read(w) {
				w.wires = append(w.wires, l)
			}
		})
		c.wires = slices.Clone(w.wires)
		c.links, c.into = newIndex[*link](len(c.wires)), map[int]string{}
		for _, l := range c.wires {
			if c.links.set(l.id, &l.link); l.to == outputNode && c.into[l.toSlot] == "" {
				c.into[l.toSlot] = l.id
			}
		}
	case "inputs":
		c.inputs = w.ends()
	case "outputs":
		c.outputs = w.ends()
	default:
		w.skip()
	}
}

// nodes reads a list of nodes.
func (w *walker) nodes() (nodes []*node) {
	end := 0
	w.array(func(i int) {
		if w.next() != 0 && i == manyNodes {
			w.readAhead(end)
		}
		if rest := w.takeOver(); rest != nil {
			nodes = append(nodes, rest...)
			return
		}
		nodes = append(nodes, w.node())
		end = w.at
	})
	return nodes
}

// node reads a node, or what should be one.
func (w *walker) node() *node {
	n := &carve(&w.nodeRoom, 1)[:1][0]
	n.isNone = !w.object(func(key string) { n.read(w, key) })
	return n
}

// check is an error if the node, nodes[i] of a canvas of the name, has not what every node has.
func (n *node) check(i int, of string) error {
	if !n.isNone && n.id != "" && n.typ != "" {
		return nil
	}
	where := fmt.Sprintf("nodes[%d]", i)
	if of != "" {
		where += fmt.Sprintf(" of the subgraph %q", graph.Clip(of))
	}
	if n.isNone {
		return &graph.Error{Kind: graph.KindBadFile, Need: "a node (an object)", Have: where + " is none", Hint: "save the workflow again"}
	}
	return &graph.Error{Kind: graph.KindBadFile, Node: n.id, Class: n.typ, Need: "an id and a type", Have: where + " without"}
}

// read reads a link as an array [id, from, slot, to, slot, type] or as an object. Its target is only looked at
// where it ends at a subgraph's output: every input's own link id counts (section 2).
func (l *wire) read(w *walker) (ok bool) {
	if w.next() == '[' {
		w.array(func(i int) {
			switch i {
			case 0:
				l.id = w.id()
			case 1:
				l.from = w.id()
			case 2:
				l.slot = w.int()
			case 3:
				l.to = w.ident()
			case 4:
				l.toSlot, ok = w.int(), true
			default:
				w.skip()
			}
		})
	} else {
		ok = w.object(func(key string) {
			switch key {
			case "id":
				l.id = w.id()
			case "origin_id":
				l.from = w.id()
			case "origin_slot":
				l.slot = w.int()
			case "target_id":
				l.to = w.ident()
			case "target_slot":
				l.toSlot = w.int()
			default:
				w.skip()
			}
		})
	}
	return ok && l.id != ""
}

// ends reads the inputs or outputs of a subgraph.
func (w *walker) ends() (ends []end) {
	w.array(func(int) {
		e := end{typ: "*"}
		w.object(func(key string) {
			switch key {
			case "name":
				e.name = w.words()
			case "type":
				e.typ = w.slotType()
			case "linkIds":
				w.array(func(int) { e.links = append(e.links, w.ident()) })
			default:
				w.skip()
			}
		})
		ends = append(ends, e)
	})
	return ends
}

// read reads a member of the node.
func (n *node) read(w *walker, key string) {
	switch key {
	case "id":
		n.id = w.id()
	case "type":
		n.typ = w.name()
	case "title":
		n.title = w.words()
	case "mode":
		n.mode = w.int()
	case "inputs":
		w.slots = w.slots[:0]
		w.array(func(int) { w.slots = append(w.slots, w.slot()) })
		n.saved = append(carve(&w.slotRoom, len(w.slots)), w.slots...)
	case "outputs":
		w.types = w.types[:0]
		w.array(func(int) { w.types = append(w.types, w.outputType()) })
		n.savedOutputs = append(carve(&w.typeRoom, len(w.types)), w.types...)
	case "widgets_values":
		n.values = w.value()
	case "properties":
		n.properties = properties{}
		w.object(func(key string) { n.properties.read(w, key) })
	default:
		w.skip()
	}
}

func (p *properties) read(w *walker, key string) {
	switch key {
	case "Node name for S&R":
		p.searchName = w.name()
	case "Run widget replace on values":
		p.replace = w.value() == true
	case "cnr_id":
		p.pack.ID = w.words()
	case "aux_id":
		p.pack.Repo = w.words()
	case "ver":
		p.pack.Version = w.words()
	case "proxyWidgets":
		p.proxies = nil
		w.array(func(int) {
			var entry [2]string
			w.array(func(i int) {
				if i < len(entry) {
					entry[i] = w.ident()
				} else {
					w.skip()
				}
			})
			p.proxies = append(p.proxies, entry) // also one that is none: the values go by position
		})
	default:
		w.skip()
	}
}

// outputType reads the type of an item of a node's outputs.
func (w *walker) outputType() string {
	typ := "*"
	w.object(func(key string) {
		if key == "type" {
			typ = w.slotType()
		} else {
			w.skip()
		}
	})
	return typ
}

// slot reads an item of a node's inputs.
func (w *walker) slot() slot {
	s := slot{typ: "*"}
	w.object(func(key string) {
		switch key {
		case "name":
			s.name = w.name()
		case "type":
			s.typ = w.slotType()
		case "link":
			s.link = w.id()
		case "widget":
			w.object(func(key string) {
				if key == "name" {
					s.widget = w.name()
				} else {
					w.skip()
				}
			})
		default:
			w.skip()
		}
	})
	return s
}

// integer reads a number that counts something, also from a text; 0 for anything else.
func integer(v any) int { return count(ident(v)) }

func count(id string) int {
	if i, err := strconv.Atoi(id); err == nil {
		return i
	}
	f, err := strconv.ParseFloat(id, 64)
	if err != nil || !(math.Abs(f) <= 1<<30) {
		return 0
	}
	return int(f)
}

// ident is the text of an id of any type; "" for none.
func ident(v any) string {
	switch x := v.(type) {
	case string:
		return x
	case json.Number:
		return plainNumber(x)
	case bool:
		return strconv.FormatBool(x)
	}
	return ""
}

// plainNumber writes a number as JavaScript does, but integers exactly.
func plainNumber(n json.Number) string {
	s := string(n)
	whole := s != "-0"
	for i := range len(s) {
		whole = whole && s[i] != '.' && s[i]|' ' != 'e'
	}
	if whole {
		return s
	}
	f, err := n.Float64()
	switch {
	case err != nil:
		return s
	case f == 0:
		return "0"
	case math.Abs(f) < 1e21 && math.Abs(f) >= 1e-6:
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'e', -1, 64), "e")
	sign := exponent[:1]
	return mantissa + "e" + sign + strings.TrimLeft(exponent[1:], "0")
}

// arrayIndex reads an id that JavaScript would sort as a number.
func arrayIndex(id string) (uint64, bool) {
	n := uint64(0)
	for i := range len(id) {
		if id[i]-'0' > 9 || i == 10 {
			return 0, false
		}
		n = 10*n + uint64(id[i]-'0')
	}
	return n, id != "" && n <= math.MaxUint32 && (len(id) == 1 || id[0] != '0')
}

// index finds things by their ids. Most are numbers, of which no text need be compared.
type index[T any] struct {
	numbers map[uint64]T
	texts   map[string]T
}

func newIndex[T any](size int) index[T] {
	return index[T]{numbers: make(map[uint64]T, size)}
}

// get is the thing of the id, or the zero value.
func (x *index[T]) get(id string) T {
	if n, ok := arrayIndex(id); ok {
		return x.numbers[n]
	}
	return x.texts[id]
}

func (x *index[T]) set(id string, v T) {
	switch n, ok := arrayIndex(id); {
	case !ok && x.texts == nil:
		x.texts = map[string]T{id: v}
	case !ok:
		x.texts[id] = v
	case x.numbers == nil:
		x.numbers = map[uint64]T{n: v}
	default:
		x.numbers[n] = v
	}
}

// add is set but for an id that is there already: then it reports false.
func (x *index[T]) add(id string, v T) bool {
	if n, ok := arrayIndex(id); ok {
		if _, taken := x.numbers[n]; taken {
			return false
		}
	} else if _, taken := x.texts[id]; taken {
		return false
	}
	x.set(id, v)
	return true
}

// object, list and text read a value of any kind: what has the wrong one reads as empty.
func object(v any) map[string]any { o, _ := v.(map[string]any); return o }
func list(v any) []any            { l, _ := v.([]any); return l }
func text(v any) string           { s, _ := v.(string); return s }

// carve cuts an empty list with room for n out of a larger one: nodes have many short lists.
func carve[T any](from *[]T, n int) []T {
	const part = 64
	if n == 0 || n > part/4 {
		return make([]T, 0, n)
	}
	if n > len(*from) {
		*from = make([]T, part)
	}
	l := (*from)[:0:n]
	*from = (*from)[n:]
	return l
}
