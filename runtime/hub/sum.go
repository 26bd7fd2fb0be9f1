package hub

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"
)

// bigFile is from which size on a file's sum is remembered: about a hundredth of a second's work.
const bigFile = 4 << 20

// settled is how old a change of a file must be for its sum to be remembered: file systems tell times coarsely, and a
// second change could have the time of the first.
const settled = 3 * time.Second

// maxSums is how many sums are remembered; when there are more, all are forgotten.
const maxSums = 10000

// Sums gives the SHA-256 of files and remembers those of big ones by path, size and time of change, in a file of the
// user's cache folder. What cannot be remembered is computed again.
type Sums struct {
	path    string // "" for none
	known   map[string]sum
	changed bool
}

type sum struct {
	Size   int64
	Time   int64 // of the last change, nanoseconds
	SHA256 string
}

// OpenSums reads what is remembered.
func OpenSums() *Sums {
	s := &Sums{known: map[string]sum{}}
	if dir, err := os.UserCacheDir(); err == nil {
		s.path = filepath.Join(dir, "graphrun", "sha256.json")
		if raw, err := os.ReadFile(s.path); err != nil || json.Unmarshal(raw, &s.known) != nil || s.known == nil || len(s.known) > maxSums {
			s.known = map[string]sum{}
		}
	}
	return s
}

// Close writes what is new. That it cannot be written is no error: it is only slower next time.
func (s *Sums) Close() {
	if s.path == "" || !s.changed || os.MkdirAll(filepath.Dir(s.path), 0o777) != nil {
		return
	}
	_ = WriteFile(s.path, func(w io.Writer) error { return json.NewEncoder(w).Encode(s.known) })
	s.changed = false
}

// File is the SHA-256 of a file, in hex, and its size.
func (s *Sums) File(ctx context.Context, name string) (hexSum string, size int64, err error) {
	file, err := os.Open(name)
	if err != nil {
		return "", 0, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return "", 0, err
	}
	key, err := filepath.Abs(name)
	if real, e := filepath.EvalSymlinks(key); err == nil && e == nil {
		key = real
	}
	now := sum{Size: info.Size(), Time: info.ModTime().UnixNano()}
	if old, ok := s.known[key]; ok && old.Size == now.Size && old.Time == now.Time {
		return old.SHA256, old.Size, nil
	}
	began := time.Now()
	if now.SHA256, err = digest(ctx, file); err != nil {
		return "", 0, err
	}
	if now.Size >= bigFile && began.Sub(info.ModTime()) > settled {
		s.known[key], s.changed = now, true
	}
	return now.SHA256, now.Size, nil
}

// digest is the SHA-256 of what r has, in hex.
func digest(ctx context.Context, r io.Reader) (string, error) {
	h := sha256.New()
	for ctx.Err() == nil {
		if _, err := io.CopyN(h, r, 16<<20); err == io.EOF {
			return hex.EncodeToString(h.Sum(nil)), nil
		} else if err != nil {
			return "", err
		}
	}
	return "", ctx.Err()
}

// Content is a file of a model: its path below the model's folder, with slashes, and its sum.
type Content struct {
	Path, SHA256 string
	Size         int64
}

// Folder lists the files of a model folder, sorted, with their sums; those whose name begins with a dot are left out.
func (s *Sums) Folder(ctx context.Context, m Model) (files []Content, err error) {
	err = fs.WalkDir(m.FS, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name != "." && path.Base(name)[0] == '.' {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		info, err := fs.Stat(m.FS, name) // of what a link leads to, as in Hugging Face's cache
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		c := Content{Path: name}
		if m.Dir != "" {
			c.SHA256, c.Size, err = s.File(ctx, filepath.Join(m.Dir, filepath.FromSlash(name)))
		} else {
			var file fs.File
			if file, err = m.FS.Open(name); err == nil {
				c.SHA256, err = digest(ctx, file)
				c.Size = info.Size()
				file.Close()
			}
		}
		files = append(files, c)
		return err
	})
	return files, err
}
