package frontend

import (
	"net/http"
	"strings"
	"testing"
)

func TestOrigin(t *testing.T) {
	b := newBench(t, nil)
	port := b.http.URL[strings.LastIndexByte(b.http.URL, ':')+1:]
	for _, c := range []struct {
		host, origin string
		want         int
	}{
		{"", "", 200},
		{"", "http://127.0.0.1:" + port, 200},
		{"", "http://127.0.0.1", 200},
		{"", "null", 200},
		{"", "http://127.0.0.1:1", 403},
		{"", "http://localhost:" + port, 403},
		{"", "http://evil.example", 403},
		{"", "http://127.0.0.1.evil.example", 403},
		{"", "http://evil.example/127.0.0.1", 403},
		{"", "http://user@127.0.0.1:" + port, 200},
		{"", "http://%zz", 403},
		{"LOCALHOST:" + port, "http://localhost:" + port, 200},
		{"[::1]:" + port, "http://[::1]:" + port, 200},
		{"[::1]:" + port, "http://evil.example", 403},
		{"127.9.9.9:1", "http://evil.example", 403},
		{"example.org:9", "http://evil.example", 200},
	} {
		for _, path := range []string{"/prompt", "/api/queue", "/view?filename=x"} {
			h := []string{"Origin", c.origin}
			if c.origin == "" {
				h = nil
			}
			if c.host != "" {
				h = append(h, "Host", c.host)
			}
			want := c.want
			if want == 200 && strings.HasPrefix(path, "/view") {
				want = 404
			}
			b.want(want, "GET", path, nil, h...)
		}
	}
	b.want(403, "GET", "/ws", nil, "Origin", "http://evil.example", "Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")
}

func TestCORS(t *testing.T) {
	b := newBench(t, func(c *Config) { c.CORS = "https://pages.example" })
	resp, _ := b.do("GET", "/prompt", nil, "Origin", "http://evil.example")
	if resp.StatusCode != 200 || resp.Header.Get("Access-Control-Allow-Origin") != "https://pages.example" {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
	resp, body := b.do("OPTIONS", "/no/such", nil)
	if resp.StatusCode != 200 || body != "" || resp.Header.Get("Access-Control-Allow-Methods") == "" {
		t.Errorf("OPTIONS: %d %q %v", resp.StatusCode, body, resp.Header)
	}
}

func TestToken(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Token = "s3cret" })
	for _, path := range []string{"/prompt", "/api/prompt", "/", "/ws", "/view?filename=x", "/metrics", "/openapi.json", "/internal/logs", "/no/such"} {
		b.want(401, "GET", path, nil)
		b.want(401, "GET", path, nil, "Authorization", "Bearer wrong")
		b.want(401, "GET", path, nil, "Authorization", "Basic s3cret")
		b.want(401, "GET", path, nil, "Cookie", tokenCookie+"=s3cre")
	}
	b.want(401, "POST", "/prompt", chain("Say", "x"))
	b.want(401, "GET", "/prompt?token=", nil)
	b.want(200, "GET", "/healthz", nil)
	b.want(200, "GET", "/readyz", nil)
	b.want(200, "GET", "/prompt", nil, "Authorization", "Bearer s3cret")
	b.want(200, "GET", "/prompt", nil, "Cookie", tokenCookie+"=s3cret")
	resp, _ := b.do("GET", "/prompt?token=s3cret", nil)
	cookies := resp.Cookies()
	if resp.StatusCode != 200 || len(cookies) != 1 || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteStrictMode {
		t.Errorf("%d %v", resp.StatusCode, cookies)
	}
	if k := b.dial("?clientId=a&token=s3cret"); k.hear().Data["sid"] != "a" {
		t.Error("no greeting")
	}
	// A wrong header is not made good by a right cookie.
	b.want(401, "GET", "/prompt", nil, "Authorization", "Bearer wrong", "Cookie", tokenCookie+"=s3cret")
}

// TestSameText: what is compared are sums of one length, in constant time; equal only if the texts are.
func TestSameText(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{{"", "", true}, {"a", "a", true}, {"a", "", false}, {"a", "aa", false}, {"aa", "ab", false}, {"ä", "a", false}} {
		if sameText(c.a, c.b) != c.want {
			t.Errorf("%q %q", c.a, c.b)
		}
	}
}

func TestHost(t *testing.T) {
	for name, config := range map[string]func(*Config){
		"token":  func(c *Config) { c.Token, c.Hosts = "t", []string{"gpu.lan"} },
		"strict": func(c *Config) { c.StrictHost, c.Hosts = true, []string{"gpu.lan"} },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, config)
			for host, want := range map[string]int{
				"127.0.0.1:1": 200, "localhost": 200, "a.localhost:9": 200, "[::1]": 200, "192.168.1.7:8188": 200, "gpu.lan:8188": 200, "GPU.lan": 200,
				"evil.example": 421, "gpu.lan.evil.example": 421, "localhost.evil.example": 421, "127.0.0.1.evil.example:80": 421,
			} {
				b.want(want, "GET", "/prompt", nil, "Host", host, "Authorization", "Bearer t")
			}
		})
	}
	b := newBench(t, nil)
	b.want(200, "GET", "/prompt", nil, "Host", "anything.example") // as recorded, without a token
}

func TestHeaders(t *testing.T) {
	b := newBench(t, nil)
	for _, path := range []string{"/prompt", "/", "/no/such", "/view?filename=../x"} {
		resp, _ := b.do("GET", path, nil)
		for k, v := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "SAMEORIGIN", "Referrer-Policy": "same-origin"} {
			if resp.Header.Get(k) != v {
				t.Errorf("%s: %s: %q", path, k, resp.Header.Get(k))
			}
		}
	}
	for path, want := range map[string]string{"/x.js": "no-cache", "/a/index.x.json": "no-cache", "/x.PNG": "public, max-age=3600", "/x": ""} {
		if resp, _ := b.do("GET", path, nil); resp.Header.Get("Cache-Control") != want {
			t.Errorf("%s: Cache-Control %q", path, resp.Header.Get("Cache-Control"))
		}
	}
}

// TestNoCode: nothing that somebody uploaded is served as a page of this server.
func TestNoCode(t *testing.T) {
	b := newBench(t, nil)
	for _, ext := range []string{"html", "HTM", "xhtml", "svg", "css", "mjs", "shtml", "xht"} {
		body, kind := form(t, "image", "x."+ext, []byte("<script>alert(1)</script>"))
		b.want(200, "POST", "/upload/image", body, "Content-Type", kind)
		resp, _ := b.do("GET", "/view?type=input&filename=x."+ext, nil)
		if got := resp.Header.Get("Content-Type"); got != "application/octet-stream" && !strings.HasPrefix(got, "text/plain") {
			t.Errorf("%s is served as %q", ext, got)
		}
	}
}
