package diffusion

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"graphrun/kernels/cpu"
	"graphrun/runtime/device"
	"graphrun/runtime/nn"
	"graphrun/runtime/weights"
	"graphrun/types"
)

// The configurations of SDXL 1.0, as its folders have them (but for the refiner's first level, which has no transformer).
const (
	sdxlBase = `{"addition_embed_type": "text_time", "addition_time_embed_dim": 256, "attention_head_dim": [5, 10, 20],
		"block_out_channels": [320, 640, 1280], "cross_attention_dim": 2048,
		"down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
		"projection_class_embeddings_input_dim": 2816, "transformer_layers_per_block": [1, 2, 10],
		"up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"], "use_linear_projection": true}`
	sdxlRefiner = `{"addition_embed_type": "text_time", "addition_time_embed_dim": 256, "attention_head_dim": [6, 12, 24, 24],
		"block_out_channels": [384, 768, 1536, 1536], "cross_attention_dim": 1280,
		"down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
		"projection_class_embeddings_input_dim": 2560, "transformer_layers_per_block": [1, 4, 4, 4],
		"up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"], "use_linear_projection": true}`
)

// unetZeros has all tensors of a model in the original layout: zeros that share one piece of memory, which nothing touches.
func unetZeros(c UNetConfig) *weights.Store {
	var list []weights.Tensor
	zeros := make([]byte, 2*(1<<26))
	add := func(name string, shape ...int) {
		n := 2
		for _, s := range shape {
			n *= s
		}
		list = append(list, weights.Tensor{Name: name, DType: weights.F16, Shape: shape, Data: zeros[:n:n]})
	}
	layer := func(name string, out int, rest ...int) {
		add(name+".weight", append([]int{out}, rest...)...)
		add(name+".bias", out)
	}
	temb := c.TimeEmbeddingDim
	resnet := func(name string, in, out int) {
		layer(name+".in_layers.0", in)
		layer(name+".in_layers.2", out, in, 3, 3)
		layer(name+".emb_layers.1", out, temb)
		layer(name+".out_layers.0", out)
		layer(name+".out_layers.3", out, out, 3, 3)
		if in != out {
			layer(name+".skip_connection", out, in, 1, 1)
		}
	}
	transformer := func(name string, w, depth int) {
		for _, n := range []string{".proj_in", ".proj_out"} {
			layer(name+n, w, w)
		}
		layer(name+".norm", w)
		for k := range depth {
			b := fmt.Sprintf("%s.transformer_blocks.%d.", name, k)
			for attn, kv := range map[string]int{"attn1": w, "attn2": c.CrossAttentionDim} {
				add(b+attn+".to_q.weight", w, w)
				add(b+attn+".to_k.weight", w, kv)
				add(b+attn+".to_v.weight", w, kv)
				layer(b+attn+".to_out.0", w, w)
			}
			for i := range 3 {
				layer(fmt.Sprintf("%snorm%d", b, i+1), w)
			}
			layer(b+"ff.net.0.proj", 8*w, w)
			layer(b+"ff.net.2", w, 4*w)
		}
	}
	ch := c.BlockOutChannels
	last, width := len(ch)-1, ch[0]
	for name, in := range map[string]int{"time_embed.": width, "label_emb.0.": c.AdditionInputDim} {
		layer(name+"0", temb, in)
		layer(name+"2", temb, temb)
	}
	layer("input_blocks.0.0", width, c.InChannels, 3, 3)
	layer("out.0", width)
	layer("out.2", c.OutChannels, width, 3, 3)
	skips := []int{width}
	for i, w := range ch {
		for range c.LayersPerBlock[i] {
			n := fmt.Sprintf("input_blocks.%d.", len(skips))
			resnet(n+"0", width, w)
			if c.DownBlockTypes[i] == crossAttnDown {
				transformer(n+"1", w, c.TransformerLayers[i])
			}
			width, skips = w, append(skips, w)
		}
		if i < last {
			layer(fmt.Sprintf("input_blocks.%d.0.op", len(skips)), w, w, 3, 3)
			skips = append(skips, w)
		}
	}
	resnet("middle_block.0", width, width)
	transformer("middle_block.1", width, c.TransformerLayers[last])
	resnet("middle_block.2", width, width)
	for i := last; i >= 0; i-- {
		for j := range c.LayersPerBlock[i] + 1 {
			top := len(skips) - 1
			name, sub := fmt.Sprintf("output_blocks.%d.", c.skips()-1-top), 1
			resnet(name+"0", width+skips[top], ch[i])
			width, skips = ch[i], skips[:top]
			if c.DownBlockTypes[i] == crossAttnDown {
				transformer(name+"1", width, c.TransformerLayers[i])
				sub = 2
			}
			if i > 0 && j == c.LayersPerBlock[i] {
				layer(fmt.Sprintf("%s%d.conv", name, sub), width, width, 3, 3)
			}
		}
	}
	return weights.Of(list...)
}

// skips counts the skip connections.
func (c UNetConfig) skips() int {
	n := len(c.BlockOutChannels)
	for _, l := range c.LayersPerBlock {
		n += l
	}
	return n
}

// TestSDXLOnMeta counts one prediction for 1024x1024 pixels with SDXL's two networks, whose configs their shapes tell.
func TestSDXLOnMeta(t *testing.T) {
	for _, m := range []struct {
		name, config string
		ids          int
		params       int64
		flops        int64 // by torch.utils.flop_counter on diffusers' network
	}{
		{"base", sdxlBase, 6, 2_567_463_684, 6_761_236_398_080},
		{"refiner", sdxlRefiner, 5, 2_259_526_660, 7_286_010_937_344},
	} {
		c, err := ParseUNetConfig([]byte(m.config))
		if err != nil {
			t.Fatal(err)
		}
		store := unetZeros(c)
		if seen, err := DetectUNet(store); err != nil || mustJSON(t, seen) != mustJSON(t, c) {
			t.Errorf("%s: shapes tell %+v, %v", m.name, seen, err)
		}
		u, err := NewUNet(c, nn.NewBinder(store.Rename(OriginalUNetNames(c)), nil, nn.Options{}))
		if err != nil {
			t.Fatal(err)
		}
		meta := &device.Meta{}
		arena := device.NewArena(meta, 0)
		p := device.NewPass(context.Background(), meta, arena)
		text := p.New(1, c.AdditionInputDim-m.ids*c.AdditionTimeEmbedDim)
		u.Forward(p, p.New(1, 128, 128, 4), []float32{981}, p.New(1, 77, c.CrossAttentionDim), &Addition{Text: text, TimeIDs: make([]float32, m.ids)})
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		var params, products int64
		for _, name := range store.Names() {
			x, _ := store.Lookup(name)
			params += int64(x.Elements())
			if len(x.Shape) > 1 {
				products += int64(x.Elements())
			}
		}
		t.Logf("%s: %d FLOPs, %d weights, %d MiB of activations", m.name, meta.FLOPs, params, arena.Stats().Peak>>20)
		if params != m.params || meta.Weights != products || meta.FLOPs != m.flops {
			t.Errorf("%s: have %d weights of %d, %d of %d in products, %d FLOPs of %d", m.name, params, m.params, meta.Weights, products, meta.FLOPs, m.flops)
		}
	}
}

// The meta device takes the memory that the CPU takes.
func TestUNetMemory(t *testing.T) {
	u := openUNet(t, filepath.Join("testdata", "text-time"))
	pool := cpu.NewPool(1)
	defer pool.Close()
	run := func(d device.Device) device.Stats {
		a := device.NewArena(d, 0)
		p := device.NewPass(context.Background(), d, a)
		u.Forward(p, p.New(2, 5, 7, 4), []float32{1, 2}, p.New(2, 3, 4), &Addition{Text: p.New(2, 3), TimeIDs: make([]float32, 10)})
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		return a.Stats()
	}
	if c, m := run(device.NewCPU(pool, true)), run(&device.Meta{}); c != m {
		t.Errorf("cpu %+v, meta %+v", c, m)
	}
}

// An added condition that the network does not know or that does not fit is a typed error.
func TestAdditionRefused(t *testing.T) {
	with, without := openUNet(t, filepath.Join("testdata", "text-time")), openUNet(t, filepath.Join("testdata", "no-middle"))
	for name, c := range map[string]struct {
		u   *UNet
		add func(p *nn.Pass) *Addition
	}{
		"none":       {with, func(*nn.Pass) *Addition { return nil }},
		"not asked":  {without, func(p *nn.Pass) *Addition { return &Addition{p.New(2, 3), make([]float32, 10)} }},
		"few ids":    {with, func(p *nn.Pass) *Addition { return &Addition{p.New(2, 3), make([]float32, 8)} }},
		"uneven ids": {with, func(p *nn.Pass) *Addition { return &Addition{p.New(2, 3), make([]float32, 11)} }},
		"no ids":     {with, func(p *nn.Pass) *Addition { return &Addition{p.New(2, 33), nil} }},
		"width":      {with, func(p *nn.Pass) *Addition { return &Addition{p.New(2, 4), make([]float32, 10)} }},
		"batch":      {with, func(p *nn.Pass) *Addition { return &Addition{p.New(1, 3), make([]float32, 10)} }},
	} {
		p := newFluxPass(t, true)
		c.u.Forward(p, p.New(2, 5, 7, c.u.Config.InChannels), []float32{1, 2}, p.New(2, 3, 4), c.add(p))
		var shape *device.ShapeError
		if err := p.Close(); !errors.As(err, &shape) || shape.Op != "unet: added condition" {
			t.Errorf("%s: have %v", name, err)
		}
	}
}

// A graph has no added condition to give yet.
func TestPredictRefusesSDXL(t *testing.T) {
	m := UNetModel{UNet: openUNet(t, filepath.Join("testdata", "text-time"))}
	_, err := m.Predict(context.Background(), types.NewTensor(1, 4, 8, 8), []float32{1}, []types.Cond{{Tokens: types.NewTensor(1, 3, 4)}})
	var refused *nn.ConfigError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), `addition_embed_type = "text_time"`) {
		t.Errorf("have %v", err)
	}
}

func TestAdditionNames(t *testing.T) {
	rename := OriginalUNetNames(openUNet(t, filepath.Join("testdata", "text-time")).Config)
	for from, to := range map[string]string{
		"label_emb.0.0.weight": "add_embedding.linear_1.weight", "label_emb.0.2.bias": "add_embedding.linear_2.bias", "label_emb.0.1.bias": "",
	} {
		if have := rename(from); have != to {
			t.Errorf("%s becomes %q, need %q", from, have, to)
		}
	}
}

func FuzzUNetConfig(f *testing.F) {
	f.Add([]byte(sdxlBase), "label_emb.0.0.weight", 4)
	f.Add([]byte(sdxlRefiner), "input_blocks.4.1.proj_in.weight", 0)
	f.Fuzz(func(t *testing.T, text []byte, name string, rows int) {
		if c, err := ParseUNetConfig(text); err == nil {
			OriginalUNetNames(c)(name)
		}
		if c, err := DetectUNet(weights.Of(weights.Tensor{Name: name, Shape: []int{rows, rows}})); err == nil {
			t.Errorf("a file with nothing but %s is a UNet: %+v", name, c)
		}
	})
}
