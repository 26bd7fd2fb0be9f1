package picture

import (
	"bytes"
	"errors"
	"image"
	"image/jpeg"
	"io"
)

// decodeCutJPEG reads a JPEG file that ends early: what is missing becomes gray, as libjpeg leaves it. The standard
// decoder gives nothing of such a file, so it gets the file with two different continuations: the blocks in which the
// results differ are the missing ones. A progressive file is cut back to its last complete scan instead.
func decodeCutJPEG(data []byte) (image.Image, error) {
	const end = "\xff\xd9"
	if bytes.Contains(data, []byte("\xff\xc2")) {
		scan := bytes.LastIndex(data, []byte("\xff\xda"))
		if scan < 0 {
			return nil, io.ErrUnexpectedEOF
		}
		return jpeg.Decode(io.MultiReader(bytes.NewReader(data[:scan]), bytes.NewReader([]byte(end))))
	}
	c, err := jpeg.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	data = bytes.TrimRight(data, "\xff") // half a marker
	var both [2]image.Image
	for i, fill := range []repeated{0x00, 0x55} {
		// No coefficient takes more than 4 bytes, no block more than 64 coefficients.
		most := int64(c.Width+64) * int64(c.Height+64) * 4 * 4
		both[i], err = jpeg.Decode(io.MultiReader(bytes.NewReader(data), io.LimitReader(fill, most), bytes.NewReader([]byte(end))))
		if err != nil {
			return nil, err
		}
	}
	switch a := both[0].(type) {
	case *image.YCbCr:
		b := both[1].(*image.YCbCr)
		grayOut(a.Y, b.Y, a.YStride)
		grayOut(a.Cb, b.Cb, a.CStride)
		grayOut(a.Cr, b.Cr, a.CStride)
		return a, nil
	case *image.Gray:
		grayOut(a.Pix, both[1].(*image.Gray).Pix, a.Stride)
		return a, nil
	}
	return nil, errors.New("a truncated file of this colour space")
}

// repeated is an endless stream of one byte.
type repeated byte

func (r repeated) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(r)
	}
	return len(p), nil
}

// grayOut makes every block of 8 by 8 samples in which a and b differ middle gray.
func grayOut(a, b []byte, stride int) {
	for y := 0; (y+8)*stride <= len(a); y += 8 {
		for x := 0; x+8 <= stride; x += 8 {
			same := true
			for r := range 8 {
				at := (y+r)*stride + x
				same = same && bytes.Equal(a[at:at+8], b[at:at+8])
			}
			for r := 0; r < 8 && !same; r++ {
				for i := range 8 {
					a[(y+r)*stride+x+i] = 128
				}
			}
		}
	}
}
