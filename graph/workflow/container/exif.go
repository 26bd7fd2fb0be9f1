package container

import (
	"bytes"
	"encoding/binary"
	"io"
	"strings"
	"unicode/utf16"
)

// Tags of EXIF that are followed or whose text has a form of its own.
const (
	tagEXIF        = 0x8769 // the offset of the directory with UserComment
	tagUserComment = 0x9286
)

// maxDirectories bounds the walk over EXIF's directories.
const maxDirectories = 8

// readEXIF reads the texts of EXIF data, which is a small TIFF file of either byte order, with or without "Exif\0\0"
// before it: ComfyUI writes "prompt:{...}" into Model and "workflow:{...}" into Make and the tags below, A1111 its
// parameters into UserComment. Fields that point outside the data are left out.
func readEXIF(data []byte, t *Texts) {
	data = bytes.TrimPrefix(data, []byte("Exif\x00\x00"))
	if len(data) < 8 {
		return
	}
	var order binary.ByteOrder
	switch string(data[:4]) {
	case "II*\x00":
		order = binary.LittleEndian
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return
	}
	size := uint64(len(data))
	todo := []uint32{order.Uint32(data[4:])}
	for seen := 0; len(todo) > 0 && seen < maxDirectories; seen++ {
		at := uint64(todo[0])
		todo = todo[1:]
		if at < 8 || at+2 > size {
			continue
		}
		n := uint64(order.Uint16(data[at:]))
		for at += 2; n > 0 && at+12 <= size; at, n = at+12, n-1 {
			tag, kind, count := order.Uint16(data[at:]), order.Uint16(data[at+2:]), uint64(order.Uint32(data[at+4:]))
			if tag == tagEXIF {
				todo = append(todo, order.Uint32(data[at+8:]))
			}
			if kind != 1 && kind != 2 && kind != 7 && kind != 129 { // bytes, ASCII, undefined, UTF-8
				continue
			}
			from := at + 8
			if count > 4 {
				from = uint64(order.Uint32(data[at+8:]))
			}
			if from+count > size {
				continue
			}
			value := data[from : from+count]
			if tag == tagUserComment {
				t.comment(userComment(value))
			} else {
				t.comment(asUTF8(bytes.TrimRight(value, "\x00")))
			}
		}
		if n == 0 && at+4 <= size {
			todo = append(todo, order.Uint32(data[at:]))
		}
	}
}

// userComment is EXIF's UserComment, whose first 8 bytes name its characters. Those of "UNICODE" are UTF-16 of the
// order in which the text has more zeros where Latin letters have them, as writers do not agree on one.
func userComment(b []byte) string {
	if len(b) < 8 {
		return ""
	}
	charset, b := string(b[:8]), b[8:]
	if !strings.HasPrefix(charset, "UNICODE") {
		return asUTF8(b)
	}
	zeros := [2]int{}
	for i, c := range b {
		if c == 0 {
			zeros[i&1]++
		}
	}
	return utf16Text(b, zeros[0] < zeros[1])
}

// utf16Text reads UTF-16, by its byte order mark or else little endian or not.
func utf16Text(b []byte, little bool) string {
	var order binary.ByteOrder = binary.BigEndian
	if bytes.HasPrefix(b, []byte{0xff, 0xfe}) {
		little, b = true, b[2:]
	} else if bytes.HasPrefix(b, []byte{0xfe, 0xff}) {
		little, b = false, b[2:]
	}
	if little {
		order = binary.LittleEndian
	}
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = order.Uint16(b[2*i:])
	}
	return string(utf16.Decode(units))
}

// readWebP reads the EXIF chunk of a WebP picture, animated or not. Chunks of odd size are followed by one byte.
func readWebP(s *source, t *Texts) error {
	if err := s.skip(12); err != nil {
		return err
	}
	for {
		head, err := s.head(8)
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		size := int64(binary.LittleEndian.Uint32(head[4:]))
		if string(head[:4]) == "EXIF" {
			chunk, err := s.take("the EXIF chunk", size)
			if err != nil {
				return err
			}
			if readEXIF(chunk, t); t.Found() {
				return nil
			}
			size &= 1
		} else {
			size += size & 1
		}
		if err := s.skip(size); err != nil {
			return err
		}
	}
}

// readJPEG reads the EXIF and comment segments of a JPEG picture.
func readJPEG(s *source, t *Texts) error {
	if err := s.skip(2); err != nil {
		return err
	}
	for {
		head, err := s.head(2)
		if err != nil {
			return err
		}
		for head[0] == 0xff && head[1] == 0xff { // fill bytes
			next, err := s.head(1)
			if err != nil {
				return err
			}
			head[1] = next[0]
		}
		switch marker := head[1]; {
		case head[0] != 0xff || marker == 0xda || marker == 0xd9: // the picture itself, or its end
			return nil
		case marker == 1 || marker >= 0xd0 && marker < 0xd8: // without a body
			continue
		}
		size, err := s.head(2)
		if err != nil {
			return err
		}
		body, err := s.take("a segment", int64(binary.BigEndian.Uint16(size))-2)
		if err != nil {
			return err
		}
		switch {
		case head[1] == 0xe1 && bytes.HasPrefix(body, []byte("Exif\x00\x00")):
			readEXIF(body, t)
		case head[1] == 0xfe:
			t.comment(asUTF8(body))
		}
	}
}
