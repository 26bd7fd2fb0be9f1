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

// parser reads JSON into the tree that encoding/json makes with UseNumber, several times as fast: texts and numbers are
// parts of the source. NaN, Infinity and -Infinity, which Python writes, are null.
type parser struct {
	text  string
	at    int
	stack []any    // members of what is being read
	keys  []string // of objects
	fixes [][2]int // where null stands for something else
	lists int      // objects and lists so far
	dry   bool     // only check the form: no tree is made
	top   []topKey // when dry
	boxes [1024]any
}

// topKey is a member of the whole text, where that is an object.
type topKey struct {
	key   string
	begin byte // of its value
	empty bool // it is a list or object of nothing
	class bool // it is an object with a class_type
}

// box makes s an interface value. Short ones, which repeat, share it: that is half of all allocations.
func box[T ~string](p *parser, s T) any {
	if len(s) == 0 || len(s) > 24 {
		return s
	}
	h := uint32(len(s))
	for i := range len(s) {
		h = h*31 + uint32(s[i])
	}
	at := &p.boxes[h%uint32(len(p.boxes))]
	if old, ok := (*at).(T); !ok || old != s {
		*at = s
	}
	return *at
}

// parseJSON reads one JSON value. text is the source as JSON has it, with every NaN replaced.
func parseJSON(data []byte) (tree any, text string, err error) {
	p := &parser{text: string(data)}
	return p.parse()
}

// checkJSON is parseJSON without the tree: it tells what the text is an object of.
func checkJSON(data string) (top []topKey, text string, err error) {
	p := &parser{text: data, dry: true}
	_, text, err = p.parse()
	return p.top, text, err
}

func (p *parser) parse() (tree any, text string, err error) {
	text = p.text
	if !utf8.ValidString(text) {
		text = string([]rune(text)) // U+FFFD for each wrong byte
		p.text = text
	}
	if tree, err = p.value(0); err != nil {
		return nil, "", err
	}
	if p.space(); p.at < len(text) {
		return nil, "", fmt.Errorf("more text after the JSON value, at byte %d", p.at)
	}
	if len(p.fixes) > 0 {
		var b strings.Builder
		end := 0
		for _, f := range p.fixes {
			b.WriteString(text[end:f[0]])
			b.WriteString("null")
			end = f[1]
		}
		text = b.String() + text[end:]
	}
	return tree, text, nil
}

// space skips white space and returns the byte that follows, 0 at the end.
func (p *parser) space() byte {
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

func (p *parser) unexpected(need string) error {
	if p.at >= len(p.text) {
		return fmt.Errorf("unexpected end of JSON: need %s", need)
	}
	c, _ := utf8.DecodeRuneInString(p.text[p.at:])
	return fmt.Errorf("invalid character %q at byte %d: need %s", c, p.at, need)
}

func (p *parser) value(depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("exceeded max depth of %d at byte %d", maxDepth, p.at)
	}
	c := p.space()
	if c == '{' || c == '[' {
		if p.lists++; p.lists > maxInside {
			return nil, fmt.Errorf("more than %d objects and lists", maxInside)
		}
	}
	switch {
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.array(depth)
	case c == '"':
		s, err := p.string()
		if p.dry {
			return nil, err
		}
		return box(p, s), err
	case c >= '0' && c <= '9':
		return p.number()
	}
	for _, word := range []struct {
		text  string
		value any
		fix   bool
	}{{"true", true, false}, {"false", false, false}, {"null", nil, false}, {"NaN", nil, true}, {"Infinity", nil, true}, {"-Infinity", nil, true}} {
		if strings.HasPrefix(p.text[p.at:], word.text) {
			if word.fix {
				p.fixes = append(p.fixes, [2]int{p.at, p.at + len(word.text)})
			}
			p.at += len(word.text)
			return word.value, nil
		}
	}
	return p.number()
}

func (p *parser) array(depth int) (any, error) {
	p.at++
	mark := len(p.stack)
	if p.space() != ']' {
		for {
			v, err := p.value(depth + 1)
			if err != nil {
				return nil, err
			}
			if !p.dry {
				p.stack = append(p.stack, v)
			}
			if c := p.space(); c == ']' {
				break
			} else if c != ',' {
				return nil, p.unexpected("a comma or ]")
			}
			p.at++
		}
	}
	p.at++
	if p.dry {
		return nil, nil
	}
	list := append(make([]any, 0, len(p.stack)-mark), p.stack[mark:]...)
	p.stack = p.stack[:mark]
	return list, nil
}

func (p *parser) object(depth int) (any, error) {
	p.at++
	mark, keys := len(p.stack), len(p.keys)
	if p.space() != '}' {
		for {
			if p.space() != '"' {
				return nil, p.unexpected("a key in quotes")
			}
			key, err := p.string()
			if err != nil {
				return nil, err
			}
			if p.space() != ':' {
				return nil, p.unexpected("a colon")
			}
			p.at++
			if p.dry && depth <= 1 {
				p.note(key, depth)
			}
			v, err := p.value(depth + 1)
			if err != nil {
				return nil, err
			}
			if !p.dry {
				p.keys, p.stack = append(p.keys, key), append(p.stack, v)
			}
			if c := p.space(); c == '}' {
				break
			} else if c != ',' {
				return nil, p.unexpected("a comma or }")
			}
			p.at++
		}
	}
	p.at++
	if p.dry {
		return nil, nil
	}
	o := make(map[string]any, len(p.stack)-mark)
	for i, key := range p.keys[keys:] {
		o[key] = p.stack[mark+i]
	}
	p.stack, p.keys = p.stack[:mark], p.keys[:keys]
	return o, nil
}

// note takes down what the text is an object of; a value comes next.
func (p *parser) note(key string, depth int) {
	c := p.space()
	if depth == 0 {
		rest := strings.TrimLeft(p.text[min(p.at+1, len(p.text)):], " \t\r\n")
		p.top = append(p.top, topKey{key: key, begin: c, empty: rest != "" && (rest[0] == ']' || rest[0] == '}')})
	} else if n := len(p.top); n > 0 && key == "class_type" {
		p.top[n-1].class = p.top[n-1].begin == '{'
	}
}

// string reads a text in quotes.
func (p *parser) string() (string, error) {
	start := p.at
	for p.at++; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; {
		case c == '"':
			p.at++
			return p.text[start+1 : p.at-1], nil
		case c == '\\':
			return p.escaped(start)
		case c < ' ':
			return "", p.unexpected("an escape for control characters")
		}
	}
	return "", p.unexpected(`a closing "`)
}

// escaped reads a text that has escapes.
func (p *parser) escaped(start int) (string, error) {
	for ; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; {
		case c == '"':
			p.at++
			if p.dry && p.at-start > 100 { // no key that anyone looks for
				return "", nil
			}
			return unescape(p.text[start+1 : p.at-1]), nil
		case c < ' ':
			return "", p.unexpected("an escape for control characters")
		case c == '\\':
			p.at++
			if p.peek() == 'u' {
				digits := p.text[min(p.at+1, len(p.text)):min(p.at+5, len(p.text))]
				if len(digits) < 4 || strings.Trim(digits, "0123456789abcdefABCDEF") != "" {
					return "", p.unexpected("four digits after \\u")
				}
				p.at += 4
			} else if strings.IndexByte(escapes, p.peek()) < 0 {
				return "", p.unexpected("an escape")
			}
		}
	}
	return "", p.unexpected(`a closing "`)
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

// number reads a number, which keeps its spelling.
func (p *parser) number() (any, error) {
	start := p.at
	if p.peek() == '-' {
		p.at++
	}
	if p.peek() == '0' {
		p.at++
	} else if p.digits() == 0 {
		return nil, p.unexpected("a value")
	}
	if p.peek() == '.' {
		if p.at++; p.digits() == 0 {
			return nil, p.unexpected("a digit")
		}
	}
	if c := p.peek(); c == 'e' || c == 'E' {
		p.at++
		if c := p.peek(); c == '+' || c == '-' {
			p.at++
		}
		if p.digits() == 0 {
			return nil, p.unexpected("a digit")
		}
	}
	if p.dry {
		return nil, nil
	}
	return box(p, json.Number(p.text[start:p.at])), nil
}

func (p *parser) peek() byte {
	if p.at < len(p.text) {
		return p.text[p.at]
	}
	return 0
}

func (p *parser) digits() (n int) {
	for ; p.peek() >= '0' && p.peek() <= '9'; n++ {
		p.at++
	}
	return n
}

// rewrite writes a tree that was read from text and has been changed since: what did not change keeps its spelling and
// its place; keys that the text does not have come last.
func rewrite(text string, tree any) []byte {
	var b bytes.Buffer
	w := rewriter{parser{text: text}, &b}
	w.value(tree)
	return b.Bytes()
}

// rewriter walks the text, which is known to be JSON, and the tree side by side.
type rewriter struct {
	parser
	out *bytes.Buffer
}

func (w *rewriter) value(v any) {
	start := w.space()
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
	old, _ := w.parser.value(0)
	if reflect.DeepEqual(old, v) {
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
	for i := 0; w.space() != ']'; i++ {
		if i < len(list) {
			comma()
			w.value(list[i])
		} else {
			w.parser.value(0)
		}
		if w.space() == ',' {
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
	for w.space() != '}' {
		from := w.at
		key, _ := w.string()
		name := w.text[from:w.at]
		w.space()
		w.at++
		if v, ok := o[key]; ok && !seen[key] {
			comma()
			w.out.WriteString(name)
			w.out.WriteByte(':')
			w.value(v)
			seen[key] = true
		} else {
			w.parser.value(0)
		}
		if w.space() == ',' {
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
