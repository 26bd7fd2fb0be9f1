package diffusion

import (
	"context"
	"fmt"

	"graphrun/runtime/device"
	"graphrun/runtime/nn"
)

// Flux is FluxTransformer2DModel, the network of FLUX.1 (Black Forest Labs 2024; families.md 5): double blocks in which
// text and picture have weights of their own and attend to each other, then single blocks that treat them as one stream.
type Flux struct {
	Config FluxConfig

	timeEmbed, guidanceEmbed, pooledEmbed *nn.MLP // guidance nil for schnell
	imageIn, textIn                       *nn.Linear
	double                                []*doubleBlock
	single                                []*singleBlock
	normOut                               *nn.Linear // scale and shift of the last norm
	shiftFirst                            bool       // or shift and scale
	projOut                               *nn.Linear
}

// fluxEps is of every norm of the network.
const fluxEps = 1e-6

// timeWidth is of the sinusoid of a time or a guidance.
const timeWidth = 256

// NewFlux binds the network's weights. Every tensor that misses, does not fit or is left over is in the error.
func NewFlux(c FluxConfig, b *nn.Binder) (*Flux, error) {
	width := c.Width()
	embed := b.At("time_text_embed")
	mlp := func(name string, in int) *nn.MLP {
		return &nn.MLP{In: embed.Linear(name+".linear_1", in, width), Out: embed.Linear(name+".linear_2", width, width), Act: device.SiLU}
	}
	f := &Flux{
		Config: c, timeEmbed: mlp("timestep_embedder", timeWidth), pooledEmbed: mlp("text_embedder", c.PooledProjectionDim),
		imageIn: b.Linear("x_embedder", c.InChannels, width), textIn: b.Linear("context_embedder", c.JointAttentionDim, width),
		shiftFirst: b.Has(shiftFirst + ".weight"), projOut: b.Linear("proj_out", width, c.PatchSize*c.PatchSize*c.OutChannels),
	}
	if c.GuidanceEmbeds {
		f.guidanceEmbed = mlp("guidance_embedder", timeWidth)
	}
	for i := range c.NumLayers {
		f.double = append(f.double, newDoubleBlock(c, b.At(fmt.Sprintf("transformer_blocks.%d", i))))
	}
	for i := range c.NumSingleLayers {
		f.single = append(f.single, newSingleBlock(c, b.At(fmt.Sprintf("single_transformer_blocks.%d", i))))
	}
	name := "norm_out.linear"
	if f.shiftFirst {
		name = shiftFirst
	}
	f.normOut = b.Linear(name, width, 2*width)
	return f, b.Err()
}

// FluxInput is what the network sees of one step.
type FluxInput struct {
	Image    nn.Tensor // [batch, image tokens, in]: patches of the noisy latent
	Text     nn.Tensor // [batch, text tokens, joint attention width]
	Pooled   nn.Tensor // [batch, pooled width]
	Time     []float32 // [batch], sigma in 0..1
	Guidance []float32 // [batch], for a network with guidance
	Rotary   []float32 // RotaryTable of all tokens, text first
}

func (f *Flux) check(in FluxInput) error {
	b, text, image, c := in.Image.Dim(0), in.Text.Dim(1), in.Image.Dim(1), f.Config
	for _, t := range []struct {
		name string
		have any
		fits bool
		need string
	}{
		{"image", in.Image, len(in.Image.Shape) == 3 && b > 0 && image > 0 && in.Image.Dim(2) == c.InChannels, fmt.Sprintf("[batch, tokens, %d]", c.InChannels)},
		{"text", in.Text, len(in.Text.Shape) == 3 && in.Text.Dim(0) == b && text > 0 && in.Text.Dim(2) == c.JointAttentionDim, fmt.Sprintf("[%d, tokens, %d]", b, c.JointAttentionDim)},
		{"pooled text", in.Pooled, len(in.Pooled.Shape) == 2 && in.Pooled.Dim(0) == b && in.Pooled.Dim(1) == c.PooledProjectionDim, fmt.Sprintf("[%d, %d]", b, c.PooledProjectionDim)},
		{"time", len(in.Time), len(in.Time) == b, fmt.Sprintf("%d values", b)},
		{"guidance", len(in.Guidance), len(in.Guidance) == b || !c.GuidanceEmbeds, fmt.Sprintf("%d values", b)},
		{"rotary table", len(in.Rotary), len(in.Rotary) == (text+image)*2*c.HeadDim, fmt.Sprintf("%d values", (text+image)*2*c.HeadDim)},
	} {
		if !t.fits {
			return &device.ShapeError{Op: "flux: " + t.name, Need: t.need, Have: fmt.Sprint(t.have)}
		}
	}
	return nil
}

// Forward predicts the velocity of the patches: [batch, image tokens, patch²·out].
func (f *Flux) Forward(p *nn.Pass, in FluxInput) (out nn.Tensor) {
	defer p.Scope(&out)()
	if p.Err() == nil {
		if err := f.check(in); err != nil {
			p.Fail(err)
		}
	}
	if p.Err() != nil {
		return nn.Tensor{}
	}
	batch, text, image, width := in.Image.Dim(0), in.Text.Dim(1), in.Image.Dim(1), f.Config.Width()
	out = p.New(batch, image, f.Config.PatchSize*f.Config.PatchSize*f.Config.OutChannels)
	rotary := p.Upload(in.Rotary, false, text+image, 2*f.Config.HeadDim)

	vec := f.embed(p, in) // [batch, width]
	p.Mark("time_text_embed", vec)
	p.ActivateTo(vec, device.SiLU) // every modulation begins with it

	h := p.New(batch, text+image, width) // both streams lie together, so that nothing moves where they join
	for i := range batch {
		f.textIn.To(p, h.At(i).Part(0, text), in.Text.At(i))
		f.imageIn.To(p, h.At(i).Part(text, text+image), in.Image.At(i))
		p.Mark("context_embedder", h.At(i).Part(0, text))
		p.Mark("x_embedder", h.At(i).Part(text, text+image))
	}
	for _, b := range f.double {
		b.forward(p, h, text, vec, rotary)
	}
	for _, b := range f.single {
		b.forward(p, h, text, vec, rotary)
	}
	mod := f.normOut.Forward(p, vec).Reshape(batch, 2, width)
	for i := range batch {
		scale, shift := mod.At(i).At(0), mod.At(i).At(1)
		if f.shiftFirst {
			scale, shift = shift, scale
		}
		n := nn.Modulate(p, h.At(i).Part(text, text+image), fluxEps, scale, shift, f.projOut)
		p.Mark("norm_out", n)
		f.projOut.To(p, out.At(i), n)
		p.Free(n)
	}
	return out
}

// embed is what all tokens are conditioned on: time, guidance and the pooled text, [batch, width].
func (f *Flux) embed(p *nn.Pass, in FluxInput) (vec nn.Tensor) {
	defer p.Scope(&vec)()
	sinusoid := func(t []float32) nn.Tensor {
		scaled := make([]float32, len(t))
		for i, v := range t {
			scaled[i] = 1000 * v
		}
		return p.TimestepEmbedding(scaled, timeWidth, true, 0)
	}
	vec = f.timeEmbed.Forward(p, sinusoid(in.Time))
	if f.guidanceEmbed != nil {
		p.AddTo(vec, f.guidanceEmbed.Forward(p, sinusoid(in.Guidance)))
	}
	p.AddTo(vec, f.pooledEmbed.Forward(p, in.Pooled))
	return vec
}

// doubleBlock lets text and picture attend to each other, each with weights of its own.
type doubleBlock struct {
	text, image *stream
	heads       int
	name        string
}

// stream is one side of a double block.
type stream struct {
	mod          *nn.Linear // to shift, scale and gate of the attention, then of the MLP
	q, k, v, out *nn.Linear
	normQ, normK *nn.RMSNorm // over the channels of a head
	mlp          *nn.MLP

	normName, attnName, mlpName string
}

func newDoubleBlock(c FluxConfig, b *nn.Binder) *doubleBlock {
	width := c.Width()
	side := func(norm, q, k, v, out, normQ, normK, ff, attn string) *stream {
		return &stream{
			mod: b.Linear(norm+".linear", width, 6*width),
			q:   b.Linear(q, width, width), k: b.Linear(k, width, width), v: b.Linear(v, width, width), out: b.Linear(out, width, width),
			normQ: b.RMSNorm(normQ, c.HeadDim, fluxEps), normK: b.RMSNorm(normK, c.HeadDim, fluxEps),
			mlp:      &nn.MLP{In: b.Linear(ff+".net.0.proj", width, 4*width), Out: b.Linear(ff+".net.2", 4*width, width), Act: device.GELUTanh},
			normName: b.Name(norm), attnName: b.Name(attn), mlpName: b.Name(ff),
		}
	}
	return &doubleBlock{
		text: side("norm1_context", "attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj", "attn.to_add_out", "attn.norm_added_q", "attn.norm_added_k",
			"ff_context", "attn#1"),
		image: side("norm1", "attn.to_q", "attn.to_k", "attn.to_v", "attn.to_out.0", "attn.norm_q", "attn.norm_k", "ff", "attn#0"),
		heads: c.Heads, name: trimDot(b.Name("")),
	}
}

// forward changes h [batch, tokens, width] in place; its first text tokens are text. vec [batch, width] has been through SiLU.
func (b *doubleBlock) forward(p *nn.Pass, h nn.Tensor, text int, vec, rotary nn.Tensor) {
	var none nn.Tensor
	defer p.Scope(&none)()
	batch, tokens, width := h.Dim(0), h.Dim(1), h.Dim(2)
	modText := b.text.mod.Forward(p, vec).Reshape(batch, 6, width)
	modImage := b.image.mod.Forward(p, vec).Reshape(batch, 6, width)
	for i := range batch {
		txt, img := h.At(i).Part(0, text), h.At(i).Part(text, tokens)
		q, k, v := p.New(tokens, width), p.New(tokens, width), p.New(tokens, width)
		b.text.project(p, txt, modText.At(i), q.Part(0, text), k.Part(0, text), v.Part(0, text))
		b.image.project(p, img, modImage.At(i), q.Part(text, tokens), k.Part(text, tokens), v.Part(text, tokens))
		a := attend(p, q, k, v, rotary, b.heads, b.image.q.AttentionPrec())
		b.text.add(p, txt, modText.At(i), a.Part(0, text))
		b.image.add(p, img, modImage.At(i), a.Part(text, tokens))
		p.Free(a)
		p.Mark(b.name+"#0", txt)
		p.Mark(b.name+"#1", img)
	}
}

// project makes the stream's share of queries, keys and values [tokens, width] from x.
func (s *stream) project(p *nn.Pass, x, mod, q, k, v nn.Tensor) {
	n := nn.Modulate(p, x, fluxEps, mod.At(1), mod.At(0), s.q, s.k, s.v)
	p.Mark(s.normName+"#0", n)
	for i := 2; i < 6 && p.Point != nil; i++ {
		p.Mark(fmt.Sprintf("%s#%d", s.normName, i-1), mod.At(i))
	}
	s.q.To(p, q, n)
	s.k.To(p, k, n)
	s.v.To(p, v, n)
	p.Free(n)
	s.normQ.To(p, q)
	s.normK.To(p, k)
}

// add adds the attention's result a, then the MLP, to x [tokens, width] in place.
func (s *stream) add(p *nn.Pass, x, mod, a nn.Tensor) {
	if p.Point != nil {
		p.Mark(s.attnName, s.out.Forward(p, a))
	}
	s.out.AddGatedTo(p, x, a, mod.At(2))
	n := nn.Modulate(p, x, fluxEps, mod.At(4), mod.At(3), s.mlp.In)
	if p.Point != nil {
		p.Mark(s.mlpName, s.mlp.Forward(p, n))
	}
	inPieces(x.Dim(0), func(from, to int) { s.mlp.AddGatedTo(p, x.Part(from, to), n.Part(from, to), mod.At(5)) })
	p.Free(n)
}

// pieceTokens is how many tokens pay for reading a layer's weights; tests change it.
var pieceTokens = 1024

// inPieces calls f for even parts of that many tokens at most. An MLP looks at tokens one by one, so its widest tensor need not
// be there for all of them at once.
func inPieces(tokens int, f func(from, to int)) {
	n := (tokens + pieceTokens - 1) / pieceTokens
	for i := range n {
		f(i*tokens/n, (i+1)*tokens/n)
	}
}

// attend turns queries and keys by their positions and frees all three: [tokens, width].
func attend(p *nn.Pass, q, k, v, rotary nn.Tensor, heads int, prec device.Precision) nn.Tensor {
	tokens, width := q.Dim(0), q.Dim(1)
	p.RotaryTo(q, rotary)
	p.RotaryTo(k, rotary)
	a := p.Attention(q.Reshape(1, tokens, width), k.Reshape(1, tokens, width), v.Reshape(1, tokens, width), device.AttentionSpec{Heads: heads, Prec: prec})
	p.Free(q)
	p.Free(k)
	p.Free(v)
	return a.Reshape(tokens, width)
}

// singleBlock runs attention and MLP side by side on text and picture as one stream.
type singleBlock struct {
	mod            *nn.Linear // to shift, scale and gate
	q, k, v        *nn.Linear
	normQ, normK   *nn.RMSNorm
	projMLP        *nn.Linear
	projOut        *nn.Linear // of attention and MLP together
	heads          int
	name, attnName string
}

func newSingleBlock(c FluxConfig, b *nn.Binder) *singleBlock {
	width := c.Width()
	return &singleBlock{
		mod: b.Linear("norm.linear", width, 3*width),
		q:   b.Linear("attn.to_q", width, width), k: b.Linear("attn.to_k", width, width), v: b.Linear("attn.to_v", width, width),
		normQ: b.RMSNorm("attn.norm_q", c.HeadDim, fluxEps), normK: b.RMSNorm("attn.norm_k", c.HeadDim, fluxEps),
		projMLP: b.Linear("proj_mlp", width, 4*width), projOut: b.Linear("proj_out", 5*width, width),
		heads: c.Heads, name: trimDot(b.Name("")), attnName: b.Name("attn"),
	}
}

// forward changes h [batch, tokens, width] in place; its first text tokens are text. vec [batch, width] has been through SiLU.
func (b *singleBlock) forward(p *nn.Pass, h nn.Tensor, text int, vec, rotary nn.Tensor) {
	var none nn.Tensor
	defer p.Scope(&none)()
	batch, tokens, width := h.Dim(0), h.Dim(1), h.Dim(2)
	mod := b.mod.Forward(p, vec).Reshape(batch, 3, width)
	for i := range batch {
		x, shift, scale, gate := h.At(i), mod.At(i).At(0), mod.At(i).At(1), mod.At(i).At(2)
		n := nn.Modulate(p, x, fluxEps, scale, shift, b.q, b.k, b.v, b.projMLP)
		p.Mark(b.name+".norm#0", n)
		p.Mark(b.name+".norm#1", gate)
		q, k, v := b.q.Forward(p, n), b.k.Forward(p, n), b.v.Forward(p, n)
		b.normQ.To(p, q)
		b.normK.To(p, k)
		a := attend(p, q, k, v, rotary, b.heads, b.q.AttentionPrec())
		p.Mark(b.attnName, a)
		if p.Point != nil {
			p.Mark(b.name+".proj_mlp", b.projMLP.Forward(p, n))
		}
		inPieces(tokens, func(from, to int) {
			m := b.projMLP.Activate(p, n.Part(from, to), device.GELUTanh) // [to-from, 4*width]
			r := p.Concat(a.Part(from, to), m, -1)                        // [to-from, 5*width]
			p.Free(m)
			b.projOut.AddGatedTo(p, x.Part(from, to), r, gate)
			p.Free(r)
		})
		p.Free(a)
		p.Free(n)
		p.Mark(b.name+"#0", x.Part(0, text))
		p.Mark(b.name+"#1", x.Part(text, tokens))
	}
}

// Estimate runs one prediction for a picture of h x w tokens and a prompt of so many on the meta device: FLOPs and bytes of
// activations, before a weight is read.
func (f *Flux) Estimate(h, w, text int) (flops, activations int64, err error) {
	c, ids := f.Config, make([]float32, 3*(text+h*w))
	for i := range h * w {
		ids[3*(text+i)+1], ids[3*(text+i)+2] = float32(i/w), float32(i%w)
	}
	rotary, err := c.RotaryTable(nil, ids)
	if err != nil {
		return 0, 0, err
	}
	meta := &device.Meta{}
	arena := device.NewArena(meta, 0)
	p := device.NewPass(context.Background(), meta, arena)
	f.Forward(p, FluxInput{
		Image: p.New(1, h*w, c.InChannels), Text: p.New(1, text, c.JointAttentionDim), Pooled: p.New(1, c.PooledProjectionDim),
		Time: []float32{0.5}, Guidance: []float32{3.5}, Rotary: rotary,
	})
	err = p.Close()
	return meta.FLOPs, arena.Stats().Peak, err
}
