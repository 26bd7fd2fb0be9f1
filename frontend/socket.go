package frontend

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
)

// sockets are the websockets that are open, by their clients' ids. What is sent while no socket of an id is open is lost.
type sockets struct {
	server *Server
	mu     sync.Mutex
	byID   map[string]*socket
	open   map[*socket]bool // those too that another of the same id has replaced
	closed bool
}

func newSockets(s *Server) *sockets {
	return &sockets{server: s, byID: map[string]*socket{}, open: map[*socket]bool{}}
}

// backlog is how many bytes may wait for a client that does not read; one beyond is cut off.
const backlog = 64 << 20

// socket is one connection. Messages are written in order by a goroutine of its own, so no client holds up a run.
type socket struct {
	id       string
	conn     *websocket.Conn // nil while the handshake goes on
	wire     gathered
	before   *socket // which it replaces, until then
	metadata bool    // it takes previews with metadata
	logs     bool    // it wants the log
	greeted  bool    // its first message was heard

	mu     sync.Mutex
	queue  []message
	bytes  int
	wake   chan struct{}
	cancel context.CancelFunc
}

type message struct {
	kind  websocket.MessageType
	data  []byte
	after chan struct{} // no message: those behind it wait until this is closed
}

// socket is GET /ws (server.md 7).
func (s *Server) socket(c echo.Context) error {
	id := c.QueryParam("clientId")
	if len(id) > 1000 {
		return text(http.StatusBadRequest, "clientId is longer than 1000 bytes")
	}
	if id == "" {
		id = strings.ReplaceAll(uuid.NewString(), "-", "")
	}
	if !s.sockets.room() {
		c.Response().Header().Set("Retry-After", "30")
		return refusal("sockets", http.StatusServiceUnavailable, "too many websockets")
	}
	ctx, cancel := context.WithCancel(c.Request().Context())
	defer cancel()
	k := &socket{id: id, wake: make(chan struct{}, 1), cancel: cancel}
	if strings.EqualFold(c.Request().Header.Get("Upgrade"), "websocket") {
		// Before the client knows that it is connected: what it queues next, it hears of.
		s.sockets.add(k)
		defer s.sockets.remove(k)
	}
	// The origin has been checked by the gate, as ComfyUI checks it.
	conn, err := websocket.Accept(takeOver{c.Response(), &k.wire}, c.Request(), &websocket.AcceptOptions{InsecureSkipVerify: true, CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		return nil // Accept has answered
	}
	conn.SetReadLimit(1 << 20)
	s.sockets.connected(k, conn)
	go k.write(ctx)
	for {
		kind, data, err := conn.Read(ctx)
		if err != nil {
			conn.CloseNow()
			return nil
		}
		if kind == websocket.MessageText {
			s.sockets.heard(k, data)
		}
	}
}

// heard takes a client's message. Only one matters: feature flags, as the first.
func (ss *sockets) heard(k *socket, data []byte) {
	var m struct {
		Type string                     `json:"type"`
		Data map[string]json.RawMessage `json:"data"`
	}
	if k.greeted || !json.Valid(data) {
		return
	}
	k.greeted = true
	if json.Unmarshal(data, &m) != nil || m.Type != "feature_flags" {
		return
	}
	ss.mu.Lock()
	k.metadata = string(m.Data["supports_preview_metadata"]) == "true"
	ss.mu.Unlock()
	k.send(textMessage("feature_flags", ss.server.features()))
}

// room reports whether another socket may open.
func (ss *sockets) room() bool {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return !ss.closed && len(ss.open) < ss.server.MaxSockets
}

// add greets a socket before anything else can reach it, and tells it what its own prompt is at.
func (ss *sockets) add(k *socket) {
	node := ss.server.currentNode(k.id)
	info := ss.server.execInfo()
	ss.mu.Lock()
	defer ss.mu.Unlock()
	k.send(textMessage("status", map[string]any{"status": map[string]any{"exec_info": info}, "sid": k.id}))
	if node != "" {
		k.send(textMessage("executing", map[string]any{"node": node}))
	}
	k.before = ss.byID[k.id]
	ss.byID[k.id], ss.open[k] = k, true
	if ss.closed {
		k.cancel()
	}
}

// connected gives a socket its connection.
func (ss *sockets) connected(k *socket, conn *websocket.Conn) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	k.conn, k.before = conn, nil
}

// remove forgets a socket, but not one that has replaced it. One that did not come about has replaced nobody.
func (ss *sockets) remove(k *socket) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	delete(ss.open, k)
	switch {
	case ss.byID[k.id] != k:
	case ss.open[k.before]:
		ss.byID[k.id] = k.before
	default:
		delete(ss.byID, k.id)
	}
}

// close tells all sockets that the server ends.
func (ss *sockets) close() {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.closed = true
	for k := range ss.open {
		go func(conn *websocket.Conn) {
			if conn != nil {
				conn.Close(websocket.StatusGoingAway, "the server ends")
			}
			k.cancel()
		}(k.conn)
	}
}

// count is how many are open.
func (ss *sockets) count() int {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return len(ss.open)
}

// each calls f with the socket of a client, or with all where the client is empty.
func (ss *sockets) each(client string, f func(*socket)) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if client != "" {
		if k := ss.byID[client]; k != nil {
			f(k)
		}
		return
	}
	for _, k := range ss.byID {
		f(k)
	}
}

// to sends a client's socket an event; without a client nobody hears it.
func (ss *sockets) to(client, kind string, data any) {
	if client == "" {
		return
	}
	ss.tell(client, kind, data)
}

// tell is to, but without a client everybody hears it: ComfyUI's progress does so.
func (ss *sockets) tell(client, kind string, data any) {
	ss.tellText(client, func() []byte { return textMessage(kind, data).data })
}

// tellText is tell with a whole message, which is made if there is anybody to hear it.
func (ss *sockets) tellText(client string, text func() []byte) {
	var m message
	ss.each(client, func(k *socket) {
		if m.data == nil {
			m = message{kind: websocket.MessageText, data: text()}
		}
		k.send(m)
	})
}

// status tells everybody how much there is to run.
func (ss *sockets) status() {
	ss.tell("", "status", map[string]any{"status": map[string]any{"exec_info": ss.server.execInfo()}})
}

// logs sends lines of the log to those that want them.
func (ss *sockets) logs(entries []LogEntry) {
	var m message
	ss.each("", func(k *socket) {
		if !k.logs {
			return
		}
		if m.data == nil {
			m = textMessage("logs", map[string]any{"entries": entries, "size": nil})
		}
		k.send(m)
	})
}

// subscribe turns a client's log messages on or off.
func (ss *sockets) subscribe(client string, on bool) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if k := ss.byID[client]; k != nil {
		k.logs = on
	}
}

func textMessage(kind string, data any) message {
	text, err := json.Marshal(struct {
		Type string `json:"type"`
		Data any    `json:"data"`
	}{kind, data})
	if err != nil { // a UI value of a node that JSON has not: NaN
		text, _ = json.Marshal(map[string]any{"type": kind, "data": map[string]any{}})
	}
	return message{kind: websocket.MessageText, data: text}
}

// Binary events (server.md 7).
const (
	eventPreview         = 1
	eventText            = 3
	eventPreviewMetadata = 4
)

func binaryMessage(event uint32, head, rest []byte) message {
	data := binary.BigEndian.AppendUint32(nil, event)
	return message{kind: websocket.MessageBinary, data: append(append(data, head...), rest...)}
}

func lengthPrefixed(text []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)
}

// send queues a message. A client that has let too much pile up is cut off.
func (k *socket) send(m message) {
	k.mu.Lock()
	k.queue = append(k.queue, m)
	k.bytes += len(m.data)
	over := k.bytes > backlog
	k.mu.Unlock()
	if over {
		k.cancel()
		return
	}
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// write sends what is queued until ctx ends, and looks whether an idle client is still there.
func (k *socket) write(ctx context.Context) {
	defer k.cancel()
	idle := time.NewTicker(30 * time.Second)
	defer idle.Stop()
	for {
		k.mu.Lock()
		batch := k.queue
		k.queue, k.bytes = nil, 0
		k.mu.Unlock()
		if !k.put(ctx, batch) {
			return
		}
		select {
		case <-k.wake:
		case <-idle.C:
			ping, cancel := context.WithTimeout(ctx, 20*time.Second)
			err := k.conn.Ping(ping)
			cancel()
			if err != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// put sends messages, as many as there are in one go: most are small, and a prompt of trivial nodes has hundreds.
func (k *socket) put(ctx context.Context, batch []message) bool {
	k.wire.hold(len(batch) > 1)
	for _, m := range batch {
		if m.after != nil {
			k.wire.hold(false)
			select {
			case <-m.after:
			case <-ctx.Done():
				return false
			}
			k.wire.hold(true)
			continue
		}
		if k.conn.Write(ctx, m.kind, m.data) != nil {
			return false
		}
	}
	return k.wire.hold(false) == nil
}
