package sampling

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math"
	"strconv"
	"testing"

	"graphrun/internal/golden"
)

// exact compares bit patterns (NaN equals NaN).
func exact(t *testing.T, name string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: have %d values, want %d", name, len(got), len(want))
		return
	}
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Errorf("%s: value %d is %g, want %g", name, i, got[i], want[i])
			return
		}
	}
}

func parseSeed(t testing.TB, s string) uint64 {
	t.Helper()
	seed, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return seed
}

// digest is the SHA-256 of the values as they lie in a file.
func digest(v []float32) string {
	h := sha256.New()
	binary.Write(h, binary.LittleEndian, v)
	return hex.EncodeToString(h.Sum(nil))
}

func product(size []int) int {
	n := 1
	for _, s := range size {
		n *= s
	}
	return n
}

func TestGoldenRandom(t *testing.T) {
	bits, worst := 0, 0.0
	for _, c := range golden.Numerics(t, "randn", "rand") {
		var p struct {
			Seed, DType, SHA256 string
			Size                []int
		}
		c.Into(t, &p)
		g := NewGenerator(parseSeed(t, p.Seed))
		if p.DType == "float64" {
			want := c.Tensor(t, "out")
			got := make([]float64, product(p.Size))
			if c.Kind == "rand" {
				g.Uniform64(got)
			} else {
				g.Normal64(got)
			}
			for i, w := range want.F64() {
				d := math.Abs(got[i] - w)
				worst = max(worst, d)
				if d > c.Tolerance.ATol+c.Tolerance.RTol*math.Abs(w) {
					t.Errorf("%s: value %d is %v, want %v", c.Name, i, got[i], w)
					break
				}
			}
			continue
		}
		got := make([]float32, product(p.Size))
		switch {
		case c.Kind == "rand":
			g.Uniform(got)
		case p.DType == "float16":
			g.NormalAs(got, Half)
		case p.DType == "bfloat16":
			g.NormalAs(got, BFloat16)
		default:
			g.Normal(got)
		}
		bits += len(got)
		if want, ok := c.Lookup(t, "out"); ok {
			exact(t, c.Name, got, want.F32())
			continue
		}
		head, tail := c.Tensor(t, "head").F32(), c.Tensor(t, "tail").F32()
		exact(t, c.Name+" head", got[:len(head)], head)
		exact(t, c.Name+" tail", got[len(got)-len(tail):], tail)
		if sum := digest(got); sum != p.SHA256 {
			t.Errorf("%s: SHA-256 %s, want %s", c.Name, sum, p.SHA256)
		}
	}
	t.Logf("float32 and half: %d values equal to the bit; float64: largest difference %.3g", bits, worst)
}

// A 16-bit dtype draws its last 16 numbers anew as float32 does, but without the numbers that float32 throws away. From torch 2.15.
func TestHalfTail(t *testing.T) {
	half := make([]float32, 17)
	NewGenerator(5).NormalAs(half, Half)
	exact(t, "float16", half, []float32{
		1.8427734375, 2.779296875, 1.2216796875, -0.33642578125, -0.96484375, -0.129638671875, -0.6015625, 0.14501953125, -0.1497802734375, -0.4375,
		0.779296875, -0.058349609375, -2.03125, 1.4833984375, 0.494140625, 0.249267578125, 1.7470703125,
	})
	brain := make([]float32, 23)
	NewGenerator(5).NormalAs(brain, BFloat16)
	exact(t, "bfloat16", brain, []float32{
		1.84375, 0.51953125, -1.7109375, -1.703125, 2.015625, -0.26953125, -0.130859375, 2.78125, 1.21875, -0.3359375, -0.96484375, -0.1298828125, -0.6015625,
		0.14453125, -0.1494140625, -0.4375, 0.77734375, -0.058349609375, -2.03125, 1.484375, 0.494140625, 0.2490234375, 1.75,
	})
}

func TestGoldenRandomSequence(t *testing.T) {
	for _, c := range golden.Numerics(t, "randn_seq") {
		var p struct {
			Seed  string
			Sizes []int
		}
		c.Into(t, &p)
		g := NewGenerator(parseSeed(t, p.Seed))
		for i, n := range p.Sizes {
			got := make([]float32, n)
			g.Normal(got)
			exact(t, c.Name, got, c.Tensor(t, "out"+strconv.Itoa(i)).F32())
		}
	}
}

func TestGoldenRandomIntegers(t *testing.T) {
	for _, c := range golden.Numerics(t, "randint", "randperm") {
		var p struct {
			Seed    string
			Low     json.Number
			High    json.Number
			Size, N int
		}
		c.Into(t, &p)
		g := NewGenerator(parseSeed(t, p.Seed))
		want := c.Tensor(t, "out").I64()
		var got []int64
		if c.Kind == "randperm" {
			for _, v := range g.Perm(p.N) {
				got = append(got, int64(v))
			}
		} else {
			low, _ := p.Low.Int64()
			high, err := p.High.Int64()
			if err != nil {
				t.Fatal(err)
			}
			for range p.Size {
				got = append(got, g.Intn(low, high))
			}
		}
		for i, w := range want {
			if len(got) != len(want) || got[i] != w {
				t.Errorf("%s: got %v, want %v", c.Name, got, want)
				break
			}
		}
	}
}

func TestGoldenBrownian(t *testing.T) {
	worst := 0.0
	for _, c := range golden.Numerics(t, "brownian") {
		var p struct {
			Seed     any // a decimal string, or a list with one number a batch element
			Shape    []int
			SigmaMin float64 `json:"sigma_min"`
			SigmaMax float64 `json:"sigma_max"`
			Queries  [][2]float64
		}
		c.Into(t, &p)
		var seeds []uint64
		switch s := p.Seed.(type) {
		case string:
			seeds = []uint64{parseSeed(t, s)}
		case []any:
			for _, v := range s {
				seeds = append(seeds, uint64(v.(float64)))
			}
		}
		got := make([]float32, product(p.Shape))
		n := len(got) / len(seeds)
		var trees []*brownian
		for _, seed := range seeds {
			trees = append(trees, newBrownian(seed, p.SigmaMin, p.SigmaMax, n))
		}
		for i, q := range p.Queries {
			for j, b := range trees {
				b.Noise(got[j*n:(j+1)*n], float32(q[0]), float32(q[1]))
			}
			d, err := golden.Compare(got, c.Tensor(t, "q"+strconv.Itoa(i)).F32(), c.Tolerance.ATol, c.Tolerance.RTol)
			if err != nil {
				t.Errorf("%s query %v: %v", c.Name, q, err)
			}
			worst = max(worst, d)
		}
	}
	t.Logf("largest difference %.3g", worst)
}
