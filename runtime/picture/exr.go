package picture

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"graphrun/types"
)

// Chromaticities are the colours that a picture's red, green and blue stand for, and its white, as CIE x and y.
type Chromaticities [8]float32

// Rec709 and Rec2020 with the white D65.
var (
	Rec709  = Chromaticities{0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290}
	Rec2020 = Chromaticities{0.708, 0.292, 0.170, 0.797, 0.131, 0.046, 0.3127, 0.3290}
)

// WriteEXR writes picture i of a batch as an OpenEXR file of float32: one channel as Y, three as RGB, four as RGBA. Values
// are stored as they are: they should be linear. Lines are compressed by sixteens (ZIP). Texts become attributes.
// https://openexr.com/en/latest/OpenEXRFileLayout.html
func WriteEXR(ctx context.Context, w io.Writer, img types.Image, i int, colours Chromaticities, text []Text) error {
	if err := img.Check("the picture", 4); err != nil {
		return err
	}
	height, width, channels := img.Shape[1], img.Shape[2], img.Shape[3]
	names := map[int]string{1: "Y", 3: "BGR", 4: "ABGR"}[channels] // in the file by name
	if names == "" {
		return &Error{Format: "EXR", Need: "1 (gray), 3 (RGB) or 4 (RGBA) channels", Have: fmt.Sprint(channels), Hint: "convert the picture to RGB first"}
	}
	const linesPerChunk = 16
	var chunks [][]byte
	values := img.Item(i).Data
	for y := 0; y < height; y += linesPerChunk {
		if err := ctx.Err(); err != nil {
			return err
		}
		chunk, err := exrChunk(values, y, min(linesPerChunk, height-y), width, channels)
		if err != nil {
			return err
		}
		chunks = append(chunks, chunk)
	}
	head, err := exrHeader(width, height, names, colours, text)
	if err != nil {
		return err
	}
	offset := uint64(len(head) + 8*len(chunks))
	for _, c := range chunks {
		head = binary.LittleEndian.AppendUint64(head, offset)
		offset += uint64(len(c))
	}
	for _, part := range append([][]byte{head}, chunks...) {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return nil
}

// exrHeader is the magic number, the version and the attributes.
func exrHeader(width, height int, names string, colours Chromaticities, text []Text) ([]byte, error) {
	le := binary.LittleEndian
	version := uint32(2)
	var body []byte
	attribute := func(name, kind string, value []byte) {
		if len(name) > 31 {
			version |= 0x400 // long names
		}
		body = append(append(body, name...), 0)
		body = append(append(body, kind...), 0)
		body = append(le.AppendUint32(body, uint32(len(value))), value...)
	}
	floats := func(list ...float32) (out []byte) {
		for _, f := range list {
			out = le.AppendUint32(out, math.Float32bits(f))
		}
		return out
	}
	var channels []byte
	for _, n := range names {
		channels = append(channels, byte(n), 0)
		channels = le.AppendUint32(channels, 2) // float32
		channels = append(channels, 0, 0, 0, 0) // not perceptually linear
		channels = le.AppendUint32(le.AppendUint32(channels, 1), 1)
	}
	window := le.AppendUint32(le.AppendUint32(make([]byte, 8), uint32(width-1)), uint32(height-1))
	attribute("channels", "chlist", append(channels, 0))
	attribute("chromaticities", "chromaticities", floats(colours[:]...))
	attribute("compression", "compression", []byte{3}) // ZIP
	attribute("dataWindow", "box2i", window)
	attribute("displayWindow", "box2i", window)
	attribute("lineOrder", "lineOrder", []byte{0})
	attribute("pixelAspectRatio", "float", floats(1))
	attribute("screenWindowCenter", "v2f", floats(0, 0))
	attribute("screenWindowWidth", "float", floats(1))
	for _, t := range text {
		if len(t.Key) == 0 || len(t.Key) > 255 || bytes.IndexByte([]byte(t.Key), 0) >= 0 {
			return nil, &Error{Format: "EXR", Need: "a text key of 1 to 255 bytes", Have: fmt.Sprintf("%q", t.Key), Hint: "rename the key of extra_pnginfo"}
		}
		attribute(t.Key, "string", []byte(t.Value))
	}
	head := le.AppendUint32(le.AppendUint32(nil, 20000630), version)
	return append(append(head, body...), 0), nil
}

// exrChunk holds n lines from y on: of each line, channel after channel in the order of their names, which is that of
// the picture from the last to the first. The bytes of the same weight lie together, each as the difference to the one
// before; what does not get smaller stays as it is.
func exrChunk(values []float32, y, n, width, channels int) ([]byte, error) {
	raw := make([]byte, 0, 4*n*width*channels)
	for row := y; row < y+n; row++ {
		line := values[row*width*channels:][:width*channels]
		for c := channels - 1; c >= 0; c-- {
			for x := range width {
				raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(line[x*channels+c]))
			}
		}
	}
	split := make([]byte, len(raw))
	half := (len(raw) + 1) / 2
	for i, b := range raw {
		split[i/2+i%2*half] = b
	}
	for i := len(split) - 1; i > 0; i-- {
		split[i] -= split[i-1] - 128
	}
	var packed bytes.Buffer
	z := zlib.NewWriter(&packed)
	_, err := z.Write(split)
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		return nil, err
	}
	data := packed.Bytes()
	if len(data) >= len(raw) {
		data = raw
	}
	head := binary.LittleEndian.AppendUint32(nil, uint32(y))
	return append(binary.LittleEndian.AppendUint32(head, uint32(len(data))), data...), nil
}
