package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// huggingFace is Hugging Face as the environment sets it up: HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE, and the cache.
type huggingFace struct {
	endpoint, token, cache string
	offline                bool
	client                 *http.Client
	patience               time.Duration // after which a silent connection is given up, and between tries
}

func newHuggingFace() *huggingFace {
	h := &huggingFace{
		endpoint: strings.TrimRight(os.Getenv("HF_ENDPOINT"), "/"), token: strings.TrimSpace(os.Getenv("HF_TOKEN")), cache: cacheDir(),
		patience: 30 * time.Second,
	}
	if h.endpoint == "" {
		h.endpoint = "https://huggingface.co"
	}
	switch strings.ToUpper(os.Getenv("HF_HUB_OFFLINE")) {
	case "1", "ON", "YES", "TRUE":
		h.offline = true
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialContext = (&net.Dialer{Timeout: h.patience, KeepAlive: h.patience}).DialContext
	transport.ResponseHeaderTimeout = h.patience
	h.client = &http.Client{Transport: transport}
	return h
}

func (h *huggingFace) repoDir(repo string) string {
	return filepath.Join(h.cache, "models--"+strings.ReplaceAll(repo, "/", "--"))
}

// HTTPError is what a server answered instead of a file.
type HTTPError struct {
	URL, Status string
	Code        int
	Hint        string
}

func (e *HTTPError) Error() string { return fmt.Sprintf("%s: %s: %s", e.URL, e.Status, e.Hint) }

// get asks for a URL; an answer that is no success is an *HTTPError. The token goes to the endpoint alone: Go's client
// drops it where a redirect leads to another host.
func (h *huggingFace) get(ctx context.Context, client *http.Client, method, address, byteRange string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "graphrun")
	req.Header.Set("Accept-Encoding", "identity") // offsets and sizes are of the file itself
	if h.token != "" {
		req.Header.Set("Authorization", "Bearer "+h.token)
	}
	if byteRange != "" {
		req.Header.Set("Range", byteRange)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= 400 && resp.StatusCode != http.StatusRequestedRangeNotSatisfiable {
		resp.Body.Close()
		return nil, &HTTPError{URL: address, Status: resp.Status, Code: resp.StatusCode, Hint: h.hint(resp.StatusCode)}
	}
	return resp, nil
}

func (h *huggingFace) hint(code int) string {
	switch {
	case code == http.StatusUnauthorized && h.token == "", code == http.StatusForbidden && h.token == "":
		return "the repository does not exist, is private or asks for its licence to be accepted: check the id, accept the licence on its page, and set HF_TOKEN to a token from huggingface.co/settings/tokens"
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return "the token in HF_TOKEN does not open this repository: accept the licence on its page, or use another token"
	case code == http.StatusNotFound:
		return "no such repository or file: check the id, owner/name"
	case code == http.StatusTooManyRequests:
		return "too many requests: wait some minutes, or set HF_TOKEN"
	}
	return "the server failed: try again later; what is downloaded so far is kept"
}

// download fetches what a diffusers pipeline needs into Hugging Face's cache and returns the snapshot's folder.
func (h *huggingFace) download(ctx context.Context, repo string) (string, error) {
	var info struct {
		SHA      string `json:"sha"`
		Siblings []struct {
			Name string `json:"rfilename"`
		} `json:"siblings"`
	}
	if err := h.json(ctx, h.endpoint+"/api/models/"+repo+"/revision/main", &info); err != nil {
		return "", err
	}
	if !hexName.MatchString(info.SHA) {
		return "", fmt.Errorf("%s: need a commit id, have %q: check HF_ENDPOINT", repo, info.SHA)
	}
	d := &download{huggingFace: h, repo: repo, commit: info.SHA}
	var names []string
	for _, s := range info.Siblings {
		names = append(names, s.Name)
	}
	if !slices.Contains(names, index) {
		return "", fmt.Errorf("%s: need %s, have %d files without it: this repository is no diffusers pipeline; single files go into a checkpoints folder", repo, index, len(names))
	}
	var components map[string]any
	if err := h.json(ctx, d.url(index), &components); err != nil {
		return "", err
	}
	// The index goes last: a snapshot that has it is whole.
	return d.snapshot(), d.fetchAll(ctx, append(wanted(components, names), index))
}

const index = "model_index.json"

// hexName is what commits and blobs are called: a SHA-1 or SHA-256 in hexadecimal.
var hexName = regexp.MustCompile(`^[0-9a-f]{40}([0-9a-f]{24})?$`)

// json reads a small document.
func (h *huggingFace) json(ctx context.Context, address string, to any) error {
	resp, err := h.get(ctx, h.client, http.MethodGet, address, "")
	if err != nil {
		return h.explain(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, 16<<20)).Decode(to); err != nil {
		return fmt.Errorf("%s: need JSON, have %w: check HF_ENDPOINT", address, err)
	}
	return nil
}

// explain adds the remedy to an error of the network.
func (h *huggingFace) explain(err error) error {
	var network *url.Error
	if !errors.As(err, &network) || errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%w: check the network and HF_ENDPOINT (%s); on a machine without network copy the model into a models folder and set HF_HUB_OFFLINE=1", err, h.endpoint)
}

// skipped are components of pipelines that no node uses.
var skipped = []string{"safety_checker", "feature_extractor"}

// wanted chooses among a repository's files: for every component of the index its configuration, tokenizer and
// safetensors, without variants (model.fp16.safetensors) where the plain file is there too.
func wanted(components map[string]any, names []string) []string {
	plain := map[string]bool{} // folder and stem of weights that are there without a variant
	for _, name := range names {
		if stem, variant, ok := weightName(name); ok && !variant {
			plain[stem] = true
		}
	}
	var list []string
	for _, name := range names {
		folder, _ := path.Split(name)
		stem, variant, _ := weightName(name)
		switch {
		case !used(components, path.Clean(folder)), !filepath.IsLocal(filepath.FromSlash(name)), variant && plain[stem]:
		case slices.Contains([]string{".json", ".txt", ".model", ".safetensors"}, path.Ext(name)):
			list = append(list, name)
		}
	}
	return list
}

// used tells whether the index names the component, with a class, and nodes read it.
func used(components map[string]any, name string) bool {
	class, _ := components[name].([]any)
	return len(class) == 2 && class[1] != nil && !slices.Contains(skipped, name)
}

var shard = regexp.MustCompile(`-\d{5}-of-\d{5}`)

// weightName takes a weight file's name, or its index's, apart: "unet/model.fp16-00001-of-00002.safetensors" is a variant
// of the stem "unet/model".
func weightName(name string) (stem string, variant, ok bool) {
	folder, file := path.Split(name)
	file = shard.ReplaceAllString(file, "")
	if !strings.HasSuffix(file, ".safetensors") && !strings.Contains(file, ".safetensors.index") {
		return "", false, false
	}
	stem, rest, _ := strings.Cut(file, ".")
	return folder + stem, rest != "safetensors" && rest != "safetensors.index.json", true
}

// url is where a file of a commit lies.
func (d *download) url(name string) string {
	return d.endpoint + "/" + d.repo + "/resolve/" + d.commit + "/" + (&url.URL{Path: name}).EscapedPath()
}
