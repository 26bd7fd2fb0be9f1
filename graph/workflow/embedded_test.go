package workflow

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"graphrun/graph"
	"graphrun/internal/golden"
)

// The files that ComfyUI's own save nodes wrote: pictures, latents and videos, told by their content. Their workflow has
// no nodes, so the prompt counts; both are read back whole.
func TestGoldenEmbedded(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(golden.Dir(t), "workflows", "embed-samples", "*.*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	var first *graph.Prompt
	for _, name := range files {
		in, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := Read(in)
		in.Close()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		p, err := f.Prompt(Options{})
		if err != nil || len(p.IDs) == 0 || f.IsUI() {
			t.Errorf("%s: %v, %v", name, p, err)
			continue
		}
		if first == nil {
			first = p
		}
		if !reflect.DeepEqual(p, first) { // they are of one run
			t.Errorf("%s: another prompt than in %s", name, files[0])
		}
		var w struct{ Note string }
		if err := json.Unmarshal(f.Workflow(), &w); err != nil || !strings.HasPrefix(w.Note, "Привет ✓") {
			t.Errorf("%s: workflow %s, %v", name, f.Workflow(), err)
		}
		text, _ := json.Marshal(p)
		back, err := graph.ParsePrompt(text)
		if err != nil || !reflect.DeepEqual(back, p) {
			t.Errorf("%s: read back: %v", name, err)
		}
	}
	t.Logf("%d files read", len(files))
}

// A1111's parameters give the prompt that the new page makes of them; where it makes none, ours is an error.
func TestGoldenA1111(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(golden.Dir(t), "workflows", "a1111.json"))
	if err != nil {
		t.Fatal(err)
	}
	type page struct {
		Output map[string]struct {
			Class  string         `json:"class_type"`
			Inputs map[string]any `json:"inputs"`
			Meta   struct{ Title string }
		} `json:"output"`
	}
	var cases map[string]map[string]json.RawMessage
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	nodes := library(t, "object_info.json")
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var text string
			var want, have page
			if json.Unmarshal(c["parameters"], &text) != nil || json.Unmarshal(c["1.58.1"], &want) != nil {
				t.Fatal("no case")
			}
			f, err := Parse([]byte(text))
			if len(want.Output) == 0 {
				if err == nil {
					t.Error("read, though the page makes nothing of it")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			p, err := f.Prompt(Options{Nodes: nodes})
			if err != nil {
				t.Fatal(err)
			}
			got, _ := json.Marshal(p)
			if err := json.Unmarshal(got, &have.Output); err != nil {
				t.Fatal(err)
			}
			for id, w := range want.Output {
				if !reflect.DeepEqual(have.Output[id], w) {
					t.Errorf("node %s\nhave %+v\nwant %+v", id, have.Output[id], w)
				}
			}
			if len(have.Output) != len(want.Output) {
				t.Errorf("%d nodes, want %d", len(have.Output), len(want.Output))
			}
		})
	}
}
