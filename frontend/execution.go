package frontend

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"

	"graphrun/graph"
	"graphrun/graph/queue"
)

// execution is one run of an item: it turns the graph's events into ComfyUI's messages and remembers what the history says.
type execution struct {
	server *Server
	item   queue.Item
	cancel context.CancelCauseFunc

	mu       sync.Mutex
	node     string               // display id of what runs now
	states   map[string]*progress // of nodes that have begun
	changed  map[string]bool      // since the last progress_state
	executed []string             // ids of nodes that this run finished
	messages [][2]any             // for the history
	outputs  map[string]graph.UI
	prompt   *graph.Prompt
}

// progress is one node's entry of progress_state.
type progress struct {
	Value   json.RawMessage `json:"value"`
	Max     json.RawMessage `json:"max"`
	State   string          `json:"state"`
	Node    string          `json:"node_id"`
	Prompt  string          `json:"prompt_id"`
	Display string          `json:"display_node_id"`
	Parent  *string         `json:"parent_node_id"`
	Real    string          `json:"real_node_id"`
}

// wholeStates is up to how many nodes a progress_state repeats all that have begun, as ComfyUI's does for any number.
// Beyond it only those that changed are sent, and all at the end, so that traffic stays in proportion to the graph.
const wholeStates = 48

func newExecution(s *Server, it queue.Item, cancel context.CancelCauseFunc) *execution {
	return &execution{server: s, item: it, cancel: cancel, states: map[string]*progress{}, changed: map[string]bool{}, outputs: map[string]graph.UI{}}
}

// run runs the prompt and reports whether it succeeded.
func (x *execution) run(ctx context.Context) bool {
	var extra map[string]json.RawMessage
	json.Unmarshal(x.item.Extra, &extra)
	p, err := graph.ParsePrompt(x.item.Prompt)
	if err != nil { // written by another version
		x.failed(&graph.Error{Kind: graph.KindInvalidPrompt, Err: err})
		return false
	}
	x.prompt = p
	res, err := graph.Run(ctx, p, x.server.options(x, extra))
	if invalid := (*graph.ValidationError)(nil); errors.As(err, &invalid) { // a model file is gone since it was queued
		x.failed(&graph.Error{Kind: graph.KindInvalidPrompt, Err: err})
		return false
	}
	if res != nil {
		x.outputs = res.UI
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
		x.state(e.NodeID, "running", json.RawMessage("0.0"), json.RawMessage("1.0"))
		x.sendStates(false)
		x.mu.Lock()
		x.node = e.NodeID
		x.mu.Unlock()
		ss.to(x.item.Client, "executing", map[string]any{"node": e.NodeID, "display_node": e.NodeID, "prompt_id": id})
	case graph.Progress:
		step := min(e.Step, e.Total)
		x.state(e.NodeID, "running", number(step), number(e.Total))
		x.sendStates(false)
		ss.tell(x.item.Client, "progress", map[string]any{"value": step, "max": e.Total, "prompt_id": id, "node": e.NodeID})
	case graph.Executed:
		x.finished(e)
	case graph.Failed:
		x.failed(e.Err)
	case graph.Interrupted:
		x.interrupted(e.NodeID)
	case graph.Done:
		x.sendStates(true)
		x.message("execution_success", map[string]any{"prompt_id": id, "timestamp": now()})
	}
}

func (x *execution) finished(e graph.Executed) {
	x.mu.Lock()
	x.node = ""
	before := x.states[e.NodeID]
	if !e.Cached {
		x.executed = append(x.executed, e.NodeID)
	}
	x.mu.Unlock()
	if e.UI != nil || e.Cached {
		var output any
		if e.UI != nil {
			output = e.UI
		}
		x.server.sockets.to(x.item.Client, "executed", map[string]any{"node": e.NodeID, "display_node": e.NodeID, "output": output, "prompt_id": x.item.ID})
	}
	most := json.RawMessage("1.0")
	if before != nil {
		most = before.Max
	}
	x.state(e.NodeID, "finished", most, most)
	x.sendStates(false)
}

func (x *execution) failed(e *graph.Error) {
	x.sendStates(true)
	x.message("execution_error", map[string]any{
		"prompt_id": x.item.ID, "node_id": e.Node, "node_type": e.Class, "executed": x.done(),
		"exception_message": e.Error() + "\n", "exception_type": string(e.Kind), "traceback": lines(e),
		"current_inputs": map[string]any{}, "current_outputs": x.ids(), "timestamp": now(),
	})
}

func (x *execution) interrupted(node string) {
	x.sendStates(true)
	class := ""
	if x.prompt != nil && x.prompt.Nodes[node] != nil {
		class = x.prompt.Nodes[node].Class
	}
	data := map[string]any{"prompt_id": x.item.ID, "node_id": node, "node_type": class, "executed": x.done(), "timestamp": now()}
	if x.server.stopping(x) {
		return // it will run again, so nothing has ended
	}
	x.keep("execution_interrupted", data)
	x.server.sockets.tell(x.item.Client, "execution_interrupted", data)
}

// stopping reports whether the run is cut short because the server stops.
func (s *Server) stopping(x *execution) bool { return false }

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

// state notes where a node is.
func (x *execution) state(node, state string, value, most json.RawMessage) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.states[node] = &progress{Value: value, Max: most, State: state, Node: node, Prompt: x.item.ID, Display: node, Real: node}
	x.changed[node] = true
}

// sendStates sends progress_state: all nodes that have begun, or in a large graph those that changed.
func (x *execution) sendStates(last bool) {
	x.mu.Lock()
	large := len(x.states) > wholeStates
	if last && !large { // the last change has sent all
		x.mu.Unlock()
		return
	}
	nodes := x.states
	if large && !last {
		nodes = make(map[string]*progress, len(x.changed))
		for id := range x.changed {
			nodes[id] = x.states[id]
		}
	} else {
		nodes = maps.Clone(nodes)
	}
	clear(x.changed)
	x.mu.Unlock()
	x.server.sockets.tell(x.item.Client, "progress_state", map[string]any{"prompt_id": x.item.ID, "nodes": nodes})
}

// preview sends a picture: with metadata to those who take it before, without to the others after the progress message.
func (x *execution) preview(node string, picture []byte, mime string, after func()) {
	meta, _ := json.Marshal(map[string]any{
		"node_id": node, "prompt_id": x.item.ID, "display_node_id": node, "parent_node_id": nil, "real_node_id": node, "image_type": mime,
	})
	x.server.sockets.each(x.item.Client, func(k *socket) {
		if k.metadata {
			k.send(binaryMessage(eventPreviewMetadata, lengthPrefixed(meta), picture))
		}
	})
	after()
	kind := uint32(1)
	if mime == "image/png" {
		kind = 2
	}
	x.server.sockets.each(x.item.Client, func(k *socket) {
		if !k.metadata {
			k.send(binaryMessage(eventPreview, binary.BigEndian.AppendUint32(nil, kind), picture))
		}
	})
}

func (x *execution) done() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return append([]string{}, x.executed...)
}

func (x *execution) ids() []string {
	if x.prompt == nil {
		return []string{}
	}
	return append([]string{}, x.prompt.IDs...)
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
		meta[id] = map[string]any{"node_id": id, "display_node": id, "parent_node": nil, "real_node_id": id}
	}
	return map[string]any{"outputs": x.outputs, "status": x.status(success), "meta": meta}
}

// number is a whole number as progress_state has it.
func number(n int) json.RawMessage {
	text, _ := json.Marshal(n)
	return text
}

// lines is an error's detail, a line each, in place of Python's traceback.
func lines(e *graph.Error) []string {
	text := e.Detail
	if text == "" {
		text = e.Error()
	}
	out := strings.SplitAfter(text, "\n")
	return slices.DeleteFunc(out, func(s string) bool { return s == "" })
}
