package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"graphrun/graph"
)

func nodesCommand() *cobra.Command {
	var asJSON bool
	var folders folderFlags
	c := &cobra.Command{
		Use:   "nodes [NAME]",
		Short: "Print the node library, or one node's inputs, types and ranges",
		Args:  usage(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			env := graph.NewEnv()
			graph.Provide(env, folders.open())
			library := graph.Registered()
			if len(args) == 1 {
				spec, ok := library[args[0]]
				if !ok {
					return unknownNode(library, args[0])
				}
				library = graph.Library{args[0]: spec}
			}
			switch {
			case asJSON:
				doc, err := graph.ObjectInfo(library, env)
				if err != nil {
					return err
				}
				_, err = c.OutOrStdout().Write(append(doc, '\n'))
				return err
			case len(args) == 1:
				return printNode(c.OutOrStdout(), library[args[0]], env)
			}
			return printLibrary(c.OutOrStdout(), library)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print ComfyUI's object_info")
	folders.add(c.Flags())
	return c
}

func unknownNode(l graph.Library, name string) error {
	if near := l.Nearest(name); len(near) > 0 {
		return usagef("no node %s; did you mean %s?", name, strings.Join(near, ", "))
	}
	return usagef("no node %s; graphrun nodes lists them", name)
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// printLibrary prints one line per node.
func printLibrary(w io.Writer, library graph.Library) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NODE\tCATEGORY\tOUTPUTS\tINPUTS")
	for _, name := range library.Names() {
		s := library[name]
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", name, s.Category, portNames(s.Outputs), portNames(s.Inputs))
	}
	return t.Flush()
}

func portNames(ports []graph.Port) string {
	if len(ports) == 0 {
		return "-"
	}
	names := make([]string, len(ports))
	for i, p := range ports {
		names[i] = p.Name
	}
	return strings.Join(names, " ")
}

// printNode prints one node with all that its inputs take.
func printNode(w io.Writer, s *graph.Spec, env *graph.Env) error {
	fmt.Fprintf(w, "%s (%s), in %s\n", s.Name, s.DisplayName(), s.Category)
	if s.Description != "" {
		fmt.Fprintln(w, wrap(s.Description, ""))
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nINPUT\tTYPE\tDEFAULT\tRANGE\t")
	for _, p := range s.Inputs {
		kind, value, span := p.Type, literal(p.Opts["default"]), valueRange(p.Opts)
		if choices := p.Choices(env); p.IsCombo() {
			span = fmt.Sprintf("one of %d", len(choices))
			if value == "" && len(choices) > 0 {
				value = choices[0]
			}
		}
		tooltip, _ := p.Opts["tooltip"].(string)
		if p.Optional {
			kind += ", optional"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", p.Name, kind, value, span, tooltip)
	}
	if len(s.Outputs) > 0 {
		fmt.Fprintln(t, "\nOUTPUT\tTYPE\t\t\t")
	}
	for _, p := range s.Outputs {
		fmt.Fprintf(t, "%s\t%s\t\t\t\n", p.Name, p.Type)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, p := range s.Inputs {
		if choices := p.Choices(env); len(choices) > 0 {
			fmt.Fprintf(w, "\n%s is one of\n%s\n", p.Name, wrap(strings.Join(choices, " "), "  "))
		}
	}
	return nil
}

// wrap breaks text into lines of up to 100 characters, each after the indent.
func wrap(text, indent string) string {
	var b strings.Builder
	room := 0
	for _, word := range strings.Fields(text) {
		switch {
		case b.Len() == 0:
			b.WriteString(indent)
			room = 100
		case len(word)+1 > room:
			b.WriteString("\n" + indent)
			room = 100
		default:
			b.WriteByte(' ')
			room--
		}
		b.WriteString(word)
		room -= len(word)
	}
	return b.String()
}

// literal is a schema option as text, empty if there is none.
func literal(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return strconv.Quote(v)
	}
	return fmt.Sprint(v)
}

// valueRange says what numbers an input takes: the least, the greatest, and the step between.
func valueRange(opts map[string]any) string {
	lo, hi, step := literal(opts["min"]), literal(opts["max"]), literal(opts["step"])
	if lo+hi+step == "" {
		return ""
	}
	text := lo + ".." + hi
	if step != "" && step != "1" {
		text += " step " + step
	}
	return text
}
