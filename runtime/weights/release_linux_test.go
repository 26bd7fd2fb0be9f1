package weights

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Giving back a tensor's pages takes those alone, and their content is still the file's.
func TestReleaseData(t *testing.T) {
	page := os.Getpagesize()
	a, b := bytes.Repeat([]byte{1}, 20*page), bytes.Repeat([]byte{2}, 20*page)
	path := filepath.Join(t.TempDir(), "a.safetensors")
	if err := Write(path, []Tensor{{Name: "a", DType: U8, Shape: []int{len(a)}, Data: a}, {Name: "b", DType: U8, Shape: []int{len(b)}, Data: b}}, nil); err != nil {
		t.Fatal(err)
	}
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	x, _ := s.Lookup("a")
	y, _ := s.Lookup("b")
	check := func() {
		t.Helper()
		if !bytes.Equal(x.Data, a) || !bytes.Equal(y.Data, b) {
			t.Fatal("content changed")
		}
	}
	check()
	before := mappedPages(t, s)
	s.Sub("").ReleaseData(x.Data)
	if after := mappedPages(t, s); before-after < 16 || after < 20 { // the system may have mapped large folios anew
		t.Errorf("%d pages of the file were mapped, %d are", before, after)
	}
	check()
	s.ReleaseData(append([]byte(nil), x.Data...)) // memory of the program
	s.ReleaseData(x.Data[5:9])
	s.ReleaseData(nil)
	Of(x).ReleaseData(x.Data)
	check()
}

// mappedPages counts the pages of the file that this process has mapped and not given back.
func mappedPages(t *testing.T, s *Store) (n int) {
	t.Helper()
	m := s.maps.mapped[0]
	f, err := os.Open("/proc/self/pagemap")
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	page := unix.Getpagesize()
	entry := make([]byte, 8*((len(m)+page-1)/page))
	if _, err := f.ReadAt(entry, int64(uintptr(unsafe.Pointer(&m[0])))/int64(page)*8); err != nil {
		t.Skip(err)
	}
	for i := 7; i < len(entry); i += 8 {
		n += int(entry[i] >> 7) // present, proc_pid_pagemap(5)
	}
	return n
}
