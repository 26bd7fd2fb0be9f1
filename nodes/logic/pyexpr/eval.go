package pyexpr

import (
	"fmt"
	"math"
	"math/big"
	"strings"

	"graphrun/graph/python"
)

type evaluator struct {
	names map[string]any
	work  int // bits of large results so far
}

// function is a name that can be called, or a method of a value.
type function struct {
	of   any
	name string
}

// String is what Python shows of it, without the address.
func (f function) String() string {
	return fmt.Sprintf("<built-in method %s of %s object>", f.name, python.Type(f.of))
}

func (e *evaluator) eval(n *node) (any, error) {
	switch n.kind {
	case constant:
		if s, ok := n.value.(string); ok && len(s) > MostChars {
			return nil, errorf("IterableTooLong", "a text of %d bytes; at most %d", len(s), MostChars)
		}
		return n.value, nil
	case name:
		v, ok := e.names[n.text]
		if !ok {
			return nil, errorf("NameNotDefined", "'%s' is not defined", n.text)
		}
		return python.Plain(v), nil
	case unavailable:
		return nil, errorf("FeatureNotAvailable", "%s is not available", n.text)
	case logic:
		a, err := e.eval(n.a)
		if err != nil || python.Truth(a) == (n.text == "or") {
			return a, err
		}
		return e.eval(n.b)
	case choice:
		cond, err := e.eval(n.b)
		switch {
		case err != nil:
			return nil, err
		case python.Truth(cond):
			return e.eval(n.a)
		}
		return e.eval(n.c)
	case compare:
		return e.compare(n)
	case call:
		return e.call(n)
	case formatted:
		return e.format(n)
	}
	a, err := e.eval(n.a)
	if err != nil {
		return nil, err
	}
	switch n.kind {
	case unary:
		return e.unary(n.text, a)
	case attribute:
		return e.attribute(a, n.text)
	case index:
		return e.index(a, n.b)
	}
	b, err := e.eval(n.b)
	if err != nil {
		return nil, err
	}
	return e.binary(n.text, a, b)
}

// number returns v with booleans as integers; ok is false for what is no number.
func number(v any) (any, bool) {
	switch x := python.Number(v).(type) {
	case *big.Int, float64:
		return x, true
	}
	return v, false
}

func integer(v any) (*big.Int, bool) {
	v, _ = number(v)
	n, ok := v.(*big.Int)
	return n, ok
}

// order is the sign of a - b of two numbers; unordered if one is NaN.
func order(a, b any) (sign int, unordered bool) {
	f, isFloat := a.(float64)
	g, isFloat2 := b.(float64)
	if isFloat && isFloat2 {
		switch {
		case f < g:
			return -1, false
		case f > g:
			return 1, false
		}
		return 0, f != g
	}
	if math.IsNaN(f) || math.IsNaN(g) {
		return 0, true
	}
	exact := func(v any) *big.Float {
		if n, ok := v.(*big.Int); ok {
			return new(big.Float).SetPrec(uint(max(64, n.BitLen()))).SetInt(n)
		}
		return big.NewFloat(v.(float64))
	}
	if n, ok := a.(*big.Int); ok {
		if m, ok := b.(*big.Int); ok {
			return n.Cmp(m), false
		}
	}
	return exact(a).Cmp(exact(b)), false
}

func equal(a, b any) bool {
	x, xok := number(a)
	y, yok := number(b)
	if xok && yok {
		sign, unordered := order(x, y)
		return sign == 0 && !unordered
	}
	switch x := a.(type) {
	case nil:
		return b == nil
	case string:
		y, ok := b.(string)
		return ok && x == y
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !equal(python.Plain(x[i]), python.Plain(y[i])) {
				return false
			}
		}
		return true
	}
	return false
}

func (e *evaluator) compare(n *node) (any, error) {
	left, err := e.eval(n.a)
	if err != nil {
		return nil, err
	}
	for i, op := range n.ops {
		right, err := e.eval(n.list[i])
		if err != nil {
			return nil, err
		}
		ok, err := holds(op, left, right)
		if err != nil || !ok {
			return false, err
		}
		left = right
	}
	return true, nil
}

func holds(op string, a, b any) (bool, error) {
	switch op {
	case "==":
		return equal(a, b), nil
	case "!=":
		return !equal(a, b), nil
	case "is":
		return same(a, b), nil
	case "is not":
		return !same(a, b), nil
	case "in", "not in":
		ok, err := contains(b, a)
		return ok == (op == "in"), err
	}
	x, xok := number(a)
	y, yok := number(b)
	sign, unordered := 0, false
	s, isText := a.(string)
	t, isText2 := b.(string)
	switch {
	case xok && yok:
		sign, unordered = order(x, y)
	case isText && isText2:
		sign = strings.Compare(s, t)
	default:
		return false, errorf("TypeError", "'%s' not supported between instances of '%s' and '%s'", op, python.Type(a), python.Type(b))
	}
	switch op {
	case "<":
		return sign < 0 && !unordered, nil
	case "<=":
		return sign <= 0 && !unordered, nil
	case ">":
		return sign > 0 && !unordered, nil
	}
	return sign >= 0 && !unordered, nil
}

// same is identity as CPython has it: of None, booleans and integers from -5 to 256; other values are the same if they
// are one object.
func same(a, b any) bool {
	if python.Type(a) != python.Type(b) || !equal(a, b) {
		return false
	}
	if n, ok := a.(*big.Int); ok {
		return n == b.(*big.Int) || n.IsInt64() && n.Int64() >= -5 && n.Int64() <= 256
	}
	return true
}

func contains(in, v any) (bool, error) {
	switch x := in.(type) {
	case string:
		s, ok := v.(string)
		if !ok {
			return false, errorf("TypeError", "'in <string>' requires string as left operand, not %s", python.Type(v))
		}
		return strings.Contains(x, s), nil
	case []any:
		for _, item := range x {
			if equal(python.Plain(item), v) {
				return true, nil
			}
		}
		return false, nil
	}
	return false, errorf("TypeError", "argument of type '%s' is not iterable", python.Type(in))
}

// index is v[at] or v[a:b:c].
func (e *evaluator) index(v any, at *node) (any, error) {
	var list []any
	text, isText := v.(string)
	if isText {
		for _, r := range text {
			list = append(list, string(r))
		}
	} else if l, ok := v.([]any); ok {
		list = l
	} else {
		return nil, errorf("TypeError", "'%s' object is not subscriptable", python.Type(v))
	}
	if at.kind == slice {
		part, err := e.slice(list, at.list)
		if err != nil || !isText {
			return part, err
		}
		var b strings.Builder
		for _, c := range part {
			b.WriteString(c.(string))
		}
		return b.String(), nil
	}
	x, err := e.eval(at)
	if err != nil {
		return nil, err
	}
	n, ok := integer(x)
	if !ok {
		return nil, errorf("TypeError", "%s indices must be integers or slices, not %s", python.Type(v), python.Type(x))
	}
	i := clamp(n)
	if i < 0 {
		i += len(list)
	}
	if i < 0 || i >= len(list) {
		return nil, errorf("IndexError", "%s index out of range", python.Type(v))
	}
	return python.Plain(list[i]), nil
}

// clamp is n within what an int holds with room to spare.
func clamp(n *big.Int) int {
	switch {
	case n.CmpAbs(maxInt) < 0:
		return int(n.Int64())
	case n.Sign() < 0:
		return -1 << 61
	}
	return 1 << 61
}

func (e *evaluator) slice(list []any, parts []*node) ([]any, error) {
	var at [3]*int
	for i, p := range parts {
		if p == nil {
			continue
		}
		v, err := e.eval(p)
		if err != nil {
			return nil, err
		}
		if n, ok := integer(v); ok {
			x := clamp(n)
			at[i] = &x
		} else if v != nil {
			return nil, errorf("TypeError", "slice indices must be integers or None or have an __index__ method")
		}
	}
	step, size := 1, len(list)
	if at[2] != nil {
		step = *at[2]
	}
	if step == 0 {
		return nil, errorf("ValueError", "slice step cannot be zero")
	}
	low, high := 0, size // bounds of start and stop
	if step < 0 {
		low, high = -1, size-1
	}
	bound := func(p *int, absent int) int {
		if p == nil {
			return absent
		}
		i := *p
		if i < 0 {
			i += size
		}
		return min(max(i, low), high)
	}
	start, stop := bound(at[0], low), bound(at[1], high)
	if step < 0 {
		start, stop = bound(at[0], high), bound(at[1], low)
	}
	out := []any{}
	for i := start; step > 0 && i < stop || step < 0 && i > stop; i += step {
		out = append(out, list[i])
	}
	return out, nil
}

// format makes the text of an f-string.
func (e *evaluator) format(n *node) (any, error) {
	var b strings.Builder
	for _, part := range n.list {
		if part.kind == constant {
			b.WriteString(part.value.(string))
			continue
		}
		v, err := e.eval(part.a)
		if err != nil {
			return nil, err
		}
		s, err := python.Format(v, part.text)
		if err != nil {
			return nil, err
		}
		if b.WriteString(s); b.Len() > MostChars {
			return nil, errorf("IterableTooLong", "a text of more than %d bytes", MostChars)
		}
	}
	return b.String(), nil
}
