package image

import (
	"context"
	"testing"

	"graphrun/graph"
	"graphrun/internal/golden"
	"graphrun/runtime/picture"
	"graphrun/types"
)

func TestGoldenImageOps(t *testing.T) {
	call := &graph.Call{Context: context.Background()}
	for _, c := range golden.Numerics(t, "image_op") {
		var p struct {
			Node, Crop    string
			Method        string `json:"upscale_method"`
			Width, Height int
		}
		c.Into(t, &p)
		t.Run(c.Name, func(t *testing.T) {
			golden.Later(t, "numerics", p.Node, c.Name)
			in := c.Tensor(t, "image")
			img := types.Image{Tensor: types.Tensor{Shape: in.Shape, Data: in.F32()}}
			var out types.Image
			var err error
			switch p.Node {
			case "ImageScale":
				out, err = ImageScale{img, imageMethod(p.Method), p.Width, p.Height, crop(p.Crop)}.Run(call)
			case "ImageInvert":
				out, err = ImageInvert{img}.Run(call)
			case "SaveImage.convert":
				want := c.Tensor(t, "out_u8")
				for i, b := range picture.Bytes(img.Data) {
					if b != want.Raw[i] {
						t.Fatalf("value %v gives %d, want %d", img.Data[i], b, want.Raw[i])
					}
				}
				return
			default:
				t.Fatalf("node %s is neither tested nor in golden.Later", p.Node)
			}
			if err != nil {
				t.Fatal(err)
			}
			want := c.Tensor(t, "out")
			if types.Elements(out.Shape) != len(out.Data) || len(out.Shape) != len(want.Shape) || out.Shape[1] != want.Shape[1] {
				t.Fatalf("shape %v, want %v", out.Shape, want.Shape)
			}
			golden.Close(t, c.Name, out.Data, want.F32(), c.Tolerance.ATol, c.Tolerance.RTol)
		})
	}
}
