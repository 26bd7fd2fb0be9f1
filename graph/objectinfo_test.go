package graph

import (
	"encoding/json"
	"reflect"
	"testing"
)

func TestObjectInfo(t *testing.T) {
	l := Library{"Scale": Compile[scaleNode](Meta{Name: "Scale", Title: "Scale it", Category: "image", Hidden: []string{"PROMPT"}, Output: true})}
	data, err := ObjectInfo(l, nil)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"Scale": {
		"input": {
			"required": {
				"image": ["IMAGE"],
				"method": [["area", "nearest"], {"tooltip": "How to: scale"}],
				"cfg": ["FLOAT", {"default": 8, "min": 0, "max": 100, "step": 0.1, "round": 0.01}],
				"noise_seed": ["INT", {"max": 18446744073709551615, "control_after_generate": true}]},
			"optional": {"mask": ["IMAGE"], "n": ["INT", {"default": 3}]},
			"hidden": {"prompt": "PROMPT"}},
		"input_order": {"required": ["image", "method", "cfg", "noise_seed"], "optional": ["mask", "n"], "hidden": ["prompt"]},
		"output": ["IMAGE", "IMAGE"], "output_is_list": [false, false], "output_name": ["IMAGE", "large"],
		"name": "Scale", "display_name": "Scale it", "description": "", "python_module": "nodes", "category": "image", "output_node": true}}`
	var a, b any
	if json.Unmarshal(data, &a) != nil || json.Unmarshal([]byte(want), &b) != nil || !reflect.DeepEqual(a, b) {
		t.Errorf("got %s", data)
	}
	// The document read back describes the same nodes.
	back, err := ParseObjectInfo(data)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ObjectInfo(back, nil)
	if err != nil || string(again) != string(data) {
		t.Errorf("read back: %v\n%s\n%s", err, again, data)
	}
}

func TestParseObjectInfoErrors(t *testing.T) {
	for _, text := range []string{``, `[]`, `{"A": 1}`, `{"A": {"input": {"required": {"a": 1}}}}`, `{"A": {"input": {"required": {"a": []}}}}`, `{"A": {"input": {"hidden": 5}}}`} {
		if _, err := ParseObjectInfo([]byte(text)); err == nil {
			t.Errorf("%s: no error", text)
		}
	}
}
