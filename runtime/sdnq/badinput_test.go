package sdnq

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"graphrun/runtime/weights"
)

// float32s is a tensor of float32.
func float32s(name string, shape []int, v ...float32) weights.Tensor {
	return weights.Tensor{Name: name, DType: weights.F32, Shape: shape, Data: floatBytes(v, weights.F32)}
}

// Files that contradict themselves or their config are refused by the name of a tensor, with need and have.
func TestBadCheckpoints(t *testing.T) {
	codes := func(d weights.DType, shape ...int) weights.Tensor {
		data := make([]byte, product(shape)*d.Size())
		for i := range data {
			data[i] = 1
		}
		return weights.Tensor{Name: "x.weight", DType: d, Shape: shape, Data: data}
	}
	nan := float32(math.NaN())
	for name, c := range map[string]struct {
		config         string
		tensors        []weights.Tensor
		tensor, detail string
	}{
		"scale of the wrong shape":      {`"weights_dtype":"int8"`, []weights.Tensor{codes(weights.I8, 2, 8), float32s("x.scale", []int{3, 1}, 1, 1, 1)}, "x.scale", "[3 1]"},
		"missing zero point":            {`"weights_dtype":"uint8"`, []weights.Tensor{codes(weights.U8, 2, 8), float32s("x.scale", []int{2, 1}, 1, 1)}, "x.zero_point", "no such tensor"},
		"packed length that is short":   {`"weights_dtype":"int4"`, []weights.Tensor{codes(weights.U8, 7), float32s("x.scale", []int{2, 1}, 1, 1)}, "x.weight", "8 bytes of U8"},
		"packed length that is long":    {`"weights_dtype":"int5"`, []weights.Tensor{codes(weights.U8, 3, 5), float32s("x.scale", []int{2, 1}, 1, 1)}, "x.weight", "10 bytes of U8"},
		"config of another dtype":       {`"weights_dtype":"uint4"`, []weights.Tensor{codes(weights.I8, 2, 8), float32s("x.scale", []int{2, 1}, 1, 1)}, "x.weight", "bytes of I8"},
		"config of another layer dtype": {`"weights_dtype":"int8","modules_dtype_dict":{"fp8":["x"]}`, []weights.Tensor{codes(weights.I8, 2, 8), float32s("x.scale", []int{2, 1}, 1, 1)}, "x.weight", "F8_E4M3"},
		"scale that is NaN":             {`"weights_dtype":"int8"`, []weights.Tensor{codes(weights.I8, 2, 8), float32s("x.scale", []int{2, 1}, 1, nan)}, "x.scale", "NaN as number 2 of 2"},
		"scale that is infinite":        {`"weights_dtype":"int8"`, []weights.Tensor{codes(weights.I8, 2, 8), float32s("x.scale", []int{2, 1}, float32(math.Inf(1)), 1)}, "x.scale", "Inf"},
		"scale of zero":                 {`"weights_dtype":"int8"`, []weights.Tensor{codes(weights.I8, 2, 8), float32s("x.scale", []int{2, 1}, 1, 0)}, "x.scale", "zero"},
		"scale of zero, packed":         {`"weights_dtype":"int4"`, []weights.Tensor{codes(weights.U8, 8), float32s("x.scale", []int{2, 1}, 1, 0)}, "x.scale", "zero"},
		"zero point that is NaN":        {`"weights_dtype":"uint8"`, []weights.Tensor{codes(weights.U8, 2, 8), float32s("x.scale", []int{2, 1}, 1, 1), float32s("x.zero_point", []int{2, 1}, nan, 1)}, "x.zero_point", "NaN"},
	} {
		cfg, err := ParseConfig([]byte(`{"quant_method":"sdnq",` + c.config + `}`))
		if err != nil {
			t.Fatal(name, err)
		}
		_, err = Layer(weights.Of(c.tensors...), "x", cfg, []int{2, 8})
		var typed *weights.Error
		if !errors.As(err, &typed) || typed.Tensor != c.tensor || typed.Need == "" || typed.Have == "" || typed.Remedy == "" || !strings.Contains(err.Error(), c.detail) {
			t.Errorf("%s: have %v, want an error of %s with need and have that says %q", name, err, c.tensor, c.detail)
		}
	}
	zero := weights.Tensor{Name: "x.weight", DType: weights.I8, Shape: []int{2, 8}, Data: make([]byte, 16)}
	zero.Data[0] = 1
	if _, err := Layer(weights.Of(zero, float32s("x.scale", []int{2, 1}, 1, 0)), "x", DefaultConfig(), []int{2, 8}); err != nil {
		t.Error("a row of zeros has a scale of zero: ", err)
	}
	for config, want := range map[string]string{
		`{"quant_method":"sdnq","weights_dtype":"int99"}`:                                `"int99"`,
		`{"quant_method":"sdnq","modules_quant_config":{"x":{"weights_dtype":"float"}}}`: `"float"`,
		`{"quant_method":"sdnq_training"}`:                                               "trains",
	} {
		if _, err := ParseConfig([]byte(config)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: have %v, want %s named", config, err, want)
		}
	}
}

// Sources that cannot be quantized leave nothing behind.
func TestBadSources(t *testing.T) {
	for name, spoil := range map[string]func(unet string) error{
		"need": func(unet string) error { // a shard cut short
			return os.Truncate(filepath.Join(unet, "diffusion_pytorch_model.safetensors"), 4096)
		},
		"trains": func(unet string) error {
			return os.WriteFile(filepath.Join(unet, "quantization_config.json"), []byte(`{"quant_method":"sdnq_training"}`), 0o666)
		},
		"scales": func(unet string) error { // codes without a config
			return weights.Write(filepath.Join(unet, "diffusion_pytorch_model.safetensors"), []weights.Tensor{
				random("a.weight", weights.F16, 128, 128), random("a.scale", weights.F32, 128, 1),
			}, nil)
		},
		"finite numbers": func(unet string) error {
			bad := random("a.weight", weights.F32, 128, 128)
			binary.LittleEndian.PutUint32(bad.Data, 0x7fc00000)
			return weights.Write(filepath.Join(unet, "diffusion_pytorch_model.safetensors"), []weights.Tensor{bad}, nil)
		},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			src, parent := pipeline(t), t.TempDir()
			if err := spoil(filepath.Join(src, "unet")); err != nil {
				t.Fatal(err)
			}
			err := QuantizeModel(t.Context(), src, filepath.Join(parent, "out"), DefaultConfig())
			if err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("have %v, want %q", err, name)
			}
			t.Log(err)
			if left, _ := os.ReadDir(parent); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// FuzzComponent reads config and checkpoint together, as they lie in a folder: an error or weights, never a panic.
func FuzzComponent(f *testing.F) {
	file := func(list ...weights.Tensor) []byte {
		var b strings.Builder
		if err := weights.Encode(&b, list, nil); err != nil {
			f.Fatal(err)
		}
		return []byte(b.String())
	}
	w := weights.Tensor{Name: "a.b.weight", DType: weights.I8, Shape: []int{2, 8}, Data: []byte("0123456789abcdef")}
	packed := weights.Tensor{Name: "a.b.weight", DType: weights.U8, Shape: []int{8}, Data: []byte("01234567")}
	scale, zero := float32s("a.b.scale", []int{2, 1}, 1, 2), float32s("a.b.zero_point", []int{2, 1}, 3, 4)
	f.Add([]byte(`{"quant_method":"sdnq"}`), file(w, scale), uint8(2), uint8(8), uint8(0))
	f.Add([]byte(`{"quant_method":"sdnq","weights_dtype":"uint4","use_svd":true}`), file(packed, scale, zero, float32s("a.b.svd_up", []int{2, 1}, 1, 1), float32s("a.b.svd_down", []int{1, 8}, make([]float32, 8)...)), uint8(2), uint8(8), uint8(0))
	f.Add([]byte(`{"quant_method":"sdnq","use_hadamard":true,"use_quantized_matmul_conv":true,"scale_dtype":"int8"}`), file(w, scale), uint8(2), uint8(2), uint8(4))
	f.Fuzz(func(t *testing.T, config, checkpoint []byte, o, i, k uint8) {
		if !json.Valid(config) {
			config = []byte(`{"quant_method":"sdnq"}`)
		}
		dir := fstest.MapFS{"config.json": {Data: []byte(`{"quantization_config":` + string(config) + `}`)}, "model.safetensors": {Data: checkpoint}}
		var typed *weights.Error
		refused := func(err error) bool {
			if err != nil && !errors.As(err, &typed) {
				t.Fatalf("untyped error %v", err)
			}
			return err != nil
		}
		cfg, err := LoadConfigFS(dir, ".")
		if refused(err) || cfg == nil {
			return
		}
		s, err := weights.OpenFS(dir, ".")
		if refused(err) {
			return
		}
		defer s.Close()
		for _, name := range s.Names() {
			module, ok := strings.CutSuffix(name, ".scale")
			if !ok {
				continue
			}
			shape := []int{int(o), int(i)}
			if k > 0 {
				shape = append(shape, int(k))
			}
			m, err := Layer(s, module, cfg, shape)
			if refused(err) {
				continue
			}
			if n, k := m.Dims(); n*k != len(m.Dequantize()) {
				t.Errorf("%d by %d, %d values", n, k, len(m.Dequantize()))
			}
		}
	})
}
