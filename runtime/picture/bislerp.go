package picture

import (
	"context"
	"math"

	"graphrun/kernels/cpu"
)

// bislerp resizes g, whose outer axis is [batch, channels, frames], first along x, then along y. Between two cells the
// vector of channels is turned, not mixed, and its length goes over linearly (numerics.md 8).
func bislerp(ctx context.Context, g grid, batch, channels, width, height int) ([]float32, error) {
	frames := g.outer / (batch * channels)
	plane := g.h * g.w
	// A vector's elements lie a plane (of all frames) apart.
	wide := make([]float32, g.outer*g.h*width)
	if err := slerpAxis(ctx, axis{
		src: g.data, dst: wide, batch: batch, channels: channels,
		srcPlane: frames * plane, dstPlane: frames * g.h * width,
		lines: frames * g.h, srcLine: g.w, dstLine: width, srcStep: 1, dstStep: 1, n: g.w, m: width,
	}); err != nil {
		return nil, err
	}
	out := make([]float32, g.outer*height*width)
	for f := range frames {
		if err := slerpAxis(ctx, axis{
			src: wide[f*g.h*width:], dst: out[f*height*width:], batch: batch, channels: channels,
			srcPlane: frames * g.h * width, dstPlane: frames * height * width,
			lines: width, srcLine: 1, dstLine: 1, srcStep: width, dstStep: width, n: g.h, m: height,
		}); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// axis describes one pass: lines of n cells, each a vector of channels, become lines of m cells.
type axis struct {
	src, dst           []float32
	batch, channels    int
	srcPlane, dstPlane int // from one channel to the next
	lines              int
	srcLine, dstLine   int // from one line to the next
	srcStep, dstStep   int // from one cell of a line to the next
	n, m               int
}

func slerpAxis(ctx context.Context, a axis) error {
	first, second, ratio := slerpTaps(a.n, a.m)
	u, v := make([]float32, a.channels), make([]float32, a.channels)
	for b := range a.batch {
		for line := range a.lines {
			if err := ctx.Err(); err != nil {
				return err
			}
			src := a.src[b*a.channels*a.srcPlane+line*a.srcLine:]
			dst := a.dst[b*a.channels*a.dstPlane+line*a.dstLine:]
			for i := range a.m {
				for c := range a.channels {
					u[c] = src[c*a.srcPlane+first[i]*a.srcStep]
					v[c] = src[c*a.srcPlane+second[i]*a.srcStep]
				}
				slerp(u, v, ratio[i])
				for c := range a.channels {
					dst[c*a.dstPlane+i*a.dstStep] = u[c]
				}
			}
		}
	}
	return nil
}

// slerpTaps resizes the ramps of indices i and min(i+1, n-1) bilinearly: their whole parts are the two neighbours of
// each output cell, the fraction of the first is the way between them.
func slerpTaps(n, m int) (first, second []int, ratio []float32) {
	first, second, ratio = make([]int, m), make([]int, m), make([]float32, m)
	for i, t := range tapsOf(cpu.Bilinear, n, m) {
		var at, next float32
		for k, lo := range t.index {
			at += t.weight[k] * float32(lo)
			next += t.weight[k] * float32(min(lo+1, n-1))
		}
		first[i], second[i] = int(at), int(next)
		ratio[i] = at - float32(first[i])
	}
	return first, second, ratio
}

// slerp turns u towards v by r of the angle between them, in place.
func slerp(u, v []float32, r float32) {
	lu, lv := length(u), length(v)
	unit := func(x, l float32) float64 {
		if l == 0 {
			return 0
		}
		return float64(x / l)
	}
	var dot float64
	for c := range u {
		dot += unit(u[c], lu) * unit(v[c], lv)
	}
	switch {
	case dot > 1-1e-5: // the same direction: the first stays as it is
		return
	case dot < 1e-5-1: // opposite: no plane to turn in
		for c := range u {
			u[c] = u[c]*(1-r) + v[c]*r
		}
		return
	}
	omega := math.Acos(dot)
	sin := math.Sin(omega)
	wu, wv := math.Sin((1-float64(r))*omega)/sin, math.Sin(float64(r)*omega)/sin
	l := float64(lu*(1-r) + lv*r)
	for c := range u {
		u[c] = float32((wu*unit(u[c], lu) + wv*unit(v[c], lv)) * l)
	}
}

func length(v []float32) float32 {
	var sum float64
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	return float32(math.Sqrt(sum))
}
