package sdnq

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"graphrun/kernels/cpu"
	"graphrun/runtime/weights"
)

// allFormats are the canonical names of all dtypes that a weight may have, but for those of 32 bits.
func allFormats() (list []string) {
	for bits := 1; bits <= 16; bits++ {
		list = append(list, fmt.Sprintf("uint%d", bits), fmt.Sprintf("int%d", bits))
	}
	for name := range natives {
		if name != "float32" {
			list = append(list, name)
		}
	}
	for e := 1; e <= 5; e++ {
		for m := 0; m <= 15; m++ {
			for _, suffix := range []string{"fn", "fnu"} {
				if f, err := parseFormat(fmt.Sprintf("e%dm%d%s", e, m, suffix)); err == nil {
					list = append(list, f.name)
				}
			}
		}
	}
	return list
}

// randomTensor has random bytes, but for float32, which are moderate numbers of either sign.
func randomTensor(r *rand.PCG, name string, d weights.DType, shape ...int) weights.Tensor {
	x := weights.Tensor{Name: "x." + name, DType: d, Shape: shape, Data: make([]byte, product(shape)*d.Size())}
	for i := range x.Data {
		x.Data[i] = byte(r.Uint64())
		if d == weights.F32 && i%4 == 3 {
			x.Data[i] = 0x3c + x.Data[i]&0x80 // about 0.01
		}
	}
	return x
}

// TestUnpackDefinition holds the dequantized blocks of every dtype in every layout to the definition, bit by bit.
func TestUnpackDefinition(t *testing.T) {
	for _, l := range []struct {
		name         string
		dense, scale []int
		cfg          Config
	}{
		{"row", []int{16, 64}, []int{16, 1}, Config{}},
		{"tensor", []int{16, 64}, []int{1, 1}, Config{}},
		{"groups of 16", []int{8, 96}, []int{8, 6, 1}, Config{}},
		{"groups of 12", []int{8, 96}, []int{8, 8, 1}, Config{}},
		{"groups of 1", []int{8, 16}, []int{8, 16, 1}, Config{}},
		{"transposed", []int{48, 32}, []int{1, 48}, Config{UseQuantizedMatmul: true}},
		{"conv 3x3", []int{16, 20, 3, 3}, []int{16, 1, 3, 3}, Config{}},
		{"conv 3x3 in groups", []int{16, 20, 3, 3}, []int{16, 4, 1, 3, 3}, Config{}},
		{"conv 1x1", []int{16, 32, 1, 1}, []int{16, 1, 1, 1}, Config{}},
		{"conv 1x1 in groups", []int{16, 32, 1, 1}, []int{16, 4, 1, 1, 1}, Config{}},
		{"transposed conv", []int{16, 24, 2, 2}, []int{1, 24, 2, 2}, Config{}},
		{"transposed conv in groups", []int{16, 24, 2, 2}, []int{16, 1, 8, 2, 2}, Config{}},
	} {
		t.Run(l.name, func(t *testing.T) {
			for _, dtype := range allFormats() {
				f, err := parseFormat(dtype)
				if err != nil {
					t.Fatal(err)
				}
				r, cfg, n := rand.NewPCG(1, 2), l.cfg, product(l.dense)
				cfg.WeightsDType = dtype
				w := randomTensor(r, "weight", f.store, f.size(n)/f.store.Size())
				if cfg.UseQuantizedMatmul && !f.bitPacked() {
					w.Shape = []int{l.dense[1], l.dense[0]}
				}
				store := weights.Of(w, randomTensor(r, "scale", weights.F32, l.scale...), randomTensor(r, "zero_point", weights.F32, l.scale...))
				m, err := Layer(store, "x", &cfg, l.dense)
				if err != nil {
					t.Fatal(err)
				}
				checkBlocks(t, dtype, m)
				checkGroups(t, dtype, m)
			}
		})
	}
}

// The codes of blocks of two or four may not fill the last eight.
func TestUnpackLastBlock(t *testing.T) {
	for _, dtype := range []string{"uint2", "int2", "uint4", "int4", "uint6", "float4_e2m1fn", "uint12"} {
		r, f := rand.NewPCG(5, 6), Config{WeightsDType: dtype}
		p, err := parseFormat(dtype)
		if err != nil {
			t.Fatal(err)
		}
		w := randomTensor(r, "weight", p.store, p.size(36)/p.store.Size())
		m, err := Layer(weights.Of(w, randomTensor(r, "scale", weights.F32, 3, 1), randomTensor(r, "zero_point", weights.F32, 3, 1)), "x", &f, []int{3, 12})
		if err != nil {
			t.Fatal(err)
		}
		checkBlocks(t, dtype, m)
	}
}

// decoded are the values of all codes, bit by bit.
func decoded(m *Matrix) []float32 {
	values := make([]float32, m.n*m.k)
	if !m.format.bitPacked() {
		m.format.decode(values, m.codes, 0, m.table)
		return values
	}
	b, table := &blocks[m.format.bits], m.format.table(subnormals)
	for i := range values {
		words, code := m.codes[i/b.codes*b.words*b.size:], 0
		for _, v := range b.moves {
			for bit := range v.width {
				at := v.word*b.size*8 + v.at + bit
				if v.code == i%b.codes && words[at/8]>>(at%8)&1 == 1 {
					code |= 1 << (v.bit + bit)
				}
			}
		}
		values[i] = table[code]
	}
	return values
}

// checkBlocks compares blocks of odd places and sizes with the definition.
func checkBlocks(t *testing.T, name string, m *Matrix) {
	t.Helper()
	values := decoded(m)
	for _, b := range [][4]int{{0, m.n, 0, m.k}, {0, 8, 0, 16}, {1, 4, 3, 14}, {2, 8, 5, m.k}, {2, 3, m.k - 1, m.k}, {0, m.n, 7, 9}} {
		n0, n1, k0, k1 := b[0], min(m.n, b[1]), b[2], min(m.k, b[3])
		got := make([]float32, (n1-n0)*(k1-k0))
		m.Unpack(got, n0, n1, k0, k1)
		for i, g := range got {
			n, k := n0+i/(k1-k0), k0+i%(k1-k0)
			at, s := n*m.k+k, n/m.rowDiv*m.rowStride
			if m.kByN {
				at = k*m.n + n
			}
			if m.col != nil {
				s += int(m.col[k])
			}
			want := values[at] * m.scale[s]
			if m.zero != nil {
				want += m.zero[s]
			}
			if math.Float32bits(g) != math.Float32bits(want) && (g == g || want == want) {
				t.Fatalf("%s: row %d column %d of block %v is %g, want %g", name, n, k, b, g, want)
			}
		}
	}
}

// Codebooks of bytes are looked up, in groups or not.
func TestUnpackCodebook(t *testing.T) {
	for _, scale := range [][]int{{16, 16}, {16, 4, 16}} {
		r := rand.NewPCG(3, 4)
		cfg := Config{WeightsDType: "uint4", UseCodebook: true}
		m, err := Layer(weights.Of(randomTensor(r, "weight", weights.U8, 16*64/2), randomTensor(r, "scale", weights.F32, scale...)), "x", &cfg, []int{16, 64})
		if err != nil {
			t.Fatal(err)
		}
		got := m.Dequantize()
		for i, g := range got {
			code := int(m.codes[i/2]>>(i%2*4)) & 15
			at := i/64*len(m.scale)/16 + i%64/(64/(len(m.scale)/256))*16
			if g != m.scale[at+code] {
				t.Fatalf("number %d of scales %v is %g, want %g", i, scale, g, m.scale[at+code])
			}
		}
	}
}

// All floats of up to eight bits are computed, but for those of another kind.
func TestMiniFloats(t *testing.T) {
	for _, name := range allFormats() {
		f, err := parseFormat(name)
		if err != nil || f.integer || f.bits > 8 {
			continue
		}
		other := name == "float8_e4m3fnuz" || name == "float8_e5m2fnuz" || name == "float8_e8m0fnu"
		if got := f.miniFloat(f.table(subnormals)); (got == nil) != other {
			t.Errorf("%s has a format for the kernel: %v", name, got != nil)
		}
		if got := f.miniFloat(f.table(noSubnormals)); got != nil && f.packed && f.man > 0 {
			t.Errorf("%s of old versions is computed as if it had subnormals", name)
		}
	}
}

// checkGroups holds codes in groups to the weights: they are the same but for how sums are rounded where a zero point was
// moved, and there are codes for all integers of up to eight bits whose groups fit.
func checkGroups(t *testing.T, name string, m *Matrix) {
	t.Helper()
	group, scale, zero := m.Int8Groups()
	fits := m.format.integer && m.format.bits <= 8 && (m.col == nil || m.span > 1) && m.span%16 == 0 && !(m.kByN && m.format.bitPacked())
	if (group > 0) != fits {
		t.Fatalf("%s: groups of %d", name, group)
	}
	if group == 0 {
		return
	}
	whole := m.Dequantize()
	for _, b := range [][4]int{{0, m.n, 0, m.k}, {1, 4, 3, 14}, {3, 12, 5, m.k}, {2, 3, m.k - 1, m.k}} {
		n0, n1, k0, k1 := b[0], min(m.n, b[1]), b[2], b[3]
		codes := make([]int8, (n1-n0)*(k1-k0))
		m.UnpackInt8(codes, n0, n1, k0, k1)
		for i, c := range codes {
			n, k := n0+i/(k1-k0), k0+i%(k1-k0)
			s, tol := n*(m.k/group)+k/group, 0.0
			got := float32(c) * scale[s]
			if zero != nil {
				got += zero[s]
				if m.format.bits == 8 { // zero + 128*scale is rounded
					tol = 0x1p-23 * (math.Abs(float64(zero[s])) + 256*math.Abs(float64(scale[s])))
				}
			}
			if want := whole[n*m.k+k]; math.Abs(float64(got-want)) > tol {
				t.Fatalf("%s: row %d column %d of groups of %d is %g, want %g", name, n, k, group, got, want)
			}
		}
	}
}

// Few rows are multiplied by parts, codes and groups as by the dequantized weight.
func TestFewRows(t *testing.T) {
	pool := cpu.NewPool(2)
	defer pool.Close()
	const n, k = 48, 512
	for _, c := range benchCases {
		m := benchMatrix(t, c.dtype, c.group, c.cfg, n, k)
		whole := m.Dequantize()
		for rows := 1; rows <= 5; rows++ {
			x, got, want := make([]float32, rows*k), make([]float32, rows*n), make([]float32, rows*n)
			for i := range x {
				x[i] = float32(i*i%17)/4 - 2
			}
			cpu.MatMul(t.Context(), pool, got, x, rows, m, nil, cpu.Exact)
			cpu.MatMul(t.Context(), pool, want, x, rows, cpu.Dense(whole, n, k), nil, cpu.Exact)
			near(t, fmt.Sprintf("%s, %d rows", c.name, rows), got, want, 1e-5)
		}
	}
}
