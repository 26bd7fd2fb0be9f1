package frontend

import (
	"embed"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"os"
	"path"
	"path/filepath"
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

// pageFile opens a file of what / shows: the user's own front end, or the editor.
func (s *Server) pageFile(name string) (fs.File, error) {
	if s.FrontEnd != "" {
		if root, err := os.OpenRoot(s.FrontEnd); err == nil {
			defer root.Close()
			return root.Open(filepath.FromSlash(name))
		}
	}
	return editor.Open("editor/dist/" + name)
}

// noTemplates are the lists of example workflows, which ComfyUI brings in a package and a page waits for: there are none.
func noTemplates(name string) string {
	switch file, isTemplate := strings.CutPrefix(name, "templates/index"); {
	case !isTemplate || !strings.HasSuffix(file, ".json"):
		return ""
	case file == ".json" || file[0] == '.' && !strings.Contains(file, "/"): // index.zh.json: in a language
		return "[]"
	case file == "_logo.json":
		return "{}"
	}
	return ""
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
	f, err := s.pageFile(name)
	if list := noTemplates(name); err != nil && list != "" {
		return sendJSON(c, http.StatusOK, []byte(list))
	}
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
	data, err := io.ReadAll(f)
	if err != nil {
		return status(http.StatusNotFound)
	}
	return c.Blob(http.StatusOK, kind, data)
}
