package text

import (
	"math"
	"strconv"
	"strings"
	"unicode"
)

// Segment is a piece of a prompt with its weight.
type Segment struct {
	Text   string
	Weight float64 // 1 is plain
}

// maxNesting is how deep parentheses weigh; 1.1 to this power is 4e10. Deeper ones are plain text.
const maxNesting = 256

// Escaped parentheses wait as these while the prompt is parsed.
var (
	hideEscapes = strings.NewReplacer(`\)`, "\x00\x01", `\(`, "\x00\x02")
	showEscapes = strings.NewReplacer("\x00\x01", ")", "\x00\x02", "(")
)

// ParseWeights reads ComfyUI's weight syntax (numerics.md 6.1): "(a)" multiplies the weight by 1.1, "(a:1.3)" sets it to
// 1.3, "\(" and "\)" are plain parentheses. Every string is a prompt; nothing is an error.
func ParseWeights(prompt string) []Segment {
	segments := parse(nil, hideEscapes.Replace(prompt), 1, 0)
	for i := range segments {
		segments[i].Text = showEscapes.Replace(segments[i].Text)
	}
	return segments
}

func parse(list []Segment, text string, weight float64, depth int) []Segment {
	for text != "" {
		n := runLen(text)
		run := text[:n]
		text = text[n:]
		if len(run) < 2 || run[0] != '(' || run[n-1] != ')' || depth == maxNesting {
			list = append(list, Segment{run, weight})
			continue
		}
		inner, w := run[1:n-1], weight*1.1
		if colon := strings.LastIndexByte(inner, ':'); colon > 0 {
			if number, ok := pyFloat(inner[colon+1:]); ok {
				inner, w = inner[:colon], number
			}
		}
		list = parse(list, inner, w, depth+1)
	}
	return list
}

// runLen is the length of the first run of text: a group in parentheses, or what stands before the next one. The
// nesting may fall below 0; then only a return to 0 by a closing parenthesis ends the run, or an opening one at 0.
func runLen(text string) int {
	nesting := 0
	for i := range len(text) {
		switch text[i] {
		case '(':
			if nesting == 0 && i > 0 {
				return i
			}
			nesting++
		case ')':
			nesting--
			if nesting == 0 {
				return i + 1
			}
		}
	}
	return len(text)
}

// pyFloat reads a number as Python's float() does: white space around, underscores between digits, Unicode digits, inf
// and nan in any case; no hexadecimal. Numbers beyond the range are infinite.
func pyFloat(s string) (float64, bool) {
	s = strings.ToLower(strings.Map(asciiDigit, strings.TrimFunc(s, pySpace)))
	digits := strings.TrimLeft(s, "+-")
	if len(s)-len(digits) > 1 {
		return 0, false
	}
	if digits == "inf" || digits == "infinity" {
		return math.Inf(map[bool]int{true: -1, false: 1}[s[0] == '-']), true
	}
	if digits == "nan" {
		return math.NaN(), true
	}
	for i := range len(s) {
		if !strings.ContainsRune("0123456789.e+-_", rune(s[i])) || s[i] == '_' && !(isDigit(s, i-1) && isDigit(s, i+1)) {
			return 0, false
		}
	}
	number, err := strconv.ParseFloat(strings.ReplaceAll(s, "_", ""), 64)
	return number, err == nil || math.IsInf(number, 0)
}

func isDigit(s string, i int) bool { return i >= 0 && i < len(s) && s[i] >= '0' && s[i] <= '9' }

// pySpace is white space to Python, which counts the separators U+001C to U+001F.
func pySpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1C && r <= 0x1F }

// asciiDigit maps a decimal digit of any script to ASCII: Unicode's digits lie in runs of ten, 0 first.
func asciiDigit(r rune) rune {
	if r < 0x80 || !unicode.Is(unicode.Nd, r) {
		return r
	}
	first := r
	for unicode.Is(unicode.Nd, first-1) {
		first--
	}
	return '0' + (r-first)%10
}
