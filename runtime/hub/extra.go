package hub

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// AddConfig adds the folders of a file in the form of ComfyUI's extra_model_paths.yaml: sections with base_path, is_default
// and, by kind of model, one path a line. Relative paths start at base_path, and that at the file's own folder; ~ and
// environment variables are replaced.
func (f *Folders) AddConfig(file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var sections map[string]map[string]any
	if err := yaml.Unmarshal(data, &sections); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if f.Extra == nil {
		f.Extra, f.First = map[string][]string{}, map[string]bool{}
	}
	home := filepath.Dir(file)
	for _, name := range slices.Sorted(maps.Keys(sections)) {
		section := sections[name]
		base := home
		if b, ok := section["base_path"].(string); ok {
			base = from(home, b)
		}
		first, _ := section["is_default"].(bool)
		for _, kind := range slices.Sorted(maps.Keys(section)) {
			if kind == "base_path" || kind == "is_default" {
				continue
			}
			lines, ok := section[kind].(string)
			if !ok && section[kind] != nil {
				return fmt.Errorf("%s: %s.%s: need paths, one a line, have %v", file, name, kind, section[kind])
			}
			for _, line := range strings.Split(lines, "\n") {
				if line = strings.TrimSpace(line); line == "" {
					continue
				}
				if dir := from(base, line); first {
					f.Extra[kind] = slices.Insert(f.Extra[kind], 0, dir)
				} else {
					f.Extra[kind] = append(f.Extra[kind], dir)
				}
				f.First[kind] = f.First[kind] || first
			}
		}
	}
	return nil
}

// from resolves a path of the file.
func from(base, path string) string {
	path = os.ExpandEnv(path)
	if rest, ok := strings.CutPrefix(path, "~"); ok && (rest == "" || rest[0] == '/' || rest[0] == filepath.Separator) {
		if home, err := os.UserHomeDir(); err == nil {
			path = home + rest
		}
	}
	if path = filepath.FromSlash(path); !filepath.IsAbs(path) {
		path = filepath.Join(base, path)
	}
	return filepath.Clean(path)
}
