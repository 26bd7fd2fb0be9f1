package pyexpr

import (
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
	switch x := v.(type) {
	case bool:
		if x {
			return small[1], true
		}
		return small[0], true
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

func (e *evaluator) unary(op string, v any) (any, error) {
	if op == "not" {
		return !python.Truth(v), nil
	}
	x, ok := number(v)
	n, isInt := x.(*big.Int)
	switch {
	case !ok || op == "~" && !isInt:
		return nil, errorf("TypeError", "bad operand type for unary %s: '%s'", op, python.Type(v))
	case op == "~":
		return new(big.Int).Not(n), nil
	case op == "+":
		return x, nil
	case isInt:
		return new(big.Int).Neg(n), nil
	}
	return -x.(float64), nil
}

func (e *evaluator) binary(op string, a, b any) (any, error) {
	wrong := errorf("TypeError", "unsupported operand type(s) for %s: '%s' and '%s'", op, python.Type(a), python.Type(b))
	if op == "@" {
		return nil, errorf("OperatorNotDefined", "@ is not available")
	}
	x, xok := number(a)
	y, yok := number(b)
	if !xok || !yok {
		return e.sequence(op, a, b, wrong)
	}
	n, nok := x.(*big.Int)
	m, mok := y.(*big.Int)
	if nok && mok {
		v, err := e.integers(op, n, m)
		if _, both := a.(bool); both && err == nil && (op == "&" || op == "|" || op == "^") {
			if _, both = b.(bool); both {
				return v.(*big.Int).Sign() != 0, nil
			}
		}
		return v, err
	}
	switch op {
	case "&", "|", "^", "<<", ">>":
		return nil, wrong
	case "**":
		if err := powerLimit(y); err != nil {
			return nil, err
		}
	}
	f, err := toFloat(x)
	if err != nil {
		return nil, err
	}
	g, err := toFloat(y)
	if err != nil {
		return nil, err
	}
	return floats(op, f, g)
}

func toFloat(v any) (float64, error) {
	if n, ok := v.(*big.Int); ok {
		return python.ToFloat(n)
	}
	return v.(float64), nil
}

// floats computes with Python's floor division and remainder: their sign is the divisor's.
func floats(op string, a, b float64) (any, error) {
	switch op {
	case "+":
		return a + b, nil
	case "-":
		return a - b, nil
	case "*":
		return a * b, nil
	case "**":
		return power(a, b)
	}
	if b == 0 {
		return nil, errorf("ZeroDivisionError", "float division by zero")
	}
	if op == "/" {
		return a / b, nil
	}
	mod := math.Mod(a, b)
	div := (a - mod) / b
	if mod == 0 {
		mod = math.Copysign(0, b)
	} else if (b < 0) != (mod < 0) {
		mod += b
		div--
	}
	if op == "%" {
		return mod, nil
	}
	if div == 0 {
		return math.Copysign(0, a/b), nil
	}
	floor := math.Floor(div)
	if div-floor > 0.5 {
		floor++
	}
	return floor, nil
}

func power(a, b float64) (any, error) {
	switch {
	case a == 0 && b < 0:
		return nil, errorf("ZeroDivisionError", "0.0 cannot be raised to a negative power")
	case a < 0 && !math.IsInf(a, 0) && b != math.Trunc(b):
		return complexNumber{}, nil
	}
	p := math.Pow(a, b)
	if finite := !math.IsInf(a, 0) && !math.IsInf(b, 0) && !math.IsNaN(a) && !math.IsNaN(b); finite && a != 0 {
		p = powOf(a, b)
	}
	if math.IsInf(p, 0) && !math.IsInf(a, 0) && !math.IsInf(b, 0) {
		return nil, errorf("OverflowError", "(34, 'Numerical result out of range')")
	}
	return p, nil
}

func powerLimit(exp any) error {
	f, err := toFloat(exp)
	if err != nil || math.Abs(f) > mostPower {
		return errorf("NumberTooHigh", "an exponent of more than %d", mostPower)
	}
	return nil
}

// spend counts the size of a result before it is computed.
func (e *evaluator) spend(bits int) error {
	if bits > mostBits {
		return errorf("NumberTooHigh", "a number of more than %d bits", mostBits)
	}
	if bits > 4096 {
		if e.work += bits; e.work > mostWork {
			return errorf("NumberTooHigh", "numbers of more than %d bits in all", mostWork)
		}
	}
	return nil
}

func (e *evaluator) integers(op string, a, b *big.Int) (any, error) {
	r := new(big.Int)
	size := max(a.BitLen(), b.BitLen()) + 1
	switch op {
	case "*":
		size = a.BitLen() + b.BitLen()
	case "**":
		if err := powerLimit(b); err != nil {
			return nil, err
		}
		if b.Sign() < 0 {
			f, err := python.ToFloat(a)
			if err != nil {
				return nil, err
			}
			return power(f, float64(b.Int64()))
		}
		if size = 1; a.BitLen() > 1 {
			size = min(a.BitLen(), mostBits) * int(b.Int64())
		}
	case "<<", ">>":
		if b.Sign() < 0 {
			return nil, errorf("ValueError", "negative shift count")
		}
		if b.Cmp(big.NewInt(mostShift)) > 0 {
			return nil, errorf("NumberTooHigh", "a shift by more than %d", mostShift)
		}
		size += int(b.Int64())
	case "/", "//", "%":
		switch {
		case b.Sign() != 0:
		case op == "/":
			return nil, errorf("ZeroDivisionError", "division by zero")
		default:
			return nil, errorf("ZeroDivisionError", "integer division or modulo by zero")
		}
	}
	if err := e.spend(size); err != nil {
		return nil, err
	}
	switch op {
	case "+":
		return r.Add(a, b), nil
	case "-":
		return r.Sub(a, b), nil
	case "*":
		return r.Mul(a, b), nil
	case "**":
		return r.Exp(a, b, nil), nil
	case "<<":
		return r.Lsh(a, uint(b.Int64())), nil
	case ">>":
		return r.Rsh(a, uint(b.Int64())), nil
	case "&":
		return r.And(a, b), nil
	case "|":
		return r.Or(a, b), nil
	case "^":
		return r.Xor(a, b), nil
	case "/":
		return divide(a, b)
	}
	mod := new(big.Int)
	r.QuoRem(a, b, mod)
	if mod.Sign() != 0 && mod.Sign() != b.Sign() {
		mod.Add(mod, b)
		r.Sub(r, small[1])
	}
	if op == "%" {
		return mod, nil
	}
	return r, nil
}

// divide is the float nearest to a/b.
func divide(a, b *big.Int) (any, error) {
	// Beyond 4096 bits the low ones cannot matter but in a tie, which no quotient of such numbers is by chance.
	if drop := min(a.BitLen(), b.BitLen()) - 4096; drop > 0 {
		a, b = new(big.Int).Rsh(a, uint(drop)), new(big.Int).Rsh(b, uint(drop))
	}
	f, _ := new(big.Rat).SetFrac(a, b).Float64()
	if math.IsInf(f, 0) {
		return nil, errorf("OverflowError", "integer division result too large for a float")
	}
	return f, nil
}

// sequence is + and * of texts and lists.
func (e *evaluator) sequence(op string, a, b any, wrong error) (any, error) {
	if op == "*" {
		if n, ok := integer(a); ok {
			return e.repeat(b, n, wrong)
		}
		if n, ok := integer(b); ok {
			return e.repeat(a, n, wrong)
		}
		return nil, wrong
	}
	if op != "+" {
		return nil, wrong
	}
	switch x := a.(type) {
	case string:
		if y, ok := b.(string); ok {
			if len(x)+len(y) > MostChars {
				return nil, errorf("IterableTooLong", "a text of more than %d bytes", MostChars)
			}
			return x + y, nil
		}
	case []any:
		if y, ok := b.([]any); ok {
			if len(x)+len(y) > MostChars {
				return nil, errorf("IterableTooLong", "a list of more than %d values", MostChars)
			}
			return append(append([]any{}, x...), y...), nil
		}
	}
	return nil, wrong
}

func (e *evaluator) repeat(v any, n *big.Int, wrong error) (any, error) {
	size := 0
	switch x := v.(type) {
	case string:
		size = len(x)
	case []any:
		size = len(x)
	default:
		return nil, wrong
	}
	if n.Sign() <= 0 || size == 0 {
		n = small[0]
	}
	if !n.IsInt64() || n.Int64() > MostChars || size*int(n.Int64()) > MostChars {
		return nil, errorf("IterableTooLong", "more than %d values", MostChars)
	}
	if s, ok := v.(string); ok {
		return strings.Repeat(s, int(n.Int64())), nil
	}
	out := []any{}
	for range n.Int64() {
		out = append(out, v.([]any)...)
	}
	return out, nil
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
