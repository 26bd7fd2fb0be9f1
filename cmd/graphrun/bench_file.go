package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"graphrun/kernels/cpu"
	"graphrun/runtime/device"
	"graphrun/runtime/nn"
	"graphrun/runtime/sdnq"
	"graphrun/runtime/weights"
)

// fromFile is the row of a network in a process of its own, which maps it from a file as a run does.
const fromFile = "sd15-unet-file"

// benchFile writes Stable Diffusion 1.5's UNet, of its real size in int8, to a file and lets a process of its own run it.
func benchFile(ctx context.Context, f *engineFlags, runs int) ([]figure, error) {
	dir, err := os.MkdirTemp("", "graphrun-bench")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "unet.safetensors")
	config, err := nn.WriteSynthetic(file, cpu.Int8, func(b *nn.Binder) error {
		_, err := benchModels[0].build(b, &device.Meta{}, nil)
		return err
	})
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(file+".json", text, 0o644); err != nil {
		return nil, err
	}
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	return benchCold(ctx, f, file, info.Size(), max(2, runs))
}

// pass is what a process of benchCold says after a forward pass.
type pass struct {
	Bytes, Allocations uint64 // allocated since the pass before
	Activations        int64  // held, at most
	Scratch            int64
}

// benchCold runs passes of the file's network, the first of which is not timed with the others, in a process of its own.
func benchCold(ctx context.Context, f *engineFlags, file string, size int64, runs int) ([]figure, error) {
	cmd, err := again(ctx, "bench", "models", "pass", file, fmt.Sprint("--cpu-threads=", f.threads), fmt.Sprint("--runs=", runs))
	if err != nil {
		return nil, err
	}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	var last pass
	var first, best time.Duration
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if err := json.Unmarshal(lines.Bytes(), &last); err != nil {
			return nil, err
		}
		took := time.Since(begin)
		begin = begin.Add(took)
		switch {
		case first == 0:
			first = took
		case best == 0 || took < best:
			best = took
		}
	}
	if err := cmd.Wait(); err != nil {
		return nil, fmt.Errorf("%s: %w", cmd, err)
	}
	figures := []figure{
		{fromFile + ", int8, a step", best.Seconds(), "s", fmt.Sprintf("mapped from a file of %.0f MB", float64(size)/1e6)},
		{fromFile + ", first step", (first - best).Seconds(), "s", "more, from the start of the process with a warm page cache; goal 0.3 s"},
		{fromFile + ", garbage", float64(last.Bytes) / 1e3, "kB", fmt.Sprintf("a step after the first, in %d allocations; goal: nothing of tensor size", last.Allocations)},
	}
	if rss := peakMemory(cmd.ProcessState); rss > 0 {
		figures = append(figures, figure{
			fromFile + ", memory", float64(rss-size) / 1e6, "MB",
			fmt.Sprintf("resident at most, above the file; activations %.0f, scratch %.0f MB; goal 400 MB", float64(last.Activations)/1e6, float64(last.Scratch)/1e6),
		})
	}
	return figures, nil
}

// benchPassCommand is the process of benchCold.
func benchPassCommand() *cobra.Command {
	var threads, runs int
	c := &cobra.Command{
		Use: "pass FILE", Hidden: true, Args: usage(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			store, err := weights.Open(args[0])
			if err != nil {
				return err
			}
			defer store.Close()
			text, err := os.ReadFile(args[0] + ".json")
			if err != nil {
				return err
			}
			config, err := sdnq.ParseConfig(text)
			if err != nil {
				return err
			}
			pool := cpu.NewPool(threads)
			defer pool.Close()
			dev := device.NewCPU(pool, false)
			arena := device.NewArena(dev, 0)
			run, err := benchModels[0].build(nn.NewBinder(store, config, nn.Options{}), dev, arena)
			if err != nil {
				return err
			}
			var m runtime.MemStats
			out := json.NewEncoder(c.OutOrStdout())
			for range runs + 1 {
				before := m
				if err := run(c.Context()); err != nil {
					return err
				}
				runtime.ReadMemStats(&m)
				if err := out.Encode(pass{m.TotalAlloc - before.TotalAlloc, m.Mallocs - before.Mallocs, arena.Stats().Held, arena.Scratch()}); err != nil {
					return err
				}
			}
			return nil
		},
	}
	c.Flags().IntVar(&threads, "cpu-threads", 0, "")
	c.Flags().IntVar(&runs, "runs", 2, "")
	return c
}
