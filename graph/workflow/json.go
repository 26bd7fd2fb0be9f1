package workflow

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
)

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
