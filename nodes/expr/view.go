package expr

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"

	"graphrun/graph/expression"
	"graphrun/types"
)

// view is a value as formulas see it: numbers, texts, booleans, lists and maps as they are, anything else as its type and
// sizes, which hands on the value but shows nothing of what it can do.
func view(v any) (any, error) {
	left := 100_000
	return viewPart(v, &left, 100)
}

func viewPart(v any, left *int, depth int) (any, error) {
	if *left--; *left < 0 || depth == 0 {
		return nil, errTooMuch
	}
	switch x := v.(type) {
	case nil, bool, string, int, float64:
		return x, nil
	case int64:
		return int(x), nil
	case uint64:
		if x <= math.MaxInt {
			return int(x), nil
		}
		return x, nil
	case float32:
		return float64(x), nil
	case *big.Int:
		return nil, fmt.Errorf("the number %s does not fit into 64 bits", x)
	case json.Number:
		return numberOf(x)
	case []any:
		list := make([]any, len(x))
		for i := range x {
			var err error
			if list[i], err = viewPart(x[i], left, depth-1); err != nil {
				return nil, err
			}
		}
		return list, nil
	case map[string]any:
		m := make(map[string]any, len(x))
		for k, part := range x {
			var err error
			if m[k], err = viewPart(part, left, depth-1); err != nil {
				return nil, err
			}
		}
		return m, nil
	}
	return object(v), nil
}

func numberOf(n json.Number) (any, error) {
	if i, err := n.Int64(); err == nil {
		return int(i), nil
	}
	return n.Float64()
}

// object shows a value of one of the link types.
func object(v any) *expression.Object {
	o := &expression.Object{Value: v, Type: fmt.Sprintf("%T", v)}
	if t, ok := v.(interface{ TypeName() string }); ok {
		o.Type = t.TypeName()
	}
	var names []string
	var shape []int
	switch x := v.(type) {
	case types.Image:
		names, shape = []string{"batch", "height", "width", "channels"}, x.Shape
	case types.Mask:
		names, shape = []string{"batch", "height", "width"}, x.Shape
	case types.Latent:
		names, shape = []string{"batch", "channels", "height", "width"}, x.Samples.Shape
	}
	if len(shape) == len(names) {
		o.Fields = map[string]any{}
		for i, name := range names {
			o.Fields[name] = shape[i]
		}
	}
	return o
}

// value is what a formula's result stands for on a link. A formula may put one list into many places: each counts.
func value(v any) (any, error) {
	left := 100_000
	return valuePart(v, &left, 100)
}

func valuePart(v any, left *int, depth int) (any, error) {
	if *left--; *left < 0 || depth == 0 {
		return nil, errTooMuch
	}
	switch x := v.(type) {
	case int:
		return int64(x), nil
	case *expression.Object:
		return x.Value, nil
	case map[string]any:
		m := make(map[string]any, len(x))
		for k, part := range x {
			var err error
			if m[k], err = valuePart(part, left, depth-1); err != nil {
				return nil, err
			}
		}
		return m, nil
	}
	items, ok := expression.List(v)
	if !ok {
		return v, nil
	}
	list := make([]any, len(items))
	for i, part := range items {
		var err error
		if list[i], err = valuePart(part, left, depth-1); err != nil {
			return nil, err
		}
	}
	return list, nil
}
