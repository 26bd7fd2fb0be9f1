package frontend

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"graphrun/graph"
	"graphrun/graph/queue"
)

// bench is a server under test with nodes of its own: Say gives a text, Show shows one, Hold waits for the test, Paint shows a
// preview, Fail fails, Panic panics.
type bench struct {
	testing.TB
	*Server
	http *httptest.Server
	root string
	hold chan struct{} // closed to let Hold go on
	stop func()        // ends the worker
	held chan string   // ids of Hold nodes that began
}

// engine is what the server needs, without models.
type engine struct{ dir string }

func (engine) Stats() System {
	return System{Version: "test", Devices: []Device{{Name: "cpu", Type: "cpu", MemoryTotal: 8, MemoryFree: 4}}}
}
func (engine) Free(bool)              {}
func (engine) ModelFolders() []string { return []string{"checkpoints", "embeddings", "loras"} }
func (e engine) ModelDirs(kind string) []string {
	for _, k := range e.ModelFolders() {
		if k == kind {
			return []string{filepath.Join(e.dir, kind)}
		}
	}
	return nil
}

func (e engine) ModelFiles(kind string) ([]string, error) {
	dirs := e.ModelDirs(kind)
	if dirs == nil {
		return nil, errors.New("no such kind")
	}
	var names []string
	entries, _ := os.ReadDir(dirs[0])
	for _, f := range entries {
		names = append(names, f.Name())
	}
	return names, nil
}

func (e engine) ModelPath(kind, name string) (string, error) {
	files, err := e.ModelFiles(kind)
	for _, f := range files {
		if f == name {
			return filepath.Join(e.ModelDirs(kind)[0], name), nil
		}
	}
	return "", errors.Join(err, os.ErrNotExist)
}

func (b *bench) nodes() graph.Library {
	text := []graph.Port{{Name: "STRING", Type: "STRING"}}
	l := graph.Library{}
	add := func(name string, output bool, inputs []string, run func(*graph.Call, []any) (graph.Output, error)) {
		s := &graph.Spec{Meta: graph.Meta{Name: name, Output: output}, Run: run}
		for _, in := range inputs {
			s.Inputs = append(s.Inputs, graph.Port{Name: in, Type: "STRING", Opts: map[string]any{}})
		}
		if !output {
			s.Outputs = text
		}
		l[name] = s
	}
	add("Say", false, []string{"text"}, func(_ *graph.Call, in []any) (graph.Output, error) {
		return graph.Output{Values: []any{in[0]}}, nil
	})
	add("Show", true, []string{"text"}, func(_ *graph.Call, in []any) (graph.Output, error) {
		return graph.Output{UI: graph.UI{"text": {in[0]}}}, nil
	})
	add("Hold", false, []string{"text"}, func(c *graph.Call, in []any) (graph.Output, error) {
		c.Progress("sample", 0, 1)
		b.held <- c.NodeID
		select {
		case <-b.hold:
			return graph.Output{Values: []any{in[0]}}, nil
		case <-c.Done():
			return graph.Output{}, context.Cause(c)
		}
	})
	add("Paint", true, []string{"text"}, func(c *graph.Call, _ []any) (graph.Output, error) {
		c.Preview("image/jpeg", []byte("\xff\xd8picture"))
		c.Progress("sample", 1, 2)
		c.Preview("text/plain", []byte("half"))
		return graph.Output{UI: graph.UI{}}, nil
	})
	add("Fail", true, []string{"text"}, func(*graph.Call, []any) (graph.Output, error) { return graph.Output{}, errors.New("on purpose") })
	add("Panic", true, []string{"text"}, func(*graph.Call, []any) (graph.Output, error) { panic("on purpose") })
	return l
}

// newBench starts a server whose worker runs.
func newBench(t testing.TB, change func(*Config)) *bench {
	t.Helper()
	b := &bench{TB: t, root: t.TempDir(), hold: make(chan struct{}), held: make(chan string, 1000)}
	store, err := queue.OpenSQLite("", false)
	b.must(err)
	q, _, err := queue.Open(store, queue.Options{Max: 2000})
	b.must(err)
	c := Config{
		Nodes: b.nodes(), Env: graph.NewEnv(), Cache: &graph.Cache{}, Engine: engine{filepath.Join(b.root, "models")}, Queue: q,
		Dirs: Dirs{filepath.Join(b.root, "input"), filepath.Join(b.root, "output"), filepath.Join(b.root, "temp"), filepath.Join(b.root, "user")},
	}
	for _, d := range []string{c.Dirs.Input, c.Dirs.Output, c.Dirs.Temp, filepath.Join(b.root, "models", "loras")} {
		b.must(os.MkdirAll(d, 0o777))
	}
	if change != nil {
		change(&c)
	}
	b.Server = New(c)
	b.http = httptest.NewServer(b.Server)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.Work(ctx, 0)
	}()
	b.stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	t.Cleanup(func() {
		b.stop()
		b.sockets.close()
		b.http.CloseClientConnections()
		b.http.Close()
		q.Close()
	})
	return b
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// do sends a request and returns the answer with its body read.
func (b *bench) do(method, path string, body any, headers ...string) (*http.Response, string) {
	b.Helper()
	var r io.Reader
	switch v := body.(type) {
	case nil:
	case string:
		r = strings.NewReader(v)
	case []byte:
		r = bytes.NewReader(v)
	case io.Reader:
		r = v
	default:
		data, err := json.Marshal(v)
		b.must(err)
		r = bytes.NewReader(data)
	}
	q, err := http.NewRequest(method, b.http.URL+path, r)
	b.must(err)
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			q.Host = headers[i+1]
		}
		q.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(q)
	b.must(err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	b.must(err)
	return resp, string(data)
}

// want sends a request and looks at the status.
func (b *bench) want(status int, method, path string, body any, headers ...string) string {
	b.Helper()
	resp, text := b.do(method, path, body, headers...)
	if resp.StatusCode != status {
		b.Errorf("%s %s %v: want %d, have %d %.200s", method, path, headers, status, resp.StatusCode, text)
	}
	return text
}

type dict = map[string]any

// chain is a prompt: a node whose text comes from a Say, and what shows it.
func chain(class, text string) dict {
	return dict{
		"1": dict{"class_type": class, "inputs": dict{"text": text}},
		"2": dict{"class_type": "Show", "inputs": dict{"text": []any{"1", 0}}},
	}
}

// submit queues a prompt and returns its id.
func (b *bench) submit(prompt dict, more ...any) string {
	b.Helper()
	body := dict{"prompt": prompt}
	for i := 0; i < len(more); i += 2 {
		body[more[i].(string)] = more[i+1]
	}
	var answer struct {
		ID string `json:"prompt_id"`
	}
	text := b.want(200, "POST", "/prompt", body)
	b.must(json.Unmarshal([]byte(text), &answer))
	return answer.ID
}

// result waits for a prompt's entry of the history.
func (b *bench) result(id string) dict {
	b.Helper()
	var entry dict
	b.eventually("prompt "+id+" is done", func() bool {
		h := map[string]dict{}
		b.must(json.Unmarshal([]byte(b.want(200, "GET", "/history/"+id, nil)), &h))
		entry = h[id]
		return entry != nil
	})
	return entry
}

// status is success or error.
func (b *bench) status(id string) string {
	b.Helper()
	return b.result(id)["status"].(dict)["status_str"].(string)
}

func (b *bench) eventually(what string, is func() bool) {
	b.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			b.Fatal("did not happen: ", what)
		}
	}
}

// ear is a websocket of a test.
type ear struct {
	*websocket.Conn
	b *bench
}

func (b *bench) dial(query string, headers ...string) *ear {
	b.Helper()
	o := &websocket.DialOptions{HTTPHeader: http.Header{}}
	for i := 0; i < len(headers); i += 2 {
		o.HTTPHeader.Set(headers[i], headers[i+1])
	}
	conn, resp, err := websocket.Dial(b.Context(), b.http.URL+"/ws"+query, o)
	if err != nil {
		b.Fatal(err, resp)
	}
	conn.SetReadLimit(1 << 28)
	b.Cleanup(func() { conn.CloseNow() })
	return &ear{conn, b}
}

type told struct {
	Type string
	Data dict
	raw  []byte // of a binary message
}

// hear is the next message.
func (e *ear) hear() told {
	e.b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	kind, data, err := e.Read(ctx)
	e.b.must(err)
	if kind == websocket.MessageBinary {
		return told{Type: "binary", raw: data}
	}
	var m told
	e.b.must(json.Unmarshal(data, &m))
	return m
}

// until is the next message of a type; those before are passed over.
func (e *ear) until(kind string) told {
	e.b.Helper()
	for {
		if m := e.hear(); m.Type == kind {
			return m
		}
	}
}

func (e *ear) say(v any) {
	e.b.Helper()
	data, err := json.Marshal(v)
	e.b.must(err)
	e.b.must(e.Write(context.Background(), websocket.MessageText, data))
}

// pipes is a listener without a network, for more connections than files may be open.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (p *pipes) dial() (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-p.done:
		return nil, fmt.Errorf("closed")
	}
}

// panics is a log that fails the test where the server recovered from a panic of its own, or did not foresee an error.
type panics struct{ t testing.TB }

func (p *panics) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(p, &slog.HandlerOptions{Level: slog.LevelError}))
}

func (p *panics) Write(line []byte) (int, error) {
	p.t.Errorf("the server logged: %.2000s", line)
	return len(line), nil
}
