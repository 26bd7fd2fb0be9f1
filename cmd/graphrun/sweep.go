package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"graphrun/graph"
	"graphrun/graph/workflow"
	"graphrun/runtime/contactsheet"
	"graphrun/runtime/hub"
	"graphrun/runtime/picture"
	"graphrun/types"
)

// sweep is a run for every combination of the values of its axes, the last axis fastest.
type sweep struct {
	engine  *engine
	file    *workflow.File
	name    string
	options workflow.Options
	axes    []workflow.Axis
	titles  []string // of the axes: the input, with its node where two are called the same
	report  sweepReporter

	sheets map[string][]contactsheet.Cell // by node that saves: the first picture of each variation
	order  []string                       // of these nodes
	prefix map[string]string              // of the files that nodes save, without the values
	notes  []string                       // why a variation has no picture
}

// variation is one of them.
type variation struct {
	index, total int
	nodes        int // of its prompt, once there is one
	titles       []string
	axes         []workflow.Axis
	values       []any
	files        []string
	took         time.Duration
	err          error
}

// text tells the values: "seed=1 cfg=7.5".
func (v *variation) text() string {
	var parts []string
	for i, value := range v.values {
		parts = append(parts, v.titles[i]+"="+workflow.ValueText(value))
	}
	return graph.Clip(strings.Join(parts, " "))
}

// runSweep runs the variations and reports them, each when it is done.
func (f *runFlags) runSweep(c *cobra.Command, name string) error {
	report := &sweepVoice{sweepReporter: newSweepReporter(c.OutOrStdout(), c.ErrOrStderr(), f.asJSON, f.quiet)}
	begin := time.Now()
	_, err := within(c.Context(), patience, func() (struct{}, error) { return struct{}{}, f.executeSweep(c, name, report) })
	report.end(time.Since(begin), err)
	if failed := (*failedError)(nil); errors.As(err, &failed) && failed.failed == failed.total {
		err = failed.first
	}
	if err != nil {
		return &reportedError{err}
	}
	return nil
}

// failedError says that variations failed, which have been reported.
type failedError struct {
	failed, total int
	first         error
}

func (e *failedError) Error() string {
	return fmt.Sprintf("%d of %d variations failed", e.failed, e.total)
}

func (f *runFlags) executeSweep(c *cobra.Command, name string, report sweepReporter) error {
	file, err := readWorkflow(name)
	if err != nil {
		return err
	}
	if len(f.policies()) == 0 {
		f.cacheFlags.budget = byteCount(max(f.budget()/4, 1<<28)) // classic would forget what only every other variation uses
	}
	e, err := f.open()
	if err != nil {
		return err
	}
	defer e.Close()
	s := &sweep{engine: e, file: file, name: name, options: e.options(), report: report}
	base, err := f.prompt(file, name, s.options)
	if err != nil {
		return err
	}
	if e.locked { // once for all; each variation may name other files and is looked at too
		if err := e.held(c.Context(), name, base); err != nil {
			return &workflowError{name, err}
		}
	}
	s.prefix = map[string]string{}
	for _, id := range base.IDs {
		if value, ok := base.Nodes[id].Input("filename_prefix"); ok {
			if text, isText := value.(string); isText {
				s.prefix[id] = text
			}
		}
	}
	total, err := s.readAxes(f.sweep)
	if err != nil {
		return err
	}
	return s.runAll(c.Context(), total)
}

// readAxes reads the axes and returns how many variations they give.
func (s *sweep) readAxes(texts []string) (total int, err error) {
	total = 1
	for _, text := range texts {
		axis, err := s.file.ParseAxis(text, s.options)
		if err != nil {
			return 0, usagef("--sweep: %w", err)
		}
		if slices.ContainsFunc(s.axes, func(a workflow.Axis) bool { return a.Node == axis.Node && a.Input == axis.Input }) {
			return 0, usagef("--sweep %s.%s: given twice; list all its values in one", axis.Title, axis.Input)
		}
		s.axes = append(s.axes, axis)
		if total *= len(axis.Values); total > workflow.MaxVariations {
			return 0, usagef("--sweep: more than %d variations; take fewer values", workflow.MaxVariations)
		}
	}
	for _, a := range s.axes {
		title := a.Input
		if slices.ContainsFunc(s.axes, func(b workflow.Axis) bool { return b.Input == a.Input && b.Node != a.Node }) {
			title = a.Node + "." + a.Input
		}
		s.titles = append(s.titles, title)
	}
	return total, nil
}

// runAll runs the variations. One that fails does not keep the others from running; an interrupt does.
func (s *sweep) runAll(ctx context.Context, total int) error {
	s.sheets = map[string][]contactsheet.Cell{}
	s.notes = slices.Repeat([]string{"not run"}, total)
	failed := &failedError{total: total}
	for i := range total {
		v := s.variation(i, total)
		s.report.begin(v)
		begin := time.Now()
		v.err = s.run(ctx, v)
		v.took = time.Since(begin)
		if ctx.Err() != nil {
			break
		}
		s.notes[i] = "no picture"
		if v.err != nil {
			s.notes[i] = graph.Clip(v.err.Error())
			if failed.failed++; failed.first == nil {
				failed.first = v.err
			}
		}
		s.report.finish(v)
	}
	err := s.drawSheets(total)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return err
	case failed.failed > 0:
		return failed
	}
	return nil
}

// variation is number i of total.
func (s *sweep) variation(i, total int) *variation {
	v := &variation{index: i, total: total, titles: s.titles, axes: s.axes, values: make([]any, len(s.axes))}
	for a := len(s.axes) - 1; a >= 0; a-- {
		n := len(s.axes[a].Values)
		v.values[a], i = s.axes[a].Values[i%n], i/n
	}
	return v
}

// run runs one variation and keeps small pictures for the sheets.
func (s *sweep) run(ctx context.Context, v *variation) error {
	suffix := ""
	settings := make([]workflow.Setting, len(v.values))
	for i, a := range s.axes {
		settings[i] = workflow.Setting{Node: a.Node, Input: a.Input, Value: v.values[i]}
		suffix += "_" + fileName(s.titles[i]) + "=" + fileName(workflow.ValueText(v.values[i]))
	}
	s.file.Vary(clipName(suffix), settings...)
	prompt, err := s.file.Prompt(s.options)
	if err != nil {
		return &workflowError{s.name, err}
	}
	v.nodes = len(prompt.IDs)
	result, err := s.engine.run(ctx, s.file, s.name, prompt, &s.engine.cache, s.report.event)
	if result == nil {
		return err
	}
	for _, id := range prompt.IDs {
		files, e := s.engine.files(result.UI[id])
		if err == nil {
			err = e
		}
		if len(files) > 0 {
			v.files = append(v.files, files...)
			s.keep(v, id, files[0])
		}
	}
	return err
}

// keep makes the small picture of a variation. A file that is no picture leaves an empty cell.
func (s *sweep) keep(v *variation, id, file string) {
	cells := s.sheets[id]
	if cells == nil {
		cells = make([]contactsheet.Cell, v.total)
		s.sheets[id], s.order = cells, append(s.order, id)
	}
	cell := &cells[v.index]
	data, err := os.ReadFile(file)
	if err == nil {
		var img types.Image
		if img, _, err = picture.Decode(data); err == nil {
			cell.Picture = contactsheet.Thumbnail(goImage(img), contactsheet.Side(v.total))
			return
		}
	}
	cell.Note = filepath.Base(file)
}

// goImage is the first picture of a batch.
func goImage(img types.Image) *image.NRGBA {
	h, w, c := img.Shape[1], img.Shape[2], img.Shape[3]
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	pixels := picture.Bytes(img.Data[:h*w*c])
	for i := range h * w {
		m.Pix[4*i+3] = 255
		copy(m.Pix[4*i:4*i+4], pixels[c*i:c*i+c])
	}
	return m
}

// drawSheets writes a sheet for each node that saved pictures or, where none does, that showed some.
func (s *sweep) drawSheets(total int) error {
	axes := make([]contactsheet.Axis, len(s.axes))
	for i, a := range s.axes {
		axes[i].Title = s.titles[i]
		for _, value := range a.Values {
			axes[i].Labels = append(axes[i].Labels, workflow.ValueText(value))
		}
	}
	saves := slices.ContainsFunc(s.order, func(id string) bool { _, ok := s.prefix[id]; return ok })
	for _, id := range s.order {
		prefix, ok := s.prefix[id]
		if saves && !ok {
			continue
		}
		if !ok {
			prefix = "preview"
		}
		cells := s.sheets[id]
		for i := range cells {
			if cells[i].Picture == nil && cells[i].Note == "" {
				cells[i].Note = s.notes[i]
			}
		}
		if !slices.ContainsFunc(cells, func(c contactsheet.Cell) bool { return c.Picture != nil }) {
			continue
		}
		path, err := s.writeSheet(prefix, contactsheet.Draw(axes, cells))
		if err != nil {
			return err
		}
		s.report.sheet(path)
	}
	return nil
}

// writeSheet saves a sheet beside the pictures: <prefix>_sheet_00001_.png.
func (s *sweep) writeSheet(prefix string, m image.Image) (string, error) {
	place, err := s.engine.folders.SavePath(hub.Output, prefix+"_sheet", m.Bounds().Dx(), m.Bounds().Dy())
	if err != nil {
		return "", err
	}
	dir, err := s.engine.folders.Dir(hub.Output)
	if err != nil {
		return "", err
	}
	name := func(n int) string { return fmt.Sprintf("%s_%05d_.png", place.Name, n) }
	file, err := place.Save(name, func(w io.Writer) error { return png.Encode(w, m) }) // an interrupted sweep has no time for a better compression
	return filepath.Join(dir, filepath.FromSlash(place.Subfolder), file), err
}

// fileName is a text as a part of a file's name: letters, digits and a few signs, the rest as "-".
func fileName(text string) string {
	var b strings.Builder
	n := 0
	for _, c := range text {
		if n++; n > 40 {
			break
		}
		switch {
		case unicode.IsLetter(c), unicode.IsDigit(c), strings.ContainsRune("._+-", c):
			b.WriteRune(c)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	return strings.TrimRight(b.String(), "-.")
}

// clipName keeps a name short enough for file systems, which count bytes.
func clipName(name string) string {
	const most = 150
	if len(name) <= most {
		return name
	}
	return strings.ToValidUTF8(name[:most], "")
}
