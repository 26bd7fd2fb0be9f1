package picture

import (
	"context"
	"fmt"
	"math"

	"graphrun/kernels/cpu"
)

// lanczos resizes pictures as Pillow does on 8 bits a channel: horizontally, then vertically, rounding to bytes after
// each pass; a pass that changes nothing is left out. Alpha is multiplied in first and divided out after (numerics.md 9).
func lanczos(ctx context.Context, g grid, width, height int) (grid, error) {
	if g.inner != 3 && g.inner != 4 {
		return grid{}, fmt.Errorf("lanczos needs pictures of 3 or 4 channels, have %d: choose another method", g.inner)
	}
	out := grid{make([]float32, 0, g.outer*height*width*g.inner), g.outer, height, width, g.inner}
	for o := range g.outer {
		b, err := lanczosBytes(ctx, Bytes(g.data[o*g.h*g.w*g.inner:][:g.h*g.w*g.inner]), g.h, g.w, g.inner, width, height)
		if err != nil {
			return grid{}, err
		}
		for _, v := range b {
			out.data = append(out.data, float32(v)/255)
		}
	}
	return out, nil
}

func lanczosBytes(ctx context.Context, pix []byte, h, w, channels, width, height int) ([]byte, error) {
	alpha := channels == 4 && (w != width || h != height)
	if alpha {
		premultiply(pix)
	}
	if w != width {
		taps := lanczosTaps(w, width)
		out := make([]byte, h*width*channels)
		err := bands(ctx, h, func(low, high int) {
			for y := low; y < high; y++ {
				fixedRow(out[y*width*channels:], pix[y*w*channels:], taps, channels)
			}
		})
		if err != nil {
			return nil, err
		}
		pix, w = out, width
	}
	if h != height {
		taps, n := lanczosTaps(h, height), w*channels
		out := make([]byte, height*n)
		err := bands(ctx, height, func(low, high int) {
			acc := make([]int64, n)
			for y := low; y < high; y++ {
				fixedColumns(out[y*n:][:n], pix, acc, taps[y])
			}
		})
		if err != nil {
			return nil, err
		}
		pix = out
	}
	if alpha {
		unpremultiply(pix)
	}
	return pix, nil
}

// fixedTap is a run of inputs from first on with weights in 22 bit fixed point.
type fixedTap struct {
	first  int
	weight []int32
}

const fixedBits = 22

// fixedRow writes one output row from the row src.
func fixedRow(dst, src []byte, taps []fixedTap, channels int) {
	for i, t := range taps {
		for c := range channels {
			acc := int64(1) << (fixedBits - 1)
			for k, w := range t.weight {
				acc += int64(w) * int64(src[(t.first+k)*channels+c])
			}
			dst[i*channels+c] = clip(int(acc >> fixedBits))
		}
	}
}

// fixedColumns writes one output row from whole rows of src, which are as long; acc is scratch.
func fixedColumns(dst, src []byte, acc []int64, t fixedTap) {
	for i := range acc {
		acc[i] = 1 << (fixedBits - 1)
	}
	for k, w := range t.weight {
		for i, v := range src[(t.first+k)*len(dst):][:len(dst)] {
			acc[i] += int64(w) * int64(v)
		}
	}
	for i, v := range acc {
		dst[i] = clip(int(v >> fixedBits))
	}
}

// lanczosTaps are the filter's weights in fixed point, rounded half away from zero as Pillow rounds.
func lanczosTaps(n, m int) []fixedTap {
	taps, weights := make([]fixedTap, m), []float64(nil)
	for i := range taps {
		taps[i].first, weights = cpu.Lanczos.Taps(n, m, i, weights)
		for _, w := range weights {
			taps[i].weight = append(taps[i].weight, int32(math.Round(w*(1<<fixedBits))))
		}
	}
	return taps
}

func premultiply(pix []byte) {
	for i := 0; i < len(pix); i += 4 {
		a := pix[i+3]
		for c := range 3 {
			pix[i+c] = mulDiv255(pix[i+c], a)
		}
	}
}

func unpremultiply(pix []byte) {
	for i := 0; i < len(pix); i += 4 {
		a := int(pix[i+3])
		if a == 0 || a == 255 {
			continue
		}
		for c := range 3 {
			pix[i+c] = byte(min(255, 255*int(pix[i+c])/a))
		}
	}
}

// mulDiv255 is a·b/255, rounded, as Pillow has it.
func mulDiv255(a, b byte) byte {
	t := int(a)*int(b) + 128
	return byte((t + t>>8) >> 8)
}
