package expr

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"graphrun/graph"
	"graphrun/types"
)

// sources are nodes that give things, and count how often they did.
func sources(calls map[string]int) graph.Library {
	l := graph.Registered()
	give := func(name, typ string, v any) {
		l[name] = &graph.Spec{Meta: graph.Meta{Name: name}, Outputs: []graph.Port{{Name: typ, Type: typ}}, Run: func(*graph.Call, []any) (graph.Output, error) {
			calls[name]++
			if err, bad := v.(error); bad {
				return graph.Output{}, err
			}
			return graph.Output{Values: []any{v}}, nil
		}}
	}
	give("Picture", "IMAGE", types.Image{Tensor: types.NewTensor(2, 4, 8, 3)})
	give("Latent", "LATENT", types.Latent{Samples: types.NewTensor(1, 4, 12, 16)})
	give("Mask", "MASK", types.Mask{Tensor: types.NewTensor(1, 4, 8)})
	give("Model", "MODEL", types.Model{})
	give("List", "STRING", []any{int64(1), "x"})
	give("None", "*", nil)
	give("Broken", "*", errors.New("broken"))
	l["Show"] = &graph.Spec{Meta: graph.Meta{Name: "Show", Output: true}, Inputs: []graph.Port{{Name: "x", Type: "*", Optional: true}}, Run: func(*graph.Call, []any) (graph.Output, error) {
		return graph.Output{}, nil
	}}
	return l
}

// run runs one node over the inputs and returns its outputs.
func run(t *testing.T, ctx context.Context, class string, inputs map[string]any, calls map[string]int) ([]any, error) {
	t.Helper()
	p := &graph.Prompt{}
	n := &graph.Node{Class: class}
	for name, v := range inputs {
		if s, ok := v.(string); ok && strings.HasPrefix(s, "@") {
			p.Add(s, &graph.Node{Class: s[1:]})
			v = graph.Link(s, 0)
		}
		n.Set(name, v)
	}
	p.Add("it", n)
	p.Add("show", &graph.Node{Class: "Show", Inputs: []graph.Input{{Name: "x", Value: graph.Link("it", 0)}}})
	r, err := graph.Run(ctx, p, graph.Options{Nodes: sources(calls)})
	if err != nil {
		return nil, err
	}
	var out []any
	for slot := 0; ; slot++ {
		v := r.Values("it", slot)
		if v == nil {
			return out, nil
		}
		out = append(out, v...)
	}
}

func TestNodes(t *testing.T) {
	type in = map[string]any
	for _, c := range []struct {
		class, code string
		in          in
		want        []any
	}{
		{"ExprMath", "a + 1", in{"a": json.Number("2")}, []any{3.0, int64(3), true}},
		{"ExprMath", "a / b", in{"a": json.Number("7"), "b": json.Number("2")}, []any{3.5, int64(3), true}},
		{"ExprMath", "-a", in{"a": 3.9}, []any{-3.9, int64(-3), true}},
		{"ExprMath", "a", in{"a": json.Number("18446744073709551615")}, []any{float64(1 << 64), uint64(1<<64 - 1), true}},
		{"ExprMath", "a > 5", in{"a": json.Number("2")}, []any{0.0, int64(0), false}},
		{"ExprMath", "z.width * z.height / z.batch", in{"z": "@Picture"}, []any{16.0, int64(16), true}},
		{"ExprMath", "a.width + a.channels", in{"a": "@Latent"}, []any{20.0, int64(20), true}},
		{"ExprMath", "a.height", in{"a": "@Mask"}, []any{4.0, int64(4), true}},
		{"ExprMath", "a ?? 4", in{"a": "@None"}, []any{4.0, int64(4), true}},
		{"ExprMath", "len(a)", in{"a": "@List"}, []any{2.0, int64(2), true}},
		{"ExprText", "a + ' of ' + string(b)", in{"a": "two", "b": json.Number("3")}, []any{"two of 3"}},
		{"ExprText", "a.width", in{"a": "@Picture"}, []any{"8"}},
		{"ExprText", "join(a, '-')", in{"a": "@List"}, []any{"1-x"}},
		{"ExprSwitch", "a > 2 ? b : c", in{"a": json.Number("3"), "b": "yes", "c": "@Broken"}, []any{"yes"}},
		{"ExprSwitch", "a ? b : c", in{"a": false, "b": "@Broken", "c": "@List"}, []any{[]any{int64(1), "x"}}},
		{"ExprSwitch", "b", in{"b": "@Model"}, []any{types.Model{}}},
		{"ExprSwitch", "a + 1", in{"a": json.Number("3")}, []any{int64(4)}},
		{"ExprSwitch", "a.width > 4 ? a : b", in{"a": "@Picture", "b": "@Broken"}, []any{types.Image{Tensor: types.NewTensor(2, 4, 8, 3)}}},
		{"ExprSwitch", "[a, 1..2]", in{"a": json.Number("3")}, []any{[]any{int64(3), []any{int64(1), int64(2)}}}},
	} {
		c.in["expression"] = c.code
		got, err := run(t, t.Context(), c.class, c.in, map[string]int{})
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s %s: %#v (%v), want %#v", c.class, c.code, got, err, c.want)
		}
	}
}

// Only the branch that is chosen is computed.
func TestSwitchIsLazy(t *testing.T) {
	calls := map[string]int{}
	if _, err := run(t, t.Context(), "ExprSwitch", map[string]any{"expression": "a > 2 ? b : c", "a": json.Number("3"), "b": "@Picture", "c": "@Latent", "d": "@Mask"}, calls); err != nil {
		t.Fatal(err)
	}
	if calls["Picture"] != 1 || calls["Latent"] != 0 || calls["Mask"] != 0 {
		t.Errorf("called %v", calls)
	}
}

func TestErrors(t *testing.T) {
	type in = map[string]any
	for _, c := range []struct {
		class, code string
		in          in
		input, want string
		before      bool // anything runs
	}{
		{"ExprMath", "a +", in{}, "expression", "unexpected token EOF (at line 1, column 3", true},
		{"ExprMath", "aa + 1", in{}, "expression", "unknown name aa", true},
		{"ExprText", "", in{}, "expression", "the expression is empty", true},
		{"ExprSwitch", "a ?", in{}, "expression", "unexpected token", true},
		{"ExprMath", "a\n + b", in{"a": json.Number("1")}, "b", "connect b", false},
		{"ExprSwitch", "a", in{}, "a", "connect a", false},
		{"ExprMath", "a + b", in{"a": json.Number("1"), "b": "x"}, "expression", "operator + does not take a number and text (at line 1, column 3", false},
		{"ExprMath", "'x'", in{}, "expression", "gives no number", false},
		{"ExprMath", "1 / 0", in{}, "expression", "does it divide by zero?", false},
		{"ExprMath", "2 ** 70", in{}, "expression", "does not fit into an INT", false},
		{"ExprText", "a", in{"a": "@Picture"}, "expression", "have IMAGE", false},
		{"ExprText", "a.widht", in{"a": "@Picture"}, "expression", "it has batch, channels, height, width", false},
		{"ExprText", "a.Denoiser", in{"a": "@Model"}, "expression", "nor anything else to see", false},
		{"ExprText", "repeat('x', 99999999)", in{}, "expression", "does too much", false},
		{"ExprSwitch", "reduce(1..20000, [#acc])", in{}, "expression", "too many parts", false},
		{"ExprSwitch", "a > 2 ? b : c", in{"a": json.Number("3"), "b": "@Broken"}, "", "node @Broken", false},
	} {
		c.in["expression"] = c.code
		_, err := run(t, t.Context(), c.class, c.in, map[string]int{})
		var invalid *graph.ValidationError
		var e *graph.Error
		if !errors.As(err, &e) || e.Input != c.input || !strings.Contains(err.Error(), c.want) || errors.As(err, &invalid) != c.before {
			t.Errorf("%s %s: %v, want input %s: %s", c.class, c.code, err, c.input, c.want)
		}
	}
}

// An interrupted run ends a loop.
func TestInterrupt(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := run(t, ctx, "ExprMath", map[string]any{"expression": "let xs = 1..9000; count(xs, {all(xs, {all(xs, {# > 0})})})"}, map[string]int{})
	var e *graph.Error
	if !errors.As(err, &e) || e.Kind != graph.KindInterrupted {
		t.Errorf("%v, want interrupted", err)
	}
}

func FuzzNodes(f *testing.F) {
	for _, code := range []string{"a + b", "a > 1 ? b : c", "c.width", "join(d)", "[a, b, c, d]", "string(a) + b", "{'x': c}"} {
		f.Add(code, "text", int64(7), 2.5)
	}
	library := sources(map[string]int{})
	picture := types.Image{Tensor: types.NewTensor(1, 2, 2, 3)}
	f.Fuzz(func(t *testing.T, code, text string, n int64, x float64) {
		for _, class := range []string{"ExprMath", "ExprText", "ExprSwitch"} {
			in := make([]any, 27)
			in[0], in[1], in[2], in[3], in[4], in[5] = code, n, text, picture, []any{x, n, text}, x
			spec := library[class]
			invalid := spec.Validate(nil, in)
			out, err := spec.Run(&graph.Call{Context: t.Context()}, in)
			var e *graph.Error
			if err != nil && !errors.As(err, &e) {
				t.Errorf("%s: error %T: %v", class, err, err)
			}
			if invalid != nil && err == nil {
				t.Errorf("%s: %v, but it ran", class, invalid)
			}
			if err == nil && len(out.Values) != len(spec.Outputs) {
				t.Errorf("%s: %d outputs", class, len(out.Values))
			}
			_ = fmt.Sprint(out.Values...)
		}
	})
}
