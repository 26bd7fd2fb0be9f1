package picture

import (
	"context"
	"fmt"
	"math"

	"graphrun/types"
)

// Canny finds edges as kornia does: gray, a 5x5 Gaussian, Sobel gradients, thinning across the edge, then every pixel
// above high and those above low that hang together with one. The result is 1 on edges, [batch, height, width].
func Canny(ctx context.Context, img types.Image, low, high float64) (types.Mask, error) {
	if low > high {
		return types.Mask{}, &Error{Need: "a low threshold of at most the high one", Have: fmt.Sprintf("%g and %g", low, high), Hint: "swap them"}
	}
	soft, err := gaussian(ctx, gray(RGB(img)), 2, 1)
	if err != nil {
		return types.Mask{}, err
	}
	out := types.Mask{Tensor: types.NewTensor(soft.Shape[:3]...)}
	h, w := out.Shape[1], out.Shape[2]
	strength, direction := make([]float32, h*w), make([]uint8, h*w)
	for i := range out.Shape[0] {
		plane, edges := soft.Data[i*h*w:][:h*w], out.Data[i*h*w:][:h*w]
		err := bands(ctx, h, func(first, end int) {
			for y := first; y < end; y++ {
				sobelRow(plane, strength, direction, y, w, h)
			}
		})
		if err == nil {
			err = bands(ctx, h, func(first, end int) {
				for y := first; y < end; y++ {
					thinRow(edges, strength, direction, y, w, h, float32(low), float32(high))
				}
			})
		}
		if err == nil {
			err = follow(ctx, edges, w, h)
		}
		if err != nil {
			return types.Mask{}, err
		}
	}
	return out, nil
}

// gray is the luma of BT.601 as one channel.
func gray(img types.Image) types.Image {
	c := img.Shape[3]
	if c < 3 {
		return Channels(img, 1)
	}
	out := types.Image{Tensor: types.NewTensor(img.Shape[0], img.Shape[1], img.Shape[2], 1)}
	for p := range out.Data {
		v := img.Data[p*c:][:3]
		out.Data[p] = 0.299*v[0] + 0.587*v[1] + 0.114*v[2]
	}
	return out
}

// sobelRow writes the gradient's length and direction, in eighths of a turn, of row y. The edges repeat outwards.
func sobelRow(plane, strength []float32, direction []uint8, y, w, h int) {
	up, row, down := plane[max(y-1, 0)*w:][:w], plane[y*w:][:w], plane[min(y+1, h-1)*w:][:w]
	for x := range w {
		l, r := max(x-1, 0), min(x+1, w-1)
		gx := up[r] - up[l] + 2*(row[r]-row[l]) + down[r] - down[l]
		gy := down[l] - up[l] + 2*(down[x]-up[x]) + down[r] - up[r]
		strength[y*w+x] = float32(math.Sqrt(float64(gx*gx + gy*gy + 1e-6)))
		turn := int(math.RoundToEven(math.Atan2(float64(gy), float64(gx)) * 4 / math.Pi))
		direction[y*w+x] = uint8((turn + 8) % 8)
	}
}

// around are the eight neighbours, by direction.
var around = [8][2]int{{1, 0}, {1, 1}, {0, 1}, {-1, 1}, {-1, 0}, {-1, -1}, {0, -1}, {1, -1}}

// thinRow writes 1 where row y is a strong edge, 0.5 where a weak one: stronger than both neighbours along the gradient
// (beyond the edges they are 0).
func thinRow(edges, strength []float32, direction []uint8, y, w, h int, low, high float32) {
	at := func(x, y int) float32 {
		if x < 0 || y < 0 || x >= w || y >= h {
			return 0
		}
		return strength[y*w+x]
	}
	for x := range w {
		v, d := strength[y*w+x], around[direction[y*w+x]]
		var e float32
		if v > at(x+d[0], y+d[1]) && v > at(x-d[0], y-d[1]) {
			if v > low {
				e += 0.5
			}
			if v > high {
				e += 0.5
			}
		}
		edges[y*w+x] = e
	}
}

// follow makes weak edges (0.5) that touch strong ones (1) strong, over and over, and removes the others.
func follow(ctx context.Context, edges []float32, w, h int) error {
	var stack []int
	for p, e := range edges {
		if e == 1 {
			stack = append(stack, p)
		}
	}
	for n := 0; len(stack) > 0; n++ {
		if n%(1<<16) == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		p := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		for _, d := range around {
			x, y := p%w+d[0], p/w+d[1]
			if x >= 0 && y >= 0 && x < w && y < h && edges[y*w+x] == 0.5 {
				edges[y*w+x] = 1
				stack = append(stack, y*w+x)
			}
		}
	}
	for p, e := range edges {
		if e != 1 {
			edges[p] = 0
		}
	}
	return nil
}
