package workflow

import (
	"encoding/json"
	"fmt"
	"strings"

	"graphrun/graph"
)

// widget is a value that the editor shows in a node.
type widget struct {
	name    string
	port    *graph.Port // nil for control widgets: they have a place in widgets_values and none in the prompt
	value   any
	absent  bool // no value in the file and no default
	at      int  // its place in widgets_values; -1 if it has none there
	dynamic bool // its text may hold {a|b}
}

// widgetTypes are the types the editor has a widget for, besides choices.
var widgetTypes = map[string]bool{
	"INT": true, "FLOAT": true, "STRING": true, "BOOLEAN": true, "COMBO": true, "IMAGEUPLOAD": true, "COLOR": true,
	"MARKDOWN": true, "LOAD_3D": true, "LOAD_3D_ANIMATION": true, "AUDIO_UI": true, "AUDIO_RECORD": true, "WEBCAM": true,
}

// isWidget reports whether the editor shows a widget for the input (section 2).
func isWidget(p *graph.Port) bool {
	return hasWidget(p) && !forced(p)
}

func hasWidget(p *graph.Port) bool {
	return p.IsCombo() || widgetTypes[p.Type] || p.Opts["widgetType"] != nil
}

func forced(p *graph.Port) bool {
	return p.Opts["forceInput"] == true || p.Opts["defaultInput"] == true
}

// controls is how many control widgets follow the input's own: one after a seed, two after a choice that has one.
func controls(p *graph.Port) int {
	flag, given := p.Opts["control_after_generate"]
	on := flag == true || flag != nil && flag != "" && flag != false
	switch {
	case p.IsCombo() && on:
		return 2
	case p.Type == "INT" && (on || !given && (p.Name == "seed" || p.Name == "noise_seed")):
		return 1
	}
	return 0
}

// buildWidgets makes the node's widgets and puts widgets_values on them (section 3).
func (n *node) buildWidgets(e *graph.Env) {
	for i := range n.spec.Inputs {
		p := &n.spec.Inputs[i]
		if !isWidget(p) {
			continue
		}
		w := widget{name: p.Name, port: p, at: -1, dynamic: p.Opts["dynamicPrompts"] == true}
		w.value, w.absent = initial(p, e)
		n.widgets = append(n.widgets, w)
		for range controls(p) {
			name, ok := p.Opts["control_after_generate"].(string)
			if !ok {
				name = "control_after_generate"
			}
			n.widgets = append(n.widgets, widget{name: name, at: -1})
		}
	}
	switch saved := n.tree["widgets_values"].(type) {
	case []any:
		for i, at := range n.places(len(saved)) {
			if i < len(n.widgets) {
				n.widgets[i].at = at
				n.widgets[i].put(saved[at])
			}
		}
	case map[string]any:
		for i := range n.widgets {
			if v, ok := saved[n.widgets[i].name]; ok {
				n.widgets[i].put(v)
			} else if v, ok := saved[fmt.Sprint(i)]; ok {
				n.widgets[i].put(v)
			}
		}
	}
}

// put gives the widget a saved value, as it is: the editor checks nothing here.
func (w *widget) put(v any) {
	if v == nil && w.port != nil && w.port.IsCombo() {
		return // the editor keeps a choice's default
	}
	w.value, w.absent = v, false
}

// places lists which entries of widgets_values belong to widgets. Files from the time when forceInput inputs had a
// value are known by their length; those entries are left out.
func (n *node) places(entries int) (at []int) {
	var drop []bool
	for i := range n.spec.Inputs {
		p := &n.spec.Inputs[i]
		if !hasWidget(p) {
			continue
		}
		for range 1 + controls(p) {
			drop = append(drop, forced(p))
		}
	}
	for i := range entries {
		if len(drop) != entries || !drop[i] {
			at = append(at, i)
		}
	}
	return at
}

// initial is the value of a widget that the file does not give: the schema's default, or the editor's.
func initial(p *graph.Port, e *graph.Env) (v any, absent bool) {
	if d, ok := p.Opts["default"]; ok {
		return d, false
	}
	if p.IsCombo() {
		if choices := p.Choices(e); len(choices) > 0 {
			return choices[0], false
		}
		return nil, true
	}
	switch p.Type {
	case "INT", "FLOAT":
		return json.Number("0"), false
	case "STRING":
		return "", false
	case "BOOLEAN":
		return false, false
	}
	return nil, true
}

// serialised is the widget's value as the editor sends it.
func (w *widget) serialised(pick func(int) int) any {
	switch v := w.value.(type) {
	case string:
		if w.dynamic {
			return expandDynamic(v, pick)
		}
		if w.port.Name == "sampler_name" {
			return strings.TrimPrefix(v, "sample_") // of files from before the names were shortened
		}
	case []any:
		if w.port.Type == "STRING" && w.port.Opts["multiline"] == true {
			parts := make([]string, len(v))
			for i, part := range v {
				if parts[i] = text(part); parts[i] == "" {
					parts[i] = ident(part)
				}
			}
			return strings.Join(parts, ",")
		}
		return map[string]any{"__value__": v}
	case map[string]any:
		if name, ok := v["filename"].(string); ok && w.port.IsCombo() {
			if folder := text(v["subfolder"]); folder != "" {
				name = folder + "/" + name
			}
			return name // the editor drops the object's type
		}
	}
	return w.value
}
