package sampling

import (
	"testing"

	"graphrun/internal/golden"
	"graphrun/types"
)

// customParams are those of the kinds sampler_custom, sampler_custom_advanced and add_noise.
type customParams struct {
	Model, Seed, Guider, Noise, Style string
	Sampler                           types.SamplerName
	CFG                               float64
	CFGConds                          float64 `json:"cfg_conds"`
	CFGNegative                       float64 `json:"cfg_cond2_negative"`
	NegScale                          float64 `json:"neg_scale"`
	AddNoise                          *bool   `json:"add_noise"`
}

func TestGoldenSamplerCustom(t *testing.T) {
	worst := 0.0
	for _, c := range golden.Numerics(t, "sampler_custom", "sampler_custom_advanced", "add_noise") {
		p := customParams{Sampler: "euler"}
		c.Into(t, &p)
		t.Run(c.Name, func(t *testing.T) {
			tensor := func(role string) types.Tensor {
				x := c.Tensor(t, role)
				return types.Tensor{Shape: x.Shape, Data: x.F32()}
			}
			check := func(role string, got types.Latent) {
				if want, ok := c.Lookup(t, role); ok {
					worst = max(worst, golden.Close(t, role, got.Samples.Data, want.F32(), c.Tolerance.ATol, c.Tolerance.RTol)/c.Tolerance.ATol)
				}
			}
			model := types.Model{Denoiser: newTestNetwork(t, p.Model, nil)}
			latent := types.Latent{Samples: tensor("latent")}
			sigmas := types.Sigmas(tensor("sigmas").Data)
			if c.Kind == "add_noise" {
				out, err := AddNoise(model, latent, sigmas, parseSeed(t, p.Seed), false)
				if err != nil {
					t.Fatal(err)
				}
				check("out", out)
				return
			}
			o := Options{
				Seed: parseSeed(t, p.Seed), Sampler: p.Sampler, Sigmas: sigmas, CFG: 1, Latent: latent, Advanced: &Advanced{AddNoise: true},
				Positive: types.Conditioning{{Tokens: tensor("pos")}},
			}
			if p.Guider != "BasicGuider" {
				o.CFG, o.Negative = p.CFG, types.Conditioning{{Tokens: tensor("neg")}}
			}
			switch p.Guider {
			case "DualCFGGuider":
				o.CFG = p.CFGConds
				o.Third = &Third{Prompt: types.Conditioning{{Tokens: tensor("mid")}}, Way: ThirdWay(p.Style), Scale: p.CFGNegative}
			case "PerpNegGuider":
				o.Third = &Third{Prompt: types.Conditioning{{Tokens: tensor("empty")}}, Way: PerpNeg, Scale: p.NegScale}
			case "BasicGuider", "CFGGuider", "":
			default:
				t.Fatalf("guider %s is neither tested nor in golden.Later", p.Guider)
			}
			if p.AddNoise != nil {
				o.Advanced.AddNoise = *p.AddNoise
			}
			if p.Noise == "disabled" {
				o.Seed, o.Advanced.AddNoise = 0, false
			}
			out, estimate, err := SampleBoth(t.Context(), model, o)
			if err != nil {
				t.Fatal(err)
			}
			check("final", out)
			check("denoised_output", estimate)
		})
	}
	t.Logf("largest difference %.3g of the tolerance", worst)
}
