package cpu

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"
)

// Every tile is computed once, whether workers were awake or asleep, and by no more workers than there are.
func TestPoolRunsEveryTileOnce(t *testing.T) {
	for _, threads := range []int{1, 2, 3, 7} {
		p := NewPool(threads)
		defer p.Close()
		for round := range 300 {
			tiles := round % 23
			count := make([]atomic.Int32, tiles)
			p.Run(ctx, tiles, func(tile, worker int) {
				if worker < 0 || worker >= threads {
					t.Errorf("worker %d of %d", worker, threads)
				}
				count[tile].Add(1)
				if round%50 == 0 {
					time.Sleep(50 * time.Microsecond)
				}
			})
			for i := range count {
				if n := count[i].Load(); n != 1 {
					t.Fatalf("%d threads, round %d: tile %d of %d was computed %d times", threads, round, i, tiles, n)
				}
			}
			if round%100 == 99 {
				time.Sleep(2 * patience) // now all sleep
			}
		}
	}
}

// When the context is done no tile begins, and a panic in any worker comes out of Run; the pool goes on working after both.
func TestPoolStops(t *testing.T) {
	p := NewPool(3)
	defer p.Close()
	stop, cancel := context.WithCancel(ctx)
	var n atomic.Int32
	p.Run(stop, 1000, func(int, int) {
		if n.Add(1) == 5 {
			cancel()
		}
		time.Sleep(time.Millisecond)
	})
	if have := n.Load(); have < 5 || have > 8 {
		t.Errorf("%d tiles of 1000 were computed, cancelled at the fifth", have)
	}
	for i := range 20 {
		func() {
			defer func() {
				if r := recover(); r != "tile 7" {
					t.Errorf("round %d: recovered %v", i, r)
				}
			}()
			p.Run(ctx, 100, func(tile, _ int) {
				if tile == 7 {
					panic("tile 7")
				}
			})
		}()
	}
}

// A pool is shared by goroutines, and several pools run at once.
func TestPoolsAreShared(t *testing.T) {
	pools := []*Pool{NewPool(2), NewPool(3)}
	var sum atomic.Int64
	done := make(chan bool)
	for i := range 4 {
		go func() {
			for range 200 {
				pools[i%2].Run(ctx, 5, func(tile, _ int) { sum.Add(int64(tile)) })
			}
			done <- true
		}()
	}
	for range 4 {
		<-done
	}
	if have := sum.Load(); have != 4*200*10 {
		t.Errorf("have %d, want %d", have, 4*200*10)
	}
	for _, p := range pools {
		p.Close()
		p.Close()
	}
}

// Scratch is counted, kept while it is needed now and then, and given back when it is not or by Trim.
func TestScratchIsGivenBack(t *testing.T) {
	p := NewPool(1) // of more, some may have nothing to do
	defer p.Close()
	const m, k = 1 << 9, 1 << 11
	x, w, dst := random(m*k, 1), randomCodes(t, 16, k, false, true, false), make([]float32, m*16)
	big := func() { MatMul(ctx, p, dst, x, m, w, nil, Int8) }
	small := func() { MatMul(ctx, p, dst, x, 8, w, nil, Int8) }
	big()
	high := p.Scratch()
	if high < m*k {
		t.Fatalf("%d bytes of scratch after quantizing %d values", high, m*k)
	}
	for range 3 * restsToLook {
		small()
		p.Rest()
		if p.rests%restsToLook == 7 {
			big()
		}
	}
	if have := p.Scratch(); have != high {
		t.Errorf("have %d bytes of scratch that is needed now and then, want %d", have, high)
	}
	for range 2 * restsToLook {
		small()
		p.Rest()
	}
	if have := p.Scratch(); have > high-m*k {
		t.Errorf("have %d bytes of %d long after they were needed", have, high)
	}
	p.Trim()
	if have := p.Scratch(); have != 0 {
		t.Errorf("%d bytes are left after Trim", have)
	}
	big()
	if have := p.Scratch(); have != high {
		t.Errorf("have %d bytes of scratch after Trim and the same operation, want %d", have, high)
	}
}

// BenchmarkPool measures what an operation of so many tiles of so much work costs, so long after the one before.
func BenchmarkPool(b *testing.B) {
	p := NewPool(0)
	defer p.Close()
	for _, c := range []struct {
		gap, work time.Duration
		tiles     int
	}{
		{0, 0, 2}, {5e3, 0, 2}, {200e3, 0, 2}, {5e3, 10e3, 4}, {200e3, 10e3, 4}, {5e3, 100e3, 10}, {200e3, 100e3, 10},
	} {
		b.Run(fmt.Sprintf("after %v, %d tiles of %v", c.gap, c.tiles, c.work), func(b *testing.B) {
			best, took := time.Hour, time.Duration(0)
			for b.Loop() {
				wait(c.gap)
				begin := time.Now()
				p.Run(ctx, c.tiles, func(int, int) { wait(c.work) })
				d := time.Since(begin)
				best, took = min(best, d), took+d
			}
			b.ReportMetric(float64(best), "ns-best")
			b.ReportMetric(float64(took)/float64(b.N), "ns-mean")
		})
	}
}

// wait keeps the processor busy.
func wait(d time.Duration) {
	for begin := time.Now(); time.Since(begin) < d; {
	}
}
