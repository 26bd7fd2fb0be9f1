package picture

import (
	"fmt"

	"graphrun/types"
)

// Repeat makes the first axis n long: it starts over from the first element, or leaves out the last ones.
// A tensor that has n already is returned as it is.
func Repeat(t types.Tensor, n int) types.Tensor {
	if t.Shape[0] == n {
		return t
	}
	size := len(t.Data) / t.Shape[0]
	out := types.Tensor{Shape: append([]int{n}, t.Shape[1:]...), Data: make([]float32, 0, n*size)}
	for len(out.Data) < n*size {
		out.Data = append(out.Data, t.Data[:min(len(t.Data), n*size-len(out.Data))]...)
	}
	return out
}

// Concat joins tensors along the first axis; the others must agree.
func Concat(list ...types.Tensor) (types.Tensor, error) {
	if len(list) == 0 {
		return types.Tensor{}, &Error{Need: "at least one picture", Have: "none"}
	}
	shape := append([]int(nil), list[0].Shape...)
	shape[0] = 0
	total := 0
	for _, t := range list {
		for i, s := range t.Shape {
			if len(t.Shape) != len(shape) || i > 0 && s != shape[i] {
				return types.Tensor{}, &Error{
					Need: fmt.Sprintf("pictures of one size, %v", shape[1:]), Have: fmt.Sprint(t.Shape[1:]), Hint: "resize them first, for example with ImageScale",
				}
			}
		}
		shape[0] += t.Shape[0]
		total += len(t.Data)
	}
	out := types.Tensor{Shape: shape, Data: make([]float32, 0, total)}
	for _, t := range list {
		out.Data = append(out.Data, t.Data...)
	}
	return out, nil
}

// MatchChannels brings both pictures to the larger number of channels; what is added is 1, that is opaque alpha.
func MatchChannels(a, b types.Image) (types.Image, types.Image) {
	n := max(a.Shape[3], b.Shape[3])
	return Channels(a, n), Channels(b, n)
}

// Channels cuts or, with ones, extends the channels to n.
func Channels(img types.Image, n int) types.Image {
	c := img.Shape[3]
	if c == n {
		return img
	}
	out := types.Image{Tensor: types.NewTensor(img.Shape[0], img.Shape[1], img.Shape[2], n)}
	for p := range len(img.Data) / c {
		dst := out.Data[p*n:][:n]
		for i := copy(dst, img.Data[p*c:][:c]); i < n; i++ {
			dst[i] = 1
		}
	}
	return out
}

// Plane views masks as pictures of one channel.
func Plane(m types.Mask) types.Image {
	return types.Image{Tensor: types.Tensor{Shape: append(append([]int(nil), m.Shape...), 1), Data: m.Data}}
}

// PlaneMask views pictures of one channel as masks.
func PlaneMask(img types.Image) types.Mask {
	return types.Mask{Tensor: types.Tensor{Shape: img.Shape[:3], Data: img.Data}}
}

// Region copies the rectangle [x, x+w) by [y, y+h), which must lie within the pictures.
func Region(img types.Image, x, y, w, h int) types.Image {
	b, ih, iw, c := img.Shape[0], img.Shape[1], img.Shape[2], img.Shape[3]
	out := types.Image{Tensor: types.NewTensor(b, h, w, c)}
	for r := range b * h {
		copy(out.Data[r*w*c:][:w*c], img.Data[((r/h*ih+y+r%h)*iw+x)*c:])
	}
	return out
}

// Paste copies src into dst at x, y, item by item; src must fit and have dst's batch and channels.
func Paste(dst, src types.Image, x, y int) {
	h, w, c := src.Shape[1], src.Shape[2], src.Shape[3]
	for r := range src.Shape[0] * h {
		copy(dst.Data[((r/h*dst.Shape[1]+y+r%h)*dst.Shape[2]+x)*c:][:w*c], src.Data[r*w*c:])
	}
}

// Fill returns pictures of one colour; a fourth channel that colour does not have is 1.
func Fill(batch, height, width, channels int, colour ...float32) (types.Image, error) {
	if min(batch, height, width, channels) < 1 {
		return types.Image{}, &Error{Need: "at least one picture of one pixel", Have: fmt.Sprintf("%d of %dx%d", batch, width, height)}
	}
	if n := float64(batch) * float64(height) * float64(width) * float64(channels); n > MaxValues {
		return types.Image{}, &Error{Need: fmt.Sprintf("at most %d values", MaxValues), Have: fmt.Sprintf("%.0f", n), Hint: "choose a smaller size or batch"}
	}
	out := types.Image{Tensor: types.NewTensor(batch, height, width, channels)}
	row := out.Data[:width*channels]
	for i := range row {
		row[i] = 1
		if i%channels < len(colour) {
			row[i] = colour[i%channels]
		}
	}
	for done := len(row); done < len(out.Data); done *= 2 {
		copy(out.Data[done:], out.Data[:done])
	}
	return out, nil
}
