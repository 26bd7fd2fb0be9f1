package graph_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"graphrun/graph"
	"graphrun/internal/golden"
)

// newerNodes is the library of ComfyUI's nodes with the later schemas.
func newerNodes(t *testing.T) graph.Library {
	all := graph.Library{}
	for _, file := range []string{"newer", "extra", "changed"} {
		data, err := os.ReadFile(filepath.Join(golden.Dir(t), "newer", "object_info_"+file+".json"))
		if err != nil {
			t.Fatal(err)
		}
		l, err := graph.ParseObjectInfo(data)
		if err != nil {
			t.Fatal(err)
		}
		for name, s := range l {
			all[name] = s
		}
	}
	return all
}

// TestGoldenSchemas reads every schema document and writes it again.
func TestGoldenSchemas(t *testing.T) {
	for _, file := range []string{"newer/object_info_newer.json", "newer/object_info_extra.json", "newer/object_info_changed.json", "workflows/object_info.json"} {
		data, err := os.ReadFile(filepath.Join(golden.Dir(t), file))
		if err != nil {
			t.Fatal(err)
		}
		l, err := graph.ParseObjectInfo(data)
		if err != nil {
			t.Fatal(err)
		}
		again, err := graph.ObjectInfo(l, nil)
		if err != nil {
			t.Fatal(err)
		}
		var want, have map[string]map[string]any
		if json.Unmarshal(data, &want) != nil || json.Unmarshal(again, &have) != nil {
			t.Fatal("no objects")
		}
		same := 0
		for name, w := range want {
			if strings.Contains(asText(w["_source"]), "inferred") {
				continue // by other hands than ComfyUI's
			}
			for _, key := range []string{"input", "input_order", "output", "output_matchtypes", "output_is_list", "output_node"} {
				if h := have[name][key]; !reflect.DeepEqual(spelled(h), spelled(w[key])) {
					a, _ := json.Marshal(spelled(h))
					b, _ := json.Marshal(spelled(w[key]))
					t.Errorf("%s: %s:\nhave %s\nwant %s", name, key, a, b)
				}
			}
			same++
		}
		t.Logf("%s: %d schemas compared", file, same)
	}
}

func asText(v any) string { s, _ := v.(string); return s }

// spelled levels the ways to write a declaration: [type] is [type, {}], a COMBO without multiselect a list, choices that
// are numbers are ours as text, and what is not said to be a list is none.
func spelled(v any) any {
	switch x := v.(type) {
	case nil:
		return false
	case map[string]any:
		for k := range x {
			if list, ok := x[k].([]any); ok && k == "options" {
				for i := range list {
					if n, ok := list[i].(float64); ok {
						list[i] = fmt.Sprint(n)
					}
				}
			}
			x[k] = spelled(x[k])
		}
	case []any:
		for i := range x {
			x[i] = spelled(x[i])
		}
		if len(x) == 1 {
			switch kind := x[0].(type) {
			case string:
				if strings.ToUpper(kind) == kind {
					return append(x, map[string]any{})
				}
			case []any:
				return append(x, map[string]any{})
			}
		}
		if len(x) == 2 && x[0] == "COMBO" {
			if o, ok := x[1].(map[string]any); ok && o["multiselect"] == nil && o["options"] != nil {
				list := o["options"]
				delete(o, "options")
				return []any{list, o}
			}
		}
	}
	return v
}

// TestGoldenExpand compares which inputs a node has with what ComfyUI makes of the same prompt. An absent dynamic combo or
// one of an unknown key is among ours, so that validation can say so: the reference leaves it out.
func TestGoldenExpand(t *testing.T) {
	var doc struct {
		Expand []struct {
			Node     string
			Inputs   map[string]any `json:"prompt_inputs"`
			Required []string
			Optional []string
			Missing  []string       `json:"missing_required"`
			Receives map[string]any `json:"execute_receives"`
		}
	}
	data, err := os.ReadFile(filepath.Join(golden.Dir(t), "newer", "golden_newer.json"))
	if err == nil {
		err = json.Unmarshal(data, &doc)
	}
	if err != nil || len(doc.Expand) == 0 {
		t.Fatalf("%d cases: %v", len(doc.Expand), err)
	}
	nodes := newerNodes(t)
	for _, c := range doc.Expand {
		s := nodes[c.Node]
		n := &graph.Node{Class: c.Node}
		for name, v := range c.Inputs {
			n.Inputs = append(n.Inputs, graph.Input{Name: name, Value: v})
		}
		var required, optional, missing []string
		for _, p := range s.Flat(n) {
			v, sent := n.Input(p.Name)
			unchosen := p.Options != nil && (!sent || !chooses(p, v))
			switch {
			case unchosen:
			case p.Optional:
				optional = append(optional, p.Name)
			default:
				required = append(required, p.Name)
				if !sent {
					missing = append(missing, p.Name)
				}
			}
		}
		if k := len(c.Optional) - 1; k >= 0 && strings.HasPrefix(c.Optional[k], "...") { // "...13 more"
			c.Optional = c.Optional[:k]
			optional = optional[:min(k, len(optional))]
		}
		for _, pair := range [][2][]string{{required, c.Required}, {optional, c.Optional}, {missing, c.Missing}} {
			if strings.Join(pair[0], " ") != strings.Join(pair[1], " ") {
				t.Errorf("%s %v:\nhave %v\nwant %v", c.Node, c.Inputs, pair[0], pair[1])
			}
		}
		if got := received(t, s, n); !reflect.DeepEqual(got, c.Receives) {
			t.Errorf("%s %v:\nreceives %v\nwant %v", c.Node, c.Inputs, got, c.Receives)
		}
	}
	t.Logf("%d expansions", len(doc.Expand))
}

func chooses(p graph.Port, v any) bool {
	for _, o := range p.Options {
		if o.Key == v {
			return true
		}
	}
	return false
}

// received is what Run gets of the node's inputs.
func received(t *testing.T, s *graph.Spec, n *graph.Node) map[string]any {
	out := map[string]any{}
	probe := *s
	probe.Run = func(_ *graph.Call, in []any) (graph.Output, error) {
		for i, v := range in {
			if v != nil {
				out[s.Inputs[i].Name] = plainFields(v)
			}
		}
		return graph.Output{}, nil
	}
	made := probe.For(n)
	in := make([]any, len(made.Inputs))
	for i, p := range made.Inputs {
		in[i], _ = n.Input(p.Name)
	}
	if _, err := made.Run(nil, in); err != nil {
		t.Fatal(err)
	}
	return out
}

func plainFields(v any) any {
	fields, ok := v.(graph.Fields)
	if !ok {
		return v
	}
	if len(fields) == 1 && reflect.TypeOf(fields[0].Value) == reflect.TypeFor[string]() && fields[0].Value == "nope" {
		return fields[0].Value // an unknown key comes alone
	}
	out := map[string]any{}
	for _, f := range fields {
		out[f.Name] = plainFields(f.Value)
	}
	return out
}
