//go:build hftokenizers

package text

import (
	"fmt"

	"github.com/daulet/tokenizers"
)

// HFTokenizer is Hugging Face's own tokenizer behind Tokenizer, in Rust through cgo: the twin that the pure Go
// tokenizers are held to (as CLIPTokenizer.Transformers5, whose rules it has). tools/hftokenizers/build.sh builds the
// library. A text ends at its first NUL here.
type HFTokenizer struct{ rust *tokenizers.Tokenizer }

var _ Tokenizer = (*HFTokenizer)(nil)

// NewHFTokenizer reads the contents of a tokenizer.json. Close it after use.
func NewHFTokenizer(tokenizerJSON []byte) (*HFTokenizer, error) {
	rust, err := tokenizers.FromBytes(tokenizerJSON)
	if err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	return &HFTokenizer{rust}, nil
}

// Encode implements Tokenizer.
func (t *HFTokenizer) Encode(text string) []int {
	ids, _ := t.rust.Encode(text, false)
	list := make([]int, len(ids))
	for i, id := range ids {
		list[i] = int(id)
	}
	return list
}

// Close frees the Rust side.
func (t *HFTokenizer) Close() error { return t.rust.Close() }
