package graph

import (
	"maps"
	"strings"
)

// ObjectInfo is ComfyUI's /object_info document of the library: per class its inputs, outputs and texts.
func ObjectInfo(l Library, e *Env) ([]byte, error) {
	doc := make(object, 0, len(l))
	for _, name := range l.Names() {
		if l[name].Internal {
			continue
		}
		doc = append(doc, member{name, l[name].info(e)})
	}
	return doc.MarshalJSON()
}

// info is the node's entry in /object_info.
func (s *Spec) info(e *Env) object {
	sections := map[string]object{"required": {}}
	order := map[string][]string{"required": {}}
	put := func(section, name string, v any) {
		sections[section] = append(sections[section], member{name, v})
		order[section] = append(order[section], name)
	}
	for i := range s.Inputs {
		if p := &s.Inputs[i]; !p.Unlisted {
			c := p.config(e)
			if opts, ok := c[1].(map[string]any); ok && len(opts) == 0 && !s.NewStyle {
				c = c[:1]
			}
			put(p.section(), p.Name, c)
		}
	}
	for _, h := range s.Hidden {
		if s.NewStyle {
			put("hidden", strings.ToLower(h), []string{h})
		} else {
			put("hidden", strings.ToLower(h), h)
		}
	}
	types, names, lists := []string{}, []string{}, []bool{}
	var matches []any // by output the template id, or nil
	for i, p := range s.Outputs {
		t := p.Type
		if p.Match != "" {
			if matches == nil {
				matches = make([]any, len(s.Outputs))
			}
			t, matches[i] = typeMatch, p.Match
		}
		types, names, lists = append(types, t), append(names, p.Name), append(lists, p.List)
	}
	module := s.Module
	if module == "" {
		module = "nodes"
	}
	o := object{
		{"input", sections},
		{"input_order", order},
		{"output", types},
		{"output_is_list", lists},
		{"output_name", names},
		{"name", s.Name},
		{"display_name", s.DisplayName()},
		{"description", s.Description},
		{"python_module", module},
		{"category", s.Category},
		{"output_node", s.Output},
	}
	if s.Deprecated || s.NewStyle {
		o = append(o, member{"deprecated", s.Deprecated})
	}
	if s.Experimental || s.NewStyle {
		o = append(o, member{"experimental", s.Experimental})
	}
	if s.Later {
		o = append(o, member{"is_input_list", s.TakesLists})
	}
	if s.NewStyle {
		o = append(o, member{"api_node", false})
	}
	if s.Intermediate {
		o = append(o, member{"has_intermediate_output", true})
	}
	if matches != nil {
		o = append(o, member{"output_matchtypes", matches})
	}
	return o
}

func (p *Port) section() string {
	if p.Optional && !p.Later {
		return "optional"
	}
	return "required"
}

// config is ComfyUI's declaration of an input: [type or list of choices, options].
func (p *Port) config(e *Env) []any {
	more := map[string]any{}
	var t any = p.Type
	switch {
	case p.Match != "":
		t = typeMatch
	case p.Grow != nil:
		more["template"] = p.Grow.template(e)
	case p.Type == typeDynSlot:
		more["inputs"] = declared(p.Options[0].Inputs, e)
	case p.Options != nil:
		options := make([]object, len(p.Options))
		for i, o := range p.Options {
			options[i] = object{{"key", o.Key}, {"inputs", declared(o.Inputs, e)}}
		}
		more["options"] = options
	case p.Opts["remote"] != nil: // the page asks another route for the list
	case p.IsCombo() && p.newStyle:
		more["options"], more["multiselect"] = append([]string{}, p.Choices(e)...), false
	case p.IsCombo():
		t = append([]string{}, p.Choices(e)...)
	case p.Type == "STRING" && p.newStyle:
		more["multiline"] = false
	}
	maps.Copy(more, p.Opts)
	return []any{t, more}
}

// declared is ComfyUI's declaration of the inputs that a dynamic one brings.
func declared(ports []Port, e *Env) object {
	required, optional := object{}, object{}
	for i := range ports {
		if p := &ports[i]; p.section() == "required" {
			required = append(required, member{p.Name, p.config(e)})
		} else {
			optional = append(optional, member{p.Name, p.config(e)})
		}
	}
	if len(optional) == 0 {
		return object{{"required", required}}
	}
	return object{{"required", required}, {"optional", optional}}
}

// template is ComfyUI's declaration of the children of an autogrow list.
func (g *Grow) template(e *Env) object {
	item := object{{g.Item.section(), object{{g.Item.Name, g.Item.config(e)}}}}
	if g.Prefix != "" {
		return object{{"input", item}, {"prefix", g.Prefix}, {"min", g.Min}, {"max", g.Max}}
	}
	return object{{"input", item}, {"names", g.Children}, {"min", g.Min}}
}
