package diffusion

import (
	"context"
	"fmt"
	"testing"

	"graphrun/kernels/cpu"
	"graphrun/runtime/device"
	"graphrun/runtime/nn"
	"graphrun/runtime/sdnq"
	"graphrun/runtime/weights"
)

// randomBytes are what the weights of a benchmark are cut from: more than any cache holds, so that each layer reads memory.
type randomBytes struct {
	data []byte
	at   int
}

func (r *randomBytes) next(n int) []byte {
	if r.at+n > len(r.data) {
		r.at = 0
	}
	r.at += n
	return r.data[r.at-n : r.at]
}

// newRandomBytes are numbers around 0 in a format, or codes.
func newRandomBytes(d weights.DType, n int) *randomBytes {
	x, values := uint64(1), make([]float32, 1<<16)
	for i := range values {
		x = x*6364136223846793005 + 1442695040888963407
		values[i] = float32(int32(x>>32)) / (1 << 36) // to 1/32
	}
	r := &randomBytes{data: make([]byte, n)}
	one := encode(values, d)
	if d == weights.I8 {
		one = make([]byte, 1<<18)
		for i := range one {
			x = x*6364136223846793005 + 1442695040888963407
			one[i] = byte(x >> 56)
		}
	}
	for i := 0; i < n; i += len(one) {
		copy(r.data[i:], one)
	}
	return r
}

// fluxBlock makes the tensors of one block of FLUX.1: int8 as SDNQ writes them for its quantized matmul, or dense.
func fluxBlock(single bool, d weights.DType) *weights.Store {
	const w = 3072
	pool, small := newRandomBytes(d, 400<<20), newRandomBytes(weights.F32, 1<<20)
	var list []weights.Tensor
	add := func(name string, d weights.DType, from *randomBytes, shape ...int) {
		n := d.Size()
		for _, s := range shape {
			n *= s
		}
		list = append(list, weights.Tensor{Name: name, DType: d, Shape: shape, Data: from.next(n)})
	}
	linear := func(module string, in, out int) {
		add(module+".bias", weights.F32, small, out)
		if d != weights.I8 {
			add(module+".weight", d, pool, out, in)
			return
		}
		add(module+".weight", d, pool, in, out)
		list = append(list, weights.Tensor{Name: module + ".scale", DType: weights.F32, Shape: []int{1, out}, Data: encode(scales(out), weights.F32)})
	}
	if single {
		linear("norm.linear", w, 3*w)
		linear("proj_mlp", w, 4*w)
		linear("proj_out", 5*w, w)
		for _, m := range []string{"attn.to_q", "attn.to_k", "attn.to_v"} {
			linear(m, w, w)
		}
	} else {
		for _, m := range []string{"attn.to_q", "attn.to_k", "attn.to_v", "attn.to_out.0", "attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj", "attn.to_add_out"} {
			linear(m, w, w)
		}
		for norm, ff := range map[string]string{"norm1": "ff", "norm1_context": "ff_context"} {
			linear(norm+".linear", w, 6*w)
			linear(ff+".net.0.proj", w, 4*w)
			linear(ff+".net.2", 4*w, w)
		}
		add("attn.norm_added_q.weight", weights.F32, small, 128)
		add("attn.norm_added_k.weight", weights.F32, small, 128)
	}
	add("attn.norm_q.weight", weights.F32, small, 128)
	add("attn.norm_k.weight", weights.F32, small, 128)
	return weights.Of(list...)
}

func scales(n int) []float32 {
	s := make([]float32, n)
	for i := range s {
		s[i] = 1e-4
	}
	return s
}

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
	quant := sdnq.DefaultConfig()
	quant.UseQuantizedMatmul = true
	for _, kind := range []string{"double", "single"} {
		for _, d := range []weights.DType{weights.I8, weights.BF16, weights.F32} {
			b.Run(fmt.Sprintf("%s/%s", kind, d), func(b *testing.B) {
				pool := cpu.NewPool(0)
				defer pool.Close()
				var net block
				binder := nn.NewBinder(fluxBlock(kind == "single", d), quant, nn.Options{})
				if kind == "double" {
					net = newDoubleBlock(config, binder)
				} else {
					net = newSingleBlock(config, binder)
				}
				if err := binder.Err(); err != nil {
					b.Fatal(err)
				}
				state := activations(tokens * config.Width())
				run := func(dev device.Device, arena *device.Arena) {
					p := device.NewPass(context.Background(), dev, arena)
					h := p.Upload(state, false, 1, tokens, config.Width())
					net.forward(p, h, text, p.Upload(state[:config.Width()], false, 1, config.Width()), p.Upload(rotary, false, tokens, 2*config.HeadDim))
					if err := p.Close(); err != nil {
						b.Fatal(err)
					}
				}
				meta := &device.Meta{}
				run(meta, device.NewArena(meta, 0))
				dev := device.NewCPU(pool, false)
				arena := device.NewArena(dev, 0)
				run(dev, arena)
				before := arena.Stats().Allocations
				for b.Loop() {
					run(dev, arena)
				}
				if n := arena.Stats().Allocations - before; n != 0 {
					b.Errorf("%d blocks of memory were allocated after the first step", n)
				}
				b.ReportMetric(float64(meta.FLOPs)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GOPS")
			})
		}
	}
}

// activations are activations of a size that norms do not care about.
func activations(n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(i*7919%2001-1000) / 500
	}
	return v
}
