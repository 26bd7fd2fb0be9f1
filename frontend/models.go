package frontend

import (
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"graphrun/graph"
)

// param is a part of the path, decoded: slashes come as %2F.
func param(c echo.Context, name string) string {
	v := c.Param(name)
	if c.Request().URL.RawPath != "" {
		if u, err := url.PathUnescape(v); err == nil {
			v = u
		}
	}
	return v
}

func (s *Server) objectInfo(c echo.Context) error {
	info, err := graph.ObjectInfo(s.Nodes, s.Env)
	if err != nil {
		return err
	}
	return sendJSON(c, http.StatusOK, info)
}

func (s *Server) objectInfoOf(c echo.Context) error {
	class := param(c, "class")
	one := graph.Library{}
	if spec := s.Nodes[class]; spec != nil {
		one[class] = spec
	}
	info, err := graph.ObjectInfo(one, s.Env)
	if err != nil {
		return err
	}
	return sendJSON(c, http.StatusOK, info)
}

func (s *Server) modelFolders(c echo.Context) error { return send(c, s.Engine.ModelFolders()) }

func (s *Server) modelFiles(c echo.Context) error {
	files, err := s.Engine.ModelFiles(param(c, "folder"))
	if err != nil {
		return status(http.StatusNotFound)
	}
	return send(c, orEmpty(files))
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func (s *Server) embeddings(c echo.Context) error { return send(c, s.embeddingNames()) }

// embeddingNames are without suffix.
func (s *Server) embeddingNames() []string {
	files, _ := s.Engine.ModelFiles("embeddings") // none where there is no such folder
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = strings.TrimSuffix(f, path.Ext(f))
	}
	return names
}

func (s *Server) experimentFolders(c echo.Context) error {
	type folder struct {
		Name    string   `json:"name"`
		Folders []string `json:"folders"`
	}
	list := []folder{}
	for _, name := range s.Engine.ModelFolders() {
		if name != "configs" && name != "custom_nodes" {
			list = append(list, folder{name, absolute(s.Engine.ModelDirs(name))})
		}
	}
	return send(c, list)
}

func absolute(dirs []string) []string {
	out := make([]string, len(dirs))
	for i, d := range dirs {
		if abs, err := filepath.Abs(d); err == nil {
			d = abs
		}
		out[i] = d
	}
	return out
}

func (s *Server) experimentFiles(c echo.Context) error {
	kind := param(c, "folder")
	files, err := s.Engine.ModelFiles(kind)
	if err != nil {
		return status(http.StatusNotFound)
	}
	type file struct {
		Name     string  `json:"name"`
		Index    int     `json:"pathIndex"`
		Modified float64 `json:"modified"`
		Created  float64 `json:"created"`
		Size     int64   `json:"size"`
	}
	list := []file{}
	for _, name := range files {
		for i, dir := range s.Engine.ModelDirs(kind) {
			if info, err := os.Stat(filepath.Join(dir, filepath.FromSlash(name))); err == nil {
				at := seconds(info)
				list = append(list, file{name, i, at, at, info.Size()})
				break
			}
		}
	}
	return send(c, list)
}

func seconds(info os.FileInfo) float64 { return float64(info.ModTime().UnixMicro()) / 1e6 }

// modelPreview sends the picture that lies beside a model file: x.png, x.preview.png and the like.
func (s *Server) modelPreview(c echo.Context) error {
	dirs := s.Engine.ModelDirs(param(c, "folder"))
	index, err := strconv.Atoi(param(c, "index"))
	if err != nil || index < 0 || index >= len(dirs) {
		return status(http.StatusNotFound)
	}
	name := param(c, "*")
	stem := strings.TrimSuffix(name, path.Ext(name))
	for _, middle := range []string{"", ".preview"} {
		for _, ext := range []string{".png", ".jpg", ".jpeg", ".webp"} {
			f, err := open(dirs[index], stem+middle+ext)
			if err != nil {
				continue
			}
			defer f.Close()
			return s.sendPreview(c, f, "webp;90", "")
		}
	}
	return status(http.StatusNotFound)
}
