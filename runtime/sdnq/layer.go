package sdnq

import (
	"fmt"
	"math"
	"slices"

	"graphrun/runtime/weights"
)

// Layer reads the quantized weight of the module name: <name>.weight and its companions (5.3). dense is the shape that
// the module declares: [O, I], [O, C, k...], or [I, O, k...] for a transposed convolution. The config says the dtype;
// the stored shapes say the layout (5.4), so that files of all versions load. Errors name the tensor, need and have.
func Layer(s *weights.Store, name string, cfg *Config, dense []int) (*Matrix, error) {
	kind := Linear
	if len(dense) > 2 {
		kind = Conv
	}
	return (&reader{store: s, name: name, kind: kind, dense: dense}).find(cfg)
}

// TransposedConv is Layer for a transposed convolution, where the shapes alone do not tell it from another one: a codebook of
// [64, 64, k...] may belong to either.
func TransposedConv(s *weights.Store, name string, cfg *Config, dense []int) (*Matrix, error) {
	return (&reader{store: s, name: name, kind: ConvTranspose, dense: dense}).find(cfg)
}

// sane says whether a module's shape can be that of a weight.
func sane(dense []int) bool {
	n := 1
	for _, s := range dense {
		if s < 1 || n > math.MaxInt32*64/s {
			return false
		}
		n *= s
	}
	return len(dense) >= 2
}

// reader puts one layer's tensors together.
type reader struct {
	store *weights.Store
	name  string
	kind  Kind
	dense []int
	o     *layerOptions
}

func (r *reader) bad(suffix, need, have string) error {
	file := "checkpoint"
	if f := r.store.Files(); len(f) > 0 {
		file = f[0]
	}
	return &weights.Error{File: file, Tensor: r.name + "." + suffix, Need: need, Have: have, Remedy: "take config.json and weights from the same download"}
}

func (r *reader) lookup(suffix string) (weights.Tensor, bool) {
	return r.store.Lookup(r.name + "." + suffix)
}

// find reads the layer with what the config says of it.
func (r *reader) find(cfg *Config) (*Matrix, error) {
	if !sane(r.dense) {
		return nil, r.bad("weight", "a module's shape of two or more axes that fits in memory", fmt.Sprint(r.dense))
	}
	options, err := cfg.layer(r.name+".weight", r.kind)
	if err != nil {
		return nil, r.bad("weight", "a valid quantization_config", err.Error())
	}
	w, _ := r.lookup("weight")
	if four, _ := integer(4, true); len(r.dense) > 2 && options.format.bits < 4 && w.DType == four.store && len(w.Data) == four.size(product(r.dense)) {
		options.format = four // as releases before 0.1.3 write it (12.3)
	}
	r.o = &options
	return r.read()
}

func (r *reader) read() (*Matrix, error) {
	o, f := r.o, r.o.format
	m := &Matrix{format: f, codebook: o.UseCodebook}
	if f.packed || f.store.Size() == 1 {
		m.table = f.table(o.rule())
		m.mini = f.miniFloat(m.table)
	}
	w, ok := r.lookup("weight")
	if !ok {
		return nil, r.bad("weight", "the layer's codes", "no such tensor")
	}
	count := product(r.dense)
	if w.DType != f.store && !(f.store == weights.I16 && w.DType == weights.U16) || len(w.Data) != f.size(count) || f.bitPacked() && count%blocks[f.bits].codes != 0 {
		return nil, r.bad("weight", fmt.Sprintf("%d bytes of %s (%s of shape %v)", f.size(count), f.store, f.name, r.dense), fmt.Sprintf("%d bytes of %s (shape %v)", len(w.Data), w.DType, w.Shape))
	}
	m.codes, m.store = w.Data, r.store
	_, svd := r.lookup("svd_up")
	p := o.plan(r.dense, r.kind, svd)
	if err := r.scales(m, w, p); err != nil {
		return nil, err
	}
	if svd {
		if err := r.lowRank(m, p.matmul); err != nil {
			return nil, err
		}
	}
	m.hadamard = o.rotation(r.dense[1])
	exempt := matches(o.NotUseMatmul, r.name+".weight")
	m.matmul, m.wanted = o.matmul, p.matmul
	m.requant = o.requant() || m.col != nil
	flips := len(r.dense) == 2 && !exempt && sizesAllow(r.dense) && o.matmul.store != weights.F8E4M3 // 10.4: processors have no product of fp8
	m.allowed = (p.matmul || flips) && o.matmul.computed()
	if m.rank == 0 && m.hadamard.Chunk == 0 {
		return m, nil
	}
	m.base = &Matrix{
		layout: m.layout, format: f, table: m.table, mini: m.mini, codes: m.codes, store: m.store, scale: m.scale, zero: m.zero,
		codebook: m.codebook, matmul: m.matmul, wanted: m.wanted, allowed: m.allowed, requant: m.requant,
	}
	return m, nil
}

// scales reads scales and zero points and finds the layout.
func (r *reader) scales(m *Matrix, w weights.Tensor, p plan) error {
	o, entries := r.o, 1
	if m.codebook {
		if !m.format.integer || !m.format.unsigned || m.format.bits > 16 {
			return r.bad("weight", "an unsigned integer dtype under use_codebook", m.format.name)
		}
		entries = 1 << m.format.bits
	}
	scale, shape, err := r.numbers("scale", "scale_2", "scale_zero_point", o.ScaleDType)
	if err != nil {
		return err
	}
	if shape == nil {
		shape = r.shapeOf(len(scale), entries)
	}
	k := product(r.dense[1:])
	byKN := !m.codebook && slices.Equal(w.Shape, []int{k, r.dense[0]}) && (k != r.dense[0] || p.transposed)
	l, ok := resolve(r.kind, r.dense, shape, entries, byKN)
	if !ok {
		return r.bad("scale", fmt.Sprintf("a shape that fits a weight of shape %v", r.dense), fmt.Sprint(shape))
	}
	m.layout, m.scale = l, scale
	if err := r.sound(m, "scale", scale); err != nil || !m.format.unsigned || m.codebook {
		return err
	}
	dtype := o.ZeroPointDType
	if dtype == nil {
		dtype = o.ScaleDType
	}
	zero, _, err := r.numbers("zero_point", "zero_point_scale", "zero_point_2", dtype)
	if err != nil {
		return err
	}
	if len(zero) != len(scale) {
		return r.bad("zero_point", fmt.Sprintf("%d values, as scale has", len(scale)), fmt.Sprint(len(zero)))
	}
	m.zero = zero
	return r.sound(m, "zero_point", zero)
}

// sound refuses numbers that no quantizer writes: scales and zero points that are not finite, and scales of zero whose codes say
// that there was something to be scaled. (Scales that are quantized themselves may be rounded to zero.)
func (r *reader) sound(m *Matrix, name string, v []float32) error {
	none := false
	for i, x := range v {
		if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
			return r.bad(name, "finite numbers", fmt.Sprintf("%v as number %d of %d", x, i+1, len(v)))
		}
		none = none || x == 0
	}
	if _, double := r.lookup("scale_2"); name != "scale" || !none || double || m.codebook {
		return nil
	}
	// What lies under scales of zero, as it would be with 1.
	under := &Matrix{layout: m.layout, format: m.format, table: m.table, mini: m.mini, codes: m.codes, store: m.store, scale: make([]float32, len(v))}
	for i, x := range v {
		if x == 0 {
			under.scale[i] = 1
		}
	}
	if slices.ContainsFunc(under.Dequantize(), func(x float32) bool { return x != 0 }) {
		return r.bad(name, "scales above zero for codes that are not", "zero")
	}
	return nil
}

// numbers reads a tensor of scales, which may be quantized itself (section 9): codes*factor + offset, or a table by
// codes. Its shape is nil where packing has lost it.
func (r *reader) numbers(name, factor, offset string, dtype *string) ([]float32, []int, error) {
	t, ok := r.lookup(name)
	if !ok {
		return nil, nil, r.bad(name, "the layer's "+name, "no such tensor")
	}
	f2, double := r.lookup(factor)
	if !double {
		v, err := t.Float32()
		if err != nil {
			return nil, nil, r.bad(name, "numbers", t.DType.String())
		}
		return v, t.Shape, nil
	}
	if !dtypeSet(dtype) {
		return nil, nil, r.bad(factor, "a scale_dtype in the config", "none")
	}
	f, err := parseFormat(*dtype)
	if err != nil {
		return nil, nil, r.bad(name, "a known dtype", *dtype)
	}
	if t.DType != f.store {
		return nil, nil, r.bad(name, fmt.Sprintf("%s (%s)", f.store, f.name), t.DType.String())
	}
	if r.o.UseCodebookScale && !(f.integer && f.unsigned) {
		return nil, nil, r.bad(name, "an unsigned integer dtype under use_codebook_scale", f.name)
	}
	factors, err := f2.Float32()
	if err != nil || len(factors) == 0 || r.o.UseCodebookScale && len(factors) < 1<<f.bits {
		return nil, nil, r.bad(factor, "a factor, or a table for every code", fmt.Sprintf("%s of shape %v", f2.DType, f2.Shape))
	}
	n, shape, table := t.Elements(), t.Shape, []float32(nil)
	if f.packed {
		table = f.table(subnormals)
	}
	if f.bitPacked() {
		b := &blocks[f.bits]
		n, shape = len(t.Data)/(b.words*b.size)*b.codes, nil
	}
	v := make([]float32, n)
	f.decode(v, t.Data, 0, table)
	var zero []float32
	if z, ok := r.lookup(offset); ok {
		if zero, err = z.Float32(); err != nil || len(zero) == 0 {
			return nil, nil, r.bad(offset, "one number", fmt.Sprintf("%s of shape %v", z.DType, z.Shape))
		}
	}
	for i := range v {
		if r.o.UseCodebookScale {
			v[i] = factors[int(v[i])]
			continue
		}
		v[i] *= factors[0]
		if zero != nil {
			v[i] += zero[0]
		}
	}
	return v, shape, nil
}

// shapeOf is the shape of n scales whose own shape is lost: for each output (and kernel position) as many groups as fit.
func (r *reader) shapeOf(n, entries int) []int {
	rows, kernel := r.dense[0], r.dense[2:]
	per := n / (rows * entries * product(kernel))
	switch {
	case n == entries:
		return []int{n}
	case r.kind == ConvTranspose && n == entries*product(r.dense[1:]):
		return append([]int{entries}, r.dense[1:]...)
	case r.kind == ConvTranspose:
		return append([]int{rows, entries, per}, kernel...)
	case per == 1:
		return append([]int{rows, entries}, kernel...)
	}
	return append([]int{rows, per, entries}, kernel...)
}

// lowRank reads svd_up and svd_down in either orientation (section 7).
func (r *reader) lowRank(m *Matrix, transposed bool) error {
	up, _ := r.lookup("svd_up")
	down, ok := r.lookup("svd_down")
	if !ok || len(up.Shape) != 2 || len(down.Shape) != 2 {
		return r.bad("svd_down", "a matrix beside svd_up", fmt.Sprintf("shapes %v and %v", up.Shape, down.Shape))
	}
	u, err := up.Float32()
	if err != nil {
		return err
	}
	d, err := down.Float32()
	if err != nil {
		return err
	}
	natural := up.Shape[0] == m.n && down.Shape[1] == m.k && up.Shape[1] == down.Shape[0]
	turned := up.Shape[1] == m.n && down.Shape[0] == m.k && up.Shape[0] == down.Shape[1]
	switch {
	case natural && !(turned && transposed):
		m.rank, m.up, m.down = up.Shape[1], u, d
	case turned:
		m.rank = up.Shape[0]
		m.up, m.down = transpose(u, m.rank, m.n), transpose(d, m.k, m.rank)
	default:
		return r.bad("svd_up", fmt.Sprintf("[%d, rank] and svd_down [rank, %d], or both transposed", m.n, m.k), fmt.Sprintf("%v and %v", up.Shape, down.Shape))
	}
	return nil
}

// transpose turns [a, b] into [b, a].
func transpose(v []float32, a, b int) []float32 {
	out := make([]float32, len(v))
	for i := range a {
		for j := range b {
			out[j*a+i] = v[i*b+j]
		}
	}
	return out
}
