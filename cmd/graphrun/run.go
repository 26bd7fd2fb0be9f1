package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"graphrun/graph"
	"graphrun/graph/workflow"
	"graphrun/workflows"
)

// runFlags are the flags of the default verb.
type runFlags struct {
	engineFlags
	set    []string
	sweep  []string
	seed   uint64
	seeded bool // --seed was given
	locked bool
	asJSON bool
	quiet  bool
	remote
}

func runCommand(use string) *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:     use,
		Short:   "Run a workflow: a JSON file, a picture or other file that holds one, or an example (" + strings.Join(workflows.Names(), ", ") + ")",
		Example: "  graphrun demo --set Prompt.text='a rocket' --seed 7\n  graphrun workflow.json --set 5.steps==value/2 --json\n  graphrun demo --sweep 5.seed=1..4 --sweep 5.cfg=2,4,7",
		Args:    usage(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			f.seeded = c.Flags().Changed("seed")
			return f.run(c, args[0])
		},
	}
	f.add(c.Flags())
	return c
}

func (f *runFlags) add(flags *pflag.FlagSet) {
	flags.StringArrayVar(&f.set, "set", nil, "repeatable `NODE.INPUT=VALUE`: NODE is an id, a title or a class, VALUE a literal or a =FORMULA over the prompt's values")
	flags.StringArrayVar(&f.sweep, "sweep", nil, "repeatable `NODE.INPUT=VALUES`: runs once for each of A,B,C or FROM..TO:STEP or a =FORMULA of a list, and lays a contact sheet; several give the product")
	flags.Uint64Var(&f.seed, "seed", 0, "seed of every node that has one")
	flags.BoolVar(&f.locked, "locked", false, "refuse nodes, model files and a graphrun other than those in WORKFLOW.lock.json (graphrun lock)")
	flags.BoolVar(&f.asJSON, "json", false, "print one JSON object per line")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "print only errors and the files written")
	f.remote.add(flags)
	f.engineFlags.add(flags)
	f.addRuns(flags)
}

// run runs the workflow and reports the outcome, once.
func (f *runFlags) run(c *cobra.Command, name string) error {
	execute := f.execute
	if f.url != "" {
		if err := f.check(); err != nil {
			return err
		}
		if len(f.sweep) > 0 || f.locked {
			return usagef("--server goes with neither --sweep nor --locked")
		}
		execute = func(c *cobra.Command, name string, report reporter) ([]string, error) {
			return f.remote.execute(c, f, name, report)
		}
	}
	if len(f.sweep) > 0 {
		return f.runSweep(c, name)
	}
	report := &oneVoice{reporter: newReporter(c.OutOrStdout(), c.ErrOrStderr(), f.asJSON, f.quiet)}
	begin := time.Now()
	files, err := within(c.Context(), patience, func() ([]string, error) { return execute(c, name, report) })
	report.end(files, time.Since(begin), err)
	if err != nil {
		return &reportedError{err}
	}
	return nil
}

// within does the work, or gives it up with the context's error when it goes on for longer than patience after the
// context ended: reading from a pipe, say, cannot be cancelled.
func within[T any](ctx context.Context, patience time.Duration, work func() (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		v, err := work()
		done <- outcome{v, err}
	}()
	var late <-chan time.Time
	for ended := ctx.Done(); ; {
		select {
		case o := <-done:
			return o.value, o.err
		case <-ended:
			ended, late = nil, time.After(patience)
		case <-late:
			var none T
			return none, ctx.Err()
		}
	}
}

// execute runs the workflow and returns the files it wrote.
func (f *runFlags) execute(c *cobra.Command, name string, report reporter) ([]string, error) {
	file, err := readWorkflow(name)
	if err != nil {
		return nil, err
	}
	e, err := f.open()
	if err != nil {
		return nil, err
	}
	defer e.Close()
	prompt, err := f.prompt(file, name, e.options())
	if err != nil {
		return nil, err
	}
	result, err := e.run(c.Context(), file, name, prompt, &e.cache, report.event)
	if err != nil {
		return nil, err
	}
	return e.written(prompt, result)
}

// open builds the engine, which holds its runs to their locks if it shall.
func (f *runFlags) open() (*engine, error) {
	e, err := f.engineFlags.open()
	if err == nil {
		e.locked = f.locked
	}
	return e, err
}

// options are those that workflows are read with.
func (e *engine) options() workflow.Options {
	return workflow.Options{Env: e.env, Embeddings: embeddings(e.folders)}
}

// run runs a prompt of the file. With the error of a run comes the result so far.
func (e *engine) run(ctx context.Context, file *workflow.File, name string, prompt *graph.Prompt, cache *graph.Cache, events func(graph.Event)) (*graph.Result, error) {
	if e.locked {
		if err := e.held(ctx, name, prompt); err != nil {
			return nil, &workflowError{name, err}
		}
	}
	o := graph.Options{Env: e.env, Cache: cache, Events: events}
	if w := file.Workflow(); w != nil {
		o.ExtraPNGInfo = map[string]json.RawMessage{"workflow": w}
	}
	result, err := graph.Run(ctx, prompt, o)
	if invalid := (*graph.ValidationError)(nil); errors.As(err, &invalid) {
		namePacks(invalid, file.Inventory())
		err = &workflowError{name, err}
	}
	return result, err
}

// namePacks says of unknown classes which pack they come from, where the file does.
func namePacks(invalid *graph.ValidationError, i workflow.Inventory) {
	for _, e := range invalid.Whole {
		for _, c := range i.Classes {
			if pack := c.Pack.String(); e.Kind == graph.KindInvalidPrompt && e.Class == c.Name && pack != "" {
				e.Hint += "; the file says that it is of the pack " + pack
			}
		}
	}
}

// readWorkflow reads a file, or an example where there is no such file.
func readWorkflow(name string) (*workflow.File, error) {
	noFile := func(err error) error {
		return usagef("%w; a workflow is a JSON file, a picture, video, sound or latent that holds one, or one of the examples: %s", err, strings.Join(workflows.Names(), ", "))
	}
	var text io.Reader
	opened, err := os.Open(name)
	if err == nil {
		defer opened.Close()
		text = opened
	} else if example, ok := workflows.Lookup(name); ok && errors.Is(err, fs.ErrNotExist) {
		text = bytes.NewReader(example)
	} else {
		return nil, noFile(err)
	}
	file, err := workflow.Read(text)
	if unread := (*fs.PathError)(nil); errors.As(err, &unread) {
		return nil, noFile(err)
	}
	if err != nil {
		return nil, &workflowError{name, err}
	}
	return file, nil
}

// prompt makes the prompt of the workflow with the values of --seed and --set.
func (f *runFlags) prompt(file *workflow.File, name string, o workflow.Options) (*graph.Prompt, error) {
	p, err := file.Prompt(o)
	if err != nil {
		return nil, &workflowError{name, err}
	}
	sets := f.set
	if f.seeded {
		sets = append(seeds(p, f.seed), sets...)
	}
	for _, s := range sets {
		if err := file.Set(s); err != nil {
			return nil, usagef("--set: %w", err)
		}
	}
	if len(sets) == 0 {
		return p, nil
	}
	if p, err = file.Prompt(o); err != nil {
		return nil, usagef("--set: %w", err)
	}
	return p, nil
}

// seeds sets every seed of the prompt that is not linked.
func seeds(p *graph.Prompt, seed uint64) (sets []string) {
	for _, id := range p.IDs {
		for _, in := range p.Nodes[id].Inputs {
			if _, linked := in.Value.([]any); !linked && (in.Name == "seed" || in.Name == "noise_seed") {
				sets = append(sets, fmt.Sprintf("%s.%s=%d", id, in.Name, seed))
			}
		}
	}
	return sets
}
