package frontend_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"graphrun/frontend"
	"graphrun/graph"
)

// oneEmbedding is an engine whose models are one embedding.
type oneEmbedding struct{ frontend.Engine }

func (oneEmbedding) ModelFiles(string) ([]string, error) { return []string{"nice.pt"}, nil }

// TestConvert: the editor's route gives the prompt of a workflow, keeps the workflow as it came, and says what is wrong.
func TestConvert(t *testing.T) {
	nodes, err := graph.ParseObjectInfo([]byte(`{"Text": {"input": {"required": {"text": ["STRING", {}], "seed": ["INT", {"default": 0}]}},
		"output": ["STRING"], "output_node": true, "name": "Text", "display_name": "Text"}}`))
	if err != nil {
		t.Fatal(err)
	}
	s := frontend.New(frontend.Config{Nodes: nodes, Env: graph.NewEnv(), Engine: oneEmbedding{}})
	post := func(body string) (int, string) {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/graphrun/convert", strings.NewReader(body)))
		return w.Code, w.Body.String()
	}

	const ui = `{"nodes":[{"id":3,"type":"Text","widgets_values":["a <b>",18446744073709551615,"fixed"],"unknown":1.50},{"id":4,"type":"Nobody"}],"links":[],"version":0.4}`
	code, body := post(ui)
	if code != http.StatusOK {
		t.Fatalf("%d %s", code, body)
	}
	var answer struct {
		Workflow json.RawMessage
		Prompt   map[string]struct {
			Class  string          `json:"class_type"`
			Inputs json.RawMessage `json:"inputs"`
		}
		Warnings []string
		Error    string
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatal(err)
	}
	if got := answer.Prompt["3"]; got.Class != "Text" || !strings.Contains(string(got.Inputs), "18446744073709551615") {
		t.Errorf("prompt: %s", body)
	}
	if !strings.Contains(string(answer.Workflow), `"unknown":1.50`) {
		t.Errorf("workflow: %s", answer.Workflow)
	}
	if len(answer.Warnings) != 1 || !strings.Contains(answer.Warnings[0], "Nobody") || answer.Error != "" {
		t.Errorf("warnings %q, error %q", answer.Warnings, answer.Error)
	}

	if code, body := post(`{"3":{"class_type":"Text","inputs":{"text":"x"}}}`); code != http.StatusOK || !strings.Contains(body, `"workflow":null`) || !strings.Contains(body, `"text":"x"`) {
		t.Errorf("a prompt: %d %s", code, body)
	}
	const a1111 = "a nice dog\nSteps: 5, Sampler: Euler, CFG scale: 7, Seed: 1, Size: 64x64"
	if code, body := post(a1111); code != http.StatusOK || !strings.Contains(body, "a embedding:nice dog") {
		t.Errorf("A1111's parameters with an embedding: %d %s", code, body)
	}
	for _, bad := range []string{"", "{", "[]", "\x89PNG\r\n\x1a\n", "hello"} {
		if code, body := post(bad); code != http.StatusBadRequest || body == "" {
			t.Errorf("%q: %d %q, want 400 with the reason", bad, code, body)
		}
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "editor.js") {
		t.Errorf("the page: %d %.100s", w.Code, w.Body)
	}
}
