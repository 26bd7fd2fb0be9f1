package sampling

import (
	"fmt"

	"graphrun/types"
)

// prepareLatent checks the input and returns it with the channels that the model has: an empty latent of another
// channel count is repeated (numerics.md 4). The result may share the input's memory.
func prepareLatent(l types.Latent, format types.LatentFormat) (types.Tensor, error) {
	x := l.Samples
	if err := x.Check("latent", 4); err != nil {
		return x, err
	}
	if i := notFinite(x.Data); i >= 0 {
		return x, &NotFiniteError{Index: i}
	}
	have, need := x.Shape[1], format.Channels
	if have == need {
		return x, nil
	}
	if !isZero(x.Data) {
		return x, fmt.Errorf("latent has %d channels, the model needs %d: encode the picture with the VAE of this model", have, need)
	}
	return types.NewTensor(x.Shape[0], need, x.Shape[2], x.Shape[3]), nil
}

func isZero(v []float32) bool {
	for _, x := range v {
		if x != 0 {
			return false
		}
	}
	return true
}

// toModel is a copy of a latent, from the VAE's scale in the network's. An empty one stays empty, whatever the format's shift is.
func toModel(latent types.Tensor, f types.LatentFormat) []float32 {
	x := latent.Clone().Data
	if isZero(x) {
		return x
	}
	shift, scale := float32(f.Shift), float32(f.Scale)
	for i, v := range x {
		x[i] = (v - shift) * scale
	}
	return x
}

// fromModel brings x back to the VAE's scale.
func fromModel(x []float32, f types.LatentFormat) {
	shift, scale := float32(f.Shift), float32(f.Scale)
	for i, v := range x {
		x[i] = v/scale + shift
	}
}

// prepareNoise fills dst, of shape [batch, ...], with the initial noise. Without an index it is one draw for the whole
// batch; with one, element i is the index[i]-th single noise of the seed.
func prepareNoise(g *Generator, dst []float32, shape []int, index []int) error {
	if index == nil {
		g.Normal(dst)
		return nil
	}
	if len(index) != shape[0] {
		return fmt.Errorf("batch index has %d entries for %d latents", len(index), shape[0])
	}
	n := len(dst) / shape[0]
	last := 0
	for _, i := range index {
		if i < 0 || i > maxBatchIndex {
			return fmt.Errorf("batch index %d: need 0 to %d", i, maxBatchIndex)
		}
		last = max(last, i)
	}
	one := make([]float32, n)
	for k := 0; k <= last; k++ {
		g.Normal(one)
		for b, i := range index {
			if i == k {
				copy(dst[b*n:(b+1)*n], one)
			}
		}
	}
	return nil
}

// maxBatchIndex bounds the noises that a batch index makes the sampler draw.
const maxBatchIndex = 1 << 16

// inpaint wraps r.denoise so that only the masked part of x is the sampler's (numerics.md 4.3): outside, the network
// sees the original latent under the noise of the moment, and the estimate is the original.
func (r *run) inpaint(mask types.Mask, noise, latent []float32) error {
	if err := mask.Check("noise mask", 3); err != nil {
		return err
	}
	masks := types.Tensor{Shape: []int{mask.Shape[0], r.shape[2], r.shape[3]}, Data: resizePlanes(mask.Tensor, r.shape[2], r.shape[3])}
	inner, blended, outside := r.denoise, r.buffer(), r.buffer()
	blend := func(dst, inside, outside []float32) {
		channels, plane := r.shape[1], r.shape[2]*r.shape[3]
		for k := range r.shape[0] * channels {
			m := masks.Item(k / channels % masks.Shape[0]).Data
			a, b := k*plane, (k+1)*plane
			dst, in, out := dst[a:b], inside[a:b], outside[a:b]
			for i, v := range m {
				dst[i] = in[i]*v + out[i]*(1-v)
			}
		}
	}
	r.denoise = func(dst, x []float32, sigma float32) error {
		r.ms.Noise(outside, noise, latent, sigma, false)
		blend(blended, x, outside)
		err := inner(dst, blended, sigma)
		if err == nil {
			blend(dst, dst, latent)
		}
		return err
	}
	return nil
}

// resizePlanes resizes planes [n, h, w] to [n, height, width] bilinearly, pixel centres aligned, without antialiasing.
func resizePlanes(t types.Tensor, height, width int) []float32 {
	h, w := t.Shape[len(t.Shape)-2], t.Shape[len(t.Shape)-1]
	if h == height && w == width {
		return t.Data
	}
	n := len(t.Data) / (h * w)
	out := make([]float32, n*height*width)
	for y := range height {
		y0, y1, fy := sample1(y, h, height)
		for x := range width {
			x0, x1, fx := sample1(x, w, width)
			for p := range n {
				s := t.Data[p*h*w : (p+1)*h*w]
				top := (1-fx)*s[y0*w+x0] + fx*s[y0*w+x1]
				low := (1-fx)*s[y1*w+x0] + fx*s[y1*w+x1]
				out[(p*height+y)*width+x] = (1-fy)*top + fy*low
			}
		}
	}
	return out
}

// sample1 is where output i of an axis resized from n to m lies: between two inputs, with the second one's share.
func sample1(i, n, m int) (low, high int, share float32) {
	at := max(float32(n)/float32(m)*(float32(i)+0.5)-0.5, 0)
	low = min(int(at), n-1)
	return low, min(low+1, n-1), at - float32(low)
}
