package weights

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// A writer that was given up goes on where it stopped, and does not trust data that are not what it was told.
func TestContinue(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	plan := []Tensor{u8("a", 1, 2, 3), u8("b", 4, 5), u8("c", 6)}
	open := func() *Writer {
		t.Helper()
		w, err := Continue(path, plan, nil)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	put := func(w *Writer, list ...Tensor) {
		t.Helper()
		for _, x := range list {
			if err := w.Put(x.Name, x.Data); err != nil {
				t.Fatal(err)
			}
		}
	}
	w := open()
	put(w, plan[0], plan[1])
	w.Abort()
	w = open()
	if !w.Skip("a", Checksum(plan[0].Data)) || w.Skip("b", Checksum(plan[0].Data)) || w.Skip("c", Checksum(plan[2].Data)) || w.Skip("none", 0) {
		t.Error("need a taken as written, b (another sum) and c (not written) refused")
	}
	put(w, plan[1], plan[2])
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, x := range plan {
		if have, _ := s.Lookup(x.Name); string(have.Data) != string(x.Data) {
			t.Errorf("%s: have %v", x.Name, have.Data)
		}
	}
	w, err = Continue(path+"2", plan, nil)
	if err != nil {
		t.Fatal(err)
	}
	put(w, plan[0])
	w.Abort()
	w, err = Continue(path+"2", plan[:2], nil) // another plan: nothing of the first is taken
	if err != nil {
		t.Fatal(err)
	}
	if w.Skip("a", Checksum(plan[0].Data)) {
		t.Error("data of another plan are taken")
	}
	w.Abort()
}

// A file that is cut while it is mapped gives an error, where a plain access would end the process.
func TestReadOfCutFile(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a mapped file cannot be cut there")
	}
	path := filepath.Join(t.TempDir(), "x.safetensors")
	if err := Write(path, []Tensor{u8("a", make([]byte, 1<<20)...)}, nil); err != nil {
		t.Fatal(err)
	}
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	x, _ := s.Lookup("a")
	if data, err := s.Read(x, nil); err != nil || len(data) != 1<<20 {
		t.Fatalf("%d bytes, %v", len(data), err)
	}
	if err := os.Truncate(path, 4096); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(x, nil); err == nil || !strings.Contains(err.Error(), `tensor "a"`) {
		t.Errorf("have %v, want an error of the tensor", err)
	}
}
