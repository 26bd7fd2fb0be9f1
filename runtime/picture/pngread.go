package picture

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"io"
)

// pngFile is what the chunks of a PNG file say. The standard library's decoder has no animation, refuses truncated files and
// turns a transparent colour into alpha, none of which LoadImage does.
type pngFile struct {
	w, h, depth, colour int
	interlaced          bool
	palette             []byte // RGB triples
	alpha               []byte // of palette entries
	orientation         int
	frames              []pngPart
}

// pngPart is one picture of the file: the default image or a frame of an animation.
type pngPart struct {
	x, y, w, h     int
	dispose, blend byte
	data           []byte // zlib
}

// decodePNG reads a PNG or APNG file: every colour type, depth and interlacing. Checksums are not looked at.
func decodePNG(data []byte) ([]frame, error) {
	f, err := readPNG(data)
	if err != nil {
		return nil, err
	}
	if err := checkPixels(f.w, f.h, len(f.frames)); err != nil {
		return nil, err
	}
	canvas := newFrame(f.w, f.h)
	canvas.hasAlpha = f.colour == 4 || f.colour == 6 || f.colour == 3 && f.alpha != nil
	key, keyed := f.key()
	canvas.keyed = keyed
	var frames []frame
	for i, p := range f.frames {
		before := canvas
		if p.dispose == 2 && i > 0 {
			before = canvas.clone()
		}
		part, err := f.pixels(p)
		if err != nil && len(frames) == 0 {
			return nil, err
		} else if err != nil {
			break // a truncated animation ends with its last good frame
		}
		if keyed {
			part.hide(key)
		}
		canvas.paste(part, p.x, p.y, p.blend == 1 && i > 0)
		frames = append(frames, canvas.clone().orient(f.orientation))
		switch {
		case p.dispose == 2 && i > 0:
			canvas = before
		case p.dispose != 0:
			canvas.clear(p.x, p.y, p.w, p.h)
		}
	}
	return frames, nil
}

func readPNG(data []byte) (*pngFile, error) {
	f := &pngFile{orientation: 1}
	var next *pngPart // the frame that the last fcTL announced
	still := -1       // the default image's place in frames
	animated := false
	for at := len(pngSignature); at+8 <= len(data); {
		n, kind := int(binary.BigEndian.Uint32(data[at:])), string(data[at+4:at+8])
		body := data[at+8:]
		whole := n <= len(body)
		body = body[:min(n, len(body))]
		if f.w == 0 && kind != "IHDR" {
			return nil, &Error{Need: "an IHDR chunk first", Have: fmt.Sprintf("%q", kind), Hint: "the file is damaged: save it again"}
		}
		if !whole && kind != "IDAT" && kind != "fdAT" {
			break
		}
		switch kind {
		case "IHDR":
			if err := f.header(body); err != nil {
				return nil, err
			}
		case "PLTE":
			f.palette = body
		case "tRNS":
			f.alpha = body
		case "eXIf":
			f.orientation = exifOrientation(body)
		case "acTL":
			animated = n >= 8
		case "fcTL":
			p, err := f.control(body)
			if err != nil {
				return nil, err
			}
			if next = nil; animated {
				next = p
			}
		case "IDAT":
			if still < 0 {
				if next == nil {
					next = &pngPart{w: f.w, h: f.h}
				}
				still = len(f.frames)
				f.frames = append(f.frames, *next)
				next = nil
			}
			f.frames[still].data = append(f.frames[still].data, body...)
		case "fdAT":
			if next != nil {
				f.frames = append(f.frames, *next)
				next = nil
			}
			if last := len(f.frames) - 1; len(body) >= 4 && last >= 0 && last != still {
				f.frames[last].data = append(f.frames[last].data, body[4:]...)
			}
		}
		if !whole || kind == "IEND" {
			break
		}
		at += 12 + n
	}
	if len(f.frames) == 0 {
		return nil, &Error{Need: "an IDAT chunk", Have: "none", Hint: "the file is damaged: save it again"}
	}
	return f, nil
}

// key is the colour that tRNS calls transparent in gray and RGB files, by its low bytes, as Pillow compares it with the
// pixels that it made of the file's.
func (f *pngFile) key() (colour, bool) {
	switch {
	case f.colour == 0 && len(f.alpha) >= 2:
		return colour{f.alpha[1], f.alpha[1], f.alpha[1]}, true
	case f.colour == 2 && len(f.alpha) >= 6:
		return colour{f.alpha[1], f.alpha[3], f.alpha[5]}, true
	}
	return colour{}, false
}

// hide makes the pixels of a colour transparent.
func (f frame) hide(key colour) {
	for p := 0; p < len(f.pix); p += 4 {
		if colour(f.pix[p:p+3]) == key {
			f.pix[p+3] = 0
		}
	}
}

func (f *pngFile) header(b []byte) error {
	if len(b) != 13 || f.w != 0 {
		return &Error{Need: "one IHDR chunk of 13 bytes", Have: fmt.Sprintf("one of %d or a second", len(b)), Hint: "the file is damaged: save it again"}
	}
	w, h := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	if w == 0 || h == 0 || w > MaxPixels || h > MaxPixels {
		return checkPixels(int(w), int(h), 1)
	}
	f.w, f.h, f.depth, f.colour, f.interlaced = int(w), int(h), int(b[8]), int(b[9]), b[12] == 1
	depths := map[int]string{0: "\x01\x02\x04\x08\x10", 2: "\x08\x10", 3: "\x01\x02\x04\x08", 4: "\x08\x10", 6: "\x08\x10"}[f.colour]
	if bytes.IndexByte([]byte(depths), b[8]) < 0 || b[10] != 0 || b[11] != 0 || b[12] > 1 {
		return &Error{Need: "a colour type, depth and compression that PNG has", Have: fmt.Sprintf("IHDR % x", b[8:]), Hint: "the file is damaged: save it again"}
	}
	return nil
}

func (f *pngFile) control(b []byte) (*pngPart, error) {
	if len(b) < 26 {
		return nil, &Error{Need: "26 bytes of frame control", Have: fmt.Sprint(len(b)), Hint: "the file is damaged: save it again"}
	}
	u := func(at int) int { return int(binary.BigEndian.Uint32(b[at:])) }
	p := &pngPart{w: u(4), h: u(8), x: u(12), y: u(16), dispose: b[24], blend: b[25]}
	if p.w < 1 || p.h < 1 || p.x+p.w > f.w || p.y+p.h > f.h {
		return nil, &Error{Need: fmt.Sprintf("frames within %dx%d", f.w, f.h), Have: fmt.Sprintf("%dx%d at %d, %d", p.w, p.h, p.x, p.y), Hint: "the file is damaged: save it again"}
	}
	return p, nil
}

// adam7 lists the first column, first row and steps of the passes.
var adam7 = [][4]int{{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}}

// pixels inflates and unfilters one picture. Rows that are missing stay black.
func (f *pngFile) pixels(p pngPart) (frame, error) {
	out := newFrame(p.w, p.h)
	z, err := zlib.NewReader(bytes.NewReader(p.data))
	if err != nil {
		return out, err
	}
	passes := adam7
	if !f.interlaced {
		passes = [][4]int{{0, 0, 1, 1}}
	}
	bits := f.depth * map[int]int{0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[f.colour]
	for _, s := range passes {
		w, h := (p.w-s[0]+s[2]-1)/s[2], (p.h-s[1]+s[3]-1)/s[3]
		if w <= 0 || h <= 0 {
			continue
		}
		n := (w*bits + 7) / 8
		line, prior := make([]byte, n+1), make([]byte, n+1)
		for y := range h {
			if _, err := io.ReadFull(z, line); err != nil {
				return out, nil
			}
			unfilter(line, prior, max(bits/8, 1))
			if bits == 24 && s[2] == 1 { // the most common form, for speed
				opaqueRow(out.pix[y*w*4:], line[1:])
			} else {
				for x := range w {
					f.pixel(out, (s[1]+y*s[3])*p.w+s[0]+x*s[2], line[1:], x)
				}
			}
			line, prior = prior, line
		}
	}
	return out, nil
}

func unfilter(line, prior []byte, bpp int) {
	filter, row, up := line[0], line[1:], prior[1:]
	if filter == 0 {
		return
	}
	for i := range min(bpp, len(row)) { // there is nothing to the left
		row[i] += predict(filter, 0, up[i], 0)
	}
	for i := bpp; i < len(row); i++ {
		row[i] += predict(filter, row[i-bpp], up[i], up[i-bpp])
	}
}

// opaqueRow spreads RGB to RGBA.
func opaqueRow(dst, rgb []byte) {
	for ; len(rgb) > 2; dst, rgb = dst[4:], rgb[3:] {
		dst[0], dst[1], dst[2], dst[3] = rgb[0], rgb[1], rgb[2], 255
	}
}

// pixel stores sample x of a row at pixel at.
func (f *pngFile) pixel(out frame, at int, row []byte, x int) {
	size := f.depth / 8
	high := func(i int) byte { return row[i*size] } // of 16 bits, only the high byte counts
	switch f.colour {
	case 0:
		var g byte
		if f.depth == 16 { // clipped at 255, not scaled (numerics.md 9)
			g = byte(min(binary.BigEndian.Uint16(row[2*x:]), 255))
		} else {
			g = byte(packed(row, x, f.depth) * 255 / (1<<f.depth - 1))
		}
		out.set(at, g, g, g, 255)
	case 2:
		out.set(at, high(3*x), high(3*x+1), high(3*x+2), 255)
	case 3:
		i, a := packed(row, x, f.depth), byte(255)
		if i < len(f.alpha) {
			a = f.alpha[i]
		}
		if 3*i+3 <= len(f.palette) {
			out.set(at, f.palette[3*i], f.palette[3*i+1], f.palette[3*i+2], a)
		} else {
			out.set(at, 0, 0, 0, a)
		}
	case 4:
		out.set(at, high(2*x), high(2*x), high(2*x), high(2*x+1))
	case 6:
		out.set(at, high(4*x), high(4*x+1), high(4*x+2), high(4*x+3))
	}
}

// packed is sample x of a row of depth bits (1, 2, 4 or 8) each.
func packed(row []byte, x, depth int) int {
	at := x * depth
	return int(row[at/8]) >> (8 - depth - at%8) & (1<<depth - 1)
}

// paste lays part over f at x, y. Blending mixes all four channels by the part's alpha, as Pillow's paste does.
func (f frame) paste(part frame, x, y int, blend bool) {
	for r := range part.h {
		dst, src := f.pix[((y+r)*f.w+x)*4:][:part.w*4], part.pix[r*part.w*4:][:part.w*4]
		if !blend {
			copy(dst, src)
			continue
		}
		for i := range dst {
			a := int(src[i|3])
			t := int(src[i])*a + int(dst[i])*(255-a) + 128
			dst[i] = byte((t + t>>8) >> 8)
		}
	}
}

// clear makes a rectangle black and transparent.
func (f frame) clear(x, y, w, h int) {
	for r := y; r < y+h; r++ {
		clear(f.pix[(r*f.w+x)*4:][:w*4])
	}
}
