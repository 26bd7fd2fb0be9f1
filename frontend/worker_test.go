package frontend

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"graphrun/graph"
)

func TestOutcomes(t *testing.T) {
	b := newBench(t, nil)
	for class, want := range map[string]string{"Show": "success", "Fail": "error", "Panic": "error"} {
		e := b.result(b.submit(dict{"1": dict{"class_type": class, "inputs": dict{"text": "x"}}}))
		if got := e["status"].(dict)["status_str"]; got != want {
			t.Errorf("%s: %v", class, got)
		}
	}
}

func TestIdempotent(t *testing.T) {
	b := newBench(t, nil)
	b.submit(chain("Hold", "x"), "prompt_id", "first")
	<-b.held
	for range 3 {
		b.submit(chain("Hold", "x"), "prompt_id", "first") // runs
		b.submit(chain("Say", "y"), "prompt_id", "second") // waits
	}
	if pending, running := b.Queue.Len(); pending != 1 || running != 1 {
		t.Errorf("%d wait, %d run", pending, running)
	}
	close(b.hold)
	b.result("second")
	var h map[string]any
	b.must(json.Unmarshal([]byte(b.want(200, "GET", "/history", nil)), &h))
	if len(h) != 2 {
		t.Errorf("%d in the history", len(h))
	}
	b.want(400, "POST", "/prompt", dict{"prompt": chain("Say", "x"), "prompt_id": strings.Repeat("x", 1001)})
}

func TestFull(t *testing.T) {
	b := newBench(t, nil)
	b.Queue.Pause(true)
	for range 2000 {
		b.submit(chain("Say", "x"))
	}
	resp, _ := b.do("POST", "/prompt", dict{"prompt": chain("Say", "x")})
	if resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" {
		t.Error(resp.Status, resp.Header)
	}
	b.want(200, "POST", "/queue", dict{"clear": true})
	b.submit(chain("Say", "x"))
}

func TestPauseAndOrder(t *testing.T) {
	b := newBench(t, nil)
	b.want(200, "POST", "/queue", dict{"pause": true})
	for _, id := range []string{"a", "b", "c", "d"} {
		b.submit(chain("Say", id), "prompt_id", id)
	}
	b.want(200, "POST", "/queue", dict{"move": "d", "before": "a"})
	b.want(200, "POST", "/queue", dict{"move": "a", "before": ""})
	b.want(200, "POST", "/queue", dict{"move": "c", "number": -100})
	b.want(404, "POST", "/queue", dict{"move": "nobody", "number": 1})
	b.want(404, "POST", "/queue", dict{"move": "a", "before": "nobody"})
	b.want(400, "POST", "/queue", dict{"move": "a"})
	if q := b.want(200, "GET", "/queue", nil); !strings.Contains(q, `"paused":true`) {
		t.Error(q)
	}
	b.want(200, "POST", "/queue", dict{"pause": false})
	b.result("a")
	items, _, err := b.Queue.History(-1, -1)
	b.must(err)
	var order []string
	for _, it := range items {
		order = append(order, it.ID)
	}
	if !slices.Equal(order, []string{"c", "d", "b", "a"}) {
		t.Error(order)
	}
}

func TestInterrupt(t *testing.T) {
	b := newBench(t, nil)
	b.want(200, "POST", "/interrupt", nil) // of nothing: the next run does not suffer
	id := b.submit(chain("Hold", "x"))
	<-b.held
	b.want(200, "POST", "/interrupt", dict{"prompt_id": "another"})
	b.want(200, "POST", "/interrupt", dict{"prompt_id": id})
	e := b.result(id)["status"].(dict)
	messages := e["messages"].([]any)
	if last := messages[len(messages)-1].([]any)[0]; e["status_str"] != "error" || e["completed"] != false || last != "execution_interrupted" {
		t.Error(e)
	}
	if b.status(b.submit(chain("Say", "x"))) != "success" {
		t.Error("the next run suffered")
	}
}

// TestStopRequeues: what runs when the server stops waits again, without an end in the history.
func TestStopRequeues(t *testing.T) {
	b := newBench(t, nil)
	k := b.dial("?clientId=a")
	id := b.submit(chain("Hold", "x"), "client_id", "a")
	<-b.held
	b.stop()
	if pending, running := b.Queue.Len(); pending != 1 || running != 0 {
		t.Errorf("%d wait, %d run", pending, running)
	}
	if _, _, done, _ := b.Queue.Result(id); done {
		t.Error("recorded as done")
	}
	it, _, err := b.Queue.Take()
	if err != nil || it.ID != id || it.Attempts != 1 {
		t.Errorf("%+v %v", it, err)
	}
	k.CloseNow()
}

func TestGrace(t *testing.T) {
	b := newBench(t, nil)
	b.stop()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.Work(ctx, time.Minute)
	}()
	id := b.submit(chain("Hold", "x"))
	<-b.held
	cancel()
	close(b.hold)
	<-done
	if _, r, ok, err := b.Queue.Result(id); !ok || !r.Success || err != nil {
		t.Error("a prompt that had time to finish did not", ok, err)
	}
}

// TestCrowd: submissions, deletions, interrupts, reconnects and questions at once. Each prompt that was accepted is done, or
// was deleted.
func TestCrowd(t *testing.T) {
	b := newBench(t, nil)
	close(b.hold)
	go func() {
		for range b.held {
		}
	}()
	defer close(b.held)
	const clients, prompts = 8, 30
	var mu sync.Mutex
	var ids []string
	deleted := map[string]bool{}
	var all sync.WaitGroup
	for c := range clients {
		all.Go(func() {
			client := fmt.Sprint("c", c)
			for i := range prompts {
				id := fmt.Sprintf("%d-%d", c, i)
				class := []string{"Say", "Hold"}[rand.IntN(2)]
				b.submit(chain(class, id), "client_id", client, "prompt_id", id, "front", rand.IntN(4) == 0)
				mu.Lock()
				ids = append(ids, id)
				victim := ids[rand.IntN(len(ids))]
				mu.Unlock()
				switch rand.IntN(7) {
				case 0:
					b.want(200, "POST", "/interrupt", dict{"prompt_id": victim})
				case 1:
					b.want(200, "POST", "/queue", dict{"delete": []string{victim}})
					mu.Lock()
					deleted[victim] = true
					mu.Unlock()
				case 2:
					b.dial("?clientId=" + client).hear()
				case 3:
					b.want(200, "GET", "/queue", nil)
				case 4:
					b.want(200, "GET", "/history?max_items=3", nil)
				case 5:
					b.want(200, "POST", "/queue", dict{"pause": true})
					b.want(200, "POST", "/queue", dict{"pause": false})
				case 6:
					b.want(200, "POST", "/free", dict{"free_memory": true})
				}
			}
		})
	}
	all.Wait()
	b.want(200, "POST", "/queue", dict{"pause": false})
	b.eventually("all is done", func() bool {
		pending, running := b.Queue.Len()
		return pending+running == 0
	})
	for _, id := range ids {
		if _, _, done, err := b.Queue.Result(id); err != nil || !done && !deleted[id] {
			t.Errorf("%s is lost (%v)", id, err)
		}
	}
}

func TestMetrics(t *testing.T) {
	b := newBench(t, nil)
	b.result(b.submit(chain("Say", "x")))
	b.result(b.submit(chain("Say", "x")))
	b.eventually("the figures are there", func() bool {
		text := b.want(200, "GET", "/metrics", nil)
		for _, want := range []string{
			`graphrun_prompts_submitted_total 2`, `graphrun_prompt_seconds_count{outcome="success"} 2`, `graphrun_node_seconds_count{class="Say"} 1`,
			`graphrun_nodes_reused_total 1`, `graphrun_queue_pending 0`, `graphrun_memory_bytes{device="cpu",kind="total"} 8`,
			`graphrun_http_requests_total{method="POST",route="/prompt",status="200"} 2`,
		} {
			if !strings.Contains(text, want) {
				t.Logf("no %s in\n%s", want, text)
				return false
			}
		}
		return true
	})
}

// TestPreviewMethod: a prompt may ask for a preview method of its own; an unknown one is the server's.
func TestPreviewMethod(t *testing.T) {
	type method string
	b := newBench(t, func(c *Config) {
		c.Cache.Configure(graph.CacheConfig{Policy: graph.CacheNone})
		graph.Provide(c.Env, method("the server's"))
		c.Previews = map[string]*graph.Env{"none": c.Env.Clone()}
		graph.Provide(c.Previews["none"], method("none at all"))
		c.Nodes["Method"] = &graph.Spec{Meta: graph.Meta{Name: "Method", Output: true, NotIdempotent: true}, Run: func(c *graph.Call, _ []any) (graph.Output, error) {
			m, err := graph.Service[method](c.Env)
			return graph.Output{UI: graph.UI{"text": {m}}}, err
		}}
	})
	for sent, want := range map[string]string{"none": "none at all", "default": "the server's", "": "the server's"} {
		entry := b.result(b.submit(dict{"1": dict{"class_type": "Method", "inputs": dict{}}}, "extra_data", dict{"preview_method": sent}))
		if got := fmt.Sprint(entry["outputs"]); got != "map[1:map[text:["+want+"]]]" {
			t.Errorf("%q: %s", sent, got)
		}
	}
}

// slowly is an engine that takes its time to free memory.
type slowly struct {
	Engine
	begins, ends chan struct{}
}

func (e slowly) Free(bool) {
	e.begins <- struct{}{}
	<-e.ends
}

// TestInterruptWhileFreeing: a prompt that waits for memory to be freed before it runs can be interrupted already.
func TestInterruptWhileFreeing(t *testing.T) {
	e := slowly{begins: make(chan struct{}), ends: make(chan struct{})}
	b := newBench(t, func(c *Config) { e.Engine, c.Engine = c.Engine, &e })
	b.submit(chain("Hold", "x"))
	<-b.held
	b.want(200, "POST", "/free", dict{"unload_models": true})
	id := b.submit(chain("Say", "y"))
	close(b.hold)
	<-e.begins
	b.want(200, "POST", "/interrupt", dict{"prompt_id": id})
	close(e.ends)
	if entry := fmt.Sprint(b.result(id)); !strings.Contains(entry, "execution_interrupted") {
		t.Error(entry)
	}
}

// TestRefusals: what the gate and the limits turn away is counted, and so are crashes.
func TestRefusals(t *testing.T) {
	b := newBench(t, func(c *Config) {
		c.Token, c.MaxUpload, c.MaxSockets = "secret", 2000, -1
		c.Nodes = (&bench{}).nodes()
	})
	own := []string{"Authorization", "Bearer secret"}
	b.want(401, "GET", "/prompt", nil)
	b.want(403, "GET", "/prompt", nil, append(own, "Origin", "http://evil.example")...)
	b.want(421, "GET", "/prompt", nil, append(own, "Host", "evil.example")...)
	b.want(413, "POST", "/history", strings.Repeat(" ", 3000), own...)
	b.want(413, "POST", "/history", io.MultiReader(strings.NewReader(strings.Repeat(" ", 3000))), own...) // of a length that it does not tell
	b.want(503, "GET", "/ws", nil, own...)
	b.want(200, "POST", "/prompt", dict{"prompt": dict{"1": dict{"class_type": "Panic", "inputs": dict{"text": "x"}}}}, own...)
	b.eventually("they are counted", func() bool {
		text := b.want(200, "GET", "/metrics", nil, own...)
		for _, want := range []string{
			`{reason="token"} 1`, `{reason="origin"} 1`, `{reason="host"} 1`, `{reason="body"} 2`, `{reason="sockets"} 1`, `{reason="queue"} 0`,
			`graphrun_panics_total{where="node"} 1`, `graphrun_panics_total{where="request"} 0`,
		} {
			if !strings.Contains(text, want) {
				t.Logf("no %s in\n%s", want, text)
				return false
			}
		}
		return true
	})
}

func TestUsers(t *testing.T) {
	b := newBench(t, func(c *Config) { c.MultiUser = true })
	var id string
	b.must(json.Unmarshal([]byte(b.want(200, "POST", "/users", dict{"username": "Ann"})), &id))
	b.want(400, "POST", "/users", dict{"username": "Ann"})
	b.want(400, "POST", "/users", dict{"username": " "})
	if text := b.want(200, "GET", "/users", nil); !strings.Contains(text, `"`+id+`":"Ann"`) {
		t.Error(text)
	}
	b.want(200, "POST", "/settings/x", "5", "comfy-user", id)
	b.want(200, "POST", "/userdata/a.json", "{}", "comfy-user", id)
	if got := b.want(200, "GET", "/settings/x", nil, "comfy-user", id); got != "5" {
		t.Error(got)
	}
	b.want(401, "GET", "/settings", nil)
	b.want(401, "GET", "/settings", nil, "comfy-user", "nobody")
	b.want(403, "GET", "/v2/userdata", nil, "comfy-user", "nobody")
	b.want(500, "GET", "/userdata/a.json", nil, "comfy-user", "nobody")
}
