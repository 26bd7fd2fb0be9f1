package frontend

import (
	"bytes"
	"fmt"
	"io/fs"
	"mime/multipart"
	"net/textproto"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// form is a multipart body with one file, then fields in pairs. The file's name is written as it is.
func form(t testing.TB, field, name string, data []byte, fields ...string) (body []byte, kind string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	h := textproto.MIMEHeader{}
	h.Set("Content-Disposition", fmt.Sprintf(`form-data; name="%s"; filename="%s"`, field, strings.ReplaceAll(name, `"`, `\"`)))
	p, err := w.CreatePart(h)
	if err != nil {
		t.Fatal(err)
	}
	p.Write(data)
	for i := 0; i < len(fields); i += 2 {
		w.WriteField(fields[i], fields[i+1])
	}
	w.Close()
	return b.Bytes(), w.FormDataContentType()
}

// hostile are names that lead outside, or try to.
var hostile = []string{
	"../secret", "../../secret", "a/../../secret", "..", ".", "/etc/passwd", "//etc/passwd", "/secret", `..\secret`, `a\..\..\secret`,
	`C:\secret`, `C:secret`, `\\host\share\secret`, `\\?\C:\secret`, "secret\x00.png", "\x00", "..%2fsecret", "%2e%2e/secret", "%252e%252e%252fsecret",
	"....//secret", "..;/secret", "~/secret", "file:///etc/passwd", "CON", "NUL.png", "a:stream", "link/secret", "out", "./../secret",
	"\u2024\u2024/secret", "..\u2215secret", "a\nb", "\xff\xfe", strings.Repeat("a", 5000), strings.Repeat("../", 500) + "etc/passwd",
}

// jailed makes folders with links that lead out of them, and a secret beside.
func jailed(t *testing.T, change func(*Config)) *bench {
	b := newBench(t, change)
	b.must(os.WriteFile(filepath.Join(b.root, "secret"), []byte("SECRET"), 0o666))
	b.must(os.MkdirAll(filepath.Join(b.root, "user", "default"), 0o777))
	for _, d := range []string{"input", "output", "temp", "user/default", "models/loras"} {
		os.Symlink(b.root, filepath.Join(b.root, d, "link"))
		os.Symlink(filepath.Join(b.root, "secret"), filepath.Join(b.root, d, "out"))
		os.Symlink("../secret", filepath.Join(b.root, d, "relative"))
	}
	return b
}

// files lists all below the folder but for what a jail may hold.
func (b *bench) files() string {
	var list []string
	filepath.WalkDir(b.root, func(p string, e fs.DirEntry, err error) error {
		if rel, _ := filepath.Rel(b.root, p); err == nil {
			switch first, _, _ := strings.Cut(filepath.ToSlash(rel), "/"); first {
			case "input", "output", "temp", "user":
			default:
				list = append(list, rel)
			}
		}
		return nil
	})
	secret, _ := os.ReadFile(filepath.Join(b.root, "secret"))
	return strings.Join(list, "\n") + string(secret)
}

// refused fails on an answer that tells the secret, or is no plain refusal.
func (b *bench) refused(what string, method, path string, body any, headers ...string) {
	b.Helper()
	resp, text := b.do(method, path, body, headers...)
	if strings.Contains(text, "SECRET") || strings.Contains(text, "root:") {
		b.Errorf("%s: told: %.100s", what, text)
	}
	if resp.StatusCode >= 500 && !strings.HasPrefix(text, trouble) {
		b.Errorf("%s: %d %.100s", what, resp.StatusCode, text)
	}
}

func TestJailView(t *testing.T) {
	b := jailed(t, nil)
	for _, name := range append(hostile, "relative", "link") {
		q := url.QueryEscape(name)
		for _, kind := range []string{"input", "output", "temp", "..", "user", "/"} {
			for _, channel := range []string{"", "&channel=rgb", "&preview=webp"} {
				b.refused(name, "GET", "/view?filename="+q+"&type="+kind+channel, nil)
				b.refused(name, "GET", "/view?filename=secret&type="+kind+"&subfolder="+q+channel, nil)
			}
		}
		b.refused(name, "GET", "/view?filename="+q+url.QueryEscape(" [input]"), nil)
		b.refused(name, "GET", "/"+url.PathEscape(name), nil)
		b.refused(name, "GET", "/internal/files/"+url.PathEscape(name), nil)
		b.refused(name, "GET", "/view_metadata/"+url.PathEscape(name)+"?filename="+q+".safetensors", nil)
		b.refused(name, "GET", "/view_metadata/loras?filename="+q+".safetensors", nil)
		b.refused(name, "GET", "/experiment/models/preview/loras/0/"+url.PathEscape(name), nil)
		b.refused(name, "GET", "/experiment/models/preview/loras/"+url.PathEscape(name)+"/x", nil)
		b.refused(name, "GET", "/models/"+url.PathEscape(name), nil)
	}
}

func TestJailUpload(t *testing.T) {
	b := jailed(t, nil)
	before := b.files()
	for _, name := range append(hostile, "relative", "link/x.png") {
		if strings.ContainsAny(name, "\n") {
			continue // no header can hold it
		}
		for _, route := range []string{"/upload/image", "/upload/mask"} {
			for _, kind := range []string{"input", "temp", "output", "../x"} {
				body, ct := form(t, "image", name, []byte("evil"), "type", kind, "overwrite", "true", "original_ref", `{"filename":"x"}`)
				b.refused(name, "POST", route, body, "Content-Type", ct)
				body, ct = form(t, "image", "x.png", []byte("evil"), "type", kind, "subfolder", name, "overwrite", "true", "original_ref", `{"filename":"x"}`)
				b.refused(name, "POST", route, body, "Content-Type", ct)
			}
		}
		ref := fmt.Sprintf(`{"filename":%q,"type":"input"}`, name)
		body, ct := form(t, "image", "x.png", picture(t, 2, 2), "original_ref", ref)
		b.refused(name, "POST", "/upload/mask", body, "Content-Type", ct)
	}
	if after := b.files(); after != before {
		t.Errorf("files outside the folders changed:\n%s\nwere:\n%s", after, before)
	}
}

func TestJailUserdata(t *testing.T) {
	b := jailed(t, nil)
	before := b.files()
	b.want(200, "POST", "/userdata/own.json", "{}")
	for _, name := range append(hostile, "relative", "link/x") {
		p := url.PathEscape(name)
		for _, path := range []string{p, url.PathEscape(p)} { // a second decoding is applied
			b.refused(name, "GET", "/userdata/"+path, nil)
			b.refused(name, "POST", "/userdata/"+path, "evil")
			b.refused(name, "POST", "/userdata/own.json/move/"+path, nil)
			b.want(200, "POST", "/userdata/own.json", "{}")
			b.refused(name, "POST", "/userdata/"+path+"/move/stolen", nil)
			b.refused(name, "GET", "/userdata/stolen", nil)
			b.refused(name, "DELETE", "/userdata/"+path, nil)
		}
		b.refused(name, "GET", "/userdata?recurse=true&dir="+url.QueryEscape(name), nil)
		b.refused(name, "GET", "/v2/userdata?path="+url.QueryEscape(name), nil)
		b.refused(name, "GET", "/settings/"+p, nil)
		b.refused(name, "POST", "/settings/"+p, "1")
	}
	if after := b.files(); after != before {
		t.Errorf("files outside the folders changed:\n%s\nwere:\n%s", after, before)
	}
}

// TestJailUser: a user's name makes no path.
func TestJailUser(t *testing.T) {
	b := jailed(t, func(c *Config) { c.MultiUser = true })
	before := b.files()
	for _, name := range hostile {
		if strings.ContainsAny(name, "\n\x00") {
			continue
		}
		b.refused(name, "POST", "/users", dict{"username": name})
		b.refused(name, "GET", "/settings", nil, "comfy-user", name)
		b.refused(name, "POST", "/userdata/secret", "evil", "comfy-user", name)
		b.refused(name, "GET", "/userdata/secret", nil, "comfy-user", name)
	}
	if after := b.files(); after != before {
		t.Errorf("files outside the folders changed:\n%s\nwere:\n%s", after, before)
	}
}

// TestJailFrontEnd: --front-end-root serves its folder alone.
func TestJailFrontEnd(t *testing.T) {
	root := t.TempDir()
	os.WriteFile(filepath.Join(root, "secret"), []byte("SECRET"), 0o666)
	page := filepath.Join(root, "page")
	os.MkdirAll(filepath.Join(page, "extensions", "core"), 0o777)
	os.WriteFile(filepath.Join(page, "index.html"), []byte("<p>mine"), 0o666)
	os.WriteFile(filepath.Join(page, "extensions", "core", "a.js"), []byte("1"), 0o666)
	os.Symlink(root, filepath.Join(page, "link"))
	b := newBench(t, func(c *Config) { c.FrontEnd = page })
	if got := b.want(200, "GET", "/", nil); got != "<p>mine" {
		t.Error(got)
	}
	if got := b.want(200, "GET", "/extensions", nil); got != `["/extensions/core/a.js"]` {
		t.Error(got)
	}
	resp, _ := b.do("GET", "/extensions/core/a.js", nil)
	if resp.StatusCode != 200 || !strings.Contains(resp.Header.Get("Content-Type"), "javascript") {
		t.Error(resp.StatusCode, resp.Header)
	}
	for _, name := range append(hostile, "link/secret") {
		b.refused(name, "GET", "/"+url.PathEscape(name), nil)
		b.refused(name, "GET", "/extensions/"+url.PathEscape(name), nil)
	}
	b.refused("link", "GET", "/link/secret", nil)
	b.want(404, "GET", "/extensions/", nil)
}
