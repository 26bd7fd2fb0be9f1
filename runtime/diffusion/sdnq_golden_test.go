package diffusion

import (
	"encoding/binary"
	"maps"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"graphrun/internal/golden"
	"graphrun/runtime/sdnq"
)

// sdnqRuns are the networks of golden/sdnq/models by class: run predicts from the case's tensors; noisy is the input that
// may be disturbed.
var sdnqRuns = map[string]struct {
	noisy string
	run   func(t *testing.T, dir string, tensors map[string]golden.Tensor) []float32
}{
	fluxClass:              {"in.hidden_states", runFlux},
	"UNet2DConditionModel": {"in.sample", runUNet},
}

// TestGoldenSDNQ runs the quantized networks, each product as the checkpoint's config asks for it, and holds the results to
// those of Python's sdnq.
//
// Where activations are quantized too, a value that lies on the border of two codes falls to either side with the last bit
// of the layers before, and each code that differs changes more of them in the layers after: a change of the input by 2e-7
// moves the result as far as quantization itself does, in Python too. So there the input is disturbed in its last bit up to
// seven times, and one result must agree.
func TestGoldenSDNQ(t *testing.T) {
	ran := map[string]int{}
	for _, c := range golden.Cases[struct {
		ID, Folder, Golden, Class string
		Tolerance                 struct{ Out float64 }
	}](t, "sdnq/models/cases.json") {
		net, ok := sdnqRuns[c.Class]
		if !ok {
			continue
		}
		ran[c.Class]++
		t.Run(strings.ReplaceAll(c.ID, "/", "_"), func(t *testing.T) {
			golden.Later(t, "sdnq", "", c.ID)
			root := filepath.Join(golden.Dir(t), "sdnq", "models")
			dir := filepath.Join(root, filepath.FromSlash(c.Folder))
			tensors := maps.Clone(golden.Tensors(t, filepath.Join(root, c.Golden)))
			want, top := tensors["out"].F32(), 0.0
			for _, w := range want {
				top = max(top, math.Abs(float64(w)))
			}
			quant, err := sdnq.LoadConfig(dir)
			if err != nil || quant == nil {
				t.Fatal(quant, err)
			}
			changes := []float64{0}
			if quant.UseQuantizedMatmul {
				changes = []float64{0, 1e-7, -1e-7, 2e-7, -2e-7, 3e-7, -3e-7, 4e-7}
			}
			input := tensors[net.noisy]
			for _, e := range changes {
				tensors[net.noisy] = disturbed(input, e)
				var worst float64
				if worst, err = golden.Compare(net.run(t, dir, tensors), want, c.Tolerance.Out*top, 0); err == nil {
					t.Logf("input changed by %g: largest difference %.3g (allowed %.3g)", e, worst, c.Tolerance.Out*top)
					return
				}
			}
			t.Error(err)
		})
	}
	if ran[fluxClass] == 0 {
		t.Errorf("sdnq/models/cases.json has no %s", fluxClass)
	}
}

// disturbed changes each value by up to the fraction e of itself.
func disturbed(x golden.Tensor, e float64) golden.Tensor {
	var raw []byte
	for i, v := range x.F32() {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(float32(float64(v)*(1+e*math.Sin(float64(i))))))
	}
	return golden.Tensor{Name: x.Name, DType: "F32", Shape: x.Shape, Raw: raw}
}

func runFlux(t *testing.T, dir string, tensors map[string]golden.Tensor) []float32 {
	f := openFlux(t, dir)
	in := fluxValues{config: f.Config, time: tensors["in.timestep"].F32()}
	if g, ok := tensors["in.guidance"]; ok {
		in.guidance = g.F32()
	}
	for name, to := range in.tensors() {
		*to = tensors["in."+name]
	}
	return in.run(t, f, false)["sample"]
}

func runUNet(t *testing.T, dir string, tensors map[string]golden.Tensor) []float32 {
	u := openUNet(t, dir)
	x, text, p := tensors["in.sample"], tensors["in.encoder_hidden_states"], newFluxPass(t, false)
	var times []float32
	for _, v := range tensors["in.timestep"].F64() {
		times = append(times, float32(v))
	}
	y := p.Download(u.Forward(p, p.Upload(x.F32(), true, x.Shape...), times, p.Upload(text.F32(), false, text.Shape...), addition(p, tensors["in.text_embeds"], tensors["in.time_ids"])), true)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	return y
}
