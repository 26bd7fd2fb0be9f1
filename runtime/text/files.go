package text

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"unicode/utf8"
)

// FileError is a tokenizer file that cannot be used.
type FileError struct {
	File       string // path inside the model
	Need, Have string
	Err        error // the cause, if there is one
}

func (e *FileError) Error() string {
	return fmt.Sprintf("%s: need %s, have %s: %s", e.File, e.Need, e.Have, copyTokenizer)
}

const copyTokenizer = "copy the tokenizer folder from the model's repository again"

// Explain takes the error apart.
func (e *FileError) Explain() (what, need, have, hint string) {
	return e.File, e.Need, e.Have, copyTokenizer
}

func (e *FileError) Unwrap() error { return e.Err }

// maxFile is the largest tokenizer file that is read; the largest known one (a 250,000 word tokenizer.json) has 17 MB.
const maxFile = 64 << 20

// maxMerges is how many lines of merges.txt transformers reads behind the first: 49152 less the bytes and two specials.
const maxMerges = 49152 - 256 - 2

// maxID bounds vocabulary ids; a text encoder of more words would not fit into memory.
const maxID = 1 << 24

// CLIPFromFS reads a tokenizer folder: vocab.json with merges.txt, or else tokenizer.json; the texts of the start, end
// and pad tokens come from special_tokens_map.json or tokenizer_config.json where they are, their ids from the
// vocabulary. A broken file is a *FileError.
func CLIPFromFS(fsys fs.FS, dir string) (*CLIPTokenizer, error) {
	var v vocabulary
	var err error
	if exists(fsys, path.Join(dir, "vocab.json")) || !exists(fsys, path.Join(dir, "tokenizer.json")) {
		err = v.readSlow(fsys, dir)
	} else {
		err = v.readFast(fsys, path.Join(dir, "tokenizer.json"))
	}
	if err != nil {
		return nil, err
	}
	if err := v.readNames(fsys, dir); err != nil {
		return nil, err
	}
	return v.tokenizer()
}

// vocabulary is what the files of a tokenizer say.
type vocabulary struct {
	file, mergesFile string // where ids and merges came from, for errors
	ids              map[string]int
	merges           [][2]string
	start, end, pad  string
}

func (v *vocabulary) readSlow(fsys fs.FS, dir string) error {
	v.file, v.mergesFile = path.Join(dir, "vocab.json"), path.Join(dir, "merges.txt")
	if err := readJSON(fsys, v.file, &v.ids); err != nil {
		return err
	}
	raw, err := readFile(fsys, v.mergesFile)
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	for i, line := range lines[1:] { // the first is "#version: 0.2"; transformers drops it unseen
		if i == maxMerges {
			break
		}
		if err := v.addMerge(line, i+2); err != nil {
			return err
		}
	}
	return nil
}

func (v *vocabulary) addMerge(line string, number int) error {
	parts := strings.Fields(line)
	if len(parts) == 0 {
		return nil
	}
	if len(parts) != 2 {
		return &FileError{File: v.mergesFile, Need: fmt.Sprintf("two symbols in merge %d", number), Have: quote(line)}
	}
	v.merges = append(v.merges, [2]string{parts[0], parts[1]})
	return nil
}

// readFast reads Hugging Face's tokenizer.json.
func (v *vocabulary) readFast(fsys fs.FS, file string) error {
	v.file, v.mergesFile = file, file
	var f struct {
		Model struct {
			Type   string            `json:"type"`
			Suffix *string           `json:"end_of_word_suffix"`
			Vocab  json.RawMessage   `json:"vocab"`
			Merges []json.RawMessage `json:"merges"`
		} `json:"model"`
		Added []struct {
			ID      int    `json:"id"`
			Content string `json:"content"`
		} `json:"added_tokens"`
	}
	if err := readJSON(fsys, file, &f); err != nil {
		return err
	}
	if f.Model.Type != "" && f.Model.Type != "BPE" || f.Model.Suffix == nil || *f.Model.Suffix != endOfWord {
		return &FileError{File: file, Need: `CLIP's tokenizer (model type "BPE" with end_of_word_suffix "</w>")`, Have: "type " + quote(f.Model.Type)}
	}
	if err := json.Unmarshal(f.Model.Vocab, &v.ids); err != nil {
		return notJSON(file, err)
	}
	for i, raw := range f.Model.Merges {
		var line string
		if json.Unmarshal(raw, &line) != nil { // newer files have pairs
			var pair []string
			if err := json.Unmarshal(raw, &pair); err != nil {
				return notJSON(file, err)
			}
			line = strings.Join(pair, " ")
		}
		if err := v.addMerge(line, i+1); err != nil {
			return err
		}
	}
	for _, a := range f.Added {
		if _, ok := v.ids[a.Content]; !ok && v.ids != nil {
			v.ids[a.Content] = a.ID
		}
	}
	return nil
}

// tokenName is a special token in a configuration: its text, or an object with it, or null.
type tokenName string

func (n *tokenName) UnmarshalJSON(raw []byte) error {
	var object struct{ Content string }
	var s *string
	if err := json.Unmarshal(raw, &s); err == nil {
		if s != nil {
			*n = tokenName(*s)
		}
		return nil
	}
	if err := json.Unmarshal(raw, &object); err != nil {
		return err
	}
	*n = tokenName(object.Content)
	return nil
}

// readNames finds what the start, end and pad tokens are called.
func (v *vocabulary) readNames(fsys fs.FS, dir string) error {
	type names struct {
		BOS   tokenName `json:"bos_token"`
		EOS   tokenName `json:"eos_token"`
		Pad   tokenName `json:"pad_token"`
		Added map[string]struct {
			Content string `json:"content"`
		} `json:"added_tokens_decoder"`
	}
	for _, name := range []string{"special_tokens_map.json", "tokenizer_config.json"} {
		file := path.Join(dir, name)
		if !exists(fsys, file) {
			continue
		}
		var n names
		if err := readJSON(fsys, file, &n); err != nil {
			return err
		}
		for to, s := range map[*string]tokenName{&v.start: n.BOS, &v.end: n.EOS, &v.pad: n.Pad} {
			if *to == "" {
				*to = string(s)
			}
		}
		for id, token := range n.Added {
			var number int
			if _, ok := v.ids[token.Content]; ok || v.ids == nil {
				continue
			}
			if err := json.Unmarshal([]byte(id), &number); err != nil {
				return &FileError{File: file, Need: "numbers as keys of added_tokens_decoder", Have: quote(id), Err: err}
			}
			v.ids[token.Content] = number
		}
	}
	return nil
}

// tokenizer checks the vocabulary and compiles it.
func (v *vocabulary) tokenizer() (*CLIPTokenizer, error) {
	t := &CLIPTokenizer{merges: make(map[[2]int32]merge, len(v.merges)), words: words, key: "clip_l"}
	for token, id := range v.ids {
		if id < 0 || id > maxID {
			return nil, &FileError{File: v.file, Need: fmt.Sprintf("ids from 0 to %d", maxID), Have: fmt.Sprintf("%d for %s", id, quote(token))}
		}
		t.size = max(t.size, id+1)
	}
	if v.start == "" {
		v.start = "<|startoftext|>"
	}
	if v.end == "" {
		v.end = "<|endoftext|>"
	}
	if v.pad == "" {
		v.pad = v.end
	}
	for to, text := range map[*special]string{&t.start: v.start, &t.end: v.end, &t.pad: v.pad} {
		id, ok := v.ids[text]
		if !ok {
			return nil, &FileError{File: v.file, Need: "an id for the special token " + quote(text), Have: fmt.Sprintf("none among %d tokens", len(v.ids))}
		}
		*to = special{text, id}
	}
	_, char := alphabet()
	for b := range 256 {
		t.inner[b], t.last[b] = v.symbol(char[b]), v.symbol(char[b]+endOfWord)
	}
	for i, m := range v.merges {
		pair := [2]int32{v.symbol(m[0]), v.symbol(m[1])}
		into := v.symbol(m[0] + m[1])
		if pair[0] == unknown || pair[1] == unknown || into == unknown {
			return nil, &FileError{
				File: v.mergesFile, Need: "merges whose parts and result are in " + path.Base(v.file),
				Have: fmt.Sprintf("merge %d, %s", i+1, quote(m[0]+" "+m[1])),
			}
		}
		t.merges[pair] = merge{int32(i + 1), into}
	}
	return t, v.reachable()
}

// reachable refuses merges that were cut short: a token that no merge makes never comes out, and prompts would silently
// read as other tokens. A few are let be, as words that were added to the vocabulary.
func (v *vocabulary) reachable() error {
	made := make(map[string]bool, len(v.merges))
	for _, m := range v.merges {
		made[m[0]+m[1]] = true
	}
	words, missing, first := 0, 0, ""
	for token := range v.ids {
		if utf8.RuneCountInString(strings.TrimSuffix(token, endOfWord)) < 2 || strings.HasPrefix(token, "<|") {
			continue
		}
		words++
		if !made[token] {
			if missing++; first == "" || token < first {
				first = token
			}
		}
	}
	if missing*20 <= words {
		return nil
	}
	return &FileError{
		File: v.mergesFile, Need: fmt.Sprintf("merges that make the %d words of %s", words, path.Base(v.file)),
		Have: fmt.Sprintf("none for %d of them, such as %s", missing, quote(first)),
	}
}

func (v *vocabulary) symbol(token string) int32 {
	if id, ok := v.ids[token]; ok {
		return int32(id)
	}
	return unknown
}

func exists(fsys fs.FS, file string) bool {
	_, err := fs.Stat(fsys, file)
	return err == nil
}

func readJSON(fsys fs.FS, file string, to any) error {
	raw, err := readFile(fsys, file)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, to); err != nil {
		return notJSON(file, err)
	}
	return nil
}

func notJSON(file string, err error) error {
	return &FileError{File: file, Need: "JSON of a tokenizer", Have: err.Error(), Err: err}
}

func readFile(fsys fs.FS, file string) ([]byte, error) {
	f, err := fsys.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &FileError{File: file, Need: "this file", Have: "none", Err: err}
	}
	if err != nil {
		return nil, &FileError{File: file, Need: "a readable file", Have: err.Error(), Err: err}
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, &FileError{File: file, Need: "a readable file", Have: err.Error(), Err: err}
	}
	if len(raw) > maxFile {
		return nil, &FileError{File: file, Need: fmt.Sprintf("at most %d MB", maxFile>>20), Have: "more"}
	}
	return raw, nil
}

// quote shows at most the first 60 bytes of what a file says.
func quote(s string) string {
	if len(s) > 60 {
		return fmt.Sprintf("%q...", s[:60])
	}
	return fmt.Sprintf("%q", s)
}
