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
