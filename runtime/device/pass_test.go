package device

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"graphrun/kernels/cpu"
)

func newTestDevice(t *testing.T) *CPU {
	pool := cpu.NewPool(2)
	t.Cleanup(pool.Close)
	return NewCPU(pool, true)
}

func TestArenaReuses(t *testing.T) {
	a := NewArena(&Meta{}, 0)
	x, _ := a.get(1000)
	a.put(x)
	a.put(x) // twice is harmless
	if y, _ := a.get(900); y != x {
		t.Error("a block a little larger was not reused")
	}
	if y, _ := a.get(100); y == x {
		t.Error("a block in use was handed out")
	}
	if s := a.Stats(); s.Allocations != 2 || s.Used != 4*1100 || s.Peak != 4*1100 {
		t.Errorf("stats %+v", s)
	}
	a.Trim()
	if s := a.Stats(); s.Held != s.Used {
		t.Errorf("after Trim %+v", s)
	}
}

func TestArenaBudget(t *testing.T) {
	a := NewArena(&Meta{}, 4000)
	x, err := a.get(600)
	if err != nil {
		t.Fatal(err)
	}
	var short *BudgetError
	if _, err := a.get(600); !errors.As(err, &short) || short.Need != 2400 {
		t.Fatalf("have %v, need a BudgetError of 2400 bytes", err)
	}
	a.put(x)
	if _, err := a.get(1000); err != nil { // drops the free block of 600
		t.Errorf("free blocks were kept in the way: %v", err)
	}
}

func TestScopeFreesAllButItsResult(t *testing.T) {
	a := NewArena(&Meta{}, 0)
	p := NewPass(context.Background(), &Meta{}, a)
	outer := p.New(10)
	f := func() (out Tensor) {
		defer p.Scope(&out)()
		early := p.New(20)
		p.Free(early)
		p.Free(outer) // a tensor of the outer scope: positions must not shift
		h := p.New(30)
		p.Into(&h, p.New(40))
		return h
	}
	if got := f(); a.Stats().Used != 4*40 || got.Dim(0) != 40 {
		t.Errorf("%d bytes in use after the scope, need 160", a.Stats().Used)
	}
	if err := p.Close(); err != nil || a.Stats().Used != 0 {
		t.Errorf("%d bytes in use after Close, %v", a.Stats().Used, err)
	}
}

func TestPassSticksToItsFirstError(t *testing.T) {
	dev := newTestDevice(t)
	p := NewPass(context.Background(), dev, NewArena(dev, 0))
	x := p.Upload([]float32{1, 2, 3, 4, 5, 6}, false, 2, 3)
	y := p.Linear(x, cpu.Dense(make([]float32, 8), 2, 4), cpu.Exact, Epilogue{}) // 3 inputs for 4
	y = p.Activate(p.Gated(p.Concat(y, y, -1), GELU, false, Float32), SiLU)
	y = p.Attention(y.Reshape(1, -1, 2), y, y, AttentionSpec{Heads: 1})
	p.AddTo(y, x)
	p.Resize(p.Conv2D(y, cpu.Dense(make([]float32, 9), 1, 9), Conv{KH: 3, KW: 3, StrideH: 1, StrideW: 1}, cpu.Exact, Epilogue{}), 2, 2, Nearest)
	if got := p.Download(y, true); got != nil {
		t.Errorf("values after an error: %v", got)
	}
	var shape *ShapeError
	if err := p.Close(); !errors.As(err, &shape) || shape.Op != "linear" {
		t.Errorf("have %v, need the ShapeError of linear", err)
	}
}

func TestPassRefuses(t *testing.T) {
	dev := newTestDevice(t)
	w := func(n, k int) Weights { return cpu.Dense(make([]float32, n*k), n, k) }
	for name, f := range map[string]func(p *Pass, x Tensor){
		"conv channels": func(p *Pass, x Tensor) {
			p.Conv2D(x, w(4, 9), Conv{KH: 3, KW: 3, StrideH: 1, StrideW: 1}, cpu.Exact, Epilogue{})
		},
		"conv too small": func(p *Pass, x Tensor) {
			p.Conv2D(x, w(4, 2*25), Conv{KH: 5, KW: 5, StrideH: 1, StrideW: 1}, cpu.Exact, Epilogue{})
		},
		"attention heads": func(p *Pass, x Tensor) { y := x.Reshape(1, 4, 2); p.Attention(y, y, y, AttentionSpec{Heads: 3}) },
		"group norm groups": func(p *Pass, x Tensor) {
			p.GroupNorm(x, 3, 1e-5, make([]float32, 2), make([]float32, 2), false, Float32)
		},
		"layer norm width": func(p *Pass, x Tensor) { p.LayerNorm(x, 1e-5, make([]float32, 3), nil, Float32) },
		"linear into": func(p *Pass, x Tensor) {
			p.LinearTo(x.Reshape(2, 4).Part(0, 1), x.Reshape(2, 4), w(4, 4), cpu.Exact, Epilogue{})
		},
		"linear in place": func(p *Pass, x Tensor) {
			x = x.Reshape(4, 2)
			p.LinearTo(x.Part(1, 3), x.Part(0, 2), w(2, 2), cpu.Exact, Epilogue{})
		},
		"modulate":          func(p *Pass, x Tensor) { p.Modulate(x, 1e-6, x, x, Float32) },
		"rms norm heads":    func(p *Pass, x Tensor) { p.RMSNormTo(x, 1e-6, make([]float32, 3)) },
		"rotary tokens":     func(p *Pass, x Tensor) { p.RotaryTo(x.Reshape(1, 8), x.Reshape(2, 4)) },
		"rotary odd":        func(p *Pass, x Tensor) { p.RotaryTo(x.Reshape(4, 2), x.Reshape(4, 2)) },
		"gate":              func(p *Pass, x Tensor) { p.AddGatedTo(x, x, x) },
		"part":              func(p *Pass, x Tensor) { p.ActivateTo(x.Reshape(2, 4).Part(1, 3), SiLU) },
		"entry":             func(p *Pass, x Tensor) { p.ActivateTo(x.At(1), SiLU) },
		"add":               func(p *Pass, x Tensor) { p.Add(x, x.Reshape(1, 4, 2)) },
		"rows":              func(p *Pass, x Tensor) { p.AddRowsTo(x, x) },
		"token id":          func(p *Pass, _ Tensor) { p.Embed([]int{4}, w(4, 2)) },
		"negative token id": func(p *Pass, _ Tensor) { p.Embed([]int{-1}, w(4, 2)) },
		"reshape":           func(p *Pass, x Tensor) { p.Activate(x.Reshape(3, 3), SiLU) },
		"overflow":          func(p *Pass, _ Tensor) { p.New(1<<30, 1<<30, 1<<30) },
		"zero":              func(p *Pass, _ Tensor) { p.New(3, 0) },
		"upload":            func(p *Pass, _ Tensor) { p.Upload([]float32{1}, false, 2) },
	} {
		p := NewPass(context.Background(), dev, NewArena(dev, 0))
		f(p, p.Upload(make([]float32, 8), false, 1, 2, 2, 2))
		var shape *ShapeError
		if err := p.Close(); !errors.As(err, &shape) {
			t.Errorf("%s: have %v, need a ShapeError", name, err)
		}
	}
}

func TestPassIsCancelled(t *testing.T) {
	dev := newTestDevice(t)
	ctx, cancel := context.WithCancel(context.Background())
	p := NewPass(ctx, dev, NewArena(dev, 0))
	x := p.Upload([]float32{1}, false, 1)
	cancel()
	p.Activate(x, SiLU)
	if err := p.Close(); !errors.Is(err, context.Canceled) {
		t.Errorf("have %v, need context.Canceled", err)
	}
}

// The meta device takes the same memory as the CPU and counts two FLOPs a multiply-add.
func TestMetaCountsWhatCPUDoes(t *testing.T) {
	dev, meta := newTestDevice(t), &Meta{}
	run := func(d Device) Stats {
		a := NewArena(d, 0)
		p := NewPass(context.Background(), d, a)
		x := p.Upload(make([]float32, 2*4*4*8), true, 2, 8, 4, 4)
		h := p.Conv2D(x, cpu.Dense(make([]float32, 6*72), 6, 72), Conv{KH: 3, KW: 3, StrideH: 2, StrideW: 2, Top: 1, Left: 1, Bottom: 1, Right: 1}, cpu.Exact, Epilogue{})
		h = h.Reshape(2, -1, 6)
		h = p.Attention(h, h, h, AttentionSpec{Heads: 2})
		p.Linear(h, cpu.Dense(make([]float32, 30), 5, 6), cpu.Exact, Epilogue{})
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		return a.Stats()
	}
	if c, m := run(dev), run(meta); c != m {
		t.Errorf("cpu %+v, meta %+v", c, m)
	}
	conv, attention, linear := 2*2*2*2*6*72, 4*(2*4*6)*4, 2*2*4*5*6
	if want := int64(conv + attention + linear); meta.FLOPs != want {
		t.Errorf("counted %d FLOPs, need %d", meta.FLOPs, want)
	}
}

// Parts of a tensor are its own values: what goes into a part is in the whole.
func TestPartsAreViews(t *testing.T) {
	dev := newTestDevice(t)
	a := NewArena(dev, 0)
	p := NewPass(context.Background(), dev, a)
	x := p.Upload([]float32{1, 2, 3, 4, 5, 6}, false, 3, 2)
	ones := p.Upload([]float32{1, 1, 1, 1}, false, 2, 2)
	blocks := a.Stats().Allocations
	p.LinearTo(x.Part(1, 3), ones, cpu.Dense([]float32{0, 0, 0, 0}, 2, 2), cpu.Exact, Epilogue{Bias: []float32{7, 8}})
	p.AddTo(x.At(0), x.At(2))
	if got, want := p.Download(x, false), []float32{8, 10, 7, 8, 7, 8}; !slices.Equal(got, want) {
		t.Errorf("have %v, want %v", got, want)
	}
	if s := a.Stats(); s.Allocations != blocks {
		t.Errorf("views took %d blocks", s.Allocations-blocks)
	}
	if err := p.Close(); err != nil || a.Stats().Used != 0 {
		t.Errorf("%d bytes in use after Close, %v", a.Stats().Used, err)
	}
}

// Each operation on streams does on a pass what its formula says: kernels/cpu tests the hard cases.
func TestStreamOperations(t *testing.T) {
	dev := newTestDevice(t)
	p := NewPass(context.Background(), dev, NewArena(dev, 0))
	row := func(v ...float32) Tensor { return p.Upload(v, false, 1, len(v)) }
	check := func(name string, x Tensor, want ...float32) {
		t.Helper()
		for i, v := range p.Download(x, false) {
			if d := v - want[i]; d > 1e-5 || d < -1e-5 {
				t.Errorf("%s: have %v at %d, want %v", name, v, i, want[i])
			}
		}
	}
	check("modulate", p.Modulate(row(1, 3), 0, row(1, 2), row(10, 20), Float32), -1*2+10, 1*3+20)
	x := row(3, 3, 0, 2)
	p.RMSNormTo(x, 0, []float32{1, 2})
	check("rms norm", x, 1, 2, 0, 2*math.Sqrt2)
	x = row(1, 2, 3, 4)
	p.RotaryTo(x, row(0, 0, -1, 1)) // a quarter turn of two heads
	check("rotary", x, -2, 1, -4, 3)
	p.AddGatedTo(x, row(1, 1, 1, 1), row(1, 2, 3, 4))
	check("gated add", x, -1, 3, -1, 7)
	p.ActivateTo(x, GELUTanh)
	check("gelu", x, -0.158808, 2.996362, -0.158808, 7)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
}
