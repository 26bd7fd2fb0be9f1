package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"graphrun/graph"
	"graphrun/graph/workflow"
	"graphrun/runtime/hub"
)

// errNotReady is what check ends with when a file would not run.
var errNotReady = errors.New("not every file can run")

func checkCommand() *cobra.Command {
	var asJSON bool
	var folders folderFlags
	c := &cobra.Command{
		Use:   "check FILE...",
		Short: "Say whether workflows would run: missing nodes and models, wrong inputs, memory. Exit code 0 yes, 1 no, 2 bad usage",
		Args:  usage(cobra.MinimumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			reports, err := checkFiles(c.Context(), args, folders)
			if err != nil {
				return err
			}
			if asJSON {
				if err := printJSON(c.OutOrStdout(), reports); err != nil {
					return err
				}
			}
			ready := true
			for _, r := range reports {
				ready = ready && r.OK
				if !asJSON {
					r.print(c.OutOrStdout())
				}
			}
			if !ready {
				return &reportedError{errNotReady}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON array of reports")
	folders.add(c.Flags())
	return c
}

// checkReport is what check says about one file.
type checkReport struct {
	File          string           `json:"file"`
	OK            bool             `json:"ok"` // it would run; models that a run downloads do not count against it
	Nodes         int              `json:"nodes"`
	MissingNodes  []workflow.Class `json:"missing_nodes"`
	MissingModels []missingModel   `json:"missing_models"`
	Problems      []problem        `json:"problems"`
	Memory        *memoryNeed      `json:"memory,omitempty"`
}

// missingModel is a model file that is not on this machine, with all that the workflow says about it.
type missingModel struct {
	workflow.Model
	Input     string   `json:"input,omitempty"`
	Searched  []string `json:"searched"`
	Downloads bool     `json:"downloads,omitempty"` // a run fetches it by itself
}

// problem is a graph.Error for programs.
type problem struct {
	Kind    graph.Kind `json:"kind"`
	Node    string     `json:"node,omitempty"`
	Class   string     `json:"class,omitempty"`
	Title   string     `json:"title,omitempty"`
	Input   string     `json:"input,omitempty"`
	Need    string     `json:"need,omitempty"`
	Have    string     `json:"have,omitempty"`
	Hint    string     `json:"hint,omitempty"`
	Message string     `json:"message"`
}

func checkFiles(ctx context.Context, names []string, f folderFlags) ([]checkReport, error) {
	e, err := (&engineFlags{folderFlags: f}).open()
	if err != nil {
		return nil, err
	}
	defer e.Close()
	reports := []checkReport{}
	for _, name := range names {
		r, err := e.check(ctx, name)
		if err != nil {
			return nil, err
		}
		reports = append(reports, r)
	}
	return reports, nil
}

// check looks at one file. Its error is of usage: no such file, or interrupted.
func (e *engine) check(ctx context.Context, name string) (r checkReport, err error) {
	r = checkReport{File: name, MissingNodes: []workflow.Class{}, MissingModels: []missingModel{}, Problems: []problem{}}
	file, err := readWorkflow(name)
	if bad := (*workflowError)(nil); errors.As(err, &bad) {
		r.problem(bad.error)
		return r, nil
	} else if err != nil {
		return r, err
	}
	library := graph.Registered()
	inventory := file.Inventory()
	p, err := file.Prompt(e.options())
	if err != nil {
		r.problem(err)
		p = &graph.Prompt{}
	}
	r.Nodes = len(p.IDs)
	r.classes(inventory, library, p)
	list := needs(p, e.folders)
	r.models(inventory.Models, list, e.folders)
	if err == nil {
		_, invalid := graph.Validate(p, standIns(library, p), e.env, nil)
		r.inputs(invalid, list)
	}
	memory, problems := e.estimate(ctx, p, list)
	for _, x := range problems {
		r.problem(x)
	}
	if memory.Weights > 0 {
		r.Memory = &memory
	}
	r.OK = len(r.MissingNodes) == 0 && len(r.Problems) == 0 && !slices.ContainsFunc(r.MissingModels, func(m missingModel) bool { return !m.Downloads })
	return r, ctx.Err()
}

// standIns is the library with a node that takes and gives anything for each class that it lacks, so that the rest of the
// prompt can be checked.
func standIns(library graph.Library, p *graph.Prompt) graph.Library {
	made := map[string]*graph.Spec{}
	outputs := make([]graph.Port, maxSlots)
	for i := range outputs {
		outputs[i].Type = "*"
	}
	for _, id := range p.IDs {
		n := p.Nodes[id]
		s := made[n.Class]
		if s == nil && library[n.Class] != nil {
			continue
		}
		if s == nil {
			s = &graph.Spec{Meta: graph.Meta{Name: n.Class, Output: true}, Outputs: outputs}
			made[n.Class], library[n.Class] = s, s
		}
		for _, in := range n.Inputs {
			if s.Input(in.Name) == nil {
				s.Inputs = append(s.Inputs, graph.Port{Name: in.Name, Type: "*", Optional: true})
			}
		}
	}
	return library
}

// maxSlots is how many outputs a stand-in has.
const maxSlots = 100

// classes reports what the library lacks of what the file says, and of what the prompt has besides: what parameters were
// made into, say.
func (r *checkReport) classes(i workflow.Inventory, library graph.Library, p *graph.Prompt) {
	r.MissingNodes = append(r.MissingNodes, i.Missing(library)...)
	told := map[string]bool{}
	for _, c := range r.MissingNodes {
		told[c.Name] = true
	}
	var more workflow.Inventory
	at := map[string]int{} // in more
	for _, id := range p.IDs {
		class := p.Nodes[id].Class
		if library[class] != nil || told[class] {
			continue
		}
		i, seen := at[class]
		if !seen {
			i = len(more.Classes)
			at[class] = i
			more.Classes = append(more.Classes, workflow.Class{Name: class})
		}
		more.Classes[i].Nodes = append(more.Classes[i].Nodes, id)
	}
	r.MissingNodes = append(r.MissingNodes, more.Missing(library)...)
}

// models reports what is not on this machine: what inputs name, and what the file says besides.
func (r *checkReport) models(stated []workflow.Model, list []need, f *hub.Folders) {
	for _, n := range distinct(list) {
		if n.err == nil || n.err == errLinked {
			continue
		}
		m := missingModel{Model: workflow.Model{Name: n.name, Directory: n.folder, Node: n.node}, Input: n.input, Searched: f.ModelDirs(n.folder)}
		for _, s := range stated {
			if s.Names(n.name) {
				m.Model = s
				m.Name, m.Directory, m.Node = n.name, n.folder, n.node
			}
		}
		if n.pipeline() && hub.Downloads(n.name) {
			m.URL, m.Downloads = "https://huggingface.co/"+n.name, true
		}
		r.MissingModels = append(r.MissingModels, m)
	}
	for _, s := range stated {
		if slices.ContainsFunc(list, func(n need) bool { return s.Names(n.name) }) {
			continue
		}
		m := missingModel{Model: s, Searched: []string{}}
		if filepath.IsLocal(filepath.FromSlash(s.Directory)) { // or else nobody knows where it belongs
			if _, err := f.Find(s.Directory, s.Name); err == nil {
				continue
			}
			m.Searched = f.ModelDirs(s.Directory)
		}
		r.MissingModels = append(r.MissingModels, m)
	}
}

// inputs reports what validation says, but for models that are reported already.
func (r *checkReport) inputs(invalid *graph.ValidationError, list []need) {
	if invalid == nil {
		return
	}
	for _, err := range invalid.Unwrap() {
		if x, ok := asGraphError(err); ok && (x.Kind == graph.KindNotInList || x.Kind == graph.KindCustom) &&
			slices.ContainsFunc(list, func(n need) bool { return n.err != nil && n.node == x.Node && n.input == x.Input }) {
			continue
		}
		r.problem(err)
	}
}

// problem reports an error, in one line.
func (r *checkReport) problem(err error) {
	p := problem{Kind: graph.KindBadFile, Message: strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", " ")}
	if x, ok := asGraphError(err); ok {
		p = problem{x.Kind, x.Node, x.Class, x.Title, x.Input, graph.Clip(x.Need), graph.Clip(x.Have), graph.Clip(x.Hint), p.Message}
	}
	r.Problems = append(r.Problems, p)
}

// print writes a line for the file and one for each thing that is wrong.
func (r *checkReport) print(w io.Writer) {
	var parts []string
	for _, c := range []struct {
		n    int
		what string
	}{{len(r.MissingNodes), "node class"}, {len(r.MissingModels), "model"}, {len(r.Problems), "problem"}} {
		if c.n == 0 {
			continue
		}
		text := count(c.n, c.what)
		if c.what != "problem" {
			text += " missing"
		}
		parts = append(parts, text)
	}
	if r.OK && len(parts) == 0 {
		parts = append(parts, "ok")
	}
	parts = append(parts, count(r.Nodes, "node"))
	if r.Memory != nil {
		parts = append(parts, size(r.Memory.Weights)+" of weights")
		if r.Memory.Activations > 0 {
			parts = append(parts, "about "+size(r.Memory.Activations)+" for a step")
		}
	}
	fmt.Fprintf(w, "%s: %s\n", r.File, strings.Join(parts, ", "))
	var lines []string
	for _, c := range r.MissingNodes {
		line := fmt.Sprintf("node class %s (%s): not known", c.Name, some(c.Nodes))
		if c.Name == "" {
			line = some(c.Nodes) + ": no class_type"
		}
		if pack := c.Pack.String(); pack != "" {
			line += "; of the pack " + pack
		}
		if len(c.Near) > 0 {
			line += "; near: " + strings.Join(c.Near, ", ")
		}
		lines = append(lines, line)
	}
	for _, m := range r.MissingModels {
		lines = append(lines, m.String())
	}
	for _, p := range r.Problems {
		lines = append(lines, p.Message)
	}
	for _, line := range lines[:min(len(lines), maxLines)] {
		fmt.Fprintln(w, "  "+graph.Clip(strings.Map(printable, line)))
	}
	if len(lines) > maxLines {
		fmt.Fprintf(w, "  ... %d in all; --json has them\n", len(lines))
	}
}

// maxLines is how many things are told about a file.
const maxLines = 100

// printable keeps what a file says from steering the terminal.
func printable(r rune) rune {
	if unicode.IsControl(r) {
		return ' '
	}
	return r
}

// String says what is missing and where to get it and put it.
func (m missingModel) String() string {
	name := m.Name
	if m.Directory != "" {
		name = m.Directory + "/" + name
	}
	line := "model " + name + ": not there"
	if m.Downloads {
		line += " yet; a run downloads it"
	} else if len(m.Searched) > 0 {
		line += "; put it into " + m.Searched[0]
	}
	if m.URL != "" {
		line += "; " + m.URL
	}
	if m.Hash != "" {
		line += "; " + strings.TrimSpace(m.HashType+" "+m.Hash)
	}
	return line
}

// count is "1 node", "3 nodes", "2 node classes".
func count(n int, what string) string {
	switch {
	case n == 1:
		return "1 " + what
	case strings.HasSuffix(what, "s"):
		return fmt.Sprintf("%d %ses", n, what)
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// some lists a few node ids.
func some(ids []string) string {
	const most = 5
	if len(ids) == 1 {
		return "node " + ids[0]
	}
	text := "nodes " + strings.Join(ids[:min(len(ids), most)], ", ")
	if len(ids) > most {
		text += fmt.Sprintf(", ... %d in all", len(ids))
	}
	return text
}

// size is a number of bytes for people.
func size(bytes int64) string {
	if bytes < 1<<30 {
		return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20))
	}
	return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30))
}
