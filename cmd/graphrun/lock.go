package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"graphrun/graph"
	"graphrun/graph/workflow"
	"graphrun/runtime/hub"
)

// lockForm is the version of the lock file's own form.
const lockForm = 1

// lockFile is what a workflow runs with: the nodes by what they look like from outside, the model files by their
// content, and the program. The workflow's own values are not in it.
type lockFile struct {
	Form     int           `json:"lock"`
	Graphrun string        `json:"graphrun"`
	Nodes    []lockedNode  `json:"nodes"`
	Models   []lockedModel `json:"models"`
}

type lockedNode struct {
	Class  string `json:"class"`
	Schema string `json:"schema"` // SHA-256 of its object_info, with empty lists of files
}

// lockedModel is a model file, of a pipeline each file of the folder.
type lockedModel struct {
	Folder string `json:"folder"` // of the models folder: "checkpoints", "diffusers", ...
	Name   string `json:"name"`   // below it, with slashes
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
	URL    string `json:"url,omitempty"`

	of need
}

func (m lockedModel) key() string { return m.Folder + "/" + m.Name }

// lockPath is where the lock of a workflow lies.
func lockPath(name string) string { return name + ".lock.json" }

func lockCommand() *cobra.Command {
	var folders folderFlags
	c := &cobra.Command{
		Use:   "lock FILE",
		Short: "Write FILE.lock.json: the nodes, model files and program that FILE runs with; run --locked refuses others",
		Args:  usage(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			l, err := writeLock(c.Context(), args[0], folders)
			if err == nil {
				fmt.Fprintf(c.OutOrStdout(), "%s: %s, %s\n", lockPath(args[0]), count(len(l.Nodes), "node class"), count(len(l.Models), "model file"))
			}
			return err
		},
	}
	folders.add(c.Flags())
	return c
}

// writeLock locks a workflow file to what is on this machine.
func writeLock(ctx context.Context, name string, f folderFlags) (*lockFile, error) {
	file, err := readWorkflow(name)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(name); err != nil {
		return nil, usagef("%s is an example: its lock would have no place; give a file", name)
	}
	e, err := (&engineFlags{folderFlags: f}).open()
	if err != nil {
		return nil, err
	}
	defer e.Close()
	p, err := file.Prompt(e.options())
	if err != nil {
		return nil, &workflowError{name, err}
	}
	l, err := e.lock(ctx, p, file.Inventory().Models)
	if err != nil {
		return nil, &workflowError{name, err}
	}
	return l, hub.WriteFile(lockPath(name), func(w io.Writer) error { return printJSON(w, l) })
}

// lock says what a prompt runs with now. The error joins all that is missing.
func (e *engine) lock(ctx context.Context, p *graph.Prompt, stated []workflow.Model) (*lockFile, error) {
	l := &lockFile{Form: lockForm, Graphrun: release(), Nodes: []lockedNode{}, Models: []lockedModel{}}
	var missing []error
	library, seen := graph.Registered(), map[string]bool{}
	for _, id := range p.IDs {
		class := p.Nodes[id].Class
		if seen[class] {
			continue
		}
		seen[class] = true
		spec := library[class]
		if spec == nil {
			var near []string
			if len(missing) < graph.MostNear {
				near = library.Nearest(class)
			}
			missing = append(missing, &graph.Error{
				Kind: graph.KindInvalidPrompt, Node: id, Class: class, Title: p.Nodes[id].Title, Need: "a known node class", Have: class,
				Hint: didYouMean(near),
			})
			continue
		}
		schema, err := graph.ObjectInfo(graph.Library{class: spec}, graph.NewEnv())
		if err != nil {
			return nil, err
		}
		l.Nodes = append(l.Nodes, lockedNode{class, fmt.Sprintf("%x", sha256.Sum256(schema))})
	}
	slices.SortFunc(l.Nodes, func(a, b lockedNode) int { return strings.Compare(a.Class, b.Class) })
	sums := hub.OpenSums()
	defer sums.Close()
	for _, n := range distinct(needs(p, e.folders)) {
		files, err := n.files(ctx, sums)
		if err != nil {
			missing = append(missing, &graph.Error{Kind: graph.KindNodeFailed, Node: n.node, Class: n.class, Title: p.Nodes[n.node].Title, Input: n.input, Err: err})
		}
		for _, m := range files {
			for _, s := range stated {
				if m.URL == "" && s.Names(m.Name) {
					m.URL = s.URL
				}
			}
			l.Models = append(l.Models, m)
		}
	}
	slices.SortFunc(l.Models, func(a, b lockedModel) int { return strings.Compare(a.key(), b.key()) })
	return l, errors.Join(missing...)
}

// didYouMean is the hint of a name that is not known.
func didYouMean(near []string) string {
	if len(near) == 0 {
		return "no known class has a similar name"
	}
	return "did you mean " + strings.Join(near, ", ") + "?"
}

// files are the files behind a need, with their sums.
func (n need) files(ctx context.Context, sums *hub.Sums) (list []lockedModel, err error) {
	if n.err != nil {
		return nil, n.err
	}
	if !n.pipeline() {
		m := lockedModel{Folder: n.folder, Name: strings.ReplaceAll(n.name, `\`, "/"), of: n}
		m.SHA256, m.Size, err = sums.File(ctx, n.path)
		return []lockedModel{m}, err
	}
	contents, err := sums.Folder(ctx, n.model)
	url := ""
	if strings.Contains(filepath.ToSlash(n.model.Dir), "/models--"+strings.ReplaceAll(n.name, "/", "--")+"/") { // Hugging Face's cache
		url = "https://huggingface.co/" + n.name
	}
	for _, c := range contents {
		list = append(list, lockedModel{Folder: n.folder, Name: n.name + "/" + c.Path, Size: c.Size, SHA256: c.SHA256, URL: url, of: n})
	}
	return list, err
}

// held refuses a prompt that would run with anything that the lock of its workflow does not have. The error joins one of
// graph.KindLocked for each difference.
func (e *engine) held(ctx context.Context, name string, p *graph.Prompt) error {
	locked, err := readLock(name)
	if err != nil {
		return err
	}
	now, err := e.lock(ctx, p, nil)
	if err != nil {
		return err
	}
	var bad []*graph.Error
	if locked.Graphrun != now.Graphrun {
		bad = append(bad, &graph.Error{Need: "graphrun " + locked.Graphrun, Have: "graphrun " + now.Graphrun})
	}
	bad = append(bad, strangeNodes(locked, now)...)
	bad = append(bad, strangeModels(locked, now)...)
	bad = append(bad, absentModels(locked, now)...)
	var errs []error
	for _, d := range bad {
		d.Kind, d.Hint = graph.KindLocked, "run graphrun lock "+name+" if that is meant"
		if n := p.Nodes[d.Node]; n != nil {
			d.Title = n.Title
		}
		errs = append(errs, d)
	}
	return errors.Join(errs...)
}

// strangeNodes reports the classes that the lock does not have, or not so.
func strangeNodes(locked, now *lockFile) (bad []*graph.Error) {
	for _, n := range now.Nodes {
		i := slices.IndexFunc(locked.Nodes, func(l lockedNode) bool { return l.Class == n.Class })
		switch {
		case i < 0:
			bad = append(bad, &graph.Error{Class: n.Class, Have: "a node class that is not in it"})
		case locked.Nodes[i].Schema != n.Schema:
			bad = append(bad, &graph.Error{Class: n.Class, Need: "schema " + locked.Nodes[i].Schema, Have: "schema " + n.Schema})
		}
	}
	return bad
}

// strangeModels reports the model files that the lock does not have, or not so; a pipeline that is new to it, once.
func strangeModels(locked, now *lockFile) (bad []*graph.Error) {
	whole := map[string]bool{}
	for _, m := range now.Models {
		root := m.Folder + "/" + m.of.name
		i := slices.IndexFunc(locked.Models, func(l lockedModel) bool { return l.key() == m.key() })
		at := &graph.Error{Node: m.of.node, Class: m.of.class, Input: m.of.input}
		switch {
		case i < 0 && whole[root]:
			continue
		case i < 0 && m.of.pipeline() && !slices.ContainsFunc(locked.Models, func(l lockedModel) bool { return strings.HasPrefix(l.key(), root+"/") }):
			whole[root] = true
			at.Have = "a model that is not in it: " + root
		case i < 0:
			at.Have = "a model file that is not in it: " + m.key()
		case locked.Models[i].SHA256 != m.SHA256:
			old := locked.Models[i]
			at.Need, at.Have = fmt.Sprintf("%s of %d bytes, SHA-256 %s", m.key(), old.Size, old.SHA256), fmt.Sprintf("one of %d bytes, SHA-256 %s", m.Size, m.SHA256)
		default:
			continue
		}
		bad = append(bad, at)
	}
	return bad
}

// absentModels reports the files that a pipeline has in the lock and no longer on this machine.
func absentModels(locked, now *lockFile) (bad []*graph.Error) {
	here := map[string]bool{}
	pipelines := map[string]need{}
	for _, m := range now.Models {
		here[m.key()] = true
		if m.of.pipeline() {
			pipelines[m.of.folder+"/"+m.of.name+"/"] = m.of
		}
	}
	for _, m := range locked.Models {
		for prefix, of := range pipelines {
			if strings.HasPrefix(m.key(), prefix) && !here[m.key()] {
				bad = append(bad, &graph.Error{Node: of.node, Class: of.class, Input: of.input, Need: m.key(), Have: "no such file"})
			}
		}
	}
	return bad
}

// readLock reads the lock that lies beside a workflow.
func readLock(name string) (*lockFile, error) {
	path := lockPath(name)
	bad := func(have string, err error) error {
		return &graph.Error{Kind: graph.KindLocked, Err: err, Need: path + ", as graphrun lock writes it", Have: have, Hint: "run graphrun lock " + name}
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, bad("no file that can be read", err)
	}
	var l lockFile
	if err := json.Unmarshal(raw, &l); err != nil {
		return nil, bad("no JSON", err)
	}
	if l.Form != lockForm {
		return nil, bad(fmt.Sprintf("a lock of form %d", l.Form), nil)
	}
	return &l, nil
}
