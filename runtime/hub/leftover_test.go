package hub

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestRemoveLeftovers(t *testing.T) {
	dead := exec.Command(os.Args[0], "-test.run=^$")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "a", "b"), 0o777); err != nil {
		t.Fatal(err)
	}
	for name, stays := range map[string]bool{
		fmt.Sprintf("a/b/.x.png.%d-0123abcd.tmp", dead.Process.Pid): false,
		fmt.Sprintf("a/b/.x.png.%d-0123abcd.tmp", os.Getpid()):      true,
		"a/x.png":   true,
		"a/.x.tmp":  true,
		"a/x.1.tmp": true,
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o666); err != nil {
			t.Fatal(err)
		}
		RemoveLeftovers(dir, filepath.Join(dir, "absent"))
		if _, err := os.Stat(path); (err == nil) != stays {
			t.Errorf("%s: %v", name, err)
		}
	}
}
