package sdnq

import (
	"slices"
)

// layout says where in memory the code and the scale of a weight lie, seen as a matrix of n rows (outputs) by k columns
// (inputs, kernel positions last). The scale of row r and column j is number r/rowDiv*rowStride + col[j].
type layout struct {
	n, k      int
	kByN      bool // codes lie [k, n]
	rowDiv    int
	rowStride int
	col       []int32 // nil: all 0
	span      int     // so many neighbouring columns share a scale: k, a group, or 1
	period    int     // if span is 1: within blocks of columns, those that are so many apart share one
	block     int
	step      int // distance between the entries of a codebook
}

// resolve finds the layout from the shape of the scales (5.3, 5.4, and 12.3 for old files). dense is the shape that
// the module declares; entries is 1, or the length of a codebook, which then stands where scales have a 1; byKN says
// that the codes' own shape is [k, n]; it decides where the scales' shape does not. Scales that fit both kinds of convolution
// are read as those of Conv unless kind says otherwise.
func resolve(kind Kind, dense, scale []int, entries int, byKN bool) (layout, bool) {
	n, c, kernel := dense[0], dense[1], dense[2:]
	kk := product(kernel)
	l := layout{n: n, k: c * kk, rowDiv: 1, step: 1, span: c * kk}
	with := func(head ...int) bool { return slices.Equal(scale, append(head, kernel...)) }
	// columns gives column (channel ci, position p) the scale f(ci) + p, positions being next to each other.
	// Blocks of so many channels repeat the scales of their first ones.
	columns := func(block, repeat int, f func(ci int) int) {
		l.span, l.period, l.block, l.col = 1, repeat*kk, block*kk, make([]int32, l.k)
		for ci := range c {
			for p := range kk {
				l.col[ci*kk+p] = int32(f(ci) + p)
			}
		}
	}
	channels := func(ci int) int { return ci * kk }
	switch {
	case product(scale) == entries:
		l.kByN = byKN
	case len(scale) == 2 && scale[0] == 1 && scale[1] == n && entries == 1: // transposed, Linear or Conv
		l.kByN, l.rowStride = true, 1
	case len(dense) == 2 && with(n, entries):
		l.rowStride = entries
	case len(dense) == 2 && len(scale) == 3 && scale[1] > 0 && with(n, scale[1], entries) && c%scale[1] == 0:
		g := c / scale[1]
		l.rowStride = scale[1] * entries
		columns(g, 1, func(ci int) int { return ci / g * entries })
	case len(dense) == 2: // nothing below is for a Linear
		return l, false
	case kind != ConvTranspose && with(n, entries): // Conv, a scale for each output and kernel position
		l.rowStride, l.step = entries*kk, kk
		columns(c, 1, func(int) int { return 0 })
	case kind != ConvTranspose && len(scale) > 2 && scale[1] > 0 && with(n, scale[1], entries) && c%scale[1] == 0: // Conv in groups
		g := c / scale[1]
		l.rowStride, l.step = scale[1]*entries*kk, kk
		columns(g, 1, func(ci int) int { return ci / g * entries * kk })
	case with(entries, c): // ConvTranspose: its outputs are the columns
		l.step = c * kk
		columns(c, c, channels)
	case len(scale) > 2 && scale[2] > 0 && with(n, entries, scale[2]) && c%scale[2] == 0: // ConvTranspose in groups
		l.rowStride, l.step = entries*scale[2]*kk, scale[2]*kk
		columns(c, scale[2], func(ci int) int { return ci % scale[2] * kk })
	case len(scale) > 0 && scale[0] > 0 && with(scale[0], entries, c) && n%scale[0] == 0: // the same before 0.2.0
		l.rowDiv, l.rowStride, l.step = n/scale[0], entries*c*kk, c*kk
		columns(c, c, channels)
	default: // Conv, its columns in groups as those of a Linear
		return resolve(Linear, []int{n, l.k}, scale, entries, byKN)
	}
	if l.col != nil && l.period == 1 { // a 1x1 kernel
		l.span = l.block
	}
	return l, true
}

// plan is how the writer lays a layer out, and what the config alone says to the reader (5.1, 5.2).
type plan struct {
	matmul     bool // Q: the config asks for the quantized matmul and the sizes allow it
	requant    bool // the matmul needs other codes than the stored ones
	groups     int  // along the grouped axis; 1 for one group, 0 for the whole tensor
	transposed bool // codes are stored [k, n]
}

// sizesAllow is the size rule of 3.3 for the quantized matmul.
func sizesAllow(dense []int) bool {
	return dense[0] >= 32 && dense[1] >= 32 && dense[0]%16 == 0 && dense[1]%16 == 0
}

// plan applies 5.1 and 5.2 to a weight of the dense shape; svd says whether low-rank tensors go with it.
func (o *layerOptions) plan(dense []int, kind Kind, svd bool) plan {
	p := plan{matmul: o.asked && sizesAllow(dense), requant: o.requant(), groups: 1}
	size := o.GroupSize
	if size == 0 && (!p.matmul || p.requant || o.format.bits < 6) {
		shift := 1 + o.format.bits
		if kind == Linear {
			shift++
		}
		if svd {
			shift++
		}
		if o.UseCodebook {
			shift += 3
		}
		size = 1 << shift
	}
	axis := dense[1]
	if kind == ConvTranspose {
		axis = dense[0]
	}
	switch {
	case size == -2:
		p.groups = 0
	case size > 0:
		p.groups = groups(axis, size)
	}
	p.requant = p.requant || p.groups > 1
	p.transposed = p.matmul && !p.requant && !o.format.packed
	return p
}

// groups is the number of groups of about size elements along an axis (5.2).
func groups(axis, size int) int {
	if size >= axis {
		return 1
	}
	if axis%size == 0 {
		return axis / size
	}
	for g := axis/size - 1; g >= 2; g-- {
		if axis%g == 0 {
			return g
		}
	}
	return 1
}

func product(shape []int) int {
	n := 1
	for _, s := range shape {
		n *= s
	}
	return n
}
