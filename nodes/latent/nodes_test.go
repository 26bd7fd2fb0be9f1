package latent

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"graphrun/graph"
	"graphrun/runtime/hub"
	"graphrun/runtime/weights"
	"graphrun/types"
)

// ramp is a latent whose values count up from first.
func ramp(first float32, shape ...int) types.Latent {
	t := types.NewTensor(shape...)
	for i := range t.Data {
		t.Data[i] = first + float32(i)
	}
	return types.Latent{Samples: t}
}

func TestRebatch(t *testing.T) {
	half := types.Mask{Tensor: types.NewTensor(1, 4, 4)} // of another size: resized to 8 pixels a cell
	masked := ramp(100, 3, 1, 2, 2)
	masked.NoiseMask, masked.BatchIndex = &half, []int{7, 8, 9}
	list := graph.List[types.Latent]{ramp(0, 2, 1, 2, 2), masked, ramp(200, 1, 1, 3, 2), ramp(300, 2, 1, 3, 2)}
	out, err := RebatchLatents{list, 2}.Run(call)
	if err != nil {
		t.Fatal(err)
	}
	type row struct {
		first float32
		index []int
		mask  bool
	}
	want := []row{{0, []int{0, 1}, false}, {100, []int{7, 8}, true}, {108, []int{9}, true}, {200, []int{5, 6}, false}, {306, []int{7}, false}}
	if len(out) != len(want) {
		t.Fatalf("%d batches, want %d", len(out), len(want))
	}
	for i, w := range want {
		o := out[i]
		if o.Samples.Data[0] != w.first || !slices.Equal(o.BatchIndex, w.index) || (o.NoiseMask != nil) != w.mask || o.Samples.Shape[0] != len(w.index) {
			t.Errorf("batch %d: starts %v, index %v, mask %v", i, o.Samples.Data[0], o.BatchIndex, o.NoiseMask != nil)
		}
		if o.NoiseMask != nil && !slices.Equal(o.NoiseMask.Shape, []int{len(w.index), 16, 16}) {
			t.Errorf("batch %d: mask %v", i, o.NoiseMask.Shape)
		}
	}
}

func TestSaveAndLoadLatent(t *testing.T) {
	dir := t.TempDir()
	f := &hub.Folders{Input: filepath.Join(dir, "in"), Output: filepath.Join(dir, "out")}
	env := graph.NewEnv()
	graph.Provide(env, f)
	c := &graph.Call{Context: context.Background(), Env: env, ExtraPNGInfo: map[string]json.RawMessage{"workflow": json.RawMessage(`{"a":"é"}`)}}
	in := ramp(1, 1, 4, 2, 3, 2)
	saved, err := SaveLatent{in, "x/l"}.Run(c)
	if err != nil {
		t.Fatal(err)
	}
	shown := saved.UI["latents"][0].(map[string]any)
	if shown["filename"] != "l_00001_.latent" || shown["subfolder"] != "x" || shown["type"] != "output" {
		t.Errorf("shown %v", shown)
	}
	raw, err := os.ReadFile(filepath.Join(f.Output, "x", "l_00001_.latent"))
	if err != nil || !strings.Contains(string(raw), `"workflow":"{\"a\": \"\\u00e9\"}"`) {
		t.Errorf("metadata: %v", err)
	}
	out, err := LoadLatent{"x/l_00001_.latent [output]"}.Run(c)
	if err != nil || !slices.Equal(out.Samples.Shape, in.Samples.Shape) || !slices.Equal(out.Samples.Data, in.Samples.Data) {
		t.Errorf("read back: %v %v", out.Samples.Shape, err)
	}
	if sum, err := (LoadLatent{"x/l_00001_.latent [output]"}).Fingerprint(env); err != nil || len(sum) != 64 {
		t.Errorf("fingerprint %q %v", sum, err)
	}

	// A file of before the marker, in half precision.
	if err := os.MkdirAll(f.Input, 0o777); err != nil {
		t.Fatal(err)
	}
	half := binary.LittleEndian.AppendUint16(nil, weights.Float32ToF16(0.18215))
	if err := weights.Write(filepath.Join(f.Input, "old.latent"), []weights.Tensor{{Name: "latent_tensor", DType: weights.F16, Shape: []int{1, 1, 1, 1}, Data: half}}, nil); err != nil {
		t.Fatal(err)
	}
	if got := latentFile("").Options(env); !slices.Equal(got, []string{"old.latent"}) {
		t.Errorf("choices %v", got)
	}
	old, err := LoadLatent{"old.latent"}.Run(c)
	if err != nil || math.Abs(float64(old.Samples.Data[0])-1) > 1e-3 {
		t.Errorf("old file: %v %v", old.Samples.Data, err)
	}
	var e *graph.Error
	for _, name := range []latentFile{"none.latent", "../out/x/l_00001_.latent", ""} {
		if err := (LoadLatent{name}).Validate(env); !errors.As(err, &e) || e.Input != "latent" {
			t.Errorf("%q: %v", name, err)
		}
	}
	if err := os.WriteFile(filepath.Join(f.Input, "text.latent"), []byte("no latent"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := (LoadLatent{"text.latent"}).Run(c); !errors.As(err, &e) || e.Input != "latent" {
		t.Errorf("text: %v", err)
	}
}

// Videos have frames before the height: operations on pictures work on every frame.
func TestVideoLatents(t *testing.T) {
	video := ramp(0, 1, 2, 3, 8, 9)
	frame := func(l types.Latent, k int) types.Latent { // channel 0
		return types.Latent{Samples: types.Tensor{Shape: []int{1, 1, 8, 9}, Data: l.Samples.Data[k*72:][:72]}}
	}
	flipped, err := LatentFlip{video, "y-axis: horizontally"}.Run(call)
	if err != nil {
		t.Fatal(err)
	}
	one, err := LatentFlip{frame(video, 2), "y-axis: horizontally"}.Run(call)
	if err != nil || !slices.Equal(frame(flipped, 2).Samples.Data, one.Samples.Data) || one.Samples.Data[0] != frame(video, 2).Samples.Data[8] {
		t.Errorf("flip: %v", err)
	}
	turned, err := LatentRotate{video, "90 degrees"}.Run(call)
	if err != nil || !slices.Equal(turned.Samples.Shape, []int{1, 2, 3, 9, 8}) || turned.Samples.Data[7] != 0 { // the first cell is now on the right
		t.Errorf("rotate: %v %v", turned.Samples.Shape, err)
	}
	frames, err := LatentCut{video, "t", 1, 5}.Run(call)
	if err != nil || !slices.Equal(frames.Samples.Shape, []int{1, 2, 2, 8, 9}) || frames.Samples.Data[0] != 72 {
		t.Errorf("cut: %v %v", frames.Samples.Shape, err)
	}
	pasted, err := LatentComposite{video, ramp(1000, 1, 2, 3, 2, 2), 8, 16, 0}.Run(call)
	if err != nil || pasted.Samples.Data[2*9+1] != 1000 || pasted.Samples.Data[72+2*9+1] != 1004 || pasted.Samples.Data[0] != 0 {
		t.Errorf("composite: %v", err)
	}
}

// Every picture of a batch is mixed by lengths of its own.
func TestInterpolateBatch(t *testing.T) {
	a, b := ramp(1, 3, 2, 2, 2), ramp(50, 1, 2, 2, 2)
	whole, err := LatentInterpolate{a, b, 0.3}.Run(call)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		item := types.Latent{Samples: types.Tensor{Shape: []int{1, 2, 2, 2}, Data: a.Samples.Item(i).Data}}
		one, err := LatentInterpolate{item, b, 0.3}.Run(call)
		if err != nil || !slices.Equal(one.Samples.Data, whole.Samples.Item(i).Data) {
			t.Errorf("picture %d: %v", i, err)
		}
	}
}

// Inputs that do not fit are errors that name the input, and change nothing.
func TestRefusals(t *testing.T) {
	small, other, flat := ramp(0, 1, 4, 2, 2), ramp(0, 1, 16, 2, 2), ramp(0, 4)
	var e *graph.Error
	for name, run := range map[string]func() (types.Latent, error){
		"samples2: channels": func() (types.Latent, error) { return LatentAdd{small, other}.Run(call) },
		"samples2: axes":     func() (types.Latent, error) { return LatentBatch{small, flat}.Run(call) },
		"samples2: batch": func() (types.Latent, error) {
			return LatentBlend{ramp(0, 2, 4, 2, 2), ramp(0, 3, 4, 2, 2), 0.5}.Run(call)
		},
		"samples_from: channel": func() (types.Latent, error) { return LatentComposite{small, other, 0, 0, 0}.Run(call) },
		"destination: axes":     func() (types.Latent, error) { return LatentCompositeMasked{flat, small, 0, 0, true, nil}.Run(call) },
		"samples: axes":         func() (types.Latent, error) { return LatentRotate{flat, "none"}.Run(call) },
		"samples: radius": func() (types.Latent, error) {
			op, _ := LatentOperationSharpen{3, 1, 0.1}.Run(call)
			return LatentApplyOperation{small, op}.Run(call)
		},
		"amount: memory": func() (types.Latent, error) { // 64 x 64 MiB values
			big := types.Latent{Samples: types.NewTensor(1, 1, 1<<13, 1<<13)}
			return RepeatLatentBatch{big, 64}.Run(call)
		},
	} {
		input, _, _ := strings.Cut(name, ":")
		if _, err := run(); !errors.As(err, &e) || e.Input != input {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := (LatentConcat{small, ramp(0, 1, 4, 3, 2), "x"}).Run(call); err == nil {
		t.Error("latents of other heights are joined along x")
	}
}

// What lies outside of the destination is not drawn.
func TestCompositeOutside(t *testing.T) {
	to, from := ramp(0, 2, 1, 4, 4), ramp(100, 1, 1, 3, 3)
	for _, at := range []int{32, 400} {
		out, err := LatentComposite{to, from, at, at, 16}.Run(call)
		if err != nil || !slices.Equal(out.Samples.Data, to.Samples.Data) {
			t.Errorf("at %d: %v", at, err)
		}
		out, err = LatentCompositeMasked{to, from, at, at, false, nil}.Run(call)
		if err != nil || !slices.Equal(out.Samples.Data, to.Samples.Data) {
			t.Errorf("masked at %d: %v", at, err)
		}
	}
	out, err := LatentCompositeMasked{to, from, 16, 24, false, &types.Mask{Tensor: types.NewTensor(1, 2, 2)}}.Run(call)
	if err != nil || !slices.Equal(out.Samples.Data, to.Samples.Data) {
		t.Errorf("a mask of zeros: %v", err)
	}
}
