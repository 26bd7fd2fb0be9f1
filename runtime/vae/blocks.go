package vae

import (
	"fmt"
	"strings"

	"graphrun/runtime/device"
	"graphrun/runtime/nn"
)

// encoder goes down the ladder: convolutions at each level, attention at the bottom.
type encoder struct {
	convIn, convOut *nn.Conv2D
	down            []level
	mid             middle
	normOut         *nn.GroupNorm
}

// decoder goes up.
type decoder struct {
	convIn, convOut *nn.Conv2D
	mid             middle
	up              []level
	normOut         *nn.GroupNorm
}

// level is the residual blocks of one resolution and, but at the end, the step to the next.
type level struct {
	resnets []*resBlock
	resize  *nn.Conv2D // nil at the last level
	name    string
}

func newEncoder(c Config, b *nn.Binder) encoder {
	ch := c.BlockOutChannels
	bottom := ch[len(ch)-1]
	e := encoder{
		convIn: b.Conv("conv_in", c.InChannels, ch[0], 3, 1), mid: newMiddle(c, b.At("mid_block"), bottom),
		normOut: b.GroupNorm("conv_norm_out", bottom, c.NormNumGroups, normEps), convOut: b.Conv("conv_out", bottom, 2*c.LatentChannels, 3, 1),
	}
	in := ch[0]
	for i, out := range ch {
		l := newLevel(c, b.At(fmt.Sprintf("down_blocks.%d", i)), in, out, c.LayersPerBlock)
		if i < len(ch)-1 {
			l.resize = b.Conv(fmt.Sprintf("down_blocks.%d.downsamplers.0.conv", i), out, out, 3, 2)
			// One pixel of zeros at the right and the bottom only.
			l.resize.Geom.Top, l.resize.Geom.Left = 0, 0
		}
		e.down, in = append(e.down, l), out
	}
	return e
}

func newDecoder(c Config, b *nn.Binder) decoder {
	ch := c.BlockOutChannels
	bottom := ch[len(ch)-1]
	d := decoder{
		convIn: b.Conv("conv_in", c.LatentChannels, bottom, 3, 1), mid: newMiddle(c, b.At("mid_block"), bottom),
		normOut: b.GroupNorm("conv_norm_out", ch[0], c.NormNumGroups, normEps), convOut: b.Conv("conv_out", ch[0], c.OutChannels, 3, 1),
	}
	in := bottom
	for i := range ch {
		out := ch[len(ch)-1-i]
		l := newLevel(c, b.At(fmt.Sprintf("up_blocks.%d", i)), in, out, c.LayersPerBlock+1)
		if i < len(ch)-1 {
			l.resize = b.Conv(fmt.Sprintf("up_blocks.%d.upsamplers.0.conv", i), out, out, 3, 1)
		}
		d.up, in = append(d.up, l), out
	}
	return d
}

func newLevel(c Config, b *nn.Binder, in, out, layers int) level {
	l := level{name: strings.TrimSuffix(b.Name(""), ".")}
	for j := range layers {
		l.resnets = append(l.resnets, newResBlock(c, b.At(fmt.Sprintf("resnets.%d", j)), in, out))
		in = out
	}
	return l
}

func (e *encoder) forward(p *nn.Pass, x nn.Tensor) (out nn.Tensor) {
	defer p.Scope(&out)()
	h := e.convIn.Forward(p, x)
	p.Mark("encoder.conv_in", h)
	for i := range e.down {
		p.Into(&h, e.down[i].forward(p, h, false))
	}
	p.Into(&h, e.mid.forward(p, h))
	p.Mark("encoder.mid_block", h)
	p.Into(&h, e.normOut.Activate(p, h, device.SiLU, e.convOut))
	return e.convOut.Forward(p, h)
}

func (d *decoder) forward(p *nn.Pass, z nn.Tensor) (out nn.Tensor) {
	defer p.Scope(&out)()
	h := d.convIn.Forward(p, z)
	p.Mark("decoder.conv_in", h)
	p.Into(&h, d.mid.forward(p, h))
	p.Mark("decoder.mid_block", h)
	for i := range d.up {
		p.Into(&h, d.up[i].forward(p, h, true))
	}
	p.Into(&h, d.normOut.Activate(p, h, device.SiLU, d.convOut))
	return d.convOut.Forward(p, h)
}

// forward may have freed x, or not; its caller must not read it again.
func (l *level) forward(p *nn.Pass, x nn.Tensor, up bool) (out nn.Tensor) {
	defer p.Scope(&out)()
	h := l.resnets[0].forward(p, x)
	for _, r := range l.resnets[1:] {
		p.Into(&h, r.forward(p, h))
	}
	if l.resize != nil {
		if up {
			p.Into(&h, l.resize.Upsampled(p, h))
			p.Mark(l.name+".upsamplers.0", h)
		} else {
			p.Into(&h, l.resize.Forward(p, h))
			p.Mark(l.name+".downsamplers.0", h)
		}
	}
	p.Mark(l.name, h)
	return h
}

// middle is two residual blocks around single-head attention over all pixels.
type middle struct {
	first, second *resBlock
	norm          *nn.GroupNorm
	attention     *nn.Attention // nil for a ladder without
	name          string
}

func newMiddle(c Config, b *nn.Binder, width int) middle {
	m := middle{first: newResBlock(c, b.At("resnets.0"), width, width), second: newResBlock(c, b.At("resnets.1"), width, width), name: b.Name("")}
	if !c.MidAttention {
		return m
	}
	a := b.At("attentions.0")
	m.norm = a.GroupNorm("group_norm", width, c.NormNumGroups, normEps)
	q, k, v, out := "to_q", "to_k", "to_v", "to_out.0"
	if a.Has("query.weight") { // files older than diffusers 0.17
		q, k, v, out = "query", "key", "value", "proj_attn"
	}
	m.attention = &nn.Attention{
		Q: a.Linear(q, width, width), K: a.Linear(k, width, width), V: a.Linear(v, width, width), Out: a.Linear(out, width, width), Heads: 1,
	}
	return m
}

func (m *middle) forward(p *nn.Pass, x nn.Tensor) (out nn.Tensor) {
	defer p.Scope(&out)()
	h := m.first.forward(p, x)
	if m.attention != nil {
		n := m.norm.Forward(p, h).Reshape(h.Dim(0), -1, h.Dim(3)) // [b, h*w, c]
		p.AddTo(h, m.attention.Forward(p, n, n).Reshape(h.Shape...))
		p.Mark(m.name+"attentions.0", h)
	}
	return m.second.forward(p, h)
}

// resBlock is two convolutions around a shortcut; this family has no timestep.
type resBlock struct {
	norm1, norm2 *nn.GroupNorm
	conv1, conv2 *nn.Conv2D
	shortcut     *nn.Conv2D // nil when the widths agree
	name         string
}

func newResBlock(c Config, b *nn.Binder, in, out int) *resBlock {
	r := &resBlock{
		norm1: b.GroupNorm("norm1", in, c.NormNumGroups, normEps), conv1: b.Conv("conv1", in, out, 3, 1),
		norm2: b.GroupNorm("norm2", out, c.NormNumGroups, normEps), conv2: b.Conv("conv2", out, out, 3, 1),
		name: strings.TrimSuffix(b.Name(""), "."),
	}
	if in != out {
		r.shortcut = b.Conv("conv_shortcut", in, out, 1, 1)
	}
	return r
}

// forward takes x, which its caller must not read again: the largest tensors of a decoder are those whose width a shortcut halves,
// and there is no second of them.
func (r *resBlock) forward(p *nn.Pass, x nn.Tensor) (out nn.Tensor) {
	defer p.Scope(&out)()
	var h nn.Tensor
	if skip := r.shortcut; skip != nil {
		h, x = x, skip.Forward(p, x)
		r.norm1.SiLUTo(p, h)
	} else {
		h = r.norm1.Activate(p, x, device.SiLU, r.conv1)
	}
	p.Into(&h, r.conv1.Forward(p, h))
	p.Into(&h, r.norm2.Activate(p, h, device.SiLU, r.conv2))
	p.Into(&h, r.conv2.With(p, h, device.Epilogue{Residual: x}))
	p.Mark(r.name, h)
	return h
}
