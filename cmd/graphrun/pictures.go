package main

import (
	"context"
	"image"
	"io"

	"graphrun/runtime/picture"
	"graphrun/types"
)

// pictures converts what the server shows: the same formats and limits as LoadImage has.
type pictures struct{}

// Decode implements frontend.Pictures: the first frame, upright, 8 bit.
func (pictures) Decode(r io.Reader) (image.Image, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	img, mask, err := picture.Decode(data)
	if err != nil {
		return nil, err
	}
	out := goImage(img)
	if mask.Shape[1] == img.Shape[1] && mask.Shape[2] == img.Shape[2] {
		for i := range img.Shape[1] * img.Shape[2] {
			out.Pix[4*i+3] = uint8((1-mask.Data[i])*255 + 0.5)
		}
	}
	return out, nil
}

// EncodeWebP implements frontend.Pictures.
func (pictures) EncodeWebP(w io.Writer, m image.Image, quality int) error {
	b := m.Bounds()
	img := types.Image{Tensor: types.NewTensor(1, b.Dy(), b.Dx(), 4)}
	i := 0
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			c := nrgba(m, x, y)
			for _, v := range c {
				img.Data[i] = float32(v) / 255
				i++
			}
		}
	}
	return picture.WriteWebP(context.Background(), w, img, 0, quality, nil)
}

func nrgba(m image.Image, x, y int) [4]uint8 {
	switch m := m.(type) {
	case *image.NRGBA:
		c := m.NRGBAAt(x, y)
		return [4]uint8{c.R, c.G, c.B, c.A}
	case *image.RGBA: // what the server makes opaque
		c := m.RGBAAt(x, y)
		return [4]uint8{c.R, c.G, c.B, c.A}
	}
	r, g, b, a := m.At(x, y).RGBA()
	return [4]uint8{uint8(r >> 8), uint8(g >> 8), uint8(b >> 8), uint8(a >> 8)}
}
