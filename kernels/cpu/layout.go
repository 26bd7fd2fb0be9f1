package cpu

import (
	"context"
	"unsafe"
)

// CopyRows copies rows of n values from src, srcPitch values from row to row, to dst, dstPitch from row to row. A slice of
// any axis of a tensor is one copy, two tensors joined along any axis are two.
func CopyRows(ctx context.Context, p *Pool, dst []float32, dstPitch int, src []float32, srcPitch, rows, n int) {
	if rows <= 0 || n <= 0 {
		return
	}
	check("CopyRows", "dst", len(dst), (rows-1)*dstPitch+n)
	check("CopyRows", "src", len(src), (rows-1)*srcPitch+n)
	p.move(ctx, mover{dst: dst, src: src, outer: [MaxAxes]stride{{rows, srcPitch, dstPitch}}, axes: 1, run: n})
}

// MaxAxes is how many axes Transpose takes.
const MaxAxes = 5

// Transpose changes the order of the axes of x, which has that shape of at most 5: axis i of dst is axis order[i] of x.
func Transpose(ctx context.Context, p *Pool, dst, x []float32, shape, order []int) {
	n, seen := 1, 0
	for i, s := range shape {
		n *= s
		seen |= 1 << order[i]
	}
	check("Transpose", "axes", MaxAxes, len(shape))
	check("Transpose", "order", seen, 1<<len(shape)-1)
	check("Transpose", "dst", len(dst), n)
	check("Transpose", "x", len(x), n)
	if n == 0 {
		return
	}
	m := mover{dst: dst, src: x, run: 1}
	for i, at := n, 0; at < len(shape); at++ {
		size, from := shape[order[at]], 1
		i /= size
		for _, s := range shape[order[at]+1:] {
			from *= s
		}
		m.add(stride{size, from, i})
	}
	m.split()
	p.move(ctx, m)
}

// NCHWtoNHWC turns src [b, c, h, w] into dst [b, h, w, c].
func NCHWtoNHWC(ctx context.Context, p *Pool, dst, src []float32, b, c, h, w int) {
	Transpose(ctx, p, dst, src, []int{b, c, h * w}, []int{0, 2, 1})
}

// NHWCtoNCHW turns src [b, h, w, c] into dst [b, c, h, w].
func NHWCtoNCHW(ctx context.Context, p *Pool, dst, src []float32, b, c, h, w int) {
	Transpose(ctx, p, dst, src, []int{b, h * w, c}, []int{0, 2, 1})
}

// stride is an axis of so many places, and how far apart they are in src and in dst.
type stride struct{ size, from, to int }

// mover is the state of an operation that only moves data: for each place of the outer axes a run of values that lie
// together on both sides, or a matrix [long, wide] that becomes [wide, long].
type mover struct {
	dst, src   []float32
	outer      [MaxAxes]stride
	axes       int // outer ones
	run        int
	long, wide stride // of a matrix, wide.from and long.to being 1; long.size is 0 if there is none
	by, parts  int    // outer places in a tile, or tiles of a place
	cutL, cutW int    // places of long and wide in a tile
	offset     [swapWide]int32
}

// add appends an axis of dst, or lengthens the last one if both lie together on both sides.
func (m *mover) add(s stride) {
	if s.size == 1 {
		return
	}
	if last := &m.outer[max(0, m.axes-1)]; m.axes > 0 && last.from == s.size*s.from {
		*last = stride{last.size * s.size, s.from, s.to}
		return
	}
	m.outer[m.axes] = s
	m.axes++
}

// split takes the run, or the matrix, out of the axes.
func (m *mover) split() {
	if m.axes == 0 {
		return
	}
	m.axes--
	last := m.outer[m.axes]
	if last.from == 1 {
		m.run = last.size
		return
	}
	m.long = last
	for i, s := range m.outer[:m.axes] {
		if s.from == 1 {
			m.wide = s
			copy(m.outer[i:], m.outer[i+1:m.axes])
			m.axes--
			return
		}
	}
}

const (
	swapWide = 64  // columns whose 8 next places stay in the L1 cache
	swapLong = 256 // rows that a tile has if there are enough columns
)

// places is how many there are outside.
func (m *mover) places() int {
	n := 1
	for _, s := range m.outer[:m.axes] {
		n *= s.size
	}
	return n
}

// cut decides on the tiles and returns their number.
func (m *mover) cut() int {
	if m.long.size == 0 {
		m.by, m.parts = max(1, spanBy/m.run), (m.run+spanBy-1)/spanBy
		return (m.places() + m.by - 1) / m.by * m.parts
	}
	m.cutL = min(m.long.size, max(swapLong, spanBy/m.wide.size&^15))
	m.cutW = min(m.wide.size, max(swapWide, spanBy/m.cutL&^(swapWide-1)))
	m.parts = (m.long.size + m.cutL - 1) / m.cutL * ((m.wide.size + m.cutW - 1) / m.cutW)
	for i := range m.offset {
		m.offset[i] = int32(4 * i * m.wide.to) // not used where it may overflow
	}
	return m.places() * m.parts
}

// at is where a place lies in src and in dst.
func (m *mover) at(place int) (from, to int) {
	for i := m.axes - 1; i >= 0; i-- {
		s := m.outer[i]
		from += place % s.size * s.from
		to += place % s.size * s.to
		place /= s.size
	}
	return from, to
}

func (m *mover) tile(t int, _ *worker) {
	if m.long.size > 0 {
		from, to := m.at(t / m.parts)
		m.swap(from, to, t%m.parts)
		return
	}
	first, cut := t/m.parts*m.by, t%m.parts*spanBy
	n := min(spanBy, m.run-cut)
	if m.by > 1 {
		n = m.run
	}
	inner := stride{size: 1}
	if m.axes > 0 {
		inner = m.outer[m.axes-1]
	}
	for last := min(m.places(), first+m.by); first < last; {
		from, to := m.at(first)
		count := min(last-first, inner.size-first%inner.size)
		for i := range count {
			copy(m.dst[to+i*inner.to+cut:][:n], m.src[from+i*inner.from+cut:])
		}
		first += count
	}
}

// swap moves part of the matrix whose first value is src[from] to dst[to], eight rows at a time.
func (m *mover) swap(from, to, part int) {
	across := (m.wide.size + m.cutW - 1) / m.cutW
	l0, w0 := part/across*m.cutL, part%across*m.cutW
	l1, w1 := min(m.long.size, l0+m.cutL), min(m.wide.size, w0+m.cutW)
	near := m.wide.to < 1<<29/swapWide // offsets are 32 bits
	for w := w0; w < w1; w += swapWide {
		n, l := min(swapWide, w1-w), l0
		for ; near && l+8 <= l1; l += 8 {
			active.transpose(unsafe.Pointer(&m.dst[to+w*m.wide.to+l]), &m.offset[0], unsafe.Pointer(&m.src[from+l*m.long.from+w]), 4*m.long.from, n, 0)
		}
		if l == l1 {
			continue
		}
		for i := range n {
			dst, src := m.dst[to+(w+i)*m.wide.to+l:][:l1-l], m.src[from+l*m.long.from+w+i:]
			for j := range dst {
				dst[j] = src[j*m.long.from]
			}
		}
	}
}

func (p *Pool) move(ctx context.Context, m mover) {
	p.mu.Lock()
	defer p.mu.Unlock()
	tiles := m.cut()
	p.ops.move = m
	p.run(ctx, tiles, &p.ops.move)
	p.ops.move = mover{}
}
