package contributing

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestPage holds CONTRIBUTING.md to the code: each block names a file in its first line and stands there word by word.
func TestPage(t *testing.T) {
	const root = "../.."
	page, err := os.ReadFile(filepath.Join(root, "CONTRIBUTING.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```go\n// ([^\n]+\\.go)\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(blocks) == 0 || len(blocks) != strings.Count(string(page), "```go") {
		t.Fatalf("%d of %d blocks name their file", len(blocks), strings.Count(string(page), "```go"))
	}
	for _, b := range blocks {
		source, err := os.ReadFile(filepath.Join(root, b[1]))
		if err != nil {
			t.Error(err)
			continue
		}
		if code := strings.TrimSpace(b[2]); !strings.Contains(string(source), code) {
			t.Errorf("%s has no longer what CONTRIBUTING.md shows:\n%s", b[1], code)
		}
	}
}
