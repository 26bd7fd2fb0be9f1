package frontend

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// description is what the fuzz test reads of openapi.json.
type description struct {
	Paths map[string]map[string]operation
}

type operation struct {
	Description string
	Parameters  []struct {
		Name, In string
		Required bool
		Schema   struct {
			Type string
			Enum []string
		}
	}
	RequestBody *struct {
		Content map[string]struct {
			Schema struct {
				Properties map[string]struct{ Type string }
			}
		}
	}
	Responses map[string]any
}

func describe(t testing.TB) description {
	var d description
	if err := json.Unmarshal(openAPI, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

var braced = regexp.MustCompile(`\{\w+\}`)

// TestOpenAPI: the description has every route, and no other.
func TestOpenAPI(t *testing.T) {
	b := newBench(t, nil)
	if b.want(200, "GET", "/openapi.json", nil) != string(openAPI) {
		t.Error("another description is served")
	}
	described := map[string]bool{}
	for path, ops := range describe(t).Paths {
		for method, op := range ops {
			key := strings.ToUpper(method) + " " + braced.ReplaceAllString(path, ":")
			described[key] = true
			if op.Description == "" { // below /api too
				described[strings.Replace(key, " ", " /api", 1)] = true
			}
		}
	}
	param := regexp.MustCompile(`:\w+|\*`)
	routed := map[string]bool{}
	for _, r := range b.echo.Routes() {
		if r.Method == http.MethodHead || r.Path == "/*" || strings.HasPrefix(r.Method, "echo_") {
			continue
		}
		key := r.Method + " " + param.ReplaceAllString(r.Path, ":")
		if routed[key] = true; !described[key] {
			t.Errorf("openapi.json lacks %s", key)
		}
	}
	for key := range described {
		if !routed[key] {
			t.Errorf("openapi.json has %s, the server has not", key)
		}
	}
}

// thrower makes requests of the description with values that are random and hostile.
type thrower struct{ *rand.Rand }

func (r thrower) text() string {
	switch r.IntN(6) {
	case 0:
		return hostile[r.IntN(len(hostile))]
	case 1:
		return []string{"", "0", "-1", "9223372036854775808", "1e400", "NaN", "null", "true", "default", "loras", "EmptyImage", "x.png", "[input]", "a b"}[r.IntN(14)]
	case 2:
		b := make([]byte, r.IntN(40))
		for i := range b {
			b[i] = byte(r.IntN(256))
		}
		return string(b)
	case 3:
		return strings.Repeat(string(rune(r.IntN(0x2ffff))), r.IntN(300))
	case 4:
		return []string{"%", "%zz", "%00", "%2e%2e%2f", "';--", "${x}", "{{x}}", "\r\nX: y", "<b>", "\\", "\"", "webp;90", "jpeg;x"}[r.IntN(13)]
	}
	return fmt.Sprint(r.IntN(100) - 50)
}

func (r thrower) value(depth int) any {
	switch n := r.IntN(10); {
	case n < 2 && depth > 0:
		o := map[string]any{}
		for range r.IntN(4) {
			o[r.text()] = r.value(depth - 1)
		}
		return o
	case n < 4 && depth > 0:
		list := []any{}
		for range r.IntN(4) {
			list = append(list, r.value(depth-1))
		}
		return list
	case n == 4:
		return nil
	case n == 5:
		return r.IntN(2) == 0
	case n == 6:
		return []any{1e308, -1e308, 0.5, 1 << 53, -1, json.Number("1e999"), json.Number("123456789012345678901234567890")}[r.IntN(7)]
	case n == 7:
		return r.prompt()
	}
	return strings.ToValidUTF8(r.text(), "?")
}

// prompt is one that may even run.
func (r thrower) prompt() map[string]any {
	p := map[string]any{}
	for i := range r.IntN(5) {
		inputs := map[string]any{"text": "t"}
		switch r.IntN(4) {
		case 0:
			inputs["text"] = []any{fmt.Sprint(r.IntN(5)), r.IntN(3) - 1}
		case 1:
			inputs["text"] = r.value(1)
		}
		p[fmt.Sprint(i)] = map[string]any{"class_type": []any{"Say", "Show", "Paint", "Fail", "Panic", "Nope", 5, nil}[r.IntN(8)], "inputs": inputs}
	}
	return p
}

func (r thrower) body(op operation) ([]byte, string) {
	if op.RequestBody == nil && r.IntN(4) > 0 {
		return nil, ""
	}
	if op.RequestBody != nil && r.IntN(5) > 0 {
		for kind, c := range op.RequestBody.Content {
			if kind == "multipart/form-data" {
				var b bytes.Buffer
				w := multipart.NewWriter(&b)
				for _, name := range slices.Sorted(maps.Keys(c.Schema.Properties)) {
					if name == "image" && r.IntN(8) > 0 {
						f, _ := w.CreateFormFile(name, r.text())
						f.Write([]byte(r.text()))
					} else if r.IntN(2) == 0 {
						w.WriteField(name, r.text())
					}
				}
				w.Close()
				return b.Bytes(), w.FormDataContentType()
			}
			o := map[string]any{}
			for _, name := range slices.Sorted(maps.Keys(c.Schema.Properties)) {
				if r.IntN(3) > 0 {
					o[name] = r.value(3)
				}
			}
			if _, has := c.Schema.Properties["prompt"]; has && r.IntN(2) == 0 {
				o["prompt"] = r.prompt()
			}
			data, err := json.Marshal(o)
			if err == nil {
				return data, kind
			}
		}
	}
	if r.IntN(2) == 0 {
		data, _ := json.Marshal(r.value(4))
		return data, "application/json"
	}
	return []byte(r.text()), r.text()
}

// everywhere are answers that any route may give: the route is another one (a value with a slash), or the gate's.
var everywhere = []int{200, 403, 404, 405, 413, 421}

func (r thrower) throw(t testing.TB, b *bench, path, method string, ops map[string]operation) {
	op, full := ops[method], path
	query := url.Values{}
	for _, p := range op.Parameters {
		v := r.text()
		if len(p.Schema.Enum) > 0 && r.IntN(2) == 0 {
			v = p.Schema.Enum[r.IntN(len(p.Schema.Enum))]
		}
		switch {
		case p.In == "path":
			full = strings.Replace(full, "{"+p.Name+"}", url.PathEscape(v), 1)
		case r.IntN(4) > 0:
			query.Set(p.Name, v)
		}
	}
	if r.IntN(3) == 0 {
		full = "/api" + full
	}
	if r.IntN(20) == 0 {
		method = []string{"get", "post", "put", "delete", "patch", "head", "options", "trace"}[r.IntN(8)]
		if other, described := ops[method]; described {
			op.Responses = other.Responses
		}
	}
	target, err := url.Parse(b.http.URL + full + "?" + query.Encode())
	if err != nil {
		return
	}
	data, kind := r.body(op)
	q := httptest.NewRequest(strings.ToUpper(method), "http://127.0.0.1/", bytes.NewReader(data))
	q.URL = target
	q.URL.Host, q.URL.Scheme = "", ""
	if kind != "" {
		q.Header.Set("Content-Type", kind)
	}
	w := httptest.NewRecorder()
	b.ServeHTTP(w, q)
	if w.Code < 500 {
		if _, said := op.Responses[fmt.Sprint(w.Code)]; !said && !slices.Contains(everywhere, w.Code) {
			t.Errorf("%s %s: %d is not in the description: %.200s (body %.200q)", q.Method, q.URL, w.Code, w.Body, data)
		}
		return
	}
	_, said := op.Responses[fmt.Sprint(w.Code)]
	if !said && !(method != "get" && w.Body.String() == trouble) || w.Code == 500 && w.Body.String() != trouble {
		t.Errorf("%s %s: %d %.200s (body %.200q)", q.Method, q.URL, w.Code, w.Body, data)
	}
}

// FuzzAPI throws requests at every route of openapi.json: none may panic, none may be answered in a way that the description
// does not know, and the server must be well afterwards.
func FuzzAPI(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed)
	}
	var b *bench
	d := describe(f)
	f.Fuzz(func(t *testing.T, seed uint64) {
		log := &panics{t: t}
		b = newBench(t, func(c *Config) { c.Log = log.logger() })
		r := thrower{rand.New(rand.NewPCG(seed, 0))}
		for _, path := range slices.Sorted(maps.Keys(d.Paths)) {
			for _, method := range slices.Sorted(maps.Keys(d.Paths[path])) {
				for range 3 {
					r.throw(t, b, path, method, d.Paths[path])
				}
			}
		}
		b.Queue.Pause(false) // a request may have asked for it
		if b.status(b.submit(chain("Say", "well"))) != "success" {
			t.Error("the server is not well afterwards")
		}
	})
}
