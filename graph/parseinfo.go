package graph

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// ParseObjectInfo reads an /object_info document: the specs of another server's nodes, to convert and check workflows
// for it. They cannot run.
func ParseObjectInfo(data []byte) (Library, error) {
	l := Library{}
	err := EachMember(data, func(name string, value json.RawMessage) error {
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
		InputIsList  bool                       `json:"is_input_list"`
		Intermediate bool                       `json:"has_intermediate_output"`
		Matches      []any                      `json:"output_matchtypes"`
		API          *bool                      `json:"api_node"` // only the newer way has it
	}
	if err := json.Unmarshal(data, &info); err != nil {
		return nil, err
	}
	s := &Spec{Meta: Meta{
		Name: name, Title: info.DisplayName, Category: info.Category, Description: info.Description,
		Module: info.Module, Output: info.OutputNode, Deprecated: info.Deprecated, Experimental: info.Experimental,
		Intermediate: info.Intermediate, NewStyle: info.API != nil,
	}, TakesLists: info.InputIsList}
	var err error
	if s.Inputs, err = parseSections(info.Input, info.InputOrder); err != nil {
		return nil, err
	}
	eachPort(s.Inputs, func(p *Port) { p.newStyle = s.NewStyle })
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
		if p.Type == typeMatch {
			p.Type = "*"
			if i < len(info.Matches) {
				p.Match, _ = info.Matches[i].(string)
			}
		}
		s.Outputs = append(s.Outputs, p)
	}
	if raw, ok := info.Input["hidden"]; ok {
		err := EachMember(raw, func(name string, _ json.RawMessage) error {
			s.Hidden = append(s.Hidden, strings.ToUpper(name))
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return s, nil
}

// parseSections reads the required and the optional inputs.
func parseSections(sections map[string]json.RawMessage, order map[string][]string) (all []Port, err error) {
	for _, section := range []string{"required", "optional"} {
		ports, err := parsePorts(sections[section], order[section])
		if err != nil {
			return nil, err
		}
		for _, p := range ports {
			p.Optional = section == "optional"
			all = append(all, p)
		}
	}
	return all, nil
}

// parsePorts reads one section of inputs: first those that order names, then the rest as the document has them.
func parsePorts(data json.RawMessage, order []string) ([]Port, error) {
	if len(data) == 0 || string(data) == "null" {
		return nil, nil
	}
	var ports []Port
	err := EachMember(data, func(name string, value json.RawMessage) error {
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
	switch p.Type, _ = config[0].(string); p.Type {
	case "COMBO":
		choices, isList = p.Opts["options"].([]any)
		delete(p.Opts, "options")
	case typeMatch, typeAutogrow, typeDynCombo, typeDynSlot:
		if err := parseDynamic(&p, data); err != nil {
			return p, fmt.Errorf("input %s: %w", name, err)
		}
	}
	if isList {
		list := make([]string, len(choices))
		for i, c := range choices {
			list[i] = fmt.Sprint(c)
		}
		if len(choices) > 0 {
			if _, isText := choices[0].(string); !isText {
				p.first = choices[0]
			}
		}
		p.SetChoices(func(*Env) []string { return list })
	}
	return p, nil
}

// parseDynamic reads what an input of a dynamic kind is made of, with its order.
func parseDynamic(p *Port, data []byte) error {
	var config []json.RawMessage
	if err := json.Unmarshal(data, &config); err != nil || len(config) < 2 {
		return err
	}
	var opts struct {
		Options []struct {
			Key    string                     `json:"key"`
			Inputs map[string]json.RawMessage `json:"inputs"`
		} `json:"options"`
		Inputs   map[string]json.RawMessage `json:"inputs"`
		SlotType string                     `json:"slotType"`
		Template struct {
			ID     string                     `json:"template_id"`
			Input  map[string]json.RawMessage `json:"input"`
			Names  []string                   `json:"names"`
			Prefix string                     `json:"prefix"`
			Min    *int                       `json:"min"`
			Max    *int                       `json:"max"`
		} `json:"template"`
	}
	if err := json.Unmarshal(config[1], &opts); err != nil {
		return err
	}
	if p.Type == typeMatch {
		p.Match, p.Type = opts.Template.ID, "*"
		return nil
	}
	for _, key := range []string{"options", "inputs", "template"} {
		delete(p.Opts, key)
	}
	switch p.Type {
	case typeDynCombo:
		p.Options = []Option{}
		for _, o := range opts.Options {
			inputs, err := parseSections(o.Inputs, nil)
			if err != nil {
				return fmt.Errorf("option %s: %w", o.Key, err)
			}
			p.Options = append(p.Options, Option{Key: o.Key, Inputs: inputs})
		}
		keys := p.keys()
		p.choices = func(*Env) []string { return keys }
	case typeDynSlot:
		inputs, err := parseSections(opts.Inputs, nil)
		p.Options = []Option{{Inputs: inputs}}
		return err
	case typeAutogrow:
		t := opts.Template
		g := &Grow{Children: t.Names, Prefix: t.Prefix, Min: 1, Max: defaultGrowth}
		if t.Min != nil {
			g.Min = *t.Min
		}
		if t.Max != nil {
			g.Max = *t.Max
		}
		if t.Names == nil {
			g.Children = numbered(t.Prefix, g.Max)
		}
		g.Children = g.Children[:min(len(g.Children), mostGrown)]
		items, err := parseSections(t.Input, nil)
		if err == nil && len(items) != 1 {
			err = fmt.Errorf("need one input in the template, have %d", len(items))
		}
		if err != nil {
			return err
		}
		g.Item, p.Grow = items[0], g
	}
	return nil
}
