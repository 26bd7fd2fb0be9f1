package latent

import (
	"context"
	"slices"
	"testing"

	"graphrun/graph"
	"graphrun/internal/golden"
	"graphrun/types"
)

func TestGoldenLatentOps(t *testing.T) {
	call := &graph.Call{Context: context.Background()}
	for _, c := range golden.Numerics(t, "latent_op") {
		var p struct {
			Node, Crop    string
			Method        string `json:"upscale_method"`
			Width, Height int
			BatchSize     int `json:"batch_size"`
		}
		c.Into(t, &p)
		t.Run(c.Name, func(t *testing.T) {
			golden.Later(t, "numerics", p.Node, c.Name)
			var out types.Latent
			var err error
			switch p.Node {
			case "LatentUpscale":
				in := c.Tensor(t, "samples")
				latent := types.Latent{Samples: types.Tensor{Shape: in.Shape, Data: in.F32()}}
				out, err = LatentUpscale{latent, latentMethod(p.Method), p.Width, p.Height, crop(p.Crop)}.Run(call)
			case "EmptyLatentImage":
				out, err = EmptyLatentImage{p.Width, p.Height, p.BatchSize}.Run(call)
			default:
				t.Fatalf("node %s is neither tested nor in golden.Later", p.Node)
			}
			if err != nil {
				t.Fatal(err)
			}
			want := c.Tensor(t, "out")
			if !slices.Equal(out.Samples.Shape, want.Shape) {
				t.Fatalf("shape %v, want %v", out.Samples.Shape, want.Shape)
			}
			golden.Close(t, c.Name, out.Samples.Data, want.F32(), c.Tolerance.ATol, c.Tolerance.RTol)
		})
	}
}
