package sampling

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"graphrun/internal/golden"
	"graphrun/types"
)

// sigmaParams are those of all sigma_node cases.
type sigmaParams struct {
	Node, Model, Input string
	Scheduler          types.SchedulerName
	Spacing            ExtendSpacing
	ModelType          string `json:"model_type"`
	Steps, Step        int
	Denoise            float64
	Low                float64 `json:"sigma_min"`
	High               float64 `json:"sigma_max"`
	Rho, Mu, Beta      float64
	Alpha, Sigma       float64
	BetaD              float64 `json:"beta_d"`
	BetaMin            float64 `json:"beta_min"`
	Eps                float64 `json:"eps_s"`
	Start              float64 `json:"start_at_sigma"`
	End                float64 `json:"end_at_sigma"`
	MaxShift           float64 `json:"max_shift"`
	BaseShift          float64 `json:"base_shift"`
	Stretch            bool
	Terminal           float64
	Latent             []int
}

func TestGoldenSigmaNodes(t *testing.T) {
	cases := golden.Numerics(t, "sigma_node")
	given := map[string]types.Sigmas{} // results that later cases take
	for _, c := range cases {
		if _, ok := c.Tensors["sigmas"]; ok {
			given[c.Name] = c.Tensor(t, "sigmas").F32()
		}
	}
	worst := 0.0
	for _, c := range cases {
		var p sigmaParams
		c.Into(t, &p)
		t.Run(c.Name, func(t *testing.T) {
			golden.Later(t, "numerics", p.Node, c.Name)
			input := given[p.Input]
			if p.Input != "" && input == nil {
				t.Fatalf("no case %q to take sigmas from", p.Input)
			}
			out, second, err := p.run(t, input)
			if err != nil {
				t.Fatal(err)
			}
			check := func(role string, got types.Sigmas) {
				if want, ok := c.Lookup(t, role); ok {
					worst = max(worst, golden.Close(t, role, got, want.F32(), c.Tolerance.ATol, c.Tolerance.RTol))
				}
			}
			check("sigmas", out)
			check("out0", out)
			check("out1", second)
		})
	}
	t.Logf("largest difference %.3g", worst)
}

func (p sigmaParams) run(t *testing.T, input types.Sigmas) (out, second types.Sigmas, err error) {
	switch p.Node {
	case "BasicScheduler":
		out, err = Basic(modelSampling(t, p.Model), p.Scheduler, p.Steps, p.Denoise)
	case "KarrasScheduler":
		out = Karras(p.Steps, p.Low, p.High, p.Rho)
	case "ExponentialScheduler":
		out = Exponential(p.Steps, p.Low, p.High)
	case "PolyexponentialScheduler":
		out = Polyexponential(p.Steps, p.Low, p.High, p.Rho)
	case "LaplaceScheduler":
		out = Laplace(p.Steps, p.Low, p.High, p.Mu, p.Beta)
	case "VPScheduler":
		out = VP(p.Steps, p.BetaD, p.BetaMin, p.Eps)
	case "SDTurboScheduler":
		out = SDTurbo(modelSampling(t, p.Model), p.Steps, p.Denoise)
	case "BetaSamplingScheduler":
		out, err = BetaSigmas(modelSampling(t, p.Model), p.Steps, p.Alpha, p.Beta)
	case "AlignYourStepsScheduler":
		out, err = AlignYourSteps(p.ModelType, p.Steps, p.Denoise)
	case "OptimalStepsScheduler":
		out, err = OptimalSteps(p.ModelType, p.Steps, p.Denoise)
	case "LTXVScheduler":
		tokens := 4096
		if p.Latent != nil {
			tokens = types.Elements(p.Latent[2:])
		}
		out = LTXV(p.Steps, tokens, p.MaxShift, p.BaseShift, p.Stretch, p.Terminal)
	case "SplitSigmas":
		out, second = Split(input, p.Step)
	case "SplitSigmasDenoise":
		out, second = SplitDenoise(input, p.Denoise)
	case "FlipSigmas":
		out = Flip(input)
	case "SetFirstSigma":
		out = append(types.Sigmas{float32(p.Sigma)}, input[1:]...)
	case "ExtendIntermediateSigmas":
		out = Extend(input, p.Steps, p.Start, p.End, p.Spacing)
	default:
		t.Fatalf("node %s is neither tested nor in golden.Later", p.Node)
	}
	return out, second, err
}

// TestGoldenNewerSchedules: what nodes of ComfyUI 0.33 answered.
func TestGoldenNewerSchedules(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(golden.Dir(t), "newer", "golden_newer.json"))
	if err != nil {
		t.Fatal(err)
	}
	var doc struct{ Flux2Scheduler, Ideogram4Scheduler, ManualSigmas [][]json.RawMessage }
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Flux2Scheduler) == 0 || len(doc.Ideogram4Scheduler) == 0 || len(doc.ManualSigmas) == 0 {
		t.Fatal("no cases")
	}
	decode := func(c []json.RawMessage) (numbers []float64, want []float32) {
		for i, x := range c {
			var err error
			if i == len(c)-1 {
				err = json.Unmarshal(x, &want)
			} else {
				numbers = append(numbers, 0)
				err = json.Unmarshal(x, &numbers[i])
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		return numbers, want
	}
	for _, c := range doc.Flux2Scheduler {
		in, want := decode(c)
		golden.Close(t, "Flux2Scheduler", Flux2(int(in[0]), int(in[1]), int(in[2])), want, 1e-6, 0)
	}
	for _, c := range doc.Ideogram4Scheduler {
		in, want := decode(c)
		golden.Close(t, "Ideogram4Scheduler", Ideogram4(int(in[0]), int(in[1]), int(in[2]), in[3], in[4]), want, 1e-6, 0)
	}
	for _, c := range doc.ManualSigmas {
		var text string
		if err := json.Unmarshal(c[0], &text); err != nil {
			t.Fatal(err)
		}
		_, want := decode(c[1:])
		if have := Manual(text); !slices.Equal(have, want) {
			t.Errorf("%q: %v, want %v", text, have, want)
		}
	}
}

// The incomplete beta function at values of closed form: I_x(1, b) = 1-(1-x)^b, I_x(a, 1) = x^a.
func TestBetaCDF(t *testing.T) {
	for _, x := range []float64{0.01, 0.3, 0.5, 0.7, 0.99} {
		for _, p := range []float64{0.1, 1, 3.5, 50} {
			a, b := betaCDF(x, 1, p)-(1-math.Pow(1-x, p)), betaCDF(x, p, 1)-math.Pow(x, p)
			if math.Abs(a) > 1e-12 || math.Abs(b) > 1e-12 {
				t.Errorf("x %v, parameter %v: off by %g and %g", x, p, a, b)
			}
		}
	}
}

// Ends of the parameters' ranges: no panic, and the lengths that samplers expect.
func TestSigmaEnds(t *testing.T) {
	m := modelSampling(t, "sd15")
	for name, c := range map[string]struct {
		s types.Sigmas
		n int
	}{
		"karras of one step": {Karras(1, 0.03, 14, 7), 2},
		"karras of rho 0":    {Karras(3, 0, 0, 0), 4},
		"laplace of one":     {Laplace(1, 0.03, 14, 0, 0.5), 1},
		"vp of one":          {VP(1, 19.9, 0.1, 0.001), 2},
		"turbo of nothing":   {SDTurbo(m, 5, 0), 1},
		"ltxv of one":        {LTXV(1, 4096, 2.05, 0.95, true, 0.1), 2},
		"flux2 of one":       {Flux2(1, 16, 16), 2},
		"ideogram4 of one":   {Ideogram4(1, 256, 256, -10, 5), 2},
		"extend nothing":     {Extend(nil, 3, -1, 0, "linear"), 0},
		"extend by one":      {Extend(types.Sigmas{2, 1, 0}, 1, -1, 0, "sine"), 3},
		"flip nothing":       {Flip(types.Sigmas{}), 0},
		"manual with points": {Manual("1..5 x"), 2},
	} {
		if len(c.s) != c.n {
			t.Errorf("%s: %v, want %d sigmas", name, c.s, c.n)
		}
	}
	high, low := Split(types.Sigmas{2, 1, 0}, 9)
	if len(high) != 3 || len(low) != 0 {
		t.Errorf("split behind the end: %v %v", high, low)
	}
	if high, low = SplitDenoise(types.Sigmas{}, 1); len(high)+len(low) != 0 {
		t.Errorf("split of nothing: %v %v", high, low)
	}
	if s, err := Basic(m, "normal", 20, 0); err != nil || len(s) != 0 {
		t.Errorf("denoise 0: %v %v", s, err)
	}
	if _, err := BetaSigmas(m, 3, 0, 1); err == nil {
		t.Error("alpha 0 passes")
	}
}
