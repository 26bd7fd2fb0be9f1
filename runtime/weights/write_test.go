package weights

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestWriteAndReadBack(t *testing.T) {
	tensors := []Tensor{
		u8("odd", 1, 2, 3),
		{Name: "f", DType: F32, Shape: []int{1, 2}, Data: []byte{0, 0, 128, 63, 0, 0, 0, 64}},
		{Name: "none", DType: BF16, Shape: []int{0}, Data: nil},
		{Name: "four", DType: F4, Shape: []int{4}, Data: []byte{1, 2}},
	}
	path := filepath.Join(t.TempDir(), "out.safetensors")
	if err := Write(path, tensors, map[string]string{"format": "pt"}); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := binary.LittleEndian.Uint64(raw); n%8 != 0 {
		t.Errorf("header of %d bytes is not a multiple of 8", n)
	}
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.Metadata()["format"] != "pt" || len(s.Names()) != len(tensors) {
		t.Errorf("have %v %v", s.Metadata(), s.Names())
	}
	for _, want := range tensors {
		got, _ := s.Lookup(want.Name)
		if got.DType != want.DType || !bytes.Equal(got.Data, want.Data) || got.Elements() != want.Elements() {
			t.Errorf("have %v, want %v", got, want)
		}
	}
}

func TestWriterRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out.safetensors")
	if err := os.WriteFile(path, []byte("older"), 0o644); err != nil {
		t.Fatal(err)
	}
	w, err := Create(path, []Tensor{u8("a", 1), u8("b", 2)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"unplanned": w.Put("c", []byte{1}), "size": w.Put("a", []byte{1, 2}), "first": w.Put("a", []byte{1}), "twice": w.Put("a", []byte{1}),
	} {
		var typed *Error
		if ok := errors.As(err, &typed); ok == (name == "first") {
			t.Errorf("%s: have %v", name, err)
		}
	}
	if err := w.Commit(); err == nil {
		t.Error("commits without b")
	}
	for name, plan := range map[string][]Tensor{
		"duplicate": {u8("a"), u8("a")}, "reserved": {u8("__metadata__")}, "half a byte": {{Name: "x", DType: F4, Shape: []int{1}}}, "no dtype": {{Name: "x"}},
	} {
		if err := Write(path, plan, nil); err == nil {
			t.Errorf("%s: written", name)
		}
	}
	if err := Write(filepath.Join(dir, "no", "where"), nil, nil); err == nil {
		t.Error("writes into a folder that is not there")
	}
	left, _ := os.ReadDir(dir)
	if raw, _ := os.ReadFile(path); len(left) != 1 || string(raw) != "older" {
		t.Errorf("left behind: %v, file is %q", left, raw)
	}
}
