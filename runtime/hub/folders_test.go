package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// touch makes files of one byte below dir.
func touch(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("x"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

func TestList(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	touch(t, a, "unet/z.safetensors", "unet/a.txt", "unet/.git/x.safetensors", "diffusion_models/sub/m.SAFETENSORS")
	touch(t, b, "unet/z.safetensors", "elsewhere/e.safetensors")
	want := []string{"sub/m.SAFETENSORS", "z.safetensors"}
	if os.Symlink(filepath.Join(b, "elsewhere"), filepath.Join(a, "unet", "link")) == nil && os.Symlink(a, filepath.Join(b, "elsewhere", "circle")) == nil {
		want = []string{"link/circle/diffusion_models/sub/m.SAFETENSORS", "link/e.safetensors", "sub/m.SAFETENSORS", "z.safetensors"}
	}
	f := &Folders{Models: []string{a, b, filepath.Join(a, "missing")}}
	for _, kind := range []string{"unet", "diffusion_models"} {
		if got := f.List(kind, ".safetensors"); !slices.Equal(got, want) {
			t.Errorf("%s: have %v, want %v", kind, got, want)
		}
	}
	if got := f.List("checkpoints"); got != nil {
		t.Errorf("checkpoints: have %v", got)
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	touch(t, dir, "checkpoints/sub/a.safetensors", "secret")
	f := &Folders{Models: []string{dir}}
	for _, name := range []string{"sub/a.safetensors", `sub\a.safetensors`} {
		if path, err := f.Find("checkpoints", name); err != nil || path != filepath.Join(dir, "checkpoints", "sub", "a.safetensors") {
			t.Errorf("%s: have %s, %v", name, path, err)
		}
	}
	for _, name := range []string{"../secret", "/etc/passwd", "", "sub/../../secret", "a\x00"} {
		_, err := f.Find("checkpoints", name)
		var outside *OutsideError
		if !errors.As(err, &outside) {
			t.Errorf("%q: have error %v, want an OutsideError", name, err)
		}
	}
	_, err := f.Find("checkpoints", "b.safetensors")
	var missing *NotFoundError
	if !errors.As(err, &missing) || !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), filepath.Join(dir, "checkpoints")) {
		t.Errorf("have %v", err)
	}
}

func TestAnnotated(t *testing.T) {
	f := &Folders{Input: "in", Output: "out", Temp: "tmp"}
	for name, want := range map[string]string{"a.png": "in/a.png", "s/a.png [output]": "out/s/a.png", "a [temp]": "tmp/a", "a.png [input]": "in/a.png", "a[output]": "in/a[output]"} {
		if got, err := f.Annotated(name); err != nil || filepath.ToSlash(got) != want {
			t.Errorf("%s: have %s, %v, want %s", name, got, err, want)
		}
	}
	if got, err := f.Annotated("../a.png [output]"); err == nil {
		t.Errorf("have %s", got)
	}
}

func TestPictures(t *testing.T) {
	dir := t.TempDir()
	touch(t, dir, "b.PNG", "a.jpg", "c.txt", "sub/d.png")
	f := &Folders{Input: dir}
	if got := f.Pictures(); !slices.Equal(got, []string{"a.jpg", "b.PNG"}) {
		t.Errorf("have %v", got)
	}
}

// TestSavePath follows executor.md 9.
func TestSavePath(t *testing.T) {
	dir := t.TempDir()
	touch(t, dir, "x_00007_.png", "x_y_00009_.png", "X_00021_.png", "x_12.png", "xx_00020_.png", "x_-30_.png", "s/n_3_a.png", "b%batch_num%_00004_.png", "b3_00007_.png", "b12_00008_.png", "bx_00020_.png", "b_00030_.png", "c0x1_00002_.png")
	f := &Folders{Output: dir, now: func() time.Time { return time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC) }}
	for _, c := range []struct {
		prefix, sub, name string
		counter           int
	}{
		{"x", "", "x", 13}, // x_12.png is one of SaveImageAdvanced
		{"x/", "", "x", 13},
		{"s/n", "s", "n", 4},
		{"new/deep/n", "new/deep", "n", 1},
		{"./s/../x", "", "x", 13},
		{"%width%x%height%", "", "64x32", 1},
		{"%year%-%month%-%day%/%hour%%minute%%second%", "2026-03-04", "050607", 1},
		{"%date:yyyy%", "", "%date:yyyy%", 1},
		{"b%batch_num%", "", "b%batch_num%", 9}, // of all numbers, so that nothing is written over
		{"c%batch_num%x%batch_num%", "", "c%batch_num%x%batch_num%", 3},
		{"%batch_num%", "", "%batch_num%", 1},
		{"x_y", "", "x_y", 10},
		{filepath.Join(dir, "s", "n"), filepath.ToSlash(filepath.Join(dir, "s")), "n", 4},
	} {
		want := c.counter
		if runtime.GOOS == "windows" && c.name == "x" {
			want = 22
		}
		p, err := f.SavePath(Output, c.prefix, 64, 32)
		if err != nil || p.Subfolder != c.sub || p.Name != c.name || p.Counter != want {
			t.Errorf("%s: have %+v, %v, want %+v", c.prefix, p, err, c)
		}
		if info, err := os.Stat(p.Dir); err != nil || !info.IsDir() {
			t.Errorf("%s: the folder is not there: %v", c.prefix, err)
		}
	}
	for _, prefix := range []string{"../x", "a/../../x", "/elsewhere/x", ".."} {
		_, err := f.SavePath(Output, prefix, 1, 1)
		var outside *SaveOutsideError
		if !errors.As(err, &outside) || !strings.HasPrefix(err.Error(), "**** ERROR: Saving image outside the output folder is not allowed.") {
			t.Errorf("%s: have %v", prefix, err)
		}
	}
	if _, err := f.SavePath("elsewhere", "x", 1, 1); err == nil {
		t.Error("a kind of no folder is no error")
	}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	p, err := (&Folders{Output: dir}).SavePath(Output, "a/b", 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	text := func(s string) func(io.Writer) error {
		return func(w io.Writer) error { _, err := io.WriteString(w, s); return err }
	}
	for _, s := range []string{"one", "two"} {
		if err := WriteFile(filepath.Join(p.Dir, "f"), text(s)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(dir, "a", "f")); err != nil || string(got) != s {
			t.Errorf("have %q, %v", got, err)
		}
	}
	half := errors.New("half")
	if _, err := p.Save(numbered("g"), func(w io.Writer) error { _, _ = io.WriteString(w, strings.Repeat("x", 1<<20)); return half }); err != half {
		t.Errorf("have %v", err)
	}
	if entries, err := os.ReadDir(filepath.Join(dir, "a")); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	if _, err := p.Save(numbered("../f"), text("")); err == nil {
		t.Error("wrote outside")
	}
	touch(t, dir, "file")
	for _, path := range []string{filepath.Join(dir, "file", "x"), filepath.Join(dir, "missing", "x"), filepath.Join(dir, "a")} {
		err := WriteFile(path, text("x"))
		var broken *WriteError
		if !errors.As(err, &broken) || broken.Path != path || broken.Hint == "" {
			t.Errorf("%s: have %v", path, err)
		}
	}
	var broken *WriteError
	if _, err := (&Folders{Output: filepath.Join(dir, "file")}).SavePath(Output, "x", 1, 1); !errors.As(err, &broken) {
		t.Errorf("a file in place of the output folder: %v", err)
	}
}

func numbered(name string) func(int) string {
	return func(n int) string { return fmt.Sprintf("%s_%05d_", name, n) }
}

// Nodes that save under one prefix at once get names of their own, one after the other.
func TestSaveAtOnce(t *testing.T) {
	f := &Folders{Output: t.TempDir()}
	const savers, files = 8, 5
	var wait sync.WaitGroup
	for range savers {
		p, err := f.SavePath(Output, "x", 1, 1) // all see the same first number
		if err != nil {
			t.Fatal(err)
		}
		wait.Go(func() {
			for range files {
				if _, err := p.Save(numbered("x"), func(w io.Writer) error { _, err := io.WriteString(w, "."); return err }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	entries, err := os.ReadDir(f.Output)
	if err != nil || len(entries) != savers*files || entries[savers*files-1].Name() != numbered("x")(savers*files) {
		t.Errorf("%d files, the last %v (%v)", len(entries), entries, err)
	}
}

// TestFullDisk writes to the one device that is always full.
func TestFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("no /dev/full here")
	}
	defer full.Close()
	_, err = (&diskWriter{file: full}).Write([]byte("x"))
	if text := writeError("out/x.png", err).Error(); !strings.Contains(text, "the disk is full") || !strings.Contains(text, "out/x.png") {
		t.Errorf("have %s", text)
	}
}

func TestResolve(t *testing.T) {
	t.Setenv("HF_HUB_OFFLINE", "1")
	dir, cache := t.TempDir(), t.TempDir()
	t.Setenv("HF_HUB_CACHE", cache)
	touch(t, dir, "diffusers/a--b/model_index.json", "c/d/model_index.json", "file")
	snapshots := filepath.Join(cache, "models--e--f", "snapshots")
	touch(t, snapshots, "new/model_index.json", "old/model_index.json", "part/unet/x")
	touch(t, cache, "models--e--f/refs/other")
	if err := os.WriteFile(filepath.Join(cache, "models--e--f", "refs", "main"), []byte("old\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	f := &Folders{Models: []string{dir}}
	for model, want := range map[string]string{
		"a/b": filepath.Join(dir, "diffusers", "a--b"), "c/d": filepath.Join(dir, "c", "d"), "e/f": filepath.Join(snapshots, "old"),
		filepath.Join(dir, "c", "d"): filepath.Join(dir, "c", "d"),
	} {
		m, err := Resolve(context.Background(), f, model)
		if err != nil || m.Dir != want || m.Name != model {
			t.Errorf("%s: have %+v, %v, want %s", model, m, err, want)
			continue
		}
		if _, err := fs.Stat(m.FS, "model_index.json"); err != nil {
			t.Errorf("%s: %v", model, err)
		}
	}
	for _, model := range []string{"no/such", "nothing", "", "../..x", filepath.Join(dir, "file"), "a/b/c", "a/..", "\x00"} {
		_, err := Resolve(context.Background(), f, model)
		var missing *NotFoundError
		if !errors.As(err, &missing) || missing.Hint == "" {
			t.Errorf("%q: have %v, want a NotFoundError", model, err)
		}
	}
	if _, err := Resolve(context.Background(), nil, "no/such"); err == nil || !strings.Contains(err.Error(), "HF_HUB_OFFLINE") {
		t.Errorf("have %v", err)
	}
}

func TestDemoIsWhole(t *testing.T) {
	m, err := Resolve(context.Background(), nil, Demo)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"model_index.json", "unet/config.json", "vae/config.json", "text_encoder/config.json"} {
		if _, err := fs.Stat(m.FS, file); err != nil {
			t.Error(err)
		}
	}
}
