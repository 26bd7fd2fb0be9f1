package hub

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Fingerprint tells whether a model's files are the same as at another time: it changes with their names, sizes and
// times of change. It reads no file's contents and nothing from the network: a model that is not on this machine is an
// error.
func Fingerprint(f *Folders, model string) (string, error) {
	m, err := Local(f, model)
	switch {
	case err != nil:
		return "", err
	case m.Dir == "":
		return m.Name, nil // as old as the program
	}
	return FileFingerprint(m.Dir)
}

// maxFingerprint bounds how many files of a folder are looked at.
const maxFingerprint = 10000

var errManyFiles = errors.New("too many files for a model")

// FileFingerprint is that of one file, or of a folder with all below it but what is hidden. Links count as what they lead
// to.
func FileFingerprint(path string) (string, error) {
	sum := sha256.New()
	files, seen := 0, map[string]bool{}
	for stack := []string{path}; len(stack) > 0; {
		at := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		info, err := os.Stat(at)
		if files++; err == nil && files > maxFingerprint {
			err = errManyFiles
		}
		if err == nil && info.IsDir() {
			stack, err = appendFiles(stack, at, seen)
		}
		if err != nil {
			return "", fmt.Errorf("model files of %s: %w", path, err)
		}
		if !info.IsDir() {
			fmt.Fprintf(sum, "%q %d %d\n", at, info.Size(), info.ModTime().UnixNano())
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// appendFiles appends the paths in a folder that was not seen before: links may lead around.
func appendFiles(list []string, dir string, seen map[string]bool) ([]string, error) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil || seen[real] {
		return list, err
	}
	seen[real] = true
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			list = append(list, filepath.Join(dir, e.Name()))
		}
	}
	return list, err
}
