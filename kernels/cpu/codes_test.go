package cpu

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

// packings are layouts like those of SDNQ (sdnq-format.md 4.2): nibbles, and codes whose bits lie across bytes.
var packings = map[string]*Packing{
	"bits":    NewPacking(1, each8(func(i int) BitField { return BitField{Code: i, Width: 1, At: i} })),
	"sparse":  NewPacking(8, each8(func(i int) BitField { return BitField{Code: i, Width: 1, At: i} })),
	"bytes":   NewPacking(8, each8(func(i int) BitField { return BitField{Code: i, Width: 8, Byte: i} })),
	"nibbles": NewPacking(4, each8(func(i int) BitField { return BitField{Code: i, Width: 4, Byte: i / 2, At: i % 2 * 4} })),
	"seven": NewPacking(7, append(each8(func(i int) BitField { return BitField{Code: i, Width: 7, Byte: i} })[:7],
		each8(func(i int) BitField { return BitField{Code: 7, Bit: 6 - i, Width: 1, Byte: i, At: 7} })[:7]...)),
	"pairs": NewPacking(2, each8(func(i int) BitField { return BitField{Code: i, Width: 2, Byte: i / 4, At: i % 4 * 2} })),
}

func each8(f func(i int) BitField) (list []BitField) {
	for i := range 8 {
		list = append(list, f(i))
	}
	return list
}

// Codes are what moving their bits one by one gives, whatever follows them in memory.
func TestPacking(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		for name, p := range packings {
			for _, n := range []int{0, 8, 16, 24, 32, 40, 64, 96, 120, 128, 136, 256, 264, 1024} {
				for _, extra := range []int{0, 1, 40} {
					for _, minus := range []uint8{0, 8, 64, 128} {
						testPacking(t, name, p, n, extra, minus)
					}
				}
			}
		}
	})
}

func testPacking(t *testing.T, name string, p *Packing, n, extra int, minus uint8) {
	src := make([]byte, p.Size(n)+extra)
	for i := range src {
		src[i] = byte(i*71 + i*i*13)
	}
	want := make([]byte, n)
	p.unpackGo(want, src, 0)
	for i := range want { // the codes bit by bit, by the terms that vectors use
		var v uint64
		for at, from := range p.spread[:8] {
			if from < 0x80 {
				v |= uint64(src[i/8*p.bytes+int(from)]) << (8 * at)
			}
		}
		var c uint64
		for _, term := range p.terms {
			c |= v << term.shift & term.mask
		}
		if byte(c>>(i%8*8)) != want[i] {
			t.Fatalf("%s: code %d by terms is %d, by table %d", name, i, byte(c>>(i%8*8)), want[i])
		}
		want[i] -= minus
	}
	for _, front := range []bool{false, true} {
		got := guarded(t, make([]byte, n), front)
		if p.Unpack(got, guarded(t, src, front), minus); !slices.Equal(got, want) {
			t.Errorf("%s: %d codes less %d: %d, want %d", name, n, minus, got, want)
		}
	}
}

// miniFloats have what there is: IEEE's Inf and NaN, NaN alone, neither, no sign, one bit of exponent, five.
var miniFloats = map[string]*MiniFloat{
	"e5m2":      NewMiniFloat(8, 5, true, 0x1p-14, 0x7c),
	"e4m3fn":    NewMiniFloat(8, 4, true, 0x1p-6, 0x7f),
	"e3m2":      NewMiniFloat(6, 3, true, 0x1p-2, 0),
	"e2m1":      NewMiniFloat(4, 2, true, 1, 0),
	"e1m0":      NewMiniFloat(2, 1, true, 2, 0),
	"e5m2fn":    NewMiniFloat(8, 5, true, 0x1p-14, 0),
	"ue4m4":     NewMiniFloat(8, 4, false, 0x1p-6, 0),
	"ue1m1":     NewMiniFloat(2, 1, false, 2, 0),
	"ue5m3":     NewMiniFloat(8, 5, false, 0x1p-14, 0),
	"too small": NewMiniFloat(5, 4, true, 0x1p-6, 0),
}

// The value of a code is what its fields say.
func TestMiniFloatValues(t *testing.T) {
	for name, f := range miniFloats {
		width, exp := 32-int(f.left), 9-int(f.right)
		if f.sign != 0 {
			exp--
		}
		man := width - exp
		if f.sign != 0 {
			man--
		}
		least := float64(math.Float32frombits(f.least))
		for code := range 1 << width {
			m, e := code&(1<<man-1), code>>man&(1<<exp-1)
			frac := math.Ldexp(float64(m), -man)
			want := frac * least
			if e > 0 {
				want = math.Ldexp(1+frac, e-1) * least
			}
			if special := f.special != math.MaxInt32; special && name == "e5m2" && e == 31 {
				if want = math.Inf(1); m > 0 {
					want = math.NaN()
				}
			} else if special && name == "e4m3fn" && code&0x7f == 0x7f {
				want = math.NaN()
			}
			if f.sign != 0 && code>>(width-1) == 1 {
				want = -want // of 0, too
			}
			if got := float64(f.Value(uint8(code))); got != want && !(got != got && want != want) || got == 0 && math.Signbit(got) != (f.special != math.MaxInt32 && math.Signbit(want)) {
				t.Errorf("%s: code %#x is %g, want %g", name, code, got, want)
			}
		}
	}
}

// Codes of every kind are scaled by groups, the first and last of which may be short, bit by bit as the definition says.
func TestScale(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		for _, n := range append(upTo(20), 31, 33, 64, 100, 257) {
			t.Run(fmt.Sprint(n), func(t *testing.T) { // gives its memory back
				for _, group := range []int{1, 3, 8, 12, 32, 1000} {
					testScale(t, n, group, false)
					testScale(t, n, group, true)
				}
			})
		}
	})
}

func testScale(t *testing.T, n, group int, front bool) {
	codes := make([]uint8, n)
	signed := make([]int8, n)
	for i := range codes {
		codes[i] = uint8(37*i + i*i)
		signed[i] = int8(codes[i])
	}
	groups := (n + group - 1) / group
	scale, zeros := guarded(t, random(groups, 1), front), guarded(t, random(groups, 2), front)
	codes, signed = guarded(t, codes, front), guarded(t, signed, front)
	for _, zero := range [][]float32{nil, zeros} {
		check := func(name string, value func(i int) float32, f func(dst []float32)) {
			t.Helper()
			want := make([]float32, n)
			for i := range want {
				if want[i] = float32(value(i) * scale[i/group]); zero != nil { // rounded twice: compilers for arm64 would fuse
					want[i] += zero[i/group]
				}
			}
			got := guarded(t, make([]float32, n), front)
			f(got)
			for i, w := range want {
				if g := got[i]; !sameBits(g, w) && !(g != g && w != w) {
					t.Errorf("%s: number %d of %d in groups of %d: %g, want %g", name, i, n, group, g, w)
				}
			}
		}
		check("int8", func(i int) float32 { return float32(signed[i]) }, func(dst []float32) { ScaleInt8(dst, signed, group, scale, zero) })
		check("uint8", func(i int) float32 { return float32(codes[i]) }, func(dst []float32) { ScaleUint8(dst, codes, group, scale, zero) })
		for name, m := range miniFloats {
			few := make([]uint8, n)
			for i, c := range codes {
				few[i] = c & uint8(1<<(32-m.left)-1)
			}
			few = guarded(t, few, front)
			check(name, func(i int) float32 { return m.Value(few[i]) }, func(dst []float32) { ScaleFloat8(dst, few, m, group, scale, zero) })
		}
	}
}

func TestTransposeBytes(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		for k := range 51 {
			for _, stride := range []int{8, 11} {
				src := make([]byte, max(0, (k-1)*stride+8))
				for i := range src {
					src[i] = byte(29 * i)
				}
				pitch := k + 3
				got := guarded(t, make([]byte, 7*pitch+k), false)
				TransposeBytes(got, pitch, guarded(t, src, false), stride, k)
				for n := range 8 {
					for i := range k {
						if g, w := got[n*pitch+i], src[i*stride+n]; g != w {
							t.Fatalf("byte %d of row %d of %d is %d, want %d", i, n, k, g, w)
						}
					}
				}
			}
		}
	})
}

// Rows of codes are those of quantize, int8 on every path.
func TestQuantizeRow(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		for _, n := range append(upTo(40), 129, 1024) {
			for _, front := range []bool{false, true} {
				x := random(n, 3)
				if n > 9 {
					x[9] = nan
				}
				want := make([]int8, n)
				scale := absMaxGo(x) / 127
				quantizeGo(address(want), x, scale)
				got := guarded(t, make([]int8, n), front)
				if s := QuantizeRow(got, guarded(t, x, front)); s != scale && s == s || !slices.Equal(got, want) {
					t.Errorf("%d codes: %v, scale %g, want %v, %g", n, got, s, want, scale)
				}
			}
		}
	})
}

// Codes within a range, those at its ends and beyond, ties and NaN included.
func TestQuantizeUint8(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		for _, n := range append(upTo(40), 129, 1024) {
			for _, front := range []bool{false, true} {
				x := random(n, 3)
				for i := range x {
					x[i] = float32(math.Round(300*float64(x[i]))) / 2
				}
				if n > 9 {
					x[8], x[9] = nan, inf
				}
				want, got := make([]uint8, n), guarded(t, make([]uint8, n), front)
				quantizeUint8Go(want, x, 1, -100)
				if QuantizeUint8(got, guarded(t, x, front), 1, -100); !slices.Equal(got, want) {
					t.Errorf("%d codes: %v, want %v", n, got, want)
				}
			}
		}
	})
}

func TestAddRows(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		for _, n := range append(upTo(20), 65) {
			for _, rows := range []int{0, 1, 4, 7, 9} {
				stride := n + 3
				x := random(rows, 4)
				m := guarded(t, random(max(0, (rows-1)*stride+n), 5), false)
				got, want := guarded(t, random(n, 6), false), random(n, 6)
				AddRows(got, m, x, stride)
				for i := range want {
					s := float64(want[i])
					for r, v := range x {
						s += float64(v) * float64(m[r*stride+i])
					}
					if math.Abs(float64(got[i])-s) > 1e-5 {
						t.Errorf("column %d of %d of %d rows: %g, want %g", i, n, rows, got[i], s)
					}
				}
			}
		}
	})
}

// inGroups are codes that have a scale, and perhaps a zero point, for each group; they may lie [K, N].
type inGroups struct {
	n, k, group int
	codes       []int8 // [n, k]
	scale, zero []float32
	kByN        bool
}

func (g inGroups) Dims() (n, k int) { return g.n, g.k }

func (g inGroups) Int8Groups() (int, []float32, []float32) { return g.group, g.scale, g.zero }

func (g inGroups) Transposed() bool { return g.kByN }

func (g inGroups) UnpackInt8(dst []int8, n0, n1, k0, k1 int) {
	for n := n0; n < n1; n++ {
		copy(dst[(n-n0)*(k1-k0):][:k1-k0], g.codes[n*g.k+k0:])
	}
}

func (g inGroups) Unpack(dst []float32, n0, n1, k0, k1 int) {
	for i := range dst[:(n1-n0)*(k1-k0)] {
		n, k := n0+i/(k1-k0), k0+i%(k1-k0)
		at := n*(g.k/g.group) + k/g.group
		if dst[i] = float32(g.codes[n*g.k+k]) * g.scale[at]; g.zero != nil {
			dst[i] += g.zero[at]
		}
	}
}

// Few rows are multiplied by codes in groups as by the weights that they stand for.
func TestThinGroups(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		for _, p := range []*Pool{NewPool(1), NewPool(3)} {
			for _, s := range [][3]int{{5, 16, 16}, {67, 96, 32}, {130, 96, 48}, {9, 480, 16}, {70, 2560, 64}, {70, 2560, 2560}, {3, 6400, 1280}} {
				for i := range 4 {
					n, k, group := s[0], s[1], s[2]
					g := inGroups{n: n, k: k, group: group, kByN: i%2 > 0, codes: guarded(t, make([]int8, n*k), false)}
					for j := range g.codes {
						g.codes[j] = int8(j*37 + j*j*11)
					}
					g.scale = guarded(t, random(n*k/group, 5), false)
					for j := range g.scale {
						g.scale[j] /= 100
					}
					if i > 1 {
						g.zero = guarded(t, random(n*k/group, 6), false)
					}
					for m := 1; m <= thinRows; m++ {
						square(1, 1, m, k, n, 1, 1).test(t, p, "groups", g, Exact, m%2 > 0, false)
					}
				}
			}
			p.Close()
		}
	})
}

// unsignedCodes are codes whose bytes are uint8.
type unsignedCodes struct{ codes }

func (unsignedCodes) Unsigned() bool { return true }

// Few rows are multiplied by uint8 codes as they lie.
func TestThinUnsigned(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		p := NewPool(2)
		defer p.Close()
		for i, s := range [][2]int{{1, 1}, {5, 3}, {67, 130}, {700, 38}} {
			for j := range 4 {
				n, k := s[0], s[1]
				c := randomCodes(t, n, k, j%2 > 0, j > 1, i%2 > 0)
				c.Weights = nil
				dense := make([]float32, n*k)
				for at := range dense {
					row, stored := at/k, at
					if c.kByN {
						stored = at%k*n + row
					}
					dense[at] = float32(uint8(c.q[stored])) * c.scale[row]
					if c.zero != nil {
						dense[at] += c.zero[row]
					}
				}
				c.Weights = Dense(dense, n, k)
				for m := 1; m <= thinRows; m++ {
					x, got, want := random(m*k, 3), make([]float32, m*n), make([]float32, m*n)
					MatMul(ctx, p, got, x, m, unsignedCodes{c}, nil, Exact)
					MatMul(ctx, p, want, x, m, c.Weights, nil, Exact)
					near(t, fmt.Sprintf("%d rows by [%d, %d], [K, N] %v", m, n, k, c.kByN), got, want, 1e-4)
				}
			}
		}
	})
}
