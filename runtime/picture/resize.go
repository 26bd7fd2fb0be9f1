package picture

import (
	"context"
	"fmt"
	"math"
	"slices"

	"graphrun/kernels/cpu"
	"graphrun/types"
)

// Method is the name of a resize filter.
type Method string

// The filters of ComfyUI's common_upscale (numerics.md 8 and 9).
const (
	NearestExact Method = "nearest-exact"
	Bilinear     Method = "bilinear"
	Area         Method = "area"
	Bicubic      Method = "bicubic"
	Bislerp      Method = "bislerp" // latents: turns vectors of channels
	Lanczos      Method = "lanczos" // pictures: Pillow's, on 8 bits
)

// Crop says what happens when the new aspect is another one.
type Crop string

// CropDisabled stretches, CropCenter first cuts the sides that are too long.
const (
	CropDisabled Crop = "disabled"
	CropCenter   Crop = "center"
)

// ResizeImage resizes pictures [batch, height, width, channels] to width by height. Values outside 0..1, as bicubic
// makes them, are kept. It fails for Bislerp, for sizes below 1, and, with Lanczos, for other than 3 or 4 channels.
func ResizeImage(ctx context.Context, img types.Image, width, height int, m Method, crop Crop) (types.Image, error) {
	if err := img.Check("the picture", 4); err != nil {
		return types.Image{}, err
	}
	b, h, w, c := img.Shape[0], img.Shape[1], img.Shape[2], img.Shape[3]
	out, err := resize(ctx, grid{img.Data, b, h, w, c}, width, height, m, crop)
	return types.Image{Tensor: types.Tensor{Shape: []int{b, height, width, c}, Data: out.data}}, err
}

// ResizeLatent resizes latents [batch, channels, height, width], or [batch, channels, frames, height, width] frame by
// frame, to width by height cells. It fails for Lanczos and for sizes below 1.
func ResizeLatent(ctx context.Context, t types.Tensor, width, height int, m Method, crop Crop) (types.Tensor, error) {
	if len(t.Shape) < 4 {
		return types.Tensor{}, fmt.Errorf("the latent: need at least 4 axes, have shape %v", t.Shape)
	}
	if err := t.Check("the latent", len(t.Shape)); err != nil {
		return types.Tensor{}, err
	}
	n := len(t.Shape)
	shape := append(slices.Clone(t.Shape[:n-2]), height, width)
	g := grid{t.Data, types.Elements(t.Shape[:n-2]), t.Shape[n-2], t.Shape[n-1], 1}
	if m != Bislerp {
		out, err := resize(ctx, g, width, height, m, crop)
		return types.Tensor{Shape: shape, Data: out.data}, err
	}
	if err := checkSize(g, width, height); err != nil {
		return types.Tensor{}, err
	}
	if crop == CropCenter {
		g = g.centre(width, height)
	}
	out, err := bislerp(ctx, g, t.Shape[0], t.Shape[1], width, height)
	return types.Tensor{Shape: shape, Data: out}, err
}

// grid is values [outer, h, w, inner]: a picture has its channels inside, a latent outside.
type grid struct {
	data               []float32
	outer, h, w, inner int
}

func checkSize(g grid, width, height int) error {
	if width < 1 || height < 1 {
		return fmt.Errorf("cannot resize %dx%d to %dx%d: both sides must be at least 1", g.w, g.h, width, height)
	}
	if n := float64(g.outer) * float64(g.inner) * float64(width) * float64(height); n > MaxValues {
		return fmt.Errorf("cannot resize to %dx%d: the result would hold %.0f values, the most is %d: choose a smaller size or batch",
			width, height, n, MaxValues)
	}
	return nil
}

// MaxValues bounds what one operation allocates: 8 GiB of float32.
const MaxValues = 1 << 31

func resize(ctx context.Context, g grid, width, height int, m Method, crop Crop) (grid, error) {
	if err := checkSize(g, width, height); err != nil {
		return grid{}, err
	}
	if crop == CropCenter {
		g = g.centre(width, height)
	}
	if m == Lanczos {
		return lanczos(ctx, g, width, height)
	}
	f, known := interpolations[m]
	if !known {
		return grid{}, fmt.Errorf("unknown resize method %q here: need one of nearest-exact, bilinear, area, bicubic, lanczos (pictures), bislerp (latents)", m)
	}
	g, err := g.rows(ctx, tapsOf(f, g.w, width))
	if err != nil {
		return grid{}, err
	}
	return g.columns(ctx, tapsOf(f, g.h, height))
}

// interpolations are the methods whose weights are those of torch.
var interpolations = map[Method]cpu.Interpolation{NearestExact: cpu.NearestExact, Bilinear: cpu.Bilinear, Area: cpu.Area, Bicubic: cpu.Bicubic}

// centre cuts the longer sides so that the rest has the aspect of width by height; a half cell rounds to even.
func (g grid) centre(width, height int) grid {
	x, y := 0, 0
	old, want := float64(g.w)/float64(g.h), float64(width)/float64(height)
	if old > want {
		x = int(math.RoundToEven((float64(g.w) - float64(g.w)*(want/old)) / 2))
	} else if old < want {
		y = int(math.RoundToEven((float64(g.h) - float64(g.h)*(old/want)) / 2))
	}
	// A very flat picture may be cut to nothing: one line stays.
	x, y = min(x, (g.w-1)/2), min(y, (g.h-1)/2)
	if x == 0 && y == 0 {
		return g
	}
	out := grid{outer: g.outer, h: g.h - 2*y, w: g.w - 2*x, inner: g.inner}
	out.data = make([]float32, 0, g.outer*out.h*out.w*g.inner)
	for o := range g.outer {
		for r := y; r < g.h-y; r++ {
			row := g.data[(o*g.h+r)*g.w*g.inner:]
			out.data = append(out.data, row[x*g.inner:(g.w-x)*g.inner]...)
		}
	}
	return out
}

// tap is how one output cell comes from inputs: Σ weight[i]·in[index[i]].
type tap struct {
	index  []int
	weight []float32
}

// rows applies taps along w.
func (g grid) rows(ctx context.Context, taps []tap) (grid, error) {
	out := grid{make([]float32, g.outer*g.h*len(taps)*g.inner), g.outer, g.h, len(taps), g.inner}
	err := bands(ctx, g.outer*g.h, func(low, high int) {
		for r := low; r < high; r++ {
			src, dst := g.data[r*g.w*g.inner:], out.data[r*len(taps)*g.inner:]
			for i, t := range taps {
				if g.inner == 3 {
					t.mix3(dst[3*i:], src)
					continue
				}
				for c := range g.inner {
					var sum float32
					for k, at := range t.index {
						sum += t.weight[k] * src[at*g.inner+c]
					}
					dst[i*g.inner+c] = sum
				}
			}
		}
	})
	return out, err
}

// mix3 is the sum for three channels at once, which is most of what pictures need.
func (t tap) mix3(dst, src []float32) {
	var r, g, b float32
	for k, at := range t.index {
		v, w := src[3*at:3*at+3], t.weight[k]
		r, g, b = r+w*v[0], g+w*v[1], b+w*v[2]
	}
	dst[0], dst[1], dst[2] = r, g, b
}

// columns applies taps along h, whole rows at a time.
func (g grid) columns(ctx context.Context, taps []tap) (grid, error) {
	n := g.w * g.inner
	out := grid{make([]float32, g.outer*len(taps)*n), g.outer, len(taps), g.w, g.inner}
	err := bands(ctx, g.outer*len(taps), func(low, high int) {
		for r := low; r < high; r++ {
			dst, t := out.data[r*n:][:n], taps[r%len(taps)]
			for k, at := range t.index {
				w := t.weight[k]
				for j, v := range g.data[(r/len(taps)*g.h+at)*n:][:n] {
					dst[j] += w * v
				}
			}
		}
	})
	return out, err
}

// tapsOf are those of an axis of n cells that is resized to m.
func tapsOf(f cpu.Interpolation, n, m int) []tap {
	taps, weights := make([]tap, m), []float64(nil)
	for i := range taps {
		var first int
		first, weights = f.Taps(n, m, i, weights)
		for k, w := range weights {
			taps[i].index = append(taps[i].index, min(max(first+k, 0), n-1))
			taps[i].weight = append(taps[i].weight, float32(w))
		}
	}
	return taps
}
