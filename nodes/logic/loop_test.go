package logic

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// TestLoops runs loops around a formula; e is the EndLoop that is shown.
func TestLoops(t *testing.T) {
	const (
		body = `"m": {"class_type": "ComfyMathExpression", "inputs": {"expression": "a * 10 + b", "values.a": ["s", 0], "values.b": %s}},`
		show = `"show": {"class_type": "Show", "inputs": {"v": ["e", 0]}}`
	)
	loop := func(mode, start, b, end string) string {
		return `{"s": {"class_type": "StartLoop", "inputs": {` + mode + `, "cache_iterations": false` + start + `}}, ` + fmt.Sprintf(body, b) +
			`"l": {"class_type": "CreateList", "inputs": {"inputs.input0": 7, "inputs.input1": 8, "inputs.input2": 9}},
			"e": {"class_type": "EndLoop", "inputs": {` + end + `}},` + show + `}`
	}
	simple := func(n int) string { return fmt.Sprintf(`"mode": "simple", "mode.num_iterations": %d`, n) }
	for name, c := range map[string]struct {
		prompt string
		want   []any
	}{
		"all rounds":  {loop(simple(3), "", "1", `"accumulate": true, "output_value": ["m", 1]`), []any{int64(1), int64(11), int64(21)}},
		"last round":  {loop(simple(3), "", "1", `"accumulate": false, "output_value": ["m", 1]`), []any{int64(21)}},
		"one round":   {loop(simple(1), "", `["s", 2]`, `"accumulate": true, "output_value": ["m", 1]`), []any{int64(1)}},
		"no round":    {loop(simple(0), "", "1", `"accumulate": true, "output_value": ["m", 1]`), nil},
		"first, last": {loop(simple(3), "", `["s", 2]`, `"accumulate": true, "output_value": ["m", 1]`), []any{int64(0), int64(10), int64(21)}},
		"carried": {
			loop(simple(4), `, "initial_iteration_value": 5`, `["s", 4]`, `"accumulate": true, "output_value": ["m", 1], "next_iteration_value": ["m", 1]`),
			[]any{int64(5), int64(15), int64(35), int64(65)},
		},
		"for": {
			loop(`"mode": "For", "mode.start_iteration_index": 2, "mode.max_iteration": 9, "mode.step": 3`, "", "0", `"accumulate": true, "output_value": ["s", 0]`),
			[]any{2, 5, 8},
		},
		"list": {loop(`"mode": "List", "mode.list": ["l", 0]`, "", `["s", 3]`, `"accumulate": true, "output_value": ["m", 1]`), []any{int64(7), int64(18), int64(29)}},
		"not of the loop": {
			loop(simple(2), "", "1", `"accumulate": true, "output_value": ["l", 0], "terminations.termination0": ["m", 0]`),
			[]any{int64(7), int64(8), int64(9), int64(7), int64(8), int64(9)},
		},
		"many": {loop(simple(300), `, "initial_iteration_value": 0`, `["s", 4]`, `"accumulate": false, "output_value": ["m", 1], "next_iteration_value": ["m", 1]`), []any{int64(448500)}},
		"nested": {
			`{"o": {"class_type": "StartLoop", "inputs": {"mode": "simple", "mode.num_iterations": 2, "cache_iterations": false}},
			"s": {"class_type": "StartLoop", "inputs": {"mode": "simple", "mode.num_iterations": 3, "cache_iterations": false, "parent_iteration": ["o", 0]}},
			"m": {"class_type": "ComfyMathExpression", "inputs": {"expression": "100 * a + b", "values.a": ["o", 0], "values.b": ["s", 0]}},
			"i": {"class_type": "EndLoop", "inputs": {"accumulate": true, "output_value": ["m", 1]}},
			"e": {"class_type": "EndLoop", "inputs": {"accumulate": true, "output_value": ["i", 0]}},` + show + `}`,
			[]any{int64(0), int64(1), int64(2), int64(100), int64(101), int64(102)},
		},
	} {
		got, err := run(t, c.prompt, "show")
		for i := range got { // constants come as int
			if n, ok := got[i].(int); ok && reflect.TypeOf(c.want[i]) != reflect.TypeOf(n) {
				got[i] = int64(n)
			}
		}
		if err != nil || len(got) != len(c.want) || len(got) > 0 && !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: have %#v, %v; want %#v", name, got, err, c.want)
		}
	}
	for name, c := range map[string]struct{ prompt, want string }{
		"no start": {`{"e": {"class_type": "EndLoop", "inputs": {"accumulate": true}},` + show + `}`, "need one Start Loop that it ends; have 0 upstream"},
		"too many": {loop(simple(1e6), "", "1", `"accumulate": true, "output_value": ["m", 1]`), "need a loop of at most 100000 rounds"},
		"body fails": {
			`{"s": {"class_type": "StartLoop", "inputs": {"mode": "simple", "mode.num_iterations": 3, "cache_iterations": false}},
			"m": {"class_type": "ComfyMathExpression", "inputs": {"expression": "1 / (2 - a)", "values.a": ["s", 0]}},
			"e": {"class_type": "EndLoop", "inputs": {"accumulate": true, "output_value": ["m", 0]}},` + show + `}`,
			"in it node e.2.m (ComfyMathExpression), input expression: ZeroDivisionError: division by zero",
		},
	} {
		if _, err := run(t, c.prompt, "show"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: have %v; want %s", name, err, c.want)
		}
	}
}

// TestLoopSaves has an output node in a loop: it runs once a round.
func TestLoopSaves(t *testing.T) {
	dir := t.TempDir()
	_, err := runIn(t, dir, `{"s": {"class_type": "StartLoop", "inputs": {"mode": "simple", "mode.num_iterations": 3, "cache_iterations": false}},
		"f": {"class_type": "StringFormat", "inputs": {"values.a": ["s", 0], "f_string": "round {a}"}},
		"t": {"class_type": "SaveText", "inputs": {"text": ["f", 0], "filename_prefix": "r", "format": "txt"}},
		"e": {"class_type": "EndLoop", "inputs": {"accumulate": true, "output_value": ["t", 0]}},
		"show": {"class_type": "Show", "inputs": {"v": ["e", 0]}}}`, "show")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		text, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("r_%05d.txt", i+1)))
		if err != nil || string(text) != fmt.Sprint("round ", i) {
			t.Errorf("file %d: %q, %v", i+1, text, err)
		}
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 3 {
		t.Errorf("%d files, %v", len(files), err)
	}
}
