package cpu

// refUpsample defines UpsampleNearest.
func refUpsample(dst, x []float32, h, w, c, oh, ow int) {
	for i := range dst {
		b, y, col, ch := i/c/ow/oh, i/c/ow%oh, i/c%ow, i%c
		dst[i] = x[((b*h+y*h/oh)*w+col*w/ow)*c+ch]
	}
}

// refSwap defines NCHWtoNHWC ([b, rows, cols] to [b, cols, rows]) and its inverse.
func refSwap(dst, src []float32, rows, cols int) {
	for i := range dst {
		b, c, r := i/rows/cols, i/rows%cols, i%rows
		dst[i] = src[(b*rows+r)*cols+c]
	}
}
