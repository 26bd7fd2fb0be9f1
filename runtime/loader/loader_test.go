package loader

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"graphrun/internal/golden"
	"graphrun/runtime/device"
	"graphrun/runtime/diffusion"
	"graphrun/runtime/text/clip"
	"graphrun/runtime/weights"
	"graphrun/types"
)

// core is a whole SD1.x model of random weights, and what diffusers makes of it: tools/coremodel.
const core = "testdata/core"

func readConfig(t *testing.T, part string) map[string]any {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(core, part, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(raw, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func writeJSON(t *testing.T, dir, name string, v any) {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, raw, 0o644); err != nil {
		t.Fatal(err)
	}
}

func newEngine(t *testing.T) *Engine {
	t.Helper()
	e, err := New(Config{Threads: 2, Precision: "exact"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func tensor(name string, v float32, shape ...int) weights.Tensor {
	data := make([]byte, 4*types.Elements(shape))
	for i := 0; i < len(data); i += 4 {
		b := math.Float32bits(v * float32(math.Sin(float64(i))))
		data[i], data[i+1], data[i+2], data[i+3] = byte(b), byte(b>>8), byte(b>>16), byte(b>>24)
	}
	return weights.Tensor{Name: name, DType: weights.F32, Shape: shape, Data: data}
}

// TestCore holds all three networks to diffusers and transformers, in a lone clone too.
func TestCore(t *testing.T) {
	m, c, v, err := newEngine(t).LoadPipeline(context.Background(), core, Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := golden.Tensors(t, filepath.Join(core, "expected.safetensors"))
	tensor := func(name string) types.Tensor { return types.Tensor{Shape: want[name].Shape, Data: want[name].F32()} }

	encoder := c.TextEncoder.(*clip.Encoder)
	var ids []int
	for _, id := range want["ids"].I64() {
		ids = append(ids, int(id))
	}
	p := device.NewPass(context.Background(), encoder.Device, encoder.Arena)
	_, last := encoder.Network.Forward(p, ids, nil, 0)
	golden.Close(t, "text", p.Download(last, false), want["text"].F32(), 2e-5, 0)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	cond := types.Cond{Tokens: tensor("text")}
	y, err := m.Predict(context.Background(), tensor("sample"), []float32{981, 20.5}, []types.Cond{cond, cond})
	if err != nil {
		t.Fatal(err)
	}
	golden.Close(t, "unet", y.Data, want["unet"].F32(), 5e-5, 0)

	pixels := types.NewTensor(1, 10, 12, 3)
	for i, x := range tensor("image").Data { // [3, 10, 12]
		pixels.Data[i%120*3+i/120] = x
	}
	z, err := v.Encode(context.Background(), types.Image{Tensor: pixels})
	if err != nil {
		t.Fatal(err)
	}
	golden.Close(t, "mean", z.Data, want["mean"].F32(), 5e-5, 0)
	im, err := v.Decode(context.Background(), tensor("latent"))
	if err != nil {
		t.Fatal(err)
	}
	decoded := make([]float32, len(im.Data))
	for i, x := range want["decoded"].F32() { // [3, 10, 6], -1..1
		decoded[i%60*3+i/60] = min(max(x/2+0.5, 0), 1)
	}
	golden.Close(t, "decoded", im.Data, decoded, 5e-5, 0)
}

func TestPipelineRuns(t *testing.T) {
	e := newEngine(t)
	m, c, v, err := e.LoadPipeline(context.Background(), core, Options{Offload: true})
	if err != nil {
		t.Fatal(err)
	}
	if s := m.Sampling(); s.Prediction != types.PredictVelocity || s.BetaSchedule != "linear" || s.Steps != 1000 {
		t.Errorf("sampling %+v", s)
	}
	cond, err := c.Encode(context.Background(), "a (red:1.3) fox", 0)
	if err != nil || cond[0].Tokens.Shape[1] != 77 {
		t.Fatalf("conditioning %v, %v", cond, err)
	}
	x := types.NewTensor(2, 4, 4, 6)
	for range 2 {
		y, err := m.Predict(context.Background(), x, []float32{10, 10}, []types.Cond{cond[0], cond[0]})
		if err != nil || len(y.Data) != len(x.Data) {
			t.Fatalf("prediction of shape %v, %v", y.Shape, err)
		}
	}
	before := e.Memory().Allocations
	if _, err := m.Predict(context.Background(), x, []float32{10, 10}, []types.Cond{cond[0], cond[0]}); err != nil || e.Memory().Allocations != before {
		t.Errorf("a step after the first took %d blocks of memory, %v", e.Memory().Allocations-before, err)
	}
	flops, bytes, err := m.Denoiser.(*diffusion.UNetModel).Estimate(2, 4, 6, 77)
	if err != nil || flops == 0 || bytes > e.Memory().Peak {
		t.Errorf("estimate of %d FLOPs and %d bytes, %v; the peak was %d", flops, bytes, err, e.Memory().Peak)
	}
	im, err := v.Decode(context.Background(), types.NewTensor(1, 4, 3, 5))
	if err != nil || im.Shape[1] != 6 || im.Shape[2] != 10 || im.Shape[3] != 3 {
		t.Fatalf("picture of shape %v, %v", im.Shape, err)
	}
	z, err := v.Encode(context.Background(), types.Image{Tensor: types.NewTensor(1, 7, 10, 4)})
	if err != nil || z.Shape[2] != 3 || z.Shape[3] != 5 {
		t.Fatalf("latent of shape %v, %v", z.Shape, err)
	}
	if used := e.Memory().Used; used != 0 {
		t.Errorf("%d bytes in use at the end", used)
	}
}

// Each way to break a folder gives an error that names the part and says what is needed.
func TestBrokenFolders(t *testing.T) {
	e := newEngine(t)
	tinyUNet, tinyVAE, tinyCLIP := readConfig(t, "unet"), readConfig(t, "vae"), readConfig(t, "text_encoder")
	with := func(config map[string]any, key string, v any) map[string]any {
		m := map[string]any{key: v}
		for k, old := range config {
			if k != key {
				m[k] = old
			}
		}
		return m
	}
	for name, c := range map[string]struct {
		file  string
		value any // nil removes the file
		need  []string
	}{
		"no index":            {"model_index.json", nil, []string{"model_index.json"}},
		"other pipeline":      {"model_index.json", map[string]any{"_class_name": "FluxPipeline"}, []string{"FluxPipeline", "need StableDiffusionPipeline"}},
		"no unet":             {"unet/config.json", nil, []string{"unet", "config.json", "download"}},
		"no weights":          {"vae/diffusion_pytorch_model.safetensors", nil, []string{"vae"}},
		"unknown unet class":  {"unet/config.json", with(tinyUNet, "_class_name", "UNet3D"), []string{"UNet3D"}},
		"unknown vae class":   {"vae/config.json", with(tinyVAE, "_class_name", "VQModel"), []string{"VQModel"}},
		"unknown text class":  {"text_encoder/config.json", with(tinyCLIP, "architectures", []string{"T5EncoderModel"}), []string{"T5EncoderModel"}},
		"unknown block":       {"unet/config.json", with(tinyUNet, "down_block_types", []string{"DownBlock2D", "KDownBlock2D"}), []string{"KDownBlock2D"}},
		"extra of the class":  {"unet/config.json", with(tinyUNet, "addition_embed_type", "image"), []string{"addition_embed_type"}},
		"other widths":        {"unet/config.json", with(tinyUNet, "block_out_channels", []int{8, 16}), []string{"tensors do not fit", "need shape"}},
		"one level less":      {"vae/config.json", with(tinyVAE, "block_out_channels", []int{8}), []string{"down_block_types"}},
		"one block more":      {"vae/config.json", with(tinyVAE, "layers_per_block", 2), []string{"tensors do not fit"}},
		"one layer less":      {"text_encoder/config.json", with(tinyCLIP, "num_hidden_layers", 1), []string{"left over", "layers.1"}},
		"one layer more":      {"text_encoder/config.json", with(tinyCLIP, "num_hidden_layers", 3), []string{"layers.2", "missing"}},
		"absurd sizes":        {"unet/config.json", with(tinyUNet, "block_out_channels", []int{1 << 40, -8}), []string{"unet config"}},
		"no levels":           {"vae/config.json", with(tinyVAE, "block_out_channels", []int{}), []string{"levels"}},
		"unknown prediction":  {"scheduler/scheduler_config.json", map[string]any{"prediction_type": "x"}, []string{"prediction_type"}},
		"unknown betas":       {"scheduler/scheduler_config.json", map[string]any{"beta_schedule": "x"}, []string{"beta_schedule"}},
		"betas by hand":       {"scheduler/scheduler_config.json", map[string]any{"trained_betas": []float64{0.1, 0.2}}, []string{"trained_betas"}},
		"betas out of order":  {"scheduler/scheduler_config.json", map[string]any{"beta_start": 2}, []string{"beta_start"}},
		"other quantization":  {"unet/quantization_config.json", map[string]any{"quant_method": "bitsandbytes"}, []string{"bitsandbytes"}},
		"config is a list":    {"unet/config.json", []int{1}, []string{"unet"}},
		"tokenizer of chance": {"tokenizer/vocab.json", map[string]any{"a": 1}, []string{"tokenizer"}},
		"network of SDXL": {
			"unet/config.json", with(with(with(tinyUNet, "addition_embed_type", "text_time"), "addition_time_embed_dim", 4), "projection_class_embeddings_input_dim", 32),
			[]string{`addition_embed_type = "text_time" is not supported, need null, as in SD1.x and SD2.x`},
		},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(core)); err != nil {
				t.Fatal(err)
			}
			if c.value == nil {
				if err := os.Remove(filepath.Join(dir, filepath.FromSlash(c.file))); err != nil {
					t.Fatal(err)
				}
			} else {
				writeJSON(t, dir, c.file, c.value)
			}
			_, _, _, err := e.LoadPipeline(context.Background(), dir, Options{})
			if err == nil {
				t.Fatal("it loads")
			}
			for _, word := range c.need {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("error %q does not name %q", err, word)
				}
			}
		})
	}
}

// Results do not depend on the number of threads, and the meta device takes the memory that the CPU takes.
func TestThreads(t *testing.T) {
	ctx := context.Background()
	var first []float32
	for _, n := range []int{1, 2, 3, 7} {
		e, err := New(Config{Threads: n, Precision: "exact"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(e.Close)
		m, c, v, err := e.LoadPipeline(ctx, core, Options{})
		if err != nil {
			t.Fatal(err)
		}
		x := types.NewTensor(2, 4, 13, 9)
		for i := range x.Data {
			x.Data[i] = float32(math.Sin(float64(i)))
		}
		tokens := types.NewTensor(1, 77, 8)
		y, err := m.Predict(ctx, x, []float32{10, 500}, []types.Cond{{Tokens: tokens}, {Tokens: tokens}})
		if err != nil {
			t.Fatal(err)
		}
		all, peak := slices.Clone(y.Data), e.Memory().Peak
		if flops, bytes, err := m.Denoiser.(*diffusion.UNetModel).Estimate(2, 13, 9, 77); err != nil || flops == 0 || bytes != peak {
			t.Errorf("estimate of %d FLOPs and %d bytes, %v; the CPU took %d", flops, bytes, err, peak)
		}
		cond, err := c.Encode(ctx, "a (red:1.3) fox", 0)
		if err != nil {
			t.Fatal(err)
		}
		im, err := v.Decode(ctx, x)
		if err != nil {
			t.Fatal(err)
		}
		all = append(append(all, cond[0].Tokens.Data...), im.Data...)
		if first == nil {
			first = all
		}
		if !slices.Equal(all, first) {
			t.Errorf("%d threads give another result than 1", n)
		}
	}
}

func TestCancelledLoad(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, _, err := newEngine(t).LoadPipeline(ctx, core, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("have %v, need context.Canceled", err)
	}
}

func TestCheckpointOfOtherFamilies(t *testing.T) {
	for name, word := range map[string]string{
		"model.diffusion_model.double_blocks.0.img_attn.norm.key_norm.scale": "FLUX", "conditioner.embedders.1.model.ln_final.weight": "SDXL", "x": "SD1.x",
	} {
		path := filepath.Join(t.TempDir(), "a.safetensors")
		if err := weights.Write(path, []weights.Tensor{tensor(name, 1, 4)}, nil); err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := newEngine(t).LoadCheckpoint(context.Background(), path); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%s: %v does not name %s", name, err, word)
		}
	}
}
