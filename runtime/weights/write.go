package weights

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// Write writes a safetensors file. It appears under its name only when it is whole and on the disk; on an error
// nothing is left.
func Write(path string, tensors []Tensor, metadata map[string]string) error {
	w, err := Create(path, tensors, metadata)
	if err != nil {
		return err
	}
	defer w.Abort()
	for _, t := range tensors {
		if err := w.Put(t.Name, t.Data); err != nil {
			return err
		}
	}
	return w.Commit()
}

// Encode writes a safetensors file of the tensors, data included, to w.
func Encode(w io.Writer, tensors []Tensor, metadata map[string]string) error {
	head, places, _, err := layout("", tensors, metadata)
	if err != nil {
		return err
	}
	inOrder := slices.SortedFunc(slices.Values(tensors), func(a, b Tensor) int { return cmp.Compare(places[a.Name].offset, places[b.Name].offset) })
	if _, err := w.Write(head); err != nil {
		return err
	}
	for _, t := range inOrder {
		if size := places[t.Name].size; int64(len(t.Data)) != size {
			return &Error{Tensor: t.Name, Need: fmt.Sprintf("%d bytes", size), Have: fmt.Sprint(len(t.Data))}
		}
		if _, err := w.Write(t.Data); err != nil {
			return err
		}
	}
	return nil
}

// Writer writes a safetensors file whose tensors are known beforehand by name, dtype and shape, and whose data arrive
// one by one, in any order: a checkpoint need not fit in memory to be written.
type Writer struct {
	path    string
	file    *os.File // nil when done
	places  map[string]place
	pending map[string]bool
	keep    bool // what is written stays when the writer is given up
}

type place struct{ offset, size int64 }

// Create starts a file beside path with a header for the tensors of plan, whose Data are ignored. Abort or Commit must follow.
func Create(path string, plan []Tensor, metadata map[string]string) (*Writer, error) {
	head, places, total, err := layout(path, plan, metadata)
	if err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.part")
	if err != nil {
		return nil, &Error{File: path, Need: "a folder to write to", Err: cause(err), Remedy: "make the folder, or allow writing to it"}
	}
	return start(path, f, head, places, total)
}

// Continue is Create for a file that may be written in several tries: what Abort leaves beside path another Continue of the
// same plan takes up. Which data are there already is the caller's to know: Skip says so.
func Continue(path string, plan []Tensor, metadata map[string]string) (*Writer, error) {
	head, places, total, err := layout(path, plan, metadata)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path+".part", os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, &Error{File: path, Need: "a folder to write to", Err: cause(err), Remedy: "make the folder, or allow writing to it"}
	}
	if info, err := f.Stat(); err == nil && info.Size() == total { // of another plan nothing is worth keeping
		have := make([]byte, len(head))
		if _, err := f.ReadAt(have, 0); err == nil && bytes.Equal(have, head) {
			w := newWriter(path, f, places)
			w.keep = true
			return w, nil
		}
	}
	w, err := start(path, f, head, places, total)
	if err == nil {
		w.keep = true
	}
	return w, err
}

func newWriter(path string, f *os.File, places map[string]place) *Writer {
	w := &Writer{path: path, file: f, places: places, pending: make(map[string]bool, len(places))}
	for name := range places {
		w.pending[name] = true
	}
	return w
}

// start writes the header and makes room for the data.
func start(path string, f *os.File, head []byte, places map[string]place, total int64) (*Writer, error) {
	w := newWriter(path, f, places)
	err := errors.Join(f.Truncate(0), f.Truncate(total))
	if err == nil {
		_, err = f.WriteAt(head, 0)
	}
	if err != nil {
		defer w.Abort()
		return nil, w.failed(err)
	}
	return w, nil
}

// layout plans a file: its first bytes (length and header, padded to eight bytes), where each tensor's data lie, and
// the file's size. Tensors lie by falling size of element, then by name, so that all are aligned.
func layout(path string, plan []Tensor, metadata map[string]string) (head []byte, places map[string]place, total int64, err error) {
	order := slices.Clone(plan)
	slices.SortFunc(order, func(a, b Tensor) int {
		return cmp.Or(cmp.Compare(b.DType.Bits(), a.DType.Bits()), cmp.Compare(a.Name, b.Name))
	})
	type info struct {
		DType   string   `json:"dtype"`
		Shape   []int    `json:"shape"`
		Offsets [2]int64 `json:"data_offsets"`
	}
	text := []byte{'{'}
	add := func(key string, value any) {
		if len(text) > 1 {
			text = append(text, ',')
		}
		k, _ := json.Marshal(key) // strings, numbers and maps of strings marshal always
		v, _ := json.Marshal(value)
		text = append(append(append(text, k...), ':'), v...)
	}
	if len(metadata) > 0 {
		add("__metadata__", maps.Clone(metadata))
	}
	places = make(map[string]place, len(order))
	for _, t := range order {
		if _, twice := places[t.Name]; twice || t.Name == "__metadata__" {
			return nil, nil, 0, &Error{File: path, Tensor: t.Name, Need: "a name of its own", Have: "a name that is taken"}
		}
		n := t.Elements() * t.DType.Bits()
		if n%8 != 0 || t.DType.Bits() == 0 || slices.ContainsFunc(t.Shape, func(s int) bool { return s < 0 }) {
			return nil, nil, 0, &Error{File: path, Tensor: t.Name, Need: "a dtype and shape of whole bytes", Have: fmt.Sprintf("%s of shape %v", t.DType, t.Shape)}
		}
		size := int64(n / 8)
		add(t.Name, info{t.DType.String(), append([]int{}, t.Shape...), [2]int64{total, total + size}})
		places[t.Name] = place{total, size}
		total += size
	}
	text = append(text, '}')
	for len(text)%8 != 0 {
		text = append(text, ' ')
	}
	if len(text) > maxHeader {
		return nil, nil, 0, &Error{File: path, Need: fmt.Sprintf("a header of at most %d bytes", maxHeader), Have: fmt.Sprint(len(text)), Remedy: "write several files"}
	}
	head = append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...)
	for name, p := range places {
		places[name] = place{p.offset + int64(len(head)), p.size}
	}
	return head, places, total + int64(len(head)), nil
}

// Put writes the data of one planned tensor; each is put once.
func (w *Writer) Put(name string, data []byte) error {
	p := w.places[name]
	if !w.pending[name] {
		return &Error{File: w.path, Tensor: name, Need: "a tensor of the plan, once", Have: "one that is not pending"}
	}
	if int64(len(data)) != p.size {
		return &Error{File: w.path, Tensor: name, Need: fmt.Sprintf("%d bytes", p.size), Have: fmt.Sprint(len(data))}
	}
	if _, err := w.file.WriteAt(data, p.offset); err != nil {
		return w.failed(err)
	}
	delete(w.pending, name)
	return nil
}

// Skip counts a planned tensor as put if what an earlier try left in its place has the checksum sum (see Checksum).
func (w *Writer) Skip(name string, sum uint32) bool {
	p := w.places[name]
	if !w.pending[name] {
		return false
	}
	h := crc32.New(castagnoli)
	if n, err := io.Copy(h, io.NewSectionReader(w.file, p.offset, p.size)); err != nil || n != p.size || h.Sum32() != sum {
		return false
	}
	delete(w.pending, name)
	return true
}

// castagnoli is the polynomial that processors have an instruction for.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Checksum is the CRC-32C of a tensor's data.
func Checksum(data []byte) uint32 { return crc32.Checksum(data, castagnoli) }

// Commit flushes the file to the disk and gives it its name.
func (w *Writer) Commit() error {
	defer w.Abort()
	if len(w.pending) > 0 {
		missing := slices.Sorted(maps.Keys(w.pending))
		return &Error{File: w.path, Tensor: missing[0], Need: "the data of every tensor", Have: fmt.Sprintf("%d without", len(missing))}
	}
	if err := w.file.Chmod(0o644); err != nil {
		return w.failed(err)
	}
	if err := w.file.Sync(); err != nil {
		return w.failed(err)
	}
	if err := w.file.Close(); err != nil {
		return w.failed(err)
	}
	if err := os.Rename(w.file.Name(), w.path); err != nil {
		return w.failed(err)
	}
	w.file = nil
	syncFolder(filepath.Dir(w.path))
	return nil
}

// Abort removes what was written, but for what a Continue may take up; after Commit it does nothing.
func (w *Writer) Abort() {
	if w.file != nil {
		w.file.Close()
		if !w.keep {
			os.Remove(w.file.Name())
		}
		w.file = nil
	}
}

func (w *Writer) failed(err error) error {
	return &Error{File: w.path, Need: "to write it whole", Err: cause(err), Remedy: "free disk space, or choose another folder"}
}

// syncFolder makes a rename last through a power cut where the system can; where it cannot, the file is still whole.
func syncFolder(dir string) {
	if f, err := os.Open(dir); err == nil {
		_ = f.Sync()
		f.Close()
	}
}
