package image

import (
	"bytes"
	"encoding/json"
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

func TestLab(t *testing.T) {
	// CIE Lab of sRGB's corners, as every table of them has it.
	for _, c := range [][2]pixel{{{1, 1, 1}, {100, 0, 0}}, {{0, 0, 0}, {0, 0, 0}}, {{1, 0, 0}, {53.24, 80.09, 67.20}}, {{0, 0, 1}, {32.30, 79.19, -107.86}}} {
		lab := rgbToLab(c[0])
		back := labToRGB(lab)
		for i := range lab {
			if math.Abs(lab[i]-c[1][i]) > 0.02 || math.Abs(back[i]-c[0][i]) > 1e-4 {
				t.Errorf("%v: %v, want %v; back %v", c[0], lab, c[1], back)
			}
		}
	}
}

func TestRoots(t *testing.T) {
	a := matrix{{4, 1, -0.5}, {1, 3, 0.25}, {-0.5, 0.25, 2}}
	root, inverse := a.roots()
	square, one := root.times(root), root.times(inverse)
	for i := range 3 {
		for j := range 3 {
			unit := 0.
			if i == j {
				unit = 1
			}
			if math.Abs(square[i][j]-a[i][j]) > 1e-12 || math.Abs(one[i][j]-unit) > 1e-12 {
				t.Errorf("root² %v, root·inverse %v", square, one)
			}
		}
	}
}

// After a transfer the statistics are the reference's; a picture is its own reference.
func TestColorTransfer(t *testing.T) {
	call := &graph.Call{Context: t.Context()}
	target, ref := ramp(2, 9, 11, 3), ramp(1, 7, 5, 4)
	for i := range target.Data { // mild, so that nothing is cut at the borders of sRGB
		target.Data[i] = 0.4 + 0.15*target.Data[i]
	}
	for i := range ref.Data {
		ref.Data[i] = 0.55 + 0.1*ref.Data[i]*float32(1+i%4)/4
	}
	for _, method := range transferMethod("").Options() {
		n := ColorTransfer{ImageTarget: target, ImageRef: ref, Method: transferMethod(method), Strength: 1}
		for _, key := range []string{"per_frame", "uniform", "target_frame"} {
			n.SourceStats.Key = key
			n.SourceStats.TargetFrame.TargetIndex = 9 // counts as the last
			out, err := n.Run(call)
			if err != nil {
				t.Fatal(err)
			}
			if method == "histogram" {
				continue
			}
			frames := map[string][2]int{"per_frame": {0, 1}, "uniform": {0, 2}, "target_frame": {1, 2}}[key]
			have, want := pixels(out.Image, frames[0], frames[1], true), pixels(ref, 0, 1, true)
			mh, mw := mean(have), mean(want)
			vh, vw := covariance(have, mh), covariance(want, mw)
			for c := range mh {
				if math.Abs(mh[c]-mw[c]) > 1e-3 || math.Abs(vh[c][c]-vw[c][c]) > 1e-2*vw[c][c]+1e-4 {
					t.Errorf("%s %s: mean %v, want %v; variance %v, want %v", method, key, mh, mw, vh[c][c], vw[c][c])
				}
			}
			if d := math.Abs(vh[0][1] - vw[0][1]); method == "mkl_lab" && d > 1e-2*vw[0][0] {
				t.Errorf("%s: covariance differs by %v", key, d)
			}
		}
	}
	same := ColorTransfer{ImageTarget: target, ImageRef: target, Method: "mkl_lab", Strength: 1}
	same.SourceStats.Key = "per_frame"
	out, err := same.Run(call)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "own reference", out.Image.Data, target.Data, 2e-4) // kornia's matrices are inverse to each other but for this
	same.Method, same.Strength, same.ImageRef = "histogram", 0.5, types.Image{Tensor: types.NewTensor(1, 2, 2, 3)}
	if out, err = same.Run(call); err != nil {
		t.Fatal(err)
	}
	near(t, "half way to black", out.Image.Data[:1], []float32{target.Data[0] / 2}, 1e-6)
}

func TestHistogram(t *testing.T) {
	img := types.Image{Tensor: types.Tensor{Shape: []int{1, 1, 2, 3}, Data: []float32{1, 0.5, 0, 0.999, 2, -1}}}
	h, err := ImageHistogram{img}.Run(&graph.Call{Context: t.Context()})
	if err != nil || h.Red[255] != 1 || h.Red[254] != 1 || h.Green[127] != 1 || h.Green[255] != 1 || h.Blue[0] != 2 || h.RGB[127] != 1 || h.RGB[169] != 1 || h.Luminance[145] != 1 || h.Luminance[236] != 1 {
		t.Errorf("%v %v", h, err)
	}
	edited, err := CurveEditor{Curve: curve{Points: [][2]float64{{0, 1}}}, Histogram: &h.Red}.Run(nil)
	if err != nil || edited.Curve.Points[0][1] != 1 || len(edited.UI["histogram"]) != 256 {
		t.Errorf("%v %v", edited, err)
	}
}

func TestMarigold(t *testing.T) {
	img := types.Image{Tensor: types.Tensor{Shape: []int{1, 1, 2, 3}, Data: []float32{0.2, 0.2, 0.2, 0.6, 0.7, 0.8}}}
	for kind, want := range map[prediction][]float32{
		"depth":     {1, 1, 1, 0, 0, 0},
		"disparity": {0, 0, 0, 1, 1, 1},
		"normals":   {0.2113249, 0.2113249, 0.2113249, 0.6336306, 0.7672612, 0.9008919},
		"albedo":    {0.48452920, 0.48452920, 0.48452920, 0.79773840, 0.85430580, 0.90633180},
	} {
		out, err := MarigoldV2PostProcess{img, kind}.Run(nil)
		if err != nil {
			t.Fatal(err)
		}
		near(t, string(kind), out.Data, want, 1e-5)
	}
}

func TestImageCropV2(t *testing.T) {
	env, _ := folders(t)
	res, err := run(t, env, `{"1":{"class_type":"LoadImage","inputs":{"image":"a.png"}},"2":{"class_type":"ImageCropV2","inputs":{"image":["1",0],"crop_region":{"x":3,"y":99,"width":50,"height":2}}},
"3":{"class_type":"PreviewImage","inputs":{"images":["2",0]}}}`, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := res.Values("2", 0)[0].(types.Image); !slices.Equal(got.Shape, []int{1, 1, 2, 3}) || len(res.UI["2"]["images"]) != 1 {
		t.Errorf("%v %v", got.Shape, res.UI["2"])
	}
}

func TestImageCropToMask(t *testing.T) {
	call := &graph.Call{Context: t.Context()}
	img, mask := types.Image{Tensor: types.NewTensor(1, 40, 60, 3)}, types.NewTensor(1, 40, 60)
	for i := range mask.Data {
		img.Data[3*i] = 1
		if x, y := i%60, i/60; x >= 20 && x < 40 && y >= 10 && y < 30 {
			mask.Data[i] = 1
		}
	}
	n := ImageCropToMask{Images: img, Masks: types.Mask{Tensor: mask}, Width: 64, Height: 128, PadFactor: 1, Background: "#0000ff"}
	out, err := n.Run(call)
	if err != nil {
		t.Fatal(err)
	}
	at := func(x, y int) []float32 { return out.Images.Data[(y*64+x)*3:][:3] }
	near(t, "inside", at(32, 64), []float32{1, 0, 0}, 0)
	near(t, "above", at(32, 10), []float32{0, 0, 1}, 0)
	negate(n.Masks.Data) // white outside: turned around
	turned, err := n.Run(call)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "turned mask", turned.Images.Data, out.Images.Data, 0)
	var e *graph.Error
	n.Background = "blue"
	if _, err := n.Run(call); !errors.As(err, &e) || e.Input != "background" {
		t.Errorf("colour: %v", err)
	}
}

func TestGrow(t *testing.T) {
	mask := make([]float32, 49)
	mask[3*7+3] = 1
	grow(mask, 7, 7, 2)
	count := func() (n int) {
		for _, v := range mask {
			n += int(v)
		}
		return n
	}
	if count() != 25 || mask[1*7+1] != 1 {
		t.Errorf("%v", mask)
	}
	grow(mask, 7, 7, -1)
	if count() != 9 {
		t.Errorf("%v", mask)
	}
}

func TestPainter(t *testing.T) {
	env, _ := folders(t) // a.png has the alpha k/255 in steps of 4
	call := &graph.Call{Context: t.Context(), Env: env}
	plain, err := Painter{Width: 64, Height: 128, BgColor: "#ff0000"}.Run(call)
	if err != nil || !slices.Equal(plain.Image.Shape, []int{1, 128, 64, 3}) || plain.Image.Data[0] != 1 || plain.Mask.Data[0] != 0 {
		t.Errorf("%v %v", plain.Image.Shape, err)
	}
	base := types.Image{Tensor: types.NewTensor(1, 4, 5, 3)}
	out, err := Painter{Mask: "a.png", BgColor: "#000000", Image: &base}.Run(call)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "alpha", out.Mask.Data[19:], []float32{79. / 255}, 1e-6)
	near(t, "blended", out.Image.Data[57:58], []float32{76. / 255 * 79 / 255}, 1e-6)
	if base.Data[57] != 0 {
		t.Error("the input changed")
	}
	var e *graph.Error
	if err := (Painter{Mask: "none.png"}).Validate(env); !errors.As(err, &e) || e.Input != "mask" {
		t.Errorf("no file: %v", err)
	}
	if a, b := mustSum(t, Painter{Mask: "a.png"}, env), mustSum(t, Painter{}, env); len(a) != 64 || b != "" {
		t.Errorf("fingerprints %q %q", a, b)
	}
}

func mustSum(t *testing.T, n Painter, env *graph.Env) string {
	t.Helper()
	s, err := n.Fingerprint(env)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestReadBoxes(t *testing.T) {
	for text, want := range map[string][]int{
		`{"x":1,"y":2,"width":3,"height":4}`: {1}, `[{"x":1},{"x":2,"label":"cat","score":0.5}]`: {2}, `[[{"x":1}],[],[{"x":1},{"x":2}]]`: {1, 0, 2}, `[]`: {0},
	} {
		lists, err := readBoxes([]byte(text))
		var have []int
		for _, l := range lists {
			have = append(have, len(l))
		}
		if err != nil || !slices.Equal(have, want) {
			t.Errorf("%s: %v %v", text, have, err)
		}
	}
	if _, err := readBoxes([]byte(`3`)); err == nil {
		t.Error("a number passes")
	}
}

func TestDrawBBoxes(t *testing.T) {
	call := &graph.Call{Context: t.Context()}
	score := 0.9
	out, err := DrawBBoxes{Bboxes: boxLists{{{X: 10, Y: 20, Width: 100, Height: 50, Label: "cat", Score: &score}, {X: -1e9, Y: 5, Width: 1e12, Height: 1e12}}}, Image: &types.Image{Tensor: types.NewTensor(2, 90, 120, 4)}}.Run(call)
	if err != nil {
		t.Fatal(err)
	}
	pixel := func(i, x, y int) []float32 { return out.Image.Item(i).Data[(y*120+x)*4:][:4] }
	for i := range 2 {
		near(t, "line", pixel(i, 12, 40), []float32{1, 0.2, 0.2, 1}, 0)
		near(t, "inside", pixel(i, 50, 50), []float32{0, 0, 0, 0}, 0)
	}
	canvas, err := DrawBBoxes{Bboxes: boxLists{{{X: 10, Y: 20, Width: 100, Height: 50}}, {}}}.Run(call)
	if err != nil || !slices.Equal(canvas.Image.Shape, []int{2, 70, 110, 3}) {
		t.Errorf("%v %v", canvas.Image.Shape, err)
	}
	if _, err := (DrawBBoxes{Bboxes: boxLists{{{X: 1e9, Width: 1, Height: 1e9}}}}).Run(call); err == nil {
		t.Error("a canvas without end passes")
	}
}

func TestCreateBoundingBoxes(t *testing.T) {
	env, _ := folders(t)
	prompt := `{"1":{"class_type":"CreateBoundingBoxes","inputs":{"width":1000,"height":2000,"editor_state":{"__value__":[{"x":100,"y":200,"width":300,"height":400,"metadata":{"type":"text","text":"hi","desc":"sign","palette":["#FF0000","#1","#2","#3","#4","#5"]}}]}}},
"2":{"class_type":"DrawBBoxes","inputs":{"bboxes":["1",1]}},"3":{"class_type":"PreviewImage","inputs":{"images":["2",0]}}}`
	res, err := run(t, env, prompt, nil)
	if err != nil {
		t.Fatal(err)
	}
	have, _ := json.Marshal(res.Values("1", 2)[0])
	want := `[{"bbox":[100,100,300,400],"color_palette":["#FF0000","#1","#2","#3","#4"],"desc":"sign","text":"hi","type":"text"}]`
	if string(have) != want {
		t.Errorf("%s, want %s", have, want)
	}
	if got := res.Values("1", 0)[0].(types.Image).Shape; !slices.Equal(got, []int{1, 1024, 512, 3}) {
		t.Errorf("preview %v", got)
	}
	if got := res.Values("2", 0)[0].(types.Image).Shape; !slices.Equal(got, []int{1, 600, 400, 3}) {
		t.Errorf("drawn %v", got)
	}
	// Elements from a link, as text, count in pixels; what the editor saw last does not.
	call := &graph.Call{Context: t.Context(), Env: env}
	n := CreateBoundingBoxes{Width: 1000, Height: 2000, Bboxes: &graph.Any{Value: want}}
	out, err := n.Run(call)
	if err != nil || len(out.Bboxes[0]) != 1 || out.Bboxes[0][0].Y != 200 || out.Bboxes[0][0].Height != 400 || out.Elements[0]["text"] != "hi" {
		t.Errorf("%+v %v", out.Bboxes, err)
	}
	n.LastIncoming = out.Bboxes[0]
	if out, err = n.Run(call); err != nil || len(out.Bboxes[0]) != 0 {
		t.Errorf("seen before: %+v %v", out.Bboxes, err)
	}
	n.Bboxes.Value = "no JSON"
	if _, err := n.Run(call); err == nil {
		t.Error("no JSON passes")
	}
}
