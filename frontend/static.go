package frontend

import (
	"embed"
	"io/fs"
	"mime"
	"net/http"
	"os"
	"path"
	"strings"

	"github.com/labstack/echo/v4"
)

//go:embed openapi.json
var openAPI []byte

func (s *Server) openAPI(c echo.Context) error { return sendJSON(c, http.StatusOK, openAPI) }

// editor is the built page, embedded.
//
//go:embed all:editor/dist
var editor embed.FS

// page is where / comes from: the user's own front end, or the editor.
func (s *Server) page() fs.FS {
	if s.FrontEnd != "" {
		root, err := os.OpenRoot(s.FrontEnd)
		if err == nil {
			return root.FS()
		}
	}
	sub, err := fs.Sub(editor, "editor/dist")
	if err != nil {
		panic(err) // the pattern above says that it is there
	}
	return sub
}

// static sends a file of the page. What is not there is 404 with an empty body, as clients that try paths expect.
func (s *Server) static(c echo.Context) error {
	name := strings.TrimPrefix(path.Clean("/"+c.Request().URL.Path), "/")
	h := c.Response().Header()
	if name == "" {
		name = "index.html"
		h.Set("Cache-Control", "no-cache")
		h.Set("Pragma", "no-cache")
		h.Set("Expires", "0")
	}
	f, err := s.page().Open(name)
	if err != nil {
		return status(http.StatusNotFound)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return status(http.StatusNotFound)
	}
	kind := mime.TypeByExtension(path.Ext(name))
	if kind == "" {
		kind = "application/octet-stream"
	}
	if of, ok := f.(*os.File); ok {
		return sendFile(c, of, kind)
	}
	data, err := fs.ReadFile(s.page(), name)
	if err != nil {
		return status(http.StatusNotFound)
	}
	return c.Blob(http.StatusOK, kind, data)
}
