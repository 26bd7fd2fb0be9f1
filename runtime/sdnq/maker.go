package sdnq

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sync/atomic"

	"graphrun/kernels/cpu"
	"graphrun/runtime/weights"
)

// maker makes the numbers of one layer's tensors, in rows that hold whole groups: those of the weight [n, k]; its columns where
// scales go along them; or the whole weight as one row where it has a single codebook.
type maker struct {
	*layerPlan
	ctx    context.Context
	pool   *cpu.Pool
	source cpu.Weights // [n, k]
	n, k   int
	// A row of width numbers falls into blocks of neighbours; numbers of a block that are period apart are a group.
	rows, width, block, period int
	columns                    bool
	dense                      []float32 // [rows, width]; nil: rows are read from the source when their turn comes
	scale, zero                []float32 // or codebooks
	codes                      []byte    // as stored
	up, down                   []float32 // [n, rank], [rank, k]
	coder                      *coder    // of floats
	fault                      atomic.Pointer[weights.Error]
}

// maker prepares to quantize w, the weight that was planned.
func (l *layerPlan) maker(ctx context.Context, p *cpu.Pool, w weights.Tensor) (*maker, error) {
	m := &maker{layerPlan: l, ctx: ctx, pool: p, n: w.Shape[0], k: product(w.Shape[1:])}
	if need := w.Elements() * w.DType.Size(); len(w.Data) != need {
		return nil, &weights.Error{File: "quantize", Tensor: w.Name, Need: fmt.Sprintf("%d bytes", need), Have: fmt.Sprint(len(w.Data)), Remedy: "download the model again"}
	}
	switch w.DType {
	case weights.BF16:
		m.source = cpu.NewBF16(w.Data, m.n, m.k)
	case weights.F16:
		m.source = cpu.NewF16(w.Data, m.n, m.k)
	case weights.F32:
		m.source = cpu.NewF32(w.Data, m.n, m.k)
	default:
		v, err := w.Float32()
		if err != nil {
			return nil, err
		}
		m.source = cpu.Dense(v, m.n, m.k)
	}
	m.rows, m.width, m.block, m.period = m.n, m.k, m.k, 1
	kernel := product(w.Shape[2:])
	switch g := l.groups; {
	case g == 0 && l.UseCodebook:
		m.rows, m.width, m.block = 1, m.n*m.k, m.n*m.k
	case g == 0 || l.transposed:
	case l.kind == ConvTranspose && g == 1:
		m.columns, m.rows, m.width, m.block = true, m.k, m.n, m.n
	case l.kind == ConvTranspose:
		m.period = g * kernel
	default:
		m.block, m.period = m.k/g, kernel
	}
	if !l.format.integer {
		m.coder = newCoder(&l.format)
	}
	return m, nil
}

// fill makes the planned tensors (11.2).
func (m *maker) fill() ([]weights.Tensor, error) {
	count := product(m.tensors[1].Shape)
	m.scale, m.codes = make([]float32, count), make([]byte, m.format.size(m.n*m.k))
	if m.format.unsigned && !m.UseCodebook {
		m.zero = make([]float32, count)
	}
	if m.rank > 0 || m.columns || m.rows != m.n {
		m.load()
	}
	if m.groups == 0 && !m.UseCodebook {
		m.wholeRange()
	}
	if m.format.bits <= 8 {
		makeCodes[uint8](m)
	} else {
		makeCodes[uint16](m)
	}
	if err := m.err(); err != nil {
		return nil, err
	}
	numbers := map[string][]float32{"scale": m.scale, "zero_point": m.zero, "svd_up": m.up, "svd_down": m.down}
	if m.rank > 0 && m.plan.matmul {
		numbers["svd_up"], numbers["svd_down"] = transpose(m.up, m.n, m.rank), transpose(m.down, m.rank, m.k)
	}
	out := slices.Clone(m.tensors)
	out[0].Data = m.codes
	for i := range out[1:] {
		t := &out[1+i]
		t.Data = floatBytes(numbers[t.Name[len(m.module)+1:]], t.DType)
	}
	return out, nil
}

// err is what went wrong, a cancelled context included.
func (m *maker) err() error {
	if e := m.fault.Load(); e != nil {
		return e
	}
	return m.ctx.Err()
}

func (m *maker) bad(need, have string) {
	m.fault.CompareAndSwap(nil, &weights.Error{File: "quantize", Tensor: m.module + ".weight", Need: need, Have: have, Remedy: "leave the layer out with modules_to_not_convert, or download the model again"})
}

// tileSize is about how many numbers a worker takes at once.
const tileSize = 1 << 15

// each calls f for runs of rows of so many numbers, a multiple of 16 and of unit rows at a time.
func (m *maker) each(rows, width, unit int, f func(tile, worker, r0, r1 int)) {
	by := max(1, tileSize/width/unit) * unit
	for by*width%16 != 0 { // packed codes lie in blocks of up to 16
		by += unit
	}
	m.pool.Run(m.ctx, (rows+by-1)/by, func(tile, worker int) { f(tile, worker, tile*by, min(rows, (tile+1)*by)) })
}

// read reads row n of the source and rotates it.
func (m *maker) read(dst []float32, n int) {
	m.source.Unpack(dst, n, n+1, 0, m.k)
	if m.zero != nil || m.UseCodebook || m.hadamard.Chunk > 0 || m.groups == 0 { // others show in the scale
		if top := cpu.AbsMax(dst); !(top <= math.MaxFloat32) {
			m.bad("finite numbers", fmt.Sprintf("%v in row %d", top, n))
		}
	}
	if m.hadamard.Chunk > 0 {
		m.hadamard.Rotate(dst)
	}
}

// row is a row to quantize; room holds one.
func (m *maker) row(room []float32, r int) []float32 {
	if m.dense != nil {
		return m.dense[r*m.width : (r+1)*m.width]
	}
	m.read(room[:m.width], r)
	return room[:m.width]
}

// load makes the whole weight dense: for a low-rank part, which is then taken from it, and for groups that go across rows.
func (m *maker) load() {
	dense := make([]float32, m.n*m.k)
	m.each(m.n, m.k, 1, func(_, _, n0, n1 int) {
		for n := n0; n < n1; n++ {
			m.read(dense[n*m.k:(n+1)*m.k], n)
		}
	})
	if m.rank > 0 && m.err() == nil {
		m.up, m.down = lowRank(m.ctx, m.pool, dense, m.n, m.k, m.rank, m.SVDSteps)
		for _, v := range [][]float32{m.up, m.down} {
			t := m.tensors[len(m.tensors)-1].DType
			if round(v, t); !(cpu.AbsMax(v) <= math.MaxFloat32) {
				m.bad(fmt.Sprintf("finite numbers, whose low-rank part is in the range of %s", t), "larger ones")
			}
		}
		m.each(m.n, m.k, 1, func(_, _, n0, n1 int) {
			for n := n0; n < n1; n++ {
				cpu.AddRows(dense[n*m.k:(n+1)*m.k], m.down, negative(m.up[n*m.rank:(n+1)*m.rank]), m.k)
			}
		})
	}
	if m.columns {
		dense = transpose(dense, m.n, m.k)
	}
	m.dense = dense
}

func negative(v []float32) []float32 {
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = -x
	}
	return out
}

// wholeRange finds the scale of the whole weight.
func (m *maker) wholeRange() {
	low, high := make([]float32, m.rows), make([]float32, m.rows)
	m.each(m.rows, m.width, 1, func(_, _, r0, r1 int) {
		room := make([]float32, m.width)
		for r := r0; r < r1; r++ {
			low[r], high[r] = cpu.Span(m.row(room, r))
		}
	})
	m.setScale(0, slices.Min(low), slices.Max(high))
}

// setScale sets scale and zero point number at for numbers from low to high (11.1), rounded as they will be stored.
func (m *maker) setScale(at int, low, high float32) {
	t, size := m.tensors[1].DType, max(high, -low)
	if m.zero != nil {
		m.zero[at], size = rounded(low, t), high-low
	}
	m.scale[at] = rounded(size/float32(m.format.max), t)
	if m.scale[at] == 0 && size > 0 { // too small for the dtype
		m.scale[at] = least(t)
	}
	if !(m.scale[at] <= math.MaxFloat32 && size <= math.MaxFloat32/2) { // dequantizing rounds up
		m.bad(fmt.Sprintf("finite numbers, in the range of %s", t), fmt.Sprintf("%g to %g", low, high))
	}
}

// room is a worker's memory.
type room[C code] struct {
	x, groups  []float32 // a row; a block, each group's numbers together
	codes, own []C       // of a tile; of a block, group by group
	book       codebook
}

// makeCodes makes the scales and the codes of all rows.
func makeCodes[C code](m *maker) {
	unit := 1
	if m.transposed {
		unit = 64 // columns of whole lines
	}
	var turned []C // codes of columns, [n, k]
	if m.columns {
		turned = make([]C, m.n*m.k)
	}
	rooms := make([]room[C], m.pool.Threads())
	m.each(m.rows, m.width, unit, func(_, worker, r0, r1 int) {
		q := &rooms[worker]
		q.x, q.codes = slices.Grow(q.x[:0], m.width)[:m.width], slices.Grow(q.codes[:0], (r1-r0)*m.width)[:(r1-r0)*m.width]
		q.groups, q.own = slices.Grow(q.groups[:0], m.block)[:m.block], slices.Grow(q.own[:0], m.block)[:m.block]
		for r := r0; r < r1; r++ {
			q.row(m, q.codes[(r-r0)*m.width:][:m.width], m.row(q.x, r), r)
		}
		switch {
		case m.columns:
			storeColumns(turned, q.codes, r0, r1-r0, m.rows, m.width)
		case m.transposed:
			m.storeTurned(any(q.codes), r0, r1-r0)
		default:
			m.store(any(q.codes), r0*m.width)
		}
	})
	if m.columns {
		m.store(any(turned), 0)
	}
}

// row makes the codes of row r.
func (q *room[C]) row(m *maker, codes []C, x []float32, r int) {
	entries := 1
	if m.UseCodebook {
		entries = 1 << m.format.bits
	}
	length, blocks := m.block/m.period, m.width/m.block
	for b := range blocks {
		x, codes := x[b*m.block:][:m.block], codes[b*m.block:][:m.block]
		at, step := (r*blocks+b)*m.period*entries, m.period
		switch {
		case m.columns:
			at, step = r, m.rows
		case m.groups == 0:
			at, step = 0, 1
		}
		if m.period == 1 {
			q.group(m, codes, x, at, step)
			continue
		}
		to := q.groups
		for p := range m.period {
			for i := range length {
				to[i] = x[i*m.period+p]
			}
			to = to[length:]
		}
		for p := range m.period {
			q.group(m, q.own[p*length:][:length], q.groups[p*length:][:length], at+p, step)
		}
		for p := range m.period {
			for i, c := range q.own[p*length:][:length] {
				codes[i*m.period+p] = c
			}
		}
	}
}

// group makes the codes of one group, whose scale is number at; entries of its codebook are step apart.
func (q *room[C]) group(m *maker, codes []C, x []float32, at, step int) {
	if m.UseCodebook {
		levels := q.book.levels(x, m.format.bits, m.CodebookSteps)
		round(levels, m.tensors[1].DType)
		for i, v := range levels {
			m.scale[at+i*step] = v
		}
		assign(codes, x, q.book.middles(levels))
		return
	}
	switch {
	case m.groups == 0: // known
	case m.zero == nil:
		top := cpu.AbsMax(x)
		m.setScale(at, top, top)
	default:
		low, high := cpu.Span(x)
		m.setScale(at, low, high)
	}
	zero := float32(0)
	if m.zero != nil {
		zero = m.zero[at]
	}
	if m.coder != nil {
		encodeFloats(m.coder, codes, x, m.scale[at], zero)
		return
	}
	encodeInts(&m.format, codes, x, m.scale[at], zero, m.tensors[1].DType == weights.F32 && m.scale[at] > 0x1p-100)
}

// storeColumns puts codes of rows r0 to r0+n-1, width long, into columns of dst, which has so many columns.
func storeColumns[C code](dst, codes []C, r0, n, columns, width int) {
	for i := range n {
		for j, c := range codes[i*width:][:width] {
			dst[j*columns+r0+i] = c
		}
	}
}

// storeTurned stores codes of rows r0 to r0+n-1 as the columns that they are where the weight is stored [k, n].
func (m *maker) storeTurned(codes any, r0, n int) {
	switch codes := codes.(type) {
	case []uint8:
		j := 0
		for ; j+8 <= m.width; j += 8 {
			cpu.TransposeBytes(m.codes[j*m.n+r0:], m.n, codes[j:], m.width, n)
		}
		for ; j < m.width; j++ {
			for i := range n {
				m.codes[j*m.n+r0+i] = codes[i*m.width+j]
			}
		}
	case []uint16:
		for j := range m.width {
			to := m.codes[2*(j*m.n+r0):]
			for i := range n {
				binary.LittleEndian.PutUint16(to[2*i:], codes[i*m.width+j])
			}
		}
	}
}

// store stores codes from number first on; values of signed packed formats are shifted to start at 0 (4.1).
func (m *maker) store(codes any, first int) {
	f, to := &m.format, m.codes[m.format.size(first):]
	flip := uint16(0)
	if f.integer && !f.unsigned {
		flip = 1 << (f.bits - 1)
	}
	switch codes := codes.(type) {
	case []uint8:
		if f.bitPacked() {
			packBytes(to[:f.size(len(codes))], codes, f.bits, uint8(flip))
			return
		}
		copy(to, codes)
	case []uint16:
		if f.bitPacked() {
			packWords(to, codes, f.bits, flip)
			return
		}
		for i, c := range codes {
			binary.LittleEndian.PutUint16(to[2*i:], c)
		}
	}
}

// round rounds values to those of a 16-bit dtype, in place.
func round(v []float32, t weights.DType) {
	if t != weights.F32 {
		for i, x := range v {
			v[i] = rounded(x, t)
		}
	}
}

// least is the dtype's smallest positive number.
func least(t weights.DType) float32 {
	switch t {
	case weights.BF16:
		return 0x1p-133
	case weights.F16:
		return 0x1p-24
	}
	return math.SmallestNonzeroFloat32
}

func rounded(x float32, t weights.DType) float32 {
	switch t {
	case weights.BF16:
		return math.Float32frombits(uint32(weights.Float32ToBF16(x)) << 16)
	case weights.F16:
		return weights.F16ToFloat32(weights.Float32ToF16(x))
	}
	return x
}

// floatBytes writes values as F32, BF16 or F16.
func floatBytes(v []float32, t weights.DType) []byte {
	out := make([]byte, 0, len(v)*t.Size())
	for _, x := range v {
		switch t {
		case weights.BF16:
			out = binary.LittleEndian.AppendUint16(out, weights.Float32ToBF16(x))
		case weights.F16:
			out = binary.LittleEndian.AppendUint16(out, weights.Float32ToF16(x))
		default:
			out = binary.LittleEndian.AppendUint32(out, math.Float32bits(x))
		}
	}
	return out
}
