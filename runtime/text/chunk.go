package text

import (
	"fmt"
	"log/slog"
	"strings"
)

// ChunkLength is how many tokens CLIP's text encoders read at once, start and end included.
const ChunkLength = 77

// longGroup is from how many tokens on a group may be split between chunks (numerics.md 6.3).
const longGroup = 8

// Embeddings looks up textual-inversion embeddings. key names the text encoder in files that serve several: "clip_l",
// "clip_g", "clip_h". ok is false when there is none of this name, or the name leads out of the folder; err is a file that is
// there but cannot be read.
type Embeddings interface {
	Embedding(name, key string) (rows [][]float32, ok bool, err error)
}

// EmbeddingNameError is a prompt that says "embedding:" and no name.
type EmbeddingNameError struct{ Segment string }

func (e *EmbeddingNameError) Error() string {
	return fmt.Sprintf("prompt: need a name behind \"embedding:\", have %s: write embedding:NAME, or remove it", quote(e.Segment))
}

// WithEmbeddings returns the tokenizer with a source of embeddings; key as in Embeddings.
func (t *CLIPTokenizer) WithEmbeddings(e Embeddings, key string) *CLIPTokenizer {
	clone := *t
	clone.embeddings, clone.key = e, key
	return &clone
}

// Chunks turns a prompt with weights and embeddings into chunks of 77 tokens, filled with pad (numerics.md 6.1-6.3).
// There is at least one chunk.
func (t *CLIPTokenizer) Chunks(prompt string, pad int) ([][]Token, error) {
	return t.ChunkSegments(ParseWeights(prompt), pad)
}

// ChunkSegments is Chunks for a prompt whose weights are parsed already.
func (t *CLIPTokenizer) ChunkSegments(segments []Segment, pad int) ([][]Token, error) {
	var groups [][]Token
	for _, s := range segments {
		g, err := t.groups(s)
		if err != nil {
			return nil, err
		}
		groups = append(groups, g...)
	}
	return t.pack(groups, pad), nil
}

// Empty is the chunk of an empty prompt.
func (t *CLIPTokenizer) Empty(pad int) []Token { return t.pack(nil, pad)[0] }

const embeddingPrefix = "embedding:"

// groups tokenises a segment; its embeddings and the texts between them are groups of their own (numerics.md 6.2).
func (t *CLIPTokenizer) groups(s Segment) (groups [][]Token, err error) {
	for _, part := range cutEmbeddings(s.Text) {
		text := part
		if named, ok := strings.CutPrefix(part, embeddingPrefix); ok {
			rows, rest, err := t.embedding(named)
			if err != nil {
				return nil, err
			}
			var group []Token
			for _, row := range rows {
				group = append(group, Token{ID: -1, Weight: s.Weight, Vector: row})
			}
			groups, text = append(groups, group), rest
		}
		var group []Token
		for _, id := range t.Encode(text) {
			group = append(group, Token{ID: id, Weight: s.Weight})
		}
		groups = append(groups, group)
	}
	return groups, nil
}

// cutEmbeddings cuts before every "embedding:" that a space or newline announces, which is dropped.
func cutEmbeddings(text string) []string {
	var parts []string
	start := 0
	for at := 0; ; at += len(embeddingPrefix) {
		next := strings.Index(text[at:], embeddingPrefix)
		if next < 0 {
			return append(parts, text[start:])
		}
		if at += next; at > start && (text[at-1] == ' ' || text[at-1] == '\n') {
			parts, start = append(parts, text[start:at-1]), at
		}
	}
}

// embedding looks up the first word of named; rest is the text that follows it. A name that is not found is tried
// without the commas around it, which go back to the text.
func (t *CLIPTokenizer) embedding(named string) (rows [][]float32, rest string, err error) {
	fields := strings.Fields(named)
	if len(fields) == 0 {
		return nil, "", &EmbeddingNameError{Segment: embeddingPrefix + named}
	}
	name := fields[0]
	rest = strings.Join(fields[1:], " ")
	rows, ok, err := t.lookup(name)
	if bare := strings.Trim(name, ","); err == nil && !ok && bare != name {
		rest = strings.TrimLeft(name, ",")[len(bare):] + " " + rest
		rows, ok, err = t.lookup(bare)
	}
	if err != nil {
		return nil, "", fmt.Errorf("prompt: embedding %s: %w", quote(name), err)
	}
	if !ok {
		slog.Warn("embedding not found, its word is dropped", "name", name)
	}
	return rows, rest, nil
}

func (t *CLIPTokenizer) lookup(name string) ([][]float32, bool, error) {
	if t.embeddings == nil || name == "" {
		return nil, false, nil
	}
	return t.embeddings.Embedding(name, t.key)
}

// pack lays groups into chunks (numerics.md 6.3): a group that does not fit is split when it is long, else moved to the
// next chunk.
func (t *CLIPTokenizer) pack(groups [][]Token, pad int) [][]Token {
	var chunks [][]Token
	plain := func(id int) Token { return Token{ID: id, Weight: 1} }
	open := func() []Token { return append(make([]Token, 0, ChunkLength), plain(t.start.id)) }
	closeChunk := func(chunk []Token) {
		chunk = append(chunk, plain(t.end.id))
		for len(chunk) < ChunkLength {
			chunk = append(chunk, plain(pad))
		}
		chunks = append(chunks, chunk)
	}
	chunk := open()
	for _, g := range groups {
		for len(g) > 0 {
			room := ChunkLength - 1 - len(chunk)
			if len(g) <= room {
				chunk = append(chunk, g...)
				break
			}
			if len(g) >= longGroup {
				chunk = append(chunk, g[:room]...)
				g = g[room:]
			}
			closeChunk(chunk)
			chunk = open()
		}
	}
	closeChunk(chunk)
	return chunks
}

// FitVectors drops the embedding rows that are not width wide, as the text encoder cannot read them, and fills the
// chunk up with pad at its end (numerics.md 6.2).
func FitVectors(chunk []Token, width, pad int) []Token {
	fit := make([]Token, 0, len(chunk))
	for _, token := range chunk {
		if token.Vector == nil || len(token.Vector) == width {
			fit = append(fit, token)
		}
	}
	if dropped := len(chunk) - len(fit); dropped > 0 {
		slog.Warn("embedding rows of another width than the text encoder's are dropped", "rows", dropped, "width", width)
	}
	for len(fit) < len(chunk) {
		fit = append(fit, Token{ID: pad, Weight: 1})
	}
	return fit
}
