package workflow

import (
	"encoding/json"
	"fmt"
	"maps"
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

// document is what a conversion needs of a workflow in the UI format; it may change it, but not the file's own tree.
type document struct {
	canvas
	definitions []*canvas
	groups      map[string]*canvas // extra.groupNodes: the group nodes of old files
	lastNode    int
}

// canvas is a graph as the editor draws it: the workflow, or the definition of a subgraph.
type canvas struct {
	id, name        string
	nodes           []*node // in the order of the file
	links           map[string]link
	inputs, outputs []end // of a definition

	into     map[int]string // the links that end at an output of the subgraph, by its place
	byID     map[string]*node
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

// node is a node of a UI workflow: as it was saved, and what a schema makes of it (slots, widgets).
type node struct {
	id, typ, title string
	mode           int
	saved          []slot
	savedOutputs   []string
	values         any         // widgets_values: []any, map[string]any, nil
	proxies        [][2]string // proxyWidgets of an instance
	tree           map[string]any

	class   *class // nil for virtual and unknown nodes and instances
	of      *canvas
	inputs  []slot // plain ones, then those of widgets, then what the schema does not know
	outputs []string
	widgets []widget
	pushed  map[string]any // by PrimitiveNodes on an instance's widgets
}

// slot is an input that can be linked.
type slot struct {
	name, typ string
	link      string // its link's id, "" if none
	widget    string // the widget that it stands for, "" if none
}

// renamed are classes that old files have under other names.
var renamed = map[string]string{
	"T2IAdapterLoader": "ControlNetLoader", "ConditioningAverage ": "ConditioningAverage",
	"SDV_img2vid_Conditioning": "SVD_img2vid_Conditioning",
}

// isVirtual reports whether the editor keeps the node to itself.
func (n *node) isVirtual() bool {
	switch n.typ {
	case "Reroute", "PrimitiveNode", "Note", "MarkdownNote":
		return true
	}
	return false
}

// readDocument reads a workflow. Nodes that are none are errors; everything else of a wrong kind reads as absent.
func readDocument(tree map[string]any) (*document, error) {
	d := &document{lastNode: integer(tree["last_node_id"])}
	if err := d.read(tree); err != nil {
		return nil, err
	}
	for _, v := range list(object(tree["definitions"])["subgraphs"]) {
		if o := object(v); o != nil {
			c := &canvas{}
			if err := c.read(o); err != nil {
				return nil, err
			}
			d.definitions = append(d.definitions, c)
		}
	}
	groups := object(object(tree["extra"])["groupNodes"])
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		if o := object(groups[name]); o != nil {
			c, err := readGroup(name, o)
			if err != nil {
				return nil, err
			}
			if d.groups == nil {
				d.groups = map[string]*canvas{}
			}
			d.groups[name] = c
		}
	}
	return d, nil
}

// read reads a workflow or the definition of a subgraph.
func (c *canvas) read(tree map[string]any) error {
	c.id, c.name = ident(tree["id"]), text(tree["name"])
	nodes := list(tree["nodes"])
	all := make([]node, len(nodes))
	c.nodes = make([]*node, len(nodes))
	for i, v := range nodes {
		c.nodes[i] = &all[i]
		if err := all[i].read(v, i, c.name); err != nil {
			return err
		}
	}
	links := list(tree["links"])
	c.links, c.into = make(map[string]link, len(links)), map[int]string{}
	for _, v := range links {
		c.readLink(v)
	}
	c.inputs, c.outputs = readEnds(tree["inputs"]), readEnds(tree["outputs"])
	return nil
}

// readLink reads a link as an array [id, from, slot, to, slot, type] or as an object. Its target is only looked at
// where it ends at a subgraph's output: every input's own link id counts (section 2).
func (c *canvas) readLink(v any) {
	var id string
	var l link
	if o := object(v); o != nil {
		id, l.from, l.slot = ident(o["id"]), ident(o["origin_id"]), integer(o["origin_slot"])
		l.to, l.toSlot = ident(o["target_id"]), integer(o["target_slot"])
	} else if a := list(v); len(a) >= 5 {
		id, l.from, l.slot = ident(a[0]), ident(a[1]), integer(a[2])
		l.to, l.toSlot = ident(a[3]), integer(a[4])
	}
	if id == "" {
		return
	}
	c.links[id] = l
	if l.to == outputNode && c.into[l.toSlot] == "" {
		c.into[l.toSlot] = id
	}
}

// readEnds reads the inputs or outputs of a subgraph.
func readEnds(v any) []end {
	items := list(v)
	ends := make([]end, len(items))
	for i, v := range items {
		o := object(v)
		ends[i] = end{name: text(o["name"]), typ: slotType(o["type"])}
		for _, id := range list(o["linkIds"]) {
			ends[i].links = append(ends[i].links, ident(id))
		}
	}
	return ends
}

// read reads nodes[i] of a canvas of the name.
func (n *node) read(v any, i int, of string) error {
	t := object(v)
	where := fmt.Sprintf("nodes[%d]", i)
	if of != "" {
		where += fmt.Sprintf(" of the subgraph %q", graph.Clip(of))
	}
	if t == nil {
		return &graph.Error{Kind: graph.KindBadFile, Need: "a node (an object)", Have: where + " is none", Hint: "save the workflow again"}
	}
	n.tree, n.values = t, t["widgets_values"]
	n.id, n.typ, n.title, n.mode = ident(t["id"]), text(t["type"]), text(t["title"]), integer(t["mode"])
	if n.id == "" || n.typ == "" {
		return &graph.Error{Kind: graph.KindBadFile, Node: n.id, Class: n.typ, Need: "an id and a type", Have: where + " without"}
	}
	for _, v := range list(t["outputs"]) {
		n.savedOutputs = append(n.savedOutputs, slotType(object(v)["type"]))
	}
	saved := list(t["inputs"])
	n.saved = make([]slot, len(saved))
	for i, v := range saved {
		o := object(v)
		n.saved[i] = slot{name: text(o["name"]), typ: slotType(o["type"]), link: ident(o["link"]), widget: text(object(o["widget"])["name"])}
	}
	return nil
}

// property is one of the node's properties.
func (n *node) property(name string) any { return object(n.tree["properties"])[name] }

// readProxies reads the list proxyWidgets: inner nodes and widgets. Entries that are none count, because the values go
// by position.
func (n *node) readProxies() (proxies [][2]string) {
	for _, v := range list(n.property("proxyWidgets")) {
		var p [2]string
		for i, part := range list(v) {
			if i < len(p) {
				p[i] = ident(part)
			}
		}
		proxies = append(proxies, p)
	}
	return proxies
}

// slotType is a slot's type; the editor writes the wildcard as "*" or 0.
func slotType(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	return "*"
}

// integer reads a number that counts something, also from a text; 0 for anything else.
func integer(v any) int {
	id := ident(v)
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
	if !strings.ContainsAny(s, ".eE") && s != "-0" {
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
	if id == "" || id[0] < '0' || id[0] > '9' {
		return 0, false
	}
	n, err := strconv.ParseUint(id, 10, 32)
	return n, err == nil && (len(id) == 1 || id[0] != '0')
}

// object, list and text read a value of any kind: what has the wrong one reads as empty.
func object(v any) map[string]any { o, _ := v.(map[string]any); return o }
func list(v any) []any            { l, _ := v.([]any); return l }
func text(v any) string           { s, _ := v.(string); return s }
