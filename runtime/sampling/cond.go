package sampling

import (
	"fmt"
	"math"

	"graphrun/types"
)

// rect is a rectangle of the latent, in cells.
type rect struct{ h, w, y, x int }

func (r rect) encloses(o rect) bool {
	return r.y <= o.y && r.x <= o.x && r.y+r.h >= o.y+o.h && r.x+r.w >= o.x+o.w
}

// clip cuts the rectangle to a latent of h by w cells.
func (r rect) clip(h, w int) rect {
	r.h, r.w = min(r.h, h-r.y), min(r.w, w-r.x)
	return r
}

// entry is one prompt made ready for a latent: where, when and how much it counts.
type entry struct {
	cond       types.Cond
	area       *rect     // nil: the whole latent
	mask       []float32 // [masks, h, w] at the latent's size, nil for none
	start, end float32   // it counts while end <= sigma <= start

	where  rect      // area, or all, cut to the latent
	weight []float32 // [weights, where.h, where.w]
}

// resolve makes the prompts of one list ready for a latent of h by w cells.
func resolve(list types.Conditioning, ms *ModelSampling, h, w int) ([]*entry, error) {
	var entries []*entry
	for i, c := range list {
		e := &entry{cond: c, start: float32(math.Inf(1)), end: float32(math.Inf(-1))}
		if c.Start != nil {
			e.start = float32(ms.PercentToSigma(*c.Start))
		}
		if c.End != nil {
			e.end = float32(ms.PercentToSigma(*c.End))
		}
		if c.Area != nil && !c.Default {
			e.area = cells(*c.Area, h, w)
		}
		if c.Mask != nil && !c.Default {
			if err := c.Mask.Check("mask", 3); err != nil {
				return nil, fmt.Errorf("prompt %d: %w", i+1, err)
			}
			e.mask = resizePlanes(c.Mask.Tensor, h, w)
			if c.MaskBounds {
				e.area = bounds(e.mask, h, w)
			}
		}
		if a := e.area; a != nil && (a.y < 0 || a.x < 0 || a.y >= h || a.x >= w || a.h <= 0 || a.w <= 0) {
			return nil, fmt.Errorf("prompt %d: area of %d x %d cells at x %d, y %d lies outside the latent of %d x %d", i+1, a.w, a.h, a.x, a.y, w, h)
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// cells is an area in whole cells of a latent of h by w.
func cells(a types.Area, h, w int) *rect {
	if !a.Percent {
		return &rect{int(a.Height), int(a.Width), int(a.Y), int(a.X)}
	}
	part := func(share float64, of int) int { return int(math.RoundToEven(share * float64(of))) }
	return &rect{max(1, part(a.Height, h)), max(1, part(a.Width, w)), part(a.Y, h), part(a.X, w)}
}

// bounds is the box around the cells of [masks, h, w] that are not 0, at least 8 by 8.
func bounds(mask []float32, h, w int) *rect {
	x0, y0, x1, y1 := w, h, -1, -1
	for i, v := range mask {
		if v != 0 {
			x, y := i%w, i/w%h
			x0, y0, x1, y1 = min(x0, x), min(y0, y), max(x1, x), max(y1, y)
		}
	}
	if x1 < 0 {
		return &rect{h: 8, w: 8}
	}
	return &rect{max(8, y1-y0+1), max(8, x1-x0+1), y0, x0}
}

// pair gives every area of one list a counterpart in the other: the smallest entry that encloses it, cut to the area.
func pair(entries, other []*entry) []*entry {
	for _, e := range other {
		if e.area == nil {
			continue
		}
		var best *entry
		for _, c := range entries {
			switch {
			case c.area == nil:
				if best == nil {
					best = c
				}
			case c.area.encloses(*e.area):
				if best == nil || best.area == nil || c.area.h*c.area.w < best.area.h*best.area.w {
					best = c
				}
			}
		}
		if best == nil || best.area != nil && *best.area == *e.area {
			continue
		}
		twin := *e
		twin.cond.Tokens, twin.cond.Pooled = best.cond.Tokens, best.cond.Pooled
		entries = append(entries, &twin)
	}
	return entries
}

// weigh computes where the entry counts and how much, for a latent of h by w cells.
func (e *entry) weigh(h, w int) {
	e.where = rect{h: h, w: w}
	if e.cond.Default {
		return // it counts where the others of its list do not: see guide.jobs
	}
	if e.area != nil {
		e.where = e.area.clip(h, w)
	}
	strength := float32(1)
	if e.cond.HasStrength || e.cond.Strength != 0 {
		strength = float32(e.cond.Strength)
	}
	n := e.where.h * e.where.w
	if e.mask == nil {
		e.weight = make([]float32, n)
		for i := range e.weight {
			e.weight[i] = strength
		}
		if e.area != nil {
			feather(e.weight, e.where, h, w)
		}
		return
	}
	masks := len(e.mask) / (h * w)
	e.weight = make([]float32, 0, masks*n)
	for m := range masks {
		for y := range e.where.h {
			at := (m*h+e.where.y+y)*w + e.where.x
			for _, v := range e.mask[at : at+e.where.w] {
				e.weight = append(e.weight, v*float32(e.cond.MaskStrength)*strength)
			}
		}
	}
}

// feather fades the sides of an area that do not touch the latent's border, over up to 8 cells.
func feather(weight []float32, r rect, h, w int) {
	rows, columns := min(8, r.h/4), min(8, r.w/4)
	row := func(y int, by float32) { scale(weight[y*r.w:(y+1)*r.w], by) }
	column := func(x int, by float32) {
		for y := range r.h {
			weight[y*r.w+x] *= by
		}
	}
	for t := range rows {
		by := float32(1 / float64(rows) * float64(t+1))
		if r.y != 0 {
			row(t, by)
		}
		if r.y+r.h < h {
			row(r.h-1-t, by)
		}
	}
	for t := range columns {
		by := float32(1 / float64(columns) * float64(t+1))
		if r.x != 0 {
			column(t, by)
		}
		if r.x+r.w < w {
			column(r.w-1-t, by)
		}
	}
}

func (e *entry) active(sigma float32) bool { return e.end <= sigma && sigma <= e.start }
