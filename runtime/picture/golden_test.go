package picture

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"graphrun/internal/golden"
	"graphrun/types"
)

func TestGoldenLoadImage(t *testing.T) {
	for _, c := range golden.Numerics(t, "load_image") {
		t.Run(c.Name, func(t *testing.T) {
			var p struct {
				FileIn string `json:"file_in"`
			}
			c.Into(t, &p)
			data, err := os.ReadFile(filepath.Join(golden.Dir(t), "numerics", p.FileIn))
			if err != nil {
				t.Fatal(err)
			}
			img, mask, err := Decode(data)
			if err != nil {
				t.Fatal(err)
			}
			compareBytes(t, "image", img.Tensor, c.Tensor(t, "image_u8"), c.Tolerance)
			compareBytes(t, "mask", mask.Tensor, c.Tensor(t, "mask_u8"), c.Tolerance)
			for _, channel := range []string{"red", "green", "blue", "alpha"} {
				want, ok := c.Lookup(t, "mask_"+channel+"_u8")
				if !ok {
					continue
				}
				mask, err := DecodeChannel(data, channel)
				if err != nil {
					t.Fatal(err)
				}
				compareBytes(t, channel, mask.Tensor, want, c.Tolerance)
			}
		})
	}
}

// compareBytes holds values, which must be bytes over 255, to the bytes wanted.
func compareBytes(t *testing.T, name string, got types.Tensor, want golden.Tensor, tol golden.Tolerance) {
	t.Helper()
	if types.Elements(got.Shape) != len(want.Raw) || len(got.Shape) != len(want.Shape) {
		t.Fatalf("%s: have shape %v, want %v", name, got.Shape, want.Shape)
	}
	wanted := make([]float32, len(want.Raw))
	for i, b := range want.Raw {
		wanted[i] = float32(b) / 255
	}
	// 1 - alpha may differ from a byte over 255 in the last bit.
	golden.Close(t, name, got.Data, wanted, tol.MaxAbs/255+1e-7, 0)
}

func TestGoldenImageScale(t *testing.T) {
	for _, c := range golden.Numerics(t, "image_op") {
		var p struct {
			Node, Crop    string
			Method        Method `json:"upscale_method"`
			Width, Height int
		}
		c.Into(t, &p)
		if p.Node != "ImageScale" || p.Width == 0 || p.Height == 0 { // sizes left open are the node's business
			continue
		}
		in := c.Tensor(t, "image")
		img := types.Image{Tensor: types.Tensor{Shape: in.Shape, Data: in.F32()}}
		out, err := ResizeImage(context.Background(), img, p.Width, p.Height, p.Method, Crop(p.Crop))
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		golden.Close(t, c.Name, out.Data, c.Tensor(t, "out").F32(), c.Tolerance.ATol, c.Tolerance.RTol)
	}
}

func TestGoldenSavePNG(t *testing.T) {
	for _, c := range golden.Numerics(t, "save_png") {
		var p struct {
			FileOut string `json:"file_out"`
			Text    map[string]string
		}
		c.Into(t, &p)
		in := c.Tensor(t, "image")
		img := types.Image{Tensor: types.Tensor{Shape: in.Shape, Data: in.F32()}}
		want, err := os.ReadFile(filepath.Join(golden.Dir(t), "numerics", p.FileOut))
		if err != nil {
			t.Fatal(err)
		}
		var text []Text
		for _, key := range []string{"prompt", "workflow"} {
			if doc, ok := p.Text[key]; ok {
				// Through another spelling, so that the test sees PythonJSON work.
				var compact bytes.Buffer
				if err := json.Compact(&compact, []byte(doc)); err != nil {
					t.Fatal(err)
				}
				value, err := PythonJSON(compact.Bytes())
				if err != nil {
					t.Fatal(err)
				}
				text = append(text, Text{key, string(value)})
			}
		}
		var out bytes.Buffer
		if err := WritePNG(t.Context(), &out, img, 0, 4, text); err != nil {
			t.Fatal(err)
		}
		got, wanted := chunksBut(out.Bytes(), "IDAT"), chunksBut(want, "IDAT")
		if got != wanted {
			t.Errorf("chunks differ:\nhave %q\nwant %q", got, wanted)
		}
		if len(out.Bytes()) > len(want)*11/10 {
			t.Errorf("%d bytes, Pillow's level 4 gives %d", out.Len(), len(want))
		}
		back, _, err := Decode(out.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		compareBytes(t, c.Name, types.Tensor{Shape: back.Shape[1:], Data: back.Data}, c.Tensor(t, "pixels_u8"), c.Tolerance)
	}
}

// chunksBut lists a PNG file's chunks with their contents, except those of one kind.
func chunksBut(data []byte, kind string) (list string) {
	for at := 8; at+12 <= len(data); {
		n := int(data[at+2])<<8 | int(data[at+3])
		if string(data[at+4:at+8]) != kind {
			list += string(data[at+4:at+12+n]) + "\n"
		}
		at += 12 + n
	}
	return list
}

// ComfyUI's own animated files of one picture: ours have the same metadata in the same place.
func TestGoldenAnimationMetadata(t *testing.T) {
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(golden.Dir(t), "workflows/embed-samples", name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	img := types.Image{Tensor: types.NewTensor(1, 32, 64, 3)}
	sample := read("saveanimatedpng.png")
	var text []Text
	for _, chunk := range strings.Split(chunksBut(sample, "IDAT"), "\n") {
		if body, ok := strings.CutPrefix(chunk, "comf"); ok {
			key, value, _ := strings.Cut(body[:len(body)-4], "\x00")
			text = append(text, Text{key, value})
		}
	}
	if len(text) != 2 {
		t.Fatalf("the sample has %d texts", len(text))
	}
	var out bytes.Buffer
	if err := WriteAPNG(t.Context(), &out, img, 166, 4, text); err != nil {
		t.Fatal(err)
	}
	if have, want := chunksBut(out.Bytes(), "IDAT"), chunksBut(sample, "IDAT"); have != want {
		t.Errorf("chunks differ:\nhave %q\nwant %q", have, want)
	}
	out.Reset()
	if err := WriteWebP(t.Context(), &out, img, 166, Lossless, text); err != nil {
		t.Fatal(err)
	}
	have, want := riffChunks(out.Bytes()[12:]), riffChunks(read("saveanimatedwebp.webp")[12:])
	if len(have) != len(want) {
		t.Fatalf("%d chunks, want %d", len(have), len(want))
	}
	for i, c := range have {
		if c.kind != want[i].kind || c.kind != "VP8L" && !bytes.Equal(c.body, want[i].body) {
			t.Errorf("chunk %d: have %s %q\nwant %s %q", i, c.kind, c.body, want[i].kind, want[i].body)
		}
	}
}
