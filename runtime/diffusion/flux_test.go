package diffusion

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"graphrun/internal/golden"
	"graphrun/kernels/cpu"
	"graphrun/runtime/device"
	"graphrun/runtime/nn"
	"graphrun/runtime/sdnq"
	"graphrun/runtime/weights"
)

// fluxCore is a model of a few thousand random weights, and what the formulas make of it: tools/coremodel/flux.py.
const fluxCore = "testdata/flux"

// fluxCoreInput is the core model's batch of two, on p.
func fluxCoreInput(t testing.TB, p *nn.Pass, c FluxConfig, want map[string]golden.Tensor) FluxInput {
	t.Helper()
	rotary, err := c.RotaryTable(nil, want["ids"].F32())
	if err != nil {
		t.Fatal(err)
	}
	up := func(name string) nn.Tensor { return p.Upload(want[name].F32(), false, want[name].Shape...) }
	return FluxInput{
		Image: up("image"), Text: up("text"), Pooled: up("pooled"), Time: want["time"].F32(), Guidance: want["guidance"].F32(), Rotary: rotary,
	}
}

func newFluxPass(t testing.TB, exact bool) *nn.Pass {
	pool := cpu.NewPool(2)
	t.Cleanup(pool.Close)
	dev := device.NewCPU(pool, exact)
	return device.NewPass(context.Background(), dev, device.NewArena(dev, 0))
}

// TestFluxCore holds a batch of two prompts and times to the formulas, in a lone clone too, also where the MLPs see the tokens in
// pieces.
func TestFluxCore(t *testing.T) {
	f := openFlux(t, fluxCore)
	want := golden.Tensors(t, filepath.Join(fluxCore, "expected.safetensors"))
	defer func(n int) { pieceTokens = n }(pieceTokens)
	for _, pieceTokens = range []int{pieceTokens, 3} {
		p := newFluxPass(t, true)
		y := f.Forward(p, fluxCoreInput(t, p, f.Config, want))
		golden.Close(t, "velocity", p.Download(y, false), want["out"].F32(), 2e-5, 0)
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFluxFormats runs the core model with its weights stored in every dense format and in every SDNQ dtype that
// graphrun writes, and holds it to the model of the same numbers in float32.
func TestFluxFormats(t *testing.T) {
	dense, err := weights.Open(fluxCore)
	if err != nil {
		t.Fatal(err)
	}
	defer dense.Close()
	config := openFlux(t, fluxCore).Config
	pool := cpu.NewPool(2)
	t.Cleanup(pool.Close)
	run := func(s *weights.Store, q *sdnq.Config) []float32 {
		t.Helper()
		f, err := NewFlux(config, nn.NewBinder(s, q, nn.Options{DType: "float32"}))
		if err != nil {
			t.Fatal(err)
		}
		p := newFluxPass(t, true)
		y := p.Download(f.Forward(p, fluxCoreInput(t, p, config, golden.Tensors(t, filepath.Join(fluxCore, "expected.safetensors")))), false)
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		return y
	}
	for _, d := range []weights.DType{weights.F32, weights.BF16, weights.F16} {
		var stored, plain []weights.Tensor
		for _, name := range dense.Names() {
			x, _ := dense.Lookup(name)
			v, _ := x.Float32()
			s := weights.Tensor{Name: name, DType: d, Shape: x.Shape, Data: encode(v, d)}
			v, _ = s.Float32()
			stored, plain = append(stored, s), append(plain, weights.Tensor{Name: name, DType: weights.F32, Shape: x.Shape, Data: encode(v, weights.F32)})
		}
		golden.Close(t, d.String(), run(weights.Of(stored...), nil), run(weights.Of(plain...), nil), 0, 0)
	}
	for _, dtype := range []string{"int8", "uint8", "int7", "uint6", "int5", "uint4", "int4", "uint3", "int2", "uint1", "int16"} {
		c := sdnq.DefaultConfig()
		c.WeightsDType, c.MinNumel, c.MinChannels, c.AddSkipKeys = dtype, 1, 1, false
		var stored, plain []weights.Tensor
		for _, name := range dense.Names() {
			x, _ := dense.Lookup(name)
			module, isWeight := strings.CutSuffix(name, ".weight")
			if !isWeight || len(x.Shape) != 2 || x.Shape[1] < 12 {
				stored, plain = append(stored, x), append(plain, x)
				continue
			}
			q, err := sdnq.Quantize(t.Context(), pool, x, sdnq.Linear, c)
			if err != nil {
				t.Fatal(err)
			}
			m, err := sdnq.Layer(weights.Of(q.Tensors...), module, c, x.Shape)
			if err != nil {
				t.Fatal(err)
			}
			stored = append(stored, q.Tensors...)
			plain = append(plain, weights.Tensor{Name: name, DType: weights.F32, Shape: x.Shape, Data: encode(m.Dequantize(), weights.F32)})
		}
		golden.Close(t, dtype, run(weights.Of(stored...), c), run(weights.Of(plain...), nil), 1e-5, 1e-5) // codes that few rows multiply as they are round otherwise
	}
}

// encode stores numbers in a dense format.
func encode(v []float32, d weights.DType) []byte {
	var out []byte
	for _, x := range v {
		switch d {
		case weights.BF16:
			out = binary.LittleEndian.AppendUint16(out, weights.Float32ToBF16(x))
		case weights.F16:
			out = binary.LittleEndian.AppendUint16(out, weights.Float32ToF16(x))
		default:
			out = binary.LittleEndian.AppendUint32(out, math.Float32bits(x))
		}
	}
	return out
}

// fluxZeros has all tensors of a model in the original layout: zeros that share one piece of memory, which nothing touches.
func fluxZeros(c FluxConfig) *weights.Store {
	w, shapes := c.Width(), map[string][]int{}
	linear := func(name string, in, out int) {
		shapes[name+".weight"], shapes[name+".bias"] = []int{out, in}, []int{out}
	}
	norms := func(name string) {
		shapes[name+".query_norm.scale"], shapes[name+".key_norm.scale"] = []int{c.HeadDim}, []int{c.HeadDim}
	}
	linear("img_in", c.InChannels, w)
	linear("txt_in", c.JointAttentionDim, w)
	for name, in := range map[string]int{"time_in": 256, "guidance_in": 256, "vector_in": c.PooledProjectionDim} {
		linear(name+".in_layer", in, w)
		linear(name+".out_layer", w, w)
	}
	linear("final_layer.linear", w, c.OutChannels)
	linear("final_layer.adaLN_modulation.1", w, 2*w)
	for i := range 2 * c.NumLayers {
		b := fmt.Sprintf("double_blocks.%d.%s_", i/2, []string{"img", "txt"}[i%2])
		linear(b+"mod.lin", w, 6*w)
		linear(b+"attn.qkv", w, 3*w)
		linear(b+"attn.proj", w, w)
		linear(b+"mlp.0", w, 4*w)
		linear(b+"mlp.2", 4*w, w)
		norms(b + "attn.norm")
	}
	for i := range c.NumSingleLayers {
		b := fmt.Sprintf("single_blocks.%d.", i)
		linear(b+"modulation.lin", w, 3*w)
		linear(b+"linear1", w, 7*w)
		linear(b+"linear2", 5*w, w)
		norms(b + "norm")
	}
	zeros := make([]byte, 2*7*w*w)
	var list []weights.Tensor
	for name, shape := range shapes {
		n := 2
		for _, s := range shape {
			n *= s
		}
		list = append(list, weights.Tensor{Name: name, DType: weights.BF16, Shape: shape, Data: zeros[:n]})
	}
	return weights.Of(list...)
}

// TestFluxOnMeta counts FLUX.1-dev, whose config its shapes tell, at 1024x1024 pixels and 512 tokens of text.
func TestFluxOnMeta(t *testing.T) {
	dev := FluxConfig{
		PatchSize: 1, InChannels: 64, OutChannels: 64, NumLayers: 19, NumSingleLayers: 38, HeadDim: 128, Heads: 24,
		JointAttentionDim: 4096, PooledProjectionDim: 768, GuidanceEmbeds: true, AxesDims: []int{16, 56, 56},
	}
	store := fluxZeros(dev)
	seen, err := DetectFlux(store)
	if err != nil || mustJSON(t, seen) != mustJSON(t, dev) {
		t.Fatalf("shapes tell %+v, %v", seen, err)
	}
	f, err := NewFlux(dev, nn.NewBinder(store.Split(OriginalFluxNames(dev)), nil, nn.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	const text, image = 512, 4096
	count := func(run func(p *nn.Pass)) (flops, params, peak int64) {
		meta := &device.Meta{}
		arena := device.NewArena(meta, 0)
		p := device.NewPass(context.Background(), meta, arena)
		run(p)
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		return meta.FLOPs, meta.Weights, arena.Stats().Peak
	}
	const tokens, w = text + image, int64(3072)
	attention := 4 * tokens * tokens * w
	double, _, _ := count(func(p *nn.Pass) {
		f.double[0].forward(p, p.New(1, tokens, 3072), text, p.New(1, 3072), p.New(tokens, 256))
	})
	single, _, _ := count(func(p *nn.Pass) {
		f.single[0].forward(p, p.New(1, tokens, 3072), text, p.New(1, 3072), p.New(tokens, 256))
	})
	if want := 24*tokens*w*w + attention + 24*w*w; double != want {
		t.Errorf("a double block takes %d FLOPs, need %d", double, want)
	}
	if want := 24*tokens*w*w + attention + 6*w*w; single != want {
		t.Errorf("a single block takes %d FLOPs, need %d", single, want)
	}
	step := func(text, image int) (flops, params, peak int64) {
		return count(func(p *nn.Pass) {
			f.Forward(p, FluxInput{
				Image: p.New(1, image, 64), Text: p.New(1, text, 4096), Pooled: p.New(1, 768), Time: []float32{1}, Guidance: []float32{3.5},
				Rotary: make([]float32, (text+image)*256),
			})
		})
	}
	flops, _, peak := step(text, image)
	_, params, _ := step(text, 256) // in one piece, so that each weight is multiplied by once
	rest := 2 * (image*64*w + text*4096*w + image*w*64 + 2*w*w + 3*w*w + (256+256+768)*w)
	if want := 19*double + 38*single + rest; flops != want {
		t.Errorf("a step takes %d FLOPs, need %d", flops, want)
	}
	t.Logf("double block %.4f, single block %.4f, step %.3f TFLOP, %.3f billion weights, %d MiB of activations",
		float64(double)/1e12, float64(single)/1e12, float64(flops)/1e12, float64(params)/1e9, peak>>20)
	if params < 11_800_000_000 || params > 12_000_000_000 { // black-forest-labs: 12 billion
		t.Errorf("have %d weights", params)
	}
}

// The meta device takes the memory that the CPU takes.
func TestFluxMemory(t *testing.T) {
	f := openFlux(t, fluxCore)
	want := golden.Tensors(t, filepath.Join(fluxCore, "expected.safetensors"))
	pool := cpu.NewPool(1)
	defer pool.Close()
	run := func(d device.Device) device.Stats {
		a := device.NewArena(d, 0)
		p := device.NewPass(context.Background(), d, a)
		f.Forward(p, fluxCoreInput(t, p, f.Config, want))
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		return a.Stats()
	}
	if c, m := run(device.NewCPU(pool, true)), run(&device.Meta{}); c != m {
		t.Errorf("cpu %+v, meta %+v", c, m)
	}
}

// What does not fit the network is a typed error before any kernel runs.
func TestFluxRefuses(t *testing.T) {
	f := openFlux(t, fluxCore)
	want := golden.Tensors(t, filepath.Join(fluxCore, "expected.safetensors"))
	for name, spoil := range map[string]func(p *nn.Pass, in *FluxInput){
		"image":        func(p *nn.Pass, in *FluxInput) { in.Image = p.New(2, 6, 4) },
		"text":         func(p *nn.Pass, in *FluxInput) { in.Text = p.New(1, 4, 7) },
		"pooled text":  func(p *nn.Pass, in *FluxInput) { in.Pooled = nn.Tensor{} },
		"time":         func(_ *nn.Pass, in *FluxInput) { in.Time = in.Time[:1] },
		"guidance":     func(_ *nn.Pass, in *FluxInput) { in.Guidance = nil },
		"rotary table": func(_ *nn.Pass, in *FluxInput) { in.Rotary = in.Rotary[1:] },
	} {
		p := newFluxPass(t, true)
		in := fluxCoreInput(t, p, f.Config, want)
		spoil(p, &in)
		f.Forward(p, in)
		var shape *device.ShapeError
		if err := p.Close(); !errors.As(err, &shape) || shape.Op != "flux: "+name {
			t.Errorf("%s: have %v", name, err)
		}
	}
	if _, err := f.Config.RotaryTable(nil, make([]float32, 4)); err == nil {
		t.Error("a token without all its coordinates passes")
	}
}

func TestFluxConfig(t *testing.T) {
	c, err := ParseFluxConfig([]byte(`{"_class_name":"FluxTransformer2DModel","out_channels":null,"axes_dims_rope":null}`))
	if err != nil || c.OutChannels != 64 || c.NumLayers != 19 || c.NumSingleLayers != 38 || c.Width() != 3072 || c.GuidanceEmbeds || !slices.Equal(c.AxesDims, []int{16, 56, 56}) {
		t.Errorf("defaults %+v, %v", c, err)
	}
	fill, err := ParseFluxConfig([]byte(`{"in_channels":384,"out_channels":64,"guidance_embeds":true}`))
	if err != nil || fill.InChannels != 384 || fill.OutChannels != 64 || !fill.GuidanceEmbeds {
		t.Errorf("fill %+v, %v", fill, err)
	}
	for text, key := range map[string]string{
		`{"_class_name":"ChromaTransformer2DModel"}`: "_class_name", `{"axes_dims_rope":[16,56]}`: "axes_dims_rope", `{"axes_dims_rope":[15,57,56]}`: "axes_dims_rope",
		`{"attention_head_dim":64}`: "axes_dims_rope", `{"num_layers":-1}`: "num_layers", `{"in_channels":"64"}`: "in_channels", `{"patch_size":0}`: "patch_size",
		`{"num_attention_heads":1e3}`: "num_attention_heads", `{"num_single_layers":2.5}`: "num_single_layers", `{"guidance_embeds":1}`: "guidance_embeds",
		`{"joint_attention_dim":0}`: "joint_attention_dim", `{"pooled_projection_dim":99999999}`: "pooled_projection_dim", `{"out_channels":-64}`: "out_channels",
	} {
		var bad *ConfigError
		if _, err := ParseFluxConfig([]byte(text)); !errors.As(err, &bad) || bad.Key != key || !strings.Contains(err.Error(), fmt.Sprint(bad.Value)) {
			t.Errorf("%s: have %v, need an error about %s", text, err, key)
		}
	}
	if _, err := ParseFluxConfig([]byte(`[1]`)); err == nil {
		t.Error("a list passes")
	}
}

// Names and shapes that no FLUX has are left for the binder to complain about.
func TestFluxNames(t *testing.T) {
	c := openFlux(t, fluxCore).Config
	x := func(name string, shape ...int) weights.Tensor {
		return weights.Tensor{Name: name, DType: weights.U8, Shape: shape, Data: make([]byte, shape[0])}
	}
	s := weights.Of(x("double_blocks.0.img_attn.qkv.bias", 30), x("double_blocks.0.img_attn.proj.bias", 12), x("single_blocks.x", 1), x("a", 1), x("double_blocks.0.what.bias", 2)).
		Split(OriginalFluxNames(c))
	want := []string{"a", "double_blocks.0.what.bias", "single_blocks.x", "transformer_blocks.0.attn.to_k.bias", "transformer_blocks.0.attn.to_out.0.bias", "transformer_blocks.0.attn.to_q.bias", "transformer_blocks.0.attn.to_v.bias"}
	if got := s.Names(); !slices.Equal(got, want) {
		t.Errorf("have %v", got)
	}
	_, err := NewFlux(c, nn.NewBinder(s, nil, nn.Options{}))
	var bind *nn.BindError
	if !errors.As(err, &bind) || !strings.Contains(err.Error(), "time_text_embed.timestep_embedder.linear_1.weight: missing") {
		t.Errorf("have %v", err)
	}
	if _, err := DetectFlux(s); err == nil {
		t.Error("FLUX is seen in a file without it")
	}
}

func FuzzFluxConfig(f *testing.F) {
	f.Add([]byte(`{"in_channels":64,"axes_dims_rope":[16,56,56],"out_channels":null}`), "double_blocks.0.img_attn.qkv.weight", 12)
	f.Fuzz(func(t *testing.T, text []byte, name string, rows int) {
		c, err := ParseFluxConfig(text)
		if err == nil {
			if _, err := c.RotaryTable(nil, make([]float32, len(c.AxesDims))); err != nil {
				t.Error(err)
			}
		}
		OriginalFluxNames(c)(weights.Tensor{Name: name, Shape: []int{rows}})
	})
}
