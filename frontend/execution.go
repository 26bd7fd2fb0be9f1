package frontend

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"graphrun/graph"
	"graphrun/graph/queue"
)

// execution is one run of an item: it turns the graph's events into ComfyUI's messages and remembers what the history says.
type execution struct {
	server *Server
	item   queue.Item
	cancel context.CancelCauseFunc
	ctx    context.Context // of the run

	mu       sync.Mutex
	node     string               // display id of what runs now
	preview  *graph.Preview       // a picture whose progress comes next
	states   map[string]*progress // of nodes that have begun
	order    []*progress          // in which they began
	changed  []*progress          // since the last progress_state
	begun    map[string]time.Time // when nodes began
	executed []string             // ids of nodes that this run finished
	messages [][2]any             // for the history
	outputs  map[string]graph.UI
	by       map[string]string // graph.Result.By
	prompt   *graph.Prompt
}

// progress is one node's entry of progress_state.
type progress struct {
	value, max, state string // value and max are JSON numbers
	node, display     string
	parent            *string
	changed           bool   // since the last progress_state
	text              []byte // as JSON, nil after a change
}

// json is the entry with its key. A run sends it as often as there are events, so it is made once for each change.
func (p *progress) json(prompt string) []byte {
	if p.text == nil {
		head, _ := json.Marshal(p.node)
		text, _ := json.Marshal(struct {
			Value   json.RawMessage `json:"value"`
			Max     json.RawMessage `json:"max"`
			State   string          `json:"state"`
			Node    string          `json:"node_id"`
			Prompt  string          `json:"prompt_id"`
			Display string          `json:"display_node_id"`
			Parent  *string         `json:"parent_node_id"`
			Real    string          `json:"real_node_id"`
		}{json.RawMessage(p.value), json.RawMessage(p.max), p.state, p.node, prompt, p.display, p.parent, p.node})
		p.text = append(append(head, ':'), text...)
	}
	return p.text
}

// wholeStates is up to how many nodes a progress_state repeats all that have begun, as ComfyUI's does for any number.
// Beyond it only those that changed are sent, and all at the end, so that traffic stays in proportion to the graph.
const wholeStates = 48

func newExecution(s *Server, it queue.Item, cancel context.CancelCauseFunc) *execution {
	return &execution{server: s, item: it, cancel: cancel, states: map[string]*progress{}, begun: map[string]time.Time{}, outputs: map[string]graph.UI{}}
}

// run runs the prompt and reports whether it succeeded.
func (x *execution) run(ctx context.Context) bool {
	x.ctx = ctx
	var extra map[string]json.RawMessage
	json.Unmarshal(x.item.Extra, &extra)
	p, ok := x.item.Parsed.(*graph.Prompt)
	if !ok {
		var err error
		if p, err = graph.ParsePrompt(x.item.Prompt); err != nil { // written by another version
			x.failed(graph.Failed{Err: &graph.Error{Kind: graph.KindInvalidPrompt, Err: err}})
			return false
		}
		p.Loose = true
	}
	x.prompt = p
	res, err := graph.Run(ctx, p, x.server.options(x, extra))
	if invalid := (*graph.ValidationError)(nil); errors.As(err, &invalid) { // a model file is gone since it was queued
		x.failed(graph.Failed{Err: &graph.Error{Kind: graph.KindInvalidPrompt, Err: err}})
		return false
	}
	if res != nil {
		x.outputs, x.by = res.UI, res.By
	}
	return err == nil
}

// event translates one event of the graph. The graph calls it from one goroutine at a time.
func (x *execution) event(e graph.Event) {
	ss, id := x.server.sockets, x.item.ID
	switch e := e.(type) {
	case graph.Start:
		x.message("execution_start", map[string]any{"prompt_id": id, "timestamp": now()})
	case graph.Cached:
		x.message("execution_cached", map[string]any{"nodes": e.Nodes, "prompt_id": id, "timestamp": now()})
	case graph.Executing:
		x.began(e)
		x.tellStates(false)
		ss.to(x.item.Client, "executing", struct {
			Node    string `json:"node"`
			Display string `json:"display_node"`
			Prompt  string `json:"prompt_id"`
		}{e.NodeID, e.Display, id})
	case graph.Progress:
		if x.tells(e) {
			x.progressed(e)
		}
	case graph.Preview:
		x.shown(e)
	case graph.Executed:
		x.finished(e)
	case graph.Blocked:
		data := e.Comfy()
		data["prompt_id"], data["executed"] = id, x.done()
		ss.to(x.item.Client, "execution_error", data)
	case graph.Failed:
		x.failed(e)
	case graph.Interrupted:
		x.interrupted(e)
	case graph.Done:
		x.tellLastStates()
		x.message("execution_success", map[string]any{"prompt_id": id, "timestamp": now()})
	}
}

// began notes that a node runs.
func (x *execution) began(e graph.Executing) {
	x.mu.Lock()
	defer x.mu.Unlock()
	p := x.entryOf(e.NodeID, e.Display)
	if e.Parent != "" {
		p.parent = &e.Parent
	}
	p.state, p.value, p.max = "running", "0.0", "1.0"
	x.begun[e.NodeID] = e.At
	x.node = e.Display
}

// entryOf is a node's entry of progress_state, which changes.
func (x *execution) entryOf(node, display string) *progress {
	p := x.states[node]
	if p == nil {
		p = &progress{node: node, display: display}
		x.states[node] = p
		x.order = append(x.order, p)
	}
	if p.text = nil; !p.changed {
		p.changed = true
		x.changed = append(x.changed, p)
	}
	return p
}

// tells reports whether clients hear of a node's progress: of sampling and of what ComfyUI's nodes report, always; of what
// only ours report when the node takes longer than a second.
func (x *execution) tells(e graph.Progress) bool {
	switch e.Phase {
	case "sample", "send", "sleep":
		return true
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return e.At.Sub(x.begun[e.NodeID]) > time.Second
}

func (x *execution) progressed(e graph.Progress) {
	x.mu.Lock()
	p := x.entryOf(e.NodeID, e.Display)
	p.state, p.value, p.max = "running", strconv.Itoa(e.Step), strconv.Itoa(e.Total)
	picture := x.preview
	x.preview = nil
	x.mu.Unlock()
	x.tellStates(false)
	tell := func() {
		x.server.sockets.tell(x.item.Client, "progress", map[string]any{"value": e.Step, "max": e.Total, "prompt_id": x.item.ID, "node": e.NodeID})
	}
	if picture != nil && picture.NodeID == e.NodeID {
		x.sendPicture(picture, tell)
		return
	}
	tell()
}

// shown keeps a picture for the progress that it belongs to, and sends a text at once.
func (x *execution) shown(e graph.Preview) {
	if e.MIME == "text/plain" {
		m := binaryMessage(eventText, lengthPrefixed([]byte(e.NodeID)), e.Data)
		x.server.sockets.each(x.item.Client, func(k *socket) { k.send(m) })
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.preview = &e
}

func (x *execution) finished(e graph.Executed) {
	x.mu.Lock()
	x.node, x.preview = "", nil
	if !e.Cached {
		x.executed = append(x.executed, e.NodeID)
	}
	p := x.entryOf(e.NodeID, e.Display)
	if p.state = "finished"; p.max == "" {
		p.max = "1.0"
	}
	p.value = p.max
	began, ran := x.begun[e.NodeID]
	x.mu.Unlock()
	if ran {
		x.server.metrics.node(x.class(e.Display), e.At.Sub(began))
	} else {
		x.server.metrics.reused.Inc()
	}
	if e.UI != nil || e.Cached {
		x.server.sockets.to(x.item.Client, "executed", struct {
			Node    string   `json:"node"`
			Display string   `json:"display_node"`
			Output  graph.UI `json:"output"` // null if there is none
			Prompt  string   `json:"prompt_id"`
		}{e.NodeID, e.Display, e.UI, x.item.ID})
	}
	x.tellStates(false)
}

// failed reports the error that ended the run.
func (x *execution) failed(e graph.Failed) {
	x.tellLastStates()
	if e.Err.Kind == graph.KindNodePanicked {
		x.server.metrics.panics.WithLabelValues("node").Inc()
		x.server.Log.Warn("panic in a node", "prompt", x.item.ID, "node", e.Err.Node, "class", e.Err.Class, "panic", e.Err.Err, "stack", e.Err.Detail)
	}
	p := x.prompt
	if p == nil {
		p = &graph.Prompt{IDs: []string{}}
	}
	data := e.Comfy(p)
	data["prompt_id"], data["timestamp"] = x.item.ID, now()
	if e.Err.Detail == "" {
		data["traceback"] = []string{e.Err.Error()}
	}
	if inputs, ok := data["current_inputs"].(map[string][]any); ok {
		data["current_inputs"] = x.withHidden(e.Err.Class, inputs)
	}
	x.message("execution_error", data)
}

// withHidden adds the hidden inputs of a class by name, as ComfyUI lists them.
func (x *execution) withHidden(class string, inputs map[string][]any) map[string][]any {
	all := map[string][]any{}
	maps.Copy(all, inputs)
	if spec := x.server.Nodes[class]; spec != nil {
		for _, h := range spec.Hidden {
			all[strings.ToLower(h)] = []any{nil}
		}
	}
	return all
}

func (x *execution) interrupted(e graph.Interrupted) {
	x.tellStates(true) // the last word on nodes that have no other
	if errors.Is(context.Cause(x.ctx), errStopping) {
		return // it will run again, so nothing has ended
	}
	data := map[string]any{"prompt_id": x.item.ID, "node_id": e.NodeID, "node_type": x.class(e.NodeID), "executed": orEmpty(e.Executed), "timestamp": now()}
	x.keep("execution_interrupted", data)
	x.server.sockets.tell(x.item.Client, "execution_interrupted", data)
}

// message sends an event to the owner and keeps it for the history.
func (x *execution) message(kind string, data map[string]any) {
	x.keep(kind, data)
	x.server.sockets.to(x.item.Client, kind, data)
}

func (x *execution) keep(kind string, data map[string]any) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.messages = append(x.messages, [2]any{kind, data})
}

// tellLastStates ends a run's progress_state; in a small graph the last change has sent all.
func (x *execution) tellLastStates() {
	x.mu.Lock()
	large := len(x.states) > wholeStates
	x.mu.Unlock()
	if large {
		x.tellStates(true)
	}
}

// tellStates sends progress_state with all nodes that have begun, or in a large graph with those that changed.
func (x *execution) tellStates(all bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	nodes := x.order
	if len(nodes) > wholeStates && !all {
		nodes = x.changed
	}
	x.server.sockets.tellText(x.item.Client, func() []byte { return x.statesText(nodes) })
	for _, p := range x.changed {
		p.changed = false
	}
	x.changed = x.changed[:0]
}

func (x *execution) statesText(nodes []*progress) []byte {
	id, _ := json.Marshal(x.item.ID)
	size := 100 + len(id)
	for _, p := range nodes {
		size += len(p.json(x.item.ID)) + 1
	}
	b := make([]byte, 0, size)
	b = append(append(append(b, `{"type":"progress_state","data":{"prompt_id":`...), id...), `,"nodes":{`...)
	for i, p := range nodes {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, p.json(x.item.ID)...)
	}
	return append(b, "}}}"...)
}

// sendPicture sends a preview: with metadata to those who take it before the progress message, without to the others after.
func (x *execution) sendPicture(e *graph.Preview, progress func()) {
	x.mu.Lock()
	var parent *string
	if p := x.states[e.NodeID]; p != nil {
		parent = p.parent
	}
	x.mu.Unlock()
	meta, _ := json.Marshal(map[string]any{
		"node_id": e.NodeID, "prompt_id": x.item.ID, "display_node_id": e.Display, "parent_node_id": parent, "real_node_id": e.NodeID, "image_type": e.MIME,
	})
	rich, kind := binaryMessage(eventPreviewMetadata, lengthPrefixed(meta), e.Data), uint32(1)
	if e.MIME == "image/png" {
		kind = 2
	}
	plain := binaryMessage(eventPreview, binary.BigEndian.AppendUint32(nil, kind), e.Data)
	x.server.sockets.each(x.item.Client, func(k *socket) {
		if k.metadata {
			k.send(rich)
		}
	})
	progress()
	x.server.sockets.each(x.item.Client, func(k *socket) {
		if !k.metadata {
			k.send(plain)
		}
	})
}

// class is the class of a node of the prompt.
func (x *execution) class(node string) string {
	if x.prompt == nil || x.prompt.Nodes[node] == nil {
		return ""
	}
	return x.prompt.Nodes[node].Class
}

func (x *execution) done() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return append([]string{}, x.executed...)
}

// status is the history's word on the run.
func (x *execution) status(success bool) map[string]any {
	x.mu.Lock()
	defer x.mu.Unlock()
	word := "error"
	if success {
		word = "success"
	}
	return map[string]any{"status_str": word, "completed": success, "messages": slices.Concat([][2]any{}, x.messages)}
}

// entry is the history's entry but for the prompt.
func (x *execution) entry(success bool) map[string]any {
	meta := map[string]any{}
	for id := range x.outputs {
		by := id
		if b := x.by[id]; b != "" { // as ComfyUI: the node that made it
			by = b
		}
		m := map[string]any{"node_id": by, "display_node": by, "parent_node": nil, "real_node_id": by}
		if p := x.states[by]; p != nil {
			m["display_node"], m["parent_node"] = p.display, p.parent
		}
		meta[id] = m
	}
	return map[string]any{"outputs": x.outputs, "status": x.status(success), "meta": meta}
}
