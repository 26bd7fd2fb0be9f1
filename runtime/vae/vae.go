// Package vae has the autoencoders that turn pictures into latents and back.
package vae

import (
	"context"
	"fmt"
	"slices"

	"graphrun/runtime/device"
	"graphrun/runtime/nn"
	"graphrun/types"
)

// Config is what config.json says of an AutoencoderKL. Lists have one entry a level, finest first.
type Config struct {
	InChannels, OutChannels, LatentChannels int
	BlockOutChannels                        []int
	LayersPerBlock                          int
	NormNumGroups                           int
	ScalingFactor, ShiftFactor              float64
	QuantConv, PostQuantConv                bool
	MidAttention                            bool
}

// ParseConfig reads config.json of class AutoencoderKL.
func ParseConfig(data []byte) (Config, error) {
	var f struct {
		ClassName        string   `json:"_class_name"`
		InChannels       *int     `json:"in_channels"`
		OutChannels      *int     `json:"out_channels"`
		LatentChannels   *int     `json:"latent_channels"`
		BlockOutChannels []int    `json:"block_out_channels"`
		DownBlockTypes   []string `json:"down_block_types"`
		UpBlockTypes     []string `json:"up_block_types"`
		LayersPerBlock   *int     `json:"layers_per_block"`
		NormNumGroups    *int     `json:"norm_num_groups"`
		ScalingFactor    *float64 `json:"scaling_factor"`
		ShiftFactor      *float64 `json:"shift_factor"`
		QuantConv        *bool    `json:"use_quant_conv"`
		PostQuantConv    *bool    `json:"use_post_quant_conv"`
		MidAttention     *bool    `json:"mid_block_add_attention"`
		ActFn            *string  `json:"act_fn"`
	}
	if err := nn.ParseConfig(data, &f); err != nil {
		return Config{}, fmt.Errorf("vae config: %w", err)
	}
	if f.ClassName != "" && f.ClassName != "AutoencoderKL" {
		return Config{}, fmt.Errorf("vae config: class: need AutoencoderKL, have %q", f.ClassName)
	}
	if a := or(f.ActFn, "silu"); a != "silu" && a != "swish" {
		return Config{}, fmt.Errorf("vae config: %w", &nn.ConfigError{Key: "act_fn", Value: a, Need: "silu"})
	}
	for _, l := range []struct {
		key, need string
		types     []string
	}{{"down_block_types", "DownEncoderBlock2D", f.DownBlockTypes}, {"up_block_types", "UpDecoderBlock2D", f.UpBlockTypes}} {
		wrong := func(t string) bool { return t != l.need }
		if l.types != nil && len(l.types) != len(f.BlockOutChannels) || slices.ContainsFunc(l.types, wrong) {
			return Config{}, fmt.Errorf("vae config: %w", &nn.ConfigError{Key: l.key, Value: l.types, Need: fmt.Sprintf("%d times %s", len(f.BlockOutChannels), l.need)})
		}
	}
	c := Config{
		InChannels: or(f.InChannels, 3), OutChannels: or(f.OutChannels, 3), LatentChannels: or(f.LatentChannels, 4),
		BlockOutChannels: f.BlockOutChannels, LayersPerBlock: or(f.LayersPerBlock, 1), NormNumGroups: or(f.NormNumGroups, 32),
		ScalingFactor: or(f.ScalingFactor, 0.18215), ShiftFactor: or(f.ShiftFactor, 0),
		QuantConv: or(f.QuantConv, true), PostQuantConv: or(f.PostQuantConv, true), MidAttention: or(f.MidAttention, true),
	}
	return c, c.check()
}

func or[T any](p *T, d T) T {
	if p == nil {
		return d
	}
	return *p
}

func (c Config) check() error {
	if n := len(c.BlockOutChannels); n == 0 || n > 8 {
		return fmt.Errorf("vae config: need 1 to 8 levels in block_out_channels, have %d", n)
	}
	for _, ch := range c.BlockOutChannels {
		if ch <= 0 || ch > 1<<16 || c.NormNumGroups <= 0 || ch%c.NormNumGroups != 0 {
			return fmt.Errorf("vae config: need channels that are a multiple of %d groups, have %v", c.NormNumGroups, c.BlockOutChannels)
		}
	}
	for _, v := range []int{c.InChannels, c.OutChannels, c.LatentChannels, c.LayersPerBlock} {
		if v <= 0 || v > 1<<12 {
			return fmt.Errorf("vae config: channels in %d, out %d, latent %d and layers_per_block %d must be 1 to 4096", c.InChannels, c.OutChannels, c.LatentChannels, c.LayersPerBlock)
		}
	}
	if c.ScalingFactor == 0 {
		return fmt.Errorf("vae config: scaling_factor is 0")
	}
	return nil
}

// KL is AutoencoderKL (Rombach et al. 2022; families.md 2): a convolutional ladder with one attention at the bottom.
type KL struct {
	Config Config
	Device device.Device
	Arena  *device.Arena
	After  func() // if not nil, called when a Decode or Encode is done
	Origin any    // what a loader notes, to find the weights again

	quant, postQuant *nn.Conv2D // nil when the config has none
	encoder          encoder
	decoder          decoder
	point            func(name string, t nn.Tensor) // tests look at named results
}

const normEps = 1e-6 // of every norm in this family

// New binds the weights of an AutoencoderKL.
func New(c Config, b *nn.Binder, dev device.Device, arena *device.Arena) (*KL, error) {
	v := &KL{Config: c, Device: dev, Arena: arena, encoder: newEncoder(c, b.At("encoder")), decoder: newDecoder(c, b.At("decoder"))}
	if c.QuantConv {
		v.quant = b.Conv("quant_conv", 2*c.LatentChannels, 2*c.LatentChannels, 1, 1)
	}
	if c.PostQuantConv {
		v.postQuant = b.Conv("post_quant_conv", c.LatentChannels, c.LatentChannels, 1, 1)
	}
	return v, b.Err()
}

// Factor is pixels per latent cell.
func (v *KL) Factor() int { return 1 << (len(v.Config.BlockOutChannels) - 1) }

// Decode turns latents [n, channels, h, w] in the VAE's own scale into pictures [n, h*Factor, w*Factor, 3] in 0..1, one at a time.
func (v *KL) Decode(ctx context.Context, samples types.Tensor) (types.Image, error) {
	defer v.done()
	if err := samples.Check("latent", 4); err != nil {
		return types.Image{}, err
	}
	n, c, h, w := samples.Shape[0], samples.Shape[1], samples.Shape[2], samples.Shape[3]
	if c != v.Config.LatentChannels {
		return types.Image{}, fmt.Errorf("vae decode: need latents of %d channels, have %d: the latent is of another model family than this VAE", v.Config.LatentChannels, c)
	}
	f := v.Factor()
	if err := v.Arena.Room(float64(n) * float64(h*f) * float64(w*f) * float64(v.Config.OutChannels)); err != nil {
		return types.Image{}, fmt.Errorf("vae decode: %w", err)
	}
	out := types.NewTensor(n, h*f, w*f, v.Config.OutChannels)
	for i := range n {
		types.Report(ctx, types.Progress{Phase: "decode", Step: i, Total: n})
		y, err := v.run(ctx, samples.Item(i), c, h, w, func(p *nn.Pass, x nn.Tensor) []float32 {
			return p.Download(v.decode(p, x), false)
		})
		if err != nil {
			return types.Image{}, fmt.Errorf("vae decode: %w", err)
		}
		for j, y := range y {
			out.Item(i).Data[j] = min(max(y/2+0.5, 0), 1)
		}
	}
	types.Report(ctx, types.Progress{Phase: "decode", Step: n, Total: n})
	return types.Image{Tensor: out}, nil
}

// Encode returns the posterior's mean [n, channels, h/Factor, w/Factor] of pictures in 0..1; an alpha channel is ignored
// and sizes are cut, centred, to a multiple of Factor.
func (v *KL) Encode(ctx context.Context, pixels types.Image) (types.Tensor, error) {
	defer v.done()
	if err := pixels.Check("pixels", 4); err != nil {
		return types.Tensor{}, err
	}
	f, c := v.Factor(), v.Config.LatentChannels
	n, h, w := pixels.Shape[0], pixels.Shape[1]/f, pixels.Shape[2]/f
	if h == 0 || w == 0 || pixels.Shape[3] < v.Config.InChannels {
		return types.Tensor{}, fmt.Errorf("vae encode: need pictures of at least %dx%d pixels and %d channels, have shape %v", f, f, v.Config.InChannels, pixels.Shape)
	}
	out := types.NewTensor(n, c, h, w)
	for i := range n {
		types.Report(ctx, types.Progress{Phase: "encode image", Step: i, Total: n})
		moments, err := v.run(ctx, v.modelPixels(pixels, i, h*f, w*f), v.Config.InChannels, h*f, w*f, func(p *nn.Pass, x nn.Tensor) []float32 {
			return p.Download(v.encode(p, x), true) // [1, 2*latent, h, w]: means, then log variances
		})
		if err != nil {
			return types.Tensor{}, fmt.Errorf("vae encode: %w", err)
		}
		copy(out.Item(i).Data, moments[:c*h*w])
	}
	types.Report(ctx, types.Progress{Phase: "encode image", Step: n, Total: n})
	return out, nil
}

// Estimate decodes one picture of h x w latent cells on the meta device: FLOPs and bytes of activations.
func (v *KL) Estimate(h, w int) (flops, activations int64, err error) {
	meta := &device.Meta{}
	arena := device.NewArena(meta, 0)
	p := device.NewPass(context.Background(), meta, arena)
	v.decode(p, p.New(1, h, w, v.Config.LatentChannels))
	err = p.Close()
	return meta.FLOPs, arena.Stats().Peak, err
}

func (v *KL) done() {
	if v.After != nil {
		v.After()
	}
}

// run does one pass over x [c, h, w].
func (v *KL) run(ctx context.Context, x types.Tensor, c, h, w int, f func(*nn.Pass, nn.Tensor) []float32) ([]float32, error) {
	p := device.NewPass(ctx, v.Device, v.Arena)
	p.Point = v.point
	y := f(p, p.Upload(x.Data, true, 1, c, h, w))
	return y, p.Close()
}

// modelPixels cuts picture i to h x w around its centre and returns it as [channels, h, w] in -1..1.
func (v *KL) modelPixels(im types.Image, i, h, w int) types.Tensor {
	H, W, ch := im.Shape[1], im.Shape[2], im.Shape[3]
	y0, x0 := (H-h)/2, (W-w)/2
	src, out := im.Item(i).Data, types.NewTensor(v.Config.InChannels, h, w)
	for c := range v.Config.InChannels {
		for y := range h {
			for x := range w {
				out.Data[(c*h+y)*w+x] = src[((y+y0)*W+x+x0)*ch+c]*2 - 1
			}
		}
	}
	return out
}

// encode maps x [b, H, W, 3] to moments [b, h, w, 2*latent].
func (v *KL) encode(p *nn.Pass, x nn.Tensor) nn.Tensor {
	h := v.encoder.forward(p, x)
	if v.quant != nil {
		p.Into(&h, v.quant.Forward(p, h))
	}
	return h
}

// decode maps z [b, h, w, latent] to pictures [b, H, W, 3] in about -1..1.
func (v *KL) decode(p *nn.Pass, z nn.Tensor) nn.Tensor {
	if v.postQuant != nil {
		z = v.postQuant.Forward(p, z)
	}
	return v.decoder.forward(p, z)
}
