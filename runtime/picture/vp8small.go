package picture

import "math"

// The predictions of 4 by 4 pixels (RFC 6386, 12.3), in the order of vp8SmallModes: the mean, left + above - corner, from
// above and from the left, smoothed; then six slanted ones.
const (
	smallMean = iota
	smallSlope
	smallAbove
	smallLeft
	smallRightDown
	smallVerticalRight
	smallLeftDown
	smallVerticalLeft
	smallHorizontalDown
	smallHorizontalUp
)

// smallTree lists the bits that name a prediction: the node of the tree, and whether it branches.
var smallTree = [10][]struct {
	node int
	b    bool
}{
	smallMean:           {{0, false}},
	smallSlope:          {{0, true}, {1, false}},
	smallAbove:          {{0, true}, {1, true}, {2, false}},
	smallLeft:           {{0, true}, {1, true}, {2, true}, {3, false}, {4, false}},
	smallRightDown:      {{0, true}, {1, true}, {2, true}, {3, false}, {4, true}, {5, false}},
	smallVerticalRight:  {{0, true}, {1, true}, {2, true}, {3, false}, {4, true}, {5, true}},
	smallLeftDown:       {{0, true}, {1, true}, {2, true}, {3, true}, {6, false}},
	smallVerticalLeft:   {{0, true}, {1, true}, {2, true}, {3, true}, {6, true}, {7, false}},
	smallHorizontalDown: {{0, true}, {1, true}, {2, true}, {3, true}, {6, true}, {7, true}, {8, false}},
	smallHorizontalUp:   {{0, true}, {1, true}, {2, true}, {3, true}, {6, true}, {7, true}, {8, true}},
}

func writeSmallMode(w *boolWriter, mode uint8, probs *[9]uint8) {
	for _, t := range smallTree[mode] {
		w.bit(t.b, probs[t.node])
	}
}

// edge are the pixels around a block of 4 by 4: left from the bottom up, the corner, 8 above, the last of them again.
type edge [14]int

// around reads the edge of block k of a macroblock. Blocks on the right all have the pixels above the macroblock's right
// neighbour as their last four.
func (p vp8Plane) around(mx, my, k int) (e edge) {
	x, y := 16*mx+k%4*4, 16*my+k/4*4
	at := func(x, y int) int { return int(p.got[y*p.stride+x]) }
	for i := range 4 {
		e[3-i] = 129
		if x > 0 {
			e[3-i] = at(x-1, y+i)
		}
	}
	for i := range 9 { // the corner, then 8 above
		px, py := x-1+i, y-1
		if k%4 == 3 && i > 4 {
			py = 16*my - 1
		}
		switch {
		case py < 0:
			e[4+i] = 127
		case px < 0:
			e[4+i] = 129
		default:
			e[4+i] = at(min(px, p.stride-1), py)
		}
	}
	e[13] = e[12]
	return e
}

// predict gives the 16 pixels of a prediction.
func (e *edge) predict(mode int) (out [16]int) {
	three := func(i int) int { return (e[i-1] + 2*e[i] + e[i+1] + 2) >> 2 }
	two := func(i int) int { return (e[i] + e[i+1] + 1) >> 1 }
	bottom := (3*e[0] + e[1] + 2) >> 2
	for i := range out {
		r, c := i/4, i%4
		switch mode {
		case smallMean:
			out[i] = (e[0] + e[1] + e[2] + e[3] + e[5] + e[6] + e[7] + e[8] + 4) >> 3
		case smallSlope:
			out[i] = min(max(e[3-r]+e[5+c]-e[4], 0), 255)
		case smallAbove:
			out[i] = three(5 + c)
		case smallLeft:
			if out[i] = bottom; r < 3 {
				out[i] = three(3 - r)
			}
		case smallRightDown:
			out[i] = three(4 - r + c)
		case smallLeftDown:
			out[i] = three(6 + r + c)
		case smallVerticalRight:
			switch n := 2*c - r; {
			case n < 0: // down the left side
				out[i] = three(5 + n)
			case n%2 == 0:
				out[i] = two(4 + n/2)
			default:
				out[i] = three(4 + (n+1)/2)
			}
		case smallVerticalLeft:
			switch {
			case c == 3 && r > 1:
				out[i] = three(8 + r)
			case r%2 == 0:
				out[i] = two(5 + c + r/2)
			default:
				out[i] = three(6 + c + r/2)
			}
		case smallHorizontalDown:
			switch n := 2*r - c; {
			case n < 0: // along the top
				out[i] = three(3 - n)
			case n%2 == 0:
				out[i] = two(3 - n/2)
			default:
				out[i] = three(4 - (n+1)/2)
			}
		case smallHorizontalUp:
			switch n := 2*r + c; {
			case n > 5:
				out[i] = e[0]
			case n == 5:
				out[i] = bottom
			case n%2 == 0:
				out[i] = two(2 - n/2)
			default:
				out[i] = three(2 - n/2)
			}
		}
	}
	return out
}

// codeSmall codes the luma of a macroblock block by block, each from what those before it became.
func (e *vp8) codeSmall(b *vp8Block, mx, my int) {
	b.small = true
	p := e.planes[0]
	for k := range 16 {
		at := (16*my+k/4*4)*p.stride + 16*mx + k%4*4
		around := p.around(mx, my, k)
		least := math.MaxInt
		var best [16]int
		for mode := range 10 {
			predicted := around.predict(mode)
			sum := 0
			for i, v := range predicted {
				d := int(p.want[at+i/4*p.stride+i%4]) - v
				sum += d * d
			}
			if sum < least {
				least, best, b.modes[k] = sum, predicted, uint8(mode)
			}
		}
		for i, v := range best {
			p.got[at+i/4*p.stride+i%4] = byte(v)
		}
		c := p.transform(at)
		quantize(&b.levels[k], &c, e.steps[vp8LumaAC], 0)
		p.add(at, dequantize(&b.levels[k], e.steps[vp8LumaAC]))
	}
}

// price is the squared error of a macroblock's luma and what its bits weigh against that. Contexts, and what the blocks
// beside it say of the predictions, are not known yet: they count as their commonest.
func (e *vp8) price(b *vp8Block, mx, my int) float32 {
	p, sum := e.planes[0], 0
	for y := range 16 {
		at := (16*my+y)*p.stride + 16*mx
		for x, v := range p.want[at : at+16] {
			d := int(v) - int(p.got[at+x])
			sum += d * d
		}
	}
	s := tokenSink{probs: &vp8Default}
	kind, first := vp8LumaAC, 1
	if b.small {
		kind, first = vp8Luma, 0
		for _, m := range b.modes {
			for _, t := range smallTree[m] {
				i := 0
				if t.b {
					i = 1
				}
				s.cost += bitCosts[i][vp8SmallModes[smallMean][smallMean][t.node]]
			}
		}
	} else {
		s.block(&b.levels[24], vp8Means, 0, 0)
	}
	for k := range 16 {
		s.block(&b.levels[k], kind, first, 0)
	}
	step := float32(e.steps[vp8LumaAC][1])
	return float32(sum) + 0.034*step*step*s.cost
}
