package sdnq

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"graphrun/runtime/weights"
	"graphrun/types"
)

// random is a weight of normal numbers, the same at each call.
func random(name string, d weights.DType, shape ...int) weights.Tensor {
	r := rand.New(rand.NewPCG(1, uint64(len(name))))
	v := make([]float32, product(shape))
	for i := range v {
		v[i] = float32(r.NormFloat64()) * 0.05
	}
	return weights.Tensor{Name: name, DType: d, Shape: shape, Data: floatBytes(v, d)}
}

// pipeline writes a small model in diffusers' layout.
func pipeline(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "model")
	for name, content := range map[string]any{
		"model_index.json":                `{"_class_name":"StableDiffusionPipeline"}`,
		"scheduler/scheduler_config.json": `{}`,
		"unet/config.json":                `{"_class_name":"UNet2DConditionModel","sample_size":64,"note":"<&>"}`,
		"unet/diffusion_pytorch_model.safetensors": []weights.Tensor{
			random("conv_in.weight", weights.F16, 32, 4, 3, 3), random("conv_in.bias", weights.F16, 32),
			random("mid.conv.weight", weights.F16, 64, 32, 3, 3), random("mid.to_q.weight", weights.F16, 128, 128),
			random("mid.norm.weight", weights.F16, 128, 128), random("proj_out.weight", weights.F16, 128, 128),
			random("mid.short.weight", weights.F16, 64, 64),
		},
		"unet/diffusion_pytorch_model.fp16.safetensors": []weights.Tensor{random("old", weights.F16, 1)},
		"text_encoder/config.json":                      `{"architectures":["CLIPTextModel"]}`,
		"text_encoder/model.safetensors": []weights.Tensor{
			random("text_model.embeddings.token_embedding.weight", weights.F32, 200, 128), random("text_model.fc1.weight", weights.F32, 256, 128),
		},
	} {
		file := filepath.Join(dir, filepath.FromSlash(name))
		err := os.MkdirAll(filepath.Dir(file), 0o755)
		switch c := content.(type) {
		case string:
			err = errors.Join(err, os.WriteFile(file, []byte(c), 0o644))
		case []weights.Tensor:
			err = errors.Join(err, weights.Write(file, c, nil))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func files(t *testing.T, dir string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, file)
			list = append(list, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestQuantizeModel(t *testing.T) {
	src := pipeline(t)
	dst := filepath.Join(t.TempDir(), "out")
	var steps []types.Progress
	ctx := types.WithProgress(t.Context(), func(p types.Progress) { steps = append(steps, p) })
	cfg := DefaultConfig()
	cfg.QuantConv, cfg.UseQuantizedMatmul, cfg.NotUseMatmul = true, true, []string{"fc1"}
	for _, extra := range []string{"v1-5.safetensors", "v1-5.ckpt", ".cache/part"} { // as repositories have them: none is part of the pipeline
		if err := os.MkdirAll(filepath.Dir(filepath.Join(src, extra)), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(src, extra), []byte("x"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := QuantizeModel(ctx, src, dst, cfg); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"README.md", "model_index.json", "scheduler/scheduler_config.json", "text_encoder/config.json", "text_encoder/model.safetensors", "text_encoder/quantization_config.json",
		"unet/config.json", "unet/diffusion_pytorch_model.safetensors", "unet/quantization_config.json",
	}
	if got := files(t, dst); !slices.Equal(got, want) {
		t.Errorf("have files %v, want %v", got, want)
	}
	if n := len(steps); n != 3 || steps[n-1].Step != 3 || steps[n-1].Total != 3 || steps[0].Phase != "quantize" {
		t.Errorf("have progress %v", steps)
	}
	unet, cfg2 := openComponent(t, filepath.Join(dst, "unet"))
	shapes := map[string]string{}
	for _, name := range unet.Names() {
		x, _ := unet.Lookup(name)
		shapes[name] = fmt.Sprint(x.DType.String(), x.Shape)
	}
	for name, shape := range map[string]string{
		"conv_in.weight": "F16[32 4 3 3]", "mid.conv.weight": "I8[64 32 3 3]", "mid.conv.scale": "F32[64 1 3 3]", "mid.to_q.weight": "I8[128 128]",
		"mid.to_q.scale": "F32[1 128]", "mid.norm.weight": "F16[128 128]", "proj_out.weight": "F16[128 128]", "mid.short.weight": "F16[64 64]", "conv_in.bias": "F16[32]",
	} {
		if shapes[name] != shape {
			t.Errorf("%s: have %s, want %s", name, shapes[name], shape)
		}
	}
	if len(shapes) != 9 {
		t.Errorf("have tensors %v", shapes)
	}
	for _, listed := range []string{"norm", ".proj_out", "mid.short.weight", "conv_in.weight"} {
		if !slices.Contains(cfg2.NotConvert, listed) {
			t.Errorf("modules_to_not_convert lacks %q: %v", listed, cfg2.NotConvert)
		}
	}
	if cfg2.Version != Version || !cfg2.UseQuantizedMatmul {
		t.Errorf("have config %+v", cfg2)
	}
	m, err := Layer(unet, "mid.to_q", cfg2, []int{128, 128})
	if err != nil {
		t.Fatal(err)
	}
	source, _ := random("mid.to_q.weight", weights.F16, 128, 128).Float32()
	near(t, "mid.to_q", m.Dequantize(), source, 1.0/254+1e-6) // half a step
	if !m.QuantizedMatMul() {
		t.Error("quantized matmul is not wanted")
	}
	text, err := os.ReadFile(filepath.Join(dst, "unet", "config.json"))
	if err != nil || !strings.Contains(string(text), `"note": "<&>"`) {
		t.Errorf("config.json is changed: %s", text)
	}
}

func openComponent(t *testing.T, dir string) (*weights.Store, *Config) {
	t.Helper()
	s, err := weights.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	cfg, err := LoadConfig(dir)
	if err != nil || cfg == nil {
		t.Fatal(cfg, err)
	}
	return s, cfg
}

func TestQuantizeOneComponent(t *testing.T) {
	src := pipeline(t)
	dst := filepath.Join(t.TempDir(), "out")
	cfg := DefaultConfig()
	cfg.WeightsDType, cfg.QuantEmbedding = "uint4", true
	if err := QuantizeModel(t.Context(), src, dst, cfg, "text_encoder"); err != nil {
		t.Fatal(err)
	}
	s, c := openComponent(t, filepath.Join(dst, "text_encoder"))
	if x, _ := s.Lookup("embeddings.token_embedding.scale"); !slices.Equal(x.Shape, []int{200, 4, 1}) || !c.IsUnsigned {
		t.Errorf("have scale of shape %v", x.Shape)
	}
	if cfg, err := LoadConfig(filepath.Join(dst, "unet")); cfg != nil || err != nil {
		t.Errorf("unet has a config: %v, %v", cfg, err)
	}
	if _, err := os.Stat(filepath.Join(dst, "unet", "diffusion_pytorch_model.fp16.safetensors")); err != nil {
		t.Error("files of other components must be copied: ", err)
	}
	alone := filepath.Join(t.TempDir(), "alone")
	if err := QuantizeModel(t.Context(), filepath.Join(src, "text_encoder"), alone, cfg); err != nil {
		t.Fatal(err)
	}
	openComponent(t, alone)
}

func TestQuantizeShards(t *testing.T) {
	src, dst := pipeline(t), filepath.Join(t.TempDir(), "out")
	cfg := DefaultConfig()
	cfg.QuantConv = true
	report, err := (&Job{Source: src, Target: dst, Config: cfg, MaxShard: 40_000, Components: []string{"unet"}}).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s, c := openComponent(t, filepath.Join(dst, "unet"))
	if len(s.Files()) < 2 {
		t.Errorf("have files %v", s.Files())
	}
	if _, err := Layer(s, "mid.conv", c, []int{64, 32, 3, 3}); err != nil {
		t.Error(err)
	}
	if report.After != s.Bytes() || report.Before <= report.After {
		t.Errorf("reported %d bytes of %d before, written %d", report.After, report.Before, s.Bytes())
	}
}

func TestQuantizeLeavesNothing(t *testing.T) {
	src := pipeline(t)
	cancelled, cancel := context.WithCancel(t.Context())
	halfway := types.WithProgress(cancelled, func(types.Progress) { cancel() })
	set := func(f func(c *Config)) *Config { c := DefaultConfig(); f(c); return c }
	for name, c := range map[string]struct {
		ctx  context.Context
		src  string
		cfg  *Config
		want string
	}{
		"cancelled":      {halfway, src, DefaultConfig(), "canceled"},
		"no model":       {t.Context(), t.TempDir(), DefaultConfig(), "component folder"},
		"no folder":      {t.Context(), filepath.Join(src, "nowhere"), DefaultConfig(), "model folder"},
		"nothing to do":  {t.Context(), src, set(func(c *Config) { c.MinNumel = 1 << 40 }), "layers to quantize"},
		"unknown dtype":  {t.Context(), src, set(func(c *Config) { c.WeightsDType = "int99" }), "int99"},
		"not written":    {t.Context(), src, set(func(c *Config) { c.UseCodebookScale = true }), "scale_dtype"},
		"unusable dtype": {t.Context(), src, set(func(c *Config) { c.WeightsDType = "float32" }), "float16"},
		"already SDNQ's": {t.Context(), filepath.Join(quantized(t, src), "unet"), DefaultConfig(), "not quantized"},
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			err := QuantizeModel(c.ctx, c.src, filepath.Join(parent, "out"), c.cfg)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("have %v, want %q", err, c.want)
			}
			if left, _ := os.ReadDir(parent); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
	if err := QuantizeModel(t.Context(), src, src, DefaultConfig()); err == nil {
		t.Error("writes over an existing folder")
	}
}

func quantized(t *testing.T, src string) string {
	dst := filepath.Join(t.TempDir(), "quantized")
	if err := QuantizeModel(t.Context(), src, dst, DefaultConfig()); err != nil {
		t.Fatal(err)
	}
	return dst
}

func TestConfigKeepsOrderAndIgnoresTheUnknown(t *testing.T) {
	text := `{"quant_method":"sdnq","weights_dtype":"uint4","new_key":[1],"group_size":null,
		"modules_dtype_dict":{"z":["b"],"int8":["a"]},"modules_quant_config":{}}`
	if _, err := ParseConfig([]byte(text)); err == nil || !strings.Contains(err.Error(), `"z"`) {
		t.Errorf("have %v, want an error about z", err)
	}
	cfg, err := ParseConfig([]byte(strings.Replace(text, `"z"`, `"minimum_6bit"`, 1)))
	if err != nil || cfg.GroupSize != 0 || cfg.MinNumel != 16384 {
		t.Fatalf("have %+v, %v", cfg, err)
	}
	again, err := json.Marshal(cfg)
	if err != nil || !strings.Contains(string(again), `"modules_dtype_dict":{"minimum_6bit":["b"],"int8":["a"]}`) {
		t.Errorf("have %s, %v", again, err)
	}
}
