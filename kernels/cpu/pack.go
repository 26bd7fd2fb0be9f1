package cpu

// pack unpacks the weights of columns n0..n0+nr-1 (outputs) and words w0..w1-1 of each tap into a panel
// [taps*(w1-w0)][nr]. What lies beyond the matrix is zero.
func (q *product) pack(w *worker, panel []float32, n0, nr, w0, w1 int) {
	c0, c1 := w0*q.per, min(q.channels, w1*q.per)
	segment := (w1 - w0) * q.per // panel rows of a tap
	cols := (c1 - c0) * q.taps
	n1 := min(q.n, n0+nr)
	dst := address(panel)
	if q.per == 2 { // words of two, from a panel of float32
		panel = w.wide.floats(q.taps * segment * nr)
	}
	if c1-c0 < segment {
		clear(panel)
	}
	w.place(cols, q.taps, segment, nr)
	for n := n0; n < n0+nr; n += 8 {
		have := max(0, min(8, n1-n))
		block := w.block.floats(8 * cols)
		if have > 0 {
			q.weights.Unpack(block, n, n+have, c0*q.taps, c1*q.taps)
		}
		clear(block[have*cols:])
		q.transpose(w, panel[n-n0:], block, cols)
	}
	if q.per == 2 {
		q.path.pairs(dst, address(panel), q.taps*(w1-w0), nr)
	}
}

// place says where in a panel each of the unpacked columns, in checkpoint order (channel, tap), goes, in bytes.
func (w *worker) place(cols, taps, segment, nr int) {
	if cap(w.offset) < cols {
		w.offset = make([]int32, cols+cols/4)
	}
	w.offset = w.offset[:cols]
	i := 0
	for c := 0; i < cols; c++ {
		for t := range taps {
			w.offset[i] = int32(4 * nr * (t*segment + c))
			i++
		}
	}
}

// transpose moves a block [8][cols] to eight columns of the panel that begins with dst.
func (q *product) transpose(w *worker, dst, block []float32, cols int) {
	if cols > 0 {
		q.path.transpose(address(dst), &w.offset[0], address(block), 4*cols, cols, 0)
	}
}
