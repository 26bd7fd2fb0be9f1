package sdnq

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"graphrun/internal/golden"
	"graphrun/kernels/cpu"
	"graphrun/runtime/weights"
)

// goldenCase is an entry of golden/sdnq/cases.json.
type goldenCase struct {
	ID, File     string
	DType        string // of the model
	Layers       map[string]goldenLayer
	Config       json.RawMessage `json:"quantization_config"`
	Tolerance    struct{ Dequant, Y float64 }
	NotFinite    []string          `json:"not_finite"`    // keys of tensors that Python itself got wrong
	ForwardError map[string]string `json:"forward_error"` // layers that Python cannot run
	PythonReload string            `json:"python_reload"`
	Producer     string            // set for old releases
}

// near compares with a tolerance relative to the largest reference value, as the manifest says, and logs the difference.
func near(t *testing.T, what string, got, want []float32, tolerance float64) {
	t.Helper()
	if len(got) != len(want) || len(want) == 0 {
		t.Errorf("%s: have %d values, want %d", what, len(got), len(want))
		return
	}
	top, worst := 0.0, 0.0
	for i, w := range want {
		top = max(top, math.Abs(float64(w)))
		d := math.Abs(float64(got[i]) - float64(w))
		if d != d {
			d = math.Inf(1)
		}
		worst = max(worst, d)
	}
	if top == 0 {
		top = 1
	}
	t.Logf("%s: largest difference %.2g of the largest value (allowed %.2g)", what, worst/top, tolerance)
	if worst/top > tolerance {
		t.Errorf("%s: differs by %.3g of the largest value, allowed %.3g", what, worst/top, tolerance)
	}
}

// coreCases are a few of the golden cases, kept in testdata so that a lone clone tests something.
func coreCases(t *testing.T) []goldenCase {
	t.Helper()
	text, err := os.ReadFile("testdata/core/cases.json")
	var manifest struct{ Cases []goldenCase }
	if err = errors.Join(err, json.Unmarshal(text, &manifest)); err != nil {
		t.Fatal(err)
	}
	return manifest.Cases
}

// checkFunc checks one case with its tensors and its checkpoint opened.
type checkFunc func(t *testing.T, c goldenCase, ref map[string]golden.Tensor, ckpt *weights.Store, cfg *Config)

// eachCase runs f for every case of a manifest in dir.
func eachCase(t *testing.T, dir string, cases []goldenCase, f checkFunc) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.ID, func(t *testing.T) {
			golden.Later(t, "sdnq", "", c.ID)
			path := filepath.Join(dir, c.File)
			store, err := weights.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			cfg, err := ParseConfig(c.Config)
			if err != nil {
				t.Fatal(err)
			}
			f(t, c, golden.Tensors(t, path), store.Sub("ckpt."), cfg)
		})
	}
}

func TestGoldenSDNQ(t *testing.T) {
	eachCase(t, filepath.Join(golden.Dir(t), "sdnq"), golden.Cases[goldenCase](t, "sdnq/cases.json"), checkLayers)
}

func TestCore(t *testing.T) {
	eachCase(t, "testdata/core", coreCases(t), checkLayers)
}

// checkLayers compares each layer's dequantized weight and its output with Python's.
func checkLayers(t *testing.T, c goldenCase, ref map[string]golden.Tensor, ckpt *weights.Store, cfg *Config) {
	for name, layer := range c.Layers {
		stored, _ := ckpt.Lookup(name + ".weight")
		shape := stored.Shape
		if x, ok := ref["dequant."+name]; ok {
			shape = x.Shape
		} else if x, ok := ref["orig."+name+".weight"]; ok {
			shape = x.Shape
		}
		var m *Matrix
		w, err := stored.Float32()
		if _, quantized := ckpt.Lookup(name + ".scale"); quantized {
			read := Layer
			if strings.HasPrefix(layer.Class, "ConvTranspose") {
				read = TransposedConv
			}
			if m, err = read(ckpt, name, cfg, shape); err == nil {
				w = m.Dequantize()
			}
		} else if _, ok := ref["dequant."+name]; ok {
			t.Errorf("%s: no scale, yet Python dequantized it", name)
		}
		if err != nil {
			t.Fatal(err)
		}
		if want, ok := ref["dequant."+name]; ok {
			near(t, "dequant."+name, w, want.F32(), c.Tolerance.Dequant)
		}
		if y, ok := ref["y."+name]; ok && !slices.Contains(c.NotFinite, "y."+name) {
			bias := make([]float32, max(shape[0], shape[1]))
			if b, ok := ckpt.Lookup(name + ".bias"); ok {
				bias, _ = b.Float32()
			}
			near(t, "y."+name, layer.run(m, w, bias, shape, ref["x."+name]), y.F32(), c.Tolerance.Y)
			if got := layer.multiply(t, m, bias, shape, ref["x."+name]); got != nil {
				near(t, "y."+name+" by the kernels", got, y.F32(), c.Tolerance.Y)
			}
		}
	}
}

// run is the layer's output for x: through the quantized matmul where Python takes it, else with the dequantized weight w.
func (l goldenLayer) run(m *Matrix, w, bias []float32, shape []int, x golden.Tensor) []float32 {
	k := product(shape[1:])
	switch l.Class {
	case "Embedding":
		var y []float32
		for _, i := range x.F64() {
			y = append(y, w[int(i)*k:][:k]...)
		}
		return y
	case "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d":
		return l.transposed(x.F32(), x.Shape, shape, w, bias)
	}
	rows := product(x.Shape) / x.Shape[len(x.Shape)-1]
	if len(shape) > 2 {
		rows = product(x.Shape) / x.Shape[2]
	}
	width := k * max(l.Groups, 1)
	return l.forward(x.F32(), x.Shape, shape, func(part []float32, g, from, to int) []float32 {
		if m != nil && m.wanted && rows >= MinMatMulRows {
			return m.quantizedMatMul(part, width, bias[from:to], g, from, to, m.matmul)
		}
		return matmul(part, width, w[from*k:to*k], bias[from:to], g, k)
	})
}

// multiply is run by the kernels, for the layers that models have; nil for others.
func (l goldenLayer) multiply(t *testing.T, m *Matrix, bias []float32, shape []int, x golden.Tensor) []float32 {
	if m == nil {
		return nil
	}
	prec := cpu.Exact
	if m.QuantizedMatMul() {
		prec = m.Precision()
	}
	switch v, s := x.F32(), x.Shape; {
	case l.Class == "Linear":
		rows := len(v) / m.k
		if rows < MinMatMulRows {
			prec = cpu.Exact
		}
		y := make([]float32, rows*m.n)
		cpu.MatMul(t.Context(), testPool(t), y, v, rows, m, bias, prec)
		return y
	case l.Class == "Conv2d" && l.Groups <= 1 && (l.PaddingMode == "" || l.PaddingMode == "zeros") && slices.Equal(sizes(l.Dilation, 2, 1), []int{1, 1}):
		if len(v)/s[2] < MinMatMulRows {
			prec = cpu.Exact
		}
		stride, pad := sizes(l.Stride, 2, 1), sizes(l.Padding, 2, 0)
		cv := cpu.Conv{KH: shape[2], KW: shape[3], StrideH: stride[0], StrideW: stride[1], Top: pad[0], Bottom: pad[0], Left: pad[1], Right: pad[1]}
		h, w := cv.Out(s[2], s[3])
		in, y, out := make([]float32, len(v)), make([]float32, s[0]*h*w*m.n), make([]float32, s[0]*h*w*m.n)
		cpu.NCHWtoNHWC(t.Context(), testPool(t), in, v, s[0], s[1], s[2], s[3])
		cpu.Conv2D(t.Context(), testPool(t), y, in, s[0], s[2], s[3], s[1], m, cv, bias, prec)
		cpu.NHWCtoNCHW(t.Context(), testPool(t), out, y, s[0], m.n, h, w)
		return out
	}
	return nil
}

// goldenModel is an entry of golden/sdnq/models/cases.json: a component of a diffusers folder.
type goldenModel struct {
	ID, Folder, Golden string
	Modules            map[string]struct {
		Shape     []int
		Quantized bool
	}
	Tolerance struct{ Dequant float64 }
}

// TestGoldenModels reads whole checkpoints and compares each layer with Python's samples of it.
func TestGoldenModels(t *testing.T) {
	for _, c := range golden.Cases[goldenModel](t, "sdnq/models/cases.json") {
		t.Run(c.ID, func(t *testing.T) {
			golden.Later(t, "sdnq", "", c.ID)
			dir := filepath.Join(golden.Dir(t), "sdnq", "models", filepath.FromSlash(c.Folder))
			ref := golden.Tensors(t, filepath.Join(golden.Dir(t), "sdnq", "models", c.Golden))
			store, err := weights.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			cfg, err := LoadConfig(dir)
			if err != nil {
				t.Fatal(err)
			}
			probes := 0
			for name, module := range c.Modules {
				if _, ok := store.Lookup(name + ".scale"); ok != module.Quantized {
					t.Errorf("%s: quantized %v, want %v", name, ok, module.Quantized)
				}
				want, ok := ref["probe."+name]
				if !ok {
					continue
				}
				probes++
				m, err := Layer(store, name, cfg, module.Shape)
				if err != nil {
					t.Fatal(err)
				}
				near(t, name, probe(m.Dequantize(), want.Shape[0]), want.F32(), c.Tolerance.Dequant)
			}
			if probes == 0 {
				t.Error("no probe was compared")
			}
		})
	}
}

// probe samples n-2 values evenly, then gives mean and 2-norm, as the manifest's note tells.
func probe(w []float32, n int) []float32 {
	out := make([]float32, 0, n)
	for i := range n - 2 {
		at := math.RoundToEven(float64(i) * float64(len(w)-1) / float64(n-3))
		out = append(out, w[int(at)])
	}
	sum, squares := 0.0, 0.0
	for _, v := range w {
		sum += float64(v)
		squares += float64(v) * float64(v)
	}
	return append(out, float32(sum/float64(len(w))), float32(math.Sqrt(squares)))
}
