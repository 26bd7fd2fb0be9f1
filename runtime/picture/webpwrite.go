package picture

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"

	"github.com/HugoSmits86/nativewebp"

	"graphrun/types"
)

// Lossless is the quality of WebP files that keep every byte.
const Lossless = -1

// maxWebP is the longest side of a WebP picture.
const maxWebP = 16383

// WriteWebP writes a batch as an animation that runs for ever, each picture for so many milliseconds; a single one as a
// still file. The texts go into EXIF data as "key:value", the first as Model, the others as Make and the tags before it
// (workflow-conversion.md 10). quality is 0 to 100 as libwebp's, or Lossless: bytes are kept, those of alpha always.
func WriteWebP(ctx context.Context, w io.Writer, img types.Image, milliseconds, quality int, text []Text) error {
	if err := img.Check("the picture", 4); err != nil {
		return err
	}
	frames, height, width, channels := img.Shape[0], img.Shape[1], img.Shape[2], img.Shape[3]
	if channels != 3 && channels != 4 {
		return &Error{Format: "WebP", Need: "3 (RGB) or 4 (RGBA) channels", Have: fmt.Sprint(channels), Hint: "convert the picture to RGB first"}
	}
	if width > maxWebP || height > maxWebP {
		return &Error{Format: "WebP", Need: fmt.Sprintf("at most %d pixels a side", maxWebP), Have: fmt.Sprintf("%dx%d", width, height), Hint: "make the picture smaller or save it as PNG"}
	}
	header := make([]byte, 10)
	if channels == 4 {
		header[0] |= 0x10
	}
	if frames > 1 {
		header[0] |= 0x02
	}
	if len(text) > 0 {
		header[0] |= 0x08
	}
	putInt24(header[4:], width-1)
	putInt24(header[7:], height-1)
	body := appendChunk([]byte("WEBP"), "VP8X", header)
	if frames > 1 {
		body = appendChunk(body, "ANIM", make([]byte, 6)) // a transparent ground, no end
	}
	all, errs := make([][]byte, frames), make([]error, frames)
	err := bands(ctx, frames, func(low, high int) {
		for i := low; i < high && ctx.Err() == nil; i++ {
			all[i], errs[i] = webpBits(img, i, quality)
		}
	})
	if err := errors.Join(append(errs, err)...); err != nil {
		return err
	}
	for _, bits := range all {
		if frames > 1 {
			frame := make([]byte, 16, 16+len(bits))
			putInt24(frame[6:], width-1)
			putInt24(frame[9:], height-1)
			putInt24(frame[12:], min(max(milliseconds, 0), 1<<24-1))
			frame[15] = 2 // replaces what was there
			body = appendChunk(body, "ANMF", append(frame, bits...))
		} else {
			body = append(body, bits...)
		}
	}
	if len(text) > 0 {
		body = appendChunk(body, "EXIF", exifTexts(text))
	}
	if uint64(len(body)) > 1<<32-16 {
		return &Error{Format: "WebP", Need: "a file of at most 4 GiB", Have: fmt.Sprintf("%d bytes", len(body)), Hint: "save fewer pictures in one file"}
	}
	if _, err := w.Write(binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(len(body)))); err != nil {
		return err
	}
	_, err = w.Write(body)
	return err
}

// webpBits are the chunks of picture i.
func webpBits(img types.Image, i, quality int) (bits []byte, err error) {
	defer func() { // it runs where nobody else would catch what the encoder panics with
		if p := recover(); p != nil {
			err = &Error{Format: "WebP", Err: fmt.Errorf("the encoder: %v", p), Hint: "save it as PNG"}
		}
	}()
	height, width, c := img.Shape[1], img.Shape[2], img.Shape[3]
	pix := Bytes(img.Item(i).Data)
	m := image.NewNRGBA(image.Rect(0, 0, width, height))
	for p := range width * height {
		m.Pix[4*p+3] = 255
		if quality == Lossless {
			copy(m.Pix[4*p:4*p+4], pix[c*p:c*p+c])
		} else if c == 4 {
			m.Pix[4*p+1] = pix[4*p+3]
		}
	}
	if quality == Lossless {
		body, err := vp8l(m)
		return appendChunk(nil, "VP8L", body), err
	}
	if c == 4 { // alpha is the green of a lossless picture without its header of 5 bytes
		body, err := vp8l(m)
		if err != nil {
			return nil, err
		}
		bits = appendChunk(nil, "ALPH", append([]byte{1}, body[5:]...))
		rgb := make([]byte, 0, 3*width*height)
		for p := range width * height {
			rgb = append(rgb, pix[4*p:4*p+3]...)
		}
		pix = rgb
	}
	return appendChunk(bits, "VP8 ", encodeVP8(pix, width, height, min(max(quality, 0), 100))), nil
}

func vp8l(m *image.NRGBA) ([]byte, error) {
	var file bytes.Buffer
	if err := nativewebp.Encode(&file, m, nil); err != nil {
		return nil, err
	}
	for _, chunk := range riffChunks(file.Bytes()[12:]) {
		if chunk.kind == "VP8L" && len(chunk.body) > 5 {
			return chunk.body, nil
		}
	}
	return nil, &Error{Format: "WebP", Need: "a VP8L chunk from the encoder", Have: "none"}
}

func appendChunk(b []byte, kind string, body []byte) []byte {
	b = append(binary.LittleEndian.AppendUint32(append(b, kind...), uint32(len(body))), body...)
	return append(b, make([]byte, len(body)%2)...)
}

func putInt24(b []byte, v int) { b[0], b[1], b[2] = byte(v), byte(v>>8), byte(v>>16) }

// exifTexts is EXIF data with the texts as strings, tags falling from Model (0x110) on.
func exifTexts(text []Text) []byte {
	const model = 0x110
	big := binary.BigEndian
	n := len(text)
	directory := big.AppendUint16([]byte("MM\x00*\x00\x00\x00\x08"), uint16(n))
	start := len(directory) + 12*n + 4
	var values []byte
	for i := n - 1; i >= 0; i-- { // tags rise
		value := text[i].Key + ":" + text[i].Value + "\x00"
		directory = big.AppendUint16(directory, uint16(model-i))
		directory = big.AppendUint16(directory, 2)
		directory = big.AppendUint32(directory, uint32(len(value)))
		if len(value) <= 4 {
			directory = append(directory, (value + "\x00\x00\x00")[:4]...)
			continue
		}
		directory = big.AppendUint32(directory, uint32(start+len(values)))
		values = append(values, value...)
		values = append(values, make([]byte, len(value)%2)...)
	}
	directory = append(directory, 0, 0, 0, 0)
	return append([]byte("Exif\x00\x00"), append(directory, values...)...)
}
