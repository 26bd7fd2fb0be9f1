// Package workflow reads workflow files: ComfyUI's API format (a prompt as the server takes it) and its UI format (as
// the editor saves it), as JSON or out of a PNG's text chunks, and turns them into a graph.Prompt.
//
// The rules are those of specs/workflow-conversion.md; section numbers in comments are its. Subgraphs and group nodes
// are refused with an error of graph.KindUnsupported, never converted wrongly.
package workflow

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"graphrun/graph"
)

// MaxBytes is the largest workflow text that is read, also out of a compressed chunk.
const MaxBytes = 64 << 20

// File is a workflow file. One of its two forms may be missing.
type File struct {
	prompt []byte         // the API format's text, nil if the file has none
	ui     map[string]any // the UI format, numbers as json.Number, nil if the file has none
	sets   []assignment
	undo   []func() // takes the values of sets out of ui again
}

// Options says how to make a prompt. The zero value uses the registered nodes.
type Options struct {
	Nodes graph.Library // the schemas; nil: the registered nodes
	Env   *graph.Env    // for lists of files
	Now   time.Time     // for %date:...%; zero: now
	// Pick chooses one of n options of a dynamic prompt {a|b}; nil: the first.
	Pick func(n int) int
}

// Parse reads a workflow file: JSON of either form, or a PNG that carries one. Of a PNG that has both, the prompt is
// run and the workflow kept. Errors are *graph.Error, mostly of KindBadFile.
func Parse(data []byte) (*File, error) { return Read(bytes.NewReader(data)) }

// Read is Parse for what need not fit in memory: of a PNG it keeps the texts alone, of anything else it reads MaxBytes.
func Read(r io.Reader) (*File, error) {
	in := bufio.NewReader(r)
	if head, _ := in.Peek(len(pngSignature)); string(head) == pngSignature {
		return readPNG(in)
	}
	data, err := io.ReadAll(io.LimitReader(in, MaxBytes+1))
	if err != nil {
		return nil, err
	}
	f := &File{}
	return f, f.add(data)
}

// add reads JSON of either form into the file.
func (f *File) add(data []byte) error {
	if len(data) > MaxBytes {
		return &graph.Error{Kind: graph.KindBadFile, Need: fmt.Sprintf("a workflow of at most %d MB", MaxBytes>>20), Have: "a larger file", Hint: "is this a model or a video? Give a workflow"}
	}
	data = bytes.TrimPrefix(data, []byte("\uFEFF"))
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var tree any
	err := d.Decode(&tree)
	if err == nil {
		if _, more := d.Token(); more != io.EOF {
			err = fmt.Errorf("more text after the JSON value, at byte %d", d.InputOffset())
		}
	}
	if err != nil {
		e := &graph.Error{Kind: graph.KindBadFile, Err: err, Need: "JSON, or a PNG that ComfyUI saved", Have: start(data)}
		if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
			e.Hint = "the file is UTF-16: save it as UTF-8"
		}
		return e
	}
	object, _ := tree.(map[string]any)
	if _, isList := object["nodes"].([]any); isList {
		f.ui = object
		return nil
	}
	if !isPrompt(object) {
		return &graph.Error{
			Kind: graph.KindBadFile, Have: "JSON of another kind: " + start(data),
			Need: `a workflow (an object with "nodes") or a prompt (an object of nodes with class_type)`,
			Hint: "save or export the workflow from ComfyUI's menu",
		}
	}
	f.prompt = data
	return nil
}

// isPrompt tells the API format: nodes by id, some with a class. One without is for validation to refuse.
func isPrompt(object map[string]any) bool {
	classes := 0
	for _, v := range object {
		n, ok := v.(map[string]any)
		if !ok {
			return false
		}
		if _, ok := n["class_type"]; ok {
			classes++
		}
	}
	return classes > 0
}

func start(data []byte) string {
	text := strings.TrimSpace(string(data[:min(len(data), 60)]))
	if text == "" {
		return "nothing"
	}
	return fmt.Sprintf("%q", text)
}

// IsUI reports whether the file is in the UI format, so that the prompt is converted.
func (f *File) IsUI() bool { return f.prompt == nil }

// Workflow returns the UI format, to be kept in saved pictures; nil if the file has none. Values that Set gave to
// widgets are in it once Prompt has been called.
func (f *File) Workflow() json.RawMessage {
	if f.ui == nil {
		return nil
	}
	data, err := json.Marshal(f.ui)
	if err != nil { // cannot be: the tree came from JSON
		return nil
	}
	return data
}

// Prompt makes a prompt that the caller owns: the file's own, or the converted workflow; then the values of Set; then,
// for workflows, the editor's filename tokens. It does not check the nodes' inputs: that is graph.Validate's work.
func (f *File) Prompt(o Options) (*graph.Prompt, error) {
	if o.Nodes == nil {
		o.Nodes = graph.Registered()
	}
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	if o.Pick == nil {
		o.Pick = func(int) int { return 0 }
	}
	for _, undo := range f.undo {
		undo()
	}
	f.undo = nil
	var c *converter
	var p *graph.Prompt
	var err error
	if f.ui != nil {
		c, err = newConverter(f.ui, o)
	}
	if !f.IsUI() { // whatever is wrong with a workflow that is only kept does not matter
		p, err = graph.ParsePrompt(f.prompt)
	} else if err == nil {
		p, err = c.prompt()
	}
	if err != nil {
		return nil, err
	}
	for _, a := range f.sets {
		id, input, err := a.apply(p, o.Nodes)
		if err != nil {
			return nil, err
		}
		if value, _ := p.Nodes[id].Input(input); c != nil {
			f.undo = append(f.undo, c.keep(id, input, value))
		}
	}
	if f.IsUI() {
		c.replaceTokens(p)
	}
	return p, nil
}

// sortIDs brings ids into the order of a JavaScript object: integers ascending, then the rest as they are.
func sortIDs(ids []string) {
	slices.SortStableFunc(ids, func(a, b string) int {
		x, xok := arrayIndex(a)
		y, yok := arrayIndex(b)
		switch {
		case xok && yok:
			return int(x) - int(y)
		case xok:
			return -1
		case yok:
			return 1
		}
		return 0
	})
}
