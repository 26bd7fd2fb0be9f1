package expression

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// harmless are the functions of the library that make nothing and end soon: they walk what there is once. Those with a
// predicate are stopped at each turn by the guard.
var harmless = strings.Fields("all any none one filter map find findIndex findLast findLastIndex count sum reduce len first last")

// function is one of ours: its types for the checker (pointers to func), and what it does.
type function struct {
	types []any
	call  func(r *run, args []any) (any, error)
}

// functions are ours by name.
var functions = func() map[string]function {
	add := binary("+", (*big.Int).Add, func(x, y float64) float64 { return x + y })
	subtract := binary("-", (*big.Int).Sub, func(x, y float64) float64 { return x - y })
	multiply := binary("*", (*big.Int).Mul, func(x, y float64) float64 { return x * y })
	modulo := binary("%", (*big.Int).Rem, math.Mod)
	two, ints := []any{new(func(any, any) any)}, []any{new(func(int, int) int)}
	return map[string]function{
		fnLookup:   {[]any{new(func(string) any)}, func(r *run, a []any) (any, error) { return r.variable(a[0].(string)) }},
		fnTick:     {[]any{new(func() bool)}, func(r *run, _ []any) (any, error) { return true, nil }},
		fnAdd:      {two, add},
		fnAddInt:   {ints, intOnly(add)},
		fnConcat:   {[]any{new(func(string, string) string)}, add},
		fnSubtract: {two, subtract},
		fnSubInt:   {ints, intOnly(subtract)},
		fnMultiply: {two, multiply},
		fnMulInt:   {ints, intOnly(multiply)},
		fnModulo:   {two, modulo},
		fnEqual:    {[]any{new(func(any, any) bool)}, func(r *run, a []any) (any, error) { return r.equal(a[0], a[1]) }},
		fnUnequal: {[]any{new(func(any, any) bool)}, func(r *run, a []any) (any, error) {
			same, err := r.equal(a[0], a[1])
			return !same, err
		}},
		fnIn:     {[]any{new(func(any, any) bool)}, in},
		fnMember: {two, member},
		fnSlice:  {[]any{new(func(any, any, any) any)}, slice},
		fnRange:  {[]any{new(func(any, any) []int)}, span},

		"abs":   {[]any{new(func(any) any)}, abs},
		"int":   {[]any{new(func(any) any)}, func(_ *run, a []any) (any, error) { return toInt(a[0]) }},
		"float": {[]any{new(func(any) float64)}, toFloat},
		"ceil":  {[]any{new(func(any) any)}, wholeOf(math.Ceil)},
		"floor": {[]any{new(func(any) any)}, wholeOf(math.Floor)},
		"round": {[]any{new(func(any) any), new(func(any, any) any)}, round},
		"sqrt":  real1(math.Sqrt), "exp": real1(math.Exp), "log": real1(math.Log), "log2": real1(math.Log2), "log10": real1(math.Log10),
		"sin": real1(math.Sin), "cos": real1(math.Cos), "tan": real1(math.Tan),
		"min":   {[]any{new(func(...any) any)}, extreme("min", -1)},
		"max":   {[]any{new(func(...any) any)}, extreme("max", 1)},
		"clamp": {[]any{new(func(any, any, any) any)}, clamp},

		"string":      {[]any{new(func(any) string)}, func(r *run, a []any) (any, error) { return r.text1(a[0]) }},
		"upper":       {[]any{new(func(string) string)}, text1(strings.ToUpper)},
		"lower":       {[]any{new(func(string) string)}, text1(strings.ToLower)},
		"trim":        {[]any{new(func(string) string)}, text1(strings.TrimSpace)},
		"fixed":       {[]any{new(func(any, any) string)}, fixed},
		"pad":         {[]any{new(func(any, any) string)}, pad},
		"repeat":      {[]any{new(func(string, any) string)}, repeat},
		"replace":     {[]any{new(func(string, string, string) string)}, replace},
		"split":       {[]any{new(func(string, string) []any)}, split},
		"join":        {[]any{new(func(any) string), new(func(any, string) string)}, join},
		"indexOf":     {[]any{new(func(string, string) int)}, index(strings.Index)},
		"lastIndexOf": {[]any{new(func(string, string) int)}, index(strings.LastIndex)},
	}
}()

// real1 is a function of one real number.
func real1(f func(float64) float64) function {
	return function{[]any{new(func(any) float64)}, func(_ *run, a []any) (any, error) {
		x, ok := floatOf(a[0])
		if !ok {
			return nil, needNumber(a[0])
		}
		return f(x), nil
	}}
}

func needNumber(v any) error { return fmt.Errorf("need a number, have %s", describe(v)) }

func abs(_ *run, a []any) (any, error) {
	if n := integerOf(a[0]); n != nil {
		return fitting(n.Abs(n))
	}
	x, ok := floatOf(a[0])
	if !ok {
		return nil, needNumber(a[0])
	}
	return math.Abs(x), nil
}

func toFloat(_ *run, a []any) (any, error) {
	if x, ok := floatOf(a[0]); ok {
		return x, nil
	}
	if s, ok := a[0].(string); ok && len(s) < 100 {
		if x, err := strconv.ParseFloat(strings.TrimSpace(s), 64); err == nil {
			return x, nil
		}
	}
	return nil, needNumber(a[0])
}

// wholeOf rounds to an integer.
func wholeOf(f func(float64) float64) func(*run, []any) (any, error) {
	return func(_ *run, a []any) (any, error) {
		if n := integerOf(a[0]); n != nil {
			return fitting(n)
		}
		x, ok := floatOf(a[0])
		if !ok {
			return nil, needNumber(a[0])
		}
		return toInt(f(x))
	}
}

// round gives an integer, or with a number of digits a float.
func round(r *run, a []any) (any, error) {
	if len(a) == 1 {
		return wholeOf(math.Round)(r, a)
	}
	x, ok := floatOf(a[0])
	digits, isInt := a[1].(int)
	if !ok || !isInt || digits < -300 || digits > 300 {
		return nil, fmt.Errorf("need a number and an integer of digits, have %s and %s", describe(a[0]), describe(a[1]))
	}
	return roundAt(x, digits), nil
}

// extreme is the least or the greatest of its arguments, or of a list.
func extreme(name string, sign int) func(*run, []any) (any, error) {
	return func(r *run, a []any) (any, error) {
		if len(a) == 1 {
			if list, ok := items(a[0]); ok {
				a = list
			}
		}
		if len(a) == 0 {
			return nil, fmt.Errorf("%s of nothing", name)
		}
		if err := r.touch(len(a)); err != nil {
			return nil, err
		}
		for _, v := range a {
			if _, ok := floatOf(v); !ok {
				return nil, needNumber(v)
			}
		}
		best := a[0]
		for _, v := range a[1:] {
			if compare(v, best) == sign {
				best = v
			}
		}
		return best, nil
	}
}

// compare is the sign of a - b; both are numbers.
func compare(a, b any) int {
	if x, y := integerOf(a), integerOf(b); x != nil && y != nil {
		return x.Cmp(y)
	}
	x, _ := floatOf(a)
	y, _ := floatOf(b)
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

func clamp(_ *run, a []any) (any, error) {
	for _, v := range a {
		if _, ok := floatOf(v); !ok {
			return nil, needNumber(v)
		}
	}
	switch {
	case compare(a[0], a[1]) < 0:
		return a[1], nil
	case compare(a[0], a[2]) > 0:
		return a[2], nil
	}
	return a[0], nil
}

// in looks for a value in a list, or for a key in a map.
func in(r *run, a []any) (any, error) {
	if m, ok := a[1].(map[string]any); ok {
		key, isText := a[0].(string)
		_, found := m[key]
		return isText && found, nil
	}
	list, ok := items(a[1])
	if !ok {
		return nil, mismatch("in", a[0], a[1])
	}
	for _, v := range list {
		if err := r.touch(1); err != nil {
			return nil, err
		}
		if same, err := r.equal(a[0], v); err != nil || same {
			return same, err
		}
	}
	return false, nil
}
