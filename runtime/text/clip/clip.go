// Package clip has the CLIP text encoder (Radford et al. 2021, arXiv 2103.00020; families.md 3): a causal transformer
// over the tokens of a prompt.
package clip

import (
	"fmt"

	"graphrun/runtime/device"
	"graphrun/runtime/nn"
)

// Config is what config.json says of a CLIPTextModel.
type Config struct {
	HiddenSize, IntermediateSize, Layers, Heads, Positions, VocabSize int
	Activation                                                        device.Activation
	NormEps                                                           float64
}

// ParseConfig reads config.json. A value that the network cannot follow is a *nn.ConfigError.
func ParseConfig(data []byte) (Config, error) {
	var f struct {
		Architectures []string `json:"architectures"`
		ModelType     string   `json:"model_type"`
		Hidden        int      `json:"hidden_size"`
		Intermediate  int      `json:"intermediate_size"`
		Layers        int      `json:"num_hidden_layers"`
		Heads         int      `json:"num_attention_heads"`
		Positions     *int     `json:"max_position_embeddings"`
		Vocab         *int     `json:"vocab_size"`
		Act           string   `json:"hidden_act"`
		Eps           *float64 `json:"layer_norm_eps"`
	}
	if err := nn.ParseConfig(data, &f); err != nil {
		return Config{}, fmt.Errorf("text encoder config: %w", err)
	}
	for _, a := range f.Architectures {
		if a != "CLIPTextModel" && a != "CLIPTextModelWithProjection" {
			return Config{}, fmt.Errorf("text encoder config: class: need CLIPTextModel, have %q", a)
		}
	}
	if len(f.Architectures) == 0 && f.ModelType != "" && f.ModelType != "clip_text_model" {
		return Config{}, fmt.Errorf("text encoder config: model_type: need clip_text_model, have %q", f.ModelType)
	}
	c := Config{HiddenSize: f.Hidden, IntermediateSize: f.Intermediate, Layers: f.Layers, Heads: f.Heads, Positions: 77, VocabSize: 49408, NormEps: 1e-5}
	if f.Positions != nil {
		c.Positions = *f.Positions
	}
	if f.Vocab != nil {
		c.VocabSize = *f.Vocab
	}
	if f.Eps != nil {
		c.NormEps = *f.Eps
	}
	c.Activation = device.QuickGELU
	if f.Act != "" {
		var err error
		if c.Activation, err = nn.ParseActivation("hidden_act", f.Act); err != nil {
			return Config{}, fmt.Errorf("text encoder config: %w", err)
		}
	}
	return c, c.check()
}

func (c Config) check() error {
	for _, v := range []int{c.HiddenSize, c.IntermediateSize, c.Layers, c.Heads, c.Positions, c.VocabSize} {
		if v <= 0 || v > 1<<20 {
			return fmt.Errorf("text encoder config: need sizes from 1 to 1048576, have %+v", c)
		}
	}
	if c.HiddenSize%c.Heads != 0 || c.Layers > 1<<10 {
		return fmt.Errorf("text encoder config: need at most 1024 layers and a hidden size that is a multiple of %d heads, have %d layers of %d", c.Heads, c.Layers, c.HiddenSize)
	}
	return nil
}

// Network is the transformer.
type Network struct {
	Config   Config
	token    *nn.Embedding
	position *nn.Embedding
	layers   []layer
	norm     *nn.LayerNorm
}

type layer struct {
	norm1, norm2 *nn.LayerNorm
	attention    *nn.Attention
	mlp          *nn.MLP
}

// New binds the weights. Names are Hugging Face's, with or without the "text_model." in front.
func New(c Config, b *nn.Binder) (*Network, error) {
	b.Ignore("embeddings.position_ids", "text_projection.weight", "logit_scale")
	if b.Has("text_model.final_layer_norm.weight") {
		b = b.At("text_model")
	}
	n := &Network{
		Config: c, token: b.Embedding("embeddings.token_embedding", c.VocabSize, c.HiddenSize),
		position: b.Embedding("embeddings.position_embedding", c.Positions, c.HiddenSize),
		norm:     b.LayerNorm("final_layer_norm", c.HiddenSize, c.NormEps),
	}
	d := c.HiddenSize
	for i := range c.Layers {
		l := b.At(fmt.Sprintf("encoder.layers.%d", i))
		n.layers = append(n.layers, layer{
			norm1: l.LayerNorm("layer_norm1", d, c.NormEps), norm2: l.LayerNorm("layer_norm2", d, c.NormEps),
			attention: &nn.Attention{
				Q: l.Linear("self_attn.q_proj", d, d), K: l.Linear("self_attn.k_proj", d, d), V: l.Linear("self_attn.v_proj", d, d),
				Out: l.Linear("self_attn.out_proj", d, d), Heads: c.Heads, Causal: true,
			},
			mlp: &nn.MLP{In: l.Linear("mlp.fc1", d, c.IntermediateSize), Out: l.Linear("mlp.fc2", c.IntermediateSize, d), Act: c.Activation},
		})
	}
	return n, b.Err()
}

// Forward runs ids, at most Positions of them. It returns the state after the layer that stop counts from the end
// (0: after the last; 1: before the last; ...; at most the number of layers) and the state after the last layer,
// both [1, len(ids), hidden] and both through the final norm. rows replace what the vocabulary has for a position.
func (n *Network) Forward(p *nn.Pass, ids []int, rows map[int][]float32, stop int) (state, last nn.Tensor) {
	if len(ids) > n.Config.Positions {
		p.Fail(&device.ShapeError{Op: "clip", Need: fmt.Sprintf("at most %d tokens", n.Config.Positions), Have: fmt.Sprint(len(ids))})
		return
	}
	positions := make([]int, len(ids))
	for i := range positions {
		positions[i] = i
	}
	h := n.token.Forward(p, ids)
	if len(rows) > 0 {
		values := p.Download(h, false)
		for i, row := range rows {
			copy(values[min(i*n.Config.HiddenSize, len(values)):], row)
		}
		h = p.Upload(values, false, h.Shape...)
	}
	p.AddTo(h, n.position.Forward(p, positions))
	h = h.Reshape(1, len(ids), n.Config.HiddenSize)
	p.Mark("hidden_states.0", h)
	for i, l := range n.layers {
		if len(n.layers)-i == stop {
			state = n.norm.Forward(p, h)
		}
		l.forward(p, h)
		p.Mark(fmt.Sprintf("hidden_states.%d", i+1), h)
	}
	last = n.norm.Forward(p, h)
	p.Mark("last_hidden_state", last)
	if stop == 0 {
		state = last
	}
	return state, last
}

// forward adds the layer's two residuals to h [1, tokens, hidden] in place.
func (l *layer) forward(p *nn.Pass, h nn.Tensor) {
	var none nn.Tensor
	defer p.Scope(&none)()
	n := l.norm1.Forward(p, h)
	p.AddTo(h, l.attention.Forward(p, n, n))
	p.AddTo(h, l.mlp.Forward(p, l.norm2.Forward(p, h)))
}
