package sdnq

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"graphrun/internal/golden"
	"graphrun/kernels/cpu"
	"graphrun/runtime/weights"
)

// numbers is the weight that tools/sdnqcheck makes too: sums of uniform numbers, those of the first row four times as large.
func numbers(name string, d weights.DType, shape []int) weights.Tensor {
	seed := fnv.New64a()
	_, _ = seed.Write([]byte(name))
	r := rand.New(rand.NewPCG(7, seed.Sum64()))
	v := make([]float32, product(shape))
	for i := range v {
		v[i] = (r.Float32() + r.Float32() + r.Float32() + r.Float32() - 2) / 8
		if i < len(v)/shape[0] {
			v[i] *= 4
		}
	}
	return weights.Tensor{Name: name, DType: d, Shape: shape, Data: floatBytes(v, d)}
}

// TestWritten holds every byte to what Python's sdnq has read and found right (make crosscheck, which writes the file).
func TestWritten(t *testing.T) {
	text, err := os.ReadFile("testdata/written.json")
	var file struct {
		Layers []struct {
			Name  string
			Kind  Kind
			Shape []int
		}
		Tests []struct {
			DType, Hash string
			Config      json.RawMessage
		}
	}
	if err = errors.Join(err, json.Unmarshal(text, &file)); err != nil || len(file.Tests) == 0 {
		t.Fatal(err, "no tests")
	}
	pool := testPool(t)
	for _, c := range file.Tests {
		cfg, d := DefaultConfig(), weights.F32
		if err := json.Unmarshal(c.Config, cfg); err != nil {
			t.Fatal(err)
		}
		cfg.MinNumel, cfg.MinChannels, cfg.AddSkipKeys = 1, 1, false
		d, _ = weights.ParseDType(c.DType)
		hash := sha256.New()
		for _, l := range file.Layers {
			w := numbers(l.Name+".weight", d, l.Shape)
			if cfg.Skips(w.Name) {
				continue
			}
			q, err := Quantize(t.Context(), pool, w, l.Kind, cfg)
			if err != nil {
				own := *cfg
				own.NotUseMatmul = append(slices.Clone(cfg.NotUseMatmul), w.Name)
				if q, err = Quantize(t.Context(), pool, w, l.Kind, &own); err != nil && l.Kind != Linear {
					q = &Quantized{Tensors: []weights.Tensor{w}}
				} else if err != nil {
					t.Fatal(string(c.Config), err)
				}
			}
			for _, x := range q.Tensors {
				fmt.Fprintln(hash, x.Name, x.DType, x.Shape)
				hash.Write(x.Data)
			}
		}
		if got := fmt.Sprintf("%x", hash.Sum(nil)[:8]); got != c.Hash {
			t.Errorf("%s %s: the bytes have hash %s, want %s", c.DType, c.Config, got, c.Hash)
		}
	}
}

// The number of workers does not change a byte, and neither does a second try.
func TestQuantizeIsDeterministic(t *testing.T) {
	for _, config := range []string{
		`{}`, `{"weights_dtype":"uint4"}`, `{"use_quantized_matmul":true}`, `{"group_size":-2,"weights_dtype":"int5"}`, `{"use_svd":true,"svd_rank":12}`,
		`{"use_hadamard":true,"weights_dtype":"float6_e3m2fn"}`, `{"use_codebook":true,"weights_dtype":"uint3"}`,
	} {
		cfg := DefaultConfig()
		if err := json.Unmarshal([]byte(config), cfg); err != nil {
			t.Fatal(err)
		}
		var first []weights.Tensor
		for _, workers := range []int{1, 2, 3, 3} {
			pool := cpu.NewPool(workers)
			q, err := Quantize(t.Context(), pool, numbers("layer.weight", weights.BF16, []int{160, 288}), Linear, cfg)
			pool.Close()
			if err != nil {
				t.Fatal(config, err)
			}
			if first == nil {
				first = q.Tensors
			}
			for i, x := range q.Tensors {
				if !bytes.Equal(x.Data, first[i].Data) {
					t.Errorf("%s: %s differs with %d workers", config, x.Name, workers)
				}
			}
		}
	}
}

// TestLowRank holds the randomized decomposition to the best one of weights whose singular values are known.
func TestLowRank(t *testing.T) {
	const n, k, rank = 96, 160, 8
	for name, value := range map[string]func(i int) float64{
		"slow decay": func(i int) float64 { return 1 / math.Sqrt(float64(i+1)) },
		"fast decay": func(i int) float64 { return math.Pow(2, -float64(i)) },
		"flat":       func(int) float64 { return 1 },
		"of rank 3":  func(i int) float64 { return float64(max(0, 3-i)) },
		"zero":       func(int) float64 { return 0 },
	} {
		a, best := spectrum(n, k, value), 0.0
		for i := rank; i < n; i++ {
			best += value(i) * value(i)
		}
		up, down := lowRank(t.Context(), testPool(t), a, n, k, rank, 8)
		left, whole := 0.0, 0.0
		for i := range n {
			for j := range k {
				x := float64(a[i*k+j])
				whole += x * x
				for r := range rank {
					x -= float64(up[i*rank+r]) * float64(down[r*k+j])
				}
				left += x * x
			}
		}
		if !(left <= 1.01*best+1e-11*whole) {
			t.Errorf("%s: leaves %.6g of %.6g, the best %.6g", name, left, whole, best)
		}
	}
}

// spectrum is a matrix of those singular values, whose singular vectors are those of a discrete cosine transform.
func spectrum(n, k int, value func(i int) float64) []float32 {
	cosine := func(size, i, j int) float64 {
		f := math.Sqrt(2 / float64(size))
		if i == 0 {
			f = math.Sqrt(1 / float64(size))
		}
		return f * math.Cos(math.Pi*(float64(j)+0.5)*float64(i)/float64(size))
	}
	a := make([]float32, n*k)
	for i := range n {
		for j := range k {
			sum := 0.0
			for m := range min(n, k) {
				sum += value(m) * cosine(n, m, i) * cosine(k, m, j)
			}
			a[i*k+j] = float32(sum)
		}
	}
	return a
}

// TestGoldenDynamic chooses the dtypes that Python chose.
func TestGoldenDynamic(t *testing.T) {
	pool, chosen := testPool(t), 0
	for _, c := range golden.Cases[goldenCase](t, "sdnq/cases.json") {
		cfg, err := ParseConfig(c.Config)
		if err != nil {
			t.Fatal(c.ID, err)
		}
		if !cfg.DynamicQuantization {
			continue
		}
		ref := golden.Tensors(t, filepath.Join(golden.Dir(t), "sdnq", c.File))
		start := *cfg
		start.DTypes = nil
		for name, layer := range c.Layers {
			orig, ok := ref["orig."+name+".weight"]
			if _, quantized := ref["ckpt."+name+".scale"]; !quantized || !ok {
				continue
			}
			w := inModelDType(orig.F32(), orig.Shape, name+".weight", c.DType)
			want, _ := cfg.layer(name+".weight", layer.kind())
			q, err := Quantize(t.Context(), pool, w, layer.kind(), &start)
			if err != nil || q.DType != want.format.name {
				t.Errorf("%s %s: have %s, want %s, %v", c.ID, name, q.DType, want.format.name, err)
			}
			chosen++
		}
	}
	if chosen == 0 {
		t.Error("nothing was chosen")
	}
	t.Logf("%d layers", chosen)
}

// TestDynamic records what was chosen so that the config reads it, and leaves alone what no dtype keeps well enough.
func TestDynamic(t *testing.T) {
	cfg := DefaultConfig()
	cfg.WeightsDType, cfg.DynamicQuantization, cfg.QuantConv, cfg.UseMatmulConv = "uint2", true, true, true
	cfg.DTypes = Entries{{Key: "int3", Value: json.RawMessage(`["a*"]`)}}
	var reports []LayerReport
	var tensors []weights.Tensor
	for i, loss := range []float64{1e-2, 1e-4, 1e-3, 1e-30} {
		cfg.DynamicLossThreshold = &loss
		shape, kind := []int{64, 128}, Linear
		if i == 2 {
			shape, kind = []int{64, 64, 3, 3}, Conv
		}
		w := numbers(string(rune('a'+i))+".weight", weights.F32, shape)
		q, err := Quantize(t.Context(), testPool(t), w, kind, cfg)
		if err != nil {
			t.Fatal(err)
		}
		reports, tensors = append(reports, q.LayerReport), append(tensors, q.Tensors...)
		if q.DType != "" && q.loss > loss {
			t.Errorf("%s: loss %g, allowed %g", q.Module, q.loss, loss)
		}
	}
	cfg.Record(reports...)
	if reports[3].DType != "" || !cfg.Skips("d.weight") || len(tensors[len(tensors)-1].Shape) != 2 {
		t.Errorf("a layer without a fitting dtype: %+v, not converted: %v", reports[3], cfg.NotConvert)
	}
	for _, r := range reports[:3] {
		shape := []int{64, 128}
		if r.Module == "c" {
			shape = []int{64, 64, 3, 3}
		}
		if m, err := Layer(weights.Of(tensors...), r.Module, cfg, shape); err != nil || m.format.name != r.DType || r.NoMatMul && m.wanted {
			t.Errorf("%+v: %v, %v", r, m, err)
		}
	}
}

// TestRefused lists what is not written, since Python could not use it, and what the errors say instead.
func TestRefused(t *testing.T) {
	for config, want := range map[string]string{
		`{"weights_dtype":"int32"}`:                                    "int16",
		`{"weights_dtype":"uint32"}`:                                   "uint16",
		`{"weights_dtype":"fp32"}`:                                     "float16",
		`{"weights_dtype":"float8_e8m0fnu"}`:                           "float8_e4m3fn",
		`{"scale_dtype":"uint8"}`:                                      "cannot read",
		`{"use_codebook_scale":true}`:                                  "cannot read",
		`{"use_codebook":true}`:                                        "uint4",
		`{"use_codebook":true,"weights_dtype":"uint9"}`:                "uint1 to uint8",
		`{"weights_dtype":"bf16","use_quantized_matmul":true}`:         "float16",
		`{"use_svd":true,"svd_rank":0}`:                                "positive svd_rank",
		`{"modules_dtype_dict":{"uint32":["layer.weight"]}}`:           "uint16",
		`{"modules_quant_config":{"layer":{"weights_dtype":"int32"}}}`: "int16",
	} {
		cfg := DefaultConfig()
		if err := json.Unmarshal([]byte(config), cfg); err != nil {
			t.Fatal(err)
		}
		_, err := Quantize(t.Context(), testPool(t), numbers("layer.weight", weights.F32, []int{32, 64}), Linear, cfg)
		var typed *weights.Error
		if err == nil || !errors.As(err, &typed) || typed.Remedy == "" || !bytes.Contains([]byte(err.Error()), []byte(want)) {
			t.Errorf("%s: %v, want %q", config, err, want)
		}
	}
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), math.MaxFloat32} {
		for _, config := range []string{`{}`, `{"weights_dtype":"uint4"}`, `{"use_hadamard":true}`, `{"use_codebook":true,"weights_dtype":"uint4"}`, `{"use_svd":true}`, `{"group_size":-2}`} {
			cfg := DefaultConfig()
			if err := json.Unmarshal([]byte(config), cfg); err != nil {
				t.Fatal(err)
			}
			w := numbers("layer.weight", weights.F32, []int{32, 64})
			binary.LittleEndian.PutUint32(w.Data[4*77:], math.Float32bits(bad))
			if _, err := Quantize(t.Context(), testPool(t), w, Linear, cfg); err == nil && bad != math.MaxFloat32 {
				t.Errorf("%s: no error for a weight with %v", config, bad)
			}
		}
	}
}

// FuzzQuantize quantizes whatever weights by whatever config and reads them back: no panic, typed errors, and errors of the
// weights within the bound of their dtype.
func FuzzQuantize(f *testing.F) {
	for i, config := range []string{
		`{}`, `{"weights_dtype":"uint4","group_size":16}`, `{"weights_dtype":"int7","use_quantized_matmul":true}`, `{"weights_dtype":"fp6","dequantize_fp32":false}`,
		`{"use_svd":true,"svd_rank":3}`, `{"use_hadamard":true,"weights_dtype":"uint12"}`, `{"use_codebook":true,"weights_dtype":"uint3","group_size":-2}`,
		`{"use_dynamic_quantization":true,"weights_dtype":"uint2","dynamic_loss_threshold":0.001}`, `{"weights_dtype":"float16","group_size":-2}`,
		`{"modules_dtype_dict":{"minimum_6bit":["layer"]},"weights_dtype":"uint1"}`, `{"modules_quant_config":{"*":{"weights_dtype":"float9_e4m4fn"}}}`,
	} {
		f.Add([]byte(config), uint8(i), uint16(0x0848+i*97), uint8(i), numbers("x", weights.F32, []int{32, 64}).Data)
	}
	pool := cpu.NewPool(2)
	f.Fuzz(func(t *testing.T, config []byte, kind uint8, size uint16, dtype uint8, data []byte) {
		cfg := DefaultConfig()
		if json.Unmarshal(config, cfg) != nil || cfg.check() != nil || cfg.SVDSteps > 10 || cfg.CodebookSteps > 30 {
			return
		}
		shape := []int{int(size&63) + 1, int(size>>6&127) + 1}
		if cfg.DynamicQuantization { // which may try every dtype
			shape[0], cfg.UseSVD = min(shape[0], 4), false
		}
		if k := Kind(kind % 4); k == Conv || k == ConvTranspose {
			shape = append(shape, int(size>>13&3)+1)
		}
		w := weights.Tensor{Name: "layer.weight", DType: []weights.DType{weights.F32, weights.BF16, weights.F16, weights.F64}[dtype%4], Shape: shape}
		for w.Data = make([]byte, 0, w.Elements()*w.DType.Size()); len(w.Data) < cap(w.Data); {
			w.Data = append(w.Data, append(data, 0)[:min(len(data)+1, cap(w.Data)-len(w.Data))]...)
		}
		q, err := Quantize(t.Context(), pool, w, Kind(kind%4), cfg)
		var typed *weights.Error
		if err != nil {
			if !errors.As(err, &typed) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		if q.DType == "" {
			return
		}
		after := *cfg
		if cfg.DynamicQuantization {
			after.Record(q.LayerReport)
		}
		m, err := Layer(weights.Of(q.Tensors...), "layer", &after, shape)
		if err != nil {
			t.Fatalf("%s of shape %v is not read: %v", q.DType, shape, err)
		}
		for i, v := range m.Dequantize() {
			if v != v || math.IsInf(float64(v), 0) {
				t.Fatalf("%s of shape %v: number %d is %v", q.DType, shape, i, v)
			}
		}
		o, err := after.layer("layer.weight", Kind(kind%4))
		if err != nil {
			t.Fatal(err)
		}
		bound := 1.01 // a code of no bits more than a sign
		if n := o.format.bits; o.format.integer && n > 1 && q.Tensors[1].DType == weights.F32 {
			bound = 1.01/(math.Ldexp(1, n)-2) + 1e-6
		}
		found := q.Max
		if o.UseCodebook { // whose levels leave even distances to make the squares of the errors smaller, not the largest error
			found = q.RMS * rmsOfLargest(w)
		}
		if !o.UseSVD && !o.UseHadamard && found > bound && !tiny(w) {
			t.Errorf("%s of shape %v: an error of %g of the largest weight, allowed %g", q.DType, shape, found, bound)
		}
	})
}

// rmsOfLargest is the RMS of the weight's numbers relative to the largest of them.
func rmsOfLargest(w weights.Tensor) float64 {
	v, _ := w.Float32()
	sum, largest := 0.0, math.SmallestNonzeroFloat64
	for _, x := range v {
		sum, largest = sum+float64(x)*float64(x), max(largest, math.Abs(float64(x)))
	}
	return math.Sqrt(sum/float64(len(v))) / largest
}

// tiny says that scales of the weight's numbers are in the range where numbers lose digits.
func tiny(w weights.Tensor) bool {
	v, _ := w.Float32()
	return cpu.AbsMax(v) < 1e-28 || w.DType == weights.F16 && cpu.AbsMax(v) < 1e-2
}
