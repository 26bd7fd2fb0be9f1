package image

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
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

func TestSaveImageAdvanced(t *testing.T) {
	env, f := folders(t)
	for _, c := range []struct{ format, name, begins string }{
		{`"png","format.bit_depth":"16-bit","format.input_color_space":"sRGB"`, "y_00001.png", "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x05\x00\x00\x00\x04\x10\x02"},
		{`"png","format.bit_depth":"8-bit","format.input_color_space":"sRGB"`, "y_00002.png", "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x05\x00\x00\x00\x04\x08\x02"},
		{`"exr","format.bit_depth":"32-bit float","format.input_color_space":"HDR"`, "y_00003.exr", "\x76\x2f\x31\x01"},
	} {
		res, err := run(t, env, strings.NewReplacer("%class%", "SaveImageAdvanced", "%more%", `,"filename_prefix":"a/y","format":`+c.format).Replace(invert), nil)
		if err != nil {
			t.Fatal(err)
		}
		shown := res.UI["3"]["images"][0].(map[string]any)
		if shown["filename"] != c.name || shown["subfolder"] != "a" || shown["type"] != "output" {
			t.Errorf("shown %v, want %s", shown, c.name)
		}
		data, err := os.ReadFile(filepath.Join(f.Output, "a", c.name))
		if err != nil || !strings.HasPrefix(string(data), c.begins) || !bytes.Contains(data, []byte(`{"b": 1.5, "a": "\u00e9"}`)) {
			t.Errorf("%s: %v, begins %q", c.name, err, data[:min(len(data), 30)])
		}
	}
	call := &graph.Call{Context: t.Context(), Env: env}
	n := SaveImageAdvanced{Images: ramp(1, 2, 2, 3), FilenamePrefix: "z"}
	n.Images.Data[3] = float32(math.Inf(1))
	n.Format.Key = "png"
	if _, err := n.Run(call); err == nil {
		t.Error("infinity passes as PNG")
	}
	n.Format.Key, n.Format.EXR.InputColorSpace = "exr", "sRGB"
	if _, err := n.Run(call); err != nil {
		t.Errorf("infinity in EXR: %v", err)
	}
}

// Values from the definitions of sRGB and HLG.
func TestLinear(t *testing.T) {
	img := types.Image{Tensor: types.Tensor{Shape: []int{1, 1, 1, 4}, Data: []float32{0.04, 0.5, 1, 0.5}}}
	near(t, "sRGB", linear(img, "sRGB").Data, []float32{0.00309598, 0.21404114, 1, 0.5}, 1e-6)
	near(t, "HLG", linear(img, "HDR").Data, []float32{0.0016 / 3, 1. / 12, 1, 0.5}, 1e-6)
	near(t, "linear", linear(img, "linear").Data, img.Data, 0)
}

func TestImageCompare(t *testing.T) {
	env, f := folders(t)
	for _, view := range []string{``, `"compare_view":{"__value__":["",""]},`} {
		res, err := run(t, env, `{"1":{"class_type":"LoadImage","inputs":{"image":"a.png"}},"2":{"class_type":"ImageCompare","inputs":{`+view+`"image_b":["1",0]}}}`, nil)
		if err != nil {
			t.Fatal(err)
		}
		b := res.UI["2"]["b_images"]
		if len(res.UI["2"]["a_images"]) != 0 || len(b) != 1 {
			t.Fatalf("%v", res.UI)
		}
		name := b[0].(map[string]any)["filename"].(string)
		if !strings.HasPrefix(name, "comfy.compare.b_temp_") {
			t.Error(name)
		}
		if _, err := os.Stat(filepath.Join(f.Temp, name)); err != nil {
			t.Error(err)
		}
	}
}
