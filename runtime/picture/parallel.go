package picture

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
)

// bands calls f for parts [low, high) of 0..n on all processors. A cancelled context ends it between parts.
// f must not panic: nobody could catch it.
func bands(ctx context.Context, n int, f func(low, high int)) error {
	workers := min(runtime.GOMAXPROCS(0), n)
	size := max(1, n/(8*max(workers, 1))) // several parts a worker, so that cancelling is quick
	var next atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for ctx.Err() == nil {
				low := int(next.Add(int64(size))) - size
				if low >= n {
					return
				}
				f(low, min(low+size, n))
			}
		})
	}
	wg.Wait()
	return ctx.Err()
}

// each sets dst[i] = f(i) on all processors.
func each(ctx context.Context, dst []float32, f func(i int) float32) error {
	const part = 1 << 14
	return bands(ctx, (len(dst)+part-1)/part, func(low, high int) {
		for i := low * part; i < min(high*part, len(dst)); i++ {
			dst[i] = f(i)
		}
	})
}
