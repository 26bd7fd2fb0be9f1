// Package workflows holds the example workflows, embedded in the binary. All of them run on the embedded demo model,
// and CI runs each one.
package workflows

import (
	"embed"
	"path/filepath"
	"strings"
)

//go:embed *.json
var files embed.FS

// Names lists the examples by name, sorted: "demo" is workflows/demo.json.
func Names() []string {
	entries, _ := files.ReadDir(".") // the root of an embed.FS can always be read
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = strings.TrimSuffix(e.Name(), ".json")
	}
	return names
}

// Lookup returns the text of an example. name is "demo", "demo.json" or "workflows/demo.json".
func Lookup(name string) ([]byte, bool) {
	name = strings.TrimPrefix(filepath.ToSlash(name), "workflows/")
	text, err := files.ReadFile(strings.TrimSuffix(name, ".json") + ".json")
	return text, err == nil
}
