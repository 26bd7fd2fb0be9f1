package vae

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
	"graphrun/types"
)

// TestGoldenVAE holds both directions, and every named activation, to diffusers in float32.
func TestGoldenVAE(t *testing.T) { golden.Models(t, testVAE, "vae_encode", "vae_decode") }

func testVAE(t *testing.T, c golden.ModelCase) {
	dir := filepath.Join(golden.Stage(t, "tiny/"+c.Model), "vae")
	raw, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	config, err := ParseConfig(raw)
	if err != nil {
		t.Fatal(err)
	}
	store, err := weights.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	pool := cpu.NewPool(2)
	defer pool.Close()
	dev := device.NewCPU(pool, true)
	v, err := New(config, nn.NewBinder(store, nil, nn.Options{}), dev, device.NewArena(dev, 0))
	if err != nil {
		t.Fatal(err)
	}
	tensors := c.Tensors(t)
	points := c.Activations(tensors)
	ctx := context.Background()
	p := device.NewPass(ctx, dev, v.Arena)
	p.Point = func(name string, got device.Tensor) {
		if want, ok := points[name]; ok {
			delete(points, name)
			golden.Close(t, name, p.Download(got, true), want, c.Tol, 0)
		}
	}
	if c.Kind == "vae_encode" {
		x := tensors[c.Inputs["image"].(string)]
		got := p.Download(v.encode(p, p.Upload(x.F32(), true, x.Shape...)), true)
		mean, logvar := tensors[c.Outputs["mean"]], tensors[c.Outputs["logvar"]]
		half := mean.Shape[1] * mean.Shape[2] * mean.Shape[3]
		for b := range mean.Shape[0] {
			moments := got[b*2*half:]
			golden.Close(t, "mean", moments[:half], mean.F32()[b*half:(b+1)*half], c.Tol, 0)
			golden.Close(t, "logvar", moments[half:2*half], logvar.F32()[b*half:(b+1)*half], c.Tol, 0)
		}
		if err := p.Close(); err != nil { // Encode waits for its turn
			t.Fatal(err)
		}
		// The public method from pixels in 0..1 agrees.
		y, err := v.Encode(ctx, pixels(x))
		if err != nil {
			t.Fatal(err)
		}
		golden.Close(t, "Encode", y.Data, mean.F32(), c.Tol, 0)
	} else {
		z := tensors[c.Inputs["latent"].(string)]
		got := p.Download(v.decode(p, p.Upload(z.F32(), true, z.Shape...)), true)
		golden.Close(t, "sample", got, tensors[c.Outputs["sample"]].F32(), c.Tol, 0)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	for name := range points {
		t.Errorf("point %s was not reached", name)
	}
}

// pixels turns [n, 3, h, w] in -1..1 into a picture in 0..1.
func pixels(x golden.Tensor) types.Image {
	n, c, h, w := x.Shape[0], x.Shape[1], x.Shape[2], x.Shape[3]
	im := types.NewTensor(n, h, w, c)
	for i, v := range x.F32() {
		b, ch, at := i/(c*h*w), i/(h*w)%c, i%(h*w)
		im.Data[(b*h*w+at)*c+ch] = v/2 + 0.5
	}
	return types.Image{Tensor: im}
}
