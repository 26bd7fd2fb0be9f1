package text

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// words splits text as CLIP's tokenizer does before the byte pairs: control characters dropped, ideographs apart, NFC,
// lower case, then runs of letters, single digits, runs of punctuation and English contractions (numerics.md 6.4).
// The specials are words too, in any case.
func words(text string, specials ...string) []string {
	return split(norm.NFC.String(clean(text)), Lower, append(specials, "'ſ")) // the pattern's 's, to which case does not matter
}

// words5 is words as transformers 5 has it: nothing is dropped, ideographs do not stand apart, a final sigma is like
// any other, and what is a special only in lower case ends a word before and behind it but is spelt out.
func words5(text string, specials ...string) (list []string) {
	lower := func(s string) string { return strings.ToLower(strings.ReplaceAll(s, "İ", "i̇")) }
	for _, word := range split(norm.NFC.String(strings.ToValidUTF8(text, "\uFFFD")), lower, specials) {
		if slices.Contains(specials, word) {
			list = append(list, split(word, lower, nil)...)
			continue
		}
		list = append(list, word)
	}
	return list
}

func split(text string, lower func(string) string, specials []string) (list []string) {
	for _, field := range strings.Fields(text) {
		for field = lower(field); field != ""; {
			n := wordLen(field, specials)
			list = append(list, field[:n])
			field = field[n:]
		}
	}
	return list
}

// clean drops NUL, U+FFFD (so invalid UTF-8 too) and every character of category C, makes all white space a space and
// puts spaces around ideographs.
func clean(text string) string {
	var b strings.Builder
	b.Grow(len(text))
	for _, r := range text {
		switch {
		case unicode.IsSpace(r) && (r >= ' ' || r == '\t' || r == '\n' || r == '\r') && r != 0x85:
			b.WriteByte(' ')
		case r == utf8.RuneError || !unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S):
		case ideograph(r):
			b.WriteByte(' ')
			b.WriteRune(r)
			b.WriteByte(' ')
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// ideograph tells the blocks that BERT's tokenizer calls Chinese: no kana, no hangul.
func ideograph(r rune) bool {
	return r >= 0x4E00 && r <= 0x9FFF || r >= 0x3400 && r <= 0x4DBF || r >= 0x20000 && r <= 0x2A6DF ||
		r >= 0x2A700 && r <= 0x2B73F || r >= 0x2B740 && r <= 0x2B81F || r >= 0x2B820 && r <= 0x2CEAF ||
		r >= 0xF900 && r <= 0xFAFF || r >= 0x2F800 && r <= 0x2FA1F
}

// wordLen is the number of bytes of the first word of s, which holds no space and is not empty. It follows the regular
// expression <special>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+ over lower case.
func wordLen(s string, specials []string) int {
	for _, special := range specials {
		if len(s) >= len(special) && strings.EqualFold(s[:len(special)], special) {
			return len(special)
		}
	}
	for _, c := range []string{"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"} {
		if strings.HasPrefix(s, c) {
			return len(c)
		}
	}
	r, n := utf8.DecodeRuneInString(s)
	same := func(r rune) bool { return !unicode.IsLetter(r) && !unicode.In(r, unicode.N) }
	switch {
	case unicode.In(r, unicode.N):
		return n
	case unicode.IsLetter(r):
		same = unicode.IsLetter
	}
	for n < len(s) {
		r, size := utf8.DecodeRuneInString(s[n:])
		if !same(r) {
			break
		}
		n += size
	}
	return n
}
