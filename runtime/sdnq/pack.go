package sdnq

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// move is one run of bits of a code in a block of words: code's bits [bit, bit+width) lie in word's bits [at, at+width).
type move struct{ code, bit, width, word, at int }

// block is how n-bit codes lie in words (sdnq-format.md 4.2): that many codes in that many words of size bytes.
type block struct {
	codes, words int
	size         int // bytes of a word: 1, or 2 (little-endian); a block of one-bit codes is one word of 8 bytes
	whole        int // codes that lie in the low bits of the word of their own number: the first moves
	moves        []move
}

// blocks has the layout of every width that is packed.
var blocks = [16]block{
	1:  rows(8, 1, 8, spread(8, func(i int) []move { return []move{{i, 0, 1, 0, i}} })),
	2:  rows(4, 1, 1, spread(4, func(i int) []move { return []move{{i, 0, 2, 0, 2 * i}} })),
	3:  low(3, 8, 3, 3, spread(3, func(i int) []move { return []move{{3 + i, 0, 3, i, 3}} }), []move{{6, 0, 2, 0, 6}, {6, 2, 1, 2, 6}, {7, 0, 2, 1, 6}, {7, 2, 1, 2, 7}}),
	4:  rows(2, 1, 1, []move{{0, 0, 4, 0, 0}, {1, 0, 4, 0, 4}}),
	5:  low(5, 8, 5, 5, []move{{5, 0, 3, 0, 5}, {5, 3, 2, 3, 5}, {6, 0, 3, 1, 5}, {6, 3, 2, 4, 5}, {7, 0, 3, 2, 5}, {7, 3, 1, 4, 7}, {7, 4, 1, 3, 7}}),
	6:  low(6, 4, 3, 3, []move{{3, 4, 2, 0, 6}, {3, 2, 2, 1, 6}, {3, 0, 2, 2, 6}}),
	7:  low(7, 8, 7, 7, spread(7, func(j int) []move { return []move{{7, 6 - j, 1, j, 7}} })),
	9:  low(9, 16, 9, 8, spread(8, func(i int) []move { return []move{{8 + i, 0, 7, i, 9}, {8 + i, 7, 2, 8, 2 * i}} })),
	10: low(10, 8, 5, 5, []move{{5, 0, 6, 0, 10}, {5, 6, 4, 3, 10}, {6, 0, 6, 1, 10}, {6, 6, 4, 4, 10}, {7, 0, 6, 2, 10}, {7, 6, 2, 4, 14}, {7, 8, 2, 3, 14}}),
	11: low(11, 16, 11, 8, spread(8, func(i int) []move { return []move{{8 + i, 0, 5, i, 11}} }),
		spread(3, func(i int) []move { return []move{{8 + i, 5, 6, 8 + i, 0}, {11 + i, 5, 6, 8 + i, 6}} }),
		[]move{{14, 5, 4, 8, 12}, {14, 9, 2, 10, 12}, {15, 5, 4, 9, 12}, {15, 9, 2, 10, 14}}),
	12: low(12, 4, 3, 3, []move{{3, 8, 4, 0, 12}, {3, 4, 4, 1, 12}, {3, 0, 4, 2, 12}}),
	13: low(13, 16, 13, 13, spread(3, func(i int) []move {
		return []move{{13 + i, 0, 3, i, 13}, {13 + i, 3, 3, 3 + i, 13}, {13 + i, 6, 3, 6 + i, 13}, {13 + i, 9, 3, 9 + i, 13}, {13 + i, 12, 1, 12, 13 + i}}
	})),
	14: low(14, 8, 7, 7, spread(7, func(j int) []move { return []move{{7, 12 - 2*j, 2, j, 14}} })),
	15: low(15, 16, 15, 15, spread(15, func(j int) []move { return []move{{15, 14 - j, 1, j, 15}} })),
}

func rows(codes, words, size int, moves ...[]move) block {
	b := block{codes: codes, words: words, size: size}
	for _, m := range moves {
		b.moves = append(b.moves, m...)
	}
	return b
}

// low is a block whose first whole codes lie in the low bits of the word of their own number.
func low(bits, codes, words, whole int, rest ...[]move) block {
	size := 1
	if bits > 8 {
		size = 2
	}
	first := spread(whole, func(i int) []move { return []move{{i, 0, bits, i, 0}} })
	b := rows(codes, words, size, append([][]move{first}, rest...)...)
	b.whole = whole
	return b
}

// spread joins the moves of i = 0..n-1.
func spread(n int, f func(i int) []move) []move {
	var list []move
	for i := range n {
		list = append(list, f(i)...)
	}
	return list
}

// read reads one block's codes from its words.
func (b *block) read(codes *[16]uint16, src []byte, mask uint16) {
	var words [16]uint16
	if b.size == 2 {
		for i := range b.words {
			words[i&15] = binary.LittleEndian.Uint16(src[2*i:])
		}
	} else {
		for i := range b.words {
			words[i&15] = uint16(src[i*b.size])
		}
	}
	for i, w := range words[:b.whole] {
		codes[i] = w & mask
	}
	clear(codes[b.whole:])
	for i := range b.moves[b.whole:] {
		m := &b.moves[b.whole+i]
		codes[m.code&15] |= words[m.word&15] >> (m.at & 15) & (1<<(m.width&15) - 1) << (m.bit & 15)
	}
}

// write writes one block's codes as words.
func (b *block) write(dst []byte, codes []uint16) {
	var words [16]uint16
	copy(words[:], codes[:b.whole])
	for i := range b.moves[b.whole:] {
		m := &b.moves[b.whole+i]
		words[m.word&15] |= codes[m.code] >> (m.bit & 15) & (1<<(m.width&15) - 1) << (m.at & 15)
	}
	for i, w := range words[:b.words] {
		binary.LittleEndian.PutUint16(dst[2*i:], w)
	}
}

// unpack reads the values of len(dst) codes of the given width from number first on: those in the table or, without one,
// integers from low on.
func unpack(dst []float32, src []byte, bits, first int, table []float32, low int32) {
	b := &blocks[bits]
	var codes [16]uint16
	skip, step := first%b.codes, b.words*b.size
	for src = src[first/b.codes*step:]; len(dst) > 0; src = src[step:] {
		b.read(&codes, src, 1<<bits-1)
		n := min(len(dst), b.codes-skip)
		part := codes[skip:][:n]
		if table != nil {
			for i, c := range part {
				dst[i] = table[c]
			}
		} else {
			for i, c := range part {
				dst[i] = float32(int32(c) + low)
			}
		}
		dst, skip = dst[n:], 0
	}
}

// packWords writes codes of 9 to 15 bits, each with the bits of flip turned; their number must be a multiple of the block's.
func packWords(dst []byte, codes []uint16, width int, flip uint16) {
	b := &blocks[width]
	step, mask := b.words*b.size, uint16(1)<<width-1
	var block [16]uint16
	for ; len(codes) > 0; codes, dst = codes[b.codes:], dst[step:] {
		for i, c := range codes[:b.codes] {
			block[i] = c&mask ^ flip
		}
		b.write(dst, block[:])
	}
}

// field is the bits of eight codes, a byte each, that move the same way on packing.
type field struct {
	mask  uint64
	shift int // to the left, around
}

// fields has the moves of eight codes of up to seven bits to the words that hold them, seen as one number.
var fields = func() (list [8][]field) {
	for width := 1; width < len(list); width++ {
		b := &blocks[width]
		for i := range 8 / b.codes {
			for _, m := range b.moves {
				from, to := (i*b.codes+m.code)*8+m.bit, i*b.words*8+m.word*8+m.at
				at := slices.IndexFunc(list[width], func(f field) bool { return f.shift == to-from })
				if at < 0 {
					at = len(list[width])
					list[width] = append(list[width], field{shift: to - from})
				}
				list[width][at].mask |= (1<<m.width - 1) << from
			}
		}
	}
	return list
}()

// packBytes writes codes of up to seven bits, each with the bits of flip turned; their number must be a multiple of the block's.
func packBytes(dst []byte, codes []uint8, width int, flip uint8) {
	const every = 0x0101010101010101
	b, moves := &blocks[width], fields[width]
	mask, turn, size := every*(uint64(1)<<width-1), every*uint64(flip), 8/b.codes*b.words*b.size
	eight := func(codes []byte) (out uint64) {
		in := binary.LittleEndian.Uint64(codes)&mask ^ turn
		for _, f := range moves {
			out |= bits.RotateLeft64(in&f.mask, f.shift)
		}
		return out
	}
	for ; len(codes) >= 8 && len(dst) >= 8; codes, dst = codes[8:], dst[size:] {
		binary.LittleEndian.PutUint64(dst, eight(codes))
	}
	for len(codes) > 0 { // blocks of fewer codes may end before
		var from, to [8]byte
		codes = codes[copy(from[:], codes):]
		binary.LittleEndian.PutUint64(to[:], eight(from[:]))
		dst = dst[copy(dst, to[:size]):]
	}
}
