package sdnq

import (
	"testing"

	"graphrun/runtime/weights"
)

// BenchmarkUnpack dequantizes a 1280 x 1280 weight in blocks of 64 x 256; bytes are codes.
func BenchmarkUnpack(b *testing.B) {
	const n, k = 1280, 1280
	for _, c := range []struct {
		name          string
		dtype         weights.DType
		weight, scale []int
		dense         []int
		cfg           Config
	}{
		{"int8 row", weights.I8, []int{n, k}, []int{n, 1}, []int{n, k}, Config{WeightsDType: "int8"}},
		{"int8 transposed", weights.I8, []int{k, n}, []int{1, n}, []int{n, k}, Config{WeightsDType: "int8", UseQuantizedMatmul: true}},
		{"int8 groups", weights.I8, []int{n, k / 64, 64}, []int{n, k / 64, 1}, []int{n, k}, Config{WeightsDType: "int8"}},
		{"int8 conv", weights.I8, []int{n, k / 16, 4, 4}, []int{n, 1, 4, 4}, []int{n, k / 16, 4, 4}, Config{WeightsDType: "int8"}},
		{"uint8 row", weights.U8, []int{n, k}, []int{n, 1}, []int{n, k}, Config{WeightsDType: "uint8"}},
		{"uint4 groups", weights.U8, []int{n * k / 2}, []int{n, k / 64, 1}, []int{n, k}, Config{WeightsDType: "uint4"}},
		{"int6 row", weights.U8, []int{n * k / 4, 3}, []int{n, 1}, []int{n, k}, Config{WeightsDType: "int6"}},
	} {
		b.Run(c.name, func(b *testing.B) {
			ones := func(name string) weights.Tensor {
				return weights.Tensor{Name: "x." + name, DType: weights.F32, Shape: c.scale, Data: make([]byte, 4*product(c.scale))}
			}
			dir := b.TempDir()
			w := weights.Tensor{Name: "x.weight", DType: c.dtype, Shape: c.weight, Data: make([]byte, product(c.weight))}
			if err := weights.Write(dir+"/x.safetensors", []weights.Tensor{w, ones("scale"), ones("zero_point")}, nil); err != nil {
				b.Fatal(err)
			}
			s, err := weights.Open(dir)
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			m, err := Layer(s, "x", &c.cfg, c.dense)
			if err != nil {
				b.Fatal(err)
			}
			dst := make([]float32, 64*256)
			b.SetBytes(n * k)
			for b.Loop() {
				for n0 := 0; n0 < n; n0 += 64 {
					for k0 := 0; k0 < k; k0 += 256 {
						m.Unpack(dst, n0, n0+64, k0, k0+256)
					}
				}
			}
		})
	}
}
