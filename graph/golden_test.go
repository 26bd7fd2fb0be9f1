package graph_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"graphrun/graph"
	"graphrun/internal/golden"
)

// goldenNodes is the library of ComfyUI's core nodes. The document does not say that LoadImage checks its own file name.
func goldenNodes(t *testing.T) graph.Library {
	data, err := os.ReadFile(filepath.Join(golden.Dir(t), "workflows", "object_info.json"))
	if err != nil {
		t.Fatal(err)
	}
	l, err := graph.ParseObjectInfo(data)
	if err != nil {
		t.Fatal(err)
	}
	l["LoadImage"].Input("image").Checked = true
	l["LoadImage"].Validate = func(_ *graph.Env, in []any) error {
		if name, ok := in[0].(string); ok && name != "example.png" {
			return fmt.Errorf("Invalid image file: %s", name)
		}
		return nil
	}
	return l
}

// TestGoldenValidation judges every request by ComfyUI's own schemas.
func TestGoldenValidation(t *testing.T) {
	nodes := goldenNodes(t)
	golden.Validation(t, func(t *testing.T, prompt json.RawMessage, targets []string) (int, map[string]any) {
		var outputs []string
		var problems *graph.ValidationError
		p, err := graph.ParsePrompt(prompt)
		if e := (*graph.Error)(nil); errors.As(err, &e) {
			problems = &graph.ValidationError{Whole: []*graph.Error{e}}
		} else {
			outputs, problems = graph.Validate(p, nodes, nil, targets)
		}
		if len(outputs) == 0 {
			return 400, problems.Response()
		}
		return 200, map[string]any{"node_errors": problems.NodeErrors()}
	})
}
