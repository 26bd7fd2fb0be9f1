package graph

import (
	"fmt"
	"math"
	"testing"
	"time"
)

// chain is a prompt of n trivial nodes in a row, and an output.
func chain(n int) *Prompt {
	p := &Prompt{}
	p.Add("0", &Node{Class: "Number", Inputs: []Input{{"value", int64(0)}}})
	for i := range n {
		p.Add(fmt.Sprint(i+1), &Node{Class: "Sum", Inputs: []Input{{"a", Link(fmt.Sprint(i), 0)}, {"b", int64(1)}}})
	}
	p.Add("out", &Node{Class: "Show", Inputs: []Input{{"value", Link(fmt.Sprint(n), 0)}}})
	return p
}

// fan is a prompt of n leaves that are added up in a row.
func fan(n int) *Prompt {
	p := &Prompt{}
	last := Link("leaf0", 0)
	for i := range n {
		leaf := fmt.Sprint("leaf", i)
		p.Add(leaf, &Node{Class: "Number", Inputs: []Input{{"value", int64(i % 100)}}})
		sum := fmt.Sprint("sum", i)
		p.Add(sum, &Node{Class: "Sum", Inputs: []Input{{"a", last}, {"b", Link(leaf, 0)}}})
		last = Link(sum, 0)
	}
	p.Add("out", &Node{Class: "Show", Inputs: []Input{{"value", last}}})
	return p
}

// BenchmarkRun reports the time per node, of the mean and of the fastest run, with validation: run anew, and taken from
// the cache.
func BenchmarkRun(b *testing.B) {
	shapes := []struct {
		name string
		make func(int) *Prompt
	}{{"chain", chain}, {"fan", fan}}
	for _, shape := range shapes {
		for _, n := range []int{100, 1000, 10000} {
			for _, cached := range []bool{false, true} {
				b.Run(fmt.Sprintf("%s=%d/cached=%v", shape.name, n, cached), func(b *testing.B) {
					var log []string
					l, p, cache := toys(&log), shape.make(n), &Cache{}
					best := time.Duration(math.MaxInt64)
					for b.Loop() {
						if log = log[:0]; !cached {
							cache.Clear()
						}
						begin := time.Now()
						if _, err := Run(b.Context(), p, Options{Nodes: l, Cache: cache}); err != nil {
							b.Fatal(err)
						}
						best = min(best, time.Since(begin))
					}
					nodes := float64(len(p.IDs))
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/nodes, "ns/node")
					b.ReportMetric(float64(best.Nanoseconds())/nodes, "best-ns/node")
				})
			}
		}
	}
}

// BenchmarkParallel is a node that needs 32 others, each of which sleeps a millisecond: 32 ms in a row.
func BenchmarkParallel(b *testing.B) {
	for _, room := range []Room{{Serial: true}, {IO: 4}, {IO: 16}} {
		b.Run(fmt.Sprintf("io=%d", room.IO), func(b *testing.B) {
			l := Library{}
			nap := &Spec{Meta: Meta{Name: "Nap", Uses: IO}, Inputs: []Port{{Name: "n", Type: "INT"}}, Outputs: []Port{{Name: "INT", Type: "INT"}}}
			nap.Run = func(_ *Call, in []any) (Output, error) { time.Sleep(time.Millisecond); return Output{Values: in}, nil }
			all := &Spec{Meta: Meta{Name: "All", Output: true, Variadic: true}}
			all.Run = func(c *Call, _ []any) (Output, error) { return Output{}, nil }
			l["Nap"], l["All"] = nap, all
			p := &Prompt{}
			out := &Node{Class: "All"}
			for i := range 32 {
				p.Add(fmt.Sprint(i), &Node{Class: "Nap", Inputs: []Input{{"n", int64(i)}}})
				out.Set(fmt.Sprint("in", i), Link(fmt.Sprint(i), 0))
			}
			p.Add("out", out)
			for b.Loop() {
				if _, err := Run(b.Context(), p, Options{Nodes: l, Room: room}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(b.Elapsed().Seconds()*1e3/float64(b.N), "ms/run")
		})
	}
}
