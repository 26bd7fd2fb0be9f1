package sdnq

import (
	"bytes"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"graphrun/internal/golden"
	"graphrun/kernels/cpu"
	"graphrun/runtime/weights"
)

// TestGoldenRequantize quantizes the originals again and compares with Python's tensors.
func TestGoldenRequantize(t *testing.T) {
	pool, count := testPool(t), map[string]int{}
	for _, c := range golden.Cases[goldenCase](t, "sdnq/cases.json") {
		ref := golden.Tensors(t, filepath.Join(golden.Dir(t), "sdnq", c.File))
		cfg, err := ParseConfig(c.Config)
		if err != nil {
			t.Fatal(c.ID, err)
		}
		cfg.DynamicQuantization = false // its choice is in the config already
		for name, layer := range c.Layers {
			orig, ok := ref["orig."+name+".weight"]
			if _, quantized := ref["ckpt."+name+".scale"]; !quantized || !ok || strings.Contains(c.PythonReload, "Error") {
				count["not Python's to read either"]++
				continue
			}
			w := inModelDType(orig.F32(), orig.Shape, name+".weight", c.DType)
			got, err := Quantize(t.Context(), pool, w, layer.kind(), cfg)
			if err != nil {
				if want := refused(cfg, layer); want == "" || !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %v", c.ID, err)
				}
				count["refused"]++
				continue
			}
			how, stored := comparison(t, cfg, name, c.DType), []weights.Tensor{}
			for key, x := range ref {
				if suffix, ok := strings.CutPrefix(key, "ckpt."+name+"."); ok && suffix != "bias" {
					d, _ := weights.ParseDType(x.DType)
					stored = append(stored, weights.Tensor{Name: name + "." + suffix, DType: d, Shape: x.Shape, Data: x.Raw})
				}
			}
			if len(got.Tensors) != len(stored) {
				t.Errorf("%s: have %d tensors, want %d", c.ID, len(got.Tensors), len(stored))
			}
			for _, g := range got.Tensors {
				compareStored(t, c.ID, how, g, ref["ckpt."+g.Name])
			}
			if how == "quality" {
				plan, err := newLayerPlan(w, layer.kind(), cfg)
				if err != nil {
					t.Fatal(c.ID, err)
				}
				compareQuality(t, c.ID, plan, w, got, stored)
			}
			count[how]++
		}
	}
	if count["bytes"] == 0 {
		t.Error("nothing was compared")
	}
	t.Logf("layers: %v", count)
}

// compareQuality holds the low-rank part to Python's, by what it leaves of the weight, and the dequantized weight by its error.
func compareQuality(t *testing.T, id string, plan *layerPlan, w weights.Tensor, got *Quantized, stored []weights.Tensor) {
	t.Helper()
	m, err := plan.maker(t.Context(), testPool(t), w)
	if err != nil {
		t.Fatal(id, err)
	}
	python, err := m.loss(stored)
	if allowed := map[bool]float64{false: 1.01, true: 1.05}[plan.rank > 0]; err != nil || got.RMS > allowed*python.rms()+1e-6 {
		t.Errorf("%s %s: error %.4g, Python's %.4g, %v", id, w.Name, got.RMS, python.rms(), err)
	}
	if plan.rank == 0 {
		return
	}
	left := func(tensors []weights.Tensor) float64 {
		r := reader{store: weights.Of(tensors...), name: plan.module, o: &plan.layerOptions, dense: w.Shape}
		q, err := r.read()
		if err != nil {
			t.Fatal(id, err)
		}
		rest := make([]float32, m.n*m.k)
		for n := range m.n {
			row := rest[n*m.k : (n+1)*m.k]
			m.read(row, n)
			cpu.AddRows(row, q.down, negative(q.up[n*q.rank:(n+1)*q.rank]), m.k)
		}
		_, squares := cpu.Sums(rest)
		return math.Sqrt(squares / float64(len(rest)))
	}
	_, all := cpu.Sums(floats(t, w))
	if ours, theirs := left(got.Tensors), left(stored); ours > 1.001*theirs+1e-6*math.Sqrt(all/float64(m.n*m.k)) {
		t.Errorf("%s %s: the low-rank part leaves %.5g of the weight, Python's %.5g", id, w.Name, ours, theirs)
	}
}

// refused is what the error says for a golden layer that is not written, since Python cannot use it.
func refused(cfg *Config, layer goldenLayer) string {
	f, _ := parseFormat(cfg.WeightsDType)
	switch {
	case dtypeSet(cfg.ScaleDType), dtypeSet(cfg.ZeroPointDType), cfg.UseCodebookScale:
		return "quantized themselves"
	case f.bits == 32, f.name == "float8_e8m0fnu":
		return "a dtype that works"
	case f.name == "bfloat16" && cfg.UseQuantizedMatmul:
		return "overflows"
	case layer.kind() == Conv && cfg.UseMatmulConv:
		return "SDNQ cannot run"
	}
	return ""
}

// comparison is how tensors compare with Python's: all bytes where its arithmetic has one result; those of the codes, and the
// scales to rounding, where sums of float32 have another order; by the error of the dequantized weight, which may exceed
// Python's by a hundredth, or a twentieth of random low-rank parts of small weights, where it is random, or spoils codes (4.4, 11.3), or rounds a rotated weight to 16 bits.
func comparison(t *testing.T, cfg *Config, name, model string) string {
	o, err := cfg.layer(name+".weight", Linear)
	f := o.format
	switch {
	case err != nil:
		t.Fatal(err)
	case o.UseSVD, f.exp == 1, f.integer && f.unsigned && f.bits > 8 && f.bits < 16, model != "f32" && (o.UseHadamard || o.UseCodebook):
		return "quality"
	case o.UseHadamard, o.UseCodebook:
		return "codes"
	}
	return "bytes"
}

func compareStored(t *testing.T, id, how string, got weights.Tensor, want golden.Tensor) {
	t.Helper()
	if got.DType.String() != want.DType || !slices.Equal(got.Shape, want.Shape) {
		t.Errorf("%s %s: have %s of shape %v, want %s of shape %v", id, got.Name, got.DType, got.Shape, want.DType, want.Shape)
		return
	}
	switch {
	case how == "quality":
	case how == "codes" && !strings.HasSuffix(got.Name, ".weight"):
		top, worst := 0.0, 0.0
		v := floats(t, got)
		for i, w := range want.F32() {
			top, worst = max(top, math.Abs(float64(w))), max(worst, math.Abs(float64(v[i]-w)))
		}
		if worst > 1e-6*top {
			t.Errorf("%s %s: off by %g of the largest value", id, got.Name, worst/top)
		}
	case !bytes.Equal(got.Data, want.Raw):
		t.Errorf("%s %s: %d of %d bytes differ", id, got.Name, differing(got.Data, want.Raw), len(want.Raw))
	}
}

func floats(t testing.TB, x weights.Tensor) []float32 {
	t.Helper()
	v, err := x.Float32()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// kind is what the class of a golden layer is to Quantize.
func (l goldenLayer) kind() Kind {
	switch {
	case l.Class == "Linear":
		return Linear
	case strings.HasPrefix(l.Class, "ConvTranspose"):
		return ConvTranspose
	case strings.HasPrefix(l.Class, "Conv"):
		return Conv
	}
	return Embedding
}

func testPool(t testing.TB) *cpu.Pool {
	pool := cpu.NewPool(2)
	t.Cleanup(pool.Close)
	return pool
}

func inModelDType(v []float32, shape []int, name, dtype string) weights.Tensor {
	d := map[string]weights.DType{"f32": weights.F32, "bf16": weights.BF16, "f16": weights.F16}[dtype]
	return weights.Tensor{Name: name, DType: d, Shape: shape, Data: floatBytes(v, d)}
}

func differing(a, b []byte) int {
	n := max(len(a), len(b)) - min(len(a), len(b))
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			n++
		}
	}
	return n
}
