package container

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// readVorbis reads a Vorbis comment: vendor, then NAME=text, lengths little endian. What is cut short ends it.
func readVorbis(b []byte, t *Texts) {
	next := func() (text []byte, ok bool) {
		if len(b) < 4 {
			return nil, false
		}
		n := uint64(binary.LittleEndian.Uint32(b))
		if n > uint64(len(b)-4) {
			return nil, false
		}
		text, b = b[4:4+n], b[4+n:]
		return text, true
	}
	if _, ok := next(); !ok || len(b) < 4 {
		return
	}
	for b = b[4:]; ; { // the count says no more than the lengths do
		text, ok := next()
		if !ok {
			return
		}
		key, value, _ := bytes.Cut(text, []byte("="))
		t.tag(string(key), asUTF8(value))
	}
}

// tag keeps a named text of an audio or video file, in which a comment may hold everything.
func (t *Texts) tag(key, text string) {
	switch strings.ToLower(key) {
	case "comment", "description":
		t.comment(text)
	default:
		t.put(key, text)
	}
}

// readFLAC reads the Vorbis comment among the metadata blocks.
func readFLAC(s *source, t *Texts) error {
	if err := s.skip(4); err != nil {
		return err
	}
	for last := false; !last; {
		head, err := s.head(4)
		if err != nil {
			return err
		}
		last = head[0]&0x80 != 0
		size := int64(binary.BigEndian.Uint32(head) & 0xffffff)
		if head[0]&0x7f != 4 {
			if err := s.skip(size); err != nil {
				return err
			}
			continue
		}
		block, err := s.take("the comment block", size)
		if err != nil {
			return err
		}
		readVorbis(block, t)
	}
	return nil
}

// maxStreams is how many streams of an Ogg file are followed at once.
const maxStreams = 16

// stream is a logical stream of an Ogg file, of which the second packet is wanted.
type stream struct {
	packet  []byte
	packets int // finished
}

// readOgg reads the second packet of each stream: the comments of Vorbis, Opus and FLAC. Packets are cut into segments
// of up to 255 bytes, the last of each shorter, which lie in pages.
func readOgg(s *source, t *Texts) error {
	streams := map[uint32]*stream{}
	for open := true; open; {
		head, err := s.head(27)
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if string(head[:4]) != "OggS" {
			return errors.New("a page does not start with OggS")
		}
		sizes, err := s.take("a page's table", int64(head[26]))
		if err != nil {
			return err
		}
		serial := binary.LittleEndian.Uint32(head[14:])
		of := streams[serial]
		if of == nil {
			if len(streams) == maxStreams {
				return fmt.Errorf("need at most %d streams", maxStreams)
			}
			of = &stream{}
			streams[serial] = of
		}
		for _, n := range sizes {
			segment, err := s.take("a page", int64(n))
			if err != nil {
				return err
			}
			if of.packets == 1 {
				if of.packet = append(of.packet, segment...); len(of.packet) > MaxText {
					return tooLong("the comment packet", int64(len(of.packet)))
				}
			}
			if n == 255 {
				continue
			}
			if of.packets++; of.packets == 2 {
				of.comments(t)
			}
		}
		open = false
		for _, other := range streams {
			open = open || other.packets < 2
		}
	}
	return nil
}

// comments reads the stream's second packet.
func (of *stream) comments(t *Texts) {
	for _, magic := range []string{"\x03vorbis", "OpusTags"} {
		if rest, ok := bytes.CutPrefix(of.packet, []byte(magic)); ok {
			readVorbis(rest, t)
		}
	}
	if len(of.packet) > 4 && of.packet[0]&0x7f == 4 { // a block of FLAC
		readVorbis(of.packet[4:], t)
	}
	of.packet = nil
}

// readID3 reads the ID3v2 tag before the sound of an MP3 or FLAC file.
func readID3(s *source, t *Texts) error {
	head, err := s.head(10)
	if err != nil {
		return err
	}
	if string(head[:3]) != "ID3" {
		return nil // sound at once
	}
	tag, err := s.take("the ID3 tag", int64(synchsafe(head[6:])))
	if err != nil {
		return err
	}
	if err := readFrames(head[3], head[5], tag, t); err != nil {
		return err
	}
	if next, _ := s.r.Peek(4); string(next) == "fLaC" {
		return readFLAC(s, t)
	}
	return nil
}

// synchsafe is a number of seven bits a byte.
func synchsafe(b []byte) uint32 {
	return uint32(b[0]&0x7f)<<21 | uint32(b[1]&0x7f)<<14 | uint32(b[2]&0x7f)<<7 | uint32(b[3]&0x7f)
}

// readFrames reads TXXX and COMM frames of a tag of version 2, 3 or 4.
func readFrames(version, flags byte, tag []byte, t *Texts) error {
	if version < 2 || version > 4 {
		return fmt.Errorf("ID3 version: need 2.2 to 2.4, have 2.%d", version)
	}
	if flags&0x80 != 0 && version < 4 {
		tag = resync(tag)
	}
	if flags&0x40 != 0 && version > 2 && len(tag) >= 4 { // the extended header
		n := uint64(binary.BigEndian.Uint32(tag)) + 4
		if version == 4 {
			n = uint64(synchsafe(tag))
		}
		tag = tag[min(n, uint64(len(tag))):]
	}
	head := 10
	if version == 2 {
		head = 6
	}
	for frames := 0; len(tag) >= head && tag[0] != 0; frames++ {
		if frames == maxParts {
			return fmt.Errorf("need at most %d frames", maxParts)
		}
		var name string
		var size uint64
		var form byte
		switch version {
		case 2:
			name, size = string(tag[:3]), uint64(tag[3])<<16|uint64(tag[4])<<8|uint64(tag[5])
		case 3:
			name, size, form = string(tag[:4]), uint64(binary.BigEndian.Uint32(tag[4:])), tag[9]
		case 4:
			name, size, form = string(tag[:4]), uint64(synchsafe(tag[4:])), tag[9]
		}
		if size > uint64(len(tag)-head) {
			return fmt.Errorf("an ID3 frame: need %d bytes, have %d", size, len(tag)-head)
		}
		body := tag[head : uint64(head)+size]
		tag = tag[uint64(head)+size:]
		switch name {
		case "TXX", "TXXX", "COM", "COMM":
			body, err := unpackFrame(version, form, flags, body)
			if err != nil {
				return err
			}
			readFrame(name[0] == 'T', body, t)
		}
	}
	return nil
}

// unpackFrame takes a frame's own packing off; an encrypted one is empty.
func unpackFrame(version, form, flags byte, body []byte) ([]byte, error) {
	var grouped, packed, encrypted, sized, stuffed bool
	switch version {
	case 3:
		packed, encrypted, grouped = form&0x80 != 0, form&0x40 != 0, form&0x20 != 0
		sized = packed
	case 4:
		grouped, packed, encrypted, stuffed, sized = form&0x40 != 0, form&8 != 0, form&4 != 0, form&2 != 0 || flags&0x80 != 0, form&1 != 0
	}
	if encrypted {
		return nil, nil
	}
	skip := 0
	if grouped {
		skip++
	}
	if sized {
		skip += 4
	}
	body = body[min(skip, len(body)):]
	if stuffed {
		body = resync(body)
	}
	if packed {
		return inflate(body)
	}
	return body, nil
}

// resync takes out the zeros that ID3 puts after 0xff.
func resync(b []byte) []byte { return bytes.ReplaceAll(b, []byte{0xff, 0}, []byte{0xff}) }

// readFrame reads a named text or a comment: encoding, language of a comment, name, zero, text.
func readFrame(named bool, b []byte, t *Texts) {
	if len(b) < 1 {
		return
	}
	encoding, b := b[0], b[1:]
	if !named {
		b = b[min(3, len(b)):]
	}
	name, value := splitText(encoding, b)
	if named {
		t.tag(id3Text(encoding, name), id3Text(encoding, value))
	} else {
		t.comment(id3Text(encoding, value))
	}
}

// splitText cuts at the first zero character, which is of two bytes in UTF-16.
func splitText(encoding byte, b []byte) (name, value []byte) {
	if encoding == 1 || encoding == 2 {
		for i := 0; i+1 < len(b); i += 2 {
			if b[i] == 0 && b[i+1] == 0 {
				return b[:i], b[i+2:]
			}
		}
		return b, nil
	}
	name, value, _ = bytes.Cut(b, []byte{0})
	return name, value
}

func id3Text(encoding byte, b []byte) string {
	switch encoding {
	case 1, 2:
		return strings.TrimRight(utf16Text(b, false), "\x00")
	}
	return strings.TrimRight(asUTF8(b), "\x00")
}
