package golden

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// ModelCase is one entry of models/cases.json; the kind says which of the fields it has. Inputs, Outputs and Points name
// tensors of File.
type ModelCase struct {
	ID, Model, Component, Kind, File, Workflow string
	Inputs                                     map[string]any
	Outputs                                    map[string]string
	Points                                     []string
	Tol                                        float64
}

// Models tests every case of the kinds in a subtest of its own; it fails when there is none.
func Models(t *testing.T, test func(*testing.T, ModelCase), kinds ...string) {
	t.Helper()
	ran := 0
	for _, c := range Cases[ModelCase](t, "models/cases.json") {
		if !slices.Contains(kinds, c.Kind) {
			continue
		}
		ran++
		t.Run(strings.ReplaceAll(c.ID, "/", "_"), func(t *testing.T) {
			Later(t, "models", c.Kind, c.ID)
			test(t, c)
		})
	}
	if ran == 0 {
		t.Fatalf("models/cases.json has no case of kind %v", kinds)
	}
}

// Tensors are the case's own.
func (c ModelCase) Tensors(t testing.TB) map[string]Tensor {
	t.Helper()
	return Tensors(t, filepath.Join(Dir(t), "models", c.File))
}

// Activations are what the original had at the case's points, by their names in the model.
func (c ModelCase) Activations(tensors map[string]Tensor) map[string][]float32 {
	points := map[string][]float32{}
	for _, key := range c.Points {
		_, name, _ := strings.Cut(key, "/pt/")
		points[name] = tensors[key].F32()
	}
	return points
}
