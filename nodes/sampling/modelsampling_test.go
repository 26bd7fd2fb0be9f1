package sampling

import (
	"errors"
	"testing"

	"graphrun/graph"
	"graphrun/internal/golden"
	"graphrun/runtime/sampling"
	"graphrun/types"
)

func TestGoldenModelSamplingNodes(t *testing.T) {
	calls := 0
	model := types.Model{Denoiser: network{&calls}}
	for _, c := range golden.Numerics(t, "model_sampling_node") {
		var p struct {
			Node, Sampling string
			Shift          float64
			MaxShift       float64 `json:"max_shift"`
			BaseShift      float64 `json:"base_shift"`
			Width, Height  int
			Zsnr           bool
			SigmaMax       float64 `json:"sigma_max"`
			SigmaMin       float64 `json:"sigma_min"`
		}
		c.Into(t, &p)
		t.Run(c.Name, func(t *testing.T) {
			golden.Later(t, "numerics", p.Node, c.Name)
			var out types.Model
			var err error
			switch p.Node {
			case "ModelSamplingSD3":
				out, err = ModelSamplingSD3{model, p.Shift}.Run(nil)
			case "ModelSamplingAuraFlow":
				out, err = ModelSamplingAuraFlow{model, p.Shift, "flow"}.Run(nil)
			case "ModelSamplingFlux":
				out, err = ModelSamplingFlux{model, p.MaxShift, p.BaseShift, p.Width, p.Height}.Run(nil)
			case "ModelSamplingDiscrete":
				out, err = ModelSamplingDiscrete{model, discreteSampling(p.Sampling), p.Zsnr}.Run(nil)
			case "ModelSamplingContinuousEDM":
				out, err = ModelSamplingContinuousEDM{model, edmSampling(p.Sampling), p.SigmaMax, p.SigmaMin}.Run(nil)
			case "ModelSamplingContinuousV":
				out, err = ModelSamplingContinuousV{model, vSampling(p.Sampling), p.SigmaMax, p.SigmaMin}.Run(nil)
			default:
				t.Fatalf("node %s is neither tested nor in golden.Later", p.Node)
			}
			if err != nil {
				t.Fatal(err)
			}
			m, err := sampling.NewModelSampling(out.Sampling())
			if err != nil {
				t.Fatal(err)
			}
			// The table is seen from outside as the schedule "simple" of as many steps as it has entries.
			var table []float32
			for _, n := range []int{50, 1000, 10000} {
				s, err := sampling.Schedule("simple", m, n)
				if err != nil {
					t.Fatal(err)
				}
				if s[n-1] == m.SigmaMin() && (n == 50 || s[n-2] != s[n-1]) && s[0] != s[1] {
					table = s[:n]
				}
			}
			var got []float32
			for _, i := range c.Tensor(t, "index").I64() {
				got = append(got, table[len(table)-1-int(i)])
			}
			golden.Close(t, "sigma", got, c.Tensor(t, "sigma").F32(), c.Tolerance.ATol, c.Tolerance.RTol)
			s, err := sampling.Schedule("normal", m, 8)
			if err != nil {
				t.Fatal(err)
			}
			golden.Close(t, "normal_8", s, c.Tensor(t, "normal_8").F32(), c.Tolerance.ATol, c.Tolerance.RTol)
			var percent []float32
			for _, at := range []float64{0.1, 0.5, 0.9} {
				percent = append(percent, float32(m.PercentToSigma(at)))
			}
			golden.Close(t, "percent", percent, c.Tensor(t, "percent").F32(), c.Tolerance.ATol, c.Tolerance.RTol)
		})
	}
}

// sessions counts those that were asked for.
type sessions struct {
	network
	asked *int
}

func (s sessions) Session() types.Denoiser {
	*s.asked++
	return s.network
}

// A model that several samplers use at once still gives each its session.
func TestModelSamplingSession(t *testing.T) {
	calls, asked := 0, 0
	model, err := ModelSamplingSD3{types.Model{Denoiser: sessions{network{&calls}, &asked}}, 3}.Run(nil)
	if err != nil {
		t.Fatal(err)
	}
	session := model.Denoiser.(types.Sessioner).Session()
	if asked != 1 || session.Sampling().Shift != 3 {
		t.Errorf("%d sessions, %+v", asked, session.Sampling())
	}
}

func TestModelSamplingRefusals(t *testing.T) {
	calls := 0
	model := types.Model{Denoiser: network{&calls}}
	var e *graph.Error
	if _, err := (ModelSamplingSD3{Shift: 3}).Run(nil); !errors.As(err, &e) || e.Input != "model" {
		t.Errorf("no model: %v", err)
	}
	if _, err := (ModelSamplingContinuousEDM{model, "edm_playground_v2.5", 120, 0.002}).Run(nil); !errors.As(err, &e) || e.Kind != graph.KindUnsupported {
		t.Errorf("Playground: %v", err)
	}
	if _, err := (ModelSamplingContinuousV{model, "v_prediction", 1, 2}).Run(nil); err == nil {
		t.Error("a range that is upside down passes")
	}
	first, err := ModelSamplingSD3{model, 3}.Run(nil)
	if err != nil {
		t.Fatal(err)
	}
	second, err := ModelSamplingSD3{first, 5}.Run(nil)
	if err != nil || second.Sampling().Shift != 5 || second.Denoiser.(resampled).Denoiser != model.Denoiser {
		t.Errorf("the last one counts: %+v %v", second.Sampling(), err)
	}
}
