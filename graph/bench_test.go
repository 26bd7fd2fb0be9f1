package graph

import (
	"fmt"
	"testing"
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

// BenchmarkRun reports the executor's own time per node, run anew and taken from the cache.
func BenchmarkRun(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		for _, cached := range []bool{false, true} {
			b.Run(fmt.Sprintf("chain=%d/cached=%v", n, cached), func(b *testing.B) {
				var log []string
				l, p, cache := toys(&log), chain(n), &Cache{}
				for b.Loop() {
					if log = log[:0]; !cached {
						cache.Clear()
					}
					if _, err := Run(b.Context(), p, Options{Nodes: l, Cache: cache}); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/node")
			})
		}
	}
}
