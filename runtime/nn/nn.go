// Package nn has the layers that model families are written with. A layer holds weights, dense or SDNQ-quantized, and
// runs on whatever device its pass is of; a family never knows the number format.
package nn

import (
	"graphrun/kernels/cpu"
	"graphrun/runtime/device"
)

// Pass and Tensor are device's: the families import nn alone.
type (
	Pass   = device.Pass
	Tensor = device.Tensor
)

// Linear is y = x·Wᵀ + b over the last axis.
type Linear struct {
	W    device.Weights // [out, in]
	B    []float32      // [out] or nil
	Prec device.Precision
	// FewRows is the precision below 32 rows: SDNQ multiplies dequantized weights there (sdnq-format.md 10.2).
	FewRows device.Precision
}

// Forward maps [..., in] to [..., out].
func (l *Linear) Forward(p *Pass, x Tensor) Tensor {
	return p.Linear(x, l.W, l.precision(x), device.Epilogue{Bias: l.B})
}

// To is Forward into dst, a tensor or a part of one.
func (l *Linear) To(p *Pass, dst, x Tensor) {
	p.LinearTo(dst, x, l.W, l.precision(x), device.Epilogue{Bias: l.B})
}

// AddTo adds the result to h.
func (l *Linear) AddTo(p *Pass, h, x Tensor) {
	p.LinearTo(h, x, l.W, l.precision(x), device.Epilogue{Bias: l.B, Residual: h})
}

// AddGatedTo adds the result times gate [out] to h.
func (l *Linear) AddGatedTo(p *Pass, h, x, gate Tensor) {
	p.LinearTo(h, x, l.W, l.precision(x), device.Epilogue{Bias: l.B, Gate: gate, Residual: h})
}

// Activate applies f to the result, which is for layers that follow.
func (l *Linear) Activate(p *Pass, x Tensor, f device.Activation, next ...*Linear) Tensor {
	return p.Linear(x, l.W, l.precision(x), device.Epilogue{Bias: l.B, Act: f, Format: takes(p, x, next...)})
}

func (l *Linear) precision(x Tensor) device.Precision {
	if few(x) {
		return l.FewRows
	}
	return l.Prec
}

// few says that x has fewer rows than SDNQ multiplies in int8.
func few(x Tensor) bool {
	c := x.Dim(-1)
	return c > 0 && x.Elements()/c < 32
}

// takes is the format in which layers read as many rows as x has, float32 where they do not agree. Few rows are not worth
// making ready.
func takes(p *Pass, x Tensor, layers ...*Linear) device.Format {
	if few(x) || len(layers) == 0 {
		return device.Float32
	}
	f := p.Takes(layers[0].Prec, false)
	for _, l := range layers {
		if p.Takes(l.Prec, false) != f || ofParts(l.W) {
			return device.Float32
		}
	}
	return f
}

// ofParts says that weights rotate activations, or multiply them by something of low rank, before these are quantized.
func ofParts(w device.Weights) bool {
	f, ok := w.(cpu.FactoredWeights)
	return ok && f.Factors().Base != nil
}

// Ready makes x ready once for all layers that read it.
func Ready(p *Pass, x Tensor, layers ...*Linear) Tensor { return p.Cast(x, takes(p, x, layers...)) }

// Conv2D is a convolution over [batch, height, width, channels].
type Conv2D struct {
	W    device.Weights // [out, in*kh*kw]
	B    []float32      // [out] or nil
	Geom device.Conv
	Prec device.Precision
}

// Forward maps [b, h, w, in] to [b, h', w', out].
func (l *Conv2D) Forward(p *Pass, x Tensor) Tensor { return l.With(p, x, device.Epilogue{}) }

// With is Forward with what else is to be done to the results.
func (l *Conv2D) With(p *Pass, x Tensor, e device.Epilogue) Tensor {
	e.Bias = l.B
	return p.Conv2D(x, l.W, l.Geom, l.Prec, e)
}

// Upsampled is Forward of x in twice its height and width, which is never made.
func (l *Conv2D) Upsampled(p *Pass, x Tensor) Tensor {
	g := l.Geom
	g.Double = true
	return p.Conv2D(x, l.W, g, l.Prec, device.Epilogue{Bias: l.B})
}

// GroupNorm normalises groups of channels.
type GroupNorm struct {
	W, B   []float32
	Groups int
	Eps    float32
}

// Forward normalises [b, ..., channels].
func (l *GroupNorm) Forward(p *Pass, x Tensor) Tensor {
	return p.GroupNorm(x, l.Groups, l.Eps, l.W, l.B, false, device.Float32)
}

// SiLU normalises and applies SiLU in the same pass over memory.
func (l *GroupNorm) SiLU(p *Pass, x Tensor) Tensor {
	return p.GroupNorm(x, l.Groups, l.Eps, l.W, l.B, true, device.Float32)
}

// Activate normalises and applies f, for a convolution that follows.
func (l *GroupNorm) Activate(p *Pass, x Tensor, f device.Activation, next *Conv2D) Tensor {
	as := p.Takes(next.Prec, true)
	if ofParts(next.W) {
		as = device.Float32
	}
	if f == device.SiLU {
		return p.GroupNorm(x, l.Groups, l.Eps, l.W, l.B, true, as)
	}
	h := l.Forward(p, x)
	p.ActivateTo(h, f)
	return h
}

// SiLUTo is SiLU in place.
func (l *GroupNorm) SiLUTo(p *Pass, x Tensor) { p.GroupNormTo(x, l.Groups, l.Eps, l.W, l.B, true) }

// LayerNorm normalises rows.
type LayerNorm struct {
	W, B []float32
	Eps  float32
}

// Forward normalises [..., width].
func (l *LayerNorm) Forward(p *Pass, x Tensor) Tensor {
	return p.LayerNorm(x, l.Eps, l.W, l.B, device.Float32)
}

// For is Forward for layers that follow.
func (l *LayerNorm) For(p *Pass, x Tensor, next ...*Linear) Tensor {
	return p.LayerNorm(x, l.Eps, l.W, l.B, takes(p, x, next...))
}

// Modulate normalises x [..., width] and gives it scale and shift [width], for layers that follow.
func Modulate(p *Pass, x Tensor, eps float32, scale, shift Tensor, next ...*Linear) Tensor {
	return p.Modulate(x, eps, scale, shift, takes(p, x, next...))
}

// GEGLU halves the last axis, value * gelu(gate), for a layer that follows.
func GEGLU(p *Pass, x Tensor, next *Linear) Tensor {
	return p.Gated(x, device.GELU, false, takes(p, x, next))
}

// RMSNorm divides rows, or heads of a row, by their root mean square.
type RMSNorm struct {
	W   []float32
	Eps float32
}

// To normalises [..., a multiple of len(W)] in place.
func (l *RMSNorm) To(p *Pass, x Tensor) { p.RMSNormTo(x, l.Eps, l.W) }

// Embedding is a table of rows.
type Embedding struct{ W device.Weights }

// Forward looks ids up: [len(ids), width].
func (l *Embedding) Forward(p *Pass, ids []int) Tensor { return p.Embed(ids, l.W) }

// AttentionPrec is the arithmetic of attention whose queries the layer makes: BF16 unless the layer is exact.
func (l *Linear) AttentionPrec() device.Precision { return min(l.Prec, cpu.BF16) }

// Attention is multi-head attention with its four projections.
type Attention struct {
	Q, K, V, Out *Linear
	Heads        int
	Causal       bool
}

// Forward lets x [b, l, c] attend to context [b, s, d]; self attention passes x itself.
func (a *Attention) Forward(p *Pass, x, context Tensor) (out Tensor) {
	defer p.Scope(&out)()
	return a.Out.Forward(p, a.attend(p, x, context))
}

// AddTo adds the result to h.
func (a *Attention) AddTo(p *Pass, h, x, context Tensor) {
	var none Tensor
	defer p.Scope(&none)()
	a.Out.AddTo(p, h, a.attend(p, x, context))
}

// attend is what Out projects, [b, l, c].
func (a *Attention) attend(p *Pass, x, context Tensor) (h Tensor) {
	defer p.Scope(&h)()
	if x.Is(context) {
		x = Ready(p, x, a.Q, a.K, a.V)
		context = x
	} else {
		x, context = Ready(p, x, a.Q), Ready(p, context, a.K, a.V)
	}
	q, k, v := a.Q.Forward(p, x), a.K.Forward(p, context), a.V.Forward(p, context)
	return p.Attention(q, k, v, device.AttentionSpec{Heads: a.Heads, Causal: a.Causal, Prec: a.Q.AttentionPrec()})
}

// MLP is Linear, activation, Linear.
type MLP struct {
	In, Out *Linear
	Act     device.Activation
}

// Forward maps [..., in] to [..., out].
func (m *MLP) Forward(p *Pass, x Tensor) (out Tensor) {
	defer p.Scope(&out)()
	return m.Out.Forward(p, m.In.Activate(p, x, m.Act, m.Out))
}

// AddGatedTo adds the result times gate [out] to h.
func (m *MLP) AddGatedTo(p *Pass, h, x, gate Tensor) {
	var none Tensor
	defer p.Scope(&none)()
	m.Out.AddGatedTo(p, h, m.In.Activate(p, x, m.Act, m.Out), gate)
}

// Precisions a weight may ask for.
const (
	exact = cpu.Exact
	bf16  = cpu.BF16
	int8x = cpu.Int8
)
