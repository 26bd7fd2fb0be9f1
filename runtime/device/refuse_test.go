package device

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"graphrun/kernels/cpu"
)

// operation is one operation of a pass on operands that fit; each may be spoilt.
type operation struct {
	name   string
	shapes [][]int // of the operands
	run    func(p *Pass, x []Tensor)
	apart  [][2]int // operands that may share no values
	same   [][2]int // operands that may be one, but not overlap in part
}

func ones(n int) []float32 { return slices.Repeat([]float32{1}, n) }

func operations() []operation {
	w := func(n, k int) Weights { return cpu.Dense(ones(n*k), n, k) }
	conv := Conv{KH: 3, KW: 3, StrideH: 1, StrideW: 1, Top: 1, Left: 1, Bottom: 1, Right: 1}
	return []operation{
		{name: "linear", shapes: [][]int{{2, 3, 4}}, run: func(p *Pass, x []Tensor) { p.Linear(x[0], w(4, 4), cpu.Exact, Epilogue{Bias: ones(4)}) }},
		{name: "linear", shapes: [][]int{{3, 4}, {3, 4}}, run: func(p *Pass, x []Tensor) { p.LinearTo(x[0], x[1], w(4, 4), cpu.Exact, Epilogue{}) }, apart: [][2]int{{0, 1}}},
		{name: "conv2d", shapes: [][]int{{2, 3, 3, 4}}, run: func(p *Pass, x []Tensor) { p.Conv2D(x[0], w(5, 36), conv, cpu.Exact, Epilogue{Bias: ones(5)}) }},
		{
			name: "attention", shapes: [][]int{{2, 3, 4}, {2, 5, 4}, {2, 5, 4}},
			run: func(p *Pass, x []Tensor) { p.Attention(x[0], x[1], x[2], AttentionSpec{Heads: 2}) },
		},
		{
			name: "attention", shapes: [][]int{{2, 3, 8}, {2, 5, 4}, {2, 5, 4}, {3, 5}},
			run: func(p *Pass, x []Tensor) {
				p.Attention(x[0], x[1], x[2], AttentionSpec{Heads: 4, KVHeads: 2, Mask: &x[3], Prec: cpu.BF16})
			},
		},
		{name: "group norm", shapes: [][]int{{2, 3, 4}}, run: func(p *Pass, x []Tensor) { p.GroupNorm(x[0], 2, 0, ones(4), ones(4), true, Float32) }},
		{name: "layer norm", shapes: [][]int{{3, 4}}, run: func(p *Pass, x []Tensor) { p.LayerNorm(x[0], 0, ones(4), ones(4), Float32) }},
		{name: "rms norm", shapes: [][]int{{3, 4}}, run: func(p *Pass, x []Tensor) { p.RMSNormTo(x[0], 0, ones(2)) }},
		{name: "modulate", shapes: [][]int{{3, 4}, {4}, {1, 4}}, run: func(p *Pass, x []Tensor) { p.Modulate(x[0], 0, x[1], x[2], Float32) }},
		{name: "rotary embedding", shapes: [][]int{{3, 8}, {3, 8}}, run: func(p *Pass, x []Tensor) { p.RotaryTo(x[0], x[1]) }, apart: [][2]int{{0, 1}}},
		{name: "activation", shapes: [][]int{{3}}, run: func(p *Pass, x []Tensor) { p.Activate(x[0], GELU) }},
		{name: "activation", shapes: [][]int{{3}}, run: func(p *Pass, x []Tensor) { p.ActivateTo(x[0], GELU) }},
		{name: "gated activation", shapes: [][]int{{3, 4}}, run: func(p *Pass, x []Tensor) { p.Gated(x[0], GELU, false, Float32) }},
		{name: "affine", shapes: [][]int{{3, 4}}, run: func(p *Pass, x []Tensor) { p.Affine(x[0], 2, 1) }},
		{name: "softmax", shapes: [][]int{{3, 4}}, run: func(p *Pass, x []Tensor) { p.Softmax(x[0]) }},
		{name: "add", shapes: [][]int{{3, 4}, {3, 4}}, run: func(p *Pass, x []Tensor) { p.Add(x[0], x[1]) }},
		{name: "add", shapes: [][]int{{3, 4}, {3, 4}}, run: func(p *Pass, x []Tensor) { p.AddTo(x[0], x[1]) }, same: [][2]int{{0, 1}}},
		{name: "add rows", shapes: [][]int{{4, 1, 4}, {4, 4}}, run: func(p *Pass, x []Tensor) { p.AddRowsTo(x[0], x[1]) }, apart: [][2]int{{0, 1}}},
		{
			name: "gated add", shapes: [][]int{{1, 4}, {1, 4}, {4}}, run: func(p *Pass, x []Tensor) { p.AddGatedTo(x[0], x[1], x[2]) },
			apart: [][2]int{{0, 2}}, same: [][2]int{{0, 1}},
		},
		{name: "resize", shapes: [][]int{{2, 3, 3, 4}}, run: func(p *Pass, x []Tensor) { p.Resize(x[0], 6, 7, Bicubic) }},
		{name: "concat", shapes: [][]int{{2, 3, 4}, {2, 3, 1}}, run: func(p *Pass, x []Tensor) { p.Concat(x[0], x[1], -1) }},
		{name: "concat", shapes: [][]int{{2, 3, 4}, {2, 7, 4}}, run: func(p *Pass, x []Tensor) { p.Concat(x[0], x[1], 1) }},
		{name: "slice", shapes: [][]int{{2, 3, 4}}, run: func(p *Pass, x []Tensor) { p.Slice(x[0], 1, 1, 3) }},
		{name: "transpose", shapes: [][]int{{2, 3, 4}}, run: func(p *Pass, x []Tensor) { p.Transpose(x[0], 2, 0, 1) }},
		{name: "download", shapes: [][]int{{2, 3, 4, 1}}, run: func(p *Pass, x []Tensor) { p.Download(x[0], true) }},
	}
}

// operands are tensors of ones, each in a block of its own.
func (o operation) operands(p *Pass) (x []Tensor) {
	for _, s := range o.shapes {
		n, _ := count(s)
		x = append(x, p.Upload(ones(n), false, s...))
	}
	return x
}

// refused runs f in a pass of the CPU and of the meta device; both must refuse it with a ShapeError before anything is
// computed or allocated.
func refused(t *testing.T, o operation, what string, f func(p *Pass, x []Tensor) []Tensor) {
	t.Helper()
	for _, dev := range []Device{newTestDevice(t), &Meta{}} {
		a := NewArena(dev, 0)
		p := NewPass(context.Background(), dev, a)
		x := f(p, o.operands(p))
		before := a.Stats()
		o.run(p, x)
		if a.Stats() != before {
			t.Errorf("%s, %s on %s: memory was taken", o.name, what, dev.Name())
		}
		var shape *ShapeError
		if err := p.Close(); !errors.As(err, &shape) || shape.Op != o.name {
			t.Errorf("%s, %s on %s: have %v, need a ShapeError of %s", o.name, what, dev.Name(), err, o.name)
		}
	}
}

// Operands that fit are taken, so that what is refused below is refused for its fault.
func TestOperationsRun(t *testing.T) {
	for _, o := range operations() {
		dev := newTestDevice(t)
		p := NewPass(context.Background(), dev, NewArena(dev, 0))
		o.run(p, o.operands(p))
		for _, s := range o.same {
			x := o.operands(p)
			x[s[0]] = x[s[1]]
			o.run(p, x)
		}
		if err := p.Close(); err != nil {
			t.Errorf("%s: %v", o.name, err)
		}
	}
}

// No operation takes an operand of another rank or size, without memory, freed, of another pass's arena, or with a shape
// that somebody has written to.
func TestOperationsRefuse(t *testing.T) {
	for _, o := range operations() {
		for i := range o.shapes {
			put := func(what string, f func(p *Pass, t Tensor) Tensor) {
				refused(t, o, what, func(p *Pass, x []Tensor) []Tensor { x[i] = f(p, x[i]); return x })
			}
			put("failed", func(*Pass, Tensor) Tensor { return Tensor{} })
			put("made by hand", func(_ *Pass, x Tensor) Tensor { return Tensor{Shape: x.Shape} })
			put("freed", func(p *Pass, x Tensor) Tensor { p.Free(x); return x })
			put("freed and used again", func(p *Pass, x Tensor) Tensor { p.Free(x); p.New(x.Shape...); return x })
			put("of a closed pass", func(p *Pass, x Tensor) Tensor {
				old := &Pass{ctx: context.Background(), dev: p.dev, arena: p.arena} // NewPass would wait for p
				x = old.New(x.Shape...)
				_ = old.Close()
				return x
			})
			put("of another arena", func(_ *Pass, x Tensor) Tensor {
				return NewPass(context.Background(), &Meta{}, NewArena(&Meta{}, 0)).New(x.Shape...)
			})
			for _, size := range []int{0, -1, -3, math.MaxInt, math.MinInt, 1 << 40, 1 << 62} {
				put("a size written to", func(_ *Pass, x Tensor) Tensor { x.Shape[0] = size; return x })
			}
			put("a view that does not fit", func(_ *Pass, x Tensor) Tensor { return x.Part(0, 100) })
			put("a reshape that does not fit", func(_ *Pass, x Tensor) Tensor { return x.Reshape(-1, 1000) })
			put("a reshape of nothing", func(_ *Pass, x Tensor) Tensor { return x.Part(9, 1).Reshape(-1, x.Dim(-1)) })
			if slices.Contains([]string{"activation", "affine", "softmax", "download"}, o.name) { // take any shape
				continue
			}
			put("rank 6 and another width", func(p *Pass, _ Tensor) Tensor { return p.New(1, 1, 1, 1, 3, 7) })
			put("one value", func(p *Pass, _ Tensor) Tensor { return p.New(1) })
		}
	}
}

// No operation writes over what it still has to read.
func TestOperationsRefuseOverlap(t *testing.T) {
	for _, o := range operations() {
		whole := func(p *Pass, i, j int) (Tensor, int, int) {
			n, _ := count(o.shapes[i])
			m, _ := count(o.shapes[j])
			return p.New(n + m), n, m
		}
		for _, s := range slices.Concat(o.apart, o.same) {
			refused(t, o, "overlapping", func(p *Pass, x []Tensor) []Tensor {
				all, n, m := whole(p, s[0], s[1])
				x[s[0]], x[s[1]] = all.Part(0, n).Reshape(o.shapes[s[0]]...), all.Part(n-1, n-1+m).Reshape(o.shapes[s[1]]...)
				return x
			})
		}
		for _, s := range o.apart {
			refused(t, o, "one in the other", func(p *Pass, x []Tensor) []Tensor {
				all, n, m := whole(p, s[0], s[1])
				x[s[0]], x[s[1]] = all.Part(0, n).Reshape(o.shapes[s[0]]...), all.Part(0, m).Reshape(o.shapes[s[1]]...)
				return x
			})
		}
	}
}

// Arguments that are no tensors are checked too.
func TestArgumentsRefused(t *testing.T) {
	w := func(n, k int) Weights { return cpu.Dense(ones(n*k), n, k) }
	good := Conv{KH: 1, KW: 1, StrideH: 1, StrideW: 1}
	conv := func(change func(c *Conv)) func(p *Pass, x Tensor) {
		return func(p *Pass, x Tensor) {
			c := good
			change(&c)
			p.Conv2D(x, w(4, 2), c, cpu.Exact, Epilogue{})
		}
	}
	for name, f := range map[string]func(p *Pass, x Tensor){
		"linear without weights": func(p *Pass, x Tensor) { p.Linear(x, nil, cpu.Exact, Epilogue{}) },
		"linear to no weights":   func(p *Pass, x Tensor) { p.LinearTo(p.New(4, 2), x.Reshape(4, 2), nil, cpu.Exact, Epilogue{}) },
		"linear without outputs": func(p *Pass, x Tensor) { p.Linear(x, w(0, 2), cpu.Exact, Epilogue{}) },
		"linear's short bias":    func(p *Pass, x Tensor) { p.Linear(x, w(4, 2), cpu.Exact, Epilogue{Bias: ones(3)}) },
		"linear's empty bias":    func(p *Pass, x Tensor) { p.Linear(x, w(4, 2), cpu.Exact, Epilogue{Bias: []float32{}}) },
		"linear to, a long bias": func(p *Pass, x Tensor) {
			p.LinearTo(p.New(4, 2), x.Reshape(4, 2), w(2, 2), cpu.Exact, Epilogue{Bias: ones(3)})
		},
		"conv without weights":      func(p *Pass, x Tensor) { p.Conv2D(x, nil, good, cpu.Exact, Epilogue{}) },
		"conv's short bias":         func(p *Pass, x Tensor) { p.Conv2D(x, w(4, 2), good, cpu.Exact, Epilogue{Bias: ones(1)}) },
		"conv without a geometry":   func(p *Pass, x Tensor) { p.Conv2D(x, w(4, 2), Conv{}, cpu.Exact, Epilogue{}) },
		"conv without a stride":     conv(func(c *Conv) { c.StrideW = 0 }),
		"conv of negative stride":   conv(func(c *Conv) { c.StrideH = -1 }),
		"conv of negative padding":  conv(func(c *Conv) { c.Top = -1 }),
		"conv of negative kernel":   conv(func(c *Conv) { c.KH, c.KW = -1, -1 }),
		"conv of huge padding":      conv(func(c *Conv) { c.Bottom = math.MaxInt }),
		"conv whose kernel wraps":   conv(func(c *Conv) { c.KH, c.KW = 1<<33, 1<<33 }),
		"conv of a huge picture":    conv(func(c *Conv) { c.Bottom, c.Right = 1<<20, 1<<20 }),
		"attention without heads":   func(p *Pass, x Tensor) { y := x.Reshape(1, 4, 2); p.Attention(y, y, y, AttentionSpec{}) },
		"attention, negative heads": func(p *Pass, x Tensor) { y := x.Reshape(1, 4, 2); p.Attention(y, y, y, AttentionSpec{Heads: -1}) },
		"attention, negative keys": func(p *Pass, x Tensor) {
			y := x.Reshape(1, 4, 2)
			p.Attention(y, y, y, AttentionSpec{Heads: 1, KVHeads: -1})
		},
		"attention, more key heads": func(p *Pass, x Tensor) {
			y := x.Reshape(1, 4, 2)
			p.Attention(y.Reshape(1, 8, 1), y, y, AttentionSpec{Heads: 1, KVHeads: 2})
		},
		"attention, masked by none": func(p *Pass, x Tensor) {
			y := x.Reshape(1, 4, 2)
			p.Attention(y, y, y, AttentionSpec{Heads: 1, Mask: &Tensor{}})
		},
		"attention, mask of a head": func(p *Pass, x Tensor) {
			y, m := x.Reshape(1, 4, 2), p.New(1, 4, 4)
			p.Attention(y, y, y, AttentionSpec{Heads: 1, Mask: &m})
		},
		"group norm without groups": func(p *Pass, x Tensor) { p.GroupNorm(x, 0, 0, ones(2), ones(2), false, Float32) },
		"group norm, no weights":    func(p *Pass, x Tensor) { p.GroupNorm(x, 1, 0, nil, nil, false, Float32) },
		"layer norm's empty weight": func(p *Pass, x Tensor) { p.LayerNorm(x, 0, []float32{}, nil, Float32) },
		"rms norm without a weight": func(p *Pass, x Tensor) { p.RMSNormTo(x, 0, nil) },
		"no such activation":        func(p *Pass, x Tensor) { p.Activate(x, QuickGELU+1) },
		"no such gate":              func(p *Pass, x Tensor) { p.Gated(x, QuickGELU+1, true, Float32) },
		"embed no steps":            func(p *Pass, _ Tensor) { p.TimestepEmbedding(nil, 8, true, 0) },
		"embed steps in nothing":    func(p *Pass, _ Tensor) { p.TimestepEmbedding(ones(1), 0, true, -1) },
		"embed steps in less":       func(p *Pass, _ Tensor) { p.TimestepEmbedding(ones(1), math.MinInt, true, 0) },
		"embed steps in too much":   func(p *Pass, _ Tensor) { p.TimestepEmbedding(ones(1), math.MaxInt, true, 0) },
		"embed steps, all shifted":  func(p *Pass, _ Tensor) { p.TimestepEmbedding(ones(1), 2, true, 1) },
		"embed steps by no number":  func(p *Pass, _ Tensor) { p.TimestepEmbedding(ones(1), 2, true, math.NaN()) },
		"no such activation to":     func(p *Pass, x Tensor) { p.ActivateTo(x, 200) },
		"concat of other axes":      func(p *Pass, x Tensor) { p.Concat(x.Reshape(4, 1, 2), x.Reshape(1, 4, 2), -1) },
		"concat of no axis":         func(p *Pass, x Tensor) { p.Concat(x, x, 4) },
		"concat of an axis before":  func(p *Pass, x Tensor) { p.Concat(x, x, -5) },
		"concat of another axis":    func(p *Pass, x Tensor) { p.Concat(x, p.New(1, 2, 2, 3), 2) },
		"concat of the least axis":  func(p *Pass, x Tensor) { p.Concat(x, x, math.MinInt) },
		"slice of no axis":          func(p *Pass, x Tensor) { p.Slice(x, 4, 0, 1) },
		"slice of nothing":          func(p *Pass, x Tensor) { p.Slice(x, 1, 1, 1) },
		"slice backwards":           func(p *Pass, x Tensor) { p.Slice(x, 1, 2, 1) },
		"slice before":              func(p *Pass, x Tensor) { p.Slice(x, 1, -1, 1) },
		"slice beyond":              func(p *Pass, x Tensor) { p.Slice(x, 1, 0, 3) },
		"slice of wrapped sizes":    func(p *Pass, x Tensor) { p.Slice(x, 1, math.MinInt, math.MaxInt) },
		"transpose too few axes":    func(p *Pass, x Tensor) { p.Transpose(x, 1, 0) },
		"transpose no axes":         func(p *Pass, x Tensor) { p.Transpose(x) },
		"transpose an axis twice":   func(p *Pass, x Tensor) { p.Transpose(x, 0, 1, 1, 3) },
		"transpose a missing axis":  func(p *Pass, x Tensor) { p.Transpose(x, 0, 1, 2, 4) },
		"transpose an axis before":  func(p *Pass, x Tensor) { p.Transpose(x, 0, 1, 2, -1) },
		"transpose six axes":        func(p *Pass, x Tensor) { p.Transpose(x.Reshape(1, 1, 2, 2, 2, 1), 5, 4, 3, 2, 1, 0) },
		"resize in no way":          func(p *Pass, x Tensor) { p.Resize(x, 2, 2, Lanczos+1) },
		"resize of three axes":      func(p *Pass, x Tensor) { p.Resize(x.Reshape(2, 2, 2), 2, 2, Nearest) },
		"rows of one axis":          func(p *Pass, x Tensor) { p.AddRowsTo(x.Reshape(8).Part(0, 2), p.New(2, 2)) },
		"resize to nothing":         func(p *Pass, x Tensor) { p.Resize(x, 0, 4, Nearest) },
		"resize to less":            func(p *Pass, x Tensor) { p.Resize(x, -4, -4, Nearest) },
		"resize beyond":             func(p *Pass, x Tensor) { p.Resize(x, math.MaxInt, math.MaxInt, Lanczos) },
		"embed nothing":             func(p *Pass, _ Tensor) { p.Embed(nil, w(4, 2)) },
		"embed without weights":     func(p *Pass, _ Tensor) { p.Embed([]int{0}, nil) },
		"upload of a wrapped size":  func(p *Pass, _ Tensor) { p.Upload(nil, true, 1<<32, 1<<32, 1, 1) },
		"upload of negatives":       func(p *Pass, _ Tensor) { p.Upload(ones(6), false, -2, -3) },
		"upload of no shape":        func(p *Pass, _ Tensor) { p.Upload(nil, false) },
		"new of wrapped sizes":      func(p *Pass, _ Tensor) { p.New(1<<33, 1<<33) },
		"new of negatives":          func(p *Pass, _ Tensor) { p.New(-1, -1) },
		"new of nothing":            func(p *Pass, _ Tensor) { p.New() },
		"reshape to negatives":      func(p *Pass, x Tensor) { p.ActivateTo(x.Reshape(-1, -1, 8), SiLU) },
		"reshape to wrapped sizes":  func(p *Pass, x Tensor) { p.ActivateTo(x.Reshape(1<<32, 1<<32, -1), SiLU) },
		"reshape to a remainder":    func(p *Pass, x Tensor) { p.ActivateTo(x.Reshape(-1, 3), SiLU) },
	} {
		for _, dev := range []Device{newTestDevice(t), &Meta{}} {
			p := NewPass(context.Background(), dev, NewArena(dev, 0))
			f(p, p.Upload(ones(8), false, 1, 2, 2, 2))
			var shape *ShapeError
			if err := p.Close(); !errors.As(err, &shape) {
				t.Errorf("%s on %s: have %v, need a ShapeError", name, dev.Name(), err)
			}
		}
	}
}

// A result that the budget does not hold ends the pass with what it was and how much there is; the pass's end gives all back.
func TestBudgetErrorNamesTheOperation(t *testing.T) {
	dev := newTestDevice(t)
	a := NewArena(dev, 1000)
	p := NewPass(context.Background(), dev, a)
	x := p.Upload(ones(2*3*3*4), false, 2, 3, 3, 4)
	y := p.Resize(x, 64, 64, Nearest)
	p.ActivateTo(y, SiLU)
	var short *BudgetError
	err := p.Close()
	if !errors.As(err, &short) || short.Op != "resize" || short.Need != 4*2*64*64*4 || short.Have != 4*72 || short.Budget != 1000 {
		t.Errorf("have %v", err)
	}
	if want := "resize: result [2 64 64 4]"; !strings.Contains(err.Error(), want) {
		t.Errorf("%q does not say %q", err, want)
	}
	if s := a.Stats(); s.Used != 0 {
		t.Errorf("%d bytes in use after Close", s.Used)
	}
}

// Freeing twice does not free the tensor that has the memory by then.
func TestFreeTwice(t *testing.T) {
	a := NewArena(&Meta{}, 0)
	p := NewPass(context.Background(), &Meta{}, a)
	x := p.New(10)
	p.Free(x)
	y := p.New(10)
	p.Free(x)
	if z := p.New(10); z.overlaps(y) {
		t.Error("two tensors share memory")
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

func TestClosedPass(t *testing.T) {
	a := NewArena(&Meta{}, 0)
	p := NewPass(context.Background(), &Meta{}, a)
	x := p.New(10)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	p.ActivateTo(x, SiLU)
	if p.New(10); a.Stats().Used != 0 {
		t.Error("a closed pass hands out memory")
	}
	if err := p.Close(); !errors.Is(err, ErrClosed) {
		t.Errorf("have %v, need ErrClosed", err)
	}
}
