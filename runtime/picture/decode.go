package picture

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"io"

	"golang.org/x/image/bmp"

	"graphrun/types"
)

// Decode reads a PNG, JPEG, GIF, BMP, TIFF or WebP file as ComfyUI's LoadImage does: turned as its EXIF data says, RGB,
// 8 bits a channel. Several frames make a batch; those of another size than the first are left out. The mask is
// 1 - alpha, [batch, height, width], or, where the file has no alpha, zeros of 64 by 64.
// Truncated files are read as far as they go: missing parts are black in PNG, gray in JPEG. Errors are of type *Error.
func Decode(data []byte) (types.Image, types.Mask, error) {
	frames, err := decodeFrames(data)
	if err != nil {
		return types.Image{}, types.Mask{}, err
	}
	img, mask := assemble(frames)
	return img, mask, nil
}

// DecodeChannel reads the first frame of a file as ComfyUI's LoadImageMask does: one of its channels red, green, blue,
// or alpha turned around, [1, height, width]. A colour that the file calls transparent counts. Errors are of type *Error.
func DecodeChannel(data []byte, channel string) (types.Mask, error) {
	at, ok := map[string]int{"red": 0, "green": 1, "blue": 2, "alpha": 3}[channel]
	if !ok {
		return types.Mask{}, &Error{Need: "a channel red, green, blue or alpha", Have: fmt.Sprintf("%q", channel)}
	}
	frames, err := decodeFrames(data)
	if err != nil {
		return types.Mask{}, err
	}
	f := frames[0]
	out := types.Mask{Tensor: types.NewTensor(1, f.h, f.w)}
	for p := range out.Data {
		switch v := float32(f.pix[4*p+at]) / 255; {
		case at < 3:
			out.Data[p] = v
		case f.hasAlpha || f.keyed:
			out.Data[p] = 1 - v
		}
	}
	return out, nil
}

// decodeFrames gives at least one frame.
func decodeFrames(data []byte) ([]frame, error) {
	format, decode := sniff(data)
	if decode == nil {
		return nil, &Error{Need: "a PNG, JPEG, GIF, BMP, TIFF or WebP file", Have: start(data), Hint: "convert it to PNG"}
	}
	frames, err := decode(data)
	if err != nil {
		if e, ok := err.(*Error); ok {
			e.Format = format
			return nil, e
		}
		return nil, &Error{Format: format, Err: err, Hint: "the file is damaged or of a form that is not supported: save it again as PNG"}
	}
	if len(frames) == 0 {
		return nil, &Error{Format: format, Need: "at least one frame", Have: "none", Hint: "the file is damaged: save it again as PNG"}
	}
	return frames, nil
}

func sniff(data []byte) (string, func([]byte) ([]frame, error)) {
	has := func(at int, s string) bool { return len(data) >= at+len(s) && string(data[at:at+len(s)]) == s }
	switch {
	case has(0, pngSignature):
		return "PNG", decodePNG
	case has(0, "\xff\xd8"):
		return "JPEG", decodeJPEG
	case has(0, "GIF87a"), has(0, "GIF89a"):
		return "GIF", decodeGIF
	case has(0, "BM"):
		return "BMP", decodeBMP
	case has(0, "II*\x00"), has(0, "MM\x00*"):
		return "TIFF", decodeTIFF
	case has(0, "RIFF") && has(8, "WEBP"):
		return "WebP", decodeWebP
	}
	return "", nil
}

func start(data []byte) string {
	if len(data) == 0 {
		return "an empty file"
	}
	return fmt.Sprintf("a file that starts with %q", data[:min(len(data), 12)])
}

// frame is one picture of a file: pix is RGBA, not premultiplied. Without hasAlpha the last byte means nothing, unless the
// file calls one colour transparent (keyed), which Pillow sees only when it is asked for RGBA.
type frame struct {
	w, h            int
	pix             []byte
	hasAlpha, keyed bool
}

func newFrame(w, h int) frame { return frame{w: w, h: h, pix: make([]byte, w*h*4)} }

func (f frame) clone() frame {
	f.pix = bytes.Clone(f.pix)
	return f
}

// checkPixels refuses empty pictures and those of more than MaxPixels.
func checkPixels(w, h, frames int) error {
	if w < 1 || h < 1 {
		return &Error{Need: "at least one pixel", Have: fmt.Sprintf("%dx%d", w, h), Hint: "the file is damaged: save it again"}
	}
	if w > MaxPixels || h > MaxPixels || w*h > MaxPixels || w*h*max(frames, 1) > MaxPixels {
		return &Error{Need: fmt.Sprintf("at most %d pixels in all", MaxPixels), Have: fmt.Sprintf("%d frames of %dx%d", max(frames, 1), w, h), Hint: "make the picture smaller"}
	}
	return nil
}

// assemble batches the frames that have the first one's size.
func assemble(frames []frame) (types.Image, types.Mask) {
	w, h := frames[0].w, frames[0].h
	n, alpha := 0, false
	for _, f := range frames {
		if f.w == w && f.h == h {
			frames[n] = f
			n, alpha = n+1, alpha || f.hasAlpha
		}
	}
	frames = frames[:n]
	img := types.Image{Tensor: types.NewTensor(n, h, w, 3)}
	mask := types.Mask{Tensor: types.NewTensor(n, 64, 64)}
	if alpha {
		mask = types.Mask{Tensor: types.NewTensor(n, h, w)}
	}
	for i, f := range frames {
		rgb := img.Data[i*w*h*3:][:w*h*3]
		for p := range w * h {
			from, to := f.pix[4*p:4*p+4], rgb[3*p:3*p+3]
			to[0], to[1], to[2] = shares[from[0]], shares[from[1]], shares[from[2]]
			if f.hasAlpha {
				mask.Data[i*w*h+p] = 1 - shares[from[3]]
			}
		}
	}
	return img, mask
}

// shares are the bytes over 255.
var shares = func() (s [256]float32) {
	for i := range s {
		s[i] = float32(i) / 255
	}
	return s
}()

// set stores pixel p, counted row by row.
func (f frame) set(p int, r, g, b, a byte) {
	f.pix[p*4], f.pix[p*4+1], f.pix[p*4+2], f.pix[p*4+3] = r, g, b, a
}

func decodeJPEG(data []byte) ([]frame, error) {
	c, err := jpeg.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	if err := checkPixels(c.Width, c.Height, 1); err != nil {
		return nil, err
	}
	m, err := jpeg.Decode(bytes.NewReader(data))
	if errors.Is(err, io.ErrUnexpectedEOF) || err == jpeg.FormatError("short Huffman data") {
		m, err = decodeCutJPEG(data)
	}
	if err != nil {
		return nil, err
	}
	var f frame
	if y, ok := m.(*image.YCbCr); ok {
		f = jpegFrame(y)
	} else {
		f = fromImage(m)
	}
	f.hasAlpha = false
	return []frame{f.orient(jpegOrientation(data))}, nil
}

func decodeBMP(data []byte) ([]frame, error) {
	c, err := bmp.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	if err := checkPixels(c.Width, c.Height, 1); err != nil {
		return nil, err
	}
	m, err := bmp.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	f := fromImage(m)
	// Pillow finds alpha only in headers of version 4 and later that name its bits.
	f.hasAlpha = f.hasAlpha && len(data) > 70 && data[14] >= 56 && string(data[66:70]) != "\x00\x00\x00\x00"
	return []frame{f}, nil
}

// fromImage takes what a decoder returned as Pillow would convert it to RGBA: 16 bit colours lose their low byte,
// 16 bit gray is clipped, not scaled (numerics.md 9).
func fromImage(m image.Image) frame {
	b := m.Bounds()
	f := newFrame(b.Dx(), b.Dy())
	pixel := pixelReader(m)
	for y := range f.h {
		for x := range f.w {
			r, g, bl, a := pixel(b.Min.X+x, b.Min.Y+y)
			f.set(y*f.w+x, r, g, bl, a)
		}
	}
	switch m := m.(type) {
	case *image.NRGBA, *image.NRGBA64, *image.RGBA, *image.RGBA64:
		f.hasAlpha = true
	case *image.Paletted:
		for _, c := range m.Palette {
			_, _, _, a := c.RGBA()
			f.hasAlpha = f.hasAlpha || a != 0xffff
		}
	}
	return f
}

func pixelReader(m image.Image) func(x, y int) (r, g, b, a byte) {
	switch m := m.(type) {
	case *image.Gray:
		return func(x, y int) (r, g, b, a byte) { v := m.GrayAt(x, y).Y; return v, v, v, 255 }
	case *image.Gray16:
		return func(x, y int) (r, g, b, a byte) {
			v := byte(min(m.Gray16At(x, y).Y, 255))
			return v, v, v, 255
		}
	case *image.NRGBA:
		return func(x, y int) (r, g, b, a byte) { c := m.NRGBAAt(x, y); return c.R, c.G, c.B, c.A }
	case *image.NRGBA64:
		return func(x, y int) (r, g, b, a byte) {
			c := m.NRGBA64At(x, y)
			return byte(c.R >> 8), byte(c.G >> 8), byte(c.B >> 8), byte(c.A >> 8)
		}
	case *image.CMYK:
		return func(x, y int) (r, g, b, a byte) {
			c := m.CMYKAt(x, y)
			ink := func(v byte) byte { return byte(max(0, int(255-c.K)-int(mulDiv255(v, 255-c.K)))) }
			return ink(c.C), ink(c.M), ink(c.Y), 255
		}
	}
	return func(x, y int) (r, g, b, a byte) { return straight(m.At(x, y).RGBA()) }
}

// straight divides a premultiplied 16 bit colour by its alpha and keeps the high bytes.
func straight(r, g, b, a uint32) (byte, byte, byte, byte) {
	if a == 0 {
		return 0, 0, 0, 0
	}
	return byte(min(r*0xffff/a, 0xffff) >> 8), byte(min(g*0xffff/a, 0xffff) >> 8), byte(min(b*0xffff/a, 0xffff) >> 8), byte(a >> 8)
}
