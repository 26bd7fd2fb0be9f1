// Package architecture holds the house to its plan: which package may import which, and that every dependency is explained.
package architecture

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const root = "../.."

// arrows says what of the project the packages below a path may import, besides each other; the longest path counts.
// What is not listed may import nothing.
var arrows = map[string][]string{
	"cmd":       {"frontend", "graph", "nodes", "runtime", "types", "kernels", "workflows"},
	"frontend":  {"graph"},
	"nodes":     {"graph", "types", "runtime"},
	"graph":     {},
	"types":     {},
	"kernels":   {},
	"workflows": {},
	"tools":     {"graph", "nodes", "runtime", "types", "kernels", "internal"},
	"internal":  {"internal"},

	"internal/contributing": {"graph", "types", "runtime", "kernels"},
	"internal/endtoend":     {"graph", "nodes", "types", "runtime", "kernels"},

	"runtime/device":       {"kernels", "types"},
	"runtime/unfinished":   {},
	"runtime/weights":      {"runtime/device", "runtime/unfinished", "kernels", "types"},
	"runtime/sdnq":         {"runtime/weights", "runtime/device", "runtime/unfinished", "kernels", "types"},
	"runtime/nn":           {"runtime/device", "runtime/weights", "runtime/sdnq", "kernels"},
	"runtime/text":         {"runtime/nn", "runtime/device", "runtime/weights", "runtime/sdnq", "types"},
	"runtime/diffusion":    {"runtime/nn", "runtime/device", "runtime/weights", "runtime/sdnq", "types"},
	"runtime/vae":          {"runtime/nn", "runtime/device", "runtime/weights", "runtime/sdnq", "types"},
	"runtime/sampling":     {"types"},
	"runtime/contactsheet": {},
	"runtime/picture":      {"kernels", "types"},
	"runtime/hub":          {"types", "runtime/unfinished"},
	"runtime/loader": {
		"runtime/hub", "runtime/text", "runtime/diffusion", "runtime/vae", "runtime/nn", "runtime/device",
		"runtime/weights", "runtime/sdnq", "types", "kernels",
	},
}

// forTests is what a test may import besides: the readers of golden data, and the workers that a device is built on.
var forTests = []string{"internal", "kernels"}

func TestImportDirections(t *testing.T) {
	files := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := filepath.ToSlash(strings.TrimPrefix(path, root+string(filepath.Separator)))
		if d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || hasGoMod(path)) {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(rel, ".go") || !strings.Contains(rel, "/") {
			return nil // the root package is documentation and its example a whole program
		}
		files++
		return checkFile(t, path, rel)
	})
	if err != nil || files == 0 {
		t.Fatalf("read %d files: %v", files, err)
	}
}

// hasGoMod reports a module of its own: a generator that the build does not see.
func hasGoMod(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

func checkFile(t *testing.T, path, rel string) error {
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		return err
	}
	from := filepath.ToSlash(filepath.Dir(rel))
	test := strings.HasSuffix(rel, "_test.go")
	for _, spec := range f.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return err
		}
		if to, ours := strings.CutPrefix(name, "graphrun/"); ours && !allowed(from, to, test) {
			t.Errorf("%s imports %s: the arrow %s -> %s is not in the plan (design.md, arrows in this test)", rel, name, room(from), to)
		}
	}
	return nil
}

func allowed(from, to string, test bool) bool {
	list := append([]string{room(from)}, arrows[room(from)]...)
	if test {
		list = append(list, forTests...)
	}
	for _, a := range list {
		if within(to, a) {
			return true
		}
	}
	return false
}

// room is the longest path of arrows that holds the package.
func room(pkg string) string {
	longest := ""
	for r := range arrows {
		if within(pkg, r) && len(r) > len(longest) {
			longest = r
		}
	}
	if longest == "" {
		return pkg
	}
	return longest
}

func within(pkg, room string) bool { return pkg == room || strings.HasPrefix(pkg, room+"/") }

func TestAllowed(t *testing.T) {
	for _, c := range []struct {
		from, to   string
		test, want bool
	}{
		{"graph", "types", false, false},
		{"graph/workflow", "graph", false, true},
		{"frontend", "runtime/device", false, false},
		{"runtime/sampling", "runtime/device", false, false},
		{"runtime/sampling", "internal/golden", true, true},
		{"runtime/sampling", "internal/golden", false, false},
		{"kernels/cpu", "types", true, false},
		{"cmd/graphrun", "nodes/all", false, true},
		{"newroom", "types", false, false},
	} {
		if got := allowed(c.from, c.to, c.test); got != c.want {
			t.Errorf("%s -> %s (test %v): allowed %v, want %v", c.from, c.to, c.test, got, c.want)
		}
	}
}

// TestDependencies holds DEPENDENCIES.md to go.mod: every module that the code imports has a line, and no line is left over.
func TestDependencies(t *testing.T) {
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, "DEPENDENCIES.md"))
	if err != nil {
		t.Fatal(err)
	}
	needed := map[string]bool{}
	for line := range strings.Lines(string(mod)) {
		fields := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		if len(fields) == 2 && strings.Contains(fields[0], ".") && strings.HasPrefix(fields[1], "v") {
			needed[fields[0]] = true // an indirect one has a third field, the comment
		}
	}
	explained := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)`").FindAllStringSubmatch(string(page), -1) {
		explained[m[1]] = true
	}
	for name := range needed {
		if !explained[name] {
			t.Errorf("DEPENDENCIES.md has no line about %s", name)
		}
	}
	for name := range explained {
		if !strings.Contains(string(mod), name+" v") {
			t.Errorf("DEPENDENCIES.md explains %s, which go.mod does not have", name)
		}
	}
	if len(needed) == 0 {
		t.Log("go.mod lists no direct module yet")
	}
}
