//go:build hftokenizers

package text

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"graphrun/internal/golden"
)

// TestParity holds the pure Go tokenizer to Hugging Face's over the core prompts, a list of hard ones and, where there
// are any, all golden prompts.
func TestParity(t *testing.T) {
	zipped, err := gzip.NewReader(bytes.NewReader(clipMerges))
	if err != nil {
		t.Fatal(err)
	}
	merges, err := io.ReadAll(zipped)
	if err != nil {
		t.Fatal(err)
	}
	hf, err := NewHFTokenizer(clipJSON(t, derive(strings.Fields(string(merges)))))
	if err != nil {
		t.Fatal(err)
	}
	defer hf.Close()
	ours := DefaultCLIP().Transformers5()
	prompts := parityPrompts(t)
	for _, p := range prompts {
		p, _, _ = strings.Cut(p, "\x00")
		if got, want := ours.Encode(p), hf.Encode(p); !slices.Equal(got, want) {
			t.Errorf("%q: Go gives %v, Rust %v", p, got, want)
		}
	}
	t.Logf("%d prompts", len(prompts))
}

func parityPrompts(t *testing.T) []string {
	prompts := []string{
		"ΟΔΟΣ ΑΣ", "İstanbul", "'ſt 'S don'T", "½ ① Ⅳ", "<|StartOfText|>a<|endoftext|>b", "a\u0085b\u2028c", "e\u0301\u0323", "\ufb01", "한국어",
		"a\u00adb", "\U0001F1EB\U0001F1F7", "!!'s?", "x²", "ǅ",
	}
	raw, err := os.ReadFile("testdata/core.json")
	if err != nil {
		t.Fatal(err)
	}
	var core []struct{ Prompt string }
	if err := json.Unmarshal(raw, &core); err != nil {
		t.Fatal(err)
	}
	for _, c := range core {
		prompts = append(prompts, c.Prompt)
	}
	if os.Getenv("GRAPHRUN_GOLDEN") != "" {
		for _, c := range golden.Numerics(t, "tokenize", "tokenize_tf5", "prompt_parse") {
			var p struct{ Prompt string }
			if json.Unmarshal(c.Params, &p) == nil { // NaN in the segments of some is no JSON
				prompts = append(prompts, p.Prompt)
			}
		}
	}
	return prompts
}

// clipJSON is what transformers writes as tokenizer.json for CLIP.
func clipJSON(t *testing.T, v *vocabulary) []byte {
	type object = map[string]any
	added := []any{}
	for _, token := range []string{v.start, v.end} {
		added = append(added, object{"id": v.ids[token], "content": token, "special": true, "normalized": true, "lstrip": false, "rstrip": false, "single_word": false})
	}
	pattern := `'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+`
	raw, err := json.Marshal(object{
		"version": "1.0", "truncation": nil, "padding": nil, "post_processor": nil, "decoder": nil, "added_tokens": added,
		"normalizer": object{"type": "Sequence", "normalizers": []any{
			object{"type": "NFC"}, object{"type": "Replace", "pattern": object{"Regex": `\s+`}, "content": " "}, object{"type": "Lowercase"},
		}},
		"pre_tokenizer": object{"type": "Sequence", "pretokenizers": []any{
			object{"type": "Split", "pattern": object{"Regex": pattern}, "behavior": "Removed", "invert": true},
			object{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
		}},
		"model": object{
			"type": "BPE", "dropout": nil, "unk_token": v.end, "continuing_subword_prefix": "", "end_of_word_suffix": endOfWord,
			"fuse_unk": false, "byte_fallback": false, "ignore_merges": false, "vocab": v.ids, "merges": v.merges,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
