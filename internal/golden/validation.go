package golden

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// accidents are answers of the reference that ours improve on: only the status and the nodes at fault must agree.
var accidents = map[string]string{
	"two-bad-outputs": "the reference visits outputs in any order and counts an earlier output's nodes as needed by a later one",
}

// Validation compares the answers of judge with those of ComfyUI in workflows/validation.json: status and body of every
// request. prompt is nil where the request has none.
func Validation(t *testing.T, judge func(t *testing.T, prompt json.RawMessage, targets []string) (status int, body map[string]any)) {
	var cases map[string]struct {
		Request struct {
			Prompt  json.RawMessage `json:"prompt"`
			Targets []string        `json:"partial_execution_targets"`
		}
		Status   int
		Response map[string]any
	}
	data, err := os.ReadFile(filepath.Join(Dir(t), "workflows", "validation.json"))
	if err == nil {
		err = json.Unmarshal(data, &cases)
	}
	if err != nil || len(cases) == 0 {
		t.Fatalf("%d cases: %v", len(cases), err)
	}
	passed := 0
	for id, c := range cases {
		t.Run(id, func(t *testing.T) {
			status, body := judge(t, c.Request.Prompt, c.Request.Targets)
			text, err := json.Marshal(body)
			if err != nil {
				t.Fatal(err)
			}
			var have map[string]any
			if err := json.Unmarshal(text, &have); err != nil {
				t.Fatal(err)
			}
			want := c.Response
			if why := accidents[id]; why != "" {
				if status != c.Status || !slices.Equal(faulty(have), faulty(want)) {
					t.Errorf("status %d, nodes at fault %v; want %d, %v", status, faulty(have), c.Status, faulty(want))
				}
				t.Logf("differs on purpose: %s", why)
				return
			}
			sortErrors(have)
			sortErrors(want)
			if status != c.Status || !reflect.DeepEqual(stripped(have), stripped(want)) {
				a, _ := json.MarshalIndent(stripped(have), "", " ")
				b, _ := json.MarshalIndent(stripped(want), "", " ")
				t.Errorf("status %d, want %d\nhave %s\nwant %s", status, c.Status, a, b)
				return
			}
			passed++
		})
	}
	t.Logf("%d of %d answers agree, %d differ on purpose", passed, len(cases), len(accidents))
}

func faulty(body map[string]any) []string {
	nodes, _ := body["node_errors"].(map[string]any)
	return slices.Sorted(maps.Keys(nodes))
}

// stripped is v without what an answer cannot share with another server's: tooltips and ids.
func stripped(v any) any {
	switch x := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range x {
			if k != "tooltip" && k != "prompt_id" && k != "traceback" { // the recordings have none
				out[k] = stripped(e)
			}
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

// sortErrors brings the errors of every node, and the lines of details, into an order: the reference has none.
func sortErrors(body map[string]any) {
	nodes, _ := body["node_errors"].(map[string]any)
	for _, n := range nodes {
		errs := n.(map[string]any)["errors"].([]any)
		slices.SortFunc(errs, func(a, b any) int {
			return strings.Compare(fmt.Sprint(a.(map[string]any)["details"]), fmt.Sprint(b.(map[string]any)["details"]))
		})
	}
	if e, ok := body["error"].(map[string]any); ok {
		lines := strings.Split(fmt.Sprint(e["details"]), "\n")
		slices.Sort(lines)
		e["details"] = strings.Join(lines, "\n")
	}
}
