package graph

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"graphrun/graph/python"
)

// jsonTypes are the types whose values may stand in a prompt as JSON: what the newer editor's widgets hold.
var jsonTypes = map[string]bool{
	"COLOR": true, "COLORS": true, "BOUNDING_BOX": true, "BOUNDING_BOXES": true, "CURVE": true, "HISTOGRAM": true, "RANGE": true,
	"IMAGECOMPARE": true, "COMPOSITOR": true, "DICT": true, "ARRAY": true,
}

// convert reads a constant as the input's type: int64, uint64 or *big.Int for INT, float64, string, bool; other types as they are.
func convert(p *Port, v any) (any, *Error) {
	bad := func(need string) *Error {
		return &Error{Kind: KindBadValue, Need: need, Have: describe(v)}
	}
	switch {
	case p.IsCombo():
		if _, many := v.([]any); many && p.Opts["multiselect"] == true {
			return v, nil
		}
		if s, ok := v.(string); ok {
			return s, nil
		}
		if p.Checked {
			return nil, bad("text")
		}
		return describe(v), nil
	case p.Type == "INT":
		if n, ok := toInt(v); ok {
			return n, nil
		}
		return nil, bad("a whole number")
	case p.Type == "FLOAT":
		if f, ok := toFloat(v); ok {
			return f, nil
		}
		return nil, bad("a number")
	case p.Type == "STRING":
		return python.Str(v), nil
	case p.Type == "BOOLEAN":
		return python.Truth(v), nil // "false" is true
	}
	if n, ok := v.(json.Number); ok { // where anything goes, a number is one
		if x, err := number(n); err == nil {
			return x, nil
		}
	}
	return v, nil
}

// toInt reads numbers (fractions are cut off), digits in text and booleans.
func toInt(v any) (any, bool) {
	switch x := v.(type) {
	case bool:
		if x {
			return int64(1), true
		}
		return int64(0), true
	case int:
		return int64(x), true
	case int64, uint64:
		return x, true
	case string:
		x = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(x), "+"))
		if x == "" || strings.Trim(x[1:], "0123456789") != "" || strings.Trim(x[:1], "-0123456789") != "" {
			return nil, false
		}
		v, err := number(json.Number(x))
		return v, err == nil
	case json.Number:
		n, err := number(x)
		if err != nil {
			return nil, false
		}
		if f, isFloat := n.(float64); isFloat {
			return toInt(f)
		}
		return n, true
	case float64:
		n, err := python.ToInt(x)
		if err != nil {
			return nil, false
		}
		return python.Native(n), true
	}
	return nil, false
}

func toFloat(v any) (f float64, ok bool) {
	var err error
	switch x := v.(type) {
	case bool:
		if x {
			f = 1
		}
	case int:
		f = float64(x)
	case int64:
		f = float64(x)
	case uint64:
		f = float64(x)
	case float64:
		f = x
	case string:
		f, err = strconv.ParseFloat(strings.TrimSpace(x), 64)
	case json.Number:
		f, err = strconv.ParseFloat(string(x), 64)
	default:
		return 0, false
	}
	return f, err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
}

// inRange checks min, max and the list of a converted constant.
func inRange(p *Port, v any, e *Env) *Error {
	switch {
	case p.IsCombo():
		chosen, many := v.([]any)
		if !many {
			chosen = []any{v}
		}
		choices := p.Choices(e)
		for _, c := range chosen {
			text, ok := c.(string)
			if ok && slices.Contains(choices, text) {
				continue
			}
			hint := "choose one of the list"
			if near := Nearest(text, choices, 3); len(near) > 0 {
				hint = "did you mean " + strings.Join(near, ", ") + "?"
			} else if len(choices) == 0 {
				hint = "the list is empty: nothing of this kind is installed"
			}
			return &Error{Kind: KindNotInList, Need: "one of " + listed(choices), Have: describe(c), Hint: hint, choices: choices}
		}
	case p.Type == "INT" || p.Type == "FLOAT":
		if lo, ok := p.Opts["min"]; ok && compare(v, lo) < 0 {
			return &Error{Kind: KindTooSmall, Need: "at least " + plain(lo), Have: plain(v)}
		}
		if hi, ok := p.Opts["max"]; ok && compare(v, hi) > 0 {
			return &Error{Kind: KindTooBig, Need: "at most " + plain(hi), Have: plain(v)}
		}
		_, wide := p.Opts["max"].(*big.Int)
		if n, ok := v.(*big.Int); ok && !wide {
			return &Error{Kind: KindBadValue, Need: "a whole number of 64 bits", Have: plain(n)}
		}
	}
	return nil
}

// compare is the sign of a - b; both are numbers.
func compare(a, b any) int {
	x, xok := a.(int64)
	y, yok := b.(int64)
	if xok && yok {
		return cmp.Compare(x, y)
	}
	return toBig(a).Cmp(toBig(b))
}

func toBig(v any) *big.Float {
	f := new(big.Float).SetPrec(128)
	switch x := v.(type) {
	case int64:
		f.SetInt64(x)
	case uint64:
		f.SetUint64(x)
	case float64:
		f.SetFloat64(x)
	case *big.Int:
		f.SetInt(x)
	}
	return f
}

func plain(v any) string { return strings.Trim(fmt.Sprint(v), `"`) }

func listed(choices []string) string {
	if len(choices) > 20 {
		return fmt.Sprintf("%s ... (%d in all)", strings.Join(choices[:20], ", "), len(choices))
	}
	return strings.Join(choices, ", ")
}
