package workflow

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"graphrun/graph"
)

// Modes of a node in the UI format; all others run.
const (
	muted    = 2
	bypassed = 4
)

// node is a node of a UI workflow.
type node struct {
	id, typ, title string
	mode           int
	inputs         []slot // rebuilt from the schema: plain ones, then those of widgets, then what the schema does not know
	outputs        []string
	widgets        []widget
	spec           *graph.Spec // nil for virtual and unknown nodes
	tree           map[string]any
}

// slot is an input that can be linked.
type slot struct {
	name, typ string
	link      string // its link's id, "" if none
	widget    string // the widget that it stands for, "" if none
}

// link leads from an output to an input.
type link struct {
	from string
	slot int
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

// property is a text of the node's properties.
func (n *node) property(name string) any {
	p, _ := n.tree["properties"].(map[string]any)
	return p[name]
}

// object, list and text read a tree of any shape: what has the wrong kind reads as empty.
func object(v any) map[string]any { o, _ := v.(map[string]any); return o }
func list(v any) []any            { l, _ := v.([]any); return l }
func text(v any) string           { s, _ := v.(string); return s }

// ident is the text of an id, a number or a string; "" for anything else.
func ident(v any) string {
	switch x := v.(type) {
	case string:
		return x
	case json.Number:
		return string(x)
	}
	return ""
}

func integer(v any) int {
	n, ok := v.(json.Number)
	if !ok {
		s, _ := v.(string)
		n = json.Number(s)
	}
	if i, err := strconv.Atoi(string(n)); err == nil {
		return i
	}
	f, err := n.Float64()
	if err != nil || f < 0 || f > 1<<30 {
		return 0
	}
	return int(f)
}

// arrayIndex reads an id that JavaScript would sort as a number.
func arrayIndex(id string) (uint64, bool) {
	n, err := strconv.ParseUint(id, 10, 32)
	return n, err == nil && strconv.FormatUint(n, 10) == id
}

// readNodes reads the workflow's nodes, in the order of the file. A second node with an id gets a fresh one, as in the editor.
func (c *converter) readNodes(tree map[string]any) error {
	next := integer(tree["last_node_id"])
	for _, v := range list(tree["nodes"]) {
		if n, ok := arrayIndex(ident(object(v)["id"])); ok {
			next = max(next, int(n))
		}
	}
	for i, v := range list(tree["nodes"]) {
		t := object(v)
		if t == nil {
			return &graph.Error{Kind: graph.KindBadFile, Need: "a node (an object)", Have: fmt.Sprintf("nodes[%d] is none", i), Hint: "save the workflow again"}
		}
		n := &node{id: ident(t["id"]), typ: text(t["type"]), title: text(t["title"]), mode: integer(t["mode"]), tree: t}
		if n.id == "" || n.typ == "" {
			return &graph.Error{Kind: graph.KindBadFile, Node: n.id, Class: n.typ, Need: "an id and a type", Have: fmt.Sprintf("nodes[%d] without", i)}
		}
		if to, ok := renamed[n.typ]; ok {
			n.typ = to
		}
		if c.nodes[n.id] != nil {
			next++
			n.id = strconv.Itoa(next)
		}
		c.nodes[n.id], c.order = n, append(c.order, n)
	}
	return nil
}

// readLinks reads links as arrays [id, from, slot, to, slot, type] or as objects. The target is not read: every
// input's own link id counts (section 2).
func (c *converter) readLinks(tree map[string]any) {
	for _, v := range list(tree["links"]) {
		if o := object(v); o != nil {
			c.links[ident(o["id"])] = link{ident(o["origin_id"]), integer(o["origin_slot"])}
		} else if l := list(v); len(l) >= 5 {
			c.links[ident(l[0])] = link{ident(l[1]), integer(l[2])}
		}
	}
}

// buildSlots makes the node's inputs and outputs: those of its schema matched by name, then the file's others.
func (n *node) buildSlots() {
	for _, v := range list(n.tree["outputs"]) {
		n.outputs = append(n.outputs, slotType(object(v)["type"]))
	}
	var saved []slot
	for _, v := range list(n.tree["inputs"]) {
		o := object(v)
		saved = append(saved, slot{name: text(o["name"]), typ: slotType(o["type"]), link: ident(o["link"]), widget: text(object(o["widget"])["name"])})
	}
	if n.spec == nil {
		n.inputs = saved
		return
	}
	for i, p := range n.spec.Outputs {
		if i < len(n.outputs) {
			n.outputs[i] = p.Type
		} else {
			n.outputs = append(n.outputs, p.Type)
		}
	}
	taken := make([]bool, len(saved))
	used := map[string]bool{}
	claim := func(p *graph.Port) slot {
		s := slot{name: p.Name, typ: p.Type}
		for i := range saved {
			if saved[i].name == p.Name && !taken[i] {
				taken[i], s.link = true, saved[i].link
				used[s.link] = true
				break
			}
		}
		return s
	}
	var ofWidgets []slot
	for i := range n.spec.Inputs {
		s := claim(&n.spec.Inputs[i])
		if isWidget(&n.spec.Inputs[i]) {
			s.widget = s.name
			ofWidgets = append(ofWidgets, s)
		} else {
			n.inputs = append(n.inputs, s)
		}
	}
	n.inputs = append(n.inputs, ofWidgets...)
	for i, s := range saved {
		if !taken[i] && (s.link == "" || !used[s.link]) {
			used[s.link] = true
			n.inputs = append(n.inputs, s)
		}
	}
}

// slotType is a slot's type; the editor writes the wildcard as "*" or 0.
func slotType(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	return "*"
}

// compatible reports whether slots of these types connect: equal ignoring case, a wildcard, or a common member.
func compatible(a, b string) bool {
	if a == "" || b == "" || a == "*" || b == "*" || strings.EqualFold(a, b) {
		return true
	}
	for x := range strings.SplitSeq(a, ",") {
		for y := range strings.SplitSeq(b, ",") {
			if strings.EqualFold(strings.TrimSpace(x), strings.TrimSpace(y)) {
				return true
			}
		}
	}
	return false
}
