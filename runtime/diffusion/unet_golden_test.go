package diffusion

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"graphrun/internal/golden"
	"graphrun/kernels/cpu"
	"graphrun/runtime/device"
	"graphrun/runtime/nn"
	"graphrun/runtime/sdnq"
	"graphrun/runtime/weights"
)

// TestGoldenUNet holds the network, and every named activation inside it, to diffusers in float32, from the diffusers
// folder and, where the model has one, from the single file in the original layout.
func TestGoldenUNet(t *testing.T) {
	golden.Models(t, func(t *testing.T, c golden.ModelCase) {
		dir := golden.Stage(t, "tiny/"+c.Model)
		t.Run("diffusers", func(t *testing.T) { testUNet(t, c, openUNet(t, filepath.Join(dir, "unet"))) })
		if _, err := os.Stat(filepath.Join(dir, "single-file.safetensors")); err == nil {
			t.Run("original", func(t *testing.T) { testUNet(t, c, openOriginalUNet(t, filepath.Join(dir, "single-file.safetensors"))) })
		}
	}, "unet_forward")
}

// openUNet loads a folder with config.json.
func openUNet(t testing.TB, dir string) *UNet {
	t.Helper()
	raw, b := openFolder(t, dir)
	config, err := ParseUNetConfig(raw)
	if err != nil {
		t.Fatal(err)
	}
	u, err := NewUNet(config, b)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// openFolder opens a folder: its config.json, and a binder in float32 over its weights, quantized or not.
func openFolder(t testing.TB, dir string) (config []byte, b *nn.Binder) {
	t.Helper()
	config, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	store, err := weights.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	quant, err := sdnq.LoadConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	return config, nn.NewBinder(store, quant, nn.Options{DType: "float32"})
}

// openOriginalUNet loads a single file whose metadata says what shapes do not; what they say must agree.
func openOriginalUNet(t *testing.T, file string) *UNet {
	t.Helper()
	raw, store := openSingleFile(t, file)
	config, err := ParseUNetConfig(raw)
	if err != nil {
		t.Fatal(err)
	}
	seen, _ := DetectUNet(store) // heads, groups and time ids of a tiny model are not the real one's
	seen.Heads, seen.NormNumGroups, seen.AdditionTimeEmbedDim = config.Heads, config.NormNumGroups, config.AdditionTimeEmbedDim
	if a, b := mustJSON(t, seen), mustJSON(t, config); a != b {
		t.Errorf("shapes tell %s, the config %s", a, b)
	}
	u, err := NewUNet(config, nn.NewBinder(store.Rename(OriginalUNetNames(config)), nil, nn.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// openSingleFile opens a single file: the network's config in its metadata, and the network's tensors.
func openSingleFile(t *testing.T, file string) (config []byte, store *weights.Store) {
	t.Helper()
	store, err := weights.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	var tiny struct {
		Config json.RawMessage `json:"unet_or_transformer"`
	}
	if err := json.Unmarshal([]byte(store.Metadata()["tiny_config"]), &tiny); err != nil {
		t.Fatal(err)
	}
	return tiny.Config, store.Sub("model.diffusion_model.")
}

// addition uploads the added condition of a file, nil where it has none.
func addition(p *nn.Pass, text, timeIDs golden.Tensor) *Addition {
	if text.Shape == nil {
		return nil
	}
	return &Addition{Text: p.Upload(text.F32(), false, text.Shape...), TimeIDs: timeIDs.F32()}
}

func testUNet(t *testing.T, c golden.ModelCase, u *UNet) {
	pool := cpu.NewPool(2)
	defer pool.Close()
	dev := device.NewCPU(pool, true)
	arena := device.NewArena(dev, 0)
	tensors := c.Tensors(t)
	in := func(name string) golden.Tensor {
		key, _ := c.Inputs[name].(string)
		return tensors[key]
	}
	x, ctxt := in("sample"), in("encoder_hidden_states")
	steps := make([]float32, x.Shape[0])
	for i := range steps {
		steps[i] = float32(c.Inputs["timestep"].(float64))
	}
	points, largest := c.Activations(tensors), 0.0

	p := device.NewPass(context.Background(), dev, arena)
	p.Point = func(name string, got device.Tensor) {
		want, ok := points[name]
		if !ok {
			return
		}
		delete(points, name)
		largest = max(largest, golden.Close(t, name, p.Download(got, true), want, c.Tol, 0))
	}
	y := u.Forward(p, p.Upload(x.F32(), true, x.Shape...), steps, p.Upload(ctxt.F32(), false, ctxt.Shape...), addition(p, in("text_embeds"), in("time_ids")))
	out := p.Download(y, true)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	largest = max(largest, golden.Close(t, "sample", out, tensors[c.Outputs["sample"]].F32(), c.Tol, 0))
	for name := range points {
		t.Errorf("point %s was not reached", name)
	}
	t.Logf("largest difference of all: %.3g (allowed %.3g)", largest, c.Tol)
	if s := arena.Stats(); s.Used != 0 {
		t.Errorf("%d bytes of the arena are still in use after the pass", s.Used)
	}
}
