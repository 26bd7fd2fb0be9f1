package cpu

import (
	"context"
	"unsafe"
)

// Products of codes in groups are sums over the groups: each group is summed in int32, exactly, scaled, and added up in
// float32. Codes are unpacked a block at a time, so that weights of fewer bits need no copy in int8.

// grouped is the state of such a product.
type grouped struct {
	q           *product
	weights     GroupedInt8Weights
	group       int       // inputs
	scale, zero []float32 // [N, K/group]
	sums        []int32   // of the codes of activations, [positions, K/group]; nil if nothing needs them
	by          int
}

// inGroupsOf returns the weights with codes in groups for a product in int8, nil if there are none.
func inGroupsOf(w Weights) GroupedInt8Weights {
	if r, ok := w.(RequantizedWeights); ok {
		if g := r.Requantized(); g != nil {
			return g
		}
	}
	if g, ok := w.(GroupedInt8Weights); ok {
		if group, _, _ := g.Int8Groups(); group > 0 {
			return g
		}
	}
	return nil
}

// multiplyGrouped computes a matrix product in int8 with such weights.
func (p *Pool) multiplyGrouped(ctx context.Context, q *product, x Rows, w GroupedInt8Weights) {
	n, k := w.Dims()
	g := &p.ops.grouped
	*g = grouped{q: q, weights: w}
	g.group, g.scale, g.zero = w.Int8Groups()
	if g.group%16 != 0 || k%g.group != 0 {
		panic("cpu.MatMul: groups that are no multiple of 16, or do not divide the inputs")
	}
	check("Int8Groups", "scale", len(g.scale), n*(k/g.group))
	if g.zero != nil {
		check("Int8Groups", "zero", len(g.zero), n*(k/g.group))
	}
	if x.Format < Int8Rows {
		x = p.recast(ctx, &p.codes, x, Int8Rows, 1)
	}
	i8 := &p.ops.int8
	*i8 = int8Product{taps: 1, c: k, grouped: g}
	q.kernels, q.int8, q.per = &q.path.i8, i8, 4/q.path.codeSize()
	q.words, q.x, q.row = q.path.codeWords(k), address(x.Data), 4*x.Format.Words(k)
	if q.path.offset > 0 || g.zero != nil {
		g.sums, g.by = p.sums.ints(q.positions*(k/g.group)), max(1, spanBy/k)
		p.run(ctx, (q.positions+g.by-1)/g.by, g)
	}
	q.split(len(p.workers))
	p.run(ctx, q.units(), q)
	*i8, *g = int8Product{}, grouped{}
}

// tile sums the codes of some rows of activations, group by group.
func (g *grouped) tile(t int, _ *worker) {
	q, groups := g.q, g.q.channels/g.group
	for i := t * g.by; i < min(q.positions, (t+1)*g.by); i++ {
		row, sums := unsafe.Add(q.x, i*q.row), g.sums[i*groups:(i+1)*groups]
		for j := range sums {
			sums[j] = 0
			if q.path.double {
				for _, c := range unsafe.Slice(at[int16](row, 2*j*g.group), g.group) {
					sums[j] += int32(c)
				}
				continue
			}
			for _, c := range unsafe.Slice(at[int8](row, j*g.group), g.group) {
				sums[j] += int32(c)
			}
		}
	}
}

// words is the length of a group in words.
func (g *grouped) words(q *product) int { return g.group / q.per }

// block is how many words are packed at once: whole groups, or whole parts of one.
func (g *grouped) block(q *product) int {
	if words := g.words(q); words < maxBlock {
		return min(q.words, maxBlock/words*words)
	}
	return maxBlock
}

// packGroups packs inputs k0..k1-1 of columns n0..n1-1 as int8Product.packRows does.
func (i8 *int8Product) packGroups(q *product, w *worker, panel []float32, n0, n1, nr, k0, k1 int) {
	mask := uint32(q.path.offset) * 0x01010101
	words := len(panel) / nr
	w.place(words, 1, words, nr)
	for n := n0; n < n0+nr; n += 8 {
		block := w.block.ints(8 * words)
		have := max(0, min(8, n1-n))
		clear(block[have*words:])
		if have > 0 {
			codes := unsafe.Slice((*int8)(address(block)), have*(k1-k0))
			if q.path.double {
				codes = unsafe.Slice((*int8)(address(w.wide.bytes(have*(k1-k0)))), have*(k1-k0))
			}
			i8.grouped.weights.UnpackInt8(codes, n, n+have, k0, k1)
			if q.path.double {
				q.path.widen(unsafe.Slice((*int16)(unsafe.Pointer(&block[0])), len(codes)), codes)
			}
		}
		q.path.transpose(unsafe.Pointer(&panel[n-n0]), &w.offset[0], address(block), 4*words, words, mask)
	}
}

// packScales gathers the scales and zero points of the columns of a panel, group by group.
func (p *part) packScales() {
	q, g := p.q, p.q.int8.grouped
	first, groups := p.w0*q.per/g.group, q.channels/g.group
	count := (p.w1*q.per+g.group-1)/g.group - first
	gather := func(dst, src []float32) []float32 {
		clear(dst)
		for j := range count {
			for n := p.n0; n < p.n1; n++ {
				dst[j*p.nr+n-p.n0] = src[n*groups+first+j]
			}
		}
		return dst
	}
	all := p.w.scales.floats(2 * count * p.nr)
	p.scales = gather(all[:count*p.nr], g.scale)
	if g.zero != nil {
		p.zeros = gather(all[count*p.nr:], g.zero)
	}
}

// groups adds the block's share to results acc [mr][nr] of positions from pos on, which begin with the bias.
func (p *part) groups(acc []float32, pos, mr int) {
	q, g := p.q, p.q.int8.grouped
	if p.w0 == 0 {
		for i := range mr {
			row := acc[i*p.nr:][:p.nr]
			clear(row)
			if q.epilogue.Bias != nil {
				copy(row, q.epilogue.Bias[p.n0:p.n1])
			}
			if q.epilogue.shifts != nil {
				q.path.addScaled(row[:p.n1-p.n0], q.epilogue.rowSums[p.n0:p.n1], q.epilogue.shifts[pos+i])
			}
		}
	}
	sums, words, groups := p.w.sums.ints(mr*p.nr), g.words(q), q.channels/g.group
	for from := p.w0; from < p.w1; {
		at := from / words // the group
		to := min(p.w1, (at+1)*words)
		p.each(func(n, nr int) {
			p.piece(unsafe.Pointer(&sums[n-p.n0]), p.nr, p.w.zero[:], n, nr, mr, from, to)
		})
		j := at - p.w0/words
		scale := p.scales[j*p.nr:][:p.nr]
		for i := range mr {
			f := factorsOf(q, pos+i)
			var less int32
			if o := int32(q.path.offset); o > 0 {
				less = o * p.pieceSum(pos+i, from, to)
			}
			row := acc[i*p.nr:][:p.nr]
			q.path.finish(row, sums[i*p.nr:][:p.nr], less, f.scale, scale, row)
			if p.zeros != nil && from == at*words {
				q.path.addScaled(row, p.zeros[j*p.nr:][:p.nr], float32(g.sums[(pos+i)*groups+at])*f.scale)
			}
		}
		from = to
	}
}

// pieceSum is the sum of the codes of a position's words from..to-1, which are of one group.
func (p *part) pieceSum(pos, from, to int) (sum int32) {
	q, g := p.q, p.q.int8.grouped
	if words := g.words(q); to-from == words {
		return g.sums[pos*(q.channels/g.group)+from/words]
	}
	for _, c := range unsafe.Slice(at[int8](q.x, pos*q.row+4*from), 4*(to-from)) { // a part of a long group
		sum += int32(c)
	}
	return sum
}
