package expression

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// Object is a value of which a formula sees the type and some numbers: a picture has a width.
type Object struct {
	Type   string // ComfyUI's name
	Fields map[string]any
	Value  any // what it stands for; formulas hand it on
}

// member is a field of an object or a map, an item of a list, or a character of a text.
func member(r *run, a []any) (any, error) {
	fields, isMap := a[0].(map[string]any)
	what := "the map"
	if o, ok := a[0].(*Object); ok {
		fields, isMap, what = o.Fields, true, o.Type
	}
	if isMap {
		name, ok := a[1].(string)
		if v, has := fields[name]; ok && has {
			return v, nil
		}
		if len(fields) == 0 {
			return nil, fmt.Errorf("%s has no %s, nor anything else to see", what, describe(a[1]))
		}
		names := slices.Sorted(maps.Keys(fields))
		return nil, fmt.Errorf("%s has no %s; it has %s", what, describe(a[1]), strings.Join(names[:min(len(names), 30)], ", "))
	}
	at, ok := a[1].(int)
	if s, isText := a[0].(string); ok && isText {
		from, to, err := bounds(at, utf8.RuneCountInString(s))
		if err != nil {
			return nil, err
		}
		return runes(r, s, from, to)
	}
	list, isList := a[0].([]any)
	if span, isSpan := a[0].([]int); ok && isSpan {
		from, _, err := bounds(at, len(span))
		if err != nil {
			return nil, err
		}
		return span[from], nil
	}
	if !ok || !isList {
		return nil, fmt.Errorf("%s has no %s", typeName(a[0]), describe(a[1]))
	}
	from, _, err := bounds(at, len(list))
	if err != nil {
		return nil, err
	}
	return list[from], nil
}

// bounds is where item at of n lies; negative ones count from the end.
func bounds(at, n int) (from, to int, err error) {
	i := at
	if i < 0 {
		i += n
	}
	if i < 0 || i >= n {
		return 0, 0, fmt.Errorf("no item %d: the list or text has %d", at, n)
	}
	return i, i + 1, nil
}

// slice is a part of a list or text: [from:to], where what is left out or too much means the end.
func slice(r *run, a []any) (any, error) {
	limits := [2]int{0, -1}
	n := 0
	s, isText := a[0].(string)
	list, isList := a[0].([]any)
	span, isSpan := a[0].([]int)
	switch {
	case isText:
		n = utf8.RuneCountInString(s)
	case isList:
		n = len(list)
	case isSpan:
		n = len(span)
	default:
		return nil, fmt.Errorf("need a list or text to take a part of, have %s", describe(a[0]))
	}
	limits[1] = n
	for i, v := range a[1:] {
		at, ok := v.(int)
		if v != nil && !ok {
			return nil, fmt.Errorf("need an integer in [from:to], have %s", describe(v))
		}
		if ok && at < 0 {
			at += n
		}
		if ok {
			limits[i] = min(max(at, 0), n)
		}
	}
	from, to := limits[0], max(limits[0], limits[1])
	switch {
	case isText:
		return runes(r, s, from, to)
	case isList:
		return list[from:to:to], nil
	}
	return span[from:to:to], nil
}

// span is the list from..to of integers.
func span(r *run, a []any) (any, error) {
	from, ok := a[0].(int)
	to, too := a[1].(int)
	if !ok || !too {
		return nil, fmt.Errorf("need integers of 63 bits in from..to, have %s and %s", describe(a[0]), describe(a[1]))
	}
	if from > to {
		return []int{}, nil
	}
	if n := uint64(to) - uint64(from); n >= maxItems {
		return nil, r.touch(maxItems + 1)
	}
	list := make([]int, to-from+1)
	for i := range list {
		list[i] = from + i
	}
	return list, r.touch(len(list))
}

// runes are the characters from..to of a text.
func runes(r *run, s string, from, to int) (string, error) {
	begin, end, i := len(s), len(s), 0
	for at := range s {
		if i == from {
			begin = at
		}
		if i == to {
			end = at
			break
		}
		i++
	}
	return s[min(begin, end):end], r.spend(0)
}

// items are the items of a list of the library's or ours.
func items(v any) ([]any, bool) {
	switch x := v.(type) {
	case []any:
		return x, true
	case []int: // a range
		list := make([]any, len(x))
		for i, n := range x {
			list[i] = n
		}
		return list, true
	}
	return nil, false
}

// List returns the items of a result that is a list.
func List(v any) ([]any, bool) { return items(v) }

// describe says what a value is.
func describe(v any) string {
	switch x := v.(type) {
	case string:
		return quote(x)
	case bool, int, uint64, float64:
		return fmt.Sprint(x)
	}
	return typeName(v)
}

func typeName(v any) string {
	switch x := v.(type) {
	case nil:
		return "nothing"
	case string:
		return "text"
	case bool:
		return "a boolean"
	case int, int64, uint64, float64:
		return "a number"
	case []any, []int:
		return "a list"
	case *Object:
		return x.Type
	case map[string]any:
		return "a map"
	}
	return fmt.Sprintf("a %T", v)
}

var errNothing = errors.New("the expression gives nothing")

// Scalar is a result as the graph stores it: int64, uint64, float64, bool or string.
func Scalar(v any) (any, error) {
	switch x := v.(type) {
	case int:
		return int64(x), nil
	case bool, string, int64, uint64, float64:
		return x, nil
	case nil:
		return nil, errNothing
	}
	return nil, fmt.Errorf("the expression gives %s: need a number, text or boolean", describe(v))
}
