package sampling

import (
	"errors"
	"slices"
	"testing"

	"graphrun/graph"
	"graphrun/types"
)

// The nodes pass their inputs on in the right order, and leave the schedule that they got as it was.
func TestSigmaNodes(t *testing.T) {
	calls := 0
	model := types.Model{Denoiser: network{&calls}}
	basic, err := BasicScheduler{model, "karras", 10, 1}.Run(nil)
	if err != nil {
		t.Fatal(err)
	}
	karras, err := KarrasScheduler{10, 14.614642, 0.0291675, 7}.Run(nil)
	if err != nil || len(karras) != 11 || len(basic) != 11 || karras[0] < 14 || karras[9] > 0.03 {
		t.Fatalf("%v, %v, %v", karras, basic, err)
	}
	for i, v := range karras[:10] {
		if d := v/basic[i] - 1; d > 1e-4 || d < -1e-4 {
			t.Errorf("sigma %d: %v by the model, %v by its ends", i, basic[i], v)
		}
	}
	before := slices.Clone(karras)
	first, err := SetFirstSigma{karras, 99}.Run(nil)
	if err != nil || first[0] != 99 {
		t.Errorf("%v %v", first, err)
	}
	flipped, err := FlipSigmas{karras}.Run(nil)
	if err != nil || flipped[0] != 0.0001 || flipped[10] != karras[0] {
		t.Errorf("%v %v", flipped, err)
	}
	split, err := SplitSigmas{karras, 4}.Run(nil)
	if err != nil || len(split.High) != 5 || len(split.Low) != 7 || split.High[4] != split.Low[0] {
		t.Errorf("%v %v", split, err)
	}
	if !slices.Equal(karras, before) {
		t.Error("the schedule that came in has changed")
	}
	ltxv, err := LTXVScheduler{Steps: 3, MaxShift: 2.05, BaseShift: 0.95, Stretch: true, Terminal: 0.1, Latent: &types.Latent{Samples: types.NewTensor(1, 128, 2, 3, 4)}}.Run(nil)
	if err != nil || len(ltxv) != 4 || ltxv[0] != 1 || ltxv[3] != 0 || ltxv[2] < 0.0999 || ltxv[2] > 0.1001 {
		t.Errorf("%v %v", ltxv, err)
	}
	var e *graph.Error
	if _, err := (BasicScheduler{Scheduler: "karras", Steps: 3, Denoise: 1}).Run(nil); !errors.As(err, &e) || e.Input != "model" {
		t.Errorf("no model: %v", err)
	}
	if _, err := (SetFirstSigma{}).Run(nil); !errors.As(err, &e) || e.Input != "sigmas" {
		t.Errorf("no sigmas: %v", err)
	}
}
