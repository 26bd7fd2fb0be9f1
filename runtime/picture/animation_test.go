package picture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/color"
	"image/png"
	"runtime"
	"slices"
	"strings"
	"testing"

	"graphrun/types"
)

// What the writers of animations write, Decode reads to the bit.
func TestAnimations(t *testing.T) {
	text := []Text{{"prompt", `{"1": 2}`}, {"workflow", `{"odd": 3}`}, {"more", "4"}, {"a", "5"}}
	for name, write := range map[string]func(b *bytes.Buffer, img types.Image) error{
		"APNG": func(b *bytes.Buffer, img types.Image) error { return WriteAPNG(t.Context(), b, img, 40, 4, text) },
		"WebP": func(b *bytes.Buffer, img types.Image) error {
			return WriteWebP(t.Context(), b, img, 40, Lossless, text)
		},
	} {
		for _, shape := range [][4]int{{1, 5, 4, 3}, {1, 1, 1, 4}, {3, 17, 30, 3}, {4, 9, 7, 4}} {
			t.Run(fmt.Sprint(name, shape), func(t *testing.T) {
				img := ramp(shape[0], shape[1], shape[2], shape[3])
				var file bytes.Buffer
				if err := write(&file, img); err != nil {
					t.Fatal(err)
				}
				back, mask, err := Decode(file.Bytes())
				if err != nil {
					t.Fatal(err)
				}
				want := Channels(img, 3)
				if !slices.Equal(back.Shape, want.Shape) || !bytes.Equal(rounded(back.Data), Bytes(want.Data)) {
					t.Errorf("came back as %v", back.Shape)
				}
				for p := range mask.Data {
					if shape[3] == 4 && rounded(mask.Data)[p] != 255-Bytes(img.Data)[4*p+3] {
						t.Fatalf("alpha %d: %v", p, mask.Data[p])
					}
				}
				for _, x := range text {
					if !strings.Contains(file.String(), x.Value) {
						t.Errorf("no %s", x.Key)
					}
				}
			})
		}
	}
}

func TestWebPErrors(t *testing.T) {
	var e *Error
	for _, img := range []types.Image{{Tensor: types.NewTensor(1, 2, 2, 1)}, {Tensor: types.NewTensor(1, 1, 16384, 3)}} {
		if err := WriteWebP(t.Context(), &bytes.Buffer{}, img, 1, Lossless, nil); !errors.As(err, &e) {
			t.Errorf("%v: %v", img.Shape, err)
		}
	}
	if err := WriteWebP(t.Context(), &bytes.Buffer{}, types.Image{}, 1, Lossless, nil); err == nil {
		t.Error("an empty batch passes")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := WriteWebP(ctx, &bytes.Buffer{}, ramp(3, 2, 2, 3), 1, Lossless, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func FuzzDecodeChannel(f *testing.F) {
	for _, img := range []types.Image{ramp(2, 3, 2, 4), ramp(1, 2, 2, 3)} {
		var b bytes.Buffer
		if err := WriteAPNG(f.Context(), &b, img, 1, 1, nil); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes(), "alpha")
	}
	f.Fuzz(func(t *testing.T, data []byte, channel string) {
		if format, _ := sniff(data); !small(data) || claims(format, data) > 1<<16 {
			return
		}
		if m, err := DecodeChannel(data, channel); err == nil && m.Check("mask", 3) != nil {
			t.Fatalf("mask %v", m.Shape)
		}
	})
}

// Several strips, of several sizes of rows, and as many bytes whatever the processors, read by the standard library.
func TestPNGStrips(t *testing.T) {
	for _, shape := range [][3]int{{700, 600, 3}, {3, 200_000, 4}, {600_000, 1, 3}} {
		img := waves(shape[0], shape[1], shape[2])
		var files [2]bytes.Buffer
		for i, processors := range []int{1, 3} {
			before := runtime.GOMAXPROCS(processors)
			err := WritePNG(t.Context(), &files[i], img, 0, 1, nil)
			runtime.GOMAXPROCS(before)
			if err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(files[0].Bytes(), files[1].Bytes()) {
			t.Errorf("%v: the bytes depend on the processors", shape)
		}
		m, err := png.Decode(&files[0])
		if err != nil {
			t.Fatal(err)
		}
		want := Bytes(img.Data)
		for p := range shape[0] * shape[1] {
			c := color.NRGBAModel.Convert(m.At(p%shape[1], p/shape[1])).(color.NRGBA)
			have := [4]byte{c.R, c.G, c.B, c.A}
			if !bytes.Equal(have[:shape[2]], want[p*shape[2]:(p+1)*shape[2]]) && have[3] != 0 {
				t.Fatalf("%v: pixel %d is %v, want %v", shape, p, have, want[p*shape[2]:(p+1)*shape[2]])
			}
		}
	}
}
