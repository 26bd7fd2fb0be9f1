package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"image/png"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"graphrun/internal/golden"
)

// A transcript of golden/contract is what happened between a client and ComfyUI: one step or event a line (JSON), names
// that are new each time replaced: <run>, <prompt:1>. Steps come first, then what each socket heard. The replayer takes
// the steps again and compares all that the server said.

type object = map[string]any

func TestGoldenTranscripts(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(golden.Dir(t), "contract", "transcripts", "*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts: ", err)
	}
	url, base := served(t)
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".jsonl")
		t.Run(name, func(t *testing.T) {
			r := &replay{T: t, url: url, base: base, name: name, run: fmt.Sprintf("r%07x", time.Now().UnixNano()&0xfffffff), ids: map[string]string{}}
			r.file(f)
		})
	}
}

// replay is one transcript under way.
type replay struct {
	*testing.T
	url, base, name, run string
	ids                  map[string]string // token of what is new each time
	opts                 map[string]bool
	sockets              []*ear
	prompts              []string  // ids, as they were submitted
	quieted              []quieted // the same, of prompts that no line holds
	busyID               string    // of the prompt that takes long
	busyNumber           float64
}

func (r *replay) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *replay) file(path string) {
	data, err := os.ReadFile(path)
	r.must(err)
	r.http(object{"method": "POST", "path": "/free"}, []byte(`{"unload_models":true,"free_memory":true}`))
	var steps []object // what was done, in order
	var wantHTTP, gotHTTP []any
	wantHeard := map[string][]any{}
	raw := map[int]json.RawMessage{} // requests, as they are written
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 1<<26)
	for lines.Scan() {
		var l object
		r.must(json.Unmarshal(lines.Bytes(), &l))
		switch {
		case l["scenario"] != nil:
			r.opts = map[string]bool{}
			for _, o := range l["compare"].([]any) {
				r.opts[o.(string)] = true
			}
		case l["recv"] != nil || l["recv_binary"] != nil:
			wantHeard[l["ws"].(string)] = append(wantHeard[l["ws"].(string)], l)
		default:
			var q struct {
				HTTP struct {
					JSON json.RawMessage `json:"json"`
				} `json:"http"`
			}
			r.must(json.Unmarshal(lines.Bytes(), &q))
			raw[len(steps)] = q.HTTP.JSON
			steps = append(steps, l)
		}
	}
	for i, l := range steps {
		if before := elided[r.name][i]; before != nil {
			before(r)
		}
		switch {
		case l["http"] != nil:
			got := r.step(l["http"].(object), raw[i])
			delete(l, "http")
			wantHTTP, gotHTTP = append(wantHTTP, r.answer(l)), append(gotHTTP, r.answer(got))
		case l["open"] != nil:
			r.open(l["ws"].(string), l["open"].(string))
		case l["send"] != nil:
			r.send(l["ws"].(string), l["send"], wantHeard)
		case l["note"] != nil:
			r.note(l["note"].(object))
		default:
			r.Errorf("a line that is neither a step nor heard: %v", l)
		}
	}
	if after := elided[r.name][len(steps)]; after != nil {
		after(r)
	}
	time.Sleep(150 * time.Millisecond) // for what must not come
	same(r.T, "http", wantHTTP, gotHTTP)
	for _, e := range r.sockets {
		e.conn.CloseNow()
		<-e.closed
		same(r.T, "socket "+e.name, r.stream(wantHeard[e.name]), r.stream(r.heard(e)))
	}
}

// answer is the part of a step's line that must agree.
func (r *replay) answer(l object) object {
	out := r.scrub(l).(object)
	if j, ok := out["json"].(object); ok && j["number"] != nil && !r.opts["keep_number"] {
		j["number"] = 0.0
	}
	return out
}

// step sends a request and waits for the end of what it starts.
func (r *replay) step(q object, body []byte) object {
	client := ""
	if q["method"] == "POST" && strings.TrimPrefix(q["path"].(string), "/api") == "/prompt" {
		var sub struct {
			Client string `json:"client_id"`
		}
		json.Unmarshal(body, &sub)
		client = sub.Client
	}
	if raw, ok := q["raw_base64"].(string); ok {
		var err error
		body, err = base64.StdEncoding.DecodeString(raw)
		r.must(err)
	} else if fields, ok := q["form"].([]any); ok {
		var kind string
		body, kind = r.form(fields)
		q["headers"] = object{"Content-Type": kind}
	} else {
		body = []byte(r.actual(string(body)))
	}
	got := r.http(q, body)
	if j, ok := got["json"].(object); ok && got["status"] == 200.0 && j["prompt_id"] != nil {
		id := r.actual(j["prompt_id"].(string))
		r.prompts = append(r.prompts, id)
		r.ended(id, client)
	}
	return got
}

// ended waits until a prompt is done and its client has heard of it.
func (r *replay) ended(id, client string) {
	eventually(r, "prompt "+id+" is done", func() bool {
		h := object{}
		getJSON(r, r.url+"/history/"+id, &h)
		return h[id] != nil
	})
	for _, e := range r.sockets {
		if e.name != client {
			continue
		}
		eventually(r, "the end is told", func() bool {
			return slices.ContainsFunc(e.all(), func(m frame) bool {
				return m.kind == websocket.MessageText && strings.Contains(string(m.data), `"node":null`) && strings.Contains(string(m.data), id)
			})
		})
	}
}

var keptHeaders = []string{"content-type", "content-disposition", "cache-control", "location", "access-control-allow-origin", "allow"}

func (r *replay) http(q object, body []byte) object {
	req, err := http.NewRequest(q["method"].(string), r.url+r.actual(q["path"].(string)), bytes.NewReader(body))
	r.must(err)
	if headers, ok := q["headers"].(object); ok {
		for k, v := range headers {
			req.Header.Set(k, v.(string))
		}
	}
	resp, err := http.DefaultClient.Do(req)
	r.must(err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	r.must(err)
	kept := object{}
	for _, h := range keptHeaders {
		if v := resp.Header.Get(h); v != "" && (resp.StatusCode < 400 || h != "content-type") {
			kept[h] = v
		}
	}
	out := object{"status": float64(resp.StatusCode), "headers": kept}
	kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	switch {
	case len(data) == 0:
		out["empty"] = true
	case kind == "application/json":
		var v any
		r.must(json.Unmarshal(data, &v))
		out["json"] = v
	case strings.HasPrefix(kind, "text/"):
		out["text"] = string(data[:min(len(data), 200)])
	default:
		out["blob"] = r.blob(data)
	}
	return r.normal(out, "").(object)
}

// ear is a socket and what it heard.
type ear struct {
	name   string
	sent   int
	conn   *websocket.Conn
	closed chan struct{}
	mu     sync.Mutex
	frames []frame
}

type frame struct {
	kind websocket.MessageType
	data []byte
}

func (e *ear) all() []frame {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.frames)
}

// listen opens a socket and waits for its greeting.
func listen(t testing.TB, url, name string) *ear {
	conn, resp, err := websocket.Dial(t.Context(), url, nil)
	if err != nil {
		t.Fatal(err, resp)
	}
	conn.SetReadLimit(1 << 28)
	e := &ear{name: name, conn: conn, closed: make(chan struct{})}
	go func() {
		defer close(e.closed)
		for {
			kind, data, err := conn.Read(context.Background())
			if err != nil {
				return
			}
			e.mu.Lock()
			e.frames = append(e.frames, frame{kind, data})
			e.mu.Unlock()
		}
	}()
	eventually(t, "the greeting", func() bool { return len(e.all()) > 0 })
	return e
}

// open opens a socket; a second one under the same name is NAME#2.
func (r *replay) open(name, path string) {
	unique := name
	for n := 2; slices.ContainsFunc(r.sockets, func(e *ear) bool { return e.name == unique }); n++ {
		unique = fmt.Sprintf("%s#%d", name, n)
	}
	r.sockets = append(r.sockets, listen(r, r.url+path, unique))
}

// send says something on a socket. What is answered comes by the socket's own way: a prompt that is queued next may be told
// of before it, so it is waited for.
func (r *replay) send(name string, what any, wantHeard map[string][]any) {
	e := r.socket(name)
	answers := func(lines []any) (n int) {
		for _, l := range lines {
			if m, is := l.(object)["recv"].(object); is && m["type"] == "feature_flags" {
				n++
			}
		}
		return n
	}
	e.sent++
	text, _ := json.Marshal(what)
	r.must(e.conn.Write(r.Context(), websocket.MessageText, text))
	due := min(e.sent, answers(wantHeard[name]))
	eventually(r, "the answer", func() bool { return answers(r.heard(e)) >= due })
}

func (r *replay) socket(name string) *ear {
	for _, e := range r.sockets {
		if e.name == name {
			return e
		}
	}
	r.Fatal("no socket ", name)
	return nil
}

// heard is what a socket heard as lines.
func (r *replay) heard(e *ear) []any {
	var lines []any
	for _, m := range e.all() {
		if m.kind == websocket.MessageText {
			var v any
			r.must(json.Unmarshal(m.data, &v))
			lines = append(lines, object{"ws": e.name, "recv": r.normal(v, "")})
			continue
		}
		lines = append(lines, object{"ws": e.name, "recv_binary": r.binary(m.data)})
	}
	return lines
}

func (r *replay) binary(b []byte) object {
	event, n := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	out := object{"event": float64(event)}
	switch event {
	case 1:
		out["image_type"], out["blob"] = float64(n), r.blob(b[8:])
	case 3:
		out["node"], out["text"] = string(b[8:8+n]), string(b[8+n:])
	case 4:
		var meta any
		r.must(json.Unmarshal(b[8:8+n], &meta))
		out["metadata"], out["blob"] = r.normal(meta, ""), r.blob(b[8+n:])
	}
	return out
}

// stream is what of a socket's lines must agree, as the transcript asks for.
func (r *replay) stream(lines []any) []any {
	var out []any
	types := map[string]bool{}
	for _, l := range lines {
		kind := "binary"
		if m, ok := l.(object)["recv"].(object); ok {
			kind = m["type"].(string)
		}
		if kind == "logs" || kind == "status" && !r.opts["status_order"] {
			continue
		}
		types[kind] = true
		out = append(out, r.scrub(l))
	}
	if r.opts["types_only"] {
		out = nil
		for _, k := range slices.Sorted(maps.Keys(types)) {
			out = append(out, k)
		}
	}
	if r.opts["unordered"] {
		sortJSON(out)
	}
	return out
}

var (
	anID   = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b[0-9a-f]{32}\b`)
	random = regexp.MustCompile(`_temp_[a-z]{5}_`)
)

func (r *replay) token(s string) string {
	s = strings.ReplaceAll(s, r.run, "<run>")
	s = anID.ReplaceAllStringFunc(s, func(id string) string {
		if r.ids[id] == "" {
			r.ids[id] = fmt.Sprintf("<prompt:%d>", len(r.ids)+1)
		}
		return r.ids[id]
	})
	return strings.ReplaceAll(random.ReplaceAllString(s, "_temp_<rand>_"), r.base+"/", "<base>/")
}

// actual puts this replay's names back into a request.
func (r *replay) actual(s string) string {
	s = strings.ReplaceAll(s, "<run>", r.run)
	for id, token := range r.ids {
		s = strings.ReplaceAll(s, token, id)
	}
	return s
}

// normal replaces what is new each time, and leaves out texts for people.
func (r *replay) normal(v any, key string) any {
	switch v := v.(type) {
	case float64:
		if key == "timestamp" || key == "modified" || key == "created" {
			return "<time>"
		}
	case string:
		return r.token(v)
	case []any:
		if key == "traceback" && len(v) > 0 {
			return "<traceback>"
		}
		for i := range v {
			v[i] = r.normal(v[i], "")
		}
	case object:
		out := object{}
		for k, x := range v {
			switch k {
			case "tooltip", "description", "output_tooltips", "tooltips":
			default:
				out[r.token(k)] = r.normal(x, k)
			}
		}
		return out
	}
	return v
}

// scrub evens out what may differ: the order of sets, queue numbers, and texts of errors where the transcript says so.
func (r *replay) scrub(v any) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = r.scrub(v[i])
		}
		if len(out) == 5 {
			if _, isPrompt := out[2].(object); isPrompt {
				if outputs, ok := out[4].([]any); ok {
					out[0] = 0.0
					sortJSON(outputs)
				}
			}
		}
		return out
	case object:
		out := object{}
		for k, x := range v {
			out[k] = r.scrub(x)
		}
		for k := range out {
			switch list, isList := out[k].([]any); {
			case isList && slices.Contains([]string{"dependent_outputs", "executed", "current_outputs", "errors"}, k):
				sortJSON(list)
			case r.opts["loose_errors"] && (k == "exception_message" || k == "exception_type"):
				out[k] = "<any>"
			case r.opts["loose_errors"] && k == "current_inputs":
				if o, ok := out[k].(object); ok {
					out[k] = strings.Join(slices.Sorted(maps.Keys(o)), ",")
				}
			}
		}
		return out
	}
	return v
}

func sortJSON(list []any) {
	slices.SortFunc(list, func(a, b any) int {
		x, _ := json.Marshal(a)
		y, _ := json.Marshal(b)
		return bytes.Compare(x, y)
	})
}

// blob is what the transcripts say of a file.
func (r *replay) blob(data []byte) object {
	sum := func(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b))[:16] }
	switch {
	case bytes.HasPrefix(data, []byte("\xff\xd8")):
		return object{"format": "jpeg"}
	case len(data) > 12 && string(data[:4]) == "RIFF" && string(data[8:12]) == "WEBP":
		return object{"format": "webp"}
	case !bytes.HasPrefix(data, []byte("\x89PNG")):
		return object{"format": "bytes", "size": float64(len(data)), "sha256": sum(data)}
	}
	m, err := png.Decode(bytes.NewReader(data))
	r.must(err)
	channels := map[byte]string{0: "L", 2: "RGB", 4: "LA", 6: "RGBA", 3: "P"}[data[25]]
	var pix []byte
	for y := range m.Bounds().Dy() {
		for x := range m.Bounds().Dx() {
			px := nrgba(m, x, y)
			pix = append(pix, px[:map[string]int{"L": 1, "RGB": 3, "RGBA": 4}[channels]]...)
		}
	}
	texts := object{}
	for rest := data[8:]; len(rest) >= 12; {
		n := binary.BigEndian.Uint32(rest)
		kind, chunk := string(rest[4:8]), rest[8:8+n]
		key, value, _ := bytes.Cut(chunk, []byte{0})
		switch kind {
		case "iTXt":
			parts := bytes.SplitN(value[2:], []byte{0}, 3)
			value = parts[len(parts)-1]
			fallthrough
		case "tEXt":
			var v any
			if json.Unmarshal(value, &v) != nil {
				v = string(value)
			}
			texts[string(key)] = v
		}
		rest = rest[12+n:]
	}
	b := m.Bounds()
	return object{"format": "png", "width": float64(b.Dx()), "height": float64(b.Dy()), "channels": channels, "pixels_sha256": sum(pix), "text": r.normal(texts, "")}
}

// same compares, and tells the first difference.
func same(t *testing.T, what string, want, got any) {
	t.Helper()
	if d := difference(want, got); d != "" {
		t.Errorf("%s%s", what, d)
	}
}

func difference(want, got any) string {
	show := func(v any) string {
		text, _ := json.Marshal(v)
		return string(text[:min(len(text), 300)])
	}
	switch w := want.(type) {
	case object:
		g, ok := got.(object)
		if !ok {
			break
		}
		for _, k := range slices.Sorted(maps.Keys(w)) {
			x, there := g[k]
			if !there {
				return fmt.Sprintf(".%s: missing, want %s", k, show(w[k]))
			}
			if d := difference(w[k], x); d != "" {
				return "." + k + d
			}
		}
		for _, k := range slices.Sorted(maps.Keys(g)) {
			if _, there := w[k]; !there {
				return fmt.Sprintf(".%s: not expected, have %s", k, show(g[k]))
			}
		}
		return ""
	case []any:
		g, ok := got.([]any)
		if !ok {
			break
		}
		for i := range min(len(w), len(g)) {
			if d := difference(w[i], g[i]); d != "" {
				return fmt.Sprintf("[%d]%s", i, d)
			}
		}
		if n := min(len(w), len(g)); len(w) != len(g) {
			return fmt.Sprintf(": want %d items, have %d; next is %s", len(w), len(g), show(append(w[n:len(w):len(w)], g[n:]...)[0]))
		}
		return ""
	}
	if want == got {
		return ""
	}
	return fmt.Sprintf(": want %s, have %s", show(want), show(got))
}

func getJSON(t testing.TB, url string, into any) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		t.Fatal(url, ": ", err)
	}
}
