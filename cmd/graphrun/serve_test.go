package main

import (
	"bufio"
	"context"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"
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
	c.SetArgs(append([]string{"--port", "0", "--base-directory", base}, args...))
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
