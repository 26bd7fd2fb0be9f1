package picture

import (
	"context"
	"slices"
)

// box is a set of colours that will share one palette entry, or was cut in two.
type box struct {
	colours     []counted
	count       int // of pixels
	left, right *box
}

type counted struct {
	colour
	count int
}

// maxColours is how many colours Pillow cuts; of pictures with more it drops low bits first.
const maxColours = 1 << 16

// medianCut chooses a palette for RGB bytes as Pillow's quantize does: the box of most pixels is cut at the median of its
// axis that is widest to the eye, until there are n; each gives the mean of its pixels.
func medianCut(ctx context.Context, pix []byte, n int) ([]colour, error) {
	list, low := histogram(pix)
	root := &box{colours: list, count: len(pix) / 3}
	heap := boxHeap{root}
	for boxes := 1; boxes < n; boxes++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var b *box
		for b == nil || len(b.colours) == 1 {
			if len(heap) == 0 {
				return root.means(pix, low), nil
			}
			b = heap.pop()
		}
		b.cut()
		heap.push(b.left)
		heap.push(b.right)
	}
	return root.means(pix, low), nil
}

// lowBits is how many low bits of each channel do not count.
type lowBits int

func (l lowBits) of(pix []byte) colour { return colour{pix[0] >> l, pix[1] >> l, pix[2] >> l} }

// index numbers the colours that of gives, below size.
func (l lowBits) index(c colour) int {
	return int(c[0])<<(2*(8-l)) | int(c[1])<<(8-l) | int(c[2])
}

// size is how many colours there are.
func (l lowBits) size() int { return 1 << (3 * (8 - l)) }

// histogram counts the colours, without the low bits that make them too many.
func histogram(pix []byte) (list []counted, low lowBits) {
	for ; ; low++ {
		list = nil
		counts := newTable(low, len(pix)/3)
		for p := 0; p+2 < len(pix) && len(list) <= maxColours; p += 3 {
			c := low.of(pix[p:])
			n := counts.get(low.index(c))
			counts.set(low.index(c), n+1)
			if n == 0 {
				list = append(list, counted{colour: c})
			}
		}
		if len(list) <= maxColours {
			for i, c := range list {
				list[i].count = int(counts.get(low.index(c.colour)))
			}
			return list, low
		}
	}
}

// table has a number for every colour: an array, or, for few pixels, a map that needs no megabytes.
type table struct {
	all []uint32
	few map[int]uint32
}

func newTable(low lowBits, pixels int) table {
	if size := low.size(); pixels > size/64 {
		return table{all: make([]uint32, size)}
	}
	return table{few: map[int]uint32{}}
}

func (t table) get(i int) uint32 {
	if t.all != nil {
		return t.all[i]
	}
	return t.few[i]
}

func (t table) set(i int, v uint32) {
	if t.all != nil {
		t.all[i] = v
	} else {
		t.few[i] = v
	}
}

// cut splits b; its colours must be more than one. The upper half goes left.
func (b *box) cut() {
	axis, widest := 0, -1
	for i, weight := range [3]int{77, 150, 29} {
		low, high := 255, 0
		for _, c := range b.colours {
			low, high = min(low, int(c.colour[i])), max(high, int(c.colour[i]))
		}
		if w := (high - low) * weight; w > widest {
			axis, widest = i, w
		}
	}
	slices.SortFunc(b.colours, func(x, y counted) int { return int(y.colour[axis]) - int(x.colour[axis]) })
	value := func(i int) uint8 { return b.colours[i].colour[axis] }
	at, left := 0, 0
	for left*2 <= b.count { // the median, and all of its value
		left += b.colours[at].count
		at++
	}
	for at < len(b.colours) && value(at) == value(at-1) {
		left += b.colours[at].count
		at++
	}
	if at == len(b.colours) { // the lowest value is the median: it alone goes right
		for at > 1 && value(at-1) == value(len(b.colours)-1) {
			at--
			left -= b.colours[at].count
		}
	}
	b.left = &box{colours: b.colours[:at], count: left}
	b.right = &box{colours: b.colours[at:], count: b.count - left}
}

// means are the mean colours of the pixels in each box, from the left.
func (b *box) means(pix []byte, low lowBits) []colour {
	entry, n := newTable(low, len(pix)/3), 0
	for stack := []*box{b}; len(stack) > 0; {
		b := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if b.left != nil {
			stack = append(stack, b.right, b.left)
			continue
		}
		for _, c := range b.colours {
			entry.set(low.index(c.colour), uint32(n))
		}
		n++
	}
	sums, counts := make([][3]int, n), make([]int, n)
	for p := 0; p+2 < len(pix); p += 3 {
		i := entry.get(low.index(low.of(pix[p:])))
		for c := range 3 {
			sums[i][c] += int(pix[p+c])
		}
		counts[i]++
	}
	out := make([]colour, n)
	for i := range out {
		for c := range 3 {
			out[i][c] = uint8(0.5 + float64(sums[i][c])/float64(counts[i]))
		}
	}
	return out
}

// boxHeap has the box of most pixels on top. Which of equals comes first decides palettes, so it is Pillow's heap, not
// the standard library's.
type boxHeap []*box

func (h *boxHeap) push(b *box) {
	*h = append(*h, b)
	l := *h
	i := len(l) - 1
	for i > 0 && b.count > l[(i-1)/2].count {
		l[i] = l[(i-1)/2]
		i = (i - 1) / 2
	}
	l[i] = b
}

func (h *boxHeap) pop() *box {
	l := *h
	top, last := l[0], l[len(l)-1]
	l = l[:len(l)-1]
	*h = l
	i := 0
	for 2*i+1 < len(l) {
		child := 2*i + 1
		if child+1 < len(l) && l[child].count < l[child+1].count {
			child++
		}
		if last.count > l[child].count {
			break
		}
		l[i] = l[child]
		i = child
	}
	if len(l) > 0 {
		l[i] = last
	}
	return top
}
