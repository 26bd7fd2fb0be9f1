package device

import (
	"context"
	"errors"
	"fmt"
)

// Pass is one forward pass: operations check shapes, allocate their result and run; the first error sticks and turns
// the rest into no-ops, so that model code needs no error handling between its lines. A Pass is for one goroutine.
type Pass struct {
	ctx   context.Context
	dev   Device
	arena *Arena
	live  []*block
	err   error
	turn  bool // it is this pass's turn on the arena
	ended bool

	// Point, if set, is shown named intermediate results, for tests and debugging.
	Point func(name string, t Tensor)
}

// NewPass starts a pass when no other is open on the arena: until it is closed the others wait, or fail when their context
// ends. A goroutine that opens a second one waits for itself.
func NewPass(ctx context.Context, dev Device, arena *Arena) *Pass {
	p := &Pass{ctx: ctx, dev: dev, arena: arena}
	select {
	case arena.turn <- struct{}{}:
		p.turn = true
	case <-ctx.Done():
		p.err = ctx.Err()
	}
	return p
}

// Close frees all tensors of the pass, which are none from then on, and returns its error.
func (p *Pass) Close() error {
	for _, b := range p.live {
		p.arena.put(b)
	}
	if !p.ended && p.turn {
		p.dev.rest(false)
		<-p.arena.turn
	}
	p.live, p.ended = nil, true
	return p.err
}

// Err returns the first error of the pass.
func (p *Pass) Err() error { return p.err }

// Exact reports that the device computes every product in float32.
func (p *Pass) Exact() bool { return p.dev.Exact() }

// Fail makes err the pass's error unless it has one.
func (p *Pass) Fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

// ok reports whether to go on: no error so far and the context still alive. It makes an interrupt take effect within one layer.
func (p *Pass) ok() bool {
	if p.ended {
		p.Fail(ErrClosed)
	}
	if p.err == nil {
		p.err = p.ctx.Err()
	}
	return p.err == nil
}

// need reports whether op may go on: cond holds and all operands have memory and are float32.
func (p *Pass) need(cond bool, op, need string, have ...Tensor) bool {
	for _, t := range have {
		if t.Format != Float32 && p.ok() {
			p.err = &ShapeError{Op: op, Need: "float32", Have: fmt.Sprintf("%v in %v: cast it", t, t.Format)}
		}
	}
	return p.needAny(cond, op, need, have...)
}

// needAny is need for operands in any format.
func (p *Pass) needAny(cond bool, op, need string, have ...Tensor) bool {
	if !p.ok() {
		return false
	}
	for _, t := range have {
		if !t.in(p.arena) {
			p.err = &ShapeError{Op: op, Need: need, Have: fmt.Sprintf("%v, of which %v is no tensor of this pass: freed, or a view that did not fit", have, t)}
			return false
		}
	}
	if !cond {
		p.err = &ShapeError{Op: op, Need: need, Have: fmt.Sprint(have)}
	}
	return cond
}

// New returns a tensor of undefined values.
func (p *Pass) New(shape ...int) Tensor { return p.result("allocate", shape...) }

// result is New for an operation that errors name.
func (p *Pass) result(op string, shape ...int) Tensor { return p.resultIn(Float32, op, shape...) }

// resultIn is result in a format.
func (p *Pass) resultIn(f Format, op string, shape ...int) Tensor {
	if !p.ok() {
		return Tensor{}
	}
	n, ok := count(shape)
	if !ok {
		p.Fail(&ShapeError{Op: op, Need: "positive sizes with a product of at most 2^40", Have: fmt.Sprint(shape)})
		return Tensor{}
	}
	t := Tensor{Shape: append([]int(nil), shape...), Format: f}
	n = t.words(n)
	b, err := p.arena.get(n)
	if err != nil {
		if short := (*BudgetError)(nil); errors.As(err, &short) {
			short.Op, short.Shape = op, append([]int(nil), shape...)
		}
		p.Fail(err)
		return Tensor{}
	}
	p.live = append(p.live, b)
	t.block, t.lease = b, b.lease.Load()
	if b.data != nil {
		t.data = b.data[:n]
	}
	return t
}

// Free gives a tensor's memory back before its scope ends. Freeing it once more is harmless.
func (p *Pass) Free(t Tensor) {
	if t.block != nil && t.lease != t.block.lease.Load() {
		return // the block may be another tensor's by now
	}
	for i := len(p.live) - 1; i >= 0 && t.block != nil; i-- {
		if p.live[i] == t.block {
			p.live[i] = nil // not removed: open scopes count on positions
			p.arena.put(t.block)
			return
		}
	}
}

// Into replaces *t by next and frees what it held: h goes through a chain of layers in two buffers.
func (p *Pass) Into(t *Tensor, next Tensor) {
	if t.block != next.block {
		p.Free(*t)
	}
	*t = next
}

// Scope frees all tensors made since, but for *out, when the returned function runs: `defer p.Scope(&out)()`.
func (p *Pass) Scope(out *Tensor) func() {
	mark := len(p.live)
	return func() {
		keep := p.live[:mark]
		for _, b := range p.live[mark:] {
			if b != nil && b == out.block {
				keep = append(keep, b)
			} else {
				p.arena.put(b)
			}
		}
		p.live = keep
	}
}

// Mark shows a named result to the pass's listener.
func (p *Pass) Mark(name string, t Tensor) {
	if p.Point != nil && p.err == nil {
		p.Point(name, t)
	}
}
