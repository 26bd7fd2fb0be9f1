package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"
	"github.com/spf13/cobra"
)

func benchServerCommand() *cobra.Command {
	var r remote
	var quick bool
	c := &cobra.Command{
		Use:   "server",
		Short: "Measure what the server costs: start, memory, requests, prompts of trivial nodes",
		Long: "Measure what the server costs, through HTTP and the socket: start to the first answer, idle memory, requests, and prompts of " +
			"trivial nodes. It starts a graphrun of its own, or with --server measures one, or a ComfyUI, that is there.",
		Args: usage(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			b := &serverBench{remote: &r, out: c.OutOrStdout(), ctx: c.Context(), run: uuid.NewString()[:6], quick: quick}
			if r.url == "" {
				stop, err := b.start()
				if err != nil {
					return err
				}
				defer stop()
			} else if err := r.check(); err != nil {
				return err
			}
			return b.all()
		},
	}
	r.add(c.Flags())
	c.Flags().BoolVar(&quick, "quick", false, "leave out the large rows")
	return c
}

// serverBench measures one server.
type serverBench struct {
	*remote
	ctx   context.Context
	out   io.Writer
	run   string // what makes this measurement's prompts new
	quick bool
}

func (b *serverBench) show(row, format string, args ...any) {
	fmt.Fprintf(b.out, "%-36s %s\n", row, fmt.Sprintf(format, args...))
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func quantile(d []time.Duration, q float64) float64 {
	slices.Sort(d)
	return ms(d[min(int(q*float64(len(d))), len(d)-1)])
}

var servingAt = regexp.MustCompile(`url=(http\S+)`)

// start starts graphrun five times, measures the time until its first answer, and leaves the last one running.
func (b *serverBench) start() (stop func(), err error) {
	var took []time.Duration
	for i := range 5 {
		dir, err := os.MkdirTemp("", "graphrun-bench")
		if err != nil {
			return nil, err
		}
		c, err := again(b.ctx, "serve", "--port", "0", "--base-directory", dir)
		if err != nil {
			return nil, err
		}
		c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
		log, err := c.StderrPipe()
		if err != nil {
			return nil, err
		}
		begin := time.Now()
		if err := c.Start(); err != nil {
			return nil, err
		}
		stop = func() {
			c.Process.Kill()
			c.Wait()
			os.RemoveAll(dir)
		}
		lines := bufio.NewScanner(log)
		for b.url = ""; b.url == "" && lines.Scan(); {
			if m := servingAt.FindStringSubmatch(lines.Text()); m != nil {
				b.url = m[1]
			}
		}
		go io.Copy(io.Discard, log)
		var stats any
		if err := b.get(b.ctx, "/system_stats", &stats); err != nil {
			stop()
			return nil, err
		}
		took = append(took, time.Since(begin))
		if i < 4 {
			stop()
			continue
		}
		b.show("start to first /system_stats", "%.0f ms (best of 5, worst %.0f)", ms(slices.Min(took)), ms(slices.Max(took)))
		time.Sleep(time.Second)
		b.memory("idle memory (RSS)", c.Process.Pid)
		last := stop
		stop = func() {
			b.memory("memory (RSS) at the end", c.Process.Pid)
			last()
		}
	}
	return stop, nil
}

func (b *serverBench) memory(row string, pid int) {
	status, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(pid), "status"))
	if err != nil {
		return // not on this system
	}
	for _, line := range strings.Split(string(status), "\n") {
		var kib float64
		if _, err := fmt.Sscanf(line, "VmRSS: %f kB", &kib); err == nil {
			b.show(row, "%.1f MB", kib/1024)
		}
	}
}

// benchClient is a socket that counts what it hears.
type benchClient struct {
	b               *serverBench
	id              string
	conn            *websocket.Conn
	messages, bytes int
}

func (b *serverBench) client() (*benchClient, error) {
	k := &benchClient{b: b, id: uuid.NewString()}
	var err error
	if k.conn, err = b.dial(b.ctx, k.id); err != nil {
		return nil, err
	}
	_, _, err = k.conn.Read(b.ctx)
	return k, err
}

// spent is how long a prompt took.
type spent struct{ post, total time.Duration }

func (k *benchClient) prompt(body []byte) (s spent, err error) {
	begin := time.Now()
	id, err := k.post(body)
	if err != nil {
		return s, err
	}
	s.post = time.Since(begin)
	err = k.wait(id)
	s.total = time.Since(begin)
	return s, err
}

func (k *benchClient) post(body []byte) (string, error) {
	status, data, err := k.b.send(k.b.ctx, http.MethodPost, "/prompt", "application/json", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	if status != http.StatusOK {
		return "", fmt.Errorf("refused with %d", status)
	}
	var answer struct {
		ID string `json:"prompt_id"`
	}
	return answer.ID, json.Unmarshal(data, &answer)
}

// wait reads until the prompt has ended. What is not its end is counted, not decoded.
func (k *benchClient) wait(id string) error {
	for {
		_, data, err := k.conn.Read(k.b.ctx)
		if err != nil {
			return err
		}
		k.messages++
		k.bytes += len(data)
		switch head := data[:min(len(data), 60)]; {
		case bytes.Contains(head, []byte(`"execution_error"`)):
			return fmt.Errorf("the run failed: %.300s", data)
		case bytes.Contains(head, []byte(`"executing"`)) && bytes.Contains(data, []byte(id)):
			var m struct{ Data struct{ Node *string } }
			if json.Unmarshal(data, &m) == nil && m.Data.Node == nil {
				return nil
			}
		}
	}
}

type wirePrompt map[string]any

func (g wirePrompt) add(id, class string, inputs map[string]any) {
	g[id] = map[string]any{"class_type": class, "inputs": inputs}
}

func (k *benchClient) body(g wirePrompt) []byte {
	data, err := json.Marshal(map[string]any{"prompt": g, "client_id": k.id})
	if err != nil {
		panic(err) // texts and numbers
	}
	return data
}

func promptChain(n int, seed string) wirePrompt {
	g := wirePrompt{}
	g.add("1", "StringConcatenate", map[string]any{"string_a": seed, "string_b": "", "delimiter": ""})
	for i := 2; i <= n; i++ {
		g.add(fmt.Sprint(i), "StringConcatenate", map[string]any{"string_a": []any{fmt.Sprint(i - 1), 0}, "string_b": "", "delimiter": ""})
	}
	g.add("out", "PreviewAny", map[string]any{"source": []any{fmt.Sprint(n), 0}})
	return g
}

// promptFan has n leaves, joined by twos.
func promptFan(n int, seed string) wirePrompt {
	g := wirePrompt{}
	var level []string
	for i := range n {
		id := fmt.Sprint("l", i)
		g.add(id, "PrimitiveString", map[string]any{"value": fmt.Sprintf("%s-%d", seed, i)})
		level = append(level, id)
	}
	for j := 0; len(level) > 1; {
		var next []string
		for len(level) > 1 {
			id := fmt.Sprint("j", j)
			j++
			g.add(id, "StringConcatenate", map[string]any{"string_a": []any{level[0], 0}, "string_b": []any{level[1], 0}, "delimiter": ""})
			next, level = append(next, id), level[2:]
		}
		level = append(next, level...)
	}
	g.add("out", "PreviewAny", map[string]any{"source": []any{level[0], 0}})
	return g
}

func promptSmall(text string) wirePrompt {
	g := wirePrompt{}
	g.add("1", "PrimitiveString", map[string]any{"value": text})
	g.add("2", "PreviewAny", map[string]any{"source": []any{"1", 0}})
	return g
}

func (b *serverBench) all() error {
	k, err := b.client()
	if err != nil {
		return err
	}
	defer k.conn.CloseNow()
	if _, err := k.prompt(k.body(promptChain(3, "warm"+b.run))); err != nil {
		return err
	}
	for _, f := range []func(*benchClient) error{b.requests, b.graphs, b.small, b.crowd, b.large} {
		if err := f(k); err != nil {
			return err
		}
	}
	return nil
}

func (b *serverBench) requests(*benchClient) error {
	for _, row := range []struct {
		path  string
		times int
	}{{"/prompt", 200}, {"/object_info", 10}} {
		var took []time.Duration
		size := 0
		for range row.times {
			begin := time.Now()
			_, data, err := b.do(b.ctx, http.MethodGet, row.path, nil)
			if err != nil {
				return err
			}
			took, size = append(took, time.Since(begin)), len(data)
		}
		b.show("GET "+row.path, "median %.2f ms, p95 %.2f, %d bytes", quantile(took, .5), quantile(took, .95), size)
	}
	return nil
}

// graphs runs chains and fans, new and again, five times; it shows medians.
func (b *serverBench) graphs(k *benchClient) error {
	type row struct {
		name  string
		nodes int
		graph func(int, string) wirePrompt
		size  int
	}
	rows := []row{{"chain of 100", 101, promptChain, 100}, {"chain of 300", 301, promptChain, 300}, {"fan-in of 200", 400, promptFan, 200}}
	if !b.quick {
		rows = append(rows, row{"chain of 900", 901, promptChain, 900}, row{"chain of 1,000", 1001, promptChain, 1000}, row{"fan-in of 1,000", 2000, promptFan, 1000})
	}
	var messages, size int
	for _, r := range rows {
		var took, posts, cached []time.Duration
		failed := false
		for i := range 5 {
			if err := b.post(b.ctx, "/free", map[string]any{"unload_models": true, "free_memory": true}); err != nil {
				return err
			}
			time.Sleep(50 * time.Millisecond)
			k.messages, k.bytes = 0, 0
			body := k.body(r.graph(r.size, fmt.Sprint(b.run, i)))
			s, err := k.prompt(body)
			if failed = err != nil; failed {
				b.show(r.name, "%v", err)
				break
			}
			took, posts = append(took, s.total), append(posts, s.post)
			messages, size = k.messages, k.bytes
			if s, err = k.prompt(body); err != nil {
				return err
			}
			if cached = append(cached, s.total); s.total > 5*time.Second {
				break // a ComfyUI: once is enough
			}
		}
		if !failed {
			total := quantile(took, .5)
			b.show(r.name, "%.1f ms (%.3f a node; answered in %.1f), cached %.1f; %d messages, %.0f bytes a node", total, total/float64(r.nodes),
				quantile(posts, .5), quantile(cached, .5), messages, float64(size)/float64(r.nodes))
		}
	}
	return nil
}

// small runs prompts of two nodes in turn.
func (b *serverBench) small(k *benchClient) error {
	for _, kind := range []string{"cached", "new"} {
		var took []time.Duration
		begin := time.Now()
		for i := range 200 {
			text := b.run
			if kind == "new" {
				text += fmt.Sprint(i)
			}
			s, err := k.prompt(k.body(promptSmall(text)))
			if err != nil {
				return err
			}
			took = append(took, s.total)
		}
		b.show("200 "+kind+" prompts in turn", "%.0f/s, median %.2f ms, p95 %.2f", 200/time.Since(begin).Seconds(), quantile(took, .5), quantile(took, .95))
	}
	return nil
}

// crowd is many clients at once: first each waits for its own, then all queue at once.
func (b *serverBench) crowd(*benchClient) error {
	const clients = 50
	for _, each := range []int{4, 20} {
		var mu sync.Mutex
		var took []time.Duration
		var failed error
		var all sync.WaitGroup
		begin := time.Now()
		for w := range clients {
			all.Go(func() {
				err := b.member(w, each, each == 20, func(d time.Duration) {
					mu.Lock()
					took = append(took, d)
					mu.Unlock()
				})
				if err != nil {
					mu.Lock()
					failed = errors.Join(failed, err)
					mu.Unlock()
				}
			})
		}
		all.Wait()
		if failed != nil {
			return failed
		}
		name := "50 clients, 4 prompts each in turn"
		if each == 20 {
			name = "50 clients, 1,000 prompts queued"
		}
		b.show(name, "%.0f/s, median %.0f ms, p95 %.0f, none failed", float64(len(took))/time.Since(begin).Seconds(), quantile(took, .5), quantile(took, .95))
	}
	return nil
}

// member is one of the crowd; together queues all its prompts before it waits for any.
func (b *serverBench) member(w, prompts int, together bool, done func(time.Duration)) error {
	k, err := b.client()
	if err != nil {
		return err
	}
	defer k.conn.CloseNow()
	var ids []string
	var begins []time.Time
	for i := range prompts {
		begins = append(begins, time.Now())
		id, err := k.post(k.body(promptSmall(fmt.Sprintf("%s-%d-%d-%v", b.run, w, i, together))))
		if err != nil {
			return err
		}
		if ids = append(ids, id); !together {
			if err := k.wait(id); err != nil {
				return err
			}
			done(time.Since(begins[i]))
		}
	}
	if together {
		for i, id := range ids {
			if err := k.wait(id); err != nil {
				return err
			}
			done(time.Since(begins[i]))
		}
	}
	return nil
}

func (b *serverBench) large(k *benchClient) error {
	var posts, took []time.Duration
	for i := range 5 {
		g := promptSmall(fmt.Sprint(b.run, i) + strings.Repeat("x", 5<<20))
		g.add("2", "StringLength", map[string]any{"string": []any{"1", 0}})
		g.add("3", "PreviewAny", map[string]any{"source": []any{"2", 0}})
		s, err := k.prompt(k.body(g))
		if err != nil {
			return err
		}
		posts, took = append(posts, s.post), append(took, s.total)
	}
	b.show("prompt of 5 MB (one text)", "answered in %.0f ms, done in %.0f; best of 5 %.0f, %.0f", quantile(posts, .5), quantile(took, .5), ms(posts[0]), ms(took[0]))
	begin := time.Now()
	_, data, err := b.do(b.ctx, http.MethodGet, "/history?max_items=50", nil)
	b.show("GET /history, last 50", "%.1f ms, %.1f MB", ms(time.Since(begin)), float64(len(data))/1e6)
	return err
}
