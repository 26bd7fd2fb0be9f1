package hub

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestFingerprint(t *testing.T) {
	t.Setenv("HF_HUB_CACHE", t.TempDir())
	root := t.TempDir()
	f := &Folders{Models: []string{root}}
	file := filepath.Join(root, "diffusers", "me--net", "unet", "weights")
	print := func() string {
		t.Helper()
		p, err := Fingerprint(f, "me/net")
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if _, err := Fingerprint(f, "me/net"); err == nil {
		t.Error("a model that is nowhere has a fingerprint")
	}
	if p, err := Fingerprint(nil, Demo); err != nil || p == "" {
		t.Errorf("demo: %q, %v", p, err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("a"), 0o666); err != nil {
		t.Fatal(err)
	}
	first := print()
	if print() != first {
		t.Error("it does not repeat")
	}
	if err := os.Chtimes(file, time.Now(), time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	second := print()
	if second == first {
		t.Error("another time is not seen")
	}
	link := filepath.Join(filepath.Dir(file), "link")
	if err := os.Symlink(file, link); err != nil {
		t.Skip("no symbolic links here")
	}
	third := print()
	os.WriteFile(file, []byte("ab"), 0o666)
	if third == second || print() == third {
		t.Error("a new link, or another size, is not seen")
	}
	away := filepath.Join(t.TempDir(), "vae")
	if err := os.Mkdir(away, 0o777); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(away, "weights"), []byte("a"), 0o666)
	os.Symlink(away, filepath.Join(filepath.Dir(filepath.Dir(file)), "vae"))
	os.Symlink(filepath.Dir(file), filepath.Join(filepath.Dir(file), "around"))
	fourth := print()
	os.WriteFile(filepath.Join(away, "weights"), []byte("abc"), 0o666)
	if print() == fourth {
		t.Error("a change in a folder that a link leads to is not seen")
	}
	os.Remove(file)
	if _, err := Fingerprint(f, "me/net"); err == nil {
		t.Error("a link that leads nowhere is no error")
	}
}
