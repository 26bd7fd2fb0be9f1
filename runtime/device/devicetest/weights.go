package devicetest

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"

	"graphrun/kernels/cpu"
	"graphrun/runtime/device"
)

// Matrix is weights [N, K] and what they mean.
type Matrix struct {
	Name string
	N, K int
	W    device.Weights
	V    []float64 // the values
	// Codes and what they stand for, [N, K] in this order, for weights that a product in int8 reads as codes.
	Codes       []int8
	Scale, Zero []float32
	// Group is how many inputs share a scale, which are [N, K/Group] then; 0 for one scale a row.
	Group int
}

// Dense are random weights in float32.
func Dense(n, k int) Matrix {
	v := random(n*k, 7)
	return Matrix{Name: "dense", N: n, K: k, W: cpu.Dense(v, n, k), V: wide(v)}
}

func wide(v []float32) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x)
	}
	return out
}

// FromWeights reads the values of any weights, and the codes of a product in int8 if they have some.
func FromWeights(name string, w device.Weights) Matrix {
	n, k := w.Dims()
	v := make([]float32, n*k)
	w.Unpack(v, 0, n, 0, k)
	m := Matrix{Name: name, N: n, K: k, W: w, V: wide(v)}
	if c, ok := w.(cpu.Int8Weights); ok {
		codes, kByN, scale, zero := c.Int8()
		m.Codes, m.Scale, m.Zero = codes, scale, zero
		if kByN && codes != nil {
			m.Codes = make([]int8, n*k)
			for i := range codes {
				m.Codes[i%n*k+i/n] = codes[i]
			}
		}
	}
	if g, ok := w.(cpu.GroupedInt8Weights); ok && m.Codes == nil {
		if m.Group, m.Scale, m.Zero = g.Int8Groups(); m.Group > 0 {
			m.Codes = make([]int8, n*k)
			g.UnpackInt8(m.Codes, 0, n, 0, k)
		}
	}
	return m
}

// kinds are weights of every kind that kernels know, and of one that they do not.
func kinds(n, k int) []Matrix {
	d := Dense(n, k)
	f32, bf16, f16, f8 := make([]byte, 4*n*k), make([]byte, 2*n*k), make([]byte, 2*n*k), make([]byte, n*k)
	r := rand.New(rand.NewPCG(8, 8))
	values := map[string][]float64{}
	for i, v := range d.V {
		binary.LittleEndian.PutUint32(f32[4*i:], math.Float32bits(float32(v)))
		top := uint16(math.Float32bits(float32(v)) >> 16)
		binary.LittleEndian.PutUint16(bf16[2*i:], top)
		values["bfloat16"] = append(values["bfloat16"], float64(math.Float32frombits(uint32(top)<<16)))
		h := uint16(r.UintN(0x4200)) | uint16(r.UintN(2))<<15 // up to ±3, with subnormals
		binary.LittleEndian.PutUint16(f16[2*i:], h)
		values["float16"] = append(values["float16"], minifloat(int(h), 5, 10))
		f8[i] = byte(r.UintN(0x44)) | byte(r.UintN(2))<<7
		values["float8"] = append(values["float8"], minifloat(int(f8[i]), 4, 3))
	}
	return []Matrix{
		d,
		{Name: "float32", N: n, K: k, W: cpu.NewF32(f32, n, k), V: d.V},
		{Name: "bfloat16", N: n, K: k, W: cpu.NewBF16(bf16, n, k), V: values["bfloat16"]},
		{Name: "float16", N: n, K: k, W: cpu.NewF16(f16, n, k), V: values["float16"]},
		{Name: "float8", N: n, K: k, W: float8{n, k, f8}, V: values["float8"]},
		codes(n, k, false, false), codes(n, k, true, false), codes(n, k, false, true), codes(n, k, true, true),
	}
}

// minifloat is the value of a code with a sign, exponent and mantissa bits of these numbers, not Inf or NaN.
func minifloat(code, exponent, mantissa int) float64 {
	bias := 1<<(exponent-1) - 1
	e, m := code>>mantissa&(1<<exponent-1), float64(code&(1<<mantissa-1))
	v := math.Ldexp(m, 1-bias-mantissa)
	if e > 0 {
		v = math.Ldexp(m+math.Ldexp(1, mantissa), e-bias-mantissa)
	}
	if code>>(exponent+mantissa) > 0 {
		v = -v
	}
	return v
}

// float8 are weights that know nothing but to unpack: a device must take any.
type float8 struct {
	n, k  int
	codes []byte
}

func (f float8) Dims() (n, k int) { return f.n, f.k }

func (f float8) Unpack(dst []float32, n0, n1, k0, k1 int) {
	i := 0
	for n := n0; n < n1; n++ {
		for k := k0; k < k1; k++ {
			dst[i] = float32(minifloat(int(f.codes[n*f.k+k]), 4, 3))
			i++
		}
	}
}

// coded are int8 codes, one scale and perhaps zero point a row, stored [N, K] or [K, N].
type coded struct {
	m      *Matrix
	stored []int8
	kByN   bool
}

func codes(n, k int, kByN, zeros bool) Matrix {
	r := rand.New(rand.NewPCG(9, 9))
	m := &Matrix{Name: fmt.Sprintf("int8, [K, N] %v, zeros %v", kByN, zeros), N: n, K: k, Scale: make([]float32, n)}
	c := coded{m, make([]int8, n*k), kByN}
	if zeros {
		m.Zero = random(n, 10)
	}
	for i := range n {
		m.Scale[i] = (0.5 + r.Float32()) / 64
		for j := range k {
			code, at := int8(r.IntN(256)-128), i*k+j
			if kByN {
				at = j*n + i
			}
			c.stored[at] = code
			m.Codes = append(m.Codes, code)
			v := float64(code) * float64(m.Scale[i])
			if zeros {
				v += float64(m.Zero[i])
			}
			m.V = append(m.V, v)
		}
	}
	m.W = c
	return *m
}

func (c coded) Dims() (n, k int) { return c.m.N, c.m.K }

func (c coded) Unpack(dst []float32, n0, n1, k0, k1 int) {
	i := 0
	for n := n0; n < n1; n++ {
		for _, v := range c.m.V[n*c.m.K+k0 : n*c.m.K+k1] {
			dst[i] = float32(v)
			i++
		}
	}
}

func (c coded) Int8() ([]int8, bool, []float32, []float32) {
	return c.stored, c.kByN, c.m.Scale, c.m.Zero
}

// Codes makes them weights that a product of few rows need not unpack.
func (c coded) Codes() ([]int8, bool, []float32, []float32) { return c.Int8() }
