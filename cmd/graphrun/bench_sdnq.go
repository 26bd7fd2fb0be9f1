package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"

	"graphrun/kernels/cpu"
	"graphrun/runtime/sdnq"
	"graphrun/runtime/weights"
)

// sdnqDTypes are kinds of SDNQ's weights. tools/bench-peers makes the same of their names.
var sdnqDTypes = []struct {
	name string
	set  func(c *sdnq.Config)
}{
	{"int8", func(*sdnq.Config) {}},
	{"uint8", func(c *sdnq.Config) { c.WeightsDType = "uint8" }},
	{"uint4 g64", func(c *sdnq.Config) { c.WeightsDType, c.GroupSize = "uint4", 64 }},
	{"uint4 g64 SVD32", func(c *sdnq.Config) { c.WeightsDType, c.GroupSize, c.UseSVD = "uint4", 64, true }},
	{"int8 Hadamard", func(c *sdnq.Config) { c.UseHadamard = true }},
	{"fp8", func(c *sdnq.Config) { c.WeightsDType = "float8_e4m3fn" }},
}

// sdnqKernels are the quantized matmul of SDNQ's common dtypes, as models run it, and dequantizing a weight as a whole, which
// they do not do.
func sdnqKernels() (list []kernel) {
	const m, k = 1024, 3072
	for _, n := range []int{3072, 12288} {
		for _, d := range sdnqDTypes {
			arithmetic, prec := "int8", cpu.Int8
			if d.name == "fp8" {
				arithmetic, prec = "float32", cpu.Exact
			}
			list = append(list, kernel{
				name: fmt.Sprintf("SDNQ %s, matmul %dx%dx%d", d.name, m, k, n), arithmetic: arithmetic, prec: prec, work: 2 * m * k * float64(n),
				note: "with quantizing the activations", prepare: func(b *kernelBench) func() {
					w := sdnqMatrix(b, d.set, true, n, k)
					dst, x, bias := make([]float32, m*n), noise(m*k), noise(n)
					return func() { cpu.MatMul(b.ctx, b.pool, dst, x, m, w, bias, w.Precision()) }
				},
			})
		}
	}
	for _, d := range sdnqDTypes {
		const n, rows = 3072, 96
		list = append(list, kernel{
			name: fmt.Sprintf("SDNQ %s, dequantize %dx%d", d.name, n, k), work: 4 * n * k, bandwidth: true, note: "float32 written",
			prepare: func(b *kernelBench) func() {
				w, dst := sdnqMatrix(b, d.set, false, n, k), make([]float32, n*k)
				return func() {
					b.pool.Run(b.ctx, n/rows, func(t, _ int) { w.Unpack(dst[t*rows*k:(t+1)*rows*k], t*rows, (t+1)*rows, 0, k) })
				}
			},
		})
	}
	return list
}

// sdnqMatrix quantizes made-up numbers.
func sdnqMatrix(b *kernelBench, set func(c *sdnq.Config), matmul bool, n, k int) *sdnq.Matrix {
	c := sdnq.DefaultConfig()
	c.UseQuantizedMatmul = matmul
	set(c)
	raw := make([]byte, 0, 4*n*k)
	for _, v := range noise(n * k) {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	q, err := sdnq.Quantize(context.WithoutCancel(b.ctx), b.pool, weights.Tensor{Name: "x.weight", DType: weights.F32, Shape: []int{n, k}, Data: raw}, sdnq.Linear, c)
	if err == nil {
		var m *sdnq.Matrix
		if m, err = sdnq.Layer(weights.Of(q.Tensors...), "x", c, []int{n, k}); err == nil {
			return m
		}
	}
	panic(err) // a mistake here: nothing comes from outside
}
