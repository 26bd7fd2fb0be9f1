package frontend

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func picture(t testing.TB, w, h int) []byte {
	t.Helper()
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	m.SetNRGBA(0, 0, color.NRGBA{200, 100, 50, 128})
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// bomb is a PNG file of a few bytes that says it is w by h pixels.
func bomb(w, h uint32) []byte {
	b := []byte("\x89PNG\r\n\x1a\n")
	chunk := func(kind string, data []byte) {
		b = binary.BigEndian.AppendUint32(b, uint32(len(data)))
		c := append([]byte(kind), data...)
		b = binary.BigEndian.AppendUint32(append(b, c...), crc32.ChecksumIEEE(c))
	}
	head := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, w), h)
	chunk("IHDR", append(head, 8, 6, 0, 0, 0))
	var z bytes.Buffer
	zw := zlib.NewWriter(&z)
	zw.Write(make([]byte, 1<<20))
	zw.Close()
	chunk("IDAT", z.Bytes())
	chunk("IEND", nil)
	return b
}

func TestBodies(t *testing.T) {
	b := newBench(t, func(c *Config) { c.MaxUpload = 10000 })
	big := strings.Repeat(" ", 20000)
	image, kind := form(t, "image", "x.png", []byte(big))
	for _, path := range []string{"/prompt", "/queue", "/history", "/interrupt", "/free", "/settings", "/settings/x", "/userdata/x", "/api/prompt", "/users"} {
		b.want(413, "POST", path, big)
		b.want(413, "POST", path, io.MultiReader(strings.NewReader(big))) // chunked: its length is not said
	}
	for _, path := range []string{"/upload/image", "/upload/mask"} {
		b.want(413, "POST", path, image, "Content-Type", kind)
		b.want(413, "POST", path, io.MultiReader(bytes.NewReader(image)), "Content-Type", kind)
	}
	b.want(413, "PATCH", "/internal/logs/subscribe", big)
	if _, err := os.Stat(filepath.Join(b.root, "input", "x.png")); err == nil {
		t.Error("a refused upload left its file")
	}
}

func TestMalformed(t *testing.T) {
	b := newBench(t, nil)
	for _, path := range []string{"/prompt", "/queue", "/history", "/free", "/settings", "/users", "/settings/x"} {
		for _, body := range []string{"", "{", "{not json", "[1,", "\xff", "nul", `{"a":1}x`, strings.Repeat("[", 100000)} {
			if got := b.want(500, "POST", path, body); got != trouble {
				t.Errorf("%s %.20q: %q", path, body, got)
			}
		}
	}
	for _, kind := range []string{"application/x-www-form-urlencoded", "text/plain", "multipart/form-data", "image/png", "no/such/kind;;", ""} {
		b.want(200, "POST", "/prompt", dict{"prompt": chain("Say", "x")}, "Content-Type", kind)
	}
	for _, kind := range []string{"application/json", "multipart/form-data", "multipart/form-data; boundary=x", ""} {
		b.want(500, "POST", "/upload/image", "junk", "Content-Type", kind)
	}
	for _, query := range []string{"max_items=abc", "max_items=9999999999999999999999", "offset=1.5"} {
		b.want(500, "GET", "/history?"+query, nil)
	}
	b.want(500, "POST", "/prompt", `{"prompt":{},"number":"abc"}`)
	b.want(400, "POST", "/prompt", `{"prompt":[1,2]}`)
	b.want(400, "POST", "/prompt", `{"prompt":{"1":5}}`)
	b.want(400, "POST", "/prompt", `{}`)
	b.want(200, "POST", "/interrupt", "not json")
	b.want(200, "GET", "/healthz", nil)
}

// TestBombs: pictures that say they are enormous, and files that say they are pictures.
func TestBombs(t *testing.T) {
	b := newBench(t, nil)
	for name, data := range map[string][]byte{
		"huge.png": bomb(100000, 100000), "wide.png": bomb(1<<31-1, 1), "short.png": bomb(5000, 5000), "no.png": []byte("no picture"), "empty.png": nil,
		"half.png": picture(t, 64, 64)[:60],
	} {
		b.must(os.WriteFile(filepath.Join(b.root, "input", name), data, 0o666))
		for _, how := range []string{"preview=webp;90", "preview=jpeg;80", "channel=rgb", "channel=a"} {
			resp, text := b.do("GET", "/view?type=input&filename="+name+"&"+how, nil)
			if resp.StatusCode != 415 {
				t.Errorf("%s %s: %d %.80s", name, how, resp.StatusCode, text)
			}
		}
		for _, pair := range [][2][]byte{{data, picture(t, 2, 2)}} {
			body, kind := form(t, "image", "mask.png", pair[0], "original_ref", `{"filename":"good.png","type":"input"}`)
			b.must(os.WriteFile(filepath.Join(b.root, "input", "good.png"), pair[1], 0o666))
			b.want(400, "POST", "/upload/mask", body, "Content-Type", kind)
			body, kind = form(t, "image", "mask.png", pair[1], "original_ref", `{"filename":"`+name+`","type":"input"}`)
			b.want(400, "POST", "/upload/mask", body, "Content-Type", kind)
		}
	}
	if _, err := os.Stat(filepath.Join(b.root, "input", "mask.png")); err == nil {
		t.Error("a mask was written")
	}
}

func TestMask(t *testing.T) {
	b := newBench(t, nil)
	b.must(os.WriteFile(filepath.Join(b.root, "output", "o.png"), picture(t, 3, 2), 0o666))
	body, kind := form(t, "image", "m.png", picture(t, 3, 2), "original_ref", `{"filename":"o.png"}`, "subfolder", "clip")
	b.want(200, "POST", "/upload/mask", body, "Content-Type", kind)
	m, err := png.Decode(strings.NewReader(b.want(200, "GET", "/view?type=input&subfolder=clip&filename=m.png", nil)))
	b.must(err)
	if c := color.NRGBAModel.Convert(m.At(0, 0)).(color.NRGBA); c != (color.NRGBA{200, 100, 50, 128}) {
		t.Error(c)
	}
	body, kind = form(t, "image", "m.png", picture(t, 2, 2), "original_ref", `{"filename":"o.png"}`)
	b.want(400, "POST", "/upload/mask", body, "Content-Type", kind)
	body, kind = form(t, "image", "m.png", picture(t, 2, 2), "original_ref", `{"filename":"absent.png"}`)
	b.want(404, "POST", "/upload/mask", body, "Content-Type", kind)
	body, kind = form(t, "image", "m.png", picture(t, 2, 2), "original_ref", `nonsense`)
	b.want(400, "POST", "/upload/mask", body, "Content-Type", kind)
}

// TestUploadNames: a name in any writing is stored under itself, and found again.
func TestUploadNames(t *testing.T) {
	b := newBench(t, nil)
	for _, name := range []string{"ä.png", "图.png", "a b.png", "a+b&c.png", "a%20b.png", "e\u0301.png", "🙂.png", "a'b.png", "-rf.png", "x.png.", " .png"} {
		body, kind := form(t, "image", name, []byte("1"))
		b.want(200, "POST", "/upload/image", body, "Content-Type", kind)
		if data, err := os.ReadFile(filepath.Join(b.root, "input", name)); err != nil || string(data) != "1" {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestSlowLoris: who sends a head or a body in drips is cut off.
// TestAnnouncedBodies: a body that is announced and does not come takes no memory.
func TestAnnouncedBodies(t *testing.T) {
	b := newBench(t, nil)
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	for range 50 {
		conn, err := net.Dial("tcp", b.http.Listener.Addr().String())
		b.must(err)
		defer conn.Close()
		fmt.Fprintf(conn, "POST /prompt HTTP/1.1\r\nHost: x\r\nContent-Length: 90000000\r\n\r\n{")
	}
	for range 20 {
		time.Sleep(20 * time.Millisecond)
		if took := heap() - before; took > 100<<20 {
			t.Fatalf("50 of them take %d MiB", took>>20)
		}
	}
}

func TestSlowLoris(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Patience = 300 * time.Millisecond })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	b.must(err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Serve(ctx, l) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	b.must(err)
	defer conn.Close()
	fmt.Fprintf(conn, "POST /prompt HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n\r\n{")
	conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || resp.StatusCode != http.StatusRequestTimeout {
		t.Fatalf("body in drips: %v %v", resp, err)
	}
	// One that keeps coming is served, though it takes longer than that.
	pr, pw := io.Pipe()
	go func() {
		io.WriteString(pw, `{"prompt":`)
		for range 8 {
			time.Sleep(100 * time.Millisecond)
			io.WriteString(pw, strings.Repeat(" ", 500))
		}
		io.WriteString(pw, `{}}`)
		pw.Close()
	}()
	r, err := http.Post("http://"+l.Addr().String()+"/prompt", "", pr)
	b.must(err)
	r.Body.Close()
	if r.StatusCode != 400 {
		t.Errorf("a steady body: %d", r.StatusCode)
	}
}
