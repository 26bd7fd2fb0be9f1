package frontend

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
)

// What clients that check versions are told: the release whose contract this is (server.md).
const (
	comfyVersion     = "0.3.64"
	frontendVersion  = "1.27.10"
	templatesVersion = "0.1.95"
)

func (s *Server) features() map[string]any {
	return map[string]any{"supports_preview_metadata": true, "max_upload_size": s.MaxUpload}
}

func (s *Server) systemStats(c echo.Context) error {
	st := s.Engine.Stats()
	kind := "posix"
	if filepath.Separator == '\\' {
		kind = "nt"
	}
	devices := []any{}
	for _, d := range st.Devices {
		var index any
		if d.Type != "cpu" {
			index = 0
		}
		devices = append(devices, map[string]any{
			"name": d.Name, "type": d.Type, "index": index, "vram_total": d.MemoryTotal, "vram_free": d.MemoryFree,
			"torch_vram_total": d.InUse, "torch_vram_free": 0,
		})
	}
	return send(c, map[string]any{
		"system": map[string]any{
			"os": kind, "ram_total": st.RAMTotal, "ram_free": st.RAMFree, "comfyui_version": comfyVersion,
			"required_frontend_version": frontendVersion, "installed_templates_version": templatesVersion,
			"required_templates_version": templatesVersion, "python_version": "graphrun " + st.Version + " (" + st.Go + ", " + st.OS + ")",
			"pytorch_version": "none", "embedded_python": false, "argv": s.Args,
		},
		"devices": devices,
	})
}

func (s *Server) freeMemory(c echo.Context) error {
	var what struct {
		Unload *bool `json:"unload_models"`
		Cache  bool  `json:"free_memory"`
	}
	if err := body(c, &what); err != nil {
		return err
	}
	f := freeRequest{Cache: what.Cache, Unload: what.Cache}
	if what.Unload != nil {
		f.Unload = *what.Unload
	}
	select {
	case s.free <- f:
	default: // another waits: it frees everything
		select {
		case old := <-s.free:
			f.Cache, f.Unload = f.Cache || old.Cache, f.Unload || old.Unload
		default:
		}
		select {
		case s.free <- f:
		default:
		}
	}
	return c.NoContent(http.StatusOK)
}

func (s *Server) healthy(c echo.Context) error { return c.String(http.StatusOK, "ok\n") }

// isReady says whether prompts are run.
func (s *Server) isReady(c echo.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ready {
		return c.String(http.StatusServiceUnavailable, "starting\n")
	}
	return c.String(http.StatusOK, "ready\n")
}

func (s *Server) folderPaths(c echo.Context) error {
	all := map[string][]string{}
	for _, name := range s.Engine.ModelFolders() {
		all[name] = absolute(s.Engine.ModelDirs(name))
	}
	return send(c, all)
}

func (s *Server) newestFiles(c echo.Context) error {
	dir, ok := s.Dirs.dir(param(c, "kind"))
	if !ok {
		return sendJSON(c, http.StatusBadRequest, []byte(`{"error": "Invalid directory type"}`))
	}
	entries, _ := os.ReadDir(dir)
	type file struct {
		name string
		at   time.Time
	}
	var files []file
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			files = append(files, file{e.Name(), info.ModTime()})
		}
	}
	slices.SortFunc(files, func(a, b file) int { return b.at.Compare(a.at) })
	names := []string{}
	for _, f := range files {
		names = append(names, f.name)
	}
	return send(c, names)
}

// LogEntry is a line of the log as /internal/logs shows it.
type LogEntry struct {
	Time string `json:"t"`
	Text string `json:"m"`
}

// Logs keeps the last lines that are written to it, each one Write: hand it to a slog.Handler beside the terminal.
type Logs struct {
	mu      sync.Mutex
	entries []LogEntry
	keep    int
	tell    func([]LogEntry)
}

// NewLogs keeps that many lines, 300 if it is 0.
func NewLogs(keep int) *Logs {
	if keep <= 0 {
		keep = 300
	}
	return &Logs{keep: keep}
}

// Write keeps a line.
func (l *Logs) Write(p []byte) (int, error) {
	e := LogEntry{time.Now().Format("2006-01-02T15:04:05.000000"), string(p)}
	l.mu.Lock()
	l.entries = append(l.entries, e)
	if len(l.entries) > l.keep {
		l.entries = slices.Delete(l.entries, 0, len(l.entries)-l.keep)
	}
	tell := l.tell
	l.mu.Unlock()
	if tell != nil {
		tell([]LogEntry{e})
	}
	return len(p), nil
}

func (l *Logs) follow(f func([]LogEntry)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tell = f
}

func (l *Logs) all() []LogEntry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.entries)
}

func (s *Server) logs(c echo.Context) error {
	var b bytes.Buffer
	for _, e := range s.Logs.all() {
		b.WriteString(e.Time + " - " + e.Text)
	}
	return send(c, b.String())
}

func (s *Server) rawLogs(c echo.Context) error {
	return send(c, map[string]any{"entries": orEmpty(s.Logs.all()), "size": map[string]int{"cols": 120, "rows": 40}})
}

func (s *Server) subscribeLogs(c echo.Context) error {
	var who struct {
		ClientID string `json:"clientId"`
		Enabled  bool   `json:"enabled"`
	}
	if err := body(c, &who); err != nil {
		return err
	}
	s.sockets.subscribe(who.ClientID, who.Enabled)
	return c.NoContent(http.StatusOK)
}
