// Package workflow reads workflow files: ComfyUI's API format (a prompt as the server takes it), its UI format (as the
// editor saves it) and A1111's parameters, as text or out of a picture, video, sound or model file (package container),
// and turns them into a graph.Prompt.
//
// The rules are those of specs/workflow-conversion.md; section numbers in comments are its.
package workflow

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
	"unsafe"

	"graphrun/graph"
	"graphrun/graph/workflow/container"
)

// MaxBytes is the largest workflow file of plain text that is read; of media files, container.MaxText is.
const MaxBytes = 128 << 20

// File is a workflow file. Of its forms, those that it does not have are empty. Of several the workflow counts, then
// the prompt, then the parameters, as in the editor (section 10).
type File struct {
	uiText   string         // the UI format's source, which is JSON
	ui       map[string]any // its tree, once tree was called, numbers as json.Number: what Set changes here is written back
	doc      *document      // what is read of it, until a conversion takes it
	hasNodes bool           // of the UI format

	prompt []byte // the API format's source
	a1111  string // A1111's parameters

	sets   []assignment
	varied variation
	undo   []func()  // takes the values of sets out of ui again
	edits  []Setting // what sets changed in a prompt

	queued bool // once, with BeforeQueue
}

// Options says how to make a prompt. The zero value uses the registered nodes.
type Options struct {
	Nodes graph.Library // the schemas; nil: the registered nodes
	Env   *graph.Env    // for lists of files
	Now   time.Time     // for %date:...%; zero: now
	// Embeddings are the names, without suffix, that A1111's parameters may use as bare words.
	Embeddings []string
	// Pick chooses one of n options of a dynamic prompt {a|b}; nil: the first.
	Pick func(n int) int
	// Random gives numbers of [0, 1) to AfterQueue and BeforeQueue; nil: unlike ones every time.
	Random func() float64
	// Warn, if not nil, is told what does not stop the conversion: nodes of unknown classes.
	Warn func(*graph.Error)
}

func (o *Options) setDefaults() {
	if o.Nodes == nil {
		o.Nodes = graph.Registered()
	}
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	if o.Pick == nil {
		o.Pick = func(int) int { return 0 }
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
}

// Parse reads a workflow file: JSON of either form, A1111's parameters, or a file that carries one of these.
// The file keeps data, which must not change. Errors are *graph.Error, mostly of KindBadFile.
func Parse(data []byte) (*File, error) {
	if in := container.Open(bytes.NewReader(data)); in.Format != "" {
		return readContainer(in)
	}
	return readText(unsafe.String(unsafe.SliceData(data), len(data)))
}

// Read is Parse for what is not in memory: of media files it keeps the texts alone, and passes over the rest where
// r is an io.Seeker; of anything else it reads MaxBytes.
func Read(r io.Reader) (*File, error) {
	size := sizeOf(r)
	in := container.Open(r)
	if in.Format != "" {
		return readContainer(in)
	}
	var read strings.Builder
	read.Grow(size)
	if _, err := io.Copy(&read, io.LimitReader(in, MaxBytes+1)); err != nil {
		return nil, err
	}
	return readText(read.String())
}

func readText(data string) (*File, error) {
	f := &File{}
	if text := strings.TrimPrefix(data[:min(len(data), maxA1111)], "\uFEFF"); len(data) < maxA1111 && isA1111(text) {
		f.a1111 = text
		return f, nil
	}
	return f, f.add(data)
}

// sizeOf guesses how much there is to read.
func sizeOf(r io.Reader) int {
	size := 0
	switch r := r.(type) {
	case interface{ Len() int }:
		size = r.Len()
	case interface{ Stat() (fs.FileInfo, error) }:
		if info, err := r.Stat(); err == nil {
			size = int(info.Size())
		}
	}
	return min(max(size, 0), MaxBytes)
}

// readContainer reads what a media file carries. One bad text does not hide a good one.
func readContainer(in *container.File) (*File, error) {
	texts, err := in.Texts()
	if err != nil {
		return nil, &graph.Error{Kind: graph.KindBadFile, Err: err, Have: "a damaged " + in.Format + " file", Hint: "use the file as it was saved"}
	}
	f := &File{}
	var problems []error
	for _, t := range []struct{ key, text string }{{"prompt", texts.Prompt}, {"workflow", texts.Workflow}} {
		if t.text != "" {
			if err := f.add(t.text); err != nil {
				problems = append(problems, fmt.Errorf("the %s file's %s: %w", in.Format, t.key, err))
			}
		}
	}
	if isA1111(texts.Parameters) {
		f.a1111 = texts.Parameters
	}
	switch {
	case f.uiText != "" || f.prompt != nil || f.a1111 != "":
		return f, nil
	case len(problems) > 0:
		return nil, problems[0]
	}
	return nil, &graph.Error{
		Kind: graph.KindBadFile, Need: "a file that carries a workflow, a prompt or A1111's parameters", Have: "a " + in.Format + " file without",
		Hint: "use a file as ComfyUI or graphrun saved it: other programs drop the text",
	}
}

// add reads JSON of either form into the file.
func (f *File) add(data string) error {
	if len(data) > MaxBytes {
		return &graph.Error{Kind: graph.KindBadFile, Need: fmt.Sprintf("a workflow of at most %d MB", MaxBytes>>20), Have: "a larger file", Hint: "is this a model or a video? Give a workflow"}
	}
	data = strings.TrimPrefix(data, "\uFEFF")
	w := newWalker(data)
	doc := readDocument(w)
	text, err := w.end()
	if err != nil {
		e := &graph.Error{Kind: graph.KindBadFile, Err: err, Need: "JSON, or a file that ComfyUI saved", Have: start(data)}
		if strings.HasPrefix(data, "\xff\xfe") || strings.HasPrefix(data, "\xfe\xff") {
			e.Hint = "the file is UTF-16: save it as UTF-8"
		}
		return e
	}
	switch {
	case doc.isUI:
		f.uiText, f.ui, f.doc, f.hasNodes = text, nil, doc, doc.hasNodes
	case isPrompt(text):
		f.prompt = []byte(text)
	default:
		return &graph.Error{
			Kind: graph.KindBadFile, Have: "JSON of another kind: " + start(data),
			Need: `a workflow (an object with "nodes") or a prompt (an object of nodes with class_type)`,
			Hint: "save or export the workflow from ComfyUI's menu",
		}
	}
	return nil
}

// isPrompt reports whether the JSON is of the API format: nodes by id, some with a class. One without is for validation
// to refuse.
func isPrompt(text string) bool {
	classes, others := 0, 0
	w := &walker{text: text}
	w.object(func(string) {
		class := false
		if !w.object(func(key string) {
			class = class || key == "class_type"
			w.skip()
		}) {
			others++
		} else if class {
			classes++
		}
	})
	return classes > 0 && others == 0
}

// document is what a conversion, which changes it, needs of the workflow.
func (f *File) document() *document {
	d := f.doc
	if f.doc = nil; d == nil {
		d = readDocument(&walker{text: f.uiText})
	}
	return d
}

// tree is the workflow as a tree.
func (f *File) tree() map[string]any {
	if f.ui == nil && f.uiText != "" {
		f.ui = object(treeOf(f.uiText))
	}
	return f.ui
}

func start(data string) string {
	text := strings.TrimSpace(data[:min(len(data), 60)])
	if text == "" {
		return "nothing"
	}
	return fmt.Sprintf("%q", text)
}

// IsUI reports whether the workflow is what counts, so that the prompt is converted from it. One without nodes does not
// count where there is something else.
func (f *File) IsUI() bool {
	return f.uiText != "" && (f.hasNodes || f.prompt == nil && f.a1111 == "")
}

// Workflow returns the UI format, to be kept in saved pictures; nil if the file has none. It is the file's own text but
// for the values that Set gave to widgets, once Prompt has been called.
func (f *File) Workflow() json.RawMessage {
	switch {
	case f.uiText == "":
		return nil
	case len(f.undo) == 0:
		return json.RawMessage(f.uiText)
	}
	return rewrite(f.uiText, f.ui)
}

// Document returns the file in its own form, UI or API, with the values that Set gave, once Prompt has been called. Keys
// that this package does not know, the order of all keys and the spelling of numbers stay. It is nil for A1111's
// parameters.
func (f *File) Document() json.RawMessage {
	switch {
	case f.IsUI():
		return f.Workflow()
	case len(f.edits) == 0 || f.prompt == nil:
		return f.prompt
	}
	tree := treeOf(string(f.prompt))
	for _, e := range f.edits {
		if n := object(object(tree)[e.Node]); n != nil {
			if object(n["inputs"]) == nil {
				n["inputs"] = map[string]any{}
			}
			object(n["inputs"])[e.Input] = e.Value
		}
	}
	return rewrite(string(f.prompt), tree)
}

// Prompt makes a prompt that the caller owns: the converted workflow, the file's own, or one made of the parameters; then
// the values of Set; then, for workflows, the editor's filename tokens. Where the workflow cannot be converted, the
// file's own prompt takes its place. It does not check the nodes' inputs: that is graph.Validate's work.
func (f *File) Prompt(o Options) (*graph.Prompt, error) {
	o.setDefaults()
	f.takeBack()
	p, c, converted, err := f.convert(o)
	if err != nil {
		return nil, err
	}
	for _, a := range slices.Concat(f.sets, f.varied.assignments(p, o.Nodes)) {
		id, input, err := a.apply(p, o.Nodes)
		if err != nil {
			return nil, err
		}
		value, _ := p.Nodes[id].Input(input)
		f.edits = append(f.edits, Setting{id, input, value})
		if c != nil {
			f.undo = append(f.undo, c.keep(id, input, value))
		}
	}
	if converted {
		c.replaceTokens()
	}
	return p, nil
}

// takeBack takes what Set gave out of the workflow.
func (f *File) takeBack() {
	for _, undo := range slices.Backward(f.undo) {
		undo()
	}
	f.undo, f.edits = nil, nil
}

// convert makes the prompt of the form that counts; c is the converter of the workflow, if there is a sound one.
func (f *File) convert(o Options) (p *graph.Prompt, c *converter, converted bool, err error) {
	if f.uiText != "" {
		if c, err = newConverter(f, o); err != nil {
			c = nil // which does not matter where the workflow is only kept
		}
	}
	if f.IsUI() {
		if err == nil {
			p, err = c.prompt()
		}
		if err == nil || f.prompt == nil {
			return p, c, true, err
		}
	}
	if f.prompt == nil {
		return importA1111(f.a1111, o), c, false, nil
	}
	unread := err
	if p, err = graph.ParseValidPrompt(f.prompt); err != nil && f.IsUI() {
		err = unread
	}
	return p, c, false, err
}

// sortIDs brings ids into the order of a JavaScript object: integers ascending, then the rest as they are.
func sortIDs(ids []string) {
	type key struct {
		n  uint64
		at int
	}
	keys := make([]key, len(ids))
	for i, id := range ids {
		keys[i] = key{math.MaxUint64, i}
		if n, ok := arrayIndex(id); ok {
			keys[i].n = n
		}
	}
	slices.SortFunc(keys, func(a, b key) int { return cmp.Or(cmp.Compare(a.n, b.n), a.at-b.at) })
	unsorted := slices.Clone(ids)
	for i, k := range keys {
		ids[i] = unsorted[k.at]
	}
}
