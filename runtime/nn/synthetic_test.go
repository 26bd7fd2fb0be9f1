package nn

import (
	"path/filepath"
	"slices"
	"testing"

	"graphrun/kernels/cpu"
	"graphrun/runtime/weights"
)

// A made-up checkpoint in a file binds whole, quantized where SDNQ would, and has the numbers of the one in memory.
func TestWriteSynthetic(t *testing.T) {
	type net struct {
		in, mid *Conv2D
		lin     *Linear
		norm    *GroupNorm
	}
	build := func(b *Binder) (n net) {
		n.in, n.mid = b.Conv("in", 4, 32, 3, 1), b.Conv("mid", 32, 48, 3, 1)
		n.lin, n.norm = b.At("block").Linear("to", 64, 32), b.GroupNorm("norm", 32, 8, 1e-5)
		return n
	}
	path := filepath.Join(t.TempDir(), "x.safetensors")
	config, err := WriteSynthetic(path, cpu.Int8, func(b *Binder) error { build(b); return nil })
	if err != nil {
		t.Fatal(err)
	}
	store, err := weights.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	b := NewBinder(store, config, Options{})
	file := build(b)
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	if file.in.Prec != cpu.BF16 || file.mid.Prec != cpu.Int8 || file.lin.Prec != cpu.Int8 {
		t.Errorf("products in %v, %v, %v, want bfloat16, int8, int8", file.in.Prec, file.mid.Prec, file.lin.Prec)
	}
	if have := file.norm.W; !slices.Equal(have, []float32(build(Synthetic(cpu.Int8)).norm.W)) {
		t.Errorf("norm %v", have)
	}
	codes, kByN, scale, _ := file.lin.W.(cpu.Int8Weights).Int8()
	if n, k := file.lin.W.Dims(); n != 32 || k != 64 || !kByN || len(codes) != n*k || len(scale) != n {
		t.Errorf("linear [%d, %d], %v, %d codes, %d scales", n, k, kByN, len(codes), len(scale))
	}
	if low, high := slices.Min(codes), slices.Max(codes); low > -100 || high < 100 {
		t.Errorf("codes from %d to %d", low, high)
	}
}
