// Package python writes and reads values as ComfyUI's host language does: what its messages show, what its text nodes
// give. A value is nil, a bool, an integer (int64, uint64, *big.Int ...), a float, a text, a []any, a map[string]any or a
// Mapping; json.Number counts as the number it writes. Source: the Python language reference 3.11, "Format String
// Syntax", "repr", "int", "float".
package python

import (
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"math"
	"math/big"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Mapping is an object that keeps the order of its keys.
type Mapping interface{ Pairs() iter.Seq2[string, any] }

// Error is an exception: its class and its text.
type Error struct{ Class, Text string }

// Error names the class.
func (e *Error) Error() string { return e.Class + ": " + e.Text }

func errorf(class, format string, args ...any) error {
	return &Error{class, fmt.Sprintf(format, args...)}
}

// Plain reduces the kinds of numbers: integers to *big.Int, floats to float64, named strings and bools to theirs, lists
// to []any. What it does not know stays.
func Plain(v any) any {
	switch x := v.(type) {
	case nil, bool, string, float64, *big.Int, []any, map[string]any, Mapping:
		return v
	case List:
		return []any(x)
	case int64:
		return big.NewInt(x)
	case json.Number:
		if n, ok := new(big.Int).SetString(string(x), 10); ok {
			return n
		}
		if x == jsonNaN {
			return math.NaN()
		}
		f, _ := strconv.ParseFloat(string(x), 64)
		return f
	}
	r := reflect.ValueOf(v)
	switch {
	case r.CanInt():
		return big.NewInt(r.Int())
	case r.CanUint():
		return new(big.Int).SetUint64(r.Uint())
	case r.CanFloat():
		return r.Float()
	case r.Kind() == reflect.String:
		return r.String()
	case r.Kind() == reflect.Bool:
		return r.Bool()
	case r.Kind() == reflect.Slice:
		list := make([]any, r.Len())
		for i := range list {
			list[i] = r.Index(i).Interface()
		}
		return list
	}
	return v
}

// Number is Plain, but booleans are the integers that they count as.
func Number(v any) any {
	v = Plain(v)
	if b, ok := v.(bool); ok {
		return big.NewInt(int64(b2i(b)))
	}
	return v
}

// Type is the name of the value's type.
func Type(v any) string {
	switch Plain(v).(type) {
	case nil:
		return "NoneType"
	case bool:
		return "bool"
	case string:
		return "str"
	case float64:
		return "float"
	case *big.Int:
		return "int"
	case []any:
		return "list"
	case map[string]any, Mapping:
		return "dict"
	}
	return fmt.Sprintf("%T", v)
}

// Truth is bool(v): false for None, zero and what is empty.
func Truth(v any) bool {
	switch x := Plain(v).(type) {
	case nil:
		return false
	case bool:
		return x
	case string:
		return x != ""
	case float64:
		return x != 0
	case *big.Int:
		return x.Sign() != 0
	case []any:
		return len(x) > 0
	case map[string]any:
		return len(x) > 0
	case Mapping:
		for range x.Pairs() {
			return true
		}
		return false
	}
	return true
}

// Native is an integer as inputs of nodes take it: int64 or uint64 if it fits.
func Native(n *big.Int) any {
	switch {
	case n.IsInt64():
		return n.Int64()
	case n.IsUint64():
		return n.Uint64()
	}
	return n
}

// Str is str(v).
func Str(v any) string {
	if s, ok := Plain(v).(string); ok {
		return s
	}
	return Repr(v)
}

// Repr is repr(v).
func Repr(v any) string {
	var b strings.Builder
	writeRepr(&b, v)
	return b.String()
}

func writeRepr(b *strings.Builder, v any) {
	switch x := Plain(v).(type) {
	case nil:
		b.WriteString("None")
	case bool:
		b.WriteString(map[bool]string{true: "True", false: "False"}[x])
	case string:
		writeQuoted(b, x)
	case float64:
		b.WriteString(Float(x))
	case *big.Int:
		b.WriteString(x.String())
	case []any:
		b.WriteByte('[')
		for i, item := range x {
			if i > 0 {
				b.WriteString(", ")
			}
			writeRepr(b, item)
		}
		b.WriteByte(']')
	case map[string]any, Mapping:
		b.WriteByte('{')
		first := true
		for key, value := range Pairs(x) {
			if !first {
				b.WriteString(", ")
			}
			first = false
			writeQuoted(b, key)
			b.WriteString(": ")
			writeRepr(b, value)
		}
		b.WriteByte('}')
	default:
		fmt.Fprint(b, v)
	}
}

// Pairs goes through an object, a Go map in order of its keys.
func Pairs(v any) iter.Seq2[string, any] {
	if m, ok := v.(Mapping); ok {
		return m.Pairs()
	}
	m, _ := v.(map[string]any)
	return func(yield func(string, any) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}

// writeQuoted writes a text as a literal: single quotes unless the text has only those.
func writeQuoted(b *strings.Builder, s string) {
	quote := '\''
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = '"'
	}
	b.WriteRune(quote)
	for i, r := range s {
		switch {
		case r == quote || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == unicode.ReplacementChar && !strings.HasPrefix(s[i:], "\uFFFD"): // a byte that is no text
			fmt.Fprintf(b, `\x%02x`, s[i])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteString(escape(r))
		}
	}
	b.WriteRune(quote)
}

// escape writes a character by its number.
func escape(r rune) string {
	switch {
	case r < 0x100:
		return fmt.Sprintf(`\x%02x`, r)
	case r < 0x10000:
		return fmt.Sprintf(`\u%04x`, r)
	}
	return fmt.Sprintf(`\U%08x`, r)
}

// Float is repr(f): the shortest text that reads back, with an exponent below 1e-4 and from 1e16.
func Float(f float64) string {
	switch {
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 0):
		return map[bool]string{true: "-inf", false: "inf"}[f < 0]
	}
	s := strconv.FormatFloat(f, 'e', -1, 64)
	exp, _ := strconv.Atoi(s[strings.IndexByte(s, 'e')+1:])
	if f != 0 && (exp < -4 || exp >= 16) {
		return s
	}
	s = strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Digits takes out the underscores between digits; ok is false for one elsewhere.
func Digits(s string) (plain string, ok bool) {
	for i := range len(s) {
		if s[i] == '_' && (i == 0 || i == len(s)-1 || !isAlnum(s[i-1]) || !isAlnum(s[i+1])) {
			return s, false
		}
	}
	return strings.ReplaceAll(s, "_", ""), true
}

func isAlnum(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' }

// MostDigits is how long a text may be that is read as an integer: Python's limit.
const MostDigits = 4300

// Int is int(s): decimal digits with a sign, underscores between digits, white space around.
func Int(s string) (*big.Int, error) {
	bad := func() (*big.Int, error) {
		return nil, errorf("ValueError", "invalid literal for int() with base 10: %s", Repr(s))
	}
	text := strings.TrimFunc(s, unicode.IsSpace)
	sign := strings.HasPrefix(text, "-")
	body := strings.TrimPrefix(text, "-")
	if !sign {
		body = strings.TrimPrefix(text, "+")
	}
	plain, ok := Digits(body)
	if !ok || plain == "" || strings.Trim(plain, "0123456789") != "" {
		return bad()
	}
	if len(plain) > MostDigits {
		return nil, errorf("ValueError", "Exceeds the limit (%d digits) for integer string conversion: value has %d digits", MostDigits, len(plain))
	}
	n, ok := new(big.Int).SetString(plain, 10)
	if !ok {
		return bad()
	}
	if sign {
		n.Neg(n)
	}
	return n, nil
}

// ParseFloat is float(s): also inf, infinity and nan; an overflow is infinite.
func ParseFloat(s string) (float64, error) {
	text, ok := Digits(strings.TrimFunc(s, unicode.IsSpace))
	lower := strings.ToLower(strings.TrimLeft(text, "+-"))
	named := lower == "inf" || lower == "infinity" || lower == "nan"
	if ok && text != "" && (named || strings.Trim(lower, "0123456789.e+-") == "") {
		f, err := strconv.ParseFloat(text, 64)
		if err == nil || math.IsInf(f, 0) {
			return f, nil
		}
		if lower == "nan" { // Go refuses a sign
			return math.NaN(), nil
		}
	}
	return 0, errorf("ValueError", "could not convert string to float: %s", Repr(s))
}
