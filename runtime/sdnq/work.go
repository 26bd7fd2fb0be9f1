package sdnq

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"graphrun/runtime/weights"
)

// work is the folder beside the target that a job writes into: what will be the target in "model", what dynamic quantization
// has chosen in "chosen", a manifest of what the job is, and a journal of what is done. A later try of the same job reads
// the journal and goes on.
type work struct {
	dir     string
	lock    *os.File
	journal *os.File
	done    map[string]record // by component and tensor of the source
}

// record is a line of the journal: a tensor of the source that is written.
type record struct {
	Component, Name string
	Sums            map[string]uint32 // checksums of what it became, by name
	Layer           *LayerReport      `json:",omitempty"`
}

func (r record) key() string { return r.Component + "\x00" + r.Name }

// identity tells a version of a file from others.
type identity struct {
	Name  string
	Size  int64
	Mtime int64 // nanoseconds since 1970
}

func (i identity) String() string {
	return fmt.Sprintf("%d bytes of %s", i.Size, time.Unix(0, i.Mtime).UTC().Format("2006-01-02 15:04:05.000000"))
}

func identify(file string) (identity, error) {
	info, err := os.Stat(file)
	if err != nil {
		return identity{}, &weights.Error{File: file, Need: "a readable file", Err: err, Remedy: "check the path"}
	}
	return identity{file, info.Size(), info.ModTime().UnixNano()}, nil
}

func identities(files ...string) (list []identity, err error) {
	for _, f := range files {
		id, err := identify(f)
		if err != nil {
			return nil, err
		}
		list = append(list, id)
	}
	return list, nil
}

// manifest is what a try must have in common with the one it goes on from.
type manifest struct {
	Form       int
	Source     string
	Files      []identity
	Settings   *Config
	Components []string
	MaxShard   int64
	Alone      bool
}

// manifestForm changes when the work folder's contents change their meaning.
const manifestForm = 1

func (q *quantizer) manifest() manifest {
	m := manifest{Form: manifestForm, Source: truePath(q.job.Source), Settings: q.job.Config, MaxShard: q.shard, Alone: q.job.Alone}
	for _, c := range q.components {
		m.Components, m.Files = append(m.Components, c.folder), append(m.Files, c.files...)
	}
	if q.file {
		m.Components = q.job.Components
	}
	return m
}

// enter makes the work folder, or goes on in that of an earlier try.
func (q *quantizer) enter() (err error) {
	dst := filepath.Clean(q.job.Target)
	q.work = &work{dir: filepath.Join(filepath.Dir(dst), "."+filepath.Base(dst)+".part"), done: map[string]record{}}
	text, err := json.MarshalIndent(q.manifest(), "", "  ")
	if err != nil {
		return err
	}
	if _, err := os.Lstat(q.work.dir); err == nil {
		if err := q.work.hold(); err != nil {
			return err
		}
		if err := q.again(text); err == nil {
			return nil
		} else if !q.job.Overwrite {
			q.work.close()
			return err
		}
		q.work.close()
		if err := os.RemoveAll(q.work.dir); err != nil {
			return err
		}
	}
	if err := os.Mkdir(q.work.dir, 0o755); err != nil {
		return &weights.Error{File: dst, Need: "a folder to write to", Err: err, Remedy: "make the folder above it, or allow writing to it"}
	}
	err = errors.Join(q.work.hold(), os.MkdirAll(q.work.model(), 0o755), os.WriteFile(q.work.file("manifest.json"), text, 0o644))
	if err == nil {
		err = q.work.openJournal()
	}
	if err != nil {
		q.work.close()
		os.RemoveAll(q.work.dir)
	}
	return err
}

// again reads what an earlier try left; its error says why it is of no use.
func (q *quantizer) again(manifest []byte) error {
	bad := func(need, have string) error {
		return &weights.Error{File: q.work.dir, Need: need, Have: have, Remedy: "overwrite to start anew, or remove the folder"}
	}
	if !q.job.Resume {
		return bad("no unfinished try of the same target", "one: resume it")
	}
	text, err := os.ReadFile(q.work.file("manifest.json"))
	if err != nil {
		return bad("an unfinished try with its manifest", err.Error())
	}
	if need, have, differ := difference(text, manifest); differ {
		return bad("a try of the same source and settings: "+need, have)
	}
	if err := q.work.readJournal(); err != nil {
		return err
	}
	return errors.Join(os.MkdirAll(q.work.model(), 0o755), q.work.openJournal())
}

// difference names the first line that differs between two manifests.
func difference(old, now []byte) (need, have string, differ bool) {
	a, b := bytes.Split(old, []byte("\n")), bytes.Split(now, []byte("\n"))
	for i := range max(len(a), len(b)) {
		var x, y string
		if i < len(a) {
			x = strings.TrimSpace(string(a[i]))
		}
		if i < len(b) {
			y = strings.TrimSpace(string(b[i]))
		}
		if x != y {
			return fmt.Sprintf("%.200s", x), fmt.Sprintf("%.200s", y), true
		}
	}
	return "", "", false
}

func (w *work) file(name string) string { return filepath.Join(w.dir, name) }

// model is the folder that becomes the target, or holds the file that does.
func (w *work) model() string { return w.file("model") }

// hold keeps other processes out of the folder for as long as this one lives.
func (w *work) hold() (err error) {
	if w.lock, err = os.OpenFile(w.file("lock"), os.O_RDWR|os.O_CREATE, 0o644); err != nil {
		return err
	}
	if !lockFile(w.lock) {
		w.lock.Close()
		w.lock = nil
		return &weights.Error{File: w.dir, Need: "a target that nobody else writes", Have: "another process at it", Remedy: "wait for it, or choose another name"}
	}
	return nil
}

func (w *work) close() {
	for _, f := range []*os.File{w.journal, w.lock} {
		if f != nil {
			f.Close()
		}
	}
	w.journal, w.lock = nil, nil
}

func (w *work) openJournal() (err error) {
	w.journal, err = os.OpenFile(w.file("journal.jsonl"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	return err
}

// readJournal reads the lines that are whole, and drops what a process that was killed wrote of the last.
func (w *work) readJournal() error {
	text, err := os.ReadFile(w.file("journal.jsonl"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	good := 0
	for lines := bufio.NewReader(bytes.NewReader(text)); ; {
		line, err := lines.ReadBytes('\n')
		var r record
		if err != nil || json.Unmarshal(line, &r) != nil {
			break
		}
		w.done[r.key()] = r
		good += len(line)
	}
	return os.Truncate(w.file("journal.jsonl"), int64(good))
}

// note writes a line of the journal.
func (w *work) note(r record) error {
	line, err := json.Marshal(r)
	if err == nil {
		_, err = w.journal.Write(append(line, '\n'))
	}
	if err != nil {
		return &weights.Error{File: w.file("journal.jsonl"), Need: "to write it", Err: err, Remedy: "free disk space"}
	}
	return nil
}
