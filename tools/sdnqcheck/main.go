// Command sdnqcheck quantizes a model folder with graphrun in several ways, for check.py beside it to load with the
// Python package sdnq and compare. It is run by hand.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"graphrun/runtime/sdnq"
)

// variants are the configs to write, by the folder's name; keys as in a quantization_config.
var variants = map[string]string{
	"int8":            `{}`,
	"int8-conv":       `{"quant_conv":true,"quant_embedding":true}`,
	"int8-matmul":     `{"quant_conv":true,"use_quantized_matmul":true,"use_quantized_matmul_conv":true}`,
	"int8-group16":    `{"group_size":16,"quant_conv":true,"use_quantized_matmul":true,"use_quantized_matmul_conv":true}`,
	"int8-tensor":     `{"group_size":-2,"quant_conv":true,"use_quantized_matmul":true,"use_quantized_matmul_conv":true}`,
	"uint8-conv":      `{"weights_dtype":"uint8","quant_conv":true,"quant_embedding":true}`,
	"uint8-matmul":    `{"weights_dtype":"uint8","quant_conv":true,"use_quantized_matmul":true,"use_quantized_matmul_conv":true}`,
	"uint4":           `{"weights_dtype":"uint4","quant_conv":true,"use_quantized_matmul":true,"use_quantized_matmul_conv":true}`,
	"int5":            `{"weights_dtype":"int5","quant_conv":true}`,
	"uint11":          `{"weights_dtype":"uint11"}`,
	"mixed":           `{"modules_dtype_dict":{"uint8":["mid_block"],"int6":["up_blocks"]}}`,
	"int8-half-scale": `{"dequantize_fp32":false,"quant_conv":true}`,
	"uint4-svd":       `{"weights_dtype":"uint4","use_svd":true,"svd_rank":8,"use_quantized_matmul":true}`,
	"int8-hadamard":   `{"use_hadamard":true,"use_quantized_matmul":true}`,
	"uint4-both":      `{"weights_dtype":"uint4","use_svd":true,"svd_rank":8,"use_hadamard":true,"use_quantized_matmul":true}`,
	"uint4-codebook":  `{"weights_dtype":"uint4","use_codebook":true}`,
	"fp8-matmul":      `{"weights_dtype":"float8_e4m3fn","quant_conv":true,"use_quantized_matmul":true,"use_quantized_matmul_conv":true}`,
	"fp6":             `{"weights_dtype":"float6_e3m2fn","quant_conv":true}`,
	"dynamic":         `{"use_dynamic_quantization":true,"weights_dtype":"uint4","dynamic_loss_threshold":0.01}`,
}

func main() {
	commands := map[string]func(args []string) error{
		"models": func(a []string) error { return run(a[0], a[len(a)-1]) },
		"write":  func(a []string) error { return writeLayers(context.Background(), a[0]) },
		"keep":   func(a []string) error { return keepHashes(a[0], a[len(a)-1]) },
		"read":   func(a []string) error { return readLayers(context.Background(), a[0]) },
	}
	if len(os.Args) < 3 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: sdnqcheck models MODEL-FOLDER NEW-FOLDER | write DIR | read DIR | keep DIR FILE")
		os.Exit(2)
	}
	if err := commands[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(src, dst string) error {
	if err := os.MkdirAll(dst, 0o755); err != nil {
		return err
	}
	for name, text := range variants {
		cfg := sdnq.DefaultConfig()
		cfg.MinNumel, cfg.MinChannels = 64, 8 // the models at hand are tiny
		if err := json.Unmarshal([]byte(text), cfg); err != nil {
			return err
		}
		if err := sdnq.QuantizeModel(context.Background(), src, filepath.Join(dst, name), cfg); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}
