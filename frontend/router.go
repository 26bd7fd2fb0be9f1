package frontend

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"
)

// router names every route; those of the API exist with and without /api (server.md 1).
func (s *Server) router() *echo.Echo {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.HTTPErrorHandler = s.fail
	e.Pre(s.limits, s.gate)
	e.Use(s.recover, s.count)
	if s.Compress {
		e.Use(compressed())
	}

	api := func(method, path string, h echo.HandlerFunc) {
		for _, prefix := range []string{"", "/api"} {
			e.Add(method, prefix+path, h)
			if method == http.MethodGet {
				e.Add(http.MethodHead, prefix+path, h)
			}
		}
	}
	get := func(path string, h echo.HandlerFunc) { api(http.MethodGet, path, h) }
	post := func(path string, h echo.HandlerFunc) { api(http.MethodPost, path, h) }
	bare := func(path string, h echo.HandlerFunc) {
		e.GET(path, h)
		e.HEAD(path, h)
	}

	get("/ws", s.socket)

	get("/prompt", s.remaining)
	post("/prompt", s.submit)
	get("/queue", s.listQueue)
	post("/queue", s.changeQueue)
	post("/interrupt", s.interrupt)
	post("/free", s.freeMemory)
	get("/history", s.history)
	get("/history/:id", s.historyOf)
	post("/history", s.changeHistory)
	get("/jobs", s.listJobs)
	get("/jobs/:id", s.jobOf)
	post("/jobs/:id/cancel", s.cancelJob)
	post("/jobs/cancel", s.cancelJobs)

	get("/view", s.view)
	post("/upload/image", s.uploadImage)
	post("/upload/mask", s.uploadMask)
	get("/view_metadata/:folder", s.viewMetadata)

	get("/object_info", s.objectInfo)
	get("/object_info/:class", s.objectInfoOf)
	get("/models", s.modelFolders)
	get("/models/:folder", s.modelFiles)
	get("/embeddings", s.embeddings)
	get("/experiment/models", s.experimentFolders)
	get("/experiment/models/:folder", s.experimentFiles)
	get("/experiment/models/preview/:folder/:index/*", s.modelPreview)
	get("/extensions", s.extensions)
	get("/workflow_templates", emptyObject)
	get("/i18n", emptyObject)
	get("/global_subgraphs", emptyObject)

	get("/users", s.users)
	post("/users", s.addUser)
	get("/settings", s.settings)
	post("/settings", s.changeSettings)
	get("/settings/:id", s.setting)
	post("/settings/:id", s.changeSetting)
	get("/userdata", s.listUserdata)
	get("/v2/userdata", s.treeUserdata)
	get("/userdata/:file", s.readUserdata)
	post("/userdata/:file", s.writeUserdata)
	api(http.MethodDelete, "/userdata/:file", s.deleteUserdata)
	post("/userdata/:file/move/:dest", s.moveUserdata)

	get("/system_stats", s.systemStats)
	get("/features", func(c echo.Context) error { return send(c, s.features()) })
	bare("/internal/logs", s.logs)
	bare("/internal/logs/raw", s.rawLogs)
	e.PATCH("/internal/logs/subscribe", s.subscribeLogs)
	bare("/internal/folder_paths", s.folderPaths)
	bare("/internal/files/:kind", s.newestFiles)

	e.POST("/graphrun/convert", s.convert)

	bare("/healthz", s.healthy)
	bare("/readyz", s.isReady)
	bare("/metrics", s.metrics.handler)
	bare("/openapi.json", s.openAPI)

	e.GET("/*", s.static)
	e.HEAD("/*", s.static)
	return e
}

// send answers with JSON as ComfyUI words its type.
func send(c echo.Context, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return sendJSON(c, http.StatusOK, body)
}

func sendJSON(c echo.Context, status int, body []byte) error {
	c.Response().Header().Set(echo.HeaderContentLength, strconv.Itoa(len(body)))
	return c.Blob(status, "application/json; charset=utf-8", body)
}

func emptyObject(c echo.Context) error { return send(c, struct{}{}) }

// status is an error that is answered with an empty body.
func status(code int) error { return &answer{code: code} }

// text is an error that is answered with a text.
func text(code int, format string, args ...any) error {
	return &answer{code: code, text: fmt.Sprintf(format, args...)}
}

// refusal is text for a request that a limit or the gate turns away, which /metrics counts by the reason.
func refusal(reason string, code int, format string, args ...any) error {
	return &answer{code, fmt.Sprintf(format, args...), reason}
}

// answer is an error that knows how it is to be answered.
type answer struct {
	code   int
	text   string
	reason string // of refusals, one of reasons
}

func (a *answer) Error() string { return fmt.Sprintf("%d %s", a.code, a.text) }

// trouble is the answer to what nobody foresaw, word for word: clients match it.
const trouble = "500 Internal Server Error\n\nServer got itself in trouble"

// fail answers an error.
func (s *Server) fail(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	var known *answer
	var http4 *echo.HTTPError
	var tooBig *http.MaxBytesError
	switch {
	case errors.As(err, &tooBig):
		known = &answer{http.StatusRequestEntityTooLarge, fmt.Sprintf("Maximum request body size %d exceeded", tooBig.Limit), "body"}
	case errors.As(err, &known):
	case errors.As(err, &http4) && http4.Code == http.StatusMethodNotAllowed:
		if m := c.Request().Method; m == http.MethodGet || m == http.MethodHead {
			known = &answer{code: http.StatusNotFound} // the static tree has no such file
			break
		}
		c.Response().Header().Set("Allow", s.allowed(c.Request().URL.Path))
		known = &answer{code: http.StatusMethodNotAllowed, text: "405: Method Not Allowed"}
	case errors.As(err, &http4):
		known = &answer{code: http4.Code}
	default:
		s.Log.Error("request", "method", c.Request().Method, "path", c.Request().URL.Path, "error", err)
		known = &answer{code: http.StatusInternalServerError, text: trouble}
	}
	if known.reason != "" {
		s.metrics.refused.WithLabelValues(known.reason).Inc()
	}
	if known.text == "" {
		c.NoContent(known.code)
		return
	}
	c.Blob(known.code, "text/plain; charset=utf-8", []byte(known.text))
}

// allowed lists the methods of a path and those of the static tree behind it.
func (s *Server) allowed(path string) string {
	methods := []string{http.MethodGet, http.MethodHead}
	for _, m := range []string{http.MethodPost, http.MethodPatch, http.MethodDelete} {
		c := s.echo.NewContext(nil, nil)
		s.echo.Router().Find(m, path, c)
		for _, r := range s.echo.Routes() {
			if r.Method == m && r.Path == c.Path() {
				methods = append(methods, m)
				break
			}
		}
	}
	slices.Sort(methods)
	return strings.Join(methods, ",")
}

// body reads the request's JSON, whatever type it says it is. Empty and malformed ones are trouble, as clients expect.
func body(c echo.Context, into any) error {
	data, err := bodyText(c)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return text(http.StatusInternalServerError, trouble)
	}
	return nil
}

// bodyText reads the body. Room is made for what is said to come, but at first for a part: it may never come.
func bodyText(c echo.Context) ([]byte, error) {
	in, left := c.Request().Body, int(max(c.Request().ContentLength, 0))
	var data []byte
	for some := 256 << 10; left > 0; some *= 64 {
		n, at := min(left, some), len(data)
		data = slices.Grow(data, n)[:at+n]
		got, err := io.ReadFull(in, data[at:])
		if err != nil {
			return data[:at+got], err
		}
		left -= n
	}
	if c.Request().ContentLength >= 0 {
		return data, nil
	}
	return io.ReadAll(in)
}

// recover makes a panic an error that is logged with its stack.
func (s *Server) recover(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler {
					panic(p)
				}
				s.metrics.panics.WithLabelValues("request").Inc()
				s.Log.Error("panic", "path", c.Request().URL.Path, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
				err = text(http.StatusInternalServerError, trouble)
			}
		}()
		return next(c)
	}
}
