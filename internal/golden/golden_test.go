package golden

import (
	"math"
	"os"
	"path/filepath"
	"testing"
)

func TestCompare(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	if d, err := Compare([]float32{1, nan, inf}, []float32{1.5, nan, inf}, 0.5, 0); err != nil || d != 0.5 {
		t.Errorf("got %v, %v; want 0.5", d, err)
	}
	for _, got := range [][]float32{{1}, {1, 2.2}, {1, nan}, {1, inf}} {
		if _, err := Compare(got, []float32{1, 2}, 0.1, 0); err == nil {
			t.Errorf("%v passes for [1 2]", got)
		}
	}
}

func TestHalf(t *testing.T) {
	for h, want := range map[uint16]float64{0x3c00: 1, 0xc000: -2, 1: math.Ldexp(1, -24), 0x7bff: 65504, 0xfc00: math.Inf(-1)} {
		if got := half(h); got != want {
			t.Errorf("half(%#x) = %v, want %v", h, got, want)
		}
	}
}

func TestGoldenStage(t *testing.T) {
	dir := Stage(t, "tiny")
	for _, file := range []string{"tiny-sd21/tokenizer/merges.txt", "tiny-sd15/tokenizer/vocab.json", "tiny-sd21/vae/config.json"} {
		if info, err := os.Stat(filepath.Join(dir, filepath.FromSlash(file))); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", file, err)
		}
	}
}
