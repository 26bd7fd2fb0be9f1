package frontend

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"graphrun/graph"
	"graphrun/graph/queue"
)

// submission is the body of POST /prompt (server.md 2).
type submission struct {
	prompt, clientID, promptID, number, extra json.RawMessage // as they came, parts of the body
	front                                     bool
	targets                                   *[]string
}

// readSubmission reads the body once: prompts can be large.
func (s *Server) readSubmission(c echo.Context) (sub submission, err error) {
	s.Queue.Expect(int(c.Request().ContentLength))
	data, err := bodyText(c)
	if err != nil {
		return sub, err
	}
	err = graph.EachMember(data, func(key string, v json.RawMessage) error {
		switch key {
		case "prompt":
			sub.prompt = v
		case "client_id":
			sub.clientID = v
		case "prompt_id":
			sub.promptID = v
		case "number":
			sub.number = v
		case "extra_data":
			sub.extra = v
		case "front":
			return json.Unmarshal(v, &sub.front)
		case "partial_execution_targets":
			return json.Unmarshal(v, &sub.targets)
		}
		return nil
	})
	if err != nil {
		err = text(http.StatusInternalServerError, trouble)
	}
	return sub, err
}

// submit validates a prompt and queues it.
func (s *Server) submit(c echo.Context) error {
	sub, err := s.readSubmission(c)
	if err != nil {
		return err
	}
	it := queue.Item{Client: plainText(sub.clientID), ID: plainText(sub.promptID)}
	own := it.ID != ""
	if own {
		if len(it.ID) > 1000 {
			return text(http.StatusBadRequest, "prompt_id is longer than 1000 bytes")
		}
		if answered, err := s.knownPrompt(c, it.ID); answered || err != nil {
			return err
		}
	} else {
		it.ID = uuid.NewString()
	}
	if err := s.number(&it, sub); err != nil {
		return err
	}
	p, outputs, problems := s.checked(sub)
	if len(outputs) == 0 {
		answer, err := json.Marshal(problems.Response())
		if err != nil {
			return err
		}
		return sendJSON(c, http.StatusBadRequest, answer)
	}
	it.Outputs, it.Parsed = outputs, p
	if it.Prompt, err = p.MarshalJSON(); err != nil { // not json.Marshal, which would read it all again
		return err
	}
	if it.Extra, err = extraData(sub, it.Client); err != nil {
		return err
	}
	answered := s.answering(it.ID, c.Request())
	defer answered()
	switch err := s.Queue.Submit(it, s.sockets.status); { // clients hear that it waits before they hear of its run
	case errors.Is(err, queue.ErrFull):
		c.Response().Header().Set("Retry-After", "5")
		return refusal("queue", http.StatusTooManyRequests, "the queue is full: try again later, or raise --queue-max")
	case errors.Is(err, queue.ErrKnown): // another request was faster
		_, err := s.knownPrompt(c, it.ID)
		return err
	case err != nil:
		return err
	}
	s.metrics.submitted.Inc()
	if err := send(c, accepted(it, problems)); err != nil {
		return err
	}
	c.Response().Flush()
	return nil
}

// accepted is the answer to a prompt that waits.
func accepted(it queue.Item, problems *graph.ValidationError) any {
	return map[string]any{"prompt_id": it.ID, "number": shownNumber(it), "node_errors": problems.NodeErrors()}
}

// knownPrompt answers a prompt whose id waits or runs already as the first time: submitting is idempotent, so a client
// that did not hear the answer may ask again. One that is done runs again, as in ComfyUI.
func (s *Server) knownPrompt(c echo.Context, id string) (bool, error) {
	it, _, ok, err := s.Queue.State(id)
	if !ok || err != nil {
		return false, err
	}
	return true, send(c, accepted(it, nil))
}

// number gives the item its place. The server's counter counts refused prompts too, as ComfyUI's does.
func (s *Server) number(it *queue.Item, sub submission) error {
	if len(sub.number) > 0 && string(sub.number) != "null" {
		n, err := strconv.ParseFloat(plainText(sub.number), 64)
		if err != nil || n != n {
			return text(http.StatusInternalServerError, trouble)
		}
		it.Number, it.Given = n, true
		return nil
	}
	it.Number = float64(s.Queue.Number())
	if sub.front {
		it.Number = -it.Number
	}
	return nil
}

// checked parses and validates the prompt; outputs are those that can run.
func (s *Server) checked(sub submission) (*graph.Prompt, []string, *graph.ValidationError) {
	if len(sub.prompt) == 0 {
		return nil, nil, &graph.ValidationError{Whole: []*graph.Error{{Kind: graph.KindNoPrompt}}}
	}
	p, err := graph.ParseValidPrompt(sub.prompt)
	if invalid := (*graph.ValidationError)(nil); errors.As(err, &invalid) {
		return nil, nil, invalid
	}
	if e := (*graph.Error)(nil); errors.As(err, &e) {
		return nil, nil, &graph.ValidationError{Whole: []*graph.Error{e}}
	}
	if err != nil {
		return nil, nil, &graph.ValidationError{Whole: []*graph.Error{{Kind: graph.KindInvalidPrompt, Err: err}}}
	}
	p.Loose = true
	var targets []string
	if sub.targets != nil {
		targets = append([]string{}, *sub.targets...)
	}
	outputs, problems := graph.Validate(p, s.Nodes, s.Env, targets)
	return p, outputs, problems
}

// extraData is what the client sent along, with its own id in it.
func extraData(sub submission, client string) (json.RawMessage, error) {
	named := len(sub.clientID) > 0 && string(sub.clientID) != "null"
	if len(sub.extra) == 0 && !named {
		return stamped([]byte("{}")), nil
	}
	var extra map[string]json.RawMessage
	if len(sub.extra) > 0 {
		if err := json.Unmarshal(sub.extra, &extra); err != nil {
			return nil, text(http.StatusInternalServerError, trouble)
		}
	}
	if extra == nil {
		extra = map[string]json.RawMessage{}
	}
	if named {
		id, err := json.Marshal(client)
		if err != nil {
			return nil, err
		}
		extra["client_id"] = id
	}
	data, err := json.Marshal(extra)
	if err != nil {
		return nil, err
	}
	return stamped(data), nil
}

// plainText is a JSON value as a text: a string's own, the source of anything else, "" of null.
func plainText(v json.RawMessage) string {
	var s string
	if json.Unmarshal(v, &s) == nil {
		return s
	}
	if t := strings.TrimSpace(string(v)); t != "null" {
		return t
	}
	return ""
}

func plainTexts(values []json.RawMessage) []string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = plainText(v)
	}
	return texts
}

// shownNumber keeps a fraction for numbers that clients gave, as ComfyUI's floats have.
func shownNumber(it queue.Item) json.RawMessage {
	if it.Given && it.Number == float64(int64(it.Number)) {
		return json.RawMessage(fmt.Sprintf("%d.0", int64(it.Number)))
	}
	text, err := json.Marshal(it.Number)
	if err != nil { // infinite
		return json.RawMessage("0")
	}
	return text
}

// appendRow writes an item as /queue and /history show it. Its parts are JSON already, so they are not read again.
func appendRow(b []byte, it queue.Item) []byte {
	extra, _ := unstamped(it.Extra)
	extra = withoutSecrets(extra)
	id, _ := json.Marshal(it.ID)
	outputs, _ := json.Marshal(it.Outputs)
	b = append(b, '[')
	for i, part := range [][]byte{shownNumber(it), id, it.Prompt, extra, outputs} {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, part...)
	}
	return append(b, ']')
}

// withoutSecrets is extra data that may be shown.
func withoutSecrets(extra []byte) []byte {
	var all map[string]json.RawMessage
	if !bytes.Contains(extra, []byte("auth_token_comfy_org")) && !bytes.Contains(extra, []byte("api_key_comfy_org")) || json.Unmarshal(extra, &all) != nil {
		return extra
	}
	delete(all, "auth_token_comfy_org")
	delete(all, "api_key_comfy_org")
	extra, _ = json.Marshal(all)
	return extra
}

func (s *Server) remaining(c echo.Context) error {
	return send(c, map[string]any{"exec_info": s.execInfo()})
}

func (s *Server) execInfo() map[string]int {
	pending, running := s.Queue.Len()
	return map[string]int{"queue_remaining": pending + running}
}

func (s *Server) listQueue(c echo.Context) error {
	running, pending, err := s.Queue.Items()
	if err != nil {
		return err
	}
	var b []byte
	rows := func(name string, items []queue.Item) {
		b = append(b, name...)
		for i, it := range items {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendRow(b, it)
		}
		b = append(b, ']')
	}
	rows(`{"queue_running":[`, running)
	rows(`,"queue_pending":[`, pending)
	if s.Queue.Paused() {
		b = append(b, `,"paused":true`...)
	}
	return sendJSON(c, http.StatusOK, append(b, '}'))
}

// changeQueue clears or deletes, as in ComfyUI; and pauses, resumes and reorders, as only here: {"pause": true},
// {"move": ID, "before": ID or ""} and {"move": ID, "number": N}.
func (s *Server) changeQueue(c echo.Context) error {
	var change struct {
		Clear  bool              `json:"clear"`
		Delete []json.RawMessage `json:"delete"`
		Pause  *bool             `json:"pause"`
		Move   string            `json:"move"`
		Before *string           `json:"before"`
		Number *float64          `json:"number"`
	}
	if err := body(c, &change); err != nil {
		return err
	}
	var gone []string
	var err error
	if change.Clear {
		gone, err = s.Queue.Clear()
	}
	if err == nil && len(change.Delete) > 0 {
		var some []string
		some, err = s.Queue.Delete(plainTexts(change.Delete)...)
		gone = append(gone, some...)
	}
	if err == nil && change.Move != "" {
		var ok bool
		switch {
		case change.Number != nil:
			ok, err = s.Queue.Renumber(change.Move, *change.Number)
		case change.Before != nil:
			ok, err = s.Queue.Before(change.Move, *change.Before)
		default:
			return text(http.StatusBadRequest, "move: say before which prompt, or its number")
		}
		if err == nil && !ok {
			return text(http.StatusNotFound, "move: no such prompt waits")
		}
	}
	if err != nil {
		return err
	}
	if change.Pause != nil {
		s.Queue.Pause(*change.Pause)
	}
	for range gone {
		s.sockets.status()
	}
	return c.NoContent(http.StatusOK)
}

// interrupt ends the run, of one prompt if it is named. It has no effect on what does not run.
func (s *Server) interrupt(c echo.Context) error {
	var which struct {
		PromptID json.RawMessage `json:"prompt_id"`
	}
	data, err := io.ReadAll(c.Request().Body)
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(data)) > 0 && json.Unmarshal(data, &which) != nil {
		which.PromptID = nil // as ComfyUI: a body that is none interrupts whatever runs
	}
	s.interruptRun(plainText(which.PromptID))
	return c.NoContent(http.StatusOK)
}

// interruptRun ends the run of a prompt, or any if the id is empty, and reports whether there was one.
func (s *Server) interruptRun(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == nil || id != "" && id != s.current.item.ID {
		return false
	}
	s.current.cancel(errInterrupted)
	return true
}

func (s *Server) history(c echo.Context) error {
	offset, limit := -1, -1
	for name, into := range map[string]*int{"offset": &offset, "max_items": &limit} {
		if q := c.QueryParam(name); q != "" {
			n, err := strconv.Atoi(q)
			if err != nil {
				return text(http.StatusInternalServerError, trouble)
			}
			*into = n
		}
	}
	items, results, err := s.Queue.History(offset, limit)
	if err != nil {
		return err
	}
	return sendJSON(c, http.StatusOK, entries(items, results))
}

func (s *Server) historyOf(c echo.Context) error {
	it, r, ok, err := s.Queue.Result(param(c, "id"))
	if err != nil {
		return err
	}
	if !ok {
		return emptyObject(c)
	}
	return sendJSON(c, http.StatusOK, entries([]queue.Item{it}, []queue.Result{r}))
}

// entries is an object of history entries in order: what the run recorded, and the prompt.
func entries(items []queue.Item, results []queue.Result) []byte {
	b := []byte{'{'}
	for i, it := range items {
		if i > 0 {
			b = append(b, ',')
		}
		id, _ := json.Marshal(it.ID)
		b = appendRow(append(append(b, id...), `:{"prompt":`...), it)
		if rest := bytes.TrimPrefix(results[i].Entry, []byte("{")); len(rest) > 1 {
			b = append(append(b, ','), rest...)
		} else {
			b = append(b, '}')
		}
	}
	return append(b, '}')
}

func (s *Server) changeHistory(c echo.Context) error {
	var change struct {
		Clear  bool              `json:"clear"`
		Delete []json.RawMessage `json:"delete"`
	}
	if err := body(c, &change); err != nil {
		return err
	}
	if change.Clear {
		if err := s.Queue.ClearHistory(); err != nil {
			return err
		}
	}
	if len(change.Delete) > 0 {
		if err := s.Queue.Forget(plainTexts(change.Delete)...); err != nil {
			return err
		}
	}
	return c.NoContent(http.StatusOK)
}
