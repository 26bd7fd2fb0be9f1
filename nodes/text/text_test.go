package text

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"graphrun/graph"
)

var call = &graph.Call{Context: context.Background()}

func TestCompare(t *testing.T) {
	for _, c := range []struct {
		a, b        string
		mode        compareMode
		case_, want bool
	}{
		{"Hello", "He", "Starts With", true, true},
		{"Hello", "he", "Starts With", true, false},
		{"Hello", "HE", "Starts With", false, true},
		{"Hello", "LO", "Ends With", false, true},
		{"Hello", "hello", "Equal", false, true},
		{"Hello", "hello", "Equal", true, false},
	} {
		if got, err := (StringCompare{c.a, c.b, c.mode, c.case_}).Run(call); err != nil || got.Boolean.Value != c.want {
			t.Errorf("%+v: %v %v", c, got, err)
		}
	}
	if got, _ := (StringContains{"Hello", "ELL", false}).Run(call); !got.Contains {
		t.Error("ELL is in Hello without case")
	}
	if got, _ := (StringContains{"Hello", "ELL", true}).Run(call); got.Contains {
		t.Error("ELL is not in Hello with case")
	}
	if got, _ := (StringConcatenate{"a", "b", ", "}).Run(call); got != "a, b" {
		t.Error(got)
	}
}

// A pattern that backtracks without end, and a text that grows without bound, are errors that say what to do.
func TestLimits(t *testing.T) {
	var e *graph.Error
	if _, err := (StringReplace{strings.Repeat("a", 1<<14), "a", strings.Repeat("b", 1<<14)}).Run(call); !errors.As(err, &e) || e.Input != "replace" {
		t.Errorf("256 MiB: %v", err)
	}
	if _, err := (RegexReplace{String: strings.Repeat("a", 1<<14), RegexPattern: "a", Replace: strings.Repeat("b", 1<<14)}).Run(call); !errors.As(err, &e) || e.Input != "replace" {
		t.Errorf("256 MiB: %v", err)
	}
	x, err := compile("(a+)+$", true, false, false)
	if err != nil {
		t.Fatal(err)
	}
	x.re.MatchTimeout = 50 * time.Millisecond
	if err := x.matches(t.Context(), strings.Repeat("a", 40)+"b", nil); !errors.As(err, &e) || e.Input != "regex_pattern" {
		t.Errorf("backtracking: %v", err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (RegexMatch{String: "a", RegexPattern: "a"}).Run(&graph.Call{Context: cancelled}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := (RegexReplace{String: "a", RegexPattern: "(a"}).Run(call); !errors.As(err, &e) || e.Input != "regex_pattern" {
		t.Errorf("bad pattern: %v", err)
	}
	if _, err := (RegexReplace{String: "a", RegexPattern: "a", Replace: `\1`}).Run(call); !errors.As(err, &e) || e.Input != "replace" {
		t.Errorf("bad replacement: %v", err)
	}
	if got, err := (RegexExtract{String: "a", RegexPattern: "(a", Mode: "All Matches"}).Run(call); err != nil || got != "" {
		t.Errorf("a bad pattern is found nowhere: %q %v", got, err)
	}
}

func TestAllGroups(t *testing.T) {
	for _, c := range []struct {
		pattern, want string
		index         int
	}{{`(\w)(\d)`, "1\n2", 2}, {`(\w)(\d)`, "a1\nb2", 0}, {`(\w)(\d)`, "", 3}, {`\w\d`, "", 0}, {`(c)|\d`, "\n", 1}} {
		if got, err := (RegexExtract{"a1 b2", c.pattern, "All Groups", true, false, false, c.index}).Run(call); err != nil || got != c.want {
			t.Errorf("%+v: %q %v", c, got, err)
		}
	}
}

func TestPrimitives(t *testing.T) {
	if v, err := (PrimitiveInt{9007199254740993}).Run(call); err != nil || v != 9007199254740993 {
		t.Errorf("%v %v", v, err)
	}
	if v, err := (PrimitiveStringMultiline{"a\nb"}).Run(call); err != nil || v != "a\nb" {
		t.Errorf("%q %v", v, err)
	}
}
