package pyexpr

import (
	"math"
	"math/big"
	"strings"

	"graphrun/graph/python"
)

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
