package workflow

import (
	"bytes"
	"os"
	"path/filepath"
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
