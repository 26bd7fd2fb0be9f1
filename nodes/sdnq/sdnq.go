// Package sdnq has the nodes that quantize models.
package sdnq

import (
	"os"
	"path/filepath"
	"strings"

	"graphrun/graph"
	"graphrun/nodes/bridge"
	"graphrun/runtime/hub"
	"graphrun/runtime/sdnq"
)

func init() {
	graph.Register[SDNQQuantize](graph.Meta{
		Name: "SDNQQuantize", Title: "SDNQ Quantize", Category: "loaders/SDNQ", Output: true, Uses: graph.Device,
		Description: "Quantizes a model in diffusers' layout and writes it into the folder diffusers of the models, as sdnq's save_pretrained does. " +
			"Connect the result to model_path of Load SDNQ Model.",
	})
}

type weightsDType string

// Options lists the formats that runtime/sdnq writes, the usual ones first.
func (weightsDType) Options() []string {
	return []string{
		"int8", "uint8", "int7", "uint7", "int6", "uint6", "int5", "uint5", "int4", "uint4", "int3", "uint3", "int2", "uint2",
		"int16", "uint16", "int12", "uint12", "int10", "uint10",
	}
}

// SDNQQuantize writes a quantized copy of a model.
type SDNQQuantize struct {
	ModelPath          string       `tooltip:"A Hugging Face repo id or a local folder in diffusers' layout, not quantized."`
	OutputName         string       `optional:"true" tooltip:"The new folder in models/diffusers; empty for the model's name and the format."`
	WeightsDType       weightsDType `optional:"true" in:"weights_dtype" default:"int8"`
	GroupSize          int          `optional:"true" default:"0" min:"-2" max:"16384" tooltip:"Inputs that share a scale: 0 chooses by format (rows for int8), -1 a whole row, -2 a whole tensor."`
	UseQuantizedMatmul bool         `optional:"true" default:"false" tooltip:"Lay the weights out for multiplying them by int8 activations."`
	QuantConv          bool         `optional:"true" default:"false" tooltip:"Quantize convolutions too."`
	QuantEmbedding     bool         `optional:"true" default:"false" tooltip:"Quantize embeddings too."`
	MinChannels        int          `optional:"true" in:"minimum_allowed_channel_size" default:"32" min:"1" max:"65536" tooltip:"Layers with fewer inputs stay as they are."`
	MinNumel           int          `optional:"true" in:"minimum_allowed_numel" default:"16384" min:"1" max:"1073741824" tooltip:"Layers with fewer weights stay as they are."`
	NotConvert         string       `optional:"true" in:"modules_to_not_convert" tooltip:"Names or patterns of layers to leave as they are, separated by commas."`
	Components         string       `optional:"true" tooltip:"The parts to quantize, separated by commas (unet, text_encoder, ...); empty for all."`
}

// quantized is where the model lies.
type quantized struct {
	ModelPath string `out:"model_path"`
	UI        graph.UI
}

// Run writes the folder and returns its path. On an error nothing is left of it.
func (n SDNQQuantize) Run(c *graph.Call) (quantized, error) {
	f, err := graph.Service[*hub.Folders](c.Env)
	if err != nil {
		return quantized{}, err
	}
	ctx := bridge.Progress(c)
	model, err := hub.Resolve(ctx, f, n.ModelPath)
	if err != nil {
		return quantized{}, &graph.Error{Kind: graph.KindNodeFailed, Input: "model_path", Err: err}
	}
	if model.Dir == "" {
		return quantized{}, &graph.Error{
			Kind: graph.KindCustom, Input: "model_path", Need: "a model that is not quantized", Have: model.Name + ", which is built in and int8 already",
			Hint: "give a folder or repository of dense weights",
		}
	}
	dst, err := n.target(f, model)
	if err != nil {
		return quantized{}, err
	}
	if err := sdnq.QuantizeModel(ctx, model.Dir, dst, n.config(), split(n.Components)...); err != nil {
		return quantized{}, &graph.Error{Kind: graph.KindNodeFailed, Input: "model_path", Err: err}
	}
	return quantized{ModelPath: dst, UI: graph.UI{"text": {dst}}}, nil
}

// target is the folder to write, which a workflow from elsewhere may not choose outside the models.
func (n SDNQQuantize) target(f *hub.Folders, model hub.Model) (string, error) {
	if len(f.Models) == 0 {
		return "", &graph.Error{Kind: graph.KindNoService, Input: "output_name", Need: "a folder of models", Have: "none", Hint: "name one with --models"}
	}
	name := n.OutputName
	if name == "" {
		name = filepath.Base(filepath.Clean(model.Dir))
		if _, repo, ok := strings.Cut(model.Name, "/"); ok && !filepath.IsAbs(model.Name) {
			name = filepath.Base(repo)
		}
		name += "-" + string(n.WeightsDType)
	}
	local := filepath.FromSlash(name)
	if !filepath.IsLocal(local) || filepath.Clean(local) == "." || strings.ContainsRune(name, 0) {
		return "", &graph.Error{Kind: graph.KindCustom, Input: "output_name", Need: "a folder name inside models/diffusers, without .. and without a leading /", Have: name, Hint: "leave it empty for a name of its own"}
	}
	dst := filepath.Join(f.Models[0], "diffusers", local)
	if _, err := os.Lstat(dst); err == nil {
		return "", &graph.Error{Kind: graph.KindCustom, Input: "output_name", Need: "a new folder to write to", Have: dst + ", which exists", Hint: "choose another name, or remove it"}
	}
	if err := os.MkdirAll(filepath.Dir(dst), 0o777); err != nil {
		return "", &graph.Error{Kind: graph.KindNodeFailed, Input: "output_name", Err: err, Need: "a folder of models that can be written", Hint: "choose another with --models"}
	}
	return dst, nil
}

func (n SDNQQuantize) config() *sdnq.Config {
	c := sdnq.DefaultConfig()
	c.WeightsDType, c.GroupSize = string(n.WeightsDType), n.GroupSize
	c.UseQuantizedMatmul, c.QuantConv, c.QuantEmbedding = n.UseQuantizedMatmul, n.QuantConv, n.QuantEmbedding
	c.MinChannels, c.MinNumel = n.MinChannels, n.MinNumel
	c.NotConvert = append(c.NotConvert, split(n.NotConvert)...)
	return c
}

// split separates a list by commas; empty parts are left out.
func split(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\t' })
}
