package cpu

import (
	"fmt"
	"testing"
)

// onEachPath runs f once for each path that this machine has.
func onEachPath[T interface {
	Run(string, func(T)) bool
}](t T, f func(t T)) {
	best := active
	defer func() { active = best }()
	for _, p := range paths {
		active = p
		t.Run(p.name, f)
	}
}

func BenchmarkPeak(b *testing.B) {
	onEachPath(b, func(b *testing.B) {
		for _, k := range []struct {
			name string
			f    func(int)
			ops  int
		}{{"f32", active.peak.f32, active.peak.f32Ops}, {"bf16", active.peak.bf16, active.peak.bf16Ops}, {"int8", active.peak.i8, active.peak.i8Ops}} {
			if k.f != nil {
				b.Run(k.name, func(b *testing.B) {
					for b.Loop() {
						k.f(1 << 16)
					}
					gops(b, float64(k.ops)*(1<<16))
				})
			}
		}
	})
}

// gops reports billions of operations a second.
func gops(b *testing.B, ops float64) {
	b.ReportMetric(ops*float64(b.N)/b.Elapsed().Seconds()/1e9, "GOPS")
}

func BenchmarkMatMul(b *testing.B) {
	for _, s := range [][3]int{{1024, 3072, 3072}, {4096, 1280, 1280}, {4096, 320, 320}, {77, 768, 320}, {1, 3072, 18432}} {
		m, k, n := s[0], s[1], s[2]
		x, w, dst := random(m*k, 1), Dense(random(n*k, 2), n, k), make([]float32, m*n)
		c := codes{Weights: w, q: make([]int8, n*k), scale: make([]float32, n)}
		for i := range c.q {
			c.q[i] = int8(i * 7)
		}
		for _, threads := range []int{1, 2} {
			p := NewPool(threads)
			for name, prec := range map[string]Precision{"f32": Exact, "int8": Int8} {
				b.Run(fmt.Sprintf("%s/%dx%dx%d/%d", name, m, k, n, threads), func(b *testing.B) {
					for b.Loop() {
						MatMul(ctx, p, dst, x, m, c, nil, prec)
					}
					gops(b, 2*float64(m)*float64(k)*float64(n))
				})
			}
			p.Close()
		}
	}
}
