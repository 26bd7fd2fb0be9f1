package workflow

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"graphrun/graph"
)

// widget is a value that the editor shows in a node.
type widget struct {
	name   string
	in     *input // nil for control widgets: they have a place in widgets_values and none in the prompt
	value  any
	absent bool // no value in the file and no default
	at     int  // its place in widgets_values; -1 if it has none there
}

// reader hands the entries of widgets_values to a node's widgets, one after the other (section 3).
type reader struct {
	array  []any
	places []int // which entries of the array are those of widgets
	byName map[string]any
	count  int // widgets so far
}

func (r *reader) open(n *node) {
	*r = reader{}
	switch saved := n.values.(type) {
	case []any:
		r.array, r.places = saved, n.class.places(len(saved))
	case map[string]any:
		r.byName = saved
	}
}

// builder is what making a node's slots and widgets needs; nodes share it, one after the other.
type builder struct {
	reader
	claims    claims
	ofWidgets []slot

	// What is not given out yet of lists that nodes share.
	slots   []slot
	widgets []widget
	entries []graph.Node
	inputs  []graph.Input
	links   []any
}

// link is graph.Link, several in one list.
func (b *builder) link(from origin) any {
	l := carve(&b.links, 2)
	return append(l, from.node, graph.LinkSlot(from.slot))
}

// take is the next widget's saved value, and its place in an array.
func (r *reader) take(name string) (v any, at int, ok bool) {
	i := r.count
	r.count++
	if r.byName != nil {
		if v, ok = r.byName[name]; !ok {
			v, ok = r.byName[strconv.Itoa(i)]
		}
		return v, -1, ok
	}
	if r.places != nil {
		if i >= len(r.places) {
			return nil, -1, false
		}
		i = r.places[i]
	}
	if i >= len(r.array) {
		return nil, -1, false
	}
	return r.array[i], i, true
}

// places lists which entries of widgets_values belong to widgets, nil if all do. Files from the time when forceInput
// inputs had a value are known by their length; those entries are left out.
func (c *class) places(entries int) (at []int) {
	count, forced := 0, false
	for i := range c.inputs {
		in := &c.inputs[i]
		if in.widget {
			count += 1 + min(in.controls, 1)
			forced = forced || in.forced
		}
	}
	if !forced || count != entries {
		return nil
	}
	i := 0
	at = []int{}
	for k := range c.inputs {
		in := &c.inputs[k]
		if !in.widget {
			continue
		}
		for range 1 + min(in.controls, 1) {
			if !in.forced {
				at = append(at, i)
			}
			i++
		}
	}
	return at
}

// expand makes slots and widgets of the inputs: those of the class, and those that a dynamic choice brings in place.
func (n *node) expand(inputs []input, prefix string, b *builder) {
	for i := range inputs {
		in := &inputs[i]
		if in.port.Grow != nil {
			n.inputs = b.claims.children(n.inputs, prefix+in.name+".", slotType(&in.port.Grow.Item))
			continue
		}
		s := slot{name: prefix + in.name, typ: in.typ}
		saved := b.claims.take(s.name)
		if s.link = saved.link; s.typ == matchType {
			s.typ = settled(saved.typ)
		}
		if !in.isWidget() {
			n.inputs = append(n.inputs, s)
			if s.link != "" && in.linked != nil {
				n.expand(in.linked, s.name+".", b)
			}
			continue
		}
		s.widget = s.name
		b.ofWidgets = append(b.ofWidgets, s)
		w := widget{name: s.name, in: in}
		v, at, ok := b.take(w.name)
		w.at = at
		if !ok || v == nil && (in.combo || in.typ == "COMBO" || in.typ == dynamicCombo) {
			v, w.absent = in.initial() // the editor keeps a choice's default where the file has null
		}
		w.value = n.repaired(in, v)
		n.widgets = append(n.widgets, w)
		for k := range in.controls {
			name, initial := prefix+in.control, "randomize"
			if k > 0 {
				name, initial = prefix+"control_filter_list", ""
			}
			v, at, ok := b.take(name)
			if !ok {
				v = initial
			}
			n.widgets = append(n.widgets, widget{name: name, at: at, value: controlMode(v)})
		}
		if in.keys != nil {
			n.expand(in.brings(w.value), s.name+".", b)
		}
	}
}

// repaired is a saved value as the editor mends those of old samplers.
func (n *node) repaired(in *input, v any) any {
	if name, ok := v.(string); ok && in.name == "sampler_name" && (n.typ == "KSampler" || n.typ == "KSamplerAdvanced") {
		return strings.TrimPrefix(name, "sample_")
	}
	return v
}

// controlMode is what a control widget's saved value means: in old files it is a boolean.
func controlMode(v any) any {
	switch v {
	case true:
		return "randomize"
	case false:
		return "fixed"
	}
	return v
}

// claims gives the slots of the file to those of the class, by name.
type claims struct {
	saved  []slot
	taken  []bool
	byName map[string][]int // of nodes with many slots
	links  map[string]bool  // those that are given, of such nodes
	room   [32]bool
}

func (c *claims) open(saved []slot) {
	*c = claims{saved: saved}
	if len(saved) <= len(c.room) {
		c.taken = c.room[:len(saved)]
		return
	}
	c.taken, c.links = make([]bool, len(saved)), map[string]bool{}
	c.byName = make(map[string][]int, len(saved))
	for i, s := range saved {
		c.byName[s.name] = append(c.byName[s.name], i)
	}
}

// take is the first slot of the name that is not taken yet, which then is; an empty one if there is none.
func (c *claims) take(name string) slot {
	found := -1
	if c.byName != nil {
		if at := c.byName[name]; len(at) > 0 {
			found, c.byName[name] = at[0], at[1:]
		}
	} else {
		for i := range c.saved {
			if !c.taken[i] && c.saved[i].name == name {
				found = i
				break
			}
		}
	}
	if found < 0 {
		return slot{}
	}
	c.give(found)
	return c.saved[found]
}

// settled is the type that a slot of any type has by what it is connected to, as the file says.
func settled(saved string) string {
	if saved == "" || saved == matchType {
		return "*"
	}
	return saved
}

// give takes down that a slot is taken.
func (c *claims) give(i int) {
	c.taken[i] = true
	if c.links != nil {
		c.links[c.saved[i].link] = true
	}
}

// left reports whether nobody took the slot, nor another with its link.
func (c *claims) left(i int) bool {
	link := c.saved[i].link
	switch {
	case c.taken[i] || link == "":
		return !c.taken[i]
	case c.links != nil:
		return !c.links[link]
	}
	for k := range c.saved {
		if c.taken[k] && c.saved[k].link == link {
			return false
		}
	}
	return true
}

// children are the slots of an autogrow list, which the file has as many of as are linked, and one spare.
func (c *claims) children(list []slot, prefix, typ string) []slot {
	for i, s := range c.saved {
		if strings.HasPrefix(s.name, prefix) && c.left(i) {
			c.give(i)
			if typ == matchType {
				s.typ = settled(s.typ)
			} else if typ != "*" {
				s.typ = typ
			}
			list = append(list, s)
		}
	}
	return list
}

// rest are the slots that nobody took, but for those whose link another has.
func (c *claims) rest(list []slot) []slot {
	for i, s := range c.saved {
		if c.left(i) {
			c.give(i)
			list = append(list, s)
		}
	}
	return list
}

// build makes the node's slots and widgets: those of its class matched by name, then the file's others.
func (n *node) build(b *builder) {
	n.outputs = n.savedOutputs
	if n.class == nil {
		n.inputs = n.saved
		return
	}
	n.outputs = slices.Clip(n.class.outputs)
	for i, typ := range n.class.outputs {
		if typ == matchType {
			n.outputs = slices.Clone(n.outputs)
			n.outputs[i] = "*"
			if i < len(n.savedOutputs) {
				n.outputs[i] = settled(n.savedOutputs[i])
			}
		}
	}
	if len(n.savedOutputs) > len(n.outputs) {
		n.outputs = append(n.outputs, n.savedOutputs[len(n.outputs):]...)
	}
	n.inputs = carve(&b.slots, max(len(n.saved), len(n.class.inputs)))
	n.widgets = carve(&b.widgets, n.class.widgets)
	b.reader.open(n)
	b.claims.open(n.saved)
	b.ofWidgets = b.ofWidgets[:0]
	n.expand(n.class.inputs, "", b)
	n.inputs = b.claims.rest(append(n.inputs, b.ofWidgets...))
}

// serialised is the widget's value as the editor sends it. The texts of promoted widgets are not expanded.
func (w *widget) serialised(v any, promoted bool, pick func(int) int) any {
	switch x := v.(type) {
	case string:
		if w.in.dynamicPrompts && !promoted {
			return expandDynamic(x, pick)
		}
	case []any:
		if w.in.typ == "STRING" && w.in.multiline {
			return joined(x)
		}
		if w.in.typ == "CURVE" {
			return map[string]any{"__type__": "CURVE", "__value__": x}
		}
		return map[string]any{"__value__": x}
	case map[string]any:
		if name, ok := x["filename"].(string); ok && (w.in.combo || w.in.typ == "COMBO") {
			if folder := text(x["subfolder"]); folder != "" {
				name = folder + "/" + name
			}
			return name // the editor drops the object's type
		}
		if w.in.typ == "CURVE" && x["__type__"] == nil {
			return map[string]any{"__type__": "CURVE", "__value__": x}
		}
	}
	return v
}

// customOptions are the options of a CustomCombo: widgets that the editor makes itself, behind choice and index option1
// and so on. Any other node has none.
func (n *node) customOptions() (options []any, isCustom bool) {
	if n.typ != "CustomCombo" || n.class == nil {
		return nil, false
	}
	saved, byName := list(n.values), object(n.values)
	options = saved[min(2, len(saved)):]
	for i := 1; ; i++ {
		v, ok := byName["option"+strconv.Itoa(i)]
		if !ok {
			return options, true
		}
		options = append(options, v)
	}
}

// customIndex is the place of a CustomCombo's choice among its options, -1 of one that is none of them.
func (f *frame) customIndex(n *node, out *graph.Node, options []any) any {
	choice, _ := out.Input("choice")
	if w := n.widget("choice"); w != nil {
		if _, linked := choice.([]any); linked {
			choice, _ = f.own(n, w)
		}
	}
	at := slices.IndexFunc(options, func(v any) bool { return text(v) != "" && text(v) == text(choice) })
	return json.Number(strconv.Itoa(at))
}

// joined is an array as JavaScript makes a text of it.
func joined(l []any) string {
	parts := make([]string, len(l))
	for i, part := range l {
		parts[i] = asText(part)
	}
	return strings.Join(parts, ",")
}

// asText is a value as JavaScript makes a text of it; nothing, of null.
func asText(v any) string {
	switch x := v.(type) {
	case []any:
		return joined(x)
	case map[string]any:
		return "[object Object]"
	case nil:
		return ""
	case string, bool, json.Number:
		return ident(x)
	}
	return fmt.Sprint(v)
}
