package latent

import (
	"context"
	"errors"
	"slices"
	"testing"

	"graphrun/graph"
	"graphrun/types"
)

// coder remembers the shape that it got.
type coder struct{ got *[]int }

func (c coder) Decode(_ context.Context, t types.Tensor) (types.Image, error) {
	*c.got = t.Shape
	return types.Image{Tensor: types.NewTensor(1, 8, 8, 3)}, nil
}

func (c coder) Encode(_ context.Context, p types.Image) (types.Tensor, error) {
	*c.got = p.Shape
	return types.NewTensor(1, 4, 1, 1), nil
}

func (coder) Factor() int { return 8 }

var call = &graph.Call{Context: context.Background()}

func TestEmptyLatent(t *testing.T) {
	l, err := EmptyLatentImage{Width: 71, Height: 16, BatchSize: 3}.Run(call)
	if err != nil || !slices.Equal(l.Samples.Shape, []int{3, 4, 2, 8}) {
		t.Errorf("%v, %v", l.Samples.Shape, err)
	}
	var e *graph.Error
	if _, err := (EmptyLatentImage{16384, 16384, 4096}).Run(call); !errors.As(err, &e) || e.Input != "batch_size" || e.Kind != graph.KindTooBig {
		t.Errorf("64 GiB: %v", err)
	}
}

func TestVAE(t *testing.T) {
	var got []int
	vae := types.VAE{Autoencoder: coder{&got}}
	if _, err := (VAEDecode{types.Latent{Samples: types.NewTensor(2, 4, 3, 3)}, vae}).Run(call); err != nil || !slices.Equal(got, []int{2, 4, 3, 3}) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := (VAEEncode{types.Image{Tensor: types.NewTensor(1, 9, 8, 4)}, vae}).Run(call); err != nil || !slices.Equal(got, []int{1, 9, 8, 3}) {
		t.Errorf("alpha is not left out: %v, %v", got, err)
	}
	var e *graph.Error
	if _, err := (VAEDecode{}).Run(call); !errors.As(err, &e) || e.Input != "vae" {
		t.Errorf("no VAE: %v", err)
	}
	if _, err := (VAEEncode{}).Run(call); !errors.As(err, &e) || e.Input != "vae" {
		t.Errorf("no VAE: %v", err)
	}
}

// Mask and batch index pass through; the input stays as it was.
func TestLatentUpscale(t *testing.T) {
	in := types.Latent{Samples: types.NewTensor(1, 4, 8, 16), NoiseMask: &types.Mask{}, BatchIndex: []int{5}}
	for _, c := range []struct{ w, h, wantW, wantH int }{{0, 0, 16, 8}, {256, 128, 32, 16}, {0, 128, 32, 16}, {256, 0, 32, 16}, {8, 8, 8, 8}, {0, 8, 16, 8}} {
		out, err := LatentUpscale{in, "bilinear", c.w, c.h, "disabled"}.Run(call)
		if err != nil || !slices.Equal(out.Samples.Shape, []int{1, 4, c.wantH, c.wantW}) || out.NoiseMask != in.NoiseMask || out.BatchIndex[0] != 5 {
			t.Errorf("%dx%d: %v %v %v", c.w, c.h, out.Samples.Shape, out.BatchIndex, err)
		}
	}
	if !slices.Equal(in.Samples.Shape, []int{1, 4, 8, 16}) {
		t.Error("the input changed")
	}
	if _, err := (LatentUpscale{types.Latent{Samples: types.NewTensor(3)}, "area", 64, 64, "center"}).Run(call); err == nil {
		t.Error("one axis passes")
	}
}
