package cpu

import "context"

// UpsampleNearest resizes x [b, h, w, c] to dst [b, oh, ow, c]; row y comes from row y*h/oh, columns likewise.
func UpsampleNearest(ctx context.Context, p *Pool, dst, x []float32, b, h, w, c, oh, ow int) {
	check("UpsampleNearest", "dst", len(dst), b*oh*ow*c)
	check("UpsampleNearest", "x", len(x), b*h*w*c)
	p.move(ctx, mover{f: upsampleRow, dst: dst, a: x, h: h, w: w, ca: c, oh: oh, ow: ow, tiles: b * oh})
}

func upsampleRow(m *mover, t int) {
	src := m.a[(t/m.oh*m.h+t%m.oh*m.h/m.oh)*m.w*m.ca:]
	for x := range m.ow {
		copy(m.dst[(t*m.ow+x)*m.ca:][:m.ca], src[x*m.w/m.ow*m.ca:])
	}
}

// ConcatChannels joins each row of a [rows, ca] and b [rows, cb] to a row of dst [rows, ca+cb].
func ConcatChannels(ctx context.Context, p *Pool, dst, a []float32, ca int, b []float32, cb, rows int) {
	check("ConcatChannels", "dst", len(dst), rows*(ca+cb))
	check("ConcatChannels", "a", len(a), rows*ca)
	check("ConcatChannels", "b", len(b), rows*cb)
	by := max(1, spanBy/max(1, ca+cb))
	p.move(ctx, mover{f: concatRows, dst: dst, a: a, b: b, ca: ca, cb: cb, h: rows, by: by, tiles: (rows + by - 1) / by})
}

func concatRows(m *mover, t int) {
	c := m.ca + m.cb
	for r := t * m.by; r < min(m.h, (t+1)*m.by); r++ {
		copy(m.dst[r*c:][:m.ca], m.a[r*m.ca:])
		copy(m.dst[r*c+m.ca:][:m.cb], m.b[r*m.cb:])
	}
}

// NCHWtoNHWC turns src [b, c, h, w] into dst [b, h, w, c].
func NCHWtoNHWC(ctx context.Context, p *Pool, dst, src []float32, b, c, h, w int) {
	p.swap(ctx, "NCHWtoNHWC", dst, src, b, c, h*w)
}

// NHWCtoNCHW turns src [b, h, w, c] into dst [b, c, h, w].
func NHWCtoNCHW(ctx context.Context, p *Pool, dst, src []float32, b, c, h, w int) {
	p.swap(ctx, "NHWCtoNCHW", dst, src, b, h*w, c)
}

// swap turns [b, rows, cols] into [b, cols, rows].
func (p *Pool) swap(ctx context.Context, op string, dst, src []float32, b, rows, cols int) {
	check(op, "dst", len(dst), b*rows*cols)
	check(op, "src", len(src), b*rows*cols)
	by := 64 // rows of dst in a tile
	p.move(ctx, mover{f: swapRows, dst: dst, a: src, h: rows, w: cols, by: by, tiles: b * ((cols + by - 1) / by)})
}

// swapRows goes through the source in strips of 16 rows, so that lines of the cache are used whole.
func swapRows(m *mover, t int) {
	tiles := (m.w + m.by - 1) / m.by
	base, c0 := t/tiles*m.h*m.w, t%tiles*m.by
	c1 := min(m.w, c0+m.by)
	for r0 := 0; r0 < m.h; r0 += 16 {
		r1 := min(m.h, r0+16)
		for c := c0; c < c1; c++ {
			dst := m.dst[base+c*m.h+r0 : base+c*m.h+r1]
			for i := range dst {
				dst[i] = m.a[base+(r0+i)*m.w+c]
			}
		}
	}
}

// mover is the state of an operation that only moves data.
type mover struct {
	f            func(m *mover, t int)
	dst, a, b    []float32
	h, w, ca, cb int
	oh, ow       int
	by, tiles    int
}

func (m *mover) tile(t int, _ *worker) { m.f(m, t) }

func (p *Pool) move(ctx context.Context, m mover) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ops.move = m
	p.run(ctx, m.tiles, &p.ops.move)
	p.ops.move = mover{}
}
