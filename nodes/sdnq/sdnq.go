// Package sdnq has the nodes that quantize models and tell about them.
package sdnq

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"graphrun/graph"
	"graphrun/nodes/bridge"
	"graphrun/runtime/hub"
	"graphrun/runtime/loader"
	"graphrun/runtime/sdnq"
	"graphrun/types"
)

func init() {
	graph.Register[SDNQQuantize](graph.Meta{
		Name: "SDNQQuantize", Title: "SDNQ Quantize", Category: "loaders/SDNQ", Output: true, Uses: graph.Device,
		Description: "Quantizes a model in the format of SDNQ. A path (a folder in diffusers' layout or a checkpoint of one file) is written into the folder " +
			"diffusers or checkpoints of the models, as sdnq's save_pretrained does, and loaded if it can be; save off writes nothing that stays. " +
			"A MODEL, CLIP or VAE of a loader is quantized for this run, from the files that it came from.",
	})
	graph.Register[SDNQQuantizeCheckpoint](graph.Meta{
		Name: "SDNQQuantizeCheckpoint", Title: "SDNQ Quantize Checkpoints", Category: "loaders/SDNQ", Output: true, Uses: graph.Device,
		Description: "Quantizes many models, one after another: folders in diffusers' layout and checkpoints of one file, named one a line or by a pattern such as sdxl/*.safetensors.",
	})
	graph.Register[SDNQModelInfo](graph.Meta{
		Name: "SDNQModelInfo", Title: "SDNQ Model Info", Category: "loaders/SDNQ", Output: true, Uses: graph.IO,
		Description: "Tells a model's family, dtypes, size, the memory that it needs, its SDNQ settings and what of it is supported. Reads headers alone.",
	})
}

// SDNQQuantize quantizes a model.
type SDNQQuantize struct {
	ModelPath            string       `optional:"true" tooltip:"A Hugging Face repo id, a local folder in diffusers' layout or a .safetensors file, not quantized; empty to quantize what is connected."`
	OutputName           string       `optional:"true" tooltip:"The new folder in models/diffusers, or file in models/checkpoints; empty for the model's name and the format."`
	WeightsDType         weightsDType `optional:"true" in:"weights_dtype" default:"int8"`
	GroupSize            int          `optional:"true" default:"0" min:"-2" max:"16384" tooltip:"Inputs that share a scale: 0 chooses by format (rows for int8), -1 a whole row, -2 a whole tensor."`
	UseQuantizedMatmul   bool         `optional:"true" default:"false" tooltip:"Lay the weights out for multiplying them by int8 activations."`
	QuantConv            bool         `optional:"true" default:"false" tooltip:"Quantize convolutions too."`
	QuantEmbedding       bool         `optional:"true" default:"false" tooltip:"Quantize embeddings too."`
	MinChannels          int          `optional:"true" in:"minimum_allowed_channel_size" default:"32" min:"1" max:"65536" tooltip:"Layers with fewer inputs stay as they are."`
	MinNumel             int          `optional:"true" in:"minimum_allowed_numel" default:"16384" min:"1" max:"1073741824" tooltip:"Layers with fewer weights stay as they are."`
	NotConvert           string       `optional:"true" in:"modules_to_not_convert" tooltip:"Names or patterns of layers to leave as they are, separated by commas."`
	Components           string       `optional:"true" tooltip:"The parts to quantize, separated by commas (unet, text_encoder, ...); empty for all."`
	SVDRank              int          `optional:"true" in:"svd_rank" default:"0" min:"0" max:"4096" tooltip:"Rank of what is kept apart in the model's own format, 32 say; 0: nothing."`
	UseHadamard          bool         `optional:"true" default:"false" tooltip:"Rotate weights, which spreads outliers."`
	UseCodebook          bool         `optional:"true" default:"false" tooltip:"Tables of values instead of steps of one size; unsigned integer formats."`
	UseDynamic           bool         `optional:"true" in:"use_dynamic_quantization" default:"false" tooltip:"Choose each layer's format, from weights_dtype on, by the loss."`
	DynamicLossThreshold float64      `optional:"true" default:"0" min:"0" max:"1" step:"0.0001" round:"false" tooltip:"Largest loss of a layer: mean squared error by variance; 0 goes by the format."`
	Save                 bool         `optional:"true" default:"true" tooltip:"Of a path: keep what is written."`
	Model                *types.Model
	CLIP                 *types.CLIP `in:"clip"`
	VAE                  *types.VAE  `in:"vae"`
}

// quantized is where the model lies, and itself.
type quantized struct {
	ModelPath string    `out:"model_path"`
	Model     graph.Any `types:"MODEL" out:"MODEL"`
	CLIP      graph.Any `types:"CLIP" out:"CLIP"`
	VAE       graph.Any `types:"VAE" out:"VAE"`
	Report    string    `out:"report"`
	UI        graph.UI
}

// Run quantizes the path or what is connected. On an error nothing is left.
func (n SDNQQuantize) Run(c *graph.Call) (quantized, error) {
	out := quantized{Model: blocked("MODEL"), CLIP: blocked("CLIP"), VAE: blocked("VAE")}
	ctx := bridge.Progress(c)
	linked := n.Model != nil || n.CLIP != nil || n.VAE != nil
	if linked == (n.ModelPath != "") {
		return out, &graph.Error{
			Kind: graph.KindCustom, Input: "model_path", Need: "a path, or a MODEL, CLIP or VAE", Have: map[bool]string{true: "both", false: "neither"}[linked],
			Hint: "name a model, or connect one",
		}
	}
	if linked {
		return n.loaded(ctx, c, out)
	}
	f, err := graph.Service[*hub.Folders](c.Env)
	if err != nil {
		return out, err
	}
	src, name, err := source(ctx, f, n.ModelPath)
	if err != nil {
		return out, err
	}
	dst, drop, err := n.target(f, src, name)
	if err != nil {
		return out, err
	}
	defer drop()
	made, err := (&sdnq.Job{Source: src, Target: dst, Config: n.config(), Components: split(n.Components), Overwrite: true}).Run(ctx) // what a process that was killed left is forgotten
	if err != nil {
		return out, &graph.Error{Kind: graph.KindNodeFailed, Input: "model_path", Err: err}
	}
	out.Report = describe(made)
	out.UI = graph.UI{"text": {out.Report}}
	if n.Save {
		out.ModelPath, out.UI = dst, graph.UI{"text": {dst, out.Report}}
	}
	out.load(ctx, c.Env, dst)
	return out, nil
}

// Fingerprint changes with the model's files; what is connected has a signature of its own.
func (n SDNQQuantize) Fingerprint(e *graph.Env) (string, error) { return fingerprint(e, n.ModelPath) }

// fingerprint is that of a model's files, "" for no name.
func fingerprint(e *graph.Env, path string) (string, error) {
	if path == "" {
		return "", nil
	}
	f, err := graph.Service[*hub.Folders](e)
	if err != nil {
		return "", err
	}
	if found, err := f.Find("checkpoints", path); err == nil {
		path = found
	}
	if isFile(path) {
		return hub.FileFingerprint(path)
	}
	return hub.Fingerprint(f, path)
}

// blocked stands for what is not there.
func blocked(what string) graph.Any {
	return graph.Any{Value: graph.Blocker{Message: "SDNQQuantize has no " + what + ": connect one to it, or give a path"}}
}

// load loads what was written. What cannot be loaded here, since its family is not known say, was quantized all the same: only
// who uses it hears of it.
func (q *quantized) load(ctx context.Context, env *graph.Env, path string) {
	e, err := graph.Service[*loader.Engine](env)
	var m types.Model
	var c types.CLIP
	var v types.VAE
	switch {
	case err != nil:
	case strings.HasSuffix(path, ".safetensors"):
		m, c, v, err = e.LoadCheckpoint(ctx, path)
	default:
		m, c, v, err = e.LoadPipeline(ctx, path, loader.Options{QuantizedMatmul: true})
	}
	if err != nil {
		b := graph.Any{Value: graph.Blocker{Message: "the quantized model cannot be loaded: " + err.Error()}}
		q.Model, q.CLIP, q.VAE = b, b, b
		return
	}
	q.Model, q.CLIP, q.VAE = graph.Any{Value: m}, graph.Any{Value: c}, graph.Any{Value: v}
}

// loaded quantizes what is connected.
func (n SDNQQuantize) loaded(ctx context.Context, c *graph.Call, out quantized) (quantized, error) {
	e, err := graph.Service[*loader.Engine](c.Env)
	if err != nil {
		return out, err
	}
	var all []string
	take := func(input string, to *graph.Any, quantize func() (any, *sdnq.ModelReport, error)) {
		if err != nil {
			return
		}
		value, report, failed := quantize()
		if failed != nil {
			err = &graph.Error{Kind: graph.KindNodeFailed, Input: input, Err: failed}
			return
		}
		to.Value = value
		all = append(all, describe(report))
	}
	if n.Model != nil {
		take("model", &out.Model, func() (any, *sdnq.ModelReport, error) { return e.QuantizeModel(ctx, *n.Model, n.config()) })
	}
	if n.CLIP != nil {
		take("clip", &out.CLIP, func() (any, *sdnq.ModelReport, error) { return e.QuantizeCLIP(ctx, *n.CLIP, n.config()) })
	}
	if n.VAE != nil {
		take("vae", &out.VAE, func() (any, *sdnq.ModelReport, error) { return e.QuantizeVAE(ctx, *n.VAE, n.config()) })
	}
	out.Report = strings.Join(all, "\n")
	out.UI = graph.UI{"text": {out.Report}}
	return out, err
}

// source is the path of a model, which is downloaded if need be, and its name.
func source(ctx context.Context, f *hub.Folders, path string) (src, name string, err error) {
	file := path
	if found, err := f.Find("checkpoints", path); err == nil {
		file = found
	}
	if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
		return file, strings.TrimSuffix(filepath.Base(file), filepath.Ext(file)), nil
	}
	model, err := hub.Resolve(ctx, f, path)
	if err != nil {
		return "", "", &graph.Error{Kind: graph.KindNodeFailed, Input: "model_path", Err: err}
	}
	if model.Dir == "" {
		return "", "", &graph.Error{
			Kind: graph.KindCustom, Input: "model_path", Need: "a model that is not quantized", Have: model.Name + ", which is built in and int8 already",
			Hint: "give a folder or repository of dense weights",
		}
	}
	name = filepath.Base(filepath.Clean(model.Dir))
	if _, repo, ok := strings.Cut(model.Name, "/"); ok && !filepath.IsAbs(model.Name) {
		name = filepath.Base(repo)
	}
	return model.Dir, name, nil
}

// target is what to write, which a workflow from elsewhere may not choose outside the models, and what is to be done in the end.
func (n SDNQQuantize) target(f *hub.Folders, src, name string) (dst string, drop func(), err error) {
	if !n.Save {
		dir, err := temporary(f)
		if err != nil {
			return "", nil, err
		}
		dst = filepath.Join(dir, "model")
		if isFile(src) {
			dst += ".safetensors"
		}
		return dst, func() { os.RemoveAll(dir) }, nil
	}
	if n.OutputName != "" {
		name = strings.TrimSuffix(n.OutputName, ".safetensors")
	} else {
		name += "-" + string(n.WeightsDType)
	}
	dst, err = place(f, isFile(src), name)
	if err != nil {
		return "", nil, err
	}
	if _, err := os.Lstat(dst); err == nil {
		return "", nil, &graph.Error{Kind: graph.KindCustom, Input: "output_name", Need: "a new name to write to", Have: dst + ", which exists", Hint: "choose another name, or remove it"}
	}
	return dst, func() {}, nil
}

func temporary(f *hub.Folders) (string, error) {
	parent := f.Temp
	if parent == "" {
		parent = os.TempDir()
	}
	err := os.MkdirAll(parent, 0o777)
	dir := ""
	if err == nil {
		dir, err = os.MkdirTemp(parent, "graphrun-quantized-")
	}
	if err != nil {
		return "", &graph.Error{Kind: graph.KindNodeFailed, Input: "save", Err: err, Need: "a folder for what is temporary", Hint: "choose another with --output"}
	}
	return dir, nil
}

// place is the path of a new model of the name in the first folder of models.
func place(f *hub.Folders, file bool, name string) (string, error) {
	if len(f.Models) == 0 {
		return "", &graph.Error{Kind: graph.KindNoService, Input: "output_name", Need: "a folder of models", Have: "none", Hint: "name one with --models"}
	}
	kind, local := "diffusers", filepath.FromSlash(name)
	if file {
		kind = "checkpoints"
	}
	if !filepath.IsLocal(local) || filepath.Clean(local) == "." || strings.ContainsRune(name, 0) {
		return "", &graph.Error{Kind: graph.KindCustom, Input: "output_name", Need: "a name inside models/" + kind + ", without .. and without a leading /", Have: name, Hint: "leave it empty for a name of its own"}
	}
	if file {
		local += ".safetensors"
	}
	dst := filepath.Join(f.Models[0], kind, local)
	if err := os.MkdirAll(filepath.Dir(dst), 0o777); err != nil {
		return "", &graph.Error{Kind: graph.KindNodeFailed, Input: "output_name", Err: err, Need: "a folder of models that can be written", Hint: "choose another with --models"}
	}
	return dst, nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func (n SDNQQuantize) config() *sdnq.Config {
	c := sdnq.DefaultConfig()
	c.WeightsDType, c.GroupSize = string(n.WeightsDType), n.GroupSize
	c.UseQuantizedMatmul, c.QuantConv, c.QuantEmbedding = n.UseQuantizedMatmul, n.QuantConv, n.QuantEmbedding
	c.MinChannels, c.MinNumel = n.MinChannels, n.MinNumel
	c.NotConvert = append(c.NotConvert, split(n.NotConvert)...)
	if n.SVDRank > 0 {
		c.UseSVD, c.SVDRank = true, n.SVDRank
	}
	c.UseHadamard, c.UseCodebook, c.DynamicQuantization = n.UseHadamard, n.UseCodebook, n.UseDynamic
	if n.DynamicLossThreshold > 0 {
		c.DynamicLossThreshold = &n.DynamicLossThreshold
	}
	return c
}

// split separates a list by commas; empty parts are left out.
func split(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\t' })
}

// describe is a report in a few lines.
func describe(r *sdnq.ModelReport) string {
	var b strings.Builder
	for _, c := range r.Components {
		name := strings.TrimSpace(c.Name + " " + c.Class)
		if name == "" {
			name = filepath.Base(r.Source)
		}
		s := c.Summary()
		fmt.Fprintf(&b, "%s: %d layers in %s, %d as they are, error %.3g %% (RMS), %.1f -> %.1f MB\n", name, s.Quantized, s.DTypes, s.Kept, 100*s.RMS, float64(c.Before)/1e6, float64(c.After)/1e6)
	}
	return strings.TrimSpace(b.String())
}

type weightsDType string

// Options lists the formats that runtime/sdnq writes, the usual ones first.
func (weightsDType) Options() []string { return dtypes() }

var dtypes = sync.OnceValue(func() []string {
	list := []string{"int8", "uint8", "float8_e4m3fn", "int7", "uint7", "int6", "uint6", "int5", "uint5", "int4", "uint4", "int3", "uint3", "int2", "uint2", "int16", "uint16"}
	for _, d := range sdnq.DTypes() {
		if !slices.Contains(list, d) {
			list = append(list, d)
		}
	}
	return list
})
