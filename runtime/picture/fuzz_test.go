package picture

import (
	"bytes"
	"encoding/json"
	"image"
	"image/color"
	"image/gif"
	"image/png"
	"os"
	"path/filepath"
	"testing"
)

// small keeps a fuzzed header from asking for gigabytes: limits are tested by TestDecodeErrors.
func small(data []byte) bool { return len(data) < 1<<16 }

func FuzzDecode(f *testing.F) {
	pal := image.NewPaletted(image.Rect(0, 0, 5, 4), color.Palette{color.Black, color.White, color.Transparent})
	var g, p bytes.Buffer
	gif.Encode(&g, pal, nil)
	png.Encode(&p, pal)
	f.Add(g.Bytes())
	f.Add(p.Bytes())
	files, _ := filepath.Glob("testdata/*")
	for _, file := range files {
		if data, err := os.ReadFile(file); err == nil {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if format, _ := sniff(data); !small(data) || claims(format, data) > 1<<16 {
			return
		}
		img, mask, err := Decode(data)
		if err != nil {
			return
		}
		if img.Check("image", 4) != nil || mask.Check("mask", 3) != nil || img.Shape[0] != mask.Shape[0] {
			t.Fatalf("image %v, mask %v", img.Shape, mask.Shape)
		}
		for _, v := range img.Data {
			if !(v >= 0 && v <= 1) {
				t.Fatalf("value %v", v)
			}
		}
	})
}

// claims is how many pixels a file says it has, all frames together.
func claims(format string, data []byte) int {
	frames := 1
	switch format {
	case "PNG":
		if f, err := readPNG(data); err == nil {
			return f.w * f.h * len(f.frames)
		}
		return 0
	case "GIF":
		_, list := hideTransparency(data)
		frames = len(list)
	case "TIFF":
		r, at, _ := newIFDReader(data)
		n := 0
		for _, p := range r.pages(at) {
			n += r.first(p.fields, tagWidth, 0) * r.first(p.fields, tagHeight, 0)
		}
		return n
	case "WebP":
		frames = bytes.Count(data, []byte("ANMF")) + 1
	}
	c, _, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return 0
	}
	return c.Width * c.Height * frames
}

func FuzzExifOrientation(f *testing.F) {
	f.Add([]byte("Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00"))
	f.Add([]byte("MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x08\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		fr := newFrame(3, 2)
		if g := fr.orient(exifOrientation(data)); len(g.pix) != len(fr.pix) {
			t.Fatalf("%dx%d", g.w, g.h)
		}
		jpegOrientation(data)
	})
}

func FuzzPythonJSON(f *testing.F) {
	f.Add([]byte(`{"a":[1,2.5,null,true,"\u00e9\ud83d\ude00\"\\"]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		out, err := PythonJSON(data)
		if err != nil {
			return
		}
		var a, b any
		if json.Unmarshal(data, &a) != nil {
			return // numbers beyond float64
		}
		if err := json.Unmarshal(out, &b); err != nil {
			t.Fatalf("%q became %q: %v", data, out, err)
		}
		x, _ := json.Marshal(a)
		y, _ := json.Marshal(b)
		if !bytes.Equal(x, y) {
			t.Fatalf("%s became %s", x, y)
		}
		for _, c := range out {
			if c > '~' || c < ' ' {
				t.Fatalf("byte %#x in %q", c, out)
			}
		}
	})
}
