package graph

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// DiskCache keeps results in a folder, so that they survive a restart: those whose outputs are all of types that Persist
// knows or JSON's, that show nothing, and that took longer to compute than to read. Each is a file with a checksum,
// written beside its place and renamed; a file that is not what its header says is removed and the node runs again.
// Several processes may share a folder.
type DiskCache struct {
	c DiskConfig

	writer sync.Mutex // one entry is encoded and written at a time

	mu   sync.Mutex
	held int64 // bytes of entries, as far as this process knows
}

// DiskConfig describes a DiskCache.
type DiskConfig struct {
	Dir string
	// Bytes is how much the entries may take: beyond it those go that were used longest ago. 0: 8 GiB.
	Bytes int64
	// Salt is all that decides results beside the prompt and the nodes' fingerprints: the version of the program, how it
	// computes. Entries of another salt are not found.
	Salt string
	// LeastTime is what a node has to take for its result to be written; 0: 5 ms, and what reading it will take.
	LeastTime time.Duration
	// Unfinished, if not nil, is told of a file that is being written, and gives what is to be called once it is done.
	Unfinished func(path string) (done func())
}

const (
	entrySuffix = ".result"
	partSuffix  = ".part"
	diskSpeed   = 400e6 // bytes a second, to tell what is faster read than computed
	headerBytes = 8 + sha256.Size + 8 + sha256.Size
)

// magic begins every entry; its last byte is the version of the form.
var magic = [8]byte{'g', 'r', 'r', 'e', 's', 'u', 'l', 1}

// OpenDiskCache opens the folder, which is made if it is not there, and removes what writers that crashed left.
func OpenDiskCache(c DiskConfig) (*DiskCache, error) {
	if c.Bytes == 0 {
		c.Bytes = 8 << 30
	}
	if c.LeastTime == 0 {
		c.LeastTime = 5 * time.Millisecond
	}
	if c.Unfinished == nil {
		c.Unfinished = func(string) func() { return func() {} }
	}
	if err := os.MkdirAll(c.Dir, 0o777); err != nil {
		return nil, &Error{Kind: KindBadSet, Err: err, Need: "a folder for the cache", Have: c.Dir, Hint: "name one that can be written to"}
	}
	d := &DiskCache{c: c}
	parts, _ := filepath.Glob(filepath.Join(c.Dir, "*"+partSuffix))
	for _, p := range parts {
		if info, err := os.Stat(p); err == nil && time.Since(info.ModTime()) > time.Hour {
			os.Remove(p)
		}
	}
	d.shrink(0)
	return d, nil
}

// key is the name of a result on disk.
func (d *DiskCache) key(s signature) (key [sha256.Size]byte) {
	h := sha256.New()
	h.Write(s[:])
	io.WriteString(h, d.c.Salt)
	h.Sum(key[:0])
	return key
}

func (d *DiskCache) path(key [sha256.Size]byte) string {
	return filepath.Join(d.c.Dir, hex.EncodeToString(key[:])+entrySuffix)
}

// worth reports whether a result is to be kept: it took longer to compute than it will take to read.
func (d *DiskCache) worth(e *entry) bool {
	if e.ui != nil || len(e.values) == 0 || e.took < d.c.LeastTime {
		return false
	}
	host, _ := sizeOf(e)
	return host <= d.c.Bytes && e.took.Seconds() > float64(host)/diskSpeed
}

// put writes a result, unless it is not worth it or not plain data. What goes wrong costs no more than the entry.
func (d *DiskCache) put(s signature, e *entry) {
	if !d.worth(e) {
		return
	}
	d.writer.Lock()
	defer d.writer.Unlock()
	key := d.key(s)
	data, err := encodeEntry(key, e)
	if err != nil {
		return
	}
	if d.write(d.path(key), data) == nil {
		d.shrink(int64(len(data)))
	}
}

// write puts a file in its place at once.
func (d *DiskCache) write(path string, data []byte) error {
	f, err := os.CreateTemp(d.c.Dir, "*"+partSuffix)
	if err != nil {
		return err
	}
	done := d.c.Unfinished(f.Name())
	defer done()
	_, err = f.Write(data)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// get reads a result; nil if there is none that can be trusted.
func (d *DiskCache) get(s signature) *entry {
	key := d.key(s)
	path := d.path(key)
	data, err := d.read(path)
	var e *entry
	if err == nil {
		e, err = parseEntry(data, key)
	}
	if errors.Is(err, errBadEntry) {
		os.Remove(path)
	}
	if err != nil {
		return nil
	}
	now := time.Now()
	os.Chtimes(path, now, now) // used last
	return e
}

// read returns a file of no more bytes than all entries may have.
func (d *DiskCache) read(path string) ([]byte, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > d.c.Bytes {
		return nil, errBadEntry
	}
	return os.ReadFile(path)
}

// shrink notes that more bytes came and removes what was used longest ago while there are too many.
func (d *DiskCache) shrink(more int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.held += more; more > 0 && d.held <= d.c.Bytes {
		return
	}
	files, err := os.ReadDir(d.c.Dir)
	if err != nil {
		return
	}
	var infos []fs.FileInfo
	d.held = 0
	for _, f := range files {
		if info, err := f.Info(); err == nil && info.Mode().IsRegular() && strings.HasSuffix(f.Name(), entrySuffix) {
			infos, d.held = append(infos, info), d.held+info.Size()
		}
	}
	slices.SortFunc(infos, func(a, b fs.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, info := range infos {
		if d.held <= d.c.Bytes {
			break
		}
		if os.Remove(filepath.Join(d.c.Dir, info.Name())) == nil {
			d.held -= info.Size()
		}
	}
}

// encodeEntry writes an entry: magic, key, length and SHA-256 of the rest; then how long it took, and the values by slot.
func encodeEntry(key [sha256.Size]byte, e *entry) ([]byte, error) {
	b := binary.AppendUvarint(make([]byte, headerBytes), uint64(e.took))
	b = binary.AppendUvarint(b, uint64(len(e.values)))
	var err error
	for _, slot := range e.values {
		b = binary.AppendUvarint(b, uint64(len(slot)))
		for _, v := range slot {
			if b, err = appendValue(b, v, 0); err != nil {
				return nil, err
			}
		}
	}
	sum := sha256.Sum256(b[headerBytes:])
	copy(b, magic[:])
	copy(b[8:], key[:])
	binary.LittleEndian.PutUint64(b[40:], uint64(len(b)-headerBytes))
	copy(b[48:], sum[:])
	return b, nil
}

// parseEntry reads what encodeEntry wrote under the key.
func parseEntry(data []byte, key [sha256.Size]byte) (*entry, error) {
	if len(data) < headerBytes || !bytes.Equal(data[:8], magic[:]) || !bytes.Equal(data[8:40], key[:]) {
		return nil, errBadEntry
	}
	body := data[headerBytes:]
	if sum := sha256.Sum256(body); binary.LittleEndian.Uint64(data[40:48]) != uint64(len(body)) || !bytes.Equal(sum[:], data[48:80]) {
		return nil, fmt.Errorf("%w: it is damaged", errBadEntry)
	}
	return parseBody(body)
}

// parseBody reads the values. Its checksum is right, but the types may have changed since.
func parseBody(body []byte) (*entry, error) {
	r := &reader{b: body}
	took, n := binary.Uvarint(r.b)
	if n <= 0 {
		return nil, errBadEntry
	}
	r.b = r.b[n:]
	e := &entry{took: time.Duration(took), values: make([][]any, r.count(1))}
	for i := range e.values {
		e.values[i] = make([]any, r.count(1))
		for k := range e.values[i] {
			if e.values[i][k] = r.value(0); r.err != nil {
				return nil, r.err
			}
		}
	}
	if r.err != nil || len(r.b) > 0 {
		return nil, errBadEntry
	}
	return e, nil
}
