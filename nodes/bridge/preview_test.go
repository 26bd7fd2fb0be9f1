package bridge

import (
	"bytes"
	"image/jpeg"
	"testing"

	"graphrun/types"
)

func TestPreviewPicture(t *testing.T) {
	f := types.LatentFormat{Channels: 2, RGB: [][3]float32{{1, 0, 0}, {0, 0, 1}}, Bias: [3]float32{0, -1, 0}}
	x := types.NewTensor(1, 2, 2, 4) // red is 1 and blue -1 everywhere
	for i := range 8 {
		x.Data[i], x.Data[8+i] = 1, -1
	}
	for _, c := range []struct{ size, w, h int }{{512, 32, 16}, {16, 16, 8}, {1, 1, 1}} {
		m, err := jpeg.Decode(bytes.NewReader(Previews{c.size}.picture(&x, f)))
		if err != nil {
			t.Fatal(err)
		}
		if b := m.Bounds(); b.Dx() != c.w || b.Dy() != c.h {
			t.Errorf("size %d: %v", c.size, b)
		}
		if r, g, b, _ := m.At(0, 0).RGBA(); r>>8 < 250 || g>>8 > 5 || b>>8 > 5 {
			t.Errorf("colour %d %d %d", r>>8, g>>8, b>>8)
		}
	}
	video := types.NewTensor(1, 2, 3, 2, 4)
	if (Previews{512}).picture(&video, f) != nil {
		t.Error("a video has a preview of a picture")
	}
}
