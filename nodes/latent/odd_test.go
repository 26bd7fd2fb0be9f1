package latent

import (
	"math/rand/v2"
	"testing"

	"graphrun/graph"
	"graphrun/types"
)

// Every node that changes latents gets shapes that do not fit each other, axes that are missing, masks and batch indices of
// any length: it gives an error or values that fit their shape, never a panic.
func TestOddInputs(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	results := map[bool]int{}
	for name, s := range graph.Registered() {
		if s.Output || name == "LoadLatent" || s.Input("vae") != nil {
			continue
		}
		for range 100 {
			in := make([]any, len(s.Inputs))
			for i := range s.Inputs {
				in[i] = oddInput(r, &s.Inputs[i])
			}
			out, err := s.Run(call, in)
			results[err == nil]++
			if err != nil {
				continue
			}
			for _, v := range out.Values {
				list, ok := v.([]any)
				if !ok {
					list = []any{v}
				}
				for _, v := range list {
					if l, ok := v.(types.Latent); ok && len(l.Samples.Data) != types.Elements(l.Samples.Shape) {
						t.Errorf("%s: %d values for shape %v", name, len(l.Samples.Data), l.Samples.Shape)
					}
				}
			}
		}
	}
	t.Logf("%d calls gave a result, %d an error", results[true], results[false])
	if results[true] < 500 || results[false] < 100 {
		t.Error("one side is hardly tried")
	}
}

func oddInput(r *rand.Rand, p *graph.Port) any {
	if p.Optional && r.IntN(2) == 0 {
		return nil
	}
	switch {
	case p.Type == "LATENT" && p.List:
		return []any{oddLatent(r), oddLatent(r), oddLatent(r)}[:r.IntN(4)]
	case p.Type == "LATENT":
		return oddLatent(r)
	case p.Type == "MASK":
		return types.Mask{Tensor: oddTensor(r, 3)}
	case p.Type == "LATENT_OPERATION":
		op, _ := LatentOperationSharpen{1 + r.IntN(3), 1, 0.1}.Run(call)
		return op
	case p.Grow != nil:
		var fields graph.Fields
		for i := range r.IntN(4) {
			fields = append(fields, graph.Field{Name: p.Grow.Children[i], Value: oddLatent(r)})
		}
		return fields
	case p.IsCombo():
		list := p.Choices(nil)
		return list[r.IntN(len(list))]
	case p.Type == "BOOLEAN":
		return r.IntN(2) == 0
	case p.Type == "INT":
		lo, _ := p.Opts["min"].(int64)
		return max(lo, min(lo, 0)/1000+int64(r.IntN(90)))
	case p.Type == "FLOAT":
		return r.Float64() * 2
	}
	return nil
}

func oddLatent(r *rand.Rand) types.Latent {
	l := types.Latent{Samples: oddTensor(r, []int{4, 4, 4, 5, 5, 3, 1}[r.IntN(7)])}
	if r.IntN(3) == 0 {
		l.NoiseMask = &types.Mask{Tensor: oddTensor(r, 3)}
	}
	if r.IntN(3) == 0 {
		l.BatchIndex = make([]int, r.IntN(4))
	}
	return l
}

func oddTensor(r *rand.Rand, axes int) types.Tensor {
	shape := make([]int, axes)
	for i := range shape {
		shape[i] = []int{1, 2, 2, 2, 3, 9}[r.IntN(6)]
	}
	t := types.NewTensor(shape...)
	for i := range t.Data {
		t.Data[i] = r.Float32() - 0.5
	}
	switch r.IntN(40) {
	case 0:
		t.Data = nil
	case 1:
		t.Shape[0] = 0
		t.Data = nil
	}
	return t
}
