package diffusion

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"graphrun/internal/golden"
	"graphrun/kernels/cpu"
	"graphrun/runtime/device"
	"graphrun/runtime/nn"
	"graphrun/runtime/weights"
)

// TestGoldenUNet holds the network, and every named activation inside it, to diffusers in float32.
func TestGoldenUNet(t *testing.T) { golden.Models(t, testUNet, "unet_forward") }

func testUNet(t *testing.T, c golden.ModelCase) {
	dir := filepath.Join(golden.Stage(t, "tiny/"+c.Model), "unet")
	raw, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	config, err := ParseUNetConfig(raw)
	if err != nil {
		t.Fatal(err)
	}
	store, err := weights.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	u, err := NewUNet(config, nn.NewBinder(store, nil, nn.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	pool := cpu.NewPool(2)
	defer pool.Close()
	dev := device.NewCPU(pool, true)
	arena := device.NewArena(dev, 0)
	tensors := c.Tensors(t)
	x, ctxt := tensors[c.Inputs["sample"].(string)], tensors[c.Inputs["encoder_hidden_states"].(string)]
	steps := make([]float32, x.Shape[0])
	for i := range steps {
		steps[i] = float32(c.Inputs["timestep"].(float64))
	}
	points := c.Activations(tensors)

	p := device.NewPass(context.Background(), dev, arena)
	p.Point = func(name string, got device.Tensor) {
		want, ok := points[name]
		if !ok {
			return
		}
		delete(points, name)
		golden.Close(t, name, p.Download(got, true), want, c.Tol, 0)
	}
	y := u.Forward(p, p.Upload(x.F32(), true, x.Shape...), steps, p.Upload(ctxt.F32(), false, ctxt.Shape...))
	out := p.Download(y, true)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	golden.Close(t, "sample", out, tensors[c.Outputs["sample"]].F32(), c.Tol, 0)
	for name := range points {
		t.Errorf("point %s was not reached", name)
	}
	if s := arena.Stats(); s.Used != 0 {
		t.Errorf("%d bytes of the arena are still in use after the pass", s.Used)
	}
}
