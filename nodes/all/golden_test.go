package all

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"graphrun/graph"
	"graphrun/internal/golden"
)

// info is an entry of /object_info as far as clients depend on it; descriptions and tooltips are our own.
type info struct {
	Input        map[string]map[string]any `json:"input"` // section, name: [type, options], or, if hidden, a type
	InputOrder   map[string][]string       `json:"input_order"`
	Output       []any                     `json:"output"`
	OutputIsList []bool                    `json:"output_is_list"`
	OutputName   []string                  `json:"output_name"`
	Name         string                    `json:"name"`
	DisplayName  *string                   `json:"display_name"`
	Module       string                    `json:"python_module"`
	Category     string                    `json:"category"`
	OutputNode   bool                      `json:"output_node"`
	Matches      []any                     `json:"output_matchtypes"`
	TakesLists   *bool                     `json:"is_input_list"` // of newer schemas, like the next
	Intermediate *bool                     `json:"has_intermediate_output"`
}

// ours are the nodes that ComfyUI's core does not have.
var ours = map[string]bool{"SDNQModelLoader": true, "SDNQQuantize": true, "SDNQQuantizeCheckpoint": true, "SDNQModelInfo": true, "ExprMath": true, "ExprText": true, "ExprSwitch": true}

// TestGoldenObjectInfo compares the schema of every node with ComfyUI's, the later one where it changed.
func TestGoldenObjectInfo(t *testing.T) {
	doc, err := graph.ObjectInfo(graph.Registered(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var have map[string]info
	if err := json.Unmarshal(doc, &have); err != nil {
		t.Fatal(err)
	}
	want := map[string]info{}
	for _, file := range []string{ // later ones override
		"workflows/object_info.json", "newer/object_info_newer.json", "newer/object_info_extra.json", "newer/object_info_changed.json",
	} {
		raw, err := os.ReadFile(filepath.Join(golden.Dir(t), file))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(raw, &want); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	compared := 0
	for name, h := range have {
		w, ok := want[name]
		if !ok {
			if !ours[name] {
				t.Errorf("%s: not in golden data", name)
			}
			continue
		}
		compared++
		if w.TakesLists == nil || h.TakesLists == nil && !*w.TakesLists {
			h.TakesLists, w.TakesLists = nil, nil
		}
		if w.Intermediate == nil || h.Intermediate == nil {
			h.Intermediate, w.Intermediate = nil, nil
		}
		if diff := compare(normalize(h), normalize(w)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	t.Logf("compared %d nodes", compared)
	if compared == 0 {
		t.Error("no node in common with golden data")
	}
}

// normalize removes what may differ in spelling: an absent options object is an empty one; a list of choices is a
// COMBO with options; lists of files depend on the machine; tooltips are our own.
func normalize(n info) info {
	for _, section := range n.Input {
		for name, entry := range section {
			config, ok := entry.([]any)
			if !ok || len(config) == 0 {
				continue
			}
			options := map[string]any{}
			if len(config) > 1 {
				options, _ = config[1].(map[string]any)
			}
			kind := config[0]
			if list, ok := kind.([]any); ok {
				kind = "COMBO"
				options["options"] = list
			}
			if _, upload := options["image_upload"]; upload || name == "ckpt_name" {
				delete(options, "options")
			}
			section[name] = []any{kind, withoutTooltips(options)}
		}
	}
	for section := range n.Input {
		if len(n.Input[section]) == 0 {
			delete(n.Input, section)
		}
	}
	for section := range n.InputOrder {
		if len(n.InputOrder[section]) == 0 {
			delete(n.InputOrder, section)
		}
	}
	if n.DisplayName == nil {
		n.DisplayName = &n.Name
	}
	return n
}

// withoutTooltips takes them out at every depth.
func withoutTooltips(v any) any {
	switch v := v.(type) {
	case map[string]any:
		delete(v, "tooltip")
		for k := range v {
			v[k] = withoutTooltips(v[k])
		}
	case []any:
		for i := range v {
			v[i] = withoutTooltips(v[i])
		}
	}
	return v
}

func compare(have, want info) string {
	h, w := reflect.ValueOf(have), reflect.ValueOf(want)
	for i := range h.NumField() {
		if !reflect.DeepEqual(h.Field(i).Interface(), w.Field(i).Interface()) {
			a, _ := json.Marshal(h.Field(i).Interface())
			b, _ := json.Marshal(w.Field(i).Interface())
			return h.Type().Field(i).Name + ":\nhave " + string(a) + "\nwant " + string(b)
		}
	}
	return ""
}

func TestNormalize(t *testing.T) {
	parse := func(s string) (n info) {
		if err := json.Unmarshal([]byte(s), &n); err != nil {
			t.Fatal(err)
		}
		return normalize(n)
	}
	a := parse(`{"name":"X","input":{"required":{"m":[["a","b"],{}],"i":["IMAGE"]}}}`)
	same := parse(`{"name":"X","display_name":"X","input":{"required":{"m":["COMBO",{"options":["a","b"],"tooltip":"t"}],"i":["IMAGE",{}]},"optional":{}}}`)
	other := parse(`{"name":"X","input":{"required":{"m":[["a"]],"i":["IMAGE"]}}}`)
	if d := compare(a, same); d != "" {
		t.Errorf("spellings differ: %s", d)
	}
	if compare(a, other) == "" {
		t.Error("another list of choices is not seen")
	}
}
