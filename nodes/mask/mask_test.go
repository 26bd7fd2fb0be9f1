package mask

import (
	"errors"
	"math"
	"slices"
	"testing"

	"graphrun/graph"
	"graphrun/types"
)

// row is one mask of one line.
func row(values ...float32) types.Mask {
	return types.Mask{Tensor: types.Tensor{Shape: []int{1, 1, len(values)}, Data: values}}
}

func near(t *testing.T, what string, have types.Tensor, want ...float32) {
	t.Helper()
	if len(have.Data) != len(want) {
		t.Fatalf("%s: %v, want %v", what, have.Data, want)
	}
	for i, v := range have.Data {
		if math.Abs(float64(v-want[i])) > 1e-6 {
			t.Fatalf("%s: %v, want %v", what, have.Data, want)
		}
	}
}

// The lines on the right start with the first on the left: ComfyUI counts them from -0 on.
func TestFeather(t *testing.T) {
	for _, c := range []struct {
		left, right int
		want        []float32
	}{
		{0, 0, []float32{1, 1, 1, 1}},
		{2, 0, []float32{0.5, 1, 1, 1}},
		{0, 2, []float32{0.5, 1, 1, 1}},
		{0, 3, []float32{1. / 3, 1, 1, 2. / 3}},
		{100, 0, []float32{0.25, 0.5, 0.75, 1}},
	} {
		out, err := FeatherMask{Mask: row(1, 1, 1, 1), Left: c.left, Right: c.right}.Run(nil)
		if err != nil {
			t.Fatal(err)
		}
		near(t, "feather", out.Tensor, c.want...)
	}
}

func TestSimpleMasks(t *testing.T) {
	in := row(0, 0.25, 0.5, 1)
	inverted, err := InvertMask{in}.Run(nil)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "inverted", inverted.Tensor, 1, 0.75, 0.5, 0)
	above, err := ThresholdMask{in, 0.5}.Run(nil)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "above", above.Tensor, 0, 0, 0, 1)
	cut, err := CropMask{Mask: in, X: 9, Width: 5, Height: 1}.Run(nil)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "the last", cut.Tensor, 1)
	grown, err := GrowMask{row(0, 0, 1, 0, 0), 1, true}.Run(&graph.Call{Context: t.Context()})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "grown", grown.Tensor, 0, 1, 1, 1, 0)
	solid, err := SolidMask{0.5, 2, 1}.Run(nil)
	if err != nil || !slices.Equal(solid.Shape, []int{1, 1, 2}) {
		t.Fatalf("%v, %v", solid, err)
	}
	near(t, "solid", solid.Tensor, 0.5, 0.5)
}

func TestMaskComposite(t *testing.T) {
	for operation, want := range map[maskOperation][]float32{
		"multiply": {0.25, 0.3, 0.5},
		"add":      {0.25, 1, 1},
		"subtract": {0.25, 0, 0},
		"and":      {0.25, 0, 0},
		"or":       {0.25, 1, 1},
		"xor":      {0.25, 1, 1},
	} {
		out, err := MaskComposite{Destination: row(0.25, 0.5, 0.5), Source: row(0.6, 1), X: 1, Operation: operation}.Run(nil)
		if err != nil {
			t.Fatal(err)
		}
		near(t, string(operation), out.Tensor, want...)
	}
	out, err := MaskComposite{Destination: row(0, 2), Source: row(1), X: 77, Operation: "add"}.Run(nil)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "beside it", out.Tensor, 0, 1)
}

func TestAlpha(t *testing.T) {
	c := &graph.Call{Context: t.Context()}
	img := types.Image{Tensor: types.Tensor{Shape: []int{1, 1, 2, 3}, Data: []float32{0.1, 0.2, 0.3, 0.4, 0.5, 0.6}}}
	joined, err := JoinImageWithAlpha{img, row(0.25, 1)}.Run(c)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "joined", joined.Tensor, 0.1, 0.2, 0.3, 0.75, 0.4, 0.5, 0.6, 0)
	parts, err := SplitImageWithAlpha{joined}.Run(c)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "colour", parts.Image.Tensor, img.Data...)
	near(t, "mask", parts.Mask.Tensor, 0.25, 1)
	over, err := PorterDuffImageComposite{img, row(0.5, 0), img, row(0, 1), "SRC_OVER"}.Run(c)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "over itself", over.Image.Tensor, img.Data...)
	near(t, "its mask", over.Mask.Tensor, 0, 0)
	_, err = ImageToMask{img, "alpha"}.Run(nil)
	var e *graph.Error
	if !errors.As(err, &e) || e.Input != "channel" || e.Hint == "" {
		t.Errorf("no alpha: %v", err)
	}
	green, err := ImageToMask{img, "green"}.Run(nil)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "green", green.Tensor, 0.2, 0.5)
	found, err := ImageColorToMask{img, 0x1a334c}.Run(nil) // 25.5 and 76.5 round to even
	if err != nil {
		t.Fatal(err)
	}
	near(t, "the first pixel", found.Tensor, 1, 0)
}
