package graph

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"graphrun/graph/jsonscan"
)

// scanner walks JSON that is known to be valid: several times as fast as a decoder, and it does not look at what is not
// asked for. Depth is bounded by jsonscan.Valid.
type scanner struct {
	data  []byte
	at    int
	names map[string]string // keys and classes, which repeat
}

// space returns the byte that the next value begins with.
func (r *scanner) space() byte {
	for r.at < len(r.data) {
		switch c := r.data[r.at]; c {
		case ' ', '\t', '\n', '\r', ',', ':':
			r.at++
		default:
			return c
		}
	}
	return 0
}

// members calls f for every key of the object that comes next, in order and with repetitions; f reads the value.
func (r *scanner) members(f func(key string) error) error {
	if r.space() != '{' {
		return fmt.Errorf("need a JSON object, have %s", short(r.skip()))
	}
	r.at++
	for r.space() != '}' {
		key := r.name()
		r.space()
		if err := f(key); err != nil {
			return err
		}
	}
	r.at++
	return nil
}

// skip passes over a value and returns its text.
func (r *scanner) skip() []byte {
	r.space()
	start, depth := r.at, 0
	for r.at < len(r.data) {
		switch r.data[r.at] {
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth < 0 {
				return r.data[start:r.at] // of a number before it
			}
		case '"':
			r.quoted()
			if depth == 0 {
				return r.data[start:r.at]
			}
			continue
		case ',', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return r.data[start:r.at]
			}
		}
		r.at++
		if depth == 0 && (r.data[r.at-1] == '}' || r.data[r.at-1] == ']') {
			break
		}
	}
	return r.data[start:r.at]
}

// quoted passes over a text and returns it with its quotes; escaped reports that something in it is.
func (r *scanner) quoted() (text []byte, escaped bool) {
	start, end := r.at, 0 // of the text, and of what was looked through for its end
	for at := start + 1; ; {
		if end < at {
			end = at + bytes.IndexByte(r.data[at:], '"')
		}
		escape := bytes.IndexByte(r.data[at:end], '\\')
		if escape < 0 {
			break
		}
		escaped = true
		at += escape + 2
	}
	r.at = end + 1
	return r.data[start:r.at], escaped
}

// text reads a text.
func (r *scanner) text() (s string) {
	text, escaped := r.quoted()
	if !escaped && utf8.Valid(text) {
		return string(text[1 : len(text)-1])
	}
	json.Unmarshal(text, &s) // valid
	return s
}

// mostNames is how many different names are kept: beyond it they are the ids of a large prompt, which do not repeat.
const mostNames = 1000

// name reads a text that others may be equal to.
func (r *scanner) name() (s string) {
	r.space()
	text, escaped := r.quoted()
	if escaped || !utf8.Valid(text) {
		json.Unmarshal(text, &s) // valid
		return s
	}
	text = text[1 : len(text)-1]
	if s, ok := r.names[string(text)]; ok {
		return s
	}
	s = string(text)
	if len(r.names) < mostNames {
		if r.names == nil {
			r.names = map[string]string{}
		}
		r.names[s] = s
	}
	return s
}

// value reads a value as encoding/json does, numbers exactly.
func (r *scanner) value() any {
	switch r.space() {
	case '{':
		o := map[string]any{}
		r.members(func(key string) error { o[key] = r.value(); return nil })
		return o
	case '[':
		r.at++
		list := make([]any, 0, 2)
		for r.space() != ']' {
			list = append(list, r.value())
		}
		r.at++
		return list
	case '"':
		return r.text()
	}
	switch word := r.skip(); string(word) {
	case "true":
		return true
	case "false":
		return false
	case "null":
		return nil
	default:
		return json.Number(word)
	}
}

// EachMember calls f for every key of a JSON object, in order and with repetitions. Values are parts of data.
func EachMember(data []byte, f func(key string, value json.RawMessage) error) error {
	if !jsonscan.Valid(data) || !bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		if err := json.Unmarshal(data, new(json.RawMessage)); err != nil {
			return err
		}
		return fmt.Errorf("need a JSON object, have %s", short(data))
	}
	r := &scanner{data: data}
	return r.members(func(key string) error { return f(key, r.skip()) })
}
