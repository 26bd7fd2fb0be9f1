package python

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestPython compares with what Python 3.11 says (testdata/python.json).
func TestPython(t *testing.T) {
	var doc struct {
		Values              map[string]any
		Cases               [][3]*string
		Floats, Ints, Parse [][2]string
		BadInts, BadFloats  []string
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
		got, err := StrFormat(*c[0], doc.Values)
		var e *Error
		switch {
		case c[1] != nil && (err != nil || got != *c[1]):
			t.Errorf("%s: have %q, %v; want %q", *c[0], got, err, *c[1])
		case c[1] == nil && (!errors.As(err, &e) || e.Class != *c[2]):
			t.Errorf("%s: have %q, %v; want %s", *c[0], got, err, *c[2])
		}
	}
	for _, c := range doc.Floats {
		x, err := strconv.ParseFloat(c[0], 64)
		if got := Float(x); err != nil || got != c[1] {
			t.Errorf("repr(%s): have %s, want %s", c[0], got, c[1])
		}
	}
	for _, c := range doc.Ints {
		if n, err := Int(c[0]); err != nil || n.String() != c[1] {
			t.Errorf("int(%q): have %v, %v; want %s", c[0], n, err, c[1])
		}
	}
	for _, s := range doc.BadInts {
		if n, err := Int(s); err == nil {
			t.Errorf("int(%q): have %v", s, n)
		}
	}
	for _, c := range doc.Parse {
		want, _ := strconv.ParseFloat(c[1], 64)
		if x, err := ParseFloat(c[0]); err != nil || x != want && !(math.IsNaN(x) && math.IsNaN(want)) {
			t.Errorf("float(%q): have %v, %v; want %s", c[0], x, err, c[1])
		}
	}
	for _, s := range doc.BadFloats {
		if x, err := ParseFloat(s); err == nil {
			t.Errorf("float(%q): have %v", s, x)
		}
	}
}

func FuzzStrFormat(f *testing.F) {
	for _, s := range []string{"{a}", "{a:05d}", "{b[0]!r:>{a}}", "{{}}", "{c:é^9_.3f}", "{a:{a:{a}}}", "{d.real:%}"} {
		f.Add(s, "x")
	}
	f.Fuzz(func(t *testing.T, template, text string) {
		out, err := StrFormat(template, map[string]any{"a": int64(7), "b": []any{text, nil}, "c": 1.5, "d": true, "e": text, "f": map[string]any{text: 1}})
		var e *Error
		if err != nil && (!errors.As(err, &e) || e.Class == "") {
			t.Errorf("%q: %v", template, err)
		}
		if len(out) > mostText+mostWidth*4 {
			t.Errorf("%q: %d bytes", template, len(out))
		}
		if strings.ToValidUTF8(template, "") == template && !strings.ContainsAny(template, "{}") && out != template {
			t.Errorf("%q: %q", template, out)
		}
	})
}

func TestJSON(t *testing.T) {
	for text, want := range map[string][2]string{ // by text its repr and the text with two spaces
		`{"b": 1, "a": [1.0, "x\n\u00e9", null, true, {}, []], "b": 2}`: {
			`{'b': 2, 'a': [1.0, 'x\né', None, True, {}, []]}`,
			"{\n  \"b\": 2,\n  \"a\": [\n    1.0,\n    \"x\\né\",\n    null,\n    true,\n    {},\n    []\n  ]\n}",
		},
		`[NaN, -Infinity, 1e400, 12345678901234567890123, "NaN"]`: {
			`[nan, -inf, inf, 12345678901234567890123, 'NaN']`,
			"[\n  NaN,\n  -Infinity,\n  Infinity,\n  12345678901234567890123,\n  \"NaN\"\n]",
		},
	} {
		v, err := Loads(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := Repr(v); got != want[0] {
			t.Errorf("%s: repr %s", text, got)
		}
		if got, err := Dumps(v, 2); err != nil || got != want[1] {
			t.Errorf("%s: dumps %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "{", "[1] 2", "{1: 2}", "nan", "'a'", `{"a" 1}`} {
		if v, err := Loads(text); err == nil {
			t.Errorf("%q: %v", text, v)
		}
	}
	if got, err := Dumps(map[string]any{"b": []any{1, "é"}, "a": struct{ X int }{5}}, 0); err != nil || got != `{"a": {"X": 5}, "b": [1, "é"]}` {
		t.Errorf("%s, %v", got, err)
	}
}

func FuzzJSON(f *testing.F) {
	f.Add(`{"a": [1, 2.5, null, "x"], "b": {"c": NaN}}`)
	f.Fuzz(func(t *testing.T, text string) {
		v, err := Loads(text)
		if err != nil {
			return
		}
		once, err := Dumps(v, 0)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		again, err := Loads(once)
		if err != nil || Repr(again) != Repr(v) {
			t.Errorf("%q: %q, %v", text, once, err)
		}
	})
}
