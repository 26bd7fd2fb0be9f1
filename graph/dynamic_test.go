package graph

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// resizeNode has one input of every dynamic kind.
type resizeNode struct {
	Input  Any `match:"kind" types:"IMAGE,MASK"`
	Resize resizeChoice
	Values Autogrow[Any]    `names:"a..c" item:"value" min:"1" types:"INT,FLOAT"`
	Images Autogrow[pic]    `prefix:"image" min:"0" max:"3"`
	Lines  Autogrow[string] `prefix:"line_" min:"0" default:"x" forceinput:"true" optional:"true"`
	Hint   hintSlot         `optional:"true"`
}

type resizeChoice struct {
	Choice
	By struct {
		Multiplier float64 `default:"1" min:"0.01" max:"8"`
	} `key:"scale by"`
	Size struct {
		Width int `default:"512" min:"1"`
		Crop  cropChoice
	}
	Nothing struct{}
}

type cropChoice struct {
	Choice
	Center struct {
		Sharp *bool `default:"true"`
	}
	Match struct{ Pic pic }
}

type hintSlot struct {
	Slot[pic]
	Strength float64 `default:"0.5"`
}

type resizeOut struct {
	Same Any `out:"resized" match:"kind"`
	UI   UI
}

func (n resizeNode) Run(*Call) (resizeOut, error) {
	var names []any
	for _, v := range n.Values {
		names = append(names, v.Name, v.Value.Value)
	}
	return resizeOut{Same: n.Input, UI: UI{
		"key":    {n.Resize.Key, n.Resize.By.Multiplier, n.Resize.Size.Width, n.Resize.Size.Crop.Key, n.Resize.Size.Crop.Center.Sharp},
		"values": names, "images": {n.Images.Values()}, "lines": {n.Lines}, "hint": {n.Hint.Linked, n.Hint.Value, n.Hint.Strength},
	}}, nil
}

func dynamicLibrary() Library {
	return Library{
		"Resize": Compile[resizeNode](Meta{Name: "Resize", Output: true, NewStyle: true}),
		"Pic":    {Meta: Meta{Name: "Pic"}, Outputs: []Port{{Type: "IMAGE"}}, Run: func(*Call, []any) (Output, error) { return Output{Values: []any{pic{3}}}, nil }},
	}
}

func TestDynamicInputs(t *testing.T) {
	for name, c := range map[string]struct{ inputs, want string }{
		"scale": {
			`"input": 1, "resize": "scale by", "resize.multiplier": "2", "values.c": 3, "values.a": 1.5, "images.image2": ["p", 0], "images.image0": ["p", 0]`,
			`{"hint":[false,{"N":0},0],"images":[[{"N":3},{"N":3}]],"key":["scale by",2,0,"",null],"lines":[[]],"values":["a",1.5,"c",3]}`,
		},
		"nested": {
			`"input": 1, "resize": "size", "resize.width": 64, "resize.crop": "center", "values.a": 1, "lines.line_1": 7, "hint": ["p", 0], "hint.strength": 2`,
			`{"hint":[true,{"N":3},2],"images":[[]],"key":["size",0,64,"center",true],"lines":[[{"Name":"line_1","Value":"7"}]],"values":["a",1]}`,
		},
		"no children": {`"input": 1, "resize": "nothing", "values.a": 1`, `{"hint":[false,{"N":0},0],"images":[[]],"key":["nothing",0,0,"",null],"lines":[[]],"values":["a",1]}`},
	} {
		p := mustParse(t, `{"p": {"class_type": "Pic"}, "1": {"class_type": "Resize", "inputs": {`+c.inputs+`}}}`)
		r, err := Run(t.Context(), p, Options{Nodes: dynamicLibrary()})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, _ := json.Marshal(r.UI["1"]); string(got) != c.want {
			t.Errorf("%s:\nhave %s\nwant %s", name, got, c.want)
		}
	}
}

func TestDynamicInputErrors(t *testing.T) {
	for inputs, want := range map[string]string{
		`"input": 1, "values.a": 1`:                                                                   `node 1 (Resize), input resize: a required input is missing`,
		`"input": 1, "resize": "scale bi", "values.a": 1`:                                             `input resize: the value is not in the list; need one of scale by, size, nothing; have "scale bi"; did you mean scale by?`,
		`"input": 1, "resize": "scale by", "values.a": 1`:                                             `input resize.multiplier: a required input is missing`,
		`"input": 1, "resize": "scale by", "resize.multiplier": 9, "values.a": 1`:                     `input resize.multiplier: the value is above the maximum`,
		`"input": 1, "resize": "size", "resize.width": 9, "resize.crop": "match", "values.a": 1`:      `input resize.crop.pic: a required input is missing`,
		`"input": 1, "resize": "nothing", "values.b": 1`:                                              `input values.a: a required input is missing`,
		`"input": 1, "resize": "nothing", "values.a": ["p", 0]`:                                       `input values.a: the linked output has another type; need INT,FLOAT; have IMAGE`,
		`"input": 1, "resize": ["p", 0], "values.a": 1`:                                               `input resize: `,
		`"input": 1, "resize": "nothing", "values.a": 1, "images.image0": 7`:                          `input images.image0: `,
		`"input": 1, "resize": "size", "resize.width": 1, "resize.crop": {"k": 1}, "values.a": 1`:     `input resize.crop: the value is not in the list`,
		`"input": 1, "resize": "nothing", "values.a": 1, "lines.line_0": ["1", 0]`:                    `the links form a cycle`,
		`"input": ["1", 0], "resize": "size", "resize.crop.match": ["1", 0]`:                          `the links form a cycle`,
		`"input": 1, "resize": "size", "resize.width": 1, "resize.crop": "center", "values.a": ["p"]`: `input values.a: a link must be [node id, output slot]`,
	} {
		_, err := Run(t.Context(), mustParse(t, `{"p": {"class_type": "Pic"}, "1": {"class_type": "Resize", "inputs": {`+inputs+`}}}`), Options{Nodes: dynamicLibrary()})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s:\nhave %v\nwant %s", inputs, err, want)
		}
	}
}

// TestDynamicObjectInfo writes the schema of the dynamic kinds, and reads it back.
func TestDynamicObjectInfo(t *testing.T) {
	l := Library{"Resize": dynamicLibrary()["Resize"]}
	data, err := ObjectInfo(l, nil)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{
		"input": ["COMFY_MATCHTYPE_V3", {"template": {"template_id": "kind", "allowed_types": "IMAGE,MASK"}}],
		"resize": ["COMFY_DYNAMICCOMBO_V3", {"options": [
			{"key": "scale by", "inputs": {"required": {"multiplier": ["FLOAT", {"default": 1, "min": 0.01, "max": 8}]}}},
			{"key": "size", "inputs": {"required": {"width": ["INT", {"default": 512, "min": 1}], "crop": ["COMFY_DYNAMICCOMBO_V3", {"options": [
				{"key": "center", "inputs": {"required": {}, "optional": {"sharp": ["BOOLEAN", {"default": true}]}}},
				{"key": "match", "inputs": {"required": {"pic": ["IMAGE", {}]}}}]}]}}},
			{"key": "nothing", "inputs": {"required": {}}}]}],
		"values": ["COMFY_AUTOGROW_V3", {"template": {"input": {"required": {"value": ["INT,FLOAT", {}]}}, "names": ["a", "b", "c"], "min": 1}}],
		"images": ["COMFY_AUTOGROW_V3", {"template": {"input": {"required": {"image": ["IMAGE", {}]}}, "prefix": "image", "min": 0, "max": 3}}]}`
	const wantOptional = `{
		"lines": ["COMFY_AUTOGROW_V3", {"template": {"input": {"required": {"line": ["STRING", {"multiline": false, "default": "x", "forceInput": true}]}}, "prefix": "line_", "min": 0, "max": 10}}],
		"hint": ["COMFY_DYNAMICSLOT_V3", {"slotType": "IMAGE", "inputs": {"required": {"strength": ["FLOAT", {"default": 0.5}]}}}]}`
	var have map[string]struct {
		Input   map[string]any
		Matches []any `json:"output_matchtypes"`
		Output  []string
	}
	var required, optional any
	if json.Unmarshal(data, &have) != nil || json.Unmarshal([]byte(want), &required) != nil || json.Unmarshal([]byte(wantOptional), &optional) != nil {
		t.Fatalf("%s", data)
	}
	if in := have["Resize"].Input; !reflect.DeepEqual(in["required"], required) || !reflect.DeepEqual(in["optional"], optional) {
		t.Errorf("%s", data)
	}
	if r := have["Resize"]; r.Output[0] != typeMatch || r.Matches[0] != "kind" {
		t.Errorf("outputs %+v", r)
	}
	back, err := ParseObjectInfo(data)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ObjectInfo(back, nil)
	var a, b any
	json.Unmarshal(data, &a)
	json.Unmarshal(again, &b)
	if err != nil || !reflect.DeepEqual(a, b) {
		t.Errorf("read back: %v\n%s\n%s", err, again, data)
	}
	// What was read expands as what was declared.
	n := &Node{Inputs: []Input{{"resize", "size"}, {"resize.crop", "match"}}}
	if x, y := names(l["Resize"].Flat(n)), names(back["Resize"].Flat(n)); !reflect.DeepEqual(x, y) || x[1] != "resize.width" {
		t.Errorf("%v\n%v", x, y)
	}
}

func names(ports []Port) (list []string) {
	for _, p := range ports {
		list = append(list, p.Name)
	}
	return list
}
