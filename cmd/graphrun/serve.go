package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"graphrun/frontend"
	"graphrun/graph"
	"graphrun/graph/queue"
	"graphrun/nodes/bridge"
	"graphrun/runtime/hub"
)

// serveFlags are the flags of `graphrun serve`, in the groups of its help.
type serveFlags struct {
	listen           string
	port             int
	tlsCert, tlsKey  string
	base             string
	temp, user       string
	extraModels      []string
	token, tokenFile string
	strictHost       bool
	hosts            []string
	cors             string
	maxUpload        float64
	maxSockets       int
	compress         bool
	multiUser        bool
	noMetadata       bool
	parallel         bool
	frontEnd         string
	previewSize      int
	previewMethod    string
	queueFile        string
	queueMax         int
	queueFair        bool
	queueSync        bool
	queueAttempts    int
	historyMax       int
	grace            time.Duration
	verbose          string
	groups           []*pflag.FlagSet
	engineFlags
}

func serveCommand() *cobra.Command {
	var f serveFlags
	c := &cobra.Command{
		Use:   "serve",
		Short: "Serve ComfyUI's HTTP and websocket API, and the editor",
		Long: "Serve ComfyUI's HTTP and websocket API, and the editor at /. What is queued survives the end of the process.\n" +
			"Only this machine may connect unless --listen says otherwise, which takes a token.",
		Example: "  graphrun serve\n  graphrun serve --listen 0.0.0.0 --token-file token.txt --tls-cert cert.pem --tls-key key.pem",
		Args:    usage(cobra.NoArgs),
		RunE:    func(c *cobra.Command, _ []string) error { return f.serve(c) },
	}
	f.addServe(c.Flags())
	c.SetHelpFunc(func(c *cobra.Command, _ []string) { f.help(c) })
	return c
}

// group adds flags under a title of the help.
func (f *serveFlags) group(all *pflag.FlagSet, title string, add func(*pflag.FlagSet)) {
	g := pflag.NewFlagSet(title, pflag.ContinueOnError)
	g.SortFlags = false
	add(g)
	all.AddFlagSet(g)
	f.groups = append(f.groups, g)
}

func (f *serveFlags) addServe(all *pflag.FlagSet) {
	f.group(all, "Network", func(g *pflag.FlagSet) {
		g.StringVar(&f.listen, "listen", "127.0.0.1", "addresses, comma separated; any but this machine's own takes a token")
		g.Lookup("listen").NoOptDefVal = "0.0.0.0,::"
		g.IntVar(&f.port, "port", 8188, "port, 0 for any that is free")
		g.StringVar(&f.tlsCert, "tls-cert", "", "certificate `FILE` (PEM), with --tls-key")
		g.StringVar(&f.tlsKey, "tls-key", "", "its key `FILE`")
		g.Float64Var(&f.maxUpload, "max-upload-size", 100, "`MB` of a request's body")
		g.IntVar(&f.maxSockets, "max-sockets", 10000, "websockets at once")
		g.BoolVar(&f.compress, "enable-compress-response-body", false, "gzip JSON and text")
	})
	f.group(all, "Safety", func(g *pflag.FlagSet) {
		g.StringVar(&f.token, "token", "", "what every request must show: Authorization: Bearer TOKEN, a cookie or ?token=TOKEN")
		g.StringVar(&f.tokenFile, "token-file", "", "`FILE` that holds the token")
		g.BoolVar(&f.strictHost, "strict-host", false, "refuse requests under names of this machine that --allow-host does not list")
		g.StringSliceVar(&f.hosts, "allow-host", nil, "`NAME` under which this machine may be reached, repeatable")
		g.StringVar(&f.cors, "enable-cors-header", "", "`ORIGIN` whose pages may use the API; without a value, any")
		g.Lookup("enable-cors-header").NoOptDefVal = "*"
		g.BoolVar(&f.multiUser, "multi-user", false, "settings and data by the header comfy-user")
	})
	f.group(all, "Folders", func(g *pflag.FlagSet) {
		g.StringVar(&f.base, "base-directory", ".", "`DIR` that models, input, output, temp and user lie in")
		g.StringVar(&f.input, "input-directory", "", "`DIR` of pictures that workflows read (base/input)")
		g.StringVar(&f.output, "output-directory", "", "`DIR` of what workflows write (base/output)")
		g.StringVar(&f.temp, "temp-directory", "", "`DIR` in which temp is made, emptied at start and end (base)")
		g.StringVar(&f.user, "user-directory", "", "`DIR` of settings, workflows and the queue (base/user)")
		g.StringArrayVar(&f.models, "models", nil, "`DIR` of models, repeatable (base/models)")
		g.StringArrayVar(&f.extraModels, "extra-model-paths-config", nil, "YAML `FILE` of more folders, as ComfyUI's, repeatable")
		g.SetAnnotation("extra-model-paths-config", many, nil)
		g.StringVar(&f.frontEnd, "front-end-root", "", "`DIR` of a web page to serve in place of the editor")
	})
	f.group(all, "Queue", func(g *pflag.FlagSet) {
		g.StringVar(&f.queueFile, "queue-file", "", "`FILE` that keeps the queue and the history (user/queue.db); none: memory alone")
		g.IntVar(&f.queueMax, "queue-max", 10000, "prompts that may wait, 0 for any number")
		g.BoolVar(&f.queueFair, "queue-fair", false, "clients take turns, whoever came first")
		g.BoolVar(&f.queueSync, "queue-sync", false, "survive the loss of power too: slower")
		g.IntVar(&f.queueAttempts, "queue-attempts", 10, "a prompt that ran each of so many times that the server died is given up")
		g.IntVar(&f.historyMax, "history-max", 10000, "results that are kept")
		g.DurationVar(&f.grace, "grace", 0, "how long a prompt may go on when the server is told to end; then it waits for the next start")
	})
	f.group(all, "Results", func(g *pflag.FlagSet) {
		g.BoolVar(&f.noMetadata, "disable-metadata", false, "write no workflow into files")
		g.StringVar(&f.previewMethod, "preview-method", "auto", "what samplers show of each step: none, or auto (latent2rgb, taesd), a rough picture where the model has one")
		g.IntVar(&f.previewSize, "preview-size", 512, "pixels of a preview's longer side")
	})
	f.group(all, "Computing", func(g *pflag.FlagSet) {
		f.addCompute(g)
		f.addRuns(g)
		g.BoolVar(&f.parallel, "parallel-nodes", true, "run independent nodes of a prompt at once; clients hear of one after the other, as ComfyUI runs them")
	})
	f.group(all, "Log", func(g *pflag.FlagSet) {
		g.StringVar(&f.verbose, "verbose", "info", "debug, info, warn or error")
		g.Lookup("verbose").NoOptDefVal = "debug"
	})
	addUnneeded(all)
	all.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		switch name { // as ComfyUI spells them
		case "tls-certfile":
			name = "tls-cert"
		case "tls-keyfile":
			name = "tls-key"
		}
		return pflag.NormalizedName(name)
	})
}

// help prints the flags by group.
func (f *serveFlags) help(c *cobra.Command) {
	out := c.OutOrStdout()
	fmt.Fprintf(out, "%s\n\nUsage:\n  %s\n\nExamples:\n%s\n", c.Long, c.UseLine(), c.Example)
	for _, g := range f.groups {
		fmt.Fprintf(out, "\n%s:\n%s", g.Name(), g.FlagUsages())
	}
}

// serve serves until the context ends.
func (f *serveFlags) serve(c *cobra.Command) error {
	token, err := f.secret()
	if err != nil {
		return err
	}
	if (f.tlsCert == "") != (f.tlsKey == "") {
		return usagef("--tls-cert and --tls-key go together")
	}
	listeners, err := f.listeners(token != "")
	if err != nil {
		return err
	}
	defer func() {
		for _, l := range listeners {
			l.Close()
		}
	}()
	dirs := f.folders()
	logs := frontend.NewLogs(0)
	log, err := f.logger(io.MultiWriter(c.ErrOrStderr(), logs))
	if err != nil {
		return err
	}
	noteUnneeded(c.Flags(), log)
	e, err := f.open()
	if err != nil {
		return err
	}
	defer e.Close()
	e.folders.Temp = dirs.Temp
	for _, file := range f.extraModels {
		if err := e.folders.AddConfig(file); err != nil {
			return usagef("--extra-model-paths-config: %w", err)
		}
	}
	q, lost, err := f.openQueue(dirs.User)
	if err != nil {
		return err
	}
	defer q.Close()
	showing := e.env.Clone()
	graph.Provide(showing, bridge.Previews{Size: f.previewSize})
	previews := map[string]*graph.Env{"none": e.env, "auto": showing, "latent2rgb": showing, "taesd": showing}
	env := previews[f.previewMethod]
	if env == nil {
		return usagef("--preview-method: need none, auto, latent2rgb or taesd, have %q", f.previewMethod)
	}
	s := frontend.New(frontend.Config{
		Nodes: graph.Registered(), Env: env, Previews: previews, Cache: &e.cache, Engine: e, Queue: q, Dirs: dirs, Log: log, Logs: logs, Pictures: pictures{},
		Token: token, StrictHost: f.strictHost, Hosts: f.hosts, CORS: f.cors, MaxUpload: int64(f.maxUpload * (1 << 20)),
		MaxSockets: f.maxSockets, Compress: f.compress, MultiUser: f.multiUser, NoMetadata: f.noMetadata, Parallel: f.parallel, FrontEnd: f.frontEnd,
		Args: os.Args,
	})
	for _, it := range lost {
		log.Error("given up: the server died each time this prompt ran", "id", it.ID, "times", it.Attempts)
		if err := s.GiveUp(it); err != nil {
			return err
		}
	}
	if err := frontend.Empty(dirs.Temp); err != nil {
		return err
	}
	defer frontend.Empty(dirs.Temp)
	go hub.RemoveLeftovers(dirs.Output, dirs.Input, dirs.User)
	return f.until(c.Context(), s, listeners, log)
}

// until serves on all listeners and runs what is queued until ctx ends and both have come to rest.
func (f *serveFlags) until(ctx context.Context, s *frontend.Server, listeners []net.Listener, log *slog.Logger) error {
	scheme := "http"
	if f.tlsCert != "" {
		scheme = "https"
	}
	windUp.Store(int64(f.grace + 10*time.Second)) // answers under way, and the prompt's nodes, which end when they look
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	ended := make(chan error, len(listeners)+1)
	for _, l := range listeners {
		log.Info("serving", "url", scheme+"://"+l.Addr().String())
		go func() {
			err := s.Serve(ctx, l)
			stop(err)
			ended <- err
		}()
	}
	go func() { ended <- s.Work(ctx, f.grace) }()
	// Memory that is never touched, so never there, but that the garbage collector counts: with the few megabytes that a
	// server needs it would clear up after every hundred small prompts.
	slack := make([]byte, 32<<20)
	defer runtime.KeepAlive(slack)
	var errs []error
	for range cap(ended) {
		errs = append(errs, <-ended)
	}
	return errors.Join(errs...)
}

// secret is the token, of the flag or the file.
func (f *serveFlags) secret() (string, error) {
	if f.tokenFile == "" {
		return f.token, nil
	}
	if f.token != "" {
		return "", usagef("--token and --token-file: need one of them")
	}
	data, err := os.ReadFile(f.tokenFile)
	if err != nil {
		return "", usagef("--token-file: %w", err)
	}
	token := strings.TrimSpace(string(data))
	if token == "" {
		return "", usagef("--token-file %s: need a token, have an empty file", f.tokenFile)
	}
	return token, nil
}

// listeners opens the addresses. One that other machines reach takes a token.
func (f *serveFlags) listeners(token bool) ([]net.Listener, error) {
	var config *tls.Config
	if f.tlsCert != "" {
		cert, err := tls.LoadX509KeyPair(f.tlsCert, f.tlsKey)
		if err != nil {
			return nil, usagef("--tls-cert, --tls-key: %w", err)
		}
		config = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	}
	var all []net.Listener
	for _, address := range strings.Split(f.listen, ",") {
		address = strings.TrimSpace(address)
		a, err := netip.ParseAddr(address)
		own := address == "localhost" || err == nil && a.Unmap().IsLoopback()
		if !own && !token {
			return nil, usagef("--listen %s lets other machines in: give a token with --token or --token-file, or listen on 127.0.0.1", address)
		}
		l, err := listenOn(net.JoinHostPort(address, strconv.Itoa(f.port)))
		if err != nil {
			for _, l := range all {
				l.Close()
			}
			return nil, usagef("--listen: %w", err)
		}
		if config != nil {
			l = tls.NewListener(l, config)
		}
		all = append(all, l)
	}
	return all, nil
}

// restart is how long an address may still be taken by a server that was just told to end.
const restart = 3 * time.Second

// listenOn opens an address, as soon as who had it before lets it go.
func listenOn(address string) (net.Listener, error) {
	for end := time.Now().Add(restart); ; time.Sleep(20 * time.Millisecond) {
		l, err := net.Listen("tcp", address)
		if err == nil || !errors.Is(err, syscall.EADDRINUSE) || time.Now().After(end) {
			return l, err
		}
	}
}

// folders fills in the folders that were not given, below the base.
func (f *serveFlags) folders() frontend.Dirs {
	in := func(dir *string, name string) {
		if *dir == "" {
			*dir = filepath.Join(f.base, name)
		}
	}
	in(&f.input, "input")
	in(&f.output, "output")
	in(&f.user, "user")
	if f.temp == "" {
		f.temp = f.base
	}
	if len(f.models) == 0 {
		f.models = []string{filepath.Join(f.base, "models")}
	}
	return frontend.Dirs{Input: f.input, Output: f.output, Temp: filepath.Join(f.temp, "temp"), User: f.user}
}

func (f *serveFlags) logger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	switch strings.ToUpper(f.verbose) { // as ComfyUI spells them
	case "WARNING":
		f.verbose = "warn"
	case "CRITICAL":
		f.verbose = "error"
	}
	if err := level.UnmarshalText([]byte(f.verbose)); err != nil {
		return nil, usagef("--verbose: need debug, info, warn or error, have %q", f.verbose)
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level})), nil
}

func (f *serveFlags) openQueue(user string) (*queue.Queue, []queue.Item, error) {
	path := f.queueFile
	switch path {
	case "":
		path = filepath.Join(user, "queue.db")
		if err := os.MkdirAll(user, 0o777); err != nil {
			return nil, nil, err
		}
	case "none":
		path = ""
	}
	store, err := queue.OpenSQLite(path, f.queueSync)
	if err != nil {
		return nil, nil, err
	}
	q, lost, err := queue.Open(store, queue.Options{Max: f.queueMax, Fair: f.queueFair, Keep: f.historyMax, Attempts: f.queueAttempts})
	if err != nil {
		store.Close()
	}
	return q, lost, err
}
