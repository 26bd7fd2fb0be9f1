package sdnq

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"graphrun/kernels/cpu"
)

// lowRank approximates a [n, k] by up·down, [n, rank] and [rank, k], by the randomized subspace iteration of Halko, Martinsson
// and Tropp, "Finding structure with randomness" (2011), 4.5 and 5.1, with so many power steps. The columns of up are as long as
// the singular values, the rows of down have length 1. The result does not depend on the number of workers; it is the same
// for the same a on processors that take the same path (cpu.Features).
func lowRank(ctx context.Context, p *cpu.Pool, a []float32, n, k, rank, steps int) (up, down []float32) {
	q := min(rank+8, n, k) // a few more vectors than are wanted make the wanted ones better
	s := &subspace{ctx: ctx, pool: p, a: a, n: n, k: k, q: q}
	right := make([]float32, q*k) // [q, k]
	for i, r := 0, rand.NewPCG(1, 2); i < len(right); i++ {
		right[i] = float32(int(r.Uint64()>>63)*2 - 1)
	}
	left := s.left(right)
	for range steps {
		s.orthonormalize(left, n)
		right = s.right(left)
		s.orthonormalize(right, k)
		left = s.left(right)
	}
	s.orthonormalize(left, n)
	s.orthonormalize(left, n) // once more takes the rounding errors of the first away
	right = s.right(left)
	up, down = make([]float32, n*rank), make([]float32, rank*k)
	if ctx.Err() != nil {
		return up, down
	}
	values, vectors := eigen(s.gram(right, k), q)
	s.columns(k, func(from, to int) {
		for i := range rank {
			if f := vectors.scaled(i, inverse(values, i)); f != nil {
				cpu.AddRows(down[i*k+from:i*k+to], right[from:], f, k)
			}
		}
	})
	turned := make([]float32, rank*n)
	s.columns(n, func(from, to int) {
		for i := range rank {
			if inverse(values, i) > 0 {
				cpu.AddRows(turned[i*n+from:i*n+to], left[from:], vectors.scaled(i, math.Sqrt(values[i])), n)
			}
		}
	})
	return transpose(turned, rank, n), down
}

// inverse is 1/σ for singular value number i, given squares in descending order, and 0 for those that are nothing but rounding.
func inverse(squares []float64, i int) float64 {
	if squares[i] <= squares[0]*1e-13 {
		return 0
	}
	return 1 / math.Sqrt(squares[i])
}

// subspace multiplies a [n, k] by q vectors on either side. Vectors are rows.
type subspace struct {
	ctx     context.Context
	pool    *cpu.Pool
	a       []float32
	n, k, q int
}

// left is the vectors a·x, [q, n], for x [q, k].
func (s *subspace) left(x []float32) []float32 {
	y := make([]float32, s.n*s.q)
	cpu.MatMul(s.ctx, s.pool, y, s.a, s.n, cpu.Dense(x, s.q, s.k), nil, cpu.Exact)
	return transpose(y, s.n, s.q)
}

// right is the vectors aᵀ·y, [q, k], for y [q, n].
func (s *subspace) right(y []float32) []float32 {
	x := make([]float32, s.q*s.k)
	const rows = 64 // which stay in the cache for all vectors
	s.columns(s.k, func(from, to int) {
		for n := 0; n < s.n; n += rows {
			for i := range s.q {
				cpu.AddRows(x[i*s.k+from:i*s.k+to], s.a[n*s.k+from:], y[i*s.n+n:i*s.n+min(n+rows, s.n)], s.k)
			}
		}
	})
	return x
}

// columns calls f for runs of columns, whose lengths do not depend on the number of workers.
func (s *subspace) columns(n int, f func(from, to int)) {
	const run = 256
	s.pool.Run(s.ctx, (n+run-1)/run, func(tile, _ int) { f(tile*run, min(n, (tile+1)*run)) })
}

// gram is the products of the vectors v [q, n] with each other, [q, q].
func (s *subspace) gram(v []float32, n int) []float64 {
	g := make([]float64, s.q*s.q)
	s.pool.Run(s.ctx, s.q, func(i, _ int) {
		for j := range i + 1 {
			sum := dot64(v[i*n:(i+1)*n], v[j*n:(j+1)*n])
			g[i*s.q+j], g[j*s.q+i] = sum, sum
		}
	})
	return g
}

func dot64(a, b []float32) float64 {
	var s [4]float64
	b = b[:len(a)]
	i := 0
	for ; i+4 <= len(a); i += 4 {
		s[0] += float64(a[i]) * float64(b[i])
		s[1] += float64(a[i+1]) * float64(b[i+1])
		s[2] += float64(a[i+2]) * float64(b[i+2])
		s[3] += float64(a[i+3]) * float64(b[i+3])
	}
	for ; i < len(a); i++ {
		s[0] += float64(a[i]) * float64(b[i])
	}
	return s[0] + s[1] + (s[2] + s[3])
}

// orthonormalize makes the vectors v [q, n] orthonormal, in place, by the Cholesky factor of their products; those that
// others span become 0.
func (s *subspace) orthonormalize(v []float32, n int) {
	q, l := s.q, s.gram(v, n)
	less, lengths := make([]float32, q*q), make([]float32, q) // v[i] = (v[i] + sum less[i,j]*v[j]) * lengths[i]
	for i := range q {
		whole := l[i*q+i]
		for j := range i + 1 {
			sum := l[i*q+j]
			for m := range j {
				sum -= l[i*q+m] * l[j*q+m]
			}
			switch d := l[j*q+j]; {
			case j < i && d > 0:
				l[i*q+j] = sum / d
			case j == i && sum > whole*1e-12:
				l[i*q+i] = math.Sqrt(sum)
				lengths[i] = float32(1 / l[i*q+i])
			default:
				l[i*q+j] = 0
			}
			if j < i {
				less[i*q+j] = -float32(l[i*q+j])
			}
		}
	}
	s.columns(n, func(from, to int) {
		for i := range q {
			row := v[i*n+from : i*n+to]
			cpu.AddRows(row, v[from:], less[i*q:i*q+i], n)
			for j := range row {
				row[j] *= lengths[i]
			}
		}
	})
}

// square is a matrix [q, q] of vectors as columns.
type square struct {
	q int
	v []float64
}

// scaled is column i times f; nil if that is 0.
func (m square) scaled(i int, f float64) []float32 {
	if f == 0 {
		return nil
	}
	out := make([]float32, m.q)
	for j := range out {
		out[j] = float32(m.v[j*m.q+i] * f)
	}
	return out
}

// eigen finds the eigenvalues of the symmetric matrix a [q, q], in descending order, and its eigenvectors, by Jacobi's method
// (Golub and Van Loan, "Matrix Computations", 8.5). a is overwritten.
func eigen(a []float64, q int) ([]float64, square) {
	v := make([]float64, q*q)
	total := 0.0
	for i := range q {
		v[i*q+i] = 1
	}
	for _, x := range a {
		total += x * x
	}
	for range 30 {
		off := 0.0
		for i := range q {
			for j := range i {
				off += a[i*q+j] * a[i*q+j]
			}
		}
		if off <= total*1e-30 {
			break
		}
		for i := range q {
			for j := range i {
				rotate(a, v, q, j, i)
			}
		}
	}
	order := make([]int, q)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(a[j*q+j], a[i*q+i]) })
	values, sorted := make([]float64, q), square{q, make([]float64, q*q)}
	for to, from := range order {
		values[to] = a[from*q+from]
		for i := range q {
			sorted.v[i*q+to] = v[i*q+from]
		}
	}
	return values, sorted
}

// rotate makes a[i,j] zero by a rotation of rows and columns i and j, which v follows.
func rotate(a, v []float64, q, i, j int) {
	if a[i*q+j] == 0 {
		return
	}
	theta := (a[j*q+j] - a[i*q+i]) / (2 * a[i*q+j])
	t := math.Copysign(1/(math.Abs(theta)+math.Sqrt(theta*theta+1)), theta)
	c := 1 / math.Sqrt(t*t+1)
	s := t * c
	for m := range q {
		x, y := a[m*q+i], a[m*q+j]
		a[m*q+i], a[m*q+j] = c*x-s*y, s*x+c*y
	}
	for m := range q {
		x, y := a[i*q+m], a[j*q+m]
		a[i*q+m], a[j*q+m] = c*x-s*y, s*x+c*y
		x, y = v[m*q+i], v[m*q+j]
		v[m*q+i], v[m*q+j] = c*x-s*y, s*x+c*y
	}
}
