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
)

// TestGoldenFlux holds the network, and every named activation inside it, to diffusers in float32, from the diffusers
// folder and, where the model has one, from the single file in the original layout.
func TestGoldenFlux(t *testing.T) {
	golden.Models(t, func(t *testing.T, c golden.ModelCase) {
		dir := golden.Stage(t, "tiny/"+c.Model)
		t.Run("diffusers", func(t *testing.T) { testFlux(t, c, openFlux(t, filepath.Join(dir, c.Component))) })
		if _, err := os.Stat(filepath.Join(dir, "single-file.safetensors")); err == nil {
			t.Run("original", func(t *testing.T) { testFlux(t, c, openOriginalFlux(t, filepath.Join(dir, "single-file.safetensors"))) })
		}
	}, "flux_forward")
}

// openFlux loads a folder with config.json.
func openFlux(t testing.TB, dir string) *Flux {
	t.Helper()
	raw, b := openFolder(t, dir)
	config, err := ParseFluxConfig(raw)
	if err != nil {
		t.Fatal(err)
	}
	f, err := NewFlux(config, b)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// openOriginalFlux loads a single file whose metadata says what shapes do not; what they say must agree.
func openOriginalFlux(t *testing.T, file string) *Flux {
	t.Helper()
	raw, store := openSingleFile(t, file)
	config, err := ParseFluxConfig(raw)
	if err != nil {
		t.Fatal(err)
	}
	if config.PatchSize == 1 { // others are for the metadata to tell
		seen, _ := DetectFlux(store)
		seen.AxesDims = config.AxesDims // of a tiny model, not FLUX.1's
		if a, b := mustJSON(t, seen), mustJSON(t, config); a != b {
			t.Errorf("shapes tell %s, the config %s", a, b)
		}
	}
	f, err := NewFlux(config, nn.NewBinder(store.Split(OriginalFluxNames(config)), nil, nn.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func testFlux(t *testing.T, c golden.ModelCase, f *Flux) {
	tensors := c.Tensors(t)
	in := fluxValues{config: f.Config}
	for name, to := range in.tensors() {
		*to = tensors[c.Inputs[name].(string)]
	}
	for range in.image.Shape[0] {
		in.time = append(in.time, float32(c.Inputs["timestep"].(float64)))
		if g, ok := c.Inputs["guidance"].(float64); ok {
			in.guidance = append(in.guidance, float32(g))
		}
	}
	got := in.run(t, f, true)
	largest := golden.Close(t, "sample", got["sample"], tensors[c.Outputs["sample"]].F32(), c.Tol, 0)
	for name, want := range c.Activations(tensors) {
		if got[name] == nil {
			t.Errorf("point %s was not reached", name)
			continue
		}
		largest = max(largest, golden.Close(t, name, got[name], want, c.Tol, 0))
	}
	t.Logf("largest difference of all: %.3g (allowed %.3g)", largest, c.Tol)
}

// fluxValues are the inputs of one step as golden files have them.
type fluxValues struct {
	config                              FluxConfig
	image, text, pooled, imgIDs, txtIDs golden.Tensor
	time, guidance                      []float32
}

func (v *fluxValues) tensors() map[string]*golden.Tensor {
	return map[string]*golden.Tensor{
		"hidden_states": &v.image, "encoder_hidden_states": &v.text, "pooled_projections": &v.pooled, "img_ids": &v.imgIDs, "txt_ids": &v.txtIDs,
	}
}

// run predicts twice, the second time without new memory, and returns all named values, those of a batch in a row.
func (v *fluxValues) run(t *testing.T, f *Flux, exact bool) map[string][]float32 {
	t.Helper()
	pool := cpu.NewPool(2)
	defer pool.Close()
	dev := device.NewCPU(pool, exact)
	arena := device.NewArena(dev, 0)
	ids := func(x golden.Tensor, tokens int) []float32 { return x.F32()[:tokens*len(f.Config.AxesDims)] } // of one batch element
	rotary, err := f.Config.RotaryTable(nil, append(ids(v.txtIDs, v.text.Shape[1]), ids(v.imgIDs, v.image.Shape[1])...))
	if err != nil {
		t.Fatal(err)
	}
	var got map[string][]float32
	var blocks int64
	for step := range 2 {
		got = map[string][]float32{}
		p := device.NewPass(context.Background(), dev, arena)
		p.Point = func(name string, x device.Tensor) {
			if x.Format == device.Float32 { // not activations in int8 rows
				got[name] = append(got[name], p.Download(x, false)...)
			}
		}
		y := f.Forward(p, FluxInput{
			Image: p.Upload(v.image.F32(), false, v.image.Shape...), Text: p.Upload(v.text.F32(), false, v.text.Shape...),
			Pooled: p.Upload(v.pooled.F32(), false, v.pooled.Shape...), Time: v.time, Guidance: v.guidance, Rotary: rotary,
		})
		got["sample"] = p.Download(y, false)
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		s := arena.Stats()
		if step == 1 && s.Allocations != blocks {
			t.Errorf("the second step took %d new blocks of memory", s.Allocations-blocks)
		}
		if blocks = s.Allocations; s.Used != 0 {
			t.Errorf("%d bytes of the arena are still in use after the pass", s.Used)
		}
	}
	return got
}
