package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"graphrun/kernels/cpu"
	"graphrun/runtime/diffusion"
	"graphrun/runtime/nn"
)

// quantizeRows are the settings that bench quantize measures.
var quantizeRows = []struct {
	name  string
	flags []string
}{
	{"int8", []string{"--dtype=int8"}},
	{"int8, quantized matmul", []string{"--dtype=int8", "--quantized-matmul"}},
	{"int8, Hadamard", []string{"--dtype=int8", "--hadamard"}},
	{"uint8", []string{"--dtype=uint8"}},
	{"fp8", []string{"--dtype=float8_e4m3fn"}},
	{"uint4", []string{"--dtype=uint4"}},
	{"uint4, SVD 32", []string{"--dtype=uint4", "--svd-rank=32"}},
	{"uint4, codebook", []string{"--dtype=uint4", "--codebook"}},
	{"int4, dynamic", []string{"--dtype=int4", "--dynamic"}},
}

// sdxlPart is SDXL's UNet with fewer transformer blocks: layers of the same sizes.
const sdxlPart = `{"_class_name": "UNet2DConditionModel", "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
	"attention_head_dim": [5, 10, 20], "block_out_channels": [320, 640, 1280], "cross_attention_dim": 2048,
	"down_block_types": ["DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"], "in_channels": 4, "layers_per_block": 1,
	"out_channels": 4, "projection_class_embeddings_input_dim": 2816, "sample_size": 128, "transformer_layers_per_block": [1, 1, 1],
	"up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"], "use_linear_projection": true}`

func benchQuantizeCommand() *cobra.Command {
	var only []string
	var whole, asJSON bool
	var threads, runs int
	var keep string
	c := &cobra.Command{
		Use:   "quantize",
		Short: "Measure quantizing SDXL's layers in bfloat16, with made-up weights, from disk to disk",
		Args:  usage(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			dir := keep
			if dir == "" {
				temp, err := os.MkdirTemp("", "graphrun-bench")
				if err != nil {
					return err
				}
				defer os.RemoveAll(temp)
				dir = temp
			}
			config := sdxlPart
			if whole {
				config = sdxlUNet
			}
			src := filepath.Join(dir, "unet")
			if err := writeUNet(src, config); err != nil {
				return err
			}
			var figures []figure
			for _, row := range quantizeRows {
				if len(only) > 0 && !slices.Contains(only, row.name) {
					continue
				}
				f, err := benchQuantize(c.Context(), src, filepath.Join(dir, "quantized"), row.name, append(row.flags, fmt.Sprint("--cpu-threads=", threads)), runs)
				if err != nil {
					return err
				}
				figures = append(figures, f)
			}
			return printFigures(c.OutOrStdout(), figures, asJSON)
		},
	}
	c.Flags().StringArrayVar(&only, "only", nil, "repeatable: measure only this row")
	c.Flags().BoolVar(&whole, "whole", false, "the whole UNet, 5.1 GB, instead of a part of its layers")
	c.Flags().IntVar(&threads, "cpu-threads", 0, "worker threads, 0 for one a core")
	c.Flags().IntVar(&runs, "runs", 1, "the best counts")
	c.Flags().StringVar(&keep, "dir", "", "work in this folder, and keep the model")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// writeUNet writes a UNet's folder, unless it is there.
func writeUNet(dir, config string) error {
	file := filepath.Join(dir, "diffusion_pytorch_model.safetensors")
	if _, err := os.Stat(file); err == nil {
		return nil
	}
	c, err := diffusion.ParseUNetConfig([]byte(config))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	if _, err := nn.WriteSynthetic(file, cpu.BF16, func(b *nn.Binder) error {
		_, err := diffusion.NewUNet(c, b)
		return err
	}); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o666)
}

// benchQuantize runs the verb in processes of its own.
func benchQuantize(ctx context.Context, src, dst, name string, flags []string, runs int) (figure, error) {
	f := figure{Name: "quantize, " + name, Unit: "s"}
	var rss int64
	for range runs {
		if err := os.RemoveAll(dst); err != nil {
			return f, err
		}
		cmd, err := again(ctx, append([]string{"quantize", src, dst, "--json", "--quiet"}, flags...)...)
		if err != nil {
			return f, err
		}
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		var report quantizedModel
		if err == nil {
			err = json.Unmarshal(out, &report)
		}
		if err != nil {
			return f, fmt.Errorf("%s: %w", name, err)
		}
		rss = max(rss, peakMemory(cmd.ProcessState))
		if f.Value == 0 || report.Seconds < f.Value {
			f.Value = report.Seconds
			f.Note = fmt.Sprintf("%.2f GB/s, %.2f GB to %.2f GB", float64(report.Before)/report.Seconds/1e9, float64(report.Before)/1e9, float64(report.After)/1e9)
		}
	}
	if rss > 0 {
		f.Note += fmt.Sprintf(", %.0f MB resident at most", float64(rss)/1e6)
	}
	return f, os.RemoveAll(dst)
}
