package graph

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// ObjectInfo is ComfyUI's /object_info document of the library: per class its inputs, outputs and texts.
func ObjectInfo(l Library, e *Env) ([]byte, error) {
	doc := make(object, 0, len(l))
	for _, name := range l.Names() {
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
		p := &s.Inputs[i]
		section := "required"
		if p.Optional {
			section = "optional"
		}
		put(section, p.Name, p.config(e))
	}
	for _, h := range s.Hidden {
		put("hidden", strings.ToLower(h), h)
	}
	types, names, lists := []string{}, []string{}, []bool{}
	for _, p := range s.Outputs {
		types, names, lists = append(types, p.Type), append(names, p.Name), append(lists, p.List)
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
	if s.Deprecated {
		o = append(o, member{"deprecated", true})
	}
	if s.Experimental {
		o = append(o, member{"experimental", true})
	}
	return o
}

// config is ComfyUI's declaration of an input: [type or list of choices, options].
func (p *Port) config(e *Env) []any {
	var t any = p.Type
	if p.IsCombo() {
		t = append([]string{}, p.Choices(e)...)
	}
	return []any{t, p.Opts}
}

// ParseObjectInfo reads an /object_info document: the specs of another server's nodes, to convert and check workflows
// for it. They cannot run.
func ParseObjectInfo(data []byte) (Library, error) {
	l := Library{}
	err := eachMember(data, func(name string, value json.RawMessage) error {
		s, err := parseInfo(name, value)
		if err != nil {
			return fmt.Errorf("class %s: %w", name, err)
		}
		l[name] = s
		return nil
	})
	if err != nil {
		return nil, &Error{Kind: KindBadFile, Err: err, Need: "an /object_info document"}
	}
	return l, nil
}

func parseInfo(name string, data []byte) (*Spec, error) {
	var info struct {
		Input        map[string]json.RawMessage `json:"input"`
		InputOrder   map[string][]string        `json:"input_order"`
		Output       []any                      `json:"output"`
		OutputName   []string                   `json:"output_name"`
		OutputIsList []bool                     `json:"output_is_list"`
		DisplayName  string                     `json:"display_name"`
		Description  string                     `json:"description"`
		Module       string                     `json:"python_module"`
		Category     string                     `json:"category"`
		OutputNode   bool                       `json:"output_node"`
		Deprecated   bool                       `json:"deprecated"`
		Experimental bool                       `json:"experimental"`
	}
	if err := json.Unmarshal(data, &info); err != nil {
		return nil, err
	}
	s := &Spec{Meta: Meta{
		Name: name, Title: info.DisplayName, Category: info.Category, Description: info.Description,
		Module: info.Module, Output: info.OutputNode, Deprecated: info.Deprecated, Experimental: info.Experimental,
	}}
	for _, section := range []string{"required", "optional"} {
		ports, err := parsePorts(info.Input[section], info.InputOrder[section])
		if err != nil {
			return nil, err
		}
		for _, p := range ports {
			p.Optional = section == "optional"
			s.Inputs = append(s.Inputs, p)
		}
	}
	for i, t := range info.Output {
		p := Port{Type: "COMBO"}
		if text, ok := t.(string); ok {
			p.Type = text
		}
		p.Name = p.Type
		if i < len(info.OutputName) {
			p.Name = info.OutputName[i]
		}
		p.List = i < len(info.OutputIsList) && info.OutputIsList[i]
		s.Outputs = append(s.Outputs, p)
	}
	if raw, ok := info.Input["hidden"]; ok {
		err := eachMember(raw, func(name string, _ json.RawMessage) error {
			s.Hidden = append(s.Hidden, strings.ToUpper(name))
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return s, nil
}

// parsePorts reads one section of inputs: first those that order names, then the rest as the document has them.
func parsePorts(data json.RawMessage, order []string) ([]Port, error) {
	if len(data) == 0 || string(data) == "null" {
		return nil, nil
	}
	var ports []Port
	err := eachMember(data, func(name string, value json.RawMessage) error {
		p, err := parsePort(name, value)
		ports = append(ports, p)
		return err
	})
	rank := func(p Port) int {
		if i := slices.Index(order, p.Name); i >= 0 {
			return i
		}
		return len(order)
	}
	slices.SortStableFunc(ports, func(a, b Port) int { return rank(a) - rank(b) })
	return ports, err
}

func parsePort(name string, data []byte) (Port, error) {
	p := Port{Name: name, Opts: map[string]any{}}
	v, err := decode(data)
	config, ok := v.([]any)
	if err != nil || !ok || len(config) == 0 {
		return p, fmt.Errorf("input %s: need [type, options], have %s", name, short(data))
	}
	if len(config) > 1 {
		opts, _ := config[1].(map[string]any)
		for k, o := range opts {
			if n, ok := o.(json.Number); ok {
				if o, err = number(n); err != nil {
					return p, fmt.Errorf("input %s: option %s: %w", name, k, err)
				}
			}
			p.Opts[k] = o
		}
	}
	p.Lazy, _ = p.Opts["lazy"].(bool)
	choices, isList := config[0].([]any)
	if p.Type, _ = config[0].(string); p.Type == "COMBO" {
		choices, isList = p.Opts["options"].([]any)
		delete(p.Opts, "options")
	}
	if isList {
		list := make([]string, len(choices))
		for i, c := range choices {
			list[i] = fmt.Sprint(c)
		}
		p.SetChoices(func(*Env) []string { return list })
	}
	return p, nil
}
