package cpu

// refCopyRows defines CopyRows.
func refCopyRows(dst []float32, dstPitch int, src []float32, srcPitch, rows, n int) {
	for r := range rows {
		for i := range n {
			dst[r*dstPitch+i] = src[r*srcPitch+i]
		}
	}
}

// refTranspose defines Transpose.
func refTranspose(dst, x []float32, shape, order []int) {
	for i := range dst {
		place, rest := make([]int, len(shape)), i // in x
		for at := len(shape) - 1; at >= 0; at-- {
			place[order[at]] = rest % shape[order[at]]
			rest /= shape[order[at]]
		}
		from := 0
		for axis, s := range shape {
			from = from*s + place[axis]
		}
		dst[i] = x[from]
	}
}
