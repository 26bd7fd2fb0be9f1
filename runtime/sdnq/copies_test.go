package sdnq

import (
	"context"
	"slices"
	"testing"

	"graphrun/kernels/cpu"
)

// Without room for copies the same codes are made in each product: results are the same but for how sums are rounded.
func TestCopiesWithoutRoom(t *testing.T) {
	pool := cpu.NewPool(2)
	defer pool.Close()
	for name, text := range map[string]string{
		"uint4 in groups": `"weights_dtype":"uint4","group_size":32`, "int5": `"weights_dtype":"int5","use_quantized_matmul":true,"group_size":-1`,
		"uint8 by int8": `"weights_dtype":"uint8","use_quantized_matmul":true,"quantized_matmul_dtype":"int8"`, "uint8": `"weights_dtype":"uint8","use_quantized_matmul":true`,
		"uint8 in groups": `"weights_dtype":"uint8","group_size":16`, "uint4 with a part of low rank": `"weights_dtype":"uint4","use_svd":true,"svd_rank":8,"group_size":16`,
		"rotated int5":   `"weights_dtype":"int5","group_size":16,"use_hadamard":true`,
		"int8 in groups": `"weights_dtype":"int8","group_size":16`,
	} {
		cfg, err := ParseConfig([]byte(`{"quant_method":"sdnq",` + text + `}`))
		if err != nil {
			t.Fatal(err)
		}
		free, tight, roomy := quantizedLayer(t, cfg, 48, 64), quantizedLayer(t, cfg, 48, 64), quantizedLayer(t, cfg, 48, 64)
		const rows = 40
		k := free.k
		x := make([]float32, rows*k)
		for i := range x {
			x[i] = float32((i*37+i*i*11)%255-127) / 50
		}
		none, enough := NewCopies(0), NewCopies(int64(free.n*k))
		tight.LimitCopies(none)
		roomy.LimitCopies(enough)
		want, got, kept := make([]float32, rows*free.n), make([]float32, rows*free.n), make([]float32, rows*free.n)
		cpu.MatMul(context.Background(), pool, want, x, rows, free, nil, free.Precision())
		cpu.MatMul(context.Background(), pool, got, x, rows, tight, nil, free.Precision())
		cpu.MatMul(context.Background(), pool, kept, x, rows, roomy, nil, free.Precision())
		if !slices.Equal(kept, want) || enough.left.Load() != 0 {
			t.Errorf("%s: with room the result is another one, or %d bytes of room are left", name, enough.left.Load())
		}
		if codes, _, _, _ := tight.Int8(); codes != nil {
			t.Errorf("%s: codes are kept without room", name)
		}
		var top, worst float64
		for i := range want {
			top, worst = max(top, float64(want[i]), -float64(want[i])), max(worst, float64(want[i]-got[i]), float64(got[i]-want[i]))
		}
		t.Logf("%s: largest difference %.2g of the largest value", name, worst/top)
		if !(worst <= 1e-5*top) {
			t.Errorf("%s: without room the difference is %g of %g", name, worst, top)
		}
	}
}
