package workflow

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"unicode/utf8"

	"graphrun/graph"
)

const pngSignature = "\x89PNG\r\n\x1a\n"

// readPNG reads the prompt and the workflow that ComfyUI keeps in a PNG.
func readPNG(r io.Reader) (*File, error) {
	texts, err := readTexts(r, func(key string) bool { return key == "prompt" || key == "workflow" })
	if err != nil {
		return nil, &graph.Error{Kind: graph.KindBadFile, Err: err, Have: "a damaged PNG", Hint: "use the file as it was saved"}
	}
	f := &File{}
	var problem error
	for _, key := range []string{"prompt", "workflow"} {
		if text, ok := texts[key]; ok {
			if err := f.add([]byte(text)); err != nil {
				problem = fmt.Errorf("the PNG's %s: %w", key, err)
			}
		}
	}
	if f.prompt == nil && f.ui == nil {
		if problem != nil {
			return nil, problem
		}
		return nil, &graph.Error{
			Kind: graph.KindBadFile, Need: "a PNG with a prompt or workflow in its text chunks", Have: "a PNG without",
			Hint: "use a picture as ComfyUI or graphrun saved it: other programs drop the text",
		}
	}
	return f, nil
}

// readTexts returns the texts of a PNG's chunks tEXt, zTXt, iTXt and comf (of animated pictures) whose keyword is
// wanted; of several the first. Lengths and checksums are checked, texts are at most MaxBytes long, also unpacked;
// all else is passed over.
func readTexts(r io.Reader, wanted func(key string) bool) (map[string]string, error) {
	texts := map[string]string{}
	if _, err := io.CopyN(io.Discard, r, int64(len(pngSignature))); err != nil {
		return nil, err
	}
	for {
		var head [8]byte
		if n, err := io.ReadFull(r, head[:]); err == io.EOF {
			return texts, nil
		} else if err != nil {
			return nil, fmt.Errorf("the file ends within a chunk: need 12 bytes, have %d", n)
		}
		size, kind := int64(binary.BigEndian.Uint32(head[:])), string(head[4:])
		switch kind {
		case "tEXt", "zTXt", "iTXt", "comf":
			if size > MaxBytes {
				return nil, fmt.Errorf("text chunk: need at most %d MB, have %d MB", MaxBytes>>20, size>>20)
			}
			chunk, err := io.ReadAll(io.LimitReader(r, size+4))
			if err != nil || int64(len(chunk)) < size+4 {
				return nil, cut(kind, size, int64(len(chunk)), err)
			}
			body, sum := chunk[:size], binary.BigEndian.Uint32(chunk[size:])
			key, text, err := readText(kind, body, wanted)
			if err == nil && wanted(key) && crc32.Update(crc32.ChecksumIEEE(head[4:]), crc32.IEEETable, body) != sum {
				err = fmt.Errorf("its checksum is wrong")
			}
			if err != nil {
				return nil, fmt.Errorf("text chunk %q: %w", key, err)
			}
			if _, again := texts[key]; wanted(key) && !again {
				texts[key] = text
			}
		case "IEND":
			return texts, nil
		default:
			if n, err := io.CopyN(io.Discard, r, size+4); err != nil {
				return nil, cut(kind, size, n, err)
			}
		}
	}
}

// cut says that a chunk of size bytes and a checksum ended after n bytes.
func cut(kind string, size, n int64, err error) error {
	if err != nil && err != io.EOF {
		return err
	}
	return fmt.Errorf("the file ends within a %q chunk: need %d bytes, have %d", kind, size+4, n)
}

// readText reads one text chunk; only the keyword if it is not wanted.
func readText(kind string, body []byte, wanted func(string) bool) (key, text string, err error) {
	head, body, ok := bytes.Cut(body, []byte{0})
	if !ok || len(head) > 79 {
		return "", "", fmt.Errorf("it has no keyword")
	}
	key = string(head)
	if !wanted(key) {
		return key, "", nil
	}
	packed := kind == "zTXt"
	method := byte(0)
	switch {
	case kind == "zTXt":
		if len(body) < 1 {
			return key, "", io.ErrUnexpectedEOF
		}
		method, body = body[0], body[1:]
	case kind == "iTXt": // flag, method, language, 0, translated keyword, 0
		if len(body) < 2 {
			return key, "", io.ErrUnexpectedEOF
		}
		packed, method = body[0] == 1, body[1]
		parts := bytes.SplitN(body[2:], []byte{0}, 3)
		if len(parts) < 3 {
			return key, "", io.ErrUnexpectedEOF
		}
		body = parts[2]
	}
	if packed {
		if method != 0 {
			return key, "", fmt.Errorf("need compression method 0, have %d", method)
		}
		if body, err = inflate(body); err != nil {
			return key, "", err
		}
	}
	return key, asUTF8(body), nil
}

// inflate unpacks zlib data of at most MaxBytes.
func inflate(packed []byte) ([]byte, error) {
	z, err := zlib.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(z, MaxBytes+1))
	if err == nil && len(body) > MaxBytes {
		err = fmt.Errorf("it unpacks to more than %d MB", MaxBytes>>20)
	}
	return body, err
}

// asUTF8 takes text as UTF-8, as ComfyUI writes it, or else as Latin-1, as the PNG standard has it.
func asUTF8(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	var s strings.Builder
	for _, c := range b {
		s.WriteRune(rune(c))
	}
	return s.String()
}
