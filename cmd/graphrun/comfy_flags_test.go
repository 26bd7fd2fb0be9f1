package main

import (
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"
)

// TestSpelledOut: a value may stand behind its flag, as ComfyUI's start scripts have it.
func TestSpelledOut(t *testing.T) {
	for args, want := range map[string]string{
		"serve --listen 0.0.0.0 --port 1":                 "serve --listen=0.0.0.0 --port=1",
		"serve --listen --port 1":                         "serve --listen --port=1",
		"serve --listen=::1 --verbose DEBUG":              "serve --listen=::1 --verbose=DEBUG",
		"serve --extra-model-paths-config a b --cpu":      "serve --extra-model-paths-config=a --extra-model-paths-config=b --cpu",
		"serve --fast fp16_accumulation cublas_ops --cpu": "serve --fast=fp16_accumulation --fast=cublas_ops --cpu",
		"serve --cpu left":                                "serve --cpu left",
		"serve --port 1 left":                             "serve --port=1 left",
		"serve --nonsense 1":                              "serve --nonsense 1",
		"serve --enable-cors-header * --multi-user":       "serve --enable-cors-header=* --multi-user",
		"serve":          "serve",
		"run --listen x": "run --listen x",
		"":               "",
	} {
		if got := strings.Join(spelledOut(strings.Fields(args)), " "); got != want {
			t.Errorf("%s: want %s, have %s", args, want, got)
		}
	}
}

// TestUnneededFlags: flags of ComfyUI's that mean nothing here are taken, and the log says so.
func TestUnneededFlags(t *testing.T) {
	var args []string
	for _, names := range unneeded {
		for _, name := range names {
			flag := "--" + strings.TrimRight(name, "=?*")
			args = append(args, flag)
			if strings.HasSuffix(name, "=") {
				args = append(args, "x")
			}
		}
	}
	c := serveCommand()
	if err := c.ParseFlags(spelledOut(append([]string{"serve"}, args...))[1:]); err != nil {
		t.Fatal(err)
	}
	if left := c.Flags().Args(); len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
	var log strings.Builder
	noteUnneeded(c.Flags(), slog.New(slog.NewTextHandler(&log, nil)))
	if n, want := strings.Count(log.String(), "no effect"), strings.Count(strings.Join(args, " "), "--"); n != want {
		t.Errorf("%d lines, want %d", n, want)
	}
}

// TestStartScript starts the server as ComfyUI's own tests start ComfyUI.
func TestStartScript(t *testing.T) {
	url, _ := served(t, "--listen", "127.0.0.1", "--cpu", "--cache-lru", "0", "--verbose", "DEBUG", "--preview-method", "taesd", "--dont-print-server")
	var q map[string]any
	getJSON(t, url+"/prompt", &q)
	if q["exec_info"] == nil {
		t.Error(q)
	}
}

// TestRestart: a server takes over the address of one that is about to end.
func TestRestart(t *testing.T) {
	old, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(100*time.Millisecond, func() { old.Close() })
	l, err := listenOn(old.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}
