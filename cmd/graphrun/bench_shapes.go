package main

import (
	"fmt"

	"graphrun/kernels/cpu"
	"graphrun/runtime/nn"
)

// kernel is an operation of one shape. tools/bench-peers reads the shape from its name.
type kernel struct {
	name       string
	arithmetic string // "" if there are no products
	prec       cpu.Precision
	work       float64 // operations of a call (a product and a sum are two), or bytes that it must read and write
	bandwidth  bool    // work is bytes
	int8Half   bool    // half of the work is of int8
	calls      int     // that prepare's function makes; 0 is 1
	note       string
	prepare    func(b *kernelBench) (run func())
}

func (k kernel) String() string { return k.name + ", " + k.arithmetic }

var precisions = []cpu.Precision{cpu.Int8, cpu.BF16, cpu.Exact}

// kernels are the rows of the table.
func kernels() (list []kernel) {
	for _, s := range [][3]int{{1024, 3072, 3072}, {4096, 320, 320}, {1024, 3072, 12288}} {
		for _, prec := range precisions {
			list = append(list, matmulKernel(s[0], s[1], s[2], prec))
		}
	}
	for _, prec := range precisions {
		list = append(list, rowKernel(3072, 18432, prec))
	}
	for _, s := range [][2]int{{320, 64}, {1280, 16}, {128, 512}} {
		for _, prec := range append([]cpu.Precision{cpu.Int8Fast}, precisions...) {
			list = append(list, convKernel(s[0], s[1], prec))
		}
	}
	for _, s := range [][3]int{{8, 4096, 40}, {24, 4608, 128}} {
		for _, prec := range precisions {
			list = append(list, attentionKernel(s[0], s[1], s[2], prec))
		}
	}
	list = append(list, sdnqKernels()...)
	return append(list, streamKernels()...)
}

// matrix is made-up weights [n, k], stored as prec reads them, and the bytes of an element.
func matrix(n, k int, prec cpu.Precision) (w cpu.Weights, size int) {
	if prec == cpu.Exact {
		return cpu.Dense(noise(n*k), n, k), 4
	}
	size = 2
	if prec >= cpu.Int8 {
		size = 1
	}
	return nn.Synthetic(prec).LinearNoBias("made up", k, n).W, size
}

func matmulKernel(m, k, n int, prec cpu.Precision) kernel {
	note := ""
	if prec == cpu.Int8 {
		note = "with quantizing the activations, weights [K, N]"
	}
	return kernel{
		name: fmt.Sprintf("matmul %dx%dx%d", m, k, n), arithmetic: prec.String(), prec: prec, work: 2 * float64(m) * float64(k) * float64(n), note: note,
		prepare: func(b *kernelBench) func() {
			w, _ := matrix(n, k, prec)
			dst, x, bias := make([]float32, m*n), noise(m*k), noise(n)
			return func() { cpu.MatMul(b.ctx, b.pool, dst, x, m, w, bias, prec) }
		},
	}
}

// rowKernel multiplies one row by matrices that together do not fit a cache. With int8 weights the activations stay float32,
// as SDNQ has it below 32 rows.
func rowKernel(k, n int, stored cpu.Precision) kernel {
	size := map[cpu.Precision]int{cpu.Int8: 1, cpu.BF16: 2, cpu.Exact: 4}[stored]
	calls := 4 / size
	prec, note := stored, ""
	if stored == cpu.Int8 {
		prec, note = cpu.Exact, "int8 weights, float32 activations"
	}
	return kernel{
		name: fmt.Sprintf("matmul 1x%dx%d", k, n), arithmetic: stored.String(), prec: prec, work: float64(size) * float64(k) * float64(n), bandwidth: true,
		calls: calls, note: note,
		prepare: func(b *kernelBench) func() {
			layers := make([]cpu.Weights, calls)
			for i := range layers {
				layers[i], _ = matrix(n, k, stored)
			}
			dst, x, bias := make([]float32, n), noise(k), noise(n)
			return func() {
				for _, w := range layers {
					cpu.MatMul(b.ctx, b.pool, dst, x, 1, w, bias, prec)
				}
			}
		},
	}
}

func convKernel(c, side int, prec cpu.Precision) kernel {
	note := map[cpu.Precision]string{
		cpu.Int8: "a scale for each row of the im2col matrix, as SDNQ", cpu.Int8Fast: "a scale for the picture; Winograd's form in float32 on avx2, avx512 and neon",
	}[prec]
	return kernel{
		name: fmt.Sprintf("conv 3x3 C%d %dx%d", c, side, side), arithmetic: prec.String(), prec: prec, work: 2 * 9 * float64(c*c) * float64(side*side), note: note,
		prepare: func(b *kernelBench) func() {
			w, _ := matrix(c, 9*c, prec)
			dst, x, bias := make([]float32, side*side*c), noise(side*side*c), noise(c)
			same := cpu.Conv{KH: 3, KW: 3, StrideH: 1, StrideW: 1, Top: 1, Left: 1, Bottom: 1, Right: 1}
			return func() { cpu.Conv2D(b.ctx, b.pool, dst, x, 1, side, side, c, w, same, bias, prec) }
		},
	}
}

// attentionKernel with Int8 makes half of its operations, the scores, in int8.
func attentionKernel(heads, tokens, d int, prec cpu.Precision) kernel {
	n := tokens * heads * d
	k := kernel{
		name: fmt.Sprintf("attention %d heads L%d d%d", heads, tokens, d), arithmetic: prec.String(), prec: prec, work: 4 * float64(tokens) * float64(n),
		prepare: func(b *kernelBench) func() {
			dst, q, k, v := make([]float32, n), noise(n), noise(n), noise(n)
			shape := cpu.Attn{Batch: 1, Heads: heads, LQ: tokens, LK: tokens, D: d, Prec: prec}
			return func() { cpu.Attention(b.ctx, b.pool, dst, q, k, v, shape) }
		},
	}
	if prec == cpu.Int8 {
		k.prec, k.int8Half, k.note = cpu.BF16, true, "scores in int8, the second product as bfloat16"
	}
	return k
}

// streamKernels are bound by memory: each value counts once where it is read and once where it is written. None fits a cache.
func streamKernels() []kernel {
	stream := func(name string, in, out int, run func(b *kernelBench, dst, x []float32)) kernel {
		return kernel{name: name, work: 4 * float64(in+out), bandwidth: true, note: "read once and written once", prepare: func(b *kernelBench) func() {
			dst, x := make([]float32, out), noise(in)
			return func() { run(b, dst, x) }
		}}
	}
	const pixels, channels, tokens, width = 512 * 512, 128, 4608, 3072
	w, bias := noise(width), noise(width)
	return []kernel{
		stream("group norm 512x512 C128", pixels*channels, pixels*channels, func(b *kernelBench, dst, x []float32) {
			cpu.GroupNorm(b.ctx, b.pool, cpu.Floats(dst, 1*pixels, channels), x, 1, 32, 1e-6, w[:channels], bias[:channels], false)
		}),
		stream("layer norm 4608x3072", tokens*width, tokens*width, func(b *kernelBench, dst, x []float32) {
			cpu.LayerNorm(b.ctx, b.pool, cpu.Floats(dst, tokens, width), x, 1e-6, w, bias)
		}),
		stream("GELU 4608x12288", tokens*4*width, tokens*4*width, func(b *kernelBench, dst, x []float32) {
			cpu.Activate(b.ctx, b.pool, dst, x, cpu.GELU)
		}),
		stream("SiLU 512x512 C128", pixels*channels, pixels*channels, func(b *kernelBench, dst, x []float32) {
			cpu.Activate(b.ctx, b.pool, dst, x, cpu.SiLU)
		}),
		stream("GEGLU 8192x2560", 8192*2560, 8192*1280, func(b *kernelBench, dst, x []float32) {
			cpu.Gated(b.ctx, b.pool, cpu.Floats(dst, 8192, 1280), x, cpu.GELU, false)
		}),
		stream("softmax 4096x4096", 4096*4096, 4096*4096, func(b *kernelBench, dst, x []float32) {
			cpu.Softmax(b.ctx, b.pool, dst, x, 4096, 4096)
		}),
		stream("transpose 3072x4608", tokens*width, tokens*width, func(b *kernelBench, dst, x []float32) {
			cpu.Transpose(b.ctx, b.pool, dst, x, []int{width, tokens}, []int{1, 0})
		}),
		stream("resize nearest 256x256 to 512x512 C128", pixels/4*channels, pixels*channels, func(b *kernelBench, dst, x []float32) {
			cpu.Resize(b.ctx, b.pool, dst, x, 1, 256, 256, channels, 512, 512, cpu.Nearest)
		}),
		stream("resize bicubic 1024x1024 to 2048x2048 C3", 4*pixels*3, 16*pixels*3, func(b *kernelBench, dst, x []float32) {
			cpu.Resize(b.ctx, b.pool, dst, x, 1, 1024, 1024, 3, 2048, 2048, cpu.Bicubic)
		}),
	}
}
