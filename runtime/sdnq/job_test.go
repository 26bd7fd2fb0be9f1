package sdnq

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"graphrun/kernels/cpu"
	"graphrun/runtime/weights"
	"graphrun/types"
)

// contents are the files of a folder, by name.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, name := range files(t, dir) {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		all[name] = string(text)
	}
	return all
}

// stopAfter runs a job that is cancelled when so many layers are done, as far as it can be told.
func stopAfter(t *testing.T, j Job, layers int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	steps := 0
	_, err := j.Run(types.WithProgress(ctx, func(types.Progress) {
		if steps++; steps == layers {
			cancel()
		}
	}))
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("have %v, want it cancelled", err)
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func shardedConfig() *Config {
	c := DefaultConfig()
	c.QuantConv, c.QuantEmbedding, c.WeightsDType = true, true, "uint4"
	return c
}

// A job goes on after it was stopped at any layer, and after a process that was killed left a line of the journal half and data
// of a layer damaged; the bytes are those of a job that was never stopped.
func TestJobResumes(t *testing.T) {
	src := pipeline(t)
	dynamic := shardedConfig()
	loss := 1e-5
	dynamic.DynamicQuantization, dynamic.DynamicLossThreshold, dynamic.UseHadamard = true, &loss, true
	svd := shardedConfig()
	svd.UseSVD, svd.UseCodebook, svd.SVDRank = true, true, 4
	for _, c := range []struct {
		config *Config
		shard  int64
	}{{shardedConfig(), 0}, {shardedConfig(), 20_000}, {dynamic, 60_000}, {svd, 0}} {
		shard := c.shard
		whole := filepath.Join(t.TempDir(), "out")
		steps := 0
		report, err := (&Job{Source: src, Target: whole, Config: c.config, MaxShard: shard}).Run(types.WithProgress(t.Context(), func(types.Progress) { steps++ }))
		if err != nil {
			t.Fatal(err)
		}
		want := contents(t, whole)
		for stop := 1; stop < steps; stop++ {
			dst := filepath.Join(t.TempDir(), "out")
			job := Job{Source: src, Target: dst, Config: c.config, MaxShard: shard, Resume: true}
			stopAfter(t, job, stop)
			if _, err := os.Stat(dst); err == nil {
				t.Fatal("the target is there, half written")
			}
			work := filepath.Join(filepath.Dir(dst), ".out.part")
			if stop == 2 {
				damage(t, work)
			}
			rest := 0
			again, err := job.Run(types.WithProgress(t.Context(), func(p types.Progress) { rest = p.Total }))
			if err != nil {
				t.Fatal(err)
			}
			if rest >= steps && stop != 2 {
				t.Errorf("stopped after %d of %d layers: did %d again", stop, steps, rest)
			}
			if have := contents(t, dst); !maps.Equal(have, want) {
				t.Errorf("stopped after %d layers: other bytes than without a stop", stop)
			}
			if _, err := os.Stat(work); err == nil {
				t.Error("the work folder is left")
			}
			again.Target = report.Target
			if a, b := asJSON(t, again), asJSON(t, report); a != b {
				t.Errorf("reports %s\n, without a stop %s", a, b)
			}
		}
	}
}

// damage cuts the journal's last line and turns a byte of what is written.
func damage(t *testing.T, work string) {
	t.Helper()
	journal := filepath.Join(work, "journal.jsonl")
	text, err := os.ReadFile(journal)
	if err == nil {
		err = os.WriteFile(journal, append(text, []byte(`{"Component":"unet","Na`)...), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	parts, _ := filepath.Glob(filepath.Join(work, "model", "*", "*.part"))
	for _, p := range parts {
		f, err := os.OpenFile(p, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		info, _ := f.Stat()
		for at := info.Size() / 2; at < info.Size(); at++ {
			b := make([]byte, 1)
			f.ReadAt(b, at)
			f.WriteAt([]byte{^b[0]}, at)
		}
	}
}

func TestJobRefusesAnotherTry(t *testing.T) {
	src := pipeline(t)
	dst := filepath.Join(t.TempDir(), "out")
	job := func() Job { return Job{Source: src, Target: dst, Config: shardedConfig(), Resume: true} }
	stopAfter(t, job(), 2)
	refused := func(name, want string, j Job) {
		t.Helper()
		_, err := j.Run(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: have %v, want %q", name, err, want)
		}
	}
	fresh := job()
	fresh.Resume = false
	refused("without resume", "unfinished try", fresh)
	other := job()
	other.Config.WeightsDType = "int8"
	refused("other settings", "weights_dtype", other)
	fewer := job()
	fewer.Components = []string{"unet"}
	refused("other components", "same source and settings", fewer)
	held := filepath.Join(filepath.Dir(dst), ".out.part", "lock")
	f, err := os.OpenFile(held, os.O_RDWR, 0)
	if err != nil || !lockFile(f) {
		t.Fatal("cannot hold the lock: ", err)
	}
	refused("two at once", "another process", job())
	f.Close()
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(filepath.Join(src, "unet", "diffusion_pytorch_model.safetensors"), later, later); err != nil {
		t.Fatal(err)
	}
	refused("changed source", "Mtime", job())
	anew := job()
	anew.Overwrite = true
	if _, err := anew.Run(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestJobReplaces(t *testing.T) {
	src, dst := pipeline(t), filepath.Join(t.TempDir(), "out")
	if err := QuantizeModel(t.Context(), src, dst, DefaultConfig()); err != nil {
		t.Fatal(err)
	}
	before := contents(t, dst)
	again := Job{Source: src, Target: dst, Config: shardedConfig(), Overwrite: true}
	stopAfter(t, again, 1)
	if !maps.Equal(before, contents(t, dst)) {
		t.Error("a try that was stopped changed the target")
	}
	if _, err := again.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, cfg := openComponent(t, filepath.Join(dst, "unet"))
	if cfg.WeightsDType != "uint4" {
		t.Errorf("have %s", cfg.WeightsDType)
	}
	if left, _ := os.ReadDir(filepath.Dir(dst)); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
	for name, target := range map[string]string{"source": src, "inside": filepath.Join(src, "x"), "around": filepath.Dir(src)} {
		j := Job{Source: src, Target: target, Config: DefaultConfig(), Overwrite: true}
		if _, err := j.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "beside the source") {
			t.Errorf("%s: have %v", name, err)
		}
	}
}

// The sizes that a dry run tells are those of the files.
func TestJobDryRun(t *testing.T) {
	src, parent := pipeline(t), t.TempDir()
	for _, dtype := range []string{"int8", "uint4", "int6", "uint16"} {
		cfg := shardedConfig()
		cfg.WeightsDType = dtype
		job := Job{Source: src, Target: filepath.Join(parent, dtype), Config: cfg, DryRun: true}
		dry, err := job.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if left, _ := os.ReadDir(parent); len(left) != 0 {
			t.Fatalf("a dry run wrote %v", left)
		}
		job.DryRun = false
		made, err := job.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		total := int64(0)
		for i, c := range made.Components {
			s, _ := openComponent(t, filepath.Join(job.Target, c.Name))
			total += s.Bytes()
			for k, l := range c.Layers {
				if d := dry.Components[i].Layers[k]; d.Module != l.Module || d.DType != l.DType || d.After != l.After || d.Before != l.Before {
					t.Errorf("%s: planned %+v, made %+v", dtype, d, l)
				}
				if l.DType != "" && (l.RMS <= 0 || l.Max < l.RMS/100) {
					t.Errorf("%s: layer without an error: %+v", dtype, l)
				}
			}
		}
		if dry.After != made.After || made.After != total {
			t.Errorf("%s: planned %d bytes, reported %d, wrote %d", dtype, dry.After, made.After, total)
		}
		os.RemoveAll(job.Target)
	}
}

// A source that changes while it is read is an error of a tensor, and nothing is left.
func TestJobSourceChanges(t *testing.T) {
	for name, change := range map[string]func(file string) error{
		"touched": func(file string) error { return os.Chtimes(file, time.Time{}, time.Now().Add(time.Hour)) },
		"cut":     func(file string) error { return os.Truncate(file, 2048) },
		"gone":    os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			src, parent := pipeline(t), t.TempDir()
			file := filepath.Join(src, "unet", "diffusion_pytorch_model.safetensors")
			changedIt := false
			ctx := types.WithProgress(t.Context(), func(types.Progress) {
				if !changedIt {
					changedIt = true
					if err := change(file); err != nil {
						t.Error(err)
					}
				}
			})
			err := QuantizeModel(ctx, src, filepath.Join(parent, "out"), shardedConfig(), "unet")
			var typed *weights.Error
			if !errors.As(err, &typed) || !strings.Contains(typed.File, "diffusion_pytorch_model") {
				t.Fatalf("have %v", err)
			}
			if name != "gone" && (typed.Need == "" || typed.Have == "") {
				t.Errorf("have %v, want need and have", err)
			}
			t.Log(err)
			if left, _ := os.ReadDir(parent); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// A single file stays one: its config and the shapes of its modules are in its metadata, and what it said of itself stays.
func TestJobOfFile(t *testing.T) {
	dir := t.TempDir()
	src, dst := filepath.Join(dir, "a.safetensors"), filepath.Join(dir, "b.safetensors")
	list := []weights.Tensor{
		random("model.diffusion_model.input_blocks.1.1.to_q.weight", weights.F16, 64, 128), random("model.diffusion_model.input_blocks.1.1.to_q.bias", weights.F16, 64),
		random("model.diffusion_model.time_embed.0.weight", weights.F16, 128, 128), random("model.diffusion_model.out.2.weight", weights.F16, 32, 64, 3, 3),
		random("model.diffusion_model.input_blocks.2.0.in_layers.2.weight", weights.F16, 64, 64, 3, 3),
		random("first_stage_model.decoder.mid.attn_1.q.weight", weights.F16, 128, 128, 1, 1), random("first_stage_model.decoder.conv.weight", weights.F16, 64, 32, 3, 3),
		random("cond_stage_model.transformer.text_model.fc1.weight", weights.F16, 256, 128), random("alphas_cumprod", weights.F32, 1000),
	}
	if err := weights.Write(src, list, map[string]string{"format": "pt", "title": "mine"}); err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig()
	cfg.QuantConv, cfg.UseQuantizedMatmul, cfg.WeightsDType, cfg.MinNumel = true, true, "uint4", 8192
	report, err := (&Job{Source: src, Target: dst, Config: cfg, Components: []string{"unet", "vae"}}).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s, err := weights.Open(dst)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.Metadata()["title"] != "mine" || report.After != s.Bytes() {
		t.Errorf("metadata %v, %d bytes reported, %d written", s.Metadata(), report.After, s.Bytes())
	}
	c, shapes, err := OfFile(s)
	if err != nil || c == nil {
		t.Fatal(c, err)
	}
	for name, quantized := range map[string]bool{
		"model.diffusion_model.input_blocks.1.1.to_q": true, "model.diffusion_model.time_embed.0": false, "model.diffusion_model.out.2": false,
		"model.diffusion_model.input_blocks.2.0.in_layers.2": true, "first_stage_model.decoder.mid.attn_1.q": false, "first_stage_model.decoder.conv": true,
		"cond_stage_model.transformer.text_model.fc1": false,
	} {
		if _, ok := s.Lookup(name + ".scale"); ok != quantized {
			t.Errorf("%s: quantized %v", name, ok)
		}
		x, _ := shapes.Lookup(name + ".weight")
		i := slices.IndexFunc(list, func(t weights.Tensor) bool { return t.Name == name+".weight" })
		if !slices.Equal(x.Shape, list[i].Shape) {
			t.Errorf("%s: shape %v", name, x.Shape)
		}
		if !quantized {
			continue
		}
		part := c.Renamed(func(n string) string { return strings.TrimPrefix(n, "model.") })
		renamed := s.Rename(func(n string) string { return strings.TrimPrefix(n, "model.") })
		m, err := Layer(renamed, strings.TrimPrefix(name, "model."), part, x.Shape)
		if err != nil {
			t.Fatal(err)
		}
		v, _ := list[i].Float32()
		near(t, name, m.Dequantize(), v, 0.12)
	}
	for what, j := range map[string]Job{
		"a name without suffix": {Source: src, Target: filepath.Join(dir, "c"), Config: cfg},
		"quantized already":     {Source: dst, Target: filepath.Join(dir, "c.safetensors"), Config: cfg},
		"components that are":   {Source: src, Target: filepath.Join(dir, "c.safetensors"), Config: cfg, Components: []string{"text_encoder_9"}},
		"single file":           {Source: src, Target: filepath.Join(dir, "c.safetensors"), Config: cfg, MaxShard: 1 << 20},
	} {
		if _, err := j.Run(t.Context()); err == nil || !strings.Contains(err.Error(), strings.Split(what, " ")[0]) && what != "quantized already" {
			t.Errorf("%s: have %v", what, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*c*")); len(left) > 0 {
		t.Errorf("left behind %v", left)
	}
}

// What a file says of its own quantization may be anything.
func FuzzOfFile(f *testing.F) {
	f.Add(`{"quant_method":"sdnq","weights_dtype":"uint4"}`, `{"x.weight":[4,8]}`)
	f.Add(`{"quant_method":"sdnq","modules_dtype_dict":{"int8":["x.weight"]}}`, `{"x.weight":[-1]}`)
	f.Add(`{}`, `[]`)
	f.Fuzz(func(t *testing.T, config, shapes string) {
		meta, _ := json.Marshal(map[string]string{metadataConfig: config, metadataShapes: shapes})
		file := filepath.Join(t.TempDir(), "x.safetensors")
		var m map[string]string
		if json.Unmarshal(meta, &m) != nil {
			return
		}
		if err := weights.Write(file, []weights.Tensor{random("x.weight", weights.F32, 4, 8)}, m); err != nil {
			return
		}
		s, err := weights.Open(file)
		if err != nil {
			return
		}
		defer s.Close()
		c, view, err := OfFile(s)
		if err != nil || c == nil {
			return
		}
		c.Renamed(func(n string) string { return n + "y" })
		if x, ok := view.Lookup("x.weight"); !ok || len(x.Shape) < 2 {
			t.Errorf("shape %v", x.Shape)
		}
	})
}

// A layer without a config is read by what its bytes tell.
func TestGuess(t *testing.T) {
	pool := cpu.NewPool(2)
	defer pool.Close()
	for _, dtype := range []string{"int8", "uint8", "int5", "uint4", "int2", "uint1", "float8_e4m3fn", "float16", "int16", "uint12"} {
		cfg := DefaultConfig()
		cfg.WeightsDType = dtype
		w := random("a.weight", weights.F32, 32, 64)
		q, err := Quantize(t.Context(), pool, w, Linear, cfg)
		if err != nil {
			t.Fatal(err)
		}
		s := weights.Of(q.Tensors...)
		guess := Guess(s, "a", w.Shape)
		if guess.WeightsDType != dtype {
			t.Errorf("%s: guessed %s", dtype, guess.WeightsDType)
		}
		if _, err := Layer(s, "a", guess, w.Shape); err != nil {
			t.Error(err)
		}
	}
}
