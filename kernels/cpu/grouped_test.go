package cpu

import (
	"math"
	"math/rand"
	"testing"
)

// groupedCodes are weights in groups.
type groupedCodes struct {
	Weights
	group       int
	q           []int8
	scale, zero []float32
}

func (g groupedCodes) Int8Groups() (int, []float32, []float32) { return g.group, g.scale, g.zero }

func (g groupedCodes) UnpackInt8(dst []int8, n0, n1, k0, k1 int) {
	_, k := g.Dims()
	for n := n0; n < n1; n++ {
		copy(dst[(n-n0)*(k1-k0):][:k1-k0], g.q[n*k+k0:n*k+k1])
	}
}

func randomGroups(t testing.TB, n, k, group int, zeros, front bool) groupedCodes {
	r := rand.New(rand.NewSource(17))
	g := groupedCodes{group: group, q: make([]int8, n*k), scale: make([]float32, n*(k/group))}
	if zeros {
		g.zero = guarded(t, random(len(g.scale), 18), front)
	}
	for i := range g.scale {
		g.scale[i] = 0.01 + r.Float32()/50
	}
	dense := make([]float32, n*k)
	for i := range dense {
		g.q[i] = int8(r.Intn(256) - 128)
		at := i / k * (k / group)
		at += i % k / group
		dense[i] = float32(g.q[i]) * g.scale[at]
		if zeros {
			dense[i] += g.zero[at]
		}
	}
	g.Weights, g.q, g.scale = Dense(dense, n, k), guarded(t, g.q, front), guarded(t, g.scale, front)
	return g
}

// Products of codes in groups are those of quantized activations with the exact weights, however groups and blocks lie.
func TestGroupedProducts(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		for i, s := range [][4]int{ // rows, columns, inputs, group
			{5, 9, 16, 16}, {6, 37, 96, 32}, {7, 64, 64, 64}, {33, 65, 1152, 128}, {13, 18, 2064, 48}, {9, 33, 8240, 8240}, {530, 70, 2080, 1040}, {8, 3, 6000, 6000},
		} {
			m, n, k, group := s[0], s[1], s[2], s[3]
			g := randomGroups(t, n, k, group, i%2 > 0, i%3 > 0)
			p := NewPool(1 + i%3)
			x := Rows{Format: Int8Rows, Data: make([]float32, m*Int8Rows.Words(k)), M: m, K: k}
			Cast(ctx, p, x, Floats(random(m*k, 19), m, k), 1)
			values := make([]float32, m*k)
			for r := range m {
				x.Floats(values[r*k:(r+1)*k], r)
			}
			e := Epilogue{Bias: random(n, 20)}
			if i%2 == 0 {
				e.Residual = random(m*n, 21)
			}
			want, sizes := make([]float32, m*n), make([]float32, m*n)
			refConv(want, values, [4]int{1, 1, 1, m}, k, g, one, e.Bias, Exact)
			for j, v := range values {
				values[j] = abs32(v)
			}
			w := make([]float32, n*k)
			for j := range w {
				w[j] = abs32(float32(g.q[j]) * g.scale[j/k*(k/group)+j%k/group])
				if g.zero != nil {
					w[j] += abs32(g.zero[j/k*(k/group)+j%k/group])
				}
			}
			refConv(sizes, values, [4]int{1, 1, 1, m}, k, Dense(w, n, k), one, nil, Exact)
			e.finish(want, sizes, n, m)
			for _, in := range []Rows{x, Floats(random(m*k, 19), m, k)} {
				got := guarded(t, make([]float32, m*n), i%2 > 0)
				Multiply(ctx, p, Floats(got, m, n), in, g, Int8, e)
				for j, v := range want {
					if allowed := 3e-6 * float64(sizes[j]+1); !(math.Abs(float64(got[j]-v)) <= allowed) {
						t.Fatalf("%v, %v: [%d] is %g, want %g (allowed %.2g)", s, in.Format, j, got[j], v, allowed)
					}
				}
			}
			p.Close()
		}
	})
}
