package main

import (
	"errors"
	"strings"
	"testing"

	"graphrun/graph"
)

// TestLiveLine feeds a terminal's reporter: the bar is drawn and wiped, and a line stays for each phase.
func TestLiveLine(t *testing.T) {
	for name, failure := range map[string]error{"done": nil, "failed": errors.New("no more paper")} {
		var files, log strings.Builder
		r := &lineReporter{files: &files, log: &log, live: true, running: map[string]*running{}}
		r.event(graph.Executing{NodeID: "5", Class: "KSampler", Title: "Sampler"})
		r.event(graph.Progress{NodeID: "5", Phase: "sample", Step: 1, Total: 2})
		if !strings.Contains(log.String(), "step 1/2, 0.0 s left") {
			t.Errorf("%s: no bar in %q", name, log.String())
		}
		if failure == nil {
			r.event(graph.Executed{NodeID: "5"})
		}
		r.end([]string{"a.png"}, 0, failure)
		lines := strings.FieldsFunc(log.String(), func(c rune) bool { return c == '\r' || c == '\n' })
		last := lines[len(lines)-1]
		if failure == nil && (!strings.HasPrefix(lines[len(lines)-2], "sample  Sampler: 2 steps, ") || last != "done in 0.0 s" || files.String() != "a.png\n") {
			t.Errorf("%s: lines %q, files %q", name, lines, files.String())
		}
		if failure != nil && (last != "graphrun: no more paper" || files.Len() > 0) {
			t.Errorf("%s: lines %q, files %q", name, lines, files.String())
		}
	}
}

// Nodes that run side by side have a line each, and the seconds left of their own.
func TestSideBySide(t *testing.T) {
	var log, out strings.Builder
	lines := newReporter(&out, &log, false, false)
	objects := newReporter(&out, &log, true, false)
	for _, e := range []graph.Event{
		graph.Executing{NodeID: "1", Class: "A"},
		graph.Executing{NodeID: "2", Class: "B"},
		graph.Progress{NodeID: "1", Phase: "encode", Step: 0, Total: 2},
		graph.Progress{NodeID: "2", Phase: "encode", Step: 1, Total: 2},
		graph.Progress{NodeID: "1", Phase: "encode", Step: 1, Total: 2},
		graph.Progress{NodeID: "2", Phase: "encode", Step: 2, Total: 2},
		graph.Executed{NodeID: "2"},
		graph.Progress{NodeID: "1", Phase: "encode", Step: 2, Total: 2},
		graph.Executed{NodeID: "1"},
	} {
		lines.event(e)
		objects.event(e)
	}
	if got := log.String(); got != "encode  B: 0.0 s\nencode  A: 0.0 s\n" {
		t.Errorf("lines %q", got)
	}
	if n := strings.Count(out.String(), `"left":`); n != 4 {
		t.Errorf("%d times left in %s", n, out.String())
	}
}

// Of a million errors the first are told, and how many more there are.
func TestManyErrors(t *testing.T) {
	many := make([]error, 1_000_000)
	for i := range many {
		many[i] = &graph.Error{Kind: graph.KindMissing, Node: "1", Input: "x"}
	}
	text := explain(errors.Join(many...))
	if lines := strings.Count(text, "\n"); lines != mostTold+1 || !strings.HasSuffix(text, "... and 999900 more errors\n") {
		t.Errorf("%d lines, the last %q", lines, text[len(text)-60:])
	}
	var out strings.Builder
	newReporter(&out, &out, true, false).end(nil, 0, errors.Join(many...))
	if n := strings.Count(out.String(), "\n"); n != mostTold {
		t.Errorf("%d objects", n)
	}
}
