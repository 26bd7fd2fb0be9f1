package main

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"graphrun/kernels/cpu"
)

// kernelFigure is what one operation does.
type kernelFigure struct {
	Name       string  `json:"name"`
	Arithmetic string  `json:"arithmetic,omitempty"` // of products
	Ms         float64 `json:"ms,omitempty"`         // of the best run
	Rate       float64 `json:"rate"`
	Unit       string  `json:"unit"`
	Percent    float64 `json:"percent,omitempty"` // of the peak, or of the bandwidth of reading memory
	Note       string  `json:"note,omitempty"`
}

// kernelBench is what the measurements share.
type kernelBench struct {
	ctx  context.Context
	pool *cpu.Pool
	time time.Duration // how long a kernel is repeated
	peak map[cpu.Precision]float64
	read float64 // bytes a second
}

func benchKernelsCommand() *cobra.Command {
	var threads int
	var only string
	var each time.Duration
	var asJSON bool
	c := &cobra.Command{
		Use:   "kernels",
		Short: "Measure each kind of operation in the shapes of real models, against what the processor and the memory can do",
		Args:  usage(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			match, err := regexp.Compile(only)
			if err != nil {
				return &usageError{fmt.Errorf("--only: %w", err)}
			}
			if threads < 0 {
				return &usageError{fmt.Errorf("--cpu-threads %d: need 0 or more threads", threads)}
			}
			pool := cpu.NewPool(threads)
			defer pool.Close()
			b := &kernelBench{ctx: c.Context(), pool: pool, time: each}
			figures := b.limits()
			for _, k := range kernels() {
				if !match.MatchString(k.String()) {
					continue
				}
				if err := c.Context().Err(); err != nil {
					return err
				}
				figures = append(figures, b.measure(k))
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), figures)
			}
			return printKernels(c.OutOrStdout(), figures)
		},
	}
	c.Flags().StringVar(&only, "only", "", "measure only the rows whose `NAME, ARITHMETIC` this regular expression matches")
	c.Flags().DurationVar(&each, "time", 500*time.Millisecond, "how long each row is repeated, three times at least; the best run counts")
	c.Flags().IntVar(&threads, "cpu-threads", 0, "worker threads, 0 for one a core")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func printKernels(w io.Writer, figures []kernelFigure) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\tms\trate\t%\t")
	for _, f := range figures {
		name, ms, percent := f.Name, "", ""
		if f.Arithmetic != "" {
			name += ", " + f.Arithmetic
		}
		if f.Ms > 0 {
			ms, percent = fmt.Sprintf("%.4g", f.Ms), fmt.Sprintf("%.0f", f.Percent)
		}
		fmt.Fprintf(t, "%s\t%s\t%.4g %s\t%s\t%s\n", name, ms, f.Rate, f.Unit, percent, f.Note)
	}
	return t.Flush()
}

// limits measures what no kernel can exceed.
func (b *kernelBench) limits() []kernelFigure {
	b.peak = map[cpu.Precision]float64{}
	where := fmt.Sprintf("%s, %d threads, nothing but multiply-adds", cpu.Features(), b.pool.Threads())
	if unused := cpu.Unused(); len(unused) > 0 {
		where += "; the processor also has " + strings.Join(unused, ", ") + ", not used yet"
	}
	var figures []kernelFigure
	for _, prec := range []cpu.Precision{cpu.Exact, cpu.BF16, cpu.Int8} {
		b.peak[prec] = cpu.Peak(b.pool, prec)
		if cpu.Native(prec) {
			figures = append(figures, kernelFigure{Name: "peak", Arithmetic: prec.String(), Rate: b.peak[prec] / 1e9, Unit: "GOPS", Note: where})
		}
	}
	b.peak[cpu.Int8Fast] = b.peak[cpu.Int8]
	b.read = readBandwidth(b.ctx, b.pool)
	return append(figures, kernelFigure{Name: "reading memory", Rate: b.read / 1e9, Unit: "GB/s", Note: "one word of each 64 bytes of 512 MiB, in order"})
}

// readBandwidth is how many bytes a second all workers together get from memory. Reading one word of each cache line moves
// them all and leaves the arithmetic units no part in it.
func readBandwidth(ctx context.Context, pool *cpu.Pool) float64 {
	const line, tile = 8, 1 << 15 // words
	v := make([]uint64, 64<<20)
	for i := 0; i < len(v); i += 512 { // each page has memory of its own
		v[i] = uint64(i)
	}
	sums := make([]uint64, pool.Threads()*line)
	best := 0.0
	for range 20 {
		begin := time.Now()
		pool.Run(ctx, len(v)/tile, func(t, worker int) {
			var a, b, c, d uint64
			for part := v[t*tile:][:tile]; len(part) >= 4*line; part = part[4*line:] {
				a, b, c, d = a+part[0], b+part[line], c+part[2*line], d+part[3*line]
			}
			sums[worker*line] += a + b + c + d
		})
		best = max(best, float64(8*len(v))/time.Since(begin).Seconds())
	}
	return best
}

// measure repeats the kernel on inputs of its own, which are garbage afterwards.
func (b *kernelBench) measure(k kernel) kernelFigure {
	run := k.prepare(b)
	run() // fills caches and scratch memory
	best, begin := time.Duration(1<<63-1), time.Now()
	for i := 0; (i < 3 || time.Since(begin) < b.time) && b.ctx.Err() == nil; i++ {
		start := time.Now()
		run()
		best = min(best, time.Since(start))
	}
	best /= time.Duration(max(1, k.calls))
	f := kernelFigure{Name: k.name, Arithmetic: k.arithmetic, Ms: best.Seconds() * 1e3, Note: k.note}
	limit := b.peak[k.prec]
	if k.int8Half {
		limit = 2 / (1/limit + 1/b.peak[cpu.Int8])
	}
	if f.Unit = "GOPS"; k.bandwidth {
		f.Unit, limit = "GB/s", b.read
	}
	rate := k.work / best.Seconds()
	f.Rate, f.Percent = rate/1e9, 100*rate/limit
	if k.arithmetic == k.prec.String() && !cpu.Native(k.prec) {
		f.Note = "computed as float32 here"
	}
	return f
}
