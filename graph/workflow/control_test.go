package workflow

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"graphrun/internal/golden"
)

// What the editor queues, embeds and shows in three runs of each mode.
func TestGoldenQueue(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(golden.Dir(t), "workflows", "queue.json"))
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Pinned float64 `json:"random_pinned_to"`
		Runs   map[string]struct {
			Queued   []int   `json:"queued_seeds"`
			Embedded [][]any `json:"embedded_widget_values"`
			After    []int   `json:"widget_after_each"`
		}
		Payload struct {
			Extra struct {
				Info struct{ Workflow json.RawMessage } `json:"extra_pnginfo"`
			} `json:"extra_data"`
		} `json:"payload_example"`
	}
	if err := json.Unmarshal(data, &doc); err != nil || len(doc.Runs) == 0 {
		t.Fatal(err)
	}
	o := Options{Nodes: library(t, "object_info.json"), Random: func() float64 { return doc.Pinned }}
	values := func(f *File) []any {
		var ui struct {
			Nodes []struct {
				Type   string
				Values []any `json:"widgets_values"`
			}
		}
		if err := json.Unmarshal(f.Workflow(), &ui); err != nil {
			t.Fatal(err)
		}
		for _, n := range ui.Nodes {
			if n.Type == "KSampler" {
				return n.Values
			}
		}
		return nil
	}
	for name, run := range doc.Runs {
		when, mode, _ := strings.Cut(name, "/")
		text := strings.Replace(string(doc.Payload.Extra.Info.Workflow), `[42,"fixed",`, `[42,"`+mode+`",`, 1)
		f, err := Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		for i := range run.Queued {
			if when == "before" {
				err = f.BeforeQueue(o)
			}
			if err != nil {
				t.Fatal(err)
			}
			p, err := f.Prompt(o)
			if err != nil {
				t.Fatal(err)
			}
			seed, _ := p.Nodes["5"].Input("seed")
			if got := integer(seed); got != run.Queued[i] {
				t.Errorf("%s: seed %d is %v, want %v", name, i, got, run.Queued[i])
			}
			if got := values(f)[:2]; !reflect.DeepEqual(got, run.Embedded[i]) {
				t.Errorf("%s: embedded %v, want %v", name, got, run.Embedded[i])
			}
			if when == "after" {
				err = f.AfterQueue(o)
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := values(f)[0]; got != float64(run.After[i]) {
				t.Errorf("%s: then %v, want %v", name, got, run.After[i])
			}
		}
	}
}

func TestControl(t *testing.T) {
	const schemas = `{"C": {"input": {"required": {
		"pick": [["a.safetensors", "B.ckpt", "c.safetensors"], {"control_after_generate": true}],
		"n": ["INT", {"min": 0, "max": 18446744073709551615, "step": 5, "control_after_generate": "mine"}],
		"x": ["FLOAT", {"min": 0, "max": 1, "step": 0.1}]}}, "output": ["INT"]}}`
	o := Options{Nodes: parseInfo(t, schemas), Random: Seeded(7).Float64}
	again := Options{Nodes: o.Nodes, Random: Seeded(7).Float64}
	for _, c := range []struct{ values, want string }{
		{`["a.safetensors","increment","",10,"increment",0.5]`, `["B.ckpt","increment","",15,"increment",0.5]`},
		{`["a.safetensors","increment","SAFE",10,"decrement",0.5]`, `["c.safetensors","increment","SAFE",5,"decrement",0.5]`},
		{`["c.safetensors","increment","",3,"decrement",0.5]`, `["c.safetensors","increment","",0,"decrement",0.5]`},
		{`["c.safetensors","increment-wrap","",18446744073709551614,"increment",0.5]`, `["a.safetensors","increment-wrap","",18446744073709551615,"increment",0.5]`},
		{`["a.safetensors","decrement","/ckpt$/",9007199254740993,"increment",0.5]`, `["B.ckpt","decrement","/ckpt$/",9007199254740998,"increment",0.5]`},
		{`["a.safetensors","fixed","",1,"fixed",0.5]`, `["a.safetensors","fixed","",1,"fixed",0.5]`},
		{`["a.safetensors","increment","nothing like it",1,"nonsense"]`, `["a.safetensors","increment","nothing like it",1,"nonsense"]`},
		{`{"pick":"a.safetensors","control_after_generate":"increment","n":"ten","mine":"increment"}`, `{"pick":"B.ckpt","control_after_generate":"increment","n":"ten","mine":"increment"}`},
	} {
		f, err := Parse([]byte(`{"nodes":[{"id":1,"type":"C","widgets_values":` + c.values + `}],"links":[]}`))
		if err == nil {
			err = f.AfterQueue(o)
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := string(f.Workflow()); !strings.Contains(got, c.want) {
			t.Errorf("%s becomes %s, want %s", c.values, got, c.want)
		}
	}
	// A PrimitiveNode has the range of its targets.
	const primitive = `{"nodes":[{"id":1,"type":"C","inputs":[{"name":"x","type":"FLOAT","widget":{"name":"x"},"link":1}]},
		{"id":2,"type":"PrimitiveNode","widgets_values":[%,"increment"]}],"links":[[1,2,0,1,0,"FLOAT"]]}`
	for from, want := range map[string]string{"0.2": "[0.3,", "0.95": "[1,"} {
		f, err := Parse([]byte(strings.Replace(primitive, "%", from, 1)))
		if err == nil {
			err = f.AfterQueue(o)
		}
		if err != nil || !strings.Contains(string(f.Workflow()), want) {
			t.Errorf("%s becomes %s, want %s: %v", from, f.Workflow(), want, err)
		}
	}
	// The same seed draws the same numbers.
	var drawn [2]string
	for i, o := range []Options{o, again} {
		f, err := Parse([]byte(`{"nodes":[{"id":1,"type":"C","widgets_values":["a.safetensors","randomize","",10,"randomize"]}],"links":[]}`))
		if err == nil {
			err = f.AfterQueue(o)
		}
		if err != nil {
			t.Fatal(err)
		}
		drawn[i] = string(f.Workflow())
	}
	if drawn[0] != drawn[1] || strings.Contains(drawn[0], ",10,") {
		t.Errorf("drawn %s and %s", drawn[0], drawn[1])
	}
}
