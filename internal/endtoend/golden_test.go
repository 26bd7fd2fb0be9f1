// Package endtoend runs whole workflows through graph, nodes and runtime and holds the pictures to the originals'.
package endtoend

import (
	"context"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"graphrun/graph"
	"graphrun/internal/golden"
	_ "graphrun/nodes/all"
	"graphrun/runtime/hub"
	"graphrun/runtime/loader"
	"graphrun/types"
)

// TestGoldenComfyE2E runs ComfyUI's own workflows: the final latent within the manifest's tolerance, every channel of the
// picture within 1 of 255.
func TestGoldenComfyE2E(t *testing.T) { golden.Models(t, testE2E, "comfy_e2e") }

func testE2E(t *testing.T, c golden.ModelCase) {
	raw, err := os.ReadFile(filepath.Join(golden.Dir(t), "models", filepath.FromSlash(c.Workflow)))
	if err != nil {
		t.Fatal(err)
	}
	prompt, err := graph.ParsePrompt(raw)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	staged := golden.Stage(t, "tiny/"+c.Model)
	if err := os.MkdirAll(filepath.Join(dir, "models", "checkpoints"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(staged, filepath.Join(dir, "models", "checkpoints", c.Model)); err != nil {
		t.Fatal(err)
	}
	var sampler string
	for _, id := range prompt.IDs {
		n := prompt.Nodes[id]
		switch n.Class {
		case "SDNQModelLoader": // the manifest names the model's folder
			n.Set("model_path", staged)
		case "KSampler":
			sampler = id
		}
	}
	res := run(t, prompt, dir, "exact")
	tensors := c.Tensors(t)

	want := tensors[c.Outputs["latent"]].F32()
	got := res.Values(sampler, 0)[0].(types.Latent).Samples.Data
	golden.Close(t, "latent", got, want, c.Tol, 0)
	compare(t, dir, tensors[c.Outputs["image"]])
}

// run executes the prompt in dir.
func run(t *testing.T, prompt *graph.Prompt, dir, precision string) *graph.Result {
	folders := &hub.Folders{
		Input: filepath.Join(dir, "input"), Output: filepath.Join(dir, "output"), Temp: filepath.Join(dir, "temp"), Models: []string{filepath.Join(dir, "models")},
	}
	engine, err := loader.New(loader.Config{Threads: 2, Precision: precision, Folders: folders})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(engine.Close)
	env := graph.NewEnv()
	graph.Provide(env, engine)
	graph.Provide(env, folders)
	res, err := graph.Run(context.Background(), prompt, graph.Options{Env: env})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// compare reads the one picture that the run saved.
func compare(t *testing.T, dir string, want golden.Tensor) {
	files, _ := filepath.Glob(filepath.Join(dir, "output", "*.png"))
	if len(files) != 1 {
		t.Fatalf("have pictures %v, need one", files)
	}
	f, err := os.Open(files[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	im, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	h, w := want.Shape[len(want.Shape)-3], want.Shape[len(want.Shape)-2]
	if b := im.Bounds(); b.Dx() != w || b.Dy() != h {
		t.Fatalf("picture is %v, want %dx%d", b, w, h)
	}
	worst, v := 0, want.F32()
	for y := range h {
		for x := range w {
			r, g, b, _ := im.At(x, y).RGBA()
			for ch, have := range []uint32{r, g, b} {
				level := int(min(max(v[(y*w+x)*3+ch]*255, 0), 255))
				if d := int(have>>8) - level; d > worst || -d > worst {
					worst = max(d, -d)
				}
			}
		}
	}
	t.Logf("picture: largest difference %d of 255", worst)
	if worst > 1 {
		t.Errorf("picture differs by %d of 255, need 1 at most", worst)
	}
}
