package sampling

import (
	"encoding/json"
	"os"
	"testing"

	"graphrun/internal/golden"
	"graphrun/types"
)

// core are a few of the golden answers, so that a clone without the golden folder tests something.
type core struct {
	Normal []struct {
		Name, Seed string
		Want       []float32
	}
	Schedule []struct {
		Name, Model string
		Scheduler   types.SchedulerName
		Steps       int
		Want        []float32
	}
	Sampler []struct {
		samplerParams
		Name       string
		ATol, RTol float64
		Sigmas     []float32
		Want       []float32
	}
}

func loadCore(t *testing.T) (c core) {
	t.Helper()
	raw, err := os.ReadFile("testdata/core.json")
	if err == nil {
		err = json.Unmarshal(raw, &c)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCoreNormal(t *testing.T) {
	for _, c := range loadCore(t).Normal {
		got := make([]float32, len(c.Want))
		NewGenerator(parseSeed(t, c.Seed)).Normal(got)
		exact(t, c.Name, got, c.Want)
	}
}

func TestCoreSchedule(t *testing.T) {
	seen := map[types.SchedulerName]bool{}
	for _, c := range loadCore(t).Schedule {
		got, err := Schedule(c.Scheduler, modelSampling(t, c.Model), c.Steps)
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		golden.Close(t, c.Name, got, c.Want, 2e-6, 2e-6)
		seen[c.Scheduler] = true
	}
	for _, name := range types.SchedulerName("").Options() {
		if !seen[types.SchedulerName(name)] {
			t.Errorf("types offers scheduler %q, which no case covers", name)
		}
	}
	if len(schedulers) != len(seen) {
		t.Errorf("%d schedulers, types offers %d", len(schedulers), len(seen))
	}
}

func TestCoreSampler(t *testing.T) {
	seen := map[types.SamplerName]bool{}
	for _, c := range loadCore(t).Sampler {
		calls := 0
		got, err := runSampler(t, c.samplerParams, c.Sigmas, nil, func([]float32, float32) { calls++ })
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		golden.Close(t, c.Name, got, c.Want, c.ATol, c.RTol)
		if calls != c.NCalls {
			t.Errorf("%s: %d model calls, want %d", c.Name, calls, c.NCalls)
		}
		seen[c.Sampler] = true
	}
	for _, name := range types.SamplerName("").Options() {
		if !seen[types.SamplerName(name)] {
			t.Errorf("types offers sampler %q, which no case covers", name)
		}
	}
	if len(samplers) != len(seen) {
		t.Errorf("%d samplers, types offers %d", len(samplers), len(seen))
	}
}
