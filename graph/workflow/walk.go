package workflow

import (
	"encoding/json"
)

// walker reads of a text, which is known to be JSON, what it is asked for, and passes over the rest: a workflow is mostly
// places, sizes and colours. It is several times as fast as a tree of everything.
type walker struct {
	text string
	at   int

	slots []slot // of the node that is being read
	list  []any  // of lists that are
	boxes [1024]any
}

// box makes s an interface value. Short ones, which repeat, share it: that is half of all allocations.
func box[T ~string](w *walker, s T) any {
	if len(s) == 0 || len(s) > 24 {
		return s
	}
	h := uint32(len(s))
	for i := range len(s) {
		h = h*31 + uint32(s[i])
	}
	at := &w.boxes[h%uint32(len(w.boxes))]
	if old, ok := (*at).(T); !ok || old != s {
		*at = s
	}
	return *at
}

// treeOf is the tree that encoding/json makes of the text with UseNumber.
func treeOf(text string) any { return (&walker{text: text}).value() }

// next passes white space and returns the byte that follows.
func (w *walker) next() byte {
	for w.at < len(w.text) && w.text[w.at] <= ' ' {
		w.at++
	}
	if w.at == len(w.text) {
		return 0
	}
	return w.text[w.at]
}

// object calls f for every member, with the value next; f reads it. Anything but an object is passed over.
func (w *walker) object(f func(key string)) bool {
	if w.next() != '{' {
		w.skip()
		return false
	}
	for w.at++; w.next() != '}'; {
		key := w.string()
		w.next() // the colon
		w.at++
		f(key)
		if w.next() == ',' {
			w.at++
		}
	}
	w.at++
	return true
}

// array calls f for every element, which f reads. Anything but an array is passed over.
func (w *walker) array(f func(i int)) bool {
	if w.next() != '[' {
		w.skip()
		return false
	}
	w.at++
	for i := 0; w.next() != ']'; i++ {
		f(i)
		if w.next() == ',' {
			w.at++
		}
	}
	w.at++
	return true
}

// skip passes over a value.
func (w *walker) skip() {
	switch w.next() {
	case '"':
		w.skipString()
	case '{', '[':
		depth := 0
		for {
			switch w.text[w.at] {
			case '"':
				w.skipString()
				continue
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					w.at++
					return
				}
			}
			w.at++
		}
	default:
		w.scalar()
	}
}

// skipString passes over a string, whose bytes it returns, and whether one of them is a backslash.
func (w *walker) skipString() (body string, escaped bool) {
	begin := w.at + 1
	for w.at = begin; ; w.at++ {
		switch w.text[w.at] {
		case '"':
			w.at++
			return w.text[begin : w.at-1], escaped
		case '\\':
			escaped = true
			w.at++
		}
	}
}

// string reads a string: a part of the text, where nothing in it is escaped.
func (w *walker) string() string {
	w.next()
	body, escaped := w.skipString()
	if escaped {
		return unescape(body)
	}
	return body
}

// scalar passes over a number, true, false or null.
func (w *walker) scalar() string {
	begin := w.at
	for w.at < len(w.text) {
		switch c := w.text[w.at]; {
		case c == ',' || c == ']' || c == '}' || c <= ' ':
			return w.text[begin:w.at]
		}
		w.at++
	}
	return w.text[begin:w.at]
}

// value reads a value as a tree.
func (w *walker) value() (v any) {
	switch w.next() {
	case '{':
		o := map[string]any{}
		w.object(func(key string) { o[key] = w.value() })
		return o
	case '[':
		mark := len(w.list)
		w.array(func(int) { w.list = append(w.list, w.value()) })
		l := append(make([]any, 0, len(w.list)-mark), w.list[mark:]...)
		w.list = w.list[:mark]
		return l
	case '"':
		return box(w, w.string())
	}
	switch s := w.scalar(); s {
	case "true":
		return true
	case "false":
		return false
	case "null":
		return nil
	default:
		return box(w, json.Number(s))
	}
}

// words reads a text; anything else reads as "".
func (w *walker) words() string {
	if w.next() == '"' {
		return w.string()
	}
	w.skip()
	return ""
}

// ident reads an id of any type; "" for none.
func (w *walker) ident() string {
	switch c := w.next(); {
	case c == '"':
		return w.string()
	case c == '{' || c == '[':
		w.skip()
		return ""
	case c == '-' || '0' <= c && c <= '9':
		return plainNumber(json.Number(w.scalar()))
	}
	if s := w.scalar(); s != "null" {
		return s
	}
	return ""
}

// int reads a number that counts something, also from a text; 0 for anything else.
func (w *walker) int() int { return count(w.ident()) }

// slotType reads a slot's type; the editor writes the wildcard as "*" or 0.
func (w *walker) slotType() string {
	if w.next() == '"' {
		return w.string()
	}
	w.skip()
	return "*"
}
