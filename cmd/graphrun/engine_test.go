package main

import (
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"testing"

	"graphrun/frontend"
	"graphrun/graph"
	"graphrun/runtime/hub"
)

// TestEngine asks the engine what the server will ask it.
func TestEngine(t *testing.T) {
	models := t.TempDir()
	for _, name := range []string{"checkpoints/sd/b.safetensors", "checkpoints/a.safetensors", "checkpoints/notes.txt"} {
		path := filepath.Join(models, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	e, err := (&engineFlags{folderFlags: folderFlags{models: []string{models}}, threads: 2, precision: "auto"}).open()
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var f frontend.Engine = e
	files, err := f.ModelFiles("checkpoints")
	if want := []string{"a.safetensors", "sd/b.safetensors"}; err != nil || !reflect.DeepEqual(files, want) {
		t.Errorf("checkpoints: %v, %v; want %v", files, err, want)
	}
	if _, err := f.ModelFiles("../.."); err == nil {
		t.Error("a folder that is no kind of model was listed")
	}
	f.Free(true)
	s := f.Stats()
	if len(s.Devices) != 1 || s.Devices[0].Type != "cpu" || s.Devices[0].InUse != 0 {
		t.Errorf("devices %+v", s.Devices)
	}
	if runtime.GOOS == "linux" && (s.RAMTotal <= 0 || s.RAMFree <= 0 || s.RAMFree > s.RAMTotal) {
		t.Errorf("memory: %d of %d free", s.RAMFree, s.RAMTotal)
	}
}

// Files are told also of nodes that show texts or signs beside them.
func TestFiles(t *testing.T) {
	e := &engine{folders: &hub.Folders{Output: "out", Temp: "tmp"}}
	got, err := e.files(graph.UI{
		"text":     {"hello", map[string]any{"filename": ""}},
		"animated": {true, nil},
		"images":   {map[string]any{"filename": "a.png", "subfolder": "b", "type": "output"}, map[string]any{"filename": "c.png", "type": "temp"}},
	})
	if want := []string{filepath.Join("out", "b", "a.png"), filepath.Join("tmp", "c.png")}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("have %v, %v, want %v", got, err, want)
	}
}
