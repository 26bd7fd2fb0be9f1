package loaders

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"graphrun/graph"
	"graphrun/runtime/hub"
	"graphrun/runtime/loader"
)

// services are an engine of one worker and folders with two files that are no checkpoints.
func services(t *testing.T) *graph.Env {
	t.Helper()
	root := t.TempDir()
	dir := filepath.Join(root, "checkpoints", "sd")
	if err := errors.Join(os.MkdirAll(dir, 0o777), os.WriteFile(filepath.Join(dir, "bad.safetensors"), []byte("no tensors"), 0o666),
		os.WriteFile(filepath.Join(dir, "notes.txt"), nil, 0o666)); err != nil {
		t.Fatal(err)
	}
	f := &hub.Folders{Models: []string{root}}
	e, err := loader.New(loader.Config{Threads: 1, Folders: f})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	env := graph.NewEnv()
	graph.Provide(env, f)
	graph.Provide(env, e)
	return env
}

func TestCheckpoints(t *testing.T) {
	env := services(t)
	if got := checkpoint("").Options(env); !slices.Equal(got, []string{"sd/bad.safetensors"}) {
		t.Errorf("choices %v", got)
	}
	if got := checkpoint("").Options(nil); len(got) > 0 {
		t.Errorf("choices %v without folders", got)
	}
	call := &graph.Call{Context: context.Background(), Env: env}
	for name, want := range map[checkpoint]string{"sd/bad.safetensors": "bad.safetensors", "none.safetensors": "not found", "../x": "leads out"} {
		if _, err := (CheckpointLoaderSimple{name}).Run(call); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q in it", name, err, want)
		}
	}
}

func TestPipelineErrors(t *testing.T) {
	t.Setenv("HF_HUB_OFFLINE", "1")
	call := &graph.Call{Context: context.Background(), Env: services(t)}
	for _, path := range []string{"", "nobody/nothing", "../nothing"} {
		if _, err := (SDNQModelLoader{ModelPath: path}).Run(call); err == nil {
			t.Errorf("%q loads", path)
		} else {
			t.Logf("%q: %v", path, err)
		}
	}
	var e *graph.Error
	call.Env = graph.NewEnv()
	for _, err := range []error{second(SDNQModelLoader{ModelPath: "graphrun/demo"}.Run(call)), second(CheckpointLoaderSimple{}.Run(call))} {
		if !errors.As(err, &e) || e.Kind != graph.KindNoService {
			t.Errorf("without services: %v", err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// A file that was replaced is another model; a model that is not there is never the same.
func TestFingerprints(t *testing.T) {
	t.Setenv("HF_HUB_OFFLINE", "1")
	t.Setenv("HF_HUB_CACHE", t.TempDir())
	env := services(t)
	f, err := graph.Service[*hub.Folders](env)
	if err != nil {
		t.Fatal(err)
	}
	print := func(n interface {
		Fingerprint(*graph.Env) (string, error)
	},
	) string {
		t.Helper()
		p, err := n.Fingerprint(env)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	file := CheckpointLoaderSimple{"sd/bad.safetensors"}
	first := print(file)
	if print(file) != first {
		t.Error("it does not repeat")
	}
	dir := filepath.Join(f.Models[0], "checkpoints", "sd")
	for _, name := range []string{"bad.safetensors", "single-file.json"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("another"), 0o666); err != nil {
			t.Fatal(err)
		}
		if next := print(file); next == first {
			t.Errorf("%s changed, and is not seen", name)
		} else {
			first = next
		}
	}
	if print(SDNQModelLoader{ModelPath: hub.Demo}) == "" || print(SDNQModelLoader{}) == "" {
		t.Error("the demo, or a linked name, has no fingerprint")
	}
	if _, err := (SDNQModelLoader{ModelPath: "nobody/nothing"}).Fingerprint(env); err == nil {
		t.Error("a model that is not there has a fingerprint")
	}
	if _, err := (CheckpointLoaderSimple{"none"}).Fingerprint(env); err == nil {
		t.Error("a file that is not there has a fingerprint")
	}
}
