package clip

import (
	"context"
	"fmt"

	"graphrun/runtime/device"
	"graphrun/runtime/text"
	"graphrun/runtime/weights"
	"graphrun/types"
)

// Encoder is a network with its tokenizer: the CLIP of a graph in the SD1.x and SD2.x families.
type Encoder struct {
	Network   *Network
	Tokenizer *text.CLIPTokenizer
	Device    device.Device
	Arena     *device.Arena
	After     func() // if not nil, called when an Encode is done
	Origin    any    // what a loader notes, to find the weights again
}

var _ types.TextEncoder = (*Encoder)(nil)

// Encode tokenises text in chunks of 77, runs each, applies the weights and joins the chunks: [1, 77*chunks, hidden].
// Pooled is the state at the first chunk's end token. lastLayer -1 (or 0) is the last layer, -2 the one before; the
// final norm is applied in any case (numerics.md 6.5, 6.6).
func (e *Encoder) Encode(ctx context.Context, prompt string, lastLayer int) (types.Conditioning, error) {
	if e.After != nil {
		defer e.After()
	}
	chunks, err := e.Tokenizer.Chunks(prompt, e.Tokenizer.Pad())
	if err != nil {
		return nil, err
	}
	stop := 0
	if lastLayer < 0 && -lastLayer <= e.Network.Config.Layers {
		stop = -lastLayer - 1
	}
	width := e.Network.Config.HiddenSize
	var states []float32
	var pooled, empty []float32
	for i, chunk := range chunks {
		types.Report(ctx, types.Progress{Phase: "encode", Step: i, Total: len(chunks)})
		chunk = text.FitVectors(chunk, width, e.Tokenizer.Pad())
		state, pool, err := e.run(ctx, chunk, stop)
		if err != nil {
			return nil, fmt.Errorf("text encoder: %w", err)
		}
		if weighted(chunk) {
			if empty == nil {
				if empty, _, err = e.run(ctx, e.Tokenizer.Empty(e.Tokenizer.Pad()), stop); err != nil {
					return nil, fmt.Errorf("text encoder: %w", err)
				}
			}
			text.Weigh(state, empty, chunk)
		}
		states = append(states, state...)
		if i == 0 {
			pooled = pool
		}
	}
	types.Report(ctx, types.Progress{Phase: "encode", Step: len(chunks), Total: len(chunks)})
	return types.Conditioning{{
		Tokens: types.Tensor{Shape: []int{1, len(states) / width, width}, Data: states},
		Pooled: &types.Tensor{Shape: []int{1, width}, Data: pooled},
	}}, nil
}

func weighted(chunk []text.Token) bool {
	for _, t := range chunk {
		if t.Weight != 1 {
			return true
		}
	}
	return false
}

// run encodes one chunk: the states [77, hidden] at the wanted layer and the pooled state [hidden] of the last.
func (e *Encoder) run(ctx context.Context, chunk []text.Token, stop int) (state, pooled []float32, err error) {
	ids, rows := make([]int, len(chunk)), map[int][]float32{}
	end := len(ids) - 1
	for i := len(chunk) - 1; i >= 0; i-- {
		if chunk[i].Vector != nil {
			rows[i] = chunk[i].Vector
			continue
		}
		ids[i] = chunk[i].ID
		if ids[i] == e.Tokenizer.End() {
			end = i // the first end token, in the end
		}
	}
	p := device.NewPass(ctx, e.Device, e.Arena)
	s, last := e.Network.Forward(p, ids, rows, stop)
	state, all := p.Download(s, false), p.Download(last, false)
	if err := p.Close(); err != nil {
		return nil, nil, err
	}
	w := e.Network.Config.HiddenSize
	return state, all[end*w : (end+1)*w], nil
}

// Detect reads a config from the shapes of a single-file checkpoint's CLIP-L, heads of 64 channels and quick GELU as
// the only one that single SD1.x files hold.
func Detect(s *weights.Store) (Config, error) {
	if _, ok := s.Lookup("text_model.final_layer_norm.weight"); ok {
		s = s.Sub("text_model.")
	}
	c := Config{
		HiddenSize: s.Dim("embeddings.token_embedding.weight", 1), VocabSize: s.Dim("embeddings.token_embedding.weight", 0),
		Positions: s.Dim("embeddings.position_embedding.weight", 0), IntermediateSize: s.Dim("encoder.layers.0.mlp.fc1.weight", 0),
		Activation: device.QuickGELU, NormEps: 1e-5,
	}
	for s.Dim(fmt.Sprintf("encoder.layers.%d.layer_norm1.weight", c.Layers), 0) > 0 && c.Layers < 1<<10 {
		c.Layers++
	}
	c.Heads = max(1, c.HiddenSize/64)
	if c.HiddenSize == 0 {
		return c, fmt.Errorf("checkpoint: need a text encoder with text_model.embeddings.token_embedding.weight: this file carries none of a known kind")
	}
	return c, c.check()
}
