package image

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"graphrun/graph"
	"graphrun/internal/golden"
	"graphrun/types"
)

// newerGolden decodes one key of what ComfyUI 0.33 answered.
func newerGolden(t *testing.T, key string, into any) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(golden.Dir(t), "newer", "golden_newer.json"))
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]json.RawMessage
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(doc[key], into); err != nil {
		t.Fatalf("%s: %v", key, err)
	}
}

// TestGoldenResizeImageMask: [shape of the input, resize_type and its inputs, shape of the result or an error].
func TestGoldenResizeImageMask(t *testing.T) {
	var cases [][3]json.RawMessage
	newerGolden(t, "ResizeImageMaskNode_shapes", &cases)
	if len(cases) == 0 {
		t.Fatal("no cases")
	}
	for _, c := range cases {
		var shape, want []int
		var kind struct {
			ResizeType string `json:"resize_type"`
		}
		if json.Unmarshal(c[0], &shape) != nil || json.Unmarshal(c[1], &kind) != nil {
			t.Fatalf("%s %s", c[0], c[1])
		}
		fails := json.Unmarshal(c[2], &want) != nil
		n := ResizeImageMaskNode{ScaleMethod: "nearest-exact"}
		n.ResizeType.Key = kind.ResizeType
		// An option's inputs go by names that differ between options, or mean the same.
		for _, option := range []any{
			&n.ResizeType.Dimensions, &n.ResizeType.Multiplier, &n.ResizeType.Width, &n.ResizeType.Height, &n.ResizeType.Pixels, &n.ResizeType.Multiple,
		} {
			if err := json.Unmarshal(c[1], option); err != nil {
				t.Fatal(err)
			}
		}
		var sides struct {
			Longer  int `json:"longer_size"`
			Shorter int `json:"shorter_size"`
		}
		if err := json.Unmarshal(c[1], &sides); err != nil {
			t.Fatal(err)
		}
		n.ResizeType.Longer.LongerSize, n.ResizeType.Shorter.ShorterSize = sides.Longer, sides.Shorter
		n.Input.Value = types.Image{Tensor: types.NewTensor(shape...)}
		if len(shape) == 3 {
			n.Input.Value = types.Mask{Tensor: types.NewTensor(shape...)}
		}
		if len(want) > 0 && types.Elements(want) > 1<<22 { // a strip of a gigabyte: its size is enough
			if size, err := n.ResizeType.size(shape[2], shape[1]); err != nil || size.width != want[2] || size.height != want[1] {
				t.Errorf("%s %s: %v %v, want %v", c[0], c[1], size, err, want)
			}
			continue
		}
		out, err := n.Run(&graph.Call{Context: t.Context()})
		if fails {
			if err == nil {
				t.Errorf("%s %s: passes, ComfyUI: %s", c[0], c[1], c[2])
			}
			continue
		}
		if err != nil {
			t.Errorf("%s %s: %v", c[0], c[1], err)
			continue
		}
		var have []int
		switch v := out.Resized.Value.(type) {
		case types.Image:
			have = v.Shape
		case types.Mask:
			have = v.Shape
		}
		if !slices.Equal(have, want) {
			t.Errorf("%s %s: %v, want %v", c[0], c[1], have, want)
		}
	}
}

// TestGoldenTiles: [width, height, tile width, tile height, overlap, the tiles' left, top, right and bottom].
func TestGoldenTiles(t *testing.T) {
	var cases [][6]json.RawMessage
	newerGolden(t, "SplitImageToTileList", &cases)
	if len(cases) == 0 {
		t.Fatal("no cases")
	}
	for _, c := range cases {
		var in [5]int
		for i := range in {
			if err := json.Unmarshal(c[i], &in[i]); err != nil {
				t.Fatal(err)
			}
		}
		var want [][4]int
		if err := json.Unmarshal(c[5], &want); err != nil {
			t.Fatal(err)
		}
		var have [][4]int
		for _, x := range tiles(in[0], in[1], in[2], in[3], in[4]) {
			have = append(have, [4]int{x.x, x.y, x.x + x.w, x.y + x.h})
		}
		if !slices.Equal(have, want) {
			t.Errorf("%v: %v, want %v", in, have, want)
		}
	}
}
