package picture

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"graphrun/types"
)

// ramp is a picture in which every byte differs from its neighbours.
func ramp(b, h, w, c int) types.Image {
	img := types.Image{Tensor: types.NewTensor(b, h, w, c)}
	r := rand.New(rand.NewPCG(1, 2))
	for i := range img.Data {
		img.Data[i] = float32(r.IntN(256)) / 255
	}
	return img
}

func TestBytes(t *testing.T) {
	nan := float32(math.NaN())
	got := Bytes([]float32{-1, 0, 0.5, 0.999, 1, 2, nan, float32(math.Inf(1)), 1.0 / 255})
	if want := []byte{0, 0, 127, 254, 255, 255, 0, 255, 1}; !bytes.Equal(got, want) {
		t.Errorf("have %v, want %v", got, want)
	}
}

// What WritePNG writes, both decoders read back, whatever the size and the level.
func TestPNGRoundTrip(t *testing.T) {
	for _, c := range []int{3, 4} {
		for _, size := range [][2]int{{1, 1}, {1, 9}, {7, 1}, {33, 21}} {
			for level := range 10 {
				img := ramp(2, size[0], size[1], c)
				var out bytes.Buffer
				if err := WritePNG(t.Context(), &out, img, 1, level, []Text{{"prompt", "{}"}, {"ünï", "日本"}}); err != nil {
					t.Fatal(err)
				}
				m, err := png.Decode(bytes.NewReader(out.Bytes()))
				if err != nil {
					t.Fatal(err)
				}
				ours, mask, err := Decode(out.Bytes())
				if err != nil {
					t.Fatal(err)
				}
				pixel := pixelReader(m)
				want := Bytes(img.Item(1).Data)
				for p := range size[0] * size[1] {
					r, g, b, a := pixel(p%size[1], p/size[1])
					rgba := []byte{r, g, b, a}[:c]
					if !bytes.Equal(rgba, want[p*c:][:c]) {
						t.Fatalf("%v channels %d pixel %d: have %v, want %v", size, c, p, rgba, want[p*c:][:c])
					}
					if got := Bytes(ours.Data[p*3 : p*3+3]); !bytes.Equal(got, want[p*c:][:3]) {
						t.Fatalf("%v channels %d pixel %d: decoded %v, want %v", size, c, p, got, want[p*c:][:3])
					}
					if c == 4 && math.Abs(float64(mask.Data[p])-(1-float64(a)/255)) > 1e-6 {
						t.Fatalf("mask %v, alpha %d", mask.Data[p], a)
					}
				}
			}
		}
	}
	if err := WritePNG(t.Context(), &bytes.Buffer{}, ramp(1, 2, 2, 1), 0, 4, nil); err == nil {
		t.Error("one channel is written")
	}
	if err := WritePNG(t.Context(), &bytes.Buffer{}, ramp(1, 2, 2, 3), 0, 4, []Text{{"", "x"}}); err == nil {
		t.Error("an empty key is written")
	}
}

// Go's own encoder writes what we do not: palettes, gray, 16 bits.
func TestDecodePNGKinds(t *testing.T) {
	r := image.Rect(0, 0, 13, 5)
	gray16, pal := image.NewGray16(r), image.NewPaletted(r, color.Palette{color.NRGBA{9, 8, 7, 255}, color.NRGBA{1, 2, 3, 0}, color.White})
	for i := range 13 * 5 {
		gray16.SetGray16(i%13, i/13, color.Gray16{uint16(i * 8)})
		pal.SetColorIndex(i%13, i/13, uint8(i%3))
	}
	for name, m := range map[string]image.Image{"gray16": gray16, "palette": pal} {
		var b bytes.Buffer
		if err := png.Encode(&b, m); err != nil {
			t.Fatal(err)
		}
		img, mask, err := Decode(b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		for p := range 13 * 5 {
			want, alpha := [3]byte{}, float32(0)
			if name == "gray16" {
				v := byte(min(p*8, 255)) // clipped, not scaled
				want = [3]byte{v, v, v}
			} else {
				want = [][3]byte{{9, 8, 7}, {1, 2, 3}, {255, 255, 255}}[p%3]
				alpha = []float32{0, 1, 0}[p%3]
			}
			if got := Bytes(img.Data[p*3 : p*3+3]); !bytes.Equal(got, want[:]) {
				t.Fatalf("%s pixel %d: have %v, want %v", name, p, got, want)
			}
			if name == "palette" && mask.Data[p] != alpha {
				t.Fatalf("mask at %d: %v, want %v", p, mask.Data[p], alpha)
			}
		}
	}
}

// All chroma forms decode near the truth: smooth upsampling must not shift the picture.
func TestJPEGChroma(t *testing.T) {
	for _, ratio := range []image.YCbCrSubsampleRatio{image.YCbCrSubsampleRatio444, image.YCbCrSubsampleRatio422, image.YCbCrSubsampleRatio420, image.YCbCrSubsampleRatio440, image.YCbCrSubsampleRatio411, image.YCbCrSubsampleRatio410} {
		for _, size := range [][2]int{{1, 1}, {3, 5}, {16, 16}, {17, 31}} {
			m := image.NewYCbCr(image.Rect(0, 0, size[0], size[1]), ratio)
			for i := range m.Y {
				m.Y[i] = 128
			}
			for x := range m.CStride {
				for y := range len(m.Cb) / m.CStride {
					m.Cb[y*m.CStride+x], m.Cr[y*m.CStride+x] = byte(100+x), byte(140-y)
				}
			}
			f := jpegFrame(m)
			for p := range f.w * f.h {
				r, g, b, _ := m.YCbCrAt(p%f.w, p/f.w).RGBA()
				for c, want := range []uint32{r, g, b} {
					if d := int(f.pix[p*4+c]) - int(want>>8); d < -3 || d > 3 {
						t.Fatalf("%v %v pixel %d channel %d: have %d, Go has %d", ratio, size, p, c, f.pix[p*4+c], want>>8)
					}
				}
			}
		}
	}
}

func TestOrient(t *testing.T) {
	f := newFrame(3, 2)
	for p := range 6 {
		f.set(p, byte(p), 0, 0, 255)
	}
	for o, want := range map[int]string{1: "012/345", 2: "210/543", 3: "543/210", 4: "345/012", 5: "03/14/25", 6: "30/41/52", 7: "52/41/30", 8: "25/14/03", 9: "012/345", 0: "012/345"} {
		g := f.orient(o)
		var rows []string
		for y := range g.h {
			row := ""
			for x := range g.w {
				row += string('0' + rune(g.pix[(y*g.w+x)*4]))
			}
			rows = append(rows, row)
		}
		if got := strings.Join(rows, "/"); got != want {
			t.Errorf("orientation %d: have %s, want %s", o, got, want)
		}
	}
}

func TestPythonJSON(t *testing.T) {
	for in, want := range map[string]string{
		`{"b":1,"a":[1.50,-0,1e5,true,null],"c":{}}`:                                             `{"b": 1, "a": [1.5, -0, 100000.0, true, null], "c": {}}`,
		"{ \"k\" :\t\"caf\u00e9 \\u00E9 \\/ \\u0041 \\n \U0001f600 \x7f\" }":                     `{"k": "caf\u00e9 \u00e9 / A \n \ud83d\ude00 \u007f"}`,
		`"lone \uD800, \u0022, \\ \b\f\r\t \u0001"`:                                              `"lone \ud800, \", \\ \b\f\r\t \u0001"`,
		`[1E-4,0.00001,1e15,1e16,1.0,-0.0,-2.50e-7,1e-320,0.1,8,123456789012345678901234567890]`: `[0.0001, 1e-05, 1000000000000000.0, 1e+16, 1.0, -0.0, -2.5e-07, 1e-320, 0.1, 8, 123456789012345678901234567890]`,
		`[", : \" ,:"]`:        `[", : \" ,:"]`,
		`18446744073709551615`: `18446744073709551615`,
	} {
		got, err := PythonJSON([]byte(in))
		if err != nil || string(got) != want {
			t.Errorf("%s: have %s, %v; want %s", in, got, err, want)
		}
	}
	for _, bad := range []string{``, `{`, `{"a":}`, `"`, `nan`} {
		if got, err := PythonJSON([]byte(bad)); err == nil {
			t.Errorf("%q gives %q", bad, got)
		}
	}
}

// Every format that the standard library writes is read, and no bad file panics or passes.
func TestDecodeErrors(t *testing.T) {
	m := image.NewNRGBA(image.Rect(0, 0, 4, 3))
	var j, g, p bytes.Buffer
	if err := errors.Join(jpeg.Encode(&j, m, nil), gif.Encode(&g, m, nil), png.Encode(&p, m)); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"jpeg": j.Bytes(), "gif": g.Bytes(), "png": p.Bytes()} {
		img, _, err := Decode(data)
		if err != nil || img.Shape[1] != 3 || img.Shape[2] != 4 {
			t.Errorf("%s: %v %v", name, img.Shape, err)
		}
	}
	huge := bytes.Clone(p.Bytes())
	binary.BigEndian.PutUint32(huge[16:], 1<<20)
	binary.BigEndian.PutUint32(huge[20:], 1<<20)
	for name, data := range map[string][]byte{
		"empty": nil, "text": []byte("hello"), "png header only": []byte(pngSignature), "png without pixels": p.Bytes()[:33],
		"huge png": huge, "jpeg start": []byte("\xff\xd8\xff"), "gif start": []byte("GIF89a"), "tiff start": []byte("II*\x00\x08\x00\x00\x00"),
		"webp start": []byte("RIFF\x04\x00\x00\x00WEBP"), "bmp start": []byte("BM"),
	} {
		_, _, err := Decode(data)
		var e *Error
		if !errors.As(err, &e) || e.Hint == "" {
			t.Errorf("%s: %v", name, err)
		} else {
			t.Logf("%s: %v", name, err)
		}
	}
}

func TestResizeErrors(t *testing.T) {
	ctx, img := context.Background(), ramp(1, 4, 5, 3)
	for name, f := range map[string]func() error{
		"no width":       func() error { _, err := ResizeImage(ctx, img, 0, 4, Bilinear, CropDisabled); return err },
		"no such method": func() error { _, err := ResizeImage(ctx, img, 4, 4, "cubic", CropDisabled); return err },
		"bislerp":        func() error { _, err := ResizeImage(ctx, img, 4, 4, Bislerp, CropDisabled); return err },
		"too big":        func() error { _, err := ResizeImage(ctx, img, 1<<30, 1<<30, Area, CropDisabled); return err },
		"rank":           func() error { _, err := ResizeLatent(ctx, types.NewTensor(4, 4), 4, 4, Area, CropDisabled); return err },
		"lanczos of 1":   func() error { _, err := ResizeImage(ctx, ramp(1, 4, 4, 1), 5, 5, Lanczos, CropDisabled); return err },
	} {
		if err := f(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	for _, m := range []Method{NearestExact, Bilinear, Area, Bicubic, Lanczos} {
		if _, err := ResizeImage(cancelled, img, 9, 9, m, CropCenter); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v after cancelling", m, err)
		}
	}
	if _, err := ResizeLatent(cancelled, types.NewTensor(1, 4, 2, 2), 3, 3, Bislerp, CropCenter); !errors.Is(err, context.Canceled) {
		t.Errorf("bislerp: %v after cancelling", err)
	}
}

// Any method keeps a constant picture, and a very flat one survives cropping.
func TestResizeConstant(t *testing.T) {
	img := types.Image{Tensor: types.NewTensor(1, 1, 40, 4)}
	for i := range img.Data {
		img.Data[i] = 102.0 / 255
		if i%4 == 3 {
			img.Data[i] = 1
		}
	}
	for _, m := range []Method{NearestExact, Bilinear, Area, Bicubic, Lanczos} {
		for _, c := range []Crop{CropDisabled, CropCenter} {
			out, err := ResizeImage(context.Background(), img, 3, 70, m, c)
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range out.Data {
				want := float32(102.0 / 255)
				if i%4 == 3 {
					want = 1
				}
				if math.Abs(float64(v-want)) > 3e-6 { // a few roundings of weights
					t.Fatalf("%s %s: value %d is %v, want %v", m, c, i, v, want)
				}
			}
		}
	}
}

// A JPEG file that ends early keeps what it has; the rest is gray.
func TestCutJPEG(t *testing.T) {
	m := image.NewRGBA(image.Rect(0, 0, 64, 64))
	r := rand.New(rand.NewPCG(3, 4))
	for i := range m.Pix {
		m.Pix[i] = byte(200 + r.IntN(56))
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		t.Fatal(err)
	}
	whole, _, err := Decode(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	cut, _, err := Decode(b.Bytes()[:b.Len()*2/3])
	if err != nil {
		t.Fatal(err)
	}
	row := 64 * 3 // row 15 takes chroma from the blocks below it
	if !bytes.Equal(Bytes(cut.Data[:15*row]), Bytes(whole.Data[:15*row])) {
		t.Error("the part that is there has changed")
	}
	if tail := Bytes(cut.Data[60*row:]); tail[0] != 128 || tail[len(tail)-1] != 128 {
		t.Errorf("the part that is missing is %v", tail[:3])
	}
	if _, _, err := Decode(b.Bytes()[:200]); err == nil {
		t.Error("a header alone passes")
	}
}
