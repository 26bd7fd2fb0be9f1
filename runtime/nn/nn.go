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
func (l *Linear) Forward(p *Pass, x Tensor) Tensor { return p.Linear(x, l.W, l.B, l.precision(x)) }

// To is Forward into dst, a tensor or a part of one.
func (l *Linear) To(p *Pass, dst, x Tensor) { p.LinearTo(dst, x, l.W, l.B, l.precision(x)) }

func (l *Linear) precision(x Tensor) device.Precision {
	if c := x.Dim(-1); c > 0 && x.Elements()/c < 32 {
		return l.FewRows
	}
	return l.Prec
}

// Conv2D is a convolution over [batch, height, width, channels].
type Conv2D struct {
	W    device.Weights // [out, in*kh*kw]
	B    []float32      // [out] or nil
	Geom device.Conv
	Prec device.Precision
}

// Forward maps [b, h, w, in] to [b, h', w', out].
func (l *Conv2D) Forward(p *Pass, x Tensor) Tensor { return p.Conv2D(x, l.W, l.Geom, l.B, l.Prec) }

// GroupNorm normalises groups of channels.
type GroupNorm struct {
	W, B   []float32
	Groups int
	Eps    float32
}

// Forward normalises [b, ..., channels].
func (l *GroupNorm) Forward(p *Pass, x Tensor) Tensor {
	return p.GroupNorm(x, l.Groups, l.Eps, l.W, l.B, false)
}

// SiLU normalises and applies SiLU in the same pass over memory.
func (l *GroupNorm) SiLU(p *Pass, x Tensor) Tensor {
	return p.GroupNorm(x, l.Groups, l.Eps, l.W, l.B, true)
}

// Activate normalises and applies f.
func (l *GroupNorm) Activate(p *Pass, x Tensor, f device.Activation) Tensor {
	if f == device.SiLU {
		return l.SiLU(p, x)
	}
	h := l.Forward(p, x)
	p.Into(&h, p.Activate(h, f))
	return h
}

// LayerNorm normalises rows.
type LayerNorm struct {
	W, B []float32
	Eps  float32
}

// Forward normalises [..., width].
func (l *LayerNorm) Forward(p *Pass, x Tensor) Tensor { return p.LayerNorm(x, l.Eps, l.W, l.B) }

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

// Attention is multi-head attention with its four projections.
type Attention struct {
	Q, K, V, Out *Linear
	Heads        int
	Causal       bool
}

// Forward lets x [b, l, c] attend to context [b, s, d]; self attention passes x itself.
func (a *Attention) Forward(p *Pass, x, context Tensor) (out Tensor) {
	defer p.Scope(&out)()
	q, k, v := a.Q.Forward(p, x), a.K.Forward(p, context), a.V.Forward(p, context)
	h := p.Attention(q, k, v, device.AttentionSpec{Heads: a.Heads, Causal: a.Causal})
	return a.Out.Forward(p, h)
}

// MLP is Linear, activation, Linear.
type MLP struct {
	In, Out *Linear
	Act     device.Activation
}

// Forward maps [..., in] to [..., out].
func (m *MLP) Forward(p *Pass, x Tensor) (out Tensor) {
	defer p.Scope(&out)()
	h := m.In.Forward(p, x)
	p.ActivateTo(h, m.Act)
	return m.Out.Forward(p, h)
}

// Precisions a weight may ask for.
const (
	exact = cpu.Exact
	bf16  = cpu.BF16
	int8x = cpu.Int8
)
