package frontend

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
)

// Users and their data (server.md 5). Without MultiUser there is one, "default". Files are kept inside the user's folder by
// os.Root, so neither names nor links lead out.

const defaultUser = "default"

const usersFile = "users.json"

// user is the id that a request speaks for; ok is false for one that is not known.
func (s *Server) user(c echo.Context) (id string, ok bool) {
	if !s.MultiUser {
		return defaultUser, true
	}
	id = c.Request().Header.Get("comfy-user")
	_, ok = s.userNames()[id]
	return id, ok
}

func (s *Server) userNames() map[string]string {
	names := map[string]string{}
	if data, err := os.ReadFile(filepath.Join(s.Dirs.User, usersFile)); err == nil {
		json.Unmarshal(data, &names)
	}
	return names
}

func (s *Server) users(c echo.Context) error {
	if s.MultiUser {
		return send(c, map[string]any{"storage": "server", "users": s.userNames()})
	}
	_, err := os.Stat(filepath.Join(s.Dirs.User, defaultUser))
	return send(c, map[string]any{"storage": "server", "migrated": err == nil})
}

func (s *Server) addUser(c echo.Context) error {
	var who struct {
		Username string `json:"username"`
	}
	if err := body(c, &who); err != nil {
		return err
	}
	name := strings.TrimSpace(who.Username)
	if !s.MultiUser || name == "" || len(name) > 200 {
		return sendJSON(c, http.StatusBadRequest, []byte(`{"error": "username not provided"}`))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	names := s.userNames()
	for _, n := range names {
		if n == name {
			return sendJSON(c, http.StatusBadRequest, []byte(`{"error": "Duplicate username."}`))
		}
	}
	id := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, name) + "_" + uuid.NewString()
	names[id] = name
	data, err := json.MarshalIndent(names, "", "    ")
	if err != nil {
		return err
	}
	if err := s.inUserDir("", func(root *os.Root) error { return writeFile(root, usersFile, data) }); err != nil {
		return err
	}
	return send(c, id)
}

// inUserDir opens a user's folder, which is made if it is not there.
func (s *Server) inUserDir(user string, f func(*os.Root) error) error {
	dir := filepath.Join(s.Dirs.User, user)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return f(root)
}

const settingsFile = "comfy.settings.json"

// readSettings is the user's settings; what cannot be read is empty.
func readSettings(root *os.Root) map[string]json.RawMessage {
	all := map[string]json.RawMessage{}
	if data, err := root.ReadFile(settingsFile); err == nil {
		json.Unmarshal(data, &all)
	}
	if all == nil {
		all = map[string]json.RawMessage{}
	}
	return all
}

// withSettings opens the folder that the settings of the request's user lie in.
func (s *Server) withSettings(c echo.Context, f func(*os.Root) error) error {
	user, ok := s.user(c)
	if !ok {
		return status(http.StatusUnauthorized)
	}
	return s.inUserDir(user, f)
}

func (s *Server) settings(c echo.Context) error {
	return s.withSettings(c, func(root *os.Root) error { return send(c, readSettings(root)) })
}

func (s *Server) setting(c echo.Context) error {
	return s.withSettings(c, func(root *os.Root) error { return send(c, readSettings(root)[param(c, "id")]) })
}

func (s *Server) changeSettings(c echo.Context) error {
	var some map[string]json.RawMessage
	if err := body(c, &some); err != nil {
		return err
	}
	return s.putSettings(c, some)
}

func (s *Server) changeSetting(c echo.Context) error {
	var value json.RawMessage
	if err := body(c, &value); err != nil {
		return err
	}
	return s.putSettings(c, map[string]json.RawMessage{param(c, "id"): value})
}

// putSettings saves some settings among the user's others. The lock is for this alone: what is read is whole without it, and
// a client that is slow to take it holds nobody up.
func (s *Server) putSettings(c echo.Context, some map[string]json.RawMessage) error {
	err := s.withSettings(c, func(root *os.Root) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		all := readSettings(root)
		maps.Copy(all, some)
		data, err := json.MarshalIndent(all, "", "    ")
		if err != nil {
			return err
		}
		return writeFile(root, settingsFile, data)
	})
	if err != nil {
		return err
	}
	return c.NoContent(http.StatusOK)
}

// userPath is a file's name inside the user's folder; a second decoding is applied if a % is left.
func userPath(v string) (string, error) {
	if strings.Contains(v, "%") {
		if u, err := url.PathUnescape(v); err == nil {
			v = u
		}
	}
	name := filepath.FromSlash(strings.ReplaceAll(v, `\`, "/"))
	if strings.ContainsRune(name, 0) || !filepath.IsLocal(name) || filepath.Clean(name) == "." {
		return "", status(http.StatusForbidden)
	}
	return filepath.Clean(name), nil
}

// withUser opens the folder of the request's user.
func (s *Server) withUser(c echo.Context, f func(*os.Root) error) error {
	user, ok := s.user(c)
	if !ok {
		return text(http.StatusInternalServerError, trouble)
	}
	return s.inUserDir(user, f)
}

// fileInfo is what full_info shows of a file.
type fileInfo struct {
	Path     string  `json:"path"`
	Size     int64   `json:"size"`
	Modified float64 `json:"modified"`
	Created  float64 `json:"created"`
}

func infoOf(name string, info fs.FileInfo) fileInfo {
	at := seconds(info)
	return fileInfo{filepath.ToSlash(name), info.Size(), at, at}
}

func (s *Server) listUserdata(c echo.Context) error {
	dir := c.QueryParam("dir")
	if dir == "" {
		return text(http.StatusBadRequest, "Directory not provided")
	}
	dir = filepath.FromSlash(strings.ReplaceAll(dir, `\`, "/"))
	if !filepath.IsLocal(dir) {
		return text(http.StatusForbidden, "Invalid directory")
	}
	return s.withUser(c, func(root *os.Root) error {
		if info, err := root.Stat(dir); err != nil || !info.IsDir() {
			return text(http.StatusNotFound, "Directory not found")
		}
		list := []any{}
		recurse, full, split := isTrue(c, "recurse"), isTrue(c, "full_info"), isTrue(c, "split")
		start := filepath.ToSlash(filepath.Clean(dir))
		err := fs.WalkDir(root.FS(), start, func(p string, e fs.DirEntry, err error) error {
			rel := strings.TrimPrefix(strings.TrimPrefix(p, start), "/")
			switch {
			case err != nil || rel == "" && e.IsDir():
				return nil
			case e.IsDir() && (!recurse || strings.HasPrefix(e.Name(), ".")):
				return fs.SkipDir
			case e.IsDir() || strings.HasPrefix(e.Name(), "."):
				return nil
			}
			switch {
			case full:
				if info, err := e.Info(); err == nil {
					list = append(list, infoOf(rel, info))
				}
			case split:
				list = append(list, append([]string{rel}, strings.Split(rel, "/")...))
			default:
				list = append(list, rel)
			}
			return nil
		})
		if err != nil {
			return err
		}
		return send(c, list)
	})
}

func isTrue(c echo.Context, name string) bool { return strings.EqualFold(c.QueryParam(name), "true") }

func (s *Server) treeUserdata(c echo.Context) error {
	user, ok := s.user(c)
	if !ok {
		return status(http.StatusForbidden)
	}
	p := filepath.FromSlash(c.QueryParam("path"))
	if p == "" {
		p = "."
	}
	if !filepath.IsLocal(p) {
		return text(http.StatusBadRequest, "Invalid path requested")
	}
	type entry struct {
		Name     string   `json:"name"`
		Path     string   `json:"path"`
		Type     string   `json:"type"`
		Size     *int64   `json:"size,omitempty"`
		Modified *float64 `json:"modified,omitempty"`
	}
	list := []entry{}
	if _, err := os.Stat(filepath.Join(s.Dirs.User, user)); err != nil && p == "." {
		return send(c, list)
	}
	return s.inUserDir(user, func(root *os.Root) error {
		info, err := root.Stat(p)
		if err != nil {
			return text(http.StatusNotFound, "Requested path not found")
		}
		if !info.IsDir() {
			return text(http.StatusBadRequest, "Requested path is not a directory")
		}
		start := filepath.ToSlash(filepath.Clean(p))
		err = fs.WalkDir(root.FS(), start, func(name string, e fs.DirEntry, err error) error {
			if err != nil || name == start {
				return nil
			}
			n := entry{Name: e.Name(), Path: name, Type: "directory"}
			if !e.IsDir() {
				info, err := e.Info()
				if err != nil {
					return nil
				}
				size, at := info.Size(), seconds(info)
				n.Type, n.Size, n.Modified = "file", &size, &at
			}
			list = append(list, n)
			return nil
		})
		if err != nil {
			return err
		}
		slices.SortStableFunc(list, func(a, b entry) int {
			if a.Type != b.Type {
				return strings.Compare(a.Type, b.Type) // directories first
			}
			return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
		})
		return send(c, list)
	})
}

func (s *Server) readUserdata(c echo.Context) error {
	name, err := userPath(param(c, "file"))
	if err != nil {
		return err
	}
	return s.withUser(c, func(root *os.Root) error {
		f, err := root.Open(name)
		if err != nil {
			return missing(err)
		}
		defer f.Close()
		if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
			return status(http.StatusNotFound)
		}
		kind := viewType(name)
		if strings.HasSuffix(name, ".json") {
			kind = "application/json"
		}
		return sendFile(c, f, kind)
	})
}

// missing tells a link that leads outside from a file that is not there.
func missing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return status(http.StatusNotFound)
	}
	return status(http.StatusForbidden)
}

func (s *Server) writeUserdata(c echo.Context) error {
	name, err := userPath(param(c, "file"))
	if err != nil {
		return err
	}
	data, err := io.ReadAll(c.Request().Body)
	if err != nil {
		return err
	}
	return s.withUser(c, func(root *os.Root) error {
		if c.QueryParam("overwrite") == "false" {
			if _, err := root.Stat(name); err == nil {
				return text(http.StatusConflict, "File already exists")
			}
		}
		if err := root.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			return text(http.StatusBadRequest, "%v", err)
		}
		if old, err := root.ReadFile(name); err != nil || !bytes.Equal(old, data) {
			if err := writeFile(root, name, data); err != nil {
				return text(http.StatusBadRequest, "%v", err)
			}
		} else {
			now := time.Now()
			root.Chtimes(name, now, now)
		}
		return sendSaved(c, root, name)
	})
}

// sendSaved answers with the path, or all about the file if full_info is asked for.
func sendSaved(c echo.Context, root *os.Root, name string) error {
	if !isTrue(c, "full_info") {
		return send(c, filepath.ToSlash(name))
	}
	info, err := root.Stat(name)
	if err != nil {
		return err
	}
	return send(c, infoOf(name, info))
}

func (s *Server) deleteUserdata(c echo.Context) error {
	name, err := userPath(param(c, "file"))
	if err != nil {
		return err
	}
	return s.withUser(c, func(root *os.Root) error {
		if err := root.Remove(name); err != nil {
			return missing(err)
		}
		return c.NoContent(http.StatusNoContent)
	})
}

func (s *Server) moveUserdata(c echo.Context) error {
	from, err := userPath(param(c, "file"))
	if err != nil {
		return err
	}
	to, err := userPath(param(c, "dest"))
	if err != nil {
		return err
	}
	return s.withUser(c, func(root *os.Root) error {
		if _, err := root.Stat(from); err != nil {
			return missing(err)
		}
		if _, err := root.Stat(to); err == nil && c.QueryParam("overwrite") == "false" {
			return text(http.StatusConflict, "File already exists")
		}
		if err := root.MkdirAll(filepath.Dir(to), 0o777); err != nil {
			return text(http.StatusBadRequest, "%v", err)
		}
		if err := root.Rename(from, to); err != nil {
			return text(http.StatusBadRequest, "%v", err)
		}
		return sendSaved(c, root, to)
	})
}

// extensions lists the scripts of the front end's own extensions folder; packs with code do not exist here.
func (s *Server) extensions(c echo.Context) error {
	list := []string{}
	if s.FrontEnd != "" {
		dir := filepath.Join(s.FrontEnd, "extensions")
		fs.WalkDir(os.DirFS(dir), ".", func(p string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() && strings.HasSuffix(p, ".js") {
				list = append(list, path.Join("/extensions", p))
			}
			return nil
		})
	}
	return send(c, list)
}
