package frontend

import (
	"bufio"
	"net"
	"net/http"
	"sync"
	"time"
)

// gathered is a connection of a websocket. What is written to it while it holds goes out in one piece.
type gathered struct {
	net.Conn

	mu      sync.Mutex
	holding bool
	held    []byte
}

// mostHeld is how many bytes are held at most.
const mostHeld = 64 << 10

// takeOver hands an answer's connection over as a gathered one.
type takeOver struct {
	http.ResponseWriter
	wire *gathered
}

// Hijack implements http.Hijacker.
func (t takeOver) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(t.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	t.wire.Conn = conn
	return t.wire, bufio.NewReadWriter(rw.Reader, bufio.NewWriter(t.wire)), nil
}

// Write takes p, whole or not at all. A client that takes nothing for a minute is given up.
func (g *gathered) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.holding && len(g.held)+len(p) <= mostHeld {
		g.held = append(g.held, p...)
		return len(p), nil
	}
	if err := g.flush(); err != nil {
		return 0, err
	}
	g.SetWriteDeadline(time.Now().Add(time.Minute))
	return g.Conn.Write(p)
}

// hold begins to gather, or sends what was gathered.
func (g *gathered) hold(on bool) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.holding = on
	if on {
		return nil
	}
	return g.flush()
}

func (g *gathered) flush() error {
	if len(g.held) == 0 {
		return nil
	}
	g.SetWriteDeadline(time.Now().Add(time.Minute))
	_, err := g.Conn.Write(g.held)
	if g.held = g.held[:0]; cap(g.held) > 4<<10 { // sockets are many, and mostly idle
		g.held = nil
	}
	return err
}
