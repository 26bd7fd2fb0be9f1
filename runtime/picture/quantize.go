package picture

import (
	"context"
	"fmt"
	"math"
	"strings"

	"graphrun/types"
)

// Quantize reduces every picture to a palette of its own of at most colours (1 to 256), chosen by Pillow's median cut, on
// 8 bits a channel. dither is none, floyd-steinberg, or bayer-2, -4, -8 or -16. Alpha is left out.
func Quantize(ctx context.Context, img types.Image, colours int, dither string) (types.Image, error) {
	if colours < 1 || colours > 256 {
		return types.Image{}, &Error{Need: "1 to 256 colours", Have: fmt.Sprint(colours)}
	}
	img = Channels(img, 3)
	h, w := img.Shape[1], img.Shape[2]
	out := types.Image{Tensor: types.NewTensor(img.Shape...)}
	for i := range img.Shape[0] {
		pix := Bytes(img.Item(i).Data)
		palette, err := medianCut(ctx, pix, colours)
		if err != nil {
			return types.Image{}, err
		}
		near := nearest{palette: palette}
		dst := out.Item(i).Data
		if dither == "floyd-steinberg" {
			if err := near.diffuse(ctx, dst, pix, w); err != nil {
				return types.Image{}, err
			}
			continue
		}
		if order, ok := map[string]int{"bayer-2": 2, "bayer-4": 4, "bayer-8": 8, "bayer-16": 16}[dither]; ok {
			ordered(pix, w, order, len(palette))
		} else if dither != "none" {
			return types.Image{}, fmt.Errorf("unknown dither %q", strings.TrimSpace(dither))
		}
		for y := range h {
			if err := ctx.Err(); err != nil {
				return types.Image{}, err
			}
			for p := y * w; p < (y+1)*w; p++ {
				near.of(pix[3*p], pix[3*p+1], pix[3*p+2]).store(dst[3*p:])
			}
		}
	}
	return out, nil
}

type colour [3]uint8

func (c colour) store(dst []float32) {
	for i, v := range c {
		dst[i] = float32(v) / 255
	}
}

// nearest maps colours to those of a palette as Pillow does: by the distance of the colour with its two low bits cleared,
// the first of equals. found remembers answers, counted from 1.
type nearest struct {
	palette []colour
	found   [1 << 18]uint16
}

func (n *nearest) of(r, g, b uint8) colour {
	cell := &n.found[int(r>>2)<<12|int(g>>2)<<6|int(b>>2)]
	if *cell == 0 {
		least := math.MaxInt
		for i, c := range n.palette {
			dr, dg, db := int(r&^3)-int(c[0]), int(g&^3)-int(c[1]), int(b&^3)-int(c[2])
			if d := dr*dr + dg*dg + db*db; d < least {
				least, *cell = d, uint16(i+1)
			}
		}
	}
	return n.palette[*cell-1]
}

// diffuse is Floyd-Steinberg's dither in Pillow's whole numbers: errors in sixteenths, cut towards zero.
func (n *nearest) diffuse(ctx context.Context, dst []float32, pix []byte, w int) error {
	below := make([][3]int, w+1) // errors for the row, one to the right
	for y := range len(pix) / 3 / w {
		if err := ctx.Err(); err != nil {
			return err
		}
		var right, before, before2 [3]int // 7 parts of the last error; the last error and the one before that
		for x := range w {
			p := 3 * (y*w + x)
			var want [3]int
			for c := range 3 {
				want[c] = int(clip(int(pix[p+c]) + (right[c]+below[x+1][c])/16))
			}
			got := n.of(uint8(want[0]), uint8(want[1]), uint8(want[2]))
			got.store(dst[p:])
			for c := range 3 {
				e := want[c] - int(got[c])
				below[x][c] = 3*e + 5*before[c] + before2[c]
				right[c], before2[c], before[c] = 7*e, before[c], e
			}
		}
		// Pillow puts blue's errors into all three channels of the last place.
		below[w] = [3]int{5*before[2] + before2[2], before[2], before[2]}
	}
	return nil
}

// ordered adds a Bayer matrix of order by order cells to the bytes, as wide as the steps between n colours are.
func ordered(pix []byte, w, order, n int) {
	matrix := [][]float32{{0}}
	for size := 2; size <= order; size *= 2 {
		q := float32(size * size) // the matrix of half the size, in units of the new one's steps
		next := make([][]float32, size)
		for y := range next {
			next[y] = make([]float32, size)
			for x := range next[y] {
				m := q * matrix[y%(size/2)][x%(size/2)]
				next[y][x] = (m + [2][2]float32{{-1.5, 0.5}, {1.5, -0.5}}[y/(size/2)][x/(size/2)]) / q
			}
		}
		matrix = next
	}
	spread := float32(2 * 256 / float64(n))
	for p := range len(pix) / 3 {
		shift := spread*matrix[p/w%order][p%w%order] + 0.5
		for c := range 3 {
			pix[3*p+c] = byte(min(max(float32(pix[3*p+c])+shift, 0), 255))
		}
	}
}
