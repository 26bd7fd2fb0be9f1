// Command killtest proves that nothing queued is lost: it queues prompts at a graphrun server from several clients, ends the
// server with kill -9 at random points, starts it again, and at last counts what became of every prompt that was accepted.
//
//	go run ./tools/killtest                 # builds ./cmd/graphrun, 100 kills
//	go run ./tools/killtest -kills 20 BINARY
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"image/png"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

func main() {
	kills := flag.Int("kills", 100, "how often the server is killed")
	longest := flag.Duration("longest", 600*time.Millisecond, "until a kill, at most, from the server's start")
	clients := flag.Int("clients", 4, "clients that queue at the same time")
	flag.Parse()
	if err := run(*kills, *longest, *clients, flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "killtest:", err)
		os.Exit(1)
	}
}

// trial is a server that is killed and started again, and what was queued at it.
type trial struct {
	binary, base string
	url          atomic.Value // string; "" while it is down

	mu       sync.Mutex
	accepted map[string]bool   // prompts that the server has said yes to
	seen     map[string]string // results that were seen
	answered int
}

func run(kills int, longest time.Duration, clients int, binary string) error {
	dir, err := os.MkdirTemp("", "killtest")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if binary == "" {
		binary = filepath.Join(dir, "graphrun")
		build := exec.Command("go", "build", "-o", binary, "./cmd/graphrun")
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			return err
		}
	}
	t := &trial{binary: binary, base: filepath.Join(dir, "base"), accepted: map[string]bool{}, seen: map[string]string{}}
	t.url.Store("")
	stop := make(chan struct{})
	var all sync.WaitGroup
	for c := range clients {
		all.Go(func() { t.client(c, stop) })
	}
	begin := time.Now()
	for range kills {
		server, err := t.start()
		if err != nil {
			return err
		}
		time.Sleep(rand.N(longest))
		t.url.Store("")
		if err := server.Process.Kill(); err != nil {
			return err
		}
		server.Wait()
	}
	server, err := t.start()
	if err != nil {
		return err
	}
	defer server.Process.Kill()
	close(stop)
	all.Wait()
	fmt.Printf("%d kills in %.0f s; %d prompts accepted, in %d answers\n", kills, time.Since(begin).Seconds(), len(t.accepted), t.answered)
	return t.judge()
}

var serving = regexp.MustCompile(`url=(http\S+)`)

// start starts the server and waits until it serves.
func (t *trial) start() (*exec.Cmd, error) {
	c := exec.Command(t.binary, "serve", "--port", "0", "--base-directory", t.base, "--queue-max", "0")
	out, err := c.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(out)
	var said strings.Builder
	for lines.Scan() {
		if m := serving.FindStringSubmatch(lines.Text()); m != nil {
			t.url.Store(m[1])
			go io.Copy(io.Discard, out)
			return c, nil
		}
		said.WriteString(lines.Text() + "\n")
	}
	return nil, fmt.Errorf("the server did not start: %v\n%s", c.Wait(), said.String())
}

// client queues prompts under ids of its own until stop. It asks again until it has an answer, as the server allows.
func (t *trial) client(c int, stop chan struct{}) {
	for i := 0; ; i++ {
		id := fmt.Sprintf("%d-%d", c, i)
		prompt := map[string]any{
			"1": node("EmptyImage", "width", 64+c, "height", 64, "batch_size", 1, "color", 1000*c+i),
			"2": node("ImageInvert", "image", []any{"1", 0}),
			"3": node("ImageScale", "image", []any{"2", 0}, "upscale_method", "bicubic", "width", 256, "height", 256, "crop", "disabled"),
			"4": node("SaveImage", "images", []any{"3", 0}, "filename_prefix", id),
		}
		if i%large == large-1 {
			prompt["1"].(map[string]any)["_meta"] = map[string]any{"title": title(id)}
		}
		body, _ := json.Marshal(map[string]any{"prompt": prompt, "prompt_id": id, "client_id": fmt.Sprint(c)})
		for !t.submit(id, body) {
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
		select {
		case <-stop:
			return
		case <-time.After(rand.N(40 * time.Millisecond)):
		}
		if i%5 == 0 {
			t.look()
		}
	}
}

// large says that each client's prompt of that many has a text that the queue keeps beside its file: title.
const large = 20

func title(id string) string { return id + strings.Repeat(" long", 60_000) }

func isLarge(id string) bool {
	_, i, _ := strings.Cut(id, "-")
	n, err := strconv.Atoi(i)
	return err == nil && n%large == large-1
}

func node(class string, inputs ...any) map[string]any {
	in := map[string]any{}
	for i := 0; i < len(inputs); i += 2 {
		in[inputs[i].(string)] = inputs[i+1]
	}
	return map[string]any{"class_type": class, "inputs": in}
}

func (t *trial) submit(id string, body []byte) bool {
	url := t.url.Load().(string)
	if url == "" {
		return false
	}
	resp, err := http.Post(url+"/prompt", "application/json", bytes.NewReader(body))
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.accepted[id] = true
	t.answered++
	return true
}

// history is all results, by id as often as they are listed.
func (t *trial) history() (map[string][]string, error) {
	url := t.url.Load().(string)
	if url == "" {
		return nil, errors.New("down")
	}
	resp, err := http.Get(url + "/history")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	d := json.NewDecoder(resp.Body)
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	all := map[string][]string{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		var entry json.RawMessage
		if err := d.Decode(&entry); err != nil {
			return nil, err
		}
		all[key.(string)] = append(all[key.(string)], string(entry))
	}
	return all, nil
}

// look remembers the results that are there: none may change, or go, later.
func (t *trial) look() {
	h, err := t.history()
	if err != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, entries := range h {
		if t.seen[id] == "" {
			t.seen[id] = entries[0]
		}
	}
}

// judge waits until nothing is left to run and counts.
func (t *trial) judge() error {
	for end := time.Now().Add(5 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		resp, err := http.Get(t.url.Load().(string) + "/prompt")
		if err != nil {
			return err
		}
		var n struct {
			Exec struct {
				Remaining int `json:"queue_remaining"`
			} `json:"exec_info"`
		}
		err = json.NewDecoder(resp.Body).Decode(&n)
		resp.Body.Close()
		if err != nil {
			return err
		}
		if n.Exec.Remaining == 0 {
			break
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d prompts still wait after five minutes", n.Exec.Remaining)
		}
	}
	h, err := t.history()
	if err != nil {
		return err
	}
	lost, twice, failed, changed := 0, 0, 0, 0
	for id := range t.accepted {
		switch {
		case len(h[id]) == 0:
			lost++
		case len(h[id]) > 1:
			twice++
		case isLarge(id) && !strings.Contains(h[id][0], title(id)):
			lost++
		case !strings.Contains(h[id][0], `"completed":true`):
			failed++
			fmt.Printf("prompt %s: %.300s\n", id, h[id][0][strings.Index(h[id][0], `"status"`):])
		}
	}
	for id, entry := range t.seen { // a second record of a run would have other times in it
		if len(h[id]) == 0 || h[id][0] != entry {
			changed++
		}
	}
	pictures, broken, rests := t.pictures()
	fmt.Printf("lost %d, recorded twice %d, results changed later %d, not successful %d\n", lost, twice+changed, changed, failed)
	fmt.Printf("%d pictures, of which broken %d; other files left in the output folder %d\n", pictures, broken, rests)
	if lost+twice+failed+changed+broken+rests > 0 {
		return errors.New("the promise is broken")
	}
	return nil
}

// pictures reads every file of the output folder.
func (t *trial) pictures() (whole, broken, rests int) {
	filepath.WalkDir(filepath.Join(t.base, "output"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		if !strings.HasSuffix(path, ".png") || strings.HasPrefix(e.Name(), ".") {
			rests++
			fmt.Println("left:", path)
			return nil
		}
		whole++
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		if _, err := png.Decode(f); err != nil {
			broken++
			fmt.Println("broken:", path, err)
		}
		return nil
	})
	return whole, broken, rests
}
