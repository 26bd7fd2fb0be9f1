package hub

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"graphrun/types"
)

// download fetches files of one commit into Hugging Face's cache layout: blobs/<hash>, and snapshots/<commit>/<name> as
// links to them; refs/main names the commit.
type download struct {
	*huggingFace
	repo, commit string

	done, total int64 // bytes of all files
	reported    time.Time
}

// remote is a file on the server.
type remote struct {
	name, etag string // etag is the hash of the contents: SHA-256 of large files, git's SHA-1 of small ones
	size       int64
}

func (d *download) snapshot() string {
	return filepath.Join(d.repoDir(d.repo), "snapshots", d.commit)
}

func (d *download) blob(etag string) string {
	return filepath.Join(d.repoDir(d.repo), "blobs", etag)
}

// fetchAll fetches the files in this order and then names the commit in refs/main.
func (d *download) fetchAll(ctx context.Context, names []string) error {
	var files []remote
	for _, name := range names {
		f, err := d.head(ctx, name)
		if err != nil {
			return d.explain(err)
		}
		files = append(files, f)
		d.total += f.size
	}
	if err := os.MkdirAll(filepath.Join(d.repoDir(d.repo), "blobs"), 0o777); err != nil {
		return d.cacheError(err)
	}
	for _, f := range files {
		if err := d.fetch(ctx, f); err != nil {
			return d.explain(err)
		}
		if err := d.link(f); err != nil {
			return d.cacheError(err)
		}
	}
	d.report(ctx, true)
	ref := filepath.Join(d.repoDir(d.repo), "refs", "main")
	if err := os.MkdirAll(filepath.Dir(ref), 0o777); err != nil {
		return d.cacheError(err)
	}
	return WriteFile(ref, func(w io.Writer) error {
		_, err := io.WriteString(w, d.commit)
		return err
	})
}

func (d *download) cacheError(err error) error {
	e := writeError(d.cache, err)
	var w *WriteError
	if errors.As(e, &w) {
		w.Hint = strings.ReplaceAll(w.Hint, "with --output", "with HF_HUB_CACHE")
	}
	return e
}

// head asks for a file's hash and size. Large files redirect to another host; the answer before that carries both.
func (d *download) head(ctx context.Context, name string) (remote, error) {
	here := *d.client
	here.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if req.URL.Host != via[0].URL.Host || len(via) > 5 {
			return http.ErrUseLastResponse
		}
		return nil
	}
	resp, err := d.retry(ctx, func() (*http.Response, error) { return d.get(ctx, &here, http.MethodHead, d.url(name), "") })
	if err != nil {
		return remote{}, err
	}
	resp.Body.Close()
	first := func(keys ...string) string {
		for _, k := range keys {
			if v := resp.Header.Get(k); v != "" {
				return v
			}
		}
		return ""
	}
	f := remote{name: name, etag: strings.Trim(strings.TrimPrefix(first("X-Linked-Etag", "Etag"), "W/"), `"`)}
	f.size, err = strconv.ParseInt(first("X-Linked-Size", "Content-Length"), 10, 64)
	if err != nil || f.size < 0 || !hexName.MatchString(f.etag) {
		return remote{}, fmt.Errorf("%s: need the file's hash and size, have etag %q and size %q: check HF_ENDPOINT", d.url(name), f.etag, first("X-Linked-Size", "Content-Length"))
	}
	return f, nil
}

// retry tries again, a few times, what fails for reasons of the network or the server.
func (d *download) retry(ctx context.Context, try func() (*http.Response, error)) (*http.Response, error) {
	const tries = 4
	for n := 1; ; n++ {
		resp, err := try()
		var answered *HTTPError
		hopeless := errors.As(err, &answered) && answered.Code < 500 && answered.Code != http.StatusTooManyRequests
		if err == nil || hopeless || n == tries || ctx.Err() != nil {
			return resp, err
		}
		if err := d.wait(ctx, n); err != nil {
			return nil, err
		}
	}
}

// wait sleeps longer with every try: 1, 2, 4 thirtieths of the patience.
func (d *download) wait(ctx context.Context, try int) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d.patience / 30 << (try - 1)):
		return nil
	}
}

// fetch makes sure that the blob of f is there, going on where an earlier try stopped.
func (d *download) fetch(ctx context.Context, f remote) error {
	blob := d.blob(f.etag)
	if info, err := os.Stat(blob); err == nil && info.Size() == f.size {
		d.done += f.size
		return nil
	}
	part, err := openPart(blob+".incomplete", f)
	if err != nil {
		return d.cacheError(err)
	}
	defer part.file.Close()
	d.done += part.size
	for try := 1; part.size < f.size; try++ {
		before := part.size
		err := d.append(ctx, part, f)
		if err == nil {
			break
		}
		var answered *HTTPError
		var disk *WriteError
		switch {
		case errors.As(err, &disk), ctx.Err() != nil:
			return err
		case errors.As(err, &answered) && answered.Code < 500 && answered.Code != http.StatusTooManyRequests:
			return err
		case part.size > before:
			try = 0 // it goes on, if slowly
		case try >= 4:
			return err
		}
		if err := d.wait(ctx, try+1); err != nil {
			return err
		}
	}
	return d.finish(part, f, blob)
}

// finish checks the hash and gives the blob its name.
func (d *download) finish(part *part, f remote, blob string) error {
	if err := part.file.Close(); err != nil {
		return d.cacheError(err)
	}
	if sum := hex.EncodeToString(part.hash.Sum(nil)); sum != f.etag || part.size != f.size {
		os.Remove(part.path)
		return &ChecksumError{File: f.name, URL: d.url(f.name), Need: f.etag, Have: sum}
	}
	if err := os.Rename(part.path, blob); err != nil {
		return d.cacheError(err)
	}
	return nil
}

// ChecksumError is a downloaded file whose contents are not the announced ones. It was deleted.
type ChecksumError struct{ File, URL, Need, Have string }

func (e *ChecksumError) Error() string {
	return fmt.Sprintf("%s: need contents of hash %s, have %s: the download was damaged and is deleted; try again", e.URL, e.Need, e.Have)
}

// part is the beginning of a file, with the hash over it.
type part struct {
	path string
	file *os.File
	hash hash.Hash
	size int64
}

// openPart opens what an earlier try left, or an empty file.
func openPart(path string, f remote) (*part, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	p := &part{path: path, file: file}
	p.start(f)
	if p.size, err = io.Copy(p.hash, file); err == nil && p.size > f.size {
		err = p.restart(f)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return p, nil
}

// start prepares the hash that f is known by: git hashes a header before the contents.
func (p *part) start(f remote) {
	if p.hash = sha256.New(); len(f.etag) == 2*sha1.Size {
		p.hash = sha1.New()
		fmt.Fprintf(p.hash, "blob %d\x00", f.size)
	}
}

func (p *part) restart(f remote) error {
	p.start(f)
	p.size = 0
	if err := p.file.Truncate(0); err != nil {
		return err
	}
	_, err := p.file.Seek(0, io.SeekStart)
	return err
}

// append asks for the rest of a file and writes it behind what is there. Progress is kept when it fails.
func (d *download) append(ctx context.Context, p *part, f remote) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	byteRange := ""
	if p.size > 0 {
		byteRange = fmt.Sprintf("bytes=%d-", p.size)
	}
	resp, err := d.get(ctx, d.client, http.MethodGet, d.url(f.name), byteRange)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	resumed := resp.StatusCode == http.StatusPartialContent && strings.HasPrefix(resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", p.size))
	if p.size > 0 && !resumed { // the server starts over
		d.done -= p.size
		if err := p.restart(f); err != nil {
			return d.cacheError(err)
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: the server cannot resume (%s)", d.url(f.name), resp.Status)
		}
	}
	silence := time.AfterFunc(d.patience, func() { cancel(errSilent) })
	defer silence.Stop()
	buffer := make([]byte, 1<<18)
	for p.size < f.size {
		n, err := resp.Body.Read(buffer[:min(int64(len(buffer)), f.size-p.size)])
		silence.Reset(d.patience)
		if n > 0 {
			if _, err := p.file.Write(buffer[:n]); err != nil {
				return d.cacheError(err)
			}
			p.hash.Write(buffer[:n])
			p.size += int64(n)
			d.done += int64(n)
			d.report(ctx, false)
		}
		if err != nil && p.size < f.size {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			if context.Cause(ctx) == errSilent {
				err = errSilent
			}
			return &url.Error{Op: "Get", URL: d.url(f.name), Err: err}
		}
	}
	return nil
}

var errSilent = errors.New("the server stopped sending")

// report tells the listener how many bytes there are, ten times a second.
func (d *download) report(ctx context.Context, now bool) {
	if now || time.Since(d.reported) > 100*time.Millisecond {
		d.reported = time.Now()
		types.Report(ctx, types.Progress{Phase: "download", Step: int(d.done), Total: int(d.total)})
	}
}

// link puts the blob into the snapshot: by a relative link, or by a second name where such links are not allowed.
func (d *download) link(f remote) error {
	name := filepath.Join(d.snapshot(), filepath.FromSlash(f.name))
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		return err
	}
	if _, err := os.Stat(name); err == nil {
		return nil
	}
	target, err := filepath.Rel(filepath.Dir(name), d.blob(f.etag))
	if err != nil {
		return err
	}
	if err := os.Symlink(target, name); err == nil || errors.Is(err, fs.ErrExist) {
		return nil
	}
	return os.Link(d.blob(f.etag), name)
}
