package cpu

import (
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// oracle computes an expression of arrays with gorgonia, which knows nothing of this package.
type oracle struct {
	t *testing.T
	g *gorgonia.ExprGraph
}

func newOracle(t *testing.T) oracle { return oracle{t, gorgonia.NewGraph()} }

func (o oracle) array(v []float32, shape ...int) *gorgonia.Node {
	x := tensor.New(tensor.WithShape(shape...), tensor.WithBacking(slices.Clone(v)))
	return gorgonia.NewTensor(o.g, tensor.Float32, len(shape), gorgonia.WithShape(shape...), gorgonia.WithValue(x), gorgonia.WithName("x"+string(rune('a'+len(o.g.AllNodes())))))
}

func (o oracle) value(y *gorgonia.Node) []float32 {
	o.t.Helper()
	vm := gorgonia.NewTapeMachine(o.g)
	defer vm.Close()
	if err := vm.RunAll(); err != nil {
		o.t.Fatal(err)
	}
	return y.Value().Data().([]float32)
}

// channelsFirst turns [b, hw, c] into [b, c, hw].
func channelsFirst(x []float32, b, hw, c int) []float32 {
	out := make([]float32, len(x))
	refTranspose(out, x, []int{b, hw, c}, []int{0, 2, 1})
	return out
}

func TestConvAgainstGorgonia(t *testing.T) {
	p := NewPool(2)
	defer p.Close()
	for _, s := range []struct{ b, h, w, c, o, k, stride, pad int }{
		{1, 7, 9, 5, 6, 3, 1, 1}, {2, 8, 6, 3, 17, 3, 2, 1}, {2, 5, 4, 13, 9, 1, 1, 0}, {1, 9, 9, 4, 3, 5, 2, 2},
	} {
		x, w := random(s.b*s.h*s.w*s.c, 31), random(s.o*s.c*s.k*s.k, 32)
		o := newOracle(t)
		y := gorgonia.Must(gorgonia.Conv2d(o.array(channelsFirst(x, s.b, s.h*s.w, s.c), s.b, s.c, s.h, s.w), o.array(w, s.o, s.c, s.k, s.k),
			tensor.Shape{s.k, s.k}, []int{s.pad, s.pad}, []int{s.stride, s.stride}, []int{1, 1}))
		want := o.value(y)
		cv := Conv{KH: s.k, KW: s.k, StrideH: s.stride, StrideW: s.stride, Top: s.pad, Left: s.pad, Bottom: s.pad, Right: s.pad}
		oh, ow := cv.Out(s.h, s.w)
		onEachPath(t, func(t *testing.T) {
			got := make([]float32, s.b*oh*ow*s.o)
			Conv2D(ctx, p, got, x, s.b, s.h, s.w, s.c, Dense(w, s.o, s.c*s.k*s.k), cv, nil, Exact)
			if len(want) != len(got) {
				t.Fatalf("gorgonia has %d results, want %d", len(want), len(got))
			}
			near(t, "conv", channelsFirst(got, s.b, oh*ow, s.o), want, 1e-4)
		})
	}
}

func TestSoftmaxAndNormsAgainstGorgonia(t *testing.T) {
	p := NewPool(2)
	defer p.Close()
	const rows, c, eps = 19, 37, 1e-5
	x := random(rows*c, 33)
	o := newOracle(t)
	softmax := slices.Clone(o.value(gorgonia.Must(gorgonia.SoftMax(o.array(x, rows, c), 1))))

	// norm divides rows, less their mean if centred, by the root of their mean square.
	norm := func(centred bool) []float32 {
		o := newOracle(t)
		n := o.array(x, rows, c)
		if centred {
			mean := gorgonia.Must(gorgonia.Reshape(gorgonia.Must(gorgonia.Mean(n, 1)), tensor.Shape{rows, 1}))
			n = gorgonia.Must(gorgonia.BroadcastSub(n, mean, nil, []byte{1}))
		}
		square := gorgonia.Must(gorgonia.Reshape(gorgonia.Must(gorgonia.Mean(gorgonia.Must(gorgonia.Square(n)), 1)), tensor.Shape{rows, 1}))
		root := gorgonia.Must(gorgonia.Sqrt(gorgonia.Must(gorgonia.Add(square, gorgonia.NewConstant(float32(eps))))))
		return slices.Clone(o.value(gorgonia.Must(gorgonia.BroadcastHadamardDiv(n, root, nil, []byte{1}))))
	}
	layer, rms := norm(true), norm(false)
	onEachPath(t, func(t *testing.T) {
		got := make([]float32, rows*c)
		Softmax(ctx, p, got, x, rows, c)
		near(t, "softmax", got, softmax, 1e-6)
		LayerNorm(ctx, p, Floats(got, rows, c), x, eps, nil, nil)
		near(t, "layer norm", got, layer, 1e-5)
		RMSNorm(ctx, p, got, x, rows, c, eps, nil)
		near(t, "rms norm", got, rms, 1e-5)
		// One group of a picture of one position is a row.
		GroupNorm(ctx, p, Floats(got, rows*1, c), x, rows, 1, eps, nil, nil, false)
		near(t, "group norm", got, layer, 1e-5)
	})
}
