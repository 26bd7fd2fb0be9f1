package testing

import (
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"strings"

	"graphrun/graph"
	"graphrun/graph/python"
	"graphrun/types"
)

func addLogic(l graph.Library) {
	s := smart(add[TestIntMathOperation](l, "TestIntMathOperation", "Int Math Operation", logic))
	s.Outputs[0].Type = "INT"
	wide(s)
	wide(smart(add[TestIntConditions](l, "TestIntConditions", "Int Condition", logic)))
	smart(add[TestFloatConditions](l, "TestFloatConditions", "Float Condition", logic))
	smart(add[TestStringConditions](l, "TestStringConditions", "String Condition", logic))
	add[TestToBoolNode](l, "TestToBoolNode", "To Bool", logic)
	smart(add[TestBoolOperationNode](l, "TestBoolOperationNode", "Bool Operation", logic))
}

// wide gives a and b the range ±(2^64-1), which no number of Go has.
func wide(s *graph.Spec) {
	for _, name := range []string{"a", "b"} {
		p := s.Input(name)
		greatest := new(big.Int).SetUint64(1<<64 - 1)
		p.Opts["default"], p.Opts["step"] = int64(0), int64(1)
		p.Opts["min"], p.Opts["max"] = new(big.Int).Neg(greatest), greatest
	}
}

// whole reads a number that came over a link or from the prompt.
func whole(v any) (*big.Int, error) {
	if n, ok := python.Number(v).(*big.Int); ok {
		return n, nil
	}
	return nil, fmt.Errorf("need a whole number, have %T", v)
}

type intOperation string

// Options lists the operations.
func (intOperation) Options() []string {
	return []string{"add", "subtract", "multiply", "divide", "modulo", "power"}
}

// TestIntMathOperation computes with whole numbers of any size.
type TestIntMathOperation struct {
	A, B      graph.Any `types:"INT"`
	Operation intOperation
}

// integer is an INT of any size.
type integer struct {
	Result graph.Any `out:"INT"`
}

// maxPower bounds the bits of a power.
const maxPower = 1 << 20

// Run returns the result; divide and modulo floor.
func (n TestIntMathOperation) Run(*graph.Call) (integer, error) {
	a, err := whole(n.A.Value)
	if err != nil {
		return integer{}, err
	}
	b, err := whole(n.B.Value)
	if err != nil {
		return integer{}, err
	}
	r := new(big.Int)
	switch n.Operation {
	case "add":
		r.Add(a, b)
	case "subtract":
		r.Sub(a, b)
	case "multiply":
		r.Mul(a, b)
	case "divide", "modulo":
		if b.Sign() == 0 {
			return integer{}, errors.New("division by zero")
		}
		q, m := new(big.Int).QuoRem(a, b, new(big.Int))
		if m.Sign() != 0 && m.Sign() != b.Sign() {
			q.Sub(q, big.NewInt(1))
			m.Add(m, b)
		}
		if r = q; n.Operation == "modulo" {
			r = m
		}
	case "power":
		if b.Sign() < 0 || a.BitLen() > 1 && (!b.IsInt64() || b.Int64() > maxPower/int64(a.BitLen())) {
			return integer{}, fmt.Errorf("power: need an exponent of 0 or more and a result of at most %d bits, have %v to the power of %v", maxPower, a, b)
		}
		r = power(a, b)
	}
	return integer{graph.Any{Value: python.Native(r)}}, nil
}

// power is a to the b; for 0, 1 and -1 only b's parity counts, and b may be huge.
func power(a, b *big.Int) *big.Int {
	if a.BitLen() > 1 {
		return new(big.Int).Exp(a, b, nil)
	}
	if b.Sign() == 0 || a.Sign() < 0 && b.Bit(0) == 0 {
		return big.NewInt(1)
	}
	return a
}

type comparison string

// Options lists the comparisons.
func (comparison) Options() []string { return []string{"==", "!=", "<", ">", "<=", ">="} }

// holds reports whether the sign of a-b satisfies the comparison.
func (c comparison) holds(sign int) bool {
	switch c {
	case "==":
		return sign == 0
	case "!=":
		return sign != 0
	case "<":
		return sign < 0
	case ">":
		return sign > 0
	case "<=":
		return sign <= 0
	}
	return sign >= 0
}

// TestIntConditions compares whole numbers.
type TestIntConditions struct {
	A, B      graph.Any `types:"INT"`
	Operation comparison
}

// Run returns whether the comparison holds.
func (n TestIntConditions) Run(*graph.Call) (bool, error) {
	a, err := whole(n.A.Value)
	if err != nil {
		return false, err
	}
	b, err := whole(n.B.Value)
	if err != nil {
		return false, err
	}
	return n.Operation.holds(a.Cmp(b)), nil
}

// TestFloatConditions compares numbers.
type TestFloatConditions struct {
	A, B      float64 `default:"0" min:"-999999999999" max:"999999999999" step:"1"`
	Operation comparison
}

// Run returns whether the comparison holds.
func (n TestFloatConditions) Run(*graph.Call) (bool, error) {
	sign := 0
	if n.A < n.B {
		sign = -1
	} else if n.A > n.B {
		sign = 1
	}
	return n.Operation.holds(sign), nil
}

type textComparison string

// Options lists the comparisons.
func (textComparison) Options() []string {
	return []string{"a == b", "a != b", "a IN b", "a MATCH REGEX(b)", "a BEGINSWITH b", "a ENDSWITH b"}
}

// TestStringConditions compares texts.
type TestStringConditions struct {
	A, B          string
	Operation     textComparison
	CaseSensitive bool `default:"true"`
}

// Run returns whether the comparison holds; a bad pattern matches nothing.
func (n TestStringConditions) Run(*graph.Call) (bool, error) {
	a, b := n.A, n.B
	if !n.CaseSensitive {
		a, b = strings.ToLower(a), strings.ToLower(b)
	}
	switch n.Operation {
	case "a == b":
		return a == b, nil
	case "a != b":
		return a != b, nil
	case "a IN b":
		return strings.Contains(b, a), nil
	case "a BEGINSWITH b":
		return strings.HasPrefix(a, b), nil
	case "a ENDSWITH b":
		return strings.HasSuffix(a, b), nil
	}
	r, err := regexp.Compile(`\A(?:` + b + `)`)
	return err == nil && r.MatchString(a), nil
}

// TestToBoolNode is the truth of a value.
type TestToBoolNode struct {
	Value  graph.Any
	Invert bool `optional:"true" default:"false"`
}

// Run returns it, or its contrary.
func (n TestToBoolNode) Run(*graph.Call) (bool, error) { return truth(n.Value.Value) != n.Invert, nil }

// truth is Python's, and false for tensors of zeros.
func truth(v any) bool {
	switch x := v.(type) {
	case types.Image:
		return anyNot(x.Data, 0)
	case types.Mask:
		return anyNot(x.Data, 0)
	}
	return python.Truth(v)
}

// anyNot reports a value other than v.
func anyNot(values []float32, v float32) bool {
	for _, x := range values {
		if x != v {
			return true
		}
	}
	return false
}

type boolOperation string

// Options lists the operations.
func (boolOperation) Options() []string { return []string{"a AND b", "a OR b", "a XOR b", "NOT a"} }

// TestBoolOperationNode computes with truths.
type TestBoolOperationNode struct {
	A, B bool
	Op   boolOperation
}

// Run returns the result.
func (n TestBoolOperationNode) Run(*graph.Call) (bool, error) {
	switch n.Op {
	case "a AND b":
		return n.A && n.B, nil
	case "a OR b":
		return n.A || n.B, nil
	case "a XOR b":
		return n.A != n.B, nil
	}
	return !n.A, nil
}
