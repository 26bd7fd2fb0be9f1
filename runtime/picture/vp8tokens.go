package picture

import "math"

// The kinds of blocks of coefficients.
const (
	vp8LumaAC = 0 // luma whose first coefficient is in the block of means
	vp8Means  = 1 // the first coefficients of the 16 luma blocks
	vp8Chroma = 2
	vp8Luma   = 3 // luma of macroblocks that are predicted 4 by 4
)

var (
	vp8Bands  = [17]uint8{0, 1, 2, 3, 6, 4, 5, 6, 6, 6, 6, 6, 6, 6, 6, 7, 0}
	vp8Zigzag = [16]uint8{0, 1, 4, 8, 5, 2, 3, 6, 9, 12, 13, 10, 7, 11, 14, 15}
)

// vp8Large are the tokens of values from 5 on: the first value, and the probabilities of the extra bits (RFC 6386, 13.2).
var vp8Large = []struct {
	from  int
	extra []uint8
}{
	{5, []uint8{159}},
	{7, []uint8{165, 145}},
	{11, []uint8{173, 148, 140}},
	{19, []uint8{176, 155, 140, 135}},
	{35, []uint8{180, 157, 141, 134, 130}},
	{67, []uint8{254, 254, 243, 230, 196, 177, 153, 140, 133, 130, 129}},
}

// vp8MaxLevel is the largest value that a token can hold.
const vp8MaxLevel = 2047

// tokenSink writes the branches of the token tree, or counts them, or adds up what they cost.
type tokenSink struct {
	probs  *vp8Probs
	counts *[4][8][3][11][2]int
	w      *boolWriter
	cost   float32 // bits
}

// node writes a branch of the tree, at a node of the tokens of kind, band and context.
func (s *tokenSink) node(kind int, band, context uint8, node int, b bool) {
	if s.w != nil {
		s.w.bit(b, s.probs[kind][band][context][node])
		return
	}
	i := 0
	if b {
		i = 1
	}
	if s.counts != nil {
		s.counts[kind][band][context][node][i]++
	} else {
		s.cost += bitCosts[i][s.probs[kind][band][context][node]]
	}
}

func (s *tokenSink) raw(b bool, prob uint8) {
	if s.w != nil {
		s.w.bit(b, prob)
	}
	s.cost++
}

// block writes the levels of a block, in zigzag order from first on, and tells whether there were any.
func (s *tokenSink) block(levels *[16]int16, kind, first int, context uint8) bool {
	last := 15
	for last >= first && levels[last] == 0 {
		last--
	}
	if last < first {
		s.node(kind, vp8Bands[first], context, 0, false)
		return false
	}
	s.node(kind, vp8Bands[first], context, 0, true)
	for i := first; i <= last; i++ {
		v := int(levels[i])
		size := max(v, -v)
		context = s.token(size, kind, vp8Bands[i], context)
		if size == 0 {
			continue // after a zero there is no end
		}
		s.raw(v < 0, 128)
		if i < 15 {
			s.node(kind, vp8Bands[i+1], context, 0, i < last)
		}
	}
	return true
}

// token writes a value without its sign and returns the next token's context.
func (s *tokenSink) token(size, kind int, band, context uint8) uint8 {
	branch := func(node int, b bool) bool {
		s.node(kind, band, context, node, b)
		return b
	}
	if !branch(1, size > 0) {
		return 0
	}
	if !branch(2, size > 1) {
		return 1
	}
	if !branch(3, size > 4) {
		if branch(4, size > 2) {
			branch(5, size > 3)
		}
		return 2
	}
	category := 0
	for category < 5 && size >= vp8Large[category+1].from {
		category++
	}
	if branch(6, category > 1) {
		branch(8, category > 3)
		branch(9+(category-2)/2, category%2 == 1)
	} else {
		branch(7, category == 1)
	}
	large := vp8Large[category]
	for i, p := range large.extra {
		s.raw((size-large.from)>>(len(large.extra)-1-i)&1 != 0, p)
	}
	return 2
}

// writeProbs chooses the probabilities that fit the counts where that saves bits, and writes the changes.
func (s *tokenSink) writeProbs(w *boolWriter) {
	for i := range s.probs {
		for j := range s.probs[i] {
			for k := range s.probs[i][j] {
				for l, old := range s.probs[i][j][k] {
					n := s.counts[i][j][k][l]
					better := old
					if total := n[0] + n[1]; total > 0 {
						better = uint8(min(max(256*n[0]/total, 1), 255))
					}
					flag := vp8Update[i][j][k][l]
					change := cost(n, better)+8+bitCost(true, flag) < cost(n, old)+bitCost(false, flag)
					w.bit(change, flag)
					if change {
						s.probs[i][j][k][l] = better
						w.bits(int(better), 8)
					}
				}
			}
		}
	}
}

// cost is the bits that n zeros and ones take.
func cost(n [2]int, prob uint8) float64 {
	return float64(n[0])*bitCost(false, prob) + float64(n[1])*bitCost(true, prob)
}

func bitCost(b bool, prob uint8) float64 {
	if b {
		return -math.Log2(1 - float64(prob)/256)
	}
	return -math.Log2(float64(prob) / 256)
}

// bitCosts are the costs of 0 and 1 by probability.
var bitCosts = func() (c [2][256]float32) {
	for p := 1; p < 256; p++ {
		c[0][p], c[1][p] = float32(bitCost(false, uint8(p))), float32(bitCost(true, uint8(p)))
	}
	return c
}()
