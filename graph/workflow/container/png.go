package container

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

const pngSignature = "\x89PNG\r\n\x1a\n"

// readPNG reads the chunks tEXt, zTXt, iTXt, eXIf and comf (of ComfyUI's animated pictures). Lengths are checked, and
// the checksums of chunks whose text is kept; all else is passed over.
func readPNG(s *source, t *Texts) error {
	if err := s.skip(int64(len(pngSignature))); err != nil {
		return err
	}
	for {
		head, err := s.head(8)
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		size, kind := int64(binary.BigEndian.Uint32(head)), string(head[4:])
		switch kind {
		case "tEXt", "zTXt", "iTXt", "comf", "eXIf":
			chunk, err := s.take("text chunk", size)
			if err != nil {
				return err
			}
			sum, err := s.take("a text chunk's checksum", 4)
			if err != nil {
				return err
			}
			if kind == "eXIf" {
				readEXIF(chunk, t)
			} else if err := readText(kind, chunk, binary.BigEndian.Uint32(sum), t); err != nil {
				return err
			}
		case "IEND":
			return nil
		default:
			if err := s.skip(size + 4); err != nil {
				return fmt.Errorf("in a %q chunk: %w", kind, err)
			}
		}
	}
}

// readText reads one text chunk; only the keyword if it is not wanted.
func readText(kind string, chunk []byte, sum uint32, t *Texts) error {
	name, body, ok := bytes.Cut(chunk, []byte{0})
	key := string(name)
	if !ok || len(name) > 79 {
		return errors.New("text chunk: it has no keyword")
	}
	if !wanted(key) {
		return nil
	}
	about := func(err error) error { return fmt.Errorf("text chunk %q: %w", key, err) }
	if crc32.Update(crc32.ChecksumIEEE([]byte(kind)), crc32.IEEETable, chunk) != sum {
		return about(errors.New("its checksum is wrong"))
	}
	packed, method := kind == "zTXt", byte(0)
	switch {
	case kind == "zTXt":
		if len(body) < 1 {
			return about(io.ErrUnexpectedEOF)
		}
		method, body = body[0], body[1:]
	case kind == "iTXt": // flag, method, language, 0, translated keyword, 0
		if len(body) < 2 {
			return about(io.ErrUnexpectedEOF)
		}
		packed, method = body[0] == 1, body[1]
		parts := bytes.SplitN(body[2:], []byte{0}, 3)
		if len(parts) < 3 {
			return about(io.ErrUnexpectedEOF)
		}
		body = parts[2]
	}
	if packed {
		if method != 0 {
			return about(fmt.Errorf("need compression method 0, have %d", method))
		}
		var err error
		if body, err = inflate(body); err != nil {
			return about(err)
		}
	}
	t.put(key, asUTF8(body))
	return nil
}

// inflate unpacks zlib data of at most MaxText.
func inflate(packed []byte) ([]byte, error) {
	z, err := zlib.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(z, MaxText+1))
	if err == nil && len(body) > MaxText {
		err = fmt.Errorf("it unpacks to more than %d MB", MaxText>>20)
	}
	return body, err
}
