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

// checkArena looks at every chunk: gaps are in order and apart, and what is not a gap is in use once.
func checkArena(t *testing.T, a *Arena, live map[*block]bool) {
	t.Helper()
	free, size := 0, 0
	for _, c := range a.chunks {
		taken := make([]bool, c.n)
		for b := range live {
			for i := b.at; b.chunk == c && i < b.at+b.size; i++ {
				if taken[i] {
					t.Fatalf("value %d belongs to two blocks", i)
				}
				taken[i] = true
			}
		}
		for i, g := range c.gaps {
			if g.n <= 0 || g.at < 0 || g.at+g.n > c.n || i > 0 && c.gaps[i-1].at+c.gaps[i-1].n >= g.at {
				t.Fatalf("gaps %v of a chunk of %d", c.gaps, c.n)
			}
			for i := g.at; i < g.at+g.n; i++ {
				if taken[i] {
					t.Fatalf("value %d is in use and free", i)
				}
			}
			free += g.n
		}
		size += c.n
	}
	used := int64(0)
	for b := range live {
		size -= b.size
		used += 4 * int64(b.n)
	}
	if s := a.Stats(); size != free || s.Used != used {
		t.Fatalf("%d values free, %d not in use; stats %+v, %d bytes in use", free, size, s, used)
	}
}

// Whatever is taken and given back in whatever order, no two blocks share memory, and all of it comes together again.
func TestArenaReuses(t *testing.T) {
	a := NewArena(&Meta{}, 0)
	a.unit, a.grain = 1000, 8
	live := map[*block]bool{}
	for round := range 60 {
		for i := range 40 {
			n := 1 + (round*round*7+i*i*31)%(300+20*(i%17))
			b, err := a.get(n)
			if err != nil || b.n != n || live[b] {
				t.Fatal(b, err)
			}
			live[b] = true
		}
		for b := range live { // in any order
			if len(live) < 20 {
				break
			}
			a.put(b)
			a.put(b) // twice is harmless
			delete(live, b)
		}
		checkArena(t, a, live)
	}
	before := a.Stats()
	if before.Allocations > 40 {
		t.Errorf("%d chunks for about 60 blocks at once", before.Allocations)
	}
	for b := range live {
		a.put(b)
		delete(live, b)
	}
	checkArena(t, a, live)
	for _, c := range a.chunks {
		if len(c.gaps) != 1 || c.gaps[0] != (gap{0, c.n}) {
			t.Errorf("an empty chunk of %d has gaps %v", c.n, c.gaps)
		}
	}
	if s := a.Stats(); s.Held != before.Held {
		t.Errorf("holds %d bytes of %d", s.Held, before.Held)
	}
	x, _ := a.get(100)
	a.Trim()
	if s := a.Stats(); len(a.chunks) != 1 || s.Held != 4*int64(x.chunk.n) || s.Used != 400 {
		t.Errorf("after Trim %d chunks, %+v", len(a.chunks), s)
	}
}

// Chunks that have become too small are not kept beside larger ones, and passes come to an end with taking more.
func TestArenaGivesBack(t *testing.T) {
	a := NewArena(&Meta{}, 0)
	var allocs [4]int64
	for pass := range allocs {
		x, _ := a.get(1 << 20)
		for n := 2 << 20; n <= 64<<20; n *= 2 { // as a decoder's tensors grow
			y, err := a.get(n)
			if err != nil {
				t.Fatal(err)
			}
			a.put(x)
			x = y
		}
		a.put(x)
		if allocs[pass] = a.Stats().Allocations; pass == 0 {
			if s := a.Stats(); s.Held > s.Peak {
				t.Errorf("holds %d bytes where %d were in use at once", s.Held, s.Peak)
			}
		}
	}
	if allocs[3] != allocs[1] {
		t.Errorf("chunks taken until the end of each pass: %v", allocs)
	}
}

func TestArenaBudget(t *testing.T) {
	a := NewArena(&Meta{}, 4000)
	x, err := a.get(600) // less than a page
	if err != nil {
		t.Fatal(err)
	}
	var short *BudgetError
	if _, err := a.get(600); !errors.As(err, &short) || short.Need != 2400 || short.Have != 2400 {
		t.Fatalf("have %v, need a BudgetError of 2400 bytes", err)
	}
	a.put(x)
	if _, err := a.get(1000); err != nil { // drops the free chunk
		t.Errorf("a free chunk was kept in the way: %v", err)
	}
}

// What operations hold between calls counts against the budget, and makes way for a tensor.
func TestScratchCountsAgainstBudget(t *testing.T) {
	d := newTestDevice(t)
	a := NewArena(d, 1<<20)
	x := make([]float32, 600*64)
	cpu.Attention(context.Background(), d.pool, x, x, x, x, cpu.Attn{Batch: 1, Heads: 1, LQ: 600, LK: 600, D: 64})
	held := a.Scratch()
	if held == 0 {
		t.Fatal("attention holds nothing")
	}
	var short *BudgetError
	if err := a.Room(float64(1<<20-held)/4 + 1); !errors.As(err, &short) {
		t.Errorf("room for a result beside scratch of %d bytes: %v", held, err)
	}
	if err := a.Room(float64(1<<20-held) / 4); err != nil {
		t.Error(err)
	}
	if _, err := a.get(1 << 18); err != nil {
		t.Errorf("scratch was in the way of a tensor of the whole budget: %v", err)
	}
	if have := a.Scratch(); have != 0 {
		t.Errorf("%d bytes of scratch beside a tensor of the whole budget", have)
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
	used := a.Stats().Used
	p.LinearTo(x.Part(1, 3), ones, cpu.Dense([]float32{0, 0, 0, 0}, 2, 2), cpu.Exact, Epilogue{Bias: []float32{7, 8}})
	p.AddTo(x.At(0), x.At(2))
	if got, want := p.Download(x, false), []float32{8, 10, 7, 8, 7, 8}; !slices.Equal(got, want) {
		t.Errorf("have %v, want %v", got, want)
	}
	if s := a.Stats(); s.Used != used {
		t.Errorf("views took %d bytes", s.Used-used)
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

// One pass at a time is open on an arena; one whose context ends while it waits fails and leaves the turn alone.
func TestPassesTakeTurns(t *testing.T) {
	dev := newTestDevice(t)
	a := NewArena(dev, 0)
	first := NewPass(context.Background(), dev, a)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	late := NewPass(ctx, dev, a)
	late.New(4)
	if err := late.Close(); !errors.Is(err, context.Canceled) {
		t.Errorf("a pass that gave up waiting: %v", err)
	}
	open := make(chan *Pass)
	go func() { open <- NewPass(context.Background(), dev, a) }()
	select {
	case <-open:
		t.Fatal("two passes are open")
	default:
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := (<-open).Close(); err != nil {
		t.Fatal(err)
	}
}
