package queue

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
)

// inRow is how many bytes of a prompt and what came with it a row takes: SQLite writes a row page by page, and whole
// with every change of it.
const inRow = 256 << 10

// texts are the prompts that are too large for their rows. Each is a file, named by the row's number, with the prompt
// and then the extra data; the row has a mark instead. The file is there before the row and goes after it, so one
// without a row is of no use.
type texts struct {
	dir  string // "" keeps everything in rows
	sync bool
	of   map[string]int64 // rows that have a file, by id

	mu    sync.Mutex
	spare int // bytes of the file that the next text is written over, 0 if there is none
}

// spareName is the name of the file that expect makes, mostSpare how many bytes it has at most.
const (
	spareName = "spare"
	mostSpare = 64 << 20
)

// open finds the files that were left, and which of them have a row: id gives its id.
func (t *texts) open(id func(seq int64) (string, error)) error {
	t.of = map[string]int64{}
	if t.dir == "" {
		return nil
	}
	files, err := os.ReadDir(t.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, f := range files {
		seq, err := strconv.ParseInt(f.Name(), 10, 64)
		if err != nil {
			continue // the spare one, or not ours
		}
		id, err := id(seq)
		if err != nil {
			return err
		}
		if t.of[id] = seq; id == "" {
			t.remove("")
		}
	}
	os.Remove(t.path(spareName))
	return nil
}

func (t *texts) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.spare > 0 {
		os.Remove(t.path(spareName))
	}
	t.dir = ""
}

func (t *texts) path(name string) string { return filepath.Join(t.dir, name) }

func (t *texts) name(seq int64) string { return t.path(strconv.FormatInt(seq, 10)) }

// expect makes room for a text that is still under way: most of the time that a file takes goes into finding memory for it.
func (t *texts) expect(size int) {
	size = min(size, mostSpare)
	if size <= inRow {
		return
	}
	go func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.dir == "" || t.spare >= size || os.MkdirAll(t.dir, 0o777) != nil {
			return
		}
		f, err := os.OpenFile(t.path(spareName), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o666)
		if err != nil {
			return // who writes the text will say why
		}
		defer f.Close()
		zeros := make([]byte, 256<<10)
		for t.spare < size && err == nil {
			var n int
			n, err = f.Write(zeros[:min(len(zeros), size-t.spare)])
			t.spare += n
		}
	}()
}

// takes reports whether the item is to have a file.
func (t *texts) takes(it Item) bool { return t.dir != "" && len(it.Prompt)+len(it.Extra) > inRow }

// put writes the item's file and returns what its row has.
func (t *texts) put(seq int64, it Item) (mark string, err error) {
	if err := os.MkdirAll(t.dir, 0o777); err != nil {
		return "", err
	}
	t.mu.Lock()
	if t.spare > 0 {
		os.Rename(t.path(spareName), t.name(seq)) // or a new file is made
		t.spare = 0
	}
	t.mu.Unlock()
	f, err := os.OpenFile(t.name(seq), os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		return "", err
	}
	_, err = f.Write(it.Prompt)
	if err == nil {
		_, err = f.Write(it.Extra)
	}
	if err == nil {
		err = f.Truncate(int64(len(it.Prompt) + len(it.Extra)))
	}
	if err == nil && t.sync {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil && t.sync {
		err = errors.Join(syncDir(t.dir), syncDir(filepath.Dir(t.dir)))
	}
	if err != nil {
		os.Remove(f.Name())
		return "", err
	}
	return marked(it.Prompt, it.Extra), nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// marked is the mark of texts: their lengths and their sum. No prompt looks like it.
func marked(prompt, extra []byte) string {
	sum := crc32.Update(crc32.Checksum(prompt, castagnoli), castagnoli, extra)
	return fmt.Sprintf("%d %d %08x", len(prompt), len(extra), sum)
}

// syncDir flushes the names in a folder; Windows does so by itself.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// get gives the texts of a row. Those that a loss of power took are empty objects: the prompt fails when it runs.
func (t *texts) get(seq int64, prompt, extra []byte) (p, e json.RawMessage) {
	var n, m int
	if len(prompt) == 0 || prompt[0] == '{' {
		return prompt, extra
	}
	if _, err := fmt.Sscanf(string(prompt), "%d %d", &n, &m); err != nil {
		return prompt, extra
	}
	data, err := os.ReadFile(t.name(seq))
	if err != nil || n < 0 || m < 0 || len(data) != n+m || marked(data[:n], data[n:]) != string(prompt) {
		return json.RawMessage("{}"), json.RawMessage("{}")
	}
	return data[:n:n], data[n:]
}

// remove takes the files of rows that are gone.
func (t *texts) remove(ids ...string) {
	for _, id := range ids {
		if seq, ok := t.of[id]; ok {
			os.Remove(t.name(seq)) // one that stays goes at the next start
			delete(t.of, id)
		}
	}
}
