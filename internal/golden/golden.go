// Package golden reads what the originals answered (ComfyUI, diffusers, sdnq) so that tests can hold graphrun to it.
// The data lies outside the repository, in the folder that $GRAPHRUN_GOLDEN names; its README.md tells the form.
// The readers here stand alone on purpose: a bug in runtime/weights must not hide from the tests that it would break.
package golden

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// Dir is the folder of golden data. A test without one is skipped.
func Dir(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("GRAPHRUN_GOLDEN")
	if dir == "" {
		t.Skip("set GRAPHRUN_GOLDEN to the folder of golden data to run this test")
	}
	return dir
}

// Cases decodes a manifest (relative to Dir): a JSON list of cases, or an object whose "cases" is that list.
func Cases[C any](t testing.TB, manifest string) []C {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(Dir(t), manifest))
	if err != nil {
		t.Fatal(err)
	}
	var list []C
	if json.Unmarshal(raw, &list) == nil {
		return list
	}
	var object struct{ Cases []C }
	if err := json.Unmarshal(raw, &object); err != nil {
		t.Fatalf("%s: %v", manifest, err)
	}
	if len(object.Cases) == 0 {
		t.Fatalf("%s: no cases", manifest)
	}
	return object.Cases
}

// Case is one entry of numerics/cases.json: File is relative to that manifest's folder, Tensors maps a role to a key in it.
type Case struct {
	Name, Kind string
	Params     json.RawMessage
	File       string
	Tensors    map[string]string
	Tolerance  Tolerance
}

// Tolerance says how near a result must come: Mode "exact", "close" (|got-want| <= ATol + RTol·|want|), "u8_close" or "mismatch_fraction".
type Tolerance struct {
	Mode       string
	ATol, RTol float64
	MaxAbs     float64 `json:"max_abs"` // of u8_close: the largest difference of bytes
	Max        float64 // of mismatch_fraction: the largest share of values that differ
}

// Numerics returns the cases of the named kinds in numerics/cases.json that are not listed as later work.
// It fails when there is none: a test over nothing must not pass.
func Numerics(t testing.TB, kinds ...string) []Case {
	t.Helper()
	var list []Case
	for _, c := range Cases[Case](t, "numerics/cases.json") {
		for _, k := range kinds {
			if c.Kind == k && Reason("numerics", c.Kind, c.Name) == "" {
				list = append(list, c)
			}
		}
	}
	if len(list) == 0 {
		t.Fatalf("numerics/cases.json has no case of kind %v", kinds)
	}
	return list
}

// Into decodes the case's parameters.
func (c Case) Into(t testing.TB, params any) {
	t.Helper()
	if err := json.Unmarshal(c.Params, params); err != nil {
		t.Fatalf("%s: params: %v", c.Name, err)
	}
}

// Tensor is the case's tensor of a role; a missing one fails the test.
func (c Case) Tensor(t testing.TB, role string) Tensor {
	t.Helper()
	x, ok := c.Lookup(t, role)
	if !ok {
		t.Fatalf("%s: no tensor %q", c.Name, role)
	}
	return x
}

// Lookup is the case's tensor of a role, if it has one.
func (c Case) Lookup(t testing.TB, role string) (Tensor, bool) {
	t.Helper()
	key, ok := c.Tensors[role]
	if !ok {
		return Tensor{}, false
	}
	x, ok := Tensors(t, filepath.Join(Dir(t), "numerics", c.File))[key]
	return x, ok
}

// Close fails the test unless every |got-want| <= atol + rtol·|want| (NaN equals NaN, infinities themselves).
// It logs and returns the largest difference.
func Close(t testing.TB, name string, got, want []float32, atol, rtol float64) float64 {
	t.Helper()
	worst, err := Compare(got, want, atol, rtol)
	if err != nil {
		t.Errorf("%s: %v", name, err)
	} else {
		t.Logf("%s: largest difference %.3g (allowed %.3g + %.3g·|want|)", name, worst, atol, rtol)
	}
	return worst
}

// Compare is Close as a function: the largest difference, and an error that names the worst offender.
func Compare(got, want []float32, atol, rtol float64) (largest float64, err error) {
	if len(got) != len(want) {
		return math.Inf(1), fmt.Errorf("have %d values, want %d", len(got), len(want))
	}
	bad, at, excess := 0, 0, -1.0
	for i, w := range want {
		g, w := float64(got[i]), float64(w)
		if g == w || g != g && w != w {
			continue
		}
		d := math.Abs(g - w)
		if d != d {
			d = math.Inf(1)
		}
		largest = max(largest, d)
		if e := d - atol - rtol*math.Abs(w); !(e <= 0) {
			bad++
			if e > excess {
				at, excess = i, e
			}
		}
	}
	if bad > 0 {
		err = fmt.Errorf("%d of %d values differ; worst at %d: have %g, want %g (allowed %.3g + %.3g·|want|, largest difference %.3g)",
			bad, len(want), at, got[at], want[at], atol, rtol, largest)
	}
	return largest, err
}
