package nn

import (
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"graphrun/kernels/cpu"
	"graphrun/runtime/device"
	"graphrun/runtime/sdnq"
	"graphrun/runtime/weights"
)

// quantizedLinear binds a layer [n, k] of random weights, quantized as the config says.
func quantizedLinear(t *testing.T, pool *cpu.Pool, config string, n, k int, opt Options) (*Linear, *sdnq.Matrix) {
	t.Helper()
	cfg, err := sdnq.ParseConfig([]byte(`{"quant_method":"sdnq",` + config + `}`))
	if err != nil {
		t.Fatal(err)
	}
	r, v := rand.New(rand.NewPCG(1, 2)), make([]float32, n*k)
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	q, err := sdnq.Quantize(t.Context(), pool, weights.Tensor{Name: "to.weight", DType: weights.F32, Shape: []int{n, k}, Data: bytesOf(v)}, sdnq.Linear, cfg)
	if err != nil {
		t.Fatal(err)
	}
	b := NewBinder(weights.Of(q.Tensors...), cfg, opt)
	l := b.LinearNoBias("to", k, n)
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	return l, l.W.(*sdnq.Matrix)
}

// The loader's options and the checkpoint's config decide in what a layer is multiplied; with fewer than 32 rows it is always by
// dequantized weights.
func TestQuantizedMatMul(t *testing.T) {
	pool := cpu.NewPool(2)
	defer pool.Close()
	dev := device.NewCPU(pool, false)
	yes, no := true, false
	for name, c := range map[string]struct {
		config string
		opt    Options
		want   device.Precision
	}{
		"as the config says":          {`"use_quantized_matmul":true`, Options{}, cpu.Int8},
		"not asked for":               {``, Options{}, cpu.Exact},
		"turned on":                   {``, Options{QuantizedMatMul: &yes}, cpu.Int8},
		"turned off":                  {`"use_quantized_matmul":true`, Options{QuantizedMatMul: &no}, cpu.Exact},
		"off, in bfloat16":            {`"use_quantized_matmul":true`, Options{QuantizedMatMul: &no, DType: "bfloat16"}, cpu.BF16},
		"uint4":                       {`"weights_dtype":"uint4"`, Options{QuantizedMatMul: &yes}, cpu.Int8},
		"uint4 with SVD":              {`"weights_dtype":"uint4","use_svd":true,"svd_rank":8`, Options{QuantizedMatMul: &yes}, cpu.Int8},
		"uint4, no room":              {`"weights_dtype":"uint4"`, Options{QuantizedMatMul: &yes, Copies: sdnq.NewCopies(0)}, cpu.Int8},
		"int8 with Hadamard":          {`"use_hadamard":true,"use_quantized_matmul":true`, Options{}, cpu.Int8},
		"uint8":                       {`"weights_dtype":"uint8","use_quantized_matmul":true`, Options{}, cpu.Rounded},
		"fp8":                         {`"weights_dtype":"float8_e4m3fn","use_quantized_matmul":true`, Options{}, cpu.Rounded},
		"fp8 is not turned on":        {`"weights_dtype":"float8_e4m3fn"`, Options{QuantizedMatMul: &yes}, cpu.Exact},
		"fp16":                        {`"weights_dtype":"float16"`, Options{QuantizedMatMul: &yes}, cpu.Rounded},
		"none where modules say so":   {`"modules_to_not_use_matmul":["to"]`, Options{QuantizedMatMul: &yes}, cpu.Exact},
		"a format that we know not":   {`"use_quantized_matmul":true,"quantized_matmul_dtype":"int5"`, Options{}, cpu.Exact},
		"uint4, by activations uint8": {`"weights_dtype":"uint4","quantized_matmul_dtype":"uint8","use_quantized_matmul":true`, Options{}, cpu.Rounded},
	} {
		config := c.config
		if config == "" {
			config = `"group_size":0`
		}
		const n, k = 64, 128
		l, w := quantizedLinear(t, pool, config, n, k, c.opt)
		if l.Prec != c.want {
			t.Errorf("%s: computed in %v, want %v", name, l.Prec, c.want)
			continue
		}
		for _, rows := range []int{31, 32} {
			x, exact := make([]float32, rows*k), make([]float32, rows*n)
			for i := range x {
				x[i] = float32((i*37+i*i*11)%255-100) / 50
			}
			cpu.MatMul(t.Context(), pool, exact, x, rows, cpu.Dense(w.Dequantize(), n, k), nil, cpu.Exact)
			p := device.NewPass(t.Context(), dev, device.NewArena(dev, 0))
			got := p.Download(l.Forward(p, p.Upload(x, false, rows, k)), false)
			if made := p.Download(l.Forward(p, Ready(p, p.Upload(x, false, rows, k), l)), false); !slices.Equal(got, made) {
				t.Errorf("%s, %d rows: another result by activations that were made ready before", name, rows)
			}
			p.Close()
			off, size := 0.0, 0.0
			for i, v := range got {
				off, size = max(off, math.Abs(float64(v-exact[i]))), max(size, math.Abs(float64(exact[i])))
			}
			dequantized := rows < 32 || c.want <= cpu.BF16
			if least := 1e-5 * size; dequantized == (off > least) && c.want != cpu.BF16 || off > 0.05*size {
				t.Errorf("%s, %d rows: off by %g of %g", name, rows, off, size)
			}
		}
	}
}

// Neither the dense weight nor, without room for copies, its codes ever exist as a whole.
func TestMemoryOfProducts(t *testing.T) {
	const n, k, rows = 2048, 2048, 64
	for name, config := range map[string]string{
		"dequantized": `"weights_dtype":"uint4"`, "codes": `"weights_dtype":"uint4","use_quantized_matmul":true`,
		"uint8": `"weights_dtype":"uint8","use_quantized_matmul":true`, "low rank": `"weights_dtype":"uint4","use_svd":true,"svd_rank":8,"use_quantized_matmul":true`,
		"fp8": `"weights_dtype":"float8_e4m3fn","use_quantized_matmul":true`,
	} {
		pool := cpu.NewPool(2)
		l, _ := quantizedLinear(t, pool, config, n, k, Options{Copies: sdnq.NewCopies(n*k - 1)})
		pool.Trim()
		x, y := make([]float32, rows*k), make([]float32, rows*n)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		cpu.MatMul(t.Context(), pool, y, x, rows, l.W, nil, l.Prec)
		runtime.ReadMemStats(&after)
		took := int64(after.TotalAlloc-before.TotalAlloc) + pool.Scratch()
		t.Logf("%s: %d bytes", name, took)
		if took > n*k {
			t.Errorf("%s: a product took %d bytes, its weights are %d in float32 and %d in int8", name, took, 4*n*k, n*k)
		}
		pool.Close()
	}
}
