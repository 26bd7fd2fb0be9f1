package picture

import (
	"context"
	"encoding/json"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"graphrun/types"
)

// The files of testdata and the checksums of what LoadImage of ComfyUI 0.3.64 makes of them (golden kind load_image).
func TestDecodeFiles(t *testing.T) {
	raw, err := os.ReadFile("testdata/decoded.json")
	if err != nil {
		t.Fatal(err)
	}
	var files map[string]struct {
		Image, Mask       []int
		ImageCRC, MaskCRC uint32
	}
	if err := json.Unmarshal(raw, &files); err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		img, mask, err := Decode(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !slices.Equal(img.Shape, want.Image) || !slices.Equal(mask.Shape, want.Mask) {
			t.Errorf("%s: shapes %v, %v; want %v, %v", name, img.Shape, mask.Shape, want.Image, want.Mask)
		}
		if got := crc32.ChecksumIEEE(rounded(img.Data)); got != want.ImageCRC {
			t.Errorf("%s: other pixels", name)
		}
		if got := crc32.ChecksumIEEE(rounded(mask.Data)); got != want.MaskCRC {
			t.Errorf("%s: another mask", name)
		}
	}
}

func rounded(values []float32) []byte {
	out := make([]byte, len(values))
	for i, v := range values {
		out[i] = byte(math.Round(float64(v) * 255))
	}
	return out
}

// One row by hand, through each method.
func TestResizeRow(t *testing.T) {
	half := float32(math.Sqrt(0.5))
	sin, cos := float32(math.Sin(math.Pi/8)), float32(math.Cos(math.Pi/8))
	for _, c := range []struct {
		m        Method
		channels int // 1: a row; 2: two rows are the channels of vectors
		in, want []float32
	}{
		{NearestExact, 1, []float32{1, 2, 3, 4}, []float32{2, 4}},
		{NearestExact, 1, []float32{1, 2}, []float32{1, 1, 2, 2}},
		{Bilinear, 1, []float32{0, 10}, []float32{0, 2.5, 7.5, 10}},
		{Area, 1, []float32{0, 2, 6}, []float32{1, 4}},
		{Bicubic, 1, []float32{0, 8, 16, 8}, []float32{8*0.59375 - 16*0.09375, 24*0.59375 - 16*0.09375}},
		{Bislerp, 2, []float32{1, 0, 0, 1}, []float32{1, cos, sin, 0, 0, sin, cos, 1}},
		{Bislerp, 2, []float32{0, 0, 0, 0}, []float32{0, 0, 0, 0}},
		{Bislerp, 2, []float32{1, 0, 0, 1}, []float32{half, half}},
	} {
		in := types.Tensor{Shape: []int{1, c.channels, 1, len(c.in) / c.channels}, Data: c.in}
		out, err := ResizeLatent(context.Background(), in, len(c.want)/c.channels, 1, c.m, CropDisabled)
		if err != nil {
			t.Errorf("%s: %v", c.m, err)
			continue
		}
		for i, v := range out.Data {
			if math.Abs(float64(v-c.want[i])) > 1e-6 {
				t.Errorf("%s of %v: have %v, want %v", c.m, c.in, out.Data, c.want)
				break
			}
		}
	}
}

func BenchmarkLanczos(b *testing.B) {
	img := ramp(1, 512, 512, 3)
	for b.Loop() {
		if _, err := ResizeImage(context.Background(), img, 1024, 1024, Lanczos, CropDisabled); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBicubic(b *testing.B) {
	img := ramp(1, 512, 512, 3)
	for b.Loop() {
		if _, err := ResizeImage(context.Background(), img, 1024, 1024, Bicubic, CropDisabled); err != nil {
			b.Fatal(err)
		}
	}
}
