package text

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"graphrun/internal/golden"
)

// goldenTokenizers returns the staged CLIP folder's tokenizer and the embedded one: both must give the golden ids.
func goldenTokenizers(t *testing.T) map[string]*CLIPTokenizer {
	t.Helper()
	dir := golden.Stage(t, "tiny/tokenizers/clip")
	folder, err := CLIPFromFS(os.DirFS(dir), ".")
	if err != nil {
		t.Fatal(err)
	}
	return map[string]*CLIPTokenizer{"folder": folder, "embedded": DefaultCLIP()}
}

func TestGoldenPromptParse(t *testing.T) {
	cases := golden.Numerics(t, "prompt_parse")
	for _, c := range cases {
		var p struct {
			Prompt   string
			Segments [][2]any
		}
		raw := strings.NewReplacer("NaN", `"nan"`, "-Infinity", `"-inf"`, "Infinity", `"inf"`)
		if json.Unmarshal(c.Params, &p) != nil {
			if err := json.Unmarshal([]byte(raw.Replace(string(c.Params))), &p); err != nil {
				t.Fatalf("%s: %v", c.Name, err)
			}
		}
		got := ParseWeights(p.Prompt)
		if len(got) != len(p.Segments) {
			t.Errorf("%s: %q: have %v, want %v", c.Name, p.Prompt, got, p.Segments)
			continue
		}
		for i, s := range p.Segments {
			if got[i].Text != s[0] || !sameWeight(got[i].Weight, s[1]) {
				t.Errorf("%s: %q: segment %d is %v, want %v", c.Name, p.Prompt, i, got[i], s)
			}
		}
	}
	t.Logf("%d prompts", len(cases))
}

func sameWeight(got float64, want any) bool {
	switch w := want.(type) {
	case float64:
		return got == w
	case string:
		f, ok := pyFloat(w)
		return ok && (f == got || math.IsNaN(f) && math.IsNaN(got))
	}
	return false
}

type tokenizeParams struct {
	Family, Clip, Prompt string
	DisableWeights       bool `json:"disable_weights"`
	NChunks              int  `json:"n_chunks"`
	PadID                int  `json:"pad_id"`
	PadCount             int  `json:"pad_count"`
	Total                int
}

// setup says how ComfyUI sets a family's CLIP up: the pad id and the key of embeddings.
func (p tokenizeParams) setup(t *testing.T, tok *CLIPTokenizer) (pad int, key string) {
	switch p.Clip {
	case "l":
		return tok.Pad(), "clip_l"
	case "g":
		return 0, "clip_g"
	case "h":
		return 0, "clip_h"
	}
	t.Fatalf("no CLIP is called %q: list the case as later work", p.Clip)
	return 0, ""
}

func TestGoldenTokenize(t *testing.T) {
	for name, tok := range goldenTokenizers(t) {
		compareAll(t, name, tok, golden.Numerics(t, "tokenize"))
	}
}

func TestGoldenTokenizeTransformers5(t *testing.T) {
	for name, tok := range goldenTokenizers(t) {
		compareAll(t, name, tok.Transformers5(), golden.Numerics(t, "tokenize_tf5"))
	}
}

func compareAll(t *testing.T, name string, plain *CLIPTokenizer, cases []golden.Case) {
	folder := EmbeddingFolders(filepath.Join(golden.Dir(t), "numerics/golden/embeddings"))
	for _, c := range cases {
		var p tokenizeParams
		c.Into(t, &p)
		pad, key := p.setup(t, plain)
		segments := ParseWeights(p.Prompt)
		if p.DisableWeights {
			segments = []Segment{{p.Prompt, 1}}
		}
		chunks, err := plain.WithEmbeddings(folder, key).ChunkSegments(segments, pad)
		if err != nil {
			t.Errorf("%s %s: %v", name, c.Name, err)
			continue
		}
		compareTokens(t, name+" "+c.Name, chunks, c, p)
	}
	t.Logf("%s: %d prompts", name, len(cases))
}

// compareTokens holds chunks to the case; the case leaves out the padding at the end.
func compareTokens(t *testing.T, name string, chunks [][]Token, c golden.Case, p tokenizeParams) {
	t.Helper()
	ids, weights := c.Tensor(t, "ids").I64(), c.Tensor(t, "weights").F64()
	for range p.PadCount {
		ids, weights = append(ids, int64(p.PadID)), append(weights, 1)
	}
	var got []Token
	var heads []float32
	for _, chunk := range chunks {
		if len(chunk) != ChunkLength {
			t.Errorf("%s: chunk of %d", name, len(chunk))
		}
		got = append(got, chunk...)
	}
	if len(chunks) != p.NChunks || len(got) != len(ids) || len(got) != p.Total {
		t.Errorf("%s: %q: have %d chunks of %d tokens, want %d of %d", name, p.Prompt, len(chunks), len(got), p.NChunks, len(ids))
		return
	}
	for i, token := range got {
		if token.ID != int(ids[i]) || float32(token.Weight) != float32(weights[i]) && !math.IsNaN(weights[i]+token.Weight) {
			t.Errorf("%s: %q: token %d is %d (%v), want %d (%v)", name, p.Prompt, i, token.ID, token.Weight, ids[i], weights[i])
			return
		}
		if token.Vector != nil {
			heads = append(heads, token.Vector[:4]...)
		}
	}
	if head, ok := c.Lookup(t, "emb_head4"); ok {
		if _, err := golden.Compare(heads, head.F32(), 0, 0); err != nil {
			t.Errorf("%s: %q: embedding: %v", name, p.Prompt, err)
		}
	} else if heads != nil {
		t.Errorf("%s: %q: %d values of embeddings, want none", name, p.Prompt, len(heads))
	}
}

func TestGoldenTokenizeError(t *testing.T) {
	for _, c := range golden.Numerics(t, "tokenize_error") {
		var p tokenizeParams
		c.Into(t, &p)
		_, err := DefaultCLIP().Chunks(p.Prompt, 0)
		var want *EmbeddingNameError
		if !errors.As(err, &want) {
			t.Errorf("%s: %q: have error %v, want an EmbeddingNameError", c.Name, p.Prompt, err)
		}
	}
}

// TestGoldenClipWeights runs the analytic text encoder of the cases: channel d of token id at position i is
// (id*(d+1) mod 97)/97 - 0.5 + 0.001*i, pooled is the mean over the first chunk.
func TestGoldenClipWeights(t *testing.T) {
	encode := func(chunk []Token, width int) []float32 {
		var z []float32
		for i, token := range chunk {
			for d := range width {
				z = append(z, float32(token.ID*(d+1)%97)/97-0.5+0.001*float32(i))
			}
		}
		return z
	}
	for _, c := range golden.Numerics(t, "clip_weights") {
		var p struct {
			Prompt string
			D      int
		}
		c.Into(t, &p)
		tok := DefaultCLIP()
		chunks, err := tok.Chunks(p.Prompt, tok.Pad())
		if err != nil {
			t.Fatal(err)
		}
		empty := encode(tok.Empty(tok.Pad()), p.D)
		var cond []float32
		pooled := make([]float32, p.D)
		for n, chunk := range chunks {
			z := encode(chunk, p.D)
			for i := range z {
				if n == 0 {
					pooled[i%p.D] += z[i] / ChunkLength
				}
			}
			Weigh(z, empty, chunk)
			cond = append(cond, z...)
		}
		golden.Close(t, c.Name+" cond", cond, c.Tensor(t, "cond").F32(), c.Tolerance.ATol, c.Tolerance.RTol)
		golden.Close(t, c.Name+" pooled", pooled, c.Tensor(t, "pooled").F32(), c.Tolerance.ATol, c.Tolerance.RTol)
	}
}

// TestGoldenModelTokens: the token lists that the tiny tokenizers' own manifest gives. They were made with transformers 5.
func TestGoldenModelTokens(t *testing.T) {
	type batch struct {
		IDs     []int
		Weights []float64
		Length  int
		PadID   int `json:"pad_id"`
	}
	type listed struct {
		Tokenizer, Text string
		Batches         []batch
	}
	pads := map[string]int{"clip_l": DefaultCLIP().Pad(), "clip_g": 0, "clip_h": 0}
	checked := 0
	for _, c := range golden.Cases[listed](t, "models/tiny/tokenizers/cases.json") {
		pad, ok := pads[c.Tokenizer]
		if !ok {
			continue // T5 and UMT5 tokenizers: a later issue
		}
		chunks, err := DefaultCLIP().Transformers5().Chunks(c.Text, pad)
		if err != nil || len(chunks) != len(c.Batches) {
			t.Errorf("%s %q: have %d chunks (%v), want %d", c.Tokenizer, c.Text, len(chunks), err, len(c.Batches))
			continue
		}
		checked++
		for n, b := range c.Batches {
			for len(b.IDs) < b.Length {
				b.IDs = append(b.IDs, b.PadID)
			}
			for i, id := range b.IDs {
				w := 1.0
				if i < len(b.Weights) {
					w = b.Weights[i]
				}
				if got := chunks[n][i]; got.ID != id || got.Weight != w {
					t.Errorf("%s %q: token %d of chunk %d is %+v, want %d (%v)", c.Tokenizer, c.Text, i, n, got, id, w)
				}
			}
		}
	}
	if checked == 0 {
		t.Fatal("no case of a CLIP tokenizer")
	}
	t.Logf("%d prompts", checked)
}

// TestGoldenRunTokens: the tokens that ComfyUI gave in the runs of the tiny models, [chunk][position][id, weight].
func TestGoldenRunTokens(t *testing.T) {
	pads := map[string]int{"l": DefaultCLIP().Pad(), "g": 0, "h": 0}
	checked := 0
	for _, raw := range golden.Cases[json.RawMessage](t, "models/cases.json") {
		var c struct {
			ID, Prompt string
			Attrs      struct{ Tokens map[string]json.RawMessage }
		}
		if json.Unmarshal(raw, &c) != nil {
			continue // another form of case, without a prompt
		}
		for name, raw := range c.Attrs.Tokens {
			pad, ok := pads[name]
			if !ok {
				continue // T5 and others: a later issue
			}
			var want [][][2]float64
			if err := json.Unmarshal(raw, &want); err != nil {
				t.Fatalf("%s: %v", c.ID, err)
			}
			chunks, err := DefaultCLIP().Chunks(c.Prompt, pad)
			if err != nil || len(chunks) != len(want) {
				t.Errorf("%s %s: have %d chunks (%v), want %d", c.ID, name, len(chunks), err, len(want))
				continue
			}
			checked++
			for n := range want {
				for i, w := range want[n] {
					if got := chunks[n][i]; got.ID != int(w[0]) || got.Weight != w[1] {
						t.Errorf("%s %s: token %d of chunk %d is %+v, want %v", c.ID, name, i, n, got, w)
					}
				}
			}
		}
	}
	if checked == 0 {
		t.Fatal("no run has tokens of a CLIP")
	}
	t.Logf("%d token lists", checked)
}
