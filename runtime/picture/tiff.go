package picture

import (
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"image"
	"io"
	"math"

	"golang.org/x/image/tiff"
	"golang.org/x/image/tiff/lzw"
)

// decodeTIFF reads every page. x/image decodes the first page of a file only, so for page n it gets the file with the
// header pointing there; one channel of 32 bits, which it does not know, is read here.
func decodeTIFF(data []byte) ([]frame, error) {
	r, at, ok := newIFDReader(data)
	if !ok {
		return nil, errors.New("no TIFF header")
	}
	pages := r.pages(at)
	data = bytes.Clone(data)
	var frames []frame
	for i, page := range pages {
		f, err := r.page(data, page, len(pages))
		if err != nil && i == 0 {
			return nil, err
		} else if err != nil {
			break
		}
		frames = append(frames, f)
	}
	return frames, nil
}

type tiffPage struct {
	at     int
	fields map[uint16]ifdEntry
}

// pages follows the chain of directories; a loop ends it.
func (r ifdReader) pages(at int) (list []tiffPage) {
	seen := map[int]bool{}
	for at != 0 && !seen[at] {
		fields, next, ok := r.directory(at)
		if !ok {
			break
		}
		seen[at] = true
		list = append(list, tiffPage{at, fields})
		at = next
	}
	return list
}

func (r ifdReader) page(data []byte, p tiffPage, pages int) (frame, error) {
	w, h := r.first(p.fields, tagWidth, 0), r.first(p.fields, tagHeight, 0)
	if err := checkPixels(w, h, pages); err != nil {
		return frame{}, err
	}
	f, err := frame{}, error(nil)
	if r.first(p.fields, tagBits, 1) == 32 && r.first(p.fields, tagSamples, 1) == 1 {
		f, err = r.wide(p, w, h)
	} else if r.few(p) {
		f, err = r.eight(p, w, h)
	} else {
		r.order.PutUint32(data[4:], uint32(p.at))
		var m image.Image
		if m, err = tiff.Decode(bytes.NewReader(data)); err == nil {
			f = fromImage(m)
			f.hasAlpha = f.hasAlpha && r.first(p.fields, tagSamples, 1) == 4
			if c := r.first(p.fields, tagCompression, 1); c >= 2 && c <= 4 && r.first(p.fields, tagPhotometric, 0) == 1 {
				f.invert() // x/image takes a fax's white for white; in a file where 0 is black it is black
			}
		}
	}
	if err != nil {
		return frame{}, err
	}
	return f.orient(r.first(p.fields, tagOrientation, 1)), nil
}

// wide reads one channel of 32 bits. Whole numbers are divided by 255 and cut, floats are cut as they are (numerics.md 9).
func (r ifdReader) wide(p tiffPage, w, h int) (frame, error) {
	format := r.first(p.fields, tagSampleFormat, 1)
	if predictor := r.first(p.fields, tagPredictor, 1); predictor != 1 || format > 3 {
		return frame{}, &Error{Need: "32 bit samples without predictor", Have: fmt.Sprintf("predictor %d, sample format %d", predictor, format), Hint: "save it as 8 bit PNG"}
	}
	raw, err := r.strips(p, w*4, h)
	if err != nil {
		return frame{}, err
	}
	f := newFrame(w, h)
	for i := range w * h {
		bits := r.order.Uint32(raw[4*i:])
		v := float64(math.Float32frombits(bits))
		switch format {
		case 1:
			v = float64(bits) / 255
		case 2:
			v = float64(int32(bits)) / 255
		}
		b := byte(0)
		if v > 0 { // and not NaN
			b = byte(min(v, 255))
		}
		f.set(i, b, b, b, 255)
	}
	return f, nil
}

// strips are the rows of a page, of n bytes each.
func (r ifdReader) strips(p tiffPage, n, h int) (raw []byte, err error) {
	sizes := r.ints(p.fields[tagStripBytes])
	for i, at := range r.ints(p.fields[tagStripOffsets]) {
		if i >= len(sizes) || at > len(r.data) || sizes[i] > len(r.data)-at {
			return nil, errors.New("a strip lies outside the file")
		}
		rows := min(r.first(p.fields, tagRowsPerStrip, h), h)
		strip, err := inflateStrip(r.data[at:at+sizes[i]], r.first(p.fields, tagCompression, 1), rows*n)
		if err != nil {
			return nil, err
		}
		if raw = append(raw, strip...); len(raw) >= n*h {
			return raw[:n*h], nil
		}
	}
	return nil, fmt.Errorf("need %d bytes of pixels, have %d", n*h, len(raw))
}

// few tells whether a page has 8 bits in channels that x/image does not know together: gray with alpha, or four inks.
func (r ifdReader) few(p tiffPage) bool {
	samples, what := r.first(p.fields, tagSamples, 1), r.first(p.fields, tagPhotometric, 0)
	return r.first(p.fields, tagBits, 1) == 8 && (samples == 2 && what == 1 || samples == 4 && what == 5)
}

// eight reads what few tells of.
func (r ifdReader) eight(p tiffPage, w, h int) (frame, error) {
	n := r.first(p.fields, tagSamples, 1)
	predictor, planes := r.first(p.fields, tagPredictor, 1), r.first(p.fields, tagPlanes, 1)
	if predictor > 2 || planes != 1 {
		return frame{}, &Error{Need: "channels that lie together, with at most the predictor 2", Have: fmt.Sprintf("planes %d, predictor %d", planes, predictor), Hint: "save it as 8 bit PNG"}
	}
	raw, err := r.strips(p, w*n, h)
	if err != nil {
		return frame{}, err
	}
	for i := range raw {
		if predictor == 2 && i%(w*n) >= n {
			raw[i] += raw[i-n]
		}
	}
	if n == 4 {
		return fromImage(&image.CMYK{Pix: raw, Stride: 4 * w, Rect: image.Rect(0, 0, w, h)}), nil
	}
	f := newFrame(w, h)
	f.hasAlpha = true
	for i := range w * h {
		f.set(i, raw[2*i], raw[2*i], raw[2*i], raw[2*i+1])
	}
	return f, nil
}

func (f frame) invert() {
	for i, v := range f.pix {
		if i%4 != 3 {
			f.pix[i] = 255 - v
		}
	}
}

func inflateStrip(strip []byte, compression, most int) ([]byte, error) {
	var r io.Reader
	switch compression {
	case 1:
		return bytes.Clone(strip[:min(len(strip), most)]), nil
	case 32773:
		return unpackBits(strip, most), nil
	case 5:
		z := lzw.NewReader(bytes.NewReader(strip), lzw.MSB, 8)
		defer z.Close()
		r = z
	case 8, 32946:
		z, err := zlib.NewReader(bytes.NewReader(strip))
		if err != nil {
			return nil, err
		}
		r = z
	default:
		return nil, &Error{Need: "no compression of these samples, or LZW, Deflate or PackBits", Have: fmt.Sprintf("compression %d", compression), Hint: "save it as 8 bit PNG"}
	}
	return io.ReadAll(io.LimitReader(r, int64(most)))
}

// unpackBits undoes Apple's run lengths: n+1 bytes as they are, or one byte 1-n times.
func unpackBits(src []byte, most int) (out []byte) {
	for len(src) > 1 && len(out) < most {
		n := int(int8(src[0]))
		src = src[1:]
		switch {
		case n >= 0:
			n = min(n+1, len(src))
			out, src = append(out, src[:n]...), src[n:]
		case n > -128:
			out, src = append(out, bytes.Repeat(src[:1], 1-n)...), src[1:]
		}
	}
	return out[:min(len(out), most)]
}
