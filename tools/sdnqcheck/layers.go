package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"graphrun/kernels/cpu"
	"graphrun/runtime/sdnq"
	"graphrun/runtime/weights"
)

// test is one config for the tiny model of layers.py.
type test struct {
	Name   string          `json:"name"`
	Group  string          `json:"group"` // what its results are reported under
	DType  string          `json:"dtype"` // of the model
	Config json.RawMessage `json:"config"`
	Ours   json.RawMessage `json:"ours,omitempty"` // the whole config that was written
	Hash   string          `json:"hash"`           // of the tensors
}

// layer is a layer of the tiny model, as in testdata/written.json.
type layer struct {
	Name  string    `json:"name"`
	Kind  sdnq.Kind `json:"kind"`
	Shape []int     `json:"shape"`
	input []int
}

// layers are those of the class Tiny in layers.py.
var layers = []layer{
	{"linear", sdnq.Linear, []int{48, 64}, []int{40, 64}},
	{"wide", sdnq.Linear, []int{32, 320}, []int{40, 320}},
	{"linear_odd", sdnq.Linear, []int{40, 48}, []int{40, 48}},
	{"conv1", sdnq.Conv, []int{32, 32, 3}, []int{2, 32, 40}},
	{"conv", sdnq.Conv, []int{48, 64, 3, 3}, []int{1, 64, 9, 9}},
	{"conv_point", sdnq.Conv, []int{32, 80, 1, 1}, []int{1, 80, 7, 7}},
	{"conv_groups", sdnq.Conv, []int{32, 32, 3, 3}, []int{1, 64, 9, 9}},
	{"conv3", sdnq.Conv, []int{16, 32, 1, 3, 3}, []int{1, 32, 3, 8, 8}},
	{"up", sdnq.ConvTranspose, []int{32, 32, 2, 2}, []int{1, 32, 6, 6}},
	{"embed_tokens", sdnq.Embedding, []int{80, 64}, []int{9}},
}

// numbers are the same at each call for a name: sums of uniform ones, which runtime/sdnq's TestWritten makes too, and in the first
// row of a weight four times as large.
func numbers(name string, shape ...int) weights.Tensor {
	seed := fnv.New64a()
	_, _ = seed.Write([]byte(name))
	r := rand.New(rand.NewPCG(7, seed.Sum64()))
	v := make([]float32, 1)
	for _, n := range shape {
		v = make([]float32, len(v)*n)
	}
	for i := range v {
		v[i] = (r.Float32() + r.Float32() + r.Float32() + r.Float32() - 2) / 8
		if strings.HasSuffix(name, ".weight") && i < len(v)/shape[0] {
			v[i] *= 4
		}
	}
	return f32(name, v, shape...)
}

// newSource makes the tiny model, its inputs included, and writes it to dir.
func newSource(dir string) (*source, error) {
	var list []weights.Tensor
	for _, l := range layers {
		out := l.Shape[0]
		if l.Kind == sdnq.ConvTranspose {
			out = l.Shape[1]
		}
		x := numbers("x."+l.Name, l.input...)
		if l.Kind == sdnq.Embedding {
			x = f32(x.Name, []float32{0, 5, 79, 7, 7, 31, 40, 2, 1}, l.input...)
		} else {
			list = append(list, numbers(l.Name+".bias", out))
		}
		list = append(list, numbers(l.Name+".weight", l.Shape...), x)
	}
	err := errors.Join(os.MkdirAll(dir, 0o755), weights.Write(filepath.Join(dir, "source.safetensors"), list, nil))
	return &source{store: weights.Of(list...), pool: cpu.NewPool(0)}, err
}

// tests are every dtype in its usual layouts, and every option with some of them.
func tests() (list []test) {
	add := func(group, dtype string, config map[string]any) {
		text, _ := json.Marshal(config)
		list = append(list, test{Name: fmt.Sprintf("%04d", len(list)), Group: group, DType: dtype, Config: text})
	}
	with := func(dtype string, pairs ...any) map[string]any {
		c := map[string]any{"weights_dtype": dtype, "quant_conv": true, "quant_embedding": true}
		for i := 0; i < len(pairs); i += 2 {
			c[pairs[i].(string)] = pairs[i+1]
		}
		return c
	}
	for i, d := range sdnq.Names() {
		add("every dtype", "F32", with(d))
		add("every dtype, quantized matmul", "F32", with(d, "use_quantized_matmul", true, "use_quantized_matmul_conv", true))
		add("every dtype, 16-bit models", []string{"BF16", "F16"}[i%2], with(d, "group_size", 16))
	}
	some := []string{"int8", "uint8", "int4", "uint4", "int5", "uint6", "uint3", "uint2", "int7", "int16", "int12", "uint12", "float8_e4m3fn", "float8_e5m2", "float16", "float6_e3m2fn", "float4_e2m1fn", "float5_e2m3fnu", "float12_e4m7fn"}
	for _, d := range some {
		for _, size := range []int{-2, -1, 16, 24, 40} {
			add("group sizes", "F32", with(d, "group_size", size))
			add("group sizes, quantized matmul", "F32", with(d, "group_size", size, "use_quantized_matmul", true))
		}
		for _, matmul := range []bool{false, true} {
			for _, dtype := range []string{"F32", "BF16"} {
				m := []any{"use_quantized_matmul", matmul, "use_quantized_matmul_conv", matmul}
				add("low rank", dtype, with(d, append(m, "use_svd", true, "svd_rank", 8)...))
				add("Hadamard", dtype, with(d, append(m, "use_hadamard", true, "hadamard_group_size", 64)...))
				add("low rank and Hadamard", dtype, with(d, append(m, "use_svd", true, "svd_rank", 4, "use_hadamard", true)...))
				add("half scales", map[string]string{"F32": "F16", "BF16": "BF16"}[dtype], with(d, append(m, "dequantize_fp32", false)...))
			}
		}
	}
	for bits := 1; bits <= 8; bits++ {
		for _, size := range []int{-2, -1, 0, 32} {
			c := []any{"use_codebook", true, "group_size", size}
			add("codebooks", "F32", with(fmt.Sprint("uint", bits), c...))
			add("codebooks", "BF16", with(fmt.Sprint("uint", bits), append(c, "use_svd", true, "svd_rank", 4, "use_hadamard", size != 0)...))
		}
	}
	for _, d := range []string{"uint2", "int4", "uint4", "int6"} {
		for _, loss := range []any{nil, 1e-2, 1e-3, 1e-4, 1e-5} {
			add("dynamic dtypes", "F32", with(d, "use_dynamic_quantization", true, "dynamic_loss_threshold", loss))
			add("dynamic dtypes", "BF16", with(d, "use_dynamic_quantization", true, "dynamic_loss_threshold", loss, "use_quantized_matmul", true, "use_quantized_matmul_conv", true))
		}
	}
	add("patterns", "F32", with("int8", "modules_dtype_dict", map[string]any{"uint4": []string{"linear*"}, "minimum_6bit": []string{"conv"}}, "modules_to_not_convert", []string{"embed_tokens"}))
	add("patterns", "F32", with("int4", "modules_quant_config", map[string]any{"wide": map[string]any{"weights_dtype": "uint8", "group_size": 32}}, "modules_to_not_use_matmul", []string{"linear"}, "use_quantized_matmul", true))
	return list
}

// source is the tiny model.
type source struct {
	store *weights.Store
	pool  *cpu.Pool
}

// writeLayers quantizes the tiny model for each test, and writes beside each model what it dequantizes to.
func writeLayers(ctx context.Context, dir string) error {
	s, err := newSource(dir)
	if err != nil {
		return err
	}
	list, refused := tests(), 0
	for i := range list {
		if err := s.write(ctx, filepath.Join(dir, "ours", list[i].Name), &list[i]); err != nil {
			fmt.Printf("refused: %s: %v\n", list[i].Config, err)
			refused++
			list[i].Ours = nil
		}
	}
	list = slices.DeleteFunc(list, func(t test) bool { return t.Ours == nil })
	fmt.Printf("%d configs written, %d refused\n", len(list), refused)
	text, err := json.MarshalIndent(list, "", " ")
	return errors.Join(err, os.WriteFile(filepath.Join(dir, "tests.json"), text, 0o644))
}

// write writes one test's model.
func (s *source) write(ctx context.Context, dir string, t *test) error {
	cfg := sdnq.DefaultConfig()
	if err := json.Unmarshal(t.Config, cfg); err != nil {
		return err
	}
	cfg.MinNumel, cfg.MinChannels, cfg.AddSkipKeys, cfg.Version = 1, 1, false, sdnq.Version
	var out, own []weights.Tensor
	var reports []sdnq.LayerReport
	hash := sha256.New()
	for _, l := range layers {
		w := s.tensor(l.Name+".weight", t.DType)
		if b, ok := s.store.Lookup(l.Name + ".bias"); ok {
			out = append(out, convert(b, t.DType))
		}
		if cfg.Skips(w.Name) {
			out = append(out, w)
			continue
		}
		q, err := sdnq.Quantize(ctx, s.pool, w, l.Kind, cfg)
		if err != nil && (cfg.UseMatmulConv || cfg.UseQuantizedMatmul) { // what SDNQ cannot multiply
			cfg.NotUseMatmul = append(cfg.NotUseMatmul, w.Name)
			q, err = sdnq.Quantize(ctx, s.pool, w, l.Kind, cfg)
		}
		if err != nil { // what it cannot quantize
			cfg.NotUseMatmul = slices.DeleteFunc(cfg.NotUseMatmul, func(n string) bool { return n == w.Name })
			cfg.NotConvert = append(cfg.NotConvert, w.Name)
			q = &sdnq.Quantized{LayerReport: sdnq.LayerReport{Module: l.Name}, Tensors: []weights.Tensor{w}}
			if l.Kind == sdnq.Linear {
				return err
			}
		}
		out, reports = append(out, q.Tensors...), append(reports, q.LayerReport)
		for _, t := range q.Tensors {
			fmt.Fprintln(hash, t.Name, t.DType, t.Shape)
			hash.Write(t.Data)
		}
	}
	t.Hash = fmt.Sprintf("%x", hash.Sum(nil)[:8])
	if cfg.DynamicQuantization {
		cfg.Record(reports...)
	}
	for _, l := range layers {
		d, y, err := s.read(ctx, weights.Of(out...), l, cfg)
		if err != nil {
			return err
		}
		own = append(own, d)
		if y.Data != nil {
			own = append(own, y)
		}
	}
	var err error
	if t.Ours, err = json.Marshal(cfg); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	model := fmt.Sprintf(`{"_class_name":"Tiny","quantization_config":%s}`, t.Ours)
	return errors.Join(
		weights.Write(filepath.Join(dir, "diffusion_pytorch_model.safetensors"), out, map[string]string{"format": "pt"}),
		weights.Write(dir+".safetensors", own, nil),
		os.WriteFile(filepath.Join(dir, "config.json"), []byte(model), 0o644),
		os.WriteFile(filepath.Join(dir, "quantization_config.json"), t.Ours, 0o644),
	)
}

// read gives the dense weight of a layer of a store, and a Linear's output for its input.
func (s *source) read(ctx context.Context, store *weights.Store, l layer, cfg *sdnq.Config) (dense, y weights.Tensor, err error) {
	n, k := l.Shape[0], 1
	for _, size := range l.Shape[1:] {
		k *= size
	}
	var w []float32
	var matrix cpu.Weights
	prec := cpu.Exact
	if _, ok := store.Lookup(l.Name + ".scale"); ok {
		read := sdnq.Layer
		if l.Kind == sdnq.ConvTranspose {
			read = sdnq.TransposedConv
		}
		m, err := read(store, l.Name, cfg, l.Shape)
		if err != nil {
			return dense, y, err
		}
		w, matrix = m.Dequantize(), m
		if m.QuantizedMatMul() {
			prec = m.Precision()
		}
	} else {
		t, _ := store.Lookup(l.Name + ".weight")
		if w, err = t.Float32(); err != nil {
			return dense, y, err
		}
		matrix = cpu.Dense(w, n, k)
	}
	dense = f32("dequant."+l.Name, w, l.Shape...)
	if l.Kind != sdnq.Linear {
		return dense, y, nil
	}
	xt, _ := s.store.Lookup("x." + l.Name)
	bt, _ := store.Lookup(l.Name + ".bias")
	x, _ := xt.Float32()
	bias, _ := bt.Float32()
	out := make([]float32, xt.Shape[0]*n)
	cpu.MatMul(ctx, s.pool, out, x, xt.Shape[0], matrix, bias, prec)
	name := "y."
	if prec == cpu.Int8 {
		name = "y8." // which rounds as Python does
	}
	return dense, f32(name+l.Name, out, xt.Shape[0], n), nil
}

// readLayers reads what Python quantized, and compares with what it dequantizes that to.
func readLayers(ctx context.Context, dir string) error {
	s, err := newSource(dir)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(dir, "theirs.json"))
	var list []test
	if err = errors.Join(err, json.Unmarshal(text, &list)); err != nil {
		return err
	}
	fmt.Println("| written by Python | configs | weights off by | outputs off by | outputs of matmuls that graphrun computes in float32 |\n|---|---|---|---|---|")
	failed := 0
	worst := map[string]*[4]float64{} // configs, differences of weights, of outputs computed as Python does, and of others
	for _, t := range list {
		r := worst[t.Group]
		if r == nil {
			r = new([4]float64)
			worst[t.Group] = r
		}
		w, exact, y, err := s.compare(ctx, filepath.Join(dir, "theirs", t.Name))
		limits := map[string][3]float64{"F32": {2e-6, 1e-5, 0.05}, "BF16": {8e-3, 0.03, 0.06}, "F16": {2e-3, 0.03, 0.06}}[t.DType]
		if err != nil || w > limits[0] || exact > limits[1] || y > limits[2] {
			fmt.Printf("FAIL %s %s: weights off by %.2g, outputs by %.2g and %.2g: %v\n", t.DType, t.Config, w, exact, y, err)
			failed++
		}
		r[0], r[1], r[2], r[3] = r[0]+1, max(r[1], w), max(r[2], exact), max(r[3], y)
	}
	for _, group := range slices.Sorted(maps.Keys(worst)) {
		r := worst[group]
		fmt.Printf("| %s | %.0f | %.1e | %.1e | %.1e |\n", group, r[0], r[1], r[2], r[3])
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d configs differ", failed, len(list))
	}
	return nil
}

// compare reads one model and the file beside it.
func (s *source) compare(ctx context.Context, dir string) (w, exact, y float64, err error) {
	cfg, err := sdnq.LoadConfig(dir)
	if err != nil {
		return 0, 0, 0, err
	}
	store, err := weights.Open(dir)
	if err != nil {
		return 0, 0, 0, err
	}
	defer store.Close()
	want, err := weights.Open(dir + ".safetensors")
	if err != nil {
		return 0, 0, 0, err
	}
	defer want.Close()
	for _, l := range layers {
		dense, out, err := s.read(ctx, store, l, cfg)
		if err != nil {
			return 0, 0, 0, err
		}
		if _, ok := want.Lookup(dense.Name); ok {
			w = max(w, far(dense, want))
		}
		if out.Data != nil {
			prec := out.Name[:strings.Index(out.Name, ".")]
			out.Name = "y." + l.Name
			if d := far(out, want); prec == "y8" || !cfg.UseQuantizedMatmul {
				exact = max(exact, d)
			} else {
				y = max(y, d)
			}
		}
	}
	return w, exact, y, nil
}

// far is the largest difference from the tensor of that name, relative to its largest value.
func far(x weights.Tensor, store *weights.Store) float64 {
	t, _ := store.Lookup(x.Name)
	a, _ := x.Float32()
	b, err := t.Float32()
	if err != nil || len(a) != len(b) {
		return math.Inf(1)
	}
	top, worst := 1e-12, 0.0
	for i := range a {
		d := math.Abs(float64(a[i]) - float64(b[i]))
		if d != d {
			return math.Inf(1)
		}
		top, worst = max(top, math.Abs(float64(b[i]))), max(worst, d)
	}
	return worst / top
}

func (s *source) tensor(name, dtype string) weights.Tensor {
	t, _ := s.store.Lookup(name)
	return convert(t, dtype)
}

// convert stores a tensor of float32 in another dtype.
func convert(t weights.Tensor, dtype string) weights.Tensor {
	v, _ := t.Float32()
	out := weights.Tensor{Name: t.Name, Shape: t.Shape}
	out.DType, _ = weights.ParseDType(dtype)
	for _, x := range v {
		switch out.DType {
		case weights.BF16:
			out.Data = binary.LittleEndian.AppendUint16(out.Data, weights.Float32ToBF16(x))
		case weights.F16:
			out.Data = binary.LittleEndian.AppendUint16(out.Data, weights.Float32ToF16(x))
		default:
			out.Data = binary.LittleEndian.AppendUint32(out.Data, math.Float32bits(x))
		}
	}
	return out
}

func f32(name string, v []float32, shape ...int) weights.Tensor {
	out := weights.Tensor{Name: name, DType: weights.F32, Shape: shape}
	for _, x := range v {
		out.Data = binary.LittleEndian.AppendUint32(out.Data, math.Float32bits(x))
	}
	return out
}

// keepHashes writes the hashes of tests that Python has read, those of a low-rank part excepted, which depends on the processor's
// path, for runtime/sdnq's TestWritten.
func keepHashes(dir, file string) error {
	text, err := os.ReadFile(filepath.Join(dir, "tests.json"))
	var list []test
	if err = errors.Join(err, json.Unmarshal(text, &list)); err != nil {
		return err
	}
	var b strings.Builder
	text, _ = json.Marshal(layers)
	fmt.Fprintf(&b, "{\"layers\": %s,\n\"tests\": [", text)
	first, groups := true, map[string]int{}
	for _, t := range list {
		groups[t.Group]++
		if strings.Contains(string(t.Config), "use_svd") || groups[t.Group]%4 != 1 && t.Group != "every dtype" {
			continue
		}
		if !first {
			b.WriteString(",")
		}
		var config bytes.Buffer
		_ = json.Compact(&config, t.Config)
		fmt.Fprintf(&b, "\n{\"dtype\": %q, \"hash\": %q, \"config\": %s}", t.DType, t.Hash, &config)
		first = false
	}
	b.WriteString("\n]}\n")
	return os.WriteFile(file, []byte(b.String()), 0o644)
}
