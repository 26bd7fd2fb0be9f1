// Package contributing compiles and runs the examples of CONTRIBUTING.md.
package contributing

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"graphrun/kernels/cpu"
	"graphrun/runtime/device"
	"graphrun/runtime/nn"
	"graphrun/runtime/weights"
)

// Toy is a network of one residual attention block between two convolutions.
type Toy struct {
	in, out *nn.Conv2D
	norm    *nn.GroupNorm
	attn    *nn.Attention
}

// NewToy binds the weights of a network of the given width. Every tensor that misses, does not fit or is left over is
// in the error.
func NewToy(width, heads int, b *nn.Binder) (*Toy, error) {
	proj := func(name string) *nn.Linear { return b.At("attn").Linear(name, width, width) }
	t := &Toy{
		in:   b.Conv("conv_in", 4, width, 3, 1),
		norm: b.GroupNorm("norm", width, heads, 1e-5),
		attn: &nn.Attention{Q: proj("to_q"), K: proj("to_k"), V: proj("to_v"), Out: proj("to_out"), Heads: heads},
		out:  b.Conv("conv_out", width, 4, 3, 1),
	}
	return t, b.Err()
}

// Forward maps x [batch, height, width, 4] to the same shape.
func (t *Toy) Forward(p *nn.Pass, x nn.Tensor) (out nn.Tensor) {
	defer p.Scope(&out)()
	h := t.in.Forward(p, x)                                // [b, h, w, c]
	s := t.norm.SiLU(p, h).Reshape(h.Dim(0), -1, h.Dim(3)) // [b, h*w, c]
	s = t.attn.Forward(p, s, s)
	p.AddTo(h, s.Reshape(h.Shape...))
	return t.out.Forward(p, h)
}

// TestFamily runs the network on the CPU, and on the meta device, which counts what the CPU would need.
func TestFamily(t *testing.T) {
	const width, heads = 8, 2
	shapes := map[string][]int{
		"conv_in.weight": {width, 4, 3, 3}, "conv_in.bias": {width}, "norm.weight": {width}, "norm.bias": {width},
		"conv_out.weight": {4, width, 3, 3}, "conv_out.bias": {4},
	}
	for _, name := range []string{"to_q", "to_k", "to_v", "to_out"} {
		shapes["attn."+name+".weight"], shapes["attn."+name+".bias"] = []int{width, width}, []int{width}
	}
	var tensors []weights.Tensor
	for name, shape := range shapes {
		n := 1
		for _, s := range shape {
			n *= s
		}
		data := make([]byte, 4*n)
		for i := range n {
			data[4*i+3], data[4*i+2] = 0x3d, byte(i) // floats between 0.03 and 0.07
		}
		tensors = append(tensors, weights.Tensor{Name: name, DType: weights.F32, Shape: shape, Data: data})
	}
	path := filepath.Join(t.TempDir(), "toy.safetensors")
	if err := weights.Write(path, tensors, nil); err != nil {
		t.Fatal(err)
	}
	store, err := weights.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	toy, err := NewToy(width, heads, nn.NewBinder(store, nil, nn.Options{}))
	if err != nil {
		t.Fatal(err)
	}

	pool := cpu.NewPool(2)
	defer pool.Close()
	onCPU, meta := device.NewCPU(pool, true), &device.Meta{}
	var peak [2]int64
	for i, dev := range []device.Device{onCPU, meta} {
		arena := device.NewArena(dev, 0)
		p := device.NewPass(context.Background(), dev, arena)
		y := toy.Forward(p, p.Upload(make([]float32, 2*4*6*4), true, 2, 4, 6, 4))
		if dev == onCPU {
			if v := p.Download(y, true); len(v) != 2*4*6*4 || v[0] == 0 {
				t.Errorf("result of %d values, the first %v", len(v), v[0])
			}
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		peak[i] = arena.Stats().Peak
	}
	if peak[0] != peak[1] || meta.FLOPs == 0 {
		t.Errorf("peak memory: CPU %d, meta %d bytes; %d FLOPs", peak[0], peak[1], meta.FLOPs)
	}

	other := store.Rename(func(name string) string { return strings.Replace(name, "to_q.bias", "to_q.shift", 1) })
	_, err = NewToy(width, heads, nn.NewBinder(other, nil, nn.Options{}))
	if err == nil || !strings.Contains(err.Error(), "attn.to_q.bias: missing") || !strings.Contains(err.Error(), "left over: attn.to_q.shift") {
		t.Errorf("a checkpoint that does not fit: %v", err)
	}
}
