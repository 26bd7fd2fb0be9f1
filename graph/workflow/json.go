package workflow

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	maxDepth  = 10000   // of nested JSON, as in encoding/json
	maxInside = 1 << 22 // objects and lists: 2 GB of memory at worst; a million linked nodes have three million
)

// checker checks that a text is JSON, which a walker then reads. NaN, Infinity and -Infinity, which Python writes, count as
// null.
type checker struct {
	text  string
	at    int
	fixes [][2]int // where null stands for something else
	lists int      // objects and lists so far
	top   []topKey
}

// topKey is a member of the whole text, where that is an object.
type topKey struct {
	key   string
	begin byte // of its value
	empty bool // it is a list or object of nothing
	class bool // it is an object with a class_type
}

// checkJSON checks one JSON value and tells what it is an object of. text is the source as JSON has it, with every NaN
// replaced.
func checkJSON(data string) (top []topKey, text string, err error) {
	if !utf8.ValidString(data) {
		data = string([]rune(data)) // U+FFFD for each wrong byte
	}
	p := &checker{text: data}
	if err := p.value(0); err != nil {
		return nil, "", err
	}
	if p.space(); p.at < len(data) {
		return nil, "", fmt.Errorf("more text after the JSON value, at byte %d", p.at)
	}
	if len(p.fixes) == 0 {
		return p.top, data, nil
	}
	var b strings.Builder
	end := 0
	for _, f := range p.fixes {
		b.WriteString(data[end:f[0]])
		b.WriteString("null")
		end = f[1]
	}
	return p.top, b.String() + data[end:], nil
}

// space skips white space and returns the byte that follows, 0 at the end.
func (p *checker) space() byte {
	for p.at < len(p.text) {
		switch c := p.text[p.at]; c {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return c
		}
	}
	return 0
}

func (p *checker) unexpected(need string) error {
	if p.at >= len(p.text) {
		return fmt.Errorf("unexpected end of JSON: need %s", need)
	}
	c, _ := utf8.DecodeRuneInString(p.text[p.at:])
	return fmt.Errorf("invalid character %q at byte %d: need %s", c, p.at, need)
}

func (p *checker) value(depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("exceeded max depth of %d at byte %d", maxDepth, p.at)
	}
	c := p.space()
	if c == '{' || c == '[' {
		if p.lists++; p.lists > maxInside {
			return fmt.Errorf("more than %d objects and lists", maxInside)
		}
	}
	switch {
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.array(depth)
	case c == '"':
		_, err := p.string()
		return err
	case c >= '0' && c <= '9':
		return p.number()
	}
	for _, word := range []struct {
		text string
		fix  bool
	}{{"true", false}, {"false", false}, {"null", false}, {"NaN", true}, {"Infinity", true}, {"-Infinity", true}} {
		if strings.HasPrefix(p.text[p.at:], word.text) {
			if word.fix {
				p.fixes = append(p.fixes, [2]int{p.at, p.at + len(word.text)})
			}
			p.at += len(word.text)
			return nil
		}
	}
	return p.number()
}

func (p *checker) array(depth int) error {
	p.at++
	if p.space() == ']' {
		p.at++
		return nil
	}
	for {
		if err := p.value(depth + 1); err != nil {
			return err
		}
		switch p.space() {
		case ']':
			p.at++
			return nil
		case ',':
			p.at++
		default:
			return p.unexpected("a comma or ]")
		}
	}
}

func (p *checker) object(depth int) error {
	p.at++
	if p.space() == '}' {
		p.at++
		return nil
	}
	for {
		if p.space() != '"' {
			return p.unexpected("a key in quotes")
		}
		key, err := p.string()
		if err != nil {
			return err
		}
		if p.space() != ':' {
			return p.unexpected("a colon")
		}
		p.at++
		if depth <= 1 {
			p.note(key, depth)
		}
		if err := p.value(depth + 1); err != nil {
			return err
		}
		switch p.space() {
		case '}':
			p.at++
			return nil
		case ',':
			p.at++
		default:
			return p.unexpected("a comma or }")
		}
	}
}

// note takes down what the text is an object of; a value comes next.
func (p *checker) note(key string, depth int) {
	if strings.Contains(key, `\\`) {
		key = unescape(key)
	}
	c := p.space()
	if depth == 0 {
		rest := strings.TrimLeft(p.text[min(p.at+1, len(p.text)):], " \t\r\n")
		p.top = append(p.top, topKey{key: key, begin: c, empty: rest != "" && (rest[0] == ']' || rest[0] == '}')})
	} else if n := len(p.top); n > 0 && key == "class_type" {
		p.top[n-1].class = p.top[n-1].begin == '{'
	}
}

// string passes over a text in quotes, which it returns with its escapes.
func (p *checker) string() (string, error) {
	start := p.at + 1
	for p.at++; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; {
		case c == '"':
			p.at++
			return p.text[start : p.at-1], nil
		case c == '\\':
			if err := p.escape(); err != nil {
				return "", err
			}
		case c < ' ':
			return "", p.unexpected("an escape for control characters")
		}
	}
	return "", p.unexpected(`a closing "`)
}

// escape passes over an escape but for its last byte.
func (p *checker) escape() error {
	p.at++
	if p.peek() == 'u' {
		digits := p.text[min(p.at+1, len(p.text)):min(p.at+5, len(p.text))]
		if len(digits) < 4 || strings.Trim(digits, "0123456789abcdefABCDEF") != "" {
			return p.unexpected("four digits after \\u")
		}
		p.at += 4
	} else if strings.IndexByte(escapes, p.peek()) < 0 {
		return p.unexpected("an escape")
	}
	return nil
}

// escapes are what may follow a backslash, besides u; meant is what each stands for.
const escapes, meant = `"\/bfnrt`, "\"\\/\b\f\n\r\t"

// unescape is the text of a string whose escapes are known to be right.
func unescape(s string) string {
	b := make([]byte, 0, len(s))
	for {
		i := strings.IndexByte(s, '\\')
		if i < 0 {
			return string(append(b, s...))
		}
		b = append(b, s[:i]...)
		c := s[i+1]
		s = s[i+2:]
		if c != 'u' {
			b = append(b, meant[strings.IndexByte(escapes, c)])
			continue
		}
		r := hex(s)
		s = s[4:]
		if utf16.IsSurrogate(r) {
			if both := utf16.DecodeRune(r, hex(strings.TrimPrefix(s, `\u`))); strings.HasPrefix(s, `\u`) && both != utf8.RuneError {
				r, s = both, s[6:]
			} else {
				r = utf8.RuneError
			}
		}
		b = utf8.AppendRune(b, r)
	}
}

// hex reads four digits; 0 where there are none.
func hex(s string) rune {
	u, _ := strconv.ParseUint(s[:min(4, len(s))], 16, 16)
	return rune(u)
}

func (p *checker) number() error {
	if p.peek() == '-' {
		p.at++
	}
	if p.peek() == '0' {
		p.at++
	} else if p.digits() == 0 {
		return p.unexpected("a value")
	}
	if p.peek() == '.' {
		if p.at++; p.digits() == 0 {
			return p.unexpected("a digit")
		}
	}
	if c := p.peek(); c == 'e' || c == 'E' {
		p.at++
		if c := p.peek(); c == '+' || c == '-' {
			p.at++
		}
		if p.digits() == 0 {
			return p.unexpected("a digit")
		}
	}
	return nil
}

func (p *checker) peek() byte {
	if p.at < len(p.text) {
		return p.text[p.at]
	}
	return 0
}

func (p *checker) digits() (n int) {
	for ; p.peek() >= '0' && p.peek() <= '9'; n++ {
		p.at++
	}
	return n
}

// rewrite writes a tree that was read from text and has been changed since: what did not change keeps its spelling and
// its place; keys that the text does not have come last.
func rewrite(text string, tree any) []byte {
	var b bytes.Buffer
	w := rewriter{walker{text: text}, &b}
	w.value(tree)
	return b.Bytes()
}

// rewriter walks the text, which is known to be JSON, and the tree side by side.
type rewriter struct {
	walker
	out *bytes.Buffer
}

func (w *rewriter) value(v any) {
	start := w.next()
	switch x := v.(type) {
	case map[string]any:
		if start == '{' {
			w.object(x)
			return
		}
	case []any:
		if start == '[' {
			w.array(x)
			return
		}
	}
	at := w.at
	if reflect.DeepEqual(w.walker.value(), v) {
		w.out.WriteString(w.text[at:w.at])
	} else {
		w.fresh(v)
	}
}

// fresh writes a value that the text does not have.
func (w *rewriter) fresh(v any) {
	e := json.NewEncoder(w.out)
	e.SetEscapeHTML(false)
	if e.Encode(v) != nil { // a float that JSON does not have
		w.out.WriteString("null")
		return
	}
	w.out.Truncate(w.out.Len() - 1) // the new line
}

func (w *rewriter) array(list []any) {
	w.at++
	w.out.WriteByte('[')
	n := 0
	comma := func() {
		if n++; n > 1 {
			w.out.WriteByte(',')
		}
	}
	for i := 0; w.next() != ']'; i++ {
		if i < len(list) {
			comma()
			w.value(list[i])
		} else {
			w.skip()
		}
		if w.next() == ',' {
			w.at++
		}
	}
	w.at++
	for n < len(list) {
		v := list[n]
		comma()
		w.fresh(v)
	}
	w.out.WriteByte(']')
}

func (w *rewriter) object(o map[string]any) {
	w.at++
	w.out.WriteByte('{')
	seen := map[string]bool{}
	comma := func() {
		if len(seen) > 0 {
			w.out.WriteByte(',')
		}
	}
	for w.next() != '}' {
		from := w.at
		key := w.string()
		name := w.text[from:w.at]
		w.next()
		w.at++
		if v, ok := o[key]; ok && !seen[key] {
			comma()
			w.out.WriteString(name)
			w.out.WriteByte(':')
			w.value(v)
			seen[key] = true
		} else {
			w.skip()
		}
		if w.next() == ',' {
			w.at++
		}
	}
	w.at++
	for _, key := range slices.Sorted(maps.Keys(o)) {
		if !seen[key] {
			comma()
			w.fresh(key)
			w.out.WriteByte(':')
			w.fresh(o[key])
			seen[key] = true
		}
	}
	w.out.WriteByte('}')
}
