package endtoend

import (
	"bytes"
	"context"
	"image/jpeg"
	"os"
	"path/filepath"
	"testing"

	"graphrun/graph"
	"graphrun/nodes/bridge"
	"graphrun/runtime/hub"
	"graphrun/runtime/loader"
)

// TestPreviews: with the service a sampler shows a picture before each step's progress; the last looks like the result.
func TestPreviews(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "workflows", "demo.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, on := range []bool{true, false} {
		folders := &hub.Folders{Input: t.TempDir(), Output: t.TempDir(), Temp: t.TempDir()}
		engine, err := loader.New(loader.Config{Threads: 2, Folders: folders})
		if err != nil {
			t.Fatal(err)
		}
		defer engine.Close()
		env := graph.NewEnv()
		graph.Provide(env, folders)
		graph.Provide(env, engine)
		if on {
			graph.Provide(env, bridge.Previews{Size: 512})
		}
		prompt, err := graph.ParsePrompt(text)
		if err != nil {
			t.Fatal(err)
		}
		steps, shown := 0, 0
		_, err = graph.Run(context.Background(), prompt, graph.Options{Env: env, Events: func(e graph.Event) {
			switch e := e.(type) {
			case graph.Preview:
				m, err := jpeg.Decode(bytes.NewReader(e.Data))
				if err != nil || m.Bounds().Dx() != 96 {
					t.Errorf("preview: %v", err)
				}
				if shown++; shown != steps+1 {
					t.Errorf("preview %d comes after %d steps", shown, steps)
				}
			case graph.Progress:
				if e.Phase == "sample" {
					steps++
				}
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		if want := map[bool]int{true: steps}[on]; shown != want || steps == 0 {
			t.Errorf("previews %v: %d pictures in %d steps", on, shown, steps)
		}
	}
}
