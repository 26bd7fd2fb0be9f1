package image

import (
	"math/rand/v2"
	"strings"
	"testing"

	"graphrun/graph"
	"graphrun/types"
)

// Every node that computes with pictures and masks gets shapes that do not fit each other, empty batches, one to five
// channels and values at the ends of their ranges: it gives an error or values that fit their shape, never a panic.
func TestOddInputs(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	results := map[bool]int{}
	for name, s := range graph.Registered() {
		if s.Output || strings.HasPrefix(name, "Load") || !strings.HasPrefix(s.Category, "image") && !strings.HasPrefix(s.Category, "mask") {
			continue
		}
		for range 60 {
			in := make([]any, len(s.Inputs))
			for i := range s.Inputs {
				in[i] = oddInput(r, &s.Inputs[i])
			}
			out, err := s.Run(&graph.Call{Context: t.Context()}, in)
			results[err == nil]++
			if err != nil {
				continue
			}
			for _, v := range out.Values {
				checkValue(t, name, v)
			}
		}
	}
	t.Logf("%d calls gave a result, %d an error", results[true], results[false])
	if results[true] < 500 || results[false] < 100 {
		t.Error("one side is hardly tried")
	}
}

func checkValue(t *testing.T, name string, v any) {
	t.Helper()
	switch v := v.(type) {
	case types.Image:
		if err := v.Check("picture", 4); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	case types.Mask:
		if err := v.Check("mask", 3); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	case []any:
		for _, v := range v {
			checkValue(t, name, v)
		}
	}
}

// oddInput makes a value for a port, nil for an optional one now and then.
func oddInput(r *rand.Rand, p *graph.Port) any {
	if p.Optional && r.IntN(2) == 0 {
		return nil
	}
	side := func() int { return []int{1, 2, 3, 7, 16, 30}[r.IntN(6)] }
	batch := []int{0, 1, 1, 2, 3}[r.IntN(5)]
	switch {
	case p.Type == "IMAGE":
		channels := []int{1, 2, 3, 3, 3, 3, 4, 4, 5}[r.IntN(9)]
		img := types.Image{Tensor: oddTensor(r, batch, side(), side(), channels)}
		if p.List {
			return []any{img, img}[:r.IntN(3)]
		}
		return img
	case p.Type == "MASK":
		return types.Mask{Tensor: oddTensor(r, batch, side(), side())}
	case p.IsCombo():
		list := p.Choices(nil)
		return list[r.IntN(len(list))]
	case p.Type == "BOOLEAN":
		return r.IntN(2) == 0
	case p.Type == "INT":
		lo, _ := p.Opts["min"].(int64)
		hi, fits := p.Opts["max"].(int64)
		if pick := r.IntN(8); pick == 0 {
			return lo
		} else if pick == 1 && fits && hi <= 999 {
			return hi
		}
		return max(lo, min(lo, 0)+int64(r.IntN(40)))
	case p.Type == "FLOAT":
		lo, hi := p.Opts["min"].(float64), p.Opts["max"].(float64)
		return lo + (min(hi, 4)-lo)*float64(r.IntN(5))/4
	}
	return nil
}

// oddTensor has the shape, or now and then another one than its data.
func oddTensor(r *rand.Rand, shape ...int) types.Tensor {
	t := types.NewTensor(shape...)
	for i := range t.Data {
		t.Data[i] = r.Float32()*1.4 - 0.2
	}
	switch r.IntN(60) {
	case 0:
		t.Data = nil
	case 1:
		t.Shape = t.Shape[1:]
	}
	return t
}
