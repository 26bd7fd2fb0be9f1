package diffusion

import (
	"context"
	"fmt"
	"testing"

	"graphrun/kernels/cpu"
	"graphrun/runtime/device"
	"graphrun/runtime/nn"
)

// BenchmarkFlux runs one double and one single block of FLUX.1's size on 1024 tokens of picture and 128 of text.
func BenchmarkFlux(b *testing.B) {
	config, err := ParseFluxConfig([]byte(`{"guidance_embeds":true}`))
	if err != nil {
		b.Fatal(err)
	}
	const text, tokens = 128, 128 + 1024
	ids := make([]float32, 0, 3*tokens)
	for i := range tokens {
		ids = append(ids, 0, float32(max(0, i-text)/32), float32(max(0, i-text)%32))
	}
	rotary, err := config.RotaryTable(nil, ids)
	if err != nil {
		b.Fatal(err)
	}
	type block interface {
		forward(p *nn.Pass, h nn.Tensor, text int, vec, rotary nn.Tensor)
	}
	width := config.Width()
	state := make([]float32, tokens*width)
	for i := range state {
		state[i] = float32(i*7919%2001-1000) / 500
	}
	for _, kind := range []string{"double", "single"} {
		for _, prec := range []cpu.Precision{cpu.Int8, cpu.BF16, cpu.Exact} {
			b.Run(fmt.Sprintf("%s/%s", kind, prec), func(b *testing.B) {
				var net block
				if kind == "double" {
					net = newDoubleBlock(config, nn.Synthetic(prec))
				} else {
					net = newSingleBlock(config, nn.Synthetic(prec))
				}
				pass := func(dev device.Device, arena *device.Arena) {
					p := device.NewPass(context.Background(), dev, arena)
					net.forward(p, p.Upload(state, false, 1, tokens, width), text, p.Upload(state[:width], false, 1, width), p.Upload(rotary, false, tokens, 2*config.HeadDim))
					if err := p.Close(); err != nil {
						b.Fatal(err)
					}
				}
				meta := &device.Meta{}
				pass(meta, device.NewArena(meta, 0))
				pool := cpu.NewPool(0)
				defer pool.Close()
				dev := device.NewCPU(pool, prec == cpu.Exact)
				arena := device.NewArena(dev, 0)
				pass(dev, arena)
				before := arena.Stats().Allocations
				for b.Loop() {
					pass(dev, arena)
				}
				if n := arena.Stats().Allocations - before; n != 0 {
					b.Errorf("%d blocks of memory were allocated after the first step", n)
				}
				b.ReportMetric(float64(meta.FLOPs)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GOPS")
			})
		}
	}
}
