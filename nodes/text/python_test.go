package text

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/dlclark/regexp2"
)

// pythonRegex is what Python made of a pattern.
type pythonRegex struct {
	Pattern, Text, Replace string
	I, M, S                bool
	Count                  int
	Bad                    string // why it refuses the pattern
	Spans                  [][2]int
	All, First             string
	Group                  []string
	Sub                    *string
	SubErr                 string
}

// TestPythonRegex compares with what CPython 3.11.7 answered to random patterns (testdata/regex.json, made by re.finditer,
// re.findall, re.search and re.sub).
func TestPythonRegex(t *testing.T) {
	path := "testdata/regex.json"
	if p := os.Getenv("GRAPHRUN_REGEX"); p != "" {
		path = p
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var cases []pythonRegex
	if err := json.Unmarshal(raw, &cases); err != nil || len(cases) == 0 {
		t.Fatalf("%d cases: %v", len(cases), err)
	}
	for _, c := range cases {
		x, err := compile(c.Pattern, c.I, c.M, c.S)
		if c.Bad != "" {
			if err == nil {
				t.Errorf("%q: accepted as %q; Python: %s", c.Pattern, x.text, c.Bad)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", c.Pattern, err)
			continue
		}
		var spans [][2]int
		if err := x.matches(t.Context(), c.Text, func(m *regexp2.Match) bool {
			spans = append(spans, [2]int{m.Index, m.Index + m.Length})
			return true
		}); err != nil || !slices.Equal(spans, c.Spans) {
			t.Errorf("%+v (%s): found %v, %v", c, x.text, spans, err)
			continue
		}
		extract := func(mode extractMode, group int) string {
			s, err := RegexExtract{c.Text, c.Pattern, mode, c.I, c.M, c.S, group}.Run(call)
			if err != nil {
				t.Errorf("%+v: %v", c, err)
			}
			return s
		}
		if a, f := extract("All Matches", 1), extract("First Match", 1); a != c.All || f != c.First {
			t.Errorf("%+v (%s): all %q, first %q", c, x.text, a, f)
		}
		for i, g := range c.Group {
			if got := extract("First Group", i+1); got != g {
				t.Errorf("%+v (%s): group %d: %q", c, x.text, i+1, got)
			}
		}
		sub, err := RegexReplace{c.Text, c.Pattern, c.Replace, c.I, c.M, c.S, c.Count}.Run(call)
		if (err == nil) != (c.Sub != nil) || err == nil && sub != *c.Sub {
			t.Errorf("%+v (%s): %q, %v", c, x.text, sub, err)
		}
		if m, err := (RegexMatch{c.Text, c.Pattern, c.I, c.M, c.S}).Run(call); err != nil || m.Matches != (len(c.Spans) > 0) {
			t.Errorf("%+v: %v %v", c, m, err)
		}
	}
}

// TestPythonStrings compares with CPython 3.11.7's str methods (testdata/strings.json).
func TestPythonStrings(t *testing.T) {
	raw, err := os.ReadFile("testdata/strings.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		S, Upper, Lower, Capitalize, Title, Strip, Lstrip, Rstrip string
		Len                                                       int
		Slices                                                    []struct {
			Start, End int
			Part       string
		}
		Replaced string // s.replace("", "-")
	}
	if err := json.Unmarshal(raw, &cases); err != nil || len(cases) == 0 {
		t.Fatalf("%d cases: %v", len(cases), err)
	}
	for _, c := range cases {
		check := func(what, have, want string) {
			if have != want {
				t.Errorf("%q %s: %q, want %q", c.S, what, have, want)
			}
		}
		for mode, want := range map[caseMode]string{"UPPERCASE": c.Upper, "lowercase": c.Lower, "Capitalize": c.Capitalize, "Title Case": c.Title} {
			have, _ := CaseConverter{c.S, mode}.Run(call)
			check(string(mode), have, want)
		}
		for mode, want := range map[trimMode]string{"Both": c.Strip, "Left": c.Lstrip, "Right": c.Rstrip} {
			have, _ := StringTrim{c.S, mode}.Run(call)
			check(string(mode), have, want)
		}
		if n, _ := (StringLength{c.S}).Run(call); n.Length != c.Len {
			t.Errorf("%q: length %d, want %d", c.S, n.Length, c.Len)
		}
		for _, p := range c.Slices {
			have, _ := StringSubstring{c.S, p.Start, p.End}.Run(call)
			check("slice", have, p.Part)
		}
		have, _ := StringReplace{c.S, "", "-"}.Run(call)
		check("replace", have, c.Replaced)
	}
}

func FuzzRegex(f *testing.F) {
	for _, s := range []string{`(?P<a>x)(?(a)y|z)\1`, `[\W\d-]{,3}+?`, `(?ix) a # b`, `\g<1>\07`, `(?<=a)(?>b)`} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if len(pattern) > 40 || len(text) > 40 || strings.Count(pattern, "{") > 1 {
			t.Skip("what takes long is not the question here")
		}
		// Whatever the pattern is, there is an answer or an error.
		_, _ = RegexReplace{text, pattern, text, true, true, true, 3}.Run(call)
		_, _ = RegexExtract{text, pattern, "All Groups", false, false, false, 1}.Run(call)
	})
}
