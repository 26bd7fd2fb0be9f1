package frontend

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"graphrun/graph/queue"
)

// jobIDs are those of GET /jobs, in its order.
func (b *bench) jobIDs(query string) (ids []string, total int, more bool) {
	b.Helper()
	var list struct {
		Jobs       []job
		Pagination struct {
			Total int
			More  bool `json:"has_more"`
		}
	}
	b.must(json.Unmarshal([]byte(b.want(200, "GET", "/api/jobs"+query, nil)), &list))
	for _, j := range list.Jobs {
		ids = append(ids, j.ID)
	}
	return ids, list.Pagination.Total, list.Pagination.More
}

// TestJobs: what runs, waits, and what became of the rest, as one list.
func TestJobs(t *testing.T) {
	b := newBench(t, nil)
	before := time.Now().UnixMilli()
	flow := dict{"extra_pnginfo": dict{"workflow": dict{"id": "flow"}}}
	b.submit(chain("Say", "done"), "prompt_id", "done", "extra_data", flow)
	b.status("done")
	b.submit(dict{"1": dict{"class_type": "Fail", "inputs": dict{"text": "x"}}}, "prompt_id", "failed", "extra_data", dict{"api_key_comfy_org": "secret"})
	b.status("failed")
	b.submit(chain("Hold", "stopped"), "prompt_id", "stopped")
	<-b.held
	if text := b.want(200, "POST", "/jobs/stopped/cancel", nil); text != `{"cancelled":true}` {
		t.Error(text)
	}
	b.status("stopped")
	b.submit(chain("Hold", "runs"), "prompt_id", "runs")
	<-b.held
	time.Sleep(2 * time.Millisecond) // times are in ms
	b.submit(chain("Say", "waits"), "prompt_id", "waits", "extra_data", flow)

	for query, want := range map[string]string{
		"?sort_order=asc":                   "done failed stopped runs waits",
		"?status=in_progress,pending":       "waits runs",
		"?status=completed":                 "done",
		"?status=failed,cancelled":          "stopped failed",
		"?workflow_id=flow":                 "waits done",
		"?sort_order=asc&limit=2&offset=1":  "failed stopped",
		"?sort_order=asc&limit=9&offset=4":  "waits",
		"?offset=99":                        "",
		"?sort_by=execution_duration&limit": "",
	} {
		ids, total, more := b.jobIDs(query)
		if got := strings.Join(ids, " "); got != want && want != "" || query == "?offset=99" && len(ids) > 0 {
			t.Errorf("%s: want %s, have %s", query, want, got)
		}
		if strings.Contains(query, "offset") && (total != 5 || more != (query == "?sort_order=asc&limit=2&offset=1")) {
			t.Errorf("%s: %d in all, more %v", query, total, more)
		}
	}
	for _, query := range []string{"status=lost", "limit=0", "limit=x", "offset=-1", "sort_by=name", "sort_order=up"} {
		b.want(400, "GET", "/jobs?"+query, nil)
	}

	var j wholeJob
	b.must(json.Unmarshal([]byte(b.want(200, "GET", "/jobs/done", nil)), &j))
	if j.Created < before || j.Began < j.Created || j.Ended < j.Began || j.Outputs != 0 || string(j.Shown) != `{"2":{"text":["done"]}}` || j.Source.Prompt == nil {
		t.Errorf("%+v", j)
	}
	if text := b.want(200, "GET", "/jobs/failed", nil); !strings.Contains(text, "on purpose") || strings.Contains(text, "secret") || strings.Contains(text, "_created") {
		t.Error(text)
	}
	b.want(404, "GET", "/jobs/lost", nil)
	for _, path := range []string{"/queue", "/history"} { // these are as they were before there were jobs
		if text := b.want(200, "GET", path, nil); strings.Contains(text, "_created") {
			t.Error(text)
		}
	}

	b.want(404, "POST", "/jobs/cancel", dict{"job_ids": []string{"waits", "lost"}})
	b.want(400, "POST", "/jobs/cancel", "{}")
	if text := b.want(200, "POST", "/jobs/lost/cancel", nil); text != `{"cancelled":false}` {
		t.Error(text)
	}
	if text := b.want(200, "POST", "/jobs/cancel", dict{"job_ids": []string{"done", "runs", "waits"}}); text != `{"cancelled":["runs","waits"]}` {
		t.Error(text)
	}
	b.status("runs")
	b.want(200, "POST", "/history", dict{"delete": []string{"done"}})
	if ids, _, _ := b.jobIDs("?status=completed"); len(ids) > 0 {
		t.Error(ids)
	}
	close(b.hold)
	b.submit(chain("Say", "runs again"), "prompt_id", "failed")
	b.eventually("what failed runs again", func() bool {
		ids, _, _ := b.jobIDs("?status=completed")
		return slices.Equal(ids, []string{"failed"})
	})
}

// TestCancelNobody: no id is nobody's, also not that of whatever runs.
func TestCancelNobody(t *testing.T) {
	b := newBench(t, nil)
	b.submit(chain("Hold", "x"), "prompt_id", "runs")
	<-b.held
	if text := b.want(200, "POST", "/jobs//cancel", nil); text != `{"cancelled":false}` {
		t.Error(text)
	}
	b.want(404, "POST", "/jobs/cancel", dict{"job_ids": []string{""}})
	close(b.hold)
	if status := b.status("runs"); status != "success" {
		t.Error(status)
	}
}

// TestJobIsThere: whoever has queued a prompt finds it among the jobs at any time, also while it goes from the queue to the
// history.
func TestJobIsThere(t *testing.T) {
	b := newBench(t, nil)
	var clients sync.WaitGroup
	for i := range 4 {
		clients.Go(func() {
			for n := range 100 {
				id := fmt.Sprint(i, "-", n)
				b.submit(chain("Say", id), "prompt_id", id)
				for done := false; !done; {
					list := b.want(200, "GET", "/jobs?limit=20", nil)
					one := b.want(200, "GET", "/jobs/"+id, nil)
					if !strings.Contains(list, `"`+id+`"`) {
						t.Errorf("%s is in no list", id)
					}
					done = strings.Contains(one, jobCompleted)
				}
			}
		})
	}
	clients.Wait()
}

// TestJobPreview: the output that stands for a job.
func TestJobPreview(t *testing.T) {
	for outputs, want := range map[string]string{
		`{}`:                                    "0 <nil>",
		`{"1":{"text":["a","b"]}}`:              "0 <nil>",
		`{"1":{"a":[{"filename":"x.latent"}]}}`: "1 <nil>",
		`{"1":{"images":[{"filename":"a.png","type":"temp"},{"filename":"b.png","type":"output"}],"animated":[false]}}`:                      "2 b.png",
		`{"1":{"images":[{"filename":"a.png","type":"temp"}]},"2":{"gifs":[{"filename":"b.mp4","type":"output","format":"video/mp4"}]}}`:     "2 b.mp4",
		`{"1":{"result":[{"filename":"m.GLB","type":"output"}]},"2":{"images":[{"filename":"c.png","type":"output"},{"filename":"d.png"}]}}`: "3 m.GLB",
		`[]`: "0 <nil>",
	} {
		n, chosen := shownIn([]byte(outputs))
		if got := fmt.Sprint(n, " ", chosen["filename"]); got != want {
			t.Errorf("%s: want %s, have %s", outputs, want, got)
		}
	}
}

// TestStamp: extra data comes back as it was sent, and that of older versions has no time.
func TestStamp(t *testing.T) {
	for _, extra := range []string{`{}`, `{"a":1}`, `{"_created":5,"b":{}}`} {
		back, at := unstamped(stamped([]byte(extra)))
		if string(back) != extra || at == 0 || !json.Valid(stamped([]byte(extra))) {
			t.Errorf("%s: %s %d", extra, back, at)
		}
	}
	if back, at := unstamped([]byte(`{"a":1}`)); string(back) != `{"a":1}` || at != 0 {
		t.Errorf("%s %d", back, at)
	}
	if j := doneJob(queue.Item{Extra: []byte(`{}`)}, queue.Result{Entry: []byte(`{"status":{"messages":[["execution_start",{"timestamp":7}]]}}`)}); j.Created != 7 || j.Status != jobFailed {
		t.Errorf("%+v", j)
	}
}

// TestNoTemplates: a page that asks for the example workflows of ComfyUI's package hears that there are none.
func TestNoTemplates(t *testing.T) {
	b := newBench(t, nil)
	for path, want := range map[string]string{"/templates/index.json": "[]", "/templates/index.zh.json": "[]", "/templates/index_logo.json": "{}"} {
		if text := b.want(200, "GET", path, nil); text != want {
			t.Errorf("%s: %s", path, text)
		}
	}
	for _, path := range []string{"/templates/index", "/templates/other.json", "/templates/indexes/x.json", "/templates/index.d/x.json"} {
		b.want(404, "GET", path, nil)
	}
}
