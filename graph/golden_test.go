package graph_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
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

// accidents are answers of the reference that ours improve on: only the status and the nodes at fault must agree.
var accidents = map[string]string{
	"loadimage-object-value": "the reference crashes in the node's check; ours is a typed error of the value",
	"two-bad-outputs":        "the reference visits outputs in any order and counts an earlier output's nodes as needed by a later one",
}

// stripped is v without what the golden answers cannot share with ours: Python's texts for exceptions, tooltips.
func stripped(v any) any {
	switch x := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range x {
			switch k {
			case "tooltip", "exception_message", "prompt_id":
			default:
				out[k] = stripped(e)
			}
		}
		switch x["type"] {
		case "exception_during_validation", "invalid_input_type":
			delete(out, "details")
		case "prompt_outputs_failed_validation":
			out["details"] = strings.Split(fmt.Sprint(out["details"]), ":")[0]
		}
		return out
	case []any:
		out := []any{}
		for _, e := range x {
			out = append(out, stripped(e))
		}
		return out
	}
	return v
}

func TestGoldenValidation(t *testing.T) {
	nodes := goldenNodes(t)
	var cases map[string]struct {
		Request struct {
			Prompt  json.RawMessage `json:"prompt"`
			Targets []string        `json:"partial_execution_targets"`
		}
		Status   int
		Response map[string]any
	}
	data, err := os.ReadFile(filepath.Join(golden.Dir(t), "workflows", "validation.json"))
	if err == nil {
		err = json.Unmarshal(data, &cases)
	}
	if err != nil {
		t.Fatal(err)
	}
	passed := 0
	for id, c := range cases {
		t.Run(id, func(t *testing.T) {
			var outputs []string
			var problems *graph.ValidationError
			p, err := graph.ParsePrompt(c.Request.Prompt)
			if e := (*graph.Error)(nil); errors.As(err, &e) {
				problems = &graph.ValidationError{Whole: []*graph.Error{e}}
			} else {
				outputs, problems = graph.Validate(p, nodes, nil, c.Request.Targets)
			}
			status, body := 200, map[string]any{"node_errors": problems.NodeErrors()}
			if len(outputs) == 0 {
				status, body = 400, problems.Response()
			}
			text, _ := json.Marshal(body)
			var got map[string]any
			json.Unmarshal(text, &got)
			want := c.Response
			if why := accidents[id]; why != "" {
				have, need := slices.Sorted(maps.Keys(got["node_errors"].(map[string]any))), slices.Sorted(maps.Keys(want["node_errors"].(map[string]any)))
				if status != c.Status || !slices.Equal(have, need) {
					t.Errorf("status %d, nodes at fault %v; want %d, %v", status, have, c.Status, need)
				}
				t.Logf("differs on purpose: %s", why)
				return
			}
			sortErrors(got)
			sortErrors(want)
			if status != c.Status || !reflect.DeepEqual(stripped(got), stripped(want)) {
				a, _ := json.MarshalIndent(stripped(got), "", " ")
				b, _ := json.MarshalIndent(stripped(want), "", " ")
				t.Errorf("status %d, want %d\ngot %s\nwant %s", status, c.Status, a, b)
				return
			}
			passed++
		})
	}
	t.Logf("%d of %d answers agree, %d differ on purpose", passed, len(cases), len(accidents))
}

// sortErrors brings the errors of every node into the order of their inputs: the reference has none.
func sortErrors(body map[string]any) {
	nodes, _ := body["node_errors"].(map[string]any)
	for _, n := range nodes {
		errs := n.(map[string]any)["errors"].([]any)
		slices.SortFunc(errs, func(a, b any) int {
			return strings.Compare(fmt.Sprint(a.(map[string]any)["details"]), fmt.Sprint(b.(map[string]any)["details"]))
		})
	}
}
