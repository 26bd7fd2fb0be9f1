package sdnq

import (
	"maps"
	"math"
	"slices"
	"strings"
)

// DTypes are the names that layers can be written in, by ascending width; each of them reads back.
func DTypes() []string { return slices.Clone(dynamicOrder) }

// Summary is a component's report in a line.
type Summary struct {
	DTypes          string // of the codes, the most used first
	Quantized, Kept int    // layers
	RMS             float64
}

// Summary adds the layers up; RMS is that of all errors relative to that of all quantized weights, were all weights of one size.
func (r *ComponentReport) Summary() (s Summary) {
	uses := map[string]int{}
	sum, size := 0.0, 0.0
	for _, l := range r.Layers {
		if l.DType == "" {
			s.Kept++
			continue
		}
		s.Quantized++
		uses[l.DType]++
		sum, size = sum+l.RMS*l.RMS*float64(l.Before), size+float64(l.Before)
	}
	names := slices.SortedFunc(maps.Keys(uses), func(a, b string) int {
		if d := uses[b] - uses[a]; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	s.DTypes = strings.Join(names, ", ")
	if size > 0 {
		s.RMS = math.Sqrt(sum / size)
	}
	return s
}
