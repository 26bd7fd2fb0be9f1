package device

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"graphrun/kernels/cpu"
)

// fenced is a CPU whose blocks lie between values that nothing may change.
type fenced struct {
	*CPU
	blocks [][]float32
}

const fence = 64

func (d *fenced) alloc(n int) []float32 {
	all := make([]float32, n+2*fence)
	for i := range all {
		all[i] = 0x1p77
	}
	d.blocks = append(d.blocks, all)
	return all[fence : fence+n : fence+n]
}

func (d *fenced) check(t *testing.T) {
	t.Helper()
	for _, all := range d.blocks {
		for i := range fence {
			if all[i] != 0x1p77 || all[len(all)-1-i] != 0x1p77 {
				t.Fatalf("a block of %d values was written to outside, %d values off", len(all)-2*fence, fence-i)
			}
		}
	}
}

// program reads operations and shapes from bytes: most shapes fit, many do not, some are absurd.
type program struct {
	bytes []byte
	p     *Pass
	x     []Tensor // results so far, whether they failed, are freed, or not
}

func (g *program) next() int {
	if len(g.bytes) == 0 {
		return 0
	}
	b := g.bytes[0]
	g.bytes = g.bytes[1:]
	return int(b)
}

var absurd = []int{0, -1, -7, math.MinInt, math.MaxInt, 1 << 20, 1 << 32, 1 << 40, 1 << 62, 3 << 61}

// size is mostly small.
func (g *program) size() int {
	if b := g.next(); b < 236 {
		return 1 + b%12
	}
	return absurd[g.next()%len(absurd)]
}

// axis is mostly one of four axes.
func (g *program) axis() int {
	if b := g.next(); b < 236 {
		return b%5 - 1
	}
	return g.size()
}

func (g *program) tensor() Tensor { return g.x[g.next()%len(g.x)] }

func (g *program) shape() []int {
	s := make([]int, g.next()%6)
	for i := range s {
		s[i] = g.size()
	}
	return s
}

// fitting is n if that is small, or some size.
func (g *program) fitting(n int) int {
	if n <= 0 || n > 1<<12 || g.next()%8 == 0 {
		return 1 + g.next()%20
	}
	return n
}

func (g *program) weights(k int) Weights {
	n, kind := 1+g.next()%20, g.next()
	k = g.fitting(k)
	codes := fuzzCodes{Weights: cpu.Dense(make([]float32, n*k), n, k), codes: make([]int8, n*k), kByN: kind&1 > 0, scale: make([]float32, n)}
	if kind&2 > 0 {
		codes.zero = make([]float32, n)
	}
	switch kind >> 2 % 4 {
	case 0:
		return nil
	case 1:
		return codes.Weights
	}
	return codes
}

type fuzzCodes struct {
	Weights
	codes       []int8
	kByN        bool
	scale, zero []float32
}

func (c fuzzCodes) Int8() ([]int8, bool, []float32, []float32) {
	return c.codes, c.kByN, c.scale, c.zero
}

func (c fuzzCodes) Codes() ([]int8, bool, []float32, []float32) { return c.Int8() }

func (g *program) values(n int) []float32 {
	if g.next()%4 == 0 {
		return nil
	}
	return make([]float32, g.fitting(n))
}

// format is float32 half of the time, and may be one that there is not.
func (g *program) format() Format { return Format(max(0, g.next()%10-5)) }

// epilogue is none half of the time, or of any tensors.
func (g *program) epilogue(w Weights) Epilogue {
	e := Epilogue{Bias: g.values(rowsOf(w))}
	if bits := g.next(); bits&1 > 0 {
		e.Act, e.Format = Activation(bits>>1%7), g.format()
		for i, t := range []*Tensor{&e.Each, &e.Gate, &e.Residual} {
			if bits>>(4+i)&1 > 0 {
				*t = g.tensor()
			}
		}
	}
	return e
}

// fuzzOps is the number of operations of step.
const fuzzOps = 24

// step runs one operation. It returns the result and the tensor that was written to.
func (g *program) step() (out, written Tensor) {
	x, y, z := g.tensor(), g.tensor(), g.tensor()
	p, prec := g.p, Precision(g.next()%4)
	switch g.next() % fuzzOps {
	case 0:
		w := g.weights(x.Dim(-1))
		out = p.Linear(x, w, prec, g.epilogue(w))
	case 1:
		w := g.weights(x.Dim(-1))
		p.LinearTo(y, x, w, prec, g.epilogue(w))
		written = y
	case 2:
		c := Conv{
			KH: g.size() % 6, KW: g.size() % 6, StrideH: g.size(), StrideW: g.size(), Top: g.size() - 1, Left: g.size() - 1, Bottom: g.size() - 1, Right: g.size() - 1,
			Double: g.next()%2 > 0,
		}
		if len(x.Shape) != 5 {
			w := g.weights(x.Dim(-1) * c.KH * c.KW)
			out = p.Conv2D(x, w, c, prec, g.epilogue(w))
			break
		}
		c.KT, c.StrideT, c.Front, c.Back = g.size()%4, g.size()-1, g.size()-1, g.size()-1
		w := g.weights(x.Dim(-1) * c.Taps())
		out = p.Conv3D(x, w, c, prec, g.epilogue(w))
	case 3:
		a := AttentionSpec{Heads: g.size(), Causal: g.next()%2 > 0, Prec: prec}
		if how := g.next(); how%2 > 0 {
			a.KVHeads = g.size()
		} else if mask := g.tensor(); how%4 > 0 {
			a.Mask = &mask
		}
		out = p.Attention(x, y, z, a)
	case 4:
		out = p.GroupNorm(x, g.size(), 1e-5, g.values(x.Dim(-1)), g.values(x.Dim(-1)), prec > 0, g.format())
	case 5:
		out = p.LayerNorm(x, 1e-5, g.values(x.Dim(-1)), g.values(x.Dim(-1)), g.format())
	case 6:
		p.RMSNormTo(x, 1e-5, g.values(x.Dim(-1)))
		written = x
	case 7:
		out = p.Modulate(x, 1e-5, y, z, g.format())
	case 8:
		p.RotaryTo(x, y)
		written = x
	case 9:
		out = p.Activate(x, Activation(g.next()%6))
	case 10:
		p.ActivateTo(x, Activation(g.next()%6))
		written = x
	case 11:
		out = p.Gated(x, Activation(g.next()%7), prec > 0, g.format())
	case 12:
		out = p.Add(x, y)
	case 13:
		p.AddTo(x, y)
		written = x
	case 14:
		p.AddRowsTo(x, y)
		written = x
	case 15:
		p.AddGatedTo(x, y, z)
		written = x
	case 16:
		out = p.Resize(x, g.size(), g.size(), Interpolation(g.next()%7))
	case 17:
		out = p.Concat(x, y, g.axis())
	case 18:
		w := g.weights(g.size())
		out = p.Embed([]int{g.next() - 2, g.next() % 4}[:g.next()%3], w)
	case 19:
		s := g.shape()
		n, _ := count(s)
		out = p.Upload(make([]float32, min(n, 1<<16)), prec > 0, s...)
	case 20:
		out = x.Reshape(g.shape()...)
	case 21:
		out = x.Part(g.size()-1, g.size())
	case 22:
		p.Download(x, prec > 0)
		p.Free(y)
	case 23:
		out = p.Cast(x, g.format())
	case 24:
		out = p.Slice(x, g.axis(), g.size()-1, g.size())
	case 25:
		order := []int{0, 1, 2, 3, 4, 5}[:g.fitting(len(x.Shape))%7]
		for i := range order {
			j := g.next() % (i + 1)
			order[i], order[j] = order[j], order[i]
		}
		if g.next()%16 == 0 && len(order) > 0 {
			order[0] = g.axis()
		}
		out = p.Transpose(x, order...)
	case 26:
		out = p.Affine(x, float32(g.next()), -1)
	case 27:
		out = p.Softmax(x)
	case 28:
		out = p.TimestepEmbedding(make([]float32, g.next()%4), g.size(), prec > 0, float64(g.next()%3))
	}
	return out, written
}

func rowsOf(w Weights) int {
	n, _ := dims(w)
	return n
}

// Whatever operations a pass gets, it never panics, never writes outside of the tensor that an operation is to change, and
// every error has a type.
func FuzzPass(f *testing.F) {
	for op := range byte(fuzzOps) {
		seed := []byte{0, 1, 2, 1, op}
		for i := range byte(40) {
			seed = append(seed, i*op+5)
		}
		f.Add(seed)
		f.Add(slices.Repeat([]byte{op, 1, 0, 2, op, 9}, 12))
	}
	pool := cpu.NewPool(2)
	f.Cleanup(pool.Close)
	f.Fuzz(func(t *testing.T, bytes []byte) {
		dev := &fenced{CPU: NewCPU(pool, false)}
		a := NewArena(dev, 1<<20)
		a.unit, a.grain = 1, 1 // a chunk, with its fences, for each block
		old := NewPass(context.Background(), dev, a)
		dead := old.New(4, 4)
		_ = old.Close()
		p := NewPass(context.Background(), dev, a)
		g := &program{bytes: bytes, p: p, x: []Tensor{
			p.Upload(make([]float32, 2*4*4*8), true, 2, 8, 4, 4), p.Upload(make([]float32, 6*8), false, 1, 6, 8),
			p.Upload(make([]float32, 8), false, 1, 8), p.Upload(make([]float32, 6*8), false, 6, 8),
			p.Upload(make([]float32, 2*3*4*4*8), false, 2, 3, 4, 4, 8),
		}}
		for steps := 0; len(g.bytes) > 0 && steps < 50; steps++ {
			if p.err != nil { // go on after an error, which is kept, as if it had not been
				typed(t, p.err)
				p.err = nil
			}
			if steps == 3 {
				g.x = append(g.x, dead)
			}
			var before [][]float32
			for _, x := range g.x {
				if x.in(a) {
					before = append(before, slices.Clone(x.data))
				} else {
					before = append(before, nil)
				}
			}
			out, written := g.step()
			dev.check(t)
			for i, x := range g.x {
				if before[i] != nil && x.in(a) && !x.overlaps(written) && !slices.EqualFunc(x.data, before[i], func(a, b float32) bool {
					return math.Float32bits(a) == math.Float32bits(b)
				}) {
					t.Fatalf("tensor %d was written to", i)
				}
			}
			g.x = append(g.x, out)
		}
		if err := p.Close(); err != nil {
			typed(t, err)
		}
		if s := a.Stats(); s.Used != 0 {
			t.Errorf("%d bytes in use after Close", s.Used)
		}
	})
}

func typed(t *testing.T, err error) {
	t.Helper()
	var shape *ShapeError
	var short *BudgetError
	if !errors.As(err, &shape) && !errors.As(err, &short) {
		t.Errorf("%v is of no type", err)
	}
}
