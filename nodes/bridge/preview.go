package bridge

import (
	"bytes"
	"context"
	"image"
	"image/jpeg"

	"golang.org/x/image/draw"

	"graphrun/graph"
	"graphrun/runtime/picture"
	"graphrun/types"
)

// Previews is the service that has samplers show where they are: pictures that fit into Size pixels a side. Without it they
// show none.
type Previews struct{ Size int }

// previewQuality is that of the JPEGs, as ComfyUI's (server.md 7).
const previewQuality = 95

// Sampling is Progress for a sampler of the model: with each step goes a picture of the estimate, if Previews is installed
// and the model's latents have a map to colours.
func Sampling(c *graph.Call, m types.Model) context.Context {
	show, err := graph.Service[Previews](c.Env)
	if err != nil || m.Denoiser == nil || m.Denoiser.Latent().RGB == nil {
		return Progress(c)
	}
	format := m.Denoiser.Latent()
	return types.WithProgress(c, func(p types.Progress) {
		if p.Latent != nil {
			if data := show.picture(p.Latent, format); data != nil {
				c.Preview("image/jpeg", data)
			}
		}
		c.Progress(p.Phase, p.Step, p.Total)
	})
}

// picture is the first latent of a batch [batch, channels, height, width] as a JPEG, or nil if it is of another form.
func (s Previews) picture(x *types.Tensor, f types.LatentFormat) []byte {
	if len(x.Shape) != 4 || x.Shape[1] != len(f.RGB) || x.Shape[2] == 0 || x.Shape[3] == 0 {
		return nil
	}
	h, w := x.Shape[2], x.Shape[3]
	rgb := make([]float32, 3*h*w)
	for i := range h * w {
		for k := range 3 {
			sum := f.Bias[k]
			for ch, row := range f.RGB {
				sum += x.Data[ch*h*w+i] * row[k]
			}
			rgb[3*i+k] = sum
		}
	}
	small := picture.Opaque(picture.PreviewBytes(rgb), w, h)
	// A latent has an eighth of the picture's size: it is shown as large as fits, but no larger than the picture.
	scale := min(8, float64(s.Size)/float64(max(w, h)))
	big := image.NewRGBA(image.Rect(0, 0, max(1, int(float64(w)*scale)), max(1, int(float64(h)*scale))))
	draw.ApproxBiLinear.Scale(big, big.Rect, small, small.Rect, draw.Src, nil)
	var out bytes.Buffer
	if jpeg.Encode(&out, big, &jpeg.Options{Quality: previewQuality}) != nil {
		return nil
	}
	return out.Bytes()
}
