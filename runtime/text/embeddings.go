package text

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"

	"graphrun/runtime/weights"
)

// EmbeddingFolders looks embeddings up in folders and the folders below them. Only safetensors files are read.
func EmbeddingFolders(dirs ...string) Embeddings { return embeddingFolders(dirs) }

type embeddingFolders []string

// Embedding implements Embeddings: name as given, or with .safetensors, .pt or .bin behind it. The tensor is the one
// called key, or else the first.
func (dirs embeddingFolders) Embedding(name, key string) ([][]float32, bool, error) {
	file, ok := dirs.find(name)
	if !ok {
		return nil, false, nil
	}
	if ext := filepath.Ext(file); ext != ".safetensors" {
		return nil, false, fmt.Errorf("%s: need a .safetensors file, have %q, which may hold code: convert it to safetensors", file, ext)
	}
	store, err := weights.Open(file)
	if err != nil {
		return nil, false, err
	}
	defer store.Close()
	tensor, ok := store.Lookup(key)
	if names := store.Names(); !ok && len(names) > 0 {
		tensor, ok = store.Lookup(names[0])
	}
	if !ok {
		return nil, false, fmt.Errorf("%s: need a tensor, have none: the file is no embedding", file)
	}
	shape := tensor.Shape
	if len(shape) == 1 {
		shape = []int{1, shape[0]}
	}
	if len(shape) != 2 || shape[1] == 0 {
		return nil, false, fmt.Errorf("%s: %s: need shape [rows, width], have %v: the file is no embedding", file, tensor.Name, tensor.Shape)
	}
	shared, err := tensor.Float32()
	if err != nil {
		return nil, false, err
	}
	data := append([]float32(nil), shared...) // the file is unmapped on return
	rows := make([][]float32, shape[0])
	for i := range rows {
		rows[i] = data[i*shape[1] : (i+1)*shape[1]]
	}
	return rows, true, nil
}

// find returns the file of an embedding; a name that leads out of its folder finds nothing.
func (dirs embeddingFolders) find(name string) (string, bool) {
	name = filepath.FromSlash(name)
	if !filepath.IsLocal(name) {
		return "", false
	}
	for _, root := range dirs {
		for _, dir := range below(root) {
			for _, ext := range []string{"", ".safetensors", ".pt", ".bin"} {
				file := filepath.Join(dir, name+ext)
				if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
					return file, true
				}
			}
		}
	}
	return "", false
}

// below lists dir and the folders in it, sorted, dir first.
func below(dir string) []string {
	var list []string
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			list = append(list, path)
		}
		return nil // a folder that cannot be read has no embeddings
	})
	sort.Strings(list)
	return list
}
