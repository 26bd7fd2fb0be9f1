package device

import (
	"fmt"

	"graphrun/kernels/cpu"
)

// Linear multiplies the rows of x [..., inputs] by w: the result is [..., outputs].
func (p *Pass) Linear(x Tensor, w Weights, bias []float32, prec Precision) Tensor {
	n, k := w.Dims()
	if !p.need(x.Dim(-1) == k, "linear", fmt.Sprintf("[..., %d]", k), x) {
		return Tensor{}
	}
	out := p.New(append(append([]int(nil), x.Shape[:len(x.Shape)-1]...), n)...)
	if p.ok() {
		p.dev.MatMul(p.ctx, out, x, w, bias, p.precision(prec))
	}
	return out
}

// LinearTo is Linear into dst, which may be a part of a larger tensor and must share no values with x.
func (p *Pass) LinearTo(dst, x Tensor, w Weights, bias []float32, prec Precision) {
	n, k := w.Dims()
	if p.need(x.Dim(-1) == k && dst.Dim(-1) == n && dst.rows() == x.rows() && !dst.overlaps(x), "linear",
		fmt.Sprintf("[..., %d] into as many rows of [..., %d] elsewhere", k, n), x, dst) {
		p.dev.MatMul(p.ctx, dst, x, w, bias, p.precision(prec))
	}
}

// Conv2D convolves x [batch, height, width, channels] by w, whose columns are (channel, ky, kx) as checkpoints store them.
func (p *Pass) Conv2D(x Tensor, w Weights, c Conv, bias []float32, prec Precision) Tensor {
	n, k := w.Dims()
	h := (x.Dim(1)+c.Top+c.Bottom-c.KH)/c.StrideH + 1
	wd := (x.Dim(2)+c.Left+c.Right-c.KW)/c.StrideW + 1
	if !p.need(len(x.Shape) == 4 && x.Dim(3)*c.KH*c.KW == k && x.Dim(1)+c.Top+c.Bottom >= c.KH && x.Dim(2)+c.Left+c.Right >= c.KW, "conv2d",
		fmt.Sprintf("[batch, height, width, %d] of at least %dx%d with its padding", k/(c.KH*c.KW), c.KH, c.KW), x) {
		return Tensor{}
	}
	out := p.New(x.Dim(0), h, wd, n)
	if p.ok() {
		p.dev.Conv2D(p.ctx, out, x, w, c, bias, p.precision(prec))
	}
	return out
}

// Attention returns softmax(q·kᵀ·scale)·v per head. q is [batch, queries, heads*width], k and v [batch, keys, heads*width].
func (p *Pass) Attention(q, k, v Tensor, a AttentionSpec) Tensor {
	if !p.need(len(q.Shape) == 3 && len(k.Shape) == 3 && a.Heads > 0 && q.Dim(2)%a.Heads == 0 && k.Dim(2) == q.Dim(2) && k.Dim(0) == q.Dim(0) &&
		fmt.Sprint(k.Shape) == fmt.Sprint(v.Shape), "attention", fmt.Sprintf("query [b, l, c], key and value [b, s, c], c a multiple of %d heads", a.Heads), q, k, v) {
		return Tensor{}
	}
	out := p.New(q.Shape...)
	if p.ok() {
		p.dev.Attention(p.ctx, out, q, k, v, a)
	}
	return out
}

// GroupNorm normalises x [batch, ..., channels] over groups of channels, then scales and shifts, then applies SiLU if asked.
func (p *Pass) GroupNorm(x Tensor, groups int, eps float32, w, b []float32, silu bool) Tensor {
	c := x.Dim(-1)
	if !p.need(len(x.Shape) >= 3 && groups > 0 && c%groups == 0 && len(w) == c && len(b) == c, "group norm", fmt.Sprintf("[batch, ..., %d] with channels a multiple of %d groups", len(w), groups), x) {
		return Tensor{}
	}
	out := p.New(x.Shape...)
	if p.ok() {
		p.dev.GroupNorm(p.ctx, out, x, groups, eps, w, b, silu)
	}
	return out
}

// LayerNorm normalises the rows of x; w and b may be nil.
func (p *Pass) LayerNorm(x Tensor, eps float32, w, b []float32) Tensor {
	c := x.Dim(-1)
	if !p.need(c > 0 && (w == nil || len(w) == c) && (b == nil || len(b) == c), "layer norm", fmt.Sprintf("[..., %d]", len(w)), x) {
		return Tensor{}
	}
	out := p.New(x.Shape...)
	if p.ok() {
		p.dev.LayerNorm(p.ctx, out, x, eps, w, b)
	}
	return out
}

// Modulate normalises the rows of x without weights, then scales and shifts them by values of the conditioning
// [channels]: norm(x)*(1+scale) + shift.
func (p *Pass) Modulate(x Tensor, eps float32, scale, shift Tensor) Tensor {
	c := x.Dim(-1)
	if !p.need(c > 0 && scale.Elements() == c && shift.Elements() == c, "modulate", "x [..., channels], scale and shift [channels]", x, scale, shift) {
		return Tensor{}
	}
	out := p.New(x.Shape...)
	if p.ok() {
		p.dev.Modulate(p.ctx, out, x, eps, scale, shift)
	}
	return out
}

// RMSNormTo divides x by its root mean square and multiplies by w, in place and in runs of len(w) values: rows, or heads.
func (p *Pass) RMSNormTo(x Tensor, eps float32, w []float32) {
	if p.need(len(w) > 0 && x.Dim(-1) > 0 && x.Dim(-1)%len(w) == 0, "rms norm", fmt.Sprintf("[..., a multiple of %d]", len(w)), x) {
		p.dev.RMSNorm(p.ctx, x, x, eps, w)
	}
}

// RotaryTo turns the pairs of each head of x [tokens, heads*width] in place, by a table [tokens, 2*width] that has each
// pair's cosine twice, then its sine, first negative.
func (p *Pass) RotaryTo(x, table Tensor) {
	d := table.Dim(1) / 2
	if p.need(len(table.Shape) == 2 && d > 0 && table.Dim(1)%4 == 0 && x.rows() == table.Dim(0) && x.Dim(-1)%d == 0, "rotary embedding",
		"x [tokens, heads*width] and a table [tokens, 2*width] of an even width", x, table) {
		p.dev.Rotary(p.ctx, x, x, table)
	}
}

// ActivateTo applies f to each value in place.
func (p *Pass) ActivateTo(x Tensor, f Activation) {
	if p.need(x.Elements() > 0, "activation", "a tensor with values", x) {
		p.dev.Activate(p.ctx, x, x, f)
	}
}

// Activate applies f to each value.
func (p *Pass) Activate(x Tensor, f Activation) Tensor {
	out := p.New(x.Shape...)
	if p.ok() {
		p.dev.Activate(p.ctx, out, x, f)
	}
	return out
}

// GEGLU halves the last axis: value * gelu(gate), value first.
func (p *Pass) GEGLU(x Tensor) Tensor {
	if !p.need(x.Dim(-1)%2 == 0 && x.Dim(-1) > 0, "geglu", "an even last axis", x) {
		return Tensor{}
	}
	out := p.New(append(append([]int(nil), x.Shape[:len(x.Shape)-1]...), x.Dim(-1)/2)...)
	if p.ok() {
		p.dev.GEGLU(p.ctx, out, x)
	}
	return out
}

// Add returns a + b; the shapes are equal.
func (p *Pass) Add(a, b Tensor) Tensor {
	if !p.need(fmt.Sprint(a.Shape) == fmt.Sprint(b.Shape), "add", "equal shapes", a, b) {
		return Tensor{}
	}
	out := p.New(a.Shape...)
	if p.ok() {
		p.dev.Add(p.ctx, out, a, b)
	}
	return out
}

// AddTo adds b to a in place.
func (p *Pass) AddTo(a, b Tensor) {
	if p.need(fmt.Sprint(a.Shape) == fmt.Sprint(b.Shape), "add", "equal shapes", a, b) {
		p.dev.Add(p.ctx, a, a, b)
	}
}

// AddRowsTo adds rows [batch, channels] to every position of x [batch, ..., channels], in place.
func (p *Pass) AddRowsTo(x, rows Tensor) {
	if p.need(len(rows.Shape) == 2 && rows.Dim(1) == x.Dim(-1) && rows.Dim(0) == x.Dim(0), "add rows", "x [batch, ..., channels] and rows [batch, channels]", x, rows) {
		p.dev.AddRows(p.ctx, x, x, rows)
	}
}

// AddGatedTo adds y times gate [channels] to x in place.
func (p *Pass) AddGatedTo(x, y, gate Tensor) {
	if p.need(x.Dim(-1) > 0 && fmt.Sprint(x.Shape) == fmt.Sprint(y.Shape) && gate.Elements() == x.Dim(-1), "gated add", "equal shapes [..., channels] and a gate [channels]", x, y, gate) {
		p.dev.AddGated(p.ctx, x, x, y, gate)
	}
}

// Upsample repeats the nearest pixel to reach the given size.
func (p *Pass) Upsample(x Tensor, h, w int) Tensor {
	if !p.need(len(x.Shape) == 4, "upsample", "[batch, height, width, channels]", x) {
		return Tensor{}
	}
	out := p.New(x.Dim(0), h, w, x.Dim(3))
	if p.ok() {
		p.dev.Upsample(p.ctx, out, x)
	}
	return out
}

// Concat joins a and b along channels, the last axis.
func (p *Pass) Concat(a, b Tensor) Tensor {
	if !p.need(a.rows() == b.rows() && len(a.Shape) == len(b.Shape) && a.rows() > 0, "concat", "equal shapes but for the last axis", a, b) {
		return Tensor{}
	}
	out := p.New(append(append([]int(nil), a.Shape[:len(a.Shape)-1]...), a.Dim(-1)+b.Dim(-1))...)
	if p.ok() {
		p.dev.Concat(p.ctx, out, a, b)
	}
	return out
}

// Embed looks up rows of w: the result is [len(ids), width].
func (p *Pass) Embed(ids []int, w Weights) Tensor {
	n, k := w.Dims()
	for _, id := range ids {
		if id < 0 || id >= n {
			p.Fail(&ShapeError{Op: "embedding", Need: fmt.Sprintf("token ids below the vocabulary of %d", n), Have: fmt.Sprint(id)})
			return Tensor{}
		}
	}
	out := p.New(len(ids), k)
	if p.ok() {
		p.dev.Embed(p.ctx, out, ids, w)
	}
	return out
}

// Upload copies host values into a tensor. With nchw the values are [b, c, h, w] and the tensor is [b, h, w, c].
func (p *Pass) Upload(values []float32, nchw bool, shape ...int) Tensor {
	if product(shape) != len(values) {
		p.Fail(&ShapeError{Op: "upload", Need: fmt.Sprintf("%d values for %v", product(shape), shape), Have: fmt.Sprint(len(values))})
		return Tensor{}
	}
	if nchw && len(shape) == 4 {
		shape = []int{shape[0], shape[2], shape[3], shape[1]}
	}
	out := p.New(shape...)
	if p.ok() {
		p.dev.Upload(out, values, nchw)
	}
	return out
}

// Download copies a tensor's values to the host; with nchw a [b, h, w, c] tensor arrives as [b, c, h, w].
func (p *Pass) Download(t Tensor, nchw bool) []float32 { return p.DownloadTo(nil, t, nchw) }

// DownloadTo is Download into buf where that is large enough.
func (p *Pass) DownloadTo(buf []float32, t Tensor, nchw bool) []float32 {
	if !p.need(t.Elements() > 0, "download", "a tensor with values", t) {
		return nil
	}
	n := t.Elements()
	if cap(buf) < n {
		buf = make([]float32, n)
	}
	p.dev.Download(buf[:n], t, nchw)
	return buf[:n]
}

// precision lowers what a layer asks for to what the device allows.
func (p *Pass) precision(want Precision) Precision {
	if p.dev.Exact() {
		return cpu.Exact
	}
	return want
}
