package workflow

import (
	"encoding/json"

	"graphrun/graph"
)

// schemas are the node classes that a conversion knows, as the editor sees them: each is made when it is first used.
type schemas struct {
	library graph.Library
	env     *graph.Env // for lists of files
	classes map[string]*class
}

// class is what the converter knows of a node class.
type class struct {
	title   string
	saver   bool
	inputs  []input
	outputs []string // types
	widgets int      // as a rule: dynamic choices bring more
}

// input is one input of a class, as the editor sees it.
type input struct {
	name, typ      string
	combo          bool
	widget         bool // the editor has a widget for it, if it is not forced
	forced         bool // yet it is only a slot
	multiline      bool
	dynamicPrompts bool
	controls       int // control widgets that follow its own
	control        string
	step, min, max any // numbers: json.Number or Go's; nil if not given
	round          any
	fallback       any // the schema's default
	hasFallback    bool
	port           *graph.Port
	env            *graph.Env
	keys           []option // of a dynamic combo
	linked         []input  // of a dynamic slot: what its link brings
}

// option is a choice of a dynamic combo, with the inputs that it brings.
type option struct {
	key    string
	inputs []input
}

// widgetTypes are the types the editor has a widget for, besides choices.
var widgetTypes = map[string]bool{
	"INT": true, "FLOAT": true, "STRING": true, "BOOLEAN": true, "COMBO": true, "IMAGEUPLOAD": true, "COLOR": true,
	"MARKDOWN": true, "LOAD_3D": true, "LOAD_3D_ANIMATION": true, "AUDIO_UI": true, "AUDIO_RECORD": true, "WEBCAM": true,
	"BOUNDING_BOX": true, "BOUNDING_BOXES": true, "COLORS": true, "CURVE": true, "IMAGECOMPARE": true, "COMPOSITOR": true, "RANGE": true,
}

// The types of inputs that change the inputs of a node, and of slots that take a common type.
const (
	dynamicCombo = "COMFY_DYNAMICCOMBO_V3"
	dynamicSlot  = "COMFY_DYNAMICSLOT_V3"
	matchType    = "COMFY_MATCHTYPE_V3"
)

func newSchemas(l graph.Library, e *graph.Env) *schemas {
	return &schemas{l, e, map[string]*class{}}
}

// class is the class of the name; nil if it is not known.
func (s *schemas) class(name string) *class {
	c := s.classes[name]
	if c == nil {
		if spec := s.library[name]; spec != nil {
			c = classOf(spec, s.env)
			c.saver = isSaver(name)
			s.classes[name] = c
		}
	}
	return c
}

// classOf sees a spec as the editor would.
func classOf(spec *graph.Spec, e *graph.Env) *class {
	c := &class{title: spec.DisplayName(), inputs: inputsOf(spec.Inputs, e)}
	for i := range c.inputs {
		if in := &c.inputs[i]; in.isWidget() {
			c.widgets += 1 + in.controls
		}
	}
	for _, p := range spec.Outputs {
		c.outputs = append(c.outputs, slotType(&p))
	}
	return c
}

// slotType is a port's type as the editor has it.
func slotType(p *graph.Port) string {
	if p.Match != "" {
		return matchType
	}
	return p.Type
}

func inputsOf(ports []graph.Port, e *graph.Env) []input {
	list := make([]input, len(ports))
	for i := range ports {
		p := &ports[i]
		in := &list[i]
		*in = input{name: p.Name, typ: slotType(p), combo: p.IsCombo(), port: p, env: e}
		for key, v := range p.Opts {
			in.set(key, v)
		}
		for _, o := range p.Options {
			if p.Type == dynamicSlot {
				in.linked = inputsOf(o.Inputs, e)
			} else {
				in.keys = append(in.keys, option{o.Key, inputsOf(o.Inputs, e)})
			}
		}
		if slot, ok := p.Opts["slotType"].(string); ok && p.Type == dynamicSlot {
			in.typ = slot
		}
		in.finish()
	}
	return list
}

// set takes an option that the editor looks at.
func (in *input) set(key string, v any) {
	switch key {
	case "default":
		in.fallback, in.hasFallback = v, true
	case "forceInput", "defaultInput":
		in.forced = in.forced || v == true
	case "widgetType":
		in.widget = in.widget || v != nil
	case "multiline":
		in.multiline = v == true
	case "dynamicPrompts":
		in.dynamicPrompts = v == true
	case "step":
		in.step = v
	case "min":
		in.min = v
	case "max":
		in.max = v
	case "round":
		in.round = v
	case "control_after_generate":
		in.control = "control_after_generate"
		if name, ok := v.(string); ok && name != "" {
			in.control = name
		} else if v == nil || v == false || v == "" {
			in.control = "none"
		}
	}
}

// finish settles what follows from the options together.
func (in *input) finish() {
	in.widget = in.widget || in.combo || widgetTypes[in.typ] || in.typ == dynamicCombo
	if in.typ == "INT" && in.control == "" && (in.name == "seed" || in.name == "noise_seed") {
		in.control = "control_after_generate"
	}
	switch {
	case in.control == "" || in.control == "none":
	case in.combo || in.typ == "COMBO":
		in.controls = 2
	case in.typ == "INT":
		in.controls = 1
	}
}

// isWidget reports whether the editor shows a widget for the input (section 2).
func (in *input) isWidget() bool { return in.widget && !in.forced }

// initial is the value of a widget that the file does not give: the schema's default, or the editor's.
func (in *input) initial() (v any, absent bool) {
	switch {
	case in.hasFallback:
		return in.fallback, false
	case in.typ == dynamicCombo && len(in.keys) > 0:
		return in.keys[0].key, false
	case in.combo:
		v, ok := in.port.First(in.env)
		return v, !ok
	}
	switch in.typ {
	case "INT", "FLOAT":
		return json.Number("0"), false
	case "STRING", "AUDIO_RECORD":
		return "", false
	case "BOOLEAN":
		return false, false
	}
	return nil, true
}

// brings lists the inputs that a dynamic combo's value brings.
func (in *input) brings(value any) []input {
	for i := range in.keys {
		if in.keys[i].key == value {
			return in.keys[i].inputs
		}
	}
	return nil
}
