package picture

import (
	"encoding/binary"
	"math"
)

// encodeVP8 makes a VP8 key frame (RFC 6386) of RGB bytes. quality is 0 to 100, in libwebp's scale.
func encodeVP8(pix []byte, width, height, quality int) []byte {
	e := newVP8(pix, width, height, quality)
	mbs := make([]vp8Block, e.w*e.h)
	counts := new([4][8][3][11][2]int)
	probs := vp8Default
	sink := tokenSink{probs: &probs, counts: counts}
	skipped := 0
	for i := range mbs {
		e.code(&mbs[i], i%e.w, i/e.w)
		if mbs[i].empty() {
			skipped++
		}
	}
	e.tokens(&sink, mbs)
	head, body := newBoolWriter(), newBoolWriter()
	head.bits(0, 1) // colour space
	head.bits(0, 1) // decoders clamp
	head.bits(0, 1) // one segment
	head.bits(0, 1) // the normal loop filter
	head.bits(e.filterLevel(), 6)
	head.bits(0, 3) // sharpness
	head.bits(0, 1) // the filter is the same for all modes
	head.bits(0, 2) // one partition of tokens
	head.bits(e.index, 7)
	head.bits(0, 5) // no other steps for some kinds of coefficients
	head.bits(0, 1) // probabilities are for this frame
	sink.writeProbs(&head)
	head.bits(1, 1) // empty blocks are marked
	notEmpty := uint8(min(max(256*(len(mbs)-skipped)/len(mbs), 1), 255))
	head.bits(int(notEmpty), 8)
	above := make([][4]uint8, e.w)
	for y := range e.h {
		var left [4]uint8
		for x := range e.w {
			b := &mbs[y*e.w+x]
			head.bit(b.empty(), notEmpty)
			b.writeModes(&head, &above[x], &left)
		}
	}
	sink.w = &body
	e.tokens(&sink, mbs)
	first := head.bytes()
	out := make([]byte, 0, 10+len(first)+len(body.out)+8)
	out = append(out, byte(len(first)<<5)|1<<4, byte(len(first)>>3), byte(len(first)>>11), 0x9d, 0x01, 0x2a)
	out = binary.LittleEndian.AppendUint16(out, uint16(width))
	out = binary.LittleEndian.AppendUint16(out, uint16(height))
	return append(append(out, first...), body.bytes()...)
}

// vp8 is a frame in the making.
type vp8 struct {
	w, h   int // in macroblocks
	index  int // of the quantizer, 0 (fine) to 127
	planes [3]vp8Plane
	steps  [3][2]int // by kind of block: of its first coefficient, of the others
}

// vp8Plane is luma or a chroma plane, as wanted and as decoders will have it, padded to whole macroblocks.
type vp8Plane struct {
	want, got []byte
	stride    int
}

// The predictions of a whole macroblock.
const (
	predictMean = iota
	predictAbove
	predictLeft
	predictSlope // left + above - corner
)

// vp8Block is a macroblock: its predictions and its levels, in zigzag order: 16 luma blocks, 4 and 4 of chroma, the means.
type vp8Block struct {
	luma, chroma int
	small        bool // luma is predicted 4 by 4: there are no means
	modes        [16]uint8
	levels       [25][16]int16
}

func (b *vp8Block) empty() bool { return b.levels == [25][16]int16{} }

// writeModes writes the predictions; above and left are those of the blocks beside, 4 by 4.
func (b *vp8Block) writeModes(w *boolWriter, above, left *[4]uint8) {
	w.bit(!b.small, 145)
	if b.small {
		for k, m := range b.modes {
			writeSmallMode(w, m, &vp8SmallModes[above[k%4]][left[k/4]])
			above[k%4], left[k/4] = m, m
		}
	} else {
		w.bit(b.luma >= predictLeft, 156)
		if b.luma < predictLeft {
			w.bit(b.luma == predictAbove, 163)
		} else {
			w.bit(b.luma == predictSlope, 128)
		}
		for k := range 4 { // what it counts as, for those beside it
			m := [4]uint8{smallMean, smallAbove, smallLeft, smallSlope}[b.luma]
			above[k], left[k] = m, m
		}
	}
	w.bit(b.chroma != predictMean, 142)
	if b.chroma != predictMean {
		w.bit(b.chroma != predictAbove, 114)
		if b.chroma != predictAbove {
			w.bit(b.chroma == predictSlope, 183)
		}
	}
}

func newVP8(pix []byte, width, height, quality int) *vp8 {
	e := &vp8{w: (width + 15) / 16, h: (height + 15) / 16}
	// libwebp's scale of qualities.
	c := float64(quality) / 100
	if c < 0.75 {
		c *= 2. / 3
	} else {
		c = 2*c - 1
	}
	e.index = int(127 * (1 - math.Cbrt(c)))
	q := e.index
	e.steps = [3][2]int{
		vp8LumaAC: {vp8DC[q], vp8AC[q]},
		vp8Means:  {2 * vp8DC[q], max(vp8AC[q]*155/100, 8)},
		vp8Chroma: {min(vp8DC[q], 132), vp8AC[q]},
	}
	for i, size := range []int{16, 8, 8} {
		n := e.w * e.h * size * size
		e.planes[i] = vp8Plane{make([]byte, n), make([]byte, n), e.w * size}
	}
	e.convert(pix, width, height)
	return e
}

// filterLevel grows with the steps, as libwebp's does without analysis.
func (e *vp8) filterLevel() int {
	level := min(vp8AC[e.index]>>2*300/256, 63)
	if level < 2 {
		return 0
	}
	return level
}

// convert fills the planes by BT.601's narrow range, in 16 bit fixed point. Beyond the edges the last pixels repeat.
func (e *vp8) convert(pix []byte, width, height int) {
	at := func(x, y int) (r, g, b int) {
		p := pix[3*(min(y, height-1)*width+min(x, width-1)):]
		return int(p[0]), int(p[1]), int(p[2])
	}
	const half = 1 << 15
	for y := range 16 * e.h {
		for x := range 16 * e.w {
			r, g, b := at(x, y)
			e.planes[0].want[y*16*e.w+x] = clip((16839*r + 33059*g + 6420*b + 16<<16 + half) >> 16)
		}
	}
	for y := range 8 * e.h {
		for x := range 8 * e.w {
			var r, g, b int // of four pixels
			for i := range 4 {
				dr, dg, db := at(2*x+i%2, 2*y+i/2)
				r, g, b = r+dr, g+dg, b+db
			}
			e.planes[1].want[y*8*e.w+x] = clip((-9719*r - 19081*g + 28800*b + 128<<18 + 2<<16) >> 18)
			e.planes[2].want[y*8*e.w+x] = clip((28800*r - 24116*g - 4684*b + 128<<18 + 2<<16) >> 18)
		}
	}
}

// code predicts, transforms and quantizes a macroblock, and leaves in got what decoders will make of it.
func (e *vp8) code(b *vp8Block, mx, my int) {
	b.luma = e.choose(mx, my, 16, e.planes[:1])
	e.codeLuma(b, mx, my)
	b.chroma = e.choose(mx, my, 8, e.planes[1:])
	for i := range 2 {
		p := e.planes[1+i]
		p.predict(b.chroma, mx, my, 8)
		for k := range 4 {
			at := (8*my+k/2*4)*p.stride + 8*mx + k%2*4
			c := p.transform(at)
			quantize(&b.levels[16+4*i+k], &c, e.steps[vp8Chroma], 0)
			p.add(at, dequantize(&b.levels[16+4*i+k], e.steps[vp8Chroma]))
		}
	}
}

// codeLuma codes it as a whole and 4 by 4, and keeps what costs less: bits are weighed against squared errors.
func (e *vp8) codeLuma(b *vp8Block, mx, my int) {
	whole, small := *b, *b
	e.codeWhole(&whole, mx, my)
	cost := e.price(&whole, mx, my)
	kept := e.planes[0].macroblock(mx, my)
	e.codeSmall(&small, mx, my)
	if e.price(&small, mx, my) < cost {
		*b = small
		return
	}
	*b = whole
	e.planes[0].restore(kept, mx, my)
}

func (e *vp8) codeWhole(b *vp8Block, mx, my int) {
	p := e.planes[0]
	p.predict(b.luma, mx, my, 16)
	var means [16]float32
	at := func(k int) int { return (16*my+k/4*4)*p.stride + 16*mx + k%4*4 }
	for k := range 16 {
		c := p.transform(at(k))
		means[k] = c[0]
		quantize(&b.levels[k], &c, e.steps[vp8LumaAC], 1)
	}
	walsh(&means)
	quantize(&b.levels[24], &means, e.steps[vp8Means], 0)
	first := inverseWalsh(dequantize(&b.levels[24], e.steps[vp8Means]))
	for k := range 16 {
		c := dequantize(&b.levels[k], e.steps[vp8LumaAC])
		c[0] = first[k]
		p.add(at(k), c)
	}
}

// choose takes the prediction of the least squared error.
func (e *vp8) choose(mx, my, size int, planes []vp8Plane) int {
	best, least := 0, math.MaxInt
	for mode := predictMean; mode <= predictSlope; mode++ {
		if mode == predictSlope && (mx == 0 || my == 0) {
			continue
		}
		sum := 0
		for _, p := range planes {
			p.predict(mode, mx, my, size)
			for y := range size {
				at := (my*size+y)*p.stride + mx*size
				want, got := p.want[at:at+size], p.got[at:at+size]
				for x, v := range want {
					d := int(v) - int(got[x])
					sum += d * d
				}
			}
		}
		if sum < least {
			best, least = mode, sum
		}
	}
	return best
}

// tokens writes the coefficients of all macroblocks, or counts them.
func (e *vp8) tokens(s *tokenSink, mbs []vp8Block) {
	above := make([][9]uint8, e.w) // whether blocks had tokens: 4 of luma, 2 and 2 of chroma, the means
	for y := range e.h {
		var left [9]uint8
		for x := range e.w {
			b, up := &mbs[y*e.w+x], &above[x]
			if b.empty() {
				l, u := left[8], up[8]
				left, *up = [9]uint8{}, [9]uint8{}
				if b.small { // which has no means
					left[8], up[8] = l, u
				}
				continue
			}
			put := func(i, kind, first, l, u int) {
				has := uint8(0)
				if s.block(&b.levels[i], kind, first, left[l]+up[u]) {
					has = 1
				}
				left[l], up[u] = has, has
			}
			kind, first := vp8Luma, 0
			if !b.small {
				put(24, vp8Means, 0, 8, 8)
				kind, first = vp8LumaAC, 1
			}
			for k := range 16 {
				put(k, kind, first, k/4, k%4)
			}
			for k := range 8 {
				put(16+k, vp8Chroma, 0, 4+k/4*2+k%4/2, 4+k/4*2+k%2)
			}
		}
	}
}
