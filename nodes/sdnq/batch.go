package sdnq

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"graphrun/graph"
	"graphrun/nodes/bridge"
	"graphrun/runtime/hub"
	"graphrun/runtime/loader"
	"graphrun/runtime/sdnq"
)

// SDNQQuantizeCheckpoint quantizes many models.
type SDNQQuantizeCheckpoint struct {
	Models             string       `multiline:"true" tooltip:"Folders in diffusers' layout, repositories and files of models/checkpoints, one a line; * and ? stand for any letters in paths and in the folders of models."`
	Suffix             string       `optional:"true" tooltip:"What the new names end in; empty for a minus and the format."`
	WeightsDType       weightsDType `optional:"true" in:"weights_dtype" default:"int8"`
	GroupSize          int          `optional:"true" default:"0" min:"-2" max:"16384" tooltip:"Inputs that share a scale: 0 chooses by format (rows for int8), -1 a whole row, -2 a whole tensor."`
	UseQuantizedMatmul bool         `optional:"true" default:"false" tooltip:"Lay the weights out for multiplying them by int8 activations."`
	QuantConv          bool         `optional:"true" default:"false" tooltip:"Quantize convolutions too."`
	QuantEmbedding     bool         `optional:"true" default:"false" tooltip:"Quantize embeddings too."`
	MinChannels        int          `optional:"true" in:"minimum_allowed_channel_size" default:"32" min:"1" max:"65536" tooltip:"Layers with fewer inputs stay as they are."`
	MinNumel           int          `optional:"true" in:"minimum_allowed_numel" default:"16384" min:"1" max:"1073741824" tooltip:"Layers with fewer weights stay as they are."`
	NotConvert         string       `optional:"true" in:"modules_to_not_convert" tooltip:"Names or patterns of layers to leave as they are, separated by commas."`
	Components         string       `optional:"true" tooltip:"The parts to quantize, separated by commas (unet, text_encoder, ...); empty for all."`
	SVDRank            int          `optional:"true" in:"svd_rank" default:"0" min:"0" max:"4096" tooltip:"Rank of what is kept apart in the model's own format, 32 say; 0: nothing."`
	UseHadamard        bool         `optional:"true" default:"false" tooltip:"Rotate weights, which spreads outliers."`
	UseDynamic         bool         `optional:"true" in:"use_dynamic_quantization" default:"false" tooltip:"Choose each layer's format, from weights_dtype on, by the loss."`
	SkipExisting       bool         `optional:"true" default:"true" tooltip:"Leave out models whose quantized form is there already; off: that is an error."`
}

type batch struct {
	ModelPaths graph.List[string] `out:"model_paths"`
	Report     string             `out:"report"`
	UI         graph.UI
}

// Fingerprint is another each time: which models a pattern hits may have changed.
func (n SDNQQuantizeCheckpoint) Fingerprint() (string, error) { return time.Now().String(), nil }

// Run quantizes the models in order, and stops at the first that fails; those before stay.
func (n SDNQQuantizeCheckpoint) Run(c *graph.Call) (batch, error) {
	f, err := graph.Service[*hub.Folders](c.Env)
	if err != nil {
		return batch{}, err
	}
	names, err := expand(f, n.Models)
	if err != nil {
		return batch{}, err
	}
	one := SDNQQuantize{
		WeightsDType: n.WeightsDType, GroupSize: n.GroupSize, UseQuantizedMatmul: n.UseQuantizedMatmul, QuantConv: n.QuantConv, QuantEmbedding: n.QuantEmbedding,
		MinChannels: n.MinChannels, MinNumel: n.MinNumel, NotConvert: n.NotConvert, SVDRank: n.SVDRank, UseHadamard: n.UseHadamard, UseDynamic: n.UseDynamic,
	}
	suffix := n.Suffix
	if suffix == "" {
		suffix = "-" + string(n.WeightsDType)
	}
	var out batch
	var lines []string
	ctx := bridge.Progress(c)
	failed := func(i int, err error) error {
		return &graph.Error{Kind: graph.KindNodeFailed, Input: "models", Err: fmt.Errorf("model %d of %d, %s: %w", i+1, len(names), names[i], err)}
	}
	for i, name := range names {
		src, base, err := source(ctx, f, name)
		if err != nil {
			return batch{}, failed(i, err)
		}
		dst, err := place(f, isFile(src), base+suffix)
		if err != nil {
			return batch{}, failed(i, err)
		}
		out.ModelPaths = append(out.ModelPaths, dst)
		if _, err := os.Lstat(dst); err == nil {
			if !n.SkipExisting {
				return batch{}, failed(i, fmt.Errorf("%s exists: remove it, or turn skip_existing on", dst))
			}
			lines = append(lines, dst+": there already")
			continue
		}
		made, err := (&sdnq.Job{Source: src, Target: dst, Config: one.config(), Components: split(n.Components), Overwrite: true}).Run(ctx)
		if err != nil {
			return batch{}, failed(i, err)
		}
		lines = append(lines, dst+"\n"+describe(made))
	}
	out.Report = strings.Join(lines, "\n")
	out.UI = graph.UI{"text": {out.Report}}
	return out, nil
}

// expand lists the models that the lines name: patterns hit what has weights, in the folders of models and as paths.
func expand(f *hub.Folders, lines string) (names []string, err error) {
	for line := range strings.Lines(lines) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if !strings.ContainsAny(line, "*?[") {
			names = append(names, line)
			continue
		}
		patterns := []string{line}
		if filepath.IsLocal(filepath.FromSlash(line)) {
			for _, kind := range []string{"checkpoints", "diffusers"} {
				for _, dir := range f.ModelDirs(kind) {
					patterns = append(patterns, filepath.Join(dir, filepath.FromSlash(line)))
				}
			}
		}
		var hits []string
		for _, p := range patterns {
			found, err := filepath.Glob(p)
			if err != nil {
				return nil, &graph.Error{Kind: graph.KindCustom, Input: "models", Need: "patterns of *, ? and [letters]", Have: line, Hint: "close its brackets"}
			}
			hits = append(hits, slices.DeleteFunc(found, func(path string) bool { return !isModel(path) })...)
		}
		if len(hits) == 0 {
			return nil, &graph.Error{Kind: graph.KindCustom, Input: "models", Need: "a pattern that hits models which are not quantized", Have: line + ", which hits none", Hint: "checkpoints are .safetensors files, pipelines folders with model_index.json"}
		}
		names = append(names, hits...)
	}
	if len(names) == 0 {
		return nil, &graph.Error{Kind: graph.KindCustom, Input: "models", Need: "the name of a model", Have: "nothing", Hint: "write one a line"}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// isModel says that a path which a pattern hits is a dense model: results of the node itself, say, are not.
func isModel(path string) bool {
	if strings.HasSuffix(path, ".safetensors") && isFile(path) {
		return !sdnq.IsQuantized(path)
	}
	index, err := os.ReadFile(filepath.Join(path, "model_index.json"))
	if errors.Is(err, fs.ErrNotExist) || err != nil || !json.Valid(index) {
		return false
	}
	parts, _ := filepath.Glob(filepath.Join(path, "*", "config.json"))
	return !slices.ContainsFunc(parts, func(p string) bool { return sdnq.IsQuantized(filepath.Dir(p)) })
}

// SDNQModelInfo tells about a model.
type SDNQModelInfo struct {
	ModelPath string `tooltip:"A Hugging Face repo id of a model on this machine, a local folder or a .safetensors file."`
}

type modelInfo struct {
	Info string `out:"info"`
	JSON string `out:"json"`
	UI   graph.UI
}

// Fingerprint changes with the model's files.
func (n SDNQModelInfo) Fingerprint(e *graph.Env) (string, error) { return fingerprint(e, n.ModelPath) }

// Run reads headers and configs.
func (n SDNQModelInfo) Run(c *graph.Call) (modelInfo, error) {
	e, err := graph.Service[*loader.Engine](c.Env)
	if err != nil {
		return modelInfo{}, err
	}
	path := n.ModelPath
	if e.Folders != nil {
		if found, err := e.Folders.Find("checkpoints", path); err == nil {
			path = found
		}
	}
	info, err := e.Info(bridge.Progress(c), path)
	if err != nil {
		return modelInfo{}, &graph.Error{Kind: graph.KindNodeFailed, Input: "model_path", Err: err}
	}
	text, err := json.MarshalIndent(info, "", "  ")
	if err != nil {
		return modelInfo{}, err
	}
	return modelInfo{info.String(), string(text), graph.UI{"text": {info.String()}}}, nil
}
