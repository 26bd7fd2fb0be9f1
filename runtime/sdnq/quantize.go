package sdnq

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

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
	NoMatMul      bool    `json:",omitempty"` // SDNQ cannot multiply what dynamic quantization chose without dequantizing
	Before, After int64   // bytes
	loss          float64 // mean square of the error, relative to the weight's variance
}

// Quantize makes the tensors of one quantized weight as cfg says for it (11): <module>.weight and .scale, and with them
// .zero_point for unsigned dtypes, .svd_up and .svd_down under use_svd. w is float64, float32, float16 or bfloat16 of the kind's
// shape; its data may be mapped. All dtypes are written but those that Python's sdnq cannot use (11.3), whose errors name another.
// Under use_dynamic_quantization the dtype is the first from the config's on that loses little enough (3.4).
// The work is shared by the pool's workers, whose number does not change the result.
func Quantize(ctx context.Context, p *cpu.Pool, w weights.Tensor, kind Kind, cfg *Config) (*Quantized, error) {
	if cfg.DynamicQuantization {
		return quantizeDynamic(ctx, p, w, kind, cfg)
	}
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
	kind     Kind
	module   string
	dense    []int
	tensors  []weights.Tensor // weight, scale, zero_point, svd_up, svd_down; without data
	model    weights.DType    // of the source
	rank     int              // of the low-rank part, 0 for none
	hadamard cpu.Hadamard
}

// newLayerPlan plans the layer of weight w, whose data are not needed.
func newLayerPlan(w weights.Tensor, kind Kind, cfg *Config) (*layerPlan, error) {
	l := &layerPlan{kind: kind, module: strings.TrimSuffix(w.Name, ".weight"), dense: w.Shape, model: w.DType}
	if !sane(w.Shape) || !quantizable(w.DType) {
		return nil, l.bad("a weight of float64, float32, float16 or bfloat16 and of two or more axes", fmt.Sprintf("%s of shape %v", w.DType, w.Shape), "leave the layer out with modules_to_not_convert")
	}
	var err error
	if l.layerOptions, err = cfg.layer(l.module+".weight", kind); err != nil {
		return nil, l.bad("a valid config", err.Error(), "correct the key")
	}
	l.Version = Version // which decides how packed floats are read, and rotations
	n, k := w.Shape[0], product(w.Shape[1:])
	if l.UseSVD {
		l.rank = min(l.SVDRank, n, k)
	}
	l.hadamard = l.rotation(w.Shape[1])
	l.plan = l.layerOptions.plan(w.Shape, kind, l.rank > 0)
	if err := errors.Join(l.writable(), l.usable()); err != nil {
		return nil, err
	}
	codes, scales := l.shapes()
	l.tensors = []weights.Tensor{
		{Name: l.module + ".weight", DType: l.format.store, Shape: codes},
		{Name: l.module + ".scale", DType: l.scaleType(), Shape: scales},
	}
	if l.format.unsigned && !l.UseCodebook {
		l.tensors = append(l.tensors, weights.Tensor{Name: l.module + ".zero_point", DType: l.scaleType(), Shape: scales})
	}
	if l.rank > 0 {
		up, down, t := []int{n, l.rank}, []int{l.rank, k}, l.model
		if l.plan.matmul {
			slices.Reverse(up)
			slices.Reverse(down)
		}
		if t == weights.F64 {
			t = weights.F32
		}
		l.tensors = append(l.tensors, weights.Tensor{Name: l.module + ".svd_up", DType: t, Shape: up}, weights.Tensor{Name: l.module + ".svd_down", DType: t, Shape: down})
	}
	return l, nil
}

func quantizable(t weights.DType) bool {
	return t == weights.F64 || t == weights.F32 || t == weights.F16 || t == weights.BF16
}

func (l *layerPlan) bad(need, have, remedy string) error {
	return &weights.Error{File: "quantize", Tensor: l.module + ".weight", Need: need, Have: have, Remedy: remedy}
}

// writable refuses what the config asks for and no file should have: Python's sdnq 0.2.8 cannot read scales that are quantized
// themselves (9), nor use the dtypes that 11.3 lists.
func (c *Config) writable() error {
	bad := func(need, have, remedy string) error {
		return &weights.Error{File: "quantize", Need: need, Have: have, Remedy: remedy}
	}
	switch {
	case dtypeSet(c.ScaleDType), dtypeSet(c.ZeroPointDType), c.UseCodebookScale:
		return bad("scales that are not quantized themselves", "scale_dtype, zero_point_dtype or use_codebook_scale", "leave them out: sdnq 0.2.8 cannot read what it writes with them")
	case c.GroupSize < -2:
		return bad("a group_size of -2 or more", fmt.Sprint(c.GroupSize), "use 0, which chooses a size for the dtype")
	case c.UseSVD && (c.SVDRank < 1 || c.SVDSteps < 0):
		return bad("a positive svd_rank and svd_steps of 0 or more", fmt.Sprintf("%d and %d", c.SVDRank, c.SVDSteps), "use 32 and 8")
	case c.UseCodebook && c.CodebookSteps < 0:
		return bad("codebook_steps of 0 or more", fmt.Sprint(c.CodebookSteps), "use 24")
	case c.IsTraining:
		return bad("a config of a checkpoint", "is_training", "turn it off: the training format has no files")
	}
	f, err := parseFormat(c.WeightsDType)
	if err != nil {
		return bad("a dtype of SDNQ", c.WeightsDType, "use int8, uint4 or another of its names")
	}
	return f.writable()
}

// writable refuses the dtypes that SDNQ names and cannot use.
func (f *format) writable() error {
	instead := map[string][2]string{
		"int32":          {"its largest code wraps around", "int16"},
		"uint32":         {"its largest code wraps around", "uint16"},
		"float32":        {"its scales are too small for float32, and sdnq overwrites the weights on the first pass", "no quantization at all, or float16"},
		"float8_e8m0fnu": {"it has no sign", "float8_e4m3fn"},
	}
	if why, ok := instead[f.name]; ok {
		return &weights.Error{File: "quantize", Need: "a dtype that works", Have: f.name + ": " + why[0], Remedy: "use " + why[1]}
	}
	return nil
}

// usable refuses what SDNQ 0.2.8 cannot store or run of this layer.
func (l *layerPlan) usable() error {
	f := &l.format
	if err := f.writable(); err != nil {
		return err
	}
	elements := product(l.dense)
	switch {
	case f.bitPacked() && elements%blocks[f.bits].codes != 0:
		return l.bad(fmt.Sprintf("a multiple of %d values for %s", blocks[f.bits].codes, f.name), fmt.Sprint(elements), "leave the layer out with modules_to_not_convert, or choose another dtype")
	case l.UseCodebook && (!f.integer || !f.unsigned || f.bits > 8):
		return l.bad("uint1 to uint8 under use_codebook", f.name, "use uint4, or turn use_codebook off")
	case l.plan.matmul && f.name == "bfloat16":
		return l.bad("another dtype than bfloat16 for the quantized matmul, in which it overflows", f.name, "use float16, or turn use_quantized_matmul off")
	case l.matmulFails():
		return l.bad("no quantized matmul for a convolution in groups or of a dtype of more bits than 8 or packed, which SDNQ cannot run", f.name, "name the layer in modules_to_not_use_matmul")
	case l.kind == Embedding && l.groups == 0:
		return l.bad("more than one scale for an embedding, which SDNQ cannot look up otherwise", "a group_size of -2", "use a group_size of -1")
	case l.kind == ConvTranspose && l.UseCodebook && l.groups == 1 && l.dense[0] == 1<<f.bits:
		return l.bad("another codebook than one as long as a transposed convolution has inputs, which is taken for a convolution's", f.name, "choose another dtype")
	case l.kind == ConvTranspose && l.groups > 1 && l.dense[0] != l.dense[1]:
		return l.bad("one group for a transposed convolution that is not square, which SDNQ cannot read in groups", fmt.Sprintf("%d groups", l.groups), "use a group_size of -1")
	}
	return nil
}

// matmulFails says that SDNQ 0.2.8 could not quantize or run the planned layer with its quantized matmul (10.3).
func (l *layerPlan) matmulFails() bool {
	return l.kind == Conv && l.plan.matmul && (l.plan.requant || l.format.packed)
}

// scaleType is the dtype of scales and zero points (5.3, 6.4).
func (l *layerPlan) scaleType() weights.DType {
	floats := l.plan.matmul && !l.layerOptions.matmul.integer
	if l.DequantizeFP32 || l.format.max > 16384 || floats || l.model != weights.BF16 && l.model != weights.F16 {
		return weights.F32
	}
	return l.model
}

// shapes are those of the stored codes and of the scales (4.2, 5.3).
func (l *layerPlan) shapes() (codes, scales []int) {
	dense, entries := l.dense, 1
	n, c, kernel := dense[0], dense[1], dense[2:]
	if l.UseCodebook {
		entries = 1 << l.format.bits
	}
	switch g := l.groups; {
	case l.transposed:
		codes, scales = []int{product(dense[1:]), n}, []int{1, n}
		if g == 0 {
			scales = []int{1, 1}
		}
	case g == 0 && l.UseCodebook:
		codes, scales = dense, []int{entries}
	case g == 0:
		codes, scales = dense, slices.Repeat([]int{1}, len(dense))
	case l.kind == ConvTranspose && g > 1:
		codes, scales = slices.Concat([]int{n, c / g, g}, kernel), slices.Concat([]int{n, entries, g}, kernel)
	case l.kind == ConvTranspose:
		codes, scales = dense, slices.Concat([]int{entries, c}, kernel)
	case g > 1:
		codes, scales = slices.Concat([]int{n, g, c / g}, kernel), slices.Concat([]int{n, g, entries}, kernel)
	default:
		codes, scales = dense, slices.Concat([]int{n, entries}, kernel)
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

// quantize makes the planned tensors of the weight.
func (l *layerPlan) quantize(ctx context.Context, p *cpu.Pool, w weights.Tensor) (*Quantized, error) {
	m, err := l.maker(ctx, p, w)
	if err != nil {
		return nil, err
	}
	q := &Quantized{LayerReport: l.report()}
	if q.Tensors, err = m.fill(); err != nil {
		return nil, err
	}
	loss, err := m.loss(q.Tensors)
	if err != nil {
		return nil, err
	}
	q.RMS, q.Max, q.loss = loss.rms(), loss.max(), loss.relative()
	return q, nil
}

// report is what is known before the weight is read.
func (l *layerPlan) report() LayerReport {
	r := LayerReport{Module: l.module, DType: l.format.name, GroupSize: -1, Before: int64(product(l.dense) * l.model.Size())}
	axis := l.dense[1]
	if l.kind == ConvTranspose {
		axis = l.dense[0]
	}
	switch {
	case l.groups == 0:
		r.GroupSize = -2
	case l.groups > 1:
		r.GroupSize = axis / l.groups
	}
	for _, t := range l.tensors {
		r.After += int64(t.Elements()) * int64(t.DType.Bits()) / 8
	}
	return r
}
