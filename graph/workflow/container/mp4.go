package container

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
)

func isMP4(h string) bool {
	if len(h) < 8 {
		return false
	}
	switch h[4:8] {
	case "ftyp":
		return true
	case "moov", "wide", "mdat", "free", "skip": // of old QuickTime files
		return h[0] == 0
	}
	return false
}

func isAVIF(h string) bool {
	return len(h) >= 12 && h[4:8] == "ftyp" && slices.Contains([]string{"avif", "avis", "mif1", "msf1", "heic", "heix", "heif"}, h[8:12])
}

// box reads the head of a box of the file; size is that of its body, -1 for the rest of the file.
func (s *source) box() (kind string, size int64, err error) {
	head, err := s.head(8)
	if err != nil {
		return "", 0, err
	}
	size, taken := int64(binary.BigEndian.Uint32(head)), int64(8)
	switch size {
	case 0:
		return string(head[4:]), -1, nil
	case 1:
		long, err := s.take("a box's length", 8)
		if err != nil {
			return "", 0, err
		}
		size, taken = int64(binary.BigEndian.Uint64(long)), 16
	}
	if size < taken {
		return "", 0, errors.New("a box is shorter than its head")
	}
	return string(head[4:]), size - taken, nil
}

// eachBox calls f with the boxes of b, until one does not fit.
func eachBox(b []byte, f func(kind string, body []byte)) {
	for len(b) >= 8 {
		n := uint64(binary.BigEndian.Uint32(b))
		if n < 8 || n > uint64(len(b)) {
			return
		}
		f(string(b[4:8]), b[8:n])
		b = b[n:]
	}
}

// readMP4 reads QuickTime's metadata (keys and ilst) and user data, in the moov box or beside it.
func readMP4(s *source, t *Texts) error {
	for {
		kind, size, err := s.box()
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		switch {
		case kind == "moov":
			continue // its children follow
		case size < 0:
			return nil
		case kind == "meta" || kind == "udta":
			body, err := s.take("the metadata", size)
			if err != nil {
				return err
			}
			if kind == "meta" {
				readMeta(body, t)
			} else {
				readUserData(body, t)
			}
		default:
			if err := s.skip(size); err != nil {
				return err
			}
		}
	}
}

// readUserData reads a udta box: a meta box, or QuickTime's texts, each of a length and a language of two bytes.
func readUserData(b []byte, t *Texts) {
	eachBox(b, func(kind string, body []byte) {
		switch {
		case kind == "meta":
			readMeta(body, t)
		case kind[0] == 0xa9 && len(body) >= 4:
			n := int(binary.BigEndian.Uint16(body))
			t.tag(itemName(kind), asUTF8(body[4:4+min(n, len(body)-4)]))
		}
	})
}

// itemName is the name of a metadata item that has a code of four letters.
func itemName(kind string) string {
	switch kind {
	case "\xa9cmt":
		return "comment"
	case "\xa9des", "desc", "ldes":
		return "description"
	}
	return ""
}

// readMeta reads a meta box: QuickTime's starts with its children, ISO's with four bytes more. The items of ilst are named
// by the number of a key, by a code, or by a box of their own.
func readMeta(b []byte, t *Texts) {
	if len(b) >= 8 && string(b[4:8]) != "hdlr" {
		b = b[4:]
	}
	var keys []string
	var items []byte
	eachBox(b, func(kind string, body []byte) {
		switch {
		case kind == "ilst":
			items = body
		case kind == "keys" && len(body) >= 8:
			eachBox(body[8:], func(_ string, name []byte) { // the kind is the namespace
				key := string(name)
				keys = append(keys, key[strings.LastIndexByte(key, '.')+1:])
			})
		}
	})
	eachBox(items, func(kind string, item []byte) {
		name := itemName(kind)
		if n := binary.BigEndian.Uint32([]byte(kind)); n >= 1 && uint64(n) <= uint64(len(keys)) {
			name = keys[n-1]
		}
		eachBox(item, func(part string, body []byte) {
			switch {
			case part == "name" && len(body) >= 4:
				name = string(body[4:])
			case part == "data" && len(body) >= 8:
				text := asUTF8(body[8:])
				if binary.BigEndian.Uint32(body) == 2 {
					text = utf16Text(body[8:], false)
				}
				t.tag(name, text)
			}
		})
	})
}

// extent is a part of an item of a HEIF file.
type extent struct{ at, size uint64 }

// readHEIF reads the EXIF item of an AVIF or HEIC picture.
func readHEIF(s *source, t *Texts) error {
	for {
		kind, size, err := s.box()
		if err == io.EOF || err == nil && size < 0 {
			return nil
		} else if err != nil {
			return err
		}
		if kind != "meta" {
			if err := s.skip(size); err != nil {
				return err
			}
			continue
		}
		body, err := s.take("the index of items", size)
		if err != nil {
			return err
		}
		extents, inside := exifExtents(body)
		if inside == nil {
			if inside, err = s.gather(extents); err != nil {
				return err
			}
		}
		if len(inside) >= 4 { // how much stands before the TIFF header
			before := uint64(binary.BigEndian.Uint32(inside)) + 4
			readEXIF(inside[min(before, uint64(len(inside))):], t)
		}
		return nil
	}
}

// gather reads parts of the file that lie ahead.
func (s *source) gather(extents []extent) ([]byte, error) {
	var all []byte
	for _, e := range extents {
		if e.at < uint64(s.at) || e.at > 1<<62 || e.size > MaxText-uint64(len(all)) {
			return nil, errors.New("an item does not lie behind the index, or is too large")
		}
		if err := s.skip(int64(e.at) - s.at); err != nil {
			return nil, err
		}
		part, err := s.take("an item", int64(e.size))
		if err != nil {
			return nil, err
		}
		all = append(all, part...)
	}
	return all, nil
}

// exifExtents says where the first item of type Exif lies: parts of the file, or the bytes themselves where they are in
// the index (its idat box).
func exifExtents(b []byte) (extents []extent, inside []byte) {
	if len(b) < 4 {
		return nil, nil
	}
	var infos, places, data []byte
	eachBox(b[4:], func(kind string, body []byte) {
		switch kind {
		case "iinf":
			infos = body
		case "iloc":
			places = body
		case "idat":
			data = body
		}
	})
	id, ok := exifItem(infos)
	if !ok {
		return nil, nil
	}
	extents, method := itemExtents(places, id)
	if method != 1 {
		return extents, nil
	}
	for _, e := range extents {
		if e.at > uint64(len(data)) || e.size > uint64(len(data))-e.at || e.size > MaxText-uint64(len(inside)) {
			return nil, nil
		}
		inside = append(inside, data[e.at:e.at+e.size]...)
	}
	return nil, inside
}

// exifItem is the id of the first item of type Exif in an iinf box.
func exifItem(b []byte) (id uint64, ok bool) {
	if len(b) < 8 {
		return 0, false
	}
	head := 6
	if b[0] != 0 {
		head = 8
	}
	eachBox(b[head:], func(_ string, body []byte) { // version, flags, id, protection, type
		f := fields{b: body}
		version := f.next(1)
		f.next(3)
		width := 2
		if version >= 3 {
			width = 4
		}
		n := f.next(width)
		f.next(2)
		if kind := f.next(4); !f.short && !ok && version >= 2 && kind == 'E'<<24|'x'<<16|'i'<<8|'f' {
			id, ok = n, true
		}
	})
	return id, ok
}

// fields reads big endian numbers, zeros behind the end.
type fields struct {
	b     []byte
	short bool
}

func (f *fields) next(width int) (n uint64) {
	if width > len(f.b) {
		f.short, f.b = true, nil
		return 0
	}
	for _, c := range f.b[:width] {
		n = n<<8 | uint64(c)
	}
	f.b = f.b[width:]
	return n
}

// itemExtents is where an iloc box has an item, and how: method 0 in the file, 1 in idat.
func itemExtents(b []byte, id uint64) (extents []extent, method uint64) {
	f := fields{b: b}
	version := f.next(1)
	f.next(3)
	sizes, more := f.next(1), f.next(1)
	offsetWidth, lengthWidth, baseWidth, indexWidth := int(sizes>>4), int(sizes&15), int(more>>4), int(more&15)
	idWidth, counts := 2, 2
	if version >= 2 {
		idWidth, counts = 4, 4
	}
	if version == 0 {
		indexWidth = 0
	}
	for n := f.next(counts); n > 0 && !f.short; n-- {
		item, how := f.next(idWidth), uint64(0)
		if version > 0 {
			how = f.next(2) & 15
		}
		f.next(2)
		base := f.next(baseWidth)
		var list []extent
		for k := f.next(2); k > 0 && !f.short; k-- {
			f.next(indexWidth)
			at := base + f.next(offsetWidth)
			list = append(list, extent{at, f.next(lengthWidth)})
		}
		if item == id && !f.short {
			return list, how
		}
	}
	return nil, 0
}

// readGLB reads the extras of the asset in a binary glTF file.
func readGLB(s *source, t *Texts) error {
	head, err := s.head(20)
	if err != nil {
		return err
	}
	if string(head[16:]) != "JSON" {
		return errors.New("the first chunk is not JSON")
	}
	chunk, err := s.take("the JSON chunk", int64(binary.LittleEndian.Uint32(head[12:])))
	if err != nil {
		return err
	}
	return readAsset(bytes.TrimRight(chunk, " \x00"), t)
}
