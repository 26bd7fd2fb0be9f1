package endtoend

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"graphrun/graph"
	"graphrun/runtime/hub"
	"graphrun/runtime/loader"
)

// painter runs the demo as a new process would: with an engine and a cache of its own, and a cache on disk that it shares
// with others. It returns the picture's file and the classes of the nodes that ran.
func painter(t *testing.T, dir, seed string) (png []byte, ran []string) {
	t.Helper()
	out := t.TempDir()
	folders := &hub.Folders{Input: out, Output: out, Temp: out, Models: []string{out}}
	engine, err := loader.New(loader.Config{Threads: 2, Precision: "auto", Folders: folders})
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	env := graph.NewEnv()
	graph.Provide(env, engine)
	graph.Provide(env, folders)
	disk, err := graph.OpenDiskCache(graph.DiskConfig{Dir: dir, Salt: "auto", LeastTime: 1})
	if err != nil {
		t.Fatal(err)
	}
	cache, err := graph.NewCache(graph.CacheConfig{Disk: disk})
	if err != nil {
		t.Fatal(err)
	}
	demo, err := os.ReadFile(filepath.Join("..", "..", "workflows", "demo.json"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := graph.ParsePrompt(bytes.Replace(demo, []byte(`"seed": 1`), []byte(`"seed": `+seed), 1))
	if err != nil {
		t.Fatal(err)
	}
	p.Nodes["5"].Set("steps", 2)
	_, err = graph.Run(t.Context(), p, graph.Options{Env: env, Cache: cache, Events: func(e graph.Event) {
		if x, ok := e.(graph.Executing); ok && x.Class != "EmptyLatentImage" { // too quick to be sure of
			ran = append(ran, x.Class)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(out, "*.png"))
	if len(files) != 1 {
		t.Fatalf("pictures %v", files)
	}
	if png, err = os.ReadFile(files[0]); err != nil {
		t.Fatal(err)
	}
	slices.Sort(ran)
	return png, ran
}

// entries lists the files of the cache, the largest first.
func entries(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.result"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no entries: %v", err)
	}
	size := func(path string) int64 {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	slices.SortFunc(files, func(a, b string) int { return int(size(b) - size(a)) })
	return files
}

// TestCacheSurvivesRestart takes what an earlier process computed from the disk, and paints the same picture.
func TestCacheSurvivesRestart(t *testing.T) {
	dir := t.TempDir()
	first, ran := painter(t, dir, "1")
	if want := []string{"CLIPTextEncode", "CLIPTextEncode", "KSampler", "SDNQModelLoader", "SaveImage", "VAEDecode"}; !slices.Equal(ran, want) {
		t.Fatalf("first ran %v", ran)
	}
	again := func(what string, want ...string) {
		t.Helper()
		png, ran := painter(t, dir, "1")
		if !slices.Equal(ran, want) {
			t.Errorf("%s: ran %v, want %v", what, ran, want)
		}
		if !bytes.Equal(png, first) {
			t.Errorf("%s: another picture", what)
		}
	}
	again("the picture is on the disk", "SaveImage")

	// Without the picture, the largest entry, its latent is taken.
	if err := os.Remove(entries(t, dir)[0]); err != nil {
		t.Fatal(err)
	}
	again("the latent is on the disk", "SDNQModelLoader", "SaveImage", "VAEDecode")

	// All that is damaged is computed anew.
	for _, path := range entries(t, dir) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		data[len(data)-1] ^= 1
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if _, ran := painter(t, dir, "1"); !slices.Contains(ran, "KSampler") {
		t.Errorf("damaged entries were trusted: ran %v", ran)
	}
	again("mended", "SaveImage")

	// Another seed finds the prompts alone.
	other, ran := painter(t, dir, "2")
	if want := []string{"KSampler", "SDNQModelLoader", "SaveImage", "VAEDecode"}; !slices.Equal(ran, want) || bytes.Equal(other, first) {
		t.Errorf("another seed: ran %v", ran)
	}
}
