package golden

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// Stage lays out a folder of golden/models (for example "tiny/tiny-sd15", or "tiny" for all) in the test's own temporary
// folder as the original has it, and returns its place: shared parts of links.json are put where they belong, files x.gz
// become x, everything else is a symbolic link (a copy where there are none).
func Stage(t testing.TB, folder string) string {
	t.Helper()
	root := filepath.Join(Dir(t), "models")
	raw, err := os.ReadFile(filepath.Join(root, "links.json"))
	if err != nil {
		t.Fatal(err)
	}
	s := stage{root: root}
	if err := json.Unmarshal(raw, &s.links); err != nil {
		t.Fatalf("links.json: %v", err)
	}
	dst := filepath.Join(t.TempDir(), path.Base(folder))
	if err := s.put(path.Clean(folder), dst); err != nil {
		t.Fatalf("stage %s: %v", folder, err)
	}
	return dst
}

type stage struct {
	root  string
	links map[string]string // path -> path that holds its content; both relative to root
}

// put makes dst what the file or folder rel stands for.
func (s stage) put(rel, dst string) error {
	src := filepath.Join(s.root, filepath.FromSlash(s.resolve(rel)))
	info, err := os.Stat(src)
	below := s.below(rel)
	switch {
	case err != nil && len(below) == 0:
		return err
	case err == nil && !info.IsDir():
		return putFile(src, dst)
	}
	if err := os.MkdirAll(dst, 0o755); err != nil {
		return err
	}
	names := map[string]bool{}
	for _, name := range below {
		names[name] = true
	}
	entries, _ := os.ReadDir(src) // a folder may consist of links alone
	for _, e := range entries {
		names[e.Name()] = true
	}
	for _, name := range s.below(s.resolve(rel)) {
		names[name] = true
	}
	for name := range names {
		if err := s.put(path.Join(rel, name), filepath.Join(dst, name)); err != nil {
			return err
		}
	}
	return nil
}

// resolve follows links of rel and of the folders above it.
func (s stage) resolve(rel string) string {
	for head, tail := rel, ""; head != "."; head, tail = path.Dir(head), path.Join(path.Base(head), tail) {
		if to, ok := s.links[head]; ok {
			return s.resolve(path.Join(to, tail))
		}
	}
	return rel
}

// below names the links directly inside the folder rel.
func (s stage) below(rel string) []string {
	var names []string
	for link := range s.links {
		if path.Dir(link) == rel {
			names = append(names, path.Base(link))
		}
	}
	return names
}

func putFile(src, dst string) error {
	plain, zipped := strings.CutSuffix(dst, ".gz")
	if !zipped && os.Symlink(src, dst) == nil {
		return nil
	}
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	var r io.Reader = in
	if zipped {
		if r, err = gzip.NewReader(in); err != nil {
			return err
		}
	}
	out, err := os.Create(plain)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, r); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
