package all

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"graphrun/graph"
)

var update = flag.Bool("update", false, "write docs/nodes.md anew")

const page = "../../docs/nodes.md"

// TestDocs holds docs/nodes.md to the node structs. Run it with -update after a change.
func TestDocs(t *testing.T) {
	want := document(graph.Registered())
	if *update {
		if err := os.WriteFile(page, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(page)
	if err != nil || !bytes.Equal(have, want) {
		t.Fatalf("docs/nodes.md is stale (%v): run go test ./nodes/all -run TestDocs -update", err)
	}
}

// Every node tells people what it does.
func TestDescriptions(t *testing.T) {
	for name, s := range graph.Registered() {
		if s.Description == "" || !strings.HasSuffix(s.Description, ".") {
			t.Errorf("node %s: description %q: need a sentence", name, s.Description)
		}
	}
}

func document(l graph.Library) []byte {
	var b bytes.Buffer
	b.WriteString("# Nodes\n\nWritten by `go test ./nodes/all -run TestDocs -update` from the node structs: do not edit.\n")
	names := slices.DeleteFunc(l.Names(), func(name string) bool { return l[name].Internal })
	slices.SortStableFunc(names, func(x, y string) int { return strings.Compare(l[x].Category, l[y].Category) })
	category := ""
	for _, name := range names {
		s := l[name]
		if s.Category != category {
			category = s.Category
			fmt.Fprintf(&b, "\n## %s\n", category)
		}
		fmt.Fprintf(&b, "\n### %s\n\n", s.Name)
		if s.DisplayName() != s.Name {
			fmt.Fprintf(&b, "*%s.* ", s.DisplayName())
		}
		fmt.Fprintf(&b, "%s\n\n| input | type | default | values | |\n|---|---|---|---|---|\n", s.Description)
		documentInputs(&b, s.Inputs, "", "")
		var outputs []string
		for _, p := range s.Outputs {
			if p.Name == p.Type {
				outputs = append(outputs, "`"+p.Type+"`")
			} else {
				outputs = append(outputs, fmt.Sprintf("`%s` (%s)", p.Name, p.Type))
			}
		}
		if len(outputs) == 0 {
			outputs = []string{"none"}
		}
		fmt.Fprintf(&b, "\nOutputs: %s.", strings.Join(outputs, ", "))
		if s.Output {
			b.WriteString(" It runs for what it does, with or without someone using its outputs.")
		}
		b.WriteString("\n")
	}
	return b.Bytes()
}

// documentInputs writes a line an input, those of dynamic ones under their full names.
func documentInputs(b *bytes.Buffer, ports []graph.Port, prefix, when string) {
	for i := range ports {
		p := ports[i]
		name := prefix + p.Name
		if p.Grow != nil {
			item := p.Grow.Item
			last := p.Grow.Children[len(p.Grow.Children)-1]
			item.Name, item.Optional = fmt.Sprintf("%s.%s ... %s", name, p.Grow.Children[0], last), p.Grow.Min == 0
			documentInput(b, &item, when)
			continue
		}
		q := p
		q.Name = name
		documentInput(b, &q, when)
		for _, o := range p.Options {
			documentInputs(b, o.Inputs, name+".", fmt.Sprintf("With `%s`. ", o.Key))
		}
	}
}

func documentInput(b *bytes.Buffer, p *graph.Port, when string) {
	values, note := "", []string{}
	option := func(key string) string {
		if v, ok := p.Opts[key]; ok {
			return fmt.Sprint(v)
		}
		return ""
	}
	switch {
	case p.IsCombo() && len(p.Choices(nil)) > 0:
		values = "`" + strings.Join(p.Choices(nil), "`, `") + "`"
	case p.IsCombo():
		values = "a file"
	case option("min") != "" || option("max") != "":
		values = option("min") + " to " + option("max")
		if s := option("step"); s != "" && s != "1" {
			values += ", step " + s
		}
	}
	if p.Optional {
		note = append(note, "optional.")
	}
	if s := option("tooltip"); s != "" {
		note = append(note, s)
	}
	def := option("default")
	if def != "" {
		def = "`" + def + "`"
	}
	fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s%s |\n", p.Name, p.Type, def, values, when, strings.ReplaceAll(strings.Join(note, " "), "|", "\\|"))
}
