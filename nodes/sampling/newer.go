package sampling

import (
	"graphrun/graph"
	"graphrun/runtime/sampling"
	"graphrun/types"
)

// Nodes of ComfyUI's later releases (newer-nodes.md section 4).
func init() {
	graph.Register[SamplerLCM](graph.Meta{
		Name: "SamplerLCM", Category: "model/sampling/samplers", Module: "comfy_extras.nodes_advanced_samplers", Later: true, NewStyle: true,
		Description: "The lcm sampler, with the noise of its steps scaled and cut.",
	})
	graph.Register[ModelAttentionBackend](graph.Meta{
		Name: "ModelAttentionBackend", Category: "model/patch", Module: "comfy_extras.nodes_model_advanced", Later: true,
		Description: "Hands the model on: graphrun has one way of computing attention.",
	})
	graph.Register[QwenImage21Cache](graph.Meta{
		Name: "QwenImage21Cache", Title: "Qwen Image 2.1 Cache", Category: "model/conditioning/qwen image", Module: "comfy_extras.nodes_qwen",
		Later: true, NewStyle: true, Experimental: true,
		Description: "Hands the model on: where a cache lies changes no result.",
	})
}

// SamplerLCM chooses the lcm sampler.
type SamplerLCM struct {
	SNoise       float64 `in:"s_noise" default:"1" min:"0" max:"64" step:"0.01"`
	SNoiseEnd    float64 `in:"s_noise_end" default:"1" min:"0" max:"64" step:"0.01"`
	NoiseClipStd float64 `in:"noise_clip_std" default:"0" min:"0" max:"10" step:"0.01"`
}

// Run returns the sampler, whose noise is scaled by SNoise at first and SNoiseEnd at last.
func (n SamplerLCM) Run(*graph.Call) (Sampler, error) {
	return Sampler{"lcm", func(t *sampling.Tuning) {
		t.SNoise, t.SNoiseEnd, t.NoiseClipStd = n.SNoise, n.SNoiseEnd, n.NoiseClipStd
	}}, nil
}

type attentionBackend string

// Options lists the name that workflows have.
func (attentionBackend) Options() []string { return []string{"pytorch attention"} }

// ModelAttentionBackend hands a model on.
type ModelAttentionBackend struct {
	Model     types.Model
	Attention attentionBackend
}

// Run returns the model.
func (n ModelAttentionBackend) Run(*graph.Call) (types.Model, error) { return n.Model, nil }

type cacheDevice string

// Options lists the places.
func (cacheDevice) Options() []string { return []string{"auto", "gpu", "cpu", "off"} }

type cacheType string

// Options lists the number formats.
func (cacheType) Options() []string { return []string{"default", "int8", "int4"} }

// QwenImage21Cache hands a model on.
type QwenImage21Cache struct {
	Model  types.Model
	Device cacheDevice `default:"auto"`
	DType  cacheType   `in:"dtype" default:"default"`
}

// Run returns the model.
func (n QwenImage21Cache) Run(*graph.Call) (types.Model, error) { return n.Model, nil }
