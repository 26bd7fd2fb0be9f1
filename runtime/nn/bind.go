package nn

import (
	"fmt"
	"slices"
	"strings"

	"graphrun/kernels/cpu"
	"graphrun/runtime/device"
	"graphrun/runtime/sdnq"
	"graphrun/runtime/weights"
)

// Options choose the arithmetic of the layers a Binder makes.
type Options struct {
	// DType forces the operands of products: "" for what the weights are stored in, or "float32", "bfloat16".
	DType string
	// QuantizedMatMul quantizes activations too where SDNQ would: nil follows the checkpoint.
	QuantizedMatMul *bool
	// FastConv quantizes the activations of convolutions with one scale a picture (cpu.Int8Fast) where SDNQ would with one for
	// each row of their im2col matrix.
	FastConv bool
	// Copies bounds int8 codes that are made of other codes and kept; nil: no bound.
	Copies *sdnq.Copies
}

// Binder makes layers from the named tensors of a checkpoint. It checks each shape against what the family's config
// says and collects every missing, misshapen and left-over name, so that one error tells all that is wrong.
type Binder struct {
	prefix string
	*bound
}

type bound struct {
	store  *weights.Store
	config *sdnq.Config // nil for a dense component
	opt    Options
	used   map[string]bool
	bad    []string

	synthetic *synthetic // instead of a store
}

// NewBinder returns a binder over store; config is the component's SDNQ configuration or nil.
func NewBinder(store *weights.Store, config *sdnq.Config, opt Options) *Binder {
	return &Binder{bound: &bound{store: store, config: config, opt: opt, used: map[string]bool{}}}
}

// At returns the binder of a sub-module: names are joined by dots.
func (b *Binder) At(name string) *Binder { return &Binder{prefix: b.Name(name) + ".", bound: b.bound} }

// Name is the full name of a sub-module.
func (b *Binder) Name(name string) string { return b.prefix + name }

// Has reports whether the checkpoint holds a tensor.
func (b *Binder) Has(name string) bool { _, ok := b.store.Lookup(b.Name(name)); return ok }

func (b *Binder) fail(format string, args ...any) {
	b.bad = append(b.bad, fmt.Sprintf(format, args...))
}

// vector returns a small tensor as float32, nil with a note when it is missing or of another size.
func (b *Binder) vector(name string, n int) []float32 {
	if b.synthetic != nil {
		return b.synthetic.vector(b.Name(name), n)
	}
	full := b.Name(name)
	t, ok := b.store.Lookup(full)
	if !ok {
		b.fail("%s: missing", full)
		return nil
	}
	b.used[full] = true
	if t.Elements() != n {
		b.fail("%s: need %d values, have %v", full, n, t.Shape)
		return nil
	}
	v, err := t.Float32()
	if err != nil {
		b.fail("%s: %v", full, err)
	}
	return v
}

// Vector returns a bare parameter of n values.
func (b *Binder) Vector(name string, n int) []float32 { return b.vector(name, n) }

// matrix binds <name>.weight of the dense shape, stored dense or by SDNQ. few is the precision for fewer than 32 rows.
func (b *Binder) matrix(name string, shape ...int) (w device.Weights, prec, few device.Precision) {
	if b.synthetic != nil {
		return b.synthetic.matrix(b.Name(name), shape)
	}
	full := b.Name(name)
	t, ok := b.store.Lookup(full + ".weight")
	if !ok {
		b.fail("%s.weight: missing", full)
		return nil, exact, exact
	}
	b.used[full+".weight"] = true
	if _, quantized := b.store.Lookup(full + ".scale"); quantized {
		return b.quantized(full, shape)
	}
	n, k := shape[0], product(shape[1:])
	if t.Elements() != n*k || len(t.Shape) == 0 || t.Shape[0] != n {
		b.fail("%s.weight: need shape %v, have %v", full, shape, t.Shape)
		return nil, exact, exact
	}
	prec = exact
	switch t.DType {
	case weights.F32:
		w = cpu.NewF32(t.Data, n, k)
	case weights.BF16:
		w, prec = cpu.NewBF16(t.Data, n, k), bf16
	case weights.F16:
		w, prec = cpu.NewF16(t.Data, n, k), bf16
	default:
		if values := t.DType.Values(); values != nil {
			w, prec = cpu.NewF8(t.Data, values, n, k), bf16
			break
		}
		v, err := t.Float32()
		if err != nil {
			b.fail("%s.weight: %v", full, err)
			return nil, exact, exact
		}
		w = cpu.Dense(v, n, k)
	}
	prec = b.forced(prec)
	return w, prec, prec
}

func (b *Binder) quantized(full string, shape []int) (w device.Weights, prec, few device.Precision) {
	for _, s := range []string{"scale", "zero_point", "svd_up", "svd_down", "scale_2", "scale_zero_point", "zero_point_scale", "zero_point_2"} {
		b.used[full+"."+s] = true
	}
	config := b.config
	if config == nil {
		config = sdnq.Guess(b.store, full, shape)
	}
	m, err := sdnq.Layer(b.store, full, config, shape)
	if err != nil {
		b.fail("%v", err)
		return nil, exact, exact
	}
	m.LimitCopies(b.opt.Copies)
	prec = b.forced(exact)
	few = prec
	use := m.QuantizedMatMul()
	if b.opt.QuantizedMatMul != nil {
		use = *b.opt.QuantizedMatMul && m.AllowsQuantizedMatMul()
	}
	if use {
		if prec = m.Precision(); prec == int8x && len(shape) > 2 && b.opt.FastConv {
			prec = cpu.Int8Fast
		}
	}
	return m, prec, few
}

func (b *Binder) forced(p device.Precision) device.Precision {
	switch b.opt.DType {
	case "float32":
		return exact
	case "bfloat16":
		return bf16
	}
	return p
}

// Linear binds a layer with a bias.
func (b *Binder) Linear(name string, in, out int) *Linear {
	l := b.LinearNoBias(name, in, out)
	l.B = b.vector(name+".bias", out)
	return l
}

// LinearNoBias binds a layer without a bias.
func (b *Binder) LinearNoBias(name string, in, out int) *Linear {
	w, prec, few := b.matrix(name, out, in)
	return &Linear{W: w, Prec: prec, FewRows: few}
}

// Conv binds a k x k convolution with a bias and the padding that keeps the size at stride 1.
func (b *Binder) Conv(name string, in, out, k, stride int) *Conv2D {
	w, prec, _ := b.matrix(name, out, in, k, k)
	pad := k / 2
	return &Conv2D{
		W: w, B: b.vector(name+".bias", out), Prec: prec,
		Geom: device.Conv{KH: k, KW: k, StrideH: stride, StrideW: stride, Top: pad, Left: pad, Bottom: pad, Right: pad},
	}
}

// GroupNorm binds scale and shift of c channels.
func (b *Binder) GroupNorm(name string, c, groups int, eps float64) *GroupNorm {
	return &GroupNorm{W: b.vector(name+".weight", c), B: b.vector(name+".bias", c), Groups: groups, Eps: float32(eps)}
}

// LayerNorm binds scale and shift.
func (b *Binder) LayerNorm(name string, c int, eps float64) *LayerNorm {
	return &LayerNorm{W: b.vector(name+".weight", c), B: b.vector(name+".bias", c), Eps: float32(eps)}
}

// RMSNorm binds the scale of c channels.
func (b *Binder) RMSNorm(name string, c int, eps float64) *RMSNorm {
	return &RMSNorm{W: b.vector(name+".weight", c), Eps: float32(eps)}
}

// Embedding binds a table of n rows of c.
func (b *Binder) Embedding(name string, n, c int) *Embedding {
	w, _, _ := b.matrix(name, n, c)
	return &Embedding{W: w}
}

// Ignore marks names that a family knows and does not need, by what they end with.
func (b *Binder) Ignore(suffixes ...string) {
	for _, n := range b.store.Names() {
		for _, s := range suffixes {
			if strings.HasSuffix(n, s) {
				b.used[n] = true
			}
		}
	}
}

// Err reports every missing, misshapen and left-over tensor in one error, nil if there is none.
func (b *Binder) Err() error {
	bad := b.bad
	var over []string
	for _, n := range b.store.Names() {
		if !b.used[n] {
			over = append(over, n)
		}
	}
	if len(over) > 0 {
		bad = append(slices.Clone(bad), fmt.Sprintf("left over: %s", shorten(over, 8)))
	}
	if len(bad) == 0 {
		return nil
	}
	return &BindError{Files: b.store.Files(), Problems: bad}
}

// BindError tells what a checkpoint lacks, has too much of, or has in another shape than its config says.
type BindError struct {
	Files    []string
	Problems []string
}

func (e *BindError) Error() string {
	return fmt.Sprintf("%s: %d tensors do not fit the config: %s (is config.json the one of this checkpoint, and is every shard there?)",
		shorten(e.Files, 2), len(e.Problems), shorten(e.Problems, 8))
}

// Explain takes the error apart.
func (e *BindError) Explain() (what, need, have, hint string) {
	return fmt.Sprintf("%s: %d tensors do not fit the config", shorten(e.Files, 2), len(e.Problems)), "the tensors that config.json describes",
		shorten(e.Problems, 8), "is config.json the one of this checkpoint, and is every shard there?"
}

func shorten(names []string, most int) string {
	if len(names) <= most {
		return strings.Join(names, "; ")
	}
	return fmt.Sprintf("%s; and %d more", strings.Join(names[:most], "; "), len(names)-most)
}

func product(shape []int) int {
	n := 1
	for _, s := range shape {
		n *= s
	}
	return n
}
