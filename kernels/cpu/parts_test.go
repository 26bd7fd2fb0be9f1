package cpu

import (
	"fmt"
	"math"
	"math/rand"
	"slices"
	"testing"
)

// factored are weights of parts.
type factored struct {
	Weights
	parts Factors
}

func (f factored) Factors() Factors { return f.parts }

// Rows are multiplied by the parts of weights as by the whole.
func TestFactors(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		p := NewPool(2)
		defer p.Close()
		for _, s := range [][4]int{{5, 64, 3, 64}, {70, 256, 32, 0}, {33, 512, 0, 128}, {1, 16, 1, 4}} {
			n, k, rank, chunk := s[0], s[1], s[2], s[3]
			base, up, down := random(n*k, 1), random(n*rank, 2), random(rank*k, 3)
			whole := slices.Clone(base)
			for i := range n {
				row := whole[i*k : (i+1)*k]
				AddRows(row, down, up[i*rank:(i+1)*rank], k)
				if chunk > 0 {
					Hadamard{Chunk: chunk}.Rotate(row)
				}
			}
			f := factored{Dense(whole, n, k), Factors{Base: Dense(base, n, k), Up: up, Down: down, Rank: rank, Rotation: Hadamard{Chunk: chunk}}}
			for _, m := range []int{1, 2, 3, 4, 5, 33, 130} {
				x, bias := guarded(t, random(m*k, 4), false), random(n, 5)
				got, want := guarded(t, make([]float32, m*n), false), make([]float32, m*n)
				MatMul(ctx, p, got, x, m, f, bias, Exact)
				MatMul(ctx, p, want, x, m, f.Weights, bias, Exact)
				near(t, fmt.Sprintf("%d rows of parts %v", m, s), got, want, 2e-6*float64(k))
			}
		}
		w := factored{Weights: Dense(random(7*13, 1), 7, 13)} // none after all
		got, want := make([]float32, 7), make([]float32, 7)
		MatMul(ctx, p, got, random(13, 2), 1, w, nil, Exact)
		MatMul(ctx, p, want, random(13, 2), 1, w.Weights, nil, Exact)
		near(t, "no parts", got, want, 0)
	})
}

// roundedCodes are codes that ask for activations in uint8, or in a float format.
type roundedCodes struct {
	codes
	form Rounding
}

func (r roundedCodes) Rounded() (Weights, Rounding, []float32) {
	if r.form != Uint8 {
		return r.Weights, r.form, nil
	}
	n, k := r.Dims()
	sums, row := make([]float32, n), make([]float32, k)
	for i := range n {
		r.Unpack(row, i, i+1, 0, k)
		sum, _ := Sums(row)
		sums[i] = float32(sum)
	}
	return r, r.form, sums
}

// see returns the numbers that a quantized product sees for a row.
func see(form Rounding, row []float32) []float32 {
	row = slices.Clone(row)
	switch form {
	case Unrounded: // int8
		scale := AbsMax(row) / 127
		for i, v := range row {
			row[i] = float32(math.RoundToEven(float64(v/scale))) * scale
		}
	case Uint8:
		scale, zero := Uint8Span(row)
		for i, v := range row {
			row[i] = zero + float32(math.RoundToEven(float64((v-zero)/scale)))*scale
		}
	default:
		form.Round(row, form.RowScale(row))
	}
	return row
}

// Whatever is quantized, activations are rotated before it, what is of low rank takes them as they were, and the epilogue comes
// after both; also for more rows than are made ready at once, and for a few that are left of them.
func TestQuantizedParts(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		for i, s := range [][4]int{{5, 64, 3, 64}, {70, 256, 32, 0}, {33, 512, 0, 128}, {17, 6400, 40, 256}, {130, 48, 8, 16}} {
			p := NewPool(1 + i%3)
			n, k, rank, chunk := s[0], s[1], s[2], s[3]
			up, down := guarded(t, random(n*rank, 2), false), guarded(t, random(rank*k, 3), false)
			for j, c := range []codes{randomCodes(t, n, k, false, false, false), randomCodes(t, n, k, true, true, false)} {
				g := inGroups{n: n, k: k, group: 16, codes: make([]int8, n*k), scale: random(n*k/16, 5), zero: random(n*k/16, 6)}
				for at := range g.codes {
					g.codes[at] = int8(rand.Intn(256))
				}
				for _, w := range []Weights{c, g, roundedCodes{c, Uint8}, roundedCodes{c, Float8}, roundedCodes{c, Float16}} {
					form, prec := Unrounded, Int8
					if r, ok := w.(roundedCodes); ok {
						form, prec = r.form, Rounded
					}
					f := factored{w, Factors{Base: w, Up: up, Down: down, Rank: rank, Rotation: Hadamard{Chunk: chunk}}}
					for _, m := range []int{33, pieceRows + 2, pieceRows + 7} {
						if m > pieceRows && (k > 64 || j > 0) {
							continue
						}
						testParts(t, p, f, form, prec, m, i+7*j+m)
					}
				}
			}
			p.Close()
		}
	})
}

func testParts(t *testing.T, p *Pool, f factored, form Rounding, prec Precision, m, epilogue int) {
	t.Helper()
	n, k := f.Dims()
	parts, x := f.parts, random(m*k, 4)
	got, want, sizes := guarded(t, make([]float32, m*n), false), make([]float32, m*n), make([]float32, m*n)
	e := form1x1(m, k, n, epilogue).parts(t, false)
	Multiply(ctx, p, Floats(got, m, n), Floats(slices.Clone(x), m, k), f, prec, e)
	dense := make([]float32, n*k)
	parts.Base.Unpack(dense, 0, n, 0, k)
	for i := range m {
		row := x[i*k : (i+1)*k]
		if parts.Rotation.Chunk > 0 {
			parts.Rotation.Rotate(row)
		}
		low := make([]float64, parts.Rank)
		for r := range low {
			low[r] = dot64(parts.Down[r*k:][:k], row)
		}
		seen := see(form, row)
		for j := range n {
			v := dot64(dense[j*k:][:k], seen)
			size := 0.0
			for c := range k {
				size += math.Abs(float64(dense[j*k+c]) * float64(seen[c]))
			}
			for r, l := range low {
				v, size = v+l*float64(parts.Up[j*parts.Rank+r]), size+math.Abs(l*float64(parts.Up[j*parts.Rank+r]))
			}
			if e.Bias != nil {
				v, size = v+float64(e.Bias[j]), size+math.Abs(float64(e.Bias[j]))
			}
			want[i*n+j], sizes[i*n+j] = float32(v), float32(size)
		}
	}
	e.finish(want, sizes, n, m)
	worst := 0.0
	for i := range want {
		worst = max(worst, math.Abs(float64(got[i]-want[i]))/float64(sizes[i]+1e-6))
	}
	if name := fmt.Sprintf("%T %v in %v, %d rows of [%d, %d], rank %d, rotated by %d", parts.Base, form, prec, m, n, k, parts.Rank, parts.Rotation.Chunk); worst > 3e-5 {
		t.Errorf("%s: off by %g of the terms", name, worst)
	} else {
		t.Logf("%s: off by %.2g of the terms", name, worst)
	}
}

// form1x1 is a matrix product with some epilogue.
func form1x1(m, k, n, epilogue int) form {
	return form{sizes: [4]int{1, 1, 1, m}, c: k, o: n, conv: one, epilogue: epilogue & 31}
}

func dot64(a, b []float32) (sum float64) {
	for i, v := range a {
		sum += float64(v) * float64(b[i])
	}
	return sum
}

func TestAddProduct(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		for _, n := range []int{0, 1, 7, 8, 15, 16, 33, 71} {
			for _, m := range []int{1, 13, 16, 37} {
				for _, rank := range []int{0, 1, 4, 33} {
					stride := n + 3
					a, b := guarded(t, random(m*rank, 1), false), guarded(t, random(max(0, (rank-1)*stride+n), 2), false)
					got, want := guarded(t, random(m*n, 3), false), random(m*n, 3)
					AddProduct(got, a, b, m, n, rank, stride)
					for i := range want {
						for r := range rank {
							want[i] += a[i/n*rank+r] * b[r*stride+i%n]
						}
					}
					near(t, fmt.Sprintf("[%d, %d] of rank %d", m, n, rank), got, want, 1e-5)
				}
			}
		}
	})
}
