package workflow

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"graphrun/graph"
)

const swept = `{"1": {"class_type": "Loader", "inputs": {"name": "a.safetensors"}},
	"2": {"class_type": "Encode", "inputs": {"text": "old", "clip": ["1", 1]}, "_meta": {"title": "Positive"}},
	"4": {"class_type": "Sampler", "inputs": {"seed": 18446744073709551610, "steps": 10, "cfg": 7.5, "name": "euler"}},
	"5": {"class_type": "SaveImage", "inputs": {"images": ["4", 0], "filename_prefix": "x"}}}`

func TestParseAxis(t *testing.T) {
	for text, want := range map[string]string{
		"4.steps=1,2, 3":           `[1,2,3]`,
		"Sampler.steps=1..4":       `[1,2,3,4]`,
		"4.steps=1 .. 10 : 3":      `[1,4,7,10]`,
		"4.steps=10..1:4":          `[10,6,2]`,
		"4.steps=10..1:-4":         `[10,6,2]`,
		"4.steps=-1..1":            `[-1,0,1]`,
		"4.steps=1..3,7, 10..20:5": `[1,2,3,7,10,15,20]`,
		"4.steps=7":                `[7]`,
		"4.cfg=0.5..1.0:0.1":       `[0.5,0.6,0.7,0.8,0.9,1.0]`,
		"4.cfg=1..2:0.25":          `[1.00,1.25,1.50,1.75,2.00]`,
		"4.seed=18446744073709551613..18446744073709551615": `[18446744073709551613,18446744073709551614,18446744073709551615]`,
		"4.seed==value..value":                              "error: need integers of 63 bits",
		"4.steps==value..value+2":                           `[10,11,12]`,
		"4.steps==map(1..3, # * 10)":                        `[10,20,30]`,
		"4.steps==value,=value*2,5":                         `[10,20,5]`,
		"4.steps==min(3, 4)":                                `[3]`,
		`4.steps="=min(3, 4)",=1..2`:                        `[3,1,2]`,
		"4.name=euler, heun":                                `["euler","heun"]`,
		"4.cfg==1..2":                                       `[1,2]`,
		`Positive.text=a cat,"a, b","say ""hi"""`:           `["a cat","a, b","say \"hi\""]`,
		`Positive.text="1..3"`:                              `["1..3"]`,
		`Positive.text=1..3`:                                `["1..3"]`,
		`Positive.text=""`:                                  `[""]`,
		`Positive.text==["a", value]`:                       `["a","old"]`,
		"Positive.text=a = b,c":                             `["a = b","c"]`,
		"4.steps=":                                          "error: no value is given",
		"4.steps=1..99999":                                  "error: more than 2500 values",
		"4.steps=1..2:0":                                    "error: the step of the range is 0",
		"4.steps=1..2:0.00001":                              "error: more than 2500 values",
		"4.cfg=0.5..1":                                      "error: for example 0.5..1:0.1",
		"4.steps==filter([1], # > 1)":                       "error: an empty list",
		"4.steps==1/3":                                      "error: need a whole number",
		"4.steps==[value, [1]]":                             "error: the expression gives a list",
		"4.steps==value+":                                   "error: unexpected token EOF",
		`4.name="a`:                                         "error: quote a value",
		`4.name=a"b`:                                        "error: quote a value",
		"4.stepz=1":                                         "error: did you mean steps",
		"9.steps=1":                                         "error: need the id, title or class",
		"steps=1":                                           "error: need NODE.INPUT=VALUE",
	} {
		f, err := Parse([]byte(swept))
		if err != nil {
			t.Fatal(err)
		}
		axis, err := f.ParseAxis(text, Options{Nodes: testNodes(t)})
		if message, bad := strings.CutPrefix(want, "error: "); bad {
			var e *graph.Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), message) {
				t.Errorf("%s: %v (%v), want %s", text, axis.Values, err, message)
			}
			continue
		}
		if got, _ := json.Marshal(axis.Values); err != nil || string(got) != want {
			t.Errorf("%s: %s (%v), want %s", text, got, err, want)
		}
	}
}

// A variation comes after what was set, is in the workflow that pictures keep, and leaves nothing behind.
func TestVary(t *testing.T) {
	const ui = `{"nodes": [{"id": 3, "type": "Sampler", "widgets_values": [1, "fixed", 2, 3, "heun"]},
		{"id": 4, "type": "SaveImage", "widgets_values": ["%Sampler.seed%"]}], "links": []}`
	for name, text := range map[string]string{"ui": ui, "api": strings.ReplaceAll(swept, `"x"`, `"%Sampler.seed%"`)} {
		f, err := Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		o := Options{Nodes: testNodes(t)}
		axis, err := f.ParseAxis("Sampler.seed=5,6", o)
		if err != nil {
			t.Fatal(err)
		}
		for _, set := range []string{"Sampler.steps==value+1", "Sampler.seed=4"} {
			if err := f.Set(set); err != nil {
				t.Fatal(err)
			}
		}
		steps, prefix := "", ""
		for _, v := range axis.Values {
			f.Vary("_seed="+ValueText(v), Setting{axis.Node, axis.Input, v})
			p, err := f.Prompt(o)
			if err != nil {
				t.Fatal(err)
			}
			if have, _ := p.Nodes[axis.Node].Input("seed"); have != v {
				t.Errorf("%s: seed %v, want %v", name, have, v)
			}
			now, _ := p.Nodes[axis.Node].Input("steps")
			if steps == "" {
				steps = ValueText(now)
			} else if steps != ValueText(now) {
				t.Errorf("%s: steps %v after %v", name, now, steps)
			}
			for _, n := range p.Nodes {
				if n.Class == "SaveImage" {
					have, _ := n.Input("filename_prefix")
					prefix = have.(string)
				}
			}
			want := "%Sampler.seed%_seed=" + ValueText(v)
			if name == "ui" {
				want = ValueText(v) + "_seed=" + ValueText(v)
				if w := string(f.Workflow()); !strings.Contains(w, `[`+ValueText(v)+`,"fixed"`) || !strings.Contains(w, "_seed="+ValueText(v)) {
					t.Errorf("workflow %s", w)
				}
			}
			if prefix != want {
				t.Errorf("%s: prefix %s, want %s", name, prefix, want)
			}
		}
		f.Vary("")
		p, err := f.Prompt(o)
		if err != nil {
			t.Fatal(err)
		}
		if have, _ := p.Nodes[axis.Node].Input("seed"); ValueText(have) != "4" {
			t.Errorf("%s: seed %v after the sweep, want the one set", name, have)
		}
	}
}

func FuzzParseAxis(f *testing.F) {
	for _, text := range []string{"4.steps=1..3", "4.cfg=0.5..1:0.1", `2.text="a, b",c`, "4.steps==value..value+2", "4.name=euler,heun", "Positive.text=="} {
		f.Add(text)
	}
	nodes := testNodes(f)
	f.Fuzz(func(t *testing.T, text string) {
		file, err := Parse([]byte(swept))
		if err != nil {
			t.Fatal(err)
		}
		axis, err := file.ParseAxis(text, Options{Nodes: nodes})
		var e *graph.Error
		if err != nil && !errors.As(err, &e) {
			t.Errorf("error %T: %v", err, err)
		}
		if err == nil && (len(axis.Values) == 0 || len(axis.Values) > MaxVariations) {
			t.Errorf("%d values", len(axis.Values))
		}
	})
}
