package dense

import (
	"testing"

	"gorgonia.org/tensor"

	"graphrun/types"
)

func TestViewsShareMemory(t *testing.T) {
	img := types.Image{Tensor: types.NewTensor(1, 2, 3, 3)}
	d := Of(img.Tensor)
	if err := d.SetAt(float32(0.5), 0, 1, 2, 0); err != nil {
		t.Fatal(err)
	}
	if img.Data[15] != 0.5 {
		t.Errorf("a write to the view is not seen: %v", img.Data)
	}
	back, err := Image(d)
	if err != nil {
		t.Fatal(err)
	}
	back.Data[0] = 0.25
	if v, _ := d.At(0, 0, 0, 0); v != float32(0.25) || img.Data[0] != 0.25 {
		t.Errorf("a write to the picture is not seen: %v", v)
	}
}

func TestGorgoniaComputes(t *testing.T) {
	d := Of(types.Tensor{Shape: []int{2, 2}, Data: []float32{1, 2, 3, 4}})
	product, err := d.MatMul(d)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Tensor(product)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []float32{7, 10, 15, 22} {
		if got.Data[i] != want {
			t.Fatalf("have %v", got.Data)
		}
	}
}

func TestKinds(t *testing.T) {
	f32 := func(shape ...int) *tensor.Dense {
		return tensor.New(tensor.WithShape(shape...), tensor.Of(tensor.Float32))
	}
	if m, err := Mask(f32(1, 4, 5)); err != nil || m.Shape[2] != 5 {
		t.Error(err)
	}
	if l, err := Latent(f32(2, 4, 8, 8)); err != nil || l.Samples.Shape[0] != 2 {
		t.Error(err)
	}
	if s, err := Tensor(Of(types.Tensor{Data: []float32{3}})); err != nil || s.Data[0] != 3 {
		t.Error(s, err)
	}
	turned := f32(3, 4)
	if err := turned.T(); err != nil {
		t.Fatal(err)
	}
	part, err := f32(1, 4, 6, 3).Slice(nil, nil, tensor.S(1, 3))
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]func() error{
		"channels": func() error { _, err := Image(f32(1, 4, 4, 2)); return err },
		"axes":     func() error { _, err := Mask(f32(4, 4)); return err },
		"rank":     func() error { _, err := Latent(f32(4, 4)); return err },
		"float64": func() error {
			_, err := Image(tensor.New(tensor.WithShape(1, 2, 2, 3), tensor.Of(tensor.Float64)))
			return err
		},
		"turned":  func() error { _, err := Tensor(turned); return err },
		"a slice": func() error { _, err := Image(part.(*tensor.Dense)); return err },
	} {
		if err := f(); err == nil {
			t.Errorf("%s: no error", name)
		} else {
			t.Logf("%s: %v", name, err)
		}
	}
}
