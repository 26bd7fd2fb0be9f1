package workflow

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"graphrun/internal/golden"
)

// BenchmarkJSON reads 5 MB of workflows.
func BenchmarkJSON(b *testing.B) {
	files, _ := filepath.Glob(filepath.Join(golden.Dir(b), "workflows", "pairs", "*", "ui.json"))
	var doc bytes.Buffer
	doc.WriteString("[0")
	for i := 0; len(files) > 0 && doc.Len() < 5<<20; i++ {
		data, err := os.ReadFile(files[i%len(files)])
		if err != nil {
			b.Fatal(err)
		}
		doc.WriteByte(',')
		doc.Write(data)
	}
	doc.WriteByte(']')
	b.SetBytes(int64(doc.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := parseJSON(doc.Bytes()); err != nil {
			b.Fatal(err)
		}
	}
}

// bigWorkflow is one workflow of at least so many bytes: the nodes of the golden pairs side by side, with their subgraphs.
func bigWorkflow(t testing.TB, size int) []byte {
	files, _ := filepath.Glob(filepath.Join(golden.Dir(t), "workflows", "pairs", "*", "ui.json"))
	var nodes, links, definitions []any
	number := func(v any, add int) any {
		if n, ok := v.(json.Number); ok && n[0] != '-' {
			return json.Number(strconv.Itoa(integer(n) + add))
		}
		return v
	}
	length := 0
	for i := 0; len(files) > 0 && length < size; i++ {
		data, err := os.ReadFile(files[i%len(files)])
		if err != nil {
			t.Fatal(err)
		}
		tree, _, err := parseJSON(data)
		if err != nil {
			t.Fatal(err)
		}
		add := (i + 1) * 10000
		ui := object(tree)
		for _, v := range list(ui["nodes"]) {
			n := object(v)
			n["id"] = number(n["id"], add)
			for _, v := range list(n["inputs"]) {
				object(v)["link"] = number(object(v)["link"], add)
			}
			nodes = append(nodes, n)
		}
		for _, v := range list(ui["links"]) {
			if l := list(v); len(l) >= 5 {
				l[0], l[1], l[3] = number(l[0], add), number(l[1], add), number(l[3], add)
				links = append(links, l)
			}
		}
		if i < len(files) {
			definitions = append(definitions, list(object(ui["definitions"])["subgraphs"])...)
		}
		length += len(data)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // as the editor
	if err := e.Encode(map[string]any{"nodes": nodes, "links": links, "definitions": map[string]any{"subgraphs": definitions}}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// BenchmarkConvert reads a workflow of 5 MB and makes its prompt.
func BenchmarkConvert(b *testing.B) {
	nodes := library(b, "object_info.json", "object_info_api_nodes.json", "object_info_test_nodes.json")
	data := bigWorkflow(b, 6<<20) // written without spaces, 5 MB
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		f, err := Parse(data)
		if err != nil {
			b.Fatal(err)
		}
		p, err := f.Prompt(Options{Nodes: nodes, Now: madeAt})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(len(p.IDs)), "nodes")
	}
}
