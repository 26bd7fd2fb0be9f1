package workflow

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	maxDepth  = 10000   // of nested JSON, as in encoding/json
	maxInside = 1 << 21 // objects and lists: 1 GB of memory at worst
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
	boxes [1024]any
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
	text = string(data)
	if !utf8.ValidString(text) {
		text = string([]rune(text)) // U+FFFD for each wrong byte
	}
	p := &parser{text: text}
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
			p.stack = append(p.stack, v)
			if c := p.space(); c == ']' {
				break
			} else if c != ',' {
				return nil, p.unexpected("a comma or ]")
			}
			p.at++
		}
	}
	p.at++
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
			v, err := p.value(depth + 1)
			if err != nil {
				return nil, err
			}
			p.keys, p.stack = append(p.keys, key), append(p.stack, v)
			if c := p.space(); c == '}' {
				break
			} else if c != ',' {
				return nil, p.unexpected("a comma or }")
			}
			p.at++
		}
	}
	p.at++
	o := make(map[string]any, len(p.stack)-mark)
	for i, key := range p.keys[keys:] {
		o[key] = p.stack[mark+i]
	}
	p.stack, p.keys = p.stack[:mark], p.keys[:keys]
	return o, nil
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
func (p *parser) escaped(start int) (s string, err error) {
	for ; p.at < len(p.text) && p.text[p.at] != '"'; p.at++ {
		if p.text[p.at] == '\\' {
			p.at++
		}
	}
	if p.at >= len(p.text) {
		return "", p.unexpected(`a closing "`)
	}
	p.at++
	if err := json.Unmarshal([]byte(p.text[start:p.at]), &s); err != nil {
		return "", fmt.Errorf("text at byte %d: %w", start, err)
	}
	return s, nil
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
