// Package unfinished knows the files and folders that are being written beside their places, so that a process which
// ends in the middle can take them away.
package unfinished

import (
	"maps"
	"os"
	"slices"
	"sync"
)

var (
	mu    sync.Mutex
	paths = map[string]bool{}
)

// Add notes a file or folder as unfinished until done is called, once it is renamed to its place or removed.
func Add(path string) (done func()) {
	mu.Lock()
	defer mu.Unlock()
	paths[path] = true
	return func() {
		mu.Lock()
		defer mu.Unlock()
		delete(paths, path)
	}
}

// Remove takes away all that is unfinished. It is for the end of the process: who still writes gets errors.
func Remove() {
	mu.Lock()
	list := slices.Collect(maps.Keys(paths))
	mu.Unlock()
	for _, path := range list {
		for range 10 { // a folder may still be filled
			if os.RemoveAll(path) == nil {
				break
			}
		}
	}
}
