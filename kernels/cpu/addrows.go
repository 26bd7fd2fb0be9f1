package cpu

import (
	"sync"
	"unsafe"
)

// AddRows adds to acc the sum of x[i] times row i of rows, which are stride floats apart.
func AddRows(acc, rows, x []float32, stride int) {
	if len(acc) == 0 || len(x) == 0 {
		return
	}
	check("AddRows", "rows", len(rows), (len(x)-1)*stride+len(acc))
	for ; len(x) >= 4; x = x[4:] {
		active.addFloats(acc, rows, (*[4]float32)(x), stride)
		rows = rows[min(len(rows), 4*stride):]
	}
	for i, v := range x {
		for j, r := range rows[i*stride:][:len(acc)] {
			acc[j] += v * r
		}
	}
}

func addFloatsGo(acc, rows []float32, x *[4]float32, stride int) {
	a, b, c, d := rows[:len(acc)], rows[stride:][:len(acc)], rows[2*stride:][:len(acc)], rows[3*stride:][:len(acc)]
	for i := range acc {
		acc[i] += x[0]*a[i] + x[1]*b[i] + x[2]*c[i] + x[3]*d[i]
	}
}

// AddProduct adds a·b to dst [m, n], a being [m, rank] and the rows of b stride floats apart. It is for the dense weights of a
// block; products of activations multiply a and b one by one.
func AddProduct(dst, a, b []float32, m, n, rank, stride int) {
	if m*n*rank == 0 {
		return
	}
	check("AddProduct", "dst", len(dst), m*n)
	check("AddProduct", "a", len(a), m*rank)
	check("AddProduct", "b", len(b), (rank-1)*stride+n)
	room := addRooms.Get().(*addRoom)
	j := 0
	for count := 0; m >= productRows && j+active.lanes <= n; j += count {
		count = min(productPiece, (n-j)/active.lanes*active.lanes)
		room.add(dst[j:], a, b[j:], m, n, count, rank, stride)
	}
	addRooms.Put(room)
	for i := 0; i < m && j < n; i++ {
		AddRows(dst[i*n+j:(i+1)*n], b[j:], a[i*rank:(i+1)*rank], stride)
	}
}

const (
	// productRows is the least number of rows that AddProduct packs b for.
	productRows = 16
	// productPiece is how many columns it packs at a time: runs of b that are not short, a panel that is not large.
	productPiece = 64
)

// addRoom is what AddProduct needs.
type addRoom struct {
	args  tileArgs
	rows  [maxRows]unsafe.Pointer
	panel []float32
}

var addRooms = sync.Pool{New: func() any { return new(addRoom) }}

// add is AddProduct for count columns, whole strips, of rows that are n and stride floats apart.
func (room *addRoom) add(dst, a, b []float32, m, n, count, rank, stride int) {
	if len(room.panel) < rank*count {
		room.panel = Alloc(rank * count)
	}
	p := active
	for r := range rank {
		for first := 0; first < count; first += p.width() {
			nr := min(p.width(), count-first)
			to, from := unsafe.Pointer(&room.panel[first*rank+r*nr]), unsafe.Pointer(&b[r*stride+first])
			for c := 0; c < 4*nr; c += 8 { // lanes are even; a call of copy takes longer for so few
				*at[uint64](to, c) = *at[uint64](from, c)
			}
		}
	}
	for first := 0; first < count; first += p.width() {
		nr := min(p.width(), count-first)
		most := p.rows[nr/p.lanes]
		for i := 0; i < m; i += most {
			mr := min(most, m-i)
			for r := range mr {
				room.rows[r] = unsafe.Pointer(&a[(i+r)*rank])
			}
			room.args = tileArgs{
				rows: address(room.rows[:]), taps: 1, k: rank, step: 4, b: unsafe.Pointer(&room.panel[first*rank]),
				c: unsafe.Pointer(&dst[i*n+first]), pitch: 4 * n, mr: mr, nr: nr,
			}
			p.f32[nr/p.lanes][mr](&room.args)
		}
	}
	room.args, room.rows = tileArgs{}, [maxRows]unsafe.Pointer{}
}
