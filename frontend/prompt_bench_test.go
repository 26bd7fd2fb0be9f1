package frontend

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"graphrun/graph/queue"
)

// onDisk gives a server under test the queue that real ones have.
func onDisk(t testing.TB) func(*Config) {
	return func(c *Config) {
		store, err := queue.OpenSQLite(filepath.Join(t.TempDir(), "queue.db"), false)
		if err != nil {
			t.Fatal(err)
		}
		if c.Queue, _, err = queue.Open(store, queue.Options{}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Queue.Close() })
	}
}

// benchmarkPrompt submits a prompt and hears its events to the end, again and again.
func benchmarkPrompt(b *testing.B, prompt func(run int) dict) {
	t := newBench(b, onDisk(b))
	k := t.dial("?clientId=me")
	for i := 0; b.Loop(); i++ {
		id := t.submit(prompt(i), "client_id", "me")
		for {
			_, data, err := k.Read(context.Background())
			t.must(err)
			if bytes.Contains(data, []byte(`"executing"`)) && bytes.Contains(data, []byte(`"node":null`)) && bytes.Contains(data, []byte(id)) {
				break
			}
		}
	}
}

func BenchmarkNewPrompt(b *testing.B) {
	benchmarkPrompt(b, func(run int) dict { return chain("Say", fmt.Sprint(run)) })
}

func BenchmarkCachedPrompt(b *testing.B) {
	benchmarkPrompt(b, func(int) dict { return chain("Say", "the same") })
}

func BenchmarkChain100(b *testing.B) {
	benchmarkPrompt(b, func(run int) dict {
		p := chain("Say", fmt.Sprint(run))
		p["2"].(dict)["inputs"].(dict)["text"] = []any{"101", 0}
		last := "1"
		for i := 3; i < 102; i++ {
			id := fmt.Sprint(i)
			p[id] = dict{"class_type": "Say", "inputs": dict{"text": []any{last, 0}}}
			last = id
		}
		return p
	})
}

// BenchmarkLargePrompt is a text of 5 MB in a small prompt.
func BenchmarkLargePrompt(b *testing.B) {
	long := strings.Repeat("a long text, ", 400_000)
	benchmarkPrompt(b, func(run int) dict { return chain("Say", fmt.Sprint(run, long)) })
}
