package sdnq

import (
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"testing"

	"graphrun/internal/golden"
	"graphrun/runtime/weights"
)

// goldenCase is an entry of golden/sdnq/cases.json.
type goldenCase struct {
	ID, File, DType string
	Layers          map[string]goldenLayer
	Config          json.RawMessage `json:"quantization_config"`
	Tolerance       struct{ Dequant, Y float64 }

	Producer string
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
		worst = max(worst, math.Abs(float64(got[i])-float64(w)))
		if got[i] != got[i] && w == w {
			worst = math.Inf(1)
		}
	}
	if top == 0 {
		top = 1
	}
	t.Logf("%s: largest difference %.2g of the largest value (allowed %.2g)", what, worst/top, tolerance)
	if !(worst/top <= tolerance) {
		t.Errorf("%s: differs by %.3g of the largest value, allowed %.3g", what, worst/top, tolerance)
	}
}

func TestGoldenDequantize(t *testing.T) {
	n := 0
	for _, c := range golden.Cases[goldenCase](t, "sdnq/cases.json") {
		t.Run(c.ID, func(t *testing.T) {
			path := filepath.Join(golden.Dir(t), "sdnq", c.File)
			ref := golden.Tensors(t, path)
			store, err := weights.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			cfg, err := ParseConfig(c.Config)
			if err != nil {
				t.Fatal(err)
			}
			for name := range c.Layers {
				want, ok := ref["dequant."+name]
				if _, quantized := store.Lookup("ckpt." + name + ".scale"); !quantized || !ok {
					continue
				}
				m, err := Layer(store.Sub("ckpt."), name, cfg, want.Shape)
				if err != nil {
					t.Fatal(err)
				}
				n++
				near(t, name, m.Dequantize(), want.F32(), c.Tolerance.Dequant)
			}
		})
	}
	fmt.Println(n)
}

type goldenLayer struct {
	Class string
}
