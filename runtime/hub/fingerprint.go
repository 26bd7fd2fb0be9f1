package hub

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Fingerprint tells whether a model's files are the same as at another time: it changes with their names, sizes and
// times of change. It reads no file's contents and nothing from the network: a model that is not on this machine is an
// error.
func Fingerprint(f *Folders, model string) (string, error) {
	if model == Demo {
		return Demo, nil // as old as the program
	}
	if f == nil {
		f = &Folders{}
	}
	for _, dir := range f.candidates(model) {
		if _, err := os.Stat(dir); err == nil {
			return FileFingerprint(dir)
		}
	}
	if isRepo(model) {
		if dir, ok := newHuggingFace().cached(model); ok {
			return FileFingerprint(dir)
		}
	}
	return "", &NotFoundError{What: "model", Name: model, Searched: f.candidates(model)}
}

// maxFingerprint bounds how many files of a folder are looked at.
const maxFingerprint = 10000

var errManyFiles = errors.New("too many files for a model")

// FileFingerprint is that of one file, or of a folder with all below it. Links count as what they lead to.
func FileFingerprint(path string) (string, error) {
	sum := sha256.New()
	files := 0
	err := filepath.WalkDir(path, func(at string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if err == nil && at != path && strings.HasPrefix(d.Name(), ".") {
				return fs.SkipDir
			}
			return err
		}
		info, err := os.Stat(at)
		if err != nil {
			return err
		}
		if files++; files > maxFingerprint {
			return errManyFiles
		}
		fmt.Fprintf(sum, "%q %d %d\n", at, info.Size(), info.ModTime().UnixNano())
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("model files of %s: %w", path, err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
