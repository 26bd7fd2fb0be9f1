package sdnq

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
	"testing"
	"testing/fstest"

	"graphrun/runtime/weights"
)

// released reads layer x with a config of these keys.
func released(t *testing.T, read func(*weights.Store, string, *Config, []int) (*Matrix, error), keys string, dense []int, tensors ...weights.Tensor) []float32 {
	t.Helper()
	cfg, err := ParseConfig([]byte(`{"quant_method":"sdnq",` + keys + `}`))
	if err != nil {
		t.Fatal(err)
	}
	m, err := read(weights.Of(tensors...), "x", cfg, dense)
	if err != nil {
		t.Fatal(keys, err)
	}
	return m.Dequantize()
}

// Release 0.1.9 rotates by the powers of [[1,1],[1,-1]] whatever the size, those since by the matrix of four rows where its powers
// have the size. The weight is the identity, so that what is read is the matrix.
func TestReleasedRotations(t *testing.T) {
	const n = 64
	w := weights.Tensor{Name: "x.weight", DType: weights.I8, Shape: []int{n, n}, Data: make([]byte, n*n)}
	for i := range n {
		w.Data[i*n+i] = 1
	}
	scale := float32s("x.scale", []int{n, 1}, slices.Repeat([]float32{1}, n)...)
	for version, twos := range map[string]bool{"0.1.9": true, "0.2.0": false, "0.2.8": false, "": false} {
		for _, h := range []int{4, 8, 16, 32, 64} {
			keys := fmt.Sprintf(`"use_hadamard":true,"hadamard_group_size":%d,"sdnq_version":%q`, h, version)
			want := make([]float32, n*n)
			for i := range n {
				for j := i / h * h; j < (i/h+1)*h; j++ {
					sign := 1 - 2*(bits.OnesCount(uint(i&j%h))%2)
					if !twos && bits.TrailingZeros(uint(h))%2 == 0 {
						sign = 1
						for a, b := i%h, j%h; a+b > 0; a, b = a/4, b/4 {
							if a%4+b%4 == 3 {
								sign = -sign
							}
						}
					}
					want[i*n+j] = float32(float64(sign) / math.Sqrt(float64(h)))
				}
			}
			near(t, fmt.Sprintf("rotation by %d of %q", h, version), released(t, Layer, keys, w.Shape, w, scale), want, 1e-6)
		}
	}
}

// What releases made of group sizes that are no power of two, and of those above the width, as seen in files that they wrote.
func TestReleasedChunks(t *testing.T) {
	for _, c := range []struct{ channels, group, v019, v021, v022 int }{
		{256, 256, 256, 256, 256},
		{256, 96, 32, 32, 128},
		{256, 48, 16, 16, 64},
		{256, 40, 16, 16, 64},
		{256, 24, 8, 8, 32},
		{256, 12, 4, 4, 16},
		{256, 200, 64, 64, 256},
		{128, 200, 64, 128, 128},
		{64, 96, 32, 64, 64},
		{32, 48, 16, 32, 32},
		{336, 20, 8, 8, 16},
		{48, 20, 8, 8, 16},
	} {
		for version, want := range map[string]int{"0.1.9": c.v019, "0.2.0": c.v019, "0.2.1": c.v021, "0.2.2": c.v022, "0.2.8": c.v022, "": c.v022} {
			cfg := Config{UseHadamard: true, HadamardGroupSize: c.group, Version: version}
			if got := cfg.rotation(c.channels); got.Chunk != want {
				t.Errorf("%d channels in groups of %d by %q: chunks of %d, want %d", c.channels, c.group, version, got.Chunk, want)
			}
		}
	}
}

// Layouts that some release writes and the config does not tell.
func TestReleasedLayouts(t *testing.T) {
	numbers := func(name string, shape ...int) weights.Tensor {
		v := make([]float32, product(shape))
		for i := range v {
			v[i] = float32(1 + i)
		}
		return float32s("x."+name, shape, v...)
	}
	codes := func(d weights.DType, shape ...int) weights.Tensor {
		w := weights.Tensor{Name: "x.weight", DType: d, Shape: shape, Data: make([]byte, product(shape))}
		for i := range w.Data {
			w.Data[i] = byte(i * i % 7)
		}
		return w
	}
	check := func(what string, dense []int, got []float32, want func(o, c, p int) float64) {
		t.Helper()
		kk, v := product(dense[2:]), make([]float32, len(got))
		for i := range v {
			v[i] = float32(want(i/(dense[1]*kk), i/kk%dense[1], i%kk))
		}
		near(t, what, got, v, 1e-6)
	}

	// 0.1.9 to 0.2.6: a convolution of one point, asked to be multiplied in int8, in groups as a Linear.
	dense, w := []int{2, 6, 1, 1}, codes(weights.I8, 2, 3, 2)
	check("columns in groups", dense, released(t, Layer, `"weights_dtype":"int8","group_size":2,"use_quantized_matmul_conv":true`, dense, w, numbers("scale", 2, 3, 1)),
		func(o, c, _ int) float64 { return float64(w.Data[o*6+c]) * float64(1+o*3+c/2) })

	// Before 0.1.3, and whoever says no version: convolutions of fewer than four bits hold uint4.
	dense, w = []int{2, 2, 2}, weights.Tensor{Name: "x.weight", DType: weights.U8, Shape: []int{4}, Data: []byte{0x10, 0x32, 0xba, 0xfe}}
	check("two bits in four", dense, released(t, Layer, `"weights_dtype":"uint2"`, dense, w, numbers("scale", 2, 1, 2), numbers("zero_point", 2, 1, 2)),
		func(o, c, p int) float64 {
			i := o*4 + c*2 + p
			return float64(w.Data[i/2]>>(i%2*4)&15)*float64(1+o*2+p) + float64(1+o*2+p)
		})

	// Codebooks of a transposed convolution that could be those of another one.
	dense, w = []int{4, 4, 2}, weights.Tensor{Name: "x.weight", DType: weights.U8, Shape: []int{8}, Data: []byte{0x1b, 0xe4, 0x39, 0x6c, 0x00, 0xff, 0x93, 0x72}}
	code := func(o, c, p int) int { i := o*8 + c*2 + p; return int(w.Data[i/4] >> (i % 4 * 2) & 3) }
	for _, groups := range []bool{false, true} {
		dense, shape := dense, []int{4, 4, 2}
		if groups { // four of 2 channels
			dense, shape = []int{2, 8, 2}, []int{2, 4, 4, 2}
			code = func(o, c, p int) int { i := o*16 + c*2 + p; return int(w.Data[i/4] >> (i % 4 * 2) & 3) }
		}
		keys, table := `"weights_dtype":"uint2","use_codebook":true`, numbers("scale", shape...)
		check("codebook of Conv", dense, released(t, Layer, keys, dense, w, table), func(o, c, p int) float64 {
			if groups {
				return float64(1 + ((o*4+c/2)*4+code(o, c, p))*2 + p)
			}
			return float64(1 + (o*4+code(o, c, p))*2 + p)
		})
		check("codebook of ConvTranspose", dense, released(t, TransposedConv, keys, dense, w, table), func(o, c, p int) float64 {
			if groups {
				return float64(1 + ((o*4+code(o, c, p))*4+c%4)*2 + p)
			}
			return float64(1 + (code(o, c, p)*4+c)*2 + p)
		})
	}

	// Scales of a transposed convolution that are quantized and packed, so that their shape is lost: one for each column.
	for _, dense := range [][]int{{4, 4, 2}, {6, 4, 2}} {
		w = codes(weights.I8, dense...)
		scale := weights.Tensor{Name: "x.scale", DType: weights.U8, Shape: []int{4}, Data: []byte{0x21, 0x43, 0x65, 0x87}}
		keys := `"weights_dtype":"int8","scale_dtype":"uint4"`
		got := released(t, TransposedConv, keys, dense, w, scale, float32s("x.scale_2", []int{1}, 0.5), float32s("x.scale_zero_point", []int{1}, 0))
		check("packed scales", dense, got, func(o, c, p int) float64 { return float64(w.Data[o*8+c*2+p]) * float64(1+c*2+p) / 2 })
	}
}

// Both places of the config: the file beside wins, and a config of SDNQ's keys needs no name, since SDNQ's own loader reads it.
func TestReleasedPlaces(t *testing.T) {
	const int4, uint5, other = `{"quant_method":"sdnq","weights_dtype":"int4"}`, `{"weights_dtype":"uint5"}`, `{"quant_method":"quanto","weights_dtype":"int8"}`
	for _, c := range []struct{ config, beside, want string }{
		{`{"quantization_config":` + int4 + `}`, "", "int4"},
		{`{"quantization_config":` + uint5 + `}`, "", "uint5"},
		{`{}`, int4, "int4"},
		{`{"quantization_config":` + int4 + `}`, uint5, "uint5"},
		{`{"quantization_config":null}`, uint5, "uint5"},
		{"", int4, "int4"},
		{`{"quantization_config":` + other + `}`, "", ""},
		{`{"quantization_config":null}`, "", ""},
		{`{"quantization_config":{}}`, "", ""},
		{`{}`, "", ""},
	} {
		files := fstest.MapFS{}
		for name, text := range map[string]string{"unet/config.json": c.config, "unet/quantization_config.json": c.beside} {
			if text != "" {
				files[name] = &fstest.MapFile{Data: []byte(text)}
			}
		}
		cfg, err := LoadConfigFS(files, "unet")
		have := ""
		if cfg != nil {
			have = cfg.WeightsDType
		}
		if err != nil || have != c.want {
			t.Errorf("%s and %s: have dtype %q (%v), want %q", c.config, c.beside, have, err, c.want)
		}
	}
}
