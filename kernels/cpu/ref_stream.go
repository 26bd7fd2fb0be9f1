package cpu

// refModulate defines Modulate.
func refModulate(dst, x []float32, rows, c int, eps float32, scale, shift []float32) {
	refLayerNorm(dst, x, rows, c, eps, nil, nil)
	for i, v := range dst[:rows*c] {
		dst[i] = float32(float64(v)*(1+float64(scale[i%c])) + float64(shift[i%c]))
	}
}

// refAddGated defines AddGated.
func refAddGated(dst, x, y, gate []float32) {
	for i := range dst {
		dst[i] = float32(float64(x[i]) + float64(y[i])*float64(gate[i%len(gate)]))
	}
}

// refRotary defines Rotary for the angles [tokens, d/2] of pairs.
func refRotary(dst, x, cos, sin []float32, tokens, heads, d int) {
	for i := range tokens * heads * d / 2 {
		pair := i/(heads*d/2)*d/2 + i%(d/2)
		a, b, c, s := float64(x[2*i]), float64(x[2*i+1]), float64(cos[pair]), float64(sin[pair])
		dst[2*i], dst[2*i+1] = float32(a*c-b*s), float32(b*c+a*s)
	}
}
