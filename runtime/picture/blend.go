package picture

import (
	"context"
	"fmt"
	"math"

	"graphrun/types"
)

// blends are the modes of ImageBlend: a below, b above (numerics.md 9).
var blends = map[string]func(a, b float32) float32{
	"normal":   func(_, b float32) float32 { return b },
	"multiply": func(a, b float32) float32 { return a * b },
	"screen":   screen,
	"overlay": func(a, b float32) float32 {
		if a <= 0.5 {
			return 2 * a * b
		}
		return 1 - 2*(1-a)*(1-b)
	},
	"soft_light": softLight,
	"difference": func(a, b float32) float32 { return a - b }, // with its sign
}

func screen(a, b float32) float32 { return 1 - (1-a)*(1-b) }

// softLight is W3C's (compositing 1, 10.1.9).
func softLight(a, b float32) float32 {
	if b <= 0.5 {
		return a - (1-2*b)*a*(1-a)
	}
	d := float32(math.Sqrt(float64(a)))
	if a <= 0.25 {
		d = ((16*a-12)*a + 4) * a
	}
	return a + (2*b-1)*(d-a)
}

// Blend lays b over a in a mode (normal, multiply, screen, overlay, soft_light, difference), mixed in by factor, and
// clamps to 0..1. Both have one size and number of channels; a batch of one goes with every other.
func Blend(ctx context.Context, a, b types.Image, factor float64, mode string) (types.Image, error) {
	f, ok := blends[mode]
	if !ok {
		return types.Image{}, fmt.Errorf("unknown blend mode %q", mode)
	}
	batch, err := broadcast(a.Tensor, b.Tensor)
	if err != nil {
		return types.Image{}, err
	}
	out := types.Image{Tensor: types.NewTensor(batch, a.Shape[1], a.Shape[2], a.Shape[3])}
	w := float32(factor)
	err = each(ctx, out.Data, func(i int) float32 {
		v := a.Data[i%len(a.Data)]
		return clamp(v*(1-w) + f(v, b.Data[i%len(b.Data)])*w)
	})
	return out, err
}

// broadcast is the batch of two tensors of one size: that of both, or of the one that is not 1.
func broadcast(a, b types.Tensor) (int, error) {
	n, m := a.Shape[0], b.Shape[0]
	if n != m && n != 1 && m != 1 {
		return 0, &Error{Need: "batches of one length, or one of a single picture", Have: fmt.Sprintf("%d and %d", n, m), Hint: "cut one with ImageFromBatch or extend it with RepeatImageBatch"}
	}
	return max(n, m), nil
}

func clamp(v float32) float32 { return min(max(v, 0), 1) }
