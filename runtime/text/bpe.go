package text

import (
	"container/heap"
	"strings"
)

// CLIPTokenizer is CLIP's byte-pair tokenizer, equal to transformers 4.57's CLIPTokenizer without ftfy (numerics.md
// 6.4). It is safe for use by several goroutines.
type CLIPTokenizer struct {
	merges          map[[2]int32]merge
	inner, last     [256]int32 // the symbol of a byte inside a word, and of a word's last byte; -1: not in the vocabulary
	start, end, pad special
	size            int
	words           func(text string, specials ...string) []string

	embeddings Embeddings
	key        string
}

// merge says that a pair of symbols becomes the symbol into; lower ranks go first, from 1 on.
type merge struct{ rank, into int32 }

type special struct {
	text string
	id   int
}

var _ Tokenizer = (*CLIPTokenizer)(nil)

// endOfWord marks the last symbol of a word in the vocabulary.
const endOfWord = "</w>"

// Start is the id that opens every chunk, 49406 in CLIP.
func (t *CLIPTokenizer) Start() int { return t.start.id }

// End is the id that closes every chunk and stands for anything unknown, 49407 in CLIP.
func (t *CLIPTokenizer) End() int { return t.end.id }

// Pad is the id that the tokenizer's files fill chunks with: 49407 with CLIP-L, 0 with CLIP-G and CLIP-H.
func (t *CLIPTokenizer) Pad() int { return t.pad.id }

// Size is one more than the largest id that the tokenizer can give: a text encoder needs at least as many embeddings.
func (t *CLIPTokenizer) Size() int { return t.size }

// Encode implements Tokenizer. The texts of the start and end tokens become their ids wherever they stand.
func (t *CLIPTokenizer) Encode(text string) []int {
	var ids []int
	for i, part := range strings.Split(text, t.start.text) {
		if i > 0 {
			ids = append(ids, t.start.id)
		}
		for j, part := range strings.Split(part, t.end.text) {
			if j > 0 {
				ids = append(ids, t.end.id)
			}
			for _, word := range t.words(part, t.start.text, t.end.text) {
				ids = t.encodeWord(ids, word)
			}
		}
	}
	return ids
}

// Transformers5 returns the tokenizer with the ways of transformers 5 (and of Hugging Face's tokenizers library), which
// treat control characters and ideographs differently. ComfyUI's pictures were made with either; 4.57 is the default.
func (t *CLIPTokenizer) Transformers5() *CLIPTokenizer {
	clone := *t
	clone.words = words5
	return &clone
}

// encodeWord appends the symbols of a word after all merges.
func (t *CLIPTokenizer) encodeWord(ids []int, word string) []int {
	for _, s := range []special{t.start, t.end} {
		if word == s.text {
			return append(ids, s.id)
		}
	}
	for _, symbol := range t.mergeAll(t.symbols(word)) {
		switch {
		case symbol >= 0:
			ids = append(ids, int(symbol))
		case symbol == unknown:
			ids = append(ids, t.end.id)
		}
	}
	return ids
}

const (
	unknown = -1 // a byte that the vocabulary does not have
	gone    = -2 // swallowed by the symbol to its left
)

func (t *CLIPTokenizer) symbols(word string) []int32 {
	list := make([]int32, len(word))
	for i := range list {
		list[i] = t.inner[word[i]]
	}
	list[len(list)-1] = t.last[word[len(word)-1]]
	return list
}

// mergeAll merges the pair of the lowest rank, everywhere from left to right, until no pair has a rank. A heap of
// candidates keeps it at n log n: a prompt may be one word of a megabyte. Symbols that were swallowed become gone.
func (t *CLIPTokenizer) mergeAll(symbols []int32) []int32 {
	left, right := make([]int32, len(symbols)), make([]int32, len(symbols))
	for i := range symbols {
		left[i], right[i] = int32(i-1), int32(i+1)
	}
	var queue candidates
	offer := func(i int32) {
		if i < 0 || int(right[i]) >= len(symbols) {
			return
		}
		if m, ok := t.merges[[2]int32{symbols[i], symbols[right[i]]}]; ok {
			heap.Push(&queue, candidate{m, i})
		}
	}
	for i := range symbols {
		offer(int32(i))
	}
	var merged []int32
	for len(queue) > 0 {
		// All places of this pair go before any pair that they give rise to.
		now := queue[0].merge
		merged = merged[:0]
		for len(queue) > 0 && queue[0].rank == now.rank {
			i := heap.Pop(&queue).(candidate).at
			r := right[i]
			if symbols[i] < 0 || int(r) >= len(symbols) || t.merges[[2]int32{symbols[i], symbols[r]}] != now {
				continue // a neighbour was taken meanwhile
			}
			symbols[i], symbols[r] = now.into, gone
			if right[i] = right[r]; int(right[i]) < len(symbols) {
				left[right[i]] = i
			}
			merged = append(merged, i)
		}
		for _, i := range merged {
			offer(left[i])
			offer(i)
		}
	}
	return symbols
}

// candidate is a merge that is possible at a place of the word.
type candidate struct {
	merge
	at int32
}

type candidates []candidate

func (c candidates) Len() int { return len(c) }
func (c candidates) Less(i, j int) bool {
	return c[i].rank < c[j].rank || c[i].rank == c[j].rank && c[i].at < c[j].at
}
func (c candidates) Swap(i, j int) { c[i], c[j] = c[j], c[i] }
func (c *candidates) Push(x any)   { *c = append(*c, x.(candidate)) }
func (c *candidates) Pop() any {
	last := (*c)[len(*c)-1]
	*c = (*c)[:len(*c)-1]
	return last
}

// alphabet is GPT-2's way to write any byte as a printable character, in the order of the vocabulary: the printable
// bytes of Latin-1 stand for themselves, the others follow from U+0100 on.
func alphabet() (order [256]byte, char [256]string) {
	n, next := 0, rune(256)
	for _, printable := range []bool{true, false} {
		for b := range 256 {
			if p := b > ' ' && b <= '~' || b > 0xA0 && b != 0xAD; p != printable {
				continue
			}
			order[n] = byte(b)
			n++
			char[b] = string(rune(b))
			if !printable {
				char[b] = string(next)
				next++
			}
		}
	}
	return order, char
}
