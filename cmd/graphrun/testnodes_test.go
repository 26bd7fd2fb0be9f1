package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestTestNodes runs what ComfyUI's execution tests are about over the API, with every cache policy: lazy inputs, loops that
// expand, blockers, errors, and what a second run does again (specs/testing-nodes.md).
func TestTestNodes(t *testing.T) {
	for _, cache := range []string{"--cache-classic", "--cache-lru=100", "--cache-none"} {
		t.Run(strings.TrimPrefix(cache, "--"), func(t *testing.T) {
			url, _ := served(t, "--test-nodes", cache)
			k := &apiClient{T: t, url: url}
			k.lazy(cache != "--cache-none")
			k.loop()
			k.blocked()
			k.errors()
		})
	}
}

// apiClient queues prompts and sees what became of them.
type apiClient struct {
	*testing.T
	url string
	n   int
}

// ran is a prompt's history and the nodes of the prompt that ran for it.
type ran struct {
	outcome
	nodes map[string]bool
	error object // data of execution_error, from the history or, of a blocker, the socket
}

func (k *apiClient) run(prompt object) ran {
	k.Helper()
	k.n++
	name := "c" + strings.Repeat("x", k.n)
	ear := listen(k, k.url+"/ws?clientId="+name, name)
	defer ear.conn.CloseNow()
	body, _ := json.Marshal(object{"prompt": prompt, "client_id": name})
	resp, err := http.Post(k.url+"/prompt", "application/json", bytes.NewReader(body))
	if err != nil {
		k.Fatal(err)
	}
	data, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	var answer struct {
		ID string `json:"prompt_id"`
	}
	if json.Unmarshal(data, &answer); resp.StatusCode != http.StatusOK {
		k.Fatalf("%d %s", resp.StatusCode, data)
	}
	eventually(k, "the run ends", func() bool {
		for _, m := range ear.all() {
			if strings.Contains(string(m.data), `"node":null`) && strings.Contains(string(m.data), answer.ID) {
				return true
			}
		}
		return false
	})
	r := ran{nodes: map[string]bool{}}
	for _, m := range ear.all() {
		var e struct {
			Type string
			Data object
		}
		json.Unmarshal(m.data, &e)
		switch display, _ := e.Data["display_node"].(string); e.Type {
		case "executing":
			r.nodes[display] = true
		case "execution_error":
			r.error = e.Data
		}
	}
	all := map[string]outcome{}
	getJSON(k, k.url+"/history/"+answer.ID, &all)
	r.outcome = all[answer.ID]
	return r
}

func apiNode(class string, inputs object) object {
	return object{"class_type": class, "inputs": inputs}
}

func stub(content string) object {
	return apiNode("StubImage", object{"content": content, "height": 8, "width": 8, "batch_size": 1})
}

// lazy: a mask of all 0 needs the first picture alone; a second run finds all, if anything is kept.
func (k *apiClient) lazy(keeps bool) {
	prompt := object{
		"1": stub("BLACK"), "2": stub("WHITE"), "3": apiNode("StubMask", object{"value": 0.0, "height": 8, "width": 8, "batch_size": 1}),
		"4": apiNode("TestLazyMixImages", object{"image1": []any{"1", 0}, "image2": []any{"2", 0}, "mask": []any{"3", 0}}),
		"5": apiNode("PreviewImage", object{"images": []any{"4", 0}}),
	}
	r := k.run(prompt)
	if !r.Status.Completed || !r.nodes["1"] || r.nodes["2"] || !r.nodes["5"] {
		k.Errorf("lazy: %v ran, %v", r.nodes, r.error)
	}
	r = k.run(prompt)
	if !r.Status.Completed || r.nodes["4"] == keeps || len(r.Outputs["5"]["images"]) != 1 {
		k.Errorf("again: %v ran, outputs %v", r.nodes, r.Outputs)
	}
}

// loop: a for loop of three turns that adds up.
func (k *apiClient) loop() {
	r := k.run(object{
		"1": apiNode("TestForLoopOpen", object{"remaining": 3, "initial_value1": []any{"2", 0}}),
		"2": apiNode("StubInt", object{"value": 10}),
		"3": apiNode("TestIntMathOperation", object{"a": []any{"1", 2}, "b": 5, "operation": "add"}),
		"4": apiNode("TestForLoopClose", object{"flow_control": []any{"1", 0}, "initial_value1": []any{"3", 0}}),
		"5": apiNode("PreviewAny", object{"source": []any{"4", 0}}),
	})
	if got := r.Outputs["5"]["text"]; !r.Status.Completed || len(got) != 1 || got[0] != "25" {
		k.Errorf("loop: %v, %v", got, r.error)
	}
}

// blocked: a verbose blocker is told, and the run succeeds without what is behind it.
func (k *apiClient) blocked() {
	r := k.run(object{
		"1": stub("BLACK"), "2": apiNode("TestExecutionBlocker", object{"input": []any{"1", 0}, "block": true, "verbose": true}),
		"3": apiNode("PreviewImage", object{"images": []any{"2", 0}}), "4": apiNode("PreviewImage", object{"images": []any{"1", 0}}),
	})
	if !r.Status.Completed || len(r.Outputs["3"]) != 0 || len(r.Outputs["4"]) == 0 || r.error["exception_type"] != "ExecutionBlocked" {
		k.Errorf("blocked: %v, %v, %v", r.Status.Completed, r.Outputs, r.error)
	}
}

// errors: of a node, of one that waits, and of a cycle that only an expansion closes.
func (k *apiClient) errors() {
	for class, inputs := range map[string]object{
		"TestSyncError":              {"value": []any{"1", 0}},
		"TestAsyncError":             {"value": []any{"1", 0}, "error_after": 0.01},
		"TestDynamicDependencyCycle": {"input1": []any{"1", 0}, "input2": []any{"1", 0}},
	} {
		r := k.run(object{"1": stub("WHITE"), "2": apiNode(class, inputs), "3": apiNode("PreviewImage", object{"images": []any{"2", 0}})})
		if r.Status.Completed || r.error["node_id"] != "2" || r.error["node_type"] != class {
			k.Errorf("%s: completed %v, %v", class, r.Status.Completed, r.error)
		}
	}
}
