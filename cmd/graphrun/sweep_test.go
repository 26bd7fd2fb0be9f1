package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"image/png"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"graphrun/graph"
	"graphrun/types"
)

// counting registers nodes that count their calls: Source feeds Left (x) and Right (y), Both takes them.
var counting = sync.OnceValue(func() map[string]int {
	calls, mu := map[string]int{}, sync.Mutex{}
	number := func(name string) graph.Port {
		return graph.Port{Name: name, Type: "INT", Opts: map[string]any{"default": int64(0), "min": int64(0), "max": int64(100)}}
	}
	add := func(name string, inputs []graph.Port, output string, run func([]any) (any, error)) {
		graph.Add(&graph.Spec{
			Meta: graph.Meta{Name: name, Description: "Counts."}, Inputs: inputs, Outputs: []graph.Port{{Name: output, Type: output}},
			Run: func(_ *graph.Call, in []any) (graph.Output, error) {
				mu.Lock() // Left and Right run side by side
				calls[name]++
				mu.Unlock()
				v, err := run(in)
				return graph.Output{Values: []any{v}}, err
			},
		})
	}
	picture := graph.Port{Name: "image", Type: "IMAGE", Opts: map[string]any{}}
	pass := func(in []any) (any, error) { return in[0], nil }
	add("TestSource", nil, "IMAGE", func([]any) (any, error) { return types.Image{Tensor: types.NewTensor(1, 8, 16, 3)}, nil })
	add("TestLeft", []graph.Port{picture, number("x")}, "IMAGE", func(in []any) (any, error) {
		if in[1] == int64(13) {
			return nil, errors.New("unlucky")
		}
		if interrupt != nil && in[1] == int64(50) {
			interrupt()
		}
		return in[0], nil
	})
	add("TestRight", []graph.Port{picture, number("y")}, "IMAGE", pass)
	add("TestBoth", []graph.Port{picture, {Name: "other", Type: "IMAGE", Opts: map[string]any{}}}, "IMAGE", pass)
	return calls
})

// interrupt ends the run in the middle.
var interrupt context.CancelFunc

const countingWorkflow = `{"1": {"class_type": "TestSource", "inputs": {}},
	"2": {"class_type": "TestLeft", "inputs": {"image": ["1", 0], "x": 1}},
	"3": {"class_type": "TestRight", "inputs": {"image": ["1", 0], "y": 1}},
	"4": {"class_type": "TestBoth", "inputs": {"image": ["2", 0], "other": ["3", 0]}},
	"5": {"class_type": "SaveImage", "inputs": {"images": ["4", 0], "filename_prefix": "sub/p"}}}`

// sweepEvent is what --json says of a sweep.
type sweepEvent struct {
	Event      string
	Variation  int
	Values     map[string]any
	Files      []string
	Error      string
	Message    string
	Sheets     []string
	Variations json.RawMessage
}

// runSweepTest runs the counting workflow with --json and returns the events and the exit code.
func runSweepTest(t *testing.T, ctx context.Context, dir string, args ...string) (map[string][]sweepEvent, int) {
	t.Helper()
	counting()
	file := filepath.Join(dir, "w.json")
	if err := os.WriteFile(file, []byte(countingWorkflow), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	root := rootCommand()
	root.SetOut(&out)
	root.SetArgs(append([]string{file, "--json", "--output", filepath.Join(dir, "out")}, args...))
	err := root.ExecuteContext(ctx)
	events := map[string][]sweepEvent{}
	for line := range strings.Lines(out.String()) {
		var e sweepEvent
		if err := json.Unmarshal([]byte(line), &e); err != nil && !strings.Contains(line, `"variations":`) {
			t.Fatalf("%s: %v", line, err)
		}
		events[e.Event] = append(events[e.Event], e)
	}
	return events, exitCode(err)
}

// Each node runs once for each combination of the values above it, in whatever order the axes are.
func TestSweepCalls(t *testing.T) {
	for _, sweeps := range [][]string{{"--sweep", "2.x=1..3", "--sweep", "3.y=1,2,3,4"}, {"--sweep", "3.y=1,2,3,4", "--sweep", "2.x=1..3"}} {
		dir := t.TempDir()
		clear(counting())
		events, code := runSweepTest(t, t.Context(), dir, sweeps...)
		if want := map[string]int{"TestSource": 1, "TestLeft": 3, "TestRight": 4, "TestBoth": 12}; code != 0 || !reflect.DeepEqual(counting(), want) {
			t.Errorf("exit %d, calls %v, want %v", code, counting(), want)
		}
		if len(events["varied"]) != 12 || len(events["done"]) != 1 || len(events["done"][0].Files) != 13 {
			t.Fatalf("varied %v, done %v", events["varied"], events["done"])
		}
		for _, f := range events["done"][0].Files {
			if _, err := os.Stat(f); err != nil {
				t.Error(err)
			}
		}
		for _, v := range events["varied"] {
			x, y := v.Values["2.x"], v.Values["3.y"]
			name := filepath.Base(v.Files[0])
			if x == nil || y == nil || !strings.Contains(name, "_x="+string('0'+byte(x.(float64)))) || !strings.Contains(name, "_y="+string('0'+byte(y.(float64)))) {
				t.Errorf("file %s of %v", name, v.Values)
			}
		}
	}
}

// A variation that fails or is refused is told, and the others go on.
func TestSweepFailures(t *testing.T) {
	dir := t.TempDir()
	events, code := runSweepTest(t, t.Context(), dir, "--sweep", "2.x=12,13,101,14")
	var failed []string
	for _, v := range events["varied"] {
		failed = append(failed, v.Error)
	}
	if code != exitFailed || len(failed) != 4 || failed[0] != "" || !strings.Contains(failed[1], "unlucky") || !strings.Contains(failed[2], "above the maximum") || failed[3] != "" {
		t.Errorf("exit %d, errors %q", code, failed)
	}
	last := events["error"][len(events["error"])-1]
	if len(events["sweep"]) != 1 || len(events["sweep"][0].Sheets) != 1 || last.Message != "2 of 4 variations failed\n" {
		t.Errorf("sweep %+v, last error %+v", events["sweep"], last)
	}
	for sweep, want := range map[string]int{"2.x=13": exitFailed, "2.x=101..103": exitBadWorkflow, "2.x=1..3": exitDone} {
		if _, code := runSweepTest(t, t.Context(), dir, "--sweep", sweep); code != want {
			t.Errorf("%s: exit %d, want %d", sweep, code, want)
		}
	}
	for _, bad := range [][]string{{"--sweep", "2.z=1"}, {"--sweep", "x"}, {"--sweep", "2.x=1", "--sweep", "2.x=2"}, {"--sweep", "2.x=1..100", "--sweep", "3.y=1..100"}, {"--sweep", "2.x==value+"}} {
		events, code := runSweepTest(t, t.Context(), dir, bad...)
		if code != exitUsage || len(events["variation"]) > 0 || len(events["error"]) != 1 {
			t.Errorf("%v: exit %d, %v", bad, code, events)
		}
	}
}

// What is done when a sweep is interrupted stays, and is on the sheet.
func TestSweepInterrupt(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	interrupt = cancel
	defer func(usual time.Duration) { interrupt, patience = nil, usual }(patience)
	patience = time.Minute // a loaded machine may need it
	events, code := runSweepTest(t, ctx, dir, "--sweep", "2.x=48..52")
	files, _ := filepath.Glob(filepath.Join(dir, "out", "sub", "*"))
	for i, f := range files {
		files[i] = filepath.Base(f)
	}
	if want := []string{"p_sheet_00001_.png", "p_x=48_00001_.png", "p_x=49_00001_.png"}; code != exitFailed || !slices.Equal(files, want) {
		t.Errorf("exit %d, files %v, want %v", code, files, want)
	}
	if errs := events["error"]; len(errs) != 1 || !strings.Contains(errs[0].Message, "interrupted") || len(events["varied"]) != 2 {
		t.Errorf("errors %v, varied %v", errs, events["varied"])
	}
	sheet, err := os.Open(filepath.Join(dir, "out", "sub", "p_sheet_00001_.png"))
	if err != nil {
		t.Fatal(err)
	}
	defer sheet.Close()
	if _, err := png.Decode(sheet); err != nil {
		t.Error(err)
	}
}

// The bar over all variations moves forward only, and is gone at the end.
func TestSweepBar(t *testing.T) {
	var files, log strings.Builder
	r := &lineSweep{files: &files, log: &log, live: true}
	last := 0
	for i := range 3 {
		v := &variation{index: i, total: 3, nodes: 4, titles: []string{"seed"}, values: []any{json.Number("7")}, files: []string{"a.png"}}
		r.begin(v)
		for _, e := range []graph.Event{
			graph.Cached{Nodes: []string{"1"}},
			graph.Progress{NodeID: "2", Phase: "sample", Step: 1, Total: 2},
			graph.Progress{NodeID: "2", Phase: "sample", Step: 2, Total: 2},
			graph.Executed{NodeID: "2"},
			graph.Progress{NodeID: "3", Phase: "decode", Step: 0, Total: 1},
			graph.Executed{NodeID: "3"},
			graph.Executed{NodeID: "1", Cached: true},
		} {
			r.event(e)
			if r.at < last || r.at > (i+1)*parts {
				t.Errorf("variation %d: the bar is at %d, after %d", i, r.at, last)
			}
			last = r.at
		}
		r.finish(v)
	}
	r.sheet("sheet.png")
	r.end(0, nil)
	if !strings.Contains(log.String(), "2/3 seed=7 sample 1/2") || !strings.HasSuffix(log.String(), "done in 0.0 s\n") || files.String() != "a.png\na.png\na.png\nsheet.png\n" {
		t.Errorf("log %q, files %q", log.String(), files.String())
	}
}

func TestFileName(t *testing.T) {
	for text, want := range map[string]string{
		"7.5": "7.5", "a cat, black": "a-cat-black", "../../etc": "..-..-etc", "%width%": "width", "größe": "größe", "a/b\\c:d": "a-b-c-d", "": "", "\x00": "",
		strings.Repeat("x", 100): strings.Repeat("x", 40), "-1": "-1", "/": "", "1e-05": "1e-05", "日本": "日本",
	} {
		if got := fileName(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
