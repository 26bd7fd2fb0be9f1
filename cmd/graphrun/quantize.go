package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"graphrun/graph"
	"graphrun/kernels/cpu"
	"graphrun/runtime/hub"
	"graphrun/runtime/sdnq"
	"graphrun/types"
)

// quantizeFlags are those of `graphrun quantize`.
type quantizeFlags struct {
	config        sdnq.Config
	threshold     float64
	matmulDType   string
	components    []string
	shard         string
	models        []string
	threads       int
	asJSON, quiet bool
	job           sdnq.Job
}

func quantizeCommand() *cobra.Command {
	f := quantizeFlags{config: *sdnq.DefaultConfig()}
	c := &cobra.Command{
		Use:   "quantize SRC DST",
		Short: "Quantize a model in the format of SDNQ",
		Long: "Quantize a model in the format of SDNQ, layer by layer: SRC is a folder in diffusers' layout (a pipeline or one component), a repository\n" +
			"of Hugging Face or a single .safetensors file, DST the new folder or file. See docs/quantize.md.",
		Example: "  graphrun quantize models/diffusers/sd15 models/diffusers/sd15-int8 --quantized-matmul\n" +
			"  graphrun quantize sdxl sdxl-uint4 --dtype uint4 --svd-rank 32 --components unet,text_encoder --resume\n" +
			"  graphrun quantize sd15.safetensors sd15-int8.safetensors --quant-conv --dry-run",
		Args: usage(cobra.ExactArgs(2)),
		RunE: func(c *cobra.Command, args []string) error { return f.run(c, args[0], args[1]) },
	}
	f.add(c.Flags())
	return c
}

func (f *quantizeFlags) add(flags *pflag.FlagSet) {
	cfg := &f.config
	flags.StringVar(&cfg.WeightsDType, "dtype", cfg.WeightsDType, "of the codes: int8, uint4, fp8, ... (docs/quantize.md lists them)")
	flags.IntVar(&cfg.GroupSize, "group-size", 0, "inputs that share a scale; 0 chooses by dtype, -1 is a whole row, -2 a whole tensor")
	flags.IntVar(&cfg.SVDRank, "svd-rank", 0, "rank of what is kept apart in the model's own dtype, 32 say; 0: nothing")
	flags.IntVar(&cfg.SVDSteps, "svd-steps", cfg.SVDSteps, "steps of its iteration")
	flags.BoolVar(&cfg.UseHadamard, "hadamard", false, "rotate weights, which spreads outliers")
	flags.IntVar(&cfg.HadamardGroupSize, "hadamard-group-size", cfg.HadamardGroupSize, "inputs that are rotated together")
	flags.BoolVar(&cfg.UseQuantizedMatmul, "quantized-matmul", false, "lay weights out for multiplying them by quantized activations")
	flags.BoolVar(&cfg.UseMatmulConv, "quantized-matmul-conv", false, "convolutions too, with --quant-conv")
	flags.StringVar(&f.matmulDType, "quantized-matmul-dtype", "", "what to multiply in: int8, uint8, fp8 or fp16; by default what goes with the dtype")
	flags.BoolVar(&cfg.QuantConv, "quant-conv", false, "quantize convolutions")
	flags.BoolVar(&cfg.QuantEmbedding, "quant-embedding", false, "quantize embeddings")
	flags.BoolVar(&cfg.DynamicQuantization, "dynamic", false, "choose each layer's dtype, from --dtype on, by the loss")
	flags.Float64Var(&f.threshold, "dynamic-loss-threshold", 0, "largest loss of a layer: mean squared error by variance; 0 goes by the dtype")
	flags.BoolVar(&cfg.UseCodebook, "codebook", false, "tables of values instead of steps of one size")
	flags.IntVar(&cfg.CodebookSteps, "codebook-steps", cfg.CodebookSteps, "steps of their iteration")
	flags.BoolVar(&cfg.DequantizeFP32, "dequantize-fp32", true, "scales in float32; else in the model's dtype")
	flags.StringArrayVar(&cfg.NotConvert, "skip", nil, "repeatable `PATTERN`: layers that stay as they are")
	flags.BoolVar(&cfg.AddSkipKeys, "skip-keys", true, "leave out what SDNQ leaves out of models of this class")
	flags.StringArrayVar(&cfg.NotUseMatmul, "skip-matmul", nil, "repeatable `PATTERN`: layers without the quantized matmul")
	flags.IntVar(&cfg.MinChannels, "min-channels", cfg.MinChannels, "layers with fewer inputs stay as they are")
	flags.IntVar(&cfg.MinNumel, "min-numel", cfg.MinNumel, "layers with fewer weights stay as they are")
	flags.StringSliceVar(&f.components, "components", nil, "parts to quantize, as unet,text_encoder; all without it")
	flags.StringVar(&f.shard, "max-shard-size", "", "largest file of a folder, as 5GB; 10GB without it")
	flags.BoolVar(&f.job.DryRun, "dry-run", false, "print what would be done, with the sizes, and write nothing")
	flags.BoolVar(&f.job.Overwrite, "overwrite", false, "replace DST, and forget an unfinished try of it")
	flags.BoolVar(&f.job.Resume, "resume", false, "go on with an unfinished try, and keep what is done when this one is interrupted")
	flags.BoolVar(&f.asJSON, "json", false, "print the report as JSON")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "print no progress")
	flags.IntVar(&f.threads, "cpu-threads", 0, "worker threads, 0 for one a core")
	flags.StringArrayVar(&f.models, "models", []string{"models"}, "folder of models, repeatable")
}

// prepare makes the flags a job.
func (f *quantizeFlags) prepare(dst string) error {
	cfg := &f.config
	cfg.UseSVD = cfg.SVDRank > 0
	if !cfg.UseSVD {
		cfg.SVDRank = sdnq.DefaultConfig().SVDRank
	}
	if f.threshold != 0 {
		cfg.DynamicLossThreshold = &f.threshold
	}
	if f.matmulDType != "" {
		cfg.MatmulDType = &f.matmulDType
	}
	if cfg.GroupSize < -2 || cfg.SVDRank < 0 || cfg.HadamardGroupSize < 1 || f.threshold < 0 || math.IsNaN(f.threshold) {
		return usagef("need --group-size of -2 or more, --svd-rank of 0 or more, --hadamard-group-size of 1 or more and --dynamic-loss-threshold of 0 or more")
	}
	var err error
	if f.shard != "" {
		if f.job.MaxShard, err = parseSize(f.shard); err != nil {
			return usagef("--max-shard-size: %w", err)
		}
	}
	if f.threads < 0 || f.threads > 1024 {
		return usagef("--cpu-threads: need 0 (one a core) to 1024, have %d", f.threads)
	}
	f.job.Target, f.job.Config, f.job.Components = dst, cfg, f.components
	if err := f.job.Check(); err != nil {
		return &usageError{err}
	}
	return nil
}

// parseSize reads a number of bytes as Hugging Face writes them: 500MB, 5GB, 2GiB.
func parseSize(text string) (int64, error) {
	t := strings.ToUpper(strings.TrimSpace(text))
	unit := 1.0
	for i, names := range [][2]string{{"KB", "KIB"}, {"MB", "MIB"}, {"GB", "GIB"}, {"TB", "TIB"}} {
		for base, name := range names {
			if rest, ok := strings.CutSuffix(t, name); ok {
				t, unit = strings.TrimSpace(rest), math.Pow([]float64{1000, 1024}[base], float64(i+1))
			}
		}
	}
	n, err := strconv.ParseFloat(t, 64)
	if err != nil || !(n*unit >= 1 && n*unit < 1<<62) {
		return 0, fmt.Errorf("need a size as 500MB or 5GB, have %q", text)
	}
	return int64(n * unit), nil
}

func (f *quantizeFlags) run(c *cobra.Command, src, dst string) error {
	if err := f.prepare(dst); err != nil {
		return err
	}
	out := c.ErrOrStderr()
	if f.quiet {
		out = io.Discard
	}
	report := &oneVoice{reporter: newReporter(io.Discard, out, false, f.quiet)}
	began := time.Now()
	report.event(graph.Executing{NodeID: src, Class: dst})
	ctx := types.WithProgress(c.Context(), func(p types.Progress) {
		report.event(graph.Progress{NodeID: src, Phase: p.Phase, Step: p.Step, Total: p.Total})
	})
	made, err := within(ctx, patience, func() (*sdnq.ModelReport, error) {
		var err error
		if f.job.Source, err = findModel(ctx, f.models, src); err != nil {
			return nil, err
		}
		f.job.Pool = cpu.NewPool(f.threads)
		defer f.job.Pool.Close()
		return f.job.Run(ctx)
	})
	if err == nil {
		report.event(graph.Executed{NodeID: src})
	}
	report.last(func() {})
	if err != nil {
		return err
	}
	took := time.Since(began)
	for _, pattern := range made.Unused {
		fmt.Fprintf(c.ErrOrStderr(), "graphrun: --skip %s hits no layer: a pattern is a whole name, one of its words, a beginning after a dot (.block.1), or has a star (*attn*)\n", pattern)
	}
	if f.asJSON {
		return printJSON(c.OutOrStdout(), jsonReport(made, took, f.job.DryRun))
	}
	return printReport(c.OutOrStdout(), made, took, f.job.DryRun)
}

// findModel is the path of a model's folder or file: itself, or that of a repository's copy here, which is downloaded if need be.
func findModel(ctx context.Context, models []string, name string) (string, error) {
	if _, err := os.Stat(name); err == nil {
		return name, nil
	}
	m, err := hub.Resolve(ctx, &hub.Folders{Models: models}, name)
	if err == nil && m.Dir == "" {
		err = fmt.Errorf("model %s is built in: need one on disk", name)
	}
	return m.Dir, err
}

// quantizedLayer is a row of the report.
type quantizedLayer struct {
	Name      string   `json:"name"`
	DType     string   `json:"dtype,omitempty"` // none: left as it is
	GroupSize int      `json:"group_size,omitempty"`
	RMS       *float64 `json:"rms,omitempty"`
	Max       *float64 `json:"max,omitempty"`
	Before    int64    `json:"before"`
	After     int64    `json:"after"`
}

type quantizedComponent struct {
	Name   string           `json:"name,omitempty"`
	Class  string           `json:"class,omitempty"`
	Before int64            `json:"before"`
	After  int64            `json:"after"`
	Layers []quantizedLayer `json:"layers"`
}

type quantizedModel struct {
	Source     string               `json:"source"`
	Target     string               `json:"target"`
	DryRun     bool                 `json:"dry_run"`
	Seconds    float64              `json:"seconds"`
	Before     int64                `json:"before"`
	After      int64                `json:"after"`
	Components []quantizedComponent `json:"components"`
}

// jsonReport is the report for programs: sizes are bytes, errors relative to the weight's RMS and its largest value.
func jsonReport(r *sdnq.ModelReport, took time.Duration, dry bool) quantizedModel {
	m := quantizedModel{Source: r.Source, Target: r.Target, DryRun: dry, Seconds: took.Seconds(), Before: r.Before, After: r.After, Components: []quantizedComponent{}}
	for _, c := range r.Components {
		part := quantizedComponent{Name: c.Name, Class: c.Class, Before: c.Before, After: c.After, Layers: []quantizedLayer{}}
		for _, l := range c.Layers {
			row := quantizedLayer{Name: l.Module, DType: l.DType, GroupSize: l.GroupSize, Before: l.Before, After: l.After}
			if l.DType != "" && !dry {
				row.RMS, row.Max = &l.RMS, &l.Max
			}
			part.Layers = append(part.Layers, row)
		}
		m.Components = append(m.Components, part)
	}
	return m
}

// printReport prints a line a layer and one for each component and the whole.
func printReport(w io.Writer, r *sdnq.ModelReport, took time.Duration, dry bool) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "layer\tdtype\tgroup\terror\tbefore\tafter\n")
	for _, c := range r.Components {
		prefix := ""
		if c.Name != "" {
			prefix = c.Name + ": "
		}
		for _, l := range c.Layers {
			dtype, group, loss := l.DType, fmt.Sprint(l.GroupSize), fmt.Sprintf("%.3g %%", 100*l.RMS)
			if dtype == "" {
				dtype, group, loss = "as it is", "", ""
			}
			if dry {
				loss = ""
			}
			fmt.Fprintf(t, "%s%s\t%s\t%s\t%s\t%s\t%s\n", prefix, l.Module, dtype, group, loss, megabytes(l.Before), megabytes(l.After))
		}
	}
	for _, c := range r.Components {
		s := c.Summary()
		loss := fmt.Sprintf("%.3g %%", 100*s.RMS)
		if dry {
			loss = ""
		}
		name := cmp.Or(strings.TrimSpace(c.Name+" "+c.Class), "file")
		fmt.Fprintf(t, "%s: %s quantized, %d as they are\t%s\t\t%s\t%s\t%s\n", name, count(s.Quantized, "layer"), s.Kept, s.DTypes, loss, megabytes(c.Before), megabytes(c.After))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	rate := float64(r.Before) / took.Seconds() / 1e9
	if dry {
		_, err := fmt.Fprintf(w, "%s -> %s; nothing was written\n", megabytes(r.Before), megabytes(r.After))
		return err
	}
	_, err := fmt.Fprintf(w, "%s: %s -> %s in %s, %.2f GB/s\n", r.Target, megabytes(r.Before), megabytes(r.After), seconds(took), rate)
	return err
}

// megabytes is a size in the unit of model cards.
func megabytes(bytes int64) string { return fmt.Sprintf("%.2f MB", float64(bytes)/1e6) }
