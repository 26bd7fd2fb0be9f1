package picture

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"unicode/utf8"

	"graphrun/types"
)

const pngSignature = "\x89PNG\r\n\x1a\n"

// Text is one text chunk of a PNG file.
type Text struct{ Key, Value string }

// WritePNG writes picture i of a batch as an 8 bit RGB or RGBA PNG file with the text chunks right after IHDR.
// level is zlib's, 0 to 9: ComfyUI saves with 4 and previews with 1. Keys are 1 to 79 characters of Latin-1.
// Text in Latin-1 becomes a tEXt chunk, other text iTXt. A cancelled context ends it within a megabyte.
func WritePNG(ctx context.Context, w io.Writer, img types.Image, i, level int, text []Text) error {
	if n := len(img.Shape); n == 4 && img.Shape[3] == 1 {
		return &Error{Format: "PNG", Need: "3 (RGB) or 4 (RGBA) channels", Have: "1", Hint: "convert the picture to RGB first"}
	}
	return WriteDeepPNG(ctx, w, img, i, 8, level, text)
}

// WriteDeepPNG is WritePNG for 8 or 16 bits a channel, and for one channel (gray) too. Values are cut, not rounded.
func WriteDeepPNG(ctx context.Context, w io.Writer, img types.Image, i, bits, level int, text []Text) error {
	if err := startPNG(w, img, bits); err != nil {
		return err
	}
	for _, t := range text {
		kind, body, err := textChunk(t)
		if err == nil {
			err = writeChunk(w, kind, body)
		}
		if err != nil {
			return err
		}
	}
	if err := writePixels(ctx, idat{w: w}, img, i, bits, level); err != nil {
		return err
	}
	return writeChunk(w, "IEND", nil)
}

// startPNG checks the pictures and writes signature and header.
func startPNG(w io.Writer, img types.Image, bits int) error {
	if err := img.Check("the picture", 4); err != nil {
		return err
	}
	colour, known := map[int]byte{1: 0, 3: 2, 4: 6}[img.Shape[3]]
	if !known {
		return &Error{Format: "PNG", Need: "1 (gray), 3 (RGB) or 4 (RGBA) channels", Have: fmt.Sprint(img.Shape[3]), Hint: "convert the picture to RGB first"}
	}
	if _, err := io.WriteString(w, pngSignature); err != nil {
		return err
	}
	header := binary.BigEndian.AppendUint32(nil, uint32(img.Shape[2]))
	header = binary.BigEndian.AppendUint32(header, uint32(img.Shape[1]))
	return writeChunk(w, "IHDR", append(header, byte(bits), colour, 0, 0, 0))
}

// writePixels writes the data of picture i.
func writePixels(ctx context.Context, data idat, img types.Image, i, bits, level int) error {
	encode := Bytes
	if bits == 16 {
		encode = bigEndian16
	}
	channels := img.Shape[3]
	rows := pngRows{
		values: img.Item(i).Data, n: img.Shape[2] * channels, encode: encode, line: 1 + img.Shape[2]*channels*bits/8, bpp: channels * bits / 8, level: level,
	}
	buffer := bufio.NewWriterSize(data, 1<<20)
	if err := rows.deflate(ctx, buffer); err != nil {
		return err
	}
	return buffer.Flush()
}

// idat writes each piece of the picture's data as a chunk: with a sequence as fdAT, behind its next number.
type idat struct {
	w        io.Writer
	sequence *uint32
}

func (d idat) Write(p []byte) (int, error) {
	kind, body := "IDAT", p
	if d.sequence != nil {
		kind, body = "fdAT", append(binary.BigEndian.AppendUint32(nil, *d.sequence), p...)
		*d.sequence++
	}
	if err := writeChunk(d.w, kind, body); err != nil {
		return 0, err
	}
	return len(p), nil
}

func writeChunk(w io.Writer, kind string, body []byte) error {
	head := append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), kind...)
	sum := crc32.NewIEEE()
	sum.Write(head[4:])
	sum.Write(body)
	for _, part := range [][]byte{head, body, binary.BigEndian.AppendUint32(nil, sum.Sum32())} {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return nil
}

func textChunk(t Text) (kind string, body []byte, err error) {
	key, ok := latin1(t.Key)
	if !ok || len(key) == 0 || len(key) > 79 || bytes.IndexByte(key, 0) >= 0 {
		return "", nil, &Error{Format: "PNG", Need: "a text key of 1 to 79 Latin-1 characters", Have: fmt.Sprintf("%q", t.Key), Hint: "rename the key of extra_pnginfo"}
	}
	if value, ok := latin1(t.Value); ok {
		return "tEXt", append(append(key, 0), value...), nil
	}
	return "iTXt", append(append(key, 0, 0, 0, 0, 0), t.Value...), nil
}

func latin1(s string) ([]byte, bool) {
	out := make([]byte, 0, len(s))
	for _, r := range s {
		if r > 255 || r == utf8.RuneError {
			return nil, false
		}
		out = append(out, byte(r))
	}
	return out, true
}

// bigEndian16 is Bytes for 16 bits a value.
func bigEndian16(values []float32) []byte {
	out := make([]byte, 0, 2*len(values))
	for _, v := range values {
		if v != v {
			v = 0
		}
		out = binary.BigEndian.AppendUint16(out, uint16(min(max(v*65535, 0), 65535)))
	}
	return out
}

// predict is what a PNG filter expects from the bytes to the left (a), above (b) and above left (c).
func predict(filter, a, b, c byte) byte {
	switch filter {
	case 1:
		return a
	case 2:
		return b
	case 3:
		return byte((int(a) + int(b)) / 2)
	case 4:
		pa, pb := int(b)-int(c), int(a)-int(c)
		pc := pa + pb
		pa, pb, pc = max(pa, -pa), max(pb, -pb), max(pc, -pc)
		if pa <= pb && pa <= pc {
			return a
		} else if pb <= pc {
			return b
		}
		return c
	}
	return 0
}
