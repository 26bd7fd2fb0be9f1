package cpu

import "math"

// refGroupNorm defines GroupNorm.
func refGroupNorm(dst, x []float32, b, hw, c, groups int, eps float32, w, bias []float32, silu bool) {
	size := c / groups
	for at := range b * groups {
		var values []float64
		index := func(i int) int { return (at/groups*hw+i/size)*c + at%groups*size + i%size }
		for i := range hw * size {
			values = append(values, float64(x[index(i)]))
		}
		refNormalize(values, eps)
		for i, v := range values {
			v = refAffine(v, index(i)%c, w, bias)
			if silu {
				v /= 1 + math.Exp(-v)
			}
			dst[index(i)] = float32(v)
		}
	}
}

// refLayerNorm defines LayerNorm.
func refLayerNorm(dst, x []float32, rows, c int, eps float32, w, bias []float32) {
	refGroupNorm(dst, x, rows, 1, c, 1, eps, w, bias, false)
}

// refRMSNorm defines RMSNorm.
func refRMSNorm(dst, x []float32, rows, c int, eps float32, w []float32) {
	for r := range rows {
		var q float64
		for _, v := range x[r*c : (r+1)*c] {
			q += float64(v) * float64(v)
		}
		for i := range c {
			dst[r*c+i] = float32(refAffine(float64(x[r*c+i])/math.Sqrt(q/float64(c)+float64(eps)), i, w, nil))
		}
	}
}

// refNormalize gives values mean 0 and variance 1, but for eps.
func refNormalize(values []float64, eps float32) {
	var mean, variance float64
	for _, v := range values {
		mean += v / float64(len(values))
	}
	for _, v := range values {
		variance += (v - mean) * (v - mean) / float64(len(values))
	}
	for i, v := range values {
		values[i] = (v - mean) / math.Sqrt(variance+float64(eps))
	}
}

func refAffine(v float64, i int, w, bias []float32) float64 {
	if w != nil {
		v *= float64(w[i])
	}
	if bias != nil {
		v += float64(bias[i])
	}
	return v
}
