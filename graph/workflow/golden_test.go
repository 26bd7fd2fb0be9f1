package workflow

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"graphrun/graph"
	"graphrun/internal/golden"
)

// library is that of the servers that the golden pairs were made with.
func library(t testing.TB, files ...string) graph.Library {
	all := graph.Library{}
	for _, name := range files {
		data, err := os.ReadFile(filepath.Join(golden.Dir(t), "workflows", name))
		if err != nil {
			t.Fatal(err)
		}
		l, err := graph.ParseObjectInfo(data)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		maps.Copy(all, l)
	}
	return all
}

// madeAt is in the year in which the pairs were made: it is in one of them.
var madeAt = time.Date(2025, 10, 1, 12, 0, 0, 0, time.UTC)

func TestGoldenPairs(t *testing.T) {
	nodes := library(t, "object_info.json", "object_info_api_nodes.json", "object_info_test_nodes.json")
	dir := filepath.Join(golden.Dir(t), "workflows")
	var pairs []struct {
		ID, Expect string
	}
	data, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err == nil {
		err = json.Unmarshal(data, &pairs)
	}
	if err != nil {
		t.Fatal(err)
	}
	passed := 0
	for _, c := range pairs {
		t.Run(c.ID, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join(dir, "pairs", c.ID, "ui.json"))
			if err != nil {
				t.Fatal(err)
			}
			f, err := Parse(data)
			if err != nil {
				t.Fatal(err)
			}
			p, err := f.Prompt(Options{Nodes: nodes, Now: madeAt})
			if c.Expect == "error" {
				passed++
				return // the editor fails here; whatever ours does without a panic is fine
			}
			if err != nil {
				t.Fatal(err)
			}
			differences := compare(t, filepath.Join(dir, "pairs", c.ID), c.Expect, p, nodes)
			for _, d := range differences {
				t.Error(d)
			}
			if len(differences) == 0 {
				passed++
			}
		})
	}
	t.Logf("%d of %d pairs agree", passed, len(pairs))
}

type apiNode struct {
	Class  string         `json:"class_type"`
	Inputs map[string]any `json:"inputs"`
}

// compare lists how p differs from the expected file, by the rules of the goldens' compare.py.
func compare(t *testing.T, pair, expect string, p *graph.Prompt, nodes graph.Library) (bad []string) {
	var want, have map[string]apiNode
	var meta struct {
		NullInputs []string `json:"null_inputs"`
	}
	read := func(name string, v any) {
		data, err := os.ReadFile(filepath.Join(pair, name))
		if err == nil {
			err = json.Unmarshal(data, v)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	read(expect, &want)
	read("meta.json", &meta)
	text, err := json.Marshal(p)
	if err == nil {
		err = json.Unmarshal(text, &have)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range slices.Sorted(maps.Keys(want)) {
		w, h := want[id], have[id]
		if have[id].Inputs == nil && have[id].Class == "" {
			bad = append(bad, id+": missing")
			continue
		}
		if w.Class == "" && nodes[h.Class] == nil {
			h.Class = "" // the editor sends unknown nodes without their class
		}
		if w.Class != h.Class {
			bad = append(bad, fmt.Sprintf("%s: class %q, want %q", id, h.Class, w.Class))
		}
		uiOnly(w)
		uiOnly(h)
		keys := map[string]bool{}
		for k := range w.Inputs {
			keys[k] = true
		}
		for k := range h.Inputs {
			keys[k] = true
		}
		for _, k := range slices.Sorted(maps.Keys(keys)) {
			if !reflect.DeepEqual(w.Inputs[k], h.Inputs[k]) && !slices.Contains(meta.NullInputs, id+"."+k) {
				bad = append(bad, fmt.Sprintf("%s (%s).%s: %v, want %v", id, w.Class, k, h.Inputs[k], w.Inputs[k]))
			}
		}
	}
	for id := range have {
		if _, ok := want[id]; !ok {
			bad = append(bad, id+": too much")
		}
	}
	return bad
}

// uiOnly drops the inputs that only the editor's display uses.
func uiOnly(n apiNode) {
	delete(n.Inputs, "audioUI")
	delete(n.Inputs, "preview")
	switch n.Class {
	case "SaveGLB", "Preview3D", "Preview3DAnimation":
		if n.Inputs["image"] == "" {
			delete(n.Inputs, "image")
		}
	case "LoadImageOutput":
		delete(n.Inputs, "refresh")
	}
}
