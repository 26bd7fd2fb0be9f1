package picture

import (
	"encoding/binary"
	"strings"
)

// ifdReader reads the directories of a TIFF file or of EXIF data, which is a small TIFF file.
type ifdReader struct {
	data  []byte
	order binary.ByteOrder
}

// ifdEntry is one field; value holds its bytes, wherever they lie.
type ifdEntry struct {
	kind  uint16
	value []byte
}

// TIFF tags that this package reads.
const (
	tagWidth        = 256
	tagHeight       = 257
	tagBits         = 258
	tagCompression  = 259
	tagPhotometric  = 262
	tagStripOffsets = 273
	tagOrientation  = 274
	tagSamples      = 277
	tagRowsPerStrip = 278
	tagStripBytes   = 279
	tagPlanes       = 284
	tagPredictor    = 317
	tagSampleFormat = 339
)

var ifdSizes = [...]int{1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}

func newIFDReader(data []byte) (r ifdReader, first int, ok bool) {
	switch {
	case len(data) < 8:
		return r, 0, false
	case strings.HasPrefix(string(data[:4]), "II*\x00"):
		r.order = binary.LittleEndian
	case strings.HasPrefix(string(data[:4]), "MM\x00*"):
		r.order = binary.BigEndian
	default:
		return r, 0, false
	}
	r.data = data
	return r, int(r.order.Uint32(data[4:])), true
}

// directory reads the fields of the directory at an offset and the offset of the next one, 0 at the end.
// Fields that point outside the file are left out.
func (r ifdReader) directory(at int) (fields map[uint16]ifdEntry, next int, ok bool) {
	if at < 8 || at+2 > len(r.data) {
		return nil, 0, false
	}
	n := int(r.order.Uint16(r.data[at:]))
	if at+2+12*n > len(r.data) {
		return nil, 0, false
	}
	fields = make(map[uint16]ifdEntry, n)
	for i := range n {
		e := r.data[at+2+12*i:][:12]
		kind, count := r.order.Uint16(e[2:]), int(r.order.Uint32(e[4:]))
		if int(kind) >= len(ifdSizes) || ifdSizes[kind] == 0 {
			continue
		}
		size := ifdSizes[kind] * count
		value := e[8:]
		if size > 4 {
			off := int(r.order.Uint32(e[8:]))
			if off > len(r.data) || size > len(r.data)-off {
				continue
			}
			value = r.data[off:]
		}
		fields[r.order.Uint16(e)] = ifdEntry{kind, value[:size]}
	}
	if end := at + 2 + 12*n; end+4 <= len(r.data) {
		next = int(r.order.Uint32(r.data[end:]))
	}
	return fields, next, true
}

// ints are a field's whole numbers; nil where the field is absent or holds something else.
func (r ifdReader) ints(e ifdEntry) []int {
	var out []int
	for size := 1; len(e.value) >= size; e.value = e.value[size:] {
		switch e.kind {
		case 1:
			out = append(out, int(e.value[0]))
		case 3:
			if size = 2; len(e.value) >= size {
				out = append(out, int(r.order.Uint16(e.value)))
			}
		case 4:
			if size = 4; len(e.value) >= size {
				out = append(out, int(r.order.Uint32(e.value)))
			}
		default:
			return nil
		}
		if len(e.value) < size {
			break
		}
	}
	return out
}

// first is a field's first number, or def.
func (r ifdReader) first(fields map[uint16]ifdEntry, tag uint16, def int) int {
	if v := r.ints(fields[tag]); len(v) > 0 {
		return v[0]
	}
	return def
}

// exifOrientation is the orientation in EXIF data, with or without the "Exif\0\0" before it: 1 to 8, 1 where there is none.
func exifOrientation(data []byte) int {
	r, at, ok := newIFDReader([]byte(strings.TrimPrefix(string(data), "Exif\x00\x00")))
	if !ok {
		return 1
	}
	fields, _, _ := r.directory(at)
	return r.first(fields, tagOrientation, 1)
}

// jpegOrientation finds the EXIF segment of a JPEG file.
func jpegOrientation(data []byte) int {
	for i := 2; i+4 <= len(data) && data[i] == 0xff; {
		marker, n := data[i+1], int(binary.BigEndian.Uint16(data[i+2:]))
		if marker == 0xff { // a fill byte
			i++
			continue
		}
		if marker == 0xda || n < 2 || i+2+n > len(data) {
			break
		}
		if body := data[i+4 : i+2+n]; marker == 0xe1 && strings.HasPrefix(string(body[:min(6, len(body))]), "Exif\x00\x00") {
			return exifOrientation(body)
		}
		i += 2 + n
	}
	return 1
}

// orient turns and mirrors the picture as the EXIF orientation o says; an unknown one leaves it.
func (f frame) orient(o int) frame {
	if o < 2 || o > 8 {
		return f
	}
	out := f
	out.pix = make([]byte, len(f.pix))
	if o >= 5 {
		out.w, out.h = f.h, f.w
	}
	right, bottom := f.w-1, f.h-1
	for y := range out.h {
		for x := range out.w {
			var sx, sy int
			switch o {
			case 2:
				sx, sy = right-x, y
			case 3:
				sx, sy = right-x, bottom-y
			case 4:
				sx, sy = x, bottom-y
			case 5:
				sx, sy = y, x
			case 6:
				sx, sy = y, bottom-x
			case 7:
				sx, sy = right-y, bottom-x
			case 8:
				sx, sy = right-y, x
			}
			copy(out.pix[(y*out.w+x)*4:][:4], f.pix[(sy*f.w+sx)*4:])
		}
	}
	return out
}
