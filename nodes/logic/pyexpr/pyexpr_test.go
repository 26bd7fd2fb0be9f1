package pyexpr

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"graphrun/graph/python"
)

// ours are the classes of errors where the reference's evaluator has one of its own in place of Python's.
var ours = map[string][]string{
	"NameError":      {"NameNotDefined", "FunctionNotDefined"},
	"AttributeError": {"AttributeDoesNotExist"},
	"TypeError":      {"OperatorNotDefined"},
	"OverflowError":  {"NumberTooHigh"},
	"MemoryError":    {"NumberTooHigh"},
}

// unavailable are what Python computes and the reference does not.
var unavailables = map[string]string{"[1][0]": "List", "(1,2)": "Tuple", "{1:2}": "Dict", "lambda: 1": "Lambda"}

// TestPython compares with what Python 3.11 computes (testdata/python.json).
func TestPython(t *testing.T) {
	var doc struct {
		Names map[string]any
		Cases [][3]string
	}
	f, err := os.Open("testdata/python.json")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := json.NewDecoder(f)
	d.UseNumber()
	if err := d.Decode(&doc); err != nil {
		t.Fatal(err)
	}
	for _, c := range doc.Cases {
		v, err := Eval(c[0], doc.Names)
		var e *python.Error
		if what := unavailables[c[0]]; what != "" {
			if !errors.As(err, &e) || e.Class != "FeatureNotAvailable" || !strings.Contains(e.Text, what) {
				t.Errorf("%q: %v", c[0], err)
			}
			continue
		}
		if c[1] == "error" {
			ok := errors.As(err, &e) && e.Class == c[2]
			for _, class := range ours[c[2]] {
				ok = ok || e != nil && e.Class == class
			}
			if !ok {
				t.Errorf("%q: have %v, %v; want %s", c[0], v, err, c[2])
			}
			continue
		}
		if c[1] == "complex" {
			if _, ok := v.(complexNumber); !ok && err == nil {
				t.Errorf("%q: have %v; want a complex number", c[0], v)
			}
			continue
		}
		if err != nil || python.Type(v) != c[1] || python.Str(v) != c[2] {
			t.Errorf("%q: have %s %s, %v; want %s %s", c[0], python.Type(v), python.Str(v), err, c[1], c[2])
		}
	}
	t.Logf("%d expressions", len(doc.Cases))
}

// TestLibm compares logarithms, sines and powers with those of Python 3.11 on glibc (testdata/libm.json: function, x, y,
// result), of whose results hardly one in a thousand is not rounded rightly.
func TestLibm(t *testing.T) {
	text, err := os.ReadFile("testdata/libm.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases [][4]string
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	number := func(s string) float64 {
		f, _ := strconv.ParseFloat(s, 64)
		return f
	}
	off, by := 0, map[string]int{}
	for _, c := range cases {
		x, want := number(c[1]), number(c[3])
		var have float64
		switch c[0] {
		case "pow":
			have = powOf(x, number(c[2]))
		case "sin", "cos", "tan":
			have = sineOf(c[0], x)
		default:
			have = logOf(c[0], x)
		}
		if have == want {
			continue
		}
		by[c[0]]++
		if off++; math.Abs(have-want) > 2.3e-16*math.Abs(want) {
			t.Errorf("%s(%s, %s): have %v, want %v", c[0], c[1], c[2], have, want)
		}
	}
	t.Logf("%d of %d results differ in the last bit: %v", off, len(cases), by)
	if off > len(cases)/500 {
		t.Errorf("%d of %d results differ", off, len(cases))
	}
}

// TestLimits asks for what would take all memory or time.
func TestLimits(t *testing.T) {
	for text, class := range map[string]string{
		"2 ** 5000000": "NumberTooHigh", "(2**4000000)**4000000": "NumberTooHigh", "9**9**9**9": "NumberTooHigh", "1 << 10001": "NumberTooHigh",
		"2.0 ** 5000000": "NumberTooHigh", `"a" * 200000`: "IterableTooLong", "values * 100001": "IterableTooLong",
		strings.Repeat("(", 1000) + "1" + strings.Repeat(")", 1000): "RecursionError", strings.Repeat("-", 5000) + "1": "RecursionError",
		strings.Repeat("1+", 30000) + "1": "MemoryError", strings.Repeat("9", 5000): "SyntaxError", `"` + strings.Repeat("x", MostChars) + `"`: "IterableTooLong",
		strings.Repeat("a", MostChars+1): "IterableTooLong", strings.Repeat("1 if 1 else ", 1000) + "1": "RecursionError", strings.Repeat("not ", 1000) + "(": "SyntaxError",
		"(" + strings.Repeat("(3**1000000)*(3**1000000)+", 100) + "0)": "NumberTooHigh",
	} {
		start := time.Now()
		_, err := Eval(text, map[string]any{"values": []any{1, 2}})
		var e *python.Error
		if !errors.As(err, &e) || e.Class != class {
			t.Errorf("%.40q: have %.200v, want %s", text, err, class)
		}
		t.Logf("%.30q: %v", text, time.Since(start))
	}
}

func FuzzEval(f *testing.F) {
	for _, s := range []string{"a + b", "values[-1] if a else b", "max(a, b, *values)", `f"{a:03d}"`, "1_0.5e-3 // 0x1f", "not a in values is None", "a.real.bit_length()", "x = (1; 2"} {
		f.Add(s)
	}
	names := map[string]any{"a": int64(5), "b": 1.5, "c": true, "values": []any{int64(5), 1.5, true}}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := Eval(text, names)
		var e *python.Error
		if err != nil && (!errors.As(err, &e) || e.Class == "" || e.Text == "") {
			t.Errorf("%q: %v", text, err)
		}
		if again, err2 := Eval(text, names); (err == nil) != (err2 == nil) || err == nil && python.Repr(v) != python.Repr(again) {
			t.Errorf("%q: %v then %v", text, v, again)
		}
	})
}
