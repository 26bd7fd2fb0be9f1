package picture

import (
	"context"

	"graphrun/types"
)

// Compose lays src over a copy of dst with its left upper corner at x, y, through mask if it has data: 1 shows src. The
// mask may have any size and is stretched to src's. src and mask repeat to dst's batch; what sticks out is cut off.
func Compose(ctx context.Context, dst, src types.Image, mask types.Mask, x, y int) (types.Image, error) {
	out := types.Image{Tensor: dst.Clone()}
	b, h, w, c := dst.Shape[0], dst.Shape[1], dst.Shape[2], dst.Shape[3]
	sh, sw := src.Shape[1], src.Shape[2]
	src = Channels(types.Image{Tensor: Repeat(src.Tensor, b)}, c)
	masked := len(mask.Data) > 0
	if masked {
		m, err := ResizeMask(ctx, mask, sw, sh)
		if err != nil {
			return types.Image{}, err
		}
		mask = types.Mask{Tensor: Repeat(m.Tensor, b)}
	}
	top, bottom, left, right := max(y, 0), min(y+sh, h), max(x, 0), min(x+sw, w)
	if top >= bottom || left >= right {
		return out, nil
	}
	rows := bottom - top
	err := bands(ctx, b*rows, func(low, high int) {
		for r := low; r < high; r++ {
			item, line := r/rows, top+r%rows
			d := out.Data[((item*h+line)*w+left)*c:][:(right-left)*c]
			at := (item*sh+line-y)*sw + left - x
			s := src.Data[at*c:][:len(d)]
			if !masked {
				copy(d, s)
				continue
			}
			for i, v := range s {
				m := mask.Data[at+i/c]
				d[i] = m*v + (1-m)*d[i]
			}
		}
	})
	return out, err
}

// ResizeMask stretches masks bilinearly to width by height.
func ResizeMask(ctx context.Context, m types.Mask, width, height int) (types.Mask, error) {
	return resizeMask(ctx, m, width, height, Bilinear, CropDisabled)
}

func resizeMask(ctx context.Context, m types.Mask, width, height int, method Method, crop Crop) (types.Mask, error) {
	if m.Shape[1] == height && m.Shape[2] == width {
		return m, nil
	}
	g, err := resize(ctx, grid{m.Data, m.Shape[0], m.Shape[1], m.Shape[2], 1}, width, height, method, crop)
	return types.Mask{Tensor: types.Tensor{Shape: []int{m.Shape[0], height, width}, Data: g.data}}, err
}

// CoverMask brings masks to width by height in the way of ImageScale: bicubic, what is too long cut off evenly.
func CoverMask(ctx context.Context, m types.Mask, width, height int) (types.Mask, error) {
	return resizeMask(ctx, m, width, height, Bicubic, CropCenter)
}

// Gray makes pictures of three equal channels of masks.
func Gray(m types.Mask) types.Image {
	out := types.Image{Tensor: types.NewTensor(m.Shape[0], m.Shape[1], m.Shape[2], 3)}
	for p, v := range m.Data {
		out.Data[3*p], out.Data[3*p+1], out.Data[3*p+2] = v, v, v
	}
	return out
}
