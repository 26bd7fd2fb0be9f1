package hub

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestSums(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", filepath.Join(dir, "cache"))
	t.Setenv("HOME", dir) // of macOS
	ctx := context.Background()
	name := filepath.Join(dir, "big")
	old := time.Now().Add(-time.Hour)
	write := func(fill byte, at time.Time) string {
		data := make([]byte, bigFile)
		data[7] = fill
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, at, at); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%x", sha256.Sum256(data))
	}
	sumOf := func() string {
		s := OpenSums()
		defer s.Close()
		sum, size, err := s.File(ctx, name)
		if err != nil || size != bigFile {
			t.Fatal(sum, size, err)
		}
		return sum
	}
	first := write(1, old)
	if got := sumOf(); got != first {
		t.Errorf("sum %s, want %s", got, first)
	}
	// The same size and time: what is remembered counts, which shows that the file is not read again.
	second := write(2, old)
	if got := sumOf(); got != first {
		t.Errorf("sum %s, want the remembered %s", got, first)
	}
	write(2, old.Add(time.Second))
	if got := sumOf(); got != second {
		t.Errorf("of a changed file: %s, want %s", got, second)
	}
	// A change of just now is not remembered.
	just := time.Now()
	write(3, just)
	sumOf()
	fourth := write(4, just)
	if got := sumOf(); got != fourth {
		t.Errorf("of a file just changed: %s, want %s", got, fourth)
	}
	if err := os.WriteFile(OpenSums().path, []byte("{damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := sumOf(); got != fourth {
		t.Errorf("with a damaged memory: %s", got)
	}
	done, cancel := context.WithCancel(ctx)
	cancel()
	if _, _, err := OpenSums().File(done, name); err == nil {
		t.Error("a cancelled sum")
	}
	if _, _, err := OpenSums().File(ctx, dir+"/none"); err == nil {
		t.Error("the sum of no file")
	}
}

func TestSumsOfFolder(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	m, err := Local(nil, Demo)
	if err != nil {
		t.Fatal(err)
	}
	embedded, err := OpenSums().Folder(context.Background(), m)
	if err != nil || len(embedded) < 5 {
		t.Fatal(embedded, err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("demo")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, ".git"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".git", "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	copied, err := OpenSums().Folder(context.Background(), Model{Dir: dir, FS: os.DirFS(dir)})
	if err != nil || fmt.Sprint(copied) != fmt.Sprint(embedded) {
		t.Errorf("copy %v, %v\nembedded %v", copied, err, embedded)
	}
}

func TestModelInput(t *testing.T) {
	for _, c := range []struct {
		class, input, value, want string
	}{
		{"UNETLoader", "unet_name", "a", "diffusion_models"},
		{"VAELoader", "vae_name", "taesd", ""},
		{"VAELoader", "vae_name", "a", "vae"},
		{"KSampler", "sampler_name", "euler", ""},
		{"LoraLoader", "lora_name", "", ""},
		{"SDNQModelLoader", "model_path", Demo, "diffusers"},
		{"SDNQQuantize", "model_path", "a/b", "diffusers"},
		{"SDNQQuantize", "model_path", "a.safetensors", "checkpoints"},
		{"SDNQQuantize", "model_path", "/a.safetensors", ""},
	} {
		if kind, ok := ModelInput(c.class, c.input, c.value); ok != (c.want != "") || ok && kind != c.want {
			t.Errorf("%v: %s %v", c, kind, ok)
		}
	}
}
