package sampling

import (
	"math"
	"testing"

	"graphrun/runtime/sampling"
)

// SamplerLCM leaves the sampler as it is by default, and changes it otherwise.
func TestSamplerLCM(t *testing.T) {
	for _, n := range []SamplerLCM{{SNoise: 1, SNoiseEnd: 1}, {SNoise: 0.5, SNoiseEnd: 2, NoiseClipStd: 3}} {
		s, err := n.Run(nil)
		if err != nil || s.Name != "lcm" {
			t.Fatalf("%+v, %v", s, err)
		}
		tuning := sampling.Tuning{SNoise: math.NaN(), SNoiseEnd: math.NaN()}
		s.Tune(&tuning)
		if tuning.SNoise != n.SNoise || tuning.SNoiseEnd != n.SNoiseEnd || tuning.NoiseClipStd != n.NoiseClipStd {
			t.Errorf("%+v of %+v", tuning, n)
		}
	}
}
