package loader

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"

	"graphrun/runtime/diffusion"
	"graphrun/runtime/hub"
	"graphrun/runtime/nn"
	"graphrun/runtime/sdnq"
	"graphrun/runtime/text"
	"graphrun/runtime/text/clip"
	"graphrun/runtime/vae"
	"graphrun/runtime/weights"
	"graphrun/types"
)

// MissingPartError is a pipeline folder without one of its parts.
type MissingPartError struct{ Folder, Part, Need string }

func (e *MissingPartError) Error() string {
	return fmt.Sprintf("%s: need %s in %s, have none: download the folder again, or copy the missing part from the model's repository", e.Folder, e.Need, e.Part)
}

// Explain takes the error apart.
func (e *MissingPartError) Explain() (what, need, have, hint string) {
	return e.Folder, path.Join(e.Part, e.Need), "none", "download the folder again, or copy the missing part from the model's repository"
}

// ConfigError is a file of settings that does not describe a model known here, or is damaged.
type ConfigError struct {
	File string
	Err  error
}

func (e *ConfigError) Error() string { return e.File + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *ConfigError) Unwrap() error { return e.Err }

// Explain takes the error apart.
func (e *ConfigError) Explain() (what, need, have, hint string) {
	var syntax *json.SyntaxError
	var field *json.UnmarshalTypeError
	if errors.As(e.Err, &syntax) || errors.As(e.Err, &field) {
		return e.File, "a JSON object of settings", e.Err.Error(), "the file is damaged: download or copy it again"
	}
	if unread := (*fs.PathError)(nil); errors.As(e.Err, &unread) {
		return e.File, "a readable file", unread.Err.Error(), "download or copy the file again"
	}
	return e.Error(), "", "", "choose a model of a class that is known here; if it is one, take its config and weights from the same download"
}

// parts that a progress line counts.
const loadSteps = 4

// loadFolder reads a StableDiffusionPipeline in the diffusers layout: model_index.json and one folder a component.
func (e *Engine) loadFolder(ctx context.Context, f hub.Model, o Options) (m types.Model, c types.CLIP, v types.VAE, err error) {
	index, err := readJSON[map[string]any](f, "model_index.json")
	if err != nil {
		return m, c, v, err
	}
	if class, _ := index["_class_name"].(string); class != "StableDiffusionPipeline" && class != "StableDiffusionImg2ImgPipeline" {
		return m, c, v, &ConfigError{"model_index.json", fmt.Errorf("pipeline class: need StableDiffusionPipeline (SD1.x, SD2.x), have %q", class)}
	}
	step := func(i int) { types.Report(ctx, types.Progress{Phase: "load", Step: i, Total: loadSteps}) }
	step(0)
	spec, err := readSchedule(f)
	if err != nil {
		return m, c, v, err
	}
	te, err := e.loadText(ctx, f, o)
	if err != nil {
		return m, c, v, err
	}
	step(1)
	kl, err := e.loadVAE(ctx, f, o)
	if err != nil {
		return m, c, v, err
	}
	step(2)
	unet, err := e.loadUNet(ctx, f, o)
	if err != nil {
		return m, c, v, err
	}
	step(loadSteps)
	format := latentFormat(kl.Config.LatentChannels, kl.Config.ScalingFactor, kl.Config.ShiftFactor)
	m.Denoiser = &diffusion.UNetModel{UNet: unet, Device: e.dev, Arena: e.arena, Spec: spec, Format: format}
	c.TextEncoder, v.Autoencoder = te, kl
	note(m, c, v, origin{path: f.Dir, options: o})
	return m, c, v, nil
}

func (e *Engine) loadUNet(ctx context.Context, f hub.Model, o Options) (*diffusion.UNet, error) {
	config, b, _, err := e.component(ctx, f, "unet", o)
	if err != nil {
		return nil, err
	}
	c, err := diffusion.ParseUNetConfig(config)
	if err == nil {
		err = c.RefuseAddition() // SDXL's text encoders come with a later issue
	}
	if err != nil {
		return nil, &ConfigError{"unet/config.json", err}
	}
	return diffusion.NewUNet(c, b)
}

func (e *Engine) loadVAE(ctx context.Context, f hub.Model, o Options) (*vae.KL, error) {
	config, b, store, err := e.component(ctx, f, "vae", o)
	if err != nil {
		return nil, err
	}
	c, err := vae.ParseConfig(config)
	if err != nil {
		return nil, &ConfigError{"vae/config.json", err}
	}
	v, err := vae.New(c, b, e.dev, e.arena)
	if err == nil && o.Offload {
		v.After = e.offload(store)
	}
	return v, err
}

func (e *Engine) loadText(ctx context.Context, f hub.Model, o Options) (*clip.Encoder, error) {
	config, b, store, err := e.component(ctx, f, "text_encoder", o)
	if err != nil {
		return nil, err
	}
	c, err := clip.ParseConfig(config)
	if err != nil {
		return nil, &ConfigError{"text_encoder/config.json", err}
	}
	network, err := clip.New(c, b)
	if err != nil {
		return nil, err
	}
	tok := text.DefaultCLIP()
	if _, err := fs.Stat(f.FS, "tokenizer"); err == nil {
		if tok, err = text.CLIPFromFS(f.FS, "tokenizer"); err != nil {
			return nil, err
		}
	}
	enc := e.encoder(network, tok)
	if o.Offload {
		enc.After = e.offload(store)
	}
	return enc, nil
}

// offload gives back what a component holds once it has done its work: text encoder and VAE run once a picture, so
// reading them again costs little. The network runs every step and stays.
func (e *Engine) offload(store *weights.Store) func() {
	return func() {
		e.arena.Trim()
		store.Release()
	}
}

// encoder joins network and tokenizer; prompts may name the embeddings of the models folders.
func (e *Engine) encoder(n *clip.Network, tok *text.CLIPTokenizer) *clip.Encoder {
	if e.Folders != nil {
		key := "clip_l"
		if n.Config.HiddenSize == 1024 { // SD2's encoder
			key = "clip_h"
		}
		tok = tok.WithEmbeddings(text.EmbeddingFolders(e.Folders.ModelDirs("embeddings")...), key)
	}
	return &clip.Encoder{Network: n, Tokenizer: tok, Device: e.dev, Arena: e.arena}
}

// component reads a part's config.json and opens its weights, dense or SDNQ.
func (e *Engine) component(ctx context.Context, f hub.Model, part string, o Options) ([]byte, *nn.Binder, *weights.Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, nil, err
	}
	config, err := readFile(f, part+"/config.json")
	if err != nil {
		return nil, nil, nil, err
	}
	quant, err := quantization(f, part, config)
	if err != nil {
		return nil, nil, nil, err
	}
	var store *weights.Store
	if f.Dir != "" {
		store, err = weights.Open(filepath.Join(f.Dir, part))
	} else {
		store, err = weights.OpenFS(f.FS, part)
	}
	if err != nil {
		return nil, nil, nil, err
	}
	layers := o.layers()
	layers.Copies, layers.FastConv = e.copies, e.fast
	return config, nn.NewBinder(store, quant, layers), store, nil
}

func (o Options) layers() nn.Options {
	n := nn.Options{QuantizedMatMul: &o.QuantizedMatmul}
	switch o.DType {
	case "float32", "float16":
		n.DType = "float32"
	case "bfloat16":
		n.DType = o.DType
	}
	return n
}

// quantization finds a part's SDNQ configuration: quantization_config.json wins over config.json (sdnq-format.md 1.1).
func quantization(f hub.Model, part string, config []byte) (*sdnq.Config, error) {
	raw, err := fs.ReadFile(f.FS, part+"/quantization_config.json")
	if errors.Is(err, fs.ErrNotExist) {
		var c struct {
			Quantization json.RawMessage `json:"quantization_config"`
		}
		if err := json.Unmarshal(config, &c); err != nil {
			return nil, &ConfigError{part + "/config.json", err}
		}
		raw, err = c.Quantization, nil
	}
	if err != nil || len(raw) == 0 || string(raw) == "null" {
		return nil, err
	}
	c, err := sdnq.ParseConfig(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", part, err)
	}
	return c, nil
}

// readSchedule reads how the network was trained from scheduler/scheduler_config.json, SD1.x's way where the file is silent.
func readSchedule(f hub.Model) (types.Sampling, error) {
	s := types.Sampling{Prediction: types.PredictEpsilon, BetaSchedule: "linear", BetaStart: 0.00085, BetaEnd: 0.012, Steps: 1000}
	c, err := readJSON[struct {
		Prediction string    `json:"prediction_type"`
		Schedule   string    `json:"beta_schedule"`
		Start      *float64  `json:"beta_start"`
		End        *float64  `json:"beta_end"`
		Steps      *int      `json:"num_train_timesteps"`
		Trained    []float64 `json:"trained_betas"`
		ZeroSNR    bool      `json:"rescale_betas_zero_snr"`
	}](f, "scheduler/scheduler_config.json")
	if err != nil {
		return s, err
	}
	switch c.Prediction {
	case "", "epsilon":
	case "v_prediction":
		s.Prediction = types.PredictVelocity
	case "sample":
		s.Prediction = types.PredictSample
	default:
		return s, &ConfigError{"scheduler/scheduler_config.json", fmt.Errorf("prediction_type: need epsilon, v_prediction or sample, have %q", c.Prediction)}
	}
	if len(c.Trained) > 0 {
		return s, fmt.Errorf("scheduler/scheduler_config.json: trained_betas has %d values, need null: betas come from beta_schedule here", len(c.Trained))
	}
	switch c.Schedule { // diffusers' names are ComfyUI's shifted by one
	case "scaled_linear", "":
		s.BetaSchedule = "linear"
	case "linear":
		s.BetaSchedule = "sqrt_linear"
	case "squaredcos_cap_v2":
		s.BetaSchedule = "cosine"
	default:
		return s, &ConfigError{"scheduler/scheduler_config.json", fmt.Errorf("beta_schedule: need scaled_linear, linear or squaredcos_cap_v2, have %q", c.Schedule)}
	}
	if c.Start != nil {
		s.BetaStart = *c.Start
	}
	if c.End != nil {
		s.BetaEnd = *c.End
	}
	if c.Steps != nil {
		s.Steps = *c.Steps
	}
	s.ZeroSNR = c.ZeroSNR
	if s.Steps < 2 || s.Steps > 1<<20 || !(s.BetaStart > 0) || !(s.BetaEnd < 1) || !(s.BetaStart < s.BetaEnd) {
		return s, &ConfigError{"scheduler/scheduler_config.json", fmt.Errorf("need 2 or more steps and 0 < beta_start < beta_end < 1, have %d, %g, %g", s.Steps, s.BetaStart, s.BetaEnd)}
	}
	return s, nil
}

func readFile(f hub.Model, name string) ([]byte, error) {
	b, err := fs.ReadFile(f.FS, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &MissingPartError{Folder: f.Name, Part: path.Dir(name) + "/", Need: path.Base(name)}
	}
	if err != nil {
		return nil, &ConfigError{name, err}
	}
	return b, nil
}

func readJSON[T any](f hub.Model, name string) (v T, err error) {
	b, err := readFile(f, name)
	if err != nil {
		return v, err
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return v, &ConfigError{name, err}
	}
	return v, nil
}
