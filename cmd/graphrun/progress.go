package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"graphrun/graph"
)

// reporter tells where a run is. Its methods are called by one goroutine at a time.
type reporter interface {
	event(graph.Event)
	// end is the last call: the files written, how long it took and what went wrong.
	end(files []string, took time.Duration, err error)
}

// newReporter chooses: JSON lines on stdout, or lines for people on stderr and the written files on stdout.
func newReporter(stdout, stderr io.Writer, asJSON, quiet bool) reporter {
	if asJSON {
		return &jsonReporter{enc: json.NewEncoder(stdout)}
	}
	r := &lineReporter{files: stdout, log: stderr, quiet: quiet, titles: map[string]string{}}
	if f, ok := stderr.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		r.live = true
	}
	return r
}

// oneVoice guards a reporter from a run that was given up and still goes on: nothing is told after the end.
type oneVoice struct {
	reporter
	mu   sync.Mutex
	over bool
}

func (v *oneVoice) event(e graph.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.over {
		v.reporter.event(e)
	}
}

func (v *oneVoice) end(files []string, took time.Duration, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.over = true
	v.reporter.end(files, took, err)
}

// jsonReporter writes one object per event: its kind under "event", then what the kind has to say.
type jsonReporter struct {
	enc  *json.Encoder
	pace pace
}

type fields = map[string]any

func (r *jsonReporter) event(e graph.Event) {
	switch e := e.(type) {
	case graph.Start:
		r.write("start", fields{"run": e.RunID})
	case graph.Cached:
		r.write("cached", fields{"nodes": e.Nodes})
	case graph.Executing:
		r.pace.restart()
		r.write("executing", fields{"node": e.NodeID, "class": e.Class, "title": e.Title})
	case graph.Progress:
		f := fields{"node": e.NodeID, "phase": e.Phase, "step": e.Step, "total": e.Total}
		if left, known := r.pace.left(e); known {
			f["left"] = left.Seconds()
		}
		r.write("progress", f)
	case graph.Executed:
		r.write("executed", fields{"node": e.NodeID, "output": e.UI, "cached": e.Cached})
	case graph.Interrupted:
		r.write("interrupted", fields{"node": e.NodeID})
	}
}

func (r *jsonReporter) end(files []string, took time.Duration, err error) {
	if err == nil {
		r.write("done", fields{"files": files, "seconds": took.Seconds()})
		return
	}
	file := fileOf(err)
	for _, e := range flatten(err) {
		f := fields{"message": explainOne(e, file), "exit": exitCode(err)}
		if g, ok := asGraphError(e); ok {
			for name, v := range map[string]string{
				"kind": string(g.Kind), "node": g.Node, "class": g.Class, "title": g.Title, "input": g.Input,
				"need": graph.Clip(g.Need), "have": graph.Clip(g.Have), "hint": graph.Clip(g.Hint), "file": file,
			} {
				if v != "" {
					f[name] = v
				}
			}
		}
		r.write("error", f)
	}
}

func (r *jsonReporter) write(event string, f fields) {
	f["event"] = event
	_ = r.enc.Encode(f) // a reader that went away does not stop the run
}

// pace tells how long the rest of a phase will take, from how long its steps took so far.
type pace struct {
	node, phase string
	began       time.Time // of the phase: the node's begin, or the end of its phase before
}

func (p *pace) restart() { *p = pace{began: time.Now()} }

// left is the time that the remaining steps take; not known before a step is done.
func (p *pace) left(e graph.Progress) (left time.Duration, known bool) {
	if p.node != e.NodeID || p.phase != e.Phase {
		if p.phase != "" {
			p.began = time.Now()
		}
		p.node, p.phase = e.NodeID, e.Phase
	}
	if e.Step < 1 || e.Step > e.Total {
		return 0, false
	}
	return time.Since(p.began) / time.Duration(e.Step) * time.Duration(e.Total-e.Step), true
}

// lineReporter writes a line per phase of a node (load, encode, sample, decode, save) when it is over. On the way a
// terminal gets a bar that is wiped then, and anything else at most one line a second.
type lineReporter struct {
	files, log  io.Writer
	quiet, live bool
	titles      map[string]string // of the nodes met, by id

	current graph.Progress // the phase under way; Phase is empty if there is none
	pace    pace
	printed time.Time
	bar     *progressbar.ProgressBar
}

func (r *lineReporter) event(e graph.Event) {
	switch e := e.(type) {
	case graph.Executing:
		r.pace.restart()
		r.titles[e.NodeID] = e.Title
		if e.Title == "" {
			r.titles[e.NodeID] = e.Class
		}
	case graph.Progress:
		if e.NodeID != r.current.NodeID || e.Phase != r.current.Phase {
			r.finish()
			r.begin(e)
		}
		r.current = e
		r.step()
	case graph.Executed:
		r.finish()
	}
}

func (r *lineReporter) begin(e graph.Progress) {
	r.current, r.printed = e, time.Now()
	if r.live && !r.quiet {
		r.bar = progressbar.NewOptions(e.Total, progressbar.OptionSetWriter(r.log), progressbar.OptionClearOnFinish(),
			progressbar.OptionSetDescription(r.label()), progressbar.OptionSetPredictTime(false),
			progressbar.OptionSetElapsedTime(false))
	}
}

// step shows how far the phase is, and how long the rest will take.
func (r *lineReporter) step() {
	left, known := r.pace.left(r.current)
	text := fmt.Sprintf("step %d/%d", r.current.Step, r.current.Total)
	if known {
		text += fmt.Sprintf(", %s left", seconds(left))
	}
	switch {
	case r.quiet:
	case r.bar != nil:
		_ = r.bar.Set(min(r.current.Step, r.current.Total)) // drawing may fail, the run goes on
		r.bar.Describe(r.label() + " " + text)
	case known && r.current.Step < r.current.Total && time.Since(r.printed) >= time.Second:
		r.printed = time.Now()
		r.line(text)
	}
}

// finish ends the phase under way with its line.
func (r *lineReporter) finish() {
	if r.current.Phase == "" {
		return
	}
	if r.bar != nil {
		_ = r.bar.Finish()
		r.bar = nil
	}
	if !r.quiet {
		text := seconds(time.Since(r.pace.began))
		if r.current.Phase == "sample" {
			text = fmt.Sprintf("%d steps, %s", r.current.Total, text)
		}
		r.line(text)
	}
	r.current = graph.Progress{}
	r.pace.restart()
}

func (r *lineReporter) line(text string) {
	fmt.Fprintln(r.log, r.label(), text)
}

// label names the phase under way and its node.
func (r *lineReporter) label() string {
	return fmt.Sprintf("%-7s %s:", r.current.Phase, r.titles[r.current.NodeID])
}

func (r *lineReporter) end(files []string, took time.Duration, err error) {
	if err != nil {
		if r.bar != nil {
			_ = r.bar.Clear()
		}
		fmt.Fprint(r.log, "graphrun: ", explain(err))
		return
	}
	r.finish()
	for _, f := range files {
		fmt.Fprintln(r.files, f)
	}
	if !r.quiet {
		fmt.Fprintf(r.log, "done in %s\n", seconds(took))
	}
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
