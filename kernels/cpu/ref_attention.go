package cpu

import "math"

// refAttention defines Attention.
func refAttention(dst, q, k, v []float32, a Attn) {
	share, kv := a.Heads/a.KVHeads, a.KVHeads*a.D
	for at := range a.Batch * a.LQ * a.Heads {
		b, i, h := at/a.Heads/a.LQ, at/a.Heads%a.LQ, at%a.Heads
		first := b*a.LK*kv + h/share*a.D
		scores := make([]float64, a.LK)
		for j := range scores {
			for d := range a.D {
				scores[j] += float64(q[at*a.D+d]) * float64(k[first+j*kv+d])
			}
			scores[j] *= float64(a.Scale)
			if a.Mask != nil {
				scores[j] += float64(a.Mask[i*a.LK+j])
			}
			if a.Causal && j > i {
				scores[j] = math.Inf(-1)
			}
		}
		refSoftmax(scores)
		for d := range a.D {
			var sum float64
			for j, s := range scores {
				sum += s * float64(v[first+j*kv+d])
			}
			dst[at*a.D+d] = float32(sum)
		}
	}
}

// refSoftmax defines Softmax on one row.
func refSoftmax(x []float64) {
	top, sum := math.Inf(-1), 0.0
	for _, v := range x {
		top = math.Max(top, v)
	}
	for i, v := range x {
		x[i] = math.Exp(v - top)
		sum += x[i]
	}
	for i := range x {
		x[i] /= sum
	}
}
