// Package loaders has the nodes that load models.
package loaders

import (
	"errors"
	"io/fs"
	"path/filepath"
	"time"

	"graphrun/graph"
	"graphrun/nodes/bridge"
	"graphrun/runtime/hub"
	"graphrun/runtime/loader"
	"graphrun/types"
)

func init() {
	graph.Register[SDNQModelLoader](graph.Meta{
		Name: "SDNQModelLoader", Title: "Load SDNQ Model", Category: "loaders/SDNQ", Uses: graph.IO,
		Description: "Loads a model in Hugging Face's diffusers layout, quantized by SDNQ or not: model_path is a repo id or a local folder. " +
			"graphrun/demo is built in.",
	})
	graph.Register[CheckpointLoaderSimple](graph.Meta{
		Name: "CheckpointLoaderSimple", Title: "Load Checkpoint", Category: "loaders", Uses: graph.IO,
		Description: "Loads a checkpoint of one safetensors file, with network, text encoder and VAE, from models/checkpoints.",
	})
}

type pipeline struct {
	Model types.Model
	CLIP  types.CLIP
	VAE   types.VAE
}

type dtype string

// Options lists auto first, then the number formats that computation may be held to.
func (dtype) Options() []string { return []string{"auto", "float32", "bfloat16", "float16"} }

// SDNQModelLoader loads a diffusers folder, its weights dense or quantized.
type SDNQModelLoader struct {
	ModelPath          string `default:"graphrun/demo" tooltip:"A Hugging Face repo id or a local folder with model_index.json."`
	Dtype              dtype  `optional:"true" default:"auto" tooltip:"What to compute in: auto follows the weights."`
	UseQuantizedMatmul bool   `optional:"true" default:"true" tooltip:"Multiply int8 weights by int8 activations: faster, a little less exact."`
	CPUOffload         bool   `optional:"true" default:"false" tooltip:"Give a component's memory back after its use."`
}

// started tells this process from others.
var started = time.Now().String()

// Fingerprint changes with the model's files. Of a model that is not there yet it is an error: the node runs anew. Whose
// files a linked name means is not known yet: what it gives is the same in this process alone.
func (n SDNQModelLoader) Fingerprint(e *graph.Env) (string, error) {
	if n.ModelPath == "" {
		return started, nil
	}
	f, err := graph.Service[*hub.Folders](e)
	if err != nil {
		return "", err
	}
	return hub.Fingerprint(f, n.ModelPath)
}

// Run loads the pipeline.
func (n SDNQModelLoader) Run(c *graph.Call) (pipeline, error) {
	if n.ModelPath == "" {
		return pipeline{}, &graph.Error{Kind: graph.KindCustom, Input: "model_path", Need: "a repo id or a local folder", Have: "nothing", Hint: `try "graphrun/demo"`}
	}
	e, err := graph.Service[*loader.Engine](c.Env)
	if err != nil {
		return pipeline{}, err
	}
	m, clip, vae, err := e.LoadPipeline(bridge.Progress(c), n.ModelPath, loader.Options{DType: string(n.Dtype), QuantizedMatmul: n.UseQuantizedMatmul, Offload: n.CPUOffload})
	return pipeline{m, clip, vae}, about("model_path", err)
}

// about says which input an error of the loader is about; nil stays nil.
func about(input string, err error) error {
	if err == nil {
		return nil
	}
	return &graph.Error{Kind: graph.KindNodeFailed, Input: input, Err: err}
}

type checkpoint string

// Options lists the files of the checkpoints folders.
func (checkpoint) Options(e *graph.Env) []string {
	f, err := graph.Service[*hub.Folders](e)
	if err != nil {
		return nil
	}
	return f.List("checkpoints", ".safetensors", ".sft")
}

// CheckpointLoaderSimple loads a single file that holds a whole model.
type CheckpointLoaderSimple struct {
	CkptName checkpoint
}

// Fingerprint changes with the file, and with what lies beside it to describe it.
func (n CheckpointLoaderSimple) Fingerprint(e *graph.Env) (string, error) {
	f, err := graph.Service[*hub.Folders](e)
	if err != nil {
		return "", err
	}
	path, err := f.Find("checkpoints", string(n.CkptName))
	if err != nil {
		return "", err
	}
	print, err := hub.FileFingerprint(path)
	if err != nil {
		return "", err
	}
	beside, err := hub.FileFingerprint(filepath.Join(filepath.Dir(path), "single-file.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return print, nil
	}
	return print + beside, err
}

// Run loads the checkpoint.
func (n CheckpointLoaderSimple) Run(c *graph.Call) (pipeline, error) {
	f, err := graph.Service[*hub.Folders](c.Env)
	if err != nil {
		return pipeline{}, err
	}
	e, err := graph.Service[*loader.Engine](c.Env)
	if err != nil {
		return pipeline{}, err
	}
	path, err := f.Find("checkpoints", string(n.CkptName))
	if err != nil {
		return pipeline{}, about("ckpt_name", err)
	}
	m, clip, vae, err := e.LoadCheckpoint(bridge.Progress(c), path)
	return pipeline{m, clip, vae}, about("ckpt_name", err)
}
