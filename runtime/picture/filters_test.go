package picture

import (
	"context"
	"errors"
	"hash/crc32"
	"math"
	"slices"
	"testing"

	"graphrun/types"
)

// A picture of 95,699 colours, so that low bits are dropped first; the sums are of what Pillow 11.3 makes of it.
func TestQuantizeAsPillow(t *testing.T) {
	img := types.Image{Tensor: types.NewTensor(1, 300, 320, 3)}
	for p := range 300 * 320 {
		x, y := p%320, p/320
		for c, v := range []int{(x*x/7 + 3*y) % 256, (x*y/5 + y*y) % 256, (5*x + y*y/3) % 251} {
			img.Data[3*p+c] = (float32(v) + 0.5) / 255
		}
	}
	for _, c := range []struct {
		colours int
		dither  string
		sum     uint32
	}{
		{256, "none", 0x8cd68594},
		{256, "floyd-steinberg", 0xcaabf5a8},
		{17, "none", 0x8ad73a14},
		{17, "floyd-steinberg", 0x265f2ff8},
		{1, "none", 0xe2e6ce0e},
	} {
		out, err := Quantize(t.Context(), img, c.colours, c.dither)
		if err != nil {
			t.Fatal(err)
		}
		if sum := crc32.ChecksumIEEE(rounded(out.Data)); sum != c.sum {
			t.Errorf("%d colours, dither %s: %#x", c.colours, c.dither, sum)
		}
	}
}

// Both forms of growing and the sliding maximum, against the definition.
func TestMorphologyByDefinition(t *testing.T) {
	img := ramp(2, 5, 7, 3)
	for i := range img.Data {
		img.Data[i] = float32(math.Mod(float64(i)*0.37, 1))
	}
	for _, size := range []int{1, 2, 3, 4, 5, 12} {
		for sign, op := range map[float32]string{1: "dilate", -1: "erode"} {
			out, err := Morphology(t.Context(), img, op, size)
			if err != nil {
				t.Fatal(err)
			}
			for i := range out.Data {
				if want := extremeAt(img, i, size/2, size-1-size/2, sign); out.Data[i] != want {
					t.Fatalf("%s %d at %d: %v, want %v", op, size, i, out.Data[i], want)
				}
			}
		}
	}
	m := types.Mask{Tensor: types.NewTensor(1, 9, 9)}
	m.Data[4*9+4] = 1
	for n := range 6 {
		out, err := Grow(t.Context(), m, n, true)
		if err != nil {
			t.Fatal(err)
		}
		for p, v := range out.Data {
			if dx, dy := p%9-4, p/9-4; (v == 1) != (max(dx, -dx)+max(dy, -dy) <= n) {
				t.Fatalf("a diamond of %d: %v at %d, %d", n, v, dx, dy)
			}
		}
	}
}

func extremeAt(img types.Image, i, before, after int, sign float32) float32 {
	h, w, c := img.Shape[1], img.Shape[2], img.Shape[3]
	b, y, x := i/c/w/h, i/c/w%h, i/c%w
	best := float32(math.Inf(-1))
	for v := max(y-before, 0); v <= min(y+after, h-1); v++ {
		for u := max(x-before, 0); u <= min(x+after, w-1); u++ {
			best = max(best, sign*img.Data[((b*h+v)*w+u)*c+i%c])
		}
	}
	return sign * best
}

// A blur keeps the mean of one colour, at sizes below its radius too.
func TestBlurSmall(t *testing.T) {
	for _, size := range [][2]int{{1, 1}, {1, 3}, {2, 2}, {40, 1}} {
		img, err := Fill(1, size[0], size[1], 3, 0.25, 0.5, 1)
		if err != nil {
			t.Fatal(err)
		}
		out, err := Blur(t.Context(), img, 31, 1)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range out.Data {
			if math.Abs(float64(v-img.Data[i])) > 1e-6 {
				t.Fatalf("%v: %v became %v", size, img.Data[i], v)
			}
		}
	}
}

func TestCompose(t *testing.T) {
	dst, _ := Fill(2, 3, 4, 3, 0, 0, 0)
	src, _ := Fill(1, 2, 2, 4, 1, 1, 1)
	for _, c := range []struct{ x, y, white int }{{0, 0, 4}, {3, 2, 1}, {4, 0, 0}, {-1, 1, 2}, {100, 100, 0}, {-9, -9, 0}} {
		out, err := Compose(t.Context(), dst, src, types.Mask{}, c.x, c.y)
		if err != nil || !slices.Equal(out.Shape, dst.Shape) {
			t.Fatalf("%v: %v, %v", c, out.Shape, err)
		}
		white := 0
		for _, v := range out.Data {
			white += int(v)
		}
		if white != c.white*3*2 {
			t.Errorf("at %d, %d: %d values of white", c.x, c.y, white)
		}
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	img, mask := ramp(1, 30, 30, 3), types.Mask{Tensor: types.NewTensor(1, 30, 30)}
	for name, f := range map[string]func() error{
		"blur":       func() error { _, err := Blur(ctx, img, 2, 1); return err },
		"sharpen":    func() error { _, err := Sharpen(ctx, img, 2, 1, 1); return err },
		"canny":      func() error { _, err := Canny(ctx, img, 0.1, 0.2); return err },
		"morphology": func() error { _, err := Morphology(ctx, img, "open", 3); return err },
		"grow":       func() error { _, err := Grow(ctx, mask, 5, true); return err },
		"quantize":   func() error { _, err := Quantize(ctx, img, 5, "none"); return err },
		"blend":      func() error { _, err := Blend(ctx, img, img, 1, "screen"); return err },
		"compose":    func() error { _, err := Compose(ctx, img, img, types.Mask{}, 0, 0); return err },
		"resize":     func() error { _, err := ResizeImage(ctx, img, 9, 9, Lanczos, CropDisabled); return err },
	} {
		if err := f(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func BenchmarkFilters(b *testing.B) {
	img := ramp(1, 2048, 2048, 3)
	for name, f := range map[string]func(ctx context.Context){
		"blur":     func(ctx context.Context) { Blur(ctx, img, 10, 1) },
		"canny":    func(ctx context.Context) { Canny(ctx, img, 0.1, 0.2) },
		"dilate":   func(ctx context.Context) { Morphology(ctx, img, "dilate", 31) },
		"quantize": func(ctx context.Context) { Quantize(ctx, img, 256, "floyd-steinberg") },
		"overlay":  func(ctx context.Context) { Blend(ctx, img, img, 0.5, "overlay") },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				f(b.Context())
			}
		})
	}
}
