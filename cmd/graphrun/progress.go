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
		return newJSONReporter(stdout)
	}
	return &lineReporter{files: stdout, log: stderr, quiet: quiet, live: isTerminal(stderr), running: map[string]*running{}}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// voice guards a reporter from a run that was given up and still goes on: nothing is told after the end.
type voice struct {
	mu   sync.Mutex
	over bool
}

func (v *voice) tell(what func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.over {
		what()
	}
}

// last tells the end.
func (v *voice) last(what func()) { v.tell(func() { what(); v.over = true }) }

// oneVoice is a reporter with its guard.
type oneVoice struct {
	reporter
	voice
}

func (v *oneVoice) event(e graph.Event) { v.tell(func() { v.reporter.event(e) }) }
func (v *oneVoice) end(files []string, took time.Duration, err error) {
	v.last(func() { v.reporter.end(files, took, err) })
}

// jsonReporter writes one object per event: its kind under "event", then what the kind has to say.
type jsonReporter struct {
	enc   *json.Encoder
	paces map[string]*pace // of the nodes that run, by id
}

func newJSONReporter(stdout io.Writer) *jsonReporter {
	return &jsonReporter{enc: json.NewEncoder(stdout), paces: map[string]*pace{}}
}

type fields = map[string]any

func (r *jsonReporter) event(e graph.Event) {
	switch e := e.(type) {
	case graph.Start:
		r.write("start", fields{"run": e.RunID})
	case graph.Cached:
		r.write("cached", fields{"nodes": e.Nodes})
	case graph.Executing:
		r.paces[e.NodeID] = &pace{began: when(e.At)}
		r.write("executing", fields{"node": e.NodeID, "class": e.Class, "title": e.Title})
	case graph.Progress:
		f := fields{"node": e.NodeID, "phase": e.Phase, "step": e.Step, "total": e.Total}
		if p := r.paces[e.NodeID]; p != nil {
			if left, known := p.left(e); known {
				f["left"] = left.Seconds()
			}
		}
		r.write("progress", f)
	case graph.Executed:
		r.write("executed", fields{"node": e.NodeID, "output": e.UI, "cached": e.Cached})
	case graph.Blocked:
		r.write("blocked", fields{"node": e.NodeID, "class": e.Class, "message": e.Message})
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
	all := flatten(err)
	for _, e := range all[:min(len(all), mostTold)] {
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

// pace tells how long the rest of a node's phase will take, from how long its steps took so far.
type pace struct {
	phase string
	began time.Time // of the phase: the node's begin, or the end of its phase before
}

// when is the time of an event: now, where a server tells of it.
func when(at time.Time) time.Time {
	if at.IsZero() {
		return time.Now()
	}
	return at
}

// left is the time that the remaining steps take; not known before a step is done.
func (p *pace) left(e graph.Progress) (left time.Duration, known bool) {
	if p.phase != e.Phase {
		if p.phase != "" {
			p.began = when(e.At)
		}
		p.phase = e.Phase
	}
	if e.Step < 1 || e.Step > e.Total {
		return 0, false
	}
	return when(e.At).Sub(p.began) / time.Duration(e.Step) * time.Duration(e.Total-e.Step), true
}

// lineReporter writes a line per phase of a node (load, encode, sample, decode, save) when it is over. On the way a
// terminal gets a bar that is wiped then, of one node where several run, and anything else at most one line a second.
type lineReporter struct {
	files, log  io.Writer
	quiet, live bool

	running map[string]*running // by id
	bar     *progressbar.ProgressBar
	shown   *running // whose bar it is
}

// running is a node that runs.
type running struct {
	title   string
	now     graph.Progress // the phase under way; Phase is empty if there is none
	pace    *pace
	printed time.Time
}

func (r *lineReporter) event(e graph.Event) {
	switch e := e.(type) {
	case graph.Executing:
		n := &running{title: e.Title, pace: &pace{began: when(e.At)}}
		if n.title == "" {
			n.title = e.Class
		}
		r.running[e.NodeID] = n
	case graph.Progress:
		n := r.running[e.NodeID]
		if n == nil {
			return
		}
		if e.Phase != n.now.Phase {
			r.finish(n, when(e.At))
			n.printed = time.Now()
		}
		n.now = e
		r.step(n)
	case graph.Blocked:
		if !r.quiet {
			fmt.Fprintf(r.log, "node %s (%s) is blocked: %s\n", e.NodeID, e.Class, graph.Clip(e.Message))
		}
	case graph.Executed:
		if n := r.running[e.NodeID]; n != nil {
			r.finish(n, when(e.At))
			delete(r.running, e.NodeID)
		}
	}
}

// step shows how far the phase is, and how long the rest will take.
func (r *lineReporter) step(n *running) {
	left, known := n.pace.left(n.now)
	text := fmt.Sprintf("step %d/%d", n.now.Step, n.now.Total)
	if known {
		text += fmt.Sprintf(", %s left", seconds(left))
	}
	switch {
	case r.quiet:
	case r.live:
		if r.bar == nil {
			r.shown, r.bar = n, progressbar.NewOptions(n.now.Total, progressbar.OptionSetWriter(r.log), progressbar.OptionClearOnFinish(),
				progressbar.OptionSetPredictTime(false), progressbar.OptionSetElapsedTime(false))
		}
		if r.shown == n {
			_ = r.bar.Set(min(n.now.Step, n.now.Total)) // drawing may fail, the run goes on
			r.bar.Describe(n.label() + " " + text)
		}
	case known && n.now.Step < n.now.Total && time.Since(n.printed) >= time.Second:
		n.printed = time.Now()
		fmt.Fprintln(r.log, n.label(), text)
	}
}

// finish ends the node's phase under way with its line.
func (r *lineReporter) finish(n *running, at time.Time) {
	if n.now.Phase == "" {
		return
	}
	if r.bar != nil { // a bar of another node comes back with its next step
		_ = r.bar.Clear()
		r.bar, r.shown = nil, nil
	}
	if !r.quiet {
		text := seconds(at.Sub(n.pace.began))
		if n.now.Phase == "sample" {
			text = fmt.Sprintf("%d steps, %s", n.now.Total, text)
		}
		fmt.Fprintln(r.log, n.label(), text)
	}
	n.now = graph.Progress{}
	n.pace = &pace{began: at}
}

// label names the phase under way and its node.
func (n *running) label() string { return fmt.Sprintf("%-7s %s:", n.now.Phase, n.title) }

func (r *lineReporter) end(files []string, took time.Duration, err error) {
	if err != nil {
		if r.bar != nil {
			_ = r.bar.Clear()
		}
		fmt.Fprint(r.log, "graphrun: ", explain(err))
		return
	}
	for _, f := range files {
		fmt.Fprintln(r.files, f)
	}
	if !r.quiet {
		fmt.Fprintf(r.log, "done in %s\n", seconds(took))
	}
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
