// Package hub knows where files are: the folders of pictures and models, the names under which results are saved, the
// models that are on this machine, and Hugging Face for those that are not.
package hub

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Folders says where a run reads and writes. Paths may be relative to the working directory; folders need not exist.
type Folders struct {
	Input, Output, Temp string
	Models              []string // searched in order
	// Extra are more folders of a kind of model, searched after those in Models, or before if the kind is in First.
	Extra map[string][]string
	First map[string]bool

	now func() time.Time // for tests; nil is time.Now
}

// Kind names one of the folders of pictures, as ComfyUI's file references do.
type Kind string

// The folders of pictures.
const (
	Input  Kind = "input"
	Output Kind = "output"
	Temp   Kind = "temp"
)

// Dir is the folder of a kind; the empty kind is Input.
func (f *Folders) Dir(k Kind) (string, error) {
	switch k {
	case Input, "":
		return f.Input, nil
	case Output:
		return f.Output, nil
	case Temp:
		return f.Temp, nil
	}
	return "", fmt.Errorf("folder: need input, output or temp, have %q", string(k))
}

// Annotated is the path of a picture named as ComfyUI does: "a/b.png", "b.png [output]", "b.png [temp]". It does not
// say that the file exists, only that the name stays inside the folder; else it is a *OutsideError.
func (f *Folders) Annotated(name string) (string, error) {
	dir := f.Input
	for kind, d := range map[string]string{"input": f.Input, "output": f.Output, "temp": f.Temp} {
		if bare, ok := strings.CutSuffix(name, " ["+kind+"]"); ok {
			name, dir = bare, d
		}
	}
	return inside(dir, name)
}

var pictureSuffixes = []string{".png", ".jpg", ".jpeg", ".jpe", ".gif", ".bmp", ".tif", ".tiff", ".webp"}

// Pictures lists the picture files directly in the input folder, sorted.
func (f *Folders) Pictures() []string {
	entries, _ := os.ReadDir(f.Input) // no folder, no pictures
	var list []string
	for _, e := range entries {
		if !hasSuffix(e.Name(), pictureSuffixes) {
			continue
		}
		if info, err := os.Stat(filepath.Join(f.Input, e.Name())); err == nil && info.Mode().IsRegular() {
			list = append(list, e.Name())
		}
	}
	return list
}

// aliases are the folder names that mean the same (executor.md 9).
var aliases = map[string][]string{
	"unet": {"unet", "diffusion_models"}, "diffusion_models": {"unet", "diffusion_models"},
	"clip": {"text_encoders", "clip"}, "text_encoders": {"text_encoders", "clip"},
}

// ModelDirs are the folders of a kind of model ("checkpoints", "vae", "loras", "text_encoders", "embeddings", ...), in
// the order of search.
func (f *Folders) ModelDirs(kind string) []string {
	names := aliases[kind]
	if names == nil {
		names = []string{kind}
	}
	var dirs []string
	for _, root := range f.Models {
		for _, name := range names {
			dirs = append(dirs, filepath.Join(root, name))
		}
	}
	for _, name := range names {
		if f.First[name] {
			dirs = append(slices.Clone(f.Extra[name]), dirs...)
		} else {
			dirs = append(dirs, f.Extra[name]...)
		}
	}
	return dirs
}

// List names the files of a kind of model that end in one of the suffixes (any, if there is none), with slashes between
// folders, sorted. Links are followed; .git is skipped; folders that do not exist are empty.
func (f *Folders) List(kind string, suffixes ...string) []string {
	var list []string
	for _, dir := range f.ModelDirs(kind) {
		walk(dir, "", nil, func(name string) {
			if len(suffixes) == 0 || hasSuffix(name, suffixes) {
				list = append(list, name)
			}
		})
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// walk calls f with every file below dir/prefix. seen holds the real paths of the folders above, against circles of links.
func walk(dir, prefix string, seen []string, f func(name string)) {
	here := filepath.Join(dir, filepath.FromSlash(prefix))
	real, err := filepath.EvalSymlinks(here)
	if err != nil || slices.Contains(seen, real) {
		return
	}
	seen = append(slices.Clone(seen), real)
	entries, _ := os.ReadDir(here)
	for _, e := range entries {
		name := prefix + e.Name()
		info, err := os.Stat(filepath.Join(here, e.Name()))
		switch {
		case err != nil || e.Name() == ".git":
		case info.IsDir():
			walk(dir, name+"/", seen, f)
		case info.Mode().IsRegular():
			f(name)
		}
	}
}

// Find is the path of a model file that List names. Backslashes are folders too, as workflows of Windows have them.
// A name that leads outside is a *OutsideError, one that is not there a *NotFoundError.
func (f *Folders) Find(kind, name string) (string, error) {
	dirs := f.ModelDirs(kind)
	for _, dir := range dirs {
		for _, n := range []string{name, strings.ReplaceAll(name, `\`, "/")} {
			path, err := inside(dir, n)
			if err != nil {
				return "", err
			}
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
				return path, nil
			}
		}
	}
	return "", &NotFoundError{What: strings.TrimSuffix(kind, "s") + " file", Name: name, Searched: dirs, Hint: "copy it into one of these folders, or name another folder of models with --models"}
}

// NotFoundError is a model that is not on this machine.
type NotFoundError struct {
	What, Name string
	Searched   []string
	Hint       string
	Err        error // why it could not be fetched, if that was tried
}

func (e *NotFoundError) Error() string {
	text := fmt.Sprintf("%s %q not found", e.What, e.Name)
	if len(e.Searched) > 0 {
		text += " in " + strings.Join(e.Searched, ", ")
	}
	return text + ": " + e.Hint
}

// Explain takes the error apart.
func (e *NotFoundError) Explain() (what, need, have, hint string) {
	if len(e.Searched) > 0 {
		need = "it in one of " + strings.Join(e.Searched, ", ")
	}
	return fmt.Sprintf("%s %q not found", e.What, e.Name), need, "", e.Hint
}

func (e *NotFoundError) Unwrap() error {
	if e.Err != nil {
		return e.Err
	}
	return fs.ErrNotExist
}

// OutsideError is a name that leads out of its folder.
type OutsideError struct{ Folder, Name string }

func (e *OutsideError) Error() string {
	return fmt.Sprintf("name %q leads out of %s: need a file inside it, without .. and without a leading /", e.Name, e.Folder)
}

// Explain takes the error apart.
func (e *OutsideError) Explain() (what, need, have, hint string) {
	return fmt.Sprintf("name %q leads out of its folder", e.Name), "a file inside " + e.Folder, e.Name, "use a name without .. and without a leading /"
}

// inside joins a name to a folder, which it may not leave.
func inside(dir, name string) (string, error) {
	local := filepath.FromSlash(name)
	if !filepath.IsLocal(local) || strings.ContainsRune(name, 0) {
		return "", &OutsideError{Folder: dir, Name: name}
	}
	return filepath.Join(dir, local), nil
}

func hasSuffix(name string, suffixes []string) bool {
	lower := strings.ToLower(name)
	return slices.ContainsFunc(suffixes, func(s string) bool { return strings.HasSuffix(lower, s) })
}
