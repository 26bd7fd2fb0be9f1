package text

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"graphrun/internal/golden"
	"graphrun/runtime/weights"
)

// TestCore holds the embedded tokenizer to some of ComfyUI's answers without the golden folder; testdata/core.json has
// the tokens of one chunk up to its end token.
func TestCore(t *testing.T) {
	raw, err := os.ReadFile("testdata/core.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Prompt string
		Tokens [][2]float64
	}
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	tok := DefaultCLIP()
	for _, c := range cases {
		chunks, err := tok.Chunks(c.Prompt, tok.Pad())
		if err != nil || len(chunks) != 1 {
			t.Errorf("%q: have %d chunks (%v), want 1", c.Prompt, len(chunks), err)
			continue
		}
		for i, got := range chunks[0] {
			want := [2]float64{float64(tok.Pad()), 1}
			if i < len(c.Tokens) {
				want = c.Tokens[i]
			}
			if float64(got.ID) != want[0] || got.Weight != want[1] {
				t.Errorf("%q: token %d is %+v, want %v", c.Prompt, i, got, want)
			}
		}
	}
	if tok.Start() != 49406 || tok.End() != 49407 || tok.Pad() != 49407 || tok.Size() != 49408 || len(cases) < 20 {
		t.Errorf("start, end, pad, size: %d %d %d %d; %d cases", tok.Start(), tok.End(), tok.Pad(), tok.Size(), len(cases))
	}
}

// TestGoldenDerivedVocabulary: the vocabulary that default.go derives from the merges is vocab.json, id by id.
func TestGoldenDerivedVocabulary(t *testing.T) {
	var v vocabulary
	if err := v.readSlow(os.DirFS(golden.Stage(t, "tiny/tokenizers/clip")), "."); err != nil {
		t.Fatal(err)
	}
	var symbols []string
	for _, m := range v.merges {
		symbols = append(symbols, m[0], m[1])
	}
	if derived := derive(symbols); !maps.Equal(derived.ids, v.ids) {
		t.Error("the derived ids differ from vocab.json")
	}
	if d := DefaultCLIP(); len(d.merges) != len(v.merges) {
		t.Errorf("embedded: %d merges, want %d", len(d.merges), len(v.merges))
	}
	t.Logf("%d ids equal", len(v.ids))
}

// small is the vocabulary of a few merges, in the slow layout.
func small(t testing.TB) fstest.MapFS {
	v := derive(strings.Fields("c a a t</w> ca t</w>"))
	ids, err := json.Marshal(v.ids)
	if err != nil {
		t.Fatal(err)
	}
	return fstest.MapFS{
		"tokenizer/vocab.json": {Data: ids},
		"tokenizer/merges.txt": {Data: []byte("#version: 0.2\nc a\na t</w>\nca t</w>\n")},
	}
}

// fast is the same vocabulary as tokenizer.json; pairs chooses the newer form of merges.
func fast(t testing.TB, pairs bool) fstest.MapFS {
	v := derive(strings.Fields("c a a t</w> ca t</w>"))
	start, end := v.ids[v.start], v.ids[v.end]
	delete(v.ids, v.start)
	delete(v.ids, v.end)
	var merges []any
	for _, m := range v.merges {
		if pairs {
			merges = append(merges, m)
		} else {
			merges = append(merges, m[0]+" "+m[1])
		}
	}
	raw, err := json.Marshal(map[string]any{
		"model":        map[string]any{"type": "BPE", "end_of_word_suffix": "</w>", "vocab": v.ids, "merges": merges},
		"added_tokens": []any{map[string]any{"id": start, "content": v.start}, map[string]any{"id": end, "content": v.end}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return fstest.MapFS{"tokenizer/tokenizer.json": {Data: raw}}
}

func TestFolders(t *testing.T) {
	padded := small(t)
	padded["tokenizer/special_tokens_map.json"] = &fstest.MapFile{Data: []byte(`{"pad_token":{"content":"!"},"eos_token":null}`)}
	for name, fsys := range map[string]fstest.MapFS{"slow": small(t), "fast": fast(t, false), "pairs": fast(t, true), "pad": padded} {
		tok, err := CLIPFromFS(fsys, "tokenizer")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		// c a t: "ca" (512) goes first, then "ca t</w>" (514); "at" is 513; "acat" ends with the same symbols.
		if got := tok.Encode("Cat at<|endoftext|>acat"); !slices.Equal(got, []int{514, 513, 516, 64, 514}) {
			t.Errorf("%s: have %v", name, got)
		}
		pad := 516
		if name == "pad" {
			pad = 0
		}
		if tok.Start() != 515 || tok.End() != 516 || tok.Pad() != pad || tok.Size() != 517 {
			t.Errorf("%s: start %d, end %d, pad %d, size %d", name, tok.Start(), tok.End(), tok.Pad(), tok.Size())
		}
	}
}

// TestUnknown: a byte that a reduced vocabulary does not have is the end token, as with transformers.
func TestUnknown(t *testing.T) {
	fsys := fstest.MapFS{
		"vocab.json": {Data: []byte(`{"a":0,"a</w>":1,"<|startoftext|>":2,"<|endoftext|>":3}`)},
		"merges.txt": {Data: []byte("#version: 0.2\n")},
	}
	tok, err := CLIPFromFS(fsys, ".")
	if err != nil {
		t.Fatal(err)
	}
	if got := tok.Encode("aba é"); !slices.Equal(got, []int{0, 3, 1, 3, 3}) {
		t.Errorf("have %v", got)
	}
}

func TestBrokenFiles(t *testing.T) {
	file := func(name, text string) fstest.MapFS {
		fsys := small(t)
		fsys["tokenizer/"+name] = &fstest.MapFile{Data: []byte(text)}
		return fsys
	}
	only := func(name, text string) fstest.MapFS {
		return fstest.MapFS{"tokenizer/" + name: {Data: []byte(text)}}
	}
	noMerges := small(t)
	delete(noMerges, "tokenizer/merges.txt")
	for name, c := range map[string]struct {
		fsys fstest.MapFS
		file string // that the error names
	}{
		"empty":           {fstest.MapFS{}, "vocab.json"},
		"no merges":       {noMerges, "merges.txt"},
		"not JSON":        {file("vocab.json", "<html>"), "vocab.json"},
		"a list":          {file("vocab.json", "[1]"), "vocab.json"},
		"nested":          {file("vocab.json", strings.Repeat("[", 10<<20)), "vocab.json"},
		"null":            {file("vocab.json", "null"), "vocab.json"},
		"id not a number": {file("vocab.json", `{"a":"b"}`), "vocab.json"},
		"negative id":     {file("vocab.json", `{"a":-1}`), "vocab.json"},
		"absurd id":       {file("vocab.json", `{"a":99999999999}`), "vocab.json"},
		"no end":          {file("vocab.json", `{"<|startoftext|>":0}`), "vocab.json"},
		"unknown merge":   {file("merges.txt", "#version\nqq zz"), "merges.txt"},
		"half merge":      {file("merges.txt", "#version\na"), "merges.txt"},
		"empty merges":    {file("merges.txt", ""), "merges.txt"},
		"cut merges":      {file("merges.txt", "#version: 0.2\nc a\n"), "merges.txt"},
		"huge":            {file("merges.txt", strings.Repeat("a", maxFile+1)), "merges.txt"},
		"special names":   {file("special_tokens_map.json", `{"bos_token":"<s>"}`), "vocab.json"},
		"special number":  {file("special_tokens_map.json", `{"bos_token":1}`), "special_tokens_map.json"},
		"config":          {file("tokenizer_config.json", `{"added_tokens_decoder":{"x":{"content":"yyy"}}}`), "tokenizer_config.json"},
		"unigram":         {only("tokenizer.json", `{"model":{"type":"Unigram","vocab":[["a",0]]}}`), "tokenizer.json"},
		"no vocab":        {only("tokenizer.json", `{"model":{"type":"BPE","end_of_word_suffix":"</w>"}}`), "tokenizer.json"},
		"merge of 3":      {only("tokenizer.json", `{"model":{"type":"BPE","end_of_word_suffix":"</w>","vocab":{"a":0},"merges":[["a","b","c"]]}}`), "tokenizer.json"},
	} {
		_, err := CLIPFromFS(c.fsys, "tokenizer")
		var broken *FileError
		if !errors.As(err, &broken) || broken.File != "tokenizer/"+c.file {
			t.Errorf("%s: have error %v, want a FileError of %s", name, err, c.file)
		}
	}
	_, err := CLIPFromFS(fstest.MapFS{}, "tokenizer")
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("have %v, want fs.ErrNotExist behind it", err)
	}
}

// TestLong: work grows about as the prompt does, also when it is one word or all parentheses.
func TestLong(t *testing.T) {
	start := time.Now()
	for name, prompt := range map[string]string{
		"word": strings.Repeat("a", 1<<20), "opening": strings.Repeat("(", 1<<20), "closing": strings.Repeat(")", 1<<20),
		"nested": strings.Repeat("(", 1<<16) + strings.Repeat(")", 1<<16), "starts": strings.Repeat("<|startoftext|>", 1<<16),
		"embeddings": strings.Repeat(" embedding:,", 1<<12), "marks": "a" + strings.Repeat("\u0301", 1<<18),
	} {
		if _, err := DefaultCLIP().Chunks(prompt, 0); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestLower(t *testing.T) {
	for in, want := range map[string]string{"ΟΔΟΣ": "οδος", "ΣΑ": "σα", "Σ": "σ", "ΑΣ'": "ας'", "ΑΣ'Α": "ασ'α", "İX": "i̇x"} {
		if got := Lower(in); got != want {
			t.Errorf("Lower(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestPyFloat(t *testing.T) {
	for in, want := range map[string]float64{
		" 1.2 ": 1.2, "+1.2": 1.2, "-.5": -.5, "1.": 1, "1_0": 10, "1e-1": .1, "INF": math.Inf(1), "-Infinity": math.Inf(-1),
		"1e999": math.Inf(1), "١.٥": 1.5, "𝟙": 1, "\u00a02\u2003": 2,
	} {
		if got, ok := pyFloat(in); !ok || got != want {
			t.Errorf("%q: have %v %v, want %v", in, got, ok, want)
		}
	}
	if got, ok := pyFloat("-NaN"); !ok || !math.IsNaN(got) {
		t.Errorf("-NaN: have %v %v", got, ok)
	}
	for _, in := range []string{"", " ", "+", "--1", "0x1p3", "1__0", "_1", "1_", "1_.0", "1e", "e1", ".", "1 2", "infi", "1\x00"} {
		if got, ok := pyFloat(in); ok {
			t.Errorf("%q: have %v, want none", in, got)
		}
	}
}

func TestEmbeddings(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "embeddings")
	if err := os.MkdirAll(filepath.Join(dir, "sub"), 0o777); err != nil {
		t.Fatal(err)
	}
	write := func(path string, names ...string) {
		var list []weights.Tensor
		for i, name := range names {
			data := make([]byte, 4*4*2) // two rows of 4 zeros
			data[3] = byte(0x40 + i)
			list = append(list, weights.Tensor{Name: name, DType: weights.F32, Shape: []int{2, 4}, Data: data})
		}
		if err := weights.Write(path, list, nil); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(dir, "sub", "one.safetensors"), "clip_l", "clip_g")
	write(filepath.Join(dir, "..", "secret.safetensors"), "x")
	for name, text := range map[string]string{"old.pt": "x", "broken.safetensors": "x"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	tok := DefaultCLIP().WithEmbeddings(EmbeddingFolders(dir), "clip_g")
	for prompt, want := range map[string]int{
		"embedding:one": 2, "a embedding:sub/one, b": 2, "embedding:one.safetensors": 2, "embedding:,one,": 2,
		"embedding:../secret": 0, "embedding:/etc/passwd": 0, "embedding:nothing": 0, "x_embedding:one": 0,
	} {
		chunks, err := tok.Chunks(prompt, 0)
		if err != nil {
			t.Errorf("%s: %v", prompt, err)
			continue
		}
		rows := 0
		for _, token := range chunks[0] {
			if token.Vector != nil {
				rows++
			}
		}
		if rows != want {
			t.Errorf("%s: %d rows, want %d", prompt, rows, want)
		}
		for width, kept := range map[int]int{4: want, 5: 0} {
			fit := FitVectors(chunks[0], width, 7)
			if n := len(slices.DeleteFunc(slices.Clone(fit), func(t Token) bool { return t.Vector == nil })); n != kept || len(fit) != ChunkLength {
				t.Errorf("%s: width %d keeps %d rows in %d tokens, want %d", prompt, width, n, len(fit), kept)
			}
		}
	}
	for _, prompt := range []string{"embedding:old", "embedding:broken", "embedding:"} {
		if _, err := tok.Chunks(prompt, 0); err == nil {
			t.Errorf("%s: no error", prompt)
		} else {
			t.Log(err)
		}
	}
}

// TestPack: short groups move to the next chunk, long ones are split where the chunk is full.
func TestPack(t *testing.T) {
	tok := DefaultCLIP()
	group := func(n int) []Token { return slices.Repeat([]Token{{ID: 320, Weight: 1.5}}, n) }
	for _, c := range []struct {
		groups []int
		want   string // words in each chunk
	}{
		{nil, "0"}, {[]int{75}, "75"}, {[]int{76}, "75 1"}, {[]int{70, 7}, "70 7"}, {[]int{70, 8}, "75 3"}, {[]int{75, 1}, "75 1"}, {[]int{160}, "75 75 10"},
	} {
		var groups [][]Token
		for _, n := range c.groups {
			groups = append(groups, group(n))
		}
		var have []string
		for _, chunk := range tok.pack(groups, 0) {
			n := 0
			for _, token := range chunk {
				if token.Weight == 1.5 {
					n++
				}
			}
			have = append(have, fmt.Sprint(n))
			if len(chunk) != ChunkLength || chunk[0].ID != tok.Start() || chunk[n+1].ID != tok.End() {
				t.Errorf("%v: chunk %v", c.groups, chunk)
			}
		}
		if got := strings.Join(have, " "); got != c.want {
			t.Errorf("groups %v: chunks of %s, want %s", c.groups, got, c.want)
		}
	}
}

func BenchmarkDefaultCLIP(b *testing.B) {
	for b.Loop() {
		decodeCLIP()
	}
}

func BenchmarkChunks(b *testing.B) {
	tok := DefaultCLIP()
	for b.Loop() {
		if _, err := tok.Chunks("a stunning (highly detailed:1.2) portrait of an elderly fisherman mending nets by the harbour", 0); err != nil {
			b.Fatal(err)
		}
	}
}

// Specials count as such in lower case only; transformers 5 spells the others out, as words of their own.
func TestTransformers5Specials(t *testing.T) {
	tok := DefaultCLIP().Transformers5()
	for prompt, want := range map[string][]int{
		"<|ENDOFTEXT|>👨": {27, 347, 40786, 4160, 91, 285, 964, 357}, "ñ <|endoftext|>": {127, 365, 49407},
	} {
		if got := tok.Encode(prompt); !slices.Equal(got, want) {
			t.Errorf("%q: have %v, want %v", prompt, got, want)
		}
	}
}
