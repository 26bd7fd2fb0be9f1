package nn

import (
	"encoding/binary"
	"errors"
	"math"

	"graphrun/kernels/cpu"
	"graphrun/runtime/device"
	"graphrun/runtime/sdnq"
	"graphrun/runtime/weights"
)

// Synthetic returns a binder that makes a checkpoint up: whatever a network asks for is there, in the shape it asks for, so
// that a network of its real size can be measured without its file. prec is the arithmetic of products and decides how
// weights are stored: as int8 codes with a scale a row, as SDNQ lays them out for its quantized matmul, or as bfloat16 where it
// has none for the shape, as bfloat16, or as float32. Products of normal numbers are normal again.
func Synthetic(prec device.Precision) *Binder {
	b := NewBinder(weights.Of(), nil, Options{})
	b.synthetic = &synthetic{prec: prec, state: 1}
	return b
}

type synthetic struct {
	prec  device.Precision
	state uint64
	put   func(t weights.Tensor, data func() []byte) // takes what a layer would get, if it is not nil
}

// next is a pseudo-random word (xorshift, Marsaglia 2003): the same ones each time.
func (s *synthetic) next() uint64 {
	s.state ^= s.state << 13
	s.state ^= s.state >> 7
	s.state ^= s.state << 17
	return s.state
}

func (s *synthetic) matrix(name string, shape []int) (w device.Weights, prec, few device.Precision) {
	n, k := shape[0], product(shape[1:])
	switch {
	case s.put != nil:
		s.store(name, shape, s.put)
		return nil, exact, exact
	case s.prec == exact:
		return cpu.NewF32(s.floats(4, n, k), n, k), exact, exact
	case s.prec == bf16 || !quantizable(shape):
		return cpu.NewBF16(s.floats(2, n, k), n, k), bf16, bf16
	}
	var list []weights.Tensor
	s.store(name, shape, func(t weights.Tensor, data func() []byte) {
		t.Data = data()
		list = append(list, t)
	})
	m, err := sdnq.Layer(weights.Of(list...), name, syntheticConfig(), shape)
	if err != nil {
		panic(err) // a mistake here: nothing comes from outside
	}
	return m, s.prec, exact
}

// syntheticConfig says how codes are stored.
func syntheticConfig() *sdnq.Config {
	c := sdnq.DefaultConfig()
	c.UseQuantizedMatmul, c.UseMatmulConv = true, true
	return c
}

// quantizable is SDNQ's own rule for the quantized matmul.
func quantizable(shape []int) bool {
	return shape[0] >= 32 && shape[0]%16 == 0 && shape[1] >= 32 && shape[1]%16 == 0
}

// floats are n*k numbers of size bytes: float32, or bfloat16.
func (s *synthetic) floats(size, n, k int) []byte {
	deviation := 1 / math.Sqrt(float64(k))
	raw := make([]byte, size*n*k)
	for i := range n * k {
		v := math.Float32bits(float32(deviation * float64(int32(s.next())) / (1 << 30)))
		if size == 2 {
			binary.LittleEndian.PutUint16(raw[2*i:], uint16(v>>16))
		} else {
			binary.LittleEndian.PutUint32(raw[4*i:], v)
		}
	}
	return raw
}

// vector is a scale or shift: alternately 1 and 0.
func (s *synthetic) vector(name string, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(i & 1)
	}
	if s.put != nil {
		s.put(weights.Tensor{Name: name, DType: weights.F32, Shape: []int{n}}, func() []byte { return bytesOf(v) })
	}
	return v
}

// WriteSynthetic writes such a checkpoint to a safetensors file, for the network that build binds. Matrices are int8 codes
// as SDNQ lays them out for its quantized matmul, or bfloat16 where it has none for the shape; the config says so. For
// products in bfloat16 all are that.
func WriteSynthetic(path string, prec device.Precision, build func(b *Binder) error) (*sdnq.Config, error) {
	b := Synthetic(prec)
	var plan []weights.Tensor
	b.synthetic.put = func(t weights.Tensor, _ func() []byte) { plan = append(plan, t) }
	if err := build(b); err != nil {
		return nil, err
	}
	w, err := weights.Create(path, plan, nil)
	if err != nil {
		return nil, err
	}
	defer w.Abort()
	b.synthetic.put = func(t weights.Tensor, data func() []byte) {
		if err == nil {
			err = w.Put(t.Name, data())
		}
	}
	if e := build(b); e != nil || err != nil {
		return nil, errors.Join(e, err)
	}
	return syntheticConfig(), w.Commit()
}

// store puts a matrix as int8 codes [k, n] with a scale a column, or as bfloat16 where SDNQ has no such form for the shape.
func (s *synthetic) store(name string, shape []int, put func(t weights.Tensor, data func() []byte)) {
	n, k := shape[0], product(shape[1:])
	if s.prec == bf16 || !quantizable(shape) {
		put(weights.Tensor{Name: name + ".weight", DType: weights.BF16, Shape: shape}, func() []byte { return s.floats(2, n, k) })
		return
	}
	put(weights.Tensor{Name: name + ".weight", DType: weights.I8, Shape: []int{k, n}}, func() []byte {
		codes := make([]byte, n*k)
		for i := range codes {
			if i%8 == 0 {
				s.next()
			}
			codes[i] = byte(s.state >> (8 * (i % 8)))
		}
		return codes
	})
	put(weights.Tensor{Name: name + ".scale", DType: weights.F32, Shape: []int{1, n}}, func() []byte {
		scale := make([]float32, n)
		for i := range scale {
			scale[i] = float32(1 / math.Sqrt(float64(k)) / 74) // the deviation of a byte
		}
		return bytesOf(scale)
	})
}

// bytesOf are the bytes of numbers, little-endian.
func bytesOf(v []float32) []byte {
	b, _ := binary.Append(nil, binary.LittleEndian, v) // numbers of a fixed size
	return b
}
