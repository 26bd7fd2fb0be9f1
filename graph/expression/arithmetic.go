package expression

import (
	"errors"
	"fmt"
	"math"
	"math/big"
)

// binary is an operator on numbers: exact on integers of 64 bits, whether they are signed or not, otherwise on float64.
func binary(operator string, whole func(z, x, y *big.Int) *big.Int, float func(x, y float64) float64) func(*run, []any) (any, error) {
	return func(r *run, args []any) (any, error) {
		a, b := args[0], args[1]
		if s, ok := a.(string); ok && operator == "+" {
			if t, ok := b.(string); ok {
				return s + t, r.spend(len(s) + len(t))
			}
		}
		x, y := integerOf(a), integerOf(b)
		if x != nil && y != nil {
			if operator == "%" && y.Sign() == 0 {
				return nil, errors.New("division by zero")
			}
			return fitting(whole(x, x, y))
		}
		f, ok := floatOf(a)
		g, too := floatOf(b)
		if !ok || !too {
			return nil, mismatch(operator, a, b)
		}
		return float(f, g), nil
	}
}

// fitting is the int or uint64 that holds n.
func fitting(n *big.Int) (any, error) {
	switch {
	case n.IsInt64() && int64(int(n.Int64())) == n.Int64():
		return int(n.Int64()), nil
	case n.IsUint64():
		return n.Uint64(), nil
	}
	return nil, fmt.Errorf("the number %s does not fit into 64 bits", n)
}

// intOnly converts the result of an integer operator where the checker has promised an int.
func intOnly(f func(*run, []any) (any, error)) func(*run, []any) (any, error) {
	return func(r *run, args []any) (any, error) {
		v, err := f(r, args)
		if _, ok := v.(int); err == nil && !ok {
			return nil, fmt.Errorf("the number %v does not fit into 63 bits and a sign", v)
		}
		return v, err
	}
}

// integerOf is an integer, or nil.
func integerOf(v any) *big.Int {
	switch x := v.(type) {
	case int:
		return big.NewInt(int64(x))
	case int64:
		return big.NewInt(x)
	case uint64:
		return new(big.Int).SetUint64(x)
	}
	return nil
}

func floatOf(v any) (float64, bool) {
	switch x := v.(type) {
	case int:
		return float64(x), true
	case int64:
		return float64(x), true
	case uint64:
		return float64(x), true
	case float64:
		return x, true
	}
	return 0, false
}

// toInt cuts off the fraction; text is read as a number.
func toInt(v any) (any, error) {
	if n := integerOf(v); n != nil {
		return fitting(n)
	}
	switch x := v.(type) {
	case float64:
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return nil, fmt.Errorf("%v is no integer", x)
		}
		n, _ := big.NewFloat(math.Trunc(x)).Int(nil)
		return fitting(n)
	case bool:
		if x {
			return 1, nil
		}
		return 0, nil
	case string:
		if n, ok := new(big.Int).SetString(x, 10); ok && len(x) < 100 {
			return fitting(n)
		}
	}
	return nil, fmt.Errorf("%s is no integer", describe(v))
}

// roundAt rounds halves away from zero, to so many digits behind the point.
func roundAt(x float64, digits int) float64 {
	scale := math.Pow(10, float64(digits))
	if y := math.Round(x*scale) / scale; !math.IsNaN(y) && !math.IsInf(y, 0) {
		return y
	}
	return x
}

// equal compares numbers by value, and lists item by item.
func (r *run) equal(a, b any) (bool, error) {
	if x, y := integerOf(a), integerOf(b); x != nil && y != nil {
		return x.Cmp(y) == 0, nil
	}
	if x, ok := floatOf(a); ok {
		y, ok := floatOf(b)
		return ok && x == y, nil
	}
	switch x := a.(type) {
	case nil:
		return b == nil, nil
	case string:
		y, ok := b.(string)
		return ok && x == y, nil
	case bool:
		y, ok := b.(bool)
		return ok && x == y, nil
	}
	x, isList := items(a)
	y, too := items(b)
	if !isList || !too {
		return false, nil
	}
	if len(x) != len(y) {
		return false, nil
	}
	for i := range x {
		if err := r.touch(1); err != nil {
			return false, err
		}
		if same, err := r.equal(x[i], y[i]); err != nil || !same {
			return false, err
		}
	}
	return true, nil
}

// touch takes list items off the budget.
func (r *run) touch(n int) error {
	if r.items -= n; r.items < 0 {
		return fmt.Errorf("%w: more than %d items of lists", errLimit, maxItems)
	}
	return nil
}
