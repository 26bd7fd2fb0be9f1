package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"time"

	"github.com/spf13/cobra"

	"graphrun/graph"
	"graphrun/graph/workflow"
)

func convertCommand() *cobra.Command {
	var folders folderFlags
	var schemas, set []string
	var seed uint64
	var now string
	c := &cobra.Command{
		Use:     "convert WORKFLOW",
		Short:   "Print a workflow as the prompt that ComfyUI's editor would make of it (API format)",
		Example: "  graphrun convert workflow.json > prompt.json\n  curl -s localhost:8188/object_info > theirs.json && graphrun convert picture.png --object-info theirs.json",
		Args:    usage(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			file, err := readWorkflow(args[0])
			if err != nil {
				return err
			}
			for _, s := range set {
				if err := file.Set(s); err != nil {
					return usagef("--set: %w", err)
				}
			}
			f := folders.open()
			o := workflow.Options{Env: graph.NewEnv(), Embeddings: embeddings(f)}
			graph.Provide(o.Env, f)
			if o.Nodes, err = readSchemas(schemas); err != nil {
				return err
			}
			if now != "" {
				if o.Now, err = time.Parse(time.RFC3339, now); err != nil {
					return usagef("--now: need a time like 2025-12-31T23:59:59Z, have %s", now)
				}
			}
			if c.Flags().Changed("seed") {
				o.Pick = workflow.Seeded(seed).IntN
			}
			unknown := map[string]bool{}
			o.Warn = func(e *graph.Error) {
				if unknown[e.Node] = true; len(unknown) <= mostTold {
					fmt.Fprint(c.ErrOrStderr(), "graphrun: ", explainOne(e, args[0]))
				}
			}
			prompt, err := file.Prompt(o)
			if err != nil {
				return &workflowError{args[0], err}
			}
			if more := len(unknown) - mostTold; more > 0 {
				fmt.Fprintf(c.ErrOrStderr(), "... and %s more of unknown classes\n", count(more, "node"))
			}
			for id := range unknown {
				if err := declass(prompt.Nodes[id]); err != nil {
					return err
				}
			}
			return printJSON(c.OutOrStdout(), prompt)
		},
	}
	c.Flags().StringArrayVar(&schemas, "object-info", nil, "repeatable `FILE`: a server's /object_info, whose nodes are used instead of graphrun's")
	c.Flags().StringArrayVar(&set, "set", nil, "as of run: repeatable `NODE.INPUT=VALUE`")
	c.Flags().Uint64Var(&seed, "seed", 0, "seed of the choice in dynamic prompts {a|b}; without it the first is taken")
	c.Flags().StringVar(&now, "now", "", "the `TIME` that %date:...% in file names stands for, as 2025-12-31T23:59:59Z")
	folders.add(c.Flags())
	return c
}

// readSchemas reads /object_info documents; of a class that several have, the last counts. Without any it is nil.
func readSchemas(files []string) (graph.Library, error) {
	var all graph.Library
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, usagef("--object-info: %w", err)
		}
		l, err := graph.ParseObjectInfo(data)
		if err != nil {
			return nil, &workflowError{name, err}
		}
		if all == nil {
			all = graph.Library{}
		}
		maps.Copy(all, l)
	}
	return all, nil
}

// declass takes the class from a node that nobody knows, as the editor does: its widgets have no names, so that no
// server could run it. The class stays in _meta, for people.
func declass(n *graph.Node) error {
	if n == nil {
		return nil
	}
	meta := map[string]string{"class_type": n.Class}
	if n.Title != "" {
		meta["title"] = n.Title
	}
	var err error
	n.Class = ""
	n.Meta, err = json.Marshal(meta)
	return err
}
