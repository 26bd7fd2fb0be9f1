package image

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"graphrun/graph"
	"graphrun/runtime/picture"
	"graphrun/types"
)

func TestSaveAnimated(t *testing.T) {
	for class, suffix := range map[string]string{"SaveAnimatedPNG": ".png", "SaveAnimatedWEBP": ".webp"} {
		env, f := folders(t)
		more := `,"filename_prefix":"v/a","fps":8,"compress_level":4`
		if suffix == ".webp" {
			more = `,"filename_prefix":"v/a","fps":8,"lossless":true,"quality":80,"method":"default"`
		}
		res, err := run(t, env, `{"1":{"class_type":"LoadImage","inputs":{"image":"a.png"}},
"2":{"class_type":"RepeatImageBatch","inputs":{"image":["1",0],"amount":3}},
"3":{"class_type":"`+class+`","inputs":{"images":["2",0]`+more+`}}}`, nil)
		if err != nil {
			t.Fatal(err)
		}
		ui := res.UI["3"]
		shown := ui["images"][0].(map[string]any)
		if shown["filename"] != "a_00001_"+suffix || shown["subfolder"] != "v" || len(ui["animated"]) != 1 || ui["animated"][0] != true {
			t.Errorf("%s shows %v", class, ui)
		}
		data, err := os.ReadFile(filepath.Join(f.Output, "v", "a_00001_"+suffix))
		if err != nil {
			t.Fatal(err)
		}
		img, _, err := picture.Decode(data)
		if err != nil || !slices.Equal(img.Shape, []int{3, 4, 5, 3}) {
			t.Errorf("%s: %v, %v", class, img.Shape, err)
		}
		if suffix == ".webp" {
			lossy := SaveAnimatedWEBP{Images: types.Image{Tensor: picture.Repeat(img.Tensor, 2)}, FilenamePrefix: "lossy", FPS: 24, Quality: 50}
			if _, err := lossy.Run(&graph.Call{Context: t.Context(), Env: env}); err != nil {
				t.Fatal(err)
			}
			if data, err := os.ReadFile(filepath.Join(f.Output, "lossy_00001_.webp")); err != nil || bytes.Count(data, []byte("VP8 ")) != 2 {
				t.Errorf("not two lossy pictures: %v", err)
			}
		}
		if !bytes.Contains(data, []byte(`"class_type": "`+class+`"`)) || !bytes.Contains(data, []byte(`{"b": 1.5, "a": "\u00e9"}`)) {
			t.Errorf("%s: no metadata", class)
		}
	}
}

// Pictures and texts that are shown while a node runs come as events, in their order.
func TestPreviews(t *testing.T) {
	env, _ := folders(t)
	var steps []int
	var files [][]byte
	_, err := run(t, env, `{"1":{"class_type":"EmptyImage","inputs":{"width":3,"height":2,"batch_size":2,"color":16711680}},
"2":{"class_type":"SaveImageWebsocket","inputs":{"images":["1",0]}},
"3":{"class_type":"GetImageSize","inputs":{"image":["1",0]}},
"4":{"class_type":"PreviewAny","inputs":{"source":["3",2]}}}`, func(e graph.Event) {
		switch e := e.(type) {
		case graph.Progress:
			steps = append(steps, e.Step)
		case graph.Preview:
			if e.MIME == "image/png" && e.NodeID == "2" {
				files = append(files, e.Data)
			} else if e.NodeID != "3" || string(e.Data) != "width: 3, height: 2\n batch size: 2" {
				t.Errorf("preview %s of node %s: %q", e.MIME, e.NodeID, e.Data)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(steps, []int{0, 1}) || len(files) != 2 {
		t.Fatalf("steps %v, %d pictures", steps, len(files))
	}
	img, _, err := picture.Decode(files[1])
	if err != nil || !slices.Equal(img.Shape, []int{1, 2, 3, 3}) || img.Data[0] != 1 || img.Data[1] != 0 {
		t.Errorf("%v %v", img, err)
	}
}

func TestPreviewAny(t *testing.T) {
	for _, c := range []struct {
		value any
		want  string
	}{
		{"x\ny", "x\ny"},
		{nil, "None"},
		{true, "True"},
		{int64(-3), "-3"},
		{2.0, "2.0"},
		{[]any{1, "é", map[string]any{"a": 1.5}}, `[1, "\u00e9", {"a": 1.5}]`},
		{types.Image{Tensor: types.NewTensor(1, 2, 3, 3)}, "IMAGE [1 2 3 3]"},
		{types.Model{}, "MODEL"},
		{func() {}, "0x"},
	} {
		out, err := PreviewAny{graph.Any{Value: c.value}}.Run(&graph.Call{Context: t.Context()})
		if err != nil || out.Text != c.want && !strings.HasPrefix(out.Text, "0x") || out.UI["text"][0] != out.Text {
			t.Errorf("%v: %q, %v", c.value, out.Text, err)
		}
	}
}

func TestLoadImageMask(t *testing.T) {
	env, _ := folders(t)
	for channel, first := range map[maskChannel]float32{"red": 0, "green": 1. / 255, "blue": 2. / 255, "alpha": 1 - 3./255} {
		m, err := LoadImageMask{"a.png", channel}.Run(&graph.Call{Context: t.Context(), Env: env})
		if err != nil || !slices.Equal(m.Shape, []int{1, 4, 5}) || m.Data[0] != first {
			t.Errorf("%s: %v, %v", channel, m, err)
		}
	}
	out, err := LoadImageOutput{"old/b.png [output]"}.Run(&graph.Call{Context: t.Context(), Env: env})
	if err != nil || !slices.Equal(out.Image.Shape, []int{1, 4, 5, 3}) {
		t.Errorf("%v, %v", out.Image.Shape, err)
	}
}

func TestMaskPreview(t *testing.T) {
	env, f := folders(t)
	mask := types.Mask{Tensor: types.NewTensor(2, 3, 4)}
	out, err := MaskPreview{mask}.Run(&graph.Call{Context: t.Context(), Env: env})
	if err != nil || len(out.UI["images"]) != 2 || len(out.Mask.Data) != 24 {
		t.Fatalf("%v, %v", out, err)
	}
	data, err := os.ReadFile(filepath.Join(f.Temp, out.UI["images"][1].(map[string]any)["filename"].(string)))
	if err != nil {
		t.Fatal(err)
	}
	if img, _, err := picture.Decode(data); err != nil || !slices.Equal(img.Shape, []int{1, 3, 4, 3}) {
		t.Errorf("%v, %v", img.Shape, err)
	}
}
