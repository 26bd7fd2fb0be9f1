package hub

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"graphrun/runtime/unfinished"
)

// Place is where a node saves a batch of files: <Dir>/<Name>_<Counter, five digits>_.png and so on.
type Place struct {
	Dir       string // the folder, which exists
	Subfolder string // Dir relative to the folder of its kind, "" for that itself
	Name      string // base name; may still hold %batch_num%
	Counter   int    // first free number, from 1
}

// SavePath finds the place for a file name prefix such as "a/b/name_%width%x%height%" (executor.md 9), in the output or
// temp folder, which it creates. width and height are the first picture's.
func (f *Folders) SavePath(k Kind, prefix string, width, height int) (Place, error) {
	dir, err := f.Dir(k)
	if err != nil {
		return Place{}, err
	}
	root, err := filepath.Abs(dir)
	if err != nil {
		return Place{}, writeError(dir, err)
	}
	prefix = filepath.Clean(filepath.FromSlash(f.expand(prefix, width, height)))
	p := Place{Name: filepath.Base(prefix), Subfolder: filepath.ToSlash(filepath.Dir(prefix))}
	if p.Subfolder == "." {
		p.Subfolder = ""
	}
	p.Dir = filepath.Join(root, filepath.FromSlash(p.Subfolder))
	if filepath.IsAbs(prefix) {
		p.Dir = filepath.Dir(prefix)
	}
	if rel, err := filepath.Rel(root, p.Dir); err != nil || !filepath.IsLocal(rel) || p.Name == ".." {
		return Place{}, &SaveOutsideError{Folder: p.Dir, Output: root}
	}
	if err := os.MkdirAll(p.Dir, 0o777); err != nil {
		return Place{}, writeError(p.Dir, err)
	}
	p.Counter, err = nextCounter(p.Dir, p.Name)
	return p, err
}

// expand replaces the server's tokens; the frontend's, %date:...% and %Node.widget%, are left alone.
func (f *Folders) expand(prefix string, width, height int) string {
	if !strings.Contains(prefix, "%") {
		return prefix
	}
	now := time.Now
	if f.now != nil {
		now = f.now
	}
	t := now()
	two := func(n int) string { return fmt.Sprintf("%02d", n) }
	for _, token := range [][2]string{
		{"%width%", strconv.Itoa(width)},
		{"%height%", strconv.Itoa(height)},
		{"%year%", strconv.Itoa(t.Year())},
		{"%month%", two(int(t.Month()))},
		{"%day%", two(t.Day())},
		{"%hour%", two(t.Hour())},
		{"%minute%", two(t.Minute())},
		{"%second%", two(t.Second())},
	} {
		prefix = strings.ReplaceAll(prefix, token[0], token[1])
	}
	return prefix
}

// batchToken stands for the number of a picture in its batch, which is written in its place when the picture is saved.
const batchToken = "%batch_num%"

// nextCounter is one more than the largest number of the files <name>_<number>_... and <name>_<number>.<suffix> in dir.
func nextCounter(dir, name string) (int, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, writeError(dir, err)
	}
	var batch *regexp.Regexp // the name and "_", where a token is any number
	if strings.Contains(name, batchToken) {
		form := strings.ReplaceAll(regexp.QuoteMeta(name), regexp.QuoteMeta(batchToken), `\d+`)
		if runtime.GOOS == "windows" {
			form = "(?i)" + form
		}
		if batch, err = regexp.Compile("^" + form + "_"); err != nil {
			return 0, fmt.Errorf("file name %q: %w", name, err)
		}
	}
	largest := 0
	for _, e := range entries {
		file := e.Name()
		n := len(name)
		if batch != nil {
			n = len(batch.FindString(file)) - 1
		}
		if n < 0 || len(file) <= n || file[n] != '_' || batch == nil && !sameName(file[:n], name) {
			continue
		}
		number, _, _ := strings.Cut(file[n+1:], ".")
		number, _, _ = strings.Cut(number, "_")
		if n, err := strconv.Atoi(number); err == nil && n < math.MaxInt32 { // a larger one is no counter: it leaves no room to count on
			largest = max(largest, n)
		}
	}
	return largest + 1, nil
}

// sameName compares as the file system does, which on Windows knows no case.
func sameName(a, b string) bool {
	return a == b || runtime.GOOS == "windows" && strings.EqualFold(a, b)
}

// Save writes the place's next file, whose plain name the function gives for its number: the first that is free from
// Counter on, which then is beyond it. Two who save under one prefix at once get numbers of their own. It returns the name;
// otherwise it is as WriteFile.
func (p *Place) Save(name func(counter int) string, write func(io.Writer) error) (file string, err error) {
	path, err := inside(p.Dir, name(p.Counter))
	if err != nil {
		return "", err
	}
	err = writeBeside(path, write, func(beside string) (err error) {
		for taken := true; taken; taken = errors.Is(err, fs.ErrExist) {
			file = name(p.Counter)
			p.Counter++
			err = moveNew(beside, filepath.Join(p.Dir, filepath.FromSlash(file)))
		}
		return err
	})
	return file, err
}

var moving sync.Mutex

// moveNew gives a file a path that is free, else it is fs.ErrExist. Where the file system has no links, only who saves in
// this process is kept from taking the same.
func moveNew(old, path string) error {
	moving.Lock()
	defer moving.Unlock()
	switch err := os.Link(old, path); {
	case err == nil:
		return os.Remove(old)
	case errors.Is(err, fs.ErrExist):
		return fs.ErrExist
	}
	if _, err := os.Lstat(path); err == nil {
		return fs.ErrExist
	}
	return os.Rename(old, path)
}

// WriteFile writes a file beside its place and renames it there when it is whole, so that nobody ever sees half of it.
// A failure to write is a *WriteError; an error of write itself is returned as it is. Either way nothing is left.
func WriteFile(path string, write func(io.Writer) error) error {
	return writeBeside(path, write, func(beside string) error { return os.Rename(beside, path) })
}

// writeBeside writes a file beside its place, where settle brings it when it is whole.
func writeBeside(path string, write func(io.Writer) error, settle func(beside string) error) (err error) {
	beside := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s.%d-%08x.tmp", filepath.Base(path), os.Getpid(), rand.Uint32()))
	file, err := os.OpenFile(beside, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return writeError(path, err)
	}
	done := unfinished.Add(beside)
	defer func() {
		if err != nil {
			file.Close()
			os.Remove(beside)
		}
		done()
	}()
	disk := &diskWriter{file: file}
	buffer := bufio.NewWriterSize(disk, 1<<16)
	if err := write(buffer); err != nil {
		if disk.err != nil {
			return writeError(path, disk.err)
		}
		return err
	}
	for _, step := range []func() error{buffer.Flush, file.Close, func() error { return settle(beside) }} {
		if err := step(); err != nil {
			return writeError(path, err)
		}
	}
	return nil
}

// diskWriter remembers the file's error, to tell it from the errors of what is written.
type diskWriter struct {
	file *os.File
	err  error
}

func (w *diskWriter) Write(p []byte) (int, error) {
	n, err := w.file.Write(p)
	if err != nil {
		w.err = err
	}
	return n, err
}

// SaveOutsideError is a file name prefix that leads out of the output folder. Its text begins as ComfyUI's.
type SaveOutsideError struct{ Folder, Output string }

func (e *SaveOutsideError) Error() string {
	return e.text() + "\n" + insideHint
}

const insideHint = "use a prefix without .. and without a leading /"

// Explain takes the error apart.
func (e *SaveOutsideError) Explain() (what, need, have, hint string) {
	return e.text(), "a folder inside " + e.Output, e.Folder, insideHint
}

func (e *SaveOutsideError) text() string {
	return fmt.Sprintf("**** ERROR: Saving image outside the output folder is not allowed.\n full_output_folder: %s\n         output_dir: %s\n         commonpath: %s",
		e.Folder, e.Output, commonPath(e.Folder, e.Output))
}

// commonPath is the longest folder that both absolute paths lie in.
func commonPath(a, b string) string {
	for {
		if rel, err := filepath.Rel(a, b); err == nil && filepath.IsLocal(rel) {
			return a
		}
		up := filepath.Dir(a)
		if up == a {
			return a
		}
		a = up
	}
}

// WriteError is a file or folder that cannot be written.
type WriteError struct {
	Path, Hint string
	Err        error
}

func (e *WriteError) Error() string {
	return fmt.Sprintf("cannot write %s: %v: %s", e.Path, e.Err, e.Hint)
}

func (e *WriteError) Unwrap() error { return e.Err }

// Explain takes the error apart.
func (e *WriteError) Explain() (what, need, have, hint string) {
	return "cannot write " + e.Path, "a folder that can be written", e.Err.Error(), e.Hint
}

func writeError(path string, err error) error {
	hint := "check the path, or choose another folder with --output"
	switch {
	case errors.Is(err, syscall.ENOSPC), runtime.GOOS == "windows" && errors.Is(err, syscall.Errno(112)): // ERROR_DISK_FULL
		hint = "the disk is full: free some space, or choose a folder on another disk with --output"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		hint = "the folder may not be written: change its permissions, or choose another with --output"
	case errors.Is(err, syscall.ENAMETOOLONG):
		hint = "shorten the file name prefix"
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrExist):
		hint = "a file is where a folder is needed: rename it, or choose another folder with --output"
	}
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err // the path is said already
	}
	return &WriteError{Path: path, Hint: hint, Err: err}
}
