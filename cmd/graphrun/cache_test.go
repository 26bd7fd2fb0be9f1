package main

import (
	"testing"

	"graphrun/graph"
)

func TestByteCount(t *testing.T) {
	for text, want := range map[string]int64{
		"1": 1, "2000": 2000, "8GiB": 8 << 30, "8g": 8 << 30, "0.5 GiB": 1 << 29, "1.5kb": 1500, "3 MB": 3e6, "7B": 7, "1TiB": 1 << 40,
		"": 0, "0": 0, "-1": 0, "GiB": 0, "NaN": 0, "Inf": 0, "1e30": 0, "8 apples": 0, "9223372036854775808": 0,
	} {
		var b byteCount
		err := b.Set(text)
		if int64(b) != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %d, %v; want %d", text, b, err, want)
		}
	}
}

func TestCacheFlags(t *testing.T) {
	for _, f := range []cacheFlags{{}, {classic: true}, {lru: 3}, {none: true}, {budget: 5}, {dir: t.TempDir()}} {
		if err := f.configure(&graph.Cache{}, ""); err != nil {
			t.Errorf("%+v: %v", f, err)
		}
	}
	file := t.TempDir() + "\x00"
	for _, f := range []cacheFlags{{classic: true, none: true}, {lru: 1, budget: 1}, {lru: -1}, {dir: file}} {
		if err := f.configure(&graph.Cache{}, ""); exitCode(err) != exitUsage {
			t.Errorf("%+v: %v", f, err)
		}
	}
}
