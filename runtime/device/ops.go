package device

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"graphrun/kernels/cpu"
)

// Linear multiplies the rows of x [..., inputs] by w: the result is [..., outputs].
func (p *Pass) Linear(x Tensor, w Weights, prec Precision, e Epilogue) Tensor {
	n, k := dims(w)
	if !p.needAny(n > 0 && x.Dim(-1) == k && fits(e.Bias, n) && e.Format < Int8Images, "linear", linearNeeds(n, k, e), x) || !p.finishes("linear", x.widths(n), e, Tensor{}) {
		return Tensor{}
	}
	out := p.resultIn(e.Format, "linear", x.widths(n)...)
	if p.ok() {
		p.dev.MatMul(p.ctx, out, x, w, p.precision(prec), e)
	}
	return out
}

// LinearTo is Linear into dst, which may be a part of a larger tensor and must share no values with x.
func (p *Pass) LinearTo(dst, x Tensor, w Weights, prec Precision, e Epilogue) {
	n, k := dims(w)
	if p.needAny(n > 0 && x.Dim(-1) == k && dst.Dim(-1) == n && dst.rows() == x.rows() && !dst.overlaps(x) && fits(e.Bias, n) && e.Format == Float32, "linear",
		linearNeeds(n, k, e)+", into as many rows elsewhere", x, dst) && p.need(true, "linear", "", dst) && p.finishes("linear", dst.Shape, e, dst) {
		p.dev.MatMul(p.ctx, dst, x, w, p.precision(prec), e)
	}
}

func linearNeeds(n, k int, e Epilogue) string {
	return fmt.Sprintf("[..., %d] for weights [%d, %d] and a bias of %d or none (have %d)", k, n, k, n, len(e.Bias))
}

// finishes checks an epilogue of results of a shape, in dst if that is given.
func (p *Pass) finishes(op string, shape []int, e Epilogue, dst Tensor) bool {
	n := shape[len(shape)-1]
	if e.Act > QuickGELU {
		return p.need(false, op, activationNeeds(e.Act))
	}
	if e.Each.block != nil && !p.need(len(e.Each.Shape) == 2 && e.Each.Dim(1) == n && e.Each.Dim(0) == shape[0] && !e.Each.overlaps(dst), op,
		fmt.Sprintf("a bias [%d, %d] for each entry of the batch, elsewhere", shape[0], n), e.Each) {
		return false
	}
	if e.Gate.block != nil && !p.need(e.Gate.Elements() == n && !e.Gate.overlaps(dst), op, fmt.Sprintf("a gate [%d], elsewhere", n), e.Gate) {
		return false
	}
	return e.Residual.block == nil || p.need(slices.Equal(e.Residual.Shape, shape) && dst.apart(e.Residual), op,
		fmt.Sprintf("a residual of the result's shape %v, that result itself or elsewhere", shape), e.Residual)
}

// Cast stores x in another format; in the one that it has, it is x itself.
func (p *Pass) Cast(x Tensor, f Format) Tensor {
	if x.Format == f && x.block != nil {
		return x
	}
	if !p.needAny(f <= Int8Images && len(x.Shape) >= 2, "cast", "[..., channels] of at least two axes, and a format that there is", x) {
		return Tensor{}
	}
	out := p.resultIn(f, "cast", x.Shape...)
	if p.ok() {
		p.dev.Cast(p.ctx, out, x)
	}
	return out
}

// Takes is the format of activations that products in that precision read without making them ready first.
func (p *Pass) Takes(prec Precision, conv bool) Format { return p.dev.Takes(prec, conv) }

// dims are those of weights, 0 if there are none.
func dims(w Weights) (n, k int) {
	if w == nil {
		return 0, 0
	}
	return w.Dims()
}

// fits says that v is one value for each of n channels, or absent.
func fits(v []float32, n int) bool { return v == nil || len(v) == n }

// maxKernel bounds sizes, strides and paddings of convolutions: sums of them do not overflow.
const maxKernel = 1 << 20

// Conv2D convolves x [batch, height, width, channels] by w, whose columns are (channel, ky, kx) as checkpoints store them.
func (p *Pass) Conv2D(x Tensor, w Weights, c Conv, prec Precision, e Epilogue) Tensor {
	if !p.convolves("conv2d", x, w, c, e) {
		return Tensor{}
	}
	n, _ := dims(w)
	h, wd := c.Out(x.Dim(1), x.Dim(2))
	return p.conv("conv2d", []int{x.Dim(0), h, wd, n}, x, w, c, prec, e)
}

// Conv3D convolves x [batch, time, height, width, channels] by w, whose columns are (channel, kt, ky, kx).
func (p *Pass) Conv3D(x Tensor, w Weights, c Conv, prec Precision, e Epilogue) Tensor {
	if !p.convolves("conv3d", x, w, c, e) {
		return Tensor{}
	}
	n, _ := dims(w)
	h, wd := c.Out(x.Dim(2), x.Dim(3))
	return p.conv("conv3d", []int{x.Dim(0), c.Frames(x.Dim(1)), h, wd, n}, x, w, c, prec, e)
}

// convolves checks the operands of a convolution.
func (p *Pass) convolves(op string, x Tensor, w Weights, c Conv, e Epilogue) bool {
	n, k := dims(w)
	sane := min(c.KH, c.KW, c.StrideH, c.StrideW) > 0 && min(c.Top, c.Left, c.Bottom, c.Right, c.KT, c.StrideT, c.Front, c.Back) >= 0 &&
		max(c.KH, c.KW, c.StrideH, c.StrideW, c.Top, c.Left, c.Bottom, c.Right) <= maxKernel && max(c.KT, c.StrideT, c.Front, c.Back) <= maxKernel &&
		max(1, c.KT)*c.KH <= maxKernel && c.KH*c.KW <= maxKernel
	axes, frames, scale := "[batch, height, width, channels]", 1, 1
	if op == "conv3d" {
		axes, frames = "[batch, time, height, width, channels]", x.Dim(1)
	}
	if c.Double {
		scale = 2
	}
	fitting := sane && len(x.Shape) == strings.Count(axes, ",")+1 && k%c.Taps() == 0 && x.Dim(-1) == k/c.Taps() && e.Format == Float32 &&
		scale*x.Dim(-3)+c.Top+c.Bottom >= c.KH && scale*x.Dim(-2)+c.Left+c.Right >= c.KW && frames+c.Front+c.Back >= max(1, c.KT)
	return p.needAny(fitting && n > 0 && fits(e.Bias, n), op,
		fmt.Sprintf("%s, with its padding not smaller than the kernel, for weights [%d, %d] and a bias of %d or none (have %d) and %+v", axes, n, k, n, len(e.Bias), c), x)
}

func (p *Pass) conv(op string, shape []int, x Tensor, w Weights, c Conv, prec Precision, e Epilogue) Tensor {
	if !p.finishes(op, shape, e, Tensor{}) {
		return Tensor{}
	}
	out := p.result(op, shape...)
	if p.ok() {
		p.dev.Conv(p.ctx, out, x, w, c, p.precision(prec), e)
	}
	return out
}

// Attention returns softmax(q·kᵀ·scale + mask)·v per head. q is [batch, queries, heads*width], k and v [batch, keys,
// kvHeads*width].
func (p *Pass) Attention(q, k, v Tensor, a AttentionSpec) Tensor {
	have := []Tensor{q, k, v}
	if a.Mask != nil {
		have = append(have, *a.Mask)
	}
	fits := len(q.Shape) == 3 && len(k.Shape) == 3 && k.Dim(0) == q.Dim(0) && slices.Equal(k.Shape, v.Shape) &&
		a.Heads > 0 && a.kv() > 0 && a.Heads%a.kv() == 0 && q.Dim(2)%a.Heads == 0 && k.Dim(2) == q.Dim(2)/a.Heads*a.kv() &&
		(a.Mask == nil || slices.Equal(a.Mask.Shape, []int{q.Dim(1), k.Dim(1)}))
	if !p.need(fits, "attention", fmt.Sprintf("query [b, l, c], c a multiple of %d heads, key and value [b, s, c/%d*%d], the heads a multiple of "+
		"those %d, and a mask [l, s] or none", a.Heads, a.Heads, a.kv(), a.kv()), have...) {
		return Tensor{}
	}
	out := p.result("attention", q.Shape...)
	if p.ok() {
		a.Prec = p.precision(a.Prec)
		p.dev.Attention(p.ctx, out, q, k, v, a)
	}
	return out
}

// GroupNorm normalises x [batch, ..., channels] over groups of channels, then scales and shifts, then applies SiLU if asked.
// The result is in format f.
func (p *Pass) GroupNorm(x Tensor, groups int, eps float32, w, b []float32, silu bool, f Format) Tensor {
	if !p.groupNorm(x, groups, w, b, f) {
		return Tensor{}
	}
	out := p.resultIn(f, "group norm", x.Shape...)
	if p.ok() {
		p.dev.GroupNorm(p.ctx, out, x, groups, eps, w, b, silu)
	}
	return out
}

// GroupNormTo is GroupNorm in place.
func (p *Pass) GroupNormTo(x Tensor, groups int, eps float32, w, b []float32, silu bool) {
	if p.groupNorm(x, groups, w, b, Float32) {
		p.dev.GroupNorm(p.ctx, x, x, groups, eps, w, b, silu)
	}
}

func (p *Pass) groupNorm(x Tensor, groups int, w, b []float32, f Format) bool {
	c := x.Dim(-1)
	return p.need(len(x.Shape) >= 3 && groups > 0 && c%groups == 0 && len(w) == c && len(b) == c && f <= Int8Images, "group norm",
		fmt.Sprintf("[batch, ..., channels] with channels a multiple of %d groups and as many weights (%d) and biases (%d)", groups, len(w), len(b)), x)
}

// LayerNorm normalises the rows of x; w and b may be nil. The result is in format f.
func (p *Pass) LayerNorm(x Tensor, eps float32, w, b []float32, f Format) Tensor {
	c := x.Dim(-1)
	if !p.need(fits(w, c) && fits(b, c) && f < Int8Images, "layer norm", fmt.Sprintf("[..., channels] with as many weights (%d) and biases (%d), or none", len(w), len(b)), x) {
		return Tensor{}
	}
	out := p.resultIn(f, "layer norm", x.Shape...)
	if p.ok() {
		p.dev.LayerNorm(p.ctx, out, x, eps, w, b)
	}
	return out
}

// Modulate normalises the rows of x without weights, then scales and shifts them by values of the conditioning
// [channels]: norm(x)*(1+scale) + shift. The result is in format f.
func (p *Pass) Modulate(x Tensor, eps float32, scale, shift Tensor, f Format) Tensor {
	c := x.Dim(-1)
	if !p.need(scale.Elements() == c && shift.Elements() == c && f < Int8Images, "modulate", "x [..., channels], scale and shift [channels]", x, scale, shift) {
		return Tensor{}
	}
	out := p.resultIn(f, "modulate", x.Shape...)
	if p.ok() {
		p.dev.Modulate(p.ctx, out, x, eps, scale, shift)
	}
	return out
}

// RMSNormTo divides x by its root mean square and multiplies by w, in place and in runs of len(w) values: rows, or heads.
func (p *Pass) RMSNormTo(x Tensor, eps float32, w []float32) {
	if p.need(len(w) > 0 && x.Dim(-1)%len(w) == 0, "rms norm", fmt.Sprintf("[..., a multiple of %d]", len(w)), x) {
		p.dev.RMSNorm(p.ctx, x, x, eps, w)
	}
}

// RotaryTo turns the pairs of each head of x [tokens, heads*width] in place, by a table [tokens, 2*width] that has each
// pair's cosine twice, then its sine, first negative.
func (p *Pass) RotaryTo(x, table Tensor) {
	d := table.Dim(1) / 2
	if p.need(len(table.Shape) == 2 && d > 0 && table.Dim(1)%4 == 0 && x.rows() == table.Dim(0) && x.Dim(-1)%d == 0 && !x.overlaps(table), "rotary embedding",
		"x [tokens, heads*width] and, elsewhere, a table [tokens, 2*width] of an even width", x, table) {
		p.dev.Rotary(p.ctx, x, x, table)
	}
}

// ActivateTo applies f to each value in place.
func (p *Pass) ActivateTo(x Tensor, f Activation) {
	if p.need(f <= QuickGELU, "activation", activationNeeds(f), x) {
		p.dev.Activate(p.ctx, x, x, f)
	}
}

// Activate applies f to each value.
func (p *Pass) Activate(x Tensor, f Activation) Tensor {
	if !p.need(f <= QuickGELU, "activation", activationNeeds(f), x) {
		return Tensor{}
	}
	out := p.result("activation", x.Shape...)
	if p.ok() {
		p.dev.Activate(p.ctx, out, x, f)
	}
	return out
}

func activationNeeds(f Activation) string {
	return fmt.Sprintf("a tensor and a function up to %d, not %d", QuickGELU, f)
}

// Gated halves the last axis: value * f(gate). Values come first (GEGLU, the SwiGLU of diffusers), or gates (the SwiGLU of
// language models, whose gate and up projections are one). The result is in format as.
func (p *Pass) Gated(x Tensor, f Activation, gateFirst bool, as Format) Tensor {
	if !p.need(x.Dim(-1)%2 == 0 && f <= QuickGELU && as < Int8Images, "gated activation", fmt.Sprintf("an even last axis and a function up to %d, not %d", QuickGELU, f), x) {
		return Tensor{}
	}
	out := p.resultIn(as, "gated activation", x.widths(x.Dim(-1)/2)...)
	if p.ok() {
		p.dev.Gated(p.ctx, out, x, f, gateFirst)
	}
	return out
}

// Affine returns x*a + b.
func (p *Pass) Affine(x Tensor, a, b float32) Tensor {
	if !p.need(true, "affine", "a tensor", x) {
		return Tensor{}
	}
	out := p.result("affine", x.Shape...)
	if p.ok() {
		p.dev.Affine(p.ctx, out, x, a, b)
	}
	return out
}

// Softmax is over the last axis.
func (p *Pass) Softmax(x Tensor) Tensor {
	if !p.need(true, "softmax", "a tensor", x) {
		return Tensor{}
	}
	out := p.result("softmax", x.Shape...)
	if p.ok() {
		p.dev.Softmax(p.ctx, out, x)
	}
	return out
}

// Add returns a + b; the shapes are equal.
func (p *Pass) Add(a, b Tensor) Tensor {
	if !p.need(slices.Equal(a.Shape, b.Shape), "add", "equal shapes", a, b) {
		return Tensor{}
	}
	out := p.result("add", a.Shape...)
	if p.ok() {
		p.dev.Add(p.ctx, out, a, b)
	}
	return out
}

// AddTo adds b to a in place.
func (p *Pass) AddTo(a, b Tensor) {
	if p.need(slices.Equal(a.Shape, b.Shape) && a.apart(b), "add", "equal shapes, in memory that is the same or apart", a, b) {
		p.dev.Add(p.ctx, a, a, b)
	}
}

// AddRowsTo adds rows [batch, channels] to every position of x [batch, ..., channels], in place.
func (p *Pass) AddRowsTo(x, rows Tensor) {
	if p.need(len(x.Shape) >= 2 && len(rows.Shape) == 2 && rows.Dim(1) == x.Dim(-1) && rows.Dim(0) == x.Dim(0) && !x.overlaps(rows), "add rows",
		"x [batch, ..., channels] and rows [batch, channels] elsewhere", x, rows) {
		p.dev.AddRows(p.ctx, x, x, rows)
	}
}

// AddGatedTo adds y times gate [channels] to x in place.
func (p *Pass) AddGatedTo(x, y, gate Tensor) {
	if p.need(slices.Equal(x.Shape, y.Shape) && gate.Elements() == x.Dim(-1) && x.apart(y) && !x.overlaps(gate), "gated add",
		"equal shapes [..., channels], in memory that is the same or apart, and a gate [channels] elsewhere", x, y, gate) {
		p.dev.AddGated(p.ctx, x, x, y, gate)
	}
}

// Resize brings pictures x [batch, height, width, channels] to the given size.
func (p *Pass) Resize(x Tensor, h, w int, f Interpolation) Tensor {
	if !p.need(len(x.Shape) == 4 && f <= Lanczos, "resize", fmt.Sprintf("[batch, height, width, channels] and an interpolation up to %d, not %d", Lanczos, f), x) {
		return Tensor{}
	}
	out := p.result("resize", x.Dim(0), h, w, x.Dim(3))
	if p.ok() {
		p.dev.Resize(p.ctx, out, x, f)
	}
	return out
}

// Concat joins a and b along an axis, counted from the end when negative.
func (p *Pass) Concat(a, b Tensor, axis int) Tensor {
	at := a.axis(axis)
	if !p.need(at >= 0 && len(a.Shape) == len(b.Shape) && slices.Equal(a.sized(at, 1), b.sized(at, 1)), "concat", fmt.Sprint("equal shapes but for axis ", axis), a, b) {
		return Tensor{}
	}
	out := p.result("concat", a.sized(at, a.Dim(at)+b.Dim(at))...)
	if p.ok() {
		p.dev.Concat(p.ctx, out, a, b, at)
	}
	return out
}

// Slice copies entries from to to-1 of an axis, counted from the end when negative. Those of the first axis are the view Part.
func (p *Pass) Slice(x Tensor, axis, from, to int) Tensor {
	at := x.axis(axis)
	if !p.need(at >= 0 && 0 <= from && from < to && to <= x.Dim(at), "slice", fmt.Sprintf("an axis %d that has entries %d to %d", axis, from, to), x) {
		return Tensor{}
	}
	out := p.result("slice", x.sized(at, to-from)...)
	if p.ok() {
		p.dev.Slice(p.ctx, out, x, at, from)
	}
	return out
}

// Transpose changes the order of up to cpu.MaxAxes axes: axis i of the result is axis order[i] of x.
func (p *Pass) Transpose(x Tensor, order ...int) Tensor {
	shape := make([]int, len(order))
	seen := len(order) == len(x.Shape) && len(order) <= cpu.MaxAxes
	for i, axis := range order {
		seen = seen && axis >= 0 && axis < len(order) && !slices.Contains(order[:i], axis)
		shape[i] = x.Dim(axis)
	}
	if !p.need(seen, "transpose", fmt.Sprintf("up to %d axes, each of them once in %v", cpu.MaxAxes, order), x) {
		return Tensor{}
	}
	out := p.result("transpose", shape...)
	if p.ok() {
		p.dev.Transpose(p.ctx, out, x, order)
	}
	return out
}

// Embed looks up rows of w: the result is [len(ids), width].
func (p *Pass) Embed(ids []int, w Weights) Tensor {
	n, k := dims(w)
	for _, id := range ids {
		if id < 0 || id >= n {
			p.Fail(&ShapeError{Op: "embedding", Need: fmt.Sprintf("token ids below the vocabulary of %d", n), Have: fmt.Sprint(id)})
			return Tensor{}
		}
	}
	out := p.result("embedding", len(ids), k)
	if p.ok() {
		p.dev.Embed(p.ctx, out, ids, w)
	}
	return out
}

// TimestepEmbedding is [len(t), dim]: for each t its sines, then its cosines, or the other way round, of angles
// t*10000^(-i/(dim/2-shift)), i below dim/2. Configs say flip_sin_to_cos and freq_shift.
func (p *Pass) TimestepEmbedding(t []float32, dim int, cosFirst bool, shift float64) Tensor {
	if !(float64(dim/2) > shift) || math.IsInf(shift, 0) {
		p.Fail(&ShapeError{Op: "timestep embedding", Need: "a width of more than twice the shift", Have: fmt.Sprintf("%d and %g", dim, shift)})
		return Tensor{}
	}
	out := p.result("timestep embedding", len(t), dim)
	if p.ok() {
		p.dev.TimestepEmbedding(p.ctx, out, t, cosFirst, shift)
	}
	return out
}

// Upload copies host values into a tensor. With nchw the values are [b, c, h, w] and the tensor is [b, h, w, c].
func (p *Pass) Upload(values []float32, nchw bool, shape ...int) Tensor {
	if n, ok := count(shape); !ok || n != len(values) {
		p.Fail(&ShapeError{Op: "upload", Need: "a value for each element of a shape of positive sizes", Have: fmt.Sprintf("%d for %v", len(values), shape)})
		return Tensor{}
	}
	if nchw && len(shape) == 4 {
		shape = []int{shape[0], shape[2], shape[3], shape[1]}
	}
	out := p.result("upload", shape...)
	if p.ok() {
		p.dev.Upload(out, values, nchw)
	}
	return out
}

// Download copies a tensor's values to the host; with nchw a [b, h, w, c] tensor arrives as [b, c, h, w].
func (p *Pass) Download(t Tensor, nchw bool) []float32 { return p.DownloadTo(nil, t, nchw) }

// DownloadTo is Download into buf where that is large enough.
func (p *Pass) DownloadTo(buf []float32, t Tensor, nchw bool) []float32 {
	if !p.need(true, "download", "a tensor with values", t) {
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
