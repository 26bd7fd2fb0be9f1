package golden

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"sync"
	"testing"
)

// Tensor is an array of a safetensors file as it lies there: Raw is row-major and little-endian.
type Tensor struct {
	Name  string
	DType string // "F32", "I64", ...
	Shape []int
	Raw   []byte
}

var files sync.Map // path -> map[string]Tensor; golden files do not change while tests run

// Tensors reads a safetensors file. The tensors share memory with later callers: do not write to them.
func Tensors(t testing.TB, path string) map[string]Tensor {
	t.Helper()
	if m, ok := files.Load(path); ok {
		return m.(map[string]Tensor)
	}
	m, err := read(path)
	if err != nil {
		t.Fatal(err)
	}
	files.Store(path, m)
	return m
}

func read(path string) (map[string]Tensor, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if len(raw) < 8 {
		return nil, fmt.Errorf("%s: %d bytes are no safetensors file", path, len(raw))
	}
	n := binary.LittleEndian.Uint64(raw)
	if n > uint64(len(raw)-8) {
		return nil, fmt.Errorf("%s: header of %d bytes in a file of %d", path, n, len(raw))
	}
	var header map[string]json.RawMessage
	if err := json.Unmarshal(raw[8:8+n], &header); err != nil {
		return nil, fmt.Errorf("%s: header: %w", path, err)
	}
	data := raw[8+n:]
	delete(header, "__metadata__")
	tensors := make(map[string]Tensor, len(header))
	for name, entry := range header {
		var e struct {
			DType   string
			Shape   []int
			Offsets [2]int `json:"data_offsets"`
		}
		if err := json.Unmarshal(entry, &e); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", path, name, err)
		}
		if e.Offsets[0] < 0 || e.Offsets[0] > e.Offsets[1] || e.Offsets[1] > len(data) {
			return nil, fmt.Errorf("%s: %s: bytes %v of %d", path, name, e.Offsets, len(data))
		}
		tensors[name] = Tensor{Name: name, DType: e.DType, Shape: e.Shape, Raw: data[e.Offsets[0]:e.Offsets[1]]}
	}
	return tensors, nil
}

// F32 converts the values to float32. It panics on a dtype that has no plain number form here (fp8, sub-byte).
func (x Tensor) F32() []float32 {
	if x.DType == "F32" {
		return convert(x.Raw, 4, func(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) })
	}
	v := x.F64()
	out := make([]float32, len(v))
	for i := range v {
		out[i] = float32(v[i])
	}
	return out
}

// F64 converts the values to float64, with F32's limits. Integers beyond 2^53 lose their last bits: use I64.
func (x Tensor) F64() []float64 {
	le := binary.LittleEndian
	switch x.DType {
	case "F64":
		return convert(x.Raw, 8, func(b []byte) float64 { return math.Float64frombits(le.Uint64(b)) })
	case "F32":
		return convert(x.Raw, 4, func(b []byte) float64 { return float64(math.Float32frombits(le.Uint32(b))) })
	case "BF16":
		return convert(x.Raw, 2, func(b []byte) float64 { return float64(math.Float32frombits(uint32(le.Uint16(b)) << 16)) })
	case "F16":
		return convert(x.Raw, 2, func(b []byte) float64 { return half(le.Uint16(b)) })
	}
	v := x.I64()
	out := make([]float64, len(v))
	for i := range v {
		out[i] = float64(v[i])
	}
	return out
}

// I64 converts integers and booleans; U64 beyond the range wraps. It panics on any other dtype.
func (x Tensor) I64() []int64 {
	le := binary.LittleEndian
	switch x.DType {
	case "I64", "U64":
		return convert(x.Raw, 8, func(b []byte) int64 { return int64(le.Uint64(b)) })
	case "I32":
		return convert(x.Raw, 4, func(b []byte) int64 { return int64(int32(le.Uint32(b))) })
	case "U32":
		return convert(x.Raw, 4, func(b []byte) int64 { return int64(le.Uint32(b)) })
	case "I16":
		return convert(x.Raw, 2, func(b []byte) int64 { return int64(int16(le.Uint16(b))) })
	case "U16":
		return convert(x.Raw, 2, func(b []byte) int64 { return int64(le.Uint16(b)) })
	case "I8":
		return convert(x.Raw, 1, func(b []byte) int64 { return int64(int8(b[0])) })
	case "U8", "BOOL":
		return convert(x.Raw, 1, func(b []byte) int64 { return int64(b[0]) })
	}
	panic(fmt.Sprintf("golden: %s is %s: no conversion", x.Name, x.DType))
}

func convert[T any](raw []byte, size int, f func([]byte) T) []T {
	out := make([]T, len(raw)/size)
	for i := range out {
		out[i] = f(raw[i*size:])
	}
	return out
}

// half widens an IEEE binary16.
func half(h uint16) float64 {
	sign, exp, frac := 1.0, int(h>>10&31), float64(h&1023)
	if h>>15 != 0 {
		sign = -1
	}
	switch {
	case exp == 0:
		return sign * math.Ldexp(frac, -24)
	case exp == 31 && frac == 0:
		return math.Inf(int(sign))
	case exp == 31:
		return math.NaN()
	}
	return sign * math.Ldexp(1024+frac, exp-25)
}
