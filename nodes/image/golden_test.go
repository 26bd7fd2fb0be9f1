package image

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"testing"

	"graphrun/graph"
	"graphrun/internal/golden"
	_ "graphrun/nodes/mask" // its cases stand among the pictures'
	"graphrun/runtime/picture"
	"graphrun/types"
)

func TestGoldenImageOps(t *testing.T) {
	for _, c := range golden.Numerics(t, "image_op") {
		var p map[string]json.RawMessage
		c.Into(t, &p)
		var node string
		if err := json.Unmarshal(p["node"], &node); err != nil {
			t.Fatal(err)
		}
		t.Run(c.Name, func(t *testing.T) {
			golden.Later(t, "numerics", node, c.Name)
			if node == "SaveImage.convert" {
				same(t, picture.Bytes(c.Tensor(t, "image").F32()), c.Tensor(t, "out_u8").Raw)
				return
			}
			if node == "preview_to_image" {
				want := c.Tensor(t, "out_u8").Raw
				for i, b := range picture.PreviewBytes(c.Tensor(t, "image").F32()) {
					if d := int(b) - int(want[i]); d < -1 || d > 1 { // the case allows one where the value lies on an integer
						t.Fatalf("value %d: %d, want %d", i, b, want[i])
					}
				}
				return
			}
			out := call(t, c, map[string]string{"ImageMorphology": "Morphology"}[node], node, p)
			checkOutputs(t, c, p, out)
		})
	}
}

// call runs the node with the case's tensors and parameters by the names of its inputs.
func call(t *testing.T, c golden.Case, name, node string, p map[string]json.RawMessage) []any {
	t.Helper()
	if name == "" {
		name = node
	}
	s := graph.Registered()[name]
	if s == nil {
		t.Fatalf("node %s is neither there nor in golden.Later", name)
	}
	in := make([]any, len(s.Inputs))
	for i, port := range s.Inputs {
		if x, ok := c.Lookup(t, port.Name); ok {
			v := types.Tensor{Shape: x.Shape, Data: x.F32()}
			in[i] = types.Image{Tensor: v}
			if port.Type == "MASK" {
				in[i] = types.Mask{Tensor: v}
			}
			continue
		}
		raw, ok := p[port.Name]
		if !ok || port.Type == "MASK" {
			continue
		}
		in[i] = literal(t, port.Type, raw)
	}
	out, err := s.Run(&graph.Call{Context: context.Background()}, in)
	if err != nil {
		t.Fatal(err)
	}
	return out.Values
}

func literal(t *testing.T, kind string, raw json.RawMessage) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	if text, ok := v.(string); ok && kind == "INT" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if f, ok := v.(float64); ok && kind == "INT" {
		return int64(f)
	}
	return v
}

// checkOutputs holds the first output to out or out_u8, the second to mask or alpha.
func checkOutputs(t *testing.T, c golden.Case, p map[string]json.RawMessage, out []any) {
	t.Helper()
	got := tensorOf(t, out[0])
	if raw, ok := p["out_shape"]; ok { // the case keeps the left upper corner alone
		var shape []int
		if err := json.Unmarshal(raw, &shape); err != nil || !slices.Equal(shape, got.Shape) {
			t.Fatalf("shape %v, want %v (%v)", got.Shape, shape, err)
		}
		want := c.Tensor(t, "out").Shape
		got = picture.Region(types.Image{Tensor: got}, 0, 0, want[2], want[1]).Tensor
	}
	if want, ok := c.Lookup(t, "out_u8"); ok {
		b := make([]byte, len(got.Data))
		for i, v := range got.Data {
			b[i] = byte(math.Round(float64(v) * 255))
		}
		same(t, b, want.Raw)
		return
	}
	want := c.Tensor(t, "out")
	if len(want.Shape) == 3 && len(got.Shape) == 4 { // three equal channels
		got = picture.Channels(types.Image{Tensor: got}, 1).Tensor
		got.Shape = got.Shape[:3]
	}
	hold(t, c, "out", got, want)
	for _, role := range []string{"mask", "alpha"} {
		if want, ok := c.Lookup(t, role); ok && len(out) > 1 {
			hold(t, c, role, tensorOf(t, out[1]), want)
		}
	}
}

func tensorOf(t *testing.T, v any) types.Tensor {
	t.Helper()
	switch v := v.(type) {
	case types.Image:
		return v.Tensor
	case types.Mask:
		return v.Tensor
	}
	t.Fatalf("output %T", v)
	return types.Tensor{}
}

func hold(t *testing.T, c golden.Case, role string, got types.Tensor, want golden.Tensor) {
	t.Helper()
	if !slices.Equal(got.Shape, want.Shape) || types.Elements(got.Shape) != len(got.Data) {
		t.Fatalf("%s: shape %v of %d values, want %v", role, got.Shape, len(got.Data), want.Shape)
	}
	if c.Tolerance.Mode != "mismatch_fraction" {
		golden.Close(t, c.Name+" "+role, got.Data, want.F32(), c.Tolerance.ATol, c.Tolerance.RTol)
		return
	}
	wrong := 0
	for i, v := range want.F32() {
		if v != got.Data[i] {
			wrong++
		}
	}
	if share := float64(wrong) / float64(len(got.Data)); share > c.Tolerance.Max {
		t.Errorf("%s: %d of %d values differ, allowed is a share of %g", role, wrong, len(got.Data), c.Tolerance.Max)
	} else {
		t.Logf("%s: %d of %d values differ", role, wrong, len(got.Data))
	}
}

func same(t *testing.T, got, want []byte) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d bytes, want %d", len(got), len(want))
	}
	n, first := 0, ""
	for i := range got {
		if got[i] != want[i] {
			if n++; n == 1 {
				first = fmt.Sprintf("at %d %d instead of %d", i, got[i], want[i])
			}
		}
	}
	if n > 0 {
		t.Errorf("%d of %d bytes differ, first %s", n, len(got), first)
	}
}
