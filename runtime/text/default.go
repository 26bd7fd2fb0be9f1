package text

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"io"
	"strings"
	"sync"
)

// The merges of CLIP's vocabulary, without the version line. OpenAI's licence (MIT) lies beside it.
//
//go:embed vocabulary/clip_merges.txt.gz
var clipMerges []byte

// DefaultCLIP is the tokenizer of CLIP's own vocabulary (49408 words, pad 49407), for checkpoints that carry none.
// It is decoded at the first call, in tens of milliseconds, and shared.
func DefaultCLIP() *CLIPTokenizer { return defaultCLIP() }

var defaultCLIP = sync.OnceValue(decodeCLIP)

func decodeCLIP() *CLIPTokenizer {
	zipped, err := gzip.NewReader(bytes.NewReader(clipMerges))
	if err != nil {
		panic("text: embedded vocabulary: " + err.Error()) // the binary itself is broken
	}
	raw, err := io.ReadAll(zipped)
	if err != nil {
		panic("text: embedded vocabulary: " + err.Error())
	}
	t, err := derive(strings.Fields(string(raw))).tokenizer()
	if err != nil {
		panic("text: embedded vocabulary: " + err.Error())
	}
	return t
}

// derive builds CLIP's vocabulary from its merges: the 256 bytes, the same as ends of words, what each merge makes, and
// the start and end tokens, numbered in this order.
func derive(symbols []string) *vocabulary {
	v := &vocabulary{
		file: "CLIP's vocabulary", mergesFile: "CLIP's vocabulary", start: "<|startoftext|>", end: "<|endoftext|>",
		ids: make(map[string]int, 512+len(symbols)/2+2), merges: make([][2]string, 0, len(symbols)/2),
	}
	add := func(token string) { v.ids[token] = len(v.ids) }
	order, char := alphabet()
	for _, b := range order {
		add(char[b])
	}
	for _, b := range order {
		add(char[b] + endOfWord)
	}
	for i := 0; i+1 < len(symbols); i += 2 {
		v.merges = append(v.merges, [2]string{symbols[i], symbols[i+1]})
		add(symbols[i] + symbols[i+1])
	}
	add(v.start)
	add(v.end)
	return v
}
