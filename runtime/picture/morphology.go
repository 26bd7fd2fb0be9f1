package picture

import (
	"context"
	"fmt"
	"slices"

	"graphrun/types"
)

// Morphology applies erode, dilate, open, close, gradient, bottom_hat or top_hat with a flat square of size by size
// pixels to each channel. What lies beyond the edges does not count (kornia's "geodesic" border). A square of even size
// reaches one further to the left and up.
func Morphology(ctx context.Context, img types.Image, operation string, size int) (types.Image, error) {
	g := grid{img.Data, img.Shape[0], img.Shape[1], img.Shape[2], img.Shape[3]}
	before, after := size/2, size-1-size/2
	var err error
	step := func(in grid, sign float32) grid {
		if err != nil {
			return in
		}
		var out grid
		out, err = in.extremes(ctx, before, after, sign)
		return out
	}
	const dilate, erode = 1, -1
	var a, b grid
	switch operation {
	case "dilate":
		a = step(g, dilate)
	case "erode":
		a = step(g, erode)
	case "open":
		a = step(step(g, erode), dilate)
	case "close":
		a = step(step(g, dilate), erode)
	case "gradient":
		a, b = step(g, dilate), step(g, erode)
	case "top_hat":
		a, b = g, step(step(g, erode), dilate)
	case "bottom_hat":
		a, b = step(step(g, dilate), erode), g
	default:
		return types.Image{}, fmt.Errorf("unknown operation %q: need erode, dilate, open, close, gradient, bottom_hat or top_hat", operation)
	}
	if err != nil {
		return types.Image{}, err
	}
	out := types.Image{Tensor: types.Tensor{Shape: append([]int(nil), img.Shape...), Data: a.data}}
	if b.data != nil {
		out.Data = make([]float32, len(a.data))
		err = each(ctx, out.Data, func(i int) float32 { return a.data[i] - b.data[i] })
	}
	return out, err
}

// Grow widens a mask by n pixels, or narrows it by -n. The square is 2n+1 wide; with tapered corners it becomes the
// diamond of n steps up, down, left and right.
func Grow(ctx context.Context, m types.Mask, n int, tapered bool) (types.Mask, error) {
	g := grid{m.Data, m.Shape[0], m.Shape[1], m.Shape[2], 1}
	sign := float32(1)
	if n < 0 {
		sign, n = -1, -n
	}
	var err error
	if !tapered {
		reach := min(n, max(g.h, g.w))
		g, err = g.extremes(ctx, reach, reach, sign)
	} else {
		g, err = g.diamond(ctx, n, sign)
	}
	return types.Mask{Tensor: types.Tensor{Shape: append([]int(nil), m.Shape...), Data: g.data}}, err
}

// extremes takes, for sign 1, the largest (for -1 the smallest) value of the square that reaches so far before and after.
func (g grid) extremes(ctx context.Context, before, after int, sign float32) (grid, error) {
	out := grid{make([]float32, len(g.data)), g.outer, g.h, g.w, g.inner}
	// A line's values lie step apart; the vertical pass reads what the horizontal one wrote.
	pass := func(src []float32, lines, n, step int, start func(line int) int) error {
		return bands(ctx, lines, func(low, high int) {
			s := slider{make([]float32, n), make([]float32, n), make([]int, 0, n)}
			for line := low; line < high; line++ {
				at := start(line)
				for i := range n {
					s.in[i] = sign * src[at+i*step]
				}
				s.slide(before, after)
				for i := range n {
					out.data[at+i*step] = sign * s.out[i]
				}
			}
		})
	}
	row := g.w * g.inner
	if err := pass(g.data, g.outer*g.h*g.inner, g.w, g.inner, func(l int) int { return l/g.inner*row + l%g.inner }); err != nil {
		return grid{}, err
	}
	err := pass(out.data, g.outer*row, g.h, row, func(l int) int { return l/row*g.h*row + l%row })
	return out, err
}

// slider finds the maxima of a window that slides along a line, in linear time: best holds the places that can still
// become the largest, values falling.
type slider struct {
	in, out []float32
	best    []int
}

func (s slider) slide(before, after int) {
	best, first, next := s.best[:0], 0, 0
	for i := range s.out {
		for ; next < len(s.in) && next <= i+after; next++ {
			for len(best) > first && s.in[best[len(best)-1]] <= s.in[next] {
				best = best[:len(best)-1]
			}
			best = append(best, next)
		}
		for best[first] < i-before {
			first++
		}
		s.out[i] = s.in[best[first]]
	}
}

// diamond takes n times the largest (smallest) of a cell and its four neighbours, or until nothing changes.
func (g grid) diamond(ctx context.Context, n int, sign float32) (grid, error) {
	out := grid{append([]float32(nil), g.data...), g.outer, g.h, g.w, g.inner}
	if n == 0 {
		return out, nil
	}
	other := make([]float32, len(g.data))
	changed := make([]bool, g.outer*g.h) // by row: no two workers write to one place
	for range n {
		err := bands(ctx, g.outer*g.h, func(low, high int) {
			for r := low; r < high; r++ {
				changed[r] = out.crossRow(other, r, sign)
			}
		})
		if err != nil {
			return grid{}, err
		}
		out.data, other = other, out.data
		if !slices.Contains(changed, true) {
			break
		}
	}
	return out, nil
}

// crossRow writes row r of one step and tells whether it changed something.
func (g grid) crossRow(dst []float32, r int, sign float32) (changed bool) {
	row := g.data[r*g.w:][:g.w]
	up, down := row, row
	if r%g.h > 0 {
		up = g.data[(r-1)*g.w:][:g.w]
	}
	if r%g.h < g.h-1 {
		down = g.data[(r+1)*g.w:][:g.w]
	}
	for x, v := range row {
		best := sign * v
		best = max(best, sign*up[x], sign*down[x], sign*row[max(x-1, 0)], sign*row[min(x+1, g.w-1)])
		dst[r*g.w+x] = sign * best
		changed = changed || sign*best != v
	}
	return changed
}
