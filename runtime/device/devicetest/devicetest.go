// Package devicetest holds a device to the operations of device.Device: RunAll runs each of them through a Pass, over
// shapes with edges of every kind, and compares with definitions in float64 that are written here, apart from any kernel.
//
// To add an operation: write its definition in reference.go, as a loop that a reader can check against the formula, and
// add its Cases in cases.go: for each set of shapes the call and the definition. Everything else, views, what is not
// finite, other numbers of threads, memory, FLOPs and cancellation, RunAll does with any case.
package devicetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"graphrun/runtime/device"
)

// Array is a tensor on the host.
type Array struct {
	Shape []int
	V     []float32
}

// Case is one call of an operation.
type Case struct {
	Op     string
	Name   string  // of this call
	Shapes [][]int // of the operands, whose values are random
	// Run calls the operation and returns its result, which is one of the operands if it works in place.
	Run     func(p *device.Pass, x []device.Tensor) device.Tensor
	InPlace bool
	// Want is the definition: the shape and the values of the result.
	Want  func(x []Array) ([]int, []float64)
	Tol   float64 // of the largest value, at least of 1; 0: same bits
	FLOPs int64   // two a multiply-add, products and attention only
	// Finite says, operand by operand, that what is not finite is not tried.
	Finite []bool
}

// RunAll holds devices to the definitions. All are one device in several forms, with other numbers of threads say: each
// must give the same bits as the first. A *device.Meta is held to shapes, bytes and FLOPs.
func RunAll(t *testing.T, devs ...device.Device) {
	Run(t, cases(devs[0].Exact()), devs...)
	for i, dev := range devs {
		if _, counts := dev.(*device.Meta); !counts { // which computes nothing that could stop
			t.Run(fmt.Sprint("cancelled, device ", i), func(t *testing.T) { testCancelled(t, dev) })
		}
	}
}

// Run is RunAll for other cases: those of Products, say.
func Run(t *testing.T, list []Case, devs ...device.Device) {
	var ops []string
	for _, c := range list {
		if !slices.Contains(ops, c.Op) {
			ops = append(ops, c.Op)
		}
	}
	for _, op := range ops {
		t.Run(op, func(t *testing.T) {
			worst, calls := 0.0, 0
			for _, c := range list {
				if c.Op == op {
					calls++
					worst = max(worst, c.test(t, devs))
				}
			}
			t.Logf("%d calls of %s, largest difference %.2g of the largest value", calls, op, worst)
		})
	}
}

// margin is how many values lie before and behind an operand that is a view: an odd number, so that it is not aligned.
const margin = 3

// call is one call of a case on a device.
type call struct {
	*Case
	dev   device.Device
	arena *device.Arena
	x     []Array
	shape []int // of the result
	views bool  // operands are parts of larger tensors
}

// random are values of a normal distribution.
func random(n int, seed uint64) []float32 {
	r := rand.New(rand.NewPCG(seed, 42))
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	return v
}

func size(shape []int) int {
	n := 1
	for _, s := range shape {
		n *= s
	}
	return n
}

func (c *Case) operands() (x []Array) {
	for i, s := range c.Shapes {
		x = append(x, Array{s, random(size(s), uint64(i+1))})
	}
	return x
}

// run makes the call in a pass of its own. It checks the result's shape, what it took of the arena, and that operands and
// what lies around them are as before.
func (c *call) run(t *testing.T, ctx context.Context) (got []float32, err error) {
	t.Helper()
	p := device.NewPass(ctx, c.dev, c.arena)
	var whole, x []device.Tensor
	var before [][]float32
	for _, a := range c.x {
		v, pad := a.V, 0
		if c.views {
			pad = margin
			around := random(2*margin, 99)
			v = slices.Concat(around[:margin], v, around[margin:])
		}
		w := p.Upload(v, false, len(v))
		whole, before = append(whole, w), append(before, v)
		x = append(x, w.Part(pad, pad+len(a.V)).Reshape(a.Shape...))
	}
	used, meta := c.arena.Stats().Used, c.meta()
	flops := meta.FLOPs
	out := c.Run(p, x)
	if p.Err() == nil {
		c.account(t, out, c.arena.Stats().Used-used, meta.FLOPs-flops)
		got = p.Download(out, false)
		for i, w := range whole {
			v := p.Download(w, false)
			if c.InPlace && i == 0 { // it may change the operand, not what lies around
				if pad := (len(v) - len(c.x[0].V)) / 2; pad > 0 {
					copy(v[pad:len(v)-pad], before[i][pad:])
				} else {
					continue
				}
			}
			if !meta.counts && !same(v, before[i]) {
				t.Errorf("%s %s: operand %d, or what lies around it, was written to", c.Op, c.Name, i)
			}
		}
	}
	return got, p.Close()
}

// counter is a meta device, or nothing.
type counter struct {
	*device.Meta
	counts bool
}

func (c *call) meta() counter {
	m, ok := c.dev.(*device.Meta)
	if !ok {
		m = &device.Meta{}
	}
	return counter{m, ok}
}

// account checks the result's shape, and the bytes and FLOPs of a call.
func (c *call) account(t *testing.T, out device.Tensor, bytes, flops int64) {
	t.Helper()
	if !slices.Equal(out.Shape, c.shape) {
		t.Errorf("%s %s: shape %v, want %v", c.Op, c.Name, out.Shape, c.shape)
	}
	need := 4 * int64(size(c.shape))
	if c.InPlace {
		need = 0
	}
	if bytes < need || bytes > 2*need { // a block that is reused may be larger
		t.Errorf("%s %s: took %d bytes, need %d", c.Op, c.Name, bytes, need)
	}
	if c.meta().counts && flops != c.FLOPs {
		t.Errorf("%s %s: counted %d FLOPs, need %d", c.Op, c.Name, flops, c.FLOPs)
	}
}

// same compares bits, all NaN being one.
func same(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return x == y || x != x && y != y })
}

// test makes all calls of a case and returns the largest difference.
func (c *Case) test(t *testing.T, devs []device.Device) (worst float64) {
	t.Helper()
	x := c.operands()
	shape, want := c.Want(x)
	var first []float32
	for i, dev := range devs {
		k := call{Case: c, dev: dev, arena: device.NewArena(dev, 0), x: x, shape: shape}
		got, err := k.run(t, context.Background())
		if err != nil {
			t.Errorf("%s %s: %v", c.Op, c.Name, err)
			return
		}
		if k.meta().counts {
			continue
		}
		if i == 0 {
			first = got
			worst = k.compare(t, got, want)
			k.beyond(t)
			k.again(t)
		}
		k.views = true
		viewed, err := k.run(t, context.Background())
		if err != nil || !same(got, first) || !same(viewed, first) {
			t.Errorf("%s %s: device %d has another result than the first (%v), on views (%v); %v", c.Op, c.Name, i, !same(got, first), !same(viewed, first), err)
		}
	}
	return worst
}

// compare holds a result to the definition.
func (c *call) compare(t *testing.T, got []float32, want []float64) (worst float64) {
	t.Helper()
	top := 1.0
	for _, w := range want {
		top = max(top, math.Abs(w))
	}
	for i, w := range want {
		d := math.Abs(float64(got[i])-w) / top
		worst = max(worst, d)
		if !(d <= c.Tol) {
			t.Errorf("%s %s: [%d] is %g, want %g, a difference of %.2g of the largest value, need %.2g", c.Op, c.Name, i, got[i], w, d, c.Tol)
			return worst
		}
	}
	return worst
}

// beyond puts a value that is not finite into the middle of each operand: the result is not finite where the definition's
// is not, and nowhere else.
func (c *call) beyond(t *testing.T) {
	t.Helper()
	for i, a := range c.x {
		if c.Finite != nil && c.Finite[i] {
			continue
		}
		for _, v := range []float32{float32(math.NaN()), float32(math.Inf(1))} {
			spoilt := *c
			spoilt.x = slices.Clone(c.x)
			spoilt.x[i].V = slices.Clone(a.V)
			spoilt.x[i].V[len(a.V)/2] = v
			got, err := spoilt.run(t, context.Background())
			if err != nil {
				t.Errorf("%s %s: %v", c.Op, c.Name, err)
			}
			_, want := spoilt.Want(spoilt.x)
			for j, w := range want {
				if finite(w) != finite(float64(got[j])) || w != w && got[j] == got[j] && v != v {
					t.Errorf("%s %s: %v in the middle of operand %d makes [%d] %g, want %g", c.Op, c.Name, v, i, j, got[j], w)
					break
				}
			}
		}
	}
}

func finite(v float64) bool { return v-v == 0 }

// again makes the call once more in the same arena: it takes no new block and, the workers being warm, no memory in the
// order of a tensor.
func (c *call) again(t *testing.T) {
	t.Helper()
	blocks := c.arena.Stats().Allocations
	limit := uint64(size(c.shape))
	few := false
	for range 10 { // until every worker has had a tile of every kind
		p := device.NewPass(context.Background(), c.dev, c.arena)
		var x []device.Tensor
		for _, a := range c.x {
			x = append(x, p.Upload(a.V, false, a.Shape...))
		}
		var before, after runtime.MemStats
		if limit >= 1<<14 {
			runtime.ReadMemStats(&before)
		}
		c.Run(p, x)
		if limit >= 1<<14 {
			runtime.ReadMemStats(&after)
		}
		if err := p.Close(); err != nil {
			t.Errorf("%s %s: %v", c.Op, c.Name, err)
		}
		if few = after.TotalAlloc-before.TotalAlloc < limit; few { // a quarter of the result's bytes
			break
		}
	}
	if have := c.arena.Stats().Allocations; have != blocks || !few && !c.hostCopy() {
		t.Errorf("%s %s: another pass took %d blocks more, memory below a quarter of its result: %v", c.Op, c.Name, have-blocks, few)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	k := *c
	if _, err := k.run(t, ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%s %s: a cancelled pass ends with %v", c.Op, c.Name, err)
	}
}

// hostCopy says that the call makes host values.
func (c *call) hostCopy() bool { return c.Op == "download" }

// slowWeights are weights that cancel a context once they are read.
type slowWeights struct {
	device.Weights
	reads  chan struct{}
	cancel func()
}

func (w slowWeights) Unpack(dst []float32, n0, n1, k0, k1 int) {
	w.cancel()
	w.reads <- struct{}{}
	w.Weights.Unpack(dst, n0, n1, k0, k1)
}

// testCancelled cancels a product at its first tile: the rest is not computed, and nothing after it.
func testCancelled(t *testing.T, dev device.Device) {
	const n, k, rows = 1 << 14, 8, 64
	reads := func(cancelled bool) int {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		w := slowWeights{Dense(n, k).W, make(chan struct{}, n*k), cancel}
		if !cancelled {
			w.cancel = func() {}
		}
		p := device.NewPass(ctx, dev, device.NewArena(dev, 0))
		x := p.Linear(p.Upload(random(rows*k, 1), false, rows, k), w, 0, device.Epilogue{})
		later := p.Activate(x, device.SiLU)
		if err := p.Close(); cancelled != errors.Is(err, context.Canceled) || cancelled != (later.Shape == nil) {
			t.Errorf("cancelled: %v, the pass ended with %v", cancelled, err)
		}
		return len(w.reads)
	}
	if cut, all := reads(true), reads(false); cut == 0 || cut > all/4 {
		t.Errorf("%d of %d reads of weights after the context was cancelled", cut, all)
	}
}
