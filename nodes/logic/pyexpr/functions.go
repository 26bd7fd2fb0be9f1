package pyexpr

import (
	"math"
	"math/big"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"graphrun/graph/python"
)

// functions are all that can be called by name.
var functions = []string{"sum", "min", "max", "abs", "round", "pow", "sqrt", "ceil", "floor", "log", "log2", "log10", "sin", "cos", "tan", "int", "float"}

func (e *evaluator) attribute(v any, name string) (any, error) {
	if strings.HasPrefix(name, "_") {
		return nil, errorf("FeatureNotAvailable", "access to %s is not available", name)
	}
	if value, err := python.Attribute(v, name); err == nil {
		return value, nil
	}
	x, ok := number(v)
	_, isInt := x.(*big.Int)
	if ok && (name == "conjugate" || isInt && (name == "bit_length" || name == "bit_count") || name == "is_integer") {
		return function{x, name}, nil
	}
	return nil, errorf("AttributeDoesNotExist", "a value of type %s has no attribute %s", python.Type(v), name)
}

// call evaluates the arguments and calls a function or a method.
func (e *evaluator) call(n *node) (any, error) {
	var f function
	if n.a.kind == name {
		if f.name = n.a.text; !slices.Contains(functions, f.name) {
			return nil, errorf("FunctionNotDefined", "function '%s' is not defined", f.name)
		}
	} else {
		v, err := e.eval(n.a)
		if err != nil {
			return nil, err
		}
		var ok bool
		if f, ok = v.(function); !ok {
			return nil, errorf("TypeError", "'%s' object is not callable", python.Type(v))
		}
	}
	var args []any
	named := map[string]any{}
	for i, a := range n.list {
		v, err := e.eval(a)
		if err != nil {
			return nil, err
		}
		if k := n.keywords[i]; k != "" {
			named[k] = v
		} else {
			args = append(args, v)
		}
	}
	if f.of != nil {
		return method(f, len(args)+len(named))
	}
	return e.apply(f.name, args, named)
}

func method(f function, args int) (any, error) {
	if args > 0 {
		return nil, errorf("TypeError", "%s() takes no arguments (%d given)", f.name, args)
	}
	n, isInt := f.of.(*big.Int)
	switch {
	case f.name == "conjugate":
		return f.of, nil
	case f.name == "is_integer":
		x, _ := f.of.(float64)
		return isInt || x == math.Trunc(x) && !math.IsInf(x, 0), nil
	case f.name == "bit_length":
		return big.NewInt(int64(n.BitLen())), nil
	}
	ones := 0
	for _, w := range n.Bits() {
		ones += bits.OnesCount(uint(w))
	}
	return big.NewInt(int64(ones)), nil
}

// apply calls a function. Keywords are those that Python's have: ndigits, default, base, exp, x.
func (e *evaluator) apply(name string, args []any, named map[string]any) (any, error) {
	switch name {
	case "sum":
		return e.sum(args, named)
	case "min", "max":
		return extreme(name, args, named)
	case "round":
		if v, ok := named["number"]; ok && len(args) == 0 {
			args = []any{v}
			delete(named, "number")
		}
		if v, ok := named["ndigits"]; ok && len(args) == 1 {
			args = append(args, v)
			delete(named, "ndigits")
		}
	case "pow":
		for _, key := range []string{"base", "exp"} {
			if v, ok := named[key]; ok {
				args = append(args, v)
				delete(named, key)
			}
		}
	case "int":
		if v, ok := named["base"]; ok && len(args) == 1 {
			args = append(args, v)
			delete(named, "base")
		}
	}
	if len(named) > 0 {
		return nil, errorf("TypeError", "%s() got an unexpected keyword argument", name)
	}
	least, most := 1, 1
	switch name {
	case "round", "log":
		most = 2
	case "pow":
		least, most = 2, 2
	case "int":
		least, most = 0, 2
	case "float":
		least = 0
	}
	if len(args) < least || len(args) > most {
		return nil, errorf("TypeError", "%s() takes %d to %d arguments (%d given)", name, least, most, len(args))
	}
	switch name {
	case "int":
		return toInt(args)
	case "float":
		if len(args) == 0 {
			return 0.0, nil
		}
		if s, ok := args[0].(string); ok {
			return python.ParseFloat(s)
		}
	case "pow":
		return e.pow(args[0], args[1])
	}
	x, ok := number(args[0])
	if !ok {
		return nil, errorf("TypeError", "%s() needs a number, not '%s'", name, python.Type(args[0]))
	}
	switch name {
	case "abs":
		if n, ok := x.(*big.Int); ok {
			return new(big.Int).Abs(n), nil
		}
		return math.Abs(x.(float64)), nil
	case "round":
		return round(x, args[1:])
	case "ceil", "floor":
		if f, ok := x.(float64); ok {
			return python.ToInt(map[string]func(float64) float64{"ceil": math.Ceil, "floor": math.Floor}[name](f))
		}
		return x, nil
	case "float":
		return toFloat(x)
	case "log", "log2", "log10":
		return logarithm(name, x, args[1:])
	}
	f, err := toFloat(x)
	if err != nil {
		return nil, err
	}
	var y float64
	switch name {
	case "sqrt":
		y = math.Sqrt(f)
	default: // sin, cos, tan
		if y = math.NaN(); !math.IsInf(f, 0) && !math.IsNaN(f) {
			y = sineOf(name, f)
		}
	}
	if math.IsNaN(y) && !math.IsNaN(f) {
		return nil, errorf("ValueError", "math domain error")
	}
	return y, nil
}

func toInt(args []any) (any, error) {
	if len(args) == 0 {
		return small[0], nil
	}
	s, isText := args[0].(string)
	if len(args) == 2 {
		base, ok := integer(args[1])
		if !ok || !isText {
			return nil, errorf("TypeError", "int() can't convert non-string with explicit base")
		}
		b := clamp(base)
		text := strings.TrimSpace(strings.ToLower(s))
		sign := strings.HasPrefix(text, "-")
		text = strings.TrimLeft(text, "+-")
		if prefix := map[int]string{16: "0x", 8: "0o", 2: "0b"}[b]; prefix != "" {
			text = strings.TrimPrefix(text, prefix)
		}
		plain, fine := python.Digits(text)
		if b < 2 || b > 36 || !fine || plain == "" || len(plain) > python.MostDigits || strings.ContainsAny(plain, "+-_") {
			return nil, errorf("ValueError", "invalid literal for int() with base %d: %s", b, python.Repr(s))
		}
		n, fine := new(big.Int).SetString(plain, b)
		if !fine {
			return nil, errorf("ValueError", "invalid literal for int() with base %d: %s", b, python.Repr(s))
		}
		if sign {
			n.Neg(n)
		}
		return n, nil
	}
	if isText {
		return python.Int(s)
	}
	switch x, ok := number(args[0]); {
	case !ok:
		return nil, errorf("TypeError", "int() argument must be a string, a bytes-like object or a real number, not '%s'", python.Type(args[0]))
	default:
		if f, isFloat := x.(float64); isFloat {
			return python.ToInt(f)
		}
		return x, nil
	}
}

// items are the arguments of sum, min and max: those of the only one, if that is a list.
func items(args []any) []any {
	if len(args) == 1 {
		switch x := args[0].(type) {
		case []any:
			return x
		case string:
			list := []any{}
			for _, r := range x {
				list = append(list, string(r))
			}
			return list
		}
	}
	return args
}

func (e *evaluator) sum(args []any, named map[string]any) (any, error) {
	if len(named) > 0 {
		return nil, errorf("TypeError", "sum() got an unexpected keyword argument")
	}
	var total any = small[0]
	for _, v := range items(args) {
		var err error
		if total, err = e.binary("+", total, python.Plain(v)); err != nil {
			return nil, err
		}
	}
	return total, nil
}

// extreme is min or max: of equal ones the first.
func extreme(name string, args []any, named map[string]any) (any, error) {
	list := items(args)
	fallback, hasDefault := named["default"]
	switch {
	case len(named) > 1 || len(named) == 1 && !hasDefault || hasDefault && len(args) != 1:
		return nil, errorf("TypeError", "%s() got an unexpected keyword argument", name)
	case len(args) == 0:
		return nil, errorf("TypeError", "%s expected at least 1 argument, got 0", name)
	case len(args) == 1:
		if _, ok := number(args[0]); ok || args[0] == nil {
			return nil, errorf("TypeError", "'%s' object is not iterable", python.Type(args[0]))
		}
	}
	if len(list) == 0 {
		if hasDefault {
			return fallback, nil
		}
		return nil, errorf("ValueError", "%s() arg is an empty sequence", name)
	}
	best := python.Plain(list[0])
	for _, v := range list[1:] {
		v = python.Plain(v)
		op := "<"
		if name == "max" {
			op = ">"
		}
		better, err := holds(op, v, best)
		if err != nil {
			return nil, err
		}
		if better {
			best = v
		}
	}
	return best, nil
}

// mostPowExponent is the reference's limit of the function pow.
const mostPowExponent = 4000

func (e *evaluator) pow(base, exp any) (any, error) {
	if x, ok := number(exp); ok {
		if f, err := toFloat(x); err != nil || math.Abs(f) > mostPowExponent {
			return nil, errorf("ValueError", "the exponent of pow must be within ±%d", mostPowExponent)
		}
	}
	return e.binary("**", base, exp)
}

// round is banker's; with a number of digits a float stays one.
func round(x any, digits []any) (any, error) {
	f, isFloat := x.(float64)
	if len(digits) == 0 || digits[0] == nil {
		if isFloat {
			return python.ToInt(math.RoundToEven(f))
		}
		return x, nil
	}
	n, ok := integer(digits[0])
	if !ok {
		return nil, errorf("TypeError", "'%s' object cannot be interpreted as an integer", python.Type(digits[0]))
	}
	places := clamp(n)
	if !isFloat {
		if places >= 0 {
			return x, nil
		}
		if -places > mostDigits(x.(*big.Int)) {
			return small[0], nil
		}
		unit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(-places)), nil)
		return nearest(x.(*big.Int), unit), nil
	}
	switch {
	case math.IsNaN(f) || math.IsInf(f, 0) || f == 0 || places > 323:
		return f, nil
	case places < -308:
		return math.Copysign(0, f), nil
	case places >= 0:
		r, err := strconv.ParseFloat(strconv.FormatFloat(f, 'f', places, 64), 64)
		if err != nil {
			return nil, errorf("OverflowError", "rounded value too large to represent")
		}
		return r, nil
	}
	unit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(-places)), nil)
	r := new(big.Rat).SetFloat64(f)
	// f is k units and a rest: compare the doubled rest with the unit, exactly.
	scaled := nearest(r.Num(), new(big.Int).Mul(r.Denom(), unit))
	out, _ := new(big.Rat).SetFrac(scaled, r.Denom()).Float64()
	if out == 0 {
		return math.Copysign(0, f), nil
	}
	if math.IsInf(out, 0) {
		return nil, errorf("OverflowError", "rounded value too large to represent")
	}
	return out, nil
}

// mostDigits is no less than the number of the decimal digits of n.
func mostDigits(n *big.Int) int { return n.BitLen()/3 + 2 }

// nearest is the multiple of unit nearest to n, of two the even one.
func nearest(n, unit *big.Int) *big.Int {
	q, r := new(big.Int).DivMod(n, unit, new(big.Int)) // r is not negative
	switch c := new(big.Int).Lsh(r, 1).Cmp(unit); {
	case c > 0 || c == 0 && q.Bit(0) == 1:
		q.Add(q, small[1])
	}
	return q.Mul(q, unit)
}

func logarithm(name string, x any, base []any) (any, error) {
	l, err := naturalLog(name, x)
	if err != nil || len(base) == 0 {
		return l, err
	}
	b, ok := number(base[0])
	if !ok {
		return nil, errorf("TypeError", "must be real number, not %s", python.Type(base[0]))
	}
	k, err := naturalLog(name, b)
	if err != nil {
		return nil, err
	}
	if k == 0 {
		return nil, errorf("ZeroDivisionError", "division by zero")
	}
	return l / k, nil
}

// naturalLog is log, log2 or log10, also of integers that no float holds.
func naturalLog(name string, x any) (float64, error) {
	f, shift := 0.0, 0
	switch v := x.(type) {
	case float64:
		f = v
	case *big.Int:
		if shift = max(v.BitLen()-1000, 0); shift > 0 {
			v = new(big.Int).Rsh(v, uint(shift))
		}
		f, _ = new(big.Float).SetInt(v).Float64()
	}
	if f <= 0 {
		return 0, errorf("ValueError", "math domain error")
	}
	if math.IsInf(f, 1) || math.IsNaN(f) {
		return f, nil
	}
	y := logOf(name, f)
	switch name {
	case "log2":
		return y + float64(shift), nil
	case "log10":
		return y + float64(shift)*math.Log10(2), nil
	}
	return y + float64(shift)*math.Ln2, nil
}
