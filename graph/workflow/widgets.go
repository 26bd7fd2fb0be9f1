package workflow

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
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

func newReader(n *node) *reader {
	r := &reader{}
	switch saved := n.values.(type) {
	case []any:
		r.array, r.places = saved, n.class.places(len(saved))
	case map[string]any:
		r.byName = saved
	}
	return r
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
func (n *node) expand(inputs []input, prefix string, r *reader, claims *claims, ofWidgets *[]slot) {
	for i := range inputs {
		in := &inputs[i]
		if in.port.Grow != nil {
			n.inputs = append(n.inputs, claims.children(prefix+in.name+".", in.port.Grow.Item.Type)...)
			continue
		}
		s := slot{name: prefix + in.name, typ: in.typ}
		s.link = claims.take(s.name)
		if !in.isWidget() {
			n.inputs = append(n.inputs, s)
			if s.link != "" && in.linked != nil {
				n.expand(in.linked, s.name+".", r, claims, ofWidgets)
			}
			continue
		}
		s.widget = s.name
		*ofWidgets = append(*ofWidgets, s)
		w := widget{name: s.name, in: in}
		v, at, ok := r.take(w.name)
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
			v, at, ok := r.take(name)
			if !ok {
				v = initial
			}
			n.widgets = append(n.widgets, widget{name: name, at: at, value: controlMode(v)})
		}
		if in.keys != nil {
			n.expand(in.brings(w.value), s.name+".", r, claims, ofWidgets)
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
	links  map[string]bool  // those that are given
	byName map[string][]int // of nodes with many
}

func newClaims(saved []slot) *claims {
	c := &claims{saved: saved, taken: make([]bool, len(saved)), links: map[string]bool{}}
	if len(saved) > 32 {
		c.byName = make(map[string][]int, len(saved))
		for i, s := range saved {
			c.byName[s.name] = append(c.byName[s.name], i)
		}
	}
	return c
}

// take is the link of the first slot of the name that is not taken yet; the slot is then.
func (c *claims) take(name string) (link string) {
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
		return ""
	}
	c.taken[found] = true
	link = c.saved[found].link
	if link != "" {
		c.links[link] = true
	}
	return link
}

// children are the slots of an autogrow list, which the file has as many of as are linked, and one spare.
func (c *claims) children(prefix, typ string) (list []slot) {
	for i, s := range c.saved {
		if c.taken[i] || !strings.HasPrefix(s.name, prefix) || s.link != "" && c.links[s.link] {
			continue
		}
		c.taken[i] = true
		if s.link != "" {
			c.links[s.link] = true
		}
		if typ != "*" {
			s.typ = typ
		}
		list = append(list, s)
	}
	return list
}

// rest are the slots that nobody took, but for those whose link another has.
func (c *claims) rest() (list []slot) {
	for i, s := range c.saved {
		if !c.taken[i] && (s.link == "" || !c.links[s.link]) {
			if s.link != "" {
				c.links[s.link] = true
			}
			list = append(list, s)
		}
	}
	return list
}

// build makes the node's slots and widgets: those of its class matched by name, then the file's others.
func (n *node) build() {
	n.outputs = n.savedOutputs
	if n.class == nil {
		n.inputs = n.saved
		return
	}
	n.outputs = slices.Clone(n.class.outputs)
	if len(n.savedOutputs) > len(n.outputs) {
		n.outputs = append(n.outputs, n.savedOutputs[len(n.outputs):]...)
	}
	n.inputs = make([]slot, 0, max(len(n.saved), len(n.class.inputs)))
	n.widgets = make([]widget, 0, len(n.class.inputs)+1)
	claims := newClaims(n.saved)
	var ofWidgets []slot
	n.expand(n.class.inputs, "", newReader(n), claims, &ofWidgets)
	n.inputs = append(append(n.inputs, ofWidgets...), claims.rest()...)
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
