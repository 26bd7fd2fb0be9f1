package picture

import (
	"bytes"
	"encoding/binary"
	"image"

	"golang.org/x/image/webp"
)

// riffChunk is one chunk of a RIFF file.
type riffChunk struct {
	kind string
	body []byte
}

// riffChunks splits the payload of a RIFF list; a truncated last chunk is left out.
func riffChunks(data []byte) (list []riffChunk) {
	for len(data) >= 8 {
		n := int(binary.LittleEndian.Uint32(data[4:]))
		if n > len(data)-8 {
			break
		}
		list = append(list, riffChunk{string(data[:4]), data[8 : 8+n]})
		data = data[min(8+n+n%2, len(data)):]
	}
	return list
}

// decodeWebP reads still and animated files; the frames of an animation are laid over each other.
func decodeWebP(data []byte) ([]frame, error) {
	chunks := riffChunks(data[12:])
	orientation, animated := 1, false
	for _, c := range chunks {
		switch c.kind {
		case "EXIF":
			orientation = exifOrientation(c.body)
		case "ANMF":
			animated = true
		}
	}
	var frames []frame
	var err error
	if animated {
		frames, err = webpAnimation(chunks)
	} else {
		var f frame
		f, err = webpStill(data)
		frames = []frame{f}
	}
	for i := range frames {
		frames[i] = frames[i].orient(orientation)
	}
	return frames, err
}

func webpStill(data []byte) (frame, error) {
	c, err := webp.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return frame{}, err
	}
	if err := checkPixels(c.Width, c.Height, 1); err != nil {
		return frame{}, err
	}
	m, err := webp.Decode(bytes.NewReader(data))
	if err != nil {
		return frame{}, err
	}
	switch m := m.(type) {
	case *image.YCbCr:
		return vp8Frame(m), nil
	case *image.NYCbCrA:
		f := vp8Frame(&m.YCbCr)
		f.hasAlpha = true
		for p := range f.w * f.h {
			f.pix[p*4+3] = m.A[p/f.w*m.AStride+p%f.w]
		}
		return f, nil
	}
	f := fromImage(m)
	f.hasAlpha = webpAlpha(data)
	return f, nil
}

// webpAlpha tells whether the file says that it has alpha: in VP8X's flags or, in a simple lossless file, in VP8L's.
func webpAlpha(data []byte) bool {
	for _, c := range riffChunks(data[12:]) {
		switch {
		case c.kind == "VP8X" && len(c.body) > 0:
			return c.body[0]&0x10 != 0
		case c.kind == "VP8L" && len(c.body) > 4:
			return c.body[4]&0x10 != 0
		}
	}
	return false
}

func webpAnimation(chunks []riffChunk) ([]frame, error) {
	var frames []frame
	var canvas frame
	count := 0
	for _, c := range chunks {
		if c.kind == "ANMF" {
			count++
		}
	}
	for _, c := range chunks {
		switch {
		case c.kind == "VP8X" && len(c.body) >= 10 && canvas.pix == nil:
			w, h := 1+int24(c.body[4:]), 1+int24(c.body[7:])
			if err := checkPixels(w, h, count); err != nil {
				return nil, err
			}
			canvas = newFrame(w, h)
			canvas.hasAlpha = c.body[0]&0x10 != 0
		case c.kind == "ANMF" && len(c.body) >= 16 && canvas.pix != nil:
			x, y := 2*int24(c.body), 2*int24(c.body[3:])
			part, err := webpStill(wrapWebP(c.body[16:], 1+int24(c.body[6:]), 1+int24(c.body[9:])))
			if err != nil {
				return nil, err
			}
			if x+part.w > canvas.w || y+part.h > canvas.h {
				return nil, &Error{Need: "frames within the canvas", Have: "one beyond it", Hint: "the file is damaged: save it again"}
			}
			if !part.hasAlpha {
				for p := range part.w * part.h {
					part.pix[p*4+3] = 255
				}
			}
			canvas.over(part, x, y, c.body[15]&2 == 0)
			frames = append(frames, canvas.clone())
			if c.body[15]&1 != 0 {
				canvas.clear(x, y, part.w, part.h)
			}
		}
	}
	return frames, nil
}

func int24(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }

// wrapWebP makes a file of its own from the chunks of an animation's frame.
func wrapWebP(chunks []byte, w, h int) []byte {
	alpha := byte(0)
	for _, c := range riffChunks(chunks) {
		if c.kind == "ALPH" {
			alpha = 0x10
		}
	}
	body := []byte("WEBP")
	if alpha != 0 { // lossless frames tell of their alpha themselves
		body = append(body, "VP8X\x0a\x00\x00\x00"...)
		body = append(body, alpha, 0, 0, 0, byte(w-1), byte((w-1)>>8), byte((w-1)>>16), byte(h-1), byte((h-1)>>8), byte((h-1)>>16))
	}
	body = append(body, chunks...)
	return append(binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(len(body))), body...)
}

// over composes part on f, colours not premultiplied, as libwebp's animation decoder does.
func (f frame) over(part frame, x, y int, blend bool) {
	if !blend {
		f.paste(part, x, y, false)
		return
	}
	for r := range part.h {
		dst, src := f.pix[((y+r)*f.w+x)*4:][:part.w*4], part.pix[r*part.w*4:][:part.w*4]
		for i := 0; i < len(dst); i += 4 {
			sa := uint32(src[i+3])
			if sa == 0 {
				continue
			} else if sa == 255 {
				copy(dst[i:i+4], src[i:])
				continue
			}
			da := uint32(dst[i+3]) * (256 - sa) >> 8
			a := sa + da
			for c := range 3 {
				dst[i+c] = byte((uint32(src[i+c])*sa + uint32(dst[i+c])*da) * ((1 << 24) / a) >> 24)
			}
			dst[i+3] = byte(a)
		}
	}
}

// vp8Frame converts VP8's planes to RGB as libwebp does: smooth chroma (9:3:3:1) and BT.601's narrow range.
func vp8Frame(m *image.YCbCr) frame {
	f := newFrame(m.Rect.Dx(), m.Rect.Dy())
	cw, ch := (f.w+1)/2, (f.h+1)/2
	for y := range f.h {
		near, far := y/2, min(max(y/2-1+y%2*2, 0), ch-1)
		for x := range f.w {
			n, o := x/2, min(max(x/2-1+x%2*2, 0), cw-1)
			chroma := func(plane []byte) int {
				a, b := int(plane[near*m.CStride+n]), int(plane[near*m.CStride+o])
				c, d := int(plane[far*m.CStride+n]), int(plane[far*m.CStride+o])
				// libwebp's order of roundings: both diagonals first, then the mean with the nearest.
				diagonal := (a + 3*b + 3*c + d + 8) >> 3
				return (diagonal + a) >> 1
			}
			l, u, v := int(m.Y[y*m.YStride+x])*19077>>8, chroma(m.Cb), chroma(m.Cr)
			f.set(y*f.w+x,
				clip((l+(v*26149>>8)-14234)>>6),
				clip((l-(u*6419>>8)-(v*13320>>8)+8708)>>6),
				clip((l+(u*33050>>8)-17685)>>6),
				255)
		}
	}
	return f
}
