package weights

import (
	"path/filepath"
	"testing"
)

// Released weights are read again as they were.
func TestRelease(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.safetensors")
	want := []byte{1, 2, 3, 4}
	if err := Write(path, []Tensor{{Name: "x", DType: U8, Shape: []int{4}, Data: want}}, nil); err != nil {
		t.Fatal(err)
	}
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for range 2 {
		if x, _ := s.Lookup("x"); string(x.Data) != string(want) {
			t.Errorf("have %v, want %v", x.Data, want)
		}
		s.Release()
	}
}
