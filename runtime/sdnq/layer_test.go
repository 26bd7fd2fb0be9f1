package sdnq

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"graphrun/internal/golden"
	"graphrun/kernels/cpu"
	"graphrun/runtime/weights"
)

var (
	_ cpu.Int8Weights         = (*Matrix)(nil)
	_ cpu.CodeWeights         = (*Matrix)(nil)
	_ cpu.GroupedInt8Weights  = (*Matrix)(nil)
	_ cpu.TransposedWeights   = (*Matrix)(nil)
	_ cpu.FactoredWeights     = (*Matrix)(nil)
	_ cpu.UnsignedCodeWeights = (*Matrix)(nil)
)

// TestPackExamples holds packing to the worked examples of sdnq-format.md 4.2: the i-th code is first + i*step modulo 2^n.
func TestPackExamples(t *testing.T) {
	for n, c := range map[int]struct{ codes, words string }{
		1:  {"0 1 0 1 0 1 0 1", "aa 00 00 00 00 00 00 00"},
		2:  {"3 0 1 2", "93"},
		3:  {"6 7 0 1 2 3 4 5", "0e 57 d8"},
		4:  {"1 10", "a1"},
		5:  {"4 13 22 31 8 17 26 3", "24 4d 76 5f 68"},
		6:  {"55 0 9 18", "77 00 89"},
		7:  {"10 83 28 101 46 119 64 9", "0a 53 1c e5 2e 77 c0"},
		9:  {"176 249 322 395 468 29 102 175 248 321 394 467 28 101 174 247", "f0b0 82f9 1542 a78b 39d4 ca1d 5c66 eeaf 50f9"},
		10: {"195 268 341 414 487 560 633 706", "c0c3 e50c 0955 a19e e5e7"},
		11: {"214 287 360 433 506 579 652 725 798 871 944 1017 1090 1163 1236 1309", "f0d6 391f 8168 c9b1 11fa 5a43 a28c ead5 67d8 889b a91d"},
		12: {"233 306 379 452", "10e9 c132 417b"},
		13: {"252 325 398 471 544 617 690 763 836 909 982 1055 1128 1201 1274 1347", "20fc 4145 618e c1d7 e220 0269 42b2 62fb a344 438d 43d6 441f 0468"},
		14: {"271 344 417 490 563 636 709 782", "010f 0158 c1a1 01ea 0233 c27c 82c5"},
		15: {"290 363 436 509 582 655 728 801 874 947 1020 1093 1166 1239 1312 1385", "0122 016b 01b4 01fd 8246 028f 82d8 0321 836a 83b3 03fc 8445 048e 04d7 8520"},
	} {
		var codes []uint16
		for _, s := range strings.Fields(c.codes) {
			var v uint16
			_, _ = fmt.Sscan(s, &v)
			codes = append(codes, v)
		}
		var words []byte
		for _, s := range strings.Fields(c.words) {
			var v uint16
			_, _ = fmt.Sscanf(s, "%x", &v)
			if words = append(words, byte(v)); len(s) == 4 {
				words = append(words, byte(v>>8))
			}
		}
		got := make([]byte, len(words))
		if n > 8 {
			packWords(got, codes, n, 0)
		} else {
			bytes := make([]byte, len(codes))
			for i, c := range codes {
				bytes[i] = byte(c)
			}
			packBytes(got, bytes, n, 0)
		}
		if !slices.Equal(got, words) {
			t.Errorf("%d bits: packed to %x, want %x", n, got, words)
		}
		identity := make([]float32, 1<<n)
		for i := range identity {
			identity[i] = float32(i)
		}
		for first := range codes { // from every code on, as a block's columns may start anywhere
			got := make([]float32, len(codes)-first)
			unpack(got, words, n, first, identity, 0)
			for i, v := range got {
				if v != float32(codes[first+i]) {
					t.Errorf("%d bits: code %d read from %d on is %g, want %d", n, first+i, first, v, codes[first+i])
				}
			}
		}
	}
}

// TestFormatNames counts the packed floats of 4.1 and reads the aliases.
func TestFormatNames(t *testing.T) {
	distinct := map[string]bool{}
	for _, suffix := range []string{"fn", "fnu"} {
		for e := 1; e <= 5; e++ {
			for m := 0; m <= 15; m++ {
				bits := e + m + map[string]int{"fn": 1, "fnu": 0}[suffix]
				name := fmt.Sprintf("float%d_e%dm%d%s", bits, e, m, suffix)
				if name == "float8_e4m3fn" {
					name += "_sdnq"
				}
				if f, err := parseFormat(name); err == nil {
					if f.name != name || f.bits != bits {
						t.Errorf("%s reads as %+v", name, f)
					}
					distinct[name] = true
				}
			}
		}
	}
	if len(distinct) != 135 {
		t.Errorf("have %d packed floats, want 135", len(distinct))
	}
	for alias := range aliases {
		if _, err := parseFormat(alias); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", "int0", "int17", "int64", "uint99", "float8_e6m1fn", "float9_e4m3fn", "e9m9fn", "float64", "int8 "} {
		if f, err := parseFormat(bad); err == nil {
			t.Errorf("%q reads as %+v", bad, f)
		}
	}
}

// TestUnpackBlocks reads matrices in blocks of odd sizes and compares with the whole.
func TestUnpackBlocks(t *testing.T) {
	eachCase(t, "testdata/core", coreCases(t), func(t *testing.T, c goldenCase, ref map[string]golden.Tensor, ckpt *weights.Store, cfg *Config) {
		for name := range c.Layers {
			m, err := Layer(ckpt, name, cfg, ref["dequant."+name].Shape)
			if err != nil {
				t.Fatal(err)
			}
			n, k := m.Dims()
			whole := m.Dequantize()
			for _, b := range [][2]int{{1, 1}, {3, 7}, {5, 16}, {n, 33}} {
				for n0 := 0; n0 < n; n0 += b[0] {
					for k0 := 0; k0 < k; k0 += b[1] {
						n1, k1 := min(n, n0+b[0]), min(k, k0+b[1])
						dst := make([]float32, (n1-n0)*(k1-k0))
						m.Unpack(dst, n0, n1, k0, k1)
						for i, v := range dst {
							if at := (n0+i/(k1-k0))*k + k0 + i%(k1-k0); v != whole[at] {
								t.Fatalf("block [%d:%d, %d:%d] has %g at %d, want %g", n0, n1, k0, k1, v, i, whole[at])
							}
						}
					}
				}
			}
		}
	})
}

// TestInt8Kernel holds the kernels' int8 product over Int8's codes to the reference of 10.2.
func TestInt8Kernel(t *testing.T) {
	const n, k, rows = 48, 64, 40
	pool := cpu.NewPool(2)
	defer pool.Close()
	for name, text := range map[string]string{
		"stored":  `{}`,
		"grouped": `{"group_size":16}`,
		"uint8":   `{"weights_dtype":"uint8","quantized_matmul_dtype":"int8"}`,
		"int5":    `{"weights_dtype":"int5","group_size":-1}`,
		"uint4":   `{"weights_dtype":"uint4","group_size":-1}`,
		"tensor":  `{"group_size":-2}`,
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := ParseConfig([]byte(`{"quant_method":"sdnq","use_quantized_matmul":true,` + text[1:]))
			if text == `{}` {
				cfg, err = ParseConfig([]byte(`{"quant_method":"sdnq","use_quantized_matmul":true}`))
			}
			if err != nil {
				t.Fatal(err)
			}
			m := quantizedLayer(t, cfg, n, k)
			if !m.QuantizedMatMul() || !m.AllowsQuantizedMatMul() {
				t.Fatal("the quantized matmul is not wanted")
			}
			x, _ := random("x", weights.F32, rows, k).Float32()
			bias, _ := random("bias", weights.F32, n).Float32()
			got := make([]float32, rows*n)
			cpu.MatMul(t.Context(), pool, got, x, rows, m, bias, cpu.Int8)
			near(t, name, got, m.quantizedMatMul(x, k, bias, 0, 0, n, m.matmul), 1e-5)
		})
	}
}

// quantizedLayer quantizes a random weight and reads it back.
func quantizedLayer(t testing.TB, cfg *Config, shape ...int) *Matrix {
	t.Helper()
	q, err := Quantize(t.Context(), testPool(t), random("layer.weight", weights.F32, shape...), KindOf("layer", shape), cfg)
	if err != nil {
		t.Fatal(err)
	}
	m, err := Layer(weights.Of(q.Tensors...), "layer", cfg, shape)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestQuantizedMatMulOff lists what keeps the quantized matmul off.
func TestQuantizedMatMulOff(t *testing.T) {
	for name, c := range map[string]struct {
		config string
		shape  []int
		allows bool
	}{
		"not asked for":      {`{}`, []int{48, 64}, true},
		"few outputs":        {`{"use_quantized_matmul":true}`, []int{16, 64}, false},
		"odd size":           {`{"use_quantized_matmul":true}`, []int{40, 64}, false},
		"exempt":             {`{"use_quantized_matmul":true,"modules_to_not_use_matmul":["layer"]}`, []int{48, 64}, false},
		"an unknown format":  {`{"use_quantized_matmul":true,"quantized_matmul_dtype":"int5"}`, []int{48, 64}, false},
		"conv not asked for": {`{"use_quantized_matmul":true}`, []int{48, 64, 3, 3}, false},
	} {
		cfg, err := ParseConfig([]byte(strings.Replace(strings.Replace(c.config, "{", `{"quant_method":"sdnq",`, 1), ",}", "}", 1)))
		if err != nil {
			t.Fatal(name, err)
		}
		m := quantizedLayer(t, cfg, c.shape...)
		codes, _, _, _ := m.Int8()
		if m.QuantizedMatMul() || m.AllowsQuantizedMatMul() != c.allows || (codes != nil) != c.allows {
			t.Errorf("%s: wanted %v, allowed %v, %d codes", name, m.QuantizedMatMul(), m.AllowsQuantizedMatMul(), len(codes))
		}
	}
}

func TestHostileLayers(t *testing.T) {
	f32 := func(name string, shape ...int) weights.Tensor {
		return weights.Tensor{Name: "x." + name, DType: weights.F32, Shape: shape, Data: make([]byte, 4*product(shape))}
	}
	raw := func(d weights.DType, shape ...int) weights.Tensor {
		return weights.Tensor{Name: "x.weight", DType: d, Shape: shape, Data: make([]byte, product(shape)*d.Size())}
	}
	for name, c := range map[string]struct {
		config  string
		dense   []int
		tensors []weights.Tensor
		want    string
	}{
		"no weight":          {`"weights_dtype":"int8"`, []int{4, 8}, []weights.Tensor{f32("scale", 4, 1)}, "x.weight"},
		"no scale":           {`"weights_dtype":"int8"`, []int{4, 8}, []weights.Tensor{raw(weights.I8, 4, 8)}, "x.scale"},
		"no zero point":      {`"weights_dtype":"uint8"`, []int{4, 8}, []weights.Tensor{raw(weights.U8, 4, 8), f32("scale", 4, 1)}, "x.zero_point"},
		"too few codes":      {`"weights_dtype":"int8"`, []int{4, 8}, []weights.Tensor{raw(weights.I8, 4, 7), f32("scale", 4, 1)}, "32 bytes of I8"},
		"codes of floats":    {`"weights_dtype":"int8"`, []int{4, 8}, []weights.Tensor{raw(weights.F16, 4, 8), f32("scale", 4, 1)}, "bytes of F16"},
		"scale of no layout": {`"weights_dtype":"int8"`, []int{4, 8}, []weights.Tensor{raw(weights.I8, 4, 8), f32("scale", 3, 1)}, "x.scale"},
		"scale of groups":    {`"weights_dtype":"int8"`, []int{4, 8}, []weights.Tensor{raw(weights.I8, 4, 8), f32("scale", 4, 3, 1)}, "x.scale"},
		"empty scale":        {`"weights_dtype":"int8"`, []int{4, 8}, []weights.Tensor{raw(weights.I8, 4, 8), f32("scale", 4, 0, 1)}, "x.scale"},
		"scalar scale":       {`"weights_dtype":"uint8"`, []int{4, 8}, []weights.Tensor{raw(weights.U8, 4, 8), f32("scale"), f32("zero_point", 4, 1)}, "x.zero_point"},
		"short zero point":   {`"weights_dtype":"uint8"`, []int{4, 8}, []weights.Tensor{raw(weights.U8, 4, 8), f32("scale", 4, 1), f32("zero_point", 1)}, "x.zero_point"},
		"svd of no shape":    {`"weights_dtype":"int8"`, []int{4, 8}, []weights.Tensor{raw(weights.I8, 4, 8), f32("scale", 4, 1), f32("svd_up", 4, 2), f32("svd_down", 3, 8)}, "x.svd_up"},
		"svd without down":   {`"weights_dtype":"int8"`, []int{4, 8}, []weights.Tensor{raw(weights.I8, 4, 8), f32("scale", 4, 1), f32("svd_up", 4, 2)}, "x.svd_down"},
		"double, no dtype":   {`"weights_dtype":"int8"`, []int{4, 8}, []weights.Tensor{raw(weights.I8, 4, 8), f32("scale", 4, 1), f32("scale_2", 1)}, "scale_dtype"},
		"table of ints":      {`"weights_dtype":"int8","scale_dtype":"int8","use_codebook_scale":true`, []int{4, 8}, []weights.Tensor{raw(weights.I8, 4, 8), {Name: "x.scale", DType: weights.I8, Shape: []int{4, 1}, Data: []byte{255, 1, 2, 3}}, f32("scale_2", 256)}, "use_codebook_scale"},
		"codebook of ints":   {`"weights_dtype":"int8","use_codebook":true`, []int{4, 8}, []weights.Tensor{raw(weights.I8, 4, 8), f32("scale", 4, 256)}, "unsigned integer"},
		"partial block":      {`"weights_dtype":"uint6"`, []int{1, 2}, []weights.Tensor{raw(weights.U8, 0, 3), f32("scale", 1, 1), f32("zero_point", 1, 1)}, "x.weight"},
		"shape of a vector":  {`"weights_dtype":"int8"`, []int{4}, []weights.Tensor{raw(weights.I8, 4)}, "two or more axes"},
		"shape overflows":    {`"weights_dtype":"int8"`, []int{1 << 32, 1 << 32}, []weights.Tensor{raw(weights.I8, 0), f32("scale", 1)}, "fits in memory"},
		"shape is negative":  {`"weights_dtype":"int8"`, []int{-4, -8}, []weights.Tensor{raw(weights.I8, 4, 8), f32("scale", 1)}, "fits in memory"},
	} {
		cfg, err := ParseConfig([]byte(`{"quant_method":"sdnq",` + c.config + `}`))
		if err != nil {
			t.Fatal(name, err)
		}
		_, err = Layer(weights.Of(c.tensors...), "x", cfg, c.dense)
		var typed *weights.Error
		if !errors.As(err, &typed) || !strings.Contains(err.Error(), c.want) || typed.Remedy == "" {
			t.Errorf("%s: have %v, want an error with a remedy that says %q", name, err, c.want)
		}
	}
}

// FuzzLayer reads a layer of any config, shapes and codes: an error or a matrix that can be read, never a panic.
func FuzzLayer(f *testing.F) {
	f.Add([]byte(`{"quant_method":"sdnq","weights_dtype":"int8"}`), uint16(0x0108), uint16(0x0104), []byte("12345678901234567890123456789012"))
	f.Add([]byte(`{"quant_method":"sdnq","weights_dtype":"uint4","use_codebook":true,"modules_dtype_dict":{"minimum_3bit":["x*"]}}`), uint16(0x0210), uint16(0x1004), []byte{1, 2, 3})
	f.Add([]byte(`{"quant_method":"sdnq","weights_dtype":"uint2","use_codebook":true,"sdnq_version":"0.1.9","use_hadamard":true,"hadamard_group_size":12}`), uint16(0x0444), uint16(0x1044), make([]byte, 4))
	f.Add([]byte(`{"quant_method":"sdnq","weights_dtype":"fp4","use_hadamard":true,"modules_quant_config":{".x":{"group_size":-2}}}`), uint16(0x0408), uint16(1), []byte{9})
	f.Fuzz(func(t *testing.T, config []byte, dense, scale uint16, codes []byte) {
		cfg, err := ParseConfig(config)
		var typed *weights.Error
		if err != nil {
			if !errors.As(err, &typed) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		shape := []int{int(dense & 15), int(dense >> 4 & 63)}
		if k := int(dense >> 10); k > 0 {
			shape = append(shape, k)
		}
		o, err := cfg.layer("x.weight", Linear)
		if err != nil {
			t.Fatalf("a checked config fails: %v", err)
		}
		w := weights.Tensor{Name: "x.weight", DType: o.format.store, Shape: []int{len(codes) / max(1, o.format.store.Size())}}
		w.Data = codes[:w.Elements()*w.DType.Size()]
		scales := []int{int(scale & 15), int(scale >> 4 & 63), int(scale >> 10)}
		scales = scales[:min(3, 2+scales[2])]
		data := make([]byte, 0, 4*product(scales))
		for range product(scales) {
			data = binary.LittleEndian.AppendUint32(data, 0x3f800000)
		}
		tensors := []weights.Tensor{w}
		for _, name := range []string{"x.scale", "x.zero_point"} {
			tensors = append(tensors, weights.Tensor{Name: name, DType: weights.F32, Shape: scales, Data: data})
		}
		for _, read := range []func(*weights.Store, string, *Config, []int) (*Matrix, error){Layer, TransposedConv} {
			m, err := read(weights.Of(tensors...), "x", cfg, shape)
			if err != nil {
				if !errors.As(err, &typed) {
					t.Fatalf("untyped error %v", err)
				}
				continue
			}
			m.Dequantize()
			m.Int8()
			if group, _, _ := m.Int8Groups(); group > 0 {
				m.UnpackInt8(make([]int8, m.n*m.k), 0, m.n, 0, m.k)
			}
		}
	})
}
