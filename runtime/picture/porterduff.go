package picture

import (
	"context"
	"fmt"

	"graphrun/types"
)

// porterDuff gives, of premultiplied colours s, d and their alphas sa, da, the premultiplied colour of the result.
// Its alpha is what coverage says.
var porterDuff = map[string]struct {
	colour   func(s, sa, d, da float32) float32
	coverage func(sa, da float32) float32
}{
	"ADD":      {func(s, _, d, _ float32) float32 { return clamp(s + d) }, func(sa, da float32) float32 { return clamp(sa + da) }},
	"CLEAR":    {func(_, _, _, _ float32) float32 { return 0 }, func(_, _ float32) float32 { return 0 }},
	"DARKEN":   {func(s, sa, d, da float32) float32 { return (1-da)*s + (1-sa)*d + min(s, d) }, union},
	"DST":      {func(_, _, d, _ float32) float32 { return d }, func(_, da float32) float32 { return da }},
	"DST_ATOP": {func(s, sa, d, da float32) float32 { return sa*d + (1-da)*s }, func(sa, _ float32) float32 { return sa }},
	"DST_IN":   {func(_, sa, d, _ float32) float32 { return d * sa }, func(sa, da float32) float32 { return sa * da }},
	"DST_OUT":  {func(_, sa, d, _ float32) float32 { return (1 - sa) * d }, func(sa, da float32) float32 { return (1 - sa) * da }},
	"DST_OVER": {func(s, _, d, da float32) float32 { return d + (1-da)*s }, func(sa, da float32) float32 { return da + (1-da)*sa }},
	"LIGHTEN":  {func(s, sa, d, da float32) float32 { return (1-da)*s + (1-sa)*d + max(s, d) }, union},
	"MULTIPLY": {func(s, _, d, _ float32) float32 { return s * d }, func(sa, da float32) float32 { return sa * da }},
	"OVERLAY": {func(s, sa, d, da float32) float32 {
		if 2*d < da {
			return 2 * s * d
		}
		return sa*da - 2*(da-s)*(sa-d) // ComfyUI's: W3C's has s and d the other way round
	}, union},
	"SCREEN":   {func(s, _, d, _ float32) float32 { return s + d - s*d }, union},
	"SRC":      {func(s, _, _, _ float32) float32 { return s }, func(sa, _ float32) float32 { return sa }},
	"SRC_ATOP": {func(s, sa, d, da float32) float32 { return da*s + (1-sa)*d }, func(_, da float32) float32 { return da }},
	"SRC_IN":   {func(s, _, _, da float32) float32 { return s * da }, func(sa, da float32) float32 { return sa * da }},
	"SRC_OUT":  {func(s, _, _, da float32) float32 { return (1 - da) * s }, func(sa, da float32) float32 { return (1 - da) * sa }},
	"SRC_OVER": {func(s, sa, d, _ float32) float32 { return s + (1-sa)*d }, func(sa, da float32) float32 { return sa + (1-sa)*da }},
	"XOR": {func(s, sa, d, da float32) float32 { return (1-da)*s + (1-sa)*d }, func(sa, da float32) float32 {
		return (1-da)*sa + (1-sa)*da
	}},
}

func union(sa, da float32) float32 { return sa + da - sa*da }

// PorterDuff composes src with dst in a mode (SRC_OVER, XOR, ...). All four have one batch, height and width; the masks are
// 1 where nothing is to be seen, and so is the one that it returns.
func PorterDuff(ctx context.Context, src types.Image, srcMask types.Mask, dst types.Image, dstMask types.Mask, mode string) (types.Image, types.Mask, error) {
	op, ok := porterDuff[mode]
	if !ok {
		return types.Image{}, types.Mask{}, fmt.Errorf("unknown Porter-Duff mode %q", mode)
	}
	c := src.Shape[3]
	out := types.Image{Tensor: types.NewTensor(src.Shape...)}
	mask := types.Mask{Tensor: types.NewTensor(srcMask.Shape...)}
	err := each(ctx, mask.Data, func(p int) float32 {
		sa, da := 1-srcMask.Data[p], 1-dstMask.Data[p]
		alpha := op.coverage(sa, da)
		if alpha > 1e-5 {
			for i := p * c; i < (p+1)*c; i++ {
				out.Data[i] = clamp(op.colour(src.Data[i]*sa, sa, dst.Data[i]*da, da) / alpha)
			}
		}
		return 1 - alpha
	})
	return out, mask, err
}
