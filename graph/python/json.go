package python

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Dict is an object that keeps the order of its keys: what a DICT link carries.
type Dict []Pair

// Pair is a key and its value.
type Pair struct {
	Key   string
	Value any
}

// TypeName is ComfyUI's name of the link type.
func (Dict) TypeName() string { return "DICT" }

// Pairs goes through the object.
func (d Dict) Pairs() iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		for _, p := range d {
			if !yield(p.Key, p.Value) {
				return
			}
		}
	}
}

// Get returns the value of the key.
func (d Dict) Get(key string) (any, bool) {
	i := slices.IndexFunc(d, func(p Pair) bool { return p.Key == key })
	if i < 0 {
		return nil, false
	}
	return d[i].Value, true
}

// MarshalJSON keeps the order.
func (d Dict) MarshalJSON() ([]byte, error) {
	s, err := Dumps(d, 0)
	return []byte(s), err
}

// UnmarshalJSON keeps the order.
func (d *Dict) UnmarshalJSON(text []byte) error {
	v, err := Loads(string(text))
	if err != nil {
		return err
	}
	o, ok := v.(Dict)
	if !ok {
		return fmt.Errorf("need an object, have %s", Type(v))
	}
	*d = o
	return nil
}

// List is a list of JSON values: what an ARRAY link carries.
type List []any

// TypeName is ComfyUI's name of the link type.
func (List) TypeName() string { return "ARRAY" }

// UnmarshalJSON keeps the order of the objects in it.
func (l *List) UnmarshalJSON(text []byte) error {
	v, err := Loads(string(text))
	if err != nil {
		return err
	}
	list, ok := v.([]any)
	if !ok {
		return fmt.Errorf("need a list, have %s", Type(v))
	}
	*l = list
	return nil
}

// Loads is json.loads(text): objects become Dict, integers *big.Int, other numbers float64. NaN and Infinity are numbers.
func Loads(text string) (any, error) {
	d := json.NewDecoder(strings.NewReader(WithoutNaN(text)))
	d.UseNumber()
	v, err := load(d)
	if err == nil {
		if _, more := d.Token(); more == nil {
			err = fmt.Errorf("more text after the value")
		}
	}
	if err != nil {
		return nil, errorf("JSONDecodeError", "%v", err)
	}
	return v, nil
}

// What Python writes for numbers that JSON lacks, as numbers that no float can hold.
const (
	jsonNaN      = "1e777777"
	jsonInfinity = "1e999999"
)

// WithoutNaN makes the NaN and Infinity that Python writes JSON: numbers that no float holds, and that Plain knows.
func WithoutNaN(text string) string {
	if !strings.Contains(text, "NaN") && !strings.Contains(text, "Infinity") {
		return text
	}
	var b strings.Builder
	quoted := false
	for i := 0; i < len(text); i++ {
		switch rest := text[i:]; {
		case quoted && text[i] == '\\' && len(rest) > 1:
			b.WriteByte(text[i])
			i++
		case text[i] == '"':
			quoted = !quoted
		case !quoted && strings.HasPrefix(rest, "NaN"):
			b.WriteString(jsonNaN)
			i += len("NaN") - 1
			continue
		case !quoted && strings.HasPrefix(rest, "Infinity"):
			b.WriteString(jsonInfinity)
			i += len("Infinity") - 1
			continue
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

// NumberText is how Python writes the number: NaN and the infinities that WithoutNaN replaced, too.
func NumberText(n json.Number) string {
	switch n {
	case jsonNaN:
		return "NaN"
	case jsonInfinity:
		return "Infinity"
	case "-" + jsonInfinity:
		return "-Infinity"
	}
	return string(n)
}

// load reads a value. Its depth is bounded by the decoder's.
func load(d *json.Decoder) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case json.Number:
		switch string(t) {
		case jsonNaN:
			return math.NaN(), nil
		case jsonInfinity, "-" + jsonInfinity:
			return math.Inf(1 - 2*b2i(t[0] == '-')), nil
		}
		if len(t) > MostDigits {
			return nil, fmt.Errorf("a number of %d digits", len(t))
		}
		if n, ok := new(big.Int).SetString(string(t), 10); ok {
			return n, nil
		}
		f, err := strconv.ParseFloat(string(t), 64)
		if math.IsInf(f, 0) {
			err = nil // as Python
		}
		return f, err
	case json.Delim:
		if t == '[' {
			list := []any{}
			for d.More() {
				v, err := load(d)
				if err != nil {
					return nil, err
				}
				list = append(list, v)
			}
			_, err = d.Token()
			return list, err
		}
		return loadDict(d)
	}
	return t, nil
}

// loadDict reads an object after its brace; of equal keys the last value counts, in the first's place.
func loadDict(d *json.Decoder) (any, error) {
	o := Dict{}
	at := map[string]int{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		v, err := load(d)
		if err != nil {
			return nil, err
		}
		name := key.(string)
		if i, again := at[name]; again {
			o[i].Value = v
			continue
		}
		at[name] = len(o)
		o = append(o, Pair{name, v})
	}
	_, err := d.Token()
	return o, err
}

// Dumps is json.dumps(v, indent=indent, ensure_ascii=False); indent 0 is None: one line with ", " and ": ". A value that
// JSON does not have is written as Go's encoding/json does.
func Dumps(v any, indent int) (string, error) {
	w := dumper{indent: indent}
	err := w.value(v, 0)
	return w.String(), err
}

type dumper struct {
	strings.Builder
	indent int
}

func (w *dumper) value(v any, depth int) error {
	switch x := Plain(v).(type) {
	case nil:
		w.WriteString("null")
	case bool:
		w.WriteString(strconv.FormatBool(x))
	case string:
		w.text(x)
	case *big.Int:
		w.WriteString(x.String())
	case float64:
		w.WriteString(map[string]string{"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[Float(x)])
		if !math.IsNaN(x) && !math.IsInf(x, 0) {
			w.WriteString(Float(x))
		}
	case []any:
		return w.items('[', ']', len(x), depth, func(yield func(int) error) error {
			for i, item := range x {
				if err := yield(i); err != nil {
					return err
				}
				if err := w.value(item, depth+1); err != nil {
					return err
				}
			}
			return nil
		})
	case map[string]any, Mapping:
		n := 0
		for range Pairs(x) {
			n++
		}
		return w.items('{', '}', n, depth, func(yield func(int) error) error {
			i := 0
			for key, value := range Pairs(x) {
				if err := yield(i); err != nil {
					return err
				}
				i++
				w.text(key)
				w.WriteString(": ")
				if err := w.value(value, depth+1); err != nil {
					return err
				}
			}
			return nil
		})
	default:
		text, err := json.Marshal(v)
		if err != nil {
			return errorf("TypeError", "Object of type %T is not JSON serializable", v)
		}
		if bytes.ContainsAny(text[:1], "{[") { // a struct: in this form, too
			read, err := Loads(string(text))
			if err != nil {
				return err
			}
			return w.value(read, depth)
		}
		w.Write(text)
	}
	return nil
}

// items writes what stands between brackets; each is called with the function that begins item i.
func (w *dumper) items(open, end byte, n, depth int, each func(begin func(i int) error) error) error {
	w.WriteByte(open)
	line := func(depth int) {
		if w.indent > 0 && n > 0 {
			w.WriteString("\n" + strings.Repeat(" ", w.indent*depth))
		}
	}
	err := each(func(i int) error {
		if i > 0 {
			w.WriteByte(',')
			if w.indent == 0 {
				w.WriteByte(' ')
			}
		}
		if w.Len() > mostText {
			return errorf("MemoryError", "the text is longer than %d bytes", mostText)
		}
		line(depth + 1)
		return nil
	})
	line(depth)
	w.WriteByte(end)
	return err
}

func (w *dumper) text(s string) {
	w.WriteByte('"')
	for i, r := range s {
		switch {
		case r == '"' || r == '\\':
			w.WriteByte('\\')
			w.WriteRune(r)
		case r == '\n':
			w.WriteString(`\n`)
		case r == '\r':
			w.WriteString(`\r`)
		case r == '\t':
			w.WriteString(`\t`)
		case r == '\b':
			w.WriteString(`\b`)
		case r == '\f':
			w.WriteString(`\f`)
		case r < ' ':
			fmt.Fprintf(w, `\u%04x`, r)
		case r == utf8.RuneError:
			_, n := utf8.DecodeRuneInString(s[i:])
			w.WriteString(map[bool]string{true: "\uFFFD", false: s[i : i+n]}[n <= 1])
		default:
			w.WriteRune(r)
		}
	}
	w.WriteByte('"')
}
