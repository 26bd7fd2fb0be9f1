package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"graphrun/graph"
	"graphrun/graph/workflow"
	"graphrun/kernels/cpu"
	"graphrun/workflows"
)

// figure is one measured number.
type figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	Note  string  `json:"note,omitempty"`
}

func benchCommand() *cobra.Command {
	var f engineFlags
	var asJSON bool
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure what this machine does: kernels, the demo picture, memory, start-up",
		Long: "Measure what this machine does: kernels, the demo picture, memory, start-up.\n\n" +
			"`bench kernels` measures every kind of operation in the shapes of real models, `bench models` whole networks, `bench quantize` the quantizer, `bench graph` the executor.",
		Args: usage(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			figures, err := bench(c.Context(), &f)
			if err != nil {
				return err
			}
			return printFigures(c.OutOrStdout(), figures, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	f.add(c.Flags())
	c.AddCommand(benchKernelsCommand(), benchModelsCommand(), benchGraphCommand(), benchServerCommand(), benchQuantizeCommand())
	return c
}

func printFigures(w io.Writer, figures []figure, asJSON bool) error {
	if asJSON {
		return printJSON(w, figures)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range figures {
		fmt.Fprintf(t, "%s\t%.4g %s\t%s\n", f.Name, f.Value, f.Unit, f.Note)
	}
	return t.Flush()
}

// bench measures in the order of the table.
func bench(ctx context.Context, f *engineFlags) ([]figure, error) {
	dir, err := os.MkdirTemp("", "graphrun-bench")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	pool := cpu.NewPool(f.threads)
	figures := benchKernels(ctx, pool)
	pool.Close()
	for _, part := range []func(context.Context, *engineFlags, string) ([]figure, error){benchDemo, benchSteps, benchStart} {
		more, err := part(ctx, f, dir)
		if err != nil {
			return nil, err
		}
		figures = append(figures, more...)
	}
	return figures, nil
}

// benchKernels measures products and the 3x3 convolution against the most that the machine's arithmetic units do.
func benchKernels(ctx context.Context, pool *cpu.Pool) []figure {
	const n, side, channels = 1024, 64, 128
	where := fmt.Sprintf("%s, %d threads, nothing but multiply-adds", cpu.Features(), pool.Threads())
	peak := map[cpu.Precision]float64{cpu.Exact: cpu.Peak(pool, cpu.Exact), cpu.Int8: cpu.Peak(pool, cpu.Int8)}
	figures := []figure{{"peak, float32", peak[cpu.Exact] / 1e9, "GFLOPS", where}, {"peak, int8", peak[cpu.Int8] / 1e9, "GOPS", where}}
	add := func(name, unit string, flops float64, prec cpu.Precision, run func()) {
		rate := flops / fastest(9, run).Seconds()
		figures = append(figures, figure{name, rate / 1e9, unit, fmt.Sprintf("%.0f %% of peak", 100*rate/peak[prec])})
	}
	a, b, dst := noise(n*n), codes{cpu.Dense(noise(n*n), n, n), make([]int8, n*n), noise(n)}, make([]float32, n*n)
	add("matmul 1024x1024x1024, float32", "GFLOPS", 2*n*n*n, cpu.Exact, func() { cpu.MatMul(ctx, pool, dst, a, n, b, nil, cpu.Exact) })
	add("matmul 1024x1024x1024, int8", "GOPS", 2*n*n*n, cpu.Int8, func() { cpu.MatMul(ctx, pool, dst, a, n, b, nil, cpu.Int8) })
	x, k := noise(side*side*channels), cpu.Dense(noise(channels*channels*9), channels, channels*9)
	cv := cpu.Conv{KH: 3, KW: 3, StrideH: 1, StrideW: 1, Top: 1, Left: 1, Bottom: 1, Right: 1}
	add("conv 3x3 64x64 128->128, float32", "GFLOPS", 2*side*side*channels*channels*9, cpu.Exact, func() {
		cpu.Conv2D(ctx, pool, dst[:side*side*channels], x, 1, side, side, channels, k, cv, nil, cpu.Exact)
	})
	return figures
}

// codes are int8 weights.
type codes struct {
	cpu.Weights
	codes []int8
	scale []float32
}

func (c codes) Int8() (codes []int8, kByN bool, scale, zero []float32) {
	return c.codes, false, c.scale, nil
}

// noise is n values between -1 and 1, the same each time.
func noise(n int) []float32 {
	v := make([]float32, n)
	state := uint32(1)
	for i := range v {
		state = state*1664525 + 1013904223
		v[i] = float32(int32(state)) / (1 << 31)
	}
	return v
}

// fastest is the shortest of n runs, after one to warm up.
func fastest(n int, run func()) time.Duration {
	run()
	best := time.Duration(1<<63 - 1)
	for range n {
		begin := time.Now()
		run()
		best = min(best, time.Since(begin))
	}
	return best
}

// benchDemo runs the demo workflow in processes of their own; the first fills the page cache.
func benchDemo(ctx context.Context, f *engineFlags, dir string) ([]figure, error) {
	var took []float64
	var rss int64
	for i := range 4 {
		cmd, err := again(ctx, "demo", "--quiet", "--output", dir, fmt.Sprint("--cpu-threads=", f.threads), "--precision="+f.precision, fmt.Sprint("--attention-int8=", f.attentionInt8))
		if err != nil {
			return nil, err
		}
		begin := time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("demo: %w\n%s", err, out)
		}
		if i > 0 {
			took = append(took, time.Since(begin).Seconds())
			rss = max(rss, peakMemory(cmd.ProcessState))
		}
	}
	figures := []figure{{"demo picture, start to exit", median(took), "s", "median of 3, goal 3 s"}}
	if rss > 0 {
		figures = append(figures, figure{"demo picture, peak memory", float64(rss) / 1e6, "MB", "resident, goal 150 MB"})
	}
	return figures, nil
}

// benchSteps counts what one sampling step allocates after the first.
func benchSteps(ctx context.Context, f *engineFlags, dir string) ([]figure, error) {
	text, _ := workflows.Lookup("demo")
	file, err := workflow.Parse(text)
	if err != nil {
		return nil, err
	}
	flags := *f
	flags.output = filepath.Join(dir, "steps")
	e, err := flags.open()
	if err != nil {
		return nil, err
	}
	defer e.Close()
	prompt, err := file.Prompt(workflow.Options{Env: e.env})
	if err != nil {
		return nil, err
	}
	var m runtime.MemStats
	var bytes, count []float64
	var lastBytes, lastCount uint64
	_, err = graph.Run(ctx, prompt, graph.Options{Env: e.env, Events: func(ev graph.Event) {
		if p, ok := ev.(graph.Progress); ok && p.Phase == "sample" {
			runtime.ReadMemStats(&m)
			if p.Step > 1 { // from the end of one step to the end of the next
				bytes, count = append(bytes, float64(m.TotalAlloc-lastBytes)), append(count, float64(m.Mallocs-lastCount))
			}
			lastBytes, lastCount = m.TotalAlloc, m.Mallocs
		}
	}})
	if err != nil {
		return nil, err
	}
	return []figure{
		{"allocated per sampling step", median(bytes) / 1e3, "kB", "after the first, median; goal: nothing of tensor size"},
		{"allocations per sampling step", median(count), "", ""},
	}, nil
}

// benchStart measures start to exit of --version.
func benchStart(ctx context.Context, _ *engineFlags, _ string) ([]figure, error) {
	var took []float64
	for range 21 {
		cmd, err := again(ctx, "--version")
		if err != nil {
			return nil, err
		}
		begin := time.Now()
		if err := cmd.Run(); err != nil {
			return nil, err
		}
		took = append(took, time.Since(begin).Seconds()*1e3)
	}
	return []figure{{"cold start, --version to exit", median(took), "ms", "median of 21, goal 20 ms"}}, nil
}

// again is this program with other arguments.
func again(ctx context.Context, args ...string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return exec.CommandContext(ctx, self, args...), nil
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	return v[len(v)/2]
}
