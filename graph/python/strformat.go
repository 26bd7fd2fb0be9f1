package python

import (
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"
)

// mostText bounds what StrFormat makes, in bytes.
const mostText = 16 << 20

// StrFormat is template.format(**names): {name}, {name[0]}, {name!r}, {name:spec}, {{ and }}. A spec may have fields in it.
// Errors are those of Python: KeyError for an unknown name, IndexError for {}.
func StrFormat(template string, names map[string]any) (string, error) {
	f := formatter{names: names}
	return f.run(template, 2)
}

type formatter struct {
	names map[string]any
	size  int
}

func (f *formatter) run(t string, depth int) (string, error) {
	if depth < 0 {
		return "", errorf("ValueError", "Max string recursion exceeded")
	}
	var b strings.Builder
	for t != "" {
		i := strings.IndexAny(t, "{}")
		if i < 0 {
			b.WriteString(t)
			break
		}
		b.WriteString(t[:i])
		c, rest := t[i], t[i+1:]
		if rest != "" && rest[0] == c {
			b.WriteByte(c)
			t = rest[1:]
			continue
		}
		if c == '}' {
			return "", errorf("ValueError", "Single '}' encountered in format string")
		}
		field, after, err := fieldEnd(rest)
		if err != nil {
			return "", err
		}
		text, err := f.field(field, depth)
		if err != nil {
			return "", err
		}
		if f.size += len(text); f.size > mostText {
			return "", errorf("MemoryError", "the text is longer than %d bytes", mostText)
		}
		b.WriteString(text)
		t = after
	}
	return b.String(), nil
}

// fieldEnd cuts a replacement field at its closing brace; braces inside count, those within an index do not.
func fieldEnd(s string) (field, rest string, err error) {
	if s == "" {
		return "", "", errorf("ValueError", "Single '{' encountered in format string")
	}
	open, index := 1, false
	for i := range len(s) {
		switch c := s[i]; {
		case c == '[' && open == 1 && !strings.ContainsAny(s[:i], ":!"):
			index = true
		case c == ']':
			index = false
		case index:
		case c == '{':
			open++
		case c == '}':
			if open--; open == 0 {
				return s[:i], s[i+1:], nil
			}
		}
	}
	return "", "", errorf("ValueError", "expected '}' before end of string")
}

func (f *formatter) field(field string, depth int) (string, error) {
	name, conversion, format := field, "", ""
	inIndex := false
cut:
	for i := range len(field) {
		switch c := field[i]; {
		case c == '[':
			inIndex = true
		case c == ']':
			inIndex = false
		case inIndex:
		case c == '{' || c == '}':
			return "", errorf("ValueError", "unexpected '{' in field name")
		case c == ':':
			name, format = field[:i], field[i+1:]
			break cut
		case c == '!':
			name = field[:i]
			_, n := utf8.DecodeRuneInString(field[i+1:])
			conversion = field[i+1 : i+1+n]
			switch rest := field[i+1+n:]; {
			case n == 0:
				return "", errorf("ValueError", "end of string while looking for conversion specifier")
			case rest != "" && rest[0] != ':':
				return "", errorf("ValueError", "expected ':' after conversion specifier")
			case rest != "":
				format = rest[1:]
			}
			break cut
		}
	}
	v, err := f.lookup(name)
	if err != nil {
		return "", err
	}
	switch conversion {
	case "":
	case "s":
		v = Str(v)
	case "r":
		v = Repr(v)
	case "a":
		v = ascii(Repr(v))
	default:
		return "", errorf("ValueError", "Unknown conversion specifier '%s'", conversion)
	}
	if strings.ContainsAny(format, "{}") {
		if format, err = f.run(format, depth-1); err != nil {
			return "", err
		}
	}
	return Format(v, format)
}

// lookup finds the value of a field's name with its indexes and attributes.
func (f *formatter) lookup(name string) (any, error) {
	end := strings.IndexAny(name, ".[")
	if end < 0 {
		end = len(name)
	}
	head, rest := name[:end], name[end:]
	if strings.Trim(head, "0123456789") == "" { // {} or {0}: there are no positional arguments
		n, _ := strconv.Atoi("0" + head)
		return nil, errorf("IndexError", "Replacement index %d out of range for positional args tuple", n)
	}
	v, ok := f.names[head]
	if !ok {
		return nil, errorf("KeyError", "%s", Repr(head))
	}
	for rest != "" {
		var err error
		if rest[0] == '.' {
			attr := rest[1:]
			if i := strings.IndexAny(attr, ".["); i >= 0 {
				attr = attr[:i]
			}
			rest = rest[1+len(attr):]
			v, err = Attribute(v, attr)
		} else {
			key, after, closed := strings.Cut(rest[1:], "]")
			switch {
			case !closed:
				return nil, errorf("ValueError", "Missing ']' in format string")
			case key == "":
				return nil, errorf("ValueError", "Empty attribute in format string")
			case after != "" && after[0] != '.' && after[0] != '[':
				return nil, errorf("ValueError", "Only '.' or '[' may follow ']' in format field specifier")
			}
			rest = after
			v, err = item(v, key)
		}
		if err != nil {
			return nil, err
		}
	}
	return v, nil
}

// item is v[key]: by number for lists and texts, by name for objects.
func item(v any, key string) (any, error) {
	n, err := strconv.Atoi(key)
	isNumber := err == nil && strings.Trim(key, "0123456789") == ""
	switch x := Plain(v).(type) {
	case []any:
		if !isNumber {
			return nil, errorf("TypeError", "list indices must be integers or slices, not str")
		}
		if n >= len(x) {
			return nil, errorf("IndexError", "list index out of range")
		}
		return x[n], nil
	case string:
		r := []rune(x)
		if !isNumber {
			return nil, errorf("TypeError", "string indices must be integers, not 'str'")
		}
		if n >= len(r) {
			return nil, errorf("IndexError", "string index out of range")
		}
		return string(r[n]), nil
	case map[string]any, Mapping:
		for k, value := range Pairs(x) {
			if k == key && !isNumber {
				return value, nil
			}
		}
		if isNumber {
			return nil, errorf("KeyError", "%s", key)
		}
		return nil, errorf("KeyError", "%s", Repr(key))
	}
	return nil, errorf("TypeError", "'%s' object is not subscriptable", Type(v))
}

// Attribute is getattr(v, name) for the attributes of numbers that have a value: real, imag, numerator, denominator.
func Attribute(v any, name string) (any, error) {
	v = Number(v)
	switch x := v.(type) {
	case *big.Int:
		switch name {
		case "real", "numerator":
			return x, nil
		case "imag":
			return new(big.Int), nil
		case "denominator":
			return big.NewInt(1), nil
		}
	case float64:
		switch name {
		case "real":
			return x, nil
		case "imag":
			return 0.0, nil
		}
	}
	return nil, errorf("AttributeError", "'%s' object has no attribute '%s'", Type(v), name)
}

// ascii escapes what is not ASCII.
func ascii(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r < utf8.RuneSelf {
			b.WriteRune(r)
		} else {
			b.WriteString(escape(r))
		}
	}
	return b.String()
}
