package expression

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

var sample = map[string]any{
	"a": 7, "b": 2.5, "s": "text", "yes": true, "seed": uint64(math.MaxUint64), "big": math.MaxInt, "list": []any{3, 1.5, "x"},
	"pic": &Object{Type: "IMAGE", Fields: map[string]any{"width": 96, "height": 64}}, "word": "größe", "nothing": nil,
}

// evaluate runs code over sample.
func evaluate(ctx context.Context, code string) (any, error) {
	var names []string
	for name := range sample {
		names = append(names, name)
	}
	p, err := Compile(code, names)
	if err != nil {
		return nil, err
	}
	return p.Run(ctx, func(name string) (any, error) { return sample[name], nil })
}

func TestValues(t *testing.T) {
	for code, want := range map[string]any{
		"1 + 2": 3, "7 / 2": 3.5, "7 % 4": 3, "7.5 % 2": 1.5, "2 ** 10": 1024.0, "-a": -7, "a + b": 9.5, "a * 2": 14, "a - 10": -3,
		"seed": uint64(math.MaxUint64), "seed - 1": uint64(math.MaxUint64 - 1), "big + 1": uint64(1 << 63), "seed - seed": 0,
		"a > 5 ? b : s": 2.5, "a > 9 ? b : s": "text", "yes and a > 1": true, "not yes or a == 7.0": true, "a == 7": true, "s != 'text'": false,
		"seed == seed - 0": true, "nothing ?? 4": 4, "nothing == nil": true, "if a > 5 { 'x' } else { 'y' }": "x",
		"abs(-3)": 3, "abs(-2.5)": 2.5, "int(2.9)": 2, "int(-2.9)": -2, "int('12')": 12, "float('1.5')": 1.5, "round(2.5)": 3, "round(-2.5)": -3,
		"round(3.14159, 2)": 3.14, "ceil(1.2)": 2, "floor(-1.2)": -2, "sqrt(16)": 4.0, "min(3, 1.5, 2)": 1.5, "max([1, 5, 2])": 5, "clamp(12, 0, 10)": 10,
		"min(seed, 1)": 1, "log2(8)": 3.0,
		"'a' + 'b'": "ab", "s + '!'": "text!", "string(a) + string(b) + string(yes)": "72.5true", "upper(s)": "TEXT", "trim('  x ')": "x",
		"fixed(b, 2)": "2.50", "pad(a, 4)": "0007", "pad(-7, 4)": "-007", "pad('x', 3)": "x  ", "repeat('ab', 3)": "ababab", "replace(s, 't', 'T')": "TexT",
		"join(split('a,b,c', ','), '-')": "a-b-c", "join(1..3, ' ')": "1 2 3", "indexOf(s, 'x')": 2, "s contains 'ex'": true, "s matches '^t.*t$'": true,
		"s[0:2]": "te", "len(s)": 4, "len(list)": 3, "list[0]": 3, "list[-1]": "x", "3 in list": true, "'y' in list": false, "2 not in 1..3": false, "list == [3, 1.5, 'x']": true,
		"sum(map(1..10, # * a))": 385, "count(1..10, # % 2 == 0)": 5, "filter(1..5, # > 3)": []any{4, 5}, "reduce(1..4, #acc * #)": 24,
		"all(1..3, # > 0)": true, "let x = a * 2; x + 1": 15, "pic.width": 96, "pic.width / pic.height": 1.5, "{'k': a}.k": 7, "{'k': a}?.l": nil, "nothing?.l": nil, "(1..9)[-2]": 8,
		"word[2]": "ö", "word[-2:]": "ße", "word[:2] + word[4:]": "gre", "indexOf(word, 'e')": 4, "len(word)": 5, "list[1:]": []any{1.5, "x"}, "(1..9)[2:4]": []int{3, 4}, "list[5:9]": []any{}, "s | upper()": "TEXT",
		"first(list)": 3, "/* what */ a // why": 7, "1_000": 1000, "1.0 / 0": math.Inf(1),
	} {
		got, err := evaluate(t.Context(), code)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %#v (%v), want %#v", code, got, err, want)
		}
	}
}

func TestErrors(t *testing.T) {
	for code, want := range map[string]string{
		"":                               "the expression is empty",
		" \n ":                           "the expression is empty",
		"a +":                            "unexpected token EOF",
		"a\n+ c":                         `unknown name c (at line 2, column 3 of "a\n+ c")`,
		"nosuch(1)":                      "unknown name nosuch",
		"$env":                           "unknown name $env",
		"$env['a']":                      "unknown name $env",
		"now()":                          "unknown name now",
		"toJSON(a)":                      "unknown name toJSON",
		"1 + 'x'":                        "mismatched types int and string",
		"'x' * 2":                        "mismatched types string and int",
		"a + s":                          "operator + does not take a number and text (at line 1, column 3",
		"s - 1":                          "operator - does not take text and a number",
		"a % 0":                          "division by zero",
		"big * big":                      "does not fit into 64 bits",
		"9223372036854775807 + 1":        "63 bits",
		"99999999999999999999":           "invalid integer literal",
		"list[7]":                        "no item 7: the list or text has 3",
		"pic.widht":                      `IMAGE has no "widht"; it has height, width`,
		"nothing.x":                      `nothing has no "x"`,
		"min()":                          "min of nothing",
		"min(1, 'x')":                    `need a number, have "x"`,
		"sqrt()":                         "not enough arguments",
		"sqrt('x')":                      `need a number, have "x"`,
		"int('x')":                       `"x" is no integer`,
		"int(1.0 / 0)":                   "+Inf is no integer",
		"join(3)":                        "need a list, have 3",
		"join([[1]])":                    "need a text, number or boolean, have a list",
		"let a = 1; a":                   "cannot redeclare a",
		"if a { 1 }":                     "unexpected token",
		"s matches '('":                  "missing closing )",
		"(((":                            "unexpected token EOF",
		"a(1)":                           "cannot call non-function",
		"pad(1, 100000)":                 "0 to 1000",
		"a.b.c":                          `a number has no "b"`,
		strings.Repeat("(", MaxLength):   "unexpected token EOF",
		strings.Repeat("a", MaxLength+1): "too long",
		strings.Repeat("a+", 1000) + "a": "does too much",
		"'" + strings.Repeat("x", 20000): "too long",
		"\x00":                           "unrecognized character",
		"a ? b":                          "unexpected token EOF",
		"map(1..3, .x.y)":                "has no field",
		"reduce([], #acc + #)":           "reduce of empty array",
		"groupBy(list, #)":               "unknown name groupBy",
		"sortBy(list, #)":                "unknown name sortBy",
		"type(a)":                        "unknown name type",
		"get(list, 0)":                   "unknown name get",
		"split(s, s, s)":                 "too many arguments",
		"(1..1000000000) == list":        "does too much",
	} {
		_, err := evaluate(t.Context(), code)
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), want) || len(err.Error()) > 2000 {
			t.Errorf("%.60q: %v, want %s", code, err, want)
		}
	}
}

// What would run for ages or fill the memory ends soon, and says what it did.
func TestLimits(t *testing.T) {
	double := "let a0 = 'xxxxxxxxxxxxxxxx'; "
	nest := "let a0 = [1, 1]; "
	for i := range 60 {
		double += fmt.Sprintf("let a%d = a%d + a%d; ", i+1, i, i)
		nest += fmt.Sprintf("let a%d = [a%d, a%d]; ", i+1, i, i)
	}
	for name, code := range map[string]string{
		"range":             "len(1..1000000000)",
		"nested ranges":     "all(1..1000, all(1..1000, all(1..1000, # > 0)))",
		"nested loops":      "let x = 1..9999; all(x, {all(x, {all(x, {all(x, {# > 0})})})})",
		"loops over any":    "count(map(1..9999, #), {count(1..19, # > 0) > 0})",
		"repeat":            "repeat(repeat('x', 1000000), 1000000)",
		"repeat nothing":    "repeat('', 1 ** 60 > 0 ? 9223372036854775807 : 1)",
		"doubling":          double + "len(a60)",
		"reduce to text":    "reduce(1..90000, #acc + #acc, 'xxxxxxxxxxxx')",
		"replace":           "replace(repeat('x', 10000), '', repeat('y', 10000))",
		"replace nothing":   "replace(repeat('x', 1000000), 'x', repeat('y', 1000000))",
		"split":             "map(1..9000, split(repeat('x', 900), ''))",
		"join":              "join(map(1..50000, repeat('x', 1000)))",
		"shared lists":      nest + "a60 == a60",
		"shared lists in":   nest + "a60 in [a60]",
		"lists of lists":    "reduce(1..90000, [#acc, #acc, #acc])",
		"search":            "let x = map(1..90000, 0); all(x, {1 not in x})",
		"regular":           "let x = repeat('a', 100000); all(1..90000, {x matches '(a|b|ab)*c' or true})",
		"upper":             "all(1..90000, {len(upper(repeat('a', 10000))) > 0})",
		"slices of a range": "all(map(1..60, 1..5000), len(#) > 0)",
	} {
		begin := time.Now()
		_, err := evaluate(t.Context(), code)
		took := time.Since(begin)
		if !errors.Is(err, errLimit) {
			t.Errorf("%s: %v, want a limit", name, err)
		}
		if took > 10*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
	}
}

// A loop ends with its context, and names of branches that are not taken are not looked up.
func TestRun(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	p, err := Compile("let l = 1..9000; all(l, {all(l, {# > 0 or stop})})", []string{"stop"})
	if err != nil {
		t.Fatal(err)
	}
	gone := errors.New("gone")
	cancel(gone)
	if _, err := p.Run(ctx, func(string) (any, error) { return false, nil }); !errors.Is(err, gone) {
		t.Errorf("after the context's end: %v", err)
	}
	var asked []string
	p, err = Compile("a > 1 ? b + b : c", []string{"a", "b", "c"})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // a program runs again
		asked = nil
		v, err := p.Run(t.Context(), func(name string) (any, error) { asked = append(asked, name); return 5, nil })
		if err != nil || v != 10 || !reflect.DeepEqual(asked, []string{"a", "b"}) {
			t.Errorf("%v (%v), looked up %v", v, err, asked)
		}
	}
	failed := errors.New("upstream")
	if _, err := p.Run(t.Context(), func(string) (any, error) { return nil, failed }); !errors.Is(err, failed) {
		t.Errorf("of a failed look-up: %v", err)
	}
	if _, err := Compile("min(1, 2) + map", []string{"min", "map", "a b"}); err == nil {
		t.Error("a variable took the name of a function")
	}
}

func FuzzExpression(f *testing.F) {
	for _, code := range []string{
		"a + b * 2", "s + 'x'", "map(1..5, {# * a})", "let x = list; x[0:2]", "pic.width ?? 3", "a > 1 ? 'x' : nil", "reduce(list, #acc, '')",
		"{'a': 1}.a", "s | upper() | repeat(3)", "yes and not yes", "list[-1]", "if a > 1 { 1 } else { 2 }", "1..3 == list", "`raw`", "a?.b", "#", "$env",
	} {
		f.Add(code)
	}
	f.Fuzz(func(t *testing.T, code string) {
		begin := time.Now()
		v, err := evaluate(t.Context(), code)
		if took := time.Since(begin); took > 20*time.Second {
			t.Errorf("took %v", took)
		}
		var e *Error
		if err != nil && !errors.As(err, &e) {
			t.Errorf("error %T: %v", err, err)
		}
		if err == nil {
			if again, err := evaluate(t.Context(), code); err != nil || fmt.Sprint(again) != fmt.Sprint(v) {
				t.Errorf("first %v, then %v (%v)", v, again, err)
			}
		}
	})
}

func TestFunctionsAreNoVariables(t *testing.T) {
	for _, name := range names() {
		if !reserved[name] {
			t.Errorf("%s may be a variable", name)
		}
	}
	p, err := Compile("min(a, 3)", []string{"a", "min"}) // a node may have an input of that name
	if err != nil {
		t.Fatal(err)
	}
	v, err := p.Run(t.Context(), func(string) (any, error) { return 5, nil })
	if v != 3 || err != nil {
		t.Errorf("%v, %v", v, err)
	}
	if _, err = Compile("min + 1", []string{"min"}); err == nil {
		t.Error("a function alone is a value")
	}
}
