package picture

import (
	"context"
	"math"

	"graphrun/types"
)

// Blur softens pictures with a Gaussian of 2·radius+1 taps. sigma is in units of the radius (the taps lie on -1..1).
// Beyond its edges a picture goes on mirrored.
func Blur(ctx context.Context, img types.Image, radius int, sigma float64) (types.Image, error) {
	return gaussian(ctx, img, radius, sigma*float64(radius))
}

// Sharpen adds ten times alpha of what Blur takes away, and clamps to 0..1.
func Sharpen(ctx context.Context, img types.Image, radius int, sigma, alpha float64) (types.Image, error) {
	soft, err := Blur(ctx, img, radius, sigma)
	if err != nil {
		return types.Image{}, err
	}
	k := float32(10 * alpha)
	return soft, each(ctx, soft.Data, func(i int) float32 { return clamp(img.Data[i] + k*(img.Data[i]-soft.Data[i])) })
}

// gaussian blurs with a standard deviation in pixels.
func gaussian(ctx context.Context, img types.Image, radius int, sigma float64) (types.Image, error) {
	b, h, w, c := img.Shape[0], img.Shape[1], img.Shape[2], img.Shape[3]
	kernel := make([]float32, 2*radius+1)
	var sum float64
	for i := range kernel {
		d := float64(i-radius) / sigma
		kernel[i] = float32(math.Exp(-d * d / 2))
		sum += float64(kernel[i])
	}
	for i := range kernel {
		kernel[i] /= float32(sum)
	}
	g, err := grid{img.Data, b, h, w, c}.rows(ctx, mirrored(w, kernel))
	if err != nil {
		return types.Image{}, err
	}
	g, err = g.columns(ctx, mirrored(h, kernel))
	return types.Image{Tensor: types.Tensor{Shape: append([]int(nil), img.Shape...), Data: g.data}}, err
}

// mirrored lays a kernel of odd length on each of n cells; beyond the ends the cells come back without the last one
// repeated, as often as the kernel needs.
func mirrored(n int, kernel []float32) []tap {
	taps := make([]tap, n)
	for i := range taps {
		index := make([]int, len(kernel))
		for k := range index {
			index[k] = mirror(i+k-len(kernel)/2, n)
		}
		taps[i] = tap{index, kernel}
	}
	return taps
}

func mirror(i, n int) int {
	if n == 1 {
		return 0
	}
	period := 2 * (n - 1)
	i = ((i % period) + period) % period
	return min(i, period-i)
}
