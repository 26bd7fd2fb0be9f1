package unfinished

import (
	"os"
	"path/filepath"
	"testing"
)

func TestRemove(t *testing.T) {
	dir := t.TempDir()
	half, folder, whole := filepath.Join(dir, "half"), filepath.Join(dir, "folder"), filepath.Join(dir, "whole")
	for _, f := range []string{half, filepath.Join(folder, "in", "it"), whole} {
		if err := os.MkdirAll(filepath.Dir(f), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(f, []byte("x"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	Add(half)
	Add(folder)
	Add(whole)()
	Remove()
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 || left[0].Name() != "whole" {
		t.Errorf("left %v (%v), want the finished file alone", left, err)
	}
}
