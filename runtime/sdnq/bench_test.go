package sdnq

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"graphrun/kernels/cpu"
	"graphrun/runtime/weights"
)

// benchCases are weights of the common dtypes and layouts.
var benchCases = []struct {
	name, dtype string
	group       int // 0: one scale a row
	cfg         Config
}{
	{"int8", "int8", 0, Config{}},
	{"int8 transposed", "int8", 0, Config{UseQuantizedMatmul: true}},
	{"int8 g64", "int8", 64, Config{}},
	{"uint8", "uint8", 0, Config{}},
	{"uint8 transposed", "uint8", 0, Config{UseQuantizedMatmul: true}},
	{"uint8 g32", "uint8", 32, Config{}},
	{"uint4 g32", "uint4", 32, Config{}},
	{"uint4 g64", "uint4", 64, Config{}},
	{"int4", "int4", 0, Config{}},
	{"uint5 g128", "uint5", 128, Config{}},
	{"uint6 g256", "uint6", 256, Config{}},
	{"uint7 g512", "uint7", 512, Config{}},
	{"uint3 g32", "uint3", 32, Config{}},
	{"uint2 g16", "uint2", 16, Config{}},
	{"uint1 g8", "uint1", 8, Config{}},
	{"float8_e4m3fn", "float8_e4m3fn", 0, Config{}},
	{"float8_e4m3fn transposed", "float8_e4m3fn", 0, Config{UseQuantizedMatmul: true}},
	{"float8_e5m2", "float8_e5m2", 0, Config{}},
	{"float8_e4m3fnuz", "float8_e4m3fnuz", 0, Config{}},
	{"float4_e2m1fn g64", "float4_e2m1fn", 64, Config{}},
	{"float6_e3m2fn g256", "float6_e3m2fn", 256, Config{}},
	{"uint4 codebook", "uint4", 0, Config{UseCodebook: true}},
	{"int16", "int16", 0, Config{}},
	{"int12", "int12", 0, Config{}},
	{"uint4 g64 svd32", "uint4", 64, Config{UseSVD: true, SVDRank: 32}},
	{"int8 hadamard256", "int8", 0, Config{UseHadamard: true, HadamardGroupSize: 256}},
}

// benchMatrix makes a weight [n, k] of random codes.
func benchMatrix(t testing.TB, dtype string, group int, cfg Config, n, k int) *Matrix {
	t.Helper()
	f, err := parseFormat(dtype)
	if err != nil {
		t.Fatal(err)
	}
	cfg.WeightsDType = dtype
	r := rand.NewPCG(1, 2)
	raw := func(name string, d weights.DType, shape ...int) weights.Tensor {
		return randomTensor(r, name, d, shape...)
	}
	codes := raw("weight", f.store, f.size(n*k)/f.store.Size())
	if !f.integer && !f.packed {
		for i := range codes.Data {
			codes.Data[i] = codes.Data[i]&^0x40 | 1 // no NaN
		}
	}
	scales, cb := []int{n, 1}, 1
	if cfg.UseCodebook {
		cb = 1 << f.bits
		scales = []int{n, cb}
	}
	if group > 0 {
		scales = []int{n, k / group, cb}
	}
	if cfg.UseQuantizedMatmul {
		codes.Shape, scales = []int{k, n}, []int{1, n}
	}
	list := []weights.Tensor{codes, raw("scale", weights.F32, scales...), raw("zero_point", weights.F32, scales...)}
	if cfg.UseSVD {
		list = append(list, raw("svd_up", weights.F32, n, cfg.SVDRank), raw("svd_down", weights.F32, cfg.SVDRank, k))
	}
	m, err := Layer(weights.Of(list...), "x", &cfg, []int{n, k})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// BenchmarkUnpack dequantizes a 1280 x 1280 weight in blocks of 8 x 1024, as products do; bytes are those of float32.
func BenchmarkUnpack(b *testing.B) {
	const n, k = 1280, 1280
	for _, c := range benchCases {
		b.Run(c.name, func(b *testing.B) {
			m := benchMatrix(b, c.dtype, c.group, c.cfg, n, k)
			dst := make([]float32, 8*1024)
			b.SetBytes(4 * n * k)
			b.ReportAllocs()
			for b.Loop() {
				for k0 := 0; k0 < k; k0 += 1024 {
					for n0 := 0; n0 < n; n0 += 8 {
						m.Unpack(dst, n0, n0+8, k0, min(k, k0+1024))
					}
				}
			}
		})
	}
	for _, kernel := range [][]int{{3, 3}, {1, 1}} {
		b.Run(fmt.Sprint("int8 conv", kernel), func(b *testing.B) {
			shape := append([]int{320, 320}, kernel...)
			cfg, _ := ParseConfig([]byte(`{"quant_method":"sdnq","quant_conv":true,"group_size":-1}`))
			m := quantizedLayer(b, cfg, shape...)
			n, k := m.Dims()
			dst := make([]float32, 8*k)
			b.SetBytes(int64(4 * n * k))
			b.ReportAllocs()
			for b.Loop() {
				for n0 := 0; n0 < n; n0 += 8 {
					m.Unpack(dst, n0, n0+8, 0, k)
				}
			}
		})
	}
}

// BenchmarkMatMul multiplies many rows and one by the weights, and by dense ones beside them.
func BenchmarkMatMul(b *testing.B) {
	const n, k = 3072, 3072
	p := cpu.NewPool(2)
	defer p.Close()
	for _, m := range []int{1024, 4, 1} {
		x, dst := make([]float32, m*k), make([]float32, m*n)
		for i := range x {
			x[i] = float32(i%17 - 8)
		}
		run := func(name string, w cpu.Weights) {
			b.Run(fmt.Sprintf("%s, %d rows", name, m), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					cpu.MatMul(b.Context(), p, dst, x, m, w, nil, cpu.Exact)
				}
			})
		}
		data := make([]byte, 4*n*k)
		run("float32", cpu.NewF32(data, n, k))
		run("bf16", cpu.NewBF16(data[:2*n*k], n, k))
		run("f16", cpu.NewF16(data[:2*n*k], n, k))
		for _, c := range benchCases {
			run(c.name, benchMatrix(b, c.dtype, c.group, c.cfg, n, k))
		}
	}
}

// BenchmarkRequantize makes int8 codes of weights of groups.
func BenchmarkRequantize(b *testing.B) {
	const n, k = 3072, 12288
	for _, c := range benchCases[5:9] {
		b.Run(c.name, func(b *testing.B) {
			m := benchMatrix(b, c.dtype, c.group, c.cfg, n, k)
			for b.Loop() {
				m.makeInt8()
			}
		})
	}
}

// BenchmarkQuantize quantizes a 2560 x 2560 weight of bfloat16, as most are stored; bytes are those of the source.
func BenchmarkQuantize(b *testing.B) {
	const n, k = 2560, 2560
	p := cpu.NewPool(2)
	defer p.Close()
	for _, d := range []weights.DType{weights.BF16, weights.F16, weights.F32} {
		for _, c := range []string{
			`{}`, `{"use_quantized_matmul":true}`, `{"weights_dtype":"uint8"}`, `{"weights_dtype":"uint4"}`, `{"weights_dtype":"int4"}`, `{"weights_dtype":"int5"}`,
			`{"weights_dtype":"float8_e4m3fn"}`, `{"weights_dtype":"float4_e2m1fn"}`, `{"weights_dtype":"int16"}`, `{"weights_dtype":"int12"}`,
			`{"use_hadamard":true}`, `{"weights_dtype":"uint4","use_codebook":true}`, `{"weights_dtype":"uint4","use_svd":true}`,
		} {
			b.Run(d.String()+" "+c, func(b *testing.B) {
				cfg := DefaultConfig()
				if err := json.Unmarshal([]byte(c), cfg); err != nil {
					b.Fatal(err)
				}
				w := random("layer.weight", d, n, k)
				b.SetBytes(int64(len(w.Data)))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := Quantize(b.Context(), p, w, Linear, cfg); err != nil {
						b.Fatal(err)
					}
				}
			})
			if d != weights.BF16 {
				break
			}
		}
	}
	b.Run("BF16 conv", func(b *testing.B) {
		w := random("layer.weight", weights.BF16, 640, 1024, 3, 3)
		b.SetBytes(int64(len(w.Data)))
		for b.Loop() {
			if _, err := Quantize(b.Context(), p, w, Conv, DefaultConfig()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
