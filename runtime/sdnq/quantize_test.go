package sdnq

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"graphrun/internal/golden"
	"graphrun/kernels/cpu"
	"graphrun/runtime/weights"
)

// TestGoldenRequantize quantizes the originals again and compares every stored byte with Python's, for the dtypes and
// options that graphrun writes.
func TestGoldenRequantize(t *testing.T) {
	pool := testPool(t)
	same, left := 0, map[string]int{}
	for _, c := range golden.Cases[goldenCase](t, "sdnq/cases.json") {
		path := filepath.Join(golden.Dir(t), "sdnq", c.File)
		ref := golden.Tensors(t, path)
		cfg, err := ParseConfig(c.Config)
		if err != nil {
			t.Fatal(c.ID, err)
		}
		for name, layer := range c.Layers {
			orig, ok := ref["orig."+name+".weight"]
			if _, quantized := ref["ckpt."+name+".scale"]; !quantized || !ok {
				continue
			}
			if why := notRequantized(t, c, cfg, name, layer); why != "" {
				left[why]++
				continue
			}
			got, err := Quantize(t.Context(), pool, inModelDType(orig.F32(), orig.Shape, name+".weight", c.DType), layer.kind(), cfg)
			if err != nil {
				t.Fatal(c.ID, err)
			}
			for _, g := range got.Tensors {
				want := ref["ckpt."+g.Name]
				if g.DType.String() != want.DType || !slices.Equal(g.Shape, want.Shape) || !bytes.Equal(g.Data, want.Raw) {
					t.Errorf("%s %s: have %s of shape %v, want %s of shape %v; %d bytes differ", c.ID, g.Name, g.DType, g.Shape, want.DType, want.Shape, differing(g.Data, want.Raw))
				}
				same++
			}
		}
	}
	if same == 0 {
		t.Error("nothing was compared")
	}
	t.Logf("%d stored tensors compared byte by byte; layers left out: %v", same, left)
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

// notRequantized says why a layer's original is not quantized again; it is empty if it must give Python's bytes.
func notRequantized(t *testing.T, c goldenCase, cfg *Config, name string, layer goldenLayer) string {
	o, err := cfg.layer(name+".weight", Linear)
	if err != nil {
		t.Fatal(c.ID, err)
	}
	f := o.format
	switch {
	case c.Producer != "":
		return "made by an old release"
	case strings.HasPrefix(layer.Class, "ConvTranspose"):
		return "transposed convolution, which the writer does not know"
	case cfg.writable() != nil || o.writable() != nil || !f.integer || f.bits > 16:
		return "option or dtype that is not written yet"
	case f.unsigned && f.bits > 8 && f.bits < 16:
		return "top code spoiled by 0.2.8 (11.3)"
	case c.ForwardError[name] != "":
		return "Python cannot run it, so it is not written"
	case strings.Contains(c.PythonReload, "Error"):
		return "Python cannot read it again: its options were switched after quantizing (10.4)"
	}
	return ""
}

func inModelDType(v []float32, shape []int, name, dtype string) weights.Tensor {
	d := map[string]weights.DType{"f32": weights.F32, "bf16": weights.BF16, "f16": weights.F16}[dtype]
	return weights.Tensor{Name: name, DType: d, Shape: shape, Data: encode(v, d)}
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
