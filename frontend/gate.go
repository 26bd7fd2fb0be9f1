package frontend

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
)

// limits bounds the body of a request and sets the headers that every answer has.
func (s *Server) limits(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r, h := c.Request(), c.Response().Header()
		r.URL.RawQuery = strings.ReplaceAll(r.URL.RawQuery, ";", "%3B") // preview=webp;90: Go would drop it
		if r.ContentLength > s.MaxUpload {
			return refusal("body", http.StatusRequestEntityTooLarge, "Maximum request body size %d exceeded, actual body size %d", s.MaxUpload, r.ContentLength)
		}
		if r.Body != http.NoBody {
			r.Body = &steady{ReadCloser: http.MaxBytesReader(c.Response(), r.Body, s.MaxUpload), conn: http.NewResponseController(c.Response()), until: time.Now().Add(s.Patience)}
		}
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "SAMEORIGIN")
		h.Set("Referrer-Policy", "same-origin")
		c.Response().Before(func() { cacheHeader(h, r.URL.Path, c.Response().Status) })
		return next(c)
	}
}

// steady is a request's body that has to keep coming: it has Config.Patience, and for each KiB a second more.
type steady struct {
	io.ReadCloser
	conn  *http.ResponseController
	until time.Time
}

func (b *steady) Read(p []byte) (int, error) {
	b.conn.SetReadDeadline(b.until) // a test's recorder has none
	n, err := b.ReadCloser.Read(p)
	b.until = b.until.Add(time.Duration(n) * time.Second / 1024)
	if err == io.EOF {
		b.conn.SetReadDeadline(time.Time{}) // the handler takes its time
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		b.conn.SetReadDeadline(time.Now().Add(time.Second)) // to send the answer
		err = refusal("slow", http.StatusRequestTimeout, "the request's body came too slowly")
	}
	return n, err
}

// cacheHeader says how long an answer may be kept (server.md 1), unless the handler has said so.
func cacheHeader(h http.Header, p string, status int) {
	if h.Get("Cache-Control") != "" {
		return
	}
	base := path.Base(p)
	ext := strings.ToLower(path.Ext(p))
	switch {
	case ext == ".js", ext == ".css", strings.HasPrefix(base, "index") && strings.HasSuffix(base, ".json"):
		h.Set("Cache-Control", "no-cache")
	case slices.Contains([]string{".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"}, ext):
		switch {
		case status == http.StatusNotFound:
			h.Set("Cache-Control", "public, max-age=3600")
		case status >= 200 && status <= 206, status == 301, status == 308:
			h.Set("Cache-Control", "public, max-age=86400")
		case status == 302, status == 303, status == 307:
			h.Set("Cache-Control", "no-cache")
		}
	}
}

// gate turns away requests of other sites, of other names of this machine, and without the token. It answers OPTIONS.
func (s *Server) gate(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r, h := c.Request(), c.Response().Header()
		if s.CORS != "" {
			h.Set("Access-Control-Allow-Origin", s.CORS)
			h.Set("Access-Control-Allow-Methods", "POST, GET, DELETE, PUT, OPTIONS, PATCH")
			h.Set("Access-Control-Allow-Headers", "Content-Type, Authorization")
			h.Set("Access-Control-Allow-Credentials", "true")
		} else if foreign(r.Host, r.Header.Get("Origin")) {
			return refusal("origin", http.StatusForbidden, "")
		}
		if (s.StrictHost || s.Token != "") && !s.ownHost(r.Host) {
			return refusal("host", http.StatusMisdirectedRequest, "unknown host %q: name it with --allow-host", r.Host)
		}
		if r.Method == http.MethodOptions {
			return c.NoContent(http.StatusOK)
		}
		if s.Token == "" || openToAll(r.URL.Path) {
			return next(c)
		}
		shown, byQuery := shownToken(r)
		if !sameText(shown, s.Token) {
			h.Set("WWW-Authenticate", `Bearer realm="graphrun"`)
			return refusal("token", http.StatusUnauthorized, "a token is needed: as Authorization: Bearer TOKEN, as cookie or as ?token=TOKEN")
		}
		if byQuery { // the page's own requests show it from then on
			c.SetCookie(&http.Cookie{Name: tokenCookie, Value: shown, Path: "/", HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteStrictMode})
		}
		return next(c)
	}
}

const tokenCookie = "graphrun_token"

// openToAll are the paths that a supervisor asks without a token; they tell nothing but that the server lives.
func openToAll(p string) bool { return p == "/healthz" || p == "/readyz" }

// shownToken is the token of a request: of its header, cookie or query.
func shownToken(r *http.Request) (token string, byQuery bool) {
	if t, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return t, false
	}
	if t := r.URL.Query().Get("token"); t != "" {
		return t, true
	}
	if cookie, err := r.Cookie(tokenCookie); err == nil {
		return cookie.Value, false
	}
	return "", false
}

// sameText compares in a time that tells nothing of the texts, their lengths included.
func sameText(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// foreign is ComfyUI's origin check: a page of another site asks a server on this machine's own address (server.md 1).
func foreign(host, origin string) bool {
	if host == "" || origin == "" {
		return false
	}
	u, err := url.Parse(origin)
	if err != nil {
		return true
	}
	host, from := strings.ToLower(host), strings.ToLower(u.Host)
	if from == "" || !loopback(hostname(host)) {
		return false
	}
	if u.Port() == "" {
		host = hostname(host)
	}
	if _, _, err := net.SplitHostPort(host); err != nil {
		from = hostname(from)
	}
	return host != from
}

// hostname is the host without its port and brackets.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.Trim(host, "[]")
}

// loopback reports whether a name is this machine's own. Names are not resolved but for localhost: asking a name server for
// every request would let others decide.
func loopback(name string) bool {
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	a, err := netip.ParseAddr(name)
	return err == nil && a.Unmap().IsLoopback()
}

// ownHost reports whether a Host header names this machine as its owner knows it: an address, localhost, or a name of
// --allow-host. Any other name may be an attacker's that was pointed here (DNS rebinding).
func (s *Server) ownHost(host string) bool {
	name := hostname(strings.ToLower(host))
	if _, err := netip.ParseAddr(name); err == nil || loopback(name) {
		return true
	}
	return slices.Contains(s.Hosts, name)
}

// compressed is gzip for JSON and text (--enable-compress-response-body).
func compressed() echo.MiddlewareFunc {
	return middleware.GzipWithConfig(middleware.GzipConfig{
		MinLength: 1024,
		Skipper: func(c echo.Context) bool {
			p := strings.TrimPrefix(c.Request().URL.Path, "/api")
			return p == "/ws" || p == "/view" || strings.HasPrefix(p, "/userdata/")
		},
	})
}
