package hub

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"graphrun/types"
)

const testCommit = "0123456789abcdef0123456789abcdef01234567"

// server is a Hugging Face on the loopback: small files at once, large ones behind a redirect to another host.
type server struct {
	*httptest.Server
	storage *httptest.Server
	files   map[string][]byte

	mu     sync.Mutex
	ranges []string              // that the storage was asked for
	tokens []string              // that reached the storage
	cut    map[string]int        // bytes after which a file's transfer breaks, once
	status map[string]int        // answers instead of a file
	damage func(b []byte) []byte // what the storage makes of contents
}

func newServer(t *testing.T) *server {
	s := &server{
		files: map[string][]byte{
			"model_index.json": []byte(`{"_class_name":"StableDiffusionPipeline","unet":["diffusers","UNet2DConditionModel"],"tokenizer":["transformers","CLIPTokenizer"],
				"safety_checker":["x","Y"],"image_encoder":[null,null],"requires_safety_checker":false}`),
			"unet/config.json":                              []byte("{}"),
			"unet/diffusion_pytorch_model.safetensors":      bytes.Repeat([]byte("weights "), 1<<17),
			"unet/diffusion_pytorch_model.fp16.safetensors": []byte("variant"),
			"unet/diffusion_pytorch_model.bin":              []byte("pickle"),
			"tokenizer/merges.txt":                          []byte("#version\n"),
			"safety_checker/model.safetensors":              []byte("unused"),
			"image_encoder/config.json":                     []byte("{}"),
			"README.md":                                     []byte("read"),
			"v1-5.safetensors":                              []byte("single file"),
		},
		cut: map[string]int{}, status: map[string]int{},
	}
	s.storage = httptest.NewServer(http.HandlerFunc(s.store))
	s.Server = httptest.NewServer(http.HandlerFunc(s.front))
	t.Cleanup(s.Close)
	t.Cleanup(s.storage.Close)
	return s
}

func (s *server) front(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if code := s.status[r.URL.Path]; code != 0 {
		w.WriteHeader(code)
		return
	}
	if r.URL.Path == "/api/models/o/n/revision/main" {
		var names []string
		for name := range s.files {
			names = append(names, fmt.Sprintf(`{"rfilename":%q}`, name))
		}
		slices.Sort(names)
		fmt.Fprintf(w, `{"sha":%q,"siblings":[{"rfilename":"../unet/evil.json"},%s]}`, testCommit, strings.Join(names, ","))
		return
	}
	name, _ := strings.CutPrefix(r.URL.Path, "/o/n/resolve/"+testCommit+"/")
	data, ok := s.files[name]
	switch {
	case !ok:
		w.WriteHeader(http.StatusNotFound)
	case strings.HasSuffix(name, ".safetensors"):
		w.Header().Set("X-Linked-Etag", fmt.Sprintf(`"%x"`, sha256.Sum256(data)))
		w.Header().Set("X-Linked-Size", strconv.Itoa(len(data)))
		http.Redirect(w, r, strings.Replace(s.storage.URL, "127.0.0.1", "localhost", 1)+"/"+name, http.StatusFound)
	default:
		w.Header().Set("Etag", fmt.Sprintf(`W/"%x"`, sha1.Sum(fmt.Appendf(nil, "blob %d\x00%s", len(data), data))))
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}
}

func (s *server) store(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := strings.TrimPrefix(r.URL.Path, "/")
	data := s.files[name]
	s.ranges = append(s.ranges, r.Header.Get("Range"))
	s.tokens = append(s.tokens, r.Header.Get("Authorization"))
	if s.damage != nil {
		data = s.damage(slices.Clone(data))
	}
	if n := s.cut[name]; n > 0 {
		delete(s.cut, name)
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		_, _ = w.Write(data[:n])
		panic(http.ErrAbortHandler)
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

// client looks at the server with an empty cache and little patience.
func (s *server) client(t *testing.T) *huggingFace {
	t.Setenv("HF_ENDPOINT", s.URL+"/")
	t.Setenv("HF_TOKEN", "secret")
	t.Setenv("HF_HUB_OFFLINE", "")
	t.Setenv("HF_HUB_CACHE", t.TempDir())
	h := newHuggingFace()
	h.patience = 300 * time.Millisecond
	return h
}

func TestDownload(t *testing.T) {
	s := newServer(t)
	h := s.client(t)
	var steps []types.Progress
	ctx := types.WithProgress(context.Background(), func(p types.Progress) { steps = append(steps, p) })
	dir, err := h.download(ctx, "o/n")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for name, data := range s.files {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
			if got = append(got, name); !bytes.Equal(b, data) {
				t.Errorf("%s: other contents", name)
			}
		}
	}
	slices.Sort(got)
	if want := []string{"model_index.json", "tokenizer/merges.txt", "unet/config.json", "unet/diffusion_pytorch_model.safetensors"}; !slices.Equal(got, want) {
		t.Errorf("have %v, want %v", got, want)
	}
	if last := steps[len(steps)-1]; last.Phase != "download" || last.Step != last.Total || last.Total < 1<<20 {
		t.Errorf("last report %+v", last)
	}
	if slices.Contains(s.tokens, "Bearer secret") {
		t.Error("the token went to another host")
	}
	if cached, ok := h.cached("o/n"); !ok || cached != dir {
		t.Errorf("cached: %s, %v", cached, ok)
	}
	n := len(s.ranges)
	if _, err := h.download(ctx, "o/n"); err != nil || len(s.ranges) != n {
		t.Errorf("the second download fetched again: %v, %v", err, s.ranges[n:])
	}
	m, err := Resolve(context.Background(), nil, "o/n")
	if err != nil || m.Dir != dir {
		t.Errorf("Resolve: %+v, %v", m, err)
	}
}

const large = "unet/diffusion_pytorch_model.safetensors"

// TestResume: a broken transfer goes on, in the same download and in the next.
func TestResume(t *testing.T) {
	s := newServer(t)
	s.cut[large] = 300_000
	h := s.client(t)
	if _, err := h.download(context.Background(), "o/n"); err != nil {
		t.Fatal(err)
	}
	if len(s.ranges) != 2 || s.ranges[0] != "" || !strings.HasPrefix(s.ranges[1], "bytes=") || s.ranges[1] == "bytes=0-" {
		t.Errorf("ranges %q", s.ranges)
	}

	h = s.client(t) // another cache
	sum := fmt.Sprintf("%x", sha256.Sum256(s.files[large]))
	blobs := filepath.Join(h.repoDir("o/n"), "blobs")
	if err := os.MkdirAll(blobs, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(blobs, sum+".incomplete"), s.files[large][:1000], 0o666); err != nil {
		t.Fatal(err)
	}
	s.ranges = nil
	if _, err := h.download(context.Background(), "o/n"); err != nil || !slices.Equal(s.ranges, []string{"bytes=1000-"}) {
		t.Errorf("have %v, ranges %q", err, s.ranges)
	}
}

func TestDamaged(t *testing.T) {
	s := newServer(t)
	s.damage = func(b []byte) []byte { b[5] ^= 1; return b }
	h := s.client(t)
	_, err := h.download(context.Background(), "o/n")
	var damaged *ChecksumError
	if !errors.As(err, &damaged) || damaged.File != large {
		t.Fatalf("have %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(h.cache, "*", "blobs", damaged.Need+"*")); left != nil {
		t.Errorf("left behind: %v", left)
	}
	if _, ok := h.cached("o/n"); ok {
		t.Error("half a model counts as cached")
	}
	s.damage = nil
	if _, err := h.download(context.Background(), "o/n"); err != nil {
		t.Errorf("again: %v", err)
	}
}

func TestRefused(t *testing.T) {
	const api = "/api/models/o/n/revision/main"
	for _, c := range []struct {
		code  int
		token string
		hint  string
	}{
		{401, "", "HF_TOKEN"}, {403, "", "licence"}, {403, "x", "does not open"}, {404, "", "check the id"}, {429, "", "wait"}, {500, "", "try again"},
	} {
		s := newServer(t)
		s.status[api] = c.code
		h := s.client(t)
		h.token = c.token
		_, err := h.download(context.Background(), "o/n")
		var answered *HTTPError
		if !errors.As(err, &answered) || answered.Code != c.code || !strings.Contains(err.Error(), c.hint) {
			t.Errorf("%d: have %v", c.code, err)
		}
	}
	s := newServer(t)
	s.status["/o/n/resolve/"+testCommit+"/unet/config.json"] = 404
	if _, err := s.client(t).download(context.Background(), "o/n"); err == nil || !strings.Contains(err.Error(), "unet/config.json") {
		t.Errorf("missing file: %v", err)
	}
	delete(s.files, "model_index.json")
	if _, err := s.client(t).download(context.Background(), "o/n"); err == nil || !strings.Contains(err.Error(), "model_index.json") {
		t.Errorf("no pipeline: %v", err)
	}
	h := s.client(t)
	s.Close()
	if _, err := h.download(context.Background(), "o/n"); err == nil || !strings.Contains(err.Error(), "check the network") {
		t.Errorf("no server: %v", err)
	}
}

func TestCancel(t *testing.T) {
	s := newServer(t)
	ctx, cancel := context.WithCancel(context.Background())
	ctx = types.WithProgress(ctx, func(types.Progress) { cancel() })
	h := s.client(t)
	if _, err := h.download(ctx, "o/n"); !errors.Is(err, context.Canceled) {
		t.Errorf("have %v", err)
	}
	if _, ok := h.cached("o/n"); ok {
		t.Error("half a model counts as cached")
	}
}

func TestWanted(t *testing.T) {
	components := map[string]any{"unet": []any{"diffusers", "UNet"}, "vae": []any{nil, nil}, "text_encoder": []any{"t", "T"}, "x": "y"}
	names := []string{
		"unet/model-00001-of-00002.safetensors", "unet/model.safetensors.index.json", "unet/model.fp16-00001-of-00002.safetensors", "unet/model.safetensors.index.fp16.json",
		"unet/model.fp16.safetensors.index.json", "unet/config.json", "unet/flax.msgpack", "vae/config.json", "x/config.json", "text_encoder/model.fp16.safetensors", "a.json", "unet/deep/x.json",
	}
	want := []string{"unet/model-00001-of-00002.safetensors", "unet/model.safetensors.index.json", "unet/config.json", "text_encoder/model.fp16.safetensors"}
	if got := wanted(components, names); !slices.Equal(got, want) {
		t.Errorf("have %v, want %v", got, want)
	}
}
