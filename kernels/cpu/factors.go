package cpu

import "context"

// multiplyParts multiplies x by (Base + Up·Down)·H part by part, some rows at a time, which is less work than to make the
// weights that they are the parts of.
func (p *Pool) multiplyParts(ctx context.Context, dst []float32, x Rows, images int, f Factors, prec Precision, e Epilogue) {
	n, k := f.Base.Dims()
	e.pieces(ctx, x.M, n, images, func(first, count int, e Epilogue) {
		sizes := [4]int{1, 1, 1, count}
		x := x.part(first, count)
		if f.Chunk > 0 {
			t := &p.ops.rotation
			*t = rotation{dst: p.turned.floats(count * k), x: x, chunk: f.Chunk, by: max(1, 32768/max(1, k))}
			p.run(ctx, (count+t.by-1)/t.by, t)
			x = Floats(t.dst, count, k)
			*t = rotation{}
		}
		if f.Rank > 0 {
			low := p.low.floats(count * f.Rank)
			p.multiply(ctx, low, x, sizes, Dense(f.Down, f.Rank, k), one, Exact, Epilogue{})
			e.plus = p.plus.floats(count * n)
			p.multiply(ctx, e.plus, Floats(low, count, f.Rank), sizes, Dense(f.Up, n, f.Rank), one, Exact, Epilogue{})
		}
		p.multiply(ctx, dst[first*n:], x, sizes, f.Base, one, prec, e)
	})
}

// rotation rotates rows of activations.
type rotation struct {
	dst       []float32
	x         Rows
	chunk, by int
}

func (t *rotation) tile(i int, _ *worker) {
	for r := i * t.by; r < min(t.x.M, (i+1)*t.by); r++ {
		row := t.dst[r*t.x.K:][:t.x.K]
		t.x.Floats(row, r)
		Hadamard(row, t.chunk)
	}
}
