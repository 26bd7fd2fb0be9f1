package sdnq

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"graphrun/kernels/cpu"
	"graphrun/runtime/weights"
)

// Quantized is one layer's weight after Quantize.
type Quantized struct {
	LayerReport
	Tensors []weights.Tensor // <module>.weight, .scale and what else the format has; the weight itself if it was left as it is
}

// LayerReport tells what became of a layer's weight.
type LayerReport struct {
	Module        string
	DType         string  // of the codes; empty: left as it is, since no dtype keeps the loss under the threshold
	GroupSize     int     // elements that share a scale along the grouped axis: -1 the whole row, -2 the whole tensor
	RMS           float64 // of the error, relative to the weight's own RMS
	Max           float64 // largest error, relative to the weight's largest absolute value
	Before, After int64   // bytes
}

// Quantize makes the tensors of one quantized weight as cfg says for it: <module>.weight, .scale and, for unsigned dtypes,
// .zero_point. The work is shared by the pool's workers, whose number does not change the result.
func Quantize(ctx context.Context, p *cpu.Pool, w weights.Tensor, kind Kind, cfg *Config) (*Quantized, error) {
	l, err := newLayerPlan(w, kind, cfg)
	if err != nil {
		return nil, err
	}
	return l.quantize(ctx, p, w)
}

// layerPlan is what a layer's quantized tensors will be.
type layerPlan struct {
	layerOptions
	plan
	layout
	module  string
	tensors []weights.Tensor // weight, scale, zero_point; without data
	model   weights.DType    // of the source
	axis    int              // length of the grouped axis
	before  int64            // bytes of the source
}

// newLayerPlan plans the layer of weight w, whose data are not needed.
func newLayerPlan(w weights.Tensor, kind Kind, cfg *Config) (*layerPlan, error) {
	bad := func(need, have string) error {
		return &weights.Error{File: "quantize", Tensor: w.Name, Need: need, Have: have, Remedy: "leave the layer out with modules_to_not_convert, or choose another dtype"}
	}
	l := &layerPlan{module: w.Name, model: w.DType}
	if n := len(w.Name) - len(".weight"); n > 0 && w.Name[n:] == ".weight" {
		l.module = w.Name[:n]
	}
	if !sane(w.Shape) || !w.DType.IsFloat() {
		return nil, bad("floats of two or more axes", fmt.Sprintf("%s of shape %v", w.DType, w.Shape))
	}
	var err error
	if l.layerOptions, err = cfg.layer(l.module+".weight", kind); err != nil {
		return nil, bad("a valid config", err.Error())
	}
	if err := l.writable(); err != nil {
		return nil, err
	}
	f := l.format
	if !f.integer || f.bits > 16 {
		return nil, bad("an integer dtype of up to 16 bits, the ones that graphrun writes", f.name)
	}
	if f.bitPacked() && w.Elements()%blocks[f.bits].codes != 0 {
		return nil, bad(fmt.Sprintf("a multiple of %d values for %s", blocks[f.bits].codes, f.name), fmt.Sprint(w.Elements()))
	}
	l.plan = l.layerOptions.plan(w.Shape, kind, false)
	if l.matmulFails(kind) {
		return nil, bad("no quantized matmul for a convolution in groups or of a packed dtype, which SDNQ cannot run", l.format.name)
	}
	l.axis, l.before = w.Shape[1], int64(w.Elements())*int64(w.DType.Bits())/8
	if kind == ConvTranspose {
		l.axis = w.Shape[0]
	}
	codes, scales := l.shapes(w.Shape, kind)
	l.layout, _ = resolve(w.Shape, scales, 1, l.transposed)
	l.tensors = []weights.Tensor{
		{Name: l.module + ".weight", DType: f.store, Shape: codes},
		{Name: l.module + ".scale", DType: l.scaleType(), Shape: scales},
	}
	if f.unsigned {
		l.tensors = append(l.tensors, weights.Tensor{Name: l.module + ".zero_point", DType: l.scaleType(), Shape: scales})
	}
	return l, nil
}

// writable says what the writer leaves to later versions.
func (c *Config) writable() error {
	for _, option := range []struct {
		name string
		set  bool
	}{
		{"use_svd", c.UseSVD},
		{"use_hadamard", c.UseHadamard},
		{"use_codebook", c.UseCodebook},
		{"scale_dtype", dtypeSet(c.ScaleDType)},
		{"zero_point_dtype", dtypeSet(c.ZeroPointDType)},
		{"use_dynamic_quantization", c.DynamicQuantization},
	} {
		if option.set {
			return &weights.Error{File: "quantize", Need: "options that graphrun writes", Have: option.name, Remedy: "turn " + option.name + " off; graphrun reads it, but does not write it yet"}
		}
	}
	return nil
}

// matmulFails says that SDNQ 0.2.8 could not quantize or run the planned layer with its quantized matmul (10.3).
func (l *layerPlan) matmulFails(kind Kind) bool {
	return kind == Conv && l.plan.matmul && (l.groups > 1 || l.format.packed)
}

// scaleType is the dtype of scales and zero points (5.3, 6.4).
func (l *layerPlan) scaleType() weights.DType {
	if l.DequantizeFP32 || l.format.max > 16384 || l.model != weights.BF16 && l.model != weights.F16 {
		return weights.F32
	}
	return l.model
}

// shapes are those of the stored codes and of the scales (4.2, 5.3).
func (l *layerPlan) shapes(dense []int, kind Kind) (codes, scales []int) {
	n, c, kernel := dense[0], dense[1], dense[2:]
	g := l.groups
	switch {
	case l.transposed:
		codes, scales = []int{product(dense[1:]), n}, []int{1, n}
		if g == 0 {
			scales = []int{1, 1}
		}
	case g == 0:
		codes, scales = dense, slices.Repeat([]int{1}, len(dense))
	case kind == ConvTranspose && g > 1:
		codes, scales = slices.Concat([]int{n, c / g, g}, kernel), slices.Concat([]int{n, 1, g}, kernel)
	case kind == ConvTranspose:
		codes, scales = dense, slices.Concat([]int{1, c}, kernel)
	case g > 1:
		codes, scales = slices.Concat([]int{n, g, c / g}, kernel), slices.Concat([]int{n, g, 1}, kernel)
	default:
		codes, scales = dense, slices.Concat([]int{n, 1}, kernel)
	}
	if l.format.bitPacked() {
		b := &blocks[l.format.bits]
		codes = []int{product(dense) / b.codes}
		if b.words > 1 {
			codes = append(codes, b.words)
		}
	}
	return codes, scales
}

// quantize fills the planned tensors from the weight (11.1).
func (l *layerPlan) quantize(ctx context.Context, p *cpu.Pool, w weights.Tensor) (*Quantized, error) {
	v, err := w.Float32()
	if err != nil {
		return nil, err
	}
	scale, zero := l.ranges(v, product(l.tensors[1].Shape))
	codes := make([]uint16, len(v))
	sum, error2, top, errorTop := 0.0, 0.0, 0.0, 0.0
	for n := range l.n {
		row, at := v[n*l.k:(n+1)*l.k], n/l.rowDiv*l.rowStride
		for k, x := range row {
			s, to := at, n*l.k+k
			if l.col != nil {
				s += int(l.col[k])
			}
			if l.kByN {
				to = k*l.n + n
			}
			if zero != nil {
				x -= zero[s]
			}
			c := code(x/scale[s], float32(l.format.min), float32(l.format.max))
			codes[to] = uint16(int32(c))
			off := math.Abs(float64(x - c*scale[s]))
			sum, error2 = sum+float64(row[k])*float64(row[k]), error2+off*off
			top, errorTop = max(top, math.Abs(float64(row[k]))), max(errorTop, off)
		}
	}
	q := &Quantized{LayerReport: l.report(), Tensors: slices.Clone(l.tensors)}
	q.RMS, q.Max = math.Sqrt(error2/max(sum, math.SmallestNonzeroFloat64)), errorTop/max(top, math.SmallestNonzeroFloat64)
	out := q.Tensors
	out[0].Data = l.store(codes)
	out[1].Data = encode(scale, out[1].DType)
	if zero != nil {
		out[2].Data = encode(zero, out[2].DType)
	}
	return q, nil
}

// report is what is known before the weight is read.
func (l *layerPlan) report() LayerReport {
	r := LayerReport{Module: l.module, DType: l.format.name, GroupSize: -l.groups, Before: l.before}
	switch {
	case l.groups == 0:
		r.GroupSize = -2
	case l.groups > 1:
		r.GroupSize = l.axis / l.groups
	}
	for _, t := range l.tensors {
		r.After += int64(t.Elements()) * int64(t.DType.Bits()) / 8
	}
	return r
}

// ranges are the count scales of the weight v and, for unsigned dtypes, its zero points, rounded as they will be stored.
func (l *layerPlan) ranges(v []float32, count int) (scale, zero []float32) {
	low, high := make([]float32, count), make([]float32, count)
	for i := range low {
		low[i], high[i] = float32(math.Inf(1)), float32(math.Inf(-1))
	}
	for n := range l.n {
		at := n / l.rowDiv * l.rowStride
		for k, x := range v[n*l.k : (n+1)*l.k] {
			s := at
			if l.col != nil {
				s += int(l.col[k])
			}
			low[s], high[s] = min(low[s], x), max(high[s], x)
		}
	}
	top := float32(l.format.max)
	for i := range low {
		if l.format.unsigned {
			high[i] = (high[i] - low[i]) / top
		} else {
			high[i] = max(high[i], -low[i]) / top
		}
	}
	t := l.scaleType()
	round(high, t)
	if !l.format.unsigned {
		return high, nil
	}
	round(low, t)
	return high, low
}

// store lays the codes out as the format's dtype; values of signed packed formats are shifted to start at 0 (4.1).
func (l *layerPlan) store(codes []uint16) []byte {
	f := l.format
	switch {
	case f.bitPacked():
		for i := range codes {
			codes[i] -= uint16(int32(f.min))
		}
		return pack(codes, f.bits)
	case f.bits == 8:
		out := make([]byte, len(codes))
		for i, c := range codes {
			out[i] = byte(c)
		}
		return out
	}
	out := make([]byte, 0, 2*len(codes))
	for _, c := range codes {
		out = binary.LittleEndian.AppendUint16(out, c)
	}
	return out
}

// round rounds values to those of a 16-bit dtype, in place.
func round(v []float32, t weights.DType) {
	for i, x := range v {
		switch t {
		case weights.BF16:
			v[i] = math.Float32frombits(uint32(weights.Float32ToBF16(x)) << 16)
		case weights.F16:
			v[i] = weights.F16ToFloat32(weights.Float32ToF16(x))
		}
	}
}

// encode writes values as F32, BF16 or F16.
func encode(v []float32, t weights.DType) []byte {
	out := make([]byte, 0, len(v)*t.Size())
	for _, x := range v {
		switch t {
		case weights.BF16:
			out = binary.LittleEndian.AppendUint16(out, weights.Float32ToBF16(x))
		case weights.F16:
			out = binary.LittleEndian.AppendUint16(out, weights.Float32ToF16(x))
		default:
			out = binary.LittleEndian.AppendUint32(out, math.Float32bits(x))
		}
	}
	return out
}

// code rounds to the nearest integer, ties to even, within low and high; 0/0 of an all-zero group is 0.
func code(v, low, high float32) float32 {
	if v != v {
		return 0
	}
	return min(max(float32(math.RoundToEven(float64(v))), low), high)
}
