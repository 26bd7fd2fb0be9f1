package conditioning

import (
	"fmt"
	"log/slog"
	"slices"

	"graphrun/graph"
	"graphrun/runtime/hub"
	"graphrun/runtime/weights"
	"graphrun/types"
)

func init() {
	graph.Register[ConditioningLoader](graph.Meta{
		Name: "ConditioningLoader", Title: "Load Conditioning", Category: "model/loaders", Module: "comfy_extras.nodes_cond",
		Later: true, NewStyle: true, Uses: graph.IO,
		Description: "Reads an encoded prompt from a safetensors file in the folder embeddings.",
	})
}

// conditioningFile is a safetensors file of the folder embeddings.
type conditioningFile string

// Options lists the files.
func (conditioningFile) Options(e *graph.Env) []string {
	f, err := graph.Service[*hub.Folders](e)
	if err != nil {
		return nil
	}
	return f.List("embeddings", ".safetensors", ".sft")
}

// ConditioningLoader reads an encoded prompt.
type ConditioningLoader struct {
	ConditioningName conditioningFile
}

// Fingerprint changes when the file does.
func (n ConditioningLoader) Fingerprint(e *graph.Env) (string, error) {
	path, err := n.path(e)
	if err != nil {
		return "", err
	}
	return hub.FileFingerprint(path)
}

// Run reads the tensors "conditioning", [1, tokens, width], and "pooled_output", [1, width], if there is one
// (newer-nodes.md section 5). Other options of the file are those of models that graphrun does not have.
func (n ConditioningLoader) Run(c *graph.Call) (types.Conditioning, error) {
	path, err := n.path(c.Env)
	if err != nil {
		return nil, err
	}
	store, err := weights.Open(path)
	if err != nil {
		return nil, &graph.Error{Kind: graph.KindNodeFailed, Input: "conditioning_name", Err: err}
	}
	defer store.Close()
	var cond types.Cond
	for _, name := range store.Names() {
		t, _ := store.Lookup(name)
		switch name {
		case "conditioning":
			cond.Tokens, err = read(t, 3)
		case "pooled_output":
			var pooled types.Tensor
			pooled, err = read(t, 2)
			cond.Pooled = &pooled
		default:
			slog.Warn("an option of the conditioning is not known and has no effect", "file", n.ConditioningName, "option", name)
		}
		if err != nil {
			return nil, &graph.Error{Kind: graph.KindNodeFailed, Input: "conditioning_name", Err: fmt.Errorf("%s: %w", path, err)}
		}
	}
	if cond.Tokens.Shape == nil {
		return nil, &graph.Error{
			Kind: graph.KindNodeFailed, Input: "conditioning_name", Need: `a file with a tensor "conditioning"`, Have: string(n.ConditioningName),
			Hint: "textual inversions are named in the prompt: embedding:NAME",
		}
	}
	return types.Conditioning{cond}, nil
}

// read copies a tensor of the rank out of its file, as float32.
func read(t weights.Tensor, rank int) (types.Tensor, error) {
	values, err := t.Float32()
	if err != nil {
		return types.Tensor{}, err
	}
	out := types.Tensor{Shape: slices.Clone(t.Shape), Data: slices.Clone(values)}
	return out, out.Check(t.Name, rank)
}

func (n ConditioningLoader) path(e *graph.Env) (string, error) {
	f, err := graph.Service[*hub.Folders](e)
	if err != nil {
		return "", err
	}
	return f.Find("embeddings", string(n.ConditioningName))
}
