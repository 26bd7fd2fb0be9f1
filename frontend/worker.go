package frontend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"graphrun/graph"
	"graphrun/graph/queue"
)

var (
	errInterrupted = errors.New("interrupted by a client")
	errStopping    = errors.New("the server stops")
)

// freeRequest is what POST /free asks for; the worker does it when no prompt runs.
type freeRequest struct {
	Unload bool `json:"unload_models"`
	Cache  bool `json:"free_memory"`
}

// Work runs queued prompts, one at a time, until ctx ends. A prompt that runs then gets grace to finish; after that it is
// cut short and waits in the queue again. Work returns when nothing runs.
func (s *Server) Work(ctx context.Context, grace time.Duration) error {
	s.mu.Lock()
	s.ready = true
	s.mu.Unlock()
	wake, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-time.After(grace):
		case <-wake.Done():
		}
		cancel(errStopping)
	})
	defer stop()
	for {
		it, err := s.next(ctx)
		if ctx.Err() != nil {
			if err == nil { // it came at the same time
				return s.Queue.Requeue(it.ID)
			}
			return nil
		}
		if err != nil { // the disk is full, say: what waits is not lost, but nothing can begin
			s.Log.Error("queue", "error", err)
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
			continue
		}
		if err := s.run(wake, it); err != nil {
			s.Log.Error("queue", "prompt", it.ID, "error", err)
		}
	}
}

// next waits for an item and meanwhile frees memory for those who ask.
func (s *Server) next(ctx context.Context) (queue.Item, error) {
	for ctx.Err() == nil {
		it, changed, err := s.Queue.Take()
		if changed == nil {
			return it, err
		}
		select {
		case <-changed:
		case f := <-s.free:
			s.release(f)
		case <-ctx.Done():
		}
	}
	return queue.Item{}, ctx.Err()
}

// freeNow does what was asked for before a prompt came.
func (s *Server) freeNow() {
	select {
	case f := <-s.free:
		s.release(f)
	default:
	}
}

func (s *Server) release(f freeRequest) {
	if f.Cache {
		s.Cache.Clear()
	}
	if f.Cache || f.Unload {
		s.Engine.Free(f.Unload)
	}
}

// run runs one item and records what became of it. Clients hear of the end after the history has it.
func (s *Server) run(ctx context.Context, it queue.Item) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	x := newExecution(s, it, cancel)
	s.mu.Lock()
	s.current = x
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.current = nil
		s.mu.Unlock()
	}()
	s.freeNow() // not before a client can interrupt the run: it may take a while
	s.holdBack(it.ID, it.Client)
	s.sockets.status()
	begin := time.Now()
	success := x.run(ctx)
	if errors.Is(context.Cause(ctx), errStopping) && !success {
		return s.Queue.Requeue(it.ID)
	}
	s.metrics.finished(success, time.Since(begin))
	s.Log.Info("prompt", "id", it.ID, "success", success, "seconds", time.Since(begin).Seconds())
	entry, err := json.Marshal(x.entry(success))
	if err != nil {
		entry, _ = json.Marshal(map[string]any{"outputs": map[string]any{}, "meta": map[string]any{}, "status": x.status(success)})
	}
	s.jobs.forget(it.ID)
	if err := s.Queue.Finish(it.ID, queue.Result{Entry: entry, Success: success}); err != nil {
		return fmt.Errorf("the result could not be recorded, the prompt will run again: %w", err)
	}
	s.sockets.status()
	s.sockets.to(it.Client, "executing", map[string]any{"node": nil, "prompt_id": it.ID})
	return nil
}

// GiveUp records an item that was running each time the process died.
func (s *Server) GiveUp(it queue.Item) error {
	x := newExecution(s, it, nil)
	x.message("execution_error", map[string]any{
		"prompt_id": it.ID, "node_id": nil, "node_type": nil, "executed": []string{}, "exception_type": "ServerDied",
		"exception_message": fmt.Sprintf("the server died %d times while this prompt ran: it is not tried again\n", it.Attempts),
		"traceback":         []string{}, "current_inputs": map[string]any{}, "current_outputs": []string{}, "timestamp": now(),
	})
	entry, err := json.Marshal(x.entry(false))
	if err != nil {
		return err
	}
	return s.Queue.Finish(it.ID, queue.Result{Entry: entry})
}

// currentNode is the node that a client's own prompt is at; "" if none runs.
func (s *Server) currentNode(client string) string {
	s.mu.Lock()
	x := s.current
	s.mu.Unlock()
	if x == nil || x.item.Client != client {
		return ""
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.node
}

// options are those of every run.
func (s *Server) options(x *execution, extra map[string]json.RawMessage) graph.Options {
	o := graph.Options{
		Nodes: s.Nodes, Env: s.Env, Cache: s.Cache, Events: x.event, RunID: x.item.ID, Targets: s.inTurn(x), Partial: true,
		Room: graph.Room{Serial: !s.Parallel},
	}
	if !s.NoMetadata {
		json.Unmarshal(extra["extra_pnginfo"], &o.ExtraPNGInfo)
	}
	if env := s.Previews[plainText(extra["preview_method"])]; env != nil {
		o.Env = env
	}
	json.Unmarshal(extra["auth_token_comfy_org"], &o.AuthToken)
	json.Unmarshal(extra["api_key_comfy_org"], &o.APIKey)
	return o
}

// inTurn is the order of a prompt's outputs, which ComfyUI leaves to chance: first those that write files, as the prompt has
// them, so that numbers rise; then those that only show something, the newest first: it is what its maker looks at.
func (s *Server) inTurn(x *execution) []string {
	var files, shown []string
	for _, id := range x.item.Outputs {
		if spec := s.Nodes[x.class(id)]; spec != nil && spec.Input("filename_prefix") != nil {
			files = append(files, id)
		} else {
			shown = append(shown, id)
		}
	}
	slices.Reverse(shown)
	return append(files, shown...)
}

func now() int64 { return time.Now().UnixMilli() }
