package hub

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Demo is the repo id of the model inside the binary.
const Demo = "graphrun/demo"

// The demo model, made by tools/demomodel.
//
//go:embed all:demo
var demo embed.FS

// Model is a model folder in the diffusers layout.
type Model struct {
	Name string // as the user calls it
	Dir  string // on disk; "" for the embedded model
	FS   fs.FS  // the folder, whose root holds model_index.json
}

// repoID is Hugging Face's form of a model's name. It is compiled when the first name is looked at: its repetitions take a
// while, which every start would wait for.
var repoID = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9_][\w.-]{0,95}$`)
})

// Resolve finds a model as Local does; what is nowhere is downloaded, unless HF_HUB_OFFLINE is set. f may be nil.
// A model that cannot be had is a *NotFoundError.
func Resolve(ctx context.Context, f *Folders, model string) (Model, error) {
	m, err := Local(f, model)
	if err == nil || !Downloads(model) {
		return m, err
	}
	var missing *NotFoundError
	if errors.As(err, &missing) && len(missing.Searched) == 0 {
		return m, err // it is there and wrong
	}
	dir, err := newHuggingFace().download(ctx, model)
	if err != nil {
		return Model{}, fmt.Errorf("model %q is not on this machine and cannot be downloaded: %w", model, err)
	}
	return Model{Name: model, Dir: dir, FS: os.DirFS(dir)}, nil
}

// Downloads reports whether Resolve would ask Hugging Face for a model that is not on this machine.
func Downloads(model string) bool { return isRepo(model) && !newHuggingFace().offline }

// Local finds a model on this machine: the embedded demo, a local folder, a repo id in the folders of models
// (diffusers/owner--name, owner/name) or in Hugging Face's cache. f may be nil. The error is a *NotFoundError.
func Local(f *Folders, model string) (Model, error) {
	if model == Demo {
		sub, err := fs.Sub(demo, "demo")
		if err != nil {
			return Model{}, err
		}
		return Model{Name: model, FS: sub}, nil
	}
	if f == nil {
		f = &Folders{}
	}
	var searched []string
	for _, dir := range f.candidates(model) {
		info, err := os.Stat(dir)
		if err == nil && info.IsDir() {
			return Model{Name: model, Dir: dir, FS: os.DirFS(dir)}, nil
		}
		if err == nil {
			return Model{}, &NotFoundError{What: "model folder", Name: model, Hint: "this is a file; a pipeline is a folder with model_index.json in it. Single files are for CheckpointLoaderSimple"}
		}
		searched = append(searched, dir)
	}
	missing := &NotFoundError{What: "model", Name: model, Searched: searched, Hint: "give a folder with model_index.json in it, or the id owner/name of a repository on huggingface.co; " + Demo + " is built in"}
	if !isRepo(model) {
		return Model{}, missing
	}
	h := newHuggingFace()
	if dir, ok := h.cached(model); ok {
		return Model{Name: model, Dir: dir, FS: os.DirFS(dir)}, nil
	}
	if h.offline {
		missing.Searched = append(missing.Searched, h.cache)
		missing.Hint = "HF_HUB_OFFLINE is set, so it was not downloaded: unset it, or copy the repository into " + filepath.Join(f.modelRoot(), "diffusers", strings.ReplaceAll(model, "/", "--"))
	}
	return Model{}, missing
}

func isRepo(model string) bool {
	return repoID().MatchString(model) && !strings.Contains(model, "..")
}

// candidates lists where a model folder may lie, first come first served.
func (f *Folders) candidates(model string) []string {
	list := []string{model}
	local := filepath.FromSlash(model)
	if !filepath.IsLocal(local) || filepath.Clean(local) == "." {
		return list
	}
	for _, root := range f.Models {
		list = append(list, filepath.Join(root, "diffusers", strings.ReplaceAll(model, "/", "--")),
			filepath.Join(root, "diffusers", local), filepath.Join(root, local))
	}
	return list
}

func (f *Folders) modelRoot() string {
	if len(f.Models) > 0 {
		return f.Models[0]
	}
	return "models"
}

// cacheDir is Hugging Face's cache: $HF_HUB_CACHE, $HF_HOME/hub or ~/.cache/huggingface/hub.
func cacheDir() string {
	if dir := os.Getenv("HF_HUB_CACHE"); dir != "" {
		return dir
	}
	home := os.Getenv("HF_HOME")
	if home == "" {
		cache := os.Getenv("XDG_CACHE_HOME")
		if cache == "" {
			user, err := os.UserHomeDir()
			if err != nil {
				user = "."
			}
			cache = filepath.Join(user, ".cache")
		}
		home = filepath.Join(cache, "huggingface")
	}
	return filepath.Join(home, "hub")
}

// cached is the snapshot of a repository in Hugging Face's cache: the one that refs/main names, or else the newest.
func (h *huggingFace) cached(repo string) (string, bool) {
	root := h.repoDir(repo)
	if ref, err := os.ReadFile(filepath.Join(root, "refs", "main")); err == nil {
		if dir, err := inside(filepath.Join(root, "snapshots"), strings.TrimSpace(string(ref))); err == nil && complete(dir) {
			return dir, true
		}
	}
	entries, _ := os.ReadDir(filepath.Join(root, "snapshots"))
	newest, at := "", time.Time{}
	for _, e := range entries {
		info, err := e.Info()
		dir := filepath.Join(root, "snapshots", e.Name())
		if err == nil && complete(dir) && info.ModTime().After(at) {
			newest, at = dir, info.ModTime()
		}
	}
	return newest, newest != ""
}

// complete tells whether a snapshot has every component that its index names; other programs fetch parts.
func complete(dir string) bool {
	raw, err := os.ReadFile(filepath.Join(dir, index))
	if err != nil {
		return false
	}
	var components map[string]any
	if json.Unmarshal(raw, &components) != nil {
		return true // broken, but there: the loader says how
	}
	for name := range components {
		if _, err := os.Stat(filepath.Join(dir, name)); used(components, name) && err != nil {
			return false
		}
	}
	return true
}
