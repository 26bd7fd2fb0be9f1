package sdnq

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"graphrun/internal/golden"
	"graphrun/runtime/weights"
)

// TestGoldenQuantizeModels quantizes the tiny models of every family whole and reads all of it back: each layer is as far from
// the original as the report says, what is no layer has its bytes, and what Python would take for quantized and is not is listed.
func TestGoldenQuantizeModels(t *testing.T) {
	var models []string
	for _, c := range golden.Cases[struct{ Model string }](t, "models/cases.json") {
		if !slices.Contains(models, c.Model) {
			models = append(models, c.Model)
		}
	}
	set := func(f func(c *Config)) *Config {
		c := DefaultConfig()
		c.MinChannels, c.MinNumel = 8, 256
		f(c)
		return c
	}
	configs := map[string]*Config{
		"int8": set(func(c *Config) { c.UseQuantizedMatmul, c.UseMatmulConv, c.QuantConv = true, true, true }),
		"uint4": set(func(c *Config) {
			c.WeightsDType, c.UseSVD, c.SVDRank, c.SVDSteps, c.UseHadamard, c.QuantEmbedding = "uint4", true, 4, 2, true, true
		}),
		"dynamic": set(func(c *Config) { c.WeightsDType, c.DynamicQuantization = "int6", true }),
	}
	ran := 0
	for _, model := range models {
		src := golden.Stage(t, "tiny/"+model)
		if _, err := os.Stat(filepath.Join(src, "model_index.json")); err != nil {
			continue
		}
		for name, cfg := range configs {
			dst := filepath.Join(t.TempDir(), "out")
			report, err := (&Job{Source: src, Target: dst, Config: cfg, MaxShard: 300_000}).Run(t.Context())
			if err != nil {
				t.Errorf("%s, %s: %v", model, name, err)
				continue
			}
			layers := 0
			for _, c := range report.Components {
				layers += readBack(t, src, dst, c)
			}
			ran++
			t.Logf("%s, %s: %d layers of %d components, %.1f to %.1f kB", model, name, layers, len(report.Components), float64(report.Before)/1e3, float64(report.After)/1e3)
		}
	}
	if ran == 0 {
		t.Error("no model was quantized")
	}
}

// readBack compares a component with its original, and returns the number of its quantized layers.
func readBack(t *testing.T, src, dst string, c ComponentReport) (layers int) {
	t.Helper()
	was, err := weights.Open(filepath.Join(src, c.Name))
	if err != nil {
		t.Fatal(err)
	}
	defer was.Close()
	if c.Class == "CLIPTextModel" {
		was = was.Rename(func(n string) string { return strings.TrimPrefix(n, "text_model.") })
	}
	is, cfg := openComponent(t, filepath.Join(dst, c.Name))
	reports := map[string]LayerReport{}
	for _, l := range c.Layers {
		reports[l.Module] = l
	}
	for _, name := range was.Names() {
		x, _ := was.Lookup(name)
		module := strings.TrimSuffix(name, ".weight")
		if _, quantized := is.Lookup(module + ".scale"); !quantized {
			y, _ := is.Lookup(name)
			if string(x.Data) != string(y.Data) || x.DType != y.DType {
				t.Errorf("%s: not the original's bytes", name)
			}
			if strings.HasSuffix(name, ".weight") && len(x.Shape) == 2 && KindOf(name, x.Shape) == Linear && !matches(cfg.NotConvert, name) {
				t.Errorf("%s is not quantized and not listed", name)
			}
			continue
		}
		layers++
		m, err := Layer(is, module, cfg, x.Shape)
		if err != nil {
			t.Error(err)
			continue
		}
		if matches(cfg.NotConvert, name) {
			t.Errorf("%s is quantized and listed as not", name)
		}
		v, _ := x.Float32()
		squares, off := 0.0, 0.0
		for i, y := range m.Dequantize() {
			squares, off = squares+float64(v[i])*float64(v[i]), off+math.Pow(float64(v[i]-y), 2)
		}
		if rms, told := math.Sqrt(off/squares), reports[module].RMS; math.Abs(rms-told) > 1e-3*told+1e-7 {
			t.Errorf("%s: error %g, reported %g", name, rms, told)
		}
	}
	return layers
}
