package picture

import "graphrun/types"

// YUV splits pictures into luma and the two differences of colour around 0.5 (kornia's rgb_to_ycbcr), each as three
// equal channels. Alpha is left out.
func YUV(img types.Image) (y, u, v types.Image) {
	img = Channels(img, 3)
	y, u, v = types.Image{Tensor: types.NewTensor(img.Shape...)}, types.Image{Tensor: types.NewTensor(img.Shape...)}, types.Image{Tensor: types.NewTensor(img.Shape...)}
	for p := 0; p < len(img.Data); p += 3 {
		r, g, b := img.Data[p], img.Data[p+1], img.Data[p+2]
		l := 0.299*r + 0.587*g + 0.114*b
		cb, cr := (b-l)*0.564+0.5, (r-l)*0.713+0.5
		for c := range 3 {
			y.Data[p+c], u.Data[p+c], v.Data[p+c] = l, cb, cr
		}
	}
	return y, u, v
}

// FromYUV puts the parts together again and clamps to 0..1. Each part counts by the mean of its channels; all three have
// one batch and size.
func FromYUV(y, u, v types.Image) types.Image {
	mean := func(img types.Image, p int) (sum float32) {
		c := img.Shape[3]
		for _, x := range img.Data[p*c:][:c] {
			sum += x
		}
		return sum / float32(c)
	}
	out := types.Image{Tensor: types.NewTensor(y.Shape[0], y.Shape[1], y.Shape[2], 3)}
	for p := range len(out.Data) / 3 {
		l, cb, cr := mean(y, p), mean(u, p)-0.5, mean(v, p)-0.5
		out.Data[3*p] = clamp(l + 1.403*cr)
		out.Data[3*p+1] = clamp(l - 0.714*cr - 0.344*cb)
		out.Data[3*p+2] = clamp(l + 1.773*cb)
	}
	return out
}
