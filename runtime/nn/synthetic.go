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
// weights are stored: as int8 codes with a scale a row, as SDNQ lays them out for its quantized matmul, as bfloat16, or as
// float32. Products of normal numbers are normal again.
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

// codes are int8 weights [k, n] with a scale a column.
type codes struct {
	n, k  int
	codes []int8
	scale []float32
}

func (c codes) Dims() (n, k int) { return c.n, c.k }

func (c codes) Unpack(dst []float32, n0, n1, k0, k1 int) {
	for n := n0; n < n1; n++ {
		for k := k0; k < k1; k++ {
			dst[(n-n0)*(k1-k0)+k-k0] = float32(c.codes[k*c.n+n]) * c.scale[n]
		}
	}
}

func (c codes) Int8() (q []int8, kByN bool, scale, zero []float32) {
	return c.codes, true, c.scale, nil
}

func (c codes) Codes() (q []int8, kByN bool, scale, zero []float32) { return c.Int8() }

func (s *synthetic) matrix(name string, shape []int) (w device.Weights, prec, few device.Precision) {
	n, k := shape[0], product(shape[1:])
	if s.put != nil {
		s.file(name, shape, n, k)
		return nil, exact, exact
	}
	switch {
	case s.prec >= int8x:
		return s.codes(n, k), s.prec, exact
	case s.prec == bf16:
		return cpu.NewBF16(s.floats(2, n, k), n, k), bf16, bf16
	}
	return cpu.NewF32(s.floats(4, n, k), n, k), exact, exact
}

func (s *synthetic) codes(n, k int) codes {
	c := codes{n, k, make([]int8, n*k), make([]float32, n)}
	for i := range c.scale {
		c.scale[i] = float32(1 / math.Sqrt(float64(k)) / 74) // the deviation of a byte
	}
	for i := range c.codes {
		if i%8 == 0 {
			s.next()
		}
		c.codes[i] = int8(s.state >> (8 * (i % 8)))
	}
	return c
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
// as SDNQ lays them out for its quantized matmul, or bfloat16 where it has none for the shape; the config says so.
func WriteSynthetic(path string, build func(b *Binder) error) (*sdnq.Config, error) {
	b := Synthetic(int8x)
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
	config := sdnq.DefaultConfig()
	config.UseQuantizedMatmul, config.UseMatmulConv = true, true
	return config, w.Commit()
}

// file puts a matrix.
func (s *synthetic) file(name string, shape []int, n, k int) {
	if n < 32 || n%16 > 0 || shape[1] < 32 || shape[1]%16 > 0 { // SDNQ's own rule
		s.put(weights.Tensor{Name: name + ".weight", DType: weights.BF16, Shape: shape}, func() []byte { return s.floats(2, n, k) })
		return
	}
	var c codes
	s.put(weights.Tensor{Name: name + ".weight", DType: weights.I8, Shape: []int{k, n}}, func() []byte {
		c = s.codes(n, k)
		return bytesOf(c.codes)
	})
	s.put(weights.Tensor{Name: name + ".scale", DType: weights.F32, Shape: []int{1, n}}, func() []byte { return bytesOf(c.scale) })
}

// bytesOf are the bytes of numbers, little-endian.
func bytesOf[T int8 | float32](v []T) []byte {
	b, _ := binary.Append(nil, binary.LittleEndian, v) // numbers of a fixed size
	return b
}
