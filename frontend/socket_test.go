package frontend

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

func TestGreeting(t *testing.T) {
	b := newBench(t, nil)
	k := b.dial("")
	sid, _ := k.hear().Data["sid"].(string)
	if len(sid) != 32 {
		t.Errorf("sid %q", sid)
	}
	if k := b.dial("?clientId=me"); k.hear().Data["sid"] != "me" {
		t.Error("own id")
	}
	b.want(426, "GET", "/ws", nil)
	b.want(400, "GET", "/ws?clientId="+string(bytes.Repeat([]byte("x"), 1001)), nil)
}

// TestEvents is a run as its owner hears it, and what others hear of it.
func TestEvents(t *testing.T) {
	b := newBench(t, nil)
	owner, other := b.dial("?clientId=owner"), b.dial("?clientId=other")
	owner.hear()
	other.hear()
	id := b.submit(chain("Say", "x"), "client_id", "owner")
	var got []string
	for {
		m := owner.hear()
		got = append(got, m.Type)
		if node, told := m.Data["node"]; m.Type == "executing" && told && node == nil {
			break
		}
	}
	want := "[status status execution_start execution_cached progress_state executing progress_state progress_state executing executed progress_state execution_success status executing]"
	if fmt.Sprint(got) != want {
		t.Errorf("heard %v", got)
	}
	if b.status(id) != "success" {
		t.Error("no success")
	}
	for range 3 {
		if m := other.hear(); m.Type != "status" {
			t.Errorf("another client heard %v", m)
		}
	}
}

// TestHeldBack: a client with an event loop hears of a run only once it has had time to read the answer.
func TestHeldBack(t *testing.T) {
	b := newBench(t, nil)
	k := b.dial("?clientId=js")
	k.hear()
	for range 3 {
		b.want(200, "POST", "/prompt", dict{"prompt": chain("Say", "x"), "client_id": "js"}, "User-Agent", "node")
		answered := time.Now()
		k.until("execution_start")
		if took := time.Since(answered); took < listeningTakes/2 { // the answer was sent a little earlier than it was read
			t.Errorf("heard of the run after %v", took)
		}
		k.until("execution_success")
	}
}

// TestReplaced: the second socket of an id hears, the first does not; closing the first does not harm the second.
func TestReplaced(t *testing.T) {
	b := newBench(t, nil)
	first := b.dial("?clientId=a")
	first.hear()
	second := b.dial("?clientId=a")
	second.hear()
	first.CloseNow()
	b.eventually("the first is gone", func() bool { return b.sockets.count() == 1 })
	b.submit(chain("Say", "x"), "client_id", "a")
	second.until("execution_success")
}

// TestReconnect: who comes back while its prompt runs hears at once which node runs, and the rest.
func TestReconnect(t *testing.T) {
	b := newBench(t, nil)
	k := b.dial("?clientId=a")
	b.submit(chain("Hold", "x"), "client_id", "a")
	<-b.held
	k.CloseNow()
	k = b.dial("?clientId=a")
	if m := k.hear(); m.Type != "status" {
		t.Error(m)
	}
	if m := k.hear(); m.Type != "executing" || m.Data["node"] != "1" || len(m.Data) != 1 {
		t.Error(m)
	}
	close(b.hold)
	k.until("execution_success")
}

// TestAtOnce: who queues a prompt the moment that it is connected hears of its run from the start, and is not told that it
// has come back to it.
func TestAtOnce(t *testing.T) {
	b := newBench(t, nil)
	var clients sync.WaitGroup
	for i := range 20 {
		clients.Go(func() {
			for n := range 8 {
				id := fmt.Sprint("c", i, "-", n)
				conn, _, err := websocket.Dial(t.Context(), b.http.URL+"/ws?clientId="+id, nil)
				if err != nil {
					t.Error(err)
					return
				}
				k := &ear{conn, b}
				b.submit(chain("Say", "x"), "client_id", id)
				var heard []string
				for {
					m := k.hear()
					if m.Type == "status" {
						continue
					}
					if heard = append(heard, m.Type); m.Data["prompt_id"] == nil || len(heard) == 1 && m.Type != "execution_start" {
						t.Errorf("%s hears %v: %v", id, heard, m.Data)
					}
					if m.Type == "execution_success" {
						break
					}
				}
				conn.CloseNow()
			}
		})
	}
	clients.Wait()
}

// TestNoSocket: a request that opens no socket takes nothing from the one that has its name.
func TestNoSocket(t *testing.T) {
	b := newBench(t, nil)
	k := b.dial("?clientId=a")
	b.want(426, "GET", "/ws?clientId=a", nil)
	b.want(400, "GET", "/ws?clientId=a", nil, "Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "1")
	b.submit(chain("Say", "x"), "client_id", "a")
	k.until("execution_success")
}

func TestFeatureFlags(t *testing.T) {
	b := newBench(t, nil)
	k := b.dial("?clientId=a")
	k.hear()
	b.must(k.Write(context.Background(), 1, []byte("{not json"))) // does not use up the first place
	k.say(dict{"type": "feature_flags", "data": dict{"supports_preview_metadata": true}})
	if m := k.until("feature_flags"); m.Data["max_upload_size"] != float64(100<<20) || m.Data["supports_preview_metadata"] != true {
		t.Error(m)
	}
	k.say(dict{"type": "feature_flags", "data": dict{"supports_preview_metadata": false}}) // ignored
	late := b.dial("?clientId=b")
	late.hear()
	late.say(dict{"type": "hello"})
	late.say(dict{"type": "feature_flags", "data": dict{"supports_preview_metadata": true}}) // too late
	for client, ear := range map[string]*ear{"a": k, "b": late} {
		b.submit(dict{"1": dict{"class_type": "Paint", "inputs": dict{"text": client}}}, "client_id", client)
		m := ear.until("binary")
		event := binary.BigEndian.Uint32(m.raw)
		if client == "a" {
			n := binary.BigEndian.Uint32(m.raw[4:])
			var meta dict
			b.must(json.Unmarshal(m.raw[8:8+n], &meta))
			if event != 4 || meta["node_id"] != "1" || meta["image_type"] != "image/jpeg" || string(m.raw[8+n:]) != "\xff\xd8picture" {
				t.Errorf("with metadata: %d %v", event, meta)
			}
		} else if event != 1 || string(m.raw[4:]) != "\x00\x00\x00\x01\xff\xd8picture" {
			t.Errorf("without: %q", m.raw)
		}
		if m := ear.until("binary"); string(m.raw) != "\x00\x00\x00\x03\x00\x00\x00\x011half" {
			t.Errorf("text: %q", m.raw)
		}
		ear.until("execution_success")
	}
}

func TestLogEvents(t *testing.T) {
	b := newBench(t, nil)
	k := b.dial("?clientId=a")
	k.hear()
	b.want(200, "PATCH", "/internal/logs/subscribe", dict{"clientId": "a", "enabled": true})
	b.Logs.Write([]byte("hello\n"))
	if m := k.until("logs"); fmt.Sprint(m.Data["entries"].([]any)[0].(dict)["m"]) != "hello\n" {
		t.Error(m)
	}
	b.want(200, "PATCH", "/internal/logs/subscribe", dict{"clientId": "nobody", "enabled": true})
}

// TestSlowReader: a client that does not read is cut off before it costs more than its backlog, and holds up nobody.
func TestSlowReader(t *testing.T) {
	b := newBench(t, nil)
	k := b.dial("?clientId=slow")
	k.hear()
	data := make([]byte, 1<<20)
	for range 2 * backlog >> 20 {
		b.sockets.each("slow", func(k *socket) { k.send(binaryMessage(1, nil, data)) })
	}
	b.eventually("it is cut off", func() bool { return b.sockets.count() == 0 })
	if b.status(b.submit(chain("Say", "x"), "client_id", "slow")) != "success" {
		t.Error("the run suffered")
	}
}

// TestHugeMessage: a client may not make the server keep what it sends.
func TestHugeMessage(t *testing.T) {
	b := newBench(t, nil)
	k := b.dial("?clientId=big")
	k.hear()
	k.Write(context.Background(), 1, make([]byte, 2<<20))
	b.eventually("it is cut off", func() bool { return b.sockets.count() == 0 })
}

// TestManySockets opens 10,000 that idle, and one too many.
func TestManySockets(t *testing.T) {
	many := 10000
	if testing.Short() || raceDetector {
		many = 500
	}
	b := newBench(t, func(c *Config) { c.MaxSockets = many })
	l := newPipes()
	ctx, cancel := context.WithCancel(t.Context())
	var served sync.WaitGroup
	served.Go(func() { b.Serve(ctx, l) })
	defer served.Wait()
	defer cancel()
	open := func(i int) (*http.Response, *bufio.Reader, io.Closer) {
		conn, err := l.dial()
		b.must(err)
		fmt.Fprintf(conn, "GET /ws?clientId=c%d HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", i)
		r := bufio.NewReaderSize(conn, 512)
		resp, err := http.ReadResponse(r, nil)
		b.must(err)
		return resp, r, conn
	}
	memory := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	before := memory()
	for now := before; ; before = now { // what tests before this one held goes
		time.Sleep(50 * time.Millisecond)
		if now = memory(); now+1<<20 > before {
			break
		}
	}
	var readers []*bufio.Reader
	for i := range many {
		resp, r, conn := open(i)
		defer conn.Close()
		if resp.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("socket %d: %s", i, resp.Status)
		}
		readers = append(readers, r)
		frame, err := r.Peek(2)
		b.must(err)
		if _, err := r.Discard(2 + int(frame[1])); err != nil { // the greeting, which is short
			t.Fatal(err)
		}
	}
	each := float64(memory()-before) / float64(many)
	t.Logf("%d sockets, %.1f KiB each, both ends", many, each/1024)
	if each > 256<<10 {
		t.Errorf("an idle socket takes %.0f KiB", each/1024)
	}
	resp, _, conn := open(many)
	conn.Close()
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("one too many: %s", resp.Status)
	}
	begin := time.Now()
	var heard sync.WaitGroup
	for _, r := range readers {
		heard.Go(func() { r.Peek(1) })
	}
	b.sockets.status() // all hear it
	heard.Wait()
	t.Logf("told all in %v", time.Since(begin))
	b.want(200, "GET", "/healthz", nil)
}
