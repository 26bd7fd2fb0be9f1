package expression

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// text1 is a function from text to text.
func text1(f func(string) string) func(*run, []any) (any, error) {
	return func(r *run, a []any) (any, error) {
		s, ok := a[0].(string)
		if !ok {
			return nil, needText(a[0])
		}
		if err := r.spend(2 * len(s)); err != nil {
			return nil, err
		}
		return f(s), nil
	}
}

func needText(v any) error { return fmt.Errorf("need text, have %s", describe(v)) }

// text1 writes a text, number or boolean as text.
func (r *run) text1(v any) (string, error) {
	s, err := Text(v)
	if err != nil {
		return "", err
	}
	return s, r.spend(len(s))
}

// Text writes a number the short way, and true and false.
func Text(v any) (string, error) {
	switch x := v.(type) {
	case string:
		return x, nil
	case bool, int, int64, uint64:
		return fmt.Sprint(x), nil
	case float64:
		if a := math.Abs(x); a >= 1e-6 && a < 1e21 || a == 0 {
			return strconv.FormatFloat(x, 'f', -1, 64), nil
		}
		return strconv.FormatFloat(x, 'g', -1, 64), nil
	}
	return "", fmt.Errorf("need a text, number or boolean, have %s", describe(v))
}

// fixed writes a number with so many digits behind the point.
func fixed(_ *run, a []any) (any, error) {
	x, ok := floatOf(a[0])
	digits, isInt := a[1].(int)
	if !ok || !isInt || digits < 0 || digits > 100 {
		return nil, fmt.Errorf("need a number and 0 to 100 digits, have %s and %s", describe(a[0]), describe(a[1]))
	}
	return strconv.FormatFloat(x, 'f', digits, 64), nil
}

// pad writes a value in at least so many characters: numbers after zeros, texts before blanks.
func pad(r *run, a []any) (any, error) {
	s, err := Text(a[0])
	width, isInt := a[1].(int)
	if err != nil {
		return nil, err
	}
	if !isInt || width < 0 || width > 1000 {
		return nil, fmt.Errorf("need a width of 0 to 1000 characters, have %s", describe(a[1]))
	}
	missing := max(0, width-len([]rune(s)))
	if err := r.spend(len(s) + missing); err != nil {
		return nil, err
	}
	if _, isText := a[0].(string); isText {
		return s + strings.Repeat(" ", missing), nil
	}
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	return sign + strings.Repeat("0", missing) + s, nil
}

func repeat(r *run, a []any) (any, error) {
	s, ok := a[0].(string)
	n, isInt := a[1].(int)
	if !ok || !isInt || n < 0 {
		return nil, fmt.Errorf("need a text and how often, have %s and %s", describe(a[0]), describe(a[1]))
	}
	if n > maxText { // the product must not overflow
		n = maxText + 1
	}
	if err := r.spend(n * max(1, len(s))); err != nil {
		return nil, err
	}
	return strings.Repeat(s, n), nil
}

// texts checks that all arguments are texts.
func texts(a []any) ([]string, error) {
	list := make([]string, len(a))
	for i, v := range a {
		s, ok := v.(string)
		if !ok {
			return nil, needText(v)
		}
		list[i] = s
	}
	return list, nil
}

func replace(r *run, a []any) (any, error) {
	s, err := texts(a)
	if err != nil {
		return nil, err
	}
	n := strings.Count(s[0], s[1])
	if err := r.spend(len(s[0]) + n*len(s[2])); err != nil { // both below the limit, the product fits
		return nil, err
	}
	return strings.ReplaceAll(s[0], s[1], s[2]), nil
}

func split(r *run, a []any) (any, error) {
	s, err := texts(a)
	if err != nil {
		return nil, err
	}
	n := strings.Count(s[0], s[1]) + 1
	if err := r.touch(n); err != nil {
		return nil, err
	}
	if err := r.spend(32 * n); err != nil {
		return nil, err
	}
	list := make([]any, 0, n)
	for part := range strings.SplitSeq(s[0], s[1]) {
		list = append(list, part)
	}
	return list, nil
}

// join writes the items of a list as one text, with the second text between.
func join(r *run, a []any) (any, error) {
	list, ok := items(a[0])
	if !ok {
		return nil, fmt.Errorf("need a list, have %s", describe(a[0]))
	}
	between := ""
	if len(a) > 1 {
		if between, ok = a[1].(string); !ok {
			return nil, needText(a[1])
		}
	}
	if err := r.touch(len(list)); err != nil {
		return nil, err
	}
	var b strings.Builder
	for i, v := range list {
		s, err := Text(v)
		if err == nil {
			err = r.spend(len(s) + len(between))
		}
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b.WriteString(between)
		}
		b.WriteString(s)
	}
	return b.String(), nil
}

// index finds a text in another, in characters; -1 if it is not there.
func index(f func(s, part string) int) func(*run, []any) (any, error) {
	return func(_ *run, a []any) (any, error) {
		s, err := texts(a)
		if err != nil {
			return nil, err
		}
		at := f(s[0], s[1])
		if at < 0 {
			return at, nil
		}
		return utf8.RuneCountInString(s[0][:at]), nil
	}
}
