package image

import (
	"errors"
	"math"
	"slices"
	"testing"

	"graphrun/graph"
	"graphrun/runtime/picture"
	"graphrun/types"
)

// ramp is a batch of pictures whose values go from 0 to nearly 1, each other than its neighbours.
func ramp(shape ...int) types.Image {
	t := types.NewTensor(shape...)
	for i := range t.Data {
		t.Data[i] = float32(i*7919%len(t.Data)) / float32(len(t.Data))
	}
	return types.Image{Tensor: t}
}

func near(t *testing.T, what string, have, want []float32, tolerance float64) {
	t.Helper()
	if len(have) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(have), len(want))
	}
	for i := range want {
		if d := math.Abs(float64(have[i] - want[i])); !(d <= tolerance) {
			t.Fatalf("%s: value %d is %v, want %v", what, i, have[i], want[i])
		}
	}
}

func autogrow[T any](values ...T) (list graph.Autogrow[T]) {
	for _, v := range values {
		list = append(list, graph.Item[T]{Name: "x", Value: v})
	}
	return list
}

func TestResizeMaskAsImage(t *testing.T) {
	call := &graph.Call{Context: t.Context()}
	img := ramp(1, 20, 30, 1)
	n := ResizeImageMaskNode{Input: graph.Any{Value: types.Mask{Tensor: types.Tensor{Shape: []int{1, 20, 30}, Data: img.Data}}}, ScaleMethod: "lanczos"}
	n.ResizeType.Key = "scale longer dimension"
	n.ResizeType.Longer.LongerSize = 15
	got, err := n.Run(call)
	if err != nil {
		t.Fatal(err)
	}
	want, err := picture.ResizeImage(call, gray(img), 15, 10, picture.Lanczos, picture.CropDisabled)
	if err != nil {
		t.Fatal(err)
	}
	mask := got.Resized.Value.(types.Mask)
	near(t, "lanczos", gray(types.Image{Tensor: types.Tensor{Shape: []int{1, 10, 15, 1}, Data: mask.Data}}).Data, want.Data, 0)

	n = ResizeImageMaskNode{Input: graph.Any{Value: ramp(1, 40, 50, 3)}, ScaleMethod: "nearest-exact"}
	n.ResizeType.Key = "match size"
	n.ResizeType.Match.Match.Value = types.Mask{Tensor: types.NewTensor(3, 7, 5)}
	n.ResizeType.Match.Crop = "center"
	got, err = n.Run(call)
	if err != nil || !slices.Equal(got.Resized.Value.(types.Image).Shape, []int{1, 7, 5, 3}) {
		t.Errorf("match size: %v", err)
	}
	var e *graph.Error
	n.ResizeType.Match.Match.Value = "no picture"
	if _, err := n.Run(call); !errors.As(err, &e) || e.Input != "resize_type.match" {
		t.Errorf("text: %v", err)
	}
}

// Tiles that were cut and not changed give the picture back.
func TestTilesRoundTrip(t *testing.T) {
	call := &graph.Call{Context: t.Context()}
	for _, c := range []struct{ w, h, tw, th, overlap int }{{200, 150, 64, 80, 16}, {200, 150, 64, 80, 0}, {64, 70, 300, 64, 32}} {
		img := ramp(2, c.h, c.w, 3)
		list, err := SplitImageToTileList{img, c.tw, c.th, c.overlap}.Run(call)
		if err != nil {
			t.Fatal(err)
		}
		back, err := ImageMergeTileList{list, c.w, c.h, c.overlap}.Run(call)
		if err != nil {
			t.Fatal(err)
		}
		near(t, "merged", back.Data, img.Data, 2e-6)
	}
	if _, err := (ImageMergeTileList{FinalWidth: 64, FinalHeight: 64}).Run(call); err == nil {
		t.Error("no tiles pass")
	}
}

func TestBatchImagesNode(t *testing.T) {
	call := &graph.Call{Context: t.Context()}
	out, err := BatchImagesNode{autogrow(ramp(1, 4, 6, 3), ramp(2, 4, 6, 4), ramp(1, 8, 8, 3))}.Run(call)
	if err != nil || !slices.Equal(out.Shape, []int{4, 4, 6, 4}) || out.Data[3] != 1 {
		t.Errorf("%v %v", out.Shape, err)
	}
	var e *graph.Error
	if _, err := (BatchImagesNode{autogrow(ramp(1, 4, 6, 1), ramp(2, 4, 6, 4))}).Run(call); !errors.As(err, &e) || e.Input != "images.x" {
		t.Errorf("gray and RGBA: %v", err)
	}
	masks, err := BatchMasksNode{autogrow(types.Mask{Tensor: types.NewTensor(1, 4, 6)}, types.Mask{Tensor: types.NewTensor(2, 9, 9)})}.Run(call)
	if err != nil || !slices.Equal(masks.Shape, []int{3, 4, 6}) {
		t.Errorf("%v %v", masks.Shape, err)
	}
}
