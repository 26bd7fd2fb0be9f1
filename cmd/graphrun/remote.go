package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"graphrun/graph"
	"graphrun/graph/workflow"
	"graphrun/runtime/hub"
)

// remote is a graphrun or ComfyUI server.
type remote struct{ url, token string }

func (r *remote) add(flags *pflag.FlagSet) {
	flags.StringVar(&r.url, "server", "", "`URL` of a graphrun or ComfyUI server, as http://127.0.0.1:8188")
	flags.StringVar(&r.token, "token", os.Getenv("GRAPHRUN_TOKEN"), "its token, by default $GRAPHRUN_TOKEN")
	flags.Lookup("token").DefValue = "" // no secret in the help
}

// check refuses what is no address of a server.
func (r *remote) check() error {
	u, err := url.Parse(r.url)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return usagef("--server %q: need an address like http://127.0.0.1:8188", r.url)
	}
	r.url = strings.TrimRight(r.url, "/")
	return nil
}

func (r *remote) header() http.Header {
	h := http.Header{"User-Agent": {"graphrun/" + version()}}
	if r.token != "" {
		h.Set("Authorization", "Bearer "+r.token)
	}
	return h
}

// do sends a request, with JSON if in is not nil, and gives the answer's status and body.
func (r *remote) do(ctx context.Context, method, path string, in any) (int, []byte, error) {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return 0, nil, err
		}
		body = bytes.NewReader(data)
	}
	return r.send(ctx, method, path, "application/json", body)
}

// send is do with a body of any kind.
func (r *remote) send(ctx context.Context, method, path, kind string, body io.Reader) (int, []byte, error) {
	q, err := http.NewRequestWithContext(ctx, method, r.url+path, body)
	if err != nil {
		return 0, nil, err
	}
	q.Header = r.header()
	if body != nil {
		q.Header.Set("Content-Type", kind)
	}
	resp, err := http.DefaultClient.Do(q)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return resp.StatusCode, data, err
}

// dial opens a client's socket.
func (r *remote) dial(ctx context.Context, client string) (*websocket.Conn, error) {
	conn, resp, err := websocket.Dial(ctx, r.url+"/ws?clientId="+client, &websocket.DialOptions{HTTPHeader: r.header()})
	if err != nil {
		if resp != nil && resp.StatusCode == http.StatusUnauthorized {
			return nil, r.wantsToken()
		}
		return nil, err
	}
	conn.SetReadLimit(1 << 28)
	return conn, nil
}

func (r *remote) wantsToken() error {
	return fmt.Errorf("%s: the server wants a token: give it with --token or $GRAPHRUN_TOKEN", r.url)
}

// get reads JSON of a path; post sends some.
func (r *remote) get(ctx context.Context, path string, into any) error {
	return r.json(ctx, http.MethodGet, path, nil, into)
}

func (r *remote) post(ctx context.Context, path string, in any) error {
	return r.json(ctx, http.MethodPost, path, in, nil)
}

func (r *remote) json(ctx context.Context, method, path string, in, into any) error {
	status, data, err := r.do(ctx, method, path, in)
	switch {
	case err != nil:
		return err
	case status == http.StatusUnauthorized:
		return r.wantsToken()
	case status != http.StatusOK:
		return fmt.Errorf("%s %s%s: status %d: %s", method, r.url, path, status, graph.Clip(strings.TrimSpace(string(data))))
	case into == nil:
		return nil
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%s%s: is this a ComfyUI server? %w", r.url, path, err)
	}
	return nil
}

// execute runs the workflow there and brings the files here.
func (r *remote) execute(c *cobra.Command, f *runFlags, name string, report reporter) ([]string, error) {
	ctx := c.Context()
	file, err := readWorkflow(name)
	if err != nil {
		return nil, err
	}
	var info json.RawMessage
	if err := r.get(ctx, "/object_info", &info); err != nil {
		return nil, err
	}
	nodes, err := graph.ParseObjectInfo(info)
	if err != nil {
		return nil, err
	}
	var words []string
	_ = r.get(ctx, "/embeddings", &words) // for A1111's parameters alone
	p, err := f.prompt(file, name, workflow.Options{Nodes: nodes, Env: graph.NewEnv(), Embeddings: words})
	if err != nil {
		return nil, err
	}
	if err := r.uploadInputs(ctx, p, nodes, f.input, filepath.Dir(name)); err != nil {
		return nil, err
	}
	job := &job{remote: r, name: name, prompt: p, client: uuid.NewString(), report: report, running: map[string]bool{}, told: map[string]bool{}}
	if err := job.listen(ctx); err != nil {
		return nil, err
	}
	defer func() { job.conn.CloseNow() }()
	if err := job.submit(ctx, file); err != nil {
		return nil, err
	}
	outputs, err := job.follow(ctx)
	if err != nil {
		return nil, err
	}
	return job.fetch(ctx, outputs, f.output)
}

// job is a prompt on a server, as this client sees it.
type job struct {
	*remote
	name, client, id string
	prompt           *graph.Prompt
	conn             *websocket.Conn
	report           reporter
	running, told    map[string]bool // nodes
}

// listen opens the socket.
func (j *job) listen(ctx context.Context) error {
	conn, err := j.dial(ctx, j.client)
	if err == nil {
		j.conn = conn
	}
	return err
}

func (j *job) submit(ctx context.Context, file *workflow.File) error {
	j.id = uuid.NewString()
	body := map[string]any{"prompt": j.prompt, "client_id": j.client, "prompt_id": j.id}
	if w := file.Workflow(); w != nil {
		body["extra_data"] = map[string]any{"extra_pnginfo": map[string]any{"workflow": w}}
	}
	status, data, err := j.do(ctx, http.MethodPost, "/prompt", body)
	if err != nil {
		return err
	}
	var answer struct {
		ID    string `json:"prompt_id"`
		Error struct{ Message, Details string }
		Nodes map[string]struct {
			Class  string `json:"class_type"`
			Errors []struct {
				Message, Details string
				Extra            struct {
					Input string `json:"input_name"`
				} `json:"extra_info"`
			}
		} `json:"node_errors"`
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return fmt.Errorf("POST %s/prompt: status %d: %s", j.url, status, graph.Clip(strings.TrimSpace(string(data))))
	}
	var errs []error
	for _, id := range slices.Sorted(maps.Keys(answer.Nodes)) {
		for _, e := range answer.Nodes[id].Errors {
			errs = append(errs, &graph.Error{Kind: graph.KindNodeFailed, Node: id, Class: answer.Nodes[id].Class, Input: e.Extra.Input, Err: errors.New(strings.TrimSuffix(e.Message+": "+e.Details, ": "))})
		}
	}
	if status != http.StatusOK && len(errs) == 0 {
		errs = append(errs, errors.New(strings.TrimSuffix(answer.Error.Message+": "+answer.Error.Details, ": ")))
	}
	if len(errs) > 0 { // a prompt that runs in part would leave out what was asked for
		if answer.ID != "" {
			j.cancel()
		}
		return &workflowError{j.name, errors.Join(errs...)}
	}
	j.id = answer.ID // older servers choose it
	return nil
}

// cancel takes the prompt back from the server, whether it waits or runs.
func (j *job) cancel() {
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	_ = j.post(ctx, "/queue", map[string]any{"delete": []string{j.id}})
	_ = j.post(ctx, "/interrupt", map[string]any{"prompt_id": j.id})
}

// outcome is a prompt's entry of the history.
type outcome struct {
	Outputs map[string]graph.UI
	Status  struct {
		Completed bool
		Messages  [][2]json.RawMessage
	}
}

// ended asks for the prompt's result; nil if there is none yet.
func (j *job) ended(ctx context.Context) (*outcome, error) {
	all := map[string]*outcome{}
	if err := j.get(ctx, "/history/"+url.PathEscape(j.id), &all); err != nil {
		return nil, err
	}
	return all[j.id], nil
}

// silence is how long nothing is heard before the history is asked: events may be lost.
const silence = 10 * time.Second

// follow tells what happens until the prompt has ended. A socket that breaks is opened again.
func (j *job) follow(ctx context.Context) (map[string]graph.UI, error) {
	messages := make(chan []byte)
	broken := make(chan error, 1)
	hear := func() {
		conn := j.conn
		go func() {
			for {
				kind, data, err := conn.Read(ctx)
				if err != nil {
					broken <- err
					return
				}
				if kind == websocket.MessageText {
					select {
					case messages <- data:
					case <-ctx.Done():
					}
				}
			}
		}()
	}
	hear()
	for {
		select {
		case data := <-messages:
			if !j.heard(data) {
				continue
			}
		case <-broken:
			if ctx.Err() == nil && j.listen(ctx) == nil {
				hear()
				continue
			}
			time.Sleep(time.Second)
			broken <- nil
		case <-time.After(silence):
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			j.cancel()
			return nil, ctx.Err()
		}
		o, err := j.ended(ctx)
		if err != nil && !errors.Is(err, context.Canceled) {
			return nil, err
		}
		if o != nil {
			return o.Outputs, o.err()
		}
	}
}

// heard tells a message's news; over says that the run has ended.
func (j *job) heard(data []byte) (over bool) {
	var m struct {
		Type string
		Data struct {
			ID      string `json:"prompt_id"`
			Node    *string
			Display string `json:"display_node"`
			Nodes   json.RawMessage
			Value   float64
			Max     float64
			Output  graph.UI
			Type    string `json:"exception_type"`
			Message string `json:"exception_message"`
			NodeID  string `json:"node_id"`
			Class   string `json:"node_type"`
		}
	}
	if json.Unmarshal(data, &m) != nil || m.Data.ID != j.id {
		return false
	}
	d := &m.Data
	node := ""
	if d.Node != nil {
		node = *d.Node
	}
	switch m.Type {
	case "execution_start":
		j.report.event(graph.Start{RunID: j.id})
	case "execution_cached":
		var nodes []string
		json.Unmarshal(d.Nodes, &nodes)
		j.report.event(graph.Cached{Nodes: nodes})
	case "executing":
		if d.Node == nil {
			return true
		}
		e := graph.Executing{NodeID: node, Display: d.Display}
		if n := j.prompt.Nodes[d.Display]; n != nil {
			e.Class, e.Title = n.Class, n.Title
		}
		j.running[node] = true
		j.report.event(e)
	case "progress":
		j.report.event(graph.Progress{NodeID: node, Display: d.Display, Phase: "sample", Step: int(d.Value), Total: int(d.Max)})
	case "progress_state":
		var nodes map[string]struct {
			State   string
			Display string `json:"display_node_id"`
		}
		json.Unmarshal(d.Nodes, &nodes)
		for id, s := range nodes {
			if s.State == "finished" && j.running[id] {
				j.done(id, s.Display, nil)
			}
		}
	case "executed":
		j.done(node, d.Display, d.Output)
	case "execution_error":
		if d.Type == "ExecutionBlocked" {
			j.report.event(graph.Blocked{NodeID: d.NodeID, Class: d.Class, Message: strings.TrimPrefix(strings.TrimSpace(d.Message), "Execution Blocked: ")})
		}
	case "execution_interrupted":
		j.report.event(graph.Interrupted{NodeID: d.NodeID})
	}
	return false
}

// done tells once that a node is done.
func (j *job) done(node, display string, shown graph.UI) {
	if !j.told[node] {
		j.told[node] = true
		j.report.event(graph.Executed{NodeID: node, Display: display, UI: shown, Cached: !j.running[node]})
	}
	delete(j.running, node)
}

// err is the error that ended the prompt, if one did.
func (o *outcome) err() error {
	if o.Status.Completed {
		return nil
	}
	for _, m := range o.Status.Messages {
		var kind string
		json.Unmarshal(m[0], &kind)
		var d struct {
			Node    string `json:"node_id"`
			Class   string `json:"node_type"`
			Message string `json:"exception_message"`
		}
		json.Unmarshal(m[1], &d)
		switch kind {
		case "execution_error":
			return &graph.Error{Kind: graph.KindNodeFailed, Node: d.Node, Class: d.Class, Err: errors.New(strings.TrimSpace(d.Message))}
		case "execution_interrupted":
			return &graph.Error{Kind: graph.KindInterrupted, Node: d.Node, Class: d.Class, Err: errors.New("interrupted on the server")}
		}
	}
	return errors.New("the run failed, the server does not say why")
}

// fetch brings the files that the outputs show into the output folder, previews into its temp folder, and returns their
// paths. What is there under the same name with another content stays, as on a server: the new one gets a number.
func (j *job) fetch(ctx context.Context, outputs map[string]graph.UI, dir string) ([]string, error) {
	var files []string
	for _, id := range j.prompt.IDs {
		refs, err := shownFiles(outputs[id])
		if err != nil {
			return nil, err
		}
		for _, f := range refs {
			rel := filepath.Join(filepath.FromSlash(f.Subfolder), f.Filename)
			if !filepath.IsLocal(rel) {
				return nil, fmt.Errorf("the server names a file %q outside its folder", rel)
			}
			to := filepath.Join(dir, rel)
			switch f.Type {
			case "output", "":
			case "input", "temp":
				to = filepath.Join(dir, f.Type, rel)
			default:
				return nil, fmt.Errorf("the server names a file %q in a folder %q: need output, input or temp", rel, f.Type)
			}
			q := url.Values{"filename": {f.Filename}, "subfolder": {f.Subfolder}, "type": {f.Type}}
			status, data, err := j.do(ctx, http.MethodGet, "/view?"+q.Encode(), nil)
			if err == nil && status != http.StatusOK {
				err = fmt.Errorf("%s/view of %s: status %d", j.url, rel, status)
			}
			if err != nil {
				return nil, err
			}
			path, err := keep(to, data)
			if err != nil {
				return nil, err
			}
			files = append(files, path)
		}
	}
	return files, nil
}

// keep writes a file under a name that no other content has.
func keep(path string, data []byte) (string, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return "", err
	}
	ext := filepath.Ext(path)
	for to, i := path, 1; ; i++ {
		old, err := os.ReadFile(to)
		switch {
		case err == nil && bytes.Equal(old, data):
			return to, nil
		case errors.Is(err, os.ErrNotExist):
			return to, hub.WriteFile(to, func(w io.Writer) error {
				_, err := w.Write(data)
				return err
			})
		case err != nil:
			return "", err
		}
		to = fmt.Sprintf("%s (%d)%s", strings.TrimSuffix(path, ext), i, ext)
	}
}
