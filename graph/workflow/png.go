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

// parsePNG reads the prompt and the workflow that ComfyUI keeps in a PNG.
func parsePNG(data []byte) (*File, error) {
	texts, err := readTexts(data, func(key string) bool { return key == "prompt" || key == "workflow" })
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
// wanted; of several the first. Lengths and checksums are checked, a compressed text grows to MaxBytes at most.
func readTexts(data []byte, wanted func(key string) bool) (map[string]string, error) {
	texts := map[string]string{}
	for rest := data[len(pngSignature):]; len(rest) > 0; {
		if len(rest) < 12 {
			return nil, fmt.Errorf("the file ends within a chunk: need 12 bytes, have %d", len(rest))
		}
		size, kind := int64(binary.BigEndian.Uint32(rest)), string(rest[4:8])
		if size > int64(len(rest)-12) {
			return nil, fmt.Errorf("the file ends within a %q chunk: need %d bytes, have %d", kind, size, len(rest)-12)
		}
		body, sum := rest[8:8+size], binary.BigEndian.Uint32(rest[8+size:])
		switch kind {
		case "tEXt", "zTXt", "iTXt", "comf":
			key, text, err := readText(kind, body, wanted)
			if err == nil && wanted(key) && crc32.ChecksumIEEE(rest[4:8+size]) != sum {
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
		}
		rest = rest[12+size:]
	}
	return texts, nil
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
