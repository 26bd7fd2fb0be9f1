package main

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// paint writes a picture of one colour.
func paint(t *testing.T, c color.NRGBA, path ...string) {
	t.Helper()
	m := image.NewNRGBA(image.Rect(0, 0, 4, 4))
	for y := range 4 {
		for x := range 4 {
			m.SetNRGBA(x, y, c)
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(path...)
	os.MkdirAll(filepath.Dir(file), 0o777)
	if err := os.WriteFile(file, b.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
}

// TestRemoteUpload: pictures of this machine that a workflow names go to the server first, in place of none that is there.
func TestRemoteUpload(t *testing.T) {
	url, base := served(t, "--max-upload-size", "0.01")
	red, green, blue := color.NRGBA{255, 0, 0, 255}, color.NRGBA{0, 255, 0, 255}, color.NRGBA{0, 0, 255, 255}
	dir := t.TempDir()
	paint(t, red, dir, "in", "sub", "a.png")
	paint(t, green, dir, "b.png")            // beside the workflow
	paint(t, blue, base, "input", "b.png")   // another of that name
	paint(t, blue, base, "input", "own.png") // the server's own
	paint(t, red, dir, "..", "outside.png")
	workflow := filepath.Join(dir, "w.json")
	run := func(want int, name string) (shown []color.NRGBA) {
		t.Helper()
		os.WriteFile(workflow, []byte(`{"1":{"class_type":"LoadImage","inputs":{"image":"`+name+`"}},"2":{"class_type":"SaveImage","inputs":{"images":["1",0],"filename_prefix":"x"}},
			"3":{"class_type":"LoadImageMask","inputs":{"image":"`+name+`","channel":"red"}},"4":{"class_type":"MaskPreview","inputs":{"mask":["3",0]}}}`), 0o666)
		var out, errs bytes.Buffer
		c := rootCommand()
		c.SetOut(&out)
		c.SetErr(&errs)
		c.SetArgs([]string{"run", workflow, "--server", url, "--input", filepath.Join(dir, "in"), "-o", filepath.Join(dir, "out"), "--quiet"})
		err := c.ExecuteContext(t.Context())
		if exitCode(err) != want {
			t.Fatalf("%s: %v\n%s", name, err, errs.String())
		}
		for _, file := range strings.Fields(out.String()) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			m, err := png.Decode(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			shown = append(shown, color.NRGBAModel.Convert(m.At(0, 0)).(color.NRGBA))
		}
		if want == exitFailed && !strings.Contains(errs.String(), "--max-upload-size") {
			t.Error(errs.String())
		}
		return shown
	}
	for name, want := range map[string]color.NRGBA{"sub/a.png": red, "sub/a.png [input]": red, "b.png": green, "own.png": blue} {
		for range 2 {
			if got := run(exitDone, name); len(got) != 2 || got[0] != want {
				t.Errorf("%s: %v", name, got)
			}
		}
	}
	var there []string
	filepath.WalkDir(filepath.Join(base, "input"), func(p string, e os.DirEntry, _ error) error {
		if rel, _ := filepath.Rel(base, p); !e.IsDir() {
			there = append(there, filepath.ToSlash(rel))
		}
		return nil
	})
	if want := []string{"input/b (1).png", "input/b.png", "input/own.png", "input/sub/a.png"}; !slices.Equal(there, want) {
		t.Errorf("the server has %q, want %q", there, want)
	}
	run(exitBadWorkflow, "../outside.png")
	os.WriteFile(filepath.Join(dir, "in", "large.png"), make([]byte, 1<<20), 0o666)
	run(exitFailed, "large.png")
}

// TestLocalInput looks for files where a workflow's pictures lie, and nowhere else.
func TestLocalInput(t *testing.T) {
	dir := t.TempDir()
	red := color.NRGBA{255, 0, 0, 255}
	paint(t, red, dir, "in", "a.png")
	paint(t, red, dir, "beside", "a.png")
	paint(t, red, dir, "beside", "deep", "b.png")
	paint(t, red, dir, "secret.png")
	os.Symlink(filepath.Join(dir, "secret.png"), filepath.Join(dir, "in", "link.png"))
	folders := []string{filepath.Join(dir, "none"), filepath.Join(dir, "in"), filepath.Join(dir, "beside")}
	for name, want := range map[string]string{
		"a.png": "in/a.png", "a.png [input]": "in/a.png", "deep/b.png": "beside/deep/b.png",
		"deep": "", "c.png": "", "a.png [output]": "", "../secret.png": "", "link.png": "", "": "", ".": "", "a\x00b": "",
		filepath.Join(dir, "secret.png"): "",
	} {
		file, found := localInput(name, folders)
		if want != "" {
			want = filepath.Join(dir, filepath.FromSlash(want))
		}
		if file != want || found != (want != "") {
			t.Errorf("%q: want %q, have %q", name, want, file)
		}
	}
}
