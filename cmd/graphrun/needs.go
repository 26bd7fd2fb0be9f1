package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"graphrun/graph"
	"graphrun/runtime/hub"
	"graphrun/runtime/loader"
	"graphrun/types"
)

// need is a model that a node of a prompt names: a file of one of the folders of models, or of "diffusers" a whole folder.
type need struct {
	node, class, input string
	folder, name       string

	path  string    // of a file that is there
	model hub.Model // of a folder that is there
	err   error     // why it is not
}

// errLinked is the error of a need whose name comes along a link: which file it is shows in the run only.
var errLinked = errors.New("the model is named by another node: write its name into this one")

// pipeline reports whether the need is a model folder.
func (n need) pipeline() bool { return n.folder == "diffusers" }

// distinct leaves of several needs of one model the first.
func distinct(list []need) (kept []need) {
	seen := map[string]bool{}
	for _, n := range list {
		if key := n.folder + "/" + n.name; !seen[key] {
			seen[key] = true
			kept = append(kept, n)
		}
	}
	return kept
}

// needs lists the models that a prompt's inputs name, in its order.
func needs(p *graph.Prompt, f *hub.Folders) (list []need) {
	for _, id := range p.IDs {
		n := p.Nodes[id]
		for _, in := range n.Inputs {
			name, literal := in.Value.(string)
			if _, linked := in.Value.([]any); linked {
				name = "?"
			} else if !literal {
				continue
			}
			folder, ok := hub.ModelInput(n.Class, in.Name, name)
			if !ok {
				continue
			}
			x := need{node: id, class: n.Class, input: in.Name, folder: folder, name: name}
			switch {
			case !literal:
				x.err = errLinked
			case x.pipeline():
				x.model, x.err = hub.Local(f, name)
			default:
				x.path, x.err = f.Find(folder, name)
			}
			list = append(list, x)
		}
	}
	return list
}

// embeddings are the names that prompts may use, without their suffixes.
func embeddings(f *hub.Folders) []string {
	names := f.List("embeddings", ".safetensors", ".pt", ".bin")
	for i, name := range names {
		names[i] = strings.TrimSuffix(name, path.Ext(name))
	}
	return slices.Compact(names)
}

// memoryNeed is what a workflow needs, as far as the loaders can tell. Sizes are bytes.
type memoryNeed struct {
	Weights     int64 `json:"weights"`               // of the model files, which are mapped: less may do
	Activations int64 `json:"activations,omitempty"` // of one step of the largest picture, in float32; 0 where it is not known
}

// estimator is a network that can say what a prediction takes before a weight is read.
type estimator interface {
	Estimate(batch, height, width, tokens int) (flops, activations int64, err error)
}

// tokens is how long a usual prompt is for the estimate.
const tokens = 77

// estimate loads the models that are on this machine, which reads their headers alone, and adds up what they need.
// Problems are those that a run would end with.
func (e *engine) estimate(ctx context.Context, p *graph.Prompt, list []need) (m memoryNeed, problems []*graph.Error) {
	batch, height, width := largestLatent(p)
	for _, n := range distinct(list) {
		if n.err != nil {
			continue
		}
		m.Weights += n.size()
		var model types.Model
		var err error
		switch n.class {
		case "SDNQModelLoader":
			model, _, _, err = e.models.LoadPipeline(ctx, n.name, loader.Options{QuantizedMatmul: true})
		case "CheckpointLoaderSimple":
			model, _, _, err = e.models.LoadCheckpoint(ctx, n.path)
		}
		if err != nil {
			problems = append(problems, &graph.Error{Kind: graph.KindNodeFailed, Node: n.node, Class: n.class, Title: p.Nodes[n.node].Title, Input: n.input, Err: err})
			continue
		}
		if net, ok := model.Denoiser.(estimator); ok && batch > 0 {
			if _, bytes, err := net.Estimate(2*batch, height, width, tokens); err == nil {
				m.Activations = max(m.Activations, bytes)
			}
		}
	}
	return m, problems
}

// size is the bytes of the model's weights.
func (n need) size() (bytes int64) {
	if !n.pipeline() {
		if info, err := os.Stat(n.path); err == nil {
			bytes = info.Size()
		}
		return bytes
	}
	_ = fs.WalkDir(n.model.FS, ".", func(name string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(name, ".safetensors") {
			if info, err := fs.Stat(n.model.FS, name); err == nil {
				bytes += info.Size()
			}
		}
		return nil
	})
	return bytes
}

// largestLatent is the largest batch of latents that a node of the prompt makes by its literal inputs; zeros if none does.
func largestLatent(p *graph.Prompt) (batch, height, width int) {
	library := graph.Registered()
	for _, n := range p.Nodes {
		spec := library[n.Class]
		if spec == nil || !slices.ContainsFunc(spec.Outputs, func(o graph.Port) bool { return o.Type == "LATENT" }) {
			continue
		}
		h, w, b := whole(n, "height")/8, whole(n, "width")/8, max(1, whole(n, "batch_size"))
		if h > 0 && w > 0 && h <= 1<<12 && w <= 1<<12 && b <= 1<<12 && b*h*w > batch*height*width {
			batch, height, width = b, h, w
		}
	}
	return batch, height, width
}

// whole is an input that is a whole number, else 0.
func whole(n *graph.Node, input string) (i int) {
	v, _ := n.Input(input)
	fmt.Sscan(fmt.Sprint(v), &i)
	return i
}
