// Package weights reads and writes checkpoints in the safetensors format: named tensors mapped from disk, in one file,
// in shards with an index, or in a folder. Nothing is copied to be loaded; every claim of a file about itself is checked
// before a byte of data is touched.
package weights

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Tensor is a named array: row-major, little-endian. Data is a part of the mapped file: it is read-only and valid until
// the store is closed.
type Tensor struct {
	Name  string
	DType DType
	Shape []int
	Data  []byte
}

// Elements is the product of the shape's sizes, 1 for a scalar.
func (t Tensor) Elements() int {
	n := 1
	for _, s := range t.Shape {
		n *= s
	}
	return n
}

// Store is a set of named tensors from one or many files. Reading it is safe from several goroutines.
type Store struct {
	tensors  map[string]Tensor
	metadata map[string]string
	files    []string
	maps     *mappings // shared with the stores made by Rename and Sub
}

// mappings are the open maps behind a store and its views.
type mappings struct {
	once   sync.Once
	unmaps []func() error
	mapped [][]byte // of files on disk
	err    error
}

func (m *mappings) close() error {
	m.once.Do(func() {
		for _, unmap := range m.unmaps {
			m.err = errors.Join(m.err, unmap())
		}
	})
	return m.err
}

// Of returns a store of tensors in memory; of two with the same name the last counts.
func Of(tensors ...Tensor) *Store {
	s := &Store{tensors: map[string]Tensor{}, metadata: map[string]string{}, maps: &mappings{}}
	for _, t := range tensors {
		s.tensors[t.Name] = t
	}
	return s
}

// opener maps a file by its name relative to the store's folder: its bytes, and how to let go of them, nil for bytes that
// are no map.
type opener func(name string) (data []byte, unmap func() error, err error)

// Open opens a checkpoint: a .safetensors file, an index (*.json with a weight_map), or a folder with either. In a
// folder an index goes before plain files, "model.safetensors" or "diffusion_pytorch_model.safetensors" before variants,
// and of variants "model.fp16.safetensors" before others.
func Open(path string) (*Store, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, &Error{File: path, Need: "a safetensors file, an index or a folder with them", Err: cause(err), Remedy: "check the path"}
	}
	dir, name := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	if info.IsDir() {
		dir, name = path, ""
	}
	return open(os.DirFS(dir), dir, name, func(name string) ([]byte, func() error, error) {
		return mapFile(filepath.Join(dir, filepath.FromSlash(name)))
	})
}

// OpenFS opens the checkpoint in folder dir of fsys, chosen as Open does. Files of an embed.FS are not copied; others
// are read into memory once.
func OpenFS(fsys fs.FS, dir string) (*Store, error) {
	sub, err := fs.Sub(fsys, dir)
	if err != nil {
		return nil, &Error{File: dir, Need: "a folder with safetensors files", Err: cause(err)}
	}
	return open(sub, dir, "", func(name string) ([]byte, func() error, error) {
		data, err := contents(sub, name)
		return data, nil, err
	})
}

// open reads the named file, or the checkpoint of the folder fsys if name is empty. shown is the folder's name in messages.
func open(fsys fs.FS, shown, name string, mapped opener) (*Store, error) {
	s := &Store{tensors: map[string]Tensor{}, metadata: map[string]string{}, maps: &mappings{}}
	if err := s.fill(fsys, shown, name, mapped); err != nil {
		s.maps.close()
		return nil, err
	}
	return s, nil
}

func (s *Store) fill(fsys fs.FS, shown, name string, mapped opener) (err error) {
	names := []string{name}
	if name == "" {
		if names, err = choose(fsys, shown); err != nil {
			return err
		}
	}
	if len(names) == 1 && strings.HasSuffix(names[0], ".json") {
		return s.addIndex(fsys, shown, names[0], mapped)
	}
	for _, n := range names {
		h, err := s.read(shown, n, mapped)
		if err != nil {
			return err
		}
		for _, t := range h.tensors {
			if _, twice := s.tensors[t.Name]; twice {
				return &Error{
					File: filepath.Join(shown, n), Tensor: t.Name, Need: "each tensor in one file", Have: "it in several of the folder " + shown,
					Remedy: "name the file to use instead of the folder",
				}
			}
			s.tensors[t.Name] = t
		}
	}
	return nil
}

// choose returns the files of a checkpoint in a folder: one index, or safetensors files.
func choose(fsys fs.FS, shown string) ([]string, error) {
	list, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, &Error{File: shown, Need: "a folder with safetensors files", Err: cause(err), Remedy: "check the path"}
	}
	var main, plain, indexes, variants, pickles []string
	for _, e := range list {
		switch n := e.Name(); {
		case e.IsDir():
		case strings.HasSuffix(n, ".safetensors.index.json"):
			indexes = append(indexes, n)
		case strings.Contains(n, ".safetensors.index.") && strings.HasSuffix(n, ".json"): // diffusers' name of a variant's index
			variants = append(variants, n)
		case n == "model.safetensors", n == "diffusion_pytorch_model.safetensors":
			main = append(main, n)
		case strings.HasSuffix(n, ".safetensors"):
			plain = append(plain, n)
		case slices.Contains([]string{".bin", ".pt", ".pth", ".ckpt"}, filepath.Ext(n)):
			pickles = append(pickles, n)
		}
	}
	switch {
	case len(indexes) > 1:
		return nil, &Error{File: shown, Need: "one *.safetensors.index.json", Have: strings.Join(indexes, ", "), Remedy: "name the index to use instead of the folder"}
	case len(indexes) == 1:
		return indexes, nil
	case len(main) > 0:
		return main[:1], nil
	case len(variants) > 0:
		return []string{variant(variants)}, nil
	case len(plain) == 0 && len(pickles) > 0:
		return nil, &Error{
			File: shown, Need: "*.safetensors", Have: strings.Join(pickles, ", ") + ", which may hold code",
			Remedy: "download the safetensors files of the same repository, or convert these with save_pretrained(safe_serialization=True)",
		}
	case len(plain) == 0:
		return nil, &Error{File: shown, Need: "*.safetensors or *.safetensors.index.json", Have: "none in the folder", Remedy: "download the missing files, or check the path"}
	}
	if v := variant(plain); strings.HasSuffix(v, "16.safetensors") && len(strings.Split(v, ".")) == 3 {
		return []string{v}, nil // NAME.fp16.safetensors, beside NAME.non_ema.safetensors perhaps
	}
	return plain, nil
}

// variant is the file of half precision among variants, or else the first.
func variant(names []string) string {
	for _, v := range []string{"fp16", "bf16"} {
		for _, n := range names {
			if slices.Contains(strings.Split(n, "."), v) {
				return n
			}
		}
	}
	return names[0]
}

// addIndex reads the shards that an index names, and takes each tensor from the shard it says.
func (s *Store) addIndex(fsys fs.FS, shown, name string, mapped opener) error {
	file := filepath.Join(shown, name)
	text, err := fs.ReadFile(fsys, name)
	if err != nil {
		return &Error{File: file, Need: "an index", Err: cause(err)}
	}
	var index struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(text, &index); err != nil || len(index.WeightMap) == 0 {
		return &Error{File: file, Need: `JSON with a "weight_map" of tensor names to file names`, Err: err, Remedy: fetchAgain}
	}
	shards := map[string]map[string]Tensor{}
	for _, shard := range slices.Sorted(maps.Values(index.WeightMap)) {
		if shards[shard] != nil {
			continue
		}
		if !fs.ValidPath(shard) || !filepath.IsLocal(filepath.FromSlash(shard)) || !strings.HasSuffix(shard, ".safetensors") {
			return &Error{File: file, Need: "safetensors files beside the index", Have: fmt.Sprintf("%q", clip(shard)), Remedy: fetchAgain}
		}
		h, err := s.read(shown, shard, mapped)
		if errors.Is(err, fs.ErrNotExist) {
			return &Error{File: file, Need: "the file " + shard + " beside it", Have: "no such file", Err: fs.ErrNotExist, Remedy: "download the missing shard"}
		} else if err != nil {
			return err
		}
		tensors := make(map[string]Tensor, len(h.tensors))
		for _, t := range h.tensors {
			tensors[t.Name] = t
		}
		shards[shard] = tensors
	}
	for tensor, shard := range index.WeightMap {
		t, ok := shards[shard][tensor]
		if !ok {
			return &Error{File: file, Tensor: tensor, Need: "it in " + shard, Have: "a shard without it", Remedy: "download index and shards from the same place again"}
		}
		s.tensors[tensor] = t
	}
	return nil
}

// read maps and parses one file, and notes it in the store.
func (s *Store) read(shown, name string, mapped opener) (*header, error) {
	file := filepath.Join(shown, name)
	data, unmap, err := mapped(name)
	if err != nil {
		return nil, &Error{File: file, Need: "a readable safetensors file", Err: cause(err)}
	}
	if unmap != nil {
		s.maps.unmaps = append(s.maps.unmaps, unmap)
		s.maps.mapped = append(s.maps.mapped, data)
	}
	s.files = append(s.files, file)
	h, err := parse(file, data)
	if err != nil {
		return nil, err
	}
	for k, v := range h.metadata {
		if _, ok := s.metadata[k]; !ok {
			s.metadata[k] = v
		}
	}
	return h, nil
}

// cause strips the path that an Error names already.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// Lookup finds a tensor by its name.
func (s *Store) Lookup(name string) (Tensor, bool) {
	t, ok := s.tensors[name]
	return t, ok
}

// Dim is the size of a tensor along an axis, 0 if there is no such tensor or axis: families are told by their shapes.
func (s *Store) Dim(name string, axis int) int {
	if t := s.tensors[name]; axis < len(t.Shape) {
		return t.Shape[axis]
	}
	return 0
}

// Names lists the tensors in alphabetical order.
func (s *Store) Names() []string { return slices.Sorted(maps.Keys(s.tensors)) }

// Metadata is the files' own notes ("format": "pt"); of several files' the first wins.
func (s *Store) Metadata() map[string]string { return s.metadata }

// Files lists the files behind the store.
func (s *Store) Files() []string { return s.files }

// Bytes is the size of all tensors.
func (s *Store) Bytes() int64 {
	n := int64(0)
	for _, t := range s.tensors {
		n += int64(len(t.Data))
	}
	return n
}

// Close lets go of the files; every Tensor of the store, and every view of it, becomes invalid. Calling it again does nothing.
func (s *Store) Close() error { return s.maps.close() }

// Rename returns a view of the store under other names: f gives each tensor's new name, "" to leave it out. Of two
// tensors that get the same name the alphabetically first wins.
func (s *Store) Rename(f func(name string) string) *Store {
	view := &Store{tensors: make(map[string]Tensor, len(s.tensors)), metadata: s.metadata, files: s.files, maps: s.maps}
	for _, name := range s.Names() {
		to := f(name)
		if _, taken := view.tensors[to]; to == "" || taken {
			continue
		}
		t := s.tensors[name]
		t.Name = to
		view.tensors[to] = t
	}
	return view
}

// Part is a run of rows of a tensor under a name of its own.
type Part struct {
	Name string
	Rows int
}

// Split returns a view of the store in which f cuts each tensor along its first axis into parts, in order. A tensor whose
// parts do not add up keeps its name and its rows.
func (s *Store) Split(f func(t Tensor) []Part) *Store {
	view := &Store{tensors: make(map[string]Tensor, len(s.tensors)), metadata: s.metadata, files: s.files, maps: s.maps}
	for _, name := range s.Names() {
		t := s.tensors[name]
		rows, whole := 0, true
		parts := f(t)
		for _, p := range parts {
			whole = whole && p.Rows > 0 && p.Rows <= math.MaxInt32
			rows += p.Rows
		}
		if !whole || rows == 0 || len(t.Shape) == 0 || rows != t.Shape[0] || len(t.Data)%rows != 0 {
			view.tensors[name] = t
			continue
		}
		size, at := len(t.Data)/rows, 0
		for _, p := range parts {
			part := t
			part.Name, part.Data = p.Name, t.Data[at*size:(at+p.Rows)*size:(at+p.Rows)*size]
			part.Shape = append([]int{p.Rows}, t.Shape[1:]...)
			view.tensors[p.Name] = part
			at += p.Rows
		}
	}
	return view
}

// Sub returns a view of the tensors whose names start with prefix, without it.
func (s *Store) Sub(prefix string) *Store {
	return s.Rename(func(name string) string {
		rest, ok := strings.CutPrefix(name, prefix)
		if !ok {
			return ""
		}
		return rest
	})
}
