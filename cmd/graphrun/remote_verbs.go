package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// remoteCommand is a verb that asks a server.
func remoteCommand(use, short, example string, args cobra.PositionalArgs, run func(*cobra.Command, *remote, []string) error) *cobra.Command {
	var r remote
	c := &cobra.Command{
		Use: use, Short: short, Example: example, Args: usage(args),
		RunE: func(c *cobra.Command, args []string) error {
			if err := r.check(); err != nil {
				return err
			}
			return run(c, &r, args)
		},
	}
	r.add(c.Flags())
	c.Flags().Lookup("server").DefValue, r.url = "http://127.0.0.1:8188", "http://127.0.0.1:8188"
	return c
}

// row is an item of /queue: number, id, prompt, extra data, outputs.
type row [5]json.RawMessage

func (r row) line(state string) string {
	var id string
	json.Unmarshal(r[1], &id)
	var prompt map[string]json.RawMessage
	json.Unmarshal(r[2], &prompt)
	return fmt.Sprintf("%-8s %8s  %s  %d nodes", state, r[0], id, len(prompt))
}

func queueCommand() *cobra.Command {
	var clearAll, pause, resume, asJSON bool
	var remove []string
	c := remoteCommand("queue", "Show what runs and waits on a server; --delete, --clear, --pause, --resume change it",
		"  graphrun queue --server http://gpu:8188\n  graphrun queue --delete ID", cobra.NoArgs,
		func(c *cobra.Command, r *remote, _ []string) error {
			change := map[string]any{}
			if clearAll {
				change["clear"] = true
			}
			if len(remove) > 0 {
				change["delete"] = remove
			}
			if pause != resume {
				change["pause"] = pause
			}
			if len(change) > 0 {
				return r.post(c.Context(), "/queue", change)
			}
			var all json.RawMessage
			if err := r.get(c.Context(), "/queue", &all); err != nil {
				return err
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), all)
			}
			var q struct {
				Running []row `json:"queue_running"`
				Pending []row `json:"queue_pending"`
				Paused  bool
			}
			if err := json.Unmarshal(all, &q); err != nil {
				return err
			}
			slices.SortStableFunc(q.Pending, func(a, b row) int { // ComfyUI's come as its heap has them
				var x, y float64
				json.Unmarshal(a[0], &x)
				json.Unmarshal(b[0], &y)
				return cmp.Compare(x, y)
			})
			for _, i := range q.Running {
				fmt.Fprintln(c.OutOrStdout(), i.line("running"))
			}
			for _, i := range q.Pending {
				fmt.Fprintln(c.OutOrStdout(), i.line("waiting"))
			}
			if q.Paused {
				fmt.Fprintln(c.OutOrStdout(), "paused")
			}
			return nil
		})
	c.Flags().BoolVar(&clearAll, "clear", false, "remove all that waits")
	c.Flags().StringArrayVar(&remove, "delete", nil, "repeatable `ID`: remove what waits")
	c.Flags().BoolVar(&pause, "pause", false, "let nothing further run (graphrun servers)")
	c.Flags().BoolVar(&resume, "resume", false, "end the pause")
	c.Flags().BoolVar(&asJSON, "json", false, "print the server's answer")
	return c
}

func historyCommand() *cobra.Command {
	var last int
	var asJSON bool
	c := remoteCommand("history [ID]", "Show what became of prompts on a server", "  graphrun history --last 5\n  graphrun history ID --json", cobra.MaximumNArgs(1),
		func(c *cobra.Command, r *remote, args []string) error {
			path := fmt.Sprintf("/history?max_items=%d", last)
			if len(args) > 0 {
				path = "/history/" + args[0]
			}
			var all json.RawMessage
			if err := r.get(c.Context(), path, &all); err != nil {
				return err
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), all)
			}
			d := json.NewDecoder(strings.NewReader(string(all)))
			if _, err := d.Token(); err != nil {
				return err
			}
			found := false
			for d.More() { // in the server's order
				id, err := d.Token()
				if err != nil {
					return err
				}
				var e outcome
				if err := d.Decode(&e); err != nil {
					return err
				}
				found = true
				word := "success"
				if err := e.err(); err != nil {
					word = strings.TrimSpace(explainOne(err, ""))
				}
				fmt.Fprintf(c.OutOrStdout(), "%s  %s\n", id, word)
			}
			if len(args) > 0 && !found {
				return fmt.Errorf("the server has no result of %s: it waits, runs, or is unknown", args[0])
			}
			return nil
		})
	c.Flags().IntVar(&last, "last", 20, "so many results")
	c.Flags().BoolVar(&asJSON, "json", false, "print the server's answer")
	return c
}

func interruptCommand() *cobra.Command {
	return remoteCommand("interrupt [ID]", "End what runs on a server, or the prompt of the id if it runs", "  graphrun interrupt --server http://gpu:8188", cobra.MaximumNArgs(1),
		func(c *cobra.Command, r *remote, args []string) error {
			body := map[string]any{}
			if len(args) > 0 {
				body["prompt_id"] = args[0]
			}
			return r.post(c.Context(), "/interrupt", body)
		})
}
