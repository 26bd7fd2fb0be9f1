package python

import (
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"
)

// mostWidth bounds width and precision: a text of a million places is a mistake.
const mostWidth = 100_000

// spec is a format specification: [[fill]align][sign][z][#][0][width][grouping][.precision][type].
type spec struct {
	fill      rune
	align     byte // one of <>=^; 0: by type
	sign      byte // one of "+- "
	noNegZero bool
	alt       bool
	width     int
	group     byte // one of "_,"; 0: none
	precision int  // -1: none
	kind      byte
}

func parseSpec(s, typ string) (f spec, err error) {
	whole := s
	f = spec{fill: ' ', precision: -1, sign: '-'}
	if _, n := utf8.DecodeRuneInString(s); n > 0 && n < len(s) && strings.IndexByte("<>=^", s[n]) >= 0 {
		f.fill, _ = utf8.DecodeRuneInString(s)
		f.align, s = s[n], s[n+1:]
	} else if s != "" && strings.IndexByte("<>=^", s[0]) >= 0 {
		f.align, s = s[0], s[1:]
	}
	take := func(set string) (c byte) {
		if s != "" && strings.IndexByte(set, s[0]) >= 0 {
			c, s = s[0], s[1:]
		}
		return c
	}
	if c := take("+- "); c != 0 {
		f.sign = c
	}
	f.noNegZero = take("z") != 0
	f.alt = take("#") != 0
	if s != "" && s[0] == '0' && f.align == 0 {
		f.fill, f.align, s = '0', '=', s[1:]
		if typ == "str" {
			f.align = '<'
		}
	}
	number := func() (int, bool) {
		n := len(s) - len(strings.TrimLeft(s, "0123456789"))
		text := s[:n]
		s = s[n:]
		v, e := strconv.Atoi(text)
		if text != "" && (e != nil || v > mostWidth) {
			err = errorf("ValueError", "a width or precision of at most %d is needed, have %s", mostWidth, text)
		}
		return v, text != ""
	}
	f.width, _ = number()
	f.group = take(",_")
	if take(".") != 0 {
		n, ok := number()
		if !ok && err == nil {
			err = errorf("ValueError", "Format specifier missing precision")
		}
		f.precision = n
	}
	if err == nil && len(s) > 1 {
		err = errorf("ValueError", "Invalid format specifier '%s' for object of type '%s'", whole, typ)
	}
	if len(s) == 1 {
		f.kind = s[0]
	}
	return f, err
}

// Format is format(v, spec).
func Format(v any, text string) (string, error) {
	typ := Type(v)
	if text == "" {
		return Str(v), nil
	}
	v = Plain(v)
	switch v.(type) {
	case string, float64, *big.Int, bool:
	default:
		return "", errorf("TypeError", "unsupported format string passed to %s.__format__", typ)
	}
	f, err := parseSpec(text, typ)
	if err != nil {
		return "", err
	}
	unknown := errorf("ValueError", "Unknown format code '%c' for object of type '%s'", f.kind, typ)
	if s, ok := v.(string); ok {
		switch {
		case f.kind != 0 && f.kind != 's':
			return "", unknown
		case f.align == '=':
			return "", errorf("ValueError", "'=' alignment not allowed in string format specifier")
		case f.sign != '-' || f.alt || f.noNegZero || f.group != 0:
			return "", errorf("ValueError", "Sign, '#', 'z' and grouping not allowed in string format specifier")
		}
		if f.precision >= 0 && utf8.RuneCountInString(s) > f.precision {
			s = string([]rune(s)[:f.precision])
		}
		return f.pad("", s, '<'), nil
	}
	v = Number(v)
	n, isInt := v.(*big.Int)
	switch {
	case isInt && strings.IndexByte("\x00bcdoxXn", f.kind) >= 0:
		return f.integer(n)
	case strings.IndexByte("\x00eEfFgGn%", f.kind) < 0:
		return "", unknown
	case isInt:
		x, err := ToFloat(n)
		if err != nil {
			return "", err
		}
		return f.float(x), nil
	}
	return f.float(v.(float64)), nil
}

// ToInt is int(f) of a float.
func ToInt(f float64) (*big.Int, error) {
	switch {
	case math.IsNaN(f):
		return nil, errorf("ValueError", "cannot convert float NaN to integer")
	case math.IsInf(f, 0):
		return nil, errorf("OverflowError", "cannot convert float infinity to integer")
	}
	n, _ := big.NewFloat(math.Trunc(f)).Int(nil)
	return n, nil
}

// ToFloat is float(n) of an integer.
func ToFloat(n *big.Int) (float64, error) {
	x, _ := new(big.Float).SetInt(n).Float64()
	if math.IsInf(x, 0) {
		return 0, errorf("OverflowError", "int too large to convert to float")
	}
	return x, nil
}

func (f *spec) integer(n *big.Int) (string, error) {
	if f.precision >= 0 {
		return "", errorf("ValueError", "Precision not allowed in integer format specifier")
	}
	if f.kind == 'c' {
		if !n.IsInt64() || n.Sign() < 0 || n.Int64() > 0x10ffff {
			return "", errorf("OverflowError", "%%c arg not in range(0x110000)")
		}
		return f.pad("", string(rune(n.Int64())), '<'), nil
	}
	base, prefix := 10, ""
	switch f.kind {
	case 'b':
		base, prefix = 2, "0b"
	case 'o':
		base, prefix = 8, "0o"
	case 'x':
		base, prefix = 16, "0x"
	case 'X':
		base, prefix = 16, "0X"
	}
	if f.group == ',' && base != 10 {
		return "", errorf("ValueError", "Cannot specify ',' with '%c'.", f.kind)
	}
	body := new(big.Int).Abs(n).Text(base)
	if f.kind == 'X' {
		body = strings.ToUpper(body)
	}
	if !f.alt {
		prefix = ""
	}
	size := 3
	if base != 10 {
		size = 4
	}
	return f.finish(f.signOf(n.Sign() < 0)+prefix, body, "", size), nil
}

func (f *spec) signOf(negative bool) string {
	switch {
	case negative:
		return "-"
	case f.sign != '-':
		return string(f.sign)
	}
	return ""
}

func (f *spec) float(x float64) string {
	percent := ""
	kind, precision := f.kind, f.precision
	if kind == '%' {
		x, kind, percent = x*100, 'f', "%"
	}
	upper := kind == 'E' || kind == 'F' || kind == 'G'
	var body string
	a := math.Abs(x)
	switch {
	case math.IsNaN(x) || math.IsInf(x, 0):
		body = strings.TrimLeft(Float(a), "-")
	case kind == 0 && precision < 0:
		body = Float(a)
	case kind == 0 || kind|0x20 == 'g' || kind == 'n':
		body = general(a, precision, f.alt, kind == 0)
	default:
		if precision < 0 {
			precision = 6
		}
		body = strconv.FormatFloat(a, kind|0x20, precision, 64)
		if f.alt && precision == 0 {
			mantissa, exp, _ := strings.Cut(body, "e")
			body = mantissa + "."
			if exp != "" {
				body += "e" + exp
			}
		}
	}
	negative := math.Signbit(x) && !math.IsNaN(x)
	if f.noNegZero && strings.Trim(body, "0.e+-") == "" {
		negative = false
	}
	if upper {
		body = strings.ToUpper(body)
	}
	whole := len(body) - len(strings.TrimLeft(body, "0123456789"))
	return f.finish(f.signOf(negative), body[:whole], body[whole:]+percent, 3)
}

// general is the format g: precision significant digits, an exponent below 1e-4 and from 10^precision, no zeros at the
// end. Without a type the exponent begins one digit earlier and a fraction stays.
func general(a float64, precision int, alt, untyped bool) string {
	if precision < 0 {
		precision = 6
	}
	precision = max(precision, 1)
	s := strconv.FormatFloat(a, 'e', precision-1, 64)
	exp, _ := strconv.Atoi(s[strings.IndexByte(s, 'e')+1:])
	mantissa, exponent := s[:strings.IndexByte(s, 'e')], s[strings.IndexByte(s, 'e'):]
	if exp >= -4 && exp < precision-b2i(untyped) {
		mantissa, exponent = strconv.FormatFloat(a, 'f', max(precision-1-exp, 0), 64), ""
	}
	if !alt && strings.Contains(mantissa, ".") {
		mantissa = strings.TrimRight(strings.TrimRight(mantissa, "0"), ".")
	}
	if alt && !strings.Contains(mantissa, ".") {
		mantissa += "."
	}
	if untyped && exponent == "" && !strings.Contains(mantissa, ".") {
		mantissa += ".0"
	}
	return mantissa + exponent
}

// finish groups the digits, in groups of size, and pads.
func (f *spec) finish(sign, body, rest string, size int) string {
	if f.group != 0 {
		if f.fill == '0' && f.align == '=' {
			for len(sign)+len(grouped(body, f.group, size))+len(rest) < f.width {
				body = "0" + body
			}
		}
		body = grouped(body, f.group, size)
	}
	return f.pad(sign, body+rest, '>')
}

func grouped(s string, sep byte, size int) string {
	var b strings.Builder
	for i := range len(s) {
		if i > 0 && (len(s)-i)%size == 0 {
			b.WriteByte(sep)
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// pad fills up to the width; align is the type's own.
func (f *spec) pad(sign, body string, align byte) string {
	if f.align != 0 {
		align = f.align
	}
	n := f.width - utf8.RuneCountInString(sign) - utf8.RuneCountInString(body)
	if n <= 0 {
		return sign + body
	}
	fill := func(n int) string { return strings.Repeat(string(f.fill), n) }
	switch align {
	case '<':
		return sign + body + fill(n)
	case '=':
		return sign + fill(n) + body
	case '^':
		return fill(n/2) + sign + body + fill(n-n/2)
	}
	return fill(n) + sign + body
}
