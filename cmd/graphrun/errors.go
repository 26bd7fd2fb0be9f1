package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"graphrun/graph"
)

// usageError is a command line that makes no sense.
type usageError struct{ error }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

func (e *usageError) Unwrap() error { return e.error }

// workflowError is a workflow that cannot run: not read, not converted or not valid.
type workflowError struct {
	file string
	error
}

func (e *workflowError) Unwrap() error { return e.error }

// reportedError is an error that the user has seen already.
type reportedError struct{ error }

func (e *reportedError) Unwrap() error { return e.error }

// exitCode is what the process ends with after err.
func exitCode(err error) int {
	var usage *usageError
	var workflow *workflowError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &workflow):
		return exitBadWorkflow
	}
	return exitFailed
}

// explain is the text of an error, the same in the terminal and in --json: what happened, then a line each for what was
// needed, what was there and the remedy. Several errors stand below each other. The text ends in a newline.
func explain(err error) string {
	var b strings.Builder
	all := flatten(err)
	for i, e := range all {
		if i == mostTold {
			fmt.Fprintf(&b, "... and %d more errors\n", len(all)-i)
			break
		}
		b.WriteString(explainOne(e, fileOf(err)))
	}
	return b.String()
}

// mostTold is how many errors are told: more of them nobody reads.
const mostTold = 100

// explainOne is the text of one error about the workflow in file, if there is one.
func explainOne(err error, file string) string {
	if errors.Is(err, context.Canceled) {
		return "interrupted\n"
	}
	var b strings.Builder
	if file != "" {
		fmt.Fprintf(&b, "%s: ", file)
	}
	if g, ok := asGraphError(err); ok {
		bare := *g
		bare.Need, bare.Have, bare.Hint = "", "", ""
		around := strings.TrimSuffix(err.Error(), g.Error()) // such as which part of a file
		fmt.Fprintln(&b, around+bare.Error())
		for _, line := range [][2]string{{"need", g.Need}, {"have", g.Have}, {"hint", g.Hint}} {
			if line[1] != "" {
				fmt.Fprintf(&b, "  %s: %s\n", line[0], graph.Clip(line[1]))
			}
		}
	} else {
		fmt.Fprintln(&b, err)
	}
	if usage := (*usageError)(nil); errors.As(err, &usage) {
		fmt.Fprintln(&b, "  hint: graphrun --help lists verbs and flags")
	}
	return b.String()
}

// fileOf is the workflow that err is about, "" if there is none.
func fileOf(err error) string {
	var w *workflowError
	if errors.As(err, &w) {
		return w.file
	}
	return ""
}

// flatten lists the errors that were joined to one.
func flatten(err error) []error {
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		return []error{err}
	}
	var list []error
	for _, e := range joined.Unwrap() {
		list = append(list, flatten(e)...)
	}
	return list
}

// asGraphError finds the graph's error in err.
func asGraphError(err error) (*graph.Error, bool) {
	var g *graph.Error
	return g, errors.As(err, &g)
}
