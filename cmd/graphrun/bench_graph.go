package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"graphrun/graph"
)

func benchGraphCommand() *cobra.Command {
	var asJSON bool
	var limit time.Duration
	c := &cobra.Command{
		Use:   "graph",
		Short: "Measure what the executor costs, without models",
		Long: "Measure what the executor costs, without models: graphs of trivial nodes are checked and run, anew and from the cache. " +
			"A figure is the fastest of all runs within --time.",
		Args: usage(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			figures, err := benchGraph(c.Context(), limit)
			if err != nil {
				return err
			}
			return printFigures(c.OutOrStdout(), figures, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().DurationVar(&limit, "time", time.Second, "how long to repeat each row")
	return c
}

type benchAdd struct{ A, B int }

func (n benchAdd) Run(*graph.Call) (int, error) { return n.A + n.B, nil }

type benchShow struct{ Value int }

func (n benchShow) Run(*graph.Call) (graph.UI, error) { return graph.UI{"text": {n.Value}}, nil }

type benchNap struct{ Seed int }

func (n benchNap) Run(*graph.Call) (int, error) { time.Sleep(time.Millisecond); return n.Seed, nil }

func benchLibrary() graph.Library {
	l := graph.Library{}
	for _, s := range []*graph.Spec{
		graph.Compile[benchAdd](graph.Meta{Name: "Add"}),
		graph.Compile[benchShow](graph.Meta{Name: "Show", Output: true}),
		graph.Compile[benchNap](graph.Meta{Name: "Nap", Uses: graph.IO}),
	} {
		l[s.Name] = s
	}
	return l
}

// benchChain is a row of n nodes; benchFan has n leaves, added up in a row.
func benchChain(n int) *graph.Prompt {
	p := &graph.Prompt{}
	last := any(0)
	for i := range n {
		p.Add(fmt.Sprint(i), &graph.Node{Class: "Add", Inputs: []graph.Input{{Name: "a", Value: last}, {Name: "b", Value: 1}}})
		last = graph.Link(fmt.Sprint(i), 0)
	}
	p.Add("out", &graph.Node{Class: "Show", Inputs: []graph.Input{{Name: "value", Value: last}}})
	return p
}

func benchFan(n int, leaf string) *graph.Prompt {
	p := &graph.Prompt{}
	last := any(0)
	for i := range n {
		name := fmt.Sprint("leaf", i)
		inputs := []graph.Input{{Name: "seed", Value: i}}
		if leaf == "Add" {
			inputs = []graph.Input{{Name: "a", Value: i}, {Name: "b", Value: 1}}
		}
		p.Add(name, &graph.Node{Class: leaf, Inputs: inputs})
		p.Add(fmt.Sprint(i), &graph.Node{Class: "Add", Inputs: []graph.Input{{Name: "a", Value: last}, {Name: "b", Value: graph.Link(name, 0)}}})
		last = graph.Link(fmt.Sprint(i), 0)
	}
	p.Add("out", &graph.Node{Class: "Show", Inputs: []graph.Input{{Name: "value", Value: last}}})
	return p
}

func benchGraph(ctx context.Context, limit time.Duration) ([]figure, error) {
	var figures []figure
	l := benchLibrary()
	for _, n := range []int{100, 1000, 10000} {
		for _, shape := range []struct {
			name   string
			prompt *graph.Prompt
		}{{"chain", benchChain(n)}, {"fan-in", benchFan(n, "Add")}} {
			for _, cached := range []bool{false, true} {
				cache := &graph.Cache{}
				best, mean, err := benchRuns(limit, func() error {
					if !cached {
						cache.Clear()
					}
					_, err := graph.Run(ctx, shape.prompt, graph.Options{Nodes: l, Cache: cache})
					return err
				})
				if err != nil {
					return nil, err
				}
				nodes := float64(len(shape.prompt.IDs))
				what, goal := "run", "goal 10"
				if cached {
					what, goal = "cached", "goal 1"
				}
				figures = append(figures, figure{
					fmt.Sprintf("%s of %d, %s", shape.name, n, what), best.Seconds() * 1e6 / nodes, "µs/node",
					fmt.Sprintf("%s; CPU time on average %.1f, %.1f allocations a node", goal, mean.cpu.Seconds()*1e6/nodes, mean.allocs/nodes),
				})
			}
		}
	}
	small, err := json.Marshal(benchChain(1))
	if err != nil {
		return nil, err
	}
	cache := &graph.Cache{}
	best, mean, err := benchRuns(limit, func() error {
		for range 200 {
			p, err := graph.ParsePrompt(small)
			if err != nil {
				return err
			}
			if _, err = graph.Run(ctx, p, graph.Options{Nodes: l, Cache: cache}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	figures = append(figures, figure{"200 cached prompts of 2 nodes", best.Seconds() * 1e6 / 200, "µs/prompt", fmt.Sprintf("from JSON; %.0f allocations a prompt", mean.allocs/200)})
	for _, room := range []graph.Room{{Serial: true}, {}, {IO: 16}} {
		best, _, err := benchRuns(limit, func() error {
			_, err := graph.Run(ctx, benchFan(32, "Nap"), graph.Options{Nodes: l, Room: room})
			return err
		})
		if err != nil {
			return nil, err
		}
		at := max(room.IO, 4)
		if room.Serial {
			at = 1
		}
		figures = append(figures, figure{fmt.Sprintf("32 nodes that sleep 1 ms, %d at once", at), best.Seconds() * 1e3, "ms", ""})
	}
	return figures, nil
}

// perRun is what a run takes on average: CPU time of all threads, garbage collection included, and allocations.
type perRun struct {
	cpu    time.Duration
	allocs float64
}

// benchRuns repeats f for a while, after once to warm up, and returns the time of its fastest run.
func benchRuns(limit time.Duration, f func() error) (best time.Duration, mean perRun, err error) {
	if err = f(); err != nil {
		return 0, perRun{}, err
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu := cpuTime()
	best = math.MaxInt64
	runs := 0
	for begin := time.Now(); runs < 3 || time.Since(begin) < limit; runs++ {
		start := time.Now()
		if err = f(); err != nil {
			return 0, perRun{}, err
		}
		best = min(best, time.Since(start))
	}
	runtime.ReadMemStats(&after)
	return best, perRun{(cpuTime() - cpu) / time.Duration(runs), float64(after.Mallocs-before.Mallocs) / float64(runs)}, nil
}
