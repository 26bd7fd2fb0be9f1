package nn

import (
	"encoding/binary"
	"math"

	"graphrun/kernels/cpu"
	"graphrun/runtime/device"
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

func (s *synthetic) matrix(n, k int) (w device.Weights, prec, few device.Precision) {
	deviation := 1 / math.Sqrt(float64(k))
	if s.prec >= int8x {
		c := codes{n, k, make([]int8, n*k), make([]float32, n)}
		for i := range c.scale {
			c.scale[i] = float32(deviation / 74) // the deviation of a byte
		}
		for i := range c.codes {
			if i%8 == 0 {
				s.next()
			}
			c.codes[i] = int8(s.state >> (8 * (i % 8)))
		}
		return c, s.prec, exact
	}
	size := 4
	if s.prec == bf16 {
		size = 2
	}
	raw := make([]byte, size*n*k)
	for i := range n * k {
		v := math.Float32bits(float32(deviation * float64(int32(s.next())) / (1 << 30)))
		if size == 2 {
			binary.LittleEndian.PutUint16(raw[2*i:], uint16(v>>16))
		} else {
			binary.LittleEndian.PutUint32(raw[4*i:], v)
		}
	}
	if size == 2 {
		return cpu.NewBF16(raw, n, k), bf16, bf16
	}
	return cpu.NewF32(raw, n, k), exact, exact
}

// vector is a scale or shift: alternately 1 and 0.
func (s *synthetic) vector(n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(i & 1)
	}
	return v
}
