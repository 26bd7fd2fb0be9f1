package container

import (
	"errors"
	"io"
	"math/bits"
	"strings"
)

// Elements of Matroska.
const (
	idSegment   = 0x18538067
	idCluster   = 0x1f43b675
	idTags      = 0x1254c367
	idTag       = 0x7373
	idSimpleTag = 0x67c8
	idTagName   = 0x45a3
	idTagString = 0x4487
)

// readMatroska reads the tags of a WEBM or Matroska file, wherever they stand.
func readMatroska(s *source, t *Texts) error {
	for {
		id, size, err := s.element()
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		switch {
		case id == idSegment || id == idCluster && size < 0:
			continue // its children follow
		case size < 0:
			return errors.New("an element has no length")
		case id == idTags:
			body, err := s.take("the tags", size)
			if err != nil {
				return err
			}
			readTags(body, t)
		default:
			if err := s.skip(size); err != nil {
				return err
			}
		}
	}
}

// element reads the head of an element; size is -1 where it is not known, as in live streams.
func (s *source) element() (id uint64, size int64, err error) {
	first, err := s.head(1)
	if err != nil {
		return 0, 0, err
	}
	id, err = s.vint(first[0], false)
	if err != nil {
		return 0, 0, err
	}
	if first, err = s.take("an element's length", 1); err != nil {
		return 0, 0, err
	}
	n, err := s.vint(first[0], true)
	if err != nil {
		return 0, 0, err
	}
	if width := bits.LeadingZeros8(first[0]) + 1; n == 1<<(7*width)-1 {
		return id, -1, nil
	}
	return id, int64(n), nil
}

// vint reads the rest of a number whose first byte says its length by its zeros; value takes the marker away.
func (s *source) vint(first byte, value bool) (uint64, error) {
	width := bits.LeadingZeros8(first) + 1
	if width > 8 || !value && width > 4 {
		return 0, errors.New("a number is longer than 8 bytes, or an id than 4")
	}
	rest, err := s.take("a number", int64(width-1))
	if err != nil {
		return 0, err
	}
	n := uint64(first)
	if value {
		n &= 1<<(8-width) - 1
	}
	for _, c := range rest {
		n = n<<8 | uint64(c)
	}
	return n, nil
}

// eachElement calls f with the elements of b, until one does not fit.
func eachElement(b []byte, f func(id uint64, body []byte)) {
	number := func(value bool) (n uint64, ok bool) {
		if len(b) == 0 {
			return 0, false
		}
		width := bits.LeadingZeros8(b[0]) + 1
		if width > 8 || width > len(b) {
			return 0, false
		}
		n = uint64(b[0])
		if value {
			n &= 1<<(8-width) - 1
		}
		for _, c := range b[1:width] {
			n = n<<8 | uint64(c)
		}
		b = b[width:]
		return n, true
	}
	for {
		id, ok := number(false)
		size, fits := number(true)
		if !ok || !fits || size > uint64(len(b)) {
			return
		}
		f(id, b[:size])
		b = b[size:]
	}
}

func readTags(b []byte, t *Texts) {
	eachElement(b, func(id uint64, tag []byte) {
		if id != idTag {
			return
		}
		eachElement(tag, func(id uint64, simple []byte) {
			if id != idSimpleTag {
				return
			}
			var name, text string
			eachElement(simple, func(id uint64, value []byte) {
				switch id {
				case idTagName:
					name = strings.TrimRight(string(value), "\x00")
				case idTagString:
					text = asUTF8(value)
				}
			})
			t.tag(name, text)
		})
	})
}
