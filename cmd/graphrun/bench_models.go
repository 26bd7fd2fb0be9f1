package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"graphrun/kernels/cpu"
	"graphrun/runtime/device"
	"graphrun/runtime/diffusion"
	"graphrun/runtime/nn"
	"graphrun/runtime/vae"
	"graphrun/types"
)

// The configurations of Stable Diffusion 1.5 and of SDXL 1.0, as their folders have them.
const (
	sd15UNet = `{"_class_name": "UNet2DConditionModel", "attention_head_dim": 8, "block_out_channels": [320, 640, 1280, 1280],
		"cross_attention_dim": 768, "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
		"in_channels": 4, "layers_per_block": 2, "out_channels": 4, "sample_size": 64,
		"up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"]}`
	sdxlUNet = `{"_class_name": "UNet2DConditionModel", "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
		"attention_head_dim": [5, 10, 20], "block_out_channels": [320, 640, 1280], "cross_attention_dim": 2048,
		"down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"], "in_channels": 4, "layers_per_block": 2,
		"out_channels": 4, "projection_class_embeddings_input_dim": 2816, "sample_size": 128, "transformer_layers_per_block": [1, 2, 10],
		"up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"], "use_linear_projection": true}`
	sd15VAE = `{"_class_name": "AutoencoderKL", "block_out_channels": [128, 256, 512, 512], "in_channels": 3, "latent_channels": 4,
		"layers_per_block": 2, "norm_num_groups": 32, "out_channels": 3, "scaling_factor": 0.18215}`
)

// benchModel is a network of its real size; run makes one forward pass.
type benchModel struct {
	name  string
	build func(b *nn.Binder, dev device.Device, arena *device.Arena) (run func(ctx context.Context) error, err error)
}

var benchModels = []benchModel{
	{"sd15-unet", func(b *nn.Binder, dev device.Device, arena *device.Arena) (func(context.Context) error, error) {
		c, err := diffusion.ParseUNetConfig([]byte(sd15UNet))
		if err != nil {
			return nil, err
		}
		u, err := diffusion.NewUNet(c, b)
		m := diffusion.UNetModel{UNet: u, Device: dev, Arena: arena}
		x := types.Tensor{Shape: []int{2, 4, 64, 64}, Data: noise(2 * 4 * 64 * 64)} // with guidance: two at once
		text := types.Cond{Tokens: types.Tensor{Shape: []int{1, 77, 768}, Data: noise(77 * 768)}}
		return func(ctx context.Context) error {
			_, err := m.Predict(ctx, x, []float32{500, 500}, []types.Cond{text, text})
			return err
		}, err
	}},
	{"sd15-vae-decode", func(b *nn.Binder, dev device.Device, arena *device.Arena) (func(context.Context) error, error) {
		c, err := vae.ParseConfig([]byte(sd15VAE))
		if err != nil {
			return nil, err
		}
		v, err := vae.New(c, b, dev, arena)
		z := types.Tensor{Shape: []int{1, 4, 64, 64}, Data: noise(4 * 64 * 64)}
		return func(ctx context.Context) error {
			_, err := v.Decode(ctx, z)
			return err
		}, err
	}},
	{"sdxl-unet", func(b *nn.Binder, dev device.Device, arena *device.Arena) (func(context.Context) error, error) {
		c, err := diffusion.ParseUNetConfig([]byte(sdxlUNet))
		if err != nil {
			return nil, err
		}
		u, err := diffusion.NewUNet(c, b)
		x, text, pooled := noise(4*128*128), noise(77*2048), noise(1280)
		return func(ctx context.Context) error {
			p := device.NewPass(ctx, dev, arena)
			u.Forward(p, p.Upload(x, true, 1, 4, 128, 128), []float32{500}, p.Upload(text, false, 1, 77, 2048),
				&diffusion.Addition{Text: p.Upload(pooled, false, 1, 1280), TimeIDs: []float32{1024, 1024, 0, 0, 1024, 1024}})
			return p.Close()
		}, err
	}},
	{"flux-blocks", buildFluxBlocks},
}

// fluxBlocks is FLUX.1-dev with one double and one single block.
const fluxBlocks = `{"_class_name": "FluxTransformer2DModel", "num_layers": 1, "num_single_layers": 1, "guidance_embeds": true}`

// buildFluxBlocks runs them on a picture of 1024x1024 pixels and 512 tokens of text.
func buildFluxBlocks(b *nn.Binder, dev device.Device, arena *device.Arena) (func(context.Context) error, error) {
	const side, text = 64, 512 // tokens
	c, err := diffusion.ParseFluxConfig([]byte(fluxBlocks))
	if err != nil {
		return nil, err
	}
	ids := make([]float32, 3*text, 3*(text+side*side))
	for i := range side * side {
		ids = append(ids, 0, float32(i/side), float32(i%side))
	}
	rotary, err := c.RotaryTable(nil, ids)
	if err != nil {
		return nil, err
	}
	f, err := diffusion.NewFlux(c, b)
	x, tokens, pooled := noise(side*side*c.InChannels), noise(text*c.JointAttentionDim), noise(c.PooledProjectionDim)
	return func(ctx context.Context) error {
		p := device.NewPass(ctx, dev, arena)
		f.Forward(p, diffusion.FluxInput{
			Image: p.Upload(x, false, 1, side*side, c.InChannels), Text: p.Upload(tokens, false, 1, text, c.JointAttentionDim),
			Pooled: p.Upload(pooled, false, 1, c.PooledProjectionDim), Time: []float32{0.5}, Guidance: []float32{3.5}, Rotary: rotary,
		})
		return p.Close()
	}, err
}

func benchModelsCommand() *cobra.Command {
	var f engineFlags
	var only, precisions []string
	var runs int
	var profile, asJSON bool
	c := &cobra.Command{
		Use:   "models",
		Short: "Measure forward passes of networks of their real size, with made-up weights",
		Args:  usage(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			var figures []figure
			pool := cpu.NewPool(f.threads)
			defer pool.Close()
			for _, m := range benchModels {
				if len(only) > 0 && !slices.Contains(only, m.name) {
					continue
				}
				for _, prec := range []cpu.Precision{cpu.Exact, cpu.BF16, cpu.Int8, cpu.Int8Fast} {
					if !slices.Contains(precisions, prec.String()) {
						continue
					}
					list, ops, err := m.measure(c.Context(), pool, prec, runs)
					if err != nil {
						return err
					}
					figures = append(figures, list...)
					if profile {
						printProfile(c.ErrOrStderr(), m.name, prec, ops)
					}
				}
			}
			if len(only) == 0 || slices.Contains(only, fromFile) {
				list, err := benchFile(c.Context(), &f, runs)
				if err != nil {
					return err
				}
				figures = append(figures, list...)
			}
			return printFigures(c.OutOrStdout(), figures, asJSON)
		},
	}
	c.AddCommand(benchPassCommand())
	c.Flags().StringSliceVar(&only, "only", nil, "measure only these models")
	c.Flags().StringSliceVar(&precisions, "arithmetic", []string{"int8"}, "of products: float32, bfloat16, int8, int8-fast (convolutions with one scale a picture)")
	c.Flags().IntVar(&runs, "runs", 2, "passes after the first; the best counts")
	c.Flags().BoolVar(&profile, "profile", false, "print the time by operation to stderr")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	f.add(c.Flags())
	return c
}

// measure runs the model once to warm up and then some times.
func (m benchModel) measure(ctx context.Context, pool *cpu.Pool, prec cpu.Precision, runs int) ([]figure, map[string]*device.OpTime, error) {
	dev := device.NewTimed(device.NewCPU(pool, prec == cpu.Exact))
	arena := device.NewArena(dev, 0)
	run, err := m.build(nn.Synthetic(prec), dev, arena)
	if err != nil {
		return nil, nil, err
	}
	best := time.Duration(1<<63 - 1)
	var ops map[string]*device.OpTime
	for i := range runs + 1 {
		dev.Ops = map[string]*device.OpTime{}
		begin := time.Now()
		if err := run(ctx); err != nil {
			return nil, nil, err
		}
		if took := time.Since(begin); i > 0 && took < best {
			best, ops = took, dev.Ops
		}
	}
	var flops int64
	for _, o := range ops {
		flops += o.FLOPs
	}
	rate := float64(flops) / best.Seconds()
	return []figure{
		{m.name + ", " + prec.String(), best.Seconds(), "s", fmt.Sprintf("%.3g TFLOP, %.4g GOPS, %.0f %% of peak", float64(flops)/1e12, rate/1e9, 100*rate/cpu.Peak(pool, prec))},
		{m.name + ", activations", float64(arena.Stats().Peak) / 1e6, "MB", "at once"},
	}, ops, nil
}

// printProfile prints the time by operation, longest first.
func printProfile(w io.Writer, model string, prec cpu.Precision, ops map[string]*device.OpTime) {
	names := make([]string, 0, len(ops))
	var total time.Duration
	for n, o := range ops {
		names = append(names, n)
		total += o.Time
	}
	slices.SortFunc(names, func(a, b string) int {
		if d := ops[b].Time - ops[a].Time; d != 0 {
			return int(d)
		}
		return strings.Compare(a, b)
	})
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "%s, %v\tcalls\tms\t%%\tGOPS\t\n", model, prec)
	for _, n := range names {
		o := ops[n]
		rate := ""
		if o.FLOPs > 0 {
			rate = fmt.Sprintf("%.0f", float64(o.FLOPs)/o.Time.Seconds()/1e9)
		}
		fmt.Fprintf(t, "%s\t%d\t%.1f\t%.0f\t%s\t\n", n, o.Calls, o.Time.Seconds()*1e3, 100*o.Time.Seconds()/total.Seconds(), rate)
	}
	t.Flush()
}
