// Package text turns prompts into what text encoders read: the weight syntax "(a:1.2)", textual-inversion embeddings,
// CLIP's byte-pair tokenizer, chunks of 77 tokens, and the arithmetic that applies the weights (numerics.md 6).
package text

// Tokenizer turns text into vocabulary ids, without start, end or padding.
type Tokenizer interface{ Encode(text string) []int }

// Token is one position of a text encoder's input.
type Token struct {
	ID     int     // vocabulary id; -1 when Vector is set
	Weight float64 // strength of the token, 1 is plain; any float64, negative, infinite and NaN ones too
	// Vector, if not nil, stands in place of the embedding that the text encoder would look up: one row of a
	// textual-inversion embedding.
	Vector []float32
}

// Weigh applies the weights of chunk in place: z = (z-empty)*w + empty for every token whose weight is not 1
// (numerics.md 6.5). state and empty are [len(chunk), width]: the encoder's states of the chunk and of the empty prompt.
func Weigh(state, empty []float32, chunk []Token) {
	if len(chunk) == 0 {
		return
	}
	width := len(state) / len(chunk)
	for i, token := range chunk {
		if token.Weight == 1 {
			continue
		}
		w := float32(token.Weight)
		z, e := state[i*width:(i+1)*width], empty[i*width:(i+1)*width]
		for j := range z {
			d := (z[j] - e[j]) * w
			z[j] = d + e[j]
		}
	}
}
