package cpu

import (
	"context"
	"math"
	"math/rand"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

func random(n int, seed int64) []float32 {
	r := rand.New(rand.NewSource(seed))
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(r.NormFloat64())
	}
	return out
}

func near(t *testing.T, name string, got, want []float32, tol float64) {
	t.Helper()
	worst := 0.0
	for i := range want {
		worst = max(worst, math.Abs(float64(got[i]-want[i])))
	}
	t.Logf("%s: largest difference %.3g", name, worst)
	if !(worst <= tol) {
		t.Errorf("%s: largest difference %g, need %g", name, worst, tol)
	}
}

var ctx = context.Background()

// Every operation agrees with its plain reference, bit for bit the same on 1, 2, 3 and 7 threads.
func TestAgainstReferences(t *testing.T) { onEachPath(t, testAgainstReferences) }

func testAgainstReferences(t *testing.T) {
	one := NewPool(1)
	defer one.Close()
	each := func(name string, n int, tol float64, want []float32, f func(p *Pool, dst []float32)) {
		t.Helper()
		first := make([]float32, n)
		f(one, first)
		near(t, name, first, want, tol)
		for _, threads := range []int{2, 3, 7} {
			p := NewPool(threads)
			got := make([]float32, n)
			f(p, got)
			p.Close()
			if !slices.Equal(got, first) {
				t.Errorf("%s: %d threads give another result than one", name, threads)
			}
		}
	}
	want := func(n int, f func(dst []float32)) []float32 { d := make([]float32, n); f(d); return d }
	for _, n := range []int{1, 17, 1031} {
		x := random(n, 1)
		for name, f := range map[string]struct {
			f   Activation
			ref func(float64) float64
		}{"silu": {SiLU, refSiLU}, "gelu": {GELU, refGELU}, "gelu tanh": {GELUTanh, refGELUTanh}, "quick gelu": {QuickGELU, refQuickGELU}} {
			each(name, n, 2e-6, want(n, func(d []float32) { refEach(d, x, f.ref) }), func(p *Pool, d []float32) { Activate(ctx, p, d, x, f.f) })
			for _, first := range []bool{false, true} {
				each("gated "+name, 3*n, 2e-6, want(3*n, func(d []float32) { refGated(d, random(6*n, 2), n, f.ref, first) }),
					func(p *Pool, d []float32) { Gated(ctx, p, Floats(d, 3, n), random(6*n, 2), f.f, first) })
			}
		}
		each("affine", n, 1e-6, want(n, func(d []float32) { refEach(d, x, func(v float64) float64 { return 3*v - 0.5 }) }),
			func(p *Pool, d []float32) { Affine(ctx, p, d, x, 3, -0.5) })
	}
	x, w, b := random(2*35*24, 8), random(24, 9), random(24, 10)
	each("group norm", len(x), 1e-5, want(len(x), func(d []float32) { refGroupNorm(d, x, 2, 35, 24, 8, 1e-5, w, b, true) }),
		func(p *Pool, d []float32) { GroupNorm(ctx, p, Floats(d, 2*35, 24), x, 2, 8, 1e-5, w, b, true) })
	each("layer norm", len(x), 1e-5, want(len(x), func(d []float32) { refLayerNorm(d, x, 70, 24, 1e-5, w, b) }),
		func(p *Pool, d []float32) { LayerNorm(ctx, p, Floats(d, 70, 24), x, 1e-5, w, b) })
	each("rms norm", len(x), 1e-5, want(len(x), func(d []float32) { refRMSNorm(d, x, 70, 24, 1e-6, w) }),
		func(p *Pool, d []float32) { RMSNorm(ctx, p, d, x, 70, 24, 1e-6, w) })
}

// Angles of up to a thousand are rounded to float32, as where the networks were trained.
func TestTimestepEmbedding(t *testing.T) {
	steps := []float32{0, 1, 0.5, 981}
	for _, dim := range []int{1, 2, 7, 32, 320} {
		for i, shift := range []float64{0, 0.5, 1} {
			if float64(dim/2) <= shift {
				continue
			}
			got, want := slices.Repeat([]float32{9}, len(steps)*dim), make([]float32, len(steps)*dim)
			TimestepEmbedding(got, steps, dim, i > 0, shift)
			refTimesteps(want, steps, dim, i > 0, shift)
			near(t, "timestep embedding", got, want, 1e-4)
		}
	}
}

// Gorgonia is an oracle that knows nothing of this package.
func TestAgainstGorgonia(t *testing.T) {
	m, k, n := 37, 53, 29
	x, w := random(m*k, 14), random(n*k, 15)
	g := gorgonia.NewGraph()
	xs := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithShape(m, k), gorgonia.WithValue(tensor.New(tensor.WithShape(m, k), tensor.WithBacking(slices.Clone(x)))))
	ws := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithShape(n, k), gorgonia.WithValue(tensor.New(tensor.WithShape(n, k), tensor.WithBacking(slices.Clone(w)))))
	y := gorgonia.Must(gorgonia.Mul(xs, gorgonia.Must(gorgonia.Transpose(ws, 1, 0))))
	vm := gorgonia.NewTapeMachine(g)
	defer vm.Close()
	if err := vm.RunAll(); err != nil {
		t.Fatal(err)
	}
	p := NewPool(2)
	defer p.Close()
	got := make([]float32, m*n)
	MatMul(ctx, p, got, x, m, Dense(w, n, k), nil, Exact)
	near(t, "matmul", got, y.Value().Data().([]float32), 1e-4)
}
