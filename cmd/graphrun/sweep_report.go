package main

import (
	"fmt"
	"io"
	"maps"
	"time"

	"github.com/schollz/progressbar/v3"

	"graphrun/graph"
)

// sweepReporter tells where a sweep is. Its methods are called by one goroutine at a time.
type sweepReporter interface {
	event(graph.Event)
	begin(*variation)
	finish(*variation)
	sheet(path string)
	// end is the last call: how long all took and what went wrong, if it was not one variation alone.
	end(took time.Duration, err error)
}

func newSweepReporter(stdout, stderr io.Writer, asJSON, quiet bool) sweepReporter {
	if asJSON {
		return &jsonSweep{jsonReporter: newJSONReporter(stdout)}
	}
	return &lineSweep{files: stdout, log: stderr, quiet: quiet, live: isTerminal(stderr) && !quiet}
}

// sweepVoice is a reporter with its guard.
type sweepVoice struct {
	sweepReporter
	voice
}

func (v *sweepVoice) event(e graph.Event) { v.tell(func() { v.sweepReporter.event(e) }) }
func (v *sweepVoice) begin(x *variation)  { v.tell(func() { v.sweepReporter.begin(x) }) }
func (v *sweepVoice) finish(x *variation) { v.tell(func() { v.sweepReporter.finish(x) }) }
func (v *sweepVoice) sheet(path string)   { v.tell(func() { v.sweepReporter.sheet(path) }) }
func (v *sweepVoice) end(took time.Duration, err error) {
	v.last(func() { v.sweepReporter.end(took, err) })
}

// jsonSweep writes, between the events of the runs, "variation" before each, "varied" with its values and files after it,
// and at the end "sweep", which lists them all.
type jsonSweep struct {
	*jsonReporter
	done   []fields
	files  []string
	sheets []string
}

func (r *jsonSweep) begin(v *variation) {
	r.write("variation", fields{"variation": v.index + 1, "variations": v.total, "values": valuesByInput(v)})
}

func (r *jsonSweep) finish(v *variation) {
	files := append([]string{}, v.files...) // [] where there are none
	f := fields{"variation": v.index + 1, "values": valuesByInput(v), "files": files, "seconds": v.took.Seconds()}
	if v.err != nil {
		r.jsonReporter.end(nil, v.took, v.err)
		f["error"] = explain(v.err)
	}
	r.files = append(r.files, v.files...)
	r.done = append(r.done, f)
	r.write("varied", maps.Clone(f)) // which gets its event
}

func (r *jsonSweep) sheet(path string) {
	r.sheets, r.files = append(r.sheets, path), append(r.files, path)
}

func (r *jsonSweep) end(took time.Duration, err error) {
	r.write("sweep", fields{"variations": append([]fields{}, r.done...), "sheets": append([]string{}, r.sheets...)})
	r.jsonReporter.end(append([]string{}, r.files...), took, err)
}

// valuesByInput are the values under NODE.INPUT, the node by its id.
func valuesByInput(v *variation) fields {
	f := fields{}
	for i, a := range v.axes {
		f[a.Node+"."+a.Input] = v.values[i]
	}
	return f
}

// lineSweep writes the files of a variation when it is done, and a line about it; a terminal gets one bar over all.
type lineSweep struct {
	files, log  io.Writer
	quiet, live bool

	bar  *progressbar.ProgressBar
	at   int // where the bar is
	now  *variation
	done int    // nodes of it
	last string // error
}

// parts is how many steps of the bar a variation has.
const parts = 100

func (r *lineSweep) begin(v *variation) {
	r.now, r.done = v, 0
	if r.live && r.bar == nil {
		r.bar = progressbar.NewOptions(v.total*parts, progressbar.OptionSetWriter(r.log), progressbar.OptionClearOnFinish(),
			progressbar.OptionSetElapsedTime(false), progressbar.OptionSetPredictTime(v.total > 1))
	}
	r.show(0, "")
}

func (r *lineSweep) event(e graph.Event) {
	switch e := e.(type) {
	case graph.Cached:
		r.done += len(e.Nodes)
	case graph.Executed:
		if !e.Cached {
			r.done++
		}
	case graph.Progress:
		if e.Total > 0 {
			r.show(float64(min(e.Step, e.Total))/float64(e.Total), fmt.Sprintf(" %s %d/%d", e.Phase, e.Step, e.Total))
		}
	}
}

// show moves the bar on: by the nodes that are done, and the share of the one under way.
func (r *lineSweep) show(share float64, text string) {
	if r.bar == nil || r.now == nil {
		return
	}
	within := min(1, (float64(r.done)+share)/float64(max(1, r.now.nodes)))
	r.at = max(r.at, r.now.index*parts+int(within*(parts-1)))
	r.bar.Describe(fmt.Sprintf("%d/%d %s%s", r.now.index+1, r.now.total, short(r.now.text()), text))
	_ = r.bar.Set(r.at) // drawing may fail, the run goes on
}

// short is the beginning of a text, for one line.
func short(text string) string {
	if r := []rune(text); len(r) > 50 {
		return string(r[:50]) + "…"
	}
	return text
}

func (r *lineSweep) finish(v *variation) {
	if r.bar != nil {
		_ = r.bar.Clear()
	}
	label := fmt.Sprintf("%d/%d %s", v.index+1, v.total, v.text())
	for _, f := range v.files {
		fmt.Fprintln(r.files, f)
	}
	switch {
	case v.err != nil && explain(v.err) == r.last:
		fmt.Fprintf(r.log, "graphrun: %s: the same error\n", label)
	case v.err != nil:
		r.last = explain(v.err)
		fmt.Fprintf(r.log, "graphrun: %s: %s", label, r.last)
	case !r.quiet:
		fmt.Fprintf(r.log, "%s: %s\n", label, seconds(v.took))
	}
	if r.bar != nil {
		r.at = (v.index + 1) * parts
	}
}

func (r *lineSweep) sheet(path string) {
	r.wipe()
	fmt.Fprintln(r.files, path)
}

func (r *lineSweep) wipe() {
	if r.bar != nil {
		_ = r.bar.Clear()
		r.bar = nil
	}
}

func (r *lineSweep) end(took time.Duration, err error) {
	r.wipe()
	if err != nil {
		fmt.Fprint(r.log, "graphrun: ", explain(err))
	} else if !r.quiet {
		fmt.Fprintf(r.log, "done in %s\n", seconds(took))
	}
}
