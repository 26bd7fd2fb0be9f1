package picture

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"

	"graphrun/types"
)

// WriteAPNG writes a batch as an animation that runs for ever, each picture for so many milliseconds; a single one as a
// still PNG. The texts come as chunks of type comf (ComfyUI's own) behind the first picture. The rest is as in WritePNG.
func WriteAPNG(ctx context.Context, w io.Writer, img types.Image, milliseconds, level int, text []Text) error {
	if err := startPNG(w, img, 8); err != nil {
		return err
	}
	frames := img.Shape[0]
	if frames > 1 {
		if err := writeChunk(w, "acTL", binary.BigEndian.AppendUint64(nil, uint64(frames)<<32)); err != nil {
			return err
		}
	}
	sequence := uint32(0)
	for i := range frames {
		data := idat{w: w}
		if frames > 1 {
			if err := writeChunk(w, "fcTL", frameControl(sequence, img.Shape[2], img.Shape[1], milliseconds)); err != nil {
				return err
			}
			if sequence++; i > 0 {
				data.sequence = &sequence
			}
		}
		if err := writePixels(ctx, data, img, i, 8, level); err != nil {
			return err
		}
		if i == 0 {
			if err := writeComf(w, text); err != nil {
				return err
			}
		}
	}
	return writeChunk(w, "IEND", nil)
}

func writeComf(w io.Writer, text []Text) error {
	for _, t := range text {
		key, ok := latin1(t.Key)
		value, fits := latin1(t.Value)
		if !ok || !fits {
			return &Error{Format: "PNG", Need: "texts of Latin-1 characters", Have: fmt.Sprintf("%q", t.Key)}
		}
		if err := writeChunk(w, "comf", append(append(key, 0), value...)); err != nil {
			return err
		}
	}
	return nil
}

// frameControl is the fcTL chunk of a picture that replaces all that was there.
func frameControl(sequence uint32, width, height, milliseconds int) []byte {
	b := binary.BigEndian.AppendUint32(nil, sequence)
	for _, v := range []int{width, height, 0, 0} {
		b = binary.BigEndian.AppendUint32(b, uint32(v))
	}
	b = binary.BigEndian.AppendUint16(b, uint16(min(max(milliseconds, 0), 1<<16-1)))
	return append(binary.BigEndian.AppendUint16(b, 1000), 0, 0)
}
