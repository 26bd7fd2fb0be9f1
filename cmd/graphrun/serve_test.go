package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"graphrun/graph"
)

var servingURL = regexp.MustCompile(`url=(http\S+)`)

// served starts `graphrun serve` in this process, on a free port and with its folders below a new one, and returns its
// address and that folder. It ends with the test.
func served(t testing.TB, args ...string) (url, base string) {
	t.Helper()
	base = t.TempDir()
	c := serveCommand()
	r, w := io.Pipe()
	c.SilenceUsage, c.SilenceErrors = true, true
	c.SetErr(w)
	c.SetArgs(spelledOut(append([]string{"serve", "--port", "0", "--base-directory", base}, args...))[1:])
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		err := c.ExecuteContext(ctx)
		w.CloseWithError(io.EOF)
		ended <- err
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error("serve:", err)
		}
	})
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if m := servingURL.FindStringSubmatch(lines.Text()); m != nil {
			go io.Copy(io.Discard, r)
			return m[1], base
		}
	}
	t.Fatal("the server did not start:", <-ended)
	return "", ""
}

// eventually waits for something that another goroutine or process brings about.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("did not happen within a minute: ", what)
		}
	}
}

// TestExtraModels is --extra-model-paths-config: its folders are listed, its files are found.
func TestExtraModels(t *testing.T) {
	dir := t.TempDir()
	lora := filepath.Join(dir, "more", "L")
	if err := os.MkdirAll(lora, 0o777); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(lora, "x.safetensors"), nil, 0o666)
	os.WriteFile(filepath.Join(lora, "x.txt"), nil, 0o666)
	file := filepath.Join(dir, "extra.yaml")
	os.WriteFile(file, []byte("a111:\n  base_path: more\n  loras: |\n    L\n    nowhere\n  odd_kind: L\n"), 0o666)
	url, _ := served(t, "--extra-model-paths-config", file)
	var list []string
	getJSON(t, url+"/models/loras", &list)
	if len(list) != 1 || list[0] != "x.safetensors" {
		t.Errorf("loras: %q", list)
	}
	getJSON(t, url+"/models", &list)
	if list[len(list)-1] != "odd_kind" {
		t.Errorf("folders: %q", list)
	}
}

// TestServeFlags: who lets other machines in has to say how they show who they are.
func TestServeFlags(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	os.WriteFile(empty, []byte("\n"), 0o600)
	for _, args := range [][]string{
		{"--listen", "0.0.0.0"},
		{"--listen"},
		{"--listen", "127.0.0.1,::"},
		{"--listen", "10.0.0.1"},
		{"--listen", "no-such-name.invalid"},
		{"--token-file", empty},
		{"--token-file", empty + "absent"},
		{"--token", "x", "--token-file", empty},
		{"--tls-cert", empty},
		{"--tls-cert", empty, "--tls-key", empty},
		{"--verbose=loud"},
		{"--cache-lru", "3", "--cache-none"},
	} {
		c := serveCommand()
		c.SilenceUsage, c.SilenceErrors = true, true
		c.SetArgs(spelledOut(append([]string{"serve", "--port", "0", "--base-directory", t.TempDir()}, args...))[1:])
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		if err := c.ExecuteContext(ctx); exitCode(err) != exitUsage {
			t.Errorf("%v: %v", args, err)
		}
		stop()
	}
}

// TestServeTLS serves with a certificate, under ComfyUI's names of the flags.
func TestServeTLS(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	cert, err := x509.CreateCertificate(rand.Reader, of, of, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, block := range map[string]*pem.Block{"cert": {Type: "CERTIFICATE", Bytes: cert}, "key": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	url, _ := served(t, "--tls-certfile", filepath.Join(dir, "cert"), "--tls-keyfile", filepath.Join(dir, "key"), "--token", "t")
	ca := x509.NewCertPool()
	parsed, _ := x509.ParseCertificate(cert)
	ca.AddCert(parsed)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca}}}
	for query, want := range map[string]int{"": 401, "?token=t": 200} {
		resp, err := client.Get(url + "/prompt" + query)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%q: %d", query, resp.StatusCode)
		}
	}
	client.CloseIdleConnections()
}

// TestRemote runs a workflow on a server and brings its pictures.
func TestRemote(t *testing.T) {
	url, _ := served(t)
	dir := t.TempDir()
	workflow := filepath.Join(dir, "w.json")
	os.WriteFile(workflow, []byte(`{"1":{"class_type":"EmptyImage","inputs":{"width":16,"height":8,"batch_size":2,"color":255}},
		"2":{"class_type":"SaveImage","inputs":{"images":["1",0],"filename_prefix":"a/x"}},"3":{"class_type":"PreviewImage","inputs":{"images":["1",0]}}}`), 0o666)
	verb := func(want int, args ...string) string {
		t.Helper()
		var out bytes.Buffer
		c := rootCommand()
		c.SetOut(&out)
		c.SetErr(io.Discard)
		c.SetArgs(append(args, "--server", url))
		if err := c.ExecuteContext(t.Context()); exitCode(err) != want {
			t.Errorf("%v: %v", args, err)
		}
		return out.String()
	}
	for range 2 { // the second time all is cached, and the files are there already
		out := verb(exitDone, "run", workflow, "-o", dir, "--quiet")
		files := strings.Fields(out)
		if len(files) != 4 || files[0] != filepath.Join(dir, "a", "x_00001_.png") {
			t.Errorf("files %q", files)
		}
		for _, f := range files {
			if info, err := os.Stat(f); err != nil || info.Size() == 0 {
				t.Error(f, err)
			}
		}
	}
	if out := verb(exitDone, "history"); strings.Count(out, "success") != 2 {
		t.Error(out)
	}
	verb(exitFailed, "history", "no-such-id")
	verb(exitDone, "queue", "--pause")
	if out := verb(exitDone, "queue"); out != "paused\n" {
		t.Error(out)
	}
	verb(exitDone, "queue", "--resume")
	verb(exitDone, "interrupt")
	os.WriteFile(workflow, []byte(`{"2":{"class_type":"SaveImage","inputs":{"filename_prefix":"a/x"}}}`), 0o666)
	verb(exitBadWorkflow, "run", workflow, "-o", dir)
	os.WriteFile(workflow, []byte(`{"1":{"class_type":"EmptyImage","inputs":{"width":16,"height":8,"batch_size":1,"color":255}},
		"2":{"class_type":"SaveImage","inputs":{"images":["1",0],"filename_prefix":"../../x"}}}`), 0o666)
	verb(exitFailed, "run", workflow, "-o", dir)
	verb(exitUsage, "run", workflow, "--sweep", "1.color=1,2")
	os.WriteFile(workflow, []byte(`{"1":{"class_type":"EmptyImage","inputs":{"width":16,"height":8,"batch_size":2,"color":255}},
		"2":{"class_type":"SaveAnimatedWEBP","inputs":{"images":["1",0],"filename_prefix":"b","fps":6,"lossless":true,"quality":80,"method":"default"}}}`), 0o666)
	if out, want := verb(exitDone, "run", workflow, "-o", dir, "--quiet"), filepath.Join(dir, "b_00001_.webp")+"\n"; out != want { // it shows "animated" beside the file
		t.Errorf("files %q, want %q", out, want)
	}
}

// TestFetchOutside takes no file from a server that would lie outside the output folder.
func TestFetchOutside(t *testing.T) {
	for _, f := range []fileRef{
		{"../x.png", "", "output"}, {"x.png", "..", "temp"}, {"x.png", "", "../.."}, {"x.png", "", "/tmp"},
	} {
		j := &job{remote: &remote{url: "http://none.invalid"}, prompt: &graph.Prompt{IDs: []string{"1"}}}
		_, err := j.fetch(t.Context(), map[string]graph.UI{"1": {"images": {f}}}, t.TempDir())
		if err == nil || !strings.HasPrefix(err.Error(), "the server names a file") {
			t.Errorf("%+v: %v", f, err)
		}
	}
}
