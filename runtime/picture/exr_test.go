package picture

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"image/png"
	"io"
	"math"
	"slices"
	"testing"

	"graphrun/types"
)

// TestWriteDeepPNG reads 16 bits back with Go's own decoder.
func TestWriteDeepPNG(t *testing.T) {
	for channels, model := range map[int]string{1: "*image.Gray16", 3: "*image.RGBA64", 4: "*image.NRGBA64"} {
		img := types.Image{Tensor: types.NewTensor(1, 5, 7, channels)}
		for i := range img.Data {
			img.Data[i] = float32(i)/100 - 0.1
		}
		img.Data[len(img.Data)-1] = float32(math.NaN())
		var b bytes.Buffer
		if err := WriteDeepPNG(t.Context(), &b, img, 0, 16, 4, []Text{{"prompt", "{}"}}); err != nil {
			t.Fatal(err)
		}
		got, err := png.Decode(&b)
		if err != nil {
			t.Fatal(err)
		}
		if have := fmt.Sprintf("%T", got); have != model {
			t.Errorf("%d channels: %s, want %s", channels, have, model)
		}
		r, _, _, _ := got.At(3, 1).RGBA()
		if want := uint32(img.Data[(7+3)*channels] * 65535); channels < 4 && r != want {
			t.Errorf("%d channels: %d, want %d", channels, r, want)
		}
	}
	if err := WriteDeepPNG(t.Context(), io.Discard, types.Image{Tensor: types.NewTensor(1, 2, 2, 2)}, 0, 8, 4, nil); err == nil {
		t.Error("two channels pass")
	}
}

// TestWriteEXR reads a file back by a reader of its own: lines, offsets, and values to the bit. OpenEXR 3.5.3 read these files
// the same.
func TestWriteEXR(t *testing.T) {
	for channels := range 5 {
		img := types.Image{Tensor: types.NewTensor(1, 35, 9, channels)}
		for i := range img.Data {
			img.Data[i] = float32(math.Sin(float64(i))) * 3
		}
		var b bytes.Buffer
		err := WriteEXR(t.Context(), &b, img, 0, Rec709, []Text{{"prompt", "{}"}, {"a_key_of_more_than_thirty_one_letters", "é"}})
		if channels == 0 || channels == 2 {
			if err == nil {
				t.Errorf("%d channels pass", channels)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if have := readEXR(t, b.Bytes(), 9, 35, channels); !slices.Equal(have, img.Data) {
			t.Errorf("%d channels: values differ", channels)
		}
	}
}

func readEXR(t *testing.T, file []byte, width, height, channels int) []float32 {
	t.Helper()
	le := binary.LittleEndian
	if le.Uint32(file) != 20000630 || le.Uint32(file[4:])&0xff != 2 {
		t.Fatal("no EXR file")
	}
	at := 8
	text := func() string {
		n := bytes.IndexByte(file[at:], 0)
		at += n + 1
		return string(file[at-n-1 : at-1])
	}
	attributes := map[string][]byte{}
	for name := text(); name != ""; name = text() {
		text()
		n := int(le.Uint32(file[at:]))
		attributes[name] = file[at+4 : at+4+n]
		at += 4 + n
	}
	if string(attributes["prompt"]) != "{}" || string(attributes["a_key_of_more_than_thirty_one_letters"]) != "é" || le.Uint32(file[4:])&0x400 == 0 {
		t.Errorf("attributes %q", attributes)
	}
	out := make([]float32, width*height*channels)
	for k := range (height + 15) / 16 {
		chunk := file[le.Uint64(file[at+8*k:]):]
		y, size := int(le.Uint32(chunk)), int(le.Uint32(chunk[4:]))
		n := min(16, height-y)
		raw := chunk[8 : 8+size]
		if size < 4*n*width*channels {
			z, err := zlib.NewReader(bytes.NewReader(raw))
			if err != nil {
				t.Fatal(err)
			}
			packed, err := io.ReadAll(z)
			if err != nil {
				t.Fatal(err)
			}
			for i := 1; i < len(packed); i++ {
				packed[i] += packed[i-1] - 128
			}
			raw = make([]byte, len(packed))
			for i := range raw {
				raw[i] = packed[i/2+i%2*((len(raw)+1)/2)]
			}
		}
		for i := range n * width * channels {
			line, c, x := i/(width*channels), i/width%channels, i%width
			out[((y+line)*width+x)*channels+channels-1-c] = math.Float32frombits(le.Uint32(raw[4*i:]))
		}
	}
	return out
}
