package frontend

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"graphrun/graph"
	"graphrun/graph/queue"
)

// Config is what a Server serves and how.
type Config struct {
	Nodes  graph.Library
	Env    *graph.Env
	Cache  *graph.Cache
	Engine Engine
	Queue  *queue.Queue
	Dirs   Dirs
	Log    *slog.Logger // nil: none
	Logs   *Logs        // what /internal/logs shows; nil: nothing

	// Previews are the environments of prompts that ask for a preview method of their own (extra_data.preview_method), by
	// its name; others have Env.
	Previews map[string]*graph.Env

	Pictures Pictures // what /view converts with; nil: only what Go's library reads

	Token      string // all requests must show it, unless empty
	StrictHost bool   // the Host header must name this machine; a token implies it
	Hosts      []string
	CORS       string        // origin that may use the API from other pages; empty: the origin check
	MaxUpload  int64         // bytes of a request's body, 0 for 100 MiB
	MaxSockets int           // 0 for 10,000
	Patience   time.Duration // for the body of a request, which also has a second for each KiB; 0 for 30 seconds
	Compress   bool          // gzip JSON and text
	MultiUser  bool
	NoMetadata bool
	Parallel   bool   // nodes of a prompt run at once where they can
	FrontEnd   string // folder of a web page to serve at / in place of the editor

	Args []string // the command line, shown by /system_stats
}

// Dirs are the folders that clients read and write through the server.
type Dirs struct{ Input, Output, Temp, User string }

// dir is the folder of ComfyUI's name for it.
func (d Dirs) dir(kind string) (string, bool) {
	switch kind {
	case "input":
		return d.Input, true
	case "output":
		return d.Output, true
	case "temp":
		return d.Temp, true
	}
	return "", false
}

// Server answers ComfyUI's HTTP and websocket API and runs what is queued, one prompt at a time.
type Server struct {
	Config
	echo    *echo.Echo
	sockets *sockets
	metrics *metrics
	jobs    jobs
	free    chan freeRequest

	answers  sync.Map      // by prompt: closed when its submitter listens
	decoding chan struct{} // holds an element for each picture that is being read

	mu      sync.Mutex
	current *execution // what runs, nil if nothing does
	ready   bool
}

// New builds the server. Start its worker with Work and hand it to an http.Server.
func New(c Config) *Server {
	if c.MaxUpload == 0 {
		c.MaxUpload = 100 << 20
	}
	if c.MaxSockets == 0 {
		c.MaxSockets = 10000
	}
	if c.Patience == 0 {
		c.Patience = 30 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Logs == nil {
		c.Logs = NewLogs(0)
	}
	s := &Server{Config: c, free: make(chan freeRequest, 1), decoding: make(chan struct{}, 2)}
	s.sockets = newSockets(s)
	s.metrics = newMetrics(s)
	s.Logs.follow(s.sockets.logs)
	s.echo = s.router()
	return s
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.echo.ServeHTTP(w, r) }

// Serve answers on the listener until ctx ends, then finishes what clients are being sent. It does not run prompts.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	h := &http.Server{
		Handler: s, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
		ErrorLog:    slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		s.sockets.close()
		if h.Shutdown(late) != nil {
			h.Close()
		}
	})
	defer stop()
	if err := h.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Empty makes a folder anew without content: temp at start and stop (server.md 8).
func Empty(dir string) error {
	if dir == "" {
		return nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.MkdirAll(dir, 0o777)
}
