// Command verdict reads the events of `go test -json` and judges the golden tests among them: it prints what they
// logged (the largest differences), what failed and why, and go test's line for every package that has some. It exits
// with 1 if a test failed, if one was skipped with another reason than internal/golden/later.go gives, or if none ran.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"graphrun/internal/golden"
)

// event is one line of `go test -json`; Test is empty for what concerns the whole package.
type event struct {
	Action, Package, Test, Output string
}

func main() {
	if err := judge(os.Stdin, os.Stdout, golden.Reasons()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// judge reads events until in ends.
func judge(in io.Reader, out io.Writer, reasons []string) error {
	logs := map[[2]string]string{}
	passed, later, bad := 0, 0, 0
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("not an event of go test -json: %q", lines.Text())
		}
		key := [2]string{e.Package, e.Test}
		logs[key] += e.Output
		allowed := slices.ContainsFunc(reasons, func(r string) bool { return strings.Contains(logs[key], r) })
		switch {
		case e.Action == "pass" && e.Test != "":
			passed++
			printDifferences(out, e.Test, logs[key])
		case e.Action == "skip" && e.Test != "" && allowed:
			later++
		case e.Action == "skip" && e.Test != "", e.Action == "fail", e.Action == "build-fail":
			bad++
			fmt.Fprintf(out, "%s %s %s\n%s", e.Action, e.Package, e.Test, logs[key])
		case e.Action == "build-output":
			fmt.Fprint(out, e.Output)
		case e.Action == "output" && e.Test == "" && strings.HasPrefix(e.Output, "ok ") && !strings.Contains(e.Output, "[no tests to run]"):
			fmt.Fprint(out, e.Output)
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	fmt.Fprintf(out, "golden: %d passed, %d wait for a later issue, %d failed or skipped without leave\n", passed, later, bad)
	if bad > 0 || passed == 0 {
		return fmt.Errorf("golden tests do not hold (%d passed, %d bad)", passed, bad)
	}
	return nil
}

// printDifferences prints the lines of a passed test's log that tell how near it came.
func printDifferences(out io.Writer, test, log string) {
	for line := range strings.Lines(log) {
		if strings.Contains(line, "largest difference") {
			fmt.Fprintf(out, "%s: %s\n", test, strings.TrimSpace(line))
		}
	}
}
