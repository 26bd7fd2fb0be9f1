// Package diffusion has the denoising networks, one file a family, each reading like its paper's figure.
package diffusion

import (
	"fmt"

	"graphrun/runtime/device"
	"graphrun/runtime/nn"
)

// UNet is UNet2DConditionModel, the network of SD1.x, SD2.x (Rombach et al. 2022, arXiv 2112.10752) and SDXL (Podell et al.
// 2023, arXiv 2307.01952; families.md 1): convolutions and attention down a ladder of resolutions and up again, with a skip connection at every rung.
type UNet struct {
	Config UNetConfig

	timeEmbed *nn.MLP
	addEmbed  *nn.MLP // of the added condition, nil for a network without
	convIn    *nn.Conv2D
	down      []*downBlock
	mid       *midBlock // nil for a network without
	up        []*upBlock
	normOut   *nn.GroupNorm
	convOut   *nn.Conv2D
}

// Addition is what SDXL is told besides the text's tokens.
type Addition struct {
	Text    nn.Tensor // [batch, width]: the pooled text
	TimeIDs []float32 // [batch, ids]: height and width of the original, top and left of the crop, height and width of the target, in pixels
}

type downBlock struct {
	resnets    []*resBlock
	attentions []*spatialTransformer // empty or one a resnet
	downsample *nn.Conv2D            // nil at the bottom
	name       string
}

type midBlock struct {
	first, second *resBlock
	attention     *spatialTransformer // nil for a block without
}

type upBlock struct {
	resnets    []*resBlock
	attentions []*spatialTransformer
	upsample   *nn.Conv2D // nil at the top
	name       string
}

// NewUNet binds the network's weights. Every tensor that misses, does not fit or is left over is in the error.
func NewUNet(c UNetConfig, b *nn.Binder) (*UNet, error) {
	ch := c.BlockOutChannels
	temb := c.TimeEmbeddingDim
	u := &UNet{
		Config: c,
		timeEmbed: &nn.MLP{
			In: b.Linear("time_embedding.linear_1", ch[0], temb), Out: b.Linear("time_embedding.linear_2", temb, temb), Act: c.Act,
		},
		convIn:  b.Conv("conv_in", c.InChannels, ch[0], c.ConvInKernel, 1),
		normOut: b.GroupNorm("conv_norm_out", ch[0], c.NormNumGroups, c.NormEps),
		convOut: b.Conv("conv_out", ch[0], c.OutChannels, c.ConvOutKernel, 1),
	}
	if c.AdditionInputDim > 0 {
		u.addEmbed = &nn.MLP{ // its activation is the default one, whatever act_fn says
			In: b.Linear("add_embedding.linear_1", c.AdditionInputDim, temb), Out: b.Linear("add_embedding.linear_2", temb, temb), Act: device.SiLU,
		}
	}
	skips := []int{ch[0]} // channels of every skip connection
	width := ch[0]
	for i, out := range ch {
		d := newDownBlock(c, b.At(fmt.Sprintf("down_blocks.%d", i)), i, width, out, temb)
		for range d.resnets {
			skips = append(skips, out)
		}
		if d.downsample != nil {
			skips = append(skips, out)
		}
		u.down, width = append(u.down, d), out
	}
	if c.MidBlockType != midNone {
		u.mid = newMidBlock(c, b.At("mid_block"), width, temb)
	}
	for i := range ch {
		level := len(ch) - 1 - i
		n := c.LayersPerBlock[level] + 1
		u.up = append(u.up, newUpBlock(c, b.At(fmt.Sprintf("up_blocks.%d", i)), i, width, ch[level], skips[len(skips)-n:], temb))
		skips, width = skips[:len(skips)-n], ch[level]
	}
	return u, b.Err()
}

func newDownBlock(c UNetConfig, b *nn.Binder, i, in, out, temb int) *downBlock {
	d := &downBlock{name: b.Name("")}
	for j := range c.LayersPerBlock[i] {
		d.resnets = append(d.resnets, newResBlock(c, b.At(fmt.Sprintf("resnets.%d", j)), in, out, temb))
		if c.DownBlockTypes[i] == crossAttnDown {
			d.attentions = append(d.attentions, newSpatialTransformer(c, b.At(fmt.Sprintf("attentions.%d", j)), out, i, c.OnlyCrossAttention[i]))
		}
		in = out
	}
	if i < len(c.BlockOutChannels)-1 {
		d.downsample = b.Conv("downsamplers.0.conv", out, out, 3, 2)
		d.downsample.Geom.Top, d.downsample.Geom.Left = c.DownsamplePadding, c.DownsamplePadding
	}
	return d
}

func newMidBlock(c UNetConfig, b *nn.Binder, width, temb int) *midBlock {
	m := &midBlock{first: newResBlock(c, b.At("resnets.0"), width, width, temb)}
	if c.MidBlockType == midCrossAttn {
		m.attention = newSpatialTransformer(c, b.At("attentions.0"), width, len(c.BlockOutChannels)-1, false)
		m.second = newResBlock(c, b.At("resnets.1"), width, width, temb)
	}
	return m
}

func newUpBlock(c UNetConfig, b *nn.Binder, i, in, out int, skips []int, temb int) *upBlock {
	u := &upBlock{name: b.Name("")}
	level := len(c.BlockOutChannels) - 1 - i
	for j := range skips {
		skip := skips[len(skips)-1-j] // the stack is popped from its end
		u.resnets = append(u.resnets, newResBlock(c, b.At(fmt.Sprintf("resnets.%d", j)), in+skip, out, temb))
		if c.UpBlockTypes[i] == crossAttnUp {
			u.attentions = append(u.attentions, newSpatialTransformer(c, b.At(fmt.Sprintf("attentions.%d", j)), out, level, c.OnlyCrossAttention[level]))
		}
		in = out
	}
	if level > 0 {
		u.upsample = b.Conv("upsamplers.0.conv", out, out, 3, 1)
	}
	return u
}

// Forward predicts from x [batch, height, width, in], one timestep a batch element, the context [batch, tokens, width] and,
// for a network that was trained with one, the added condition; others take nil.
func (u *UNet) Forward(p *nn.Pass, x nn.Tensor, timestep []float32, context nn.Tensor, add *Addition) (out nn.Tensor) {
	defer p.Scope(&out)()
	temb := u.embed(p, timestep, add)
	if u.Config.CenterInputSample {
		x = p.Affine(x, 2, -1) // 0..1 to -1..1
	}
	h := u.convIn.Forward(p, x)
	p.Mark("conv_in", h)
	skips := []nn.Tensor{h}
	for _, d := range u.down {
		h, skips = d.forward(p, h, temb, context, skips)
	}
	if u.mid != nil {
		h = u.mid.forward(p, h, temb, context)
		p.Mark("mid_block", h)
	}
	for _, b := range u.up {
		n := len(skips) - len(b.resnets)
		var next nn.Tensor // the size to grow to
		if n > 0 {
			next = skips[n-1]
		}
		below := h
		h = b.forward(p, h, temb, context, skips[n:], next)
		p.Free(below)
		for _, s := range skips[n:] {
			p.Free(s)
		}
		skips = skips[:n]
	}
	if p.Point != nil {
		p.Mark("conv_norm_out", u.normOut.Forward(p, h))
	}
	return u.convOut.Forward(p, u.normOut.Activate(p, h, u.Config.Act, u.convOut))
}

// embed is what every ResBlock is conditioned on, [batch, TimeEmbeddingDim], through the activation that each begins with.
func (u *UNet) embed(p *nn.Pass, timestep []float32, add *Addition) (temb nn.Tensor) {
	defer p.Scope(&temb)()
	temb = u.timeEmbed.Forward(p, u.sinusoid(p, timestep, u.Config.BlockOutChannels[0]))
	if u.Config.TimePostAct != nil {
		temb = p.Activate(temb, *u.Config.TimePostAct)
	}
	p.Mark("time_embedding", temb)
	if err := u.checkAddition(len(timestep), add); err != nil {
		p.Fail(err)
	} else if add != nil {
		ids := u.sinusoid(p, add.TimeIDs, u.Config.AdditionTimeEmbedDim).Reshape(len(timestep), -1)
		added := u.addEmbed.Forward(p, p.Concat(add.Text, ids, -1))
		p.Mark("add_embedding", added)
		p.AddTo(temb, added)
	}
	if u.Config.TimeAct != nil {
		temb = p.Activate(temb, *u.Config.TimeAct)
	}
	return p.Activate(temb, u.Config.Act)
}

// sinusoid is the timestep embedding of every t, [len(t), dim].
func (u *UNet) sinusoid(p *nn.Pass, t []float32, dim int) nn.Tensor {
	return p.TimestepEmbedding(t, dim, u.Config.FlipSinToCos, u.Config.FreqShift)
}

// checkAddition holds the added condition to what the network was trained with. The number of ids follows from the widths:
// six for SDXL base, five for its refiner.
func (u *UNet) checkAddition(batch int, add *Addition) error {
	c := u.Config
	const op = "unet: added condition"
	switch {
	case add == nil && c.AdditionInputDim == 0:
		return nil
	case add == nil:
		return &device.ShapeError{Op: op, Need: "pooled text and time ids, as SDXL does", Have: "none"}
	case c.AdditionInputDim == 0:
		return &device.ShapeError{Op: op, Need: "none, as SD1.x and SD2.x do", Have: add.Text.String()}
	}
	width, n := add.Text.Dim(-1), len(add.TimeIDs)
	if batch == 0 || len(add.Text.Shape) != 2 || add.Text.Dim(0) != batch || n == 0 || n%batch != 0 || width+n/batch*c.AdditionTimeEmbedDim != c.AdditionInputDim {
		return &device.ShapeError{
			Op: op, Need: fmt.Sprintf("pooled text [%d, width] and time ids, width + %d for each id = %d", batch, c.AdditionTimeEmbedDim, c.AdditionInputDim),
			Have: fmt.Sprintf("%v and %d ids", add.Text.Shape, n),
		}
	}
	return nil
}

func (d *downBlock) forward(p *nn.Pass, h, temb, context nn.Tensor, skips []nn.Tensor) (nn.Tensor, []nn.Tensor) {
	for j, r := range d.resnets {
		h = r.forward(p, h, temb)
		if len(d.attentions) > 0 {
			res := h
			h = d.attentions[j].forward(p, h, context)
			p.Free(res)
		}
		skips = append(skips, h)
	}
	if d.downsample != nil {
		h = d.downsample.Forward(p, h)
		p.Mark(d.name+"downsamplers.0", h)
		skips = append(skips, h)
	}
	return h, skips
}

func (m *midBlock) forward(p *nn.Pass, h, temb, context nn.Tensor) (out nn.Tensor) {
	defer p.Scope(&out)()
	h = m.first.forward(p, h, temb)
	if m.attention != nil {
		h = m.attention.forward(p, h, context)
		h = m.second.forward(p, h, temb)
	}
	return h
}

func (u *upBlock) forward(p *nn.Pass, h, temb, context nn.Tensor, skips []nn.Tensor, next nn.Tensor) (out nn.Tensor) {
	defer p.Scope(&out)()
	for j, r := range u.resnets {
		joined := p.Concat(h, skips[len(skips)-1-j], -1) // [b, h, w, in+skip]
		if j > 0 {
			p.Free(h)
		}
		h = r.forward(p, joined, temb)
		p.Free(joined)
		if len(u.attentions) > 0 {
			p.Into(&h, u.attentions[j].forward(p, h, context))
		}
	}
	if u.upsample != nil {
		if next.Dim(1) == 2*h.Dim(1) && next.Dim(2) == 2*h.Dim(2) {
			p.Into(&h, u.upsample.Upsampled(p, h))
		} else {
			p.Into(&h, p.Resize(h, next.Dim(1), next.Dim(2), device.Nearest))
			p.Into(&h, u.upsample.Forward(p, h))
		}
		p.Mark(u.name+"upsamplers.0", h)
	}
	return h
}

// resBlock is two convolutions with the timestep between them, around a shortcut.
type resBlock struct {
	norm1, norm2 *nn.GroupNorm
	conv1, conv2 *nn.Conv2D
	time         *nn.Linear
	shortcut     *nn.Conv2D // nil when the widths agree
	act          device.Activation
	name         string
}

func newResBlock(c UNetConfig, b *nn.Binder, in, out, temb int) *resBlock {
	r := &resBlock{
		norm1: b.GroupNorm("norm1", in, c.NormNumGroups, c.NormEps),
		conv1: b.Conv("conv1", in, out, 3, 1),
		time:  b.Linear("time_emb_proj", temb, out),
		norm2: b.GroupNorm("norm2", out, c.NormNumGroups, c.NormEps),
		conv2: b.Conv("conv2", out, out, 3, 1),
		act:   c.Act,
		name:  trimDot(b.Name("")),
	}
	if in != out {
		r.shortcut = b.Conv("conv_shortcut", in, out, 1, 1)
	}
	return r
}

// forward maps x [b, h, w, in] to [b, h, w, out]; temb [b, TimeEmbeddingDim] has been through the activation.
func (r *resBlock) forward(p *nn.Pass, x, temb nn.Tensor) (out nn.Tensor) {
	defer p.Scope(&out)()
	h := r.norm1.Activate(p, x, r.act, r.conv1)
	p.Into(&h, r.conv1.With(p, h, device.Epilogue{Each: r.time.Forward(p, temb)}))
	p.Into(&h, r.norm2.Activate(p, h, r.act, r.conv2))
	if r.shortcut != nil {
		x = r.shortcut.Forward(p, x)
	}
	p.Into(&h, r.conv2.With(p, h, device.Epilogue{Residual: x}))
	p.Mark(r.name, h)
	return h
}

// spatialTransformer lets every pixel attend to all pixels and to the text.
type spatialTransformer struct {
	norm            *nn.GroupNorm
	projIn, projOut layer // 1x1 convolutions or linear: the same thing in this layout
	blocks          []*transformerBlock
	name            string
}

type layer interface {
	Forward(*nn.Pass, nn.Tensor) nn.Tensor
}

func newSpatialTransformer(c UNetConfig, b *nn.Binder, width, level int, onlyCross bool) *spatialTransformer {
	s := &spatialTransformer{norm: b.GroupNorm("norm", width, c.NormNumGroups, 1e-6), name: trimDot(b.Name(""))}
	if c.UseLinearProjection {
		s.projIn, s.projOut = b.Linear("proj_in", width, width), b.Linear("proj_out", width, width)
	} else {
		s.projIn, s.projOut = b.Conv("proj_in", width, width, 1, 1), b.Conv("proj_out", width, width, 1, 1)
	}
	for k := range c.TransformerLayers[level] {
		block := b.At(fmt.Sprintf("transformer_blocks.%d", k))
		s.blocks = append(s.blocks, newTransformerBlock(block, width, c.Heads[level], c.CrossAttentionDim, onlyCross))
	}
	return s
}

func (s *spatialTransformer) forward(p *nn.Pass, x, context nn.Tensor) (out nn.Tensor) {
	defer p.Scope(&out)()
	h := s.norm.Forward(p, x)
	p.Into(&h, s.projIn.Forward(p, h))
	h = h.Reshape(x.Dim(0), -1, x.Dim(3)) // [b, h*w, c]
	for _, t := range s.blocks {
		t.forward(p, h, context)
	}
	h = h.Reshape(x.Shape...)
	p.Into(&h, s.projOut.Forward(p, h))
	p.AddTo(h, x)
	p.Mark(s.name+"#0", h)
	return h
}

type transformerBlock struct {
	norm1, norm2, norm3 *nn.LayerNorm
	attn1, attn2        *nn.Attention
	ffIn, ffOut         *nn.Linear
	onlyCross           bool // attn1 attends to the text as attn2 does
	name                string
}

func newTransformerBlock(b *nn.Binder, width, heads, context int, onlyCross bool) *transformerBlock {
	attention := func(b *nn.Binder, kv int) *nn.Attention {
		return &nn.Attention{
			Q: b.LinearNoBias("to_q", width, width), K: b.LinearNoBias("to_k", kv, width), V: b.LinearNoBias("to_v", kv, width),
			Out: b.Linear("to_out.0", width, width), Heads: heads,
		}
	}
	first := width
	if onlyCross {
		first = context
	}
	return &transformerBlock{
		onlyCross: onlyCross,
		norm1:     b.LayerNorm("norm1", width, 1e-5), attn1: attention(b.At("attn1"), first),
		norm2: b.LayerNorm("norm2", width, 1e-5), attn2: attention(b.At("attn2"), context),
		norm3: b.LayerNorm("norm3", width, 1e-5),
		ffIn:  b.Linear("ff.net.0.proj", width, 8*width), ffOut: b.Linear("ff.net.2", 4*width, width),
		name: b.Name(""),
	}
}

// forward adds its three residuals to h [b, tokens, width] in place.
func (t *transformerBlock) forward(p *nn.Pass, h, context nn.Tensor) {
	var none nn.Tensor
	defer p.Scope(&none)()
	attend := func(name string, a *nn.Attention, x, context nn.Tensor) {
		if p.Point != nil {
			p.Mark(t.name+name, a.Forward(p, x, context))
		}
		a.AddTo(p, h, x, context)
	}
	var n nn.Tensor
	if t.onlyCross {
		n = t.norm1.For(p, h, t.attn1.Q)
		attend("attn1", t.attn1, n, context)
	} else {
		n = t.norm1.For(p, h, t.attn1.Q, t.attn1.K, t.attn1.V)
		attend("attn1", t.attn1, n, n)
	}
	p.Into(&n, t.norm2.For(p, h, t.attn2.Q))
	attend("attn2", t.attn2, n, context)
	p.Into(&n, t.norm3.For(p, h, t.ffIn))
	p.Into(&n, t.ffIn.Forward(p, n))    // [b, tokens, 8*width]
	p.Into(&n, nn.GEGLU(p, n, t.ffOut)) // [b, tokens, 4*width]
	if p.Point != nil {
		p.Mark(t.name+"ff", t.ffOut.Forward(p, n))
	}
	t.ffOut.AddTo(p, h, n)
	p.Mark(trimDot(t.name), h)
}
