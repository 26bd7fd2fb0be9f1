package text

import (
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf8"
)

func FuzzTokenizerFiles(f *testing.F) {
	// Small seeds: the fuzzer takes its time to shorten large ones.
	f.Add([]byte(`{"a":0,"a</w>":1,"aa</w>":2,"<|startoftext|>":3,"<|endoftext|>":4}`), []byte("#version: 0.2\na a</w>\n"), []byte(`{"pad_token":{"content":"a"}}`), false)
	f.Add([]byte(`{"model":{"type":"BPE","end_of_word_suffix":"</w>","vocab":{"a":0,"a</w>":1,"aa</w>":2},"merges":[["a","a</w>"]]},
		"added_tokens":[{"id":3,"content":"<s>"},{"id":4,"content":"<|endoftext|>"}]}`), []byte(nil), []byte(`{"bos_token":"<s>"}`), true)
	f.Add([]byte(`{"a":0,"<|startoftext|>":1,"<|endoftext|>":0}`), []byte("\na a"), []byte(`{"bos_token":""}`), false)
	f.Fuzz(func(t *testing.T, vocab, merges, special []byte, single bool) {
		fsys := fstest.MapFS{"special_tokens_map.json": {Data: special}}
		if single {
			fsys["tokenizer.json"] = &fstest.MapFile{Data: vocab}
		} else {
			fsys["vocab.json"], fsys["merges.txt"] = &fstest.MapFile{Data: vocab}, &fstest.MapFile{Data: merges}
		}
		tok, err := CLIPFromFS(fsys, ".")
		if err != nil {
			if err.Error() == "" || !strings.Contains(err.Error(), "need ") {
				t.Errorf("error without a need: %q", err)
			}
			return
		}
		for _, id := range tok.Encode("cat (a:1.2) <|endoftext|> é 42 don't") {
			if id < 0 || id >= tok.Size() {
				t.Errorf("id %d of %d", id, tok.Size())
			}
		}
	})
}

func FuzzPromptWeights(f *testing.F) {
	for _, s := range []string{"", "a (b:1.2) c", `\(a\)`, "((a:1.2) b)", "(a:1.2:1.3)", "(:1.2)", ")(a", "((a)", "(a:١)", "(a:nan)", "\x00\x01(", "()"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, prompt string) {
		n := 0
		for _, s := range ParseWeights(prompt) {
			if s.Text == "" {
				t.Errorf("%q: empty segment", prompt)
			}
			n += len(s.Text)
		}
		if n > len(prompt) {
			t.Errorf("%q: segments of %d bytes", prompt, n)
		}
		if !strings.ContainsAny(prompt, `(\`) && prompt != "" && !strings.Contains(prompt, "\x00") {
			if s := ParseWeights(prompt); len(s) != 1 && !strings.Contains(prompt, ")") || s[0].Weight != 1 {
				t.Errorf("%q: plain text becomes %v", prompt, s)
			}
		}
	})
}

func FuzzEncode(f *testing.F) {
	for _, s := range []string{"", "a cat", "don't", "日本語", "👩‍👩‍👧", "a\x00\xffb", "<|endoftext|><|STARTOFTEXT|>", "ΟΔΟΣ İ", "'ſ ½ ①", "embedding:x embedding:"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for name, tok := range map[string]*CLIPTokenizer{"4.57": DefaultCLIP(), "5": DefaultCLIP().Transformers5()} {
			for _, id := range tok.Encode(text) {
				if id < 0 || id >= tok.Size() {
					t.Fatalf("%s: %q: id %d", name, text, id)
				}
			}
			chunks, err := tok.Chunks(text, 0)
			if err == nil && len(chunks) == 0 {
				t.Fatalf("%s: %q: no chunk", name, text)
			}
			for _, chunk := range chunks {
				if len(chunk) != ChunkLength {
					t.Fatalf("%s: %q: chunk of %d", name, text, len(chunk))
				}
			}
		}
		if strings.Contains(text, "\u034f") || !utf8.ValidString(text) {
			return
		}
		for _, word := range words(text) {
			if word == "" || strings.ContainsAny(word, " \t\n") {
				t.Fatalf("%q: word %q", text, word)
			}
		}
	})
}
