package cpu

import (
	"context"
	"unsafe"
)

// Epilogue is what becomes of the results of a product while they are in the cache: Act(x·wᵀ + Bias + Each)*Gate + Residual.
// Fields may be nil.
type Epilogue struct {
	Bias     []float32 // [N]
	Each     []float32 // [images, N]: one more for the positions of each image, the first axis of a convolution's input
	Act      Activation
	Gate     []float32 // [N]
	Residual []float32 // [M, N]: may be where the results go

	low     lowRank   // added before the activation
	shifts  []float32 // zero points of activations' codes, for each position; nil: none
	rowSums []float32 // of the weights, for them
}

// more says that there is more to do than to add a bias.
func (e *Epilogue) more() bool {
	return e.low.rank > 0 || e.Each != nil || e.Act != Identity || e.Gate != nil || e.Residual != nil
}

func (e *Epilogue) check(images, m, n int) {
	for _, s := range []struct {
		name string
		v    []float32
		need int
	}{{"bias", e.Bias, n}, {"bias of images", e.Each, images * n}, {"gate", e.Gate, n}, {"residual", e.Residual, m * n}} {
		if s.v != nil {
			check("MatMul or Conv", s.name, len(s.v), s.need)
		}
	}
}

// put finishes results of position pos and columns from n0 on, which have their bias and what is of low rank, and writes them
// to dst. row is lost.
func (q *product) put(row []float32, pos, n0 int) {
	e, v := &q.epilogue, &q.path.vectors
	pos += q.from
	if e.Each != nil {
		v.add(row, row, e.Each[pos/q.each*q.n+n0:][:len(row)])
	}
	if e.Act != Identity {
		e.Act.of(row, row)
	}
	dst := q.dst[pos*q.n+n0:][:len(row)]
	switch {
	case e.Gate != nil && e.Residual != nil:
		v.mulAdd(dst, row, e.Gate[n0:], e.Residual[pos*q.n+n0:])
	case e.Gate != nil:
		v.mul(dst, row, e.Gate[n0:])
	case e.Residual != nil:
		v.add(dst, row, e.Residual[pos*q.n+n0:])
	default:
		copy(dst, row)
	}
}

// pieceRows is how many rows of what lies between a product and its results exist at once.
const pieceRows = 2 * chunkRows

// pieces calls f for pieces of the rows of results [m, n], none of which reaches over the end of an image, with the piece's
// epilogue.
func (e Epilogue) pieces(ctx context.Context, m, n, images int, f func(first, count int, e Epilogue)) {
	image := m / images // rows
	for first := 0; first < m && ctx.Err() == nil; {
		count, piece := min(pieceRows, m-first, image-first%image), e
		if e.Each != nil {
			piece.Each = e.Each[first/image*n:][:n]
		}
		if e.Residual != nil {
			piece.Residual = e.Residual[first*n:]
		}
		f(first, count, piece)
		first += count
	}
}

// finish makes results of sums of positions pos..pos+mr-1 and the columns of the panel, nr to a row. Those of codes become
// floats where they lie.
func (p *part) finish(sums []float32, pos, mr int) {
	q, cols, more := p.q, p.n1-p.n0, p.q.epilogue.more()
	coded := q.int8 != nil && q.int8.grouped == nil
	for i := 0; coded && i < mr; i++ {
		row := sums[i*p.nr:][:cols]
		acc := unsafe.Slice((*int32)(unsafe.Pointer(&row[0])), cols)
		if !more {
			row = q.dst[(q.from+pos+i)*q.n+p.n0:][:cols]
		}
		q.int8.finishRow(q, row, acc, pos+i, p.n0)
	}
	if coded && !more { // they are where they belong
		return
	}
	if q.epilogue.low.rank > 0 {
		p.addLow(sums, pos, mr)
	}
	for i := range mr {
		q.put(sums[i*p.nr:][:cols], pos+i, p.n0)
	}
}
