package cpu

import (
	"context"
	"sync/atomic"
	"time"
)

// Peak measures the most operations a second (a product and a sum are two) that the path in use can do on all workers:
// multiply-adds on registers, the best of some rounds. For a precision that the path has no instructions for, it is that of
// what is computed instead.
func Peak(p *Pool, prec Precision) float64 {
	f, ops := active.peak.f32, active.peak.f32Ops
	switch {
	case prec == BF16 && active.peak.bf16 != nil:
		f, ops = active.peak.bf16, active.peak.bf16Ops
	case prec >= Int8:
		f, ops = active.peak.i8, active.peak.i8Ops
	}
	const parts, rounds = 16, 125_000 // some milliseconds: long enough for all workers to run at once, in calls of less than one
	best := 0.0
	for range 40 {
		begin := time.Now()
		p.Run(context.Background(), p.Threads(), func(int, int) {
			for range parts {
				f(rounds)
			}
		})
		best = max(best, parts*rounds*float64(ops*p.Threads())/time.Since(begin).Seconds())
	}
	return best
}

var sink atomic.Int64 // keeps the compiler from leaving the loops out

// peakGo makes n rounds of eight independent multiply-adds.
func peakGo(n int) {
	a, b, c, d, e, f, g, h := float32(1), float32(2), float32(3), float32(4), float32(5), float32(6), float32(7), float32(8)
	x := float32(0.5)
	for range n {
		a, b, c, d = a*x+x, b*x+x, c*x+x, d*x+x
		e, f, g, h = e*x+x, f*x+x, g*x+x, h*x+x
	}
	sink.Store(int64(a + b + c + d + e + f + g + h))
}

// peakInt8Go is peakGo on integers.
func peakInt8Go(n int) {
	a, b, c, d, e, f, g, h := int32(1), int32(2), int32(3), int32(4), int32(5), int32(6), int32(7), int32(8)
	x := int32(n)
	for range n {
		a, b, c, d = a*x+x, b*x+x, c*x+x, d*x+x
		e, f, g, h = e*x+x, f*x+x, g*x+x, h*x+x
	}
	sink.Store(int64(a + b + c + d + e + f + g + h))
}
