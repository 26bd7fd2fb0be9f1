package cpu

import (
	"context"
	"unsafe"
)

// Format is how a row of activations is stored.
type Format uint8

const (
	// Float32 is as computed.
	Float32 Format = iota
	// BFloat16 is words of two, rounded to even; the last of an odd row has a zero.
	BFloat16
	// Int8Rows is codes with a scale a row, max|x|/127, as SDNQ quantizes activations: what Int8 products take.
	Int8Rows
	// Int8Images is codes with a scale a picture: what Int8Fast convolutions take. A matrix product takes it for Int8Rows.
	Int8Images
)

// String is float32, bfloat16, int8 rows or int8 images.
func (f Format) String() string {
	return [...]string{"float32", "bfloat16", "int8 rows", "int8 images"}[f]
}

// Rows are activations [M, K], made ready once for several products. A row of codes is followed by its scale and by the sum
// of its codes.
type Rows struct {
	Format Format
	Data   []float32 // M*Words() words
	M, K   int
}

// Floats are rows as computed.
func Floats(x []float32, m, k int) Rows { return Rows{Data: x, M: m, K: k} }

// Words is the number of 32-bit words of a row of k values on the path in use.
func (f Format) Words(k int) int {
	switch f {
	case BFloat16:
		return (k + 1) / 2
	case Int8Rows, Int8Images:
		return active.codeWords(k) + 2
	}
	return k
}

func (r Rows) check(op, what string) {
	check(op, what, len(r.Data), r.M*r.Format.Words(r.K))
}

// Takes is the format of activations that products in that precision read as they are on the path in use. Convolutions in
// Int8 take float32: they quantize what is under the kernel at each position.
func (prec Precision) Takes(conv bool) Format {
	switch {
	case prec == BF16 && active.hasBF16():
		return BFloat16
	case prec >= Int8 && !conv:
		return Int8Rows
	case prec == Int8Fast && !active.double:
		return Int8Images
	}
	return Float32
}

// codeSize is the bytes of a code.
func (p *path) codeSize() int {
	if p.double {
		return 2
	}
	return 1
}

// codeWords is the number of words that k codes take.
func (p *path) codeWords(k int) int { return (k*p.codeSize() + 3) / 4 }

// factors are the scale of a row of codes and their sum.
type factors struct {
	scale float32
	sum   int32
}

// Cast stores rows in another format. Codes of Int8Images have one scale for each run of M/images rows; for other formats
// images is not used. dst and x share no memory.
func Cast(ctx context.Context, p *Pool, dst, x Rows, images int) {
	x.check("Cast", "x")
	dst.check("Cast", "dst")
	check("Cast", "rows of x", x.M*x.K, dst.M*dst.K)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cast(ctx, dst, x, images)
}

// cast is Cast for the owner of the lock.
func (p *Pool) cast(ctx context.Context, dst, x Rows, images int) {
	if x.M*x.K == 0 {
		return
	}
	c := &p.ops.cast
	*c = caster{path: active, dst: dst, x: x, by: max(1, spanBy/x.K), images: max(1, images)}
	if dst.Format == Int8Images {
		p.imageScales(ctx, c)
	}
	p.run(ctx, (x.M+c.by-1)/c.by, c)
	*c = caster{}
}

// recast casts to memory of the pool.
func (p *Pool) recast(ctx context.Context, room *scratch, x Rows, f Format, images int) Rows {
	to := Rows{Format: f, Data: room.floats(x.M * f.Words(x.K)), M: x.M, K: x.K}
	p.cast(ctx, to, x, images)
	return to
}

// caster is the state of a Cast.
type caster struct {
	path   *path
	dst, x Rows
	by     int // rows in a tile
	images int
	tops   []float32 // the largest absolute value of each image, nil where each row has its own scale
	find   bool      // parts of tops
}

// imageScales finds the largest absolute value of each image of x, from parts of a fixed number of rows.
func (p *Pool) imageScales(ctx context.Context, c *caster) {
	per := c.x.M / c.images // rows of an image
	parts := (per + c.by - 1) / c.by
	all := p.scales.floats(c.images + c.images*parts)
	c.tops, c.find = all[c.images:], true
	p.run(ctx, c.images*parts, c)
	c.tops, c.find = largest(all, c.images, parts), false
}

// largest leaves in the first of tops the largest of the parts of each image, which follow, image by image.
func largest(tops []float32, images, parts int) []float32 {
	for i := range images {
		tops[i] = 0
		for _, top := range tops[images+i*parts:][:parts] {
			tops[i] = larger(tops[i], top)
		}
	}
	return tops[:images]
}

func (c *caster) tile(t int, w *worker) {
	if c.find {
		per := c.x.M / c.images
		parts := (per + c.by - 1) / c.by
		first := t / parts * per
		r0, r1 := first+t%parts*c.by, first+min(per, (t%parts+1)*c.by)
		c.tops[t] = 0
		for r := r0; r < r1; r++ {
			c.tops[t] = larger(c.tops[t], c.path.absMax(c.x.floats(w, r)))
		}
		return
	}
	r0, r1 := t*c.by, min(c.x.M, (t+1)*c.by)
	if k := c.x.K; c.dst.Format == BFloat16 && c.x.Format == Float32 && k%2 == 0 { // all rows in one
		c.path.narrow(c.dst.Data[r0*k/2:r1*k/2], c.x.Data[r0*k:r1*k])
		return
	}
	for r := r0; r < r1; r++ {
		top := float32(-1)
		if c.tops != nil {
			top = c.tops[r/(c.x.M/c.images)]
		}
		c.path.store(c.dst, r, c.x.floats(w, r), top)
	}
}

// part is count rows from first on.
func (r Rows) part(first, count int) Rows {
	words := r.Format.Words(r.K)
	r.Data, r.M = r.Data[first*words:(first+count)*words], count
	return r
}

// row is row r of codes or of words.
func (r Rows) row(i int) unsafe.Pointer {
	return unsafe.Pointer(&r.Data[i*r.Format.Words(r.K)])
}

// floats is row i in float32: itself, or unpacked to memory of the worker.
func (r Rows) floats(w *worker, i int) []float32 {
	if r.Format == Float32 {
		return r.Data[i*r.K : (i+1)*r.K]
	}
	row := w.wide.floats(r.K)
	r.Floats(row, i)
	return row
}

// Floats writes row i as float32.
func (r Rows) Floats(dst []float32, i int) {
	src := r.row(i)
	switch r.Format {
	case Float32:
		copy(dst, r.Data[i*r.K:(i+1)*r.K])
	case BFloat16:
		active.fromBF16(dst, unsafe.Slice((*byte)(src), 2*r.K))
	default:
		scale := at[factors](unsafe.Add(src, 4*active.codeWords(r.K)), 0).scale
		if !active.double {
			ScaleInt8(dst, unsafe.Slice((*int8)(src), r.K), r.K, []float32{scale}, nil)
			return
		}
		for j, c := range unsafe.Slice((*int16)(src), r.K) {
			dst[j] = float32(c) * scale
		}
	}
}

// store writes a row of float32 as row i of dst. top is the largest absolute value that a scale of codes counts with; less
// than 0 for the row's own.
func (p *path) store(dst Rows, i int, row []float32, top float32) {
	to := dst.row(i)
	switch dst.Format {
	case Float32:
		copy(dst.Data[i*dst.K:(i+1)*dst.K], row)
	case BFloat16:
		p.narrow(unsafe.Slice((*float32)(to), (dst.K+1)/2), row)
	default:
		if top < 0 {
			top = p.absMax(row)
		}
		p.storeCodes(dst, i, row, top/127)
	}
}

// storeCodes writes a row of float32 as the codes of row i of dst.
func (p *path) storeCodes(dst Rows, i int, row []float32, scale float32) {
	to, used, size := dst.row(i), p.codeSize()*dst.K, 4*p.codeWords(dst.K)
	*at[factors](unsafe.Add(to, size), 0) = factors{scale: scale, sum: p.quantize(to, row, scale)}
	clear(unsafe.Slice((*byte)(unsafe.Add(to, used)), size-used))
}
