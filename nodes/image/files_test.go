package image

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"graphrun/graph"
	"graphrun/runtime/hub"
	"graphrun/runtime/picture"
	"graphrun/types"
)

// folders are new, with one picture of 5 by 4 pixels in input and another in a subfolder of output.
func folders(t *testing.T) (*graph.Env, *hub.Folders) {
	t.Helper()
	dir := t.TempDir()
	f := &hub.Folders{Input: filepath.Join(dir, "in"), Output: filepath.Join(dir, "out"), Temp: filepath.Join(dir, "temp")}
	img := types.Image{Tensor: types.NewTensor(1, 4, 5, 4)}
	for i := range img.Data {
		img.Data[i] = float32(i) / 255
	}
	var b bytes.Buffer
	if err := picture.WritePNG(t.Context(), &b, img, 0, 4, nil); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(f.Input, "a.png"), filepath.Join(f.Output, "old", "b.png")} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, b.Bytes(), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	env := graph.NewEnv()
	graph.Provide(env, f)
	return env, f
}

func run(t *testing.T, env *graph.Env, prompt string, events func(graph.Event)) (*graph.Result, error) {
	t.Helper()
	p, err := graph.ParsePrompt([]byte(prompt))
	if err != nil {
		t.Fatal(err)
	}
	return graph.Run(context.Background(), p, graph.Options{
		Env: env, Events: events,
		ExtraPNGInfo: map[string]json.RawMessage{"workflow": json.RawMessage(`{"b":1.50,"a":"é"}`)},
	})
}

const invert = `{"1":{"class_type":"LoadImage","inputs":{"image":"a.png"}},
"2":{"class_type":"ImageInvert","inputs":{"image":["1",0]}},
"3":{"class_type":"%class%","inputs":{"images":["2",0]%more%}}}`

func TestSaveImage(t *testing.T) {
	env, f := folders(t)
	prompt := strings.NewReplacer("%class%", "SaveImage", "%more%", `,"filename_prefix":"s/x_%width%x%height%"`).Replace(invert)
	for _, want := range []string{"x_5x4_00001_.png", "x_5x4_00002_.png"} {
		steps := 0
		res, err := run(t, env, prompt, func(e graph.Event) {
			if p, ok := e.(graph.Progress); ok && p.Phase == "save" && p.Step == 1 && p.Total == 1 {
				steps++
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		shown := res.UI["3"]["images"][0].(map[string]any)
		if shown["filename"] != want || shown["subfolder"] != "s" || shown["type"] != "output" {
			t.Fatalf("shown %v, want %s", shown, want)
		}
		if steps != 1 {
			t.Errorf("%d reports of saving", steps)
		}
		if got := res.Values("3", 0)[0].(types.Image); !slices.Equal(got.Shape, []int{1, 4, 5, 3}) {
			t.Errorf("passed on: %v", got.Shape)
		}
		data, err := os.ReadFile(filepath.Join(f.Output, "s", want))
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"tEXtworkflow\x00" + `{"b": 1.5, "a": "\u00e9"}`, "tEXtprompt\x00" + `{"1": {"inputs": {"image": "a.png"}, "class_type": "LoadImage", "is_changed": ["`} {
			if !bytes.Contains(data, []byte(text)) {
				t.Errorf("the file has no %q", text)
			}
		}
		img, _, err := picture.Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		for p := range 20 {
			for c := range 3 {
				// 1 - k/255 may come out a hair below, and bytes are cut, not rounded.
				if got, want := math.Round(float64(img.Data[p*3+c])*255), float64(255-(p*4+c)); got != want && got != want-1 {
					t.Fatalf("pixel %d: %v, want %v", p, got, want)
				}
			}
		}
	}
	left, _ := filepath.Glob(filepath.Join(f.Output, "s", "*"))
	if len(left) != 2 {
		t.Errorf("files: %v", left)
	}
}

func TestPreviewImage(t *testing.T) {
	env, f := folders(t)
	res, err := run(t, env, strings.NewReplacer("%class%", "PreviewImage", "%more%", "").Replace(invert), nil)
	if err != nil {
		t.Fatal(err)
	}
	shown := res.UI["3"]["images"][0].(map[string]any)
	name := shown["filename"].(string)
	if !regexp.MustCompile(`^ComfyUI_temp_[a-z]{5}_00001_\.png$`).MatchString(name) || shown["type"] != "temp" {
		t.Errorf("shown %v", shown)
	}
	if _, err := os.Stat(filepath.Join(f.Temp, name)); err != nil {
		t.Error(err)
	}
}

func TestSaveErrors(t *testing.T) {
	env, f := folders(t)
	img := types.Image{Tensor: types.NewTensor(2, 3, 4, 3)}
	call := &graph.Call{Context: context.Background(), Env: env}
	fails := func(name string, images types.Image, prefix string, c *graph.Call, want string) {
		t.Helper()
		_, err := SaveImage{images, prefix}.Run(c)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q in it", name, err, want)
		} else {
			t.Logf("%s: %v", name, err)
		}
		if files, _ := filepath.Glob(filepath.Join(f.Output, "*.*")); len(files) > 0 {
			t.Errorf("%s leaves %v", name, files)
		}
	}
	nan := types.Image{Tensor: img.Clone()}
	nan.Data[36+5*3+1] = float32(math.NaN())
	fails("NaN", nan, "x", call, "x 1, y 1 of picture 1")
	fails("outside", img, "../x", call, "outside the output folder")
	fails("no folders", img, "x", &graph.Call{Context: context.Background()}, "hub.Folders")
	fails("one channel", types.Image{Tensor: types.NewTensor(1, 2, 2, 1)}, "x", call, "channels")
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	fails("cancelled", img, "x", &graph.Call{Context: cancelled, Env: env}, "canceled")
	if err := os.WriteFile(filepath.Join(f.Output, "old", "file"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	fails("a file in the way", img, "old/file/x", call, "cannot write")
}

func TestLoadImage(t *testing.T) {
	env, f := folders(t)
	spec := graph.Registered()["LoadImage"]
	if got := spec.Input("image").Choices(env); !slices.Equal(got, []string{"a.png"}) {
		t.Errorf("choices %v", got)
	}
	sum := func(name string) string {
		s, err := LoadImage{inputFile(name)}.Fingerprint(env)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if len(sum("a.png")) != 64 || sum("a.png") != sum("old/b.png [output]") {
		t.Error("equal files have other fingerprints")
	}
	out, err := LoadImage{"old/b.png [output]"}.Run(&graph.Call{Context: context.Background(), Env: env})
	if err != nil || !slices.Equal(out.Image.Shape, []int{1, 4, 5, 3}) || math.Abs(float64(out.Mask.Data[1])-(1-7./255)) > 1e-6 {
		t.Errorf("%v %v %v", out.Image.Shape, out.Mask, err)
	}
	if err := os.WriteFile(filepath.Join(f.Input, "a.png"), []byte("no picture"), 0o666); err != nil {
		t.Fatal(err)
	}
	if sum("a.png") == sum("old/b.png [output]") {
		t.Error("another file has the same fingerprint")
	}
	_, err = LoadImage{"a.png"}.Run(&graph.Call{Context: context.Background(), Env: env})
	var e *picture.Error
	if !errors.As(err, &e) {
		t.Errorf("text: %v", err)
	}
	for _, name := range []string{"", "none.png", "../out/old/b.png", "old [output]", "a.png [elsewhere]", "/etc/passwd"} {
		_, err := run(t, env, strings.Replace(`{"1":{"class_type":"LoadImage","inputs":{"image":"%"}},"2":{"class_type":"PreviewImage","inputs":{"images":["1",0]}}}`, "%", name, 1), nil)
		var v *graph.ValidationError
		if !errors.As(err, &v) {
			t.Errorf("%q passes validation: %v", name, err)
		} else {
			t.Logf("%q: %v", name, err)
		}
	}
}
