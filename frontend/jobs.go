package frontend

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"graphrun/graph/queue"
)

// ComfyUI's releases after the one of server.md show the queue and the history as one list of jobs, and their web page asks
// for nothing else. A job is a prompt; its id is the prompt's.

// The states of a job.
const (
	jobPending   = "pending"
	jobRunning   = "in_progress"
	jobCompleted = "completed"
	jobFailed    = "failed"
	jobCancelled = "cancelled"
)

var jobStates = []string{jobPending, jobRunning, jobCompleted, jobFailed, jobCancelled}

// job is an element of the list. Times are in ms since 1970.
type job struct {
	ID       string          `json:"id"`
	Status   string          `json:"status"`
	Priority json.RawMessage `json:"priority"`
	Created  int64           `json:"create_time"`
	Began    int64           `json:"execution_start_time,omitempty"`
	Ended    int64           `json:"execution_end_time,omitempty"`
	Error    json.RawMessage `json:"execution_error,omitempty"`
	Outputs  int             `json:"outputs_count"`
	Preview  map[string]any  `json:"preview_output,omitempty"` // a file as its node shows it, and the node and the kind
	Workflow string          `json:"workflow_id,omitempty"`
}

// wholeJob is what one job's own route says of it.
type wholeJob struct {
	job
	Shown  json.RawMessage `json:"outputs,omitempty"`
	Result json.RawMessage `json:"execution_status,omitempty"`
	Source *jobSource      `json:"workflow,omitempty"`
}

type jobSource struct {
	Prompt json.RawMessage `json:"prompt"`
	Extra  json.RawMessage `json:"extra_data"`
}

// jobs remembers what the list says of prompts that are done: it never changes, and reading it out of the history is slow.
type jobs struct {
	mu   sync.Mutex
	done map[string]job
}

// created marks extra data with the time of the submission, which clients do not see among it.
const created = `{"_created":`

func stamped(extra []byte) []byte {
	b := strconv.AppendInt([]byte(created), time.Now().UnixMilli(), 10)
	if rest := extra[1:]; len(rest) > 1 {
		return append(append(b, ','), rest...)
	}
	return append(b, '}')
}

// unstamped is the extra data as the client sent it, and the time of the submission, 0 where an older version queued it.
func unstamped(extra []byte) ([]byte, int64) {
	rest, is := bytes.CutPrefix(extra, []byte(created))
	end := bytes.IndexAny(rest, ",}")
	if !is || end < 0 {
		return extra, 0
	}
	at, _ := strconv.ParseInt(string(rest[:end]), 10, 64)
	if rest[end] == '}' {
		return []byte("{}"), at
	}
	return append([]byte{'{'}, rest[end+1:]...), at
}

// queuedJob is a job that waits or runs.
func queuedJob(it queue.Item, status string) job {
	extra, at := unstamped(it.Extra)
	j := job{ID: it.ID, Status: status, Priority: shownNumber(it), Created: at}
	var of struct {
		Info struct {
			Workflow struct {
				ID string `json:"id"`
			} `json:"workflow"`
		} `json:"extra_pnginfo"`
	}
	if json.Unmarshal(extra, &of) == nil {
		j.Workflow = of.Info.Workflow.ID
	}
	return j
}

// entryParts are those of a history entry that a job tells.
type entryParts struct {
	Outputs json.RawMessage
	Status  json.RawMessage
}

// doneJob is a job that has ended.
func doneJob(it queue.Item, r queue.Result) wholeJob {
	j := wholeJob{job: queuedJob(it, jobFailed)}
	var parts entryParts
	var status struct{ Messages [][2]json.RawMessage }
	json.Unmarshal(r.Entry, &parts)
	json.Unmarshal(parts.Status, &status)
	if r.Success {
		j.Status = jobCompleted
	}
	for _, m := range status.Messages {
		var kind string
		var when struct{ Timestamp int64 }
		json.Unmarshal(m[0], &kind)
		json.Unmarshal(m[1], &when)
		switch kind {
		case "execution_start":
			j.Began = when.Timestamp
		case "execution_success":
			j.Ended = when.Timestamp
		case "execution_interrupted":
			j.Status, j.Ended = jobCancelled, when.Timestamp
		case "execution_error":
			j.Ended, j.Error = when.Timestamp, m[1]
		}
	}
	j.Created = cmp.Or(j.Created, j.Began)
	j.Outputs, j.Preview = shownIn(parts.Outputs)
	j.Shown, j.Result = parts.Outputs, parts.Status
	extra, _ := unstamped(it.Extra)
	j.Source = &jobSource{it.Prompt, withoutSecrets(extra)}
	return j
}

// shownIn counts what the nodes show, and chooses what stands for all of it: a picture, video, sound or body that is an
// output, else any.
func shownIn(outputs json.RawMessage) (n int, chosen map[string]any) {
	var nodes map[string]map[string]json.RawMessage
	json.Unmarshal(outputs, &nodes)
	for _, node := range slices.Sorted(maps.Keys(nodes)) {
		for _, kind := range slices.Sorted(maps.Keys(nodes[node])) {
			var items []map[string]any
			if kind == "animated" || json.Unmarshal(nodes[node][kind], &items) != nil {
				continue
			}
			for _, item := range items {
				n++
				if !canPreview(kind, item) || chosen != nil && (chosen["type"] == "output" || item["type"] != "output") {
					continue
				}
				chosen = maps.Clone(item)
				chosen["nodeId"], chosen["mediaType"] = node, kind
			}
		}
	}
	return n, chosen
}

func canPreview(kind string, item map[string]any) bool {
	format, _ := item["format"].(string)
	name, _ := item["filename"].(string)
	return slices.Contains([]string{"images", "video", "audio"}, kind) ||
		strings.HasPrefix(format, "video/") || strings.HasPrefix(format, "audio/") ||
		slices.Contains([]string{".obj", ".fbx", ".gltf", ".glb"}, strings.ToLower(path.Ext(name)))
}

// all lists the jobs that are done, the oldest first.
func (k *jobs) all(q *queue.Queue) ([]job, error) {
	ids, err := q.Done()
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	known := k.done
	k.done = make(map[string]job, len(ids)) // and what the history has forgotten is forgotten
	list := make([]job, 0, len(ids))
	for _, id := range ids {
		j, is := known[id]
		if !is {
			it, r, ok, err := q.Result(id)
			if err != nil {
				return nil, err
			}
			if !ok { // forgotten this moment
				continue
			}
			j = doneJob(it, r).job
		}
		k.done[id] = j
		list = append(list, j)
	}
	return list, nil
}

// forget is for an id that runs again.
func (k *jobs) forget(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.done, id)
}

// jobQuery is what GET /jobs is asked for.
type jobQuery struct {
	states                  []string
	workflow, sortBy, order string
	limit, offset           int // limit 0: none
}

func readJobQuery(c echo.Context) (q jobQuery, err error) {
	choice := func(name, text string, of ...string) {
		if err == nil && !slices.Contains(of, text) {
			err = fmt.Errorf("%s: need one of %s, have %q", name, strings.Join(of, ", "), text)
		}
	}
	number := func(name string, from int) (n int) {
		if text := c.QueryParam(name); text != "" && err == nil {
			if n, err = strconv.Atoi(text); err != nil || n < from {
				err = fmt.Errorf("%s: need a whole number from %d on, have %q", name, from, text)
			}
		}
		return n
	}
	q.states = jobStates
	if text := c.QueryParam("status"); text != "" {
		q.states = strings.Split(strings.ToLower(text), ",")
		for i, s := range q.states {
			q.states[i] = strings.TrimSpace(s)
			choice("status", q.states[i], jobStates...)
		}
	}
	q.workflow = c.QueryParam("workflow_id")
	q.sortBy = strings.ToLower(cmp.Or(c.QueryParam("sort_by"), "created_at"))
	choice("sort_by", q.sortBy, "created_at", "execution_duration")
	q.order = strings.ToLower(cmp.Or(c.QueryParam("sort_order"), "desc"))
	choice("sort_order", q.order, "asc", "desc")
	q.limit, q.offset = number("limit", 1), number("offset", 0)
	return q, err
}

// chosen are the jobs that the query asks for, in its order.
func (q jobQuery) chosen(all []job) []job {
	all = slices.DeleteFunc(all, func(j job) bool {
		return !slices.Contains(q.states, j.Status) || q.workflow != "" && j.Workflow != q.workflow
	})
	slices.SortStableFunc(all, func(a, b job) int {
		if q.sortBy == "execution_duration" {
			return cmp.Compare(a.Ended-a.Began, b.Ended-b.Began)
		}
		return cmp.Compare(a.Created, b.Created)
	})
	if q.order == "desc" { // of those of one millisecond the later first, too
		slices.Reverse(all)
	}
	return all
}

// refused is an answer as the routes of jobs word it.
func refused(c echo.Context, status int, why string) error {
	text, _ := json.Marshal(map[string]string{"error": why})
	return sendJSON(c, status, text)
}

// allJobs lists those of the states at least. The queue is read first, or one that ends meanwhile would be in neither list.
func (s *Server) allJobs(states []string) (list []job, err error) {
	asked := func(state string) bool { return slices.Contains(states, state) }
	var running, pending []queue.Item
	if asked(jobPending) || asked(jobRunning) {
		if running, pending, err = s.Queue.Items(); err != nil {
			return nil, err
		}
	}
	ended := map[string]bool{}
	if asked(jobCompleted) || asked(jobFailed) || asked(jobCancelled) {
		if list, err = s.jobs.all(s.Queue); err != nil {
			return nil, err
		}
		for _, j := range list {
			ended[j.ID] = true
		}
	}
	for i, it := range append(running, pending...) {
		status := jobPending
		if i < len(running) {
			status = jobRunning
		}
		if !ended[it.ID] {
			list = append(list, queuedJob(it, status))
		}
	}
	return list, nil
}

func (s *Server) listJobs(c echo.Context) error {
	q, err := readJobQuery(c)
	if err != nil {
		return refused(c, http.StatusBadRequest, err.Error())
	}
	list, err := s.allJobs(q.states)
	if err != nil {
		return err
	}
	list = q.chosen(list)
	total := len(list)
	list = list[min(q.offset, total):]
	if q.limit > 0 {
		list = list[:min(q.limit, len(list))]
	}
	return send(c, map[string]any{"jobs": list, "pagination": map[string]any{
		"offset": q.offset, "limit": cmp.Or(q.limit, total), "total": total, "has_more": q.offset+len(list) < total,
	}})
}

// noJob is ComfyUI's word.
const noJob = "Job not found"

func (s *Server) jobOf(c echo.Context) error {
	id := param(c, "id")
	it, state, queued, err := s.Queue.State(id)
	switch {
	case err != nil:
		return err
	case queued && state == queue.Running:
		return send(c, queuedJob(it, jobRunning))
	case queued:
		return send(c, queuedJob(it, jobPending))
	}
	it, r, done, err := s.Queue.Result(id) // not before: it may have ended in between
	if err != nil {
		return err
	}
	if done {
		return send(c, doneJob(it, r))
	}
	return refused(c, http.StatusNotFound, noJob)
}

// cancel ends a prompt that runs or takes it out of the queue; done says whether there was one.
func (s *Server) cancel(id string) (done bool, err error) {
	gone, err := s.Queue.Delete(id)
	if len(gone) > 0 {
		s.sockets.status()
	}
	return len(gone) > 0 || id != "" && s.interruptRun(id), err
}

func (s *Server) cancelJob(c echo.Context) error {
	done, err := s.cancel(param(c, "id"))
	if err != nil {
		return err
	}
	return send(c, map[string]bool{"cancelled": done})
}

// cancelJobs cancels several, or none if one is unknown.
func (s *Server) cancelJobs(c echo.Context) error {
	data, err := io.ReadAll(c.Request().Body)
	if err != nil {
		return err
	}
	var which struct {
		IDs []string `json:"job_ids"`
	}
	if json.Unmarshal(data, &which) != nil || len(which.IDs) == 0 {
		return refused(c, http.StatusBadRequest, "job_ids: need an array of ids")
	}
	for _, id := range which.IDs {
		_, _, known, err := s.Queue.State(id)
		if err == nil && !known {
			_, _, known, err = s.Queue.Result(id)
		}
		if err != nil {
			return err
		}
		if !known {
			return refused(c, http.StatusNotFound, noJob+": "+id)
		}
	}
	cancelled := []string{}
	for _, id := range which.IDs {
		done, err := s.cancel(id)
		if err != nil {
			return err
		}
		if done {
			cancelled = append(cancelled, id)
		}
	}
	return send(c, map[string]any{"cancelled": cancelled})
}
