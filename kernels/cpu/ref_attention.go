package cpu

import "math"

// refAttention defines Attention. sizes are, for each result, the sum of the absolute values of its terms, which errors are in
// proportion to. narrow says that operands of bfloat16 are used where the precision asks for them; what the softmax gives is
// not rounded here.
func refAttention(dst, sizes, q, k, v []float32, a Attn, narrow bool) {
	share, kv := a.Heads/a.KVHeads, a.KVHeads*a.D
	round := func(x float32) float32 { return x }
	if narrow = narrow && a.Prec != Exact; narrow {
		round = roundBF16
	}
	keys := make([]float32, a.LK*a.D)
	for b := range a.Batch {
		for h := range a.Heads {
			first := b*a.LK*kv + h/share*a.D
			for j := range a.LK {
				copy(keys[j*a.D:], k[first+j*kv:][:a.D])
			}
			var factors []float64
			if a.Prec == Int8 {
				refSmooth(keys, a.D)
				factors = refCodes(keys, a.D, 1)
			} else {
				for i, x := range keys {
					keys[i] = round(x)
				}
			}
			for i := range a.LQ {
				at := ((b*a.LQ+i)*a.Heads + h) * a.D
				query := make([]float32, a.D)
				for d, x := range q[at : at+a.D] {
					query[d] = round(x * a.Scale)
				}
				factor := 1.0
				if a.Prec == Int8 {
					copy(query, q[at:])
					factor = refCodes(query, a.D, float64(a.Scale))[0]
				}
				scores := make([]float64, a.LK)
				for j := range scores {
					for d, x := range query {
						scores[j] += float64(x) * float64(keys[j*a.D+d])
					}
					if a.Prec == Int8 {
						scores[j] *= factor * factors[j]
					}
					if a.Mask != nil {
						scores[j] += float64(a.Mask[i*a.LK+j])
					}
					if a.Causal && j > i {
						scores[j] = math.Inf(-1)
					}
				}
				refSoftmax(scores)
				for d := range a.D {
					var sum, size float64
					for j, s := range scores {
						x := float64(round(v[first+j*kv+d]))
						sum += s * x
						size += s * math.Abs(x)
					}
					dst[at+d], sizes[at+d] = float32(sum), float32(size)
				}
			}
		}
	}
}

// refSmooth takes the mean out of each column of keys [n, d].
func refSmooth(keys []float32, d int) {
	for c := range d {
		var sum float64
		for j := c; j < len(keys); j += d {
			sum += float64(keys[j])
		}
		mean := float32(sum / float64(len(keys)/d))
		for j := c; j < len(keys); j += d {
			keys[j] -= mean
		}
	}
}

// refCodes replaces rows of d by int8 codes and returns their scales, times f.
func refCodes(x []float32, d int, f float64) (scales []float64) {
	codes := make([]int8, d)
	for ; len(x) > 0; x = x[d:] {
		scale := absMaxGo(x[:d]) / 127
		quantizeGo(address(codes), x[:d], scale)
		for i, c := range codes {
			x[i] = float32(c)
		}
		scales = append(scales, float64(scale)*f)
	}
	return scales
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
