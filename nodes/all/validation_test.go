package all

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"graphrun/graph"
	"graphrun/internal/golden"
	"graphrun/runtime/hub"
)

// TestGoldenValidation judges every request by our own nodes, and by ComfyUI's schemas where we have none yet.
func TestGoldenValidation(t *testing.T) {
	nodes := graph.Library{}
	for _, file := range []string{"workflows/object_info.json"} {
		data, err := os.ReadFile(filepath.Join(golden.Dir(t), file))
		if err != nil {
			t.Fatal(err)
		}
		l, err := graph.ParseObjectInfo(data)
		if err != nil {
			t.Fatal(err)
		}
		maps.Copy(nodes, l)
	}
	theirs := len(nodes)
	maps.Copy(nodes, graph.Registered())
	base := t.TempDir()
	if err := os.MkdirAll(filepath.Join(base, "input"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(base, "input", "example.png"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	env := graph.NewEnv()
	graph.Provide(env, &hub.Folders{Input: filepath.Join(base, "input")})
	golden.Validation(t, func(t *testing.T, prompt json.RawMessage, targets []string) (int, map[string]any) {
		var outputs []string
		var problems *graph.ValidationError
		p, err := graph.ParsePrompt(prompt)
		if e := (*graph.Error)(nil); errors.As(err, &e) {
			problems = &graph.ValidationError{Whole: []*graph.Error{e}}
		} else {
			outputs, problems = graph.Validate(p, nodes, env, targets)
		}
		if len(outputs) == 0 {
			return 400, problems.Response()
		}
		return 200, map[string]any{"node_errors": problems.NodeErrors()}
	})
	t.Logf("%d nodes are ours, %d ComfyUI's", len(graph.Registered()), theirs)
}
