package graph

import "errors"

// outOfMemory is an error that says of itself that memory ran out.
type outOfMemory interface{ OutOfMemory() bool }

func isOutOfMemory(err error) bool {
	var o outOfMemory
	return errors.As(err, &o) && o.OutOfMemory()
}

// hintMemory is what ComfyUI's clients look for, and what helps.
const hintMemory = "This error means you ran out of memory on your GPU.\n\n" +
	"TIPS: take a smaller batch_size or a smaller picture, or more memory with --memory."

// Comfy is the data of ComfyUI's execution_error event, but for prompt_id and timestamp (executor.md 8).
func (f Failed) Comfy(p *Prompt) map[string]any {
	e := f.Err
	tips := ""
	if e.Kind == KindOutOfMemory {
		tips = hintMemory
	}
	d := map[string]any{
		"node_id": e.Node, "node_type": e.Class, "executed": append([]string{}, f.Executed...), "current_outputs": p.IDs,
		"exception_message": e.Message() + "\n" + tips, "exception_type": string(e.Kind),
		"traceback": []string{}, "current_inputs": e.inputs,
	}
	switch {
	case e.Kind == KindCycle:
		d["exception_message"], d["exception_type"] = "Dependency cycle detected", "graph.DependencyCycleError"
		d["current_inputs"] = []any{}
	case e.Kind == KindDuplicateNode:
		d["exception_type"] = "graph.DuplicateNodeError"
	case e.Detail != "":
		d["traceback"] = []string{e.Detail}
	}
	return d
}

// Comfy is the data of ComfyUI's execution_error event for a blocker, but for prompt_id. The run goes on after it.
func (b Blocked) Comfy() map[string]any {
	return map[string]any{
		"node_id": b.NodeID, "node_type": b.Class, "exception_message": "Execution Blocked: " + b.Message,
		"exception_type": "ExecutionBlocked", "traceback": []string{}, "current_inputs": []any{}, "current_outputs": []any{},
	}
}

// mostShown is how many values of an input an error shows.
const mostShown = 16

// inputs are the values of a task's inputs for people: numbers, texts and booleans as they are, others described.
func (t *task) inputs() map[string][]any {
	all := map[string][]any{}
	for i := range t.in {
		s := &t.in[i]
		list := []any{s.literal}
		if s.from != nil && !s.raw {
			list, _ = s.list()
		} else if !s.present && !s.raw {
			continue
		}
		shown := []any{}
		for _, v := range list[:min(len(list), mostShown)] {
			switch v := v.(type) {
			case nil, bool, int, int64, uint64, float64:
				shown = append(shown, v)
			case string:
				shown = append(shown, Clip(v))
			default:
				shown = append(shown, describe(v))
			}
		}
		all[s.label()] = shown
	}
	return all
}
