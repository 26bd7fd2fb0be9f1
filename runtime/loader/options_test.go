package loader

import (
	"context"
	"path/filepath"
	"slices"
	"testing"

	"graphrun/internal/golden"
	"graphrun/types"
)

// SDNQModelLoader's options change how a quantized model is computed, and no more than its rounding.
func TestQuantizedOptions(t *testing.T) {
	dir := filepath.Join(golden.Dir(t), "sdnq", "models", "tiny-sd-int8")
	predict := func(precision string, o Options) []float32 {
		e, err := New(Config{Threads: 2, Precision: precision})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		m, _, _, err := e.LoadPipeline(context.Background(), dir, o)
		if err != nil {
			t.Fatal(err)
		}
		text := types.NewTensor(1, 7, 48)
		for i := range text.Data {
			text.Data[i] = float32(i%11-5) / 3
		}
		x := types.NewTensor(1, 4, 32, 32)
		for i := range x.Data {
			x.Data[i] = float32(i%13-6) / 4
		}
		y, err := m.Predict(context.Background(), x, []float32{500}, []types.Cond{{Tokens: text}})
		if err != nil {
			t.Fatal(err)
		}
		return y.Data
	}
	exact := predict("exact", Options{QuantizedMatmul: true})
	for name, c := range map[string]struct {
		o    Options
		same bool
	}{
		"dequantized":          {Options{DType: "float32"}, true},
		"offloaded":            {Options{DType: "float32", Offload: true}, true},
		"half precision":       {Options{DType: "float16"}, true}, // computed in float32
		"bfloat16":             {Options{DType: "bfloat16"}, false},
		"quantized":            {Options{QuantizedMatmul: true}, false},
		"quantized, offloaded": {Options{QuantizedMatmul: true, Offload: true}, false},
	} {
		got := predict("auto", c.o)
		if c.same && !slices.Equal(got, exact) {
			t.Errorf("%s: not what is computed in float32", name)
		}
		if c.o.QuantizedMatmul && slices.Equal(got, exact) {
			t.Errorf("%s: what is computed in float32", name)
		}
		golden.Close(t, name, got, exact, 0.05, 0.05)
	}
}
