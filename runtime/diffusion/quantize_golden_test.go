package diffusion

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"graphrun/internal/golden"
	"graphrun/runtime/sdnq"
	"graphrun/runtime/weights"
)

// TestGoldenQuantizedForward quantizes the networks and predicts: the result is that of a dense network of the numbers that
// the codes stand for, and near to the original's, which tiny networks put further off than real ones.
func TestGoldenQuantizedForward(t *testing.T) {
	golden.Models(t, func(t *testing.T, c golden.ModelCase) {
		src := filepath.Join(golden.Stage(t, "tiny/"+c.Model), c.Component)
		tensors := c.Tensors(t)
		want := tensors[c.Outputs["sample"]].F32()
		for dtype, most := range map[string]float64{"int8": 0.1, "uint6": 0.6, "float8_e4m3fn": 0.6} {
			cfg := sdnq.DefaultConfig()
			cfg.WeightsDType, cfg.MinChannels, cfg.MinNumel, cfg.QuantConv = dtype, 8, 64, true
			dst := filepath.Join(t.TempDir(), "out")
			if err := sdnq.QuantizeModel(t.Context(), src, dst, cfg); err != nil {
				t.Fatal(err)
			}
			got := predict(t, c, tensors, dst)
			golden.Close(t, dtype+" against the same numbers dense", got, predict(t, c, tensors, dense(t, src, dst)), 2e-5, 2e-5)
			off, size := 0.0, 0.0
			for i, w := range want {
				off, size = off+math.Pow(float64(got[i]-w), 2), size+float64(w)*float64(w)
			}
			if off = math.Sqrt(off / size); !(off > 0 && off < most) {
				t.Errorf("%s: %.3g off the original, allowed %g", dtype, off, most)
			}
			t.Logf("%s: %.3g off the original", dtype, off)
		}
	}, "unet_forward", "flux_forward")
}

// predict runs a case's network from a folder.
func predict(t *testing.T, c golden.ModelCase, tensors map[string]golden.Tensor, dir string) []float32 {
	in := map[string]golden.Tensor{}
	for name, key := range c.Inputs {
		if key, ok := key.(string); ok {
			in["in."+name] = tensors[key]
		}
	}
	batch := 1
	for _, name := range []string{"in.sample", "in.hidden_states"} {
		if x, ok := in[name]; ok {
			batch = x.Shape[0]
		}
	}
	for _, name := range []string{"timestep", "guidance"} {
		if v, ok := c.Inputs[name].(float64); ok {
			list := make([]float32, batch)
			for i := range list {
				list[i] = float32(v)
			}
			in["in."+name] = golden.Tensor{DType: "F32", Shape: []int{batch}, Raw: encode(list, weights.F32)}
		}
	}
	if c.Kind == "flux_forward" {
		return runFlux(t, dir, in)
	}
	return runUNet(t, dir, in)
}

// dense writes a folder with the numbers that a quantized one's codes stand for.
func dense(t *testing.T, src, quantized string) string {
	cfg, err := sdnq.LoadConfig(quantized)
	if err != nil {
		t.Fatal(err)
	}
	was, err := weights.Open(src)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { was.Close() })
	is, err := weights.Open(quantized)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { is.Close() })
	var list []weights.Tensor
	for _, name := range was.Names() {
		x, _ := was.Lookup(name)
		module, _ := strings.CutSuffix(name, ".weight")
		if _, ok := is.Lookup(module + ".scale"); ok {
			m, err := sdnq.Layer(is, module, cfg, x.Shape)
			if err != nil {
				t.Fatal(err)
			}
			x.DType, x.Data = weights.F32, encode(m.Dequantize(), weights.F32)
		}
		list = append(list, x)
	}
	dir := t.TempDir()
	config, err := os.ReadFile(filepath.Join(src, "config.json"))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "config.json"), config, 0o666)
	}
	if err == nil {
		err = weights.Write(filepath.Join(dir, "model.safetensors"), list, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
