package cpu

import (
	"context"
	"math"
)

// Interpolation says how a picture is resized. All are separable.
type Interpolation uint8

// The modes of torch's interpolate, without antialiasing and with corners not aligned, and Pillow's filter.
const (
	Nearest      Interpolation = iota // place i of m comes from place floor(i·n/m) of n, n/m and its product being float32
	NearestExact                      // from the place that its centre lies in
	Bilinear                          // from the two places around its centre
	Bicubic                           // from four, by cubic convolution with a = -0.75
	Area                              // the mean of all places that it touches
	Lanczos                           // sinc(x)·sinc(x/3), |x| < 3, stretched when the picture shrinks
)

// Taps says where place i of m comes from when an axis of n places is resized: it is the sum over k of the k-th weight times
// place first+k, or the first or last place where there is none. The weights, which reuse the given slice, are exact in
// float32 but for Lanczos, and none is 0 for its place alone: an axis that keeps its size stays as it is.
func (f Interpolation) Taps(n, m, i int, weights []float64) (first int, _ []float64) {
	weights = weights[:0]
	scale := float32(n) / float32(m) // places and weights are torch's, which computes them in float32
	centre := float32(scale*(float32(i)+0.5)) - 0.5
	switch {
	case n == m:
		return i, append(weights, 1)
	case f == Nearest:
		return min(int(float32(i)*scale), n-1), append(weights, 1)
	case f == NearestExact:
		return min(int((float32(i)+0.5)*scale), n-1), append(weights, 1)
	case f == Bilinear:
		centre = max(centre, 0)
		first = min(int(centre), n-1)
		t := centre - float32(first)
		if t == 0 {
			return first, append(weights, 1)
		}
		return first, append(weights, float64(1-t), float64(t))
	case f == Bicubic:
		const a = -0.75
		near := func(x float32) float64 { return float64(((a+2)*x-(a+3))*x*x + 1) }
		far := func(x float32) float64 { return float64(((a*x-5*a)*x+8*a)*x - 4*a) }
		first = int(math.Floor(float64(centre)))
		t := centre - float32(first)
		if t == 0 {
			return first, append(weights, 1)
		}
		return first - 1, append(weights, far(t+1), near(t), near(1-t), far(2-t))
	case f == Area:
		lo, hi := i*n/m, ((i+1)*n+m-1)/m
		for range hi - lo {
			weights = append(weights, float64(1/float32(hi-lo)))
		}
		return lo, weights
	}
	return lanczosTaps(n, m, i, weights)
}

// lanczosTaps are in float64, as Pillow's, and add up to 1 at the edges too.
func lanczosTaps(n, m, i int, weights []float64) (first int, _ []float64) {
	scale := float64(n) / float64(m)
	stretch := max(scale, 1)
	centre := (float64(i) + 0.5) * scale
	lo, hi := max(int(centre-3*stretch+0.5), 0), min(int(centre+3*stretch+0.5), n)
	sum := 0.0
	for k := lo; k < hi; k++ {
		w := lanczos3((float64(k) - centre + 0.5) / stretch)
		weights = append(weights, w)
		sum += w
	}
	if last := len(weights) - 1; last > 0 && weights[last] == 0 {
		weights = weights[:last]
	}
	for k := range weights {
		weights[k] /= sum
	}
	return lo, weights
}

func lanczos3(x float64) float64 {
	if x < -3 || x >= 3 {
		return 0
	}
	sinc := func(x float64) float64 {
		if x == 0 {
			return 1
		}
		return math.Sin(math.Pi*x) / (math.Pi * x)
	}
	return sinc(x) * sinc(x/3)
}

// most is how many weights a place has at most.
func (f Interpolation) most(n, m int) int {
	switch f {
	case Bilinear:
		return 2
	case Bicubic:
		return 4
	case Area:
		return n/m + 2
	case Lanczos:
		return 2*int(math.Ceil(3*max(float64(n)/float64(m), 1))) + 1
	}
	return 1
}

// taps are those of all places of an axis.
type taps struct {
	n, most      int
	first, count []int32
	weights      []float32 // [places, most]
}

// at are the weights of place i; it begins at place first of the old axis.
func (t *taps) at(i int) (first int, weights []float32) {
	return int(t.first[i]), t.weights[i*t.most:][:t.count[i]]
}

// place is the one that counts for place i of the old axis, which may lie outside.
func (t *taps) place(i int) int { return min(max(i, 0), t.n-1) }

// resizer is the state of a Resize: a tile is a part of resizeRows rows. It resizes the old rows that it needs along the
// width, once each, into a ring that stays in the cache, and mixes its rows from those. Sums are in the order of the places.
type resizer struct {
	dst, x       []float32
	h, w, c      int
	oh, ow       int
	rows, cols   taps
	wide         int  // pixels of a tile's rows
	across, down int  // tiles
	ring         int  // old rows that are kept
	thin         bool // eight old rows are resized at a time
	eight        [resizeEight]int32
	buf          []float64
}

const (
	resizeRows  = 64      // old rows that neighbouring tiles both need are few in comparison
	resizeWide  = 2048    // values of a row of a tile, if a pixel does not have more
	resizeKeep  = 1 << 20 // values that a worker keeps, if pixels and distances are not huge
	resizeThin  = 16      // channels up to which eight old rows are resized at a time
	resizeEight = 64      // values that are transposed at a time
)

// Resize resizes pictures x [b, h, w, c] to dst [b, oh, ow, c], first along the width.
func Resize(ctx context.Context, p *Pool, dst, x []float32, b, h, w, c, oh, ow int, f Interpolation) {
	check("Resize", "dst", len(dst), b*oh*ow*c)
	check("Resize", "x", len(x), b*h*w*c)
	if b*oh*ow*c == 0 {
		return
	}
	check("Resize", "picture", h*w, 1)
	p.mu.Lock()
	defer p.mu.Unlock()
	r := &p.ops.resize
	*r = resizer{dst: dst, x: x, h: h, w: w, c: c, oh: oh, ow: ow, buf: r.buf}
	r.rows, r.cols = taps{n: h, most: f.most(h, oh)}, taps{n: w, most: f.most(w, ow)}
	ints, floats := p.scales.ints(2*(oh+ow)), p.shared.floats(oh*r.rows.most+ow*r.cols.most)
	r.rows.first, r.rows.count, r.cols.first, r.cols.count = ints[:oh], ints[oh:2*oh], ints[2*oh:2*oh+ow], ints[2*oh+ow:]
	r.rows.weights, r.cols.weights = floats[:oh*r.rows.most], floats[oh*r.rows.most:]
	r.fill(&r.rows, f)
	r.fill(&r.cols, f)
	r.ring = r.rows.most + 7
	r.wide = min(ow, max(1, min(resizeWide, resizeKeep/r.ring)/c))
	r.thin = c <= resizeThin && r.cols.most > 1 && 8*c*(r.wide*w/ow+r.cols.most) <= resizeKeep && r.ring*r.wide*c <= resizeKeep
	r.across, r.down = (ow+r.wide-1)/r.wide, (oh+resizeRows-1)/resizeRows
	for i := range r.eight {
		r.eight[i] = int32(4 * 8 * i)
	}
	p.run(ctx, b*r.down*r.across, r)
	*r = resizer{buf: r.buf}
}

func (r *resizer) fill(t *taps, f Interpolation) {
	for i := range t.first {
		first, weights := f.Taps(t.n, len(t.first), i, r.buf)
		r.buf = weights
		t.first[i], t.count[i] = int32(first), int32(len(weights))
		for k, v := range weights {
			t.weights[i*t.most+k] = float32(v)
		}
	}
}

func (r *resizer) tile(t int, w *worker) {
	x0, y0, b := t%r.across*r.wide, t/r.across%r.down*resizeRows, t/r.across/r.down
	x1 := min(r.ow, x0+r.wide)
	n := (x1 - x0) * r.c
	ring := w.out.floats(r.ring * n)
	old := func(y int) []float32 { return ring[y%r.ring*n:][:n] }
	if r.w == r.ow {
		old = func(y int) []float32 { return r.x[((b*r.h+y)*r.w+x0)*r.c:][:n] }
	}
	next := 0
	for y := y0; y < min(r.oh, y0+resizeRows); y++ {
		first, weights := r.rows.at(y)
		next = max(next, r.rows.place(first))
		for r.w != r.ow && next <= r.rows.place(first+len(weights)-1) {
			x := r.x[(b*r.h+next)*r.w*r.c:]
			if r.thin && next+8 <= r.h {
				r.eightRows(w, ring, x, x0, n, next)
				next += 8
				continue
			}
			r.row(old(next), x, x0, 0, r.c)
			next++
		}
		dst := r.dst[((b*r.oh+y)*r.ow+x0)*r.c:][:n]
		for k, v := range weights {
			mix(dst, old(r.rows.place(first+k)), v, k, len(weights))
		}
	}
}

// row resizes an old row, of pixels of c values; dst begins with pixel x0, x with pixel from.
func (r *resizer) row(dst, x []float32, x0, from, c int) {
	for i := range len(dst) / c {
		first, weights := r.cols.at(x0 + i)
		d := dst[i*c:][:c]
		for k, v := range weights {
			mix(d, x[(r.cols.place(first+k)-from)*c:][:c], v, k, len(weights))
		}
	}
}

// eightRows resizes old rows y to y+7, the first of which begins with x, into the ring: as pixels that have the values of all
// eight, so that there is something to compute with a register at a time.
func (r *resizer) eightRows(w *worker, ring, x []float32, x0, n, y int) {
	lo, _ := r.cols.at(x0)
	last, weights := r.cols.at(x0 + n/r.c - 1)
	lo, last = r.cols.place(lo), r.cols.place(last+len(weights)-1)
	values := (last + 1 - lo) * r.c
	src, dst := w.block.floats(8*values), w.wide.floats(8*n)
	for i := 0; i < values; i += resizeEight {
		active.transpose(address(src[8*i:]), &r.eight[0], address(x[lo*r.c+i:]), 4*r.w*r.c, min(resizeEight, values-i), 0)
	}
	r.row(dst, src, x0, lo, 8*r.c)
	var rows [8]int32
	for j := range rows {
		rows[j] = int32(4 * ((y + j) % r.ring * n))
	}
	i := 0
	for ; i+8 <= n; i += 8 {
		active.transpose(address(ring[i:]), &rows[0], address(dst[8*i:]), 4*8, 8, 0)
	}
	for ; i < n; i++ {
		for j, at := range rows {
			ring[int(at)/4+i] = dst[8*i+j]
		}
	}
}

// mix adds the k-th of n terms v*x to dst, the first to nothing.
func mix(dst, x []float32, v float32, k, n int) {
	switch {
	case n == 1 && v == 1:
		copy(dst, x)
	case k == 0:
		active.linear(dst, x, v, 0)
	default:
		active.addScaled(dst, x, v)
	}
}
